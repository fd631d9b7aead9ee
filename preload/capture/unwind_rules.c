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
 *
 * A process that forks again and again shares a table with its children
 * (rules_share): what one of them learns the others need not, and none copies
 * a page for each rule.  An address means the same in all of them only where
 * the module was there before the table: a rule of another module, and one
 * that means nothing elsewhere, moves its process to a table of its own.  So
 * does clearing, which leaves the shared one as it is.
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
static uint64_t n_stored; /* since the table was empty; of the shared one in its head */
static struct wide_step wide[N_WIDE];
static uint32_t n_wide;

/* Tables that are shared with children, each behind its head; a child has what
 * its parent had. */
#define SHARES_MAX 4u
#define MODULES_MAX 128u
struct shared_head {
	uint64_t n_stored, unused[7];
};
struct modules {
	uint32_t edition; /* odd: it is being changed */
	uint32_t n;
	struct {
		uint64_t low, high;
	} of[MODULES_MAX];
};
static struct modules modules; /* that were told of */
static struct {
	uint32_t busy; /* one thread makes one; a child that was forked meanwhile never does */
	uint32_t n_forks, n_made;
	struct {
		uint64_t table;         /* as rules_table; 0: none */
		struct modules modules; /* that were there before it */
	} made[SHARES_MAX];
} shared;

/* Filled in by the linker: there is a table before anybody has started it.
 * (The address is aligned, so adding the bits is setting them.) */
uint64_t rules_table = (uint64_t)first_table + FIRST_BITS;
/* The last one of our own: the bigger ones were never written. */
static uint64_t own_table = (uint64_t)first_table + FIRST_BITS;

static uint64_t table_word(const uint64_t *words, unsigned bits)
{
	return (uint64_t)(uintptr_t)words | bits;
}

static uint64_t *table_words(uint64_t table)
{
	return (uint64_t *)(uintptr_t)(table & ~63ull);
}

/* What a table that is shared can be used for; NULL: it is our own. */
static const struct modules *shared_for(uint64_t table)
{
	for (uint32_t i = 0; i < SHARES_MAX; i++)
		if (table == __atomic_load_n(&shared.made[i].table, __ATOMIC_ACQUIRE))
			return &shared.made[i].modules;
	return NULL;
}

static uint64_t *stored_in(uint64_t table)
{
	return shared_for(table) ? &((struct shared_head *)table_words(table) - 1)->n_stored : &n_stored;
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
	zero_words(table_words(table), TABLE_WORDS(table & 63));
}

/* How many. */
static uint64_t copy_rules(uint64_t table, uint64_t *words, unsigned new_bits)
{
	unsigned bits = (unsigned)(table & 63);
	uint64_t *old = table_words(table), n = 0;

	for (size_t i = 0; i < TABLE_WORDS(bits); i++) {
		uint64_t w = __atomic_load_n(&old[i], __ATOMIC_RELAXED);
		/* The high bits of the hash are the place, the low bits the tag. */
		uint64_t high = (uint64_t)(i / 4) << (RULE_PC_BITS - bits);
		if (w)
			n += put_word(words, new_bits, (high & ~RULE_TAG_MASK) | w >> RULE_BITS, w);
	}
	return n;
}

