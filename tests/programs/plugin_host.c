/*
 * plugin_host.c - a C program that loads a C++ plugin which throws and catches
 * in itself, unloads it, and loads it again: a preload that brought another
 * unwinder would break the exception.
 *
 *     plugin_host PLUGIN [deep | apart]
 *
 * deep: the plugin's calls go to libc and pass the preload by; apart: it has a
 * namespace, and so a libc, of its own.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

static void *load(const char *path, const char *how)
{
	if (strcmp(how, "apart") == 0)
		return dlmopen(LM_ID_NEWLM, path, RTLD_NOW);
	return dlopen(path, RTLD_NOW | RTLD_LOCAL | (strcmp(how, "deep") == 0 ? RTLD_DEEPBIND : 0));
}

static int once(const char *path, const char *how)
{
	void *plugin = load(path, how);

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
		printf("caught %d\n", once(argc > 1 ? argv[1] : "", argc > 2 ? argv[2] : ""));
	return 5;
}
