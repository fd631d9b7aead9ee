/* not_leaks.c - what the loader and the C++ library keep for themselves, and
 * one block that is forgotten: 4,321 bytes. */
#include <dlfcn.h>
#include <pthread.h>

#include "guest.h"

static void *handle[3];

static void *thread_main(void *arg)
{
	handle[0] = dlopen("libstdc++.so.6", RTLD_NOW); /* its pool: 72,704 bytes */
	handle[1] = dlopen(arg, RTLD_NOW);
	char *(*own)(void) = handle[1] ? (char *(*)(void))dlsym(handle[1], "plugin_own") : NULL;
	if (own)
		own()[0] = 1; /* a table of the thread, and its storage */
	handle[2] = dlopen("libm.so.6", RTLD_NOW);
	return own;
}

int main(int argc, char **argv)
{
	pthread_t t;
	void *done;
	pthread_create(&t, NULL, thread_main, argv[1]);
	pthread_join(t, &done);
	char *volatile p = malloc(4321);
	p = NULL;
	(void)p;
	printf("%s %s\n", handle[0] ? "a pool" : "no pool", done ? "a plugin" : "no plugin");
	return 3;
}
