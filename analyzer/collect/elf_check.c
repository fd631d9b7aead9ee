/*
 * elf_check.c - can this program be recorded?
 *
 * Called by `run` before it becomes the program (warnings, order of
 * LD_PRELOAD) and by the collector about images that never joined (coverage).
 * The file is the user's and may be anything: every offset is checked, and
 * nothing here fails - what cannot be understood is ELF_FOREIGN.
 */
#include "elf_check.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

struct image {
	const uint8_t *bytes;
	size_t size;
};

/* The n bytes at offset, or NULL when the file does not hold them. */
static const void *at(const struct image *im, uint64_t offset, uint64_t n)
{
	if (offset > im->size || n > im->size - offset)
		return NULL;
	return im->bytes + offset;
}

/* The string at offset, or NULL when it has no end. */
static const char *string_at(const struct image *im, uint64_t offset)
{
	if (offset >= im->size)
		return NULL;
	if (!memchr(im->bytes + offset, 0, im->size - offset))
		return NULL;
	return (const char *)im->bytes + offset;
}

static bool segment(const struct image *im, const Elf64_Ehdr *e, uint32_t type, Elf64_Phdr *ret)
{
	for (unsigned i = 0; i < e->e_phnum; i++) {
		const void *p = at(im, e->e_phoff + (uint64_t)i * sizeof(*ret), sizeof(*ret));
		if (!p)
			return false;
		memcpy(ret, p, sizeof(*ret));
		if (ret->p_type == type)
			return true;
	}
	return false;
}

/* File offset of an address of the image; UINT64_MAX when no segment has it. */
static uint64_t file_offset(const struct image *im, const Elf64_Ehdr *e, uint64_t address)
{
	for (unsigned i = 0; i < e->e_phnum; i++) {
		Elf64_Phdr p;
		const void *from = at(im, e->e_phoff + (uint64_t)i * sizeof(p), sizeof(p));
		if (!from)
			break;
		memcpy(&p, from, sizeof(p));
		if (p.p_type == PT_LOAD && address >= p.p_vaddr && address - p.p_vaddr < p.p_filesz)
			return p.p_offset + (address - p.p_vaddr);
	}
	return UINT64_MAX;
}

static bool is_sanitizer(const char *name)
{
	return strncmp(name, "libasan.so", 10) == 0 || strncmp(name, "libtsan.so", 10) == 0 ||
		strncmp(name, "libhwasan.so", 12) == 0;
}

/* Looks through what the image needs for a runtime that must come first. */
static void find_sanitizer(
	const struct image *im, const Elf64_Ehdr *e, const Elf64_Phdr *dynamic, char *ret, size_t room)
{
	uint64_t strings = UINT64_MAX;
	size_t n = dynamic->p_filesz / sizeof(Elf64_Dyn);
	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < n; i++) {
			Elf64_Dyn d;
			const void *from = at(im, dynamic->p_offset + i * sizeof(d), sizeof(d));
			if (!from)
				return;
			memcpy(&d, from, sizeof(d));
			if (d.d_tag == DT_NULL)
				break;
			if (pass == 0 && d.d_tag == DT_STRTAB)
				strings = file_offset(im, e, d.d_un.d_ptr);
			if (pass == 0 || d.d_tag != DT_NEEDED || d.d_un.d_val > im->size)
				continue;
			const char *name = string_at(im, strings + d.d_un.d_val);
			if (name && is_sanitizer(name) && strlen(name) < room) {
				memcpy(ret, name, strlen(name) + 1);
				return;
			}
		}
		if (strings == UINT64_MAX)
			return;
	}
}

static bool defines_malloc(const struct image *im, const Elf64_Shdr *symbols, uint64_t strings)
{
	uint64_t n = symbols->sh_size / sizeof(Elf64_Sym);
	for (uint64_t i = 0; i < n; i++) {
		Elf64_Sym sym;
		const void *from = at(im, symbols->sh_offset + i * sizeof(sym), sizeof(sym));
		if (!from)
			return false;
		memcpy(&sym, from, sizeof(sym));
		/* An undefined symbol with a value is a PLT entry, not a definition. */
		if (sym.st_shndx == SHN_UNDEF)
			continue;
		const char *name = string_at(im, strings + sym.st_name);
		if (name && strcmp(name, "malloc") == 0)
			return true;
	}
	return false;
}

/* An executable that exports its own malloc comes before every library. */
static bool has_own_malloc(const struct image *im, const Elf64_Ehdr *e)
{
	for (unsigned i = 0; i < e->e_shnum; i++) {
		Elf64_Shdr s, strings;
		const void *from = at(im, e->e_shoff + (uint64_t)i * sizeof(s), sizeof(s));
		if (!from)
			return false;
		memcpy(&s, from, sizeof(s));
		if (s.sh_type != SHT_DYNSYM)
			continue;
		from = at(im, e->e_shoff + (uint64_t)s.sh_link * sizeof(strings), sizeof(strings));
		if (!from)
			return false;
		memcpy(&strings, from, sizeof(strings));
		return defines_malloc(im, &s, strings.sh_offset);
	}
	return false;
}

