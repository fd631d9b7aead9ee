/*
 * run.c - `mmscope run`: makes the session, starts the collector, becomes CMD.
 *
 * CMD runs in the pid that was started, so parent, job control, signals and
 * exit status are those of an unprofiled run by construction.  Everything
 * that can fail is tried before; after execvp nothing of this program is
 * left but two environment variables.  No descriptor, signal mask or
 * disposition of the caller is changed.
 */
#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <mmscope/launch.h>

#include "collect/elf_check.h"
#include "verbs.h"

struct launch {
	const struct run_options *options;
	char program[4096]; /* CMD as found in PATH */
	struct elf_check elf;
	struct run_library library;
	char output[4096];
	bool made_output;
	char session_path[MMS_SESSION_PATH_MAX];
	struct mms_session session;
};

static int failed(const char *what, const char *why)
{
	fprintf(stderr, "mmscope run: %s: %s\n", what, why);
	return RUN_FAILED;
}

static const char *output_reason(int error)
{
	if (error == -EEXIST)
		return "exists and is no mmscope database";
	if (error == -ENOSPC || error == -EDQUOT)
		return "the disk is full";
	return strerror(-error);
}

/* Finds out whether all this can work.  0, or the status to end with. */
static int prepare(struct launch *l)
{
	const char *file = l->options->command[0];
	int r = elf_find(file, getenv("PATH"), l->program, sizeof(l->program));
	if (r < 0) {
		failed(file, strerror(-r));
		return r == -ENOENT ? RUN_NOT_FOUND : RUN_NOT_EXECUTABLE;
	}
	elf_check_file(l->program, &l->elf);
	r = run_find_library(&l->library);
	if (r < 0)
		return failed("libmmscope.so", "not found beside this program");
	if (strpbrk(l->library.plain, " :"))
		return failed(l->library.plain, "a path with a space or colon cannot be preloaded");
	r = run_output_path(l->options, file, getpid(), l->output, sizeof(l->output));
	if (r == 0)
		r = run_output_check(l->output, &l->made_output);
	return r < 0 ? failed(l->output[0] ? l->output : "output", output_reason(r)) : 0;
}

static void warn(const struct launch *l)
{
	if (l->elf.kind != ELF_GOOD)
		fprintf(stderr, "mmscope run: %s %s\n", l->elf.path, elf_kind_text(l->elf.kind));
}

static int make_session(struct launch *l)
{
	char cwd[1024] = "", folder[4096];
	const struct run_options *o = l->options;
	snprintf(folder, sizeof(folder), "%s", l->output);
	if (!getcwd(cwd, sizeof(cwd)))
		cwd[0] = 0;
	struct mms_create_options create = {
		.output = l->output,
		.collector_bin = l->library.self,
		.fallback_dir = dirname(folder),
		.follow_glob = o->follow_glob,
		.cwd = cwd[0] ? cwd : NULL,
		.program = l->program,
		.n_ring_max = (uint32_t)(o->ring_bytes / MMS_CELL_SIZE),
		.policy = o->policy,
		.follow = o->follow,
		.cow = o->cow,
		.engine = o->engine,
		.record_events = o->record_events,
		.audit_every = o->audit_every,
		.mode = o->mode,
		.sample_bytes = o->sample_bytes,
		.duration_s = o->duration_s,
		.processes_max = o->processes_max,
		.workers = o->workers,
		.no_reach = o->no_reach,
		.any_uid = o->any_uid,
	};
	int r = mms_session_create(&create, l->session_path, &l->session);
	if (r < 0)
		failed("cannot make the session file", r == -EFBIG ? "the file size limit is too low" : strerror(-r));
	return r;
}

/* The collector's first byte; 0 or -errno. */
static int await_ready(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	char byte;
	int r;
	do
		r = poll(&p, 1, 2000);
	while (r < 0 && errno == EINTR);
	if (r == 0)
		return -ETIMEDOUT;
	return read(fd, &byte, 1) == 1 && byte == 'R' ? 0 : -ECONNABORTED;
}

static int start_collector(struct launch *l, const int ready[2])
{
	char path[8192];
	snprintf(path, sizeof(path), "PATH=%s", getenv("PATH") ? getenv("PATH") : "/usr/bin:/bin");
	struct mms_collector_options options = {
		.bin = "/proc/self/exe",
		.session = l->session_path,
		.path = path,
		.target_pid = getpid(),
		.ready_fd = ready[1],
	};
	/* What the user preloads into CMD is in us as well, and of an allocator that
	 * would be half: strdup its own, free ours. */
	int r = getenv("LD_PRELOAD") ? mms_collector_start(&options) : run_start_collector(&options, &l->session);
	/* Ours goes first: else the end of a dead collector is never seen. */
	close(ready[1]);
	return r < 0 ? r : await_ready(ready[0]);
}

/* Ours first, but after a sanitizer's runtime, which insists on it. */
static int set_environment(const struct launch *l)
{
	const char *old = getenv("LD_PRELOAD");
	const char *first = l->elf.sanitizer;
	char *value;
	if (setenv(MMS_ENV_SESSION, l->session_path, 1) < 0)
		return -errno;
	/* Loaders that cannot take it would refuse to start the program (musl)
	 * or complain (32 bit); with $LIB they pass over it. */
	bool dollar = strcmp(l->library.entry, l->library.plain) != 0;
	if (!dollar && (l->elf.kind == ELF_MUSL || l->elf.kind == ELF_32BIT))
		return 0;
	if (asprintf(&value, "%s%s%s%s%s", first, first[0] ? ":" : "", l->library.entry,
		    old && old[0] ? ":" : "", old ? old : "") < 0)
		return -ENOMEM;
	int r = setenv("LD_PRELOAD", value, 1) < 0 ? -errno : 0;
	free(value);
	return r;
}

static void undo(struct launch *l)
{
	if (l->session_path[0])
		unlink(l->session_path);
	if (l->made_output)
		unlink(l->output);
}

static int launch(struct launch *l, const int ready[2])
{
	if (make_session(l) < 0) {
		undo(l);
		return RUN_FAILED;
	}
	int r = start_collector(l, ready);
	if (r == 0)
		r = set_environment(l);
	if (r < 0) {
		undo(l);
		return failed("cannot start the collector",
			r == -ECONNABORTED ? "it ended at once" : strerror(-r));
	}
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "mmscope: recording to %s; read it with: mmscope report %s\n", l->output,
			l->output);
	execvp(l->options->command[0], l->options->command);
	r = errno;
	failed(l->options->command[0], strerror(r));
	return r == ENOENT ? RUN_NOT_FOUND : RUN_NOT_EXECUTABLE;
}

int run_in_place(const struct run_options *o, const int ready[2])
{
	static struct launch l; /* 25 KiB of paths */
	int own[2] = {ready[0], ready[1]};
	l.options = o;
	int status = prepare(&l);
	if (status)
		return status;
	warn(&l);
	if (own[0] < 0 && pipe2(own, O_CLOEXEC) < 0)
		return failed("pipe", strerror(errno));
	return launch(&l, own);
}

int verb_run(int argc, char **argv)
{
	static const int none[2] = {-1, -1};
	struct run_options options;
	switch (run_options_parse(argc, argv, &options)) {
	case RUN_HELP:
		return VERB_OK;
	case RUN_WRONG:
		return RUN_FAILED;
	case RUN_PARSED:
		break;
	}
	return options.wait ? run_and_wait(&options) : run_in_place(&options, none);
}
