/*
 * ring_rig.c - see ring_rig.h.  Also the three things that the capture folder
 * takes from elsewhere: the doorbell, which only counts here, and stacks.
 */
#include "ring_rig.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <mmscope/launch.h>

#include "base/doorbell.h"
#include "capture/emit.h"
#include "capture/stack.h"

/* ---- what capture/ asks of others ---- */

static _Atomic bool silent;
void doorbell_ring(const struct mms_session *s, uint32_t slot, uint32_t begin, uint64_t number) {}
void doorbell_silence(void) { silent = true; }
bool doorbell_is_silent(void) { return silent; }
size_t stack_thread_bytes(void) { return 4096; }
struct stack_thread *stack_thread_init(void *mem, uintptr_t low, uintptr_t high) { return mem; }
uint32_t stack_capture(struct stack_thread *t, const struct mms_session *s, uint32_t context,
	void *const *fp)
{
	return t ? context : 0;
}

/* ---- records that can be told apart ---- */

static uint64_t address_of(uint32_t lane, uint32_t i)
{
	/* One in 64 is not 8-aligned and needs the second slot. */
	return (uint64_t)(lane + 1) << 36 | (uint64_t)i << 4 | (i % 64 == 9);
}

static uint64_t size_of(uint32_t i)
{
	return i % 32 == 5 ? 1000000 + i : i % 5000;
}

static uint32_t stack_of(uint32_t i)
{
	return i & MMS_STACK_MASK;
}

void rig_alloc(uint32_t lane, uint32_t i)
{
	emit_heap(i & 1 ? MMS_OP_MALLOC : MMS_OP_CALLOC, (void *)address_of(lane, i), size_of(i), stack_of(i));
}

void rig_publish(uintptr_t p, uint32_t lane, uint32_t i)
{
	uint64_t *word = (uint64_t *)p;
	uint64_t w0 = mms_w0(capture_stamp() >> 4, stack_of(i), mms_block_of(p)->gen);
	word[1] = mms_w1(address_of(lane, i) >> 3, i & 1 ? MMS_OP_MALLOC : MMS_OP_CALLOC, (uint32_t)size_of(i));
	__atomic_store_n(&word[0], w0, __ATOMIC_RELEASE);
}

void rig_free(uint32_t lane, uint32_t i)
{
	emit_heap(MMS_OP_FREE, (void *)address_of(lane, i), 0, 0);
}

void rig_long(uint32_t n, uint32_t seed)
{
	static __thread uint8_t bytes[8192];
	for (uint32_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)(seed + i);
	struct mms_thread_note note = { .tid = seed, .name_length = n };
	emit_long(MMS_LONG_THREAD_NAME, 7, &note, sizeof(note), bytes, n / 2, bytes + n / 2, n - n / 2);
}

static void got_event(struct rig *r, const struct order_heap *e)
{
	uint32_t lane = (uint32_t)(e->address >> 36) - 1, i = (uint32_t)(e->address >> 4);
	if (lane >= RIG_LANES || i >= RIG_LANE_MAX || e->address != address_of(lane, i)) {
		r->lane[0].n_wrong++;
		return;
	}
	struct rig_lane *l = &r->lane[lane];
	if (e->op == MMS_OP_FREE) {
		l->n_free++;
		return;
	}
	l->n_wrong += e->size != size_of(i) || e->stack != stack_of(i) ||
		e->op != (i & 1 ? MMS_OP_MALLOC : MMS_OP_CALLOC);
	l->n_double += l->seen[i / 8] >> i % 8 & 1;
	l->seen[i / 8] |= (uint8_t)(1u << i % 8);
	l->n++;
}

static void got_heap(void *arg, const struct order_heap *e, size_t n)
{
	while (n--)
		got_event(arg, e++);
}

static void got_note(void *arg, struct order_writer *w, const struct order_note *n)
{
	struct rig *r = arg;
	const struct mms_thread_note *note = n->payload;
	const uint8_t *bytes = (const uint8_t *)(note + 1);
	r->n_long++;
	r->n_long_wrong += n->type != MMS_LONG_THREAD_NAME || n->stack != 7 ||
		n->bytes != ((sizeof(*note) + note->name_length + 15) & ~15ul);
	for (uint32_t i = 0; i < note->name_length && i + sizeof(*note) < n->bytes; i++)
		r->n_long_wrong += bytes[i] != (uint8_t)(note->tid + i);
}

