/*
 * watch.c - the processes of a session, seen from outside.
 *
 * The doorbell tells who joined; pidfds tell who went; process slots and the
 * parents' fork records tell of those whose bell was never heard (a system
 * call filter, a program that does not join).  Nothing here reads rings.
 * Called by collect.c, in its thread.
 *
 *   pid 7:  image 3 ---- exec ---- image 4 ---- exec of a static program ---- exit
 *           rings        rings                  (nothing)                     pidfd
 *
 * Image 3 ends when image 4 rings; image 4 ended by its own last word (exec);
 * the exit status then belongs to the static program, which has no image.
 */
#include "watch_private.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "collect/deaths.h"
#include "collect/exit_status.h"

#define MS 1000000ull
/* A zombie whose parent does not reap it is not waited for any longer. */
#define STATUS_PATIENCE (1000 * MS)
/* A process rings before its thread has taken its mutex. */
#define THREAD_PATIENCE (100 * MS)
/* After the last death: a child that has not rung yet may still do so. */
#define LINGER (20 * MS)

void watch_init(struct watch *w, const struct mms_session *s, struct doorbell *bell, struct drain *drain,
	struct model *model)
{
	memset(w, 0, sizeof(*w));
	w->session = s;
	w->bell = bell;
	w->drain = drain;
	w->model = model;
}

void watch_close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void close_files(struct watch_process *p)
{
	watch_close_fd(&p->files.stat);
	watch_close_fd(&p->files.status);
}

static void image_done(struct watch_image *im)
{
	free(im->exe);
	free(im->cwd);
}

void watch_done(struct watch *w)
{
	for (size_t i = 0; i < w->n_processes; i++) {
		close_files(&w->processes[i]);
		watch_close_fd(&w->processes[i].pidfd);
		watch_close_fd(&w->processes[i].proc_fd);
		free(w->processes[i].exe);
	}
	for (size_t i = 0; i < w->images.n; i++)
		image_done(w->images.item[i]);
	numbered_done(&w->images);
	deaths_close(w->deaths);
	free(w->processes);
	memset(w, 0, sizeof(*w));
}

uint64_t watch_pidfd_id(int pidfd)
{
	struct stat st;
	return pidfd >= 0 && fstat(pidfd, &st) == 0 ? st.st_ino : 0;
}

/* Its place in the list, which others name by position, is free for another. */
static void free_process(struct watch *w, struct watch_process *p)
{
	w->n_unjoined += p->unjoined_exec;
	free(p->exe);
	*p = (struct watch_process){.pid = -1, .pidfd = -1, .proc_fd = -1, .gone_ns = 1, .is_free = true,
		.files = {-1, -1}};
	w->n_free++;
}

static size_t free_place(const struct watch *w)
{
	size_t at = w->n_free ? 0 : w->n_processes;
	while (at < w->n_processes && !w->processes[at].is_free)
		at++;
	return at;
}

/* Makes a process and watches its pidfd; takes the descriptors.  NULL: no
 * memory, and the descriptors are closed. */
struct watch_process *watch_process_new(struct watch *w, pid_t pid, int pidfd, int proc_fd, uint64_t now_ns)
{
	size_t at = free_place(w);
	if (at == w->processes_room) {
		size_t room = w->processes_room ? w->processes_room * 2 : 16;
		void *more = reallocarray(w->processes, room, sizeof(*w->processes));
		if (!more) {
			watch_close_fd(&pidfd);
			watch_close_fd(&proc_fd);
			return NULL;
		}
		w->processes = more;
		w->processes_room = room;
	}
	struct watch_process *p = &w->processes[at];
	w->n_free -= at < w->n_processes;
	w->n_processes += at == w->n_processes;
	*p = (struct watch_process){.pid = pid, .pidfd = pidfd, .proc_fd = proc_fd, .came_ns = now_ns,
		.pidfd_id = watch_pidfd_id(pidfd), .files = {-1, -1}};
	if (doorbell_watch(w->bell, pidfd, (uint32_t)at) < 0) {
		watch_close_fd(&p->pidfd);
		watch_close_fd(&p->proc_fd);
		free_process(w, p);
		return NULL;
	}
	w->n_alive++;
	return p;
}

