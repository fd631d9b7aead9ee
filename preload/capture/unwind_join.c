/*
 * unwind_join.c - the walk that joins a remembered stack.
 *
 * Called for every stack of a thread that is not inside another walk; the
 * header says why it is right.  Law: as unwind_own.c.  All of this belongs to
 * one thread; a signal handler of it works elsewhere while a walk is under
 * way, except when it takes the walk for abandoned (stack.c): join_abandon.
 * What a walk then finds changed under its hands makes its answer wrong, which
 * stack.c notices, but nothing worse: counts are read once and stay in bounds.
 *
 * What is never taken over without a step: frames without unwind data (the
 * guess; a module may have been loaded there meanwhile), DRAP and WIDE.
 * Stacks with a signal frame or a COMPLEX one are not remembered at all.
 */
#include "unwind_join.h"

#include "capture/canonical.h"

#define NEAR_BELOW 8192u /* a stack's next walk begins at most so far below its last */

static const uint64_t flag_guessed = (uint64_t)MMS_NODE_GUESSED << 48;
static const uint64_t flag_truncated = (uint64_t)MMS_NODE_TRUNCATED << 48;

uint32_t join_forks;

void join_forget(struct join *j)
{
	for (int i = 0; i < JOIN_STACKS; i++)
		j->n[i] = 0;
	j->in_use = j->quarantined = 0;
	j->top = NULL;
	j->epoch++;
}

void join_abandon(struct join *j)
{
	for (int i = 0; i < JOIN_STACKS; i++)
		if ((j->quarantined | j->in_use) >> i & 1)
			j->n[i] = 0;
	j->quarantined = j->in_use;
	j->in_use = 0;
	j->top = NULL;
	j->epoch++;
	j->n_abandoned++;
}

static struct join_frame *frames_of(struct join *j, uint32_t i)
{
	return i ? j->other[i - 1] : j->first;
}

static size_t room_of(uint32_t i)
{
	return i ? JOIN_DEPTH_OTHER : JOIN_DEPTH;
}

static uint32_t count(const struct join *j, uint32_t i)
{
	return __atomic_load_n(&j->n[i], __ATOMIC_RELAXED);
}

static bool usable(const struct join *j, uint32_t i)
{
	return count(j, i) && !(j->quarantined >> i & 1);
}

static bool near(struct join *j, uint32_t i, uint64_t sp)
{
	const struct join_frame *f = frames_of(j, i);
	uint32_t n = count(j, i);

	return n && sp <= f[0].sp && sp + NEAR_BELOW >= f[n - 1].sp;
}

/* The stack to join: the last one, else the one that ends next above sp. */
static uint32_t choose(struct join *j, uint64_t sp)
{
	uint32_t best = JOIN_STACKS;

	if (usable(j, j->current) && near(j, j->current, sp))
		return j->current;
	for (uint32_t i = 0; i < JOIN_STACKS; i++) {
		if (!usable(j, i) || frames_of(j, i)[0].sp < sp)
			continue;
		if (best == JOIN_STACKS || frames_of(j, i)[0].sp < frames_of(j, best)[0].sp)
			best = i;
	}
	return best;
}

/* Where a stack goes that joined none: over the one with the same outermost
 * frame, else in turn. */
static uint32_t place_for(struct join *j, uint64_t root_sp)
{
	for (uint32_t i = 0; i < JOIN_STACKS; i++)
		if (usable(j, i) && frames_of(j, i)[0].sp == root_sp)
			return i;
	uint32_t at = j->next % JOIN_STACKS;
	while (j->quarantined >> at & 1 && (at + 1) % JOIN_STACKS != j->next % JOIN_STACKS)
		at = (at + 1) % JOIN_STACKS;
	j->next = at + 1;
	return at;
}

static uint64_t word_at(uint64_t at)
{
	return *(const volatile uint64_t *)(uintptr_t)at;
}

struct join_frame *join_confirm(struct join_frame *f, struct join_frame *root)
{
	/* Nearly all frames of nearly all stacks. */
	if (f->mark & JOIN_PLAIN) {
		while (f - root >= 4 && join_stands(f - 1) && join_stands(f - 2) && join_stands(f - 3) && join_stands(f - 4))
			f -= 4;
		while (f > root && join_stands(f - 1))
			f--;
	}
	for (; f > root; f--) {
		const struct join_frame *older = f - 1;
		if (f->mark & JOIN_STEP || (f->mark & JOIN_SAVED && word_at(older->sp - rule_rbp(f->rule)) != older->rbp))
			break;
		if (word_at(older->sp - 8) != mms_node_pc(older->key))
			break;
	}
	return f;
}

/* caller: 0 for the first place of a (pc, sp), where each is looked for; others of
 * the same, as many places allocate through operator new, by who called it, too. */
