/*
 * grow.c - the collector's hold on the session file: open, map, extend.
 *
 * Cells are added before anybody runs out: blocks of the ring while less
 * than a quarter is free, stack nodes while less than half a cell or as much
 * as half of those in use is left (a program that starts up makes 100,000 a
 * second, and this process may be writing the database meanwhile), the next segment of the stack index at a quarter of the
 * load of those there are.  A cell is real memory before it is announced:
 * posix_fallocate first, then its kind, then n_cells_ready with release
 * order.  A full /dev/shm is a count and an errno, never SIGBUS in a target.
 * Called by collect.c once a round, and by recover.c to open.
 */
#include "grow.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <mmscope/launch.h>

#define START_CELLS 16u

static int check(int fd, struct mms_header *head, uint64_t *ret_size)
{
	struct stat st;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EPROTO;
	ssize_t n = pread(fd, head, sizeof(*head), 0);
	if (n < 0)
		return -errno;
	uint32_t ready = atomic_load(&head->n_cells_ready);
	if (n != (ssize_t)sizeof(*head) || head->magic != MMS_SESSION_MAGIC ||
		head->version != MMS_PROTOCOL_VERSION || head->header_bytes != sizeof(*head) ||
		head->n_cells_max > MMS_MAX_CELLS || ready < MMS_INITIAL_CELLS || ready > head->n_cells_max)
		return -EPROTO;
	/* Cut short: touching the rest would be SIGBUS. */
	if ((uint64_t)st.st_size < (uint64_t)ready << MMS_CELL_SHIFT)
		return -EPROTO;
	*ret_size = (uint64_t)st.st_size;
	return 0;
}

/* A private copy of what is there: recovery must not change the file, so
 * that it can be tried again. */