static bool is_gone(const struct watch_process *p)
{
	struct pollfd poll_fd = {.fd = p->pidfd, .events = POLLIN};
	return p->gone_ns || (p->pidfd >= 0 && poll(&poll_fd, 1, 0) == 1);
}

/* Pids come back: the newest that had it. */
static struct watch_process *newest_of(struct watch *w, pid_t pid)
{
	struct watch_process *found = NULL;
	for (size_t i = 0; i < w->n_processes; i++) {
		struct watch_process *p = &w->processes[i];
		if (p->pid == pid && (!found || p->came_ns >= found->came_ns))
			found = p;
	}
	return found;
}

/* The process that has this pid and, where that can be told, this identity. */
struct watch_process *watch_process_find(struct watch *w, pid_t pid, uint64_t id)
{
	struct watch_process *p = newest_of(w, pid);
	if (!p)
		return NULL;
	if (id && p->pidfd_id)
		return p->pidfd_id == id ? p : NULL;
	return is_gone(p) ? NULL : p;
}

struct watch_image *watch_image_at(struct watch *w, uint64_t number)
{
	uint64_t given = atomic_load_explicit(&w->session->header->next_process, memory_order_acquire);
	struct watch_image *im = numbered_find(&w->images, number);
	if (im || number == 0 || number >= given)
		return im;
	im = numbered_new(&w->images, number, sizeof(*im));
	if (im)
		im->number = number;
	return im;
}

void watch_image_gone(struct watch *w, uint64_t number, uint64_t now_ns)
{
	struct watch_image *im = watch_image_at(w, number);
	if (!im || im->gone)
		return;
	im->gone = true;
	im->gone_ns = now_ns;
	drain_process_gone(w->drain, number);
}

/* The image that pid (as its child sees it) was at the moment; 0: not known. */
static uint64_t image_of_pid(struct watch *w, pid_t pid)
{
	const struct watch_process *p = newest_of(w, pid);
	return p ? p->image : 0;
}

/* How it ended, as seen while it did; -1: it was not. */
static int take_death(struct watch *w, struct watch_process *p)
{
	int status = p->death ? deaths_take(w->deaths, p->death) : -1;
	p->death = 0;
	return status;
}

void watch_image_begins(struct watch *w, struct watch_process *p, uint64_t number, uint32_t slot,
	uint32_t begin, uint64_t now_ns)
{
	struct watch_image *im = watch_image_at(w, number);
	const struct mms_process *s = mms_process_slot(w->session, slot);
	bool in_slot = s && s->number == number;
	/* A bell can be heard so late that the slot has another owner already. */
	if (!im || im->known || (!in_slot && !im->gone))
		return;
	im->known = true;
	im->slot = slot;
	im->begin = begin;
	im->process = (uint32_t)(p - w->processes) + 1;
	if (p->image && p->image < number) {
		watch_image_find(w, p->image)->followed_by_exec = true;
		take_death(w, p); /* the exec gave its mutex back */
		im->parent = p->image;
		watch_image_gone(w, p->image, now_ns);
	} else if (in_slot && s->parent_number == 0) {
		im->parent = image_of_pid(w, (pid_t)s->parent_pid);
	}
	if (number > p->image)
		p->image = number;
	w->last_change_ns = now_ns;
}

/* The process has ended: so has its newest image, and whether that was what
 * it was at the end is told by its last word. */
void watch_process_over(struct watch *w, struct watch_process *p)
{
	struct watch_image *im = p->image ? watch_image_at(w, p->image) : NULL;
	p->unjoined_exec = !im;
	if (!im)
		return;
	const struct mms_process *s = mms_process_slot(w->session, im->slot);
	const struct model_process *m = model_process_find(w->model, p->image);
	if (s && s->number == p->image)
		p->unjoined_exec = atomic_load(&s->end) == MMS_END_EXEC;
	else /* its slot was given back: all it said has been read */
		p->unjoined_exec = m && m->end == MMS_END_EXEC;
	watch_image_gone(w, p->image, p->gone_ns);
}