static struct join_branch *branch_of(struct join *j, uint64_t pc, uint64_t sp, uint64_t caller)
{
	uint64_t h = (pc ^ caller << 3 ^ sp << 20) * 0x9e3779b97f4a7c15ull;

	return &j->branch[h >> 40 & j->branch_mask];
}

/* Is f as it was when `was` was copied from it? */
static bool same_state(const struct join_frame *f, const struct join_frame *was)
{
	return f->sp == was->sp && f->hash == was->hash && f->key == was->key &&
		!(f->mark & JOIN_LIVE && f->rbp != was->rbp);
}

/* The innermost frame of a branch that hangs on the stack that is remembered now and
 * begins at (pc, sp); NULL: there is none in this place. */
static inline struct join_frame *branch_top(struct join *j, struct join_branch *b, uint64_t pc, uint64_t sp)
{
	uint32_t n = __atomic_load_n(&b->n, __ATOMIC_RELAXED);

	if (!n || b->epoch != j->epoch || b->at != j->current || b->frame[n - 1].sp != sp || b->frame[n - 1].key != pc)
		return NULL;
	return &b->frame[n - 1];
}

struct join_frame *join_branched(struct join *j, void *const *fp, uint32_t context)
{
	uint64_t pc = (uintptr_t)fp[1], sp = (uintptr_t)(fp + 2);
	struct join_branch *b = branch_of(j, pc, sp, 0);
	struct join_frame *top = branch_top(j, b, pc, sp);

	if (!top || j->generation != rules_generation() || j->context != context || top->mark & JOIN_STEP ||
		(top->mark & JOIN_LIVE && top->rbp != (uintptr_t)fp[0]))
		return NULL;
	/* The state is the same, so this is the word that a walk would read. */
	uint64_t caller = word_at(top[-1].sp - 8);
	if (caller != top[-1].key) {
		b = branch_of(j, pc, sp, caller);
		top = branch_top(j, b, pc, sp);
		if (!top || (top->mark & JOIN_LIVE && top->rbp != (uintptr_t)fp[0]))
			return NULL;
	}
	struct join_frame *root = frames_of(j, b->at), *on = &root[b->keep - 1];
	if (b->keep > count(j, b->at) || !same_state(on, b->frame))
		return NULL;
	/* From the innermost outward: what lies beyond a difference may not be readable. */
	if (join_confirm(top, b->frame) != b->frame || join_confirm(on, root) != root || rule_kind(root->rule) != RULE_END)
		return NULL;
	return top;
}

/* Where the branch with this innermost frame goes. */
static struct join_branch *place_of_branch(struct join *j, const struct join_frame *top)
{
	uint64_t pc = mms_node_pc(top->key);
	struct join_branch *b = branch_of(j, pc, top->sp, 0);
	struct join_frame *there = branch_top(j, b, pc, top->sp);

	return there && there[-1].key != top[-1].key ? branch_of(j, pc, top->sp, mms_node_pc(top[-1].key)) : b;
}

/* Keeps the frames of stack `at` that stand on its first `keep`.  Not while a walk
 * may go on that was taken for abandoned: it may be reading the branch. */
static void keep_branch(struct join *j, uint32_t at, uint32_t keep)
{
	const struct join_frame *from = frames_of(j, at) + keep - 1;
	uint32_t n = count(j, at) - keep + 1;

	if (count(j, at) <= keep || !keep || n > JOIN_BRANCH || j->quarantined || !join_id(&from[n - 1]))
		return;
	struct join_branch *b = place_of_branch(j, &from[n - 1]);
	__atomic_store_n(&b->n, 0, __ATOMIC_RELAXED);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	for (uint32_t i = 0; i < n; i++)
		b->frame[i] = from[i];
	b->epoch = j->epoch;
	b->at = at;
	b->keep = keep;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	__atomic_store_n(&b->n, n, __ATOMIC_RELAXED);
}

/* 150 KiB are too much for each of many threads. */
static bool may_be_large(void)
{
	static uint32_t n_large;

	return __atomic_load_n(&n_large, __ATOMIC_RELAXED) < JOIN_LARGE &&
		__atomic_fetch_add(&n_large, 1, __ATOMIC_RELAXED) < JOIN_LARGE;
}

/* One more walk: is what it replaces kept?  Not by who lives for a moment, nor
 * soon after a fork, which makes both sides pay for each page they write.  Who
 * walks much gets room for more. */