static void got_process(void *arg, const struct mms_process *slot, uint64_t t_ns)
{
	struct rig *r = arg;
	r->n_begin++;
	if (slot->number < 64) {
		r->parent[slot->number] = slot->parent_number;
		r->begin[slot->number] = slot->begin;
	}
}

static void got_end(void *arg, const struct mms_process *slot, uint64_t lost)
{
	struct rig *r = arg;
	r->n_read++;
	r->n_lost += lost;
}

static void got_thread(void *arg, struct order_writer *w) {}
static void got_round(void *arg, uint64_t horizon_ns) {}

/* ---- session and reader ---- */

void rig_open(struct rig *r, uint32_t ring_cells, enum mms_policy policy, enum mms_collector_state state)
{
	uint32_t n = ring_cells + 2;
	size_t bytes = (size_t)n << MMS_CELL_SHIFT;
	const uint8_t id[16] = { 1 };
	struct mms_create_options o = { .policy = policy };
	memset(r, 0, sizeof(*r));
	int fd = memfd_create("ring", MFD_CLOEXEC);
	REQUIRE(fd >= 0 && ftruncate(fd, (off_t)bytes) == 0);
	REQUIRE(mms_map_aligned(fd, bytes, &r->session.base) == 0);
	close(fd);
	r->session.n_cells_mapped = n;
	mms_header_init(&r->session, &o, id);
	for (uint32_t i = 2; i < n; i++) {
		r->session.cell0->cell_kind[i] = MMS_CELL_RING;
		((struct mms_block *)(void *)mms_cell(&r->session, i))->gen = 1;
	}
	atomic_store(&r->session.header->n_cells_ready, n);
	atomic_store(&r->session.header->collector_state, state);
	for (uint32_t i = 0; i < RIG_LANES; i++)
		r->lane[i].seen = mmap(NULL, RIG_LANE_MAX / 8, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	r->sink = (struct order_sink){ r, got_heap, got_note, got_process, got_end, got_thread, got_round };
	r->drain = drain_open(&r->session, &r->sink);
	REQUIRE(r->drain != NULL);
}

static void *reader_main(void *arg)
{
	struct rig *r = arg;
	struct timespec pause = { 0, (long)r->pause_us * 1000 };
	while (!atomic_load(&r->stop)) {
		drain_round(r->drain);
		uint64_t gone = atomic_exchange(&r->gone, 0);
		if (gone)
			drain_process_gone(r->drain, gone);
		nanosleep(&pause, NULL);
	}
	return NULL;
}

void rig_start_reader(struct rig *r, uint32_t pause_us)
{
	sigset_t all, old;
	r->pause_us = pause_us;
	sigfillset(&all); /* the reader is another process in earnest */
	pthread_sigmask(SIG_SETMASK, &all, &old);
	REQUIRE(pthread_create(&r->reader, NULL, reader_main, r) == 0);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

void rig_process_gone(struct rig *r, uint64_t number)
{
	while (atomic_load(&r->gone))
		usleep(100);
	atomic_store(&r->gone, number);
}

void rig_finish(struct rig *r)
{
	if (r->reader) {
		atomic_store(&r->stop, true);
		pthread_join(r->reader, NULL);
	}
	drain_finish(r->drain);
	for (uint32_t i = 0; i < RIG_LANES; i++) {
		CHECK_EQ(r->lane[i].n_double, 0);
		CHECK_EQ(r->lane[i].n_wrong, 0);
	}
	CHECK_EQ(r->n_long_wrong, 0);
	struct drain_stats stats;
	drain_stats(r->drain, &stats);
	CHECK_EQ(stats.n_bad, 0);
}

uint64_t rig_now_ms(void)
{
	return mms_clock_ns(CLOCK_MONOTONIC) / 1000000;
}

bool rig_failed(void)
{
	return check_failed;
}
