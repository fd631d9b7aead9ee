/*
 * test_unwind_join.c - a joined walk finds what a plain walk finds.
 *
 * Stacks are made of words here, not of calls: code addresses are invented
 * and their rules put into the table, so that every shape that a compiler may
 * make comes up by chance: frames with and without saved rbp, frame pointers,
 * realigned frames, frames without unwind data, equal (pc, sp) with another
 * rbp, stale return addresses below and inside live frames, twelve coroutines
 * on eight remembered stacks.  After each change the joined walk is compared
 * with the plain one, frame by frame with flags, and its hashes with hashes
 * made anew; what is found without a walk, by the id that the stack was given.  The seed is printed and can be given.
 */
#include "check.h"

#include <stdlib.h>

#include "base/doorbell.h"
#include "base/enter.h"
#include "capture/unwind_join.h"

__thread uint32_t guard_depth;
bool doorbell_is_silent(void) { return true; }

#define WORDS 4096u /* MAX_FRAMES of at most 200 bytes, and what lies below */
#define N_STACKS 12
#define N_CODES 48
#define MAX_FRAMES 60

enum shape { SHAPE_SP, SHAPE_SP_SAVES, SHAPE_BP, SHAPE_DRAP, SHAPE_BARE, SHAPE_END };

static const uint64_t code_base = 0x123400001000ull;
static enum shape shape_of[N_CODES];
static uint64_t size_of[N_CODES]; /* CFA - sp, or CFA - rbp */

struct frame {
	uint64_t pc, sp, rbp;
};

struct stack {
	uint64_t words[WORDS];
	struct frame frame[MAX_FRAMES]; /* 0 = outermost */
	int n;
	bool extended; /* beyond frame[0] */
};

static struct stack stacks[N_STACKS];
static struct join join;
static uint64_t state;

static uint32_t random_below(uint32_t n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)(state >> 32) % n;
}

static uint64_t pc_of(int code) { return code_base + (uint64_t)code * 64; }
static int code_of(uint64_t pc) { return (int)((pc - code_base) / 64); }

static void put(uint64_t at, uint64_t value) { *(uint64_t *)(uintptr_t)at = value; }

static void learn(int code)
{
	struct rule_step step = { .cfa = size_of[code] };
	rule r;

	switch (shape_of[code]) {
	case SHAPE_SP_SAVES:
		step.rbp = 16;
		/* fall through */
	case SHAPE_SP:
		r = rule_pack(&step);
		break;
	case SHAPE_BP:
		step = (struct rule_step){ 16, 16, true };
		r = rule_pack(&step);
		break;
	case SHAPE_DRAP:
		r = (rule)RULE_DRAP | 1u << 3;
		break;
	case SHAPE_END:
		r = rule_plain(RULE_END);
		break;
	default:
		r = rule_plain(RULE_NOCFI);
	}
	rules_insert(pc_of(code), r, rules_generation());
}

static void learn_all(void)
{
	for (int i = 0; i < N_CODES; i++)
		learn(i);
}

static void invent_code(void)
{
	for (int i = 0; i < N_CODES; i++) {
		uint32_t k = random_below(40);
		shape_of[i] = i < 2 ? SHAPE_END :
			k < 16      ? SHAPE_SP :
			k < 30      ? SHAPE_SP_SAVES :
			k < 37      ? SHAPE_BP :
			k < 39      ? SHAPE_DRAP :
				      SHAPE_BARE;
		size_of[i] = 16 + 16 * random_below(5);
	}
	/* The one that a stack may end with by a zero return address. */
	shape_of[N_CODES - 1] = SHAPE_SP;
	size_of[N_CODES - 1] = 32;
}

static uint64_t n_stacks, n_frames, n_kept, n_given_up, n_same, n_branched; /* what the run was made of */

/* Values that a function may leave in rbp when it uses it for something else. */
static uint64_t any_rbp(const struct frame *f)
{
	return random_below(3) ? f->sp + 16 * random_below(8) : random_below(5) * 8;
}

/* Frames of these shapes are as big as the function likes: it calls alloca. */
static bool is_elastic(int code)
{
	return shape_of[code] == SHAPE_BP || shape_of[code] == SHAPE_BARE;
}

/* A call from the innermost frame to `code`, which puts `more` bytes on its
 * stack where it is free to. */
static void call(struct stack *s, int code, uint64_t more)
{
	const struct frame *f = &s->frame[s->n - 1];
	struct frame g = { pc_of(code), f->sp - size_of[code], f->rbp };
	uint64_t cfa = f->sp;

	put(cfa - 8, f->pc);
	switch (shape_of[code]) {
	case SHAPE_SP_SAVES:
		put(cfa - 16, f->rbp);
		g.rbp = any_rbp(f);
		break;
	case SHAPE_BP:
	case SHAPE_BARE:
		put(cfa - 16, f->rbp);
		g.rbp = cfa - 16;
		g.sp = cfa - 32 - more;
		break;
	case SHAPE_DRAP: /* rbp - 8 holds the CFA, rbp the caller's rbp */
		g.rbp = cfa - 32 - more;
		put(g.rbp, f->rbp);
		put(g.rbp - 8, cfa);
		g.sp = g.rbp - 16 - 16 * random_below(3);
		break;
	default:
		break;
	}
	s->frame[s->n++] = g;
}

