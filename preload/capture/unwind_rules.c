/*
 * unwind_rules.c - the table of unwind rules.
 *
 * Law: no lock, no allocation, no system call but the one reservation of
 * rules_init.  Every function may be interrupted anywhere, also by itself,
 * and left for good by siglongjmp.
 *
 * The table starts with 1,024 sets in .bss, because every rule of a short
 * process touches a page, and grows four times as big above a quarter of its
 * room.  Growing is copying: any thread may do it, several may do it at once
 * (they write the same words), one that is interrupted for ever has harmed
 * nothing.  Old tables stay: a walk that began in one ends in it.
 *
 * Clearing opens the generation first and zeroes then.  A rule that was
 * resolved before and stored after is taken out by whoever stored it, and a
 * table that was copied before and published after is zeroed by whoever
 * published it: both look at the generation after their last write.
 */
#include "unwind_rules.h"

#include <stddef.h>

#include "base/own.h"
#include "base/sys.h"

#define FIRST_BITS 10u
#define LAST_BITS 18u
#define TABLE_WORDS(bits) ((size_t)4 << (bits))
#define N_WIDE 512u

struct wide_step {
	uint64_t cfa; /* bit 63: from rbp.  0: empty */
	uint64_t rbp;
};

static uint64_t first_table[TABLE_WORDS(FIRST_BITS)] __attribute__((aligned(64)));
static uintptr_t reserve; /* room of the bigger tables, smallest first */
uint64_t rules_generation_word;
static uint64_t n_learnt; /* since the start */
static uint64_t n_stored; /* since the table was empty */
static struct wide_step wide[N_WIDE];
static uint32_t n_wide;

/* Filled in by the linker: there is a table before anybody has started it.
 * (The address is aligned, so adding the bits is setting them.) */
uint64_t rules_table = (uint64_t)first_table + FIRST_BITS;

static uint64_t table_word(const uint64_t *words, unsigned bits)
{
	return (uint64_t)(uintptr_t)words | bits;
}

void rules_init(void)
{
	size_t bytes = 0;

	if (reserve)
		return;
	for (unsigned bits = FIRST_BITS + 2; bits <= LAST_BITS; bits += 2)
		bytes += TABLE_WORDS(bits) * sizeof(uint64_t);
	long at = own_map(bytes, PROT_READ | PROT_WRITE, MAP_NORESERVE);
	if (mms_is_error(at))
		return;
	/* A huge page here would cost 2 MiB for the first rule. */
	mms_madvise((void *)at, bytes, MADV_NOHUGEPAGE);
	__atomic_store_n(&reserve, (uintptr_t)at, __ATOMIC_RELEASE);
}

static uint64_t *bigger_table(unsigned bits)
{
	uintptr_t at = __atomic_load_n(&reserve, __ATOMIC_ACQUIRE);

	if (!at || bits > LAST_BITS)
		return NULL;
	for (unsigned b = FIRST_BITS + 2; b < bits; b += 2)
		at += TABLE_WORDS(b) * sizeof(uint64_t);
	return (uint64_t *)at;
}

static void zero_words(uint64_t *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (__atomic_load_n(&words[i], __ATOMIC_RELAXED))
			__atomic_store_n(&words[i], 0, __ATOMIC_RELAXED);
}

/* Puts a word into its set: over an older rule of the same pc, else into an
 * empty place, else over one of the four.  True when the place was empty. */
static bool put_word(uint64_t *words, unsigned bits, uint64_t hash, uint64_t word)
{
	uint64_t *set = words + (hash >> (RULE_PC_BITS - bits)) * 4;
	uint64_t *place = NULL;

	for (int i = 0; i < 4; i++) {
		uint64_t w = __atomic_load_n(&set[i], __ATOMIC_RELAXED);
		if (w >> RULE_BITS == word >> RULE_BITS && w) {
			__atomic_store_n(&set[i], word, __ATOMIC_RELAXED);
			return false;
		}
		if (!w && !place)
			place = &set[i];
	}
	bool empty = place != NULL;
	if (!empty)
		place = &set[hash >> 5 & 3];
	__atomic_store_n(place, word, __ATOMIC_RELAXED);
	return empty;
}

static void zero_table(uint64_t table)
{
	zero_words((uint64_t *)(uintptr_t)(table & ~63ull), TABLE_WORDS(table & 63));
}

