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
#include "watch.h"

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

#include "collect/exit_status.h"

#define MS 1000000ull
/* A bell that is this late was not rung. */
#define BELL_PATIENCE (100 * MS)
/* A zombie whose parent does not reap it is not waited for any longer. */
#define STATUS_PATIENCE (1000 * MS)
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

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void close_files(struct watch_process *p)
{
	close_fd(&p->files.statm);
	close_fd(&p->files.stat);
	close_fd(&p->files.status);
}

void watch_done(struct watch *w)
{
	for (size_t i = 0; i < w->n_processes; i++) {
		close_files(&w->processes[i]);
		close_fd(&w->processes[i].pidfd);
		close_fd(&w->processes[i].proc_fd);
	}
	for (size_t i = 0; i < w->n_images; i++) {
		free(w->images[i].exe);
		free(w->images[i].cwd);
	}
	free(w->processes);
	free(w->images);
	memset(w, 0, sizeof(*w));
}

static uint64_t pidfd_id(int pidfd)
{
	struct stat st;
	return pidfd >= 0 && fstat(pidfd, &st) == 0 ? st.st_ino : 0;
}

/* Makes a process and watches its pidfd; takes the descriptors.  NULL: no
 * memory, and the descriptors are closed. */
static struct watch_process *process_new(struct watch *w, pid_t pid, int pidfd, int proc_fd, uint64_t now_ns)
{
	if (w->n_processes == w->processes_room) {
		size_t room = w->processes_room ? w->processes_room * 2 : 16;
		void *more = reallocarray(w->processes, room, sizeof(*w->processes));
		if (!more) {
			close_fd(&pidfd);
			close_fd(&proc_fd);
			return NULL;
		}
		w->processes = more;
		w->processes_room = room;
	}
	struct watch_process *p = &w->processes[w->n_processes];
	*p = (struct watch_process){.pid = pid, .pidfd = pidfd, .proc_fd = proc_fd, .came_ns = now_ns,
		.pidfd_id = pidfd_id(pidfd), .files = {-1, -1, -1}};
	if (doorbell_watch(w->bell, pidfd, (uint32_t)w->n_processes) < 0) {
		close_fd(&p->pidfd);
		close_fd(&p->proc_fd);
		return NULL;
	}
	w->n_processes++;
	w->n_alive++;
	return p;
}

static bool is_gone(const struct watch_process *p)
{
	struct pollfd poll_fd = {.fd = p->pidfd, .events = POLLIN};
	return p->gone_ns || (p->pidfd >= 0 && poll(&poll_fd, 1, 0) == 1);
}

/* The process that has this pid and, where that can be told, this identity.
 * Newest first: pids come back. */
static struct watch_process *process_find(struct watch *w, pid_t pid, uint64_t id)
{
	for (size_t i = w->n_processes; i-- > 0;) {
		struct watch_process *p = &w->processes[i];
		if (p->pid != pid)
			continue;
		if (id && p->pidfd_id)
			return p->pidfd_id == id ? p : NULL;
		return is_gone(p) ? NULL : p;
	}
	return NULL;
}

static struct watch_image *image_at(struct watch *w, uint64_t number)
{
	/* Numbers count up from 1; a wild one is not worth gigabytes. */
	uint64_t given = atomic_load_explicit(&w->session->header->next_process, memory_order_acquire);
	if (number == 0 || number >= given || number > 100000000)
		return NULL;
	if (number >= w->n_images) {
		size_t n = (size_t)number + 64 + w->n_images / 2;
		struct watch_image *more = reallocarray(w->images, n, sizeof(*more));
		if (!more)
			return NULL;
		memset(more + w->n_images, 0, (n - w->n_images) * sizeof(*more));
		w->images = more;
		w->n_images = n;
	}
	return &w->images[number];
}

static void image_gone(struct watch *w, uint64_t number, uint64_t now_ns)
{
	struct watch_image *im = image_at(w, number);
	if (!im || im->gone)
		return;
	im->gone = true;
	im->gone_ns = now_ns;
	drain_process_gone(w->drain, number);
}

/* The image that pid (as its child sees it) was at the moment; 0: not known. */
static uint64_t image_of_pid(struct watch *w, pid_t pid)
{
	for (size_t i = w->n_processes; i-- > 0;)
		if (w->processes[i].pid == pid)
			return w->processes[i].image;
	return 0;
}

