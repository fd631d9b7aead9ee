/*
 * snapshot.c - see snapshot.h.
 *
 *	main loop   asked: waits ......... drains to the stamp, lists . goes on ... rows, answer
 *	our thread        stop . copy . go  reads the copy ............ roots, classes /
 *	process     runs --|           |-- runs ----------------------------------------
 *
 * The process stands for the making of the copy alone.  Where there can be
 * none (no room, a filter of system calls) it stands until it has been read.
 */
#include "collect/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <mmscope/syscall.h>

#include "collect/block_pages.h"
#include "collect/blocks.h"
#include "collect/freeze.h"
#include "collect/page_blob.h"
#include "collect/stand.h"
#include "store/snapshot.h"

enum step { STEP_BEGUN, STEP_FROZEN, STEP_LISTED, STEP_DONE };

struct snapshot {
	struct mms_snapshot_request request;
	int reply_fd, proc_fd;
	pid_t pid;
	struct model_process *process;
	const struct snapshots *all;
	pthread_t thread;
	pthread_mutex_t lock; /* of step */
	pthread_cond_t changed;
	enum step step;

	/* The thread's until FROZEN, the main loop's until LISTED, then the thread's. */
	struct freeze freeze;
	struct copy copy;
	struct blocks blocks;
	struct stand stand;
	struct reach_totals totals;
	uint64_t stamp, read_ns, scan_ns;
	int64_t rss; /* pages; -1: not known */
	struct block_pages *held; /* by area */
	int result, stacks_result; /* -errno */
	const char *why;           /* there was no copy */
	bool frozen;               /* it stood, and the main loop knows */
	struct mms_snapshot_reply reply;
};

