/*
 * maps.c - takes and gives back areas of the address space.
 *
 *     maps N
 *
 * N times: map 64 KiB, touch two pages, protect half of it, give it back.
 * Called by compare.py.
 */
#include <stdlib.h>
#include <sys/mman.h>

int main(int argc, char **argv)
{
	long n = argc > 1 ? atol(argv[1]) : 0;

	for (long i = 0; i < n; i++) {
		char *p = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p == MAP_FAILED)
			return 1;
		p[0] = p[40000] = 1;
		mprotect(p, 32768, PROT_READ);
		munmap(p, 65536);
	}
	return 0;
}
