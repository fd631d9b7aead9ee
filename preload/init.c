/*
 * init.c - the one place that starts things, in two stages.
 *
 * FIRST STAGE, preload_start(): in the first wrapped call of the process,
 * whoever makes it: a constructor of another library, a thread of its own,
 * dlsym of a library that stands before us.  libc may not be initialised,
 * the loader's lock may be held, half of the interposers of the process may
 * have no table yet.  Therefore: raw system calls, an own look at the
 * environment, dlsym; no setenv (it would be inside setenv's own malloc), no
 * dlopen, no waiting for another thread.
 *
 * SECOND STAGE, the constructor: everything that calls libc.  The exit
 * handler, the fork handlers, MMSCOPE_SESSION for our children, and, when
 * nobody has started a collector for us, the collector.
 *
 * When something does not work the process is simply not recorded.  Nothing
 * is printed and nothing is waited for.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/prctl.h>

#include <mmscope/launch.h>

#include "base/doorbell.h"
#include "base/enter.h"
#include "base/next.h"
#include "base/options.h"
#include "base/own.h"
#include "base/sys.h"
#include "capture/emit.h"
#include "capture/sample.h"
#include "capture/unwind.h"
#include "wrap/module.h"
#include "wrap/process.h"

_Atomic uint32_t preload_state;
__thread uint32_t guard_depth __attribute__((tls_model("initial-exec")));

/* Written by the first stage, read by the constructor. */
static struct {
	struct options options;
	struct mms_session session;
	char path[MMS_SESSION_PATH_MAX];
	char program[1024]; /* the executable's path, "" when not known */
	const char *exe;    /* its name */
	bool is_new;   /* we made the session ourselves */
	bool distrusts; /* may_be_killed() */
} start;

/* A sanitizer's runtime needs its own malloc to be first and calls us before
 * its own table is filled: beside one we forward and do nothing else. */
extern void __asan_init(void) __attribute__((weak));
extern void __tsan_init(void) __attribute__((weak));
extern void __msan_init(void) __attribute__((weak));
extern void __lsan_init(void) __attribute__((weak));
extern void __hwasan_init(void) __attribute__((weak));

static bool beside_sanitizer(void)
{
	return __asan_init || __tsan_init || __msan_init || __lsan_init || __hwasan_init;
}

/* ---- first stage ---- */

static void read_exe_name(void)
{
	long n = mms_readlinkat(AT_FDCWD, "/proc/self/exe", start.program, sizeof(start.program) - 1);
	start.program[n > 0 ? n : 0] = 0;
	start.exe = "unknown";
	for (const char *p = start.program; *p; p++)
		if (*p == '/' && p[1])
			start.exe = p + 1;
}

/* "/a/b/c" becomes "/a/b/". */
static void keep_folder(char *path)
{
	for (size_t i = mms_strlen(path); i > 0 && path[i - 1] != '/'; i--)
		path[i - 1] = 0;
}

/* Where the database of our own session goes: MMSCOPE_OUT, or
 * mmscope.<exe>.<pid>.db in the working folder. */
static int choose_output(char *output, size_t room, const char *cwd)
{
	const char *out = start.options.out;
	size_t n = out ? mms_strlen(out) : 0;
	int r = 0;
	output[0] = 0;
	if (!out || out[0] != '/') {
		r = mms_append(output, room, cwd);
		r = r ? r : mms_append(output, room, "/");
	}
	if (out)
		r = r ? r : mms_append(output, room, out);
	if (out && out[n - 1] != '/')
		return r;
	r = r ? r : mms_append(output, room, "mmscope.");
	r = r ? r : mms_append(output, room, start.exe);
	r = r ? r : mms_append(output, room, ".");
	r = r ? r : mms_append_number(output, room, (uint64_t)mms_getpid());
	return r ? r : mms_append(output, room, ".db");
}

/* No collector will come: 4 MiB, which take a millisecond to make. */
#define LONELY_RING 64u

/* Would the collector, once nobody's child, become ours again?  To pid 1 of
 * a namespace and to a subreaper every orphan comes home. */
static bool adopts_orphans(void)
{
	int subreaper = 0;
	mms_prctl(PR_GET_CHILD_SUBREAPER, (unsigned long)&subreaper, 0);
	return mms_getpid() == 1 || subreaper;
}

/* A filter that was there before the exec lets through what the loader and
 * libc need, but clone and socket may be death, and that cannot be found out
 * without trying.  A container's filter refuses with an error, as a rule, and
 * is switched on by somebody who had the right to; whoever locks himself in
 * without rights had to set no_new_privs first, and is not put to the test:
 * no doorbell and no collector of our own. */
static bool may_be_killed(void)
{
	return mms_prctl(PR_GET_SECCOMP, 0, 0) == 2 && mms_prctl(PR_GET_NO_NEW_PRIVS, 0, 0) == 1;
}

