/*
 * check.h - the assertions of the unit tests.
 *
 * CHECK and CHECK_EQ count and go on, so that one run shows everything that is
 * wrong; a test's main ends with `return check_done();`.  REQUIRE ends the
 * test at once: for what the lines after it stand on.  Each .c of a test is
 * one program, so the counters are static.
 */
#ifndef TESTS_UNIT_CHECK_H
#define TESTS_UNIT_CHECK_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static unsigned long check_count, check_failed;

static inline bool check_one(bool ok, const char *file, int line, const char *what)
{
	check_count++;
	if (!ok) {
		check_failed++;
		fprintf(stderr, "%s:%d: failed: %s\n", file, line, what);
	}
	return ok;
}

static inline bool check_number(int64_t got, int64_t want, const char *file, int line, const char *what)
{
	check_count++;
	if (got != want) {
		check_failed++;
		fprintf(stderr, "%s:%d: %s is %" PRId64 " (0x%" PRIx64 "), should be %" PRId64 " (0x%" PRIx64 ")\n",
			file, line, what, got, (uint64_t)got, want, (uint64_t)want);
	}
	return got == want;
}

static inline bool check_text(const char *got, const char *want, const char *file, int line, const char *what)
{
	bool same = got && want ? !strcmp(got, want) : got == want;

	check_count++;
	if (!same) {
		check_failed++;
		fprintf(stderr, "%s:%d: %s is \"%s\", should be \"%s\"\n", file, line, what,
			got ? got : "(null)", want ? want : "(null)");
	}
	return same;
}

#define CHECK(cond) check_one(!!(cond), __FILE__, __LINE__, #cond)
#define CHECK_EQ(got, want) check_number((int64_t)(got), (int64_t)(want), __FILE__, __LINE__, #got)
#define CHECK_STR(got, want) check_text((got), (want), __FILE__, __LINE__, #got)
#define REQUIRE(cond) \
	do { \
		if (!CHECK(cond)) \
			exit(1); \
	} while (0)

/* The status of the test: 0 when nothing failed and something was checked. */
static inline int check_done(void)
{
	if (!check_count)
		fprintf(stderr, "nothing was checked\n");
	return check_failed || !check_count;
}

#endif