static bool keeps_branches(struct join *j)
{
	uint32_t forks = __atomic_load_n(&join_forks, __ATOMIC_RELAXED);

	if (j->forks != forks) {
		j->forks = forks;
		j->n_walks = 0;
	}
	if (j->n_walks < JOIN_QUIET) {
		j->n_walks++;
		return false;
	}
	if (!j->branch_mask)
		j->branch_mask = JOIN_BRANCHES_FIRST - 1;
	if (++j->branch_missed > 8 * j->branch_mask && j->branch_mask + 1 < JOIN_BRANCHES) {
		if (j->branch_mask + 1 != JOIN_BRANCHES_USUAL || may_be_large())
			j->branch_mask = 2 * j->branch_mask + 1;
		j->branch_missed = 0;
	}
	return true;
}

/* A walk under way. */
struct walk {
	struct own_state s;
	uint64_t flags;            /* of the frame that s is */
	struct join_frame *fresh;  /* where the next fresh frame goes */
	struct join_frame *begin;  /* the first of them: the innermost */
	struct join_frame *full;   /* no more of them */
	struct join_frame *root;   /* the remembered stack: its outermost frame */
	struct join_frame *beyond; /* its frames below here s may still meet */
	struct rule_view view;
	struct reach *reach;
};

static inline bool add_fresh(struct walk *w, uint64_t pc, rule r)
{
	struct join_frame *f = w->fresh;

	if (__builtin_expect(f == w->full, 0))
		return false;
	f->sp = w->s.sp;
	f->rbp = w->s.rbp;
	f->key = pc | w->flags;
	f->rule = r;
	w->fresh = f + 1;
	return true;
}

/* Is s the state of a remembered frame?  Drops those that are passed. */
static inline bool meets(struct walk *w)
{
	struct join_frame *beyond = w->beyond;

	while (beyond > w->root && beyond[-1].sp < w->s.sp)
		beyond--;
	w->beyond = beyond;
	if (beyond == w->root)
		return false;
	const struct join_frame *f = beyond - 1;
	if (f->sp != w->s.sp || (f->key & ~flag_truncated) != (w->s.pc | w->flags) ||
		(f->mark & JOIN_LIVE && f->rbp != w->s.rbp))
		return false;
	/* Behind a guess nothing is read that is not known to be readable. */
	return !w->reach->distrust || (w->s.sp >= w->reach->low && w->root->sp <= w->reach->high);
}

/* Takes over the frames from beyond - 1 outward, before `to`, with rbp as it truly
 * is (a remembered one that did not matter may be another), and stands at `to`. */
static bool take_over(struct walk *w, struct join_frame *to)
{
	for (const struct join_frame *f = w->beyond - 1;; f--) {
		w->s.sp = f->sp;
		w->s.pc = mms_node_pc(f->key);
		w->flags = f->key & flag_guessed;
		if (f == to)
			break;
		if (!add_fresh(w, w->s.pc, f->rule))
			return false;
		if (rule_rbp(f->rule))
			w->s.rbp = word_at(f[-1].sp - rule_rbp(f->rule));
	}
	w->beyond = to;
	return true;
}

enum outcome { WALKED, JOINED, GAVE_UP };

/* The rule of frame f is still good: the generation is the same.  A guess is
 * not, for a module may have been loaded there meanwhile. */
static inline rule rule_again(const struct walk *w, const struct join_frame *f)
{
	return rule_kind(f->rule) == RULE_NOCFI ? own_rule(w->view, w->s.pc) : f->rule;
}

static enum outcome walk(struct walk *w)
{
	for (;;) {
		rule r;
		if (meets(w)) {
			struct join_frame *f = join_confirm(w->beyond - 1, w->root);
			if (f == w->root && rule_kind(f->rule) == RULE_END)
				return JOINED;
			if (!take_over(w, f))
				return GAVE_UP;
			r = rule_again(w, f);
		} else {
			if (w->s.pc > RULE_PC_MASK)
				break;
			r = own_rule(w->view, w->s.pc);
		}
		if (!add_fresh(w, w->s.pc, r))
			return GAVE_UP;
		enum own_step e = own_step(&w->s, r, w->reach);
		w->flags = 0;
		if (__builtin_expect(e == OWN_OK, 1))
			continue;
		if (e == OWN_END)
			return WALKED;
		if (e == OWN_COMPLEX)
			return GAVE_UP;
		if (e == OWN_LOST)
			break;
		w->flags = flag_guessed;
	}
	if (w->fresh != w->begin)
		w->fresh[-1].key |= flag_truncated;
	return WALKED;
}

/* Puts a fresh frame at `to`, with what follows from its rule and from the frame
 * that is older.  Field by field, each as wide as it was just written: a load
 * that spans two stores waits until both are in the cache. */
