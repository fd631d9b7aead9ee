/*
 * workers.c - does the collector need more than one thread for the records?
 *
 * A thread more is of no use where no processor is free for it: then it takes
 * from the targets, and they wait for the ring as before.  Called by collect.c.
 */
#include "collect/workers.h"

#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#define FULL_LEAST 16u   /* blocks: two milliseconds of reading */
#define FULL_ROUNDS 3u
#define LANE_BLOCKS 8u   /* to wake a thread takes 0.05 ms, to read these 1 */
#define LOOK_NS 100000000u
#define CALM_NS 1000000000u
#define IDLE_WORTH 0.2   /* of a processor */

/* Since the start of the machine, of those that we may run on; 0: not known, or
 * it is but one. */
static double idle_seconds(void)
{
	cpu_set_t may;
	char line[512];
	unsigned long long user, nice, system, idle, wait, sum = 0;
	int n;
	FILE *f;

	if (sched_getaffinity(0, sizeof(may), &may) < 0 || CPU_COUNT(&may) < 2 || !(f = fopen("/proc/stat", "re")))
		return 0;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "cpu%d %llu %llu %llu %llu %llu", &n, &user, &nice, &system, &idle, &wait) == 6 && n >= 0 &&
			n < CPU_SETSIZE && CPU_ISSET(n, &may))
			sum += idle + wait;
	fclose(f);
	return (double)sum / (double)sysconf(_SC_CLK_TCK);
}

/* That clock ticks every 10 ms: shares of a tenth of a second, not finer. */
static bool processor_is_free(struct workers *w, uint64_t now_ns)
{
	double before = w->idle_s;
	uint64_t since = now_ns - w->look_ns;
	bool first = w->look_ns == 0;

	if (!first && since < LOOK_NS)
		return false;
	w->look_ns = now_ns;
	w->idle_s = w->idle_seconds();
	return !first && since < 2 * LOOK_NS && (w->idle_s - before) * 1e9 >= (double)since * IDLE_WORTH;
}

static uint32_t processors(void)
{
	cpu_set_t may;

	return sched_getaffinity(0, sizeof(may), &may) < 0 ? 1 : (uint32_t)CPU_COUNT(&may);
}

void workers_init(struct workers *w, const struct mms_header *h, struct drain *d)
{
	*w = (struct workers){ .asked = h->workers == 0 && !h->record_events, .idle_seconds = idle_seconds };
	if (h->workers > 1 && !h->record_events) /* their list is in the order of time */
		drain_lanes(d, h->workers, 1);
}

void workers_step(struct workers *w, const struct mms_header *h, struct drain *d, uint64_t now_ns)
{
	struct drain_stats s;

	if (!w->asked)
		return;
	drain_stats(d, &s);
	uint32_t used = s.ring_cells - s.free_cells; /* when the round began */
	bool full = used >= FULL_LEAST &&
		(used * 4 >= s.ring_cells || atomic_load_explicit(&h->n_waiting, memory_order_relaxed));
	w->n_full = full ? w->n_full + 1 : 0;
	if (full)
		w->full_ns = now_ns;
	if (!w->more && w->n_full >= FULL_ROUNDS && processor_is_free(w, now_ns)) {
		w->more = true;
		drain_lanes(d, processors(), LANE_BLOCKS);
	} else if (w->more && now_ns - w->full_ns > CALM_NS) {
		w->more = false;
		w->look_ns = 0;
		drain_lanes(d, 1, LANE_BLOCKS);
	}
}
