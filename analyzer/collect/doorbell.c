/*
 * doorbell.c - hears of processes: who came, who went.
 *
 * One thread waits in epoll for connections to the session's abstract socket
 * and for pidfds.  A connection is answered at once with what vanishes first:
 * credentials, pidfd, and what /proc says of a process that may be gone in a
 * moment.  Nothing is decided here, and the session is not touched but for
 * waking the main loop.  Called by collect.c.
 *
 * Timeline of a short life:   fork . ring(connect, send, close) . work . exit
 * The pidfd comes from the socket (SO_PEERPIDFD), which holds the identity of
 * the sender, so being late here costs nothing on Linux 6.16 and later;
 * before it, pidfd_open must win the race against the parent's wait.
 */
#include "doorbell.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <mmscope/launch.h>

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

/* epoll data: two numbers for our own descriptors, tagged keys for the rest. */
#define TOKEN_LISTEN 0ull
#define TOKEN_STOP 1ull
#define TOKEN_CALLER (1ull << 40) /* + descriptor */
#define TOKEN_PROCESS (2ull << 40) /* + key */

struct queued {
	struct bell_event event;
	struct queued *next;
};

/* A connection whose note has not arrived yet. */
struct caller {
	int fd;
	struct bell_event event;
	struct caller *next;
};

struct doorbell {
	int listen_fd, epoll_fd, stop_fd;
	pthread_t thread;
	bool running;
	pthread_mutex_t lock; /* of the queue and of who is known, nothing else */
	pthread_cond_t rang;
	struct queued *first, **last;
	struct known {
		pid_t pid;
		uint64_t id;
	} *known; /* by number */
	size_t n_known;
	struct caller *callers; /* the thread's own */
	struct mms_header *wake;
};

static void wake_main(struct doorbell *d)
{
	atomic_fetch_add_explicit(&d->wake->wake_seq, 1, memory_order_release);
	mms_futex_wake(&d->wake->wake_seq, 1);
}

static void event_drop(struct bell_event *e)
{
	if (e->what == BELL_ASKED)
		close(e->reply_fd);
	if (e->what != BELL_RANG)
		return;
	if (e->pidfd >= 0)
		close(e->pidfd);
	if (e->proc_fd >= 0)
		close(e->proc_fd);
	free(e->exe);
	free(e->cwd);
}

static void queue_put(struct doorbell *d, struct bell_event *e)
{
	struct queued *q = malloc(sizeof(*q));
	if (!q) {
		event_drop(e);
		return;
	}
	q->event = *e;
	q->next = NULL;
	pthread_mutex_lock(&d->lock);
	*d->last = q;
	d->last = &q->next;
	pthread_mutex_unlock(&d->lock);
	wake_main(d);
}

bool doorbell_take(struct doorbell *d, struct bell_event *ret)
{
	pthread_mutex_lock(&d->lock);
	struct queued *q = d->first;
	if (q) {
		d->first = q->next;
		if (!d->first)
			d->last = &d->first;
	}
	pthread_mutex_unlock(&d->lock);
	if (!q)
		return false;
	*ret = q->event;
	free(q);
	return true;
}

#define KNOWN_MAX (1u << 20) /* what has a higher number is not known */

static void keep_known(struct doorbell *d, const struct bell_event *e)
{
	struct stat st;
	size_t at = e->note.number;
	if (e->pidfd < 0 || fstat(e->pidfd, &st) < 0 || at >= KNOWN_MAX)
		return;
	pthread_mutex_lock(&d->lock);
	if (at >= d->n_known) {
		size_t n = at * 2 + 64;
		struct known *more = reallocarray(d->known, n, sizeof(*more));
		if (more) {
			memset(more + d->n_known, 0, (n - d->n_known) * sizeof(*more));
			d->known = more;
			d->n_known = n;
		}
	}
	if (at < d->n_known)
		d->known[at] = (struct known){e->pid, st.st_ino};
	pthread_cond_broadcast(&d->rang);
	pthread_mutex_unlock(&d->lock);
}

