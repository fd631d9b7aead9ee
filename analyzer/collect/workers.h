/*
 * workers.h - does the collector need more than one thread for the records?
 *
 * Asked between two rounds.  More than one reads from when the ring has been
 * found a quarter full in round after round while a processor that we may use had
 * nothing to do, until it has not been for a second.  What they share out is in
 * lanes.c.  With `run --workers N` it is not asked: 1 is one; N up to N, whenever
 * two families of processes have records.
 */
#ifndef COLLECT_WORKERS_H
#define COLLECT_WORKERS_H

#include <stdbool.h>
#include <stdint.h>

#include "collect/drain.h"

struct workers {
	bool asked;   /* it is for us to decide */
	bool more;    /* more than one may read */
	uint32_t n_full;  /* rounds that found the ring full, up to now */
	uint64_t full_ns; /* last such round */
	uint64_t look_ns; /* when idle_s was read; 0: not yet */
	double idle_s;    /* as idle_seconds said then */
	double (*idle_seconds)(void); /* that processors had nothing to do; a test has its own */
};

void workers_init(struct workers *w, const struct mms_header *h, struct drain *d);
void workers_step(struct workers *w, const struct mms_header *h, struct drain *d, uint64_t now_ns);

#endif
