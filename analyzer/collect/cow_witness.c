/*
 * cow_witness.c - a fork's witness, seen from outside.
 *
 *	parent's areas -> what the witness holds of them: armed, for both sides
 *	a side stands still, or ends -> its pages against the witness's, byte by byte
 *	the fork is over -> the witness is killed
 *
 * The program made it just before the fork (preload/wrap/witness.c): it is
 * frozen, so it can be read at any time.  Called by cow.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <mmscope/syscall.h>

#include "collect/cow_private.h"
#include "mirror/cow_bits.h"

#define PAGE 4096u
#define PAGES_AT_ONCE 64u
#define LATER_NS 1000000000ull /* for what the ring still has of a process that waits */
#define LATER_ROUNDS 20u /* and these: one may take long, and read nothing of it */

static int open_of(int pid, const char *name)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* A witness has had its name since before it was born; another process may
 * have its pid by now. */
static int open_pidfd(int pid)
{
	char name[32] = "";
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0), fd = open_of(pid, "comm");
	ssize_t n = fd >= 0 ? read(fd, name, sizeof(name) - 1) : 0;

	if (fd >= 0)
		close(fd);
	if (pidfd >= 0 && (n <= 0 || strcmp(name, MMS_WITNESS_NAME "\n") != 0)) {
		close(pidfd);
		return -ESRCH;
	}
	return pidfd < 0 ? -errno : pidfd;
}

/* It says itself that we may read it, where that has to be said: it may be
 * just about to. */
static int open_mem(int pid)
{
	int fd = open_of(pid, "mem");

	for (int i = 0; i < 20 && (fd == -EACCES || fd == -EPERM); i++) {
		usleep(1000);
		fd = open_of(pid, "mem");
	}
	return fd;
}

/* ---- what it holds ---- */

static void one_run(void *arg, uint64_t first, uint64_t n, unsigned categories)
{
	struct cow_fork *f = arg;

	if (categories & IS_SWAPPED)
		return; /* whoever reads it is alone with it */
	for (int side = 0; side < SIDES; side++) {
		page_plane_set(&f->side[side].plane[COW_ARMED], first, n);
		if (categories & IS_HUGE)
			page_plane_set(&f->side[side].plane[COW_HUGE], first, n);
	}
}

static int look_at(struct cow_fork *f)
{
	static struct page_region region[2048];
	static uint64_t entry[8192];
	int fd = open_of(f->witness.pid, "pagemap"), r = fd < 0 ? fd : 0;
	struct cow_bits bits = { .pagemap_fd = fd, .entry = entry, .n_entries = sizeof(entry) / sizeof(entry[0]),
		.region = region, .n_regions = sizeof(region) / sizeof(region[0]), .run = one_run, .arg = f };

	for (size_t i = 0; i < f->n_areas && r == 0; i++) {
		struct mms_cow_area *a = &f->areas[i].a;
		uint64_t armed = f->side[PARENT].plane[COW_ARMED].n_set, huge = f->side[PARENT].plane[COW_HUGE].n_set;
		r = cow_bits_range(&bits, a->start, a->end);
		a->armed = f->side[PARENT].plane[COW_ARMED].n_set - armed;
		a->huge = (uint32_t)(f->side[PARENT].plane[COW_HUGE].n_set - huge);
	}
	if (fd >= 0)
		close(fd);
	f->witness.no_zero = bits.no_zero;
	f->n_swapped = bits.n_swapped;
	return r;
}

/* The blocks that lie on shared pages, as they were at the fork. */
static int find_blocks(struct cows *c, struct cow_fork *f)
{
	struct model_process *parent = model_process_find(c->model, f->parent);
	struct cow_sets sets = { .page_size = PAGE };
	struct cow_run *shared = cow_runs_of(&f->side[PARENT].plane[COW_ARMED], &sets.n_shared);

	sets.shared = shared;
	f->witness.sites = shared ? cow_sites_new(&sets) : NULL;
	free(shared);
	if (!f->witness.sites)
		return -ENOMEM;
	if (parent && !parent->sampled)
		model_blocks_at(parent, f->t_ns, cow_sites_add, f->witness.sites);
	return 0;
}

