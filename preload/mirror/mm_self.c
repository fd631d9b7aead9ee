/*
 * mm_self.c - see mm_self.h.  May not allocate, may not call libc: it runs at
 * the end of a process and when it was refused memory.
 */
#include "mm_self.h"

#include <sys/resource.h>

#include "base/aside.h"
#include "base/sys.h"
#include "mirror/mm.h"

struct ask {
	struct mms_mm *mm;
	bool stat;
};

static void read_self(void *arg)
{
	const struct ask *a = arg;

	mm_read_status(AT_FDCWD, "/proc/self/status", a->mm);
	if (a->stat)
		mm_read_stat(AT_FDCWD, "/proc/self/stat", a->mm);
}

void mm_read_self(struct mms_mm *mm, bool stat)
{
	struct ask a = { .mm = mm, .stat = stat };

	if (aside(read_self, &a) && mm->users > 1)
		mm->users--; /* the thread that read it */
}

uint64_t mm_hiwater(bool forked)
{
	struct rusage u = { .ru_maxrss = 0 };

	if (forked && mms_syscall3(SYS_getrusage, RUSAGE_SELF, (long)&u, 0) == 0)
		return (uint64_t)u.ru_maxrss << 10;
	struct mms_mm mm = { .hiwater_rss = 0 };

	mm_read_self(&mm, false);
	return mm.hiwater_rss;
}
