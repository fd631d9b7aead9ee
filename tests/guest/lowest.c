/* lowest.c - the lowest free descriptor is the program's, whatever is looked at
 * beside it: one thread opens and closes, another gives back large mappings and
 * is refused memory.  What is open stays so, and so does a lock on it. */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <stdbool.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "guest.h"

#define ROUNDS 400
#define LARGE (300ul << 20)
#define HELD 300

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

	if (fcntl(fileno(file), F_SETLK, &lock) < 0)
		printf("no lock\n");
	for (int i = 0; i < HELD; i++)
		held[i] = open("/dev/null", O_RDONLY);
	getrlimit(RLIMIT_AS, &limit);
	pthread_create(&thread, NULL, opens, NULL);
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
