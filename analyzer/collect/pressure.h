/*
 * pressure.h - limits and debts of the living processes, tick by tick.
 */
#ifndef COLLECT_PRESSURE_H
#define COLLECT_PRESSURE_H

#include <stdint.h>

#include "collect/watch.h"

struct pressure;
struct spaces;
struct store;

struct pressure *pressure_new(void); /* NULL: no memory */
void pressure_free(struct pressure *p);

/* One tick.  store NULL: nothing is kept; spaces: what is known of the address
 * spaces.  Returns in how many ns the next one is due: a second, less in the
 * first seconds and when a limit is near. */
uint64_t pressure_take(struct pressure *p, struct watch *w, struct store *store, struct spaces *spaces,
	uint64_t now_ns);

/* Who was refused told what it had, for it may be over when we look: at each tick,
 * and once more when the rest was read. */
void pressure_refused(struct pressure *p, struct watch *w, struct store *store, uint64_t now_ns);

/* A last look at the counters of the cgroups whose processes have gone since
 * the last call: whether the kernel killed them shows there. */
void pressure_gone(struct pressure *p, struct watch *w, struct store *store, uint64_t now_ns);

#endif
