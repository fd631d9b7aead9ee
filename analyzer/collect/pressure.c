/*
 * pressure.c - limits and debts of the living processes, tick by tick.
 *
 * Processes of one cgroup share a place, which is read once a tick.  The rate
 * follows the danger: a tick comes when a 250th of the time left has
 * passed, between 20 ms and a second, and four times a second when little is
 * left at all.  Kept descriptors cost three a process,
 * so at most PROCESSES_MAX are looked at; the rest is a row of coverage.
 * Called by collect.c, in its thread; reads only.
 */
#include "collect/pressure.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collect/cgroups.h"
#include "collect/debts.h"
#include "collect/limit.h"
#include "collect/limit_rows.h"
#include "collect/spaces.h"
#include "collect/tasks.h"
#include "collect/victims.h"
#include "mirror/mm.h"
#include "store/writer.h"

#define MS 1000000ull
#define TICK_MAX (1000 * MS)
#define TICK_MIN (20 * MS)
#define TICK_SHORT (250 * MS)
#define TICK_YOUNG (100 * MS) /* while the recording is younger than 16 of them */
#define LOOKS_AHEAD 250 /* until the nearest limit is reached, as far as TICK_MIN allows */
#define SHORT_SHARE 16 /* a sixteenth of a limit is left: four ticks a second */
#define PROCESSES_MAX 128
#define STACK_DEFAULT (8u << 20) /* of a thread, where the limit is not larger */
#define PLACES_MAX 32
#define COST_SHARE 200 /* looks at pages and at all processes: half a per cent of the time */
#define VICTIMS_EVERY (10000 * MS)
#define VICTIMS_NEAR 4 /* each second when a quarter of the limit is left */
#define HUGE_SPLIT 512 /* a split huge page needs a page table: a 512th of it */
#define MOVED_EVERY 16 /* ticks between looks for a change of cgroup */
#define TASKS_EVERY 16 /* and at the number of threads, while there may be many more */
#define TASKS_NEAR 4   /* a quarter of those there may be are left: at each tick */

struct place {
	struct cgroup_place *cgroups;
	uint64_t read_ns;
	struct limit_points now, before;
	struct limit_commit commit;
	uint64_t before_ns;
	uint64_t victims_ns, victims_cost_ns;
	unsigned n_reads;
	bool tasks_near;
};

/* What is kept of a living process; by its index in the watch. */
struct look {
	bool open, over;
	unsigned place; /* index */
	unsigned ticks;
	bool executed; /* as was told by the tick before; what came may not join */
	struct limit_process limits;
	struct limit_points now, before;
	uint64_t now_ns, before_ns;
	uint64_t image; /* that the rows are of */
	bool family;    /* a process that shares its pages lives */
	bool was_family; /* at the tick before */
	bool looked;    /* `pages` is valid */
	struct debts pages;
	uint64_t pages_ns;
	uint64_t cow, cow_huge; /* of the family */
};

struct pressure {
	struct place places[PLACES_MAX];
	unsigned n_places;
	struct look *looks;
	size_t n_looks, n_open;
	size_t n_failures; /* of the model, that were looked at */
	uint64_t n_left_out, n_told;
	uint64_t tick_ns; /* from the last look to the next; 0: there was none */
	bool hidden_told;
};

struct pressure *pressure_new(void)
{
	return calloc(1, sizeof(struct pressure));
}

static void close_look(struct pressure *p, struct look *l)
{
	if (!l->open)
		return;
	limit_process_done(&l->limits);
	l->open = false;
	p->n_open--;
}

void pressure_free(struct pressure *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->n_looks; i++)
		close_look(p, &p->looks[i]);
	for (unsigned i = 0; i < p->n_places; i++)
		cgroup_place_close(p->places[i].cgroups);
	free(p->looks);
	free(p);
}

/* --- places and processes ------------------------------------------------------- */

static bool read_cgroup(const struct watch_process *w, char *text, size_t size)
{
	int fd = openat(w->proc_fd, "cgroup", O_RDONLY | O_CLOEXEC);

	limit_text(fd, text, size);
	if (fd >= 0)
		close(fd);
	return text[0] != 0;
}

/* The place of this text; makes it.  False: there is no room for more. */
static bool find_place(struct pressure *p, const char *text, unsigned *ret)
{
	for (unsigned i = 0; i < p->n_places; i++) {
		if (strcmp(cgroup_place_text(p->places[i].cgroups), text) == 0) {
			*ret = i;
			return true;
		}
	}
	if (p->n_places == PLACES_MAX)
		return false;
	p->places[p->n_places].cgroups = cgroup_place_open("", text);
	if (!p->places[p->n_places].cgroups)
		return false;
	*ret = p->n_places++;
	return true;
}