bool doorbell_known(struct doorbell *d, uint64_t number, pid_t *ret_pid, uint64_t *ret_id)
{
	struct timespec until;
	bool found = false;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += 20000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&d->lock);
	for (int late = 0; !found && !late && number < KNOWN_MAX;) {
		found = number < d->n_known && d->known[number].pid > 0;
		if (!found)
			late = pthread_cond_timedwait(&d->rang, &d->lock, &until);
	}
	if (found) {
		*ret_pid = d->known[number].pid;
		*ret_id = d->known[number].id;
	}
	pthread_mutex_unlock(&d->lock);
	return found;
}

static char *read_link(int proc_fd, const char *name)
{
	char path[4096];
	ssize_t n = readlinkat(proc_fd, name, path, sizeof(path) - 1);
	if (n <= 0)
		return NULL;
	path[n] = 0;
	return strdup(path);
}

/* Who is at the other end; everything that could be gone a moment later. */
static void identify(int fd, struct bell_event *e)
{
	struct ucred cred;
	socklen_t length = sizeof(cred);
	memset(e, 0, sizeof(*e));
	e->what = BELL_RANG;
	e->pidfd = e->proc_fd = -1;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &length) == 0) {
		e->pid = cred.pid;
		e->uid = cred.uid;
	}
	length = sizeof(e->pidfd);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &e->pidfd, &length) < 0)
		e->pidfd = e->pid > 0 ? (int)syscall(SYS_pidfd_open, e->pid, 0) : -1;
	if (e->pid <= 0)
		return;
	char path[32];
	snprintf(path, sizeof(path), "/proc/%d", (int)e->pid);
	e->proc_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (e->proc_fd < 0)
		return;
	e->exe = read_link(e->proc_fd, "exe");
	e->cwd = read_link(e->proc_fd, "cwd");
}

/* Somebody wants something of the recording: its owner, or root. */
static void asked(struct doorbell *d, int fd, struct bell_event *e, const struct mms_snapshot_request *more)
{
	const struct mms_request *request = &more->request;
	struct bell_event asked = {.what = BELL_ASKED, .request = *request, .snapshot = *more, .reply_fd = fd,
		.uid = e->uid, .pidfd = -1, .proc_fd = -1};
	bool may = e->pid && (e->uid == 0 || e->uid == geteuid());
	event_drop(e);
	if (may && request->magic == MMS_SESSION_MAGIC)
		queue_put(d, &asked);
	else
		close(fd);
}

/* Reads what a caller sends.  False: not there yet. */
static bool receive(struct doorbell *d, int fd, struct bell_event *e)
{
	union {
		struct mms_doorbell note;
		struct mms_request request;
		struct mms_snapshot_request snapshot;
	} got = {.snapshot = {.name = ""}};
	ssize_t n = recv(fd, &got, sizeof(got), MSG_DONTWAIT | MSG_TRUNC);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	bool whole = n == (ssize_t)sizeof(got.snapshot);
	if (n == (ssize_t)sizeof(got.request) || whole) {
		got.snapshot.name[MMS_SNAPSHOT_NAME - 1] = 0;
		if (!whole && got.request.what == MMS_REQUEST_SNAPSHOT)
			got.request.what = 0; /* without a name */
		asked(d, fd, e, &got.snapshot);
		return true;
	}
	e->note = got.note;
	if (n == (ssize_t)sizeof(got.note)) {
		keep_known(d, e);
		queue_put(d, e);
	} else
		event_drop(e);
	close(fd);
	return true;
}

