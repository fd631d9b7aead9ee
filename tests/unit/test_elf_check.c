/* test_elf_check.c - collect/elf_check.c: samples by hand, programs of this machine. */
#include "check.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "collect/elf_check.h"

static enum elf_kind sample(const char *folder, const char *name, char *sanitizer, size_t room)
{
	char path[4096];
	static unsigned char bytes[65536];
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	FILE *f = fopen(path, "rb");
	REQUIRE(f != NULL);
	size_t n = fread(bytes, 1, sizeof(bytes), f);
	fclose(f);
	return elf_check_image(bytes, n, sanitizer, room);
}

static void samples(const char *folder)
{
	char san[64];
	CHECK_EQ(sample(folder, "plain", san, sizeof(san)), ELF_GOOD);
	CHECK_STR(san, "");
	CHECK_EQ(sample(folder, "own_malloc", san, sizeof(san)), ELF_OWN_MALLOC);
	CHECK_EQ(sample(folder, "wants_malloc", san, sizeof(san)), ELF_GOOD);
	CHECK_EQ(sample(folder, "asan", san, sizeof(san)), ELF_GOOD);
	CHECK_STR(san, "libasan.so.8");
	CHECK_EQ(sample(folder, "musl", san, sizeof(san)), ELF_MUSL);
	CHECK_EQ(sample(folder, "static", san, sizeof(san)), ELF_STATIC);
	CHECK_EQ(sample(folder, "elf32", san, sizeof(san)), ELF_32BIT);
	CHECK_EQ(sample(folder, "arm", san, sizeof(san)), ELF_FOREIGN);
	CHECK_EQ(sample(folder, "text", san, sizeof(san)), ELF_FOREIGN);
	CHECK_EQ(sample(folder, "asan", san, 4), ELF_GOOD); /* no room for the name */
	CHECK_STR(san, "");
}

static void write_file(const char *path, const char *text, mode_t mode)
{
	FILE *f = fopen(path, "w");
	REQUIRE(f != NULL);
	fputs(text, f);
	fclose(f);
	REQUIRE(chmod(path, mode) == 0);
}

static void files(void)
{
	char folder[] = "/tmp/mms-elf-XXXXXX", path[256], found[4096], variable[600];
	struct elf_check r;
	REQUIRE(mkdtemp(folder) != NULL);
	snprintf(path, sizeof(path), "%s/mms-script", folder);
	write_file(path, "#! /bin/sh -e\nexit\n", 0755);
	elf_check_file(path, &r);
	CHECK_EQ(r.kind, ELF_GOOD);
	CHECK_STR(r.path, "/bin/sh");

	snprintf(variable, sizeof(variable), "/nonexistent:%s::/bin", folder);
	CHECK_EQ(elf_find("mms-script", variable, found, sizeof(found)), 0);
	CHECK_STR(found, path);
	CHECK_EQ(elf_find("no-such-program-here", variable, found, sizeof(found)), -ENOENT);
	CHECK_EQ(elf_find("/nonexistent/x", variable, found, sizeof(found)), -ENOENT);
	CHECK_EQ(elf_find("sh", NULL, found, sizeof(found)), 0);
	CHECK_EQ(elf_find("sh", "", found, 2), -ENOENT);

	REQUIRE(chmod(path, 0644) == 0);
	CHECK_EQ(elf_find("mms-script", variable, found, sizeof(found)), -EACCES);
	write_file(path, "#!", 0755);
	elf_check_file(path, &r);
	CHECK_EQ(r.kind, ELF_FOREIGN);
	/* An interpreter of itself ends. */
	char loop[300];
	snprintf(loop, sizeof(loop), "#!%s\n", path);
	write_file(path, loop, 0755);
	elf_check_file(path, &r);
	CHECK_EQ(r.kind, ELF_FOREIGN);
	unlink(path);
	elf_check_file(path, &r);
	CHECK_EQ(r.kind, ELF_UNREADABLE);
	elf_check_file(folder, &r);
	CHECK_EQ(r.kind, ELF_FOREIGN);
	rmdir(folder);
	elf_check_file("/proc/self/exe", &r);
	CHECK(r.kind == ELF_GOOD || r.kind == ELF_OWN_MALLOC); /* a sanitizer exports malloc */
}

static void texts(void)
{
	for (int k = ELF_STATIC; k <= ELF_UNREADABLE; k++) {
		CHECK(elf_kind_text((enum elf_kind)k) != NULL);
		CHECK(elf_kind_word((enum elf_kind)k) != NULL);
	}
	CHECK(elf_kind_text(ELF_GOOD) == NULL);
	CHECK(elf_kind_unrecorded(ELF_STATIC) && !elf_kind_unrecorded(ELF_OWN_MALLOC));
}

int main(int argc, char **argv)
{
	REQUIRE(argc == 2);
	samples(argv[1]);
	files();
	texts();
	return check_done();
}
