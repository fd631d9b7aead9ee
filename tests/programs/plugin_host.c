/*
 * plugin_host.c - a C program that loads a C++ plugin which throws and catches
 * in itself, unloads it, and loads it again: a preload that brought another
 * unwinder would break the exception.
 */
#include <dlfcn.h>
#include <stdio.h>

static int once(const char *path)
{
	void *plugin = dlopen(path, RTLD_NOW | RTLD_LOCAL);

	if (!plugin) {
		puts(dlerror());
		return 0;
	}
	int (*work)(int) = (int (*)(int))dlsym(plugin, "plugin_work");
	int got = work ? work(1000) : -1;
	dlclose(plugin);
	return got;
}

int main(int argc, char **argv)
{
	for (int i = 0; i < 5; i++)
		printf("caught %d\n", once(argc > 1 ? argv[1] : ""));
	return 5;
}
