/*
 * test_budget.c - budget files: what each rule means, and where errors are.
 */
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/budget.h"

static void test_rules(void)
{
	static const char text[] = "# nothing\n\n"
				   "leaks.definite.bytes <= 0\n"
				   "  peak.bytes<=1.5 MiB   # a comment\n"
				   "site:parse_* alloc.blocks <= +5 %\n"
				   "site:\"ns::f(int, char)#\" live.bytes < +64KiB\r\n"
				   "cow.broken.pages == 2000";
	struct budget b = {NULL};
	struct budget_error e;
	int64_t limit;
	CHECK(budget_parse(&b, text, &e));
	CHECK(b.n == 5);
	CHECK(b.rule[0].measure == M_DEFINITE_BYTES && b.rule[0].line == 3 && !b.rule[0].pattern);
	CHECK(budget_holds(&b.rule[0], 0, UNKNOWN, &limit) && !budget_holds(&b.rule[0], 1, UNKNOWN, &limit));
	CHECK(b.rule[1].limit == 3 << 19 && b.rule[1].line == 4);
	CHECK(strcmp(b.rule[1].text, "peak.bytes<=1.5 MiB") == 0);
	CHECK(strcmp(b.rule[2].pattern, "parse_*") == 0 && b.rule[2].relative && b.rule[2].percent);
	CHECK(budget_holds(&b.rule[2], 105, 100, &limit) && limit == 105);
	CHECK(!budget_holds(&b.rule[2], 106, 100, &limit));
	CHECK(strcmp(b.rule[3].pattern, "ns::f(int, char)#") == 0);
	CHECK(!budget_holds(&b.rule[3], 65546, 10, &limit) && limit == 65546);
	CHECK(budget_holds(&b.rule[3], 65545, 10, &limit));
	CHECK(!budget_holds(&b.rule[4], 1999, UNKNOWN, &limit) && budget_holds(&b.rule[4], 2000, UNKNOWN, &limit));
	budget_done(&b);
}

static void test_errors(void)
{
	static const struct {
		const char *text, *says;
		int line, column;
	} wrong[] = {
		{"peak <= 3", "no such measure: 'peak'", 1, 1},
		{"\n\n  peak.bytes => 3", "<=, < or ==", 3, 14},
		{"peak.bytes <= 12 XiB", "no such unit here: 'XiB'", 1, 18},
		{"peak.bytes <= 12 MiB MiB", "no such unit here: 'MiB MiB'", 1, 18},
		{"alloc.blocks <= 12 KiB", "no such unit here: 'KiB'", 1, 20},
		{"peak.bytes <= 5 %", "per cent need a +", 1, 15},
		{"peak.bytes <= ", "a number should stand here", 1, 14},
		{"peak.bytes <= 1.2.3", "no such unit", 1, 18},
		{"peak.bytes <= -1", "a number should stand here", 1, 15},
		{"peak.bytes <= 99999999999999999999 TiB", "too large", 1, 15},
		{"site: alloc.blocks <= 3", "a name of a function is missing", 1, 6},
		{"site:\"f alloc.blocks <= 3", "this quote is not closed", 1, 6},
		{"site:f rss.peak.bytes <= 3", "not known for single sites", 1, 8},
		{"site:f", "a measure is missing", 1, 7},
	};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct budget b = {NULL};
		struct budget_error e = {0};
		bool parsed = budget_parse(&b, wrong[i].text, &e);
		if (parsed || e.line != wrong[i].line || e.column != wrong[i].column ||
			!strstr(e.text, wrong[i].says))
			printf("%s: %d:%d: %s\n", wrong[i].text, e.line, e.column, e.text);
		CHECK(!parsed && e.line == wrong[i].line && e.column == wrong[i].column);
		CHECK(strstr(e.text, wrong[i].says));
		budget_done(&b);
	}
}

/* Whatever stands in the file: an answer, and memory in order. */
static void test_rubbish(void)
{
	static const char alphabet[] = "site:\"peak.bytes<=+%#0123.KMGiB \n\t*\xff";
	srand(1);
	for (int round = 0; round < 20000; round++) {
		char *text = calloc(1, 41);
		struct budget b = {NULL};
		struct budget_error e;
		for (int i = 0, n = rand() % 41; i < n; i++)
			text[i] = alphabet[(size_t)rand() % (sizeof(alphabet) - 1)];
		if (!budget_parse(&b, text, &e))
			CHECK(e.line > 0 && e.column > 0 && (size_t)e.column <= strlen(text) + 1);
		budget_done(&b);
		free(text);
	}
}

int main(void)
{
	test_rules();
	test_errors();
	test_rubbish();
	return check_done();
}
