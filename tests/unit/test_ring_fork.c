/*
 * test_ring_fork.c - the record path over every kind of fork, over death at
 * any moment, and under a filter that kills for every call.
 */
#include "ring_rig.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "base/doorbell.h"
#include "capture/emit.h"

#define N_CHILD 10000u
#define N_CHILDREN 40u

static struct rig rig;
static _Atomic bool stop;

static void begin(uint32_t cells)
{
	rig_open(&rig, cells, MMS_POLICY_BLOCK, MMS_COLLECTOR_ALIVE);
	REQUIRE(capture_start(&rig.session) == 0);
}

static pid_t raw_clone(void)
{
	return (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

static void *busy_main(void *arg)
{
	uint32_t lane = (uint32_t)(uintptr_t)arg, i = 0;
	for (; !stop && i < RIG_LANE_MAX; i++)
		rig_alloc(lane, i);
	return (void *)(uintptr_t)i;
}

static void child_main(uint32_t lane)
{
	for (uint32_t i = 0; i < N_CHILD; i++)
		rig_alloc(lane, i);
	_exit(capture_process()->begin == MMS_BEGIN_FORK ? 0 : 1);
}

/* Forks while two threads and this one record.  Every child is a process of
 * its own from its first record on; nobody else's records are touched. */
static void check_forks(pid_t (*fork_of)(void))
{
	pthread_t t[2];
	void *n[2];
	begin(24);
	rig_start_reader(&rig, 300);
	for (uint32_t i = 0; i < 2; i++)
		REQUIRE(pthread_create(&t[i], NULL, busy_main, (void *)(uintptr_t)(1 + i)) == 0);
	for (uint32_t i = 0; i < N_CHILDREN; i++) {
		int status = 1;
		rig_alloc(0, i);
		pid_t pid = fork_of();
		if (pid == 0)
			child_main(10 + i);
		REQUIRE(pid > 0 && waitpid(pid, &status, 0) == pid);
		CHECK_EQ(status, 0);
		rig_process_gone(&rig, 2 + i);
	}
	stop = true;
	for (uint32_t i = 0; i < 2; i++)
		pthread_join(t[i], &n[i]);
	rig_finish(&rig);
	CHECK_EQ(rig.lane[0].n, N_CHILDREN);
	for (uint32_t i = 0; i < 2; i++)
		CHECK_EQ(rig.lane[1 + i].n, (uintptr_t)n[i]);
	for (uint32_t i = 0; i < N_CHILDREN; i++)
		CHECK_EQ(rig.lane[10 + i].n, N_CHILD);
	CHECK_EQ(rig.n_begin, N_CHILDREN + 1);
	CHECK_EQ(rig.begin[1], MMS_BEGIN_START);
	for (uint32_t i = 2; i < N_CHILDREN + 2; i++)
		CHECK(rig.begin[i] == MMS_BEGIN_FORK && rig.parent[i] == 1);
	CHECK_EQ(rig.n_lost, 0);
}

static void by_fork(void) { check_forks(fork); }
static void by_underscore(void) { check_forks(_Fork); }
static void by_clone(void) { check_forks(raw_clone); }

/* A vfork child is its parent until it execs: same memory, same blocks. */
static void by_vfork(void)
{
	begin(4);
	rig_alloc(0, 0);
	pid_t pid = vfork();
	if (pid == 0) {
		rig_alloc(0, 1);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
	rig_alloc(0, 2);
	rig_finish(&rig);
	CHECK_EQ(rig.lane[0].n, 3);
	CHECK_EQ(rig.n_begin, 1);
}

/* Grandchildren, each from a child that has not recorded anything itself. */
static void generations(void)
{
	begin(24);
	rig_alloc(0, 0);
	for (uint32_t depth = 1; depth <= 8; depth++) {
		pid_t pid = fork();
		int status = 1;
		if (pid) {
			waitpid(pid, &status, 0);
			if (depth > 1)
				_exit(status != 0);
			CHECK_EQ(status, 0);
			break;
		}
		if (depth == 8) {
			rig_alloc(0, depth);
			/* The generations between never recorded: they are not known. */
			_exit(capture_process()->number == 2 ? 0 : 1);
		}
	}
	rig_finish(&rig);
	CHECK_EQ(rig.lane[0].n, 2);
}

/* A child whose threads record first; it has two threads at once. */
static void threads_of_child(void)
{
	int status = 1;
	begin(24);
	rig_start_reader(&rig, 300);
	rig_alloc(0, 0);
	pid_t pid = fork();
	if (pid == 0) {
		pthread_t t[4];
		for (uint32_t i = 0; i < 4; i++)
			pthread_create(&t[i], NULL, busy_main, (void *)(uintptr_t)(1 + i));
		for (uint32_t i = 0; i < 100000; i++)
			rig_alloc(0, 1 + i);
		stop = true;
		uint64_t n = 0;
		for (uint32_t i = 0; i < 4; i++) {
			void *one;
			pthread_join(t[i], &one);
			n += (uintptr_t)one;
		}
		rig_long((uint32_t)(n % 5000), 1); /* length of it says n, roughly */
		_exit(capture_process()->n_lost != 0);
	}
	waitpid(pid, &status, 0);
	CHECK_EQ(status, 0);
	rig_finish(&rig);
	CHECK_EQ(rig.lane[0].n, 100001);
	CHECK_EQ(rig.n_begin, 2);
	CHECK_EQ(rig.n_long, 1);
	for (uint32_t lane = 1; lane <= 4; lane++) { /* without a gap */
		struct rig_lane *l = &rig.lane[lane];
		uint64_t n = 0;
		while (n < RIG_LANE_MAX && (l->seen[n / 8] >> n % 8 & 1))
			n++;
		CHECK_EQ(l->n, n);
	}
}

/* Killed at any moment: what emit returned from is there, and at most one
 * record more a thread. */
static void killed(void)
{
	_Atomic uint32_t *done = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	begin(24);
	rig_start_reader(&rig, 300);
	for (uint32_t i = 0; i < 30; i++) {
		pid_t pid = fork();
		if (pid == 0) {
			for (uint32_t k = 0; k < RIG_LANE_MAX; k++) {
				rig_alloc(i, k);
				atomic_store_explicit(&done[i], k + 1, memory_order_relaxed);
			}
			_exit(0);
		}
		usleep(500 + i * 397 % 3000);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		if (rig.session.header->next_process > i + 2) /* it came to its first record */
			rig_process_gone(&rig, i + 2);
	}
	rig_finish(&rig);
	uint64_t total = 0;
	for (uint32_t i = 0; i < 30; i++) {
		CHECK(rig.lane[i].n >= done[i] && rig.lane[i].n <= done[i] + 1u);
		total += done[i];
	}
	CHECK(total > 1000);
}

static void forbid_all_but_exit(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0 /* the number of the call */),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog program = { sizeof(code) / sizeof(*code), code };
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
		_exit(77);
}

/* A block that is full, and a full ring, without one system call. */
static void filtered(void)
{
	int status = 1;
	begin(24);
	pid_t pid = fork();
	if (pid == 0) {
		rig_alloc(0, 0);
		doorbell_silence();
		forbid_all_but_exit();
		for (uint32_t i = 1; i < 60000; i++)
			rig_alloc(0, i);
		for (uint32_t i = 0; i < 100000; i++)
			rig_free(0, 0); /* more than there is room for */
		syscall(SYS_exit_group, 0);
	}
	waitpid(pid, &status, 0);
	CHECK_EQ(status, 0);
	rig_finish(&rig);
	CHECK_EQ(rig.lane[0].n, 60000);
	CHECK(rig.n_lost > 0);
	CHECK_EQ(rig.lane[0].n_free + rig.n_lost, 100000);
}

int main(void)
{
	rig_scenario("fork", by_fork);
	rig_scenario("_Fork", by_underscore);
	rig_scenario("raw clone", by_clone);
	rig_scenario("vfork", by_vfork);
	rig_scenario("generations", generations);
	rig_scenario("threads of a child", threads_of_child);
	rig_scenario("killed", killed);
	rig_scenario("filter that kills", filtered);
	return check_done();
}
