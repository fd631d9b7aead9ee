/*
 * grow.h - the collector's hold on the session file: open, map, extend.
 */
#ifndef COLLECT_GROW_H
#define COLLECT_GROW_H

#include <stdbool.h>
#include <stdint.h>

#include <mmscope/session.h>

struct session_file {
	struct mms_session session;
	int fd;
	uint32_t n_ring, n_refused; /* ring cells there are; cells that found no room */
	int error;                  /* errno of the last refusal */
};

/* Maps the whole session.  `writable`: extend it and give blocks back for
 * the targets to see; else a private copy, the file stays as it is.  0 or
 * -errno; -EPROTO: no session of this version. */
int session_file_open(const char *path, bool writable, struct session_file *ret);
void session_file_close(struct session_file *f);

/* The first megabyte of the ring. */
void session_file_start(struct session_file *f);

/* Adds cells ahead of need.  free_ring: ring blocks without an owner. */
void session_file_grow(struct session_file *f, uint32_t free_ring);

#endif
