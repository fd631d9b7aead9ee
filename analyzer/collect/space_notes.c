/*
 * space_notes.c - what the figures of address spaces lack on this kernel.
 *
 * Called by spaces.c at the end, when its rows are written.
 */
#include <stdio.h>
#include <sys/utsname.h>

#include "collect/space.h"

/* Since Linux 6.2 they are exact sums over all processors (f1a7941243c1); before,
 * each thread kept up to 64 pages of each kind to itself. */
static bool counts_lag(void)
{
	struct utsname u;
	unsigned major = 0, minor = 0;

	return uname(&u) == 0 && sscanf(u.release, "%u.%u", &major, &minor) == 2 &&
		(major < 6 || (major == 6 && minor < 2));
}

void space_notes(const struct spaces *s)
{
	uint64_t n_plain = 0, n_looked = 0;

	for (size_t i = 0; i < s->space.n; i++) {
		const struct space *sp = s->space.item[i];

		n_looked += sp->looked;
		for (size_t k = 0; k < sp->now.n; k++)
			n_plain += sp->now.area[k].a.known == MMS_AREA_PLAIN;
	}
	if (n_plain)
		store_coverage(*s->store, 0, "zero-pages", n_plain,
			"Areas whose pages that were only read count as in memory, though they take none:"
			" this kernel does not tell them, nor huge pages (Linux 6.7 does).");
	if (n_looked && counts_lag())
		store_coverage(*s->store, 0, "rss-lags", n_looked,
			"Processes of which the kernel's own count of memory lags behind by up to 64 pages"
			" a thread and kind: so do kernels before Linux 6.2.");
}
