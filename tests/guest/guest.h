/*
 * guest.h - how a program of this folder states its expectation.
 *
 * It prints what an unprofiled run prints, and lines that begin with
 * "expect: " (a shell pattern that one line of the session's dump must
 * match), "refuse: " (none may) or "count: N PATTERN".  guest.py runs it
 * plain and recorded, compares all output and the status, and then the dump.
 */
#ifndef TESTS_GUEST_H
#define TESTS_GUEST_H

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXPECT(...) (printf("expect: " __VA_ARGS__), putchar('\n'), fflush(stdout))
#define REFUSE(...) (printf("refuse: " __VA_ARGS__), putchar('\n'), fflush(stdout))
#define COUNT(n, ...) (printf("count: %d ", n), printf(__VA_ARGS__), putchar('\n'), fflush(stdout))

/* Blocks that the optimiser cannot take away. */
static inline void churn(int n)
{
	for (int i = 0; i < n; i++) {
		void *volatile p = malloc((size_t)(i % 500) + 1);
		free(p);
	}
}

#endif
