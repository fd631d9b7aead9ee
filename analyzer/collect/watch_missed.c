/*
 * watch_missed.c - processes of the session whose bell was not heard.
 *
 * A system call filter forbids the call, nobody listened yet, the network
 * namespace is another, or the program does not join at all.  Their process
 * slots and their parents' fork records name them; a pid is believed when
 * the process maps the session.  Called by watch.c once a round.
 */
#include "watch_private.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <mmscope/launch.h>

#define MS 1000000ull
/* A bell that is this late was not rung. */
#define BELL_PATIENCE (100 * MS)

/* Some thread of the process in this slot holds its robust mutex. */
static bool slot_has_threads(const struct mms_session *s, uint32_t slot)
{
	for (uint32_t i = 0;; i++) {
		struct mms_thread *t = mms_thread_slot(s, i);
		if (!t)
			return false;
		if (atomic_load_explicit(&t->process, memory_order_relaxed) != slot + 1)
			continue;
		uint32_t word = __atomic_load_n((uint32_t *)&t->alive, __ATOMIC_RELAXED);
		if (word && !(word & FUTEX_OWNER_DIED))
			return true;
	}
}

/* Began after the session: all that can be asked of a process whose maps may
 * not be read.  It keeps pid 1 of a namespace from being taken for init. */
static bool is_younger(int proc_fd, const struct mms_session *s)
{
	char text[2048];
	unsigned long long start = 0;
	int fd = openat(proc_fd, "stat", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : 0;
	watch_close_fd(&fd);
	text[n > 0 ? n : 0] = 0;
	const char *rest = strrchr(text, ')'); /* field 22, in ticks since boot */
	if (!rest || sscanf(rest + 1,
			     " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
			     &start) != 1)
		return false;
	uint64_t ago = mms_clock_ns(CLOCK_MONOTONIC) - s->header->start_monotonic_ns;
	uint64_t begin = mms_clock_ns(CLOCK_BOOTTIME) - ago;
	uint64_t tick_ns = 1000000000u / (uint64_t)sysconf(_SC_CLK_TCK);
	return (start + 1) * tick_ns >= begin;
}

/* True when the process maps the session's file: it is the one we mean, and
 * not another that has the same number in our pid namespace. */
static bool maps_session(int proc_fd, const struct mms_session *s)
{
	char line[4400], name[40] = "";
	int fd = openat(proc_fd, "maps", O_RDONLY | O_CLOEXEC);
	FILE *f = fd >= 0 ? fdopen(fd, "r") : NULL;
	bool found = false;
	if (!f) {
		watch_close_fd(&fd);
		return is_younger(proc_fd, s);
	}
	for (int i = 0; i < 16; i++)
		sprintf(name + 2 * i, "%02x", s->header->id[i]);
	while (!found && fgets(line, sizeof(line), f))
		found = strstr(line, name) != NULL;
	fclose(f);
	return found;
}

/* Takes up a process by its pid. */
static struct watch_process *adopt(struct watch *w, pid_t pid, bool check_maps, uint64_t now_ns)
{
	char path[32];
	int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0)
		return NULL;
	struct watch_process *p = watch_process_find(w, pid, watch_pidfd_id(pidfd));
	if (p) {
		close(pidfd);
		return p;
	}
	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	int proc_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (check_maps && proc_fd >= 0 && !maps_session(proc_fd, w->session)) {
		close(proc_fd);
		close(pidfd);
		return NULL;
	}
	return watch_process_new(w, pid, pidfd, proc_fd, now_ns);
}

/* The process of a slot whose bell was not heard; NULL: none that is visible. */
static struct watch_process *process_of_slot(struct watch *w, const struct mms_process *s, uint64_t now_ns)
{
	struct watch_process *p = adopt(w, (pid_t)s->pid, true, now_ns);
	/* The one whose pidfd we were born with may be over and reaped. */
	if (!p && w->n_processes && s->pid == w->session->header->creator_pid)
		p = &w->processes[0];
	return p;
}

