/*
 * snapshot.c - a running program whose reachability is known at each step.
 *
 *	snapshot MIB THREADS [apart|forked]
 *
 * Keeps and loses blocks, starts threads that hold blocks in a register alone,
 * in their TLS and on their stack, then waits for lines: at each it loses and
 * frees some more.  Prints one JSON line before each wait: the blocks by the
 * function that allocated them and by verdict.  Others of its threads wait in
 * calls that a stop ends early (epoll_wait, nanosleep, read): one that returns
 * with an error is told at the end.  apart: the pointers to what is kept lie
 * in memory that no copy of the process gets.  forked: from the first wait on it
 * is a child that does all of it, and has its parent's blocks.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NOINLINE __attribute__((noinline))
#define HIDE 0x5a5a5a5a5a5a5a5aul

struct node {
	struct node *next;
	char rest[40];
};

static void *volatile *kept; /* a mapping of its own */
static size_t n_kept;
static struct node *volatile list;
static __thread void *volatile in_tls;
static _Atomic int n_ready, n_errors;
static _Atomic int stop;
static unsigned long hidden[64];
static int n_threads;
static size_t kept_size;

/* No jump to malloc: it would take the frame away. */
static void *stay(void *p)
{
	__asm__ volatile("" : "+r"(p));
	return p;
}

static NOINLINE void *site_register(void) { return stay(malloc(72)); }
static NOINLINE void *site_tls(void) { return stay(malloc(88)); }
static NOINLINE void *site_stack(void) { return stay(malloc(104)); }
static NOINLINE void *site_kept(size_t size) { return kept[n_kept++] = memset(malloc(size), 0, size); }
static NOINLINE void *site_lost(size_t size) { return stay(memset(malloc(size), 0, size)); }
static NOINLINE struct node *site_node(void) { return stay(calloc(1, sizeof(struct node))); }

/* A mapping of malloc's own, of which the first 128 pages are used. */
static NOINLINE void big_half(void)
{
	static void *volatile big;

	big = malloc(1 << 20);
	memset(big, 1, (128 << 12) - 16);
}

static NOINLINE void scrub(void)
{
	volatile char room[16384];

	memset((char *)room, 0, sizeof(room));
}

static NOINLINE void hide(int i)
{
	hidden[i] = (unsigned long)site_register() ^ HIDE;
}

/* rbx has it, nothing else has: no call is made from here. */
static NOINLINE void *holder(void *arg)
{
	long i = (long)arg;
	void *volatile on_stack = site_stack();

	in_tls = site_tls();
	hide((int)i);
	scrub();
	atomic_fetch_add(&n_ready, 1);
	__asm__ volatile("mov %0, %%rbx\n\txor %1, %%rbx\n1:\tpause\n\tcmpl $0, %2\n\tje 1b\n\txor %%rbx, %%rbx"
		: : "r"(hidden[i]), "r"(HIDE), "m"(stop) : "rbx", "memory", "cc");
	(void)on_stack;
	return NULL;
}

static void *in_epoll(void *arg)
{
	struct epoll_event e;
	int fd = epoll_create1(EPOLL_CLOEXEC);

	(void)arg;
	atomic_fetch_add(&n_ready, 1);
	while (!stop)
		if (epoll_wait(fd, &e, 1, 500) < 0)
			atomic_fetch_add(&n_errors, 1);
	close(fd);
	return NULL;
}

static void *in_sleep(void *arg)
{
	const struct timespec t = { .tv_nsec = 300000000 };

	(void)arg;
	atomic_fetch_add(&n_ready, 1);
	while (!stop)
		if (nanosleep(&t, NULL) < 0 || poll(NULL, 0, 100) < 0)
			atomic_fetch_add(&n_errors, 1);
	return NULL;
}

static NOINLINE void lose(int round)
{
	for (int i = 0; i < 10; i++)
		site_lost(200);
	if (round == 0) {
		struct node *head = NULL;

		for (int i = 0; i < 100; i++) {
			struct node *n = site_node();

			n->next = head;
			head = n;
		}
		for (int i = 0; i < 50; i++) {
			struct node *n = site_node();

			n->next = list;
			list = n;
		}
	}
}

static void tell(int round)
{
	int lost = 10 * (round + 1);

	printf("{\"site_lost\": {\"definite\": [%d, %d]}, \"site_node\": {\"definite\": [1, 48], \"indirect\": [99, %d],"
		" \"reachable\": [50, 2400]}, \"site_kept\": {\"reachable\": [%zu, %zu]}", lost, lost * 200, 99 * 48, n_kept,
		n_kept * kept_size);
	if (n_threads)
		printf(", \"site_register\": {\"reachable\": [%d, %d]}, \"site_tls\": {\"reachable\": [%d, %d]},"
			" \"site_stack\": {\"reachable\": [%d, %d]}", n_threads, 72 * n_threads, n_threads, 88 * n_threads,
			n_threads, 104 * n_threads);
	printf("}\n");
	fflush(stdout);
}

/* Nobody waits for it but the program: no other child may be seen. */
static void look_for_children(void)
{
	pid_t pid = waitpid(-1, NULL, WNOHANG);

	if (pid != -1 || errno != ECHILD)
		atomic_fetch_add(&n_errors, 1);
}

static void be_child(void)
{
	int status;
	pid_t pid = fork();

	if (pid == 0)
		return;
	_exit(waitpid(pid, &status, 0) == pid && status == 0 ? 0 : 1);
}

int main(int argc, char **argv)
{
	static pthread_t thread[66];
	char line[16];
	int n = 0, round = 0;

	if (argc < 3)
		return 2;
	/* Between pages that nobody may touch, so that no neighbour becomes part of it. */
	kept = (void *)((char *)mmap(NULL, 65536 + 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) + 4096);
	if (mprotect((void *)kept, 65536, PROT_READ | PROT_WRITE) != 0)
		return 3;
	if (argc > 3 && argv[3][0] == 'a' && madvise((void *)kept, 65536, MADV_DONTFORK) != 0)
		return 3;
	n_threads = atoi(argv[2]);
	kept_size = strtoul(argv[1], NULL, 0) * 1024; /* 1024 of them */
	for (int i = 0; i < n_threads; i++)
		pthread_create(&thread[n++], NULL, holder, (void *)(long)i);
	if (n_threads) {
		pthread_create(&thread[n++], NULL, in_epoll, NULL);
		pthread_create(&thread[n++], NULL, in_sleep, NULL);
	}
	while (n_ready < n)
		usleep(1000);
	big_half();
	while (kept_size && n_kept < 1024)
		site_kept(kept_size);
	do {
		lose(round);
		scrub();
		if (round == 0 && argc > 3 && argv[3][0] == 'f')
			be_child();
		tell(round++);
		look_for_children();
	} while (fgets(line, sizeof(line), stdin));
	look_for_children();
	stop = 1;
	for (int i = 0; i < n; i++)
		pthread_join(thread[i], NULL);
	return n_errors ? 1 : 0;
}
