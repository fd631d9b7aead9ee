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

static int add_table(struct elf_names *names, Elf *elf, Elf_Scn *section, const GElf_Shdr *head, bool *ret_found)
{
	Elf_Data *data = elf_getdata(section, NULL);
	size_t n = data && head->sh_entsize ? data->d_size / head->sh_entsize : 0;
	int error = 0;

	for (size_t i = 1; i < n && n < NAMES_MAX && !error; i++) {
		GElf_Sym symbol;
		const char *name;

		if (!gelf_getsym(data, (int)i, &symbol) || !is_function(&symbol) || !in_code(elf, &symbol))
			continue;
		name = elf_strptr(elf, head->sh_link, symbol.st_name);
		if (!name || !name[0] || name[0] == '$' || name[0] == '.')
			continue;
		error = add_name(names, (struct elf_name){symbol.st_value, symbol.st_value + symbol.st_size,
			name, rank_of(&symbol, name)});
		*ret_found = true;
	}
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

void elf_names_sort(struct elf_names *names)
{
	uint64_t next = 0;

	if (names->n)
		qsort(names->names, names->n, sizeof(*names->names), by_start);
	for (size_t i = names->n; i-- > 0;) {
		struct elf_name *name = &names->names[i];

		if (name->end <= name->start && next > name->start)
			name->end = next;
		if (i && names->names[i - 1].start != name->start)
			next = name->start;
		if (name->end > name->start && name->end - name->start > names->longest)
			names->longest = name->end - name->start;
	}
}

void elf_names_done(struct elf_names *names)
{
	free(names->names);
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
