/*
 * hold.c - allocates N blocks of 24 bytes, says so, and waits for its stdin to
 * end: compare.py looks at the collector's size meanwhile.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	long n = argc > 1 ? atol(argv[1]) : 0;
	char byte;

	for (long i = 0; i < n; i++) {
		void *p = malloc(24);
		__asm__ volatile("" : "+r"(p) : : "memory");
	}
	puts("ready");
	fflush(stdout);
	while (read(0, &byte, 1) > 0)
		;
	return 0;
}
