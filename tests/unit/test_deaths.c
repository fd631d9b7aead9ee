/* test_deaths.c - collect/deaths.c: ends by signals, told before anybody has
 * waited; exits, execs and too many at once. */
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "collect/deaths.h"

#define PATIENCE_MS 20000

static pthread_mutex_t *shared; /* one for each child, as in a session */

static int stat_of(pid_t pid)
{
	char path[32];
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* A child that holds its mutex and ends as it is told. */
static pid_t child(pthread_mutex_t *m, int sig, int *ret_go)
{
	int ready[2], go[2];
	char byte = 0;
	pthread_mutexattr_t attr;
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(m, &attr);
	REQUIRE(pipe2(ready, O_CLOEXEC) == 0 && pipe2(go, O_CLOEXEC) == 0);
	pid_t pid = fork();
	if (pid == 0) {
		close(go[1]);
		pthread_mutex_lock(m);
		if (write(ready[1], &byte, 1) < 0 || read(go[0], &byte, 1) < 0)
			_exit(99);
		if (sig < 0)
			execl("/bin/sleep", "sleep", "60", (char *)NULL);
		if (sig) {
			signal(sig, SIG_DFL);
			raise(sig);
		}
		_exit(7);
	}
	REQUIRE(read(ready[0], &byte, 1) == 1);
	close(ready[0]);
	close(ready[1]);
	close(go[0]);
	*ret_go = go[1];
	return pid;
}

static bool is_marked(pthread_mutex_t *m)
{
	for (int ms = 0; ms < PATIENCE_MS; ms++, usleep(1000))
		if (__atomic_load_n((uint32_t *)m, __ATOMIC_ACQUIRE) & FUTEX_OWNER_DIED)
			return true;
	return false;
}

enum when { TAKEN, LATE, REAPED };

/* LATE: not looked at before the mark is made.  REAPED: not asked before the
 * parent has waited, so it is the thread that has seen it. */
static int end_of(struct deaths *d, int sig, enum when when)
{
	int go, status = 0;
	pid_t pid = child(shared, sig, &go);
	uint32_t place = when == LATE ? 0 : deaths_watch(d, (uint32_t *)shared, (uint32_t)pid, stat_of(pid));
	close(go);
	CHECK(is_marked(shared));
	if (when == LATE)
		place = deaths_watch(d, (uint32_t *)shared, (uint32_t)pid, stat_of(pid));
	REQUIRE(place != 0);
	if (when == REAPED) {
		sleep(1); /* the child stays until then */
		REQUIRE(waitpid(pid, &status, 0) == pid);
	}
	int told = deaths_take(d, place);
	if (sig < 0)
		kill(pid, SIGKILL);
	if (when != REAPED)
		REQUIRE(waitpid(pid, &status, 0) == pid);
	if (told >= 0)
		CHECK_EQ(told & ~0x80, status & ~0x80);
	return told;
}

static void too_many(struct deaths *d)
{
	int go, n = 0;
	pid_t pid = child(shared, 0, &go);
	uint32_t place[DEATHS_MAX + 1];
	for (uint32_t i = 0; i <= DEATHS_MAX; i++) {
		place[i] = deaths_watch(d, (uint32_t *)shared, (uint32_t)pid, stat_of(pid));
		n += place[i] != 0;
	}
	CHECK_EQ(n, DEATHS_MAX);
	CHECK_EQ(deaths_take(d, place[0]), -1);
	place[0] = deaths_watch(d, (uint32_t *)shared, (uint32_t)pid, stat_of(pid));
	CHECK(place[0] != 0); /* what was given back is given out again */
	for (uint32_t i = 0; i < DEATHS_MAX; i++)
		deaths_take(d, place[i]);
	close(go);
	waitpid(pid, NULL, 0);
}

int main(void)
{
	struct deaths *d = NULL;
	int r = deaths_open(&d);
	if (r == -ENOSYS)
		return 77;
	REQUIRE(r == 0);
	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	REQUIRE(shared != MAP_FAILED);
	CHECK_EQ(end_of(d, SIGKILL, REAPED), SIGKILL);
	CHECK_EQ(end_of(d, SIGTERM, TAKEN), SIGTERM);
	CHECK_EQ(end_of(d, SIGSEGV, LATE) & ~0x80, SIGSEGV);
	CHECK_EQ(end_of(d, 0, TAKEN), -1); /* an exit: the process tells that itself */
	CHECK_EQ(end_of(d, -1, TAKEN), -1); /* it is another program now */
	too_many(d);
	deaths_close(d);
	return check_done();
}
