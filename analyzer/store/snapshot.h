/*
 * snapshot.h - a look at a running process, as rows.
 */
#ifndef STORE_SNAPSHOT_H
#define STORE_SNAPSHOT_H

#include <stddef.h>
#include <stdint.h>

#include "store/writer.h"

struct store_snapshot {
	const char *name;
	uint64_t process, t_ns;
	const char *method; /* copy: the process went on; stopped: it stood until it was read */
	const char *why;    /* why not by a copy; NULL */
	uint64_t pause_ns, read_ns, scan_ns, scanned_bytes, age_ns;
	uint64_t threads;
	const char *stacks_why; /* why stacks of threads have one frame; NULL */
	int64_t rss;            /* bytes; -1: not known */
};
struct store_snapshot_site {
	uint32_t stack;
	const char *verdict; /* definite, indirect, possible, reachable, young */
	uint64_t blocks, bytes, touched, resident;
};
struct store_snapshot_area {
	uint64_t start, end, resident;
	const char *kind; /* heap, stack, other */
	const void *states; /* of its pages, as in vma_pages; NULL: left out */
	size_t n_states;
	uint64_t live_resident, live_pages;
};
struct store_snapshot_frame {
	uint32_t tid, depth;
	uint64_t pc, offset;
	const char *function, *module; /* "": not known */
};

/* The id of the row; 0 with store_error: not written.  -EEXIST in *ret_error
 * when there is one of this name. */
uint64_t store_snapshot(struct store *s, const struct store_snapshot *v, int *ret_error);
int store_snapshot_site(struct store *s, uint64_t id, const struct store_snapshot_site *v,
	const struct stack_source *stacks);
int store_snapshot_area(struct store *s, uint64_t id, const struct store_snapshot_area *v);
int store_snapshot_frame(struct store *s, uint64_t id, const struct store_snapshot_frame *v);

#endif