int cow_witness_open(struct cows *c, struct cow_fork *f)
{
	struct cow_witness *w = &f->witness;

	w->opened = true;
	w->pidfd = open_pidfd(w->pid);
	w->mem_fd = w->pidfd < 0 ? w->pidfd : open_mem(w->pid);
	int r = w->mem_fd < 0 ? w->mem_fd : look_at(f);
	if (r == 0)
		r = find_blocks(c, f);
	if (r < 0)
		cow_witness_end(f);
	return r;
}

void cow_witness_end(struct cow_fork *f)
{
	struct cow_witness *w = &f->witness;

	if (w->pid && !w->opened)
		w->pidfd = open_pidfd(w->pid);
	if (w->pidfd >= 0) {
		syscall(SYS_pidfd_send_signal, w->pidfd, SIGKILL, NULL, 0);
		close(w->pidfd);
	}
	if (w->mem_fd >= 0)
		close(w->mem_fd);
	cow_sites_free(w->sites);
	*w = (struct cow_witness){ .pidfd = -1, .mem_fd = -1, .opened = true };
}

/* ---- what changed ---- */

static void compare_pages(struct cow_fork *f, int mem_fd, uint64_t page, size_t n)
{
	static char before[PAGES_AT_ONCE * PAGE], after[PAGES_AT_ONCE * PAGE];
	off_t at = (off_t)(page * PAGE);
	ssize_t old = pread(f->witness.mem_fd, before, n * PAGE, at), new = pread(mem_fd, after, n * PAGE, at);
	ssize_t both = old < new ? old : new; /* less: it was unmapped just now */

	for (size_t i = 0; both > 0 && i < (size_t)both / PAGE; i++)
		cow_sites_diff(f->witness.sites, page + i, before + i * PAGE, after + i * PAGE);
}

void cow_witness_compare(struct cows *c, struct cow_fork *f, int side)
{
	const struct watch_process *p = cow_outside(c, f->side[side].process);
	struct page_plane there = { .slot = NULL };
	struct page_run r = { .first = 0 };

	if (!p || !f->witness.sites)
		return;
	int mem_fd = openat(p->proc_fd, "mem", O_RDONLY | O_CLOEXEC);
	if (mem_fd < 0)
		return;
	cow_plane_add_common(&there, &f->side[side].plane[COW_WRITTEN], &cow_process_find(c, f->side[side].process)->there);
	while (page_plane_run(&there, r.first + r.n, 1ull << 36, &r))
		for (uint64_t done = 0; done < r.n; done += PAGES_AT_ONCE)
			compare_pages(f, mem_fd, r.first + done, r.n - done < PAGES_AT_ONCE ? r.n - done : PAGES_AT_ONCE);
	cow_plane_free(&there);
	close(mem_fd);
}

static void compare_joined(const struct cow_fork *f, int mem_fd, uint64_t page, size_t n, struct page_plane *ret)
{
	static char before[PAGES_AT_ONCE * PAGE], after[PAGES_AT_ONCE * PAGE];
	off_t at = (off_t)(page * PAGE);
	ssize_t old = pread(f->witness.mem_fd, before, n * PAGE, at), new = pread(mem_fd, after, n * PAGE, at);
	ssize_t both = old < new ? old : new;

	for (size_t i = 0; both > 0 && i < (size_t)both / PAGE; i++)
		if (memcmp(before + i * PAGE, after + i * PAGE, PAGE) != 0)
			page_plane_set(ret, page + i, 1);
}

