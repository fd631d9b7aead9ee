/*
 * cow_pair.c - a fork whose page writes are known: says what must be reported.
 *
 *	cow_pair SEED 4k|huge|kept [children] [kill|faults]
 *
 * 65,536 pages in 128 areas; after the fork each page is left alone, written
 * by the child, by the parent, by both in either order, or dropped by the
 * child; some areas lose their end in the child (kept: 4 KiB, and neither of
 * the last two).  One line for each area: counts, and a letter for each page,
 * s not written, p by the parent, c by the child, b by both:
 *	area START shared PARENT CHILD BOTH LETTERS
 * With several children (forked one after the other, the parent writes between)
 * there is one block of lines for each, after "fork N".  kill: the child, which
 * has written all by then, is killed by SIGKILL when a byte comes from standard
 * input.  faults: "faults PARENT CHILD", the minor faults that each counted
 * itself since the fork.  With COW_GROUP, the
 * folder of its memory cgroup, "rss N" says what it grew by in bytes.
 */
#include <alloca.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define AREAS 128
#define PAGES 512
#define PAGE 4096ul
#define STRIDE (2 * PAGES * PAGE)
#define MAX_CHILDREN 4

enum class { ALONE, CHILD, PARENT, CHILD_FIRST, PARENT_FIRST, DROPPED, DROPPED_PARENT, CLASSES };

static unsigned char *base;
static unsigned char class_of[MAX_CHILDREN][AREAS * PAGES];
static unsigned char cut[MAX_CHILDREN][AREAS]; /* the child unmaps the last 64 pages */
static uint64_t state;
static long *child_faults; /* shared; NULL: nobody counts */

static unsigned rnd(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (unsigned)(state >> 33);
}

static unsigned char *page(int i)
{
	return base + (size_t)(i / PAGES) * STRIDE + (size_t)(i % PAGES) * PAGE;
}

static int is_cut(int k, int i)
{
	return cut[k][i / PAGES] && i % PAGES >= PAGES - 64;
}

static void write_pages(int k, int a, int b, int child)
{
	for (int i = 0; i < AREAS * PAGES; i++)
		if ((class_of[k][i] == a || class_of[k][i] == b) && !(child && is_cut(k, i)))
			page(i)[rnd() % PAGE]++;
}

/* Asked without any code but this, and told in a page that is written already. */
static inline __attribute__((always_inline)) long faults(struct rusage *u)
{
	long r;

	__asm__ volatile("syscall" : "=a"(r) : "0"(SYS_getrusage), "D"(RUSAGE_SELF), "S"(u) : "rcx", "r11", "memory");
	return r ? -1 : u->ru_minflt;
}

/* A fork whose way back to us takes no fault that we do not count: this code is
 * in a page of our own, and the fork itself writes this part of the stack. */
static __attribute__((noinline, aligned(4096))) pid_t counted_fork(long *ret_faults)
{
	struct rusage u;
	volatile char *middle = alloca(PAGE + ((uintptr_t)__builtin_frame_address(0) - PAGE / 2) % PAGE); /* of a page */

	*middle = 1;
	pid_t pid = fork();
	*ret_faults = faults(&u);
	return pid;
}

/* counted_fork was far below: the stack between is written to now. */
static __attribute__((noinline)) void touch_stack(void)
{
	volatile char below[4 * PAGE];

	for (size_t i = 0; i < sizeof(below); i += PAGE)
		below[i] = 1;
}

static void own_page_of(void *code)
{
	volatile unsigned char *at = (volatile unsigned char *)((uintptr_t)code / PAGE * PAGE);

	if (mprotect((void *)at, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC) == 0)
		at[PAGE - 1] = at[PAGE - 1];
	mprotect((void *)at, PAGE, PROT_READ | PROT_EXEC);
}

static void child_part(int k, int in, int out, long before)
{
	char c;
	struct rusage u;

	if (child_faults) {
		*child_faults = faults(&u); /* both are written to now, so that the answer takes no fault */
		touch_stack();
	}
	for (int i = 0; i < AREAS; i++)
		if (cut[k][i])
			munmap(page(i * PAGES + PAGES - 64), 64 * PAGE);
	write_pages(k, CHILD, CHILD_FIRST, 1);
	for (int i = 0; i < AREAS * PAGES; i++)
		if ((class_of[k][i] == DROPPED || class_of[k][i] == DROPPED_PARENT) && !is_cut(k, i))
			madvise(page(i), PAGE, MADV_DONTNEED);
	if (write(out, "1", 1) != 1 || read(in, &c, 1) != 1)
		_exit(1);
	write_pages(k, PARENT_FIRST, PARENT_FIRST, 1);
	if (write(out, "2", 1) != 1 || read(in, &c, 1) != 1)
		_exit(1);
	if (child_faults) {
		*child_faults = faults(&u) - before;
		_exit(0);
	}
	exit(0);
}