enum elf_kind elf_check_image(const void *bytes, size_t size, char *sanitizer, size_t room)
{
	struct image im = {bytes, size};
	Elf64_Ehdr e;
	Elf64_Phdr p;
	if (room)
		sanitizer[0] = 0;
	if (size < EI_NIDENT || memcmp(bytes, ELFMAG, SELFMAG) != 0)
		return ELF_FOREIGN;
	if (im.bytes[EI_CLASS] == ELFCLASS32)
		return ELF_32BIT;
	if (size < sizeof(e))
		return ELF_FOREIGN;
	memcpy(&e, bytes, sizeof(e));
	if (e.e_machine != EM_X86_64 || e.e_phentsize != sizeof(Elf64_Phdr))
		return ELF_FOREIGN;
	if (!segment(&im, &e, PT_INTERP, &p))
		return ELF_STATIC;
	const char *interpreter = string_at(&im, p.p_offset);
	if (interpreter && strstr(interpreter, "ld-musl"))
		return ELF_MUSL;
	if (segment(&im, &e, PT_DYNAMIC, &p) && room)
		find_sanitizer(&im, &e, &p, sanitizer, room);
	return has_own_malloc(&im, &e) ? ELF_OWN_MALLOC : ELF_GOOD;
}

int elf_find(const char *file, const char *path_variable, char *ret, size_t room)
{
	int error = -ENOENT;
	struct stat st;
	if (strchr(file, '/')) {
		if (snprintf(ret, room, "%s", file) >= (int)room)
			return -ENAMETOOLONG;
		if (stat(file, &st) < 0 || access(file, X_OK) < 0)
			return -errno;
		return S_ISREG(st.st_mode) ? 0 : -EACCES;
	}
	const char *p = path_variable ? path_variable : "/bin:/usr/bin";
	for (;;) {
		size_t n = strcspn(p, ":");
		int length = snprintf(ret, room, "%.*s%s%s", (int)n, p, n ? "/" : "./", file);
		if (length < (int)room && stat(ret, &st) == 0 && S_ISREG(st.st_mode)) {
			if (access(ret, X_OK) == 0)
				return 0;
			error = -EACCES;
		}
		if (!p[n])
			return error;
		p += n + 1;
	}
}

/* The interpreter of a script; false when the first line names none. */
static bool script_interpreter(const char *line, size_t size, char *ret, size_t room)
{
	const char *end = memchr(line, '\n', size);
	if (!end)
		end = line + size;
	line += 2;
	while (line < end && (*line == ' ' || *line == '\t'))
		line++;
	const char *stop = line;
	while (stop < end && *stop && *stop != ' ' && *stop != '\t' && *stop != '\r')
		stop++;
	if (stop == line || (size_t)(stop - line) >= room)
		return false;
	memcpy(ret, line, (size_t)(stop - line));
	ret[stop - line] = 0;
	return true;
}

/* Rights that the program has and we have not: the loader then ignores us. */
static bool gains_rights(int fd, const struct stat *st)
{
	if ((st->st_mode & S_ISUID) && st->st_uid != geteuid())
		return true;
	if ((st->st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) && st->st_gid != getegid())
		return true;
	return geteuid() != 0 && fgetxattr(fd, "security.capability", NULL, 0) > 0;
}

/* Judges an open file.  True: it is a script, whose interpreter stands in
 * ret->path and is to be judged next. */
static bool check_fd(int fd, struct elf_check *ret)
{
	struct stat st;
	ret->kind = ELF_FOREIGN;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size < 4)
		return false;
	void *bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (bytes == MAP_FAILED)
		return false;
	bool again = false;
	if (memcmp(bytes, "#!", 2) == 0) {
		size_t n = st.st_size < 256 ? (size_t)st.st_size : 256;
		again = script_interpreter(bytes, n, ret->path, sizeof(ret->path));
	} else {
		ret->kind = elf_check_image(bytes, (size_t)st.st_size, ret->sanitizer, sizeof(ret->sanitizer));
		if (ret->kind != ELF_FOREIGN && gains_rights(fd, &st))
			ret->kind = ELF_SETUID;
	}
	munmap(bytes, (size_t)st.st_size);
	return again;
}

void elf_check_file(const char *path, struct elf_check *ret)
{
	memset(ret, 0, sizeof(*ret));
	snprintf(ret->path, sizeof(ret->path), "%s", path);
	/* The kernel follows five interpreters of interpreters. */
	for (int i = 0; i < 6; i++) {
		int fd = open(ret->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		if (fd < 0) {
			ret->kind = ELF_UNREADABLE;
			return;
		}
		bool again = check_fd(fd, ret);
		close(fd);
		if (!again)
			return;
	}
}

static const struct {
	const char *word;
	const char *text;
	bool unrecorded;
} kinds[] = {
	[ELF_GOOD] = {"good", NULL, false},
	[ELF_STATIC] = {"static", "is statically linked and cannot be recorded", true},
	[ELF_32BIT] = {"32bit", "is a 32-bit program and cannot be recorded", true},
	[ELF_FOREIGN] = {"foreign", "is no x86-64 program and cannot be recorded", true},
	[ELF_MUSL] = {"musl", "uses the musl library and cannot be recorded", true},
	[ELF_SETUID] = {"setuid", "runs with other rights (set-uid) and cannot be recorded", true},
	[ELF_OWN_MALLOC] = {"own_malloc", "brings its own malloc: its heap cannot be recorded", false},
	[ELF_UNREADABLE] = {"unreadable", "cannot be read: whether it can be recorded is not known", false},
};

const char *elf_kind_text(enum elf_kind kind)
{
	return kinds[kind].text;
}

const char *elf_kind_word(enum elf_kind kind)
{
	return kinds[kind].word;
}

bool elf_kind_unrecorded(enum elf_kind kind)
{
	return kinds[kind].unrecorded;
}
