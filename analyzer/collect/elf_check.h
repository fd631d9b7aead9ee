/*
 * elf_check.h - can this program be recorded?
 *
 * Reads the file that is about to be executed, and says what stands in the
 * way of a preloaded library.  A script is followed to its interpreter.
 */
#ifndef COLLECT_ELF_CHECK_H
#define COLLECT_ELF_CHECK_H

#include <stdbool.h>
#include <stddef.h>

enum elf_kind {
	ELF_GOOD = 0,
	ELF_STATIC,     /* no interpreter: nothing is ever preloaded */
	ELF_32BIT,      /* another word size than ours */
	ELF_FOREIGN,    /* another machine, or not ELF at all */
	ELF_MUSL,       /* the loader of another libc */
	ELF_SETUID,     /* runs with other rights: the loader ignores LD_PRELOAD */
	ELF_OWN_MALLOC, /* recorded, but its malloc is not libc's */
	ELF_UNREADABLE, /* may be executed, not read */
};

struct elf_check {
	enum elf_kind kind;
	char path[4096];       /* the file that was judged: the interpreter of a script */
	char sanitizer[64];    /* libasan.so.8 or the like, which must be preloaded first; or "" */
};

/* Judges an image in memory.  Safe for any bytes. */
enum elf_kind elf_check_image(const void *image, size_t size, char *sanitizer, size_t room);

/* Finds the file as execvp would; 0, -ENOENT, or -EACCES: nothing to execute. */
int elf_find(const char *file, const char *path_variable, char *ret, size_t room);

/* Judges the file at path. */
void elf_check_file(const char *path, struct elf_check *ret);

/* One plain sentence without the name of the program; NULL for ELF_GOOD. */
const char *elf_kind_text(enum elf_kind kind);
/* One word, the kind of a coverage row. */
const char *elf_kind_word(enum elf_kind kind);
/* The program itself gives no records. */
bool elf_kind_unrecorded(enum elf_kind kind);

#endif
