/*
 * run_wait.c - `mmscope run --wait`: an ordinary parent, until the database
 * is finished.
 *
 * The child does all that `run` does otherwise; this side only hands on:
 * signals downwards, stop and continue both ways, the end upwards.  Same
 * process group: the terminal's signals reach both by themselves, so they
 * are ignored here while waiting.  Called by run.c.
 */
#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "collect/exit_status.h"
#include "verbs.h"

static volatile sig_atomic_t child;

/* TSTP is ignored, too: the child's stop is seen by wait, and followed. */
static const int passed[] = {SIGTERM, SIGHUP, SIGCONT, SIGUSR1, SIGUSR2};
static const int ignored[] = {SIGINT, SIGQUIT, SIGTSTP};

static void hand_on(int sig)
{
	int saved = errno;
	if (child > 0)
		kill((pid_t)child, sig);
	errno = saved;
}

static void set_signals(void)
{
	struct sigaction action = {.sa_handler = hand_on, .sa_flags = SA_RESTART};
	for (size_t i = 0; i < sizeof(passed) / sizeof(passed[0]); i++)
		sigaction(passed[i], &action, NULL);
	action.sa_handler = SIG_IGN;
	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		sigaction(ignored[i], &action, NULL);
}

/* Until the child has ended; it stays as a zombie. */
static void await_end(pid_t pid)
{
	siginfo_t info;
	for (;;) {
		int r = waitid(P_PID, (id_t)pid, &info, WEXITED | WSTOPPED | WNOWAIT);
		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0 || info.si_code != CLD_STOPPED)
			return;
		waitid(P_PID, (id_t)pid, &info, WSTOPPED | WNOHANG);
		raise(SIGSTOP);
	}
}

/* Its end, as from wait(). */
static int take_end(pid_t pid)
{
	int status = W_EXITCODE(RUN_FAILED, 0);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return status;
}

/* Reads what the collector says after "R", until it ends.  False: it failed,
 * or ended without a word. */
static bool await_database(int fd, char *reason, size_t room)
{
	char text[1024];
	size_t n = 0;
	ssize_t r;
	while (n < sizeof(text) - 1 &&
		((r = read(fd, text + n, sizeof(text) - 1 - n)) > 0 || (r < 0 && errno == EINTR)))
		n += r > 0 ? (size_t)r : 0;
	text[n] = 0;
	const char *failure = strchr(text, 'E');
	snprintf(reason, room, "%s", failure && failure[1] ? failure + 1 :
			"the collector ended early (mmscope recover may help)");
	return text[0] == 'F';
}

/* The same end as the child's, so that our parent sees what it would see. */
static int end_like(int status)
{
	if (!WIFSIGNALED(status))
		return WEXITSTATUS(status);
	struct rlimit none = {0, 0};
	sigset_t one;
	int sig = WTERMSIG(status);
	setrlimit(RLIMIT_CORE, &none); /* one core is enough */
	signal(sig, SIG_DFL);
	sigemptyset(&one);
	sigaddset(&one, sig);
	sigprocmask(SIG_UNBLOCK, &one, NULL);
	fflush(NULL);
	kill(getpid(), sig);
	return 128 + sig;
}

static void print_report(const char *database)
{
	char *argv[] = {(char *)"report", (char *)database, NULL};
	verb_report(2, argv);
	fflush(stdout);
}

/* Never returns.  The parent learns by `word` that nothing was executed. */
static void child_main(const struct run_options *o, const int ready[2], int word)
{
	int status = run_in_place(o, ready);
	fflush(NULL);
	if (write(word, "X", 1) < 0)
		_exit(RUN_FAILED);
	_exit(status);
}

/* True when the child became the command. */
static bool was_executed(int word)
{
	char byte;
	ssize_t r;
	do
		r = read(word, &byte, 1);
	while (r < 0 && errno == EINTR);
	return r == 0;
}

static void await_and_report(const struct run_options *o, int ready, pid_t pid)
{
	char reason[600], database[4096];
	if (!await_database(ready, reason, sizeof(reason)))
		fprintf(stderr, "mmscope run: %s\n", reason);
	else if (o->summary && run_output_path(o, o->command[0], pid, database, sizeof(database)) == 0)
		print_report(database);
}

int run_and_wait(const struct run_options *o)
{
	int ready[2], word[2];
	sigset_t all, old;
	if (pipe2(ready, O_CLOEXEC) < 0 || pipe2(word, O_CLOEXEC) < 0) {
		fprintf(stderr, "mmscope run: pipe: %s\n", strerror(errno));
		return RUN_FAILED;
	}
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &old);
	pid_t pid = fork();
	if (pid == 0) {
		sigprocmask(SIG_SETMASK, &old, NULL);
		child_main(o, ready, word[1]);
	}
	child = pid;
	set_signals();
	sigprocmask(SIG_SETMASK, &old, NULL);
	close(ready[1]);
	close(word[1]);
	if (pid < 0) {
		fprintf(stderr, "mmscope run: fork: %s\n", strerror(errno));
		return RUN_FAILED;
	}
	/* Where the kernel does not keep how it ended the collector reads it from the zombie. */
	bool first = exit_status_is_kept();
	await_end(pid);
	int status = first ? take_end(pid) : 0;
	if (was_executed(word[0]))
		await_and_report(o, ready[0], pid);
	return end_like(first ? status : take_end(pid));
}