static void image_begins(struct watch *w, struct watch_process *p, uint64_t number, uint32_t slot,
	uint32_t begin, uint64_t now_ns)
{
	struct watch_image *im = image_at(w, number);
	const struct mms_process *s = mms_process_slot(w->session, slot);
	if (!im || im->known || !s || s->number != number)
		return;
	im->known = true;
	im->slot = slot;
	im->begin = begin;
	im->process = (uint32_t)(p - w->processes) + 1;
	if (p->image && p->image < number) {
		w->images[p->image].followed_by_exec = true;
		im->parent = p->image;
		image_gone(w, p->image, now_ns);
	} else if (s->parent_number == 0) {
		im->parent = image_of_pid(w, (pid_t)s->parent_pid);
	}
	if (number > p->image)
		p->image = number;
	w->last_change_ns = now_ns;
}

/* The process has ended: so has its newest image, and whether that was what
 * it was at the end is told by its last word. */
static void process_over(struct watch *w, struct watch_process *p)
{
	struct watch_image *im = p->image ? image_at(w, p->image) : NULL;
	p->unjoined_exec = !im;
	if (!im)
		return;
	const struct mms_process *s = mms_process_slot(w->session, im->slot);
	if (s && s->number == p->image && atomic_load(&s->end) == MMS_END_EXEC)
		p->unjoined_exec = true;
	image_gone(w, p->image, p->gone_ns);
}

static void heard_ring(struct watch *w, struct bell_event *e, uint64_t now_ns)
{
	struct watch_process *p = process_find(w, e->pid, pidfd_id(e->pidfd));
	if (p) {
		close_fd(&e->pidfd);
		/* /proc/PID is the same folder for all images of a process. */
		if (p->proc_fd < 0)
			p->proc_fd = e->proc_fd;
		else
			close_fd(&e->proc_fd);
	} else if (e->pidfd >= 0) {
		p = process_new(w, e->pid, e->pidfd, e->proc_fd, now_ns);
	} else {
		close_fd(&e->proc_fd);
	}
	if (p)
		image_begins(w, p, e->note.number, e->note.slot, e->note.begin, now_ns);
	if (p && p->gone_ns) /* both were heard at once */
		process_over(w, p);
	struct watch_image *im = p ? image_at(w, e->note.number) : NULL;
	if (im && !im->exe && !im->cwd) {
		im->exe = e->exe;
		im->cwd = e->cwd;
	} else {
		free(e->exe);
		free(e->cwd);
	}
}

static bool ask_status(struct watch *w, struct watch_process *p, uint64_t now_ns)
{
	int r = exit_status(p->pidfd, p->proc_fd, &p->wait_status);
	if (r == -EAGAIN && now_ns - p->gone_ns < STATUS_PATIENCE)
		return false;
	p->status_known = r == 0;
	close_fd(&p->pidfd);
	close_fd(&p->proc_fd);
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
	process_over(w, p);
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
	return process_new(w, pid > 0 ? pid : 0, pidfd, proc_fd, now_ns) ? 0 : -ENOMEM;
}

/* ---- those whose bell was not heard ---- */

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

/* True when the process maps the session's file: it is the one we mean, and
 * not another that has the same number in our pid namespace. */
