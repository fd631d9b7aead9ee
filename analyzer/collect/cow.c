/*
 * cow.c - the records about copy-on-write; see cow.h.
 *
 * Records of the two sides and the parent's record of the fork come in any
 * order; they meet by (number of the parent, begin of the fork).  A process
 * that forks again protects its pages anew and tells with them what was
 * written until then: that belongs to the forks before.
 *
 * Called by the collector's loop and by feed, in one thread.
 */
#include "collect/cow_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MS 1000000ull
#define LAST_WORD (300 * MS) /* between a death and what the ring still has of it */
#define LAST_ROUNDS 5u       /* and these: one may take long, and read nothing of it */
#define PATIENCE (1000 * MS) /* with a side that neither ends nor can be asked */

void cows_init(struct cows *c, struct model *m, struct watch *w, struct spaces *spaces,
	const struct stamp_clock *clock, struct store **store, const struct stack_source *stacks)
{
	*c = (struct cows){ .model = m, .watch = w, .spaces = spaces, .clock = clock, .store = store, .stacks = stacks };
}

void cow_fork_release(struct cow_fork *f)
{
	for (int side = 0; side < SIDES; side++)
		for (int i = 0; i < COW_PLANES; i++)
			cow_plane_free(&f->side[side].plane[i]);
	cow_areas_free(&f->areas, &f->n_areas, &f->areas_room);
	cow_witness_end(f);
	cow_frames_free(f->frames);
	f->frames = NULL;
	f->released = true;
}

void cow_process_done(struct cow_process *p)
{
	cow_told_drop(p);
	cow_plane_free(&p->there);
	cow_plane_free(&p->moved);
	cow_frames_free(p->frames);
}

void cows_done(struct cows *c)
{
	for (size_t i = 0; i < c->n; i++) {
		cow_fork_release(c->forks[i]);
		free(c->forks[i]);
	}
	for (size_t i = 0; i < c->processes.n; i++)
		cow_process_done(c->processes.item[i]);
	numbered_done(&c->processes);
	free(c->forks);
	memset(c, 0, sizeof(*c));
}

/* ---- who ---- */

struct cow_process *cow_process_find(const struct cows *c, uint64_t number)
{
	return numbered_find(&c->processes, number);
}

struct cow_process *cow_process_of(struct cows *c, uint64_t number)
{
	struct cow_process *p = cow_process_find(c, number);

	return p ? p : numbered_new(&c->processes, number, sizeof(*p));
}

static struct cow_fork *fork_of(struct cows *c, uint64_t parent, uint64_t stamp)
{
	for (size_t i = c->n; i-- > c->first_open;)
		if (c->forks[i]->stamp == stamp && c->forks[i]->parent == parent)
			return c->forks[i];
	if (c->n == c->capacity) {
		size_t capacity = c->capacity * 2 + 64;
		void *more = reallocarray(c->forks, capacity, sizeof(*c->forks));
		if (!more)
			return NULL;
		c->forks = more;
		c->capacity = capacity;
	}
	struct cow_fork *f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	f->stamp = stamp;
	f->parent = parent;
	f->t_ns = stamp_full_ns(c->clock, stamp);
	f->side[PARENT].process = parent;
	f->row = store_cow_unknown(0);
	f->witness.pidfd = f->witness.mem_fd = -1;
	for (int side = 0; side < SIDES; side++)
		f->side[side].faults = f->side[side].faults_from = f->side[side].faults_begin = STORE_UNKNOWN;
	c->forks[c->n++] = f;
	return f;
}

bool cow_is_compared(const struct cow_fork *f)
{
	return f->watch == MMS_WATCH_WITNESS || f->watch == MMS_WATCH_FRAMES;
}

static void find_gone(const struct cows *c, struct cow_side *s)
{
	struct page_plane *gone = &s->plane[COW_GONE];

	cow_plane_free(gone);
	if (!s->looked)
		return;
	cow_plane_add_common(gone, &s->plane[COW_ARMED], &s->plane[COW_ARMED]);
	cow_plane_take_away(gone, &cow_process_find(c, s->process)->there);
}

/* ---- records ---- */