static void begin_stack(struct stack *s)
{
	uint64_t top = (uintptr_t)&s->words[WORDS - 64];

	for (uint32_t i = WORDS - 64; i < WORDS; i++)
		s->words[i] = 0;
	s->frame[0] = (struct frame){ pc_of((int)random_below(2)), top, 0 };
	s->n = 1;
	s->extended = false;
	/* Some stacks end by a zero return address instead of by a rule. */
	if (random_below(4) == 0) {
		s->frame[0].pc = pc_of(N_CODES - 1);
		put(top + size_of[N_CODES - 1] - 8, 0);
	}
}

static void change(struct stack *s)
{
	uint32_t pops = random_below(6) ? random_below(4) : random_below(30);

	while (pops-- && s->n > 1)
		s->n--;
	for (uint32_t n = random_below(5); n && s->n < MAX_FRAMES; n--) {
		int code = 2 + (int)random_below(N_CODES - 2);
		call(s, random_below(3) ? 2 + code % 7 : code, 16 * random_below(6));
	}
}

/* The same inner frames at the same addresses, below an outer frame that has
 * moved: (pc, sp) are equal from some frame inward, rbp is not. */
static void twist(struct stack *s)
{
	struct frame old[MAX_FRAMES];
	int n = s->n, d = 2 + (int)random_below(MAX_FRAMES);

	for (int i = 0; i < n; i++)
		old[i] = s->frame[i];
	if (d >= n || !is_elastic(code_of(old[d].pc)))
		return;
	s->n = d - 1;
	uint64_t shift = 16 * random_below(4);
	int before = code_of(old[d - 1].pc);
	call(s, before, is_elastic(before) ? s->frame[d - 2].sp - 32 - old[d - 1].sp + shift : 0);
	for (int i = d; i < n; i++) {
		uint64_t cfa = s->frame[i - 1].sp;
		int code = code_of(old[i].pc);
		if (is_elastic(code) ? cfa < old[i].sp + 32 : cfa - size_of[code] != old[i].sp)
			return;
		call(s, code, is_elastic(code) ? cfa - 32 - old[i].sp : 0);
		if (s->frame[i].sp != old[i].sp)
			return;
	}
}

/* The outermost frame turns out to have a caller after all, or no more. */
static void extend_root(struct stack *s)
{
	if (s->frame[0].pc != pc_of(N_CODES - 1))
		return;
	s->extended = !s->extended;
	put(s->frame[0].sp + size_of[N_CODES - 1] - 8, s->extended ? pc_of(0) : 0);
}

/* Other code at the same addresses: frames of other sizes. */
static void replace_code(void)
{
	for (int i = 2; i < N_CODES - 1; i++)
		size_of[i] = 16 + 16 * random_below(5);
	rules_clear();
	learn_all();
	for (int i = 0; i < N_STACKS; i++) {
		struct stack *s = &stacks[i];
		int n = s->n;
		s->n = 1;
		while (s->n < n)
			call(s, code_of(s->frame[s->n].pc), 16 * random_below(6));
	}
}

/* What the stack table would know a stack by. */
static uint32_t id_of(uint64_t hash)
{
	return (uint32_t)(hash >> 40) | 1;
}

/* The stack from fp is found without a walk, or not: true. */
static bool found(void *const *fp, const unwind_frame *plain, size_t n)
{
	struct join_frame *same = join_same(&join, fp, 9);
	struct join_frame *top = same ? same : join_branched(&join, fp, 9);
	uint64_t hash = mms_stack_hash(0, 9);

	if (!top)
		return false;
	while (n)
		hash = mms_stack_hash(hash, plain[--n]);
	CHECK_EQ(top->hash, hash);
	CHECK_EQ(join_id(top), id_of(hash));
	n_same += same != NULL;
	n_branched += same == NULL;
	return true;
}

