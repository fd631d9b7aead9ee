/*
 * elf_image.h - one ELF file, open for its symbols.
 */
#ifndef SYMBOL_ELF_IMAGE_H
#define SYMBOL_ELF_IMAGE_H

#include <gelf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct elf_image {
	int fd; /* -1: from memory */
	Elf *elf;
	void *memory; /* of an image from memory; freed with it */
};

/* Opens a regular file that is a 64-bit ELF object for this machine.  0 or
 * -errno (-ENOEXEC: not such a file); *ret untouched on failure. */
int elf_image_open(const char *path, struct elf_image *ret);
void elf_image_close(struct elf_image *image);

/* The section of that name that has bytes in the file; NULL: none. */
Elf_Scn *elf_image_section(const struct elf_image *image, const char *name);

/* Copies the GNU build id (at most 64 bytes); returns its length, 0: none. */
size_t elf_image_build_id(const struct elf_image *image, uint8_t ret[64]);

/* Name of the separate debug file and the checksum of its bytes. */
bool elf_image_debuglink(const struct elf_image *image, const char **ret_name, uint32_t *ret_crc);
/* The checksum of .gnu_debuglink over the whole file. */
bool elf_image_crc_is(const struct elf_image *image, uint32_t crc);

/* The .gnu_debugdata section unpacked (a small ELF file with .symtab). */
bool elf_image_mini(const struct elf_image *image, struct elf_image *ret);

#endif