static void look_at_slot(
	struct watch *w, uint32_t slot, const struct mms_process *s, uint64_t patience, uint64_t now_ns)
{
	uint64_t number = s->number;
	struct watch_image *im = watch_image_at(w, number);
	if (!im || im->known || im->gone)
		return;
	if (!im->missed_ns) {
		im->missed_ns = now_ns ? now_ns : 1;
		im->slot = slot;
	}
	if (now_ns - im->missed_ns < patience)
		return;
	struct watch_process *p = process_of_slot(w, s, now_ns);
	if (p) {
		watch_image_begins(w, p, number, slot, s->begin, now_ns);
		if (p->gone_ns)
			watch_process_over(w, p);
		return;
	}
	if (patience == 0) /* its bell may be on the way */
		return;
	if (slot_has_threads(w->session, slot)) {
		im->missed_ns = now_ns + 1000 * MS - BELL_PATIENCE; /* look again in a second */
		return;
	}
	im->slot = slot;
	watch_image_gone(w, number, now_ns);
}

static void look_at_slots(struct watch *w, uint64_t patience, uint64_t now_ns)
{
	for (uint32_t i = 0;; i++) {
		const struct mms_process *s = mms_process_slot(w->session, i);
		if (!s)
			return;
		if (atomic_load_explicit(&s->state, memory_order_acquire) == MMS_SLOT_LIVE)
			look_at_slot(w, i, s, patience, now_ns);
	}
}

/* The slot is another's, or nobody's: the process was over, and read to the end. */
static bool has_left_slot(const struct watch *w, const struct watch_image *im)
{
	const struct mms_process *s = mms_process_slot(w->session, im->slot);
	return !s || atomic_load_explicit(&s->state, memory_order_acquire) != MMS_SLOT_LIVE || s->number != im->number;
}

/* Whose bell was missed and whose slot was given back before it was looked at
 * again: nothing else would say that they are over. */
void watch_missed_over(struct watch *w, uint64_t now_ns)
{
	for (size_t i = 0; i < w->images.n; i++) {
		const struct watch_image *im = w->images.item[i];
		if (im->missed_ns && !im->known && !im->gone && has_left_slot(w, im))
			watch_image_gone(w, im->number, now_ns);
	}
}

void watch_existing(struct watch *w, uint64_t now_ns)
{
	look_at_slots(w, 0, now_ns);
}

static char *link_text(int proc_fd, const char *name)
{
	char path[4096];
	ssize_t n = readlinkat(proc_fd, name, path, sizeof(path) - 1);
	return n > 0 ? strndup(path, (size_t)n) : NULL;
}

/* Children that the parents' records name and that did not ring, because
 * what they execute does not join: they may execute one that does. */
static void look_at_forks(struct watch *w, uint64_t now_ns)
{
	size_t i = w->model->n_forks;
	while (i > 0 && w->model->forks[i - 1].id > w->fork_seen)
		i--;
	for (; i < w->model->n_forks; i++) {
		const struct model_fork *f = &w->model->forks[i];
		w->fork_seen = f->id;
		struct watch_image *im = watch_image_at(w, f->parent);
		if (f->child_pid == 0 || !im || !im->process)
			continue;
		const struct watch_process *parent = &w->processes[im->process - 1];
		struct model_process *m = model_process_find(w->model, f->parent);
		/* In another pid namespace the number means somebody else. */
		struct watch_process *p = NULL;
		if (m && m->ns_pid == (uint32_t)parent->pid)
			p = adopt(w, (pid_t)f->child_pid, false, now_ns);
		if (p && !p->image) {
			p->fork_parent = f->parent;
			free(p->exe);
			p->exe = p->proc_fd >= 0 ? link_text(p->proc_fd, "exe") : NULL;
		}
	}
}

void watch_missed(struct watch *w, uint64_t now_ns)
{
	look_at_slots(w, BELL_PATIENCE, now_ns);
	look_at_forks(w, now_ns);
	if (!w->n_alive) /* else before each flush is soon enough */
		watch_missed_over(w, now_ns);
}
