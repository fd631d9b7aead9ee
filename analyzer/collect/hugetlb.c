/*
 * hugetlb.c - see hugetlb.h.  Called by limit_rows.c; reads only.
 */
#include "collect/hugetlb.h"

#include <stdio.h>
#include <unistd.h>

#define ROOT_MAX 128

static uint64_t default_kib(const char *root)
{
	char folder[ROOT_MAX + 8], text[8192];

	snprintf(folder, sizeof(folder), "%s/proc", root);
	int fd = limit_open(folder, "meminfo");
	uint64_t kib = limit_field(limit_text(fd, text, sizeof(text)), "Hugepagesize");
	if (fd >= 0)
		close(fd);
	return kib;
}

void hugetlb_read(const char *root, unsigned shift, struct limit_points *ret)
{
	static char path[80];
	char folder[ROOT_MAX + sizeof(path)];
	uint64_t kib = shift == MMS_HUGE_DEFAULT ? default_kib(root) : shift < 10 || shift > 63 ? LIMIT_NONE : 1ull << (shift - 10);

	if (kib == LIMIT_NONE)
		return;
	snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-%llukB", (unsigned long long)kib);
	snprintf(folder, sizeof(folder), "%s%s", root, path);
	uint64_t all = limit_number_in(folder, "nr_hugepages"), idle = limit_number_in(folder, "free_hugepages");
	uint64_t promised = limit_number_in(folder, "resv_hugepages"), added = limit_number_in(folder, "surplus_hugepages");
	uint64_t may_add = limit_number_in(folder, "nr_overcommit_hugepages");
	if (all == LIMIT_NONE || idle > all || promised == LIMIT_NONE || added > all || may_add == LIMIT_NONE)
		return;
	limit_put(ret, LIMIT_HUGETLB, path, (all - added + may_add) * kib << 10, (all - idle + promised) * kib << 10, 0);
}
