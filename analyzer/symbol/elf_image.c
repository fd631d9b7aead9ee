/*
 * elf_image.c - opening ELF files, their build id, debug link and the packed
 * symbol table of some distributions (.gnu_debugdata, xz).
 *
 * Files are read with pread (ELF_C_READ), never mapped: a file that is cut
 * short while we read it would be SIGBUS in a mapping.  Nothing here trusts a
 * byte of the file; libelf checks offsets against the file's size.
 *
 * Called by debug_file.c and resolve.c.
 */
#include "elf_image.h"

#include <errno.h>
#include <fcntl.h>
#include <lzma.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MINI_MAX_BYTES (64u << 20) /* unpacked .gnu_debugdata */

static bool is_ours(Elf *elf)
{
	GElf_Ehdr head;

	return elf && elf_kind(elf) == ELF_K_ELF && gelf_getclass(elf) == ELFCLASS64 &&
		gelf_getehdr(elf, &head) && head.e_ident[EI_DATA] == ELFDATA2LSB &&
		(head.e_type == ET_EXEC || head.e_type == ET_DYN);
}

int elf_image_open(const char *path, struct elf_image *ret)
{
	struct elf_image image = {.fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)};
	struct stat status;

	if (image.fd < 0)
		return -errno;
	elf_version(EV_CURRENT);
	if (fstat(image.fd, &status) == 0 && S_ISREG(status.st_mode))
		image.elf = elf_begin(image.fd, ELF_C_READ, NULL);
	if (!is_ours(image.elf)) {
		elf_image_close(&image);
		return -ENOEXEC;
	}
	*ret = image;
	return 0;
}

void elf_image_close(struct elf_image *image)
{
	elf_end(image->elf);
	if (image->fd >= 0)
		close(image->fd);
	free(image->memory);
	*image = (struct elf_image){.fd = -1};
}

Elf_Scn *elf_image_section(const struct elf_image *image, const char *name)
{
	Elf_Scn *section = NULL;
	size_t names;

	if (elf_getshdrstrndx(image->elf, &names) != 0)
		return NULL;
	while ((section = elf_nextscn(image->elf, section))) {
		GElf_Shdr head;
		const char *text;

		if (!gelf_getshdr(section, &head) || head.sh_type == SHT_NOBITS || !head.sh_size)
			continue;
		text = elf_strptr(image->elf, names, head.sh_name);
		if (text && !strcmp(text, name))
			return section;
	}
	return NULL;
}

static size_t build_id_in(Elf_Data *data, uint8_t ret[64])
{
	size_t at = 0, next, name, descriptor;
	GElf_Nhdr note;

	while (data && (next = gelf_getnote(data, at, &note, &name, &descriptor)) > 0) {
		const uint8_t *bytes = data->d_buf;

		if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 &&
			!memcmp(bytes + name, "GNU", 4) && note.n_descsz && note.n_descsz <= 64) {
			memcpy(ret, bytes + descriptor, note.n_descsz);
			return note.n_descsz;
		}
		at = next;
	}
	return 0;
}

size_t elf_image_build_id(const struct elf_image *image, uint8_t ret[64])
{
	Elf_Scn *section = elf_image_section(image, ".note.gnu.build-id");
	size_t n_segments = 0, length = section ? build_id_in(elf_getdata(section, NULL), ret) : 0;

	if (length || elf_getphdrnum(image->elf, &n_segments) != 0)
		return length;
	for (size_t i = 0; i < n_segments && !length; i++) {
		GElf_Phdr head;

		if (gelf_getphdr(image->elf, (int)i, &head) && head.p_type == PT_NOTE)
			length = build_id_in(elf_getdata_rawchunk(image->elf, (int64_t)head.p_offset,
				head.p_filesz, head.p_align == 8 ? ELF_T_NHDR8 : ELF_T_NHDR), ret);
	}
	return length;
}

bool elf_image_debuglink(const struct elf_image *image, const char **ret_name, uint32_t *ret_crc)
{
	Elf_Scn *section = elf_image_section(image, ".gnu_debuglink");
	Elf_Data *data = section ? elf_rawdata(section, NULL) : NULL;
	const char *name = data ? data->d_buf : NULL;
	size_t length = name ? strnlen(name, data->d_size) : 0;
	size_t crc = (length + 4) & ~(size_t)3;

	if (!length || crc + 4 > data->d_size || strchr(name, '/'))
		return false;
	memcpy(ret_crc, name + crc, 4);
	*ret_name = name;
	return true;
}

static uint32_t crc_add(uint32_t crc, const uint8_t *p, size_t n)
{
	static uint32_t table[256];

	if (!table[1]) {
		for (uint32_t i = 0; i < 256; i++) {
			uint32_t c = i;

			for (int bit = 0; bit < 8; bit++)
				c = c & 1 ? c >> 1 ^ 0xedb88320u : c >> 1;
			table[i] = c;
		}
	}
	while (n--)
		crc = crc >> 8 ^ table[(crc ^ *p++) & 0xff];
	return crc;
}

bool elf_image_crc_is(const struct elf_image *image, uint32_t want)
{
	uint8_t buffer[16384];
	uint32_t crc = ~0u;
	off_t at = 0;
	ssize_t n;

	if (image->fd < 0)
		return false;
	while ((n = pread(image->fd, buffer, sizeof(buffer), at)) > 0) {
		crc = crc_add(crc, buffer, (size_t)n);
		at += n;
	}
	return n == 0 && ~crc == want;
}

/* Unpacks an xz stream into memory that grows to what is needed. */
static uint8_t *unpack(const uint8_t *packed, size_t size, size_t *ret_size)
{
	for (size_t room = 1u << 20; room <= MINI_MAX_BYTES; room *= 4) {
		uint64_t memory_limit = 256u << 20;
		size_t in = 0, out = 0;
		uint8_t *bytes = malloc(room);
		lzma_ret code;

		if (!bytes)
			return NULL;
		code = lzma_stream_buffer_decode(&memory_limit, 0, NULL, packed, &in, size, bytes, &out, room);
		if (code == LZMA_OK) {
			*ret_size = out;
			return bytes;
		}
		free(bytes);
		if (code != LZMA_BUF_ERROR)
			return NULL;
	}
	return NULL;
}

bool elf_image_mini(const struct elf_image *image, struct elf_image *ret)
{
	Elf_Scn *section = elf_image_section(image, ".gnu_debugdata");
	Elf_Data *data = section ? elf_rawdata(section, NULL) : NULL;
	struct elf_image mini = {.fd = -1};
	size_t size;

	if (!data || !data->d_buf)
		return false;
	mini.memory = unpack(data->d_buf, data->d_size, &size);
	if (mini.memory)
		mini.elf = elf_memory(mini.memory, size);
	if (!is_ours(mini.elf)) {
		elf_image_close(&mini);
		return false;
	}
	*ret = mini;
	return true;
}
