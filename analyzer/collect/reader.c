/*
 * reader.c - a process that ends waits for the copy of its memory, and for
 * nothing else.
 *
 *	target                  this thread              main loop
 *	ROOTS, reach = ASKED -> READING: copy_read       drains, or writes the
 *	waits                   stamp, put, DONE         database for a second
 *	goes on and ends     <-                          reader_take: drains to the
 *	                                                 stamp, then classifies
 *
 * The main loop asks here before it drains, and not beyond the moment in which
 * it asked: so it never delivers what a process did after its copy was made
 * before that copy is classified.
 *
 * Only who is alone in its process is read here; whose threads must be stopped,
 * or whose pid is not known by its bell, is left to the main loop (judge.c).
 * May not: touch the model.
 */
#include "collect/reader.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <mmscope/launch.h>

#define WAITING_MAX (256ull << 20) /* bytes of copies that nobody has taken */

struct reader {
	const struct mms_session *session;
	struct doorbell *bell;
	const struct stamp_clock *clock;
	pthread_t thread;
	pthread_mutex_t lock; /* of the list and its bytes */
	pthread_cond_t taken;
	struct reading *first, **last;
	uint64_t bytes;
	_Atomic uint32_t n_left;
	_Atomic bool stop;
};

static void wake_main(const struct reader *r)
{
	atomic_fetch_add(&r->session->header->wake_seq, 1);
	mms_futex_wake(&r->session->header->wake_seq, 1);
}

static void answer(struct mms_process *slot, uint32_t state)
{
	atomic_store(&slot->reach, state);
	mms_futex_wake(&slot->reach, 1);
}

/* /proc/PID of the process with that number, which stands still; -1: it is not
 * surely that one, or has other threads. */
static int open_alone(const struct reader *r, uint64_t number, pid_t *ret_pid)
{
	struct stat task, same;
	uint64_t id;
	char path[32];

	if (!doorbell_known(r->bell, number, ret_pid, &id))
		return -1;
	int pidfd = (int)syscall(SYS_pidfd_open, *ret_pid, 0);
	bool is_same = pidfd >= 0 && fstat(pidfd, &same) == 0 && same.st_ino == id;
	snprintf(path, sizeof(path), "/proc/%d", (int)*ret_pid);
	int fd = is_same ? open(path, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	if (pidfd >= 0)
		close(pidfd);
	/* a folder for each thread */
	if (fd >= 0 && (fstatat(fd, "task", &task, 0) < 0 || task.st_nlink != 3)) {
		close(fd);
		return -1;
	}
	return fd;
}

static void put(struct reader *r, struct reading *x)
{
	pthread_mutex_lock(&r->lock);
	*r->last = x;
	r->last = &x->next;
	r->bytes += x->copy.size;
	pthread_mutex_unlock(&r->lock);
}

static void read_one(struct reader *r, struct mms_process *slot)
{
	uint32_t asked = MMS_REACH_ASKED;
	pid_t pid;

	/* It may have given up waiting meanwhile. */
	if (!atomic_compare_exchange_strong(&slot->reach, &asked, MMS_REACH_READING))
		return;
	struct reading *x = calloc(1, sizeof(*x));
	int proc_fd = x ? open_alone(r, slot->number, &pid) : -1;
	if (proc_fd < 0) {
		free(x);
		answer(slot, MMS_REACH_LATER);
		atomic_fetch_add(&r->n_left, 1);
	} else {
		x->number = slot->number;
		x->result = copy_read(&x->copy, proc_fd, pid);
		x->stamp = stamp_now(r->clock);
		if (atomic_load(&slot->reach) != MMS_REACH_READING)
			x->result = -ESRCH;
		close(proc_fd);
		put(r, x);
		answer(slot, MMS_REACH_DONE);
	}
	wake_main(r);
}

/* A main loop that comes to nothing may not be buried in copies. */
static void wait_for_room(struct reader *r)
{
	pthread_mutex_lock(&r->lock);
	while (r->bytes > WAITING_MAX && !r->stop)
		pthread_cond_wait(&r->taken, &r->lock);
	pthread_mutex_unlock(&r->lock);
}

static void *reader_main(void *argument)
{
	struct reader *r = argument;
	struct mms_header *h = r->session->header;
	struct mms_process *slot;

	while (!r->stop) {
		uint32_t seen = atomic_load(&h->n_reach);

		for (uint32_t i = 0; (slot = mms_process_slot(r->session, i)) && !r->stop; i++) {
			if (atomic_load(&slot->reach) != MMS_REACH_ASKED)
				continue;
			wait_for_room(r);
			read_one(r, slot);
		}
		if (!r->stop)
			mms_futex_wait(&h->n_reach, seen, 0);
	}
	return NULL;
}

int reader_start(const struct mms_session *session, struct doorbell *bell, const struct stamp_clock *clock,
	struct reader **ret)
{
	struct reader *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	*r = (struct reader){.session = session, .bell = bell, .clock = clock, .last = &r->first};
	pthread_mutex_init(&r->lock, NULL);
	pthread_cond_init(&r->taken, NULL);
	int error = pthread_create(&r->thread, NULL, reader_main, r);
	if (error)
		free(r);
	else
		*ret = r;
	return -error;
}

void reader_stop(struct reader *r)
{
	if (!r || r->stop)
		return;
	pthread_mutex_lock(&r->lock);
	r->stop = true;
	pthread_cond_signal(&r->taken);
	pthread_mutex_unlock(&r->lock);
	atomic_fetch_add(&r->session->header->n_reach, 1);
	mms_futex_wake(&r->session->header->n_reach, 1);
	pthread_join(r->thread, NULL);
}

struct reading *reader_take(struct reader *r)
{
	pthread_mutex_lock(&r->lock);
	struct reading *x = r->first;
	if (x) {
		r->first = x->next;
		if (!r->first)
			r->last = &r->first;
		r->bytes -= x->copy.size;
		pthread_cond_signal(&r->taken);
	}
	pthread_mutex_unlock(&r->lock);
	return x;
}

void reading_free(struct reading *x)
{
	if (!x)
		return;
	copy_done(&x->copy);
	free(x);
}

uint32_t reader_left(const struct reader *r)
{
	return r->n_left;
}

void reader_free(struct reader *r)
{
	struct reading *x;

	if (!r)
		return;
	reader_stop(r);
	while ((x = reader_take(r)))
		reading_free(x);
	pthread_mutex_destroy(&r->lock);
	pthread_cond_destroy(&r->taken);
	free(r);
}
