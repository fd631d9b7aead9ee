/* test_canonical.c - addresses of files in the session: one number a file for
 * all who ask at once, lists that change while they are read, and what makes a
 * process leave the common root. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "capture/canonical.h"

#include "check.h"

#define OWN 7u
#define ASKERS 4u

static struct mms_session session;

static void make_session(void)
{
	session.base = mmap(NULL, 2 * MMS_CELL_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	session.n_cells_mapped = 2;
	session.header->files_cell = 1;
}

/* Files 1000 bytes long, at 4096 * (i + 1), told in any order. */
static uint32_t add(uint64_t identity, uint64_t at)
{
	return canonical_add(&session, identity, at, at + 1000);
}

static uint64_t key_of(uint64_t pc)
{
	uint32_t hint = 0;

	return canonical_common_key(pc, &hint);
}

/* Processes that ask for the same files in different orders get the same numbers. */
static void numbers_agree(void)
{
	enum { FILES = 700 };
	uint32_t (*got)[FILES] = mmap(NULL, ASKERS * sizeof(*got), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	static uint8_t seen[MMS_FILES + 1];

	for (uint32_t p = 0; p < ASKERS; p++)
		if (fork() == 0) {
			for (uint32_t k = 0; k < FILES; k++) {
				uint32_t i = (k * 11 + p * 173) % FILES;
				if (k % 100 == 0)
					canonical_begin();
				/* Few homes, so that most are taken by another. */
				got[p][i] = add(1 + (uint64_t)(i / 7) * MMS_FILES + i % 7, 4096 * (k + 1));
			}
			_exit(0);
		}
	while (wait(NULL) > 0)
		;
	for (uint32_t i = 0; i < FILES; i++) {
		CHECK(got[0][i] >= 1 && got[0][i] <= MMS_FILES && !seen[got[0][i]]++);
		for (uint32_t p = 1; p < ASKERS; p++)
			CHECK_EQ(got[p][i], got[0][i]);
	}
}

static void addresses(void)
{
	canonical_start(OWN);
	CHECK_EQ(atomic_load(&canonical_root), OWN);
	canonical_begin();
	uint32_t b = add(12, 3 * 4096), a = add(11, 4096), again = add(11, 9 * 4096);
	CHECK(a && b && a != b);
	CHECK_EQ(again, a);
	CHECK_EQ(add(0, 20 * 4096), 0); /* a file that cannot be told */
	CHECK_EQ(canonical_add(&session, 13, 1 << 20, (1ull << 40)), 0); /* a file that its place cannot hold */
	canonical_end();
	canonical_context_is(OWN);
	CHECK_EQ(atomic_load(&canonical_root), MMS_CONTEXT_COMMON);

	CHECK_EQ(key_of(4096 + 5), mms_file_start(a) + 5);
	CHECK_EQ(key_of(9 * 4096 + 5), mms_file_start(a) + 5);
	CHECK_EQ(key_of(3 * 4096 + 1000), mms_file_start(b) + 1000); /* behind a call that never returns */
	uint64_t flags = (uint64_t)(MMS_NODE_GUESSED | MMS_NODE_TRUNCATED) << 48;
	CHECK_EQ(key_of(flags | (4096 + 7)), flags | (mms_file_start(a) + 7));
	CHECK(mms_pc_is_canonical(mms_file_start(a) + 5) && mms_pc_is_canonical(mms_file_start(MMS_FILES)));
	CHECK(!mms_pc_is_canonical(0x7fffffffffff) && !mms_pc_is_canonical(0xffffff600400)); /* vsyscall */
	CHECK_EQ(mms_file_of(mms_file_start(a) + 5), a);
	CHECK_EQ(mms_file_of(mms_file_start(MMS_FILES)), MMS_FILES);
	CHECK(!canonical_is_left());

	const uint64_t all[] = { 4096 + 1, 3 * 4096 + 2 }, not_all[] = { 4096 + 1, 5 * 4096, 3 * 4096 + 2 };
	CHECK_EQ(canonical_root_of(MMS_CONTEXT_COMMON, all, 2), MMS_CONTEXT_COMMON);
	CHECK_EQ(canonical_root_of(5, not_all, 3), 5); /* asks for nothing common */
	CHECK(!canonical_is_left());
	CHECK_EQ(canonical_root_of(MMS_CONTEXT_COMMON, not_all, 3), OWN);
	CHECK(canonical_is_left());
	CHECK_EQ(atomic_load(&canonical_root), OWN);
	canonical_context_is(OWN + 1); /* something was unloaded: it stays away */
	CHECK_EQ(atomic_load(&canonical_root), OWN + 1);
}

/* ---- a list that changes while it is read ---- */

static uint32_t files[2];
static _Atomic bool over;
static _Atomic uint64_t n_read, n_wrong;

/* File 0 is first at 40 * 4096 with many before it, then file 1 with none: an index
 * or a slide of the one list in the other would be seen. */
static void make_list(unsigned which)
{
	canonical_begin();
	for (uint64_t i = 0; i < (which ? 0 : 30); i++)
		add(100 + i, 4096 * (i + 1));
	add(200 + which, 40 * 4096);
	canonical_end();
}

static void *read_list(void *unused)
{
	uint32_t hint = 0;

	while (!atomic_load(&over)) {
		uint64_t key = canonical_common_key(40 * 4096 + 17, &hint);
		atomic_fetch_add(&n_wrong, key != mms_file_start(files[0]) + 17 && key != mms_file_start(files[1]) + 17);
		atomic_fetch_add(&n_read, 1);
	}
	return NULL;
}

static void changing(void)
{
	pthread_t reader[2];

	canonical_begin();
	files[0] = add(200, 40 * 4096);
	files[1] = add(201, 40 * 4096);
	make_list(0);
	for (int i = 0; i < 2; i++)
		pthread_create(&reader[i], NULL, read_list, NULL);
	for (unsigned i = 0; i < 4000 || atomic_load(&n_read) < 4000; i++)
		make_list(i & 1);
	/* A child of a process that was making one: the child reads the finished one, and makes the next. */
	canonical_begin();
	add(300, 50 * 4096);
	pid_t pid = fork();
	if (pid == 0) {
		uint64_t before = key_of(40 * 4096 + 17);
		make_list(0);
		_exit(!(mms_pc_is_canonical(before) && key_of(40 * 4096 + 17) == mms_file_start(files[0]) + 17));
	}
	int status = -1;
	waitpid(pid, &status, 0);
	CHECK_EQ(status, 0);
	atomic_store(&over, true);
	for (int i = 0; i < 2; i++)
		pthread_join(reader[i], NULL);
	CHECK_EQ(n_wrong, 0);
}

static void full(void)
{
	canonical_begin();
	uint32_t known = add(11, 4096);
	memset(mms_files(&session), 0, sizeof(struct mms_files));
	for (uint64_t i = 0; i < MMS_FILES; i++)
		atomic_store(&mms_files(&session)->identity[i], 1000000 + i);
	canonical_begin();
	CHECK_EQ(add(11, 4096), 0);
	CHECK(known != 0);
	session.header->files_cell = 0;
	CHECK_EQ(add(1000000, 4096), 0); /* a session without the table */
}

int main(void)
{
	make_session();
	numbers_agree();
	addresses();
	changing();
	full();
	return check_done();
}
