/*
 * options.h - what the environment says to the preload.
 *
 * Read once, by hand, in the first stage of the start: getenv takes part in
 * locks and may be interposed, and `environ` is still NULL when another
 * library's constructor runs before libc's.  The strings point into the
 * environment as it was then.
 *
 *   MMSCOPE_SESSION   session file to join (set by `mmscope run` or by us)
 *   MMSCOPE_OUT       database of a session that we make ourselves; a folder
 *                     ends in '/'
 *   MMSCOPE_BIN       path of the mmscope binary
 *   MMSCOPE_NOHELPER  1: do not start a collector (the session file stays)
 *   MMSCOPE_MODE      exact | sample
 *   MMSCOPE_SAMPLE    bytes between samples, like 512K; alone it means sample
 *   MMSCOPE_FOLLOW    all | none | a pattern for the name of the executable
 *   MMSCOPE_POLICY    block | drop
 *   MMSCOPE_COW       auto | off
 *   MMSCOPE_REACH     on | off
 *   MMSCOPE_UNWIND    own | libunwind
 *   MMSCOPE_AUDIT     compare one stack in N with a full walk
 */
#ifndef BASE_OPTIONS_H
#define BASE_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

struct options {
	const char *session;
	const char *out;
	const char *bin;
	const char *path;     /* "PATH=..." as it stands, for the collector */
	const char *preload;  /* value of LD_PRELOAD */
	const char *follow_glob;
	uint64_t sample_bytes; /* 0: default */
	uint32_t mode, follow, policy, engine, cow; /* 0: not said */
	uint32_t audit_every;
	bool no_helper, no_reach;
};

/* Fills *ret from an environment; NULL: this process's own. */
void options_read(char *const *environment, struct options *ret);

/* Shell pattern with * ? and [..] against a whole name. */
bool options_glob(const char *pattern, const char *name);

#endif