static void answer(struct doorbell *d)
{
	int fd = accept4(d->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return;
	struct bell_event e;
	identify(fd, &e);
	if (receive(d, fd, &e))
		return;
	struct caller *c = malloc(sizeof(*c));
	struct epoll_event ev = {.events = EPOLLIN | EPOLLRDHUP, .data.u64 = TOKEN_CALLER + (unsigned)fd};
	if (!c || epoll_ctl(d->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0) {
		free(c);
		event_drop(&e);
		close(fd);
		return;
	}
	c->fd = fd;
	c->event = e;
	c->next = d->callers;
	d->callers = c;
}

static void hear_caller(struct doorbell *d, int fd)
{
	for (struct caller **at = &d->callers; *at; at = &(*at)->next) {
		struct caller *c = *at;
		if (c->fd != fd)
			continue;
		if (receive(d, fd, &c->event)) {
			*at = c->next;
			free(c);
		}
		return;
	}
}

static void report_gone(struct doorbell *d, uint32_t key)
{
	struct bell_event e = {.what = BELL_GONE, .key = key, .reply_fd = -1, .pidfd = -1, .proc_fd = -1};
	queue_put(d, &e);
}

static void *listen_main(void *argument)
{
	struct doorbell *d = argument;
	struct epoll_event events[32];
	for (;;) {
		int n = epoll_wait(d->epoll_fd, events, 32, -1);
		if (n < 0 && errno != EINTR)
			return NULL;
		for (int i = 0; i < n; i++) {
			uint64_t token = events[i].data.u64;
			if (token == TOKEN_STOP)
				return NULL;
			if (token == TOKEN_LISTEN)
				answer(d);
			else if (token >= TOKEN_PROCESS)
				report_gone(d, (uint32_t)(token - TOKEN_PROCESS));
			else
				hear_caller(d, (int)(token - TOKEN_CALLER));
		}
	}
}

static int add(struct doorbell *d, int fd, uint32_t events, uint64_t token)
{
	struct epoll_event ev = {.events = events, .data.u64 = token};
	return epoll_ctl(d->epoll_fd, EPOLL_CTL_ADD, fd, &ev) < 0 ? -errno : 0;
}

static int open_all(struct doorbell *d, const struct mms_header *h)
{
	struct sockaddr_un address;
	socklen_t length = mms_doorbell_address(h, &address);
	d->listen_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	d->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	d->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (d->listen_fd < 0 || d->epoll_fd < 0 || d->stop_fd < 0)
		return -errno;
	/* The kernel cuts the backlog to net.core.somaxconn. */
	if (bind(d->listen_fd, (struct sockaddr *)&address, length) < 0 || listen(d->listen_fd, 65535) < 0)
		return -errno;
	int r = add(d, d->listen_fd, EPOLLIN, TOKEN_LISTEN);
	return r ? r : add(d, d->stop_fd, EPOLLIN, TOKEN_STOP);
}

int doorbell_open(const struct mms_header *h, struct doorbell **ret)
{
	struct doorbell *d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	d->listen_fd = d->epoll_fd = d->stop_fd = -1;
	d->last = &d->first;
	pthread_mutex_init(&d->lock, NULL);
	pthread_cond_init(&d->rang, NULL);
	int r = open_all(d, h);
	if (r < 0) {
		doorbell_close(d);
		return r;
	}
	*ret = d;
	return 0;
}

int doorbell_start(struct doorbell *d, struct mms_header *wake)
{
	d->wake = wake;
	int r = pthread_create(&d->thread, NULL, listen_main, d);
	d->running = r == 0;
	return -r;
}

void doorbell_close(struct doorbell *d)
{
	if (!d)
		return;
	if (d->running) {
		uint64_t one = 1;
		if (write(d->stop_fd, &one, sizeof(one)) == sizeof(one))
			pthread_join(d->thread, NULL);
	}
	struct bell_event e;
	while (doorbell_take(d, &e))
		event_drop(&e);
	while (d->callers) {
		struct caller *c = d->callers;
		d->callers = c->next;
		event_drop(&c->event);
		close(c->fd);
		free(c);
	}
	int fds[] = {d->listen_fd, d->epoll_fd, d->stop_fd};
	for (int i = 0; i < 3; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	pthread_cond_destroy(&d->rang);
	pthread_mutex_destroy(&d->lock);
	free(d->known);
	free(d);
}

int doorbell_watch(struct doorbell *d, int pidfd, uint32_t key)
{
	return add(d, pidfd, EPOLLIN | EPOLLONESHOT, TOKEN_PROCESS + key);
}

void doorbell_unwatch(struct doorbell *d, int pidfd)
{
	epoll_ctl(d->epoll_fd, EPOLL_CTL_DEL, pidfd, NULL);
}
