/*
 * resolve.c - one file's addresses to frames, from the best source there is.
 *
 * The order: DWARF of the file or of its separate debug file; .symtab of
 * either; .gnu_debugdata; .dynsym.  The file on disk must be the recorded one:
 * its build id decides, and where there is another build, or no file, the debug
 * file of that id does alone; without it the module is "missing", because a
 * wrong name is worse than none.
 *
 * Called by store/frames.c for every module of a recording that has addresses
 * to be named.
 */
#include "resolve.h"

#include "debug_child.h"
#include "debug_file.h"
#include "demangle.h"
#include "elf_names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const char *symbol_level_word(enum symbol_level level)
{
	static const char *const word[] = {"missing", "none", "dynamic", "symtab", "full"};

	return word[level];
}

/* The file itself, and its debug file where there is one. */
struct sources {
	struct elf_image main, debug, mini;
	bool has_debug, has_mini;
};

static bool is_recorded_file(const struct elf_image *image, const struct symbol_module *module)
{
	uint8_t build_id[64];
	size_t length = elf_image_build_id(image, build_id);

	/* The recording keeps at most 24 bytes of an id. */
	return module->build_id_length ? length >= module->build_id_length &&
		!memcmp(build_id, module->build_id, module->build_id_length) : length == 0;
}

static bool open_recorded(const struct symbol_module *module, struct elf_image *ret)
{
	if (elf_image_open(module->path, ret) != 0)
		return false;
	if (is_recorded_file(ret, module))
		return true;
	elf_image_close(ret);
	return false;
}

static bool open_sources(const struct symbol_module *module, const struct symbol_options *options,
	struct sources *s)
{
	uint8_t build_id[64];
	size_t length;

	*s = (struct sources){.main.fd = -1, .debug.fd = -1, .mini.fd = -1};
	if (!open_recorded(module, &s->main)) /* on another machine its debug file may be there */
		return debug_file_find(module->build_id, module->build_id_length, options, &s->main);
	length = elf_image_build_id(&s->main, build_id);
	if (!elf_image_section(&s->main, ".debug_info"))
		s->has_debug = debug_file_open(module->path, &s->main, build_id, length, options, &s->debug);
	return true;
}

static void close_sources(struct sources *s)
{
	elf_image_close(&s->main);
	if (s->has_debug)
		elf_image_close(&s->debug);
	if (s->has_mini)
		elf_image_close(&s->mini);
}

/* Fills `names` from the best tables; the level is what they are. */
static int load_names(struct sources *s, struct elf_names *names, enum symbol_level *ret_level)
{
	bool table = false, mini = false, dynamic = false;
	int error = elf_names_add(names, &s->main, false, &table);

	if (!error && !table && s->has_debug)
		error = elf_names_add(names, &s->debug, false, &table);
	if (!error && !table && elf_image_mini(&s->main, &s->mini)) {
		s->has_mini = true;
		error = elf_names_add(names, &s->mini, false, &mini);
	}
	if (!error && !table)
		error = elf_names_add(names, &s->main, true, &dynamic);
	elf_names_sort(names);
	*ret_level = table || mini ? SYMBOL_TABLE : dynamic ? SYMBOL_DYNAMIC : SYMBOL_NONE;
	return error;
}

/* glibc's DWARF says __strdup where the program called strdup: both stand in
 * the symbol table, and the plain one is what people know. */
static bool is_plain_form(const char *name, const char *known)
{
	return known[0] == '_' && name[0] != '_' && !strcmp(name, known + strspn(known, "_"));
}

static int name_from_table(struct pool *pool, const struct elf_names *names, struct symbol_want *want)
{
	struct symbol_frame *outermost = want->n_frames ? &want->frames[want->n_frames - 1] : NULL;
	const char *name;

	if (outermost && outermost->function && outermost->function[0] != '_')
		return 0;
	name = elf_names_find(names, want->address);
	if (!name || (outermost && outermost->function && !is_plain_form(name, outermost->function)))
		return 0;
	if (!outermost) {
		outermost = pool_take(pool, sizeof(*outermost));
		if (!outermost)
			return -ENOMEM;
		memset(outermost, 0, sizeof(*outermost));
		want->frames = outermost;
		want->n_frames = 1;
	}
	outermost->function = symbol_demangle(pool, name);
	return outermost->function ? 0 : -ENOMEM;
}

static int by_value(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

static int name_all(struct sources *s, struct pool *pool, struct symbol_want *wants, size_t n,
	enum symbol_level *ret_level)
{
	uint64_t *addresses = malloc((n + 1) * sizeof(*addresses));
	struct elf_names names = {0};
	int error = addresses ? 0 : -ENOMEM;

	for (size_t i = 0; !error && i < n; i++)
		addresses[i] = wants[i].address;
	if (!error)
		qsort(addresses, n, sizeof(*addresses), by_value);
	if (!error)
		error = elf_names_for(&names, addresses, n);
	if (!error)
		error = load_names(s, &names, ret_level);
	for (size_t i = 0; !error && i < n; i++)
		error = name_from_table(pool, &names, &wants[i]);
	elf_names_done(&names);
	free(addresses);
	return error;
}

static int resolve_open(struct sources *s, struct pool *pool, struct symbol_want *wants, size_t n_wants,
	enum symbol_level *ret_level)
{
	bool full = false;
	int error = debug_child_resolve(s->has_debug ? &s->debug : &s->main, pool, wants, n_wants, &full);

	if (!error)
		error = name_all(s, pool, wants, n_wants, ret_level);
	if (full)
		*ret_level = SYMBOL_FULL;
	return error;
}

int symbol_resolve(const struct symbol_module *module, const struct symbol_options *options,
	struct pool *pool, struct symbol_want *wants, size_t n_wants, enum symbol_level *ret_level)
{
	struct sources sources;
	int error;

	*ret_level = SYMBOL_MISSING;
	if (!open_sources(module, options, &sources))
		return 0;
	error = resolve_open(&sources, pool, wants, n_wants, ret_level);
	close_sources(&sources);
	return error;
}
