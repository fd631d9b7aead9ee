/* early.c - a library whose constructor runs before ours and does what hung
 * or crashed others: setenv first of all, allocation, dlopen, threads. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>

int early_value;

static void *work(void *unused)
{
	for (int i = 0; i < 20000; i++) {
		void *volatile p = malloc((size_t)(i % 300) + 1);
		free(p);
	}
	return NULL;
}

static void __attribute__((constructor)) early(void)
{
	pthread_t t[4];
	setenv("EARLY_VARIABLE", "set by a constructor", 1);
	putenv((char *)"EARLY_OTHER=1");
	void *handle = dlopen("libm.so.6", RTLD_NOW);
	for (int i = 0; i < 4; i++)
		pthread_create(&t[i], NULL, work, NULL);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	early_value = handle != NULL;
}
