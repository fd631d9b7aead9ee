/*
 * fuzz_symbols.c - everything of symbol/ that reads what others wrote: an ELF
 * file with its DWARF and symbol tables, a perf map, a name to demangle.  Cut
 * or damaged, it tells less; it never crashes or hangs.
 * Input: the bytes of the file.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "symbol/demangle.h"
#include "symbol/elf_image.h"
#include "symbol/jit.h"
#include "symbol/resolve.h"

#define N_WANTS 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void resolve(const char *path, struct pool *pool)
{
	struct symbol_want wants[N_WANTS] = {{0}};
	struct symbol_options options = {0};
	struct symbol_module module = {.path = path};
	struct elf_image image;
	enum symbol_level level;
	uint8_t build_id[64];

	if (elf_image_open(path, &image) == 0) {
		module.build_id = build_id;
		module.build_id_length = elf_image_build_id(&image, build_id);
		elf_image_close(&image);
	}
	for (uint64_t i = 0; i < N_WANTS; i++)
		wants[i].address = 0xff0 + i * 3;
	if (symbol_resolve(&module, &options, pool, wants, N_WANTS, &level) != 0)
		abort();
	for (size_t i = 0; i < N_WANTS; i++) {
		for (size_t k = 0; k < wants[i].n_frames; k++) {
			const struct symbol_frame *f = &wants[i].frames[k];

			if ((f->function && strlen(f->function) > SYMBOL_NAME_MAX) || level == SYMBOL_MISSING)
				abort();
		}
	}
}

static void map_and_name(const uint8_t *data, size_t size, struct pool *pool)
{
	struct jit_map *map;
	char *name = pool_text_n(pool, (const char *)data, size < 4000 ? size : 4000);

	if (jit_parse((const char *)data, size, &map) == 0) {
		uint64_t start, end;

		jit_range(map, &start, &end);
		jit_find(map, start);
		jit_find(map, end - 1);
		jit_close(map);
	}
	if (name && !symbol_demangle(pool, name))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pool pool = {0};
	char path[64];
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	resolve(path, &pool);
	map_and_name(data, size, &pool);
	close(fd);
	pool_done(&pool);
	return 0;
}
