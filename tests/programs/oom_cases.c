/*
 * oom_cases.c - programs that go to a limit, and say how far they came.
 *
 *   oom_cases WAY PROGRESS [RATE]
 *
 * WAY grow, saw, spikes: RATE MiB a second, until killed; saw gives back every
 * fourth part for a moment, spikes hold 5 % more in one of twenty steps.
 * touch, null, small, maps, areas, threads: stand still for a second, then go
 * on until killed or refused, by untouched blocks of 1 MiB or of 1 KiB, by
 * mappings, areas, threads.  one, forks: one request that is too large, a fork
 * of RATE MiB.  noreserve: untouched memory of both kinds.  locks, space: until no more can
 * be locked, or mapped at all.  stacks: twelve threads use all of their stacks, and main does.
 * stay: sleeps.  brief: waits for a line, then mappings until refused, and over at
 * once.  PROGRESS is a file that always holds how many bytes (areas) were got since
 * then, and for how many ns a growing one lived: the kill itself, for taking its
 * memory away takes the kernel longer.  thp: forks over 64 MiB of huge pages and
 * waits for a line on stdin before each of its two steps.
 */
#include <alloca.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MIB (1u << 20)
#define HUGE_PAGE (2u << 20)
#define STEP (256u << 10)

static volatile uint64_t *progress;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* For a look from outside; MMS_SLOW says how much slower the machine is. */
static void stay(double seconds)
{
	const char *slow = getenv("MMS_SLOW");

	usleep((useconds_t)(seconds * 1e6 * (slow ? atof(slow) : 1)));
}

static void *take(size_t size)
{
	void *p = malloc(size);

	if (p)
		memset(p, 1, size);
	return p;
}

