/* tls.c - thread-local storage that the loader makes only when it is touched:
 * it calls malloc in the middle of __tls_get_addr, in threads that have not
 * called any wrapper yet, and whose table of modules has to grow as well. */
#include <dlfcn.h>
#include <pthread.h>

#include "guest.h"

enum { MODULES = 16, THREADS = 3 }; /* a table has room for 14 more */

static char *(*get[MODULES])(void);
static pthread_barrier_t loaded;

static void *touch(void *arg)
{
	long sum = 0;
	if (arg)
		pthread_barrier_wait(&loaded);
	for (int i = 0; i < MODULES; i++)
		sum += *get[i]() += (char)i;
	return (void *)sum;
}

static void *copy_of(const char *file, int i)
{
	char name[64], data[4096];
	size_t n;
	snprintf(name, sizeof(name), "./module.%d", i);
	FILE *from = fopen(file, "rb"), *to = fopen(name, "wb");
	while (from && to && (n = fread(data, 1, sizeof(data), from)) > 0)
		fwrite(data, 1, n, to);
	if (from)
		fclose(from);
	if (to)
		fclose(to);
	void *h = dlopen(name, RTLD_NOW);
	unlink(name);
	return h;
}

int main(int argc, char **argv)
{
	pthread_t t[THREADS];
	long sum = 0;
	pthread_barrier_init(&loaded, NULL, THREADS + 1);
	for (int i = 0; i < THREADS; i++)
		pthread_create(&t[i], NULL, touch, &loaded);
	for (int i = 0; i < MODULES; i++) {
		void *h = copy_of(argv[1], i);
		get[i] = h ? (char *(*)(void))dlsym(h, "plugin_own") : NULL;
		if (!get[i]) {
			printf("%s\n", dlerror());
			return 1;
		}
	}
	pthread_barrier_wait(&loaded);
	for (int i = 0; i < THREADS; i++) {
		void *part;
		pthread_join(t[i], &part);
		sum += (long)part;
	}
	printf("%ld in the threads, %ld here\n", sum, (long)touch(NULL));
	COUNT((THREADS + 1) * MODULES, "heap malloc 31500");
	return 0;
}
