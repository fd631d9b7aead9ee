/*
 * intern.h - numbers for things that repeat: texts, and tuples of numbers.
 *
 * The page names each function, frame and stack node once and refers to it by
 * number; so 10,000 stacks of 30 frames stay a few MiB.
 */
#ifndef REPORT_INTERN_H
#define REPORT_INTERN_H

#include <stddef.h>
#include <stdint.h>

struct intern {
	size_t width;   /* numbers in a tuple; texts use 1 */
	uint32_t *key;  /* n * width */
	char **text;    /* of a table of texts */
	uint64_t *hash; /* by number */
	uint32_t *slot; /* open addressing: number + 1, 0 is empty */
	size_t n, capacity, n_slots;
};

void intern_init(struct intern *t, size_t width);
void intern_done(struct intern *t);
/* The number of an equal text or tuple: the next free one when it is new. */
uint32_t intern_text(struct intern *t, const char *text);
uint32_t intern_tuple(struct intern *t, const uint32_t *key);

#endif
