/*
 * elf_names.h - function names from the symbol tables of a file, for addresses
 * that are known beforehand.
 */
#ifndef SYMBOL_ELF_NAMES_H
#define SYMBOL_ELF_NAMES_H

#include "elf_image.h"

struct elf_name {
	uint64_t start, end;
	const char *name; /* linker name; lives as long as the image */
	unsigned int rank; /* of several at one address the highest is shown */
};
struct elf_names {
	struct elf_name *names; /* by start */
	size_t n, room;
	uint64_t longest;
	const uint64_t *wanted; /* sorted */
	uint64_t *nearest;      /* where the last function begins that is not behind it */
	size_t n_wanted;
	uint64_t last; /* where the last function of all begins */
};

/* For these addresses, which stay the caller's.  0 or -ENOMEM. */
int elf_names_for(struct elf_names *names, const uint64_t *wanted, size_t n);

/* Adds those functions of .symtab and, if asked, of .dynsym that may cover one
 * of them.  0 or -ENOMEM; *ret_found: there was such a table with functions in it. */
int elf_names_add(struct elf_names *names, const struct elf_image *image, bool dynamic, bool *ret_found);
void elf_names_sort(struct elf_names *names); /* once, after the last add */
void elf_names_done(struct elf_names *names);

/* Linker name of the function that covers the address; NULL: none. */
const char *elf_names_find(const struct elf_names *names, uint64_t address);

#endif