static void tell(int k)
{
	printf("fork %d\n", k);
	for (int a = 0; a < AREAS; a++) {
		unsigned parent = 0, child = 0, both = 0;
		char letters[PAGES + 1];

		for (int i = a * PAGES; i < (a + 1) * PAGES; i++) {
			int c = class_of[k][i];
			int by_child = !is_cut(k, i) && (c == CHILD || c == CHILD_FIRST || c == PARENT_FIRST);
			int by_parent = c == PARENT || c == CHILD_FIRST || c == PARENT_FIRST || c == DROPPED_PARENT;
			/* what the parent writes later is a break of the earlier forks too */
			for (int later = k + 1; later < MAX_CHILDREN; later++) {
				int d = class_of[later][i];
				by_parent |= d == PARENT || d == CHILD_FIRST || d == PARENT_FIRST || d == DROPPED_PARENT;
			}
			parent += (unsigned)by_parent;
			child += (unsigned)by_child;
			both += (unsigned)(by_parent && by_child);
			letters[i % PAGES] = "spcb"[by_parent + 2 * by_child];
		}
		letters[PAGES] = 0;
		printf("area %p %u %u %u %u %s\n", (void *)page(a * PAGES), PAGES, parent, child, both, letters);
	}
}

static long long group_rss(void)
{
	const char *group = getenv("COW_GROUP");
	char path[512], line[256];
	long long rss = 0;

	snprintf(path, sizeof(path), "%s/memory.stat", group ? group : "");
	FILE *f = group ? fopen(path, "r") : NULL;
	while (f && fgets(line, sizeof(line), f))
		sscanf(line, "rss %lld", &rss);
	if (f)
		fclose(f);
	return rss;
}

int main(int argc, char **argv)
{
	int n = argc > 3 ? atoi(argv[3]) : 1, huge = argc > 2 && strcmp(argv[2], "huge") == 0;
	int kept = argc > 2 && strcmp(argv[2], "kept") == 0;
	int killed = argc > 4 && strcmp(argv[4], "kill") == 0, in[MAX_CHILDREN], out[MAX_CHILDREN];
	pid_t pid[MAX_CHILDREN] = { 0 };
	char c;

	state = (argc > 1 ? strtoull(argv[1], NULL, 10) : 1) * 0x9e3779b97f4a7c15ull + 1;
	unsigned char *all = mmap(NULL, (AREAS + 1) * STRIDE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (all == MAP_FAILED || n > MAX_CHILDREN)
		return 2;
	base = (unsigned char *)(((uintptr_t)all + STRIDE - 1) / STRIDE * STRIDE);
	for (int a = 0; a < AREAS; a++) {
		mprotect(page(a * PAGES), PAGES * PAGE, PROT_READ | PROT_WRITE);
		madvise(page(a * PAGES), PAGES * PAGE, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
		memset(page(a * PAGES), 1, PAGES * PAGE);
	}
	for (int k = 0; k < n; k++) {
		for (int i = 0; i < AREAS * PAGES; i++)
			class_of[k][i] = (unsigned char)(rnd() % (kept ? DROPPED : CLASSES));
		for (int a = 0; a < AREAS; a++)
			cut[k][a] = !kept && rnd() % 8 == 0;
	}
	if (argc > 4 && !killed) {
		void *at = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		child_faults = at == MAP_FAILED ? NULL : at;
		own_page_of((void *)counted_fork);
	}
	long long rss = group_rss();
	long before = 0, after = 0;
	struct rusage u;
	for (int k = 0; k < n; k++) {
		int down[2], up[2];

		if (pipe(down) || pipe(up))
			return 2;
		pid[k] = child_faults ? counted_fork(&before) : fork();
		if (pid[k] == 0)
			child_part(k, down[0], up[1], before);
		faults(&u);
		in[k] = up[0];
		out[k] = down[1];
		if (read(in[k], &c, 1) != 1)
			return 3;
		write_pages(k, PARENT, PARENT_FIRST, 0);
		write_pages(k, CHILD_FIRST, DROPPED_PARENT, 0);
		if (write(out[k], "g", 1) != 1 || read(in[k], &c, 1) != 1)
			return 3;
	}
	if (child_faults) {
		after = faults(&u);
		if (write(out[0], "e", 1) != 1 || waitpid(pid[0], NULL, 0) != pid[0])
			return 3;
		tell(0);
		printf("faults %ld %ld\n", after - before, *child_faults);
		return 0;
	}
	for (int k = 0; k < n; k++)
		tell(k);
	printf("rss %lld\n", group_rss() - rss);
	fflush(stdout);
	if (killed && (read(STDIN_FILENO, &c, 1) != 1 || kill(pid[0], SIGKILL)))
		return 3;
	for (int k = 0; k < n; k++)
		if (!killed && write(out[k], "e", 1) != 1)
			return 3;
	for (int k = 0; k < n; k++)
		waitpid(pid[k], NULL, 0);
	return 0;
}
