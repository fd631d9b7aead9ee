/*
 * packed.c - compressed DWARF, unpacked as far as it is read.
 *
 * The debug files of distributions are compressed, and libdw unpacks each
 * section whole when it begins: 80 ms for the C library, of which a recording
 * wants a function or two.  Here is an image of such a file in memory in which
 * all stands unpacked, at first without its bytes:
 *
 *     file header, section headers, their names | .debug_info ... | .debug_line ...
 *                  there                          no access: unpacked up to the
 *                                                 page that is touched
 *
 * The first touch of a page is a SIGSEGV; the handler unpacks from where it
 * stopped until that page is there, and the instruction is run again.  A stream
 * that does not unpack leaves zeros, and what does not decode is not there.
 *
 * Law: only in the process of debug_child.c, which has one thread, touches the
 * image from libdw alone (never while it allocates) and leaves with _exit.
 */
#include "packed.h"

#include <elfutils/libdw.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <zlib.h>

#define PAGE 4096ull
#define STEP (32ull << 10) /* unpacked at once */
#define RATIO_MAX 1032     /* of deflate */
/* What stands before the deflated bytes.  The checksum behind them is known
 * only when all is unpacked, so it is not computed. */
#define ZLIB_HEAD 2
#define SECTIONS_MAX 32

struct packed {
	uint8_t *out;
	size_t size, open; /* bytes; of these accessible, in whole pages */
	z_stream stream;
};

static struct packed all[SECTIONS_MAX];
static size_t n_all;

static uint64_t to_pages(uint64_t n)
{
	return (n + PAGE - 1) & ~(PAGE - 1);
}

/* Makes the byte at `at` readable. */
static bool unpack_to(struct packed *p, size_t at)
{
	size_t end = (at / STEP + 1) * STEP;
	int code = Z_OK;

	if (end > to_pages(p->size))
		end = to_pages(p->size);
	if (mprotect(p->out + p->open, end - p->open, PROT_READ | PROT_WRITE) != 0)
		return false;
	p->open = end;
	p->stream.avail_out = (uInt)((uint8_t *)p->out + (end < p->size ? end : p->size) - p->stream.next_out);
	while (code == Z_OK && p->stream.avail_out)
		code = inflate(&p->stream, Z_SYNC_FLUSH);
	return true;
}

static void touched(int sig, siginfo_t *info, void *context)
{
	uint8_t *at = info->si_addr;

	(void)context;
	for (size_t i = 0; i < n_all; i++)
		if (at >= all[i].out + all[i].open && at < all[i].out + to_pages(all[i].size) &&
			unpack_to(&all[i], (size_t)(at - all[i].out)))
			return;
	signal(sig, SIG_DFL); /* a real one: it comes again */
}

static bool is_dwarf(const char *name)
{
	return name && !strncmp(name, ".debug_", 7);
}

/* Where the section will lie; false: it cannot be done. */
static bool plan(Elf_Scn *section, Elf64_Shdr *head, uint64_t *end)
{
	Elf64_Chdr *packing = head->sh_flags & SHF_COMPRESSED ? elf64_getchdr(section) : NULL;

	if (head->sh_size > UINT32_MAX)
		return false;
	if (head->sh_flags & SHF_COMPRESSED) {
		if (!packing || packing->ch_type != ELFCOMPRESS_ZLIB || n_all == SECTIONS_MAX ||
			packing->ch_size / RATIO_MAX > head->sh_size || packing->ch_size > UINT32_MAX)
			return false;
		*end = to_pages(*end);
		all[n_all++].size = packing->ch_size;
		head->sh_size = packing->ch_size;
		head->sh_addralign = packing->ch_addralign;
	}
	head->sh_offset = *end;
	*end += packing ? to_pages(head->sh_size) : (head->sh_size + 7) & ~7ull;
	return true;
}

/* Our copy of the section headers.  Returns the bytes of the image; 0: not for us. */
static uint64_t plan_all(Elf *elf, size_t names, Elf64_Shdr *heads, size_t n)
{
	uint64_t end = sizeof(Elf64_Ehdr) + n * sizeof(*heads);
	Elf_Scn *section = NULL;

	while ((section = elf_nextscn(elf, section))) {
		size_t i = elf_ndxscn(section);
		Elf64_Shdr *head = elf64_getshdr(section);
		const char *name = head ? elf_strptr(elf, names, head->sh_name) : NULL;

		/* What lies in another file is found by the name of this one. */
		if (!name || i >= n || !strcmp(name, ".gnu_debugaltlink") || !strcmp(name, ".debug_addr"))
			return 0;
		heads[i] = *head;
		if (head->sh_type == SHT_NOBITS)
			continue;
		if (i != names && !is_dwarf(name))
			heads[i].sh_type = SHT_NOBITS;
		else if (!plan(section, &heads[i], &end))
			return 0;
	}
	return n_all ? end : 0;
}

static bool fill(Elf *elf, uint8_t *memory, Elf64_Shdr *heads)
{
	Elf_Scn *section = NULL;
	size_t k = 0;

	while ((section = elf_nextscn(elf, section))) {
		Elf64_Shdr *head = &heads[elf_ndxscn(section)];
		Elf_Data *bytes = head->sh_type == SHT_NOBITS ? NULL : elf_rawdata(section, NULL);

		if (head->sh_type == SHT_NOBITS)
			continue;
		if (!bytes || !bytes->d_buf)
			return false;
		if (head->sh_flags & SHF_COMPRESSED) {
			struct packed *p = &all[k++];

			p->out = memory + head->sh_offset;
			if (bytes->d_size < sizeof(Elf64_Chdr) + ZLIB_HEAD)
				return false;
			p->stream.next_in = (uint8_t *)bytes->d_buf + sizeof(Elf64_Chdr) + ZLIB_HEAD;
			p->stream.avail_in = (uInt)(bytes->d_size - sizeof(Elf64_Chdr) - ZLIB_HEAD);
			p->stream.next_out = p->out;
			if (inflateInit2(&p->stream, -MAX_WBITS) != Z_OK || mprotect(p->out, to_pages(p->size), PROT_NONE) != 0)
				return false;
			head->sh_flags &= ~(uint64_t)SHF_COMPRESSED;
		} else {
			memcpy(memory + head->sh_offset, bytes->d_buf, bytes->d_size);
		}
	}
	return true;
}

bool packed_open(const struct elf_image *image, struct elf_image *ret)
{
	struct sigaction action = {.sa_sigaction = touched, .sa_flags = SA_SIGINFO};
	Elf64_Ehdr *file = elf64_getehdr(image->elf);
	Elf64_Shdr *heads;
	size_t n, names;
	uint64_t size;
	uint8_t *memory;

	if (!file || elf_getshdrnum(image->elf, &n) != 0 || elf_getshdrstrndx(image->elf, &names) != 0 ||
		n >= SHN_LORESERVE)
		return false;
	heads = calloc(n, sizeof(*heads));
	size = heads ? plan_all(image->elf, names, heads, n) : 0;
	if (!size)
		return false;
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (memory == MAP_FAILED || !fill(image->elf, memory, heads) || sigaction(SIGSEGV, &action, NULL) != 0)
		return false;
	memcpy(memory, file, sizeof(*file));
	((Elf64_Ehdr *)memory)->e_shoff = sizeof(*file);
	((Elf64_Ehdr *)memory)->e_phnum = 0;
	memcpy(memory + sizeof(*file), heads, n * sizeof(*heads));
	*ret = (struct elf_image){.fd = -1, .elf = elf_memory((char *)memory, size)};
	return ret->elf != NULL;
}
