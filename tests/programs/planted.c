/*
 * planted.c - a small program in which differences can be planted.
 *
 * Built several times by comparing.py, from other folders and with other flags.
 * Each macro plants one difference, which `diff` must name, and nothing else:
 *
 *     PLANT_LEAK       leak_a_name keeps one block of 24 bytes more
 *     PLANT_BUFFER     read_input has a buffer of 96 KiB instead of 64 KiB
 *     PLANT_TEMPORARY  join_words makes 5,000 blocks that are freed at once
 *     PLANT_PERCENT    remember_word keeps 5 % more
 *
 * With FORKS there is a child that writes so many of 1,024 shared pages.
 * With FILLED there is a buffer of 2 MiB, too, of which so many bytes are used.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef FORKS
#include <sys/wait.h>
#include <unistd.h>
#endif

#define KEEP(p) __asm__ volatile("" : "+r"(p) : : "memory")

#ifdef PLANT_BUFFER
#define BUFFER (96 << 10)
#else
#define BUFFER (64 << 10)
#endif
#ifdef PLANT_PERCENT
#define N_WORDS 2100
#else
#define N_WORDS 2000
#endif

struct word {
	struct word *next;
	char text[40];
};

static struct word *words;
static void *kept;

/* Small enough for any compiler to inline it. */
static inline void *checked(size_t size)
{
	void *p = malloc(size);
	if (!p)
		abort();
	KEEP(p);
	return p;
}

static void remember_word(unsigned number)
{
	struct word *w = checked(sizeof(*w));
	snprintf(w->text, sizeof(w->text), "word %u", number);
	w->next = words;
	words = w;
}

/* Its caller may become a jump: then it is in no stack. */
static void *make_table(size_t n)
{
	void *p = calloc(n, 16);
	KEEP(p);
	return p;
}

static void *first_table(void)
{
	return make_table(100);
}

static void read_input(void)
{
	char *buffer = checked(BUFFER);
	memset(buffer, 1, BUFFER);
	for (unsigned i = 0; i < N_WORDS; i++)
		remember_word(i);
	KEEP(buffer);
	free(buffer);
}

static void join_words(void)
{
#ifdef PLANT_TEMPORARY
	for (unsigned i = 0; i < 5000; i++) {
		char *p = checked(64);
		free(p);
	}
#endif
	char *line = checked(1 << 12);
	char *longer = realloc(line, 1 << 13);
	KEEP(longer);
	free(longer);
}

#ifdef PLANT_LEAK
__attribute__((noinline)) static void leak_a_name(void)
{
	char *p = checked(24);
	KEEP(p);
}
#endif

#ifdef FILLED
static void *make_room(size_t filled)
{
	char *p = checked(2 << 20);
	memset(p, 1, filled);
	KEEP(p);
	return p;
}
#endif

#ifdef FORKS
static char *make_shared(void)
{
	char *p = checked(4 << 20);
	memset(p, 1, 4 << 20);
	KEEP(p);
	return p;
}

static void share(char *p)
{
	int status;
	pid_t pid = fork();
	if (pid == 0) {
		for (unsigned i = 0; i < FORKS; i++)
			*(volatile char *)(p + i * 4096) = 2;
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || status)
		abort();
}
#endif

int main(void)
{
#ifdef FORKS
	char *shared = make_shared();
#endif
#ifdef FILLED
	kept = make_room(FILLED);
#endif
	kept = first_table();
	read_input();
	join_words();
#ifdef PLANT_LEAK
	leak_a_name();
#endif
	while (words) {
		struct word *next = words->next;
		free(words);
		words = next;
	}
#ifdef FORKS
	share(shared);
#endif
	return kept == NULL;
}
