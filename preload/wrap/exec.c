/*
 * exec.c - the nine names of exec.
 *
 * Before the real call the image says good-bye (MMS_LONG_EXEC, end = EXEC in
 * its slot), because after it there is nobody left; when the call fails both
 * are taken back.  In a vfork child, which runs in our memory, only its pid
 * is noted: the image that goes on there is still ours.
 *
 * May run in a vfork child, after fork in a threaded program, or in a signal
 * handler: no allocation, no lock; the new environment, where one is needed,
 * lies on the stack.
 */
#include <alloca.h>
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <unistd.h>

#include "base/enter.h"
#include "base/next.h"
#include "base/sys.h"
#include "capture/emit.h"
#include "wrap/process.h"

/* ---- the environment that is passed on ---- */

static size_t count(char *const *list)
{
	size_t n = 0;
	while (list && list[n])
		n++;
	return n;
}

static char **find_preload(char *const *environment)
{
	const char *value;
	for (; environment && *environment; environment++)
		if (mms_after(*environment, "LD_PRELOAD=", &value))
			return (char **)(uintptr_t)environment;
	return NULL;
}

static bool separates(char c)
{
	return c == ':' || c == ' ' || c == 0;
}

/* Is the entry [p, end) of LD_PRELOAD this library? */
static bool is_ours(const char *p, const char *end)
{
	static const char name[] = "libmmscope.so";
	size_t n = sizeof(name) - 1, length = (size_t)(end - p);
	if (length < n || (length > n && end[-(ptrdiff_t)n - 1] != '/'))
		return false;
	for (size_t i = 0; i < n; i++)
		if (end[(ptrdiff_t)i - (ptrdiff_t)n] != name[i])
			return false;
	return true;
}

/* Finds our entry in LD_PRELOAD; *end is set behind it.  NULL: not there. */
static const char *our_entry(const char *value, const char **end)
{
	for (const char *p = value; *p;) {
		const char *e = p;
		while (!separates(*e))
			e++;
		*end = e;
		if (e > p && is_ours(p, e))
			return p;
		p = *e ? e + 1 : e;
	}
	return NULL;
}

/* Is there a file by this name?  Where the entry has a $, `name` stands for
 * it and for the word behind it. */
static bool is_there(const char *entry, const char *end, const char *name)
{
	char path[1024];
	size_t n = 0;
	for (const char *p = entry; p < end && n < sizeof(path) - 32; p++) {
		if (*p != '$') {
			path[n++] = *p;
			continue;
		}
		while (p + 1 < end && p[1] != '/')
			p++;
		for (const char *c = name; *c; c++)
			path[n++] = *c;
	}
	path[n] = 0;
	return mms_faccessat(AT_FDCWD, path, 4 /* R_OK */) != -ENOENT;
}

/* A changed root may not hold the library: ld.so would complain on stderr.
 * $LIB is one of three, the loader knows which. */
static bool is_out_of_reach(const char *entry, const char *end)
{
	static const char *const names[] = { "lib/x86_64-linux-gnu", "lib64", "lib" };
	if (*entry != '/' || end - entry >= 900)
		return false;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (is_there(entry, end, names[i]))
			return false;
	return true;
}

/* Copies entry without [from, to); buffer is as long as entry. */
static void cut(char *buffer, const char *entry, const char *from, const char *to)
{
	size_t n = 0;
	if (*to)
		to++; /* the separator behind it */
	for (const char *p = entry; p < from; p++)
		buffer[n++] = *p;
	for (; *to; to++)
		buffer[n++] = *to;
	while (n && (buffer[n - 1] == ':' || buffer[n - 1] == ' '))
		n--;
	buffer[n] = 0;
}

/* ldd asks the loader what it would load: nothing runs, and the answer is the
 * program's own without us. */
static bool is_only_listed(char *const *environment)
{
	const char *value;
	for (; *environment; environment++)
		if (mms_after(*environment, "LD_TRACE_LOADED_OBJECTS=", &value))
			return *value != 0;
	return false;
}

/* Should the new image come up without us?  --follow none: unless it is the
 * main process itself that goes on in another image. */
static bool is_dropped(char *const *environment, const char *entry, const char *end)
{
	const struct mms_session *s = capture_session();
	if (is_out_of_reach(entry, end) || is_only_listed(environment))
		return true;
	return capture_on() && s && s->header->follow == MMS_FOLLOW_NONE && !process_is_own();
}

/* What stands where.  Room for the copies must be on the exec wrapper's own
 * stack, so they are made in two steps: ask for sizes, then fill. */
struct passed {
	char **preload;         /* the variable in the caller's list */
	const char *from, *to;  /* our part of it */
};

static bool must_change(char *const *environment, struct passed *ret)
{
	const char *value = NULL;
	ret->preload = find_preload(environment);
	if (!ret->preload || !mms_after(*ret->preload, "LD_PRELOAD=", &value))
		return false;
	ret->from = our_entry(value, &ret->to);
	return ret->from && is_dropped(environment, ret->from, ret->to);
}

static char **fill(const struct passed *p, char *const *environment, char **list, char *text)
{
	size_t n = 0;
	cut(text, *p->preload, p->from, p->to);
	for (char *const *e = environment; *e; e++) {
		if (e != p->preload)
			list[n++] = *e;
		else if (!mms_streq(text, "LD_PRELOAD="))
			list[n++] = text;
	}
	list[n] = NULL;
	return list;
}

