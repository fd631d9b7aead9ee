/* map_edges.c - the calls on the address space: results and errno are those
 * of an unprofiled run, and what failed is taken back. */
#include <stdint.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>

#include "guest.h"

#define PAGE 4096ul

static void show(const char *what, int ok)
{
	printf("%s: %d, errno %d\n", what, ok, errno);
	errno = 17;
}

static void mappings(void)
{
	int rw = PROT_READ | PROT_WRITE, anon = MAP_PRIVATE | MAP_ANONYMOUS;
	errno = 17;
	char *p = mmap(NULL, 71 * PAGE, rw, anon, -1, 0);
	show("mmap", p != MAP_FAILED);
	show("mmap of a bad descriptor", mmap(NULL, 72 * PAGE, rw, MAP_PRIVATE, 999, 0) == MAP_FAILED);
	show("munmap of a part", munmap(p + PAGE, PAGE));
	show("munmap of the odd", munmap(p + 1, 73 * PAGE));
	show("mprotect", mprotect(p, PAGE, PROT_READ));
	show("mprotect of a hole", mprotect(p, 74 * PAGE, PROT_READ));
	show("madvise", madvise(p + 2 * PAGE, 3 * PAGE, MADV_DONTNEED));
	show("mlock", mlock(p + 2 * PAGE, 5 * PAGE));
	show("munlock", munlock(p + 2 * PAGE, 5 * PAGE));
	char *q = mmap(NULL, 75 * PAGE, rw, anon, -1, 0);
	char *to = mmap(NULL, 76 * PAGE, PROT_NONE, anon, -1, 0);
	q[0] = 'q';
	char *r = mremap(q, 75 * PAGE, 76 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to);
	show("mremap to a place", r == to && r[0] == 'q');
	show("mremap of a hole", mremap(q, 77 * PAGE, 78 * PAGE, MREMAP_MAYMOVE) == MAP_FAILED);
	EXPECT("vm mmap length %lu * prot 3 flags 0x22 *", 71 * PAGE);
	REFUSE("vm mmap length %lu *", 72 * PAGE);
	EXPECT("vm munmap length %lu *", PAGE);
	EXPECT("vm fail of munmap length %lu: Invalid argument", 73 * PAGE);
	EXPECT("vm mprotect length %lu * prot 1 *", PAGE);
	REFUSE("vm mprotect length %lu *", 74 * PAGE);
	EXPECT("vm madvise length %lu * flags 0x4 *", 3 * PAGE);
	EXPECT("vm mlock length %lu *", 5 * PAGE);
	EXPECT("vm munlock length %lu *", 5 * PAGE);
	EXPECT("vm mremap-begin length %lu *", 75 * PAGE);
	EXPECT("vm mremap length %lu length2 %lu * flags 0x3 moved", 76 * PAGE, 75 * PAGE);
	EXPECT("vm fail of mremap-begin length %lu: Bad address", 77 * PAGE);
}

static void breaks(void)
{
	char *old = sbrk(0);
	show("sbrk up", sbrk(3 * (intptr_t)PAGE) == old);
	show("sbrk down", sbrk(-(intptr_t)PAGE) == old + 3 * PAGE);
	show("brk", brk(old));
	show("brk too far", brk((void *)0x7fffffffffff));
	EXPECT("vm brk by %lu", 3 * PAGE);
	EXPECT("vm brk by -%lu", PAGE);
	EXPECT("vm brk by -%lu", 2 * PAGE);
	COUNT(3, "vm brk by *");
}

static void segments(void)
{
	int id = shmget(IPC_PRIVATE, 79 * PAGE, IPC_CREAT | 0600);
	void *p = shmat(id, NULL, SHM_RDONLY);
	show("shmat", p != (void *)-1);
	show("shmdt", shmdt(p));
	show("shmdt again", shmdt(p));
	show("shmat of nothing", shmat(-5, NULL, 0) == (void *)-1);
	shmctl(id, IPC_RMID, NULL);
	EXPECT("vm shmat length %lu * prot 1 *", 79 * PAGE);
	COUNT(1, "vm shmat *");
	COUNT(2, "vm shmdt *");
	EXPECT("vm fail of shmdt length 0: Invalid argument");
}

int main(void)
{
	setvbuf(stdout, NULL, _IONBF, 0); /* no mapping of stdio between ours */
	mappings();
	breaks();
	segments();
	return 0;
}
