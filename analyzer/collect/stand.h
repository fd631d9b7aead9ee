/*
 * stand.h - where the threads of a process stood when it was frozen.
 */
#ifndef COLLECT_STAND_H
#define COLLECT_STAND_H

#include <stddef.h>
#include <stdint.h>

#include "collect/copy.h"
#include "collect/freeze.h"

#define STAND_DEPTH 64u /* frames of a thread, at most */

struct stand_frame {
	uint32_t tid, depth; /* depth 0: innermost */
	uint64_t pc, offset; /* offset: in the module's file; 0 where there is none */
	char function[128];  /* as the linker calls it; "" when not known */
	char module[192];    /* path; "" when not known */
};

struct stand {
	struct stand_frame *frame;
	size_t n, room;
};

/* Walks all stacks by the copied memory; the process itself is asked for its
 * modules and their code, so it must still be there.  0, or -errno with the
 * innermost frames alone: -ENOENT (libunwind is not installed), -ENOMEM. */
int stand_read(struct stand *s, const struct freeze *f, const struct copy *c, int proc_fd);
void stand_done(struct stand *s);

#endif
