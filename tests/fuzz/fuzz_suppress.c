/*
 * fuzz_suppress.c - any bytes as a suppressions file: the parser never
 * crashes, an error lies inside the text, and a rule can be matched.
 */
#include <stdint.h>
#include <stdlib.h>

#include "report/suppress.h"
#include "store/capture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct capture_frame frames[] = {
		{.function = "make_item", .file = "item.c", .module = "/srv/prog", .line = 3},
		{.module = "/usr/lib/libx.so"},
		{.function = "main", .file = "main.c", .module = "/srv/prog", .line = 9},
	};
	const struct capture_stack stack = {.frames = frames, .n = 3};
	struct suppressions s = {NULL};
	struct suppress_error error = {0};
	size_t lines = 1;

	for (size_t i = 0; i < size; i++)
		lines += data[i] == '\n';
	if (!suppress_parse(&s, (const char *)data, size, &error) &&
		(!error.what || error.line < 1 || error.line > lines || error.column < 1 || error.column > size + 1))
		abort();
	for (int reach = 0; reach < N_REACH; reach++)
		suppress_find(&s, &stack, (enum reach)reach);
	suppress_done(&s);
	return 0;
}