static bool reserve_looks(struct pressure *p, size_t n)
{
	if (n <= p->n_looks)
		return true;
	size_t room = n + n / 2 + 16;
	struct look *more = reallocarray(p->looks, room, sizeof(*more));

	if (!more)
		return false;
	memset(more + p->n_looks, 0, (room - p->n_looks) * sizeof(*more));
	p->looks = more;
	p->n_looks = room;
	return true;
}

/* One that is ending has left its cgroup, as the kernel tells it: it was not
 * moved.  Its memory has gone before. */
static bool is_ending(const struct look *l)
{
	struct mms_mm mm = { .total = 0 };

	mm_read_status(l->limits.folder_fd, "status", &mm);
	return mm.total == 0;
}

/* Opens a process, or follows it into another cgroup. */
static bool settle(struct pressure *p, struct look *l, const struct watch_process *w)
{
	char text[4096];

	if (l->open && l->image == w->image && l->ticks % MOVED_EVERY)
		return true;
	if (!l->open && !w->mm.total) /* just ending: the kernel names another cgroup then */
		return false;
	if (!l->open && p->n_open == PROCESSES_MAX) {
		p->n_left_out++;
		return false;
	}
	if (w->proc_fd < 0 || !read_cgroup(w, text, sizeof(text)))
		return l->open;
	if (l->open && strcmp(text, cgroup_place_text(p->places[l->place].cgroups)) && is_ending(l))
		return true;
	if (!find_place(p, text, &l->place))
		return l->open;
	l->limits.task_size = 0; /* it may have become a 32-bit program that did not join */
	if (!l->open) { /* its place may have been another's */
		*l = (struct look){.place = l->place};
		limit_process_init(&l->limits, w->proc_fd);
		l->open = true;
		p->n_open++;
	}
	return true;
}

/* --- reading and storing ---------------------------------------------------------- */

/* How many more threads there may be. */
static void read_tasks(struct place *place)
{
	size_t first = place->now.n;

	if (!place->tasks_near && place->n_reads++ % TASKS_EVERY)
		return;
	tasks_read("", cgroup_place_text(place->cgroups), &place->now);
	place->tasks_near = false;
	for (size_t i = first; i < place->now.n; i++) {
		const struct limit_point *l = &place->now.at[i];

		place->tasks_near = place->tasks_near || limit_headroom(l) < (int64_t)(l->limit / TASKS_NEAR);
	}
}

static void read_place(struct pressure *p, unsigned i, struct store *store, uint64_t now_ns)
{
	struct place *place = &p->places[i];

	if (place->read_ns == now_ns)
		return;
	place->before = place->now;
	place->before_ns = place->read_ns;
	place->now.n = 0;
	place->read_ns = now_ns;
	cgroup_place_read(place->cgroups, &place->now, &place->commit);
	read_tasks(place);
	limit_rows(store, i, 0, now_ns, &place->now, &place->before);
}

/* Thread stacks, and what the main stack may grow by. */
static uint64_t stack_debt(const struct look *l, const struct mms_mm *mm)
{
	uint64_t bytes = 0;

	if (mm->users > 1 && !l->looked)
		return LIMIT_NONE;
	for (size_t i = 0; i < l->now.n; i++) {
		if (l->now.at[i].kind == LIMIT_STACK)
			bytes = limit_debt(l->now.at[i].limit, l->now.at[i].usage);
	}
	return bytes + (mm->users > 1 ? l->pages.stack : 0);
}

static void store_debts(struct store *store, struct spaces *spaces, const struct look *l,
	const struct watch_process *w, uint64_t now_ns)
{
	const struct mms_mm *mm = &w->mm;
	bool cow_known = !l->family || l->looked;
	struct store_debt row = {.process = w->image, .t_ns = now_ns, .place = l->place + 1,
		.touch = limit_debt(mm->data, mm->rss_anon + mm->swap), .stack = stack_debt(l, mm),
		.cow = cow_known ? l->cow : LIMIT_NONE, .cow_huge = cow_known ? l->cow_huge : LIMIT_NONE,
		.page_tables = mm->page_table, .private_bytes = mm->data + mm->stack, .threads = mm->users,
		.swap = mm->swap, .noreserve = LIMIT_NONE};
	uint64_t noreserve;

	if (spaces_noreserve(spaces, w->image, &noreserve))
		row.noreserve = noreserve < row.touch ? noreserve : row.touch;
	if (store)
		store_debt(store, &row);
}