static int create_session(void)
{
	/* Static: these are too big for a thread's small stack, and only one
	 * thread ever comes here. */
	static char cwd[1024], output[2048], folder[2048];
	const struct options *o = &start.options;
	if (mms_syscall3(SYS_getcwd, (long)cwd, sizeof(cwd), 0) < 0 || cwd[0] != '/')
		mms_copy_string(cwd, sizeof(cwd), "/");
	int r = choose_output(output, sizeof(output), cwd);
	if (r < 0)
		return r;
	mms_copy_string(folder, sizeof(folder), output);
	keep_folder(folder);
	struct mms_create_options create = {
		.output = output,
		.fallback_dir = folder,
		.follow_glob = o->follow_glob,
		.cwd = cwd,
		.program = start.program,
		.policy = o->policy,
		.cow = o->cow,
		.mode = o->mode,
		.follow = o->follow,
		.engine = o->engine,
		.sample_bytes = o->sample_bytes,
		.audit_every = o->audit_every,
		.no_reach = o->no_reach,
		.n_ring_first = o->no_helper || adopts_orphans() || start.distrusts ? LONELY_RING : 0,
		.any_uid = mms_geteuid() == 0, /* daemons give their rights away */
	};
	start.is_new = true;
	return mms_session_create(&create, start.path, &start.session);
}

static int join_session(void)
{
	mms_copy_string(start.path, sizeof(start.path), start.options.session);
	return mms_session_join(start.path, &start.session);
}

/* The first process of the session, also after an exec in place. */
static bool is_first_process(void)
{
	const struct mms_header *h = start.session.header;
	uint32_t pid = (uint32_t)mms_getpid();
	return h->creator_pid == pid ||
		atomic_load_explicit(&h->next_process, memory_order_relaxed) == 1;
}

static bool is_followed(void)
{
	const struct mms_header *h = start.session.header;
	if (h->follow == MMS_FOLLOW_ALL || start.is_new || is_first_process())
		return true;
	return h->follow == MMS_FOLLOW_GLOB && options_glob(h->follow_glob, start.exe);
}

static void leave_session(void)
{
	mms_munmap(start.session.base, (size_t)start.session.n_cells_mapped << MMS_CELL_SHIFT);
	start.session.base = NULL;
}

static void note_coverage(uint32_t bits)
{
	struct mms_process *p = capture_process();
	if (p)
		atomic_fetch_or_explicit(&p->coverage, bits, memory_order_relaxed);
}

/* Everything of the first stage that follows dlsym. */
static void begin_recording(void)
{
	if (beside_sanitizer() || getauxval(AT_SECURE))
		return;
	start.distrusts = may_be_killed();
	if (start.distrusts)
		doorbell_mute();
	options_read(NULL, &start.options);
	read_exe_name();
	if ((start.options.session ? join_session() : create_session()) < 0)
		return;
	/* libunwind is loaded by the constructor; until then our own serves. */
	if (!is_followed() || unwind_init(MMS_ENGINE_OWN, start.session.header->audit_every) < 0 ||
		capture_start(&start.session) < 0) {
		leave_session();
		return;
	}
	own_note(start.session.base, (size_t)start.session.n_cells_mapped << MMS_CELL_SHIFT);
	if (start.distrusts)
		note_coverage(MMS_COV_SECCOMP);
	if (mms_session_is_small(&start.session))
		note_coverage(MMS_COV_SMALL_MAP);
}

bool preload_start(void)
{
	uint32_t cold = PRELOAD_COLD;
	if (!atomic_compare_exchange_strong(&preload_state, &cold, PRELOAD_STARTING))
		return false;
	int error = errno;
	guard_enter();
	next_resolve();
	process_prepare();
	begin_recording();
	guard_leave();
	errno = error;
	/* The first stack wants the list of modules: constructors allocate before ours. */
	atomic_store_explicit(&module_watch.stir, 1, memory_order_relaxed);
	atomic_store_explicit(&preload_state, PRELOAD_READY, memory_order_release);
	return capture_on();
}

/* ---- second stage ---- */

/* The library's own folder, from the loader; "" when not known. */
static void own_folder(char *ret, size_t room)
{
	Dl_info info;
	const char *cwd = start.session.header->cwd;
	ret[0] = 0;
	if (!dladdr((void *)(uintptr_t)own_folder, &info) || !info.dli_fname)
		return;
	if (info.dli_fname[0] != '/' && (mms_append(ret, room, cwd) || mms_append(ret, room, "/")))
		return;
	if (mms_append(ret, room, info.dli_fname) == 0)
		keep_folder(ret);
}

/* MMSCOPE_BIN, or where the program lies as seen from the library: installed
 * (lib, lib/<triplet>), or in a build folder. */
