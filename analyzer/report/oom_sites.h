/*
 * oom_sites.h - which allocating stacks grew before a moment, and which held
 * the memory then.
 */
#ifndef REPORT_OOM_SITES_H
#define REPORT_OOM_SITES_H

#include "report/answer.h"

struct oom_site {
	const struct capture_stack *stack;
	char id[32];          /* stable site id; "" where the stack has none */
	uint64_t live;        /* bytes at the end of the window */
	int64_t grown;        /* bytes since its beginning */
};

struct oom_sites {
	struct oom_site *site;
	size_t n, capacity;
	int64_t from_ns, to_ns;
	uint64_t live; /* of all sites that have a series */
};

/* The sites of a process at to_ns and what they gained since from_ns.  Sites
 * that never held 16 KiB have no series and are left out. */
void oom_sites_load(struct oom_sites *s, struct answer *a, const struct answer_process *p, int64_t from_ns,
	int64_t to_ns);
void oom_sites_by_growth(struct oom_sites *s);
void oom_sites_by_size(struct oom_sites *s);
void oom_sites_done(struct oom_sites *s);

#endif
