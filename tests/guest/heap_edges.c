/* heap_edges.c - the corners of the malloc family: what the program sees is
 * what it would see without us, and each is recorded as what it was. */
#include <dlfcn.h>
#include <malloc.h>
#include <stdint.h>

#include "guest.h"

static void *volatile sink;
static volatile size_t half = SIZE_MAX / 2; /* the compiler knows too much about constants */

static void show(const char *what, const void *p)
{
	printf("%s: %s, errno %d\n", what, p ? "block" : "NULL", errno);
	errno = 17;
}

/* Nothing that succeeds changes errno. */
static void family(void)
{
	void *p;
	errno = 17;
	show("malloc", sink = malloc(31001));
	free(sink);
	show("calloc", sink = calloc(31, 1001)); /* 31031 */
	free(sink);
	show("memalign", sink = memalign(64, 31002));
	free(sink);
	show("aligned_alloc", sink = aligned_alloc(64, 31040));
	free(sink);
	printf("posix_memalign %d\n", posix_memalign(&p, 4096, 31003));
	show("posix_memalign", p);
	free(p);
	show("valloc", sink = valloc(31004));
	free(sink);
	show("pvalloc", sink = pvalloc(31005));
	free(sink);
	show("reallocarray", sink = reallocarray(NULL, 31, 1002)); /* 31062 */
	printf("usable %zu\n", malloc_usable_size(sink));
	free(sink);
	free(NULL);
	show("free", NULL);
	EXPECT("heap malloc 31001");
	EXPECT("heap free 31001");
	EXPECT("heap calloc 31031");
	EXPECT("heap free 31031");
	EXPECT("heap aligned 31002");
	EXPECT("heap aligned 31040");
	EXPECT("heap aligned 31003");
	EXPECT("heap free 31003");
	EXPECT("heap aligned 31004");
	EXPECT("heap aligned 31005");
	EXPECT("heap free 31005");
	EXPECT("heap malloc 31062");
	EXPECT("heap free 31062");
}

static void reallocs(void)
{
	char *volatile p = malloc(31101), *volatile q;
	memset(p, 'x', 31101);
	q = realloc(p, 31102);
	show("realloc", q);
	printf("kept %d\n", q[31100] == 'x');
	p = q;
	sink = q = realloc(p, half / 2); /* fails, p lives */
	show("realloc too much", q);
	printf("lives %d\n", p[31100] == 'x');
	sink = q = reallocarray(p, half, 3);
	show("reallocarray overflow", q);
	printf("lives %d\n", p[31100] == 'x');
	show("realloc to nothing", sink = realloc(p, 0));
	show("realloc of nothing", sink = realloc(NULL, 31103));
	free(sink);
	EXPECT("heap malloc 31101");
	EXPECT("heap realloc-begin 31101");
	EXPECT("heap realloc-end 31102");
	COUNT(1, "heap realloc-fail 31102 kept"); /* the overflow never gets as far */
	COUNT(1, "heap realloc-fail 31102 gone");
	EXPECT("heap failure %zu: Cannot allocate memory", half / 2);
	EXPECT("heap failure %zu: Cannot allocate memory", SIZE_MAX);
	EXPECT("heap malloc 31103");
	EXPECT("heap free 31103");
}

static void failures(void)
{
	void *p = &p;
	show("malloc too much", sink = malloc(half));
	show("calloc overflow", sink = calloc(half, 3));
	printf("posix_memalign %d", posix_memalign(&p, 3, 100)); /* not a power of two */
	printf(" %d, errno %d\n", p == &p, errno);
	printf("posix_memalign %d\n", posix_memalign(&p, 16, half / 4));
	show("aligned_alloc too much", sink = aligned_alloc(16, half / 8));
	EXPECT("heap failure %zu: Cannot allocate memory", half);
	EXPECT("heap failure 100: Invalid argument");
	EXPECT("heap failure %zu: Cannot allocate memory", half / 4);
	EXPECT("heap failure %zu: Cannot allocate memory", half / 8);
}

/* What glibc 2.36 does not have comes from us when it is asked for. */
static void newer(void)
{
	void (*free_sized)(void *, size_t) = (void (*)(void *, size_t))dlsym(RTLD_DEFAULT, "free_sized");
	void *p = malloc(31201);
	if (free_sized)
		free_sized(p, 31201);
	else
		free(p);
	EXPECT("heap free 31201");
}

int main(void)
{
	family();
	reallocs();
	failures();
	newer();
	return 0;
}
