/*
 * session.h - asking the collector of a recording that goes on.
 */
#ifndef REPORT_SESSION_H
#define REPORT_SESSION_H

#include <stdbool.h>
#include <stddef.h>

#include <mmscope/session.h>

struct session_ask {
	const void *request;
	size_t request_size;
	void *reply;
	size_t reply_size;
	int patience_s;
};

/* Finds the session that writes the database at path, sends, and waits for the
 * answer.  False: `mmscope VERB: PATH: why` has been printed. */
bool session_ask(const char *verb, const char *path, const struct session_ask *ask);

/* Is the database being recorded? */
bool session_goes_on(const char *path);

/* An error of the collector's reply as a text. */
const char *session_error(int error);

#endif