/* To a table of our own that is four times as big. */
static void grow(uint64_t table)
{
	unsigned bits = (unsigned)(table & 63) + 2;
	uint64_t *words = bigger_table(bits);
	uint64_t before = rules_generation();

	if (!words)
		return;
	uint64_t n = copy_rules(table, words, bits);
	if (shared_for(table))
		__atomic_store_n(&n_stored, n, __ATOMIC_RELAXED);
	__atomic_store_n(&own_table, table_word(words, bits), __ATOMIC_SEQ_CST);
	__atomic_compare_exchange_n(&rules_table, &table, table_word(words, bits), false,
		__ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	if (rules_generation() != before)
		zero_words(words, TABLE_WORDS(bits));
}

static uint64_t room_of(uint64_t table)
{
	return TABLE_WORDS(table & 63) / 4;
}

/* There is none yet, or it is full enough.  A program that forks once or twice
 * does not pay for it. */
static bool wants_share(uint64_t table)
{
	if (__atomic_add_fetch(&shared.n_forks, 1, __ATOMIC_RELAXED) < 3)
		return false;
	if (shared_for(table) && __atomic_load_n(stored_in(table), __ATOMIC_RELAXED) <= room_of(table))
		return false;
	return shared.n_made < SHARES_MAX && (table & 63) + 2 < LAST_BITS;
}

/* False: the list changed meanwhile, or is too long. */
static bool copy_modules(struct modules *to)
{
	uint32_t edition = __atomic_load_n(&modules.edition, __ATOMIC_ACQUIRE);

	to->n = modules.n;
	for (uint32_t i = 0; i < to->n && i < MODULES_MAX; i++)
		to->of[i] = modules.of[i];
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return to->n && to->n <= MODULES_MAX && !(edition & 1) &&
		edition == __atomic_load_n(&modules.edition, __ATOMIC_RELAXED);
}

static void share(uint64_t table, uint32_t i)
{
	unsigned bits = (unsigned)(table & 63) + (shared_for(table) ? 2 : 0);
	uint64_t before = rules_generation();

	if (!copy_modules(&shared.made[i].modules))
		return;
	size_t bytes = sizeof(struct shared_head) + TABLE_WORDS(bits) * sizeof(uint64_t);
	long at = mms_mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (mms_is_error(at))
		return;
	own_note((void *)at, bytes);
	struct shared_head *head = (struct shared_head *)at;
	uint64_t made = table_word((uint64_t *)(head + 1), bits);
	head->n_stored = copy_rules(table, (uint64_t *)(head + 1), bits);
	__atomic_store_n(&shared.made[i].table, made, __ATOMIC_RELEASE);
	__atomic_compare_exchange_n(&rules_table, &table, made, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	if (rules_generation() != before)
		zero_table(made);
}

void rules_share(void)
{
	uint64_t table = __atomic_load_n(&rules_table, __ATOMIC_ACQUIRE);

	if (!wants_share(table) || __atomic_exchange_n(&shared.busy, 1, __ATOMIC_ACQ_REL))
		return;
	if (shared.n_made < SHARES_MAX)
		share(table, shared.n_made++);
	__atomic_store_n(&shared.busy, 0, __ATOMIC_RELEASE);
}

void rules_modules(enum rules_list how, uint64_t low, uint64_t high)
{
	if (how != RULES_LIST_ADD)
		__atomic_fetch_add(&modules.edition, 1, __ATOMIC_SEQ_CST);
	if (how == RULES_LIST_BEGIN)
		modules.n = 0;
	if (how != RULES_LIST_ADD)
		return;
	if (modules.n < MODULES_MAX) {
		modules.of[modules.n].low = low;
		modules.of[modules.n].high = high;
	}
	modules.n++;
}

/* True: in every process that may have the table the rule is right for this pc. */
static bool holds_for_all(uint64_t table, uint64_t pc, rule r)
{
	const struct modules *l = shared_for(table);

	if (!l)
		return true;
	if (rule_kind(r) == RULE_WIDE) /* an index into a table of ours */
		return false;
	for (uint32_t i = 0; i < l->n; i++)
		if (pc - l->of[i].low < l->of[i].high - l->of[i].low)
			return true;
	return false;
}

void rules_insert(uint64_t pc, rule r, uint64_t resolved_in)
{
	uint64_t table = __atomic_load_n(&rules_table, __ATOMIC_ACQUIRE);
	uint64_t hash = pc * RULE_MULTIPLIER & RULE_PC_MASK;
	uint64_t word = (hash & RULE_TAG_MASK) << RULE_BITS | r;

	if (!holds_for_all(table, pc, r)) {
		grow(table);
		table = __atomic_load_n(&rules_table, __ATOMIC_ACQUIRE);
		if (shared_for(table))
			return;
	}
	unsigned bits = (unsigned)(table & 63);
	uint64_t *words = table_words(table);
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
	if (!is_new)
		return;
	/* The next fork makes a bigger one for all; who cannot wait leaves. */
	uint64_t room = shared_for(table) ? 2 * room_of(table) : room_of(table);
	if (__atomic_add_fetch(stored_in(table), 1, __ATOMIC_RELAXED) > room)
		grow(table);
}

void rules_clear(void)
{
	__atomic_fetch_add(&rules_generation_word, 1, __ATOMIC_SEQ_CST);
	uint64_t table = __atomic_load_n(&rules_table, __ATOMIC_SEQ_CST);
	while (shared_for(table)) {
		uint64_t own = __atomic_load_n(&own_table, __ATOMIC_SEQ_CST);
		zero_table(own);
		if (__atomic_compare_exchange_n(&rules_table, &table, own, false, __ATOMIC_SEQ_CST,
				__ATOMIC_SEQ_CST))
			table = own;
	}
	zero_table(table);
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
