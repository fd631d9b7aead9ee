/*
 * ticks.h - what /proc says of the living processes, once a second.
 */
#ifndef COLLECT_TICKS_H
#define COLLECT_TICKS_H

#include <stdint.h>

#include "collect/watch.h"

struct spaces;
struct store;

/* One row per living process.  store NULL: only the high-water marks. */
void ticks_take(struct watch *w, struct store *store, struct spaces *spaces, uint64_t now_ns);

#endif