void cow_witness_joined(const struct cows *c, struct cow_fork *f, int side, const struct page_plane *joined, bool newest)
{
	const struct watch_process *p = cow_outside(c, f->side[side].process);
	struct cow_side *s = &f->side[side];
	struct page_plane doubt = { .slot = NULL }, differ = { .slot = NULL };
	struct page_run r = { .first = 0 };
	int mem_fd = p && f->witness.mem_fd >= 0 ? openat(p->proc_fd, "mem", O_RDONLY | O_CLOEXEC) : -1;

	cow_plane_add_common(&doubt, joined, &s->plane[COW_ARMED]);
	cow_plane_take_away(&doubt, &s->plane[COW_WRITTEN]);
	while (mem_fd >= 0 && page_plane_run(&doubt, r.first + r.n, 1ull << 36, &r))
		for (uint64_t done = 0; done < r.n; done += PAGES_AT_ONCE)
			compare_joined(f, mem_fd, r.first + done, r.n - done < PAGES_AT_ONCE ? r.n - done : PAGES_AT_ONCE, &differ);
	cow_plane_add_common(&s->plane[COW_WRITTEN], &differ, &differ);
	if (newest)
		cow_plane_add_common(&s->plane[COW_FIRST], &differ, &differ);
	cow_plane_take_away(&doubt, &differ);
	cow_plane_add_common(&s->plane[COW_JOINED], &doubt, &doubt);
	cow_plane_take_away(&s->plane[COW_JOINED], &s->plane[COW_WRITTEN]);
	cow_plane_free(&doubt);
	cow_plane_free(&differ);
	if (mem_fd >= 0)
		close(mem_fd);
}

/* ---- who stands still to be compared ---- */

bool cows_is_asked(struct cows *c)
{
	uint32_t n = atomic_load(&c->watch->session->header->n_reach);
	bool asked = n != c->n_asked;

	c->n_asked = n;
	return asked || c->waited_for;
}

/* False: something of it is still on the way; last: it is not waited for.  Who
 * is let go before all that it told is here would end uncompared: its fork may
 * not even be known. */
static bool compare(struct cows *c, struct cow_process *p, uint64_t number, bool last)
{
	bool all = true;

	if (!last && !p->stands)
		return false;
	if (p->shows_frames) {
		if (!cow_outside(c, number) && !last)
			return false; /* it has just begun: who it is is not heard yet */
		cow_frames_note(c, p, number);
		return true;
	}
	for (size_t i = c->first_open; i < c->n; i++) {
		struct cow_fork *f = c->forks[i];
		for (int side = 0; side < SIDES && !f->over && cow_is_compared(f); side++) {
			struct cow_side *s = &f->side[side];
			if (s->process != number || !s->armed || s->told)
				continue;
			s->told = (f->frames || (f->witness.pidfd >= 0 && f->witness.sites)) && cow_ask(c, number, f->watch);
			if (s->told)
				cow_witness_compare(c, f, side);
			all = all && s->told;
		}
	}
	return all;
}

/* Whether one that waits was answered, or is let go without. */
static bool answer(struct cows *c, uint64_t number, uint64_t now_ns)
{
	struct cow_process *p = cow_process_of(c, number);

	if (!p)
		return true;
	p->waits_ns = p->waits_ns ? p->waits_ns : now_ns;
	bool last = now_ns - p->waits_ns > LATER_NS && ++p->n_waits > LATER_ROUNDS;
	if (!compare(c, p, number, last) && !last)
		return false;
	p->stands = false;
	p->waits_ns = p->n_waits = 0;
	return true;
}

void cows_compare(struct cows *c, uint64_t now_ns)
{
	struct mms_process *slot;

	c->waited_for = false;
	/* All at once: who waits unanswered gives up while others are compared. */
	for (uint32_t i = 0; (slot = mms_process_slot(c->watch->session, i)); i++)
		if (atomic_load(&slot->reach) == MMS_REACH_COMPARE)
			atomic_store(&slot->reach, MMS_REACH_READING);
	/* Whom judge.c reads it lets go at once, and reader.c has another word: these are ours. */
	for (uint32_t i = 0; (slot = mms_process_slot(c->watch->session, i)); i++) {
		if (atomic_load(&slot->reach) != MMS_REACH_READING)
			continue;
		uint64_t number = slot->number;
		if (!answer(c, number, now_ns)) {
			c->waited_for = true;
			continue;
		}
		atomic_store(&slot->reach, MMS_REACH_DONE);
		mms_futex_wake(&slot->reach, 1);
		cow_frames_before(c, number);
	}
}