static void take_arm(struct cow_process *p, struct cow_fork *f, int side, const struct mms_cow_arm *v)
{
	struct cow_side *s = &f->side[side];

	s->error = v->error;
	s->armed = v->error == 0;
	s->cost_ns = v->cost_ns;
	s->window = v->window;
	s->faults_from = v->faults - v->window;
	s->share = v->share < MMS_COW_SHARE_ALL ? v->share : MMS_COW_SHARE_ALL;
	s->pages = v->pages;
	s->resident = v->resident;
	s->anonymous = v->anonymous;
	s->page_tables = v->page_tables;
	s->refused = v->refused;
	s->n_areas = v->areas;
	cow_plane_add_common(&s->plane[COW_ARMED], &p->written, &p->written);
	cow_plane_add_common(&s->plane[COW_ARMED], &p->clean, &p->clean);
	cow_plane_add_common(&s->plane[COW_HUGE], &p->huge, &p->huge);
	if (side != PARENT)
		return;
	cow_areas_free(&f->areas, &f->n_areas, &f->areas_room);
	f->areas = p->areas;
	f->n_areas = p->n_areas;
	f->areas_room = p->areas_room;
	p->areas = NULL;
	p->n_areas = p->areas_room = 0;
}

/* What a process told: it is credited, and forgotten. */
static void take_told(struct cows *c, struct cow_process *p, uint64_t number, uint32_t how, uint32_t share, bool whole)
{
	struct page_plane joined = { .slot = NULL };

	if (how == MMS_WATCH_WITNESS) {
		cow_plane_add_common(&joined, &p->written, &p->huge);
		cow_plane_take_away(&p->written, &joined);
	}
	cow_credit(c, number, &(struct cow_found){ .written = &p->written, .clean = &p->clean, .fresh = &p->fresh,
		.joined = &joined, .how = how, .share = share, .whole = whole });
	cow_plane_free(&joined);
}

/* Both sides have armed what the witness holds, or the parent had. */
static void arm_both(struct cows *c, struct cow_process *parent, struct cow_fork *f)
{
	int r = f->side[PARENT].error;

	if (r == 0)
		r = f->watch == MMS_WATCH_WITNESS ? cow_witness_open(c, f) : cow_frames_arm(f, parent);

	for (int side = 0; side < SIDES && r < 0; side++) {
		f->side[side].armed = false;
		f->side[side].error = r;
	}
}

static void note_arm(struct cows *c, struct cow_process *p, uint64_t number, const struct order_note *n)
{
	struct mms_cow_arm v;

	if (n->bytes < sizeof(v))
		return;
	memcpy(&v, n->payload, sizeof(v));
	struct cow_fork *f = fork_of(c, v.parent, v.begin_stamp);
	int side = v.side == MMS_COW_PARENT ? PARENT : CHILD;
	if (f && !f->over && !f->side[side].armed) {
		f->watch = v.watch; /* the record of the fork may come later */
		if (v.error == -EBUSY) {
			f->side[side].process = number;
			f->side[side].error = v.error;
			if (side == PARENT && cow_is_compared(f))
				arm_both(c, p, f);
			return; /* what is told now is another thread's */
		}
		if (v.error == 0 && !cow_is_compared(f))
			take_told(c, p, number, MMS_WATCH_UFFD, v.share, false);
		f->side[side].process = number;
		if (side == CHILD && v.error == 0 && cow_is_compared(f))
			v.error = f->side[PARENT].error;
		take_arm(p, f, side, &v);
		if (v.error == 0)
			p->newest = f;
		if (side == PARENT && cow_is_compared(f))
			arm_both(c, p, f);
		if (!f->next_ask_ns)
			f->next_ask_ns = n->t_ns + 100 * MS;
	}
	cow_told_drop(p);
}

static void note_faults(struct cows *c, const struct order_note *n)
{
	struct mms_cow_faults v;

	if (n->bytes < sizeof(v))
		return;
	memcpy(&v, n->payload, sizeof(v));
	struct cow_fork *f = fork_of(c, v.parent, v.begin_stamp);
	if (f && !f->over)
		f->side[v.side == MMS_COW_PARENT ? PARENT : CHILD].faults_begin = v.faults;
}

/* The last word of a process ends the forks that it has a side in. */
static void note_last(struct cows *c, struct cow_process *p, uint64_t number, const struct order_note *n)
{
	struct mms_cow_last v;

	if (n->bytes < sizeof(v))
		return;
	memcpy(&v, n->payload, sizeof(v));
	if (v.error == 0)
		take_told(c, p, number, MMS_WATCH_UFFD, MMS_COW_SHARE_ALL, true);
	cow_told_drop(p);
	p->ended = true;
	p->faults = v.faults ? v.faults : STORE_UNKNOWN;
	p->parent_faults = v.parent_faults;
	for (size_t i = c->first_open; i < c->n; i++) {
		struct cow_fork *f = c->forks[i];
		for (int side = 0; side < SIDES && !f->over; side++) {
			struct cow_side *s = &f->side[side];
			if (s->process != number)
				continue;
			s->faults = p->faults;
			/* It is told when it was compared. */
			if (cow_is_compared(f)) {
				s->lost = s->armed && v.error == -EPERM;
				continue;
			}
			s->told = v.error == 0;
			s->lost = s->armed && v.error != 0;
		}
	}
}

