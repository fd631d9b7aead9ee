/*
 * unwind_rules.h - one unwind step as one 8-byte word, shared by all threads.
 *
 * A rule says how to get from a return address to the frame that called it.
 * The key is the return address itself (47 bits).  Multiplied by an odd
 * number modulo 2^47 it is spread without loss: the top bits choose a set of
 * four words, the low 37 bits stand in the word, and since every table has at
 * least 2^10 sets the two together are all 47 bits.  A match is exact.
 *
 *   word = tag:37 | rbp:11 | cfa:13 | kind:3
 *
 * cfa and rbp are multiples of eight bytes.  A word is read and written whole
 * (relaxed): readers never write, writers that race lose a rule at worst.
 */
#ifndef CAPTURE_UNWIND_RULES_H
#define CAPTURE_UNWIND_RULES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ours.h"

enum rule_kind {
	RULE_NONE = 0,    /* not known: resolve it */
	RULE_SP = 1,      /* CFA = sp + cfa */
	RULE_BP = 2,      /* CFA = rbp + cfa */
	RULE_DRAP = 3,    /* CFA = *(rbp - cfa), caller's rbp = *rbp */
	RULE_END = 4,     /* outermost frame: the return address is undefined */
	RULE_COMPLEX = 5, /* needs all registers */
	RULE_NOCFI = 6,   /* no unwind data: frame-pointer guess */
	RULE_WIDE = 7,    /* SP or BP that does not fit: index into a side table */
};

typedef uint32_t rule; /* the low 27 bits of a word */

#define RULE_BITS 27
#define RULE_PC_BITS 47
#define RULE_PC_MASK ((1ull << RULE_PC_BITS) - 1)
#define RULE_TAG_MASK ((1ull << (64 - RULE_BITS)) - 1)
#define RULE_MULTIPLIER 0x4f1bbcdcbfa5ull /* odd; any odd number is a bijection */
#define RULE_CFA_MAX ((1u << 13) - 1)
#define RULE_RBP_MAX ((1u << 11) - 1)

static inline enum rule_kind rule_kind(rule r) { return (enum rule_kind)(r & 7); }
static inline uint64_t rule_cfa(rule r) { return (uint64_t)(r >> 3 & RULE_CFA_MAX) << 3; }
/* Bytes below the CFA where the caller's rbp was saved; 0: rbp is unchanged. */
static inline uint64_t rule_rbp(rule r) { return (uint64_t)(r >> 16) << 3; }
static inline rule rule_plain(enum rule_kind kind) { return (rule)kind; }

/* A step of the kinds SP and BP in full, in bytes. */
struct rule_step {
	uint64_t cfa; /* CFA = base + cfa */
	uint64_t rbp; /* saved at CFA - rbp; 0: unchanged */
	bool from_rbp;
};

/* Packs a step; sizes beyond the bits go to the side table, and when that is
 * full the answer is COMPLEX.  Offsets must be multiples of eight. */
rule rule_pack(const struct rule_step *step);

/* The step of a rule of kind SP, BP or WIDE. */
struct rule_step rule_unpack(rule r);

/* A table as a walk sees it: read once, used to its end. */
struct rule_view {
	const uint64_t *words;
	unsigned shift; /* RULE_PC_BITS - bits of the set index */
};

OURS extern uint64_t rules_table; /* address | bits of the set index (low 6 bits) */

static inline struct rule_view rules_view(void)
{
	uint64_t t = __atomic_load_n(&rules_table, __ATOMIC_ACQUIRE);

	return (struct rule_view){ (const uint64_t *)(uintptr_t)(t & ~63ull),
		RULE_PC_BITS - (unsigned)(t & 63) };
}

static inline rule rules_find(struct rule_view v, uint64_t pc)
{
	uint64_t h = pc * RULE_MULTIPLIER & RULE_PC_MASK;
	const uint64_t *set = v.words + (h >> v.shift) * 4;
	uint64_t tag = h & RULE_TAG_MASK;

	for (int i = 0; i < 4; i++) {
		uint64_t w = __atomic_load_n(&set[i], __ATOMIC_RELAXED);
		if (w >> RULE_BITS == tag)
			return (rule)w & ((1u << RULE_BITS) - 1);
	}
	return RULE_NONE;
}

/* Reserves the address space that the table grows into.  Once, at the start;
 * without it (no address space) the table keeps its first size. */
void rules_init(void);

/* Stores a rule that was resolved while the generation was `generation`; a
 * rule that an invalidation has overtaken is taken out again. */
void rules_insert(uint64_t pc, rule r, uint64_t generation);

/* Forgets all rules and opens a new generation. */
void rules_clear(void);

/* Before a fork.  From the third on (of this process and those it comes from)
 * parent and child share a table, for the modules that were told of. */
void rules_share(void);

/* The list of modules that were told of, anew: BEGIN, ADD for each, END.  One
 * thread at a time. */
enum rules_list { RULES_LIST_BEGIN, RULES_LIST_ADD, RULES_LIST_END };
void rules_modules(enum rules_list how, uint64_t low, uint64_t high);

/* Odd or even, it only ever grows: whoever remembers something that follows
 * from rules remembers this with it. */
OURS extern uint64_t rules_generation_word;
static inline uint64_t rules_generation(void)
{
	return __atomic_load_n(&rules_generation_word, __ATOMIC_SEQ_CST);
}

uint64_t rules_count(void); /* rules learnt since the start */
unsigned rules_bits(void);  /* size of the table: 2^bits sets */

#endif
