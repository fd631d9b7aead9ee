/*
 * run_collector.c - the collector of `mmscope run`: a copy of ourselves.
 *
 *	run --clone(VM|VFORK, no exit signal)--> A --fork--> B = `mmscope collect`
 *	 `-- becomes CMD
 *
 * As mms_collector_start (launch.h), with one difference: mmscope is loaded
 * already, so B begins at once where the preload's has to be executed.  A goes
 * on upon a stack of its own size, because B does; what B must not share with
 * CMD (descriptors, signals, limits, terminal) is put away by the same code.
 *
 * B was `mmscope run CMD...`, and whoever looks for CMD by its command line
 * (pgrep -f, pkill -f) may not find B: its arguments are written over.
 */
#include "run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include <mmscope/launch.h>

#include "verbs.h"

#define STACK (8u << 20)

/* The kernel shows what lies between the first argument and the first variable
 * of the environment (or the program's file name, which is behind both); where
 * the last byte of that is written over, a text that may go on behind it. */
static void write_title(const char *session)
{
	char *start = program_invocation_name;
	char *arguments_end = environ[0] ? environ[0] : (char *)getauxval(AT_EXECFN), *end = arguments_end;
	char title[MMS_SESSION_PATH_MAX + 32];
	size_t n = (size_t)snprintf(title, sizeof(title), "mmscope collect %s", session) + 1, room;

	for (char **e = environ; *e == end; e++)
		end += strlen(end) + 1;
	if (!arguments_end || end <= start || arguments_end <= start)
		return;
	room = (size_t)(end - start);
	if (n > room)
		n = room;
	if (n <= (size_t)(arguments_end - start)) /* words, as those of an executed one */
		title[strlen("mmscope")] = title[strlen("mmscope collect")] = 0;
	memset(start, 0, room);
	memcpy(start, title, n - 1);
}

_Noreturn static void be_collector(struct mms_spawn_state *s, struct mms_session *session)
{
	const struct mms_collector_options *o = s->options;
	char *argv[] = {"collect", strdup(o->session), NULL}, *path = strdup(o->path);

	mms_spawn_detach(s);
	mms_munmap(session->base, (size_t)session->n_cells_mapped << MMS_CELL_SHIFT);
	write_title(o->session);
	clearenv();
	if (path)
		putenv(path);
	mms_signals_set(0);
	exit(argv[1] ? verb_collect(2, argv) : RUN_FAILED);
}

struct spawn {
	struct mms_spawn_state state;
	struct mms_session *session;
};

static void start(void *argument)
{
	struct spawn *p = argument;
	struct mms_spawn_state *s = &p->state;
	pid_t b = -1;

	s->pidfd = (int)mms_syscall3(SYS_pidfd_open, s->options->target_pid, 0, 0);
	if (s->pidfd >= 0 && (b = fork()) == 0)
		be_collector(s, p->session);
	if (b < 0)
		s->error = s->pidfd < 0 ? s->pidfd : -errno;
	mms_exit_group(b < 0 ? 127 : 0);
}

int run_start_collector(const struct mms_collector_options *o, struct mms_session *session)
{
	struct spawn p = {.state = {.options = o, .ready_fd = o->ready_fd}, .session = session};
	/* Left to the exec that follows: B runs on its own copy of it. */
	uint8_t *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);

	if (stack == MAP_FAILED)
		return -ENOMEM;
	int r = mms_spawn(stack + STACK, start, &p);
	return r < 0 ? r : __atomic_load_n(&p.state.error, __ATOMIC_RELAXED);
}
