/*
 * test_unwind_rules.c - the rule table: exact matches, growth, the side table,
 * rules that an invalidation has overtaken, and a table that children share.
 */
#include "check.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "capture/unwind_rules.h"

static rule find(uint64_t pc)
{
	return rules_find(rules_view(), pc);
}

static void check_packing(void)
{
	for (uint64_t cfa = 8; cfa < 200000; cfa = cfa * 5 / 4 / 8 * 8 + 8)
		for (uint64_t rbp = 0; rbp <= cfa && rbp < 40000; rbp = rbp * 3 / 2 / 8 * 8 + 8)
			for (int from_rbp = 0; from_rbp < 2; from_rbp++) {
				struct rule_step step = { cfa, rbp, from_rbp };
				rule r = rule_pack(&step);
				if (rule_kind(r) == RULE_COMPLEX)
					continue; /* the side table is full; checked below */
				struct rule_step back = rule_unpack(r);
				CHECK_EQ(back.cfa, cfa);
				CHECK_EQ(back.rbp, rbp);
				CHECK_EQ(back.from_rbp, from_rbp);
				bool fits = cfa >> 3 <= RULE_CFA_MAX && rbp >> 3 <= RULE_RBP_MAX;
				CHECK_EQ(rule_kind(r), !fits ? RULE_WIDE : from_rbp ? RULE_BP : RULE_SP);
			}
}

/* Equal wide steps share a place; when the places are used up a wide step
 * becomes COMPLEX and the ones before stay right. */
static void check_wide(void)
{
	struct rule_step first = { 1 << 20, 16, false };
	rule r = rule_pack(&first), last = r;

	CHECK_EQ(rule_pack(&first), r);
	for (uint64_t i = 0; i < 2000; i++) {
		struct rule_step step = { (1 << 21) + 8 * i, 0, true };
		last = rule_pack(&step);
	}
	CHECK_EQ(rule_kind(last), RULE_COMPLEX);
	CHECK_EQ(rule_unpack(r).cfa, 1 << 20);
	CHECK_EQ(rule_pack(&first), r);
}

static uint64_t pc_of(uint32_t i)
{
	/* Near each other, as return addresses are, and at both ends. */
	return (i % 3 ? 0x7f0000000000ull : 0x400000) + (uint64_t)i * 5 + (i % 7 == 0 ? 1ull << 46 : 0);
}

static rule rule_of(uint32_t i)
{
	struct rule_step step = { 8 + 8 * (i % 1000), 8 * (i % 30), i & 1 };

	return rule_pack(&step);
}

/* Nothing is found that was not put there, whatever the size of the table. */
static void check_exact(void)
{
	uint32_t n = 60000, n_found = 0;
	unsigned bits = rules_bits();

	CHECK_EQ(bits, 10);
	for (uint32_t i = 0; i < n; i++) {
		rules_insert(pc_of(i), rule_of(i), rules_generation());
		CHECK(find(pc_of(i)) == rule_of(i));
	}
	CHECK(rules_bits() >= 16);
	for (uint32_t i = 0; i < n; i++) {
		rule r = find(pc_of(i));
		n_found += r != RULE_NONE;
		if (r != RULE_NONE && r != rule_of(i))
			CHECK_EQ(r, rule_of(i));
	}
	/* At a quarter of its room a table with sets of four loses next to nothing. */
	CHECK(n_found > n - n / 100);
	for (uint32_t i = n; i < 3 * n; i++)
		if (find(pc_of(i)) != RULE_NONE)
			CHECK_EQ(find(pc_of(i)), RULE_NONE);
	printf("%u of %u rules kept in 2^%u sets\n", n_found, n, rules_bits());
}

static void check_clear(void)
{
	uint64_t before = rules_generation();

	rules_insert(0x1234, rule_of(3), before);
	rules_clear();
	CHECK(rules_generation() > before);
	CHECK_EQ(find(0x1234), RULE_NONE);
	for (uint32_t i = 0; i < 60000; i++)
		if (find(pc_of(i)) != RULE_NONE)
			CHECK_EQ(find(pc_of(i)), RULE_NONE);
	/* Resolved before, stored after. */
	rules_insert(0x1234, rule_of(3), before);
	CHECK_EQ(find(0x1234), RULE_NONE);
	rules_insert(0x1234, rule_of(3), rules_generation());
	CHECK_EQ(find(0x1234), rule_of(3));
}

static _Atomic bool stop;
static _Atomic uint64_t n_wrong, n_right;

