/*
 * test_stack.c - interned stacks: one id for one stack, by all processes at
 * once, read back as they were; what happens when the table is full; and the
 * capture of the real stacks of this program.
 */
#include "check.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/doorbell.h"
#include "base/enter.h"
#include "capture/emit.h"
#include "capture/stack_same.h"
#include "capture/stack_table.h"
#include "capture/unwind.h"

#define N_CELLS 64u
#define NOINLINE __attribute__((noinline))

__thread uint32_t guard_depth;
bool doorbell_is_silent(void) { return false; }
struct mms_process *capture_process(void) { return NULL; }

static struct mms_session session;
static uint32_t n_node_cells; /* cells 1 .. n are nodes, index cells follow */

static void add_index(uint32_t n)
{
	struct mms_cell0 *c = session.cell0;
	uint32_t have = session.header->n_index_cells;

	for (uint32_t i = 0; i < n; i++)
		c->index_cell[have + i] = (uint16_t)(1 + n_node_cells + have + i);
	session.header->n_index_cells = have + n;
}

/* A fresh session of `nodes` cells of nodes and `index` cells of index. */
static void begin_session(uint32_t nodes, uint32_t index)
{
	if (session.base)
		munmap(session.base, (size_t)N_CELLS * MMS_CELL_SIZE);
	void *at = mmap(NULL, (size_t)N_CELLS * MMS_CELL_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	REQUIRE(at != MAP_FAILED);
	session.base = at;
	session.n_cells_mapped = N_CELLS;
	n_node_cells = nodes;
	for (uint32_t i = 0; i < nodes; i++)
		session.cell0->node_cell[i] = (uint16_t)(1 + i);
	session.header->next_node = 1;
	session.header->n_node_cells = nodes;
	add_index(index);
}

/* Frames of stack number k: it shares outer frames with its neighbours. */
static size_t frames_of(uint32_t k, uint64_t *frames)
{
	size_t n = 3 + k % 12;

	for (size_t i = 0; i < n; i++) /* innermost first */
		frames[i] = 0x400000 + (uint64_t)(k >> (2 * (n - 1 - i) < 20 ? 20 - 2 * (n - 1 - i) : 0)) * 16 + i;
	frames[0] = 0x7f0000000000ull + k;
	return n;
}

static bool reads_back(uint32_t id, uint32_t context, const uint64_t *frames, size_t n)
{
	for (size_t i = 0; i <= n; i++) {
		const struct mms_node *node = mms_node(&session, id);
		if (!id || !node)
			return false;
		if (i == n)
			return node->w0 == (context | (uint64_t)MMS_NODE_ROOT << 48) && !mms_node_parent(node->w1);
		if (node->w0 != frames[i])
			return false;
		id = mms_node_parent(node->w1);
	}
	return false;
}

static void check_intern(void)
{
	uint64_t frames[32];
	enum { N = 20000 };
	static uint32_t ids[N];

	begin_session(40, 20);
	for (uint32_t k = 0; k < N; k++) {
		size_t n = frames_of(k, frames);
		ids[k] = stack_intern(&session, 1 + k % 2, frames, n);
		if (!reads_back(ids[k], 1 + k % 2, frames, n))
			CHECK(!"read back");
	}
	uint32_t used = session.header->next_node;
	for (uint32_t k = 0; k < N; k++) {
		size_t n = frames_of(k, frames);
		if (stack_intern(&session, 1 + k % 2, frames, n) != ids[k])
			CHECK(!"the same id again");
	}
	CHECK_EQ(session.header->next_node, used); /* nothing was made twice */
	CHECK_EQ(session.header->lost_stacks, 0);
	/* Another context is another stack; flags are part of a frame. */
	size_t n = frames_of(7, frames);
	uint32_t id = stack_intern(&session, 5, frames, n);
	CHECK(id && id != ids[7]);
	frames[1] |= (uint64_t)MMS_NODE_GUESSED << 48;
	CHECK(stack_intern(&session, 5, frames, n) != id);
	CHECK_EQ(stack_intern(&session, 5, frames, 0), 0);
}

static void check_full(void)
{
	uint64_t frames[32];
	uint32_t k, id = 1;

	/* Nodes run out: one cell holds 4,095. */
	begin_session(1, 20);
	for (k = 0; id && k < 20000; k++)
		id = stack_intern(&session, 1, frames, frames_of(k, frames));
	CHECK(k < 5000 && k > 1000);
	CHECK_EQ(session.header->lost_stacks, 1);
	CHECK(session.header->want & 1u << MMS_CELL_NODES);
	CHECK_EQ(session.header->next_node, MMS_NODES_PER_CELL);
	/* Nobody waits for room that will never be; for other room a second. */
	uint32_t seq = session.header->wake_seq;
	session.header->policy = MMS_POLICY_BLOCK;
	session.header->collector_state = MMS_COLLECTOR_ALIVE;
	session.header->stacks_full = 1;
	CHECK(!stack_table_wait(&session));
	CHECK_EQ(session.header->wake_seq, seq);
	session.header->stacks_full = 0;
	CHECK(!stack_table_wait(&session));
	CHECK(session.header->wake_seq > seq);
	session.header->policy = MMS_POLICY_DROP;
	/* What stands is still found, and more room is used. */
	CHECK(stack_intern(&session, 1, frames, frames_of(3, frames)) != 0);
	session.cell0->node_cell[1] = 50;
	session.header->n_node_cells = 2;
	CHECK(stack_intern(&session, 1, frames, frames_of(k, frames)) != 0);

	/* The index runs out: its first segment alone holds less than 4,096. */
	begin_session(20, 0);
	for (k = 0, id = 1; id && k < 20000; k++)
		id = stack_intern(&session, 1, frames, frames_of(k, frames));
	CHECK(!id && session.header->want & 1u << MMS_CELL_INDEX);
	uint32_t before = session.header->next_node;
	for (uint32_t i = 0; i < 100; i++)
		stack_intern(&session, 1, frames, frames_of(k - 1, frames));
	CHECK(session.header->next_node < before + 10); /* refusing costs no nodes */
	add_index(4);
	CHECK(stack_intern(&session, 1, frames, frames_of(k - 1, frames)) != 0);
	CHECK(stack_intern(&session, 1, frames, frames_of(2, frames)) != 0);
}

static void *collector(void *arg)
{
	(void)arg;
	while (!session.header->n_waiting)
		usleep(100);
	session.cell0->node_cell[1] = 40;
	session.header->n_node_cells = 2;
	session.header->free_seq++;
	return NULL;
}

/* Policy block: the stack waits for the collector, but for no dead one, and
 * not again where it waited in vain. */
static void check_wait(void)
{
	uint64_t frames[32];
	uint32_t k = 0;
	pthread_t t;

	begin_session(1, 4);
	while (stack_intern(&session, 1, frames, frames_of(k, frames)))
		k++;
	session.header->policy = MMS_POLICY_BLOCK;
	CHECK_EQ(stack_intern(&session, 1, frames, frames_of(k, frames)), 0); /* nobody there */
	CHECK_EQ(session.header->wake_seq, 0);
	session.header->collector_state = MMS_COLLECTOR_ALIVE;
	pthread_create(&t, NULL, collector, NULL);
	CHECK(stack_intern(&session, 1, frames, frames_of(k, frames)) != 0);
	pthread_join(t, NULL);
	CHECK(session.header->wake_seq > 0);
	while (stack_intern(&session, 1, frames, frames_of(k, frames)))
		k++;
	uint32_t asked = session.header->wake_seq;
	for (int i = 0; i < 1000; i++)
		stack_intern(&session, 1, frames, frames_of(k, frames));
	CHECK_EQ(session.header->wake_seq, asked);
	session.header->policy = 0;
}

/* Four processes intern the same stacks at the same time: the same ids. */
static void check_processes(void)
{
	enum { N = 12000, P = 4 };
	uint32_t(*ids)[N] = mmap(NULL, sizeof(*ids) * P, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	uint64_t frames[32];

	REQUIRE(ids != MAP_FAILED);
	begin_session(30, 20);
	for (int p = 0; p < P; p++)
		if (!fork()) {
			for (uint32_t i = 0; i < N; i++) {
				uint32_t k = p & 1 ? N - 1 - i : i;
				ids[p][k] = stack_intern(&session, 1, frames, frames_of(k, frames));
			}
			_exit(0);
		}
	while (wait(NULL) > 0)
		;
	for (uint32_t k = 0; k < N; k++) {
		size_t n = frames_of(k, frames);
		bool ok = ids[0][k] && reads_back(ids[0][k], 1, frames, n);
		for (int p = 1; p < P; p++)
			ok = ok && ids[p][k] == ids[0][k];
		if (!ok)
			CHECK(!"one id in all processes");
	}
	munmap(ids, sizeof(*ids) * P);
}

static uint64_t expected[MMS_STACK_MAX_DEPTH];
static uint32_t n_same; /* captures that found the last stack again */

static NOINLINE uint32_t captured(struct stack_thread *t)
{
	void *const *fp = __builtin_frame_address(0);
	uint32_t same = stack_same(t, 3, fp);
	uint32_t id = same ? same : stack_capture(t, &session, 3, fp);
	size_t n = unwind_walk(NULL, fp, expected, t ? MMS_STACK_MAX_DEPTH : 96);

	CHECK(n > 2);
	CHECK(reads_back(id, 3, expected, n));
	n_same += same != 0;
	return id;
}

/* What a loop that allocates does. */
static NOINLINE void again(struct stack_thread *t, int n)
{
	for (int i = 0; i < n; i++)
		captured(t);
	__asm__ volatile("" : : : "memory");
}

static NOINLINE uint32_t deeper(struct stack_thread *t, int n)
{
	uint32_t id = n ? deeper(t, n - 1) : captured(t);

	__asm__ volatile("" : : : "memory");
	return id;
}

static void check_capture(void)
{
	size_t bytes = stack_thread_bytes();

	CHECK_EQ(bytes % 4096, 0);
	begin_session(40, 20);
	unwind_init(MMS_ENGINE_OWN, 4);
	struct stack_thread *t = stack_thread_init(mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 0, 0);
	for (int round = 0; round < 50; round++)
		for (int n = 0; n < 40; n++)
			deeper(t, n * 7 % 40);
	deeper(t, 600);
	deeper(t, 5000);
	deeper(t, 9000); /* cut at MMS_STACK_MAX_DEPTH */
	CHECK_EQ(mms_node_flags(expected[MMS_STACK_MAX_DEPTH - 1]) & MMS_NODE_TRUNCATED, MMS_NODE_TRUNCATED);
	deeper(NULL, 5);
	unwind_init(MMS_ENGINE_OWN, 1000);
	uint32_t before = n_same;
	again(t, 100);
	CHECK(n_same - before >= 90); /* not the first, nor those that are audited */
	struct unwind_counters c;
	unwind_counters(&c);
	CHECK(c.n_audited >= 64 && c.n_rules > 3);
	CHECK_EQ(c.n_audit_failed, 0);
}

int main(void)
{
	check_intern();
	check_full();
	check_wait();
	check_processes();
	check_capture();
	return check_done();
}
