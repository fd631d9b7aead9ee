/*
 * fuzz_elf_check.c - the judge of programs with any file: it never reads
 * outside, and gives one of its answers with an ended name.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "collect/elf_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char sanitizer[64];
	enum elf_kind kind = elf_check_image(data, size, sanitizer, sizeof(sanitizer));
	if (kind > ELF_UNREADABLE || strlen(sanitizer) >= sizeof(sanitizer))
		abort();
	if (!elf_kind_word(kind) || (kind != ELF_GOOD && !elf_kind_text(kind)))
		abort();
	return 0;
}
