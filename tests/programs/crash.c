/*
 * crash.c - allocates for ever and ends badly in the middle.
 *
 *     crash FILE N HOW        HOW: none rest segv abort _exit quick_exit exec loop
 *
 * After each allocation the count is stored in FILE (mapped, so it outlives
 * everything).  After N of them the program ends as HOW says; with `loop` it
 * goes on until somebody kills it; with `rest` it waits for a byte of input
 * before all, and for the end of input after it.  Every third block is freed again; sizes are a function of the
 * count, so the driver knows the bytes too.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct progress {
	volatile uint64_t allocated, freed;
};

static struct progress *map_progress(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);

	if (fd < 0 || ftruncate(fd, sizeof(struct progress)))
		exit(2);
	void *p = mmap(NULL, sizeof(struct progress), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (p == MAP_FAILED)
		exit(2);
	return p;
}

static __attribute__((noinline)) void site_crash(struct progress *p, uint64_t i)
{
	void *block = malloc(16 + i % 64);

	__asm__ volatile("" : "+r"(block) : : "memory");
	p->allocated = i + 1;
	if (i % 3 == 0) {
		p->freed++;
		free(block);
	}
}

static void end_badly(const char *how)
{
	char byte;

	while (!strcmp(how, "rest") && read(0, &byte, 1) > 0)
		;
	if (!strcmp(how, "segv"))
		raise(SIGSEGV);
	if (!strcmp(how, "abort"))
		abort();
	if (!strcmp(how, "_exit"))
		_exit(41);
	if (!strcmp(how, "quick_exit"))
		quick_exit(42);
	if (!strcmp(how, "exec"))
		execl("/bin/sh", "sh", "-c", "exit 43", (char *)NULL);
}

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	struct progress *p = map_progress(argv[1]);
	uint64_t n = strtoull(argv[2], NULL, 10);
	int for_ever = !strcmp(argv[3], "loop");
	if (!strcmp(argv[3], "rest") && read(0, &(char){ 0 }, 1) != 1)
		return 2;
	for (uint64_t i = 0; for_ever || i < n; i++)
		site_crash(p, i);
	end_badly(argv[3]);
	return 40;
}
