/*
 * suppress.h - rules that say which leaks are known, in the syntax of
 * LeakSanitizer and of Valgrind.
 *
 *   leak:PATTERN      somewhere in function, file or module of any frame;
 *                     * is any text, ^ and $ are the ends
 *   {                 Valgrind's own: frames from the innermost one on
 *      NAME
 *      Memcheck:Leak
 *      match-leak-kinds: definite,possible
 *      fun:GLOB       obj:GLOB  src:GLOB[:LINE]  ...
 *   }
 *
 * Both may stand in one file.  The frames of the allocator are left out of our
 * stacks: a first line fun:malloc stands for them.  Blocks of Valgrind for
 * other errors than leaks are read and have no effect.
 */
#ifndef REPORT_SUPPRESS_H
#define REPORT_SUPPRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "report/verdict.h"

struct capture_stack;

enum suppress_part_kind { PART_FUNCTION, PART_OBJECT, PART_SOURCE, PART_ANY };

struct suppress_part {
	enum suppress_part_kind kind;
	char *glob;
};

struct suppress_rule {
	char *name;
	bool lsan;      /* one part, matched anywhere */
	bool no_leak;   /* of another error */
	unsigned reach; /* bit by enum reach; what it covers */
	struct suppress_part *part;
	size_t n, capacity;
	uint64_t sites, blocks, bytes; /* set by its user: what it suppressed */
};

struct suppressions {
	struct suppress_rule *rule;
	size_t n, capacity;
};

struct suppress_error {
	size_t line, column; /* from 1 */
	const char *what;
};

/* Adds the rules of a text; false: error is set, rules before it are kept. */
bool suppress_parse(struct suppressions *s, const char *text, size_t size, struct suppress_error *error);
/* The rules for what libc and the loader keep until the end. */
void suppress_built_in(struct suppressions *s);
/* Adds the same rules; what they suppressed begins at zero. */
void suppress_copy(struct suppressions *to, const struct suppressions *from);
/* The first rule that covers blocks of this stack; NULL: none. */
struct suppress_rule *suppress_find(const struct suppressions *s, const struct capture_stack *stack,
	enum reach reach);
/* The rule that covers a stack's blocks of every kind of which it has some
 * (of two, the last); NULL: one kind is not covered. */
struct suppress_rule *suppress_find_all(const struct suppressions *s, const struct capture_stack *stack,
	const uint64_t blocks[N_REACH]);
void suppress_done(struct suppressions *s);

/* A rule for a stack, as text to be freed. */
char *suppress_write_lsan(const struct capture_stack *stack);
char *suppress_write_valgrind(const struct capture_stack *stack, const char *name, enum reach reach);

#endif