/* --- pages: stacks and copy-on-write ---------------------------------------------- */

/* Of a thread that asks for no size of its own (nptl/allocatestack.c). */
static uint64_t thread_stack_most(const struct look *l)
{
	uint64_t most = STACK_DEFAULT;

	for (size_t i = 0; i < l->now.n; i++) {
		if (l->now.at[i].kind == LIMIT_STACK && l->now.at[i].limit > most)
			most = l->now.at[i].limit;
	}
	return most;
}

static void look_at_pages(struct look *l, const struct mms_mm *mm, struct spaces *spaces, uint64_t now_ns)
{
	if (!l->family && mm->users < 2)
		return;
	if (l->looked && now_ns - l->pages_ns < l->pages.cost_ns * COST_SHARE)
		return;
	struct debts_ask ask = { .folder_fd = l->limits.folder_fd, .shared = l->family,
		.stack_most = thread_stack_most(l), .owners = spaces_owners(spaces, l->image) };
	l->looked = debts_look(&ask, &l->pages);
	l->pages_ns = now_ns;
}

static struct look *look_of_image(struct pressure *p, const struct watch *w, uint64_t image)
{
	for (size_t i = 0; i < w->n_processes && i < p->n_looks; i++) {
		if (p->looks[i].open && !w->processes[i].gone_ns && w->processes[i].image == image)
			return &p->looks[i];
	}
	return NULL;
}

/* Who shares pages with whom: a fork of which both sides live in the image
 * that they had.  A new member is looked at at once. */
static void find_families(struct pressure *p, const struct watch *w)
{
	for (size_t i = 0; i < p->n_looks; i++) {
		p->looks[i].was_family = p->looks[i].family;
		p->looks[i].family = false;
	}
	for (size_t i = 0; i < w->model->n_forks; i++) {
		const struct model_fork *f = &w->model->forks[i];
		struct look *parent = f->child ? look_of_image(p, w, f->parent) : NULL;
		struct look *child = parent ? look_of_image(p, w, f->child) : NULL;

		if (child)
			parent->family = child->family = true;
	}
	for (size_t i = 0; i < p->n_looks; i++) {
		if (p->looks[i].family && !p->looks[i].was_family)
			p->looks[i].looked = false;
	}
}

/* A small page shared by n is copied n - 1 times at most, the last writer
 * keeps it; of a huge page every writer makes small copies while the whole
 * stays charged.  All live families count together. */
static void add_up_families(struct pressure *p)
{
	uint64_t small = 0, largest = 0, huge = 0;

	for (size_t i = 0; i < p->n_looks; i++) {
		const struct look *l = &p->looks[i];

		if (!l->open || !l->family || !l->looked)
			continue;
		small += l->pages.shared_small;
		largest = l->pages.shared_small > largest ? l->pages.shared_small : largest;
		huge += l->pages.shared_huge + l->pages.shared_huge / HUGE_SPLIT;
	}
	for (size_t i = 0; i < p->n_looks; i++) {
		p->looks[i].cow = p->looks[i].family ? small - largest + huge : 0;
		p->looks[i].cow_huge = p->looks[i].family ? huge : 0;
	}
}

/* --- victims --------------------------------------------------------------------- */

/* Who is killed when it is hit is asked of these alone. */
static bool kills(enum limit_kind kind)
{
	return kind == LIMIT_CGROUP1 || kind == LIMIT_CGROUP1_SWAP || kind == LIMIT_CGROUP2 || kind == LIMIT_HOST;
}

static const struct limit_point *nearest(const struct limit_points *points)
{
	const struct limit_point *least = NULL;

	for (size_t i = 0; i < points->n; i++) {
		const struct limit_point *l = &points->at[i];

		if (kills(l->kind) && (!least || limit_headroom(l) < limit_headroom(least)))
			least = l;
	}
	return least;
}

