/*
 * onlooker.c - runs a command and writes down how each of its processes was
 * at its end: descriptors, signal dispositions, threads, images, status.
 *
 *     onlooker FILE CMD...
 *
 * One JSON object a line, in the order the processes appeared.  Uses ptrace
 * events only (fork, vfork, clone, exec, exit), so nothing of what it tells
 * comes from mmscope: the driver compares a run with and without it, and the
 * process table of the database with this list.  The status is the command's.
 *
 * A process that was killed may end without the exit event; its descriptors
 * are null then.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define OPTIONS (PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | \
		 PTRACE_O_TRACEEXIT | PTRACE_O_EXITKILL) /* whoever ends us ends all */

struct process {
	pid_t pid, parent;
	int n_threads; /* ever started, the first one included */
	int status;    /* as wait reports it */
	bool ended;
	const char *by; /* the event that made it: fork, vfork, clone; start for the first */
	char *images;  /* JSON strings, comma between */
	char *fds;     /* JSON object, or NULL */
	char blocked[20], ignored[20], caught[20];
};

static struct process **processes;
static size_t n_processes;

static char *append(char *to, const char *text)
{
	size_t n = to ? strlen(to) : 0;
	char *p = realloc(to, n + strlen(text) + 1);

	if (!p)
		exit(125);
	strcpy(p + n, text);
	return p;
}

static char *append_json(char *to, const char *text)
{
	char one[8];

	to = append(to, "\"");
	for (; *text; text++) {
		if (*text == '"' || *text == '\\' || (unsigned char)*text < 32)
			snprintf(one, sizeof one, "\\u%04x", (unsigned char)*text);
		else
			snprintf(one, sizeof one, "%c", *text);
		to = append(to, one);
	}
	return append(to, "\"");
}

/* A number of /proc/TID/status, or 0. */
static pid_t status_number(pid_t tid, const char *key)
{
	char path[64], line[256];
	pid_t value = 0;

	snprintf(path, sizeof path, "/proc/%d/status", tid);
	FILE *f = fopen(path, "re");
	if (!f)
		return 0;
	while (fgets(line, sizeof line, f))
		if (!strncmp(line, key, strlen(key)))
			value = atoi(line + strlen(key));
	fclose(f);
	return value;
}

static struct process *process_of(pid_t pid)
{
	for (size_t i = n_processes; i-- > 0;)
		if (processes[i]->pid == pid && !processes[i]->ended)
			return processes[i];
	return NULL;
}

static struct process *process_add(pid_t pid)
{
	struct process *p = calloc(1, sizeof *p);

	processes = realloc(processes, (n_processes + 1) * sizeof *processes);
	if (!p || !processes)
		exit(125);
	p->pid = pid;
	p->parent = status_number(pid, "PPid:");
	p->by = n_processes ? "unknown" : "start";
	processes[n_processes++] = p;
	return p;
}

/* The process of a thread.  A thread that is not known yet is either the
 * first of a new process or one more of a known one. */
static struct process *process_of_thread(pid_t tid, bool is_new)
{
	pid_t pid = status_number(tid, "Tgid:");
	struct process *p = process_of(pid ? pid : tid);

	if (!p)
		p = process_add(pid ? pid : tid);
	if (is_new)
		p->n_threads++;
	return p;
}

static void note_image(struct process *p)
{
	char path[64], exe[4096];

	snprintf(path, sizeof path, "/proc/%d/exe", p->pid);
	ssize_t n = readlink(path, exe, sizeof exe - 1);
	exe[n > 0 ? n : 0] = 0;
	if (p->images)
		p->images = append(p->images, ",");
	p->images = append_json(p->images, exe);
}

static void note_descriptors(struct process *p)
{
	char path[64], target[4096], number[300];

	snprintf(path, sizeof path, "/proc/%d/fd", p->pid);
	DIR *d = opendir(path);
	if (!d)
		return;
	free(p->fds);
	p->fds = NULL;
	for (struct dirent *e; (e = readdir(d));) {
		if (e->d_name[0] == '.')
			continue;
		ssize_t n = readlinkat(dirfd(d), e->d_name, target, sizeof target - 1);
		target[n > 0 ? n : 0] = 0;
		snprintf(number, sizeof number, "%s\"%s\":", p->fds ? "," : "", e->d_name);
		p->fds = append_json(append(p->fds, number), target);
	}
	if (!p->fds)
		p->fds = append(NULL, "");
	closedir(d);
}

static void note_signals(struct process *p)
{
	char path[64], line[256];

	snprintf(path, sizeof path, "/proc/%d/status", p->pid);
	FILE *f = fopen(path, "re");
	if (!f)
		return;
	while (fgets(line, sizeof line, f)) {
		sscanf(line, "SigBlk: %19s", p->blocked);
		sscanf(line, "SigIgn: %19s", p->ignored);
		sscanf(line, "SigCgt: %19s", p->caught);
	}
	fclose(f);
}

/* The new process may have been seen, and even have ended, before its maker
 * tells.  A new thread has the maker's number and is left alone. */
