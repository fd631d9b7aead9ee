/*
 * again.c - the same stacks over and over, each time at other addresses.
 *
 *     again exec N          executes itself N times, one after the other
 *     again plugin N FILE   loads FILE N times and calls site_in_plugin in it
 *     again both N FILE     the one and the other in turn
 *
 * Between two loads something else takes the place where the plugin was.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void __attribute__((noinline)) site_again(void)
{
	*(volatile char *)malloc(77) = 1;
}

static void plugin(const char *path)
{
	void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!handle) {
		puts(dlerror());
		exit(1);
	}
	void (*call)(void) = (void (*)(void))dlsym(handle, "site_in_plugin");
	call();
	dlclose(handle);
	/* A page, where the plugin would come to lie again. */
	mmap(NULL, 20480, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

int main(int argc, char **argv)
{
	int n = argc > 2 ? atoi(argv[2]) : 0;
	char left[16];

	site_again();
	if (argc > 3)
		for (int i = 0; i < (strcmp(argv[1], "plugin") ? 2 : n); i++)
			plugin(argv[3]);
	if (strcmp(argv[1], "plugin") == 0 || n <= 1)
		return 0;
	snprintf(left, sizeof(left), "%d", n - 1);
	execl("/proc/self/exe", argv[0], argv[1], left, argc > 3 ? argv[3] : NULL, NULL);
	return 1;
}