static void grow(uint64_t table)
{
	unsigned bits = (unsigned)(table & 63);
	uint64_t *old = (uint64_t *)(uintptr_t)(table & ~63ull);
	uint64_t *words = bigger_table(bits + 2);
	uint64_t before = rules_generation();

	if (!words)
		return;
	for (size_t i = 0; i < TABLE_WORDS(bits); i++) {
		uint64_t w = __atomic_load_n(&old[i], __ATOMIC_RELAXED);
		/* The high bits of the hash are the place, the low bits the tag. */
		uint64_t high = (uint64_t)(i / 4) << (RULE_PC_BITS - bits);
		if (w)
			put_word(words, bits + 2, (high & ~RULE_TAG_MASK) | w >> RULE_BITS, w);
	}
	__atomic_compare_exchange_n(&rules_table, &table, table_word(words, bits + 2), false,
		__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	if (rules_generation() != before)
		zero_words(words, TABLE_WORDS(bits + 2));
}

void rules_insert(uint64_t pc, rule r, uint64_t resolved_in)
{
	uint64_t table = __atomic_load_n(&rules_table, __ATOMIC_ACQUIRE);
	uint64_t hash = pc * RULE_MULTIPLIER & RULE_PC_MASK;
	uint64_t word = (hash & RULE_TAG_MASK) << RULE_BITS | r;
	unsigned bits = (unsigned)(table & 63);
	uint64_t *words = (uint64_t *)(uintptr_t)(table & ~63ull);

	bool is_new = put_word(words, bits, hash, word);
	__atomic_fetch_add(&n_learnt, 1, __ATOMIC_RELAXED);
	if (rules_generation() != resolved_in) {
		uint64_t *set = words + (hash >> (RULE_PC_BITS - bits)) * 4;
		for (int i = 0; i < 4; i++) {
			uint64_t mine = word;
			__atomic_compare_exchange_n(&set[i], &mine, 0, false, __ATOMIC_RELAXED,
				__ATOMIC_RELAXED);
		}
		return;
	}
	if (is_new && __atomic_add_fetch(&n_stored, 1, __ATOMIC_RELAXED) > TABLE_WORDS(bits) / 4)
		grow(table);
}

void rules_clear(void)
{
	__atomic_fetch_add(&rules_generation_word, 1, __ATOMIC_SEQ_CST);
	zero_table(__atomic_load_n(&rules_table, __ATOMIC_SEQ_CST));
	__atomic_store_n(&n_stored, 0, __ATOMIC_RELAXED);
}

uint64_t rules_count(void)
{
	return __atomic_load_n(&n_learnt, __ATOMIC_RELAXED);
}

unsigned rules_bits(void)
{
	return (unsigned)(__atomic_load_n(&rules_table, __ATOMIC_RELAXED) & 63);
}

/* The side table is appended to and never emptied: an index that stands in a
 * rule stays good.  Equal steps share an entry. */
static rule pack_wide(const struct rule_step *step)
{
	uint64_t cfa = step->cfa | (uint64_t)step->from_rbp << 63;
	uint32_t n = __atomic_load_n(&n_wide, __ATOMIC_ACQUIRE);

	for (uint32_t i = 0; i < n && i < N_WIDE; i++)
		if (wide[i].cfa == cfa && wide[i].rbp == step->rbp)
			return RULE_WIDE | i << 3;
	n = __atomic_fetch_add(&n_wide, 1, __ATOMIC_ACQ_REL);
	if (n >= N_WIDE) {
		__atomic_store_n(&n_wide, N_WIDE, __ATOMIC_RELAXED);
		return rule_plain(RULE_COMPLEX);
	}
	__atomic_store_n(&wide[n].rbp, step->rbp, __ATOMIC_RELAXED);
	__atomic_store_n(&wide[n].cfa, cfa, __ATOMIC_RELEASE);
	return RULE_WIDE | n << 3;
}

rule rule_pack(const struct rule_step *step)
{
	if (step->cfa >> 3 > RULE_CFA_MAX || step->rbp >> 3 > RULE_RBP_MAX)
		return pack_wide(step);
	return (rule)(step->from_rbp ? RULE_BP : RULE_SP) | (rule)(step->cfa >> 3) << 3 |
		(rule)(step->rbp >> 3) << 16;
}

struct rule_step rule_unpack(rule r)
{
	if (rule_kind(r) != RULE_WIDE)
		return (struct rule_step){ rule_cfa(r), rule_rbp(r), rule_kind(r) == RULE_BP };
	const struct wide_step *w = &wide[(r >> 3) % N_WIDE];
	uint64_t cfa = __atomic_load_n(&w->cfa, __ATOMIC_ACQUIRE);
	return (struct rule_step){ cfa & ~(1ull << 63), __atomic_load_n(&w->rbp, __ATOMIC_RELAXED),
		cfa >> 63 };
}
