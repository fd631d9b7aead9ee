/*
 * fuzz_run_options.c - the options of `run` with any words: a command that is
 * found lies in the words, what was refused says so.  Input: words separated
 * by NUL.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collect/run.h"

#define MAX_WORDS 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void silence(void)
{
	static int done;
	if (!done++)
		stderr = stdout = fopen("/dev/null", "w");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *words = malloc(size + 1), *argv[MAX_WORDS + 1] = {(char *)"run"};
	struct run_options o;
	int argc = 1;
	silence();
	if (size)
		memcpy(words, data, size);
	words[size] = 0;
	for (char *w = words; w < words + size && argc < MAX_WORDS; w += strlen(w) + 1)
		argv[argc++] = w;
	argv[argc] = NULL;
	enum run_parse r = run_options_parse(argc, argv, &o);
	if (r == RUN_PARSED && (o.command <= argv || o.command >= argv + argc || !o.command[0]))
		abort();
	if (r == RUN_PARSED && o.ring_bytes && o.ring_bytes < 2 * MMS_CELL_SIZE)
		abort();
	if (o.summary && !o.wait)
		abort();
	free(words);
	return 0;
}