static void rank_victims(struct pressure *p, unsigned i, struct store *store, uint64_t now_ns)
{
	struct place *place = &p->places[i];
	const struct limit_point *l = nearest(&place->now);
	struct victim victims[VICTIMS_MAX];
	bool v2;

	if (!l || !store)
		return;
	bool near = limit_headroom(l) < (int64_t)(l->limit / VICTIMS_NEAR);
	uint64_t every = near ? TICK_MAX : VICTIMS_EVERY;
	every = every < place->victims_cost_ns * COST_SHARE ? place->victims_cost_ns * COST_SHARE : every;
	if (place->victims_ns && now_ns - place->victims_ns < every)
		return;
	uint64_t begin = limit_clock_ns();
	size_t n = victims_rank(cgroup_place_folder(place->cgroups, l->path, &v2), l->limit, victims);
	place->victims_cost_ns = limit_clock_ns() - begin;
	place->victims_ns = now_ns;
	for (size_t k = 0; k < n; k++) {
		struct store_victim row = {.place = i + 1, .t_ns = now_ns, .path = l->path, .rank = (int)k + 1,
			.pid = victims[k].pid, .badness = victims[k].badness, .adjustment = victims[k].adjustment};

		memcpy(row.name, victims[k].name, sizeof(row.name));
		store_victim(store, &row);
	}
}

static bool was_refused(const struct pressure *p, const struct look *l, const struct model *m)
{
	for (size_t i = p->n_failures; i < m->n_failures; i++)
		if (m->failures[i].process == l->image)
			return true;
	return false;
}

/* A thread or a process too many: who said so is seen now. */
static void look_at_tasks(const struct pressure *p, struct look *l, const struct model *m)
{
	for (size_t i = p->n_failures; i < m->n_failures; i++) {
		const struct model_failure *f = &m->failures[i];

		if (f->process != l->image || f->size || f->error != EAGAIN)
			continue;
		tasks_read_user("", l->limits.folder_fd, &l->now);
		tasks_read("", cgroup_place_text(p->places[l->place].cgroups), &l->now);
		return;
	}
}

static void read_process(struct pressure *p, struct look *l, const struct watch_process *w, struct store *store,
	struct spaces *spaces, const struct model *model, uint64_t now_ns)
{
	if (!settle(p, l, w))
		return;
	read_place(p, l->place, store, now_ns);
	if (l->image != w->image) { /* an exec: the rows are another's */
		l->now.n = 0;
		l->limits.doubted = true;
	}
	const struct model_process *m = model_process_find(model, w->image);
	bool executed = m && m->end == MMS_END_EXEC;
	if (executed != l->executed)
		l->limits.task_size = 0;
	if (executed != l->executed || was_refused(p, l, model))
		l->limits.doubted = true;
	l->executed = executed;
	l->image = w->image;
	l->before = l->now;
	l->before_ns = l->now_ns;
	l->now.n = 0;
	l->now_ns = now_ns;
	l->ticks++;
	l->limits.n_calls = spaces_calls(spaces, w->image);
	if (!limit_process_read(&l->limits, now_ns, &w->mm, &p->places[l->place].commit, &l->now))
		return;
	look_at_tasks(p, l, model);
	limit_rows(store, l->place, w->image, now_ns, &l->now, &l->before);
	look_at_pages(l, &w->mm, spaces, now_ns);
}

/* Where the process is, or was when it was looked at last; else where we are: who
 * was over before is as a rule the program that started us. */
static bool place_of(struct pressure *p, struct watch *w, uint64_t image, unsigned *ret, bool *ret_looked)
{
	const struct watch_image *im = watch_image_find(w, image);
	const struct look *l = im && im->process && im->process <= p->n_looks ? &p->looks[im->process - 1] : NULL;
	char text[4096];

	*ret_looked = l && l->image == image && l->now_ns;
	if (l && l->ticks) {
		*ret = l->place;
		return true;
	}
	int fd = limit_open("/proc/self", "cgroup");
	limit_text(fd, text, sizeof(text));
	if (fd >= 0)
		close(fd);
	return find_place(p, text, ret);
}

void pressure_refused(struct pressure *p, struct watch *w, struct store *store, uint64_t now_ns)
{
	for (size_t i = p->n_failures; i < w->model->n_failures; i++) {
		const struct model_failure *f = &w->model->failures[i];
		unsigned place;
		bool looked;

		if (!(f->own.mm.total || f->huge) || !place_of(p, w, f->process, &place, &looked))
			continue;
		limit_rows_refused(store, place, f);
		if (looked || !f->own.mm.total)
			continue;
		read_place(p, place, store, now_ns);
		limit_rows_owed(store, place, f, now_ns);
	}
	p->n_failures = w->model->n_failures;
}

/* --- when to look again ----------------------------------------------------------- */

