/*
 * debug_info.c - DWARF to frames, many addresses at once.
 *
 * libdw's per-address search walks a whole compilation unit for each address
 * and needs .debug_aranges, which clang does not write.  So:
 *
 *   1. where .debug_aranges tells of every wanted address, the ranges of those
 *      units alone are listed, else of all (what is compressed is then unpacked
 *      no further than to the last of them, packed.c); sorted, and each wanted
 *      address is given to its unit;
 *   2. a unit that has wanted addresses is walked ONCE: a function whose
 *      ranges hold a wanted address is entered, everything else is skipped;
 *   3. inside the function the chain of inlined subroutines around the address
 *      gives the frames; the innermost takes its line from the line table,
 *      each outer one the call_file and call_line of the one inlined into it.
 *
 * The information may be damaged: libdw checks what it decodes, the depth of
 * our own recursion is bounded, and what does not decode is not there.  libdw
 * itself does read beyond its buffers for some damaged files: this runs in a
 * process of its own (debug_child.c).
 */
#include "debug_info.h"

#include "demangle.h"

#include <dwarf.h>
#include <elfutils/libdw.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define INLINE_MAX 64 /* inlined frames around one address */
#define SCOPE_MAX 64  /* depth of namespaces and blocks that is followed */

struct unit_range {
	uint64_t low, high;
	Dwarf_CU *unit;
};
struct walk {
	Dwarf *dwarf;
	struct pool *pool;
	struct unit_range *ranges; /* by low */
	size_t n_ranges, room;
	/* the unit that is being walked */
	Dwarf_Die unit_die;
	struct symbol_want **wants; /* of this unit, by address */
	size_t n_wants;
	int error;
};

