/*
 * alloc.h - memory of the verbs: a verb without memory has no answer, so it
 * ends here with a message and status 2.  Never used by the collector.
 */
#ifndef REPORT_ALLOC_H
#define REPORT_ALLOC_H

#include <stddef.h>

void *xmalloc(size_t n);
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t n);
char *xstrdup(const char *s);
char *xasprintf(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Makes room for one more element in an array that grows by doubling. */
#define XGROW(array, n, capacity)                                                                  \
	do {                                                                                       \
		if ((n) == (capacity)) {                                                           \
			(capacity) = (capacity) ? 2 * (capacity) : 16;                             \
			(array) = xrealloc((array), (capacity) * sizeof(*(array)));                \
		}                                                                                  \
	} while (0)

#endif