static void note_fork(struct cows *c, uint64_t number, const struct order_note *n)
{
	struct mms_fork v;

	if (n->bytes < sizeof(v) || !c->model->n_forks)
		return;
	memcpy(&v, n->payload, sizeof(v));
	if (v.kind > MMS_FORK_ATFORK)
		return;
	struct cow_fork *f = fork_of(c, number, v.begin_stamp);
	if (!f || f->id)
		return;
	f->id = f->row.id = c->model->last_fork; /* the model took it just now */
	f->t_ns = model_fork_find(c->model, f->id)->t_ns;
	f->watch = v.watch;
	f->witness.pid = v.witness > 0 ? v.witness : 0;
	f->no_witness = v.witness < 0 ? v.witness : 0;
	f->changed = true;
	if (f->side[PARENT].faults_from == STORE_UNKNOWN && v.faults)
		f->side[PARENT].faults_from = v.faults;
	struct model_process *p = model_process_find(c->model, number);
	f->no_uffd = v.no_uffd;
	f->no_soft_dirty = v.no_soft_dirty;
	f->holds = (v.watch == MMS_WATCH_UFFD || v.watch == MMS_WATCH_SOFT_DIRTY || cow_is_compared(f)) && p && model_blocks_hold(p);
}

void cows_note(struct cows *c, const struct order_writer *w, const struct order_note *n)
{
	struct cow_process *p = cow_process_of(c, w->process);

	if (!p)
		return;
	switch (n->type) {
	case MMS_LONG_COW_PAGES:
		cow_told_pages(p, n);
		break;
	case MMS_LONG_COW_AREA:
		cow_told_area(p, n);
		break;
	case MMS_LONG_COW_ARM:
		note_arm(c, p, w->process, n);
		break;
	case MMS_LONG_COW_FAULTS:
		note_faults(c, n);
		break;
	case MMS_LONG_COW_LAST:
		note_last(c, p, w->process, n);
		break;
	case MMS_LONG_COW_TELL:
		take_told(c, p, w->process, MMS_WATCH_WITNESS, MMS_COW_SHARE_ALL, false);
		cow_told_drop(p);
		break;
	case MMS_LONG_COW_STANDS:
		p->stands = true;
		break;
	case MMS_LONG_COW_FRAMES:
		cow_told_drop(p); /* of a fork that failed */
		p->shows_frames = true;
		break;
	default:
		note_fork(c, w->process, n);
	}
}

/* ---- time ---- */

static uint64_t interval(unsigned n_asked)
{
	static const unsigned ms[] = { 100, 100, 300, 500, 1000, 3000, 5000 };
	uint64_t i = n_asked < 7 ? ms[n_asked] : 10000ull << (n_asked - 7 < 6 ? n_asked - 7 : 6);

	return i * MS;
}

/* Its last word may have come before the record of the fork. */
static void find_child(struct cows *c, struct cow_fork *f)
{
	struct cow_side *s = &f->side[CHILD];

	if (!s->process && f->id)
		s->process = model_fork_find(c->model, f->id)->child;
	const struct cow_process *p = cow_process_find(c, s->process);
	if (!s->armed && p && p->ended && s->process)
		s->faults = p->faults;
}

static bool side_ended(const struct cows *c, const struct cow_fork *f, struct cow_side *s, uint64_t now_ns)
{
	bool waits = cow_is_compared(f) && s->armed; /* to be compared, after its last word */

	if (!s->process)
		return false;
	if (s->told || s->lost || s->died || (s->faults != STORE_UNKNOWN && !waits))
		return true;
	/* Its last word may still be in the ring. */
	if (!s->gone_ns && cow_is_gone(c, s->process)) {
		s->gone_ns = now_ns;
		s->gone_round = c->n_rounds;
	}
	s->died = s->gone_ns && now_ns - s->gone_ns > LAST_WORD && c->n_rounds - s->gone_round > LAST_ROUNDS;
	return s->died;
}

static bool is_watched(const struct cow_fork *f)
{
	return f->side[PARENT].armed || f->side[CHILD].armed;
}

static uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 * MS + (uint64_t)t.tv_nsec;
}

/* Until when a process is left alone: it is asked for a twentieth of the time at most. */
static uint64_t rests_until(const struct cow_process *p, uint32_t how)
{
	return p && p->asked_ns && p->asked_how == how ? p->asked_ns + 20 * p->ask_cost_ns : 0;
}

/* An answer is for all forks of the process, of which there may be hundreds:
 * it is asked once in a round. */
static bool ask_side(struct cows *c, struct cow_fork *f, int side, uint64_t now_ns, bool may_wait)
{
	struct cow_process *p = cow_process_of(c, f->side[side].process);
	uint64_t begin = clock_ns();

	if (!p)
		return false;
	if (p->asked_ns && p->asked_how == f->watch && (p->asked_ns == now_ns || (may_wait && now_ns < rests_until(p, f->watch))))
		return p->asked_ok;
	p->asked_ok = cow_ask(c, f->side[side].process, f->watch);
	p->asked_how = f->watch;
	p->asked_ns = now_ns;
	p->ask_cost_ns = clock_ns() - begin;
	return p->asked_ok;
}

static void ask_both(struct cows *c, struct cow_fork *f, uint64_t now_ns)
{
	for (int side = 0; side < SIDES; side++)
		if (f->side[side].armed && !f->side[side].told && ask_side(c, f, side, now_ns, true))
			f->side[side].seen_ns = cow_process_find(c, f->side[side].process)->asked_ns;
}

/* A fork that nobody watches is over when its child ended: faults are known. */
static bool ends(struct cows *c, struct cow_fork *f, uint64_t now_ns)
{
	find_child(c, f);
	if (f->watch == MMS_WATCH_OFF || f->watch == MMS_WATCH_EXECS || f->watch == MMS_WATCH_FILTER)
		return true;
	/* Its areas are on the way: the witness waits for them. */
	if (f->witness.pid && !f->witness.opened && now_ns - f->t_ns < PATIENCE && !cow_is_gone(c, f->parent))
		return false;
	bool child = side_ended(c, f, &f->side[CHILD], now_ns), parent = side_ended(c, f, &f->side[PARENT], now_ns);
	return child || parent;
}

/* A child may end before its parent said that it protected its pages. */
static bool is_heard(const struct cow_fork *f, const struct cow_side *s)
{
	return (f->watch != MMS_WATCH_UFFD && f->watch != MMS_WATCH_SOFT_DIRTY && f->watch != MMS_WATCH_FRAMES) ||
		s->armed || s->error;
}

static void ask_at_end(struct cows *c, struct cow_fork *f, int side, uint64_t now_ns)
{
	struct cow_side *s = &f->side[side];

	if (!s->armed || s->asked || side_ended(c, f, s, now_ns))
		return;
	s->asked = ask_side(c, f, side, now_ns, false);
	if (s->asked)
		cow_witness_compare(c, f, side);
}

/* The side that goes on is asked once more.  Where it cannot be asked it is
 * just ending, and its last word is waited for. */
static bool other_side_known(struct cows *c, struct cow_fork *f, uint64_t now_ns)
{
	bool known = true;

	if (!f->ending_ns)
		f->ending_ns = now_ns;
	for (int side = 0; side < SIDES; side++) {
		struct cow_side *s = &f->side[side];
		ask_at_end(c, f, side, now_ns);
		known = known && ((!s->armed && is_heard(f, s)) || s->asked || side_ended(c, f, s, now_ns));
	}
	return known || now_ns - f->ending_ns > PATIENCE;
}

/* Of a fork that is still watched. */
static bool is_a_side(const struct cows *c, uint64_t number)
{
	for (size_t i = c->first_open; i < c->n; i++)
		for (int side = 0; side < SIDES && !c->forks[i]->over; side++)
			if (c->forks[i]->side[side].process == number && c->forks[i]->side[side].armed)
				return true;
	return false;
}

/* Only a child that said its last word knows what its parent had then. */
static void find_late(const struct cows *c, struct cow_fork *f)
{
	uint64_t number = f->side[CHILD].process, now = f->side[PARENT].faults;
	const struct cow_process *p = cow_process_find(c, number);
	uint64_t then = p && p->ended ? p->parent_faults : 0;

	f->late = then && now != STORE_UNKNOWN && now >= then ? now - then : STORE_UNKNOWN;
	if (f->side[PARENT].asked && f->side[CHILD].asked)
		f->late = 0; /* both go on */
	if (then)
		f->side[PARENT].faults = then;
}

