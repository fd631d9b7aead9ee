/*
 * canonical.c - see canonical.h.
 *
 * Called by stack.c and unwind_join.c for frames that are not remembered, and
 * by module.c, which knows the list.
 *
 * Law: no lock, no allocation, no system call; callable from a signal handler
 * that interrupted itself.  Of two lists one is read while the other is made.
 * A reader looks whether its list was begun anew meanwhile; it never waits,
 * for the list that is current is finished.  Whoever makes a list stores word
 * by word with release, whoever reads one loads with acquire: so the edition is
 * odd before the first word is another one, and is looked at after the last.
 */
#include "canonical.h"

#define MODULES_MAX 512u /* those beyond have no canonical addresses */

struct module {
	uint64_t start, end;
	uint64_t slide; /* canonical minus true address, modulo 2^64 */
};

struct list {
	uint32_t edition; /* odd: it is being made */
	uint32_t n;
	struct module of[MODULES_MAX]; /* by address */
};

static struct list lists[2];
static uint32_t current;     /* which of the two is read */
static uint32_t own_context;
static bool left;
_Atomic uint32_t canonical_root;

static struct list *current_list(void)
{
	return &lists[__atomic_load_n(&current, __ATOMIC_ACQUIRE) & 1];
}

static struct list *other_list(void)
{
	return &lists[(__atomic_load_n(&current, __ATOMIC_RELAXED) + 1) & 1];
}

bool canonical_is_left(void)
{
	return __atomic_load_n(&left, __ATOMIC_RELAXED);
}

static void leave(void)
{
	__atomic_store_n(&left, true, __ATOMIC_RELAXED);
	atomic_store_explicit(&canonical_root, __atomic_load_n(&own_context, __ATOMIC_RELAXED), memory_order_relaxed);
}

void canonical_start(uint32_t context)
{
	__atomic_store_n(&own_context, context, __ATOMIC_RELAXED);
	atomic_store_explicit(&canonical_root, context, memory_order_relaxed);
}

void canonical_context_is(uint32_t context)
{
	__atomic_store_n(&own_context, context, __ATOMIC_RELAXED);
	atomic_store_explicit(&canonical_root, canonical_is_left() ? context : MMS_CONTEXT_COMMON, memory_order_relaxed);
}

void canonical_begin(void)
{
	struct list *l = other_list();

	__atomic_store_n(&l->edition, l->edition | 1, __ATOMIC_RELAXED);
	__atomic_store_n(&l->n, 0, __ATOMIC_RELEASE);
}

/* The number of the file with this identity, from 1; it gets one when it has
 * none.  0: there is no room. */
static uint32_t number_of(const struct mms_session *s, uint64_t identity)
{
	struct mms_files *files = mms_files(s);

	for (uint32_t i = 0; files && i < MMS_FILES; i++) {
		uint32_t at = (uint32_t)((identity + i) % MMS_FILES);
		uint64_t known = atomic_load_explicit(&files->identity[at], memory_order_relaxed);
		if (known == identity || (!known &&
				(atomic_compare_exchange_strong(&files->identity[at], &known, identity) || known == identity)))
			return at + 1;
	}
	return 0;
}

static struct module read_module(const struct list *l, uint32_t i)
{
	const struct module *m = &l->of[i];

	return (struct module){ __atomic_load_n(&m->start, __ATOMIC_ACQUIRE), __atomic_load_n(&m->end, __ATOMIC_ACQUIRE),
		__atomic_load_n(&m->slide, __ATOMIC_ACQUIRE) };
}

static void write_module(struct list *l, uint32_t i, struct module m)
{
	__atomic_store_n(&l->of[i].start, m.start, __ATOMIC_RELEASE);
	__atomic_store_n(&l->of[i].end, m.end, __ATOMIC_RELEASE);
	__atomic_store_n(&l->of[i].slide, m.slide, __ATOMIC_RELEASE);
}

uint32_t canonical_add(const struct mms_session *s, uint64_t identity, uint64_t start, uint64_t end)
{
	struct list *l = other_list();
	uint32_t i = l->n;

	if (!identity || i == MODULES_MAX || end - start > 1ull << MMS_FILE_SHIFT)
		return 0;
	uint32_t file = number_of(s, identity);
	if (!file)
		return 0;
	for (; i > 0 && l->of[i - 1].start > start; i--)
		write_module(l, i, l->of[i - 1]);
	write_module(l, i, (struct module){ start, end, mms_file_start(file) - start });
	__atomic_store_n(&l->n, l->n + 1, __ATOMIC_RELEASE);
	return file;
}

void canonical_end(void)
{
	struct list *l = other_list();

	__atomic_store_n(&l->edition, l->edition + 1, __ATOMIC_RELEASE);
	__atomic_store_n(&current, __atomic_load_n(&current, __ATOMIC_RELAXED) + 1, __ATOMIC_RELEASE);
}

/* The pc in module i's place; 0: it lies in another.  A return address may be
 * the byte behind its module: of a call that never returns. */
static uint64_t in_place(const struct list *l, uint32_t i, uint64_t pc)
{
	if (i >= MODULES_MAX || i >= __atomic_load_n(&l->n, __ATOMIC_ACQUIRE))
		return 0;
	struct module m = read_module(l, i);
	return pc > m.start && pc <= m.end ? pc + m.slide : 0;
}

/* Index of the last module that begins below the pc; else no index. */
static uint32_t find(const struct list *l, uint64_t pc)
{
	uint32_t low = 0, high = __atomic_load_n(&l->n, __ATOMIC_ACQUIRE);

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		if (__atomic_load_n(&l->of[middle].start, __ATOMIC_ACQUIRE) < pc)
			low = middle + 1;
		else
			high = middle;
	}
	return low - 1;
}

/* 0: it has no canonical address. */
static uint64_t canonical(uint64_t pc, uint32_t *hint)
{
	for (;;) {
		const struct list *l = current_list();
		uint32_t edition = __atomic_load_n(&l->edition, __ATOMIC_ACQUIRE), i = *hint;
		uint64_t found = in_place(l, i, pc);
		if (!found) {
			i = find(l, pc);
			found = in_place(l, i, pc);
		}
		if (!(edition & 1) && edition == __atomic_load_n(&l->edition, __ATOMIC_RELAXED)) {
			*hint = i;
			return found;
		}
	}
}

uint64_t canonical_common_key(uint64_t key, uint32_t *hint)
{
	uint64_t pc = canonical(mms_node_pc(key), hint);

	if (pc)
		return (key & ~MMS_NODE_PC_MASK) | pc;
	leave();
	return key;
}

uint32_t canonical_root_of(uint32_t context, const uint64_t *frames, size_t n)
{
	uint32_t hint = 0;

	for (size_t i = 0; context == MMS_CONTEXT_COMMON && i < n; i++)
		if (!canonical(mms_node_pc(frames[i]), &hint)) {
			leave();
			context = __atomic_load_n(&own_context, __ATOMIC_RELAXED);
		}
	return context;
}
