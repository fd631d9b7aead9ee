/*
 * watch.h - the processes of a session, seen from outside.
 *
 * A PROCESS is what the kernel knows (pid, pidfd, exit status); an IMAGE is
 * what a process is between two execs and has a number in the session.
 */
#ifndef COLLECT_WATCH_H
#define COLLECT_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "collect/doorbell.h"
#include "collect/drain.h"
#include "collect/numbered.h"
#include "model/model.h"

/* Descriptors of /proc/PID that are kept; a tick is then two preads. */
struct watch_files {
	int stat, status; /* -1: not open */
};

struct watch_process {
	pid_t pid;
	bool is_free;       /* forgotten: its place is for another */
	int pidfd, proc_fd; /* -1: none */
	uint64_t pidfd_id;  /* inode of the pidfd; 0: the kernel gives none */
	uint64_t image;     /* number of its newest image; 0: never joined */
	uint64_t came_ns, gone_ns; /* gone_ns 0: lives */
	bool unjoined_exec; /* its newest image is one that did not join */
	uint64_t ghost;     /* the number under which that image is listed; 0: not yet */
	uint64_t fork_parent; /* image whose fork record named it; 0: none */
	char *exe;          /* of a process that did not join; NULL: not known */
	uint32_t death;     /* place in watch.deaths; 0: none */
	bool status_known;
	int wait_status;
	struct watch_files files;
	struct mms_mm mm; /* status at the last tick; total 0: it has no memory (any more) */
};

struct watch_image {
	uint64_t number;
	uint32_t slot;
	uint32_t process; /* index + 1; 0: the process is not known */
	bool known, gone;
	bool followed_by_exec; /* the process became another image */
	uint32_t begin;        /* enum mms_begin as rung; 0: not rung */
	uint64_t missed_ns;    /* when its bell was first missed */
	uint64_t gone_ns;
	uint64_t parent;       /* found by pid; 0: none */
	uint64_t hiwater_bytes; /* VmHWM at the last tick; 0: lived shorter */
	char *exe, *cwd;
};

struct watch {
	const struct mms_session *session;
	struct doorbell *bell;
	struct deaths *deaths; /* NULL: the kernel keeps how processes ended, or cannot do this either */
	struct drain *drain;
	struct model *model;
	struct watch_process *processes;
	size_t n_processes, processes_room, n_free;
	struct numbered images; /* struct watch_image */
	size_t n_alive;   /* processes that live */
	size_t n_waiting; /* gone, status not known yet */
	bool awaits_thread; /* a process has just come; its end will be looked at once its thread is known */
	uint64_t fork_seen; /* the newest fork that was looked at */
	size_t n_unjoined; /* forgotten ones that ended in a program which never joined */
	size_t n_unseen_execs; /* images that became one that did not join, unseen from outside */
	void (*asked)(void *arg, struct bell_event *e); /* takes requests and their descriptors */
	void *asked_arg;
	uint64_t last_change_ns, now_ns; /* now_ns: of the last round */
	bool finishing;
};

void watch_init(struct watch *w, const struct mms_session *s, struct doorbell *bell, struct drain *drain,
	struct model *model);
void watch_done(struct watch *w);

/* Those that joined before anybody listened: their bells were not heard. */
void watch_existing(struct watch *w, uint64_t now_ns);

/* The first process, by the pidfd that the collector was born with. */
int watch_first(struct watch *w, int pidfd, uint64_t now_ns);

/* Before kernels keep how a process ended: from now on it is read while it ends. */
void watch_deaths(struct watch *w);

/* Takes what the doorbell heard, looks for what it did not hear, asks again
 * for what the kernel did not tell yet. */
void watch_round(struct watch *w, uint64_t now_ns);

/* Nobody lives any more, and nobody can be on the way. */
bool watch_over(const struct watch *w, uint64_t now_ns);

/* Writes what is known from outside into the model. */
void watch_apply(struct watch *w);

/* The recording ends here, those that live do not. */
void watch_leave(struct watch *w);

/* The last try for exit statuses; all images count as gone afterwards. */
void watch_finish(struct watch *w);

/* The image, where anything is known of it. */
static inline struct watch_image *watch_image_find(const struct watch *w, uint64_t number)
{
	return numbered_find(&w->images, number);
}
/* More may come to be known of the process from outside. */
bool watch_needs(const struct watch *w, const struct model_process *p);
/* Forgets what the model has no row for any more (model_sum_up). */
void watch_forget(struct watch *w);

/* Processes that ended in a program that was never recorded. */
size_t watch_unjoined(const struct watch *w);

#endif
