/*
 * test_cow_advice.c - each rule of the advice: where it must speak, and how
 * little it takes to silence it.
 */
#include "check.h"
#include "report/cow.h"

#define MANY 4000

static struct cow_fork fork_with(int64_t parent, int64_t child)
{
	struct cow_fork f = {.watched = true};

	for (size_t i = 0; i < COW_NUMBERS; i++)
		f.n[i] = COW_UNKNOWN;
	f.n[COW_PAGE_SIZE] = 4096;
	f.n[COW_PARENT] = parent;
	f.n[COW_CHILD] = child;
	f.n[COW_BOTH] = 0;
	return f;
}

/* True when the rule speaks; *ret_place as cow_advice. */
static bool speaks(enum cow_rule rule, const struct cow_fork *f, const struct cow_parts *p,
	const struct cow_place **ret_place)
{
	char *text = cow_advice(rule, f, p, ret_place);
	bool spoke = text != NULL;

	free(text);
	return spoke;
}

static void says(enum cow_rule rule, const struct cow_fork *f, const struct cow_parts *p, const char *word)
{
	const struct cow_place *place;
	char *text = cow_advice(rule, f, p, &place);

	CHECK(text && strstr(text, word));
	free(text);
}

static void identical(void)
{
	const struct cow_parts none = {.n_places = 0};
	const struct cow_place *place;
	struct cow_fork f = fork_with(0, MANY);

	CHECK(!speaks(COW_RULE_IDENTICAL, &f, &none, &place)); /* not compared */
	f.n[COW_IDENTICAL_PAGES] = MANY / 2;
	CHECK(speaks(COW_RULE_IDENTICAL, &f, &none, &place));
	says(COW_RULE_IDENTICAL, &f, &none, "2,000 of 4,000 broken pages (7.81 MiB)");
	f.n[COW_IDENTICAL_PAGES] = MANY / 2 - 1;
	CHECK(!speaks(COW_RULE_IDENTICAL, &f, &none, &place));
	f = fork_with(0, 255);
	f.n[COW_IDENTICAL_PAGES] = 255; /* all of them, and nothing that matters */
	CHECK(!speaks(COW_RULE_IDENTICAL, &f, &none, &place));
}

static void counters(void)
{
	struct cow_place sites[] = {
		{.stack_id = 5, .parent = 0, .child = 3000, .both = 0, .counters = 2900, .changed = 12000},
		{.stack_id = 6, .parent = 0, .child = 200, .both = 0, .counters = 200, .changed = 900},
		{.stack_id = 7, .parent = 0, .child = 900, .both = 0, .counters = 30, .changed = 400000},
		{.stack_id = 0, .parent = 0, .child = 10, .both = 0, .counters = 10, .changed = 10},
	};
	struct cow_parts p = {.place = sites, .n_places = 4};
	const struct cow_place *place;
	struct cow_fork f = fork_with(0, MANY);

	CHECK(!speaks(COW_RULE_COUNTERS, &f, &p, &place)); /* not compared */
	f.n[COW_COUNTER_PAGES] = 3100;
	says(COW_RULE_COUNTERS, &f, &p, "2 sites put small counters on 3,100 pages: 12.6 KiB changed");
	f.n[COW_COUNTER_PAGES] = MANY / 2 - 1;
	CHECK(!speaks(COW_RULE_COUNTERS, &f, &p, &place));
	f.n[COW_COUNTER_PAGES] = 3100;
	p.n_places = 0; /* nobody to speak of */
	CHECK(!speaks(COW_RULE_COUNTERS, &f, &p, &place));
}

static void table(void)
{
	struct cow_place sites[] = {
		{.stack_id = 5, .parent = 900, .blocks = 400000, .bytes = 400000 * 56},
		{.stack_id = 6, .parent = 600, .blocks = 2, .bytes = 32 << 20},
	};
	struct cow_parts p = {.place = sites, .n_places = 2};
	const struct cow_place *place;
	struct cow_fork f = fork_with(1200, 10);

	CHECK(speaks(COW_RULE_TABLE, &f, &p, &place));
	CHECK(place == &sites[1]);
	f.n[COW_PARENT] = 1201; /* less than half of it */
	CHECK(!speaks(COW_RULE_TABLE, &f, &p, &place));
	CHECK(place == NULL);
	f.n[COW_PARENT] = 1200;
	sites[1].blocks = 1000; /* 32 KiB each: no table */
	CHECK(!speaks(COW_RULE_TABLE, &f, &p, &place));
	sites[1].blocks = 2;
	sites[1].parent = COW_UNKNOWN;
	CHECK(!speaks(COW_RULE_TABLE, &f, &p, &place));
	sites[1].parent = f.n[COW_PARENT] = 255; /* under 1 MiB */
	CHECK(!speaks(COW_RULE_TABLE, &f, &p, &place));
}

int main(void)
{
	identical();
	counters();
	table();
	CHECK_EQ(cow_union(5, 7, 3), 9);
	CHECK_EQ(cow_union(COW_UNKNOWN, 7, COW_UNKNOWN), 7);
	CHECK_EQ(cow_union(5, COW_UNKNOWN, COW_UNKNOWN), 5);
	CHECK_EQ(cow_union(COW_UNKNOWN, COW_UNKNOWN, COW_UNKNOWN), COW_UNKNOWN);
	return check_done();
}
