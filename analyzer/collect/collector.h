/*
 * collector.h - one recording, from the session file to the database.
 *
 * `collect` runs it while targets live; `recover` runs its last part over a
 * session that was left behind.
 */
#ifndef COLLECT_COLLECTOR_H
#define COLLECT_COLLECTOR_H

#include <stdbool.h>
#include <stdint.h>

#include "collect/control.h"
#include "collect/cow.h"
#include "collect/doorbell.h"
#include "collect/drain.h"
#include "collect/feed.h"
#include "collect/grow.h"
#include "collect/judge.h"
#include "collect/snapshot.h"
#include "collect/spaces.h"
#include "collect/watch.h"
#include "collect/workers.h"
#include "model/model.h"
#include "store/writer.h"

struct collector {
	const char *session_path;
	struct session_file file;
	struct doorbell *bell; /* NULL in recover */
	struct model *model;
	struct feed feed;
	struct drain *drain;
	struct workers workers;
	struct watch watch;
	struct spaces spaces;
	struct cows cows;
	struct judge judge;
	struct control control;
	struct snapshots snapshots;
	struct pressure *pressure; /* NULL in recover */
	struct store *store; /* NULL: the database cannot be written */
	struct stack_source stacks;
	char output[4096];   /* where the database is */
	char failure[512];   /* why it is not where it was asked for; "" */
	uint64_t next_tick_ns, last_busy_ns; /* many records came, or many blocks */
	uint64_t blocks_before;              /* given back, before this round */
	uint64_t flushed_ns, flush_took_ns; /* the last flush */
	size_t flushed_modules;
	uint32_t flushed_sums; /* model.process_sums */
	bool dirty;      /* something came since the last flush */
	bool recovering; /* there is no collector's knowledge of the end */
	const char *earlier; /* database of this session's killed collector; NULL: none */
	bool incomplete; /* the end of the recording was not seen */
};

/* Session mapped, nothing else yet: builds model, drain and watch. 0 or -errno. */
int collector_begin(struct collector *c);
/* ns since the capture's start. */
uint64_t collector_now(const struct collector *c);
/* Opens the database at path; failure is kept in c->failure. */
int collector_store(struct collector *c, const char *path);
/* Where there are too many processes old ended ones become sums.  over: nothing
 * will come any more. */
void collector_sum_up(struct collector *c, bool over);
/* Writes what there is so far; a failure is kept, and tried again later. */
void collector_flush(struct collector *c);
bool collector_flush_due(const struct collector *c, uint64_t now_ns);
/* Reads the session to its end and completes the database; elsewhere when it
 * cannot be written where it should be.  0, or -errno when nothing was saved. */
int collector_finish(struct collector *c);
void collector_end(struct collector *c);

#endif