static int map_private(int fd, uint32_t n_ready, struct mms_session *ret)
{
	size_t bytes = (size_t)n_ready << MMS_CELL_SHIFT, span = bytes + MMS_CELL_SIZE;
	uint8_t *low = mmap(NULL, span, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (low == MAP_FAILED)
		return -errno;
	uint8_t *base = low + (-(uintptr_t)low & (MMS_CELL_SIZE - 1));
	if (mmap(base, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, fd, 0) == MAP_FAILED) {
		int r = -errno;
		munmap(low, span);
		return r;
	}
	/* The edges stay reserved: they cost nothing, and this process is short. */
	ret->base = base;
	ret->n_cells_mapped = n_ready;
	return 0;
}

int session_file_open(const char *path, bool writable, struct session_file *ret)
{
	struct mms_header head;
	uint64_t size;
	memset(ret, 0, sizeof(*ret));
	int fd = open(path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return -errno;
	int r = check(fd, &head, &size);
	if (r == 0 && writable) {
		r = mms_map_aligned(fd, (size_t)head.n_cells_max << MMS_CELL_SHIFT, &ret->session.base);
		ret->session.n_cells_mapped = head.n_cells_max;
	} else if (r == 0) {
		r = map_private(fd, atomic_load(&head.n_cells_ready), &ret->session);
	}
	if (r < 0) {
		close(fd);
		return r;
	}
	ret->fd = fd;
	for (uint32_t i = 0; i < atomic_load(&head.n_cells_ready); i++)
		ret->n_ring += ret->session.cell0->cell_kind[i] == MMS_CELL_RING;
	return 0;
}

void session_file_close(struct session_file *f)
{
	if (f->session.base)
		munmap(f->session.base, (size_t)f->session.n_cells_mapped << MMS_CELL_SHIFT);
	if (f->fd >= 0)
		close(f->fd);
	f->session.base = NULL;
	f->fd = -1;
}

/* Makes up to n cells real, without announcing them.  Returns how many. */
static uint32_t allocate(struct session_file *f, uint32_t n)
{
	struct mms_header *h = f->session.header;
	uint32_t ready = atomic_load(&h->n_cells_ready);
	if (n > h->n_cells_max - ready)
		n = h->n_cells_max - ready;
	if (n == 0)
		return 0;
	int r = posix_fallocate(f->fd, (off_t)ready << MMS_CELL_SHIFT, (off_t)n << MMS_CELL_SHIFT);
	if (r == 0)
		return n;
	f->error = r;
	f->n_refused += n;
	return 0;
}

static uint32_t add_ring(struct session_file *f, uint32_t n)
{
	struct mms_header *h = f->session.header;
	uint32_t ready = atomic_load(&h->n_cells_ready);
	n = allocate(f, n);
	if (n == 0)
		return 0;
	for (uint32_t i = ready; i < ready + n; i++) {
		((struct mms_block *)(void *)mms_cell(&f->session, i))->gen = 1;
		f->session.cell0->cell_kind[i] = MMS_CELL_RING;
	}
	f->n_ring += n;
	atomic_store_explicit(&h->n_cells_ready, ready + n, memory_order_release);
	atomic_fetch_add(&h->free_seq, 1);
	if (atomic_load(&h->n_waiting))
		mms_futex_wake(&h->free_seq, INT32_MAX);
	return n;
}

void session_file_start(struct session_file *f)
{
	uint32_t bound = f->session.header->n_ring_max;
	uint32_t n = bound < START_CELLS ? bound : START_CELLS;
	if (n > f->n_ring)
		add_ring(f, n - f->n_ring);
}

/* Adds n cells of a kind that has a directory: the entries first, then the
 * counter that says how many of them count. */
static bool add_listed(struct session_file *f, uint32_t n, enum mms_cell_kind kind, uint16_t *directory,
	_Atomic uint32_t *counter)
{
	struct mms_header *h = f->session.header;
	uint32_t ready = atomic_load(&h->n_cells_ready);
	uint32_t have = atomic_load(counter);
	if (n > h->n_cells_max - ready || allocate(f, n) != n)
		return false;
	for (uint32_t i = 0; i < n; i++) {
		f->session.cell0->cell_kind[ready + i] = (uint8_t)kind;
		directory[have + i] = (uint16_t)(ready + i);
	}
	atomic_store_explicit(&h->n_cells_ready, ready + n, memory_order_release);
	atomic_store_explicit(counter, have + n, memory_order_release);
	return true;
}

/* Blocks that live threads are filling: nobody can give them back. */
static uint32_t open_blocks(const struct session_file *f)
{
	const struct mms_cell0 *c = f->session.cell0;
	uint32_t ready = atomic_load(&f->session.header->n_cells_ready), n = 0;
	for (uint32_t i = 0; i < ready; i++) {
		const struct mms_block *b = (const struct mms_block *)(const void *)mms_cell(&f->session, i);
		n += c->cell_kind[i] == MMS_CELL_RING && atomic_load(&c->owner[i]) != 0 &&
			atomic_load(&b->closed) == MMS_BLOCK_OPEN;
	}
	return n;
}

/* Every thread that records holds a block for as long as it lives.  A program
 * of many threads needs more than the bound, which is meant for records that
 * wait to be read: half of it is always left for those. */
static uint32_t ring_bound(const struct session_file *f)
{
	uint32_t bound = f->session.header->n_ring_max ? f->session.header->n_ring_max : MMS_RING_CELLS;
	if (f->n_ring < bound)
		return bound;
	uint32_t open = open_blocks(f);
	return open > bound / 2 ? open + bound / 2 : bound;
}

static void grow_ring(struct session_file *f, uint32_t free_ring, uint32_t want)
{
	struct mms_header *h = f->session.header;
	bool hungry = (want & 1u << MMS_CELL_RING) || atomic_load(&h->n_waiting);
	uint32_t bound = ring_bound(f);
	if (f->n_ring >= bound || (!hungry && free_ring * 4 >= f->n_ring && free_ring >= 2))
		return;
	/* Half as much again, in steps that take at most a few ms. */
	uint32_t n = f->n_ring / 2 < 2 ? 2 : f->n_ring / 2 > 64 ? 64 : f->n_ring / 2;
	add_ring(f, n < bound - f->n_ring ? n : bound - f->n_ring);
}

/* False: there should be more and there is not. */
static bool grow_nodes(struct session_file *f, uint32_t want)
{
	struct mms_header *h = f->session.header;
	uint32_t cells = atomic_load(&h->n_node_cells);
	uint64_t used = atomic_load(&h->next_node), room = (uint64_t)cells * MMS_NODES_PER_CELL;
	uint64_t spare = MMS_NODES_PER_CELL / 2 > used / 2 ? MMS_NODES_PER_CELL / 2 : used / 2;
	if (!(want & 1u << MMS_CELL_NODES) && used + spare < room)
		return true;
	uint32_t n = 1 + cells / 2, left = h->n_cells_max - atomic_load(&h->n_cells_ready);
	if (n > MMS_NODE_DIR - cells)
		n = MMS_NODE_DIR - cells;
	if (n > left)
		n = left;
	return n && add_listed(f, n, MMS_CELL_NODES, f->session.cell0->node_cell, &h->n_node_cells);
}

/* Segments come whole: k has 4^k cells. */
static bool grow_index(struct session_file *f, uint32_t want)
{
	struct mms_header *h = f->session.header;
	uint32_t have = atomic_load(&h->n_index_cells);
	uint64_t slots = MMS_INDEX0_SLOTS + (uint64_t)have * MMS_INDEX_SLOTS_PER_CELL;
	uint32_t next = 0;
	for (uint32_t n = 4, sum = 0; n <= 256; sum += n, n *= 4)
		if (sum == have)
			next = n;
	if (!(want & 1u << MMS_CELL_INDEX) && atomic_load(&h->next_node) < slots / 4)
		return true;
	return next && add_listed(f, next, MMS_CELL_INDEX, f->session.cell0->index_cell, &h->n_index_cells);
}

static void grow_slots(struct session_file *f, uint32_t want)
{
	struct mms_header *h = f->session.header;
	uint32_t n = atomic_load(&h->n_process_cells), used = 0, total = 0;
	for (uint32_t i = 0;; i++, total++) {
		struct mms_process *p = mms_process_slot(&f->session, i);
		if (!p)
			break;
		used += atomic_load_explicit(&p->state, memory_order_relaxed) != MMS_SLOT_FREE;
	}
	if (n < MMS_PROCESS_DIR && ((want & 1u << MMS_CELL_PROCESSES) || used * 2 > total))
		add_listed(f, 1, MMS_CELL_PROCESSES, h->process_cell, &h->n_process_cells);
	n = atomic_load(&h->n_thread_cells);
	used = total = 0;
	for (uint32_t i = 0;; i++, total++) {
		struct mms_thread *t = mms_thread_slot(&f->session, i);
		if (!t)
			break;
		used += atomic_load_explicit(&t->process, memory_order_relaxed) != 0;
	}
	if (n < MMS_THREAD_DIR && ((want & 1u << MMS_CELL_THREADS) || used * 2 > total))
		add_listed(f, 1, MMS_CELL_THREADS, h->thread_cell, &h->n_thread_cells);
}

void session_file_grow(struct session_file *f, uint32_t free_ring)
{
	struct mms_header *h = f->session.header;
	uint32_t want = atomic_exchange(&h->want, 0);
	grow_ring(f, free_ring, want);
	bool nodes = grow_nodes(f, want), index = grow_index(f, want);
	if (want & 1u << MMS_CELL_NODES && !nodes && !index)
		atomic_store(&h->stacks_full, 1);
	grow_slots(f, want);
}
