/*
 * pending.h - is a database about to be made, or about to be finished?
 *
 * `run` becomes the target before the collector has opened the database, and
 * the collector goes on when the target has ended.  Whoever asks in between
 * (`mmscope run -o a.db -- x && mmscope report a.db`) must neither be told
 * that the file is empty nor be given the recording that was there before.
 */
#ifndef STORE_PENDING_H
#define STORE_PENDING_H

#include <stdbool.h>

struct pending {
	char id[33];   /* the session, as in meta.session_id */
	bool has_ended; /* none of its processes is alive */
};

/* Looks for a session with a living collector whose database is at `path`. */
bool pending_find(const char *path, struct pending *ret);

#endif