static void heard_ring(struct watch *w, struct bell_event *e, uint64_t now_ns)
{
	struct watch_process *p = watch_process_find(w, e->pid, watch_pidfd_id(e->pidfd));
	if (p) {
		watch_close_fd(&e->pidfd);
		/* /proc/PID is the same folder for all images of a process; of one that
		 * is over and done with nobody would close it. */
		if (p->proc_fd < 0 && (!p->gone_ns || p->pidfd >= 0))
			p->proc_fd = e->proc_fd;
		else
			watch_close_fd(&e->proc_fd);
	} else if (e->pidfd >= 0) {
		p = watch_process_new(w, e->pid, e->pidfd, e->proc_fd, now_ns);
	} else {
		watch_close_fd(&e->proc_fd);
	}
	if (p)
		watch_image_begins(w, p, e->note.number, e->note.slot, e->note.begin, now_ns);
	if (p && p->gone_ns) /* both were heard at once */
		watch_process_over(w, p);
	struct watch_image *im = p ? watch_image_at(w, e->note.number) : NULL;
	if (im && !im->exe && !im->cwd) {
		im->exe = e->exe;
		im->cwd = e->cwd;
	} else {
		free(e->exe);
		free(e->cwd);
	}
}

/* ---- how they end ---- */

void watch_deaths(struct watch *w)
{
	if (!exit_status_is_kept() && deaths_open(&w->deaths) < 0)
		w->deaths = NULL;
}

/* The process whose first thread this is, if its end is not looked at yet. */
static struct watch_process *without_look(const struct watch *w, const struct mms_thread *t)
{
	uint32_t slot = atomic_load_explicit(&t->process, memory_order_acquire);
	const struct mms_process *s = slot ? mms_process_slot(w->session, slot - 1) : NULL;
	if (!s || atomic_load_explicit(&s->state, memory_order_acquire) != MMS_SLOT_LIVE || t->tid != s->pid)
		return NULL;
	const struct watch_image *im = watch_image_find(w, s->number);
	struct watch_process *p = im && im->process ? &w->processes[im->process - 1] : NULL;
	return p && !p->gone_ns && !p->death && p->proc_fd >= 0 && p->image == s->number ? p : NULL;
}

/* A thread takes its mutex after its process has rung. */
static void look_for_deaths(struct watch *w, uint64_t now_ns)
{
	size_t n = 0;
	w->awaits_thread = false;
	for (size_t i = 0; w->deaths && i < w->n_processes; i++) {
		const struct watch_process *p = &w->processes[i];
		bool looked_at = !p->image || p->gone_ns || p->death;
		n += !looked_at;
		w->awaits_thread |= !looked_at && now_ns - p->came_ns < THREAD_PATIENCE;
	}
	for (uint32_t i = 0; n; i++) {
		struct mms_thread *t = mms_thread_slot(w->session, i);
		struct watch_process *p = t ? without_look(w, t) : NULL;
		int fd = p ? openat(p->proc_fd, "stat", O_RDONLY | O_CLOEXEC) : -1;
		if (!t)
			return;
		if (fd < 0)
			continue;
		p->death = deaths_watch(w->deaths, (uint32_t *)&t->alive, t->tid, fd);
		n--;
	}
}

static bool ask_status(struct watch *w, struct watch_process *p, uint64_t now_ns)
{
	int r = exit_status(p->pidfd, p->proc_fd, &p->wait_status), seen = r ? take_death(w, p) : -1;
	if (seen >= 0) {
		p->wait_status = seen;
		r = 0;
	}
	if (r == -EAGAIN && now_ns - p->gone_ns < STATUS_PATIENCE)
		return false;
	take_death(w, p);
	p->status_known = r == 0;
	watch_close_fd(&p->pidfd);
	watch_close_fd(&p->proc_fd);
	w->n_waiting--;
	return true;
}

static void heard_gone(struct watch *w, uint32_t key, uint64_t now_ns)
{
	if (key >= w->n_processes || w->processes[key].gone_ns)
		return;
	struct watch_process *p = &w->processes[key];
	doorbell_unwatch(w->bell, p->pidfd);
	p->gone_ns = now_ns;
	w->last_change_ns = now_ns;
	w->n_alive--;
	w->n_waiting++;
	close_files(p);
	watch_process_over(w, p);
	ask_status(w, p, now_ns);
}

