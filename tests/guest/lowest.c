/* lowest.c - the lowest free descriptor is the program's, whatever is looked at
 * beside it: one thread opens and closes, another forks, gives back large mappings and
 * is refused memory.  What is open stays so, and so does a lock on it. */
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>
#include <string.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "guest.h"

#define ROUNDS 400
#define LARGE (300ul << 20)
#define HELD 300
#define FORKS 8
#define SHARED (32ul << 20)

static int held[HELD];

/* A child has no locks: it sees those of its parent. */
static bool is_locked(int fd)
{
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	int status;
	pid_t child = fork();

	if (child == 0)
		_exit(fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type == F_WRLCK && lock.l_pid == getppid() ? 0 : 1);
	return waitpid(child, &status, 0) == child && status == 0;
}

/* The first fork opens what watches them all, while no thread is there: it is
 * open until a child has ended. */
static void forks(pid_t *child, int n)
{
	for (int i = 0; i < n; i++) {
		child[i] = fork();
		if (child[i] == 0)
			for (;;)
				pause();
	}
}

static void end(const pid_t *child, int n)
{
	for (int i = 0; i < n; i++) {
		kill(child[i], SIGKILL);
		if (waitpid(child[i], NULL, 0) != child[i])
			printf("no child\n");
	}
}

static atomic_int over;

static void *opens(void *nothing)
{
	int want = open("/dev/null", O_RDONLY), wrong = 0;

	close(want);
	while (!over) {
		int fd = open("/dev/null", O_RDONLY);
		wrong += fd != want;
		close(fd);
	}
	printf("other numbers: %d\n", wrong);
	return nothing;
}

int main(void)
{
	struct rlimit limit;
	pthread_t thread;
	struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
	FILE *file = tmpfile();
	pid_t child[FORKS];

	if (fcntl(fileno(file), F_SETLK, &lock) < 0)
		printf("no lock\n");
	for (int i = 0; i < HELD; i++)
		held[i] = open("/dev/null", O_RDONLY);
	getrlimit(RLIMIT_AS, &limit);
	char *shared = mmap(NULL, SHARED, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(shared, 1, SHARED);
	forks(child, 1);
	pthread_create(&thread, NULL, opens, NULL);
	forks(child + 1, FORKS - 1);
	end(child, FORKS);
	munmap(shared, SHARED);
	for (int i = 0; i < ROUNDS; i++) {
		char *p = mmap(NULL, LARGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		p[LARGE / 2] = 1;
		munmap(p, LARGE);
	}
	limit.rlim_cur = 1;
	setrlimit(RLIMIT_AS, &limit);
	for (int i = 0; i < ROUNDS / 4; i++) {
		if (mmap(NULL, LARGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED)
			printf("not refused\n");
		usleep(1000);
	}
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_AS, &limit);
	over = 1;
	pthread_join(thread, NULL);
	for (int i = 0; i < HELD; i++)
		if (fcntl(held[i], F_GETFD) < 0)
			printf("closed: %d\n", held[i]);
	printf("locked: %d\n", is_locked(fileno(file)));
	return 0;
}