static uint64_t clock_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void go_to(struct snapshot *s, enum step step)
{
	pthread_mutex_lock(&s->lock);
	s->step = step;
	pthread_cond_signal(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

static enum step await_step(struct snapshot *s, enum step step)
{
	pthread_mutex_lock(&s->lock);
	while (s->step < step)
		pthread_cond_wait(&s->changed, &s->lock);
	enum step now = s->step;
	pthread_mutex_unlock(&s->lock);
	return now;
}

__attribute__((format(printf, 2, 3))) static void refuse(struct snapshot *s, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	vsnprintf(s->reply.reason, sizeof(s->reply.reason), format, list);
	va_end(list);
}

/* ---- room ---- */

/* Pages that are in memory, and of them those of its own; -1: not known. */
static int64_t resident_pages(int proc_fd, uint64_t *ret_own)
{
	char text[128];
	unsigned long long resident, shared;
	int fd = openat(proc_fd, "statm", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	*ret_own = 0;
	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = 0;
	if (sscanf(text, "%*u %llu %llu", &resident, &shared) != 2)
		return -1;
	*ret_own = resident > shared ? resident - shared : 0;
	return (int64_t)resident;
}

/* What is read is needed once; a copy that lives meanwhile costs as much again
 * when the process writes to all of its pages.  False: refused. */
static bool has_room(struct snapshot *s)
{
	uint64_t need, left = copy_headroom();

	resident_pages(s->proc_fd, &need);
	need <<= 12;
	if (need > left) {
		refuse(s, "reading it takes %llu MiB of memory, and %llu MiB are left", (unsigned long long)need >> 20,
			(unsigned long long)left >> 20);
		return false;
	}
	if (need * 2 > left)
		s->why = "there was no room for a copy of its memory that it might write to";
	return true;
}

/* ---- the thread ---- */

static const char *no_copy(int error)
{
	switch (error) {
	case -EACCES:
		return "a filter of system calls is in force in it";
	case -ENOMEM:
		return "the kernel had no memory for a copy of it";
	case -EAGAIN:
		return "no further process was allowed";
	default:
		return "no copy of it could be made";
	}
}

/* Areas that are not copied (MADV_DONTFORK) may hold pointers. */
static bool is_whole(const struct copy *c, int copy_fd)
{
	struct copy other = { .areas = NULL };
	uint64_t size = 0, size_other = 0;
	int r = copy_list(&other, copy_fd);

	for (size_t i = 0; i < c->n_areas; i++)
		size += c->areas[i].end - c->areas[i].start;
	for (size_t i = 0; r == 0 && i < other.n_areas; i++)
		size_other += other.areas[i].end - other.areas[i].start;
	copy_done(&other);
	return r == 0 && size == size_other;
}

/* While it stands.  The descriptor of the copy's folder in /proc; -1: none. */
static int make_copy(struct snapshot *s)
{
	char path[32];
	int r = s->why ? 0 : freeze_copy(&s->freeze, s->proc_fd), fd = -1;

	if (r < 0)
		s->why = no_copy(r);
	if (!s->freeze.copy)
		return -1;
	snprintf(path, sizeof(path), "/proc/%d", (int)s->freeze.copy);
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0 && is_whole(&s->copy, fd))
		return fd;
	if (fd >= 0)
		close(fd);
	s->why = "parts of its memory are not given to copies";
	return -1;
}

static int freeze_and_read(struct snapshot *s)
{
	uint64_t own;
	int r = freeze_stop(&s->freeze, s->pid, s->proc_fd), fd = -1;

	if (r < 0)
		return r;
	s->stamp = stamp_now(drain_clock(s->all->drain));
	s->rss = resident_pages(s->proc_fd, &own);
	r = copy_list(&s->copy, s->proc_fd);
	if (r == 0)
		fd = make_copy(s);
	uint64_t begin = clock_ns();
	if (r == 0 && fd < 0)
		r = copy_read(&s->copy, s->proc_fd, s->pid);
	freeze_release(&s->freeze);
	if (r < 0) {
		freeze_drop_copy(&s->freeze);
		return r;
	}
	s->frozen = true;
	go_to(s, STEP_FROZEN);
	if (fd >= 0) {
		r = copy_read(&s->copy, fd, s->freeze.copy);
		close(fd);
	}
	freeze_drop_copy(&s->freeze);
	s->read_ns = clock_ns() - begin;
	return r;
}

static bool is_young(const struct snapshot *s, const struct birth *b)
{
	return b->t_ns + s->request.age_ns > s->reply.reply.t_ns;
}

/* What a young block points to may be on its way to somewhere: it counts as
 * reached. */
static int judge_blocks(struct snapshot *s)
{
	struct blocks *b = &s->blocks;
	const struct model_process nowhere = { .roots_sp = 0 }; /* it does not wait for us */

	for (size_t i = 0; i < b->n; i++)
		if (is_young(s, &b->birth[i]))
			copy_word(&s->copy, b->block[i].address);
	int r = copy_roots(&s->copy, &nowhere, NULL, b->block, b->n);
	uint64_t begin = clock_ns();
	if (r == 0)
		r = reach_classify(b->block, b->n, s->copy.pieces, s->copy.n_pieces, s->copy.roots, s->copy.n_roots,
			&s->totals);
	s->scan_ns = clock_ns() - begin;
	return r;
}

static void *work(void *arg)
{
	struct snapshot *s = arg;
	struct mms_header *h = s->all->session->header;

	s->result = freeze_and_read(s);
	if (s->frozen)
		await_step(s, STEP_LISTED);
	if (s->result == 0)
		s->result = s->reply.reply.error;
	if (s->result == 0) {
		s->stacks_result = stand_read(&s->stand, &s->freeze, &s->copy, s->proc_fd);
		s->result = judge_blocks(s);
	}
	go_to(s, STEP_DONE);
	atomic_fetch_add(&h->wake_seq, 1);
	mms_futex_wake(&h->wake_seq, 1);
	return NULL;
}

/* ---- the main loop ---- */

static const struct watch_process *find(const struct watch *w, uint64_t pid)
{
	for (size_t i = 0; i < w->n_processes; i++) {
		const struct watch_process *p = &w->processes[i];

		if (!p->gone_ns && p->proc_fd >= 0 && p->image && (pid == 0 || (uint64_t)p->pid == pid))
			return p;
	}
	return NULL;
}

static void send_reply(int fd, const struct mms_snapshot_reply *reply)
{
	if (send(fd, reply, sizeof(*reply), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		errno = 0; /* who does not wait for the answer has it his way */
	close(fd);
}

static void snapshot_free(struct snapshot *s)
{
	freeze_done(&s->freeze);
	copy_done(&s->copy);
	blocks_done(&s->blocks);
	free(s->held);
	stand_done(&s->stand);
	if (s->proc_fd >= 0)
		close(s->proc_fd);
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->changed);
	free(s);
}

static void drop(struct snapshot *s)
{
	send_reply(s->reply_fd, &s->reply);
	snapshot_free(s);
}

/* The process and its descriptor; false: refused. */
static bool choose(struct snapshot *s, const struct snapshots *all)
{
	const struct watch_process *w = find(all->watch, s->request.request.value);
	uint32_t why = atomic_load(&all->session->header->no_reach);

	s->process = w ? model_process_find(all->model, w->image) : NULL;
	if (!s->process)
		refuse(s, "no recorded process of this number lives");
	else if (all->now)
		refuse(s, "another snapshot is just being made");
	else if (why == MMS_NO_REACH_PARTIAL)
		refuse(s, "not all blocks are recorded, so pointers in the others cannot be followed");
	if (s->reply.reason[0])
		return false;
	s->pid = w->pid;
	s->proc_fd = fcntl(w->proc_fd, F_DUPFD_CLOEXEC, 0);
	return has_room(s);
}

/* The blocks as they were when it stood. */
static void list(struct snapshots *all, struct snapshot *s)
{
	drain_round_until(all->drain, s->stamp);
	s->reply.reply.t_ns = stamp_full_ns(drain_clock(all->drain), s->stamp);
	s->copy.in_flight = model_is_moving(s->process);
	s->process->is_wanted = true;
	int r = blocks_list(&s->blocks, all->model, s->process, &s->copy, all->stacks,
		spaces_owners(all->spaces, s->process->number));
	s->reply.reply.error = r < 0 ? r : copy_frozen_threads(&s->copy, &s->freeze, s->process);
	go_to(s, STEP_LISTED);
}

void snapshot_asked(struct snapshots *all, const struct bell_event *e)
{
	struct snapshot *s = calloc(1, sizeof(*s));

	if (!s) {
		close(e->reply_fd);
		return;
	}
	s->all = all;
	s->reply_fd = e->reply_fd;
	s->proc_fd = -1;
	s->request = e->snapshot;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->changed, NULL);
	if (!choose(s, all) || pthread_create(&s->thread, NULL, work, s) != 0) {
		drop(s);
		return;
	}
	all->now = s;
	if (await_step(s, STEP_FROZEN) == STEP_FROZEN)
		list(all, s);
}

static const char *failure(int error)
{
	switch (error) {
	case -EPERM:
	case -EACCES:
		return "it may not be looked at from outside (ptrace is refused, or a debugger is there)";
	case -ETIMEDOUT:
		return "one of its threads did not stop within a second";
	case -EFBIG:
	case -ENOMEM:
		return "there was not enough memory for it";
	case -ESRCH:
		return "it has just ended";
	default:
		return strerror(-error);
	}
}

/* ---- rows ---- */

static const char *verdict_word(const struct snapshot *s, size_t i)
{
	static const char *const words[] = { "young", "reachable", "possible", "indirect", "definite" };
	uint8_t verdict = s->blocks.block[i].verdict;

	return is_young(s, &s->blocks.birth[i]) || verdict > REACH_DEFINITE ? words[0] : words[verdict];
}

struct sum {
	uint32_t stack;
	const char *verdict; /* NULL: empty slot */
	uint64_t blocks, bytes, touched, resident;
};

struct sums {
	struct sum *slot;
	size_t n, mask; /* slots - 1 */
};

static struct sum *sum_at(const struct sums *s, uint32_t stack, const char *verdict)
{
	size_t at = (stack * 0x9e3779b97f4a7c15ull >> 20) + (size_t)verdict[0];

	for (at &= s->mask; s->slot[at].verdict; at = (at + 1) & s->mask)
		if (s->slot[at].stack == stack && strcmp(s->slot[at].verdict, verdict) == 0)
			break;
	return &s->slot[at];
}

static bool sums_grow(struct sums *s)
{
	struct sums bigger = { .mask = s->mask * 2 + 1 };

	if (s->n * 2 <= s->mask)
		return true;
	bigger.slot = calloc(bigger.mask + 1, sizeof(*bigger.slot));
	if (!bigger.slot)
		return false;
	for (size_t i = 0; i <= s->mask; i++)
		if (s->slot[i].verdict)
			*sum_at(&bigger, s->slot[i].stack, s->slot[i].verdict) = s->slot[i];
	bigger.n = s->n;
	free(s->slot);
	*s = bigger;
	return true;
}

/* The pages that the block holds, told to the area in which it begins too. */
static struct block_pages hold(struct snapshot *s, struct block_pages_pass *pass, size_t *area,
	const struct reach_block *b)
{
	struct block_pages x = block_pages_next(pass, b->address, b->size);

	while (*area < s->copy.n_areas && s->copy.areas[*area].end <= b->address)
		++*area;
	if (*area < s->copy.n_areas && s->copy.areas[*area].start <= b->address) {
		s->held[*area].resident += x.resident;
		s->held[*area].pages += x.pages;
	}
	return x;
}

static int write_sites(struct snapshot *s, struct store *store, uint64_t id)
{
	struct sums sums = { .mask = 255, .slot = calloc(256, sizeof(struct sum)) };
	struct block_pages_pass pass = { .copy = &s->copy };
	size_t area = 0;

	s->held = calloc(s->copy.n_areas + 1, sizeof(*s->held));
	int r = sums.slot && s->held ? 0 : -ENOMEM;
	for (size_t i = 0; r == 0 && i < s->blocks.n; i++) {
		struct sum *sum = sum_at(&sums, s->blocks.birth[i].stack, verdict_word(s, i));
		const struct block_pages x = hold(s, &pass, &area, &s->blocks.block[i]);

		sums.n += !sum->verdict;
		*sum = (struct sum){ s->blocks.birth[i].stack, verdict_word(s, i), sum->blocks + 1,
			sum->bytes + s->blocks.block[i].size, sum->touched + x.touched, sum->resident + x.resident };
		if (!sums_grow(&sums))
			r = -ENOMEM;
	}
	for (size_t i = 0; r == 0 && i <= sums.mask; i++) {
		const struct sum *v = &sums.slot[i];

		if (v->verdict)
			r = store_snapshot_site(store, id, &(struct store_snapshot_site){ v->stack, v->verdict, v->blocks,
				v->bytes, v->touched, v->resident }, s->all->stacks);
	}
	free(sums.slot);
	return r;
}

#define AREAS_MAX 4096u
#define FRAMES_MAX 16384u

#define STATES_MAX (1u << 20) /* bytes of a snapshot */

/* The states of the area's pages; *run goes on from area to area. */
static bool make_states(const struct copy *c, const struct copy_area *a, size_t *run, struct page_blob *ret)
{
	page_blob_begin(ret, a->start >> 12);
	for (; *run < c->n_runs && c->runs[*run].first < a->end >> 12; ++*run)
		if (c->runs[*run].first >= a->start >> 12)
			page_runs_add(&ret->runs, c->runs[*run].first, c->runs[*run].n, c->runs[*run].state);
	return page_blob_end(ret);
}

static int write_areas(const struct snapshot *s, struct store *store, uint64_t id)
{
	static const char *const kinds[] = { [COPY_OTHER] = "other", [COPY_BRK] = "heap", [COPY_STACK] = "stack",
		[COPY_LIBC] = "other" };
	size_t run = 0, bytes = 0;
	int r = 0;

	for (size_t i = 0; r == 0 && i < s->copy.n_areas && i < AREAS_MAX; i++) {
		const struct copy_area *a = &s->copy.areas[i];
		struct page_blob blob;
		bool known = make_states(&s->copy, a, &run, &blob) && bytes + blob.n <= STATES_MAX;

		bytes += known ? blob.n : 0;
		r = store_snapshot_area(store, id, &(struct store_snapshot_area){ a->start, a->end, a->resident,
			kinds[a->kind], !known ? NULL : blob.n ? (const void *)blob.bytes : "", blob.n,
			s->held[i].resident, s->held[i].pages });
		page_blob_free(&blob);
	}
	return r;
}

static int write_rest(const struct snapshot *s, struct store *store, uint64_t id)
{
	int r = write_areas(s, store, id);

	for (size_t i = 0; r == 0 && i < s->stand.n && i < FRAMES_MAX; i++) {
		const struct stand_frame *f = &s->stand.frame[i];

		r = store_snapshot_frame(store, id, &(struct store_snapshot_frame){ f->tid, f->depth, f->pc, f->offset,
			f->function, f->module });
	}
	return r;
}

static void write_rows(struct snapshot *s, struct store *store)
{
	const struct store_snapshot row = { .name = s->request.name, .process = s->process->number,
		.t_ns = s->reply.reply.t_ns, .method = s->why ? "stopped" : "copy", .why = s->why,
		.pause_ns = s->freeze.pause_ns, .read_ns = s->read_ns, .scan_ns = s->scan_ns,
		.scanned_bytes = s->totals.scanned_bytes, .age_ns = s->request.age_ns, .threads = s->freeze.n_threads,
		.stacks_why = s->stacks_result == -ENOENT ? "libunwind is not installed" : NULL,
		.rss = s->rss < 0 ? -1 : s->rss << 12 };
	int r = store ? 0 : -EIO;
	uint64_t id = r ? 0 : store_snapshot(store, &row, &r);

	if (id)
		r = write_sites(s, store, id);
	if (id && r == 0)
		r = write_rest(s, store, id);
	if (r == -EEXIST)
		refuse(s, "there is a snapshot of this name already");
	else if (r < 0)
		refuse(s, "the database cannot be written");
	s->reply.id = r < 0 ? 0 : id;
}

static bool is_done(struct snapshot *s)
{
	pthread_mutex_lock(&s->lock);
	bool done = s->step == STEP_DONE;
	pthread_mutex_unlock(&s->lock);
	return done;
}

bool snapshot_round(struct snapshots *all, struct store *store)
{
	struct snapshot *s = all->now;

	if (!s || !is_done(s))
		return false;
	pthread_join(s->thread, NULL);
	if (s->result < 0)
		refuse(s, "%s", failure(s->result));
	else
		write_rows(s, store);
	return true;
}

void snapshot_answer(struct snapshots *all)
{
	struct snapshot *s = all->now;

	all->now = NULL;
	s->reply.reply.error = 0;
	drop(s);
}

void snapshot_finish(struct snapshots *all, struct store *store)
{
	if (!all->now)
		return;
	await_step(all->now, STEP_DONE);
	if (snapshot_round(all, store))
		snapshot_answer(all);
}