static void compare(struct stack *s)
{
	const struct frame *f = &s->frame[s->n - 1];
	void **fp = (void **)(uintptr_t)(f->sp - 16);
	uintptr_t low = (uintptr_t)s->words, high = low + sizeof(s->words);
	unwind_frame plain[MAX_FRAMES * 2];
	uint64_t hash = mms_stack_hash(0, 9);
	struct reach reach;
	size_t n = 0, n_fresh = 0;

	for (int i = 0; i < MAX_FRAMES; i++)
		join.fresh[i].sp = 0;
	fp[0] = (void *)(uintptr_t)f->rbp;
	fp[1] = (void *)(uintptr_t)f->pc;
	reach_init(&reach, (uintptr_t)(fp + 2), low, high);
	bool whole = own_walk(&reach, fp, plain, MAX_FRAMES * 2, &n);
	if (found(fp, plain, n) && random_below(2))
		return;
	reach_init(&reach, (uintptr_t)(fp + 2), low, high);
	struct joined j = join_walk(&join, &reach, fp, 9);
	n_stacks++;
	n_frames += j.n;
	if (!whole) {
		n_given_up++;
		CHECK_EQ(j.n, 0);
		return;
	}
	/* Fresh frames were written for this walk; the others were taken over. */
	while (n_fresh < MAX_FRAMES && join.fresh[n_fresh].sp)
		n_fresh++;
	n_kept += j.n - n_fresh;
	CHECK_EQ(j.n, n);
	for (size_t i = 0; i < n && j.n == n; i++) {
		const struct join_frame *g = &j.frame[n - 1 - i];
		if (g->key != plain[i])
			CHECK_EQ(g->key, plain[i]);
	}
	for (uint32_t i = 0; i < j.n; i++) {
		hash = mms_stack_hash(hash, j.frame[i].key);
		if (j.frame[i].hash != hash)
			CHECK_EQ(j.frame[i].hash, hash);
	}
	if (j.n)
		j.frame[j.n - 1].mark = (j.frame[j.n - 1].mark & ~(uint32_t)MMS_STACK_MASK) | id_of(hash);
}

/* The walk itself is right: without a guess it finds the calls that were made. */
static uint32_t compare_with_calls(const struct stack *s)
{
	unwind_frame plain[MAX_FRAMES * 2];
	const struct frame *f = &s->frame[s->n - 1];
	void **fp = (void **)(uintptr_t)(f->sp - 16);
	struct reach reach;
	size_t n = 0;

	if (s->extended)
		return 0;
	for (int i = 0; i < s->n; i++)
		if (shape_of[code_of(s->frame[i].pc)] == SHAPE_BARE)
			return 0;
	reach_init(&reach, f->sp, (uintptr_t)s->words, (uintptr_t)s->words + sizeof(s->words));
	if (!CHECK(own_walk(&reach, fp, plain, MAX_FRAMES * 2, &n)))
		return 0;
	CHECK_EQ(n, s->n);
	for (int i = 0; i < s->n && (size_t)s->n == n; i++)
		if (mms_node_pc(plain[i]) != s->frame[s->n - 1 - i].pc)
			CHECK_EQ(plain[i], s->frame[s->n - 1 - i].pc);
	return 1;
}

/* A thread that allocates in two places in turn, now and then with something
 * else further out than before. */
static void take_turns(struct stack *s)
{
	static struct stack was, is;

	was = *s;
	change(s);
	is = *s;
	for (uint32_t i = 1 + random_below(6); i; i--) {
		*s = i & 1 ? was : is;
		if (random_below(4) == 0)
			twist(s);
		compare(s);
	}
}

static void run(uint64_t seed, int steps)
{
	uint32_t n_exact = 0;

	state = seed * 0x9e3779b97f4a7c15ull | 1;
	invent_code();
	rules_clear();
	learn_all();
	join_forget(&join);
	for (int i = 0; i < N_STACKS; i++) {
		for (uint32_t k = 0; k < WORDS; k++)
			stacks[i].words[k] = 0;
		begin_stack(&stacks[i]);
	}
	uint32_t at = 0;
	for (int i = 0; i < steps; i++) {
		if (random_below(8) == 0)
			at = random_below(N_STACKS);
		if (random_below(300) == 0)
			replace_code();
		if (random_below(50) == 0)
			extend_root(&stacks[at]);
		if (random_below(200) == 0)
			begin_stack(&stacks[at]);
		if (random_below(1000) == 0)
			join_abandon(&join);
		if (random_below(4))
			change(&stacks[at]);
		else
			twist(&stacks[at]);
		compare(&stacks[at]);
		if (random_below(10) == 0)
			take_turns(&stacks[at]);
		n_exact += compare_with_calls(&stacks[at]);
	}
	CHECK(n_exact > 0 && n_kept > 0 && n_frames > n_kept && n_same > 0 && n_branched > 0);
}

int main(int argc, char **argv)
{
	uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
	int n_seeds = argc > 2 ? atoi(argv[2]) : 60;

	printf("seeds %" PRIu64 " .. %" PRIu64 "\n", seed, seed + (uint64_t)n_seeds - 1);
	for (int i = 0; i < n_seeds && check_failed < 10; i++) {
		run(seed + (uint64_t)i, 4000);
		if (check_failed)
			fprintf(stderr, "seed %" PRIu64 "\n", seed + (uint64_t)i);
	}
	printf("stacks %" PRIu64 ", frames per stack %.1f, taken over %.0f %%, given up %" PRIu64 ", "
	       "without a walk: the last %" PRIu64 ", a branch %" PRIu64 "\n", n_stacks,
		(double)n_frames / (double)n_stacks, 100.0 * (double)n_kept / (double)n_frames, n_given_up, n_same, n_branched);
	return check_done();
}