static void end_fork(struct cows *c, struct cow_fork *f, uint64_t now_ns)
{
	if (f->side[PARENT].faults == STORE_UNKNOWN)
		f->side[PARENT].faults = cow_ask_faults(c, f->parent);
	find_late(c, f);
	f->over = true;
	f->changed = true;
	for (int side = 0; side < SIDES && f->watch != MMS_WATCH_FRAMES; side++)
		find_gone(c, &f->side[side]);
	cow_result(c, f, now_ns);
	for (int side = 0; side < SIDES; side++) {
		uint64_t number = f->side[side].process;
		const struct cow_process *p = cow_process_find(c, number);
		if (p && p->newest == f && !is_a_side(c, number))
			cow_tell_over(c, f, side);
	}
}

/* The child may be killed at any time: what is said of it is of now.  What the
 * parent wrote may be as it was a little before, when it has many children. */
static void look(struct cows *c, struct cow_fork *f, uint64_t now_ns)
{
	const struct cow_process *child = cow_process_find(c, f->side[CHILD].process);
	uint64_t rests_ns = f->side[CHILD].armed && child && child->asked_ns != now_ns ? rests_until(child, f->watch) : 0;

	if (rests_ns > now_ns) {
		f->next_ask_ns = rests_ns;
		return;
	}
	ask_both(c, f, now_ns);
	cow_sample(c, f, now_ns);
	f->next_ask_ns = now_ns + interval(++f->n_asked);
}

void cows_round(struct cows *c, uint64_t now_ns)
{
	c->n_rounds++;
	for (size_t i = c->first_open; i < c->n; i++) {
		struct cow_fork *f = c->forks[i];

		if (f->over || !f->id)
			continue;
		if (ends(c, f, now_ns)) {
			if (other_side_known(c, f, now_ns))
				end_fork(c, f, now_ns);
		} else if (is_watched(f) && now_ns >= f->next_ask_ns) {
			look(c, f, now_ns);
		}
	}
	while (c->first_open < c->n && c->forks[c->first_open]->over && !c->forks[c->first_open]->changed)
		c->first_open++;
}

void cows_flush(struct cows *c)
{
	for (size_t i = c->first_open; i < c->n && *c->store; i++) {
		struct cow_fork *f = c->forks[i];

		if (!f->changed || !f->id || !f->over)
			continue;
		if (store_cow_fork(*c->store, &f->row) == 0 && cow_write_ranges(c, f) == 0)
			f->changed = false;
	}
}

static bool is_child_of_a_fork(const struct model *m, uint64_t number)
{
	for (size_t i = m->n_forks; i-- > 0;)
		if (m->forks[i].child == number)
			return true;
	return false;
}

/* Children that no fork accounts for: of a raw clone.  Their faults are known. */
static void find_clones(struct cows *c)
{
	for (size_t i = 0; i < c->processes.n; i++) {
		const struct cow_process *p = c->processes.item[i];
		uint64_t number = c->processes.number[i];
		const struct model_process *m = p->ended ? model_process_find(c->model, number) : NULL;
		size_t before = c->model->n_forks;

		if (!m || m->begin != MMS_BEGIN_FORK || !m->parent || m->n_summed || is_child_of_a_fork(c->model, number))
			continue;
		model_fork_seen(c->model, &(struct model_fork){ .parent = m->parent, .child_pid = m->ns_pid,
			.kind = MMS_FORK_CLONE, .t_ns = m->begin_ns });
		struct cow_fork *f = c->model->n_forks > before ? fork_of(c, m->parent, m->begin_ns) : NULL;
		if (!f || f->id)
			continue;
		f->id = f->row.id = c->model->last_fork;
		f->t_ns = m->begin_ns;
		f->watch = MMS_WATCH_CLONE;
		model_fork_find(c->model, f->id)->child = number;
	}
}

void cows_finish(struct cows *c, uint64_t now_ns)
{
	find_clones(c);
	for (size_t i = c->first_open; i < c->n; i++)
		if (!c->forks[i]->over && c->forks[i]->id) {
			find_child(c, c->forks[i]);
			for (int side = 0; side < SIDES; side++) /* the recording ends, and they may go on */
				ask_at_end(c, c->forks[i], side, now_ns);
			end_fork(c, c->forks[i], now_ns);
		}
	c->first_open = 0; /* another database may have failed */
	for (size_t i = 0; i < c->n; i++)
		c->forks[i]->changed = true;
}