static int add_range(struct walk *w, struct unit_range range)
{
	if (w->n_ranges == w->room) {
		size_t room = w->room * 2 + 256;
		struct unit_range *grown = realloc(w->ranges, room * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		w->ranges = grown;
		w->room = room;
	}
	w->ranges[w->n_ranges++] = range;
	return 0;
}

static int by_low(const void *a, const void *b)
{
	const struct unit_range *x = a, *y = b;

	return x->low < y->low ? -1 : x->low > y->low;
}

/* The units whose offsets are `only`, n of them, sorted; NULL: all. */
static int list_units(struct walk *w, const uint64_t *only, size_t n)
{
	Dwarf_CU *unit = NULL;
	Dwarf_Die die, split;
	uint8_t type;
	size_t k = 0;

	while (!(only && k == n) && dwarf_get_units(w->dwarf, unit, &unit, NULL, &type, &die, &split) == 0) {
		Dwarf_Addr base, low, high;
		ptrdiff_t at = 0;
		uint64_t offset = dwarf_dieoffset(&die) - dwarf_cuoffset(&die);

		while (only && k < n && only[k] < offset)
			k++;
		if (only && (k == n || only[k] != offset))
			continue;
		if (type != DW_UT_compile && type != DW_UT_skeleton)
			continue;
		while ((at = dwarf_ranges(&die, at, &base, &low, &high)) > 0) {
			if (low && high > low && add_range(w, (struct unit_range){low, high, unit}))
				return -ENOMEM;
		}
	}
	if (w->n_ranges)
		qsort(w->ranges, w->n_ranges, sizeof(*w->ranges), by_low);
	return 0;
}

/* One set of .debug_aranges: the unit at `unit` has the ranges in [at, end). */
static void take_set(const uint8_t *at, const uint8_t *end, uint64_t unit, const struct symbol_want *wants,
	size_t n_wants, uint64_t *offsets)
{
	for (; end - at >= 16; at += 16) {
		uint64_t range[2];
		size_t low = 0, high = n_wants;

		memcpy(range, at, sizeof(range));
		while (low < high) {
			size_t middle = low + (high - low) / 2;

			if (wants[middle].address < range[0])
				low = middle + 1;
			else
				high = middle;
		}
		for (; low < n_wants && wants[low].address - range[0] < range[1]; low++)
			offsets[low] = unit;
	}
}

static int by_offset(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* offsets[i] = the unit of wants[i], then sorted; false: it does not tell of all. */
static bool find_offsets(const struct elf_image *image, const struct symbol_want *wants, size_t n_wants,
	uint64_t *offsets)
{
	Elf_Scn *section = elf_image_section(image, ".debug_aranges");
	Elf_Data *data = section ? elf_getdata(section, NULL) : NULL;
	const uint8_t *at = data ? data->d_buf : NULL, *end = at ? at + data->d_size : NULL;
	struct __attribute__((packed)) {
		uint32_t length; /* of what follows */
		uint16_t version;
		uint32_t unit;
		uint8_t address_size, segment_size;
	} head;

	memset(offsets, 0xff, n_wants * sizeof(*offsets));
	while (end - at >= 16) {
		memcpy(&head, at, sizeof(head));
		if (head.length > (size_t)(end - at) - 4 || head.version != 2 || head.address_size != 8 ||
			head.segment_size)
			return false;
		/* pairs of 16 bytes, which begin at a multiple of that */
		take_set(at + 16, at + 4 + head.length, head.unit, wants, n_wants, offsets);
		at += 4 + head.length;
	}
	for (size_t i = 0; i < n_wants; i++)
		if (offsets[i] == UINT64_MAX)
			return false;
	qsort(offsets, n_wants, sizeof(*offsets), by_offset);
	return n_wants > 0;
}

/* The ranges of the units that may hold wants. */
static int find_units(struct walk *w, const struct elf_image *image, const struct symbol_want *wants, size_t n_wants)
{
	uint64_t *offsets = reallocarray(NULL, n_wants + 1, sizeof(*offsets));
	int error;

	if (!offsets)
		return -ENOMEM;
	error = list_units(w, find_offsets(image, wants, n_wants, offsets) ? offsets : NULL, n_wants);
	free(offsets);
	return error;
}

static Dwarf_CU *unit_of(const struct walk *w, uint64_t address)
{
	size_t low = 0, high = w->n_ranges;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (w->ranges[middle].low <= address)
			low = middle + 1;
		else
			high = middle;
	}
	for (size_t tries = 0; low-- > 0 && tries < 8; tries++) {
		if (address < w->ranges[low].high)
			return w->ranges[low].unit;
	}
	return NULL;
}

/* Name of a concrete function or inlined copy, from wherever it was declared. */
static const char *function_name(struct walk *w, Dwarf_Die *die)
{
	Dwarf_Attribute attribute;
	const char *name = NULL;

	if (dwarf_attr_integrate(die, DW_AT_linkage_name, &attribute) ||
		dwarf_attr_integrate(die, DW_AT_MIPS_linkage_name, &attribute))
		name = dwarf_formstring(&attribute);
	if (!name && dwarf_attr_integrate(die, DW_AT_name, &attribute))
		name = dwarf_formstring(&attribute);
	return name ? symbol_demangle(w->pool, name) : NULL;
}

static const char *absolute(struct walk *w, const char *file)
{
	Dwarf_Attribute attribute;
	const char *directory = NULL;
	char *path;
	size_t n;

	if (!file || file[0] == '/')
		return file ? pool_text(w->pool, file) : NULL;
	if (dwarf_attr(&w->unit_die, DW_AT_comp_dir, &attribute))
		directory = dwarf_formstring(&attribute);
	/* a relative folder says where the build was, not where the file is */
	if (!directory || directory[0] != '/')
		return pool_text(w->pool, file);
	n = strlen(directory);
	path = pool_take(w->pool, n + strlen(file) + 2);
	if (path) {
		memcpy(path, directory, n);
		path[n] = '/';
		strcpy(path + n + 1, file);
	}
	return path;
}

static void line_at(struct walk *w, uint64_t address, struct symbol_frame *frame)
{
	Dwarf_Line *line = dwarf_getsrc_die(&w->unit_die, address);
	int number = 0;

	if (!line)
		return;
	if (dwarf_lineno(line, &number) == 0)
		frame->line = number;
	frame->file = absolute(w, dwarf_linesrc(line, NULL, NULL));
}

static void call_site_of(struct walk *w, Dwarf_Die *inlined, struct symbol_frame *caller)
{
	Dwarf_Attribute attribute;
	Dwarf_Word file, line;
	Dwarf_Files *files;
	size_t n_files;

	if (dwarf_formudata(dwarf_attr(inlined, DW_AT_call_line, &attribute), &line) == 0)
		caller->line = (int)line;
	if (dwarf_formudata(dwarf_attr(inlined, DW_AT_call_file, &attribute), &file) == 0 &&
		dwarf_getsrcfiles(&w->unit_die, &files, &n_files) == 0 && file < n_files)
		caller->file = absolute(w, dwarf_filesrc(files, file, NULL, NULL));
}

/* The inlined copies around the address, outermost first. */
static size_t inlined_at(Dwarf_Die *function, uint64_t address, Dwarf_Die chain[INLINE_MAX])
{
	Dwarf_Die at = *function, child;
	size_t n = 0;

	for (unsigned int depth = 0; depth < 4 * SCOPE_MAX && n < INLINE_MAX; depth++) {
		bool found = false;

		if (dwarf_child(&at, &child) != 0)
			break;
		do {
			int tag = dwarf_tag(&child);

			if ((tag == DW_TAG_inlined_subroutine || tag == DW_TAG_lexical_block) &&
				dwarf_haspc(&child, address) > 0) {
				if (tag == DW_TAG_inlined_subroutine)
					chain[n++] = child;
				at = child;
				found = true;
				break;
			}
		} while (dwarf_siblingof(&child, &child) == 0);
		if (!found)
			break;
	}
	return n;
}

static void fill(struct walk *w, Dwarf_Die *function, struct symbol_want *want)
{
	Dwarf_Die chain[INLINE_MAX];
	size_t n = inlined_at(function, want->address, chain);
	struct symbol_frame *frames = pool_take(w->pool, (n + 1) * sizeof(*frames));

	if (!frames) {
		w->error = -ENOMEM;
		return;
	}
	memset(frames, 0, (n + 1) * sizeof(*frames));
	line_at(w, want->address, &frames[0]);
	for (size_t i = 0; i < n; i++) {
		frames[i].function = function_name(w, &chain[n - 1 - i]);
		call_site_of(w, &chain[n - 1 - i], &frames[i + 1]);
	}
	frames[n].function = function_name(w, function);
	want->frames = frames;
	want->n_frames = n + 1;
}

/* Index of the first want of the unit at or after the address. */
static size_t first_want(const struct walk *w, uint64_t address)
{
	size_t low = 0, high = w->n_wants;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (w->wants[middle]->address < address)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void enter_function(struct walk *w, Dwarf_Die *die)
{
	Dwarf_Addr base, low, high;
	ptrdiff_t at = 0;

	while ((at = dwarf_ranges(die, at, &base, &low, &high)) > 0) {
		for (size_t i = first_want(w, low); i < w->n_wants && w->wants[i]->address < high; i++) {
			if (!w->wants[i]->n_frames && !w->error)
				fill(w, die, w->wants[i]);
		}
	}
}

static bool may_hold_functions(int tag)
{
	return tag == DW_TAG_namespace || tag == DW_TAG_module || tag == DW_TAG_structure_type ||
		tag == DW_TAG_class_type || tag == DW_TAG_enumeration_type || tag == DW_TAG_union_type;
}

/* Types hold code in some languages (Rust); in C and C++ walking into every
 * class would only cost. */
static bool types_hold_code(Dwarf_Die *unit)
{
	switch (dwarf_srclang(unit)) {
	case DW_LANG_C89:
	case DW_LANG_C:
	case DW_LANG_C99:
	case DW_LANG_C11:
	case DW_LANG_C_plus_plus:
	case DW_LANG_C_plus_plus_03:
	case DW_LANG_C_plus_plus_11:
	case DW_LANG_C_plus_plus_14:
		return false;
	default:
		return true;
	}
}

static void walk_scope(struct walk *w, Dwarf_Die *scope, bool into_types, unsigned int depth)
{
	Dwarf_Die child;

	if (depth > SCOPE_MAX || dwarf_child(scope, &child) != 0)
		return;
	do {
		int tag = dwarf_tag(&child);

		if (tag == DW_TAG_subprogram)
			enter_function(w, &child);
		else if (tag == DW_TAG_namespace || tag == DW_TAG_module || (into_types && may_hold_functions(tag)))
			walk_scope(w, &child, into_types, depth + 1);
	} while (!w->error && dwarf_siblingof(&child, &child) == 0);
}

static void walk_unit(struct walk *w, Dwarf_CU *unit)
{
	Dwarf_Die die, split;
	uint8_t type;

	if (dwarf_cu_info(unit, NULL, &type, &die, &split, NULL, NULL, NULL) != 0)
		return;
	w->unit_die = die;
	walk_scope(w, type == DW_UT_skeleton && split.addr ? &split : &die, types_hold_code(&die), 0);
}

struct assigned {
	Dwarf_CU *unit;
	struct symbol_want *want;
};

static int by_unit(const void *a, const void *b)
{
	const struct assigned *x = a, *y = b;

	if (x->unit != y->unit)
		return (uintptr_t)x->unit < (uintptr_t)y->unit ? -1 : 1;
	return x->want->address < y->want->address ? -1 : x->want->address > y->want->address;
}

/* Gives every want to its unit and walks each unit that has some. */
static int walk_units(struct walk *w, struct symbol_want *wants, size_t n_wants)
{
	struct assigned *assigned = malloc((n_wants + 1) * sizeof(*assigned));
	size_t n = 0;

	w->wants = malloc((n_wants + 1) * sizeof(struct symbol_want *));
	if (!assigned || !w->wants) {
		free(assigned);
		return -ENOMEM;
	}
	for (size_t i = 0; i < n_wants; i++) {
		Dwarf_CU *unit = unit_of(w, wants[i].address);

		if (unit)
			assigned[n++] = (struct assigned){unit, &wants[i]};
	}
	qsort(assigned, n, sizeof(*assigned), by_unit);
	for (size_t first = 0, i = 0; i < n && !w->error; first = i) {
		w->n_wants = 0;
		for (; i < n && assigned[i].unit == assigned[first].unit; i++)
			w->wants[w->n_wants++] = assigned[i].want;
		walk_unit(w, assigned[first].unit);
	}
	free(assigned);
	return w->error;
}

bool debug_info_exists(const struct elf_image *image)
{
	return elf_image_section(image, ".debug_info") || elf_image_section(image, ".zdebug_info");
}

int debug_info_read(const struct elf_image *image, struct pool *pool, struct symbol_want *wants,
	size_t n_wants, bool *ret_any)
{
	struct walk w = {.pool = pool};
	int error;

	*ret_any = false;
	if (!debug_info_exists(image))
		return 0;
	w.dwarf = dwarf_begin_elf(image->elf, DWARF_C_READ, NULL);
	if (!w.dwarf)
		return 0;
	error = find_units(&w, image, wants, n_wants);
	*ret_any = w.n_ranges > 0;
	if (!error && w.n_ranges && n_wants)
		error = walk_units(&w, wants, n_wants);
	free(w.ranges);
	free(w.wants);
	dwarf_end(w.dwarf);
	return error;
}
