/* hooked_dlsym.c - preloaded before us: a dlsym that allocates, as others'
 * do, and keeps a block of that time until the end of the program. */
#include <dlfcn.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

static char *kept;
static size_t usable;
int hooked_state(void);

void *dlsym(void *restrict handle, const char *restrict name)
{
	static void *(*real)(void *, const char *);
	if (!real)
		real = (void *(*)(void *, const char *))dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.2.5");
	char *p = calloc(1, 100);
	p = realloc(p, 300);
	char *q = NULL;
	if (posix_memalign((void **)&q, 256, 10) == 0 && ((unsigned long)q & 255) == 0)
		free(q);
	if (!kept) {
		kept = malloc(40);
		strcpy(kept, "kept from the time of dlsym");
		usable = malloc_usable_size(kept);
	}
	free(p);
	return real(handle, name);
}

/* Called by the program through its own dlsym, at the end. */
int hooked_state(void)
{
	kept = realloc(kept, 5000);
	int ok = !strcmp(kept, "kept from the time of dlsym") && usable >= 40;
	free(kept);
	kept = NULL;
	return ok;
}
