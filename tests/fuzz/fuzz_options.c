/*
 * fuzz_options.c - the option parser of the verbs with any words: it never
 * crashes, and ends in one of its three ways with operands inside the words.
 * Input: words separated by NUL.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/options.h"

#define MAX_WORDS 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What the parser says is of no interest here. */
static void silence(void)
{
	static int done;
	if (!done++)
		stderr = stdout = fopen("/dev/null", "w");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool flag = false;
	int64_t number = 0;
	int choice = 0;
	const struct option_spec options[] = {
		OPTION_FORMAT(&choice),
		{OPTION_FLAG, "flag", NULL, "a flag", &flag},
		{OPTION_NUMBER, "limit", "N", "a number", &number},
		{OPTION_END},
	};
	const struct verb_spec spec = {"fuzz", "A [B]", "Fuzzes.", "    mmscope fuzz", options, 1, 2, "no A"};
	char *words = malloc(size + 1), *argv[MAX_WORDS + 1] = {(char *)"fuzz"};
	const char *operands[2];
	int argc = 1;
	silence();
	if (size)
		memcpy(words, data, size);
	words[size] = 0;
	for (char *w = words; w < words + size && argc < MAX_WORDS; w += strlen(w) + 1)
		argv[argc++] = w;
	argv[argc] = NULL;
	int status = options_parse(&spec, argc, argv, operands);
	if (status != -1 && status != 0 && status != 2)
		abort();
	if (status == -1 && (!operands[0] || number < 0 || choice < 0 || choice > 1))
		abort();
	free(words);
	return 0;
}
