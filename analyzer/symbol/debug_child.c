/*
 * debug_child.c - a process of its own for debugging information.
 *
 * libdw reads beyond its buffers for some damaged files (its 0.188 does, three
 * times in 2,500 files with random wrong bytes).  The collector holds a whole
 * recording in memory and may not die of one bad file, so that part runs in a
 * forked child, which answers over a pipe:
 *
 *     per want: u32 frames; per frame: i32 line, text function, text file
 *     text: u32 length + 1 (0: none), bytes       at the end: u32 END_MARK
 *
 * The answer comes from a process that may have run wild: it is read like any
 * foreign input, and without its end mark it counts for nothing.
 *
 * The child takes no locks, writes no file and leaves with _exit: what the
 * parent has open (the database) is not touched.  Called by resolve.c, from a
 * process without threads of its own.
 */
#include "debug_child.h"

#include "debug_info.h"
#include "packed.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <signal.h>
#include <unistd.h>

#define END_MARK 0x21646e65u
#define ANSWER_MAX (1u << 30)
#define CHILD_CPU_SECONDS 60

static void put_text(FILE *f, const char *text)
{
	uint32_t n = text ? (uint32_t)strlen(text) + 1 : 0;

	fwrite(&n, sizeof(n), 1, f);
	if (n)
		fwrite(text, n - 1, 1, f);
}

static void put_answer(FILE *f, const struct symbol_want *wants, size_t n_wants, bool any)
{
	uint32_t word = any;

	fwrite(&word, sizeof(word), 1, f);
	for (size_t i = 0; i < n_wants; i++) {
		word = (uint32_t)wants[i].n_frames;
		fwrite(&word, sizeof(word), 1, f);
		for (size_t k = 0; k < wants[i].n_frames; k++) {
			fwrite(&wants[i].frames[k].line, sizeof(int), 1, f);
			put_text(f, wants[i].frames[k].function);
			put_text(f, wants[i].frames[k].file);
		}
	}
	word = END_MARK;
	fwrite(&word, sizeof(word), 1, f);
}

_Noreturn static void child(int out, const struct elf_image *image, struct symbol_want *wants, size_t n_wants)
{
	const struct rlimit cpu = {CHILD_CPU_SECONDS, CHILD_CPU_SECONDS + 5};
	struct elf_image unpacked;
	struct pool pool = {0};
	bool any = false;
	FILE *f;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_DUMPABLE, 0); /* a crash here is no news */
	signal(SIGXCPU, SIG_DFL);
	setrlimit(RLIMIT_CPU, &cpu);
	if (packed_open(image, &unpacked))
		image = &unpacked;
	if (debug_info_read(image, &pool, wants, n_wants, &any) != 0)
		_exit(1);
	f = fdopen(out, "w");
	if (!f)
		_exit(1);
	put_answer(f, wants, n_wants, any);
	_exit(fflush(f) == 0 ? 0 : 1);
}

static char *read_answer(int fd, size_t *ret_size)
{
	size_t room = 65536, size = 0;
	char *answer = malloc(room);
	ssize_t n;

	while (answer && size < ANSWER_MAX) {
		n = read(fd, answer + size, room - size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		size += (size_t)n;
		if (size == room) {
			char *grown = realloc(answer, room *= 2);

			if (!grown)
				free(answer);
			answer = grown;
		}
	}
	*ret_size = size;
	return answer;
}

struct reader {
	const char *at, *end;
	bool bad;
};

static uint32_t get_word(struct reader *r)
{
	uint32_t word = 0;

	if (r->end - r->at < (ptrdiff_t)sizeof(word))
		r->bad = true;
	if (r->bad)
		return 0;
	memcpy(&word, r->at, sizeof(word));
	r->at += sizeof(word);
	return word;
}

static const char *get_text(struct reader *r, struct pool *pool)
{
	uint32_t n = get_word(r);
	const char *text;

	if (!n || r->bad)
		return NULL;
	if ((size_t)(r->end - r->at) < n - 1) {
		r->bad = true;
		return NULL;
	}
	text = pool_text_n(pool, r->at, n - 1);
	r->bad = r->bad || !text;
	r->at += n - 1;
	return text;
}

static void get_want(struct reader *r, struct pool *pool, struct symbol_want *want)
{
	uint32_t n = get_word(r);

	/* a frame takes twelve bytes at least */
	if (r->bad || n > (size_t)(r->end - r->at) / 12) {
		r->bad = true;
		return;
	}
	want->frames = n ? pool_take(pool, n * sizeof(*want->frames)) : NULL;
	if (n && !want->frames) {
		r->bad = true;
		return;
	}
	for (want->n_frames = 0; want->n_frames < n && !r->bad; want->n_frames++) {
		struct symbol_frame *f = &want->frames[want->n_frames];

		f->line = (int)get_word(r);
		f->function = get_text(r, pool);
		f->file = get_text(r, pool);
	}
}

static bool take_answer(const char *answer, size_t size, struct pool *pool, struct symbol_want *wants,
	size_t n_wants)
{
	struct reader r = {answer, answer + size, false};
	bool any = get_word(&r) == 1;

	for (size_t i = 0; i < n_wants && !r.bad; i++)
		get_want(&r, pool, &wants[i]);
	if (!r.bad && get_word(&r) == END_MARK && !r.bad)
		return any;
	for (size_t i = 0; i < n_wants; i++) {
		wants[i].n_frames = 0;
		wants[i].frames = NULL;
	}
	return false;
}

static pid_t start_child(int pipe_ends[2], const struct elf_image *image, struct symbol_want *wants,
	size_t n_wants)
{
	pid_t pid;

	if (pipe2(pipe_ends, O_CLOEXEC) != 0)
		return -1;
	pid = fork();
	if (pid == 0)
		child(pipe_ends[1], image, wants, n_wants);
	close(pipe_ends[1]);
	if (pid < 0)
		close(pipe_ends[0]);
	return pid;
}

int debug_child_resolve(const struct elf_image *image, struct pool *pool, struct symbol_want *wants,
	size_t n_wants, bool *ret_any)
{
	int pipe_ends[2];
	size_t size;
	char *answer;
	pid_t pid;

	*ret_any = false;
	if (!debug_info_exists(image))
		return 0;
	pid = start_child(pipe_ends, image, wants, n_wants);
	if (pid < 0)
		return -ENOMEM;
	answer = read_answer(pipe_ends[0], &size);
	close(pipe_ends[0]);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	if (!answer)
		return -ENOMEM;
	*ret_any = take_answer(answer, size, pool, wants, n_wants);
	free(answer);
	return 0;
}
