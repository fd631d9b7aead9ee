/*
 * test_base.c - preload/base without a target: options, patterns, the private
 * heap with its fork rule; and the making and joining of sessions (launch.h).
 */
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <mmscope/launch.h>

#include "base/heap.h"
#include "base/options.h"
#include "check.h"

static void test_options(void)
{
	char *const env[] = { (char *)"MMSCOPE_SESSION=/dev/shm/x", (char *)"PATH=/bin", (char *)"MMSCOPE_SAMPLE=4096",
		(char *)"MMSCOPE_FOLLOW=py*", (char *)"MMSCOPE_NOHELPER=0", (char *)"MMSCOPE_POLICY=drop",
		(char *)"XMMSCOPE_BIN=/no", (char *)"MMSCOPE_OUT=", (char *)"LD_PRELOAD=a:b", NULL };
	struct options o;
	options_read(env, &o);
	CHECK_STR(o.session, "/dev/shm/x");
	CHECK_STR(o.path, "PATH=/bin");
	CHECK_STR(o.preload, "a:b");
	CHECK_STR(o.follow_glob, "py*");
	CHECK_EQ(o.follow, MMS_FOLLOW_GLOB);
	CHECK_EQ(o.policy, MMS_POLICY_DROP);
	CHECK_EQ(o.sample_bytes, 4096);
	CHECK_EQ(o.mode, MMS_MODE_SAMPLE); /* a number alone means sampling */
	CHECK(!o.no_helper && !o.out && !o.bin);
}

static void test_glob(void)
{
	static const struct {
		const char *pattern, *name;
		bool want;
	} cases[] = { { "python3", "python3", true }, { "python3", "python", false }, { "py*", "python3", true },
		{ "*", "", true }, { "", "", true }, { "", "a", false }, { "a*b*c", "axxbyybzc", true },
		{ "a*b*c", "axxbyyb", false }, { "?at", "cat", true }, { "?at", "at", false },
		{ "[a-c]x", "bx", true }, { "[a-c]x", "dx", false }, { "[!a-c]x", "dx", true },
		{ "[]a]", "]", true }, { "*[0-9]", "worker-7", true }, { "*[0-9]", "worker", false },
		{ "[", "[", false }, { "*a*a*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaa", false } };
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		if (!CHECK_EQ(options_glob(cases[i].pattern, cases[i].name), cases[i].want))
			fprintf(stderr, "  %s against %s\n", cases[i].pattern, cases[i].name);
}

/* Fills n blocks, checks that none was overwritten by another, frees all. */
static unsigned long fill(unsigned seed, int n)
{
	unsigned char *p[512];
	size_t size[512];
	unsigned long bad = 0;
	for (int i = 0; i < n; i++) {
		seed = seed * 1103515245u + 12345u;
		size[i] = 1 + (seed >> 8) % 6000;
		p[i] = heap_alloc(size[i]);
		if (!p[i])
			return 1000000;
		bad += ((uintptr_t)p[i] & 15) != 0;
		memset(p[i], i & 255, size[i]);
	}
	for (int i = 0; i < n; i += 3) {
		unsigned char *q = heap_realloc(p[i], size[i] * 2);
		bad += !q || q[0] != (i & 255) || q[size[i] - 1] != (i & 255);
		p[i] = q ? q : p[i];
	}
	for (int i = 0; i < n; i++) {
		for (size_t k = 0; k < size[i]; k++)
			bad += p[i][k] != (i & 255);
		heap_free(p[i]);
	}
	return bad;
}

static void *fill_often(void *seed)
{
	unsigned long bad = 0;
	for (unsigned i = 0; i < 60; i++)
		bad += fill((unsigned)(uintptr_t)seed + i * 7u, 200);
	return (void *)bad;
}

static void test_heap(void)
{
	size_t asleep = heap_bytes();
	for (int i = 0; i < 100000; i++) /* the pool serves its own frees again */
		heap_free(heap_alloc(1000));
	CHECK_EQ(heap_bytes(), asleep);
	heap_free(NULL);
	CHECK_EQ(fill(1, 500), 0);
	CHECK(heap_bytes() > asleep); /* now jemalloc is awake */
	pthread_t t[4];
	void *bad;
	for (uintptr_t i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, fill_often, (void *)(i * 1000));
	for (int i = 0; i < 4; i++) {
		pthread_join(t[i], &bad);
		CHECK_EQ((uintptr_t)bad, 0);
	}
}

static _Atomic int stop;