static void settle(struct join_frame *to, const struct join_frame *fresh, const struct join_frame *older,
	uint32_t context, uint32_t *hint)
{
	rule r = fresh->rule;
	enum rule_kind kind = rule_kind(r);
	uint64_t key = fresh->key, hash = older ? older->hash : mms_stack_hash(0, context);
	uint32_t old = older ? older->mark : kind == RULE_END ? 0 : JOIN_LIVE;
	bool walks = kind == RULE_SP || kind == RULE_BP, saves = walks && rule_rbp(r);
	uint32_t mark = 0;

	to->sp = fresh->sp;
	to->rbp = fresh->rbp;
	to->key = key;
	to->hash = mms_stack_hash(hash, canonical_key(context, key, hint));
	to->rule = r;
	if (kind == RULE_SP ? !saves && old & JOIN_LIVE : kind != RULE_END)
		mark |= JOIN_LIVE;
	if (saves && old & JOIN_LIVE)
		mark |= JOIN_SAVED;
	if (!walks)
		mark |= JOIN_STEP;
	if (older ? !(mark & (JOIN_SAVED | JOIN_STEP)) && old & JOIN_PLAIN : kind == RULE_END)
		mark |= JOIN_PLAIN;
	to->mark = mark;
}

/* A stack that has become too deep for its place goes to the first one. */
static uint32_t move_to_first(struct join *j, uint32_t at, size_t keep)
{
	for (size_t i = 0; i < keep; i++)
		j->first[i] = frames_of(j, at)[i];
	j->n[at] = 0;
	j->top = NULL;
	return 0;
}

/* Puts the fresh frames behind the first `keep` of stack `at`. */
static void remember(struct join *j, uint32_t at, size_t keep, size_t n_fresh)
{
	struct join_frame *to = frames_of(j, at);
	uint32_t hint = 0;

	j->top = NULL;
	if (keeps_branches(j))
		keep_branch(j, at, (uint32_t)keep);
	__atomic_store_n(&j->n[at], (uint32_t)keep, __ATOMIC_RELAXED);
	for (size_t i = 0; i < n_fresh; i++) {
		struct join_frame *f = &to[keep + i];
		settle(f, &j->fresh[n_fresh - 1 - i], keep + i ? f - 1 : NULL, j->context, &hint);
	}
	__atomic_store_n(&j->n[at], (uint32_t)(keep + n_fresh), __ATOMIC_RELAXED);
}

static void begin(struct join *j, struct walk *w, uint32_t at)
{
	j->in_use = at == JOIN_STACKS ? 0 : 1u << at;
	if (at == JOIN_STACKS)
		return;
	w->root = frames_of(j, at);
	w->beyond = w->root + count(j, at);
}

/* Where the stack that was walked is to stand; JOIN_STACKS: nowhere. */
static uint32_t destination(struct join *j, const struct walk *w, enum outcome how, uint32_t at, size_t keep)
{
	size_t n = keep + (size_t)(w->fresh - w->begin);

	if (how == GAVE_UP || !n || n > JOIN_DEPTH)
		return JOIN_STACKS;
	if (how == WALKED)
		at = place_for(j, w->fresh[-1].sp);
	if (n <= room_of(at))
		return at;
	j->in_use |= 1u << at | 1u;
	return j->quarantined & 1 ? JOIN_STACKS : move_to_first(j, at, keep);
}

struct joined join_walk(struct join *j, struct reach *reach, void *const *fp, uint32_t context)
{
	static const struct joined none;
	uint64_t generation = rules_generation();
	uint32_t abandoned = __atomic_load_n(&j->n_abandoned, __ATOMIC_RELAXED);
	struct walk w = { .s = { (uintptr_t)fp[1], (uintptr_t)(fp + 2), (uintptr_t)fp[0] },
		.fresh = j->fresh, .begin = j->fresh, .full = j->fresh + JOIN_DEPTH, .view = rules_view(), .reach = reach };

	if (j->generation != generation || j->context != context) {
		join_forget(j);
		j->generation = generation;
		j->context = context;
	}
	uint32_t at = choose(j, w.s.sp);
	begin(j, &w, at);
	enum outcome how = walk(&w);
	size_t keep = how == JOINED ? (size_t)(w.beyond - w.root) : 0, n_fresh = (size_t)(w.fresh - w.begin);
	at = destination(j, &w, how, at, keep);
	if (at == JOIN_STACKS) {
		j->in_use = 0;
		return none;
	}
	/* Whoever abandons us from here on keeps others away from this stack; who
	 * did it before has written to `fresh`. */
	j->in_use |= 1u << at;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	if (__atomic_load_n(&j->n_abandoned, __ATOMIC_RELAXED) != abandoned)
		return none;
	remember(j, at, keep, n_fresh);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	j->in_use = 1u << at;
	j->current = at;
	j->top = frames_of(j, at) + keep + n_fresh - 1;
	if (rules_generation() == generation && (context != MMS_CONTEXT_COMMON || !canonical_is_left()))
		return (struct joined){ frames_of(j, at), (uint32_t)(keep + n_fresh) };
	join_forget(j); /* it may rest on rules that are gone, or be told under a root that is left */
	return none;
}