static void *reader(void *arg)
{
	uint32_t i = (uint32_t)(uintptr_t)arg;

	while (!stop) {
		rule r = find(pc_of(i));
		if (r == RULE_NONE)
			rules_insert(pc_of(i), rule_of(i), rules_generation());
		else if (r != rule_of(i))
			n_wrong++;
		else
			n_right++;
		i = (i * 1103515245u + 12345u) % 5000;
	}
	return NULL;
}

/* Inserting, growing and clearing at once: a rule is right or not there. */
static void check_threads(void)
{
	pthread_t t[3];

	rules_clear();
	for (uintptr_t i = 0; i < 3; i++)
		pthread_create(&t[i], NULL, reader, (void *)i);
	for (int i = 0; i < 300; i++) {
		rules_clear();
		for (volatile int k = 0; k < 100000; k++)
			;
	}
	stop = true;
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
	CHECK_EQ(n_wrong, 0);
	CHECK(n_right > 0);
}

/* ---- a table that children share ---- */

#define KNOWN 0x10000000ull
#define LATER 0x30000000ull /* in no module that was there at the fork */

static void list_known(void)
{
	rules_modules(RULES_LIST_BEGIN, 0, 0);
	rules_modules(RULES_LIST_ADD, KNOWN, KNOWN + 0x1000000);
	rules_modules(RULES_LIST_END, 0, 0);
}

/* What a child does; its checks end as its status. */
static void in_child(void (*what)(void))
{
	int status = -1;
	pid_t child = fork();

	if (child == 0) {
		what();
		_exit(check_done() ? 1 : 0);
	}
	waitpid(child, &status, 0);
	CHECK_EQ(status, 0);
}

static void learn_known(void)
{
	rules_insert(KNOWN + 8, rule_of(5), rules_generation());
	CHECK_EQ(find(KNOWN + 8), rule_of(5));
	CHECK_EQ(rules_bits(), 10);
}

/* A module that this child alone has loaded. */
static void learn_later(void)
{
	rules_insert(LATER, rule_of(6), rules_generation());
	CHECK_EQ(find(LATER), rule_of(6));
	CHECK_EQ(find(KNOWN + 8), rule_of(5));
	CHECK_EQ(rules_bits(), 12);
	rules_insert(KNOWN + 16, rule_of(7), rules_generation());
	CHECK_EQ(find(KNOWN + 16), rule_of(7));
}

static void learn_wide(void)
{
	struct rule_step step = { 1 << 22, 16, false };

	rules_insert(KNOWN + 24, rule_pack(&step), rules_generation());
	CHECK_EQ(rule_unpack(find(KNOWN + 24)).cfa, 1 << 22);
}

static void clear(void)
{
	rules_clear();
	CHECK_EQ(find(KNOWN + 8), RULE_NONE);
	rules_insert(KNOWN + 8, rule_of(9), rules_generation());
	CHECK_EQ(find(KNOWN + 8), rule_of(9));
}

static void fill(void)
{
	for (uint32_t i = 0; i < 1500; i++)
		rules_insert(KNOWN + 64 + i, rule_of(i), rules_generation());
	CHECK_EQ(rules_bits(), 10);
}

static void check_share(void)
{
	rules_share(); /* no list of modules yet */
	list_known();
	rules_insert(KNOWN, rule_of(1), rules_generation());
	rules_share();
	CHECK_EQ(rules_bits(), 10);
	rules_share();
	CHECK_EQ(rules_bits(), 10);
	CHECK_EQ(find(KNOWN), rule_of(1));
	in_child(learn_known);
	CHECK_EQ(find(KNOWN + 8), rule_of(5));
	in_child(learn_later);
	in_child(learn_wide);
	in_child(clear);
	CHECK_EQ(find(LATER), RULE_NONE);
	CHECK_EQ(find(KNOWN + 16), RULE_NONE);
	CHECK_EQ(find(KNOWN + 24), RULE_NONE);
	CHECK_EQ(find(KNOWN + 8), rule_of(5));
	rules_share(); /* there is room in it */
	CHECK_EQ(rules_bits(), 10);
	in_child(fill);
	rules_share();
	CHECK_EQ(rules_bits(), 12);
	CHECK_EQ(find(KNOWN + 8), rule_of(5));
	CHECK(find(KNOWN + 64 + 1000) == rule_of(1000));
}

int main(void)
{
	rules_init();
	rules_init();
	in_child(check_share);
	check_exact();
	check_clear();
	check_threads();
	check_packing();
	check_wide();
	return check_done();
}
