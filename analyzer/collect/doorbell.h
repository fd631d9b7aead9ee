/*
 * doorbell.h - hears of processes: who came, who went.
 *
 * A thread of its own listens, because a process that lives for a
 * millisecond is only known if it is asked for its pidfd at once.  What it
 * hears stands in a queue that the collector's main loop empties.
 */
#ifndef COLLECT_DOORBELL_H
#define COLLECT_DOORBELL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <mmscope/session.h>

struct doorbell;

enum bell_what { BELL_RANG, BELL_GONE, BELL_ASKED };

struct bell_event {
	enum bell_what what;
	uint32_t key;              /* BELL_GONE: as given to doorbell_watch */
	struct mms_doorbell note;  /* BELL_RANG: what the process says of itself */
	struct mms_request request; /* BELL_ASKED */
	struct mms_snapshot_request snapshot; /* the same, where request.what is MMS_REQUEST_SNAPSHOT */
	int reply_fd;              /* BELL_ASKED: where the answer goes.  The taker owns it */
	pid_t pid;                 /* as this process sees it; 0: not visible from here */
	uid_t uid;
	int pidfd;                 /* -1: none.  The taker owns it */
	int proc_fd;               /* /proc/PID, O_PATH; -1: none.  The taker owns it */
	char *exe, *cwd;           /* NULL: could not be read.  The taker owns them */
};

/* Listens from here on (connections queue up); the thread starts later, so
 * that `ready` can be told before any work is done.  0 or -errno. */
int doorbell_open(const struct mms_header *h, struct doorbell **ret);
int doorbell_start(struct doorbell *d, struct mms_header *wake);
/* Stops the thread and closes.  Accepts NULL. */
void doorbell_close(struct doorbell *d);

/* Reports BELL_GONE with this key once the process has ended. */
int doorbell_watch(struct doorbell *d, int pidfd, uint32_t key);
void doorbell_unwatch(struct doorbell *d, int pidfd);

/* Who rang with that number: its pid, and the identity of its pidfd (st_ino).  Waits
 * a little for a bell that may not have been heard yet.  False: not known. */
bool doorbell_known(struct doorbell *d, uint64_t number, pid_t *ret_pid, uint64_t *ret_id);

/* Oldest event first; false when there is none. */
bool doorbell_take(struct doorbell *d, struct bell_event *ret);

#endif