static void grow(double rate, int way)
{
	double begin = now(), got = 0;
	void *tooth = NULL;
	size_t extra = 0;

	for (unsigned step = 0;; step++) {
		double s = now() - begin;

		while (got < s * rate * MIB && take(STEP)) {
			got += STEP;
			progress[1] = (uint64_t)((now() - begin) * 1e9);
		}
		if (extra)
			munmap(tooth, extra);
		extra = 0;
		if (way == 's' && step % 40 >= 10) /* 8 MiB for three quarters of each tooth */
			extra = (size_t)(step % 40) * (8 * MIB / 40);
		if (way == 'p' && step % 20 == 7)
			extra = (size_t)(got / 20) + 1;
		/* Not by malloc: what is freed would be used again by the growth. */
		if (extra)
			tooth = mmap(NULL, extra, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (extra && tooth != MAP_FAILED)
			memset(tooth, 1, extra);
		*progress = (uint64_t)got;
		progress[1] = (uint64_t)((now() - begin) * 1e9);
		usleep(10000);
	}
}

static void touch(void)
{
	for (;;) {
		if (!take(STEP))
			break;
		*progress += STEP;
		usleep(4000);
	}
}

/* Memory that is not touched: the address space alone is used. */
static void until_null(size_t size)
{
	while (malloc(size))
		*progress += size;
	stay(0.3);
}

static void maps(double then_s)
{
	while (mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED)
		*progress += MIB;
	if (then_s > 0)
		stay(then_s);
}

/* More than all memory, less than the address space. */
static void one(void)
{
	*progress = malloc(32ull << 40) != NULL;
	stay(0.3);
}

static void forks(size_t size)
{
	char *p = malloc(size);
	pid_t child = fork();

	if (child == 0)
		_exit(p == NULL);
	*progress = child < 0;
	if (child > 0)
		waitpid(child, NULL, 0);
	stay(0.3);
}

/* 16 of 64 MiB touched with a promise; without one 100 of 512, and of 256 that
 * nobody may use half can be used later. */
static void noreserve(void)
{
	char *plain = mmap(NULL, 64u * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *sparse = mmap(NULL, 512u * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *kept = mmap(NULL, 256u * MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	memset(plain, 1, 16u * MIB);
	memset(sparse, 1, 100u * MIB);
	mprotect(kept, 128u * MIB, PROT_READ | PROT_WRITE);
	*progress = 1;
	sleep(3);
}

static void locks(void)
{
	char *p = mmap(NULL, 64u * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	for (size_t at = 0; at < 64u * MIB && mlock(p + at, MIB / 4) == 0; at += MIB / 4)
		*progress += MIB / 4;
	stay(0.3);
}

/* Until the pool has no more of them: that is said at once, not at the touch. */
static void pool(void)
{
	while (mmap(NULL, 2 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | 21 << MAP_HUGE_SHIFT,
		-1, 0) != MAP_FAILED)
		*progress += 2 * MIB;
	stay(0.3);
}

/* All that there is of the address space, in ever smaller pieces. */
static void space(void)
{
	for (size_t size = 1ul << 43; size >= MIB; size /= 2) {
		while (mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) != MAP_FAILED)
			*progress += size;
	}
	stay(0.3);
}

static void *sleeping(void *nothing)
{
	pause();
	return nothing;
}

/* Their stacks are promised, and not used.  Bytes of each; 0: as many as usual. */
static void threads(size_t stack)
{
	pthread_attr_t a;
	pthread_t thread;

	pthread_attr_init(&a);
	if (stack)
		pthread_attr_setstacksize(&a, stack);
	pthread_attr_getstacksize(&a, &stack);
	while (pthread_create(&thread, &a, sleeping, NULL) == 0)
		*progress += stack;
	stay(0.3);
}

#define STACKS 12

static pthread_barrier_t all_begin, all_done;

static void use_stack(size_t size)
{
	volatile char *p = alloca(size);

	for (size_t at = 0; at < size; at += 4096)
		p[at] = 1;
}

static void *deep(void *size)
{
	pthread_barrier_wait(&all_begin);
	use_stack(*(size_t *)size);
	pthread_barrier_wait(&all_done);
	pause();
	return NULL;
}

static void stacks(void)
{
	struct rlimit limit;
	pthread_t thread;

	getrlimit(RLIMIT_STACK, &limit);
	size_t size = (limit.rlim_cur == RLIM_INFINITY ? 8u * MIB : (size_t)limit.rlim_cur) - (64u << 10);
	pthread_barrier_init(&all_begin, NULL, STACKS + 1);
	pthread_barrier_init(&all_done, NULL, STACKS + 1);
	for (int i = 0; i < STACKS; i++) {
		if (pthread_create(&thread, NULL, deep, &size))
			exit(2);
	}
	sleep(1);
	*progress = 1;
	while (progress[1] != 1) /* what is used before has been read */
		usleep(1000);
	pthread_barrier_wait(&all_begin);
	use_stack(size);
	pthread_barrier_wait(&all_done);
	*progress = 2;
	while (progress[1] != 2)
		usleep(1000);
}

/* Every second page another protection: two areas more each. */
static void areas(void)
{
	size_t size = 600u << 20;
	char *p = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	for (size_t at = 4096; at < size && mprotect(p + at, 4096, PROT_NONE) == 0; at += 8192)
		*progress += 2;
	usleep(6000000); /* counting them takes its time, beside another test twice that */
}

static void wait_line(void)
{
	char c;

	while (read(0, &c, 1) == 1 && c != '\n')
		continue;
}

static void huge(void)
{
	size_t size = 64u * MIB;
	char *p = mmap(NULL, size + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	p = (char *)(((uintptr_t)p + HUGE_PAGE - 1) & ~(uintptr_t)(HUGE_PAGE - 1));
	madvise(p, size, MADV_HUGEPAGE);
	memset(p, 1, size);
	int go[2];
	if (pipe(go) < 0)
		return;
	pid_t child = fork();
	if (child == 0) {
		char c;

		close(go[1]);
		if (read(go[0], &c, 1) != 1)
			_exit(1);
		/* All but one small page of each huge one: the whole stays charged. */
		for (size_t at = 0; at < size; at += 4096) {
			if (at % HUGE_PAGE)
				p[at] = 2;
		}
		*progress = 1;
		_exit(read(go[0], &c, 1) < 0); /* until the parent closes its end */
	}
	wait_line();
	if (write(go[1], "x", 1) != 1)
		return;
	while (*progress != 1)
		usleep(1000);
	for (size_t at = 0; at < size; at += 4096)
		p[at] = 3;
	*progress = 2;
	wait_line();
	close(go[1]);
	waitpid(child, NULL, 0);
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	int fd = open(argv[2], O_RDWR | O_CREAT, 0600);
	if (fd < 0 || ftruncate(fd, 4096) < 0)
		return 2;
	progress = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (progress == MAP_FAILED)
		return 2;
	if (!strcmp(argv[1], "grow") || !strcmp(argv[1], "saw") || !strcmp(argv[1], "spikes"))
		grow(argc > 3 ? atof(argv[3]) : 40, argv[1][0] == 's' ? argv[1][1] == 'p' ? 'p' : 's' : 'g');
	if (!strcmp(argv[1], "thp")) {
		huge();
		return 0;
	}
	if (!strcmp(argv[1], "stacks")) {
		stacks();
		return 0;
	}
	if (!strcmp(argv[1], "brief")) {
		progress[1] = 1;
		wait_line();
		maps(0);
		return 0;
	}
	stay(1);
	if (!strcmp(argv[1], "touch"))
		touch();
	else if (!strcmp(argv[1], "null") || !strcmp(argv[1], "small"))
		until_null(argv[1][0] == 'n' ? MIB - 64 : 1000);
	else if (!strcmp(argv[1], "maps"))
		maps(0.3);
	else if (!strcmp(argv[1], "one"))
		one();
	else if (!strcmp(argv[1], "forks"))
		forks((size_t)atoi(argv[3]) * MIB);
	else if (!strcmp(argv[1], "threads"))
		threads(MIB);
	else if (!strcmp(argv[1], "usual"))
		threads(0);
	else if (!strcmp(argv[1], "locks"))
		locks();
	else if (!strcmp(argv[1], "space"))
		space();
	else if (!strcmp(argv[1], "pool"))
		pool();
	else if (!strcmp(argv[1], "noreserve"))
		noreserve();
	else if (!strcmp(argv[1], "stay"))
		pause();
	else
		areas();
	return 0;
}
