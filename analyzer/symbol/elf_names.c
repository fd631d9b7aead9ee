/*
 * elf_names.c - .symtab and .dynsym as a sorted list of functions.
 *
 * A name counts for an address only when the symbol's size covers it: the
 * nearest exported function before a stripped one is a wrong answer, and no
 * answer is better.  Symbols without size (assembly) reach to the next one.
 * Several names at one address are common (malloc, __libc_malloc): the one a
 * person would write wins: exported over local, fewer leading underscores,
 * shorter, then alphabetical, so that the choice is the same on every run.
 *
 * A big program has 100,000 functions and a recording wants some hundred: what
 * covers none of the wanted addresses is passed over before its name is read.
 *
 * Called by resolve.c.
 */
#include "elf_names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_MAX 20000000u /* more is a damaged file */
#define LOOK_BACK 64        /* functions that may lie inside one another */

static unsigned int rank_of(const GElf_Sym *symbol, const char *name)
{
	unsigned int exported = GELF_ST_BIND(symbol->st_info) != STB_LOCAL;
	unsigned int underscores = (unsigned int)strspn(name, "_");
	bool sized = symbol->st_size != 0, linker = name[0] == '_' && (name[1] == 'Z' || name[1] == 'R');

	if (linker || underscores > 7)
		underscores = linker ? 0 : 7;
	return (unsigned int)sized << 4 | exported << 3 | (7 - underscores);
}

static bool is_function(const GElf_Sym *symbol)
{
	unsigned int type = GELF_ST_TYPE(symbol->st_info);

	return symbol->st_shndx != SHN_UNDEF && symbol->st_value &&
		(type == STT_FUNC || type == STT_GNU_IFUNC ||
			(type == STT_NOTYPE && symbol->st_shndx < SHN_LORESERVE));
}

static int add_name(struct elf_names *names, struct elf_name name)
{
	if (names->n == names->room) {
		size_t room = names->room * 2 + 1024;
		struct elf_name *grown = realloc(names->names, room * sizeof(*grown));

		if (!grown)
			return -ENOMEM;
		names->names = grown;
		names->room = room;
	}
	names->names[names->n++] = name;
	return 0;
}

/* Symbols without a type lie in code sections only: linker marks such as
 * __bss_start are not functions. */
static bool in_code(Elf *elf, const GElf_Sym *symbol)
{
	GElf_Shdr head;

	if (GELF_ST_TYPE(symbol->st_info) != STT_NOTYPE)
		return true;
	return gelf_getshdr(elf_getscn(elf, symbol->st_shndx), &head) && (head.sh_flags & SHF_EXECINSTR);
}

int elf_names_for(struct elf_names *names, const uint64_t *wanted, size_t n)
{
	names->wanted = wanted;
	names->n_wanted = n;
	names->nearest = calloc(n + 1, sizeof(*names->nearest));
	return names->nearest ? 0 : -ENOMEM;
}