static void note_birth(pid_t tid, const char *by)
{
	unsigned long message = 0;

	ptrace(PTRACE_GETEVENTMSG, tid, 0, &message);
	for (size_t i = n_processes; i-- > 0;)
		if (processes[i]->pid == (pid_t)message) {
			processes[i]->by = by;
			return;
		}
	pid_t pid = status_number((pid_t)message, "Tgid:");
	if (pid == (pid_t)message)
		process_add(pid)->by = by;
}

static void on_event(pid_t tid, int event)
{
	struct process *p = process_of_thread(tid, false);

	switch (event) {
	case PTRACE_EVENT_FORK:
		note_birth(tid, "fork");
		break;
	case PTRACE_EVENT_VFORK:
		note_birth(tid, "vfork");
		break;
	case PTRACE_EVENT_CLONE:
		note_birth(tid, "clone");
		break;
	case PTRACE_EVENT_EXEC:
		note_image(p);
		break;
	case PTRACE_EVENT_EXIT:
		if (tid == p->pid) {
			note_descriptors(p);
			note_signals(p);
		}
		break;
	}
}

/* Threads are known by their first stop; a small set is enough. */
static pid_t *known;
static size_t n_known;

static bool first_seen(pid_t tid)
{
	for (size_t i = 0; i < n_known; i++)
		if (known[i] == tid)
			return false;
	known = realloc(known, (n_known + 1) * sizeof *known);
	if (!known)
		exit(125);
	known[n_known++] = tid;
	return true;
}

static void forget(pid_t tid)
{
	for (size_t i = 0; i < n_known; i++)
		if (known[i] == tid) {
			known[i] = known[--n_known];
			return;
		}
}

static void on_end(pid_t tid, int status)
{
	struct process *p = process_of(tid);

	forget(tid);
	if (p) {
		p->status = status;
		p->ended = true;
	}
}

static void on_stop(pid_t tid, int status)
{
	int event = status >> 16, sig = WSTOPSIG(status);

	if (first_seen(tid))
		process_of_thread(tid, true);
	if (event == PTRACE_EVENT_STOP) {
		bool group = sig == SIGSTOP || sig == SIGTSTP || sig == SIGTTIN || sig == SIGTTOU;
		ptrace(group ? PTRACE_LISTEN : PTRACE_CONT, tid, 0, 0);
	} else if (event) {
		on_event(tid, event);
		ptrace(PTRACE_CONT, tid, 0, 0);
	} else {
		ptrace(PTRACE_CONT, tid, 0, (long)sig);
	}
}

static void print_all(const char *path)
{
	FILE *f = fopen(path, "we");

	if (!f)
		exit(125);
	for (size_t i = 0; i < n_processes; i++) {
		struct process *p = processes[i];
		bool by_signal = WIFSIGNALED(p->status);
		fprintf(f, "{\"pid\":%d,\"parent\":%d,\"by\":\"%s\",\"threads\":%d,\"end\":\"%s\",\"status\":%d,\"images\":[%s],"
			   "\"blocked\":\"%s\",\"ignored\":\"%s\",\"caught\":\"%s\",\"fds\":",
			p->pid, p->parent, p->by, p->n_threads, by_signal ? "signal" : "exit",
			by_signal ? WTERMSIG(p->status) : WEXITSTATUS(p->status), p->images ? p->images : "",
			p->blocked, p->ignored, p->caught);
		fprintf(f, p->fds ? "{%s}}\n" : "null}\n", p->fds ? p->fds : "");
	}
	fclose(f);
}

/* Waits until this process is watched, then becomes the command. */
static void child(const int *go, char **argv)
{
	char byte;

	close(go[1]);
	while (read(go[0], &byte, 1) < 0 && errno == EINTR)
		;
	close(go[0]);
	execvp(argv[0], argv);
	_exit(errno == ENOENT ? 127 : 126);
}

static pid_t start(char **argv)
{
	int go[2];

	if (pipe2(go, O_CLOEXEC))
		exit(125);
	pid_t pid = fork();
	if (pid == 0)
		child(go, argv);
	if (pid < 0 || ptrace(PTRACE_SEIZE, pid, 0, OPTIONS)) {
		perror("onlooker: ptrace");
		exit(125);
	}
	first_seen(pid);
	process_of_thread(pid, true);
	close(go[0]);
	close(go[1]);
	return pid;
}

int main(int argc, char **argv)
{
	int status, main_status = 0;

	if (argc < 3)
		return 125;
	pid_t main_pid = start(argv + 2);
	signal(SIGINT, SIG_IGN);
	for (;;) {
		pid_t tid = waitpid(-1, &status, __WALL);
		if (tid < 0 && errno == EINTR)
			continue;
		if (tid < 0)
			break;
		if (WIFSTOPPED(status)) {
			on_stop(tid, status);
			continue;
		}
		on_end(tid, status);
		if (tid == main_pid)
			main_status = status;
	}
	print_all(argv[1]);
	if (WIFSIGNALED(main_status)) {
		struct rlimit none = {0, 0};
		setrlimit(RLIMIT_CORE, &none);
		signal(WTERMSIG(main_status), SIG_DFL);
		raise(WTERMSIG(main_status));
	}
	return WEXITSTATUS(main_status);
}