/* Little is left: a step of a flat program may be enough. */
static bool is_short(const struct place *at)
{
	const struct limit_point *l = nearest(&at->now);

	return l && limit_headroom(l) < (int64_t)(l->limit / SHORT_SHARE);
}

/* Where usage falls for a moment nothing is known of the pace: then not at once as
 * seldom as if it were flat. */
static uint64_t next_tick(struct pressure *p, const struct watch *w, uint64_t now_ns)
{
	double left = 1e9;
	uint64_t young = now_ns / 16 < TICK_YOUNG ? TICK_YOUNG : now_ns / 16, longest = TICK_MAX;

	for (unsigned i = 0; i < p->n_places; i++) {
		const struct place *at = &p->places[i];
		double s = at->before_ns && at->read_ns == now_ns ?
			limit_seconds_left(&at->now, &at->before, (double)(at->read_ns - at->before_ns) / 1e9) : 1e9;
		left = s < left ? s : left;
		if (at->read_ns == now_ns && is_short(at))
			longest = TICK_SHORT;
	}
	for (size_t i = 0; i < w->n_processes && i < p->n_looks; i++) {
		const struct look *l = &p->looks[i];
		double s = l->open && l->before_ns && l->now_ns == now_ns ?
			limit_seconds_left(&l->now, &l->before, (double)(l->now_ns - l->before_ns) / 1e9) : 1e9;
		left = s < left ? s : left;
	}
	double ns = left * 1e9 / LOOKS_AHEAD;
	uint64_t due = ns < (double)TICK_MIN ? TICK_MIN : ns > (double)longest ? longest : (uint64_t)ns;
	due = due < young ? due : young;
	p->tick_ns = p->tick_ns && due > 2 * p->tick_ns ? 2 * p->tick_ns : due;
	return p->tick_ns;
}

/* Ancestors that cannot be seen may have nearer limits. */
static void tell_hidden(struct pressure *p, struct store *store)
{
	for (unsigned i = 0; store && !p->hidden_told && i < p->n_places; i++) {
		if (cgroup_place_hidden(p->places[i].cgroups))
			p->hidden_told = store_meta_number(store, "own_cgroup_only", 1) == 0;
	}
}

/* A program that is asked to make a copy of itself (--cow witness) looks there. */
static void tell_headroom(const struct pressure *p, const struct watch *w)
{
	uint64_t least = 0;

	for (unsigned i = 0; i < p->n_places; i++) {
		const struct limit_point *l = nearest(&p->places[i].now);
		uint64_t left = !l ? 0 : limit_headroom(l) > 0 ? (uint64_t)limit_headroom(l) : 1;
		least = left && (!least || left < least) ? left : least;
	}
	atomic_store_explicit(&w->session->header->headroom, least, memory_order_relaxed);
}

uint64_t pressure_take(struct pressure *p, struct watch *w, struct store *store, struct spaces *spaces,
	uint64_t now_ns)
{
	if (!reserve_looks(p, w->n_processes))
		return TICK_MAX;
	p->n_left_out = 0;
	find_families(p, w);
	for (size_t i = 0; i < w->n_processes; i++) {
		if (!w->processes[i].gone_ns && w->processes[i].image)
			read_process(p, &p->looks[i], &w->processes[i], store, spaces, w->model, now_ns);
	}
	pressure_refused(p, w, store, now_ns);
	add_up_families(p);
	for (size_t i = 0; i < w->n_processes; i++) {
		if (p->looks[i].open && p->looks[i].now.n && p->looks[i].now_ns == now_ns)
			store_debts(store, spaces, &p->looks[i], &w->processes[i], now_ns);
	}
	for (unsigned i = 0; i < p->n_places; i++) {
		if (p->places[i].read_ns == now_ns)
			rank_victims(p, i, store, now_ns);
	}
	tell_headroom(p, w);
	tell_hidden(p, store);
	if (p->n_left_out > p->n_told && store) {
		p->n_told = p->n_left_out;
		store_coverage(store, 0, "limits_left_out", p->n_told,
			"Processes whose own limits were not read, because 128 others were already looked at.");
	}
	return next_tick(p, w, now_ns);
}

void pressure_gone(struct pressure *p, struct watch *w, struct store *store, uint64_t now_ns)
{
	for (size_t i = 0; i < w->n_processes && i < p->n_looks; i++) {
		struct look *l = &p->looks[i];

		if (!l->open || l->over || !w->processes[i].gone_ns)
			continue;
		l->over = true;
		read_place(p, l->place, store, now_ns);
		close_look(p, l);
	}
}