#define PASS_ON(environment)                                                                       \
	struct passed passed;                                                                      \
	if (must_change(environment, &passed))                                                     \
	environment = fill(&passed, environment, alloca((count(environment) + 1) * sizeof(char *)), \
		alloca(mms_strlen(*passed.preload) + 1))

/* ---- saying good-bye ---- */

/* Tells of a vfork child, once for each. */
static void note_vfork(void)
{
	static _Atomic uint32_t last;
	uint32_t pid = (uint32_t)mms_getpid();
	if (atomic_exchange_explicit(&last, pid, memory_order_relaxed) == pid)
		return;
	uint64_t now = capture_stamp();
	struct mms_fork note = { now, now, pid, MMS_FORK_VFORK };
	emit_long(MMS_LONG_FORK, 0, &note, sizeof(note), NULL, 0, NULL, 0);
}

/* True: taken back by after() if the call returns. */
static bool before(const char *path, void *const *fp)
{
	if (!capture_on() && !preload_enter())
		return false;
	capture_forked();
	struct mms_process *p = capture_process();
	if (!capture_on() || !p)
		return false;
	if (!process_is_own()) {
		note_vfork();
		return false;
	}
	process_look(MMS_LOOK_EXEC);
	size_t n = path ? mms_strlen(path) : 0;
	struct mms_exec note = { .path_length = (uint32_t)(n < 4096 ? n : 4096) };
	emit_long(MMS_LONG_EXEC, capture_stack(fp), &note, sizeof(note), path, note.path_length, NULL, 0);
	atomic_store_explicit(&p->end_stamp, capture_stamp(), memory_order_relaxed);
	atomic_store_explicit(&p->end, MMS_END_EXEC, memory_order_release);
	return true;
}

static void after(bool said)
{
	struct mms_process *p = capture_process();
	if (!said || !p)
		return;
	struct mms_exec note = { .error = errno };
	atomic_store_explicit(&p->end, MMS_END_NONE, memory_order_release);
	emit_long(MMS_LONG_EXEC_FAIL, 0, &note, sizeof(note), NULL, 0, NULL, 0);
}

/* ---- the nine names ---- */

static int do_execve(const char *path, char *const argv[], char *const envp[], void *const *fp)
{
	bool said = before(path, fp);
	PASS_ON(envp);
	int r = next.execve(path, argv, envp);
	after(said);
	return r;
}

static int do_execvpe(const char *file, char *const argv[], char *const envp[], void *const *fp)
{
	bool said = before(file, fp);
	PASS_ON(envp);
	int r = next.execvpe(file, argv, envp);
	after(said);
	return r;
}

WRAPPER int execve(const char *path, char *const argv[], char *const envp[])
{
	return do_execve(path, argv, envp, __builtin_frame_address(0));
}

WRAPPER int execv(const char *path, char *const argv[])
{
	return do_execve(path, argv, environ, __builtin_frame_address(0));
}

WRAPPER int execvp(const char *file, char *const argv[])
{
	return do_execvpe(file, argv, environ, __builtin_frame_address(0));
}

WRAPPER int execvpe(const char *file, char *const argv[], char *const envp[])
{
	return do_execvpe(file, argv, envp, __builtin_frame_address(0));
}

WRAPPER int fexecve(int fd, char *const argv[], char *const envp[])
{
	char path[32] = "/proc/self/fd/";
	mms_append_number(path, sizeof(path), (uint64_t)(unsigned)fd);
	bool said = before(path, __builtin_frame_address(0));
	PASS_ON(envp);
	int r = next.fexecve(fd, argv, envp);
	after(said);
	return r;
}

WRAPPER int execveat(int dir, const char *path, char *const argv[], char *const envp[], int flags)
{
	bool said = before(path, __builtin_frame_address(0));
	PASS_ON(envp);
	int r = next.execveat(dir, path, argv, envp, flags);
	after(said);
	return r;
}

/* The arguments up to NULL.  take_arguments leaves list behind it, where
 * execle has its environment. */
static size_t count_arguments(const char *first, va_list list)
{
	size_t n = first != NULL;
	while (first && va_arg(list, char *))
		n++;
	return n;
}

static void take_arguments(char **argv, const char *first, va_list list)
{
	size_t n = 0;
	argv[n] = (char *)(uintptr_t)first;
	while (argv[n])
		argv[++n] = va_arg(list, char *);
}

#define ARGUMENTS(argv, first)                                                                     \
	va_list list;                                                                              \
	char **argv = NULL;                                                                        \
	va_start(list, first);                                                                     \
	argv = alloca((count_arguments(first, list) + 1) * sizeof(char *));                               \
	va_end(list);                                                                              \
	va_start(list, first);                                                                     \
	take_arguments(argv, first, list)

WRAPPER int execl(const char *path, const char *first, ...)
{
	ARGUMENTS(argv, first);
	va_end(list);
	return do_execve(path, argv, environ, __builtin_frame_address(0));
}

WRAPPER int execlp(const char *file, const char *first, ...)
{
	ARGUMENTS(argv, first);
	va_end(list);
	return do_execvpe(file, argv, environ, __builtin_frame_address(0));
}

WRAPPER int execle(const char *path, const char *first, ...)
{
	ARGUMENTS(argv, first);
	char *const *envp = va_arg(list, char *const *);
	va_end(list);
	return do_execve(path, argv, envp, __builtin_frame_address(0));
}