/* The first wanted address at or behind `start`; n_wanted: none. */
static size_t first_from(const struct elf_names *names, uint64_t start)
{
	size_t low = 0, high = names->n_wanted;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (names->wanted[middle] < start)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static const char *name_of(Elf *elf, const GElf_Shdr *head, const GElf_Sym *symbol)
{
	const char *name = elf_strptr(elf, head->sh_link, symbol->st_name);

	return !name || !name[0] || name[0] == '$' || name[0] == '.' ? NULL : name;
}

/* Symbols of the table: calls one() for each that is a function. */
struct table {
	struct elf_names *names;
	Elf *elf;
	const GElf_Shdr *head;
	bool found;
};
static int each_function(struct table *t, Elf_Data *data, int (*one)(struct table *, const GElf_Sym *, size_t))
{
	size_t n = data && t->head->sh_entsize ? data->d_size / t->head->sh_entsize : 0;
	int error = 0;

	for (size_t i = 1; i < n && n < NAMES_MAX && !error; i++) {
		GElf_Sym symbol;

		if (gelf_getsym(data, (int)i, &symbol) && is_function(&symbol) && in_code(t->elf, &symbol))
			error = one(t, &symbol, first_from(t->names, symbol.st_value));
	}
	return error;
}

static int note_start(struct table *t, const GElf_Sym *symbol, size_t i)
{
	/* What has no type may be a mark that is no function's. */
	if ((!t->found || GELF_ST_TYPE(symbol->st_info) == STT_NOTYPE) && !name_of(t->elf, t->head, symbol))
		return 0;
	t->found = true;
	if (t->names->last < symbol->st_value)
		t->names->last = symbol->st_value;
	if (t->names->nearest[i] < symbol->st_value)
		t->names->nearest[i] = symbol->st_value;
	return 0;
}

static int take(struct table *t, const GElf_Sym *symbol, size_t i)
{
	uint64_t start = symbol->st_value, end = start + symbol->st_size;
	const struct elf_names *names = t->names;
	const char *name;

	if (i == names->n_wanted || (symbol->st_size ? names->wanted[i] >= end : names->nearest[i] != start))
		return 0;
	name = name_of(t->elf, t->head, symbol);
	return name ? add_name(t->names, (struct elf_name){start, end, name, rank_of(symbol, name)}) : 0;
}

static int add_table(struct elf_names *names, Elf *elf, Elf_Scn *section, const GElf_Shdr *head, bool *ret_found)
{
	struct table t = {.names = names, .elf = elf, .head = head};
	Elf_Data *data = elf_getdata(section, NULL);
	int error;

	each_function(&t, data, note_start);
	error = each_function(&t, data, take);
	*ret_found |= t.found;
	return error;
}

int elf_names_add(struct elf_names *names, const struct elf_image *image, bool dynamic, bool *ret_found)
{
	Elf_Scn *section = NULL;
	int error = 0;

	*ret_found = false;
	while (!error && (section = elf_nextscn(image->elf, section))) {
		GElf_Shdr head;

		if (gelf_getshdr(section, &head) &&
			head.sh_type == (dynamic ? SHT_DYNSYM : SHT_SYMTAB))
			error = add_table(names, image->elf, section, &head, ret_found);
	}
	return error;
}

static int by_start(const void *a, const void *b)
{
	const struct elf_name *x = a, *y = b;
	size_t lx, ly;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	if (x->rank != y->rank)
		return x->rank < y->rank ? -1 : 1;
	lx = strlen(x->name);
	ly = strlen(y->name);
	return lx != ly ? (lx > ly ? -1 : 1) : strcmp(y->name, x->name);
}

/* A function without size ends behind the last wanted address that it is the
 * nearest to: up to the next that another one begins before.  The last of all
 * has no end. */
static uint64_t end_of(const struct elf_names *names, uint64_t start)
{
	size_t i = first_from(names, start);

	if (i == names->n_wanted || names->nearest[i] != start || start == names->last)
		return start;
	while (i + 1 < names->n_wanted && !names->nearest[i + 1])
		i++;
	return names->wanted[i] + 1;
}

void elf_names_sort(struct elf_names *names)
{
	if (names->n)
		qsort(names->names, names->n, sizeof(*names->names), by_start);
	for (size_t i = 0; i < names->n; i++) {
		struct elf_name *name = &names->names[i];

		if (name->end <= name->start)
			name->end = end_of(names, name->start);
		if (name->end > name->start && name->end - name->start > names->longest)
			names->longest = name->end - name->start;
	}
}

void elf_names_done(struct elf_names *names)
{
	free(names->names);
	free(names->nearest);
	*names = (struct elf_names){0};
}

const char *elf_names_find(const struct elf_names *names, uint64_t address)
{
	size_t low = 0, high = names->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (names->names[middle].start <= address)
			low = middle + 1;
		else
			high = middle;
	}
	for (size_t i = low, tries = 0; i-- > 0 && tries < LOOK_BACK; tries++) {
		const struct elf_name *name = &names->names[i];

		if (address < name->end)
			return name->name;
		if (address - name->start >= names->longest)
			break;
	}
	return NULL;
}
