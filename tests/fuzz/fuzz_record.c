/*
 * fuzz_record.c - ring blocks with any content, through drain, order, feed
 * and model to the end.
 *
 * The input is cut into blocks: 8 bytes of header (which thread, closed or
 * not, generation, base), then the records.  A target that was damaged or
 * hostile may write anything into its blocks: nothing is read outside, the
 * collector ends, totals stay consistent, all blocks go back.
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collect/drain.h"
#include "collect/feed.h"
#include "unit/fake_session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BLOCKS 3u
#define HEAD 8u

/* One block of the input into one cell; returns the bytes used. */
static size_t put_block(struct mms_session *s, uint32_t cell, const uint8_t *data, size_t size, uint64_t process)
{
	struct mms_block *b = (struct mms_block *)(void *)mms_cell(s, cell);
	size_t n = size > HEAD ? size - HEAD : 0;

	if (size < HEAD)
		return size;
	if (n > 1024)
		n = 1024;
	atomic_store(&s->cell0->owner[cell], mms_owner_word(0, data[0] % 4));
	b->process_number = data[1] & 128 ? data[1] : process;
	b->pid = b->tid = 7 + data[0] % 4;
	b->thread_number = data[0] % 4;
	b->thread_seq = data[2];
	b->gen = data[3] & 128 ? data[3] : data[3] % 3 + 1;
	atomic_store(&b->closed, data[4] % 4);
	memcpy((uint8_t *)b + MMS_BLOCK_FIRST + (data[5] & 1 ? MMS_BLOCK_END - MMS_BLOCK_FIRST - 1024 : 0),
		data + HEAD, n);
	atomic_store(&b->base_stamp, fake_stamp(FAKE_START_TICKS + data[6] * 1000u) * (data[7] % 3));
	return HEAD + n;
}

static void sum_up(const struct model *m)
{
	for (size_t i = 0; i < m->n_processes; i++) {
		const struct model_process *p = m->processes[i];
		uint64_t blocks = 0, bytes = 0, peak = 0;

		for (size_t k = 0; k < p->n_sites; k++) {
			blocks += p->sites[k]->live_blocks;
			bytes += p->sites[k]->live_bytes;
			peak += p->sites[k]->peak_bytes;
		}
		if (blocks != p->live_blocks || bytes != p->live_bytes || peak != p->peak_bytes) {
			fprintf(stderr, "process %" PRIu64 ": sites %" PRIu64 " blocks %" PRIu64 " bytes %" PRIu64 " at peak, process %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
				p->number, blocks, bytes, peak, p->live_blocks, p->live_bytes, p->peak_bytes);
			abort();
		}
	}
}

static void run(const uint8_t *data, size_t size)
{
	struct mms_session *s = fake_session_new(BLOCKS);
	struct model *m = model_new();
	struct feed feed;
	struct drain *d;
	uint64_t process = fake_process(s, 0, MMS_BEGIN_START, 7, FAKE_START_TICKS);

	for (uint32_t cell = 1; cell <= BLOCKS && size; cell++) {
		size_t used = put_block(s, cell, data, size, process);

		data += used;
		size -= used;
	}
	feed_init(&feed, m);
	d = drain_open(s, &feed.sink);
	feed.clock = drain_clock(d);
	for (uint64_t t = 1; t <= 3; t++)
		drain_round_at(d, fake_stamp(FAKE_START_TICKS + (t << 23)));
	drain_finish(d);
	drain_saved(d); /* blocks that tell what a process is are kept until then */
	model_settle(m);
	sum_up(m);
	for (uint32_t cell = 1; cell <= BLOCKS; cell++)
		if (atomic_load(&s->cell0->owner[cell])) {
			fprintf(stderr, "cell %u did not go back\n", cell);
			abort();
		}
	drain_close(d);
	model_free(m);
	fake_session_free(s);
}

#define MUTANTS 3

/* The input, and some that differ from it in a few bytes: always the same
 * ones for the same input. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t x = size + 1;
	uint8_t *copy = malloc(size + 1);

	run(data, size);
	for (int i = 0; i < MUTANTS && size; i++) {
		memcpy(copy, data, size);
		for (int k = 0; k <= i; k++) {
			x = x * 6364136223846793005ull + 1442695040888963407ull;
			copy[(x >> 33) % size] ^= (uint8_t)(1u << (x >> 20 & 7));
			if (x >> 63)
				copy[(x >> 13) % size] = (uint8_t)(x >> 40);
		}
		run(copy, size);
	}
	free(copy);
	return 0;
}