static void *fill_for_ever(void *seed)
{
	while (!atomic_load(&stop))
		fill((unsigned)(uintptr_t)seed, 100);
	return NULL;
}

/* A child either has a whole heap or none: it never hangs and never crashes. */
static void test_heap_forks(void)
{
	pthread_t t[3];
	int n_none = 0, n_whole = 0, status;
	for (uintptr_t i = 0; i < 3; i++)
		pthread_create(&t[i], NULL, fill_for_ever, (void *)i);
	for (int i = 0; i < 60; i++) {
		pid_t pid = fork();
		if (pid == 0) {
			alarm(20);
			void *p = heap_alloc(100000);
			if (!p)
				_exit(3);
			memset(p, 1, 100000);
			heap_free(p);
			_exit(fill(5, 100) == 0 ? 4 : 5);
		}
		REQUIRE(waitpid(pid, &status, 0) == pid);
		CHECK(WIFEXITED(status) && (WEXITSTATUS(status) == 3 || WEXITSTATUS(status) == 4));
		n_none += WIFEXITED(status) && WEXITSTATUS(status) == 3;
		n_whole += WIFEXITED(status) && WEXITSTATUS(status) == 4;
	}
	atomic_store(&stop, 1);
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	CHECK_EQ(n_none + n_whole, 60);
	/* alone in its process, a child always has the heap */
	pid_t pid = fork();
	if (pid == 0)
		_exit(fill(6, 100) == 0 ? 4 : 5);
	waitpid(pid, &status, 0);
	CHECK_EQ(WEXITSTATUS(status), 4);
}

static int join_again(const char *path)
{
	struct mms_session s;
	int r = mms_session_join(path, &s);
	if (r == 0)
		munmap(s.base, (size_t)s.n_cells_mapped << MMS_CELL_SHIFT);
	return r;
}

static void test_session(const char *folder)
{
	char path[MMS_SESSION_PATH_MAX], link[600];
	struct mms_session s, other;
	struct mms_create_options o = { .output = "/x/y.db", .fallback_dir = folder, .n_cells_max = 16 };
	REQUIRE(mms_session_create(&o, path, &s) == 0);
	REQUIRE(mms_session_join(path, &other) == 0);
	CHECK_EQ((uintptr_t)s.base % MMS_CELL_SIZE, 0);
	CHECK_EQ((uintptr_t)other.base % MMS_CELL_SIZE, 0);
	CHECK_EQ(other.n_cells_mapped, 16);
	CHECK_EQ(atomic_load(&other.header->n_cells_ready), MMS_INITIAL_CELLS);
	CHECK_STR(other.header->output, "/x/y.db");
	CHECK_EQ(((struct mms_block *)(void *)mms_cell(&other, 3))->gen, 1);
	CHECK_EQ(other.cell0->cell_kind[3], MMS_CELL_RING);
	CHECK(other.header->clock == MMS_CLOCK_TSC || other.header->clock == MMS_CLOCK_MONOTONIC_RAW);
	mms_cell(&s, 2)[500] = 7;
	CHECK_EQ(mms_cell(&other, 2)[500], 7);

	snprintf(link, sizeof(link), "%s/link", folder);
	REQUIRE(symlink(path, link) == 0);
	CHECK_EQ(join_again(link), -ELOOP);
	unlink(link);
	CHECK_EQ(join_again(folder), -EISDIR);
	CHECK_EQ(join_again("/nonexistent/session"), -ENOENT);
	s.header->version++;
	CHECK_EQ(join_again(path), -EPROTO);
	s.header->version--;
	s.header->magic++;
	CHECK_EQ(join_again(path), -EPROTO);
	s.header->magic--;
	atomic_store(&s.header->n_cells_ready, MMS_INITIAL_CELLS + 1); /* more than the file has: SIGBUS if believed */
	CHECK_EQ(join_again(path), -EPROTO);
	atomic_store(&s.header->n_cells_ready, MMS_INITIAL_CELLS);
	CHECK_EQ(join_again(path), 0);
	CHECK_EQ(mms_doorbell_ring(s.header, 0, MMS_BEGIN_START, 1), -ECONNREFUSED);
	unlink(path);
}

int main(void)
{
	char folder[] = "/tmp/mms-test-base-XXXXXX";
	REQUIRE(mkdtemp(folder));
	test_options();
	test_glob();
	test_heap();
	test_heap_forks();
	test_session(folder);
	CHECK_EQ(rmdir(folder), 0); /* nothing was left in it */
	return check_done();
}
