/*
 * debug_file.c - separate debugging information: build-id directories, debug
 * links, debuginfod.
 *
 *   DIR/.build-id/ab/cdef....debug      by build id, DIR = --debug-dir, then
 *                                       /usr/lib/debug
 *   dir of the file, its .debug/ and DIR + that dir, by .gnu_debuglink
 *   libdebuginfod                       only with --debuginfod
 *
 * A candidate counts when its build id equals the image's; without build ids
 * when the checksum of the debug link is right.  libdebuginfod is loaded only
 * when asked for: analysis never opens a network connection by itself.
 *
 * Called by resolve.c.
 */
#include "debug_file.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEBUG_ROOT "/usr/lib/debug"

static bool same_build_id(const struct elf_image *image, const uint8_t *build_id, size_t length)
{
	uint8_t found[64];

	return length && elf_image_build_id(image, found) == length && !memcmp(found, build_id, length);
}

static bool try_build_id(const char *root, const uint8_t *build_id, size_t length, struct elf_image *ret)
{
	char path[PATH_MAX];
	int n;

	if (length < 2 || length > 64)
		return false;
	n = snprintf(path, sizeof(path), "%s/.build-id/%02x/", root, build_id[0]);
	if (n < 0 || (size_t)n + 2 * length + sizeof(".debug") > sizeof(path))
		return false;
	for (size_t i = 1; i < length; i++)
		n += sprintf(path + n, "%02x", build_id[i]);
	strcpy(path + n, ".debug");
	if (elf_image_open(path, ret) != 0)
		return false;
	if (same_build_id(ret, build_id, length))
		return true;
	elf_image_close(ret);
	return false;
}

struct link_search {
	const char *name;
	uint32_t crc;
	const uint8_t *build_id;
	size_t build_id_length;
};

static bool try_link(const char *root, const char *directory, const char *between,
	const struct link_search *search, struct elf_image *ret)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s%s%s/%s", root, directory, between, search->name) >=
			(int)sizeof(path) || elf_image_open(path, ret) != 0)
		return false;
	if (same_build_id(ret, search->build_id, search->build_id_length))
		return true;
	if (!search->build_id_length && elf_image_crc_is(ret, search->crc))
		return true;
	elf_image_close(ret);
	return false;
}

static bool by_link(const char *path, const struct elf_image *image, struct link_search *search,
	const struct symbol_options *options, struct elf_image *ret)
{
	char directory[PATH_MAX];
	const char *slash = strrchr(path, '/');

	if (!slash || slash - path >= PATH_MAX || !elf_image_debuglink(image, &search->name, &search->crc))
		return false;
	memcpy(directory, path, (size_t)(slash - path));
	directory[slash - path] = '\0';
	if (try_link("", directory, "/.debug", search, ret) || try_link("", directory, "", search, ret))
		return true;
	for (const char *const *root = options->debug_dirs; root && *root; root++) {
		if (try_link(*root, "", "", search, ret) || try_link(*root, directory, "", search, ret))
			return true;
	}
	return try_link(DEBUG_ROOT, directory, "", search, ret);
}

/* The three functions of libdebuginfod that are used. */
struct debuginfod {
	void *(*begin)(void);
	int (*find)(void *client, const unsigned char *build_id, int length, char **path);
	void (*end)(void *client);
};

static bool load_debuginfod(struct debuginfod *d)
{
	static void *library;

	if (!library)
		library = dlopen("libdebuginfod.so.1", RTLD_NOW | RTLD_LOCAL);
	if (!library)
		return false;
	*(void **)&d->begin = dlsym(library, "debuginfod_begin");
	*(void **)&d->find = dlsym(library, "debuginfod_find_debuginfo");
	*(void **)&d->end = dlsym(library, "debuginfod_end");
	return d->begin && d->find && d->end;
}

static bool by_debuginfod(const uint8_t *build_id, size_t length, struct elf_image *ret)
{
	struct debuginfod d;
	char *path = NULL;
	bool found = false;
	void *client;
	int fd;

	if (!length || !load_debuginfod(&d) || !(client = d.begin()))
		return false;
	fd = d.find(client, build_id, (int)length, &path);
	if (fd >= 0) {
		found = elf_image_open(path, ret) == 0;
		close(fd);
		free(path);
	}
	d.end(client);
	return found;
}

static bool by_build_id(const uint8_t *build_id, size_t length, const struct symbol_options *options,
	struct elf_image *ret)
{
	for (const char *const *root = options->debug_dirs; root && *root; root++) {
		if (try_build_id(*root, build_id, length, ret))
			return true;
	}
	return try_build_id(DEBUG_ROOT, build_id, length, ret);
}

bool debug_file_find(const uint8_t *build_id, size_t length, const struct symbol_options *options,
	struct elf_image *ret)
{
	return by_build_id(build_id, length, options, ret) ||
		(options->debuginfod && by_debuginfod(build_id, length, ret));
}

bool debug_file_open(const char *path, const struct elf_image *image, const uint8_t *build_id,
	size_t build_id_length, const struct symbol_options *options, struct elf_image *ret)
{
	struct link_search search = {.build_id = build_id, .build_id_length = build_id_length};

	if (by_build_id(build_id, build_id_length, options, ret) || by_link(path, image, &search, options, ret))
		return true;
	return options->debuginfod && by_debuginfod(build_id, build_id_length, ret);
}