static bool maps_session(int proc_fd, const struct mms_session *s)
{
	char line[4400], name[40] = "";
	int fd = openat(proc_fd, "maps", O_RDONLY | O_CLOEXEC);
	FILE *f = fd >= 0 ? fdopen(fd, "r") : NULL;
	bool found = false;
	if (!f) {
		close_fd(&fd);
		return true; /* may not be read: believe the pid */
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
	struct watch_process *p = process_find(w, pid, pidfd_id(pidfd));
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
	return process_new(w, pid, pidfd, proc_fd, now_ns);
}

static void look_at_slot(struct watch *w, uint32_t slot, const struct mms_process *s, uint64_t now_ns)
{
	uint64_t number = s->number;
	struct watch_image *im = image_at(w, number);
	if (!im || im->known || im->gone)
		return;
	if (!im->missed_ns)
		im->missed_ns = now_ns;
	if (now_ns - im->missed_ns < BELL_PATIENCE)
		return;
	struct watch_process *p = adopt(w, (pid_t)s->pid, true, now_ns);
	if (p) {
		image_begins(w, p, number, slot, s->begin, now_ns);
		return;
	}
	if (slot_has_threads(w->session, slot)) {
		im->missed_ns = now_ns + 1000 * MS - BELL_PATIENCE; /* look again in a second */
		return;
	}
	im->slot = slot;
	image_gone(w, number, now_ns);
}

static void look_at_slots(struct watch *w, uint64_t now_ns)
{
	for (uint32_t i = 0;; i++) {
		const struct mms_process *s = mms_process_slot(w->session, i);
		if (!s)
			return;
		if (atomic_load_explicit(&s->state, memory_order_acquire) == MMS_SLOT_LIVE)
			look_at_slot(w, i, s, now_ns);
	}
}

/* Children that the parents' records name and that did not ring, because
 * what they execute does not join: they may execute one that does. */
static void look_at_forks(struct watch *w, uint64_t now_ns)
{
	for (; w->n_forks_seen < w->model->n_forks; w->n_forks_seen++) {
		const struct model_fork *f = &w->model->forks[w->n_forks_seen];
		struct watch_image *im = image_at(w, f->parent);
		if (f->child_pid == 0 || !im || !im->process)
			continue;
		const struct watch_process *parent = &w->processes[im->process - 1];
		struct model_process *m = model_process_find(w->model, f->parent);
		/* In another pid namespace the number means somebody else. */
		if (m && m->ns_pid == (uint32_t)parent->pid)
			adopt(w, (pid_t)f->child_pid, false, now_ns);
	}
}

void watch_round(struct watch *w, uint64_t now_ns)
{
	struct bell_event e;
	while (doorbell_take(w->bell, &e)) {
		if (e.what == BELL_RANG)
			heard_ring(w, &e, now_ns);
		else
			heard_gone(w, e.key, now_ns);
	}
	look_at_slots(w, now_ns);
	look_at_forks(w, now_ns);
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
	for (size_t i = 1; i < w->n_images; i++)
		if (w->images[i].missed_ns && !w->images[i].known && !w->images[i].gone)
			return true;
	return false;
}

bool watch_over(const struct watch *w, uint64_t now_ns)
{
	if (w->n_alive || w->n_waiting || hidden_alive(w))
		return false;
	return now_ns - w->last_change_ns >= LINGER;
}

static void apply_end(struct watch *w, struct model_process *m, const struct watch_image *im)
{
	const struct watch_process *p = im->process ? &w->processes[im->process - 1] : NULL;
	if (im->followed_by_exec || (p && p->unjoined_exec)) {
		m->end = MMS_END_EXEC;
		m->status = 0;
		m->status_known = true;
	} else if (p && p->status_known) {
		bool signal = WIFSIGNALED(p->wait_status);
		m->end = signal ? MMS_END_SIGNAL : MMS_END_EXIT;
		m->status = signal ? WTERMSIG(p->wait_status) : WEXITSTATUS(p->wait_status);
		m->status_known = true;
	}
	if (!m->end_ns)
		model_process_ended(w->model, m, im->gone_ns);
}

static char *copy_if_unset(char *have, const char *from)
{
	return have || !from ? have : strdup(from);
}

void watch_apply(struct watch *w)
{
	for (size_t i = 1; i < w->n_images; i++) {
		struct watch_image *im = &w->images[i];
		struct model_process *m = im->known || im->gone ? model_process_find(w->model, i) : NULL;
		if (!m)
			continue;
		const struct watch_process *p = im->process ? &w->processes[im->process - 1] : NULL;
		if (p && p->pid > 0)
			m->pid = (uint32_t)p->pid;
		if (im->hiwater_bytes > m->hiwater_rss)
			m->hiwater_rss = im->hiwater_bytes;
		if (!m->parent && im->parent && im->parent < i)
			m->parent = im->parent;
		m->exe = copy_if_unset(m->exe, im->exe);
		m->cwd = copy_if_unset(m->cwd, im->cwd);
		if (im->gone)
			apply_end(w, m, im);
	}
}

void watch_finish(struct watch *w)
{
	for (size_t i = 0; i < w->n_processes; i++) {
		struct watch_process *p = &w->processes[i];
		if (p->gone_ns && p->pidfd >= 0)
			ask_status(w, p, p->gone_ns + STATUS_PATIENCE);
	}
	watch_apply(w);
}

size_t watch_unjoined(const struct watch *w)
{
	size_t n = 0;
	for (size_t i = 0; i < w->n_processes; i++)
		n += w->processes[i].unjoined_exec;
	return n;
}
