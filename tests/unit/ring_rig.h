/*
 * ring_rig.h - a session in memory, its reader, and records that can be told
 * apart: what the tests of the record path stand on.
 *
 * The target's side is preload/capture as it is; the reader's is the
 * collector's drain.  Every heap record carries a lane (a writer chosen by
 * the test) and a number in that lane, so that the reader sees each record
 * that is missing, doubled or changed.
 */
#ifndef TESTS_RING_RIG_H
#define TESTS_RING_RIG_H

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <mmscope/session.h>

#include "check.h"
#include "collect/drain.h"

#define RIG_LANES 64u
#define RIG_LANE_MAX (1u << 20) /* records of a lane */

struct rig_lane {
	uint64_t n, n_double, n_wrong, n_free;
	uint8_t *seen; /* one bit a record */
};

struct rig {
	struct mms_session session;
	struct drain *drain;
	struct order_sink sink;
	struct rig_lane lane[RIG_LANES];
	uint64_t n_long, n_long_wrong, n_begin, n_read, n_lost;
	uint64_t parent[64]; /* of process number i */
	uint32_t begin[64];
	pthread_t reader;
	_Atomic bool stop;
	uint32_t pause_us; /* between the reader's rounds */
	_Atomic uint64_t gone; /* number of a process that has ended, for the reader */
};

/* ring_cells blocks; the collector is `state`. */
void rig_open(struct rig *r, uint32_t ring_cells, enum mms_policy policy, enum mms_collector_state state);
void rig_start_reader(struct rig *r, uint32_t pause_us);
/* The process with this number has ended, as the collector learns by pidfd. */
void rig_process_gone(struct rig *r, uint64_t number);
/* Stops the reader and reads what is left. */
void rig_finish(struct rig *r);

/* Emits record number i of a lane: an allocation (with sizes that need the
 * long form now and then), or the free of it. */
void rig_alloc(uint32_t lane, uint32_t i);
void rig_free(uint32_t lane, uint32_t i);
/* The same record, put where one was reserved before. */
void rig_publish(uintptr_t p, uint32_t lane, uint32_t i);
/* A long record of n bytes of payload, whose content says what it must be. */
void rig_long(uint32_t n, uint32_t seed);

uint64_t rig_now_ms(void);
bool rig_failed(void); /* a check of the rig itself failed */

/* Runs fn in a process of its own, because capture starts once in each. */
static inline void rig_scenario(const char *name, void (*fn)(void))
{
	uint64_t t = rig_now_ms();
	int status = 0;
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		setpgid(0, 0);
		check_failed = 0; /* of the scenarios before */
		alarm(60); /* a hang is a failure, not a wait */
		fn();
		_exit(check_done() || rig_failed());
	}
	REQUIRE(pid > 0 && waitpid(pid, &status, 0) == pid);
	kill(-pid, SIGKILL); /* what a failed scenario left behind */
	printf("%-28s %s  %" PRIu64 " ms\n", name, status ? "FAILED" : "ok", rig_now_ms() - t);
	CHECK_EQ(status, 0);
}

#endif
