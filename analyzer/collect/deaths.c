/*
 * deaths.c - see deaths.h.
 *
 * The kernel wakes whoever sleeps on a robust mutex of the dead only where the
 * word says that somebody does; nobody ever unlocks it, so the bit that we set
 * there stays.  A mark is also made by an exec: then no code is shown.
 */
#include "collect/deaths.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "collect/exit_status.h"

#define WAITV_NUMBER 449 /* futex_waitv; headers before Linux 5.16 do not have it */
#define WAIT_U32 2u
#define WAIT_PRIVATE 128u

struct wait_one { /* the kernel's struct futex_waitv */
	uint64_t val, uaddr;
	uint32_t flags, reserved;
};

enum state { FREE, WAITED, OVER };
struct entry {
	enum state state;
	uint32_t *word, tid;
	int stat_fd, status; /* status -1: not known */
};

struct deaths {
	pthread_t thread;
	pthread_mutex_t lock; /* of all below; never held asleep */
	uint32_t change;      /* futex: the thread has something else to wait for */
	bool stop;
	struct entry entry[DEATHS_MAX];
};

/* The mark comes after the code is set: what is shown now is true. */
static void over(struct entry *e)
{
	int code = exit_status_shown(e->stat_fd);
	e->state = OVER;
	e->status = code > 0 && WIFSIGNALED(code) ? code : -1;
}

/* False: nothing is to be waited for any more. */
static bool will_be_woken(const struct entry *e)
{
	uint32_t word = __atomic_load_n(e->word, __ATOMIC_ACQUIRE);
	while (!(word & FUTEX_OWNER_DIED) && (word & FUTEX_TID_MASK) == e->tid)
		if ((word & FUTEX_WAITERS) || __atomic_compare_exchange_n(e->word, &word, word | FUTEX_WAITERS,
							  false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
			return true;
	return false;
}

/* What is over is read; the rest is to be waited for.  0: the end. */
static uint32_t look(struct deaths *d, struct wait_one *ret)
{
	uint32_t n = 0;
	pthread_mutex_lock(&d->lock);
	ret[n++] = (struct wait_one){.val = d->change, .uaddr = (uintptr_t)&d->change, .flags = WAIT_U32 | WAIT_PRIVATE};
	for (uint32_t i = 0; i < DEATHS_MAX; i++) {
		struct entry *e = &d->entry[i];
		if (e->state == WAITED && will_be_woken(e))
			ret[n++] = (struct wait_one){.val = e->tid | FUTEX_WAITERS, .uaddr = (uintptr_t)e->word, .flags = WAIT_U32};
		else if (e->state == WAITED)
			over(e);
	}
	n = d->stop ? 0 : n;
	pthread_mutex_unlock(&d->lock);
	return n;
}

static void *wait_main(void *argument)
{
	struct deaths *d = argument;
	struct wait_one wait[DEATHS_MAX + 1];
	struct sched_param first = {.sched_priority = 1};
	/* It is a race; where we may not be first, as it comes. */
	pthread_setschedparam(pthread_self(), SCHED_FIFO, &first);
	for (uint32_t n = look(d, wait); n; n = look(d, wait))
		if (syscall(WAITV_NUMBER, wait, n, 0, NULL, 0) < 0 && errno != EAGAIN && errno != EINTR)
			return NULL;
	return NULL;
}

/* Called with the lock held. */
static void changed(struct deaths *d)
{
	__atomic_add_fetch(&d->change, 1, __ATOMIC_RELEASE);
	syscall(SYS_futex, &d->change, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

int deaths_open(struct deaths **ret)
{
	if (syscall(WAITV_NUMBER, NULL, 0, 0, NULL, 0) < 0 && errno == ENOSYS)
		return -ENOSYS;
	struct deaths *d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	pthread_mutex_init(&d->lock, NULL);
	int r = pthread_create(&d->thread, NULL, wait_main, d);
	if (r) {
		free(d);
		return -r;
	}
	*ret = d;
	return 0;
}

void deaths_close(struct deaths *d)
{
	if (!d)
		return;
	pthread_mutex_lock(&d->lock);
	d->stop = true;
	changed(d);
	pthread_mutex_unlock(&d->lock);
	pthread_join(d->thread, NULL);
	for (uint32_t i = 0; i < DEATHS_MAX; i++)
		if (d->entry[i].state != FREE)
			close(d->entry[i].stat_fd);
	pthread_mutex_destroy(&d->lock);
	free(d);
}

uint32_t deaths_watch(struct deaths *d, uint32_t *word, uint32_t tid, int stat_fd)
{
	uint32_t at = 0;
	pthread_mutex_lock(&d->lock);
	while (at < DEATHS_MAX && d->entry[at].state != FREE)
		at++;
	if (at < DEATHS_MAX) {
		d->entry[at] = (struct entry){.state = WAITED, .word = word, .tid = tid, .stat_fd = stat_fd, .status = -1};
		changed(d);
	}
	pthread_mutex_unlock(&d->lock);
	if (at == DEATHS_MAX)
		close(stat_fd);
	return at == DEATHS_MAX ? 0 : at + 1;
}

int deaths_take(struct deaths *d, uint32_t place)
{
	struct entry *e = &d->entry[place - 1];
	pthread_mutex_lock(&d->lock);
	bool waited = e->state == WAITED;
	if (waited && !will_be_woken(e)) /* the thread did not come to it */
		over(e);
	int status = e->status;
	close(e->stat_fd);
	*e = (struct entry){.state = FREE};
	if (waited)
		changed(d);
	pthread_mutex_unlock(&d->lock);
	return status;
}