int watch_first(struct watch *w, int pidfd, uint64_t now_ns)
{
	char path[32];
	int pid = pidfd_pid(pidfd);
	/* -1 in the kernel's text: it is over already, and reaped. */
	int proc_fd = -1;
	if (pid > 0) {
		snprintf(path, sizeof(path), "/proc/%d", pid);
		proc_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	}
	else
		pid = (int)w->session->header->creator_pid;
	return watch_process_new(w, pid, pidfd, proc_fd, now_ns) ? 0 : -ENOMEM;
}

void watch_round(struct watch *w, uint64_t now_ns)
{
	struct bell_event e;
	w->now_ns = now_ns;
	while (doorbell_take(w->bell, &e)) {
		if (e.what == BELL_RANG)
			heard_ring(w, &e, now_ns);
		else if (e.what == BELL_ASKED)
			w->asked(w->asked_arg, &e);
		else
			heard_gone(w, e.key, now_ns);
	}
	watch_missed(w, now_ns);
	look_for_deaths(w, now_ns);
	if (!w->n_waiting)
		return;
	for (size_t i = 0; i < w->n_processes; i++) {
		struct watch_process *p = &w->processes[i];
		if (p->gone_ns && p->pidfd >= 0)
			ask_status(w, p, now_ns);
	}
}

/* An image whose process is not visible from here, but has live threads. */
static bool hidden_alive(const struct watch *w)
{
	for (size_t i = 0; i < w->images.n; i++) {
		const struct watch_image *im = w->images.item[i];
		if (im->missed_ns && !im->known && !im->gone)
			return true;
	}
	return false;
}

bool watch_over(const struct watch *w, uint64_t now_ns)
{
	if (w->n_alive || w->n_waiting || hidden_alive(w))
		return false;
	return now_ns - w->last_change_ns >= LINGER;
}

void watch_leave(struct watch *w)
{
	for (size_t i = 0; i < w->images.n; i++) {
		const struct watch_image *im = w->images.item[i];
		struct model_process *m = im->gone ? NULL : model_process_find(w->model, im->number);
		if (m && m->end == MMS_END_NONE)
			m->runs_on = true;
	}
}

void watch_finish(struct watch *w)
{
	for (size_t i = 0; i < w->n_processes; i++) {
		struct watch_process *p = &w->processes[i];
		if (p->gone_ns && p->pidfd >= 0)
			ask_status(w, p, p->gone_ns + STATUS_PATIENCE);
	}
	w->finishing = true;
	watch_apply(w);
}

/* Its end is told, or nobody will tell it. */
static bool is_settled(const struct watch_process *p)
{
	return p->gone_ns && p->pidfd < 0 && (!p->unjoined_exec || p->ghost);
}

bool watch_needs(const struct watch *w, const struct model_process *p)
{
	const struct watch_image *im = watch_image_find(w, p->number);
	if (!im)
		return false; /* a row of ours for a program that did not join */
	return !im->gone || (im->process && !is_settled(&w->processes[im->process - 1]));
}

static bool has_row(void *arg, uint64_t number, void *item)
{
	const struct watch *w = arg;
	const struct model_process *m = model_process_find(w->model, number);
	if ((m && !m->n_summed) || !((struct watch_image *)item)->gone)
		return true;
	image_done(item);
	return false;
}

/* The first process stays: it is what the session was made for. */
void watch_forget(struct watch *w)
{
	numbered_sift(&w->images, has_row, w);
	bool *used = calloc(w->n_processes + 1, sizeof(*used));
	for (size_t i = 0; used && i < w->images.n; i++)
		used[((struct watch_image *)w->images.item[i])->process] = true;
	for (size_t i = 1; used && i < w->n_processes; i++) {
		struct watch_process *p = &w->processes[i];
		if (!p->is_free && !used[i + 1] && is_settled(p) && !watch_image_find(w, p->image))
			free_process(w, p);
	}
	free(used);
}

size_t watch_unjoined(const struct watch *w)
{
	size_t n = w->n_unseen_execs + w->n_unjoined;
	for (size_t i = 0; i < w->n_processes; i++)
		n += w->processes[i].unjoined_exec;
	return n;
}
