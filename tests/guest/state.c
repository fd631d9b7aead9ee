/* state.c - what the program can see of itself: descriptors, threads, signal
 * mask and dispositions, limits, timers, working folder, umask. */
#include <dirent.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/time.h>

#include "guest.h"

static void count(const char *folder)
{
	DIR *d = opendir(folder);
	int n = 0;
	while (d && readdir(d))
		n++;
	printf("%s %d\n", folder, n);
	if (d)
		closedir(d);
}

static void status(void)
{
	static const char *const lines[] = { "SigBlk", "SigIgn", "SigCgt", "SigPnd", "Threads", "Umask", "NoNewPrivs" };
	char text[256];
	FILE *f = fopen("/proc/self/status", "re");
	while (f && fgets(text, sizeof(text), f))
		for (size_t i = 0; i < sizeof(lines) / sizeof(*lines); i++)
			if (!strncmp(text, lines[i], strlen(lines[i])))
				fputs(text, stdout);
	if (f)
		fclose(f);
}

int main(int argc, char **argv)
{
	struct itimerval t;
	struct rlimit limit;
	errno = 77;
	void *volatile p = malloc(100);
	free(p);
	printf("errno %d\n", errno);
	churn(10000);
	count("/proc/self/fd");
	count("/proc/self/task");
	status();
	for (int i = 0; i < RLIM_NLIMITS; i++) {
		getrlimit(i, &limit);
		printf("limit %d %ld %ld\n", i, (long)limit.rlim_cur, (long)limit.rlim_max);
	}
	getitimer(ITIMER_REAL, &t);
	printf("timer %ld, dumpable %d, death signal %d\n", (long)t.it_value.tv_sec, prctl(PR_GET_DUMPABLE),
		prctl(PR_GET_PDEATHSIG, &(int){ 0 }));
	printf("environment LANG=%s\n", getenv("LANG"));
	return 0;
}