static bool find_program(char *ret, size_t room)
{
	static const char *const from_folder[] = { "../bin/mmscope", "../../bin/mmscope", "mmscope",
		"../analyzer/mmscope" };
	char folder[768];
	ret[0] = 0;
	if (start.options.bin)
		return mms_append(ret, room, start.options.bin) == 0 && mms_faccessat(AT_FDCWD, ret, 1) == 0;
	own_folder(folder, sizeof(folder));
	for (size_t i = 0; *folder && i < sizeof(from_folder) / sizeof(*from_folder); i++) {
		ret[0] = 0;
		if (mms_append(ret, room, folder) == 0 && mms_append(ret, room, from_folder[i]) == 0 &&
			mms_faccessat(AT_FDCWD, ret, 1 /* X_OK */) == 0)
			return true;
	}
	ret[0] = 0;
	return false;
}

static void start_collector(void)
{
	struct mms_header *h = start.session.header;
	int pid = 0;
	struct mms_collector_options o = {
		.bin = h->collector_bin,
		.session = start.path,
		.path = start.options.path,
		.ready_fd = -1,
		.ret_pid = &pid,
	};
	if (!find_program(h->collector_bin, sizeof(h->collector_bin)) || start.options.no_helper ||
		start.distrusts || adopts_orphans())
		return;
	if (mms_collector_start(&o) < 0)
		return;
	uint32_t none = MMS_COLLECTOR_NONE; /* it may be there already */
	atomic_compare_exchange_strong(&h->collector_state, &none, MMS_COLLECTOR_COMING);
	atomic_fetch_add(&h->free_seq, 1); /* who had given up may ask again */
	mms_prctl(PR_SET_PTRACER, (unsigned long)pid, 0);
}

/* Does a malloc of the program reach us?  Asked by calling it: an executable
 * with its own malloc, or a library preloaded before us, is found out, and a
 * PLT entry that merely looks like another malloc is not.  Where births are
 * sampled it moves the countdown. */
static void look_for_other_malloc(void)
{
	struct mms_process *p = capture_process();
	void *(*volatile theirs)(size_t) = (void *(*)(size_t))dlsym(RTLD_DEFAULT, "malloc");
	void (*volatile release)(void *) = (void (*)(void *))dlsym(RTLD_DEFAULT, "free");
	if (!p || !theirs || !release)
		return;
	uint64_t before = atomic_load_explicit(&p->n_nested, memory_order_relaxed);
	int64_t left = sample_count.left;
	release(theirs(1));
	if (atomic_load_explicit(&p->n_nested, memory_order_relaxed) == before && sample_count.left == left)
		note_coverage(MMS_COV_OWN_MALLOC);
}

/* setenv and on_exit are taken from behind us: bash has a setenv of its own. */
static void tell_children(void)
{
	int (*set)(const char *, const char *, int) =
		(int (*)(const char *, const char *, int))dlsym(RTLD_NEXT, "setenv");
	if (set)
		set(MMS_ENV_SESSION, start.path, 1);
}

static void note_exit(int status, void *unused)
{
	process_last_word(status, PROCESS_EXIT);
}

static void register_exit(void)
{
	int (*last)(void (*)(int, void *), void *) =
		(int (*)(void (*)(int, void *), void *))dlsym(RTLD_NEXT, "on_exit");
	if (last)
		last(note_exit, NULL);
}

/* What this image is.  The arguments lie one after the other, as the kernel
 * put them there: nothing is copied. */
static void introduce(int argc, char **argv)
{
	struct mms_process *p = capture_process();
	size_t length = 0, exe = mms_strlen(start.program);
	if (!p)
		return;
	if (argc > 0 && argv && argv[argc - 1] >= argv[0])
		length = (size_t)(argv[argc - 1] - argv[0]) + mms_strlen(argv[argc - 1]) + 1;
	if (length > 1024)
		length = 1024;
	struct mms_process_note note = {
		.number = p->number,
		.context = atomic_load_explicit(&p->context, memory_order_relaxed),
		.exe_length = (uint16_t)exe,
		.argv_length = (uint16_t)length,
	};
	emit_long(MMS_LONG_PROCESS, 0, &note, sizeof(note), start.program, exe, length ? argv[0] : NULL, length);
}

/* The loader gives constructors what main gets. */
static void __attribute__((constructor)) preload_constructor(int argc, char **argv)
{
	int error = errno;
	if (preload_state == PRELOAD_COLD)
		preload_start();
	if (!capture_on())
		return;
	introduce(argc, argv);
	guard_enter();
	register_exit();
	process_register();
	if (start.session.header->engine == MMS_ENGINE_LIBUNWIND)
		unwind_init(MMS_ENGINE_LIBUNWIND, start.session.header->audit_every);
	look_for_other_malloc();
	if (start.is_new) {
		tell_children();
		start_collector();
	} else {
		uint32_t pid = atomic_load_explicit(&start.session.header->collector_pid, memory_order_relaxed);
		if (pid)
			mms_prctl(PR_SET_PTRACER, pid, 0);
	}
	guard_leave();
	module_check();
	errno = error;
}
