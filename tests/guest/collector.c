/*
 * collector.c - stands in for the collector in the tests of the start.
 *
 * Started as `collector collect SESSION` by the preload.  Writes beside
 * itself (collector.seen.PID, PID = the target's) what kind of process it
 * became, waits for the target's end by the pidfd, removes the session.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <mmscope/launch.h>

static int count_descriptors(void)
{
	int n = 0;
	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static int count_dispositions(void)
{
	int n = 0;
	struct sigaction a;
	for (int sig = 1; sig < 65; sig++)
		n += sigaction(sig, NULL, &a) == 0 && a.sa_handler != SIG_DFL;
	return n;
}

int main(int argc, char **argv)
{
	struct mms_session s;
	sigset_t mask;
	char name[1024], where[1024], cwd[256];
	if (argc != 3 || mms_session_join(argv[2], &s) < 0)
		return 1;
	ssize_t n = readlink("/proc/self/exe", where, sizeof(where) - 1);
	where[n > 0 ? n : 0] = 0;
	const char *folder = getenv("PATH") && strstr(getenv("PATH"), "guest-seen=") ?
		strstr(getenv("PATH"), "guest-seen=") + 11 : "/tmp";
	snprintf(name, sizeof(name), "%s/seen.%u", folder, s.header->creator_pid);
	FILE *out = fopen(name, "we");
	if (!out)
		return 1;
	sigprocmask(SIG_SETMASK, NULL, &mask);
	fprintf(out, "descriptors %d\n", count_descriptors() - 1);
	fprintf(out, "dispositions %d\n", count_dispositions());
	fprintf(out, "own session %d\n", getsid(0) == getpid() || getsid(0) != getsid(getppid()));
	fprintf(out, "blocked %d\n", sigismember(&mask, SIGTERM) || sigismember(&mask, SIGINT));
	fprintf(out, "cwd %s\n", getcwd(cwd, sizeof(cwd)));
	fprintf(out, "environment %d\n", getenv("LD_PRELOAD") || getenv("MMSCOPE_SESSION") || !getenv("PATH"));
	struct pollfd target = { .fd = MMS_PIDFD_FD, .events = POLLIN };
	int r = poll(&target, 1, 20000);
	fprintf(out, "target seen to end %d\n", r == 1);
	fclose(out);
	unlink(argv[2]);
	return 0;
}
