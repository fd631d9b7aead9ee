/*
 * site_id.c - stable ids (site_id.h says what goes into them).
 *
 * An id is written into CI baselines: changing what goes into the hash breaks
 * them.  test_site_id.c holds known values.
 *
 * Called by store/frames.c; reads nothing but the frames it is given.
 */
#include "site_id.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define HASH_START 0xcbf29ce484222325ull
#define HASH_FACTOR 0x100000001b3ull

static uint64_t hash_bytes(uint64_t h, const char *p, size_t n)
{
	while (n--)
		h = (h ^ (uint8_t)*p++) * HASH_FACTOR;
	return h;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* Length of the function's name without what a compiler appended. */
static size_t plain_length(const char *function)
{
	static const char *const suffix[] = {".constprop", ".cold", ".part", ".isra", ".lto_priv", ".llvm.",
		" [clone"};
	size_t length = strlen(function);

	for (size_t i = 0; i < sizeof(suffix) / sizeof(suffix[0]); i++) {
		const char *at = strstr(function, suffix[i]);

		if (at && at != function && (size_t)(at - function) < length)
			length = (size_t)(at - function);
	}
	return length;
}

/* "libfoo.so.1.2" is libfoo.so: a new version is the same library. */
static size_t module_length(const char *base)
{
	const char *so = strstr(base, ".so");

	return so && (so[3] == '.' || !so[3]) ? (size_t)(so + 3 - base) : strlen(base);
}

static uint8_t owner_of(const struct site_frame *f)
{
	const char *base = f->module ? base_name(f->module) : "";

	if (f->kind && !strcmp(f->kind, "mmscope"))
		return SITE_MMSCOPE;
	if ((f->kind && !strcmp(f->kind, "loader")) || !strncmp(base, "ld-linux", 8) || !strncmp(base, "ld-musl", 7))
		return SITE_LOADER;
	if (!strncmp(base, "libc.so", 7) || !strncmp(base, "libc-2.", 7) || !strncmp(base, "libpthread", 10))
		return SITE_LIBC;
	if (!strncmp(base, "libstdc++.so", 12) || !strncmp(base, "libc++.so", 9) || !strncmp(base, "libgcc_s", 8))
		return SITE_LIBSTDCXX;
	return SITE_TARGET;
}

static bool is_allocator(const struct site_frame *f, uint8_t owner)
{
	static const char *const exact[] = {"malloc", "calloc", "realloc", "reallocarray", "memalign",
		"aligned_alloc", "posix_memalign", "valloc", "pvalloc"};
	static const char *const start[] = {"operator new(", "operator new[](",
		"__gnu_cxx::new_allocator<", "std::__new_allocator<", "std::allocator_traits<", "std::allocator<"};

	if (owner == SITE_MMSCOPE)
		return true;
	for (size_t i = 0; f->function && i < sizeof(exact) / sizeof(exact[0]); i++) {
		if (!strcmp(f->function, exact[i]))
			return true;
	}
	for (size_t i = 0; f->function && i < sizeof(start) / sizeof(start[0]); i++) {
		if (!strncmp(f->function, start[i], strlen(start[i])))
			return true;
	}
	return false;
}

const char *site_owner_word(enum site_owner owner)
{
	static const char *const word[] = {"target", "loader", "libc", "libstdc++", "mmscope"};

	return word[owner];
}

struct site_part site_part(const struct site_frame *f)
{
	char offset[24] = "?";
	const char *function = f->function ? f->function : offset;
	const char *module = f->module ? base_name(f->module) : "";
	const char *file = f->file ? base_name(f->file) : "";
	struct site_part part = {.hash = HASH_START, .owner = owner_of(f)};

	if (f->module)
		snprintf(offset, sizeof(offset), "+%" PRIx64, f->offset);
	part.hash = hash_bytes(part.hash, function, plain_length(function));
	part.hash = hash_bytes(part.hash, "", 1);
	part.hash = hash_bytes(part.hash, module, module_length(module));
	part.hash = hash_bytes(part.hash, "", 1);
	part.hash = hash_bytes(part.hash, file, strlen(file));
	part.allocator = is_allocator(f, part.owner);
	part.system = part.owner == SITE_LIBC || part.owner == SITE_LOADER ||
		(f->function && !strcmp(f->function, "_start"));
	return part;
}

size_t site_first(const struct site_part *parts, size_t n)
{
	size_t first = 0;

	while (first < n && parts[first].allocator)
		first++;
	return first < n ? first : 0;
}

uint64_t site_hash(const struct site_part *parts, size_t n)
{
	uint64_t h = HASH_START;
	size_t first = site_first(parts, n), end = n;

	while (end > first + 1 && parts[end - 1].system)
		end--;
	for (size_t i = first; i < end; i++) {
		h = (h ^ parts[i].hash) * 0x9e3779b97f4a7c15ull;
		h ^= h >> 29;
	}
	return h;
}

enum site_owner site_owner(const struct site_part *parts, size_t n)
{
	enum site_owner owner;

	if (!n)
		return SITE_TARGET;
	owner = parts[site_first(parts, n)].owner;
	if (owner != SITE_LIBC && owner != SITE_LIBSTDCXX)
		return owner;
	/* Behind the loader stands who asked for a library, not who allocated. */
	for (size_t i = 0; i < n && parts[i].owner != SITE_LOADER; i++) {
		if (parts[i].owner == SITE_TARGET && !parts[i].system)
			return SITE_TARGET;
	}
	return owner;
}
