/*
 * test_resolve.c - symbols of real files: symbols_program.cc is built in many
 * ways, run, and the addresses it prints are looked up.
 *
 *     test_resolve SYMBOLS_PROGRAM.cc
 *
 * Also: perf maps, demangling, stable ids, and how long big files take.
 */
#include "check.h"

#include "symbol/demangle.h"
#include "symbol/elf_image.h"
#include "symbol/jit.h"
#include "symbol/resolve.h"
#include "symbol/site_id.h"

#include <stdarg.h>
#include <time.h>
#include <unistd.h>

static char folder[] = "/tmp/mms-test-resolve-XXXXXX";
static const char *source;

__attribute__((format(printf, 1, 2))) static int shell(const char *format, ...)
{
	char command[2048];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	return system(command);
}

struct marks {
	uint64_t inlined, template, plain;
};

/* Builds the program as folder/NAME and asks it for its addresses. */
static bool build(const char *compiler, const char *options, const char *name, struct marks *ret)
{
	char line[2048], mark[64];
	unsigned long address;
	FILE *f;

	if (shell("cd %s && %s -O2 %s -o %s %s 2>/dev/null", folder, compiler, options, name, source) != 0)
		return false;
	snprintf(line, sizeof(line), "%s/%s", folder, name);
	f = popen(line, "r");
	REQUIRE(f);
	while (fscanf(f, "%63s 0x%lx", mark, &address) == 2) {
		if (!strcmp(mark, "inlined"))
			ret->inlined = address - 1;
		else if (!strcmp(mark, "template"))
			ret->template = address - 1;
		else
			ret->plain = address - 1;
	}
	return CHECK(pclose(f) == 0);
}

static int by_address(const void *a, const void *b)
{
	const struct symbol_want *x = a, *y = b;

	return x->address < y->address ? -1 : x->address > y->address;
}

struct answer {
	struct pool pool;
	struct symbol_want wants[3];
	enum symbol_level level;
};

static void ask_with(const char *name, struct marks m, const struct symbol_options *options,
	const uint8_t *build_id, size_t length, struct answer *ret)
{
	char path[512];
	uint8_t own[64];
	struct elf_image image;
	struct symbol_module module = {path, build_id, length};

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	*ret = (struct answer){.wants = {{.address = m.inlined}, {.address = m.template}, {.address = m.plain}}};
	qsort(ret->wants, 3, sizeof(ret->wants[0]), by_address);
	if (!build_id && elf_image_open(path, &image) == 0) {
		module.build_id = own;
		module.build_id_length = elf_image_build_id(&image, own);
		elf_image_close(&image);
	}
	CHECK_EQ(symbol_resolve(&module, options, &ret->pool, ret->wants, 3, &ret->level), 0);
}

static void ask(const char *name, struct marks m, struct answer *ret)
{
	const struct symbol_options none = {0};

	ask_with(name, m, &none, NULL, 0, ret);
}

static const struct symbol_want *want(const struct answer *a, uint64_t address)
{
	for (size_t i = 0; i < 3; i++) {
		if (a->wants[i].address == address)
			return &a->wants[i];
	}
	return NULL;
}

static bool ends_with(const char *text, const char *end)
{
	return text && strlen(text) >= strlen(end) && !strcmp(text + strlen(text) - strlen(end), end);
}

static void frame_is(const struct symbol_want *w, size_t i, const char *function, int line)
{
	if (!CHECK(w && i < w->n_frames))
		return;
	CHECK_STR(w->frames[i].function, function);
	if (line) {
		CHECK_EQ(w->frames[i].line, line);
		CHECK(ends_with(w->frames[i].file, "symbols_program.cc") && w->frames[i].file[0] == '/');
	}
}

static void check_full(const char *how, struct marks m, const struct answer *a)
{
	unsigned long before = check_failed;
	const struct symbol_want *w = want(a, m.inlined);

	CHECK_EQ(a->level, SYMBOL_FULL);
	CHECK_EQ(w->n_frames, 3);
	frame_is(w, 0, "shop::Shelf::innermost()", 25);
	frame_is(w, 1, "shop::Shelf::middle()", 26);
	frame_is(w, 2, "shop::Shelf::outer(int)", 31);
	frame_is(want(a, m.template), 0, "unsigned long shop::weigh<long>(long)", 37);
	frame_is(want(a, m.plain), 0, "plain_c_name", 45);
	if (check_failed != before)
		fprintf(stderr, "... in %s\n", how);
}

static void check_names(const char *how, struct marks m, const struct answer *a, enum symbol_level level)
{
	unsigned long before = check_failed;

	CHECK_EQ(a->level, level);
	frame_is(want(a, m.inlined), 0, "shop::Shelf::outer(int)", 0);
	frame_is(want(a, m.template), 0, "unsigned long shop::weigh<long>(long)", 0);
	frame_is(want(a, m.plain), 0, "plain_c_name", 0);
	CHECK(want(a, m.inlined)->n_frames == 1 && !want(a, m.inlined)->frames[0].line);
	if (check_failed != before)
		fprintf(stderr, "... in %s\n", how);
}

static void test_compilers(void)
{
	static const char *const compilers[] = {"c++", "clang++-14", "clang++"};
	static const char *const options[] = {"-g", "-gdwarf-4", "-gdwarf-5 -fno-pie -no-pie", "-g -gz",
		"-g -gsplit-dwarf", "-g -ffunction-sections"};
	size_t n = 0;

	for (size_t c = 0; c < sizeof(compilers) / sizeof(compilers[0]); c++) {
		for (size_t o = 0; o < sizeof(options) / sizeof(options[0]); o++) {
			struct marks m;
			struct answer a;
			char how[128];

			if (!build(compilers[c], options[o], "variant", &m))
				continue;
			snprintf(how, sizeof(how), "%s %s", compilers[c], options[o]);
			ask("variant", m, &a);
			check_full(how, m, &a);
			pool_done(&a.pool);
			n++;
		}
	}
	CHECK(n >= 5); /* the system's own compiler at least */
}

static void test_debug_files(void)
{
	struct marks m;
	struct answer a;
	char debug_root[256];
	const char *roots[] = {debug_root, NULL};
	const struct symbol_options options = {.debug_dirs = roots};
	const uint8_t other[20] = {1, 2, 3};

	/* Separate debug file beside the program, found by the debug link. */
	REQUIRE(build("c++", "-g -Wl,--build-id", "linked", &m));
	REQUIRE(shell("cd %s && objcopy --only-keep-debug linked linked.debug && strip linked &&"
		" objcopy --add-gnu-debuglink=linked.debug linked", folder) == 0);
	ask("linked", m, &a);
	check_full("debug link", m, &a);
	pool_done(&a.pool);
	/* The same file under a debug directory, by build id. */
	snprintf(debug_root, sizeof(debug_root), "%s/root", folder);
	REQUIRE(shell("cd %s && id=$(readelf -n linked | sed -n 's/.*Build ID: //p') &&"
		" mkdir -p root/.build-id/$(echo $id | cut -c1-2) &&"
		" mv linked.debug root/.build-id/$(echo $id | cut -c1-2)/$(echo $id | cut -c3-).debug", folder) == 0);
	ask_with("linked", m, &options, NULL, 0, &a);
	check_full("build id", m, &a);
	pool_done(&a.pool);
	/* Without it: stripped, nothing exported. */
	ask("linked", m, &a);
	CHECK(a.level <= SYMBOL_DYNAMIC);
	CHECK_EQ(want(&a, m.inlined)->n_frames, 0);
	pool_done(&a.pool);
	/* Another build is no source of names. */
	ask_with("linked", m, &options, other, sizeof(other), &a);
	CHECK_EQ(a.level, SYMBOL_MISSING);
	CHECK_EQ(want(&a, m.plain)->n_frames, 0);
	pool_done(&a.pool);
	/* A debug link whose file has been changed, without build ids. */
	REQUIRE(build("c++", "-g -Wl,--build-id=none", "noid", &m));
	REQUIRE(shell("cd %s && objcopy --only-keep-debug noid noid.debug && strip noid &&"
		" objcopy --add-gnu-debuglink=noid.debug noid", folder) == 0);
	ask("noid", m, &a);
	check_full("checksum", m, &a);
	pool_done(&a.pool);
	REQUIRE(shell("cd %s && printf x >> noid.debug", folder) == 0);
	ask("noid", m, &a);
	CHECK(a.level < SYMBOL_TABLE);
	pool_done(&a.pool);
}

static void test_tables(void)
{
	struct marks m;
	struct answer a;

	REQUIRE(build("c++", "-g0", "table", &m));
	ask("table", m, &a);
	check_names(".symtab", m, &a, SYMBOL_TABLE);
	pool_done(&a.pool);
	REQUIRE(build("c++", "-g0 -rdynamic", "dynamic", &m) && shell("strip %s/dynamic", folder) == 0);
	ask("dynamic", m, &a);
	check_names(".dynsym", m, &a, SYMBOL_DYNAMIC);
	pool_done(&a.pool);
	/* .gnu_debugdata: the symbol table packed with xz */
	REQUIRE(build("c++", "-g0", "mini", &m));
	REQUIRE(shell("cd %s && objcopy --only-keep-debug mini part && xz -f part && strip mini &&"
		" objcopy --add-section .gnu_debugdata=part.xz mini", folder) == 0);
	ask("mini", m, &a);
	check_names(".gnu_debugdata", m, &a, SYMBOL_TABLE);
	pool_done(&a.pool);
	ask("no such file", m, &a);
	CHECK_EQ(a.level, SYMBOL_MISSING);
	pool_done(&a.pool);
}

/* Every 16th byte of the program's code, in a file. */
enum { N_SWEEP = 200 };

static void sweep(const char *name, uint64_t around, struct pool *pool, struct symbol_want wants[N_SWEEP])
{
	const struct symbol_options none = {0};
	char path[512];
	struct symbol_module module = {path, NULL, 0};
	enum symbol_level level;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	for (uint64_t i = 0; i < N_SWEEP; i++)
		wants[i] = (struct symbol_want){.address = around - 8 * N_SWEEP + 16 * i};
	CHECK_EQ(symbol_resolve(&module, &none, pool, wants, N_SWEEP, &level), 0);
	CHECK_EQ(level, SYMBOL_FULL);
}

/* Compressed or not, with or without a list of ranges: one answer. */
static void test_packed(void)
{
	static const char *const others[] = {"--compress-debug-sections=zlib", "--remove-section=.debug_aranges",
		"--compress-debug-sections=zlib --remove-section=.debug_aranges"};
	static struct symbol_want plain[N_SWEEP], other[N_SWEEP];
	struct pool pool = {0};
	struct marks m;
	size_t n_frames = 0;

	REQUIRE(build("c++", "-g -Wl,--build-id=none", "plain", &m));
	sweep("plain", m.plain, &pool, plain);
	for (size_t o = 0; o < sizeof(others) / sizeof(others[0]); o++) {
		unsigned long before = check_failed;

		REQUIRE(shell("cd %s && objcopy %s plain other", folder, others[o]) == 0);
		sweep("other", m.plain, &pool, other);
		for (size_t i = 0; i < N_SWEEP; i++) {
			CHECK_EQ(other[i].n_frames, plain[i].n_frames);
			for (size_t k = 0; k < plain[i].n_frames && k < other[i].n_frames; k++, n_frames++) {
				CHECK_STR(other[i].frames[k].function, plain[i].frames[k].function);
				CHECK_EQ(other[i].frames[k].line, plain[i].frames[k].line);
			}
		}
		if (check_failed != before)
			fprintf(stderr, "... with %s\n", others[o]);
	}
	CHECK(n_frames > 30);
	pool_done(&pool);
}

/* A file that is cut anywhere, or has wrong bytes, is only less telling. */
static void test_damage(void)
{
	struct marks m;
	struct answer a;
	uint32_t seed = 1;

	REQUIRE(build("c++", "-g -Wl,--build-id=none", "whole0", &m));
	REQUIRE(shell("cd %s && objcopy --compress-debug-sections=zlib whole0 whole1", folder) == 0);
	for (unsigned int i = 0; i < 60; i++) {
		REQUIRE(shell("cd %s && cp whole%u broken && truncate -s $(($(stat -c %%s broken) * %u / 60)) broken",
			folder, i & 1, i) == 0);
		ask("broken", m, &a);
		pool_done(&a.pool);
	}
	for (unsigned int i = 0; i < 100; i++) {
		char path[256];
		FILE *f;
		long size;

		REQUIRE(shell("cd %s && cp whole%u broken", folder, i & 1) == 0);
		snprintf(path, sizeof(path), "%s/broken", folder);
		f = fopen(path, "r+");
		REQUIRE(f && fseek(f, 0, SEEK_END) == 0 && (size = ftell(f)) > 0);
		for (unsigned int k = 0; k < 20; k++) {
			seed = seed * 1664525 + 1013904223;
			fseek(f, (long)(seed % (uint32_t)size), SEEK_SET);
			fputc((int)(seed >> 24), f);
		}
		fclose(f);
		ask("broken", m, &a);
		pool_done(&a.pool);
	}
	CHECK(true);
}

static void test_jit(void)
{
	static const char text[] = "1000 20 first\nnonsense\n1010 10 second part\nzz 1 bad\n5000 0 empty\n"
		"7fff00001000 80 LazyCompile:~f /a b.js:1\n1000 8 newer\n9000 10 last";
	struct jit_map *map;
	uint64_t start, end;

	REQUIRE(jit_parse(text, sizeof(text) - 1, &map) == 0);
	CHECK_STR(jit_find(map, 0x1000), "newer");
	CHECK_STR(jit_find(map, 0x1008), "first");
	CHECK_STR(jit_find(map, 0x1015), "second part");
	CHECK(jit_find(map, 0x1020) == NULL && jit_find(map, 0xfff) == NULL && jit_find(map, 0x5000) == NULL);
	CHECK_STR(jit_find(map, 0x7fff0000107f), "LazyCompile:~f /a b.js:1");
	CHECK_STR(jit_find(map, 0x900f), "last");
	jit_range(map, &start, &end);
	CHECK_EQ(start, 0x1000);
	CHECK_EQ(end, 0x7fff00001080);
	jit_close(map);
	CHECK(jit_open(4194305, &map) < 0);
}

static void test_demangle(void)
{
	struct pool pool = {0};
	char deep[20000];

	CHECK_STR(symbol_demangle(&pool, "_ZN3foo3barEi"), "foo::bar(int)");
	CHECK_STR(symbol_demangle(&pool, "_ZN4core3fmt5Write9write_str17h0123456789abcdefE"), "core::fmt::Write::write_str");
	CHECK_STR(symbol_demangle(&pool, "_RNvNtCs1234_7mycrate3foo3bar"), "mycrate::foo::bar");
	CHECK_STR(symbol_demangle(&pool, "malloc@@GLIBC_2.2.5"), "malloc");
	CHECK_STR(symbol_demangle(&pool, "__GI__IO_file_doallocate"), "_IO_file_doallocate");
	CHECK_STR(symbol_demangle(&pool, "main"), "main");
	CHECK_STR(symbol_demangle(&pool, "_Znot mangled"), "_Znot mangled");
	memset(deep, 'P', sizeof(deep) - 1);
	memcpy(deep, "_Z1f", 4);
	deep[sizeof(deep) - 1] = '\0';
	CHECK(strlen(symbol_demangle(&pool, deep)) <= SYMBOL_NAME_MAX);
	pool_done(&pool);
}

static uint64_t id_of(const struct site_frame *frames, size_t n, enum site_owner *ret_owner)
{
	struct site_part parts[16];

	for (size_t i = 0; i < n; i++)
		parts[i] = site_part(&frames[i]);
	*ret_owner = site_owner(parts, n);
	return site_hash(parts, n);
}

static void test_site_id(void)
{
	const char *libc = "/usr/lib/libc.so.6", *app = "/home/a/build/app", *exe = "exe";
	const struct site_frame first[] = {
		{"malloc", NULL, "/opt/libmmscope.so", 0x10, "mmscope"},
		{"operator new(unsigned long)", NULL, "/usr/lib/libstdc++.so.6.0.30", 0x10, "library"},
		{"make(int)", "/home/a/src/make.cc", app, 0x10, exe},
		{"main", "/home/a/src/main.cc", app, 0x10, exe},
		{NULL, NULL, libc, 0x10, "library"},
		{"_start", NULL, app, 0x10, exe},
	};
	const struct site_frame rebuilt[] = {
		{"make(int) [clone .constprop.0]", "/tmp/x/make.cc", "/srv/app", 0x10, exe},
		{"main.cold", "main.cc", "/srv/app", 0x10, exe},
		{"__libc_start_main", "libc-start.c", libc, 0x10, "library"},
		{"_start", NULL, "/srv/app", 0x10, exe},
	};
	const struct site_frame duplicate[] = {{"strdup", NULL, libc, 0x10, "library"}, {"main", NULL, app, 0x10, exe}};
	const struct site_frame dtv[] = {{"_dl_allocate_tls", NULL, "/lib64/ld-linux-x86-64.so.2", 0x10, "loader"},
		{"pthread_create", NULL, libc, 0x10, "library"}, {"main", NULL, app, 0x10, exe}};
	const struct site_frame pool[] = {{NULL, NULL, "/usr/lib/libstdc++.so.6", 0x10, "library"},
		{"call_init", NULL, "/lib64/ld-linux-x86-64.so.2", 0x10, "loader"}};
	enum site_owner owner;
	uint64_t id = id_of(first, 6, &owner);

	CHECK_EQ(owner, SITE_TARGET);
	CHECK_EQ(id_of(rebuilt, 4, &owner), id);
	CHECK(id_of(rebuilt, 1, &owner) != id && id_of(rebuilt + 1, 1, &owner) != id);
	/* Baselines hold such ids: this number may not change. */
	CHECK_EQ(id, 0x793c0bfc741dbe57);
	/* Without a name two places of one library are two. */
	CHECK(id_of(&(struct site_frame){NULL, NULL, app, 0x10, exe}, 1, &owner) !=
		id_of(&(struct site_frame){NULL, NULL, app, 0x20, exe}, 1, &owner));
	id_of(duplicate, 2, &owner);
	CHECK_EQ(owner, SITE_TARGET);
	id_of(dtv, 3, &owner);
	CHECK_EQ(owner, SITE_LOADER);
	id_of(pool, 2, &owner);
	CHECK_EQ(owner, SITE_LIBSTDCXX);
	id_of(first, 1, &owner);
	CHECK_EQ(owner, SITE_MMSCOPE);
	id_of(NULL, 0, &owner);
	CHECK_EQ(owner, SITE_TARGET);
}

/* Big files, 5,000 addresses spread over their code. */
static void time_big_file(const char *path)
{
	enum { N = 5000 };
	struct symbol_want *wants = calloc(N, sizeof(*wants));
	const struct symbol_options none = {0};
	struct elf_image image;
	uint8_t build_id[64];
	struct symbol_module module = {path, build_id, 0};
	struct timespec start, end;
	enum symbol_level level;
	struct pool pool = {0};
	size_t named = 0, n_segments = 0;
	double took;

	if (elf_image_open(path, &image) != 0) {
		free(wants);
		return;
	}
	module.build_id_length = elf_image_build_id(&image, build_id);
	elf_getphdrnum(image.elf, &n_segments);
	for (size_t i = 0; i < n_segments; i++) {
		GElf_Phdr head;

		if (!gelf_getphdr(image.elf, (int)i, &head) || head.p_type != PT_LOAD || !(head.p_flags & PF_X))
			continue;
		for (uint64_t k = 0; k < N; k++)
			wants[k].address = head.p_vaddr + head.p_filesz / N * k;
	}
	elf_image_close(&image);
	clock_gettime(CLOCK_MONOTONIC, &start);
	CHECK_EQ(symbol_resolve(&module, &none, &pool, wants, N, &level), 0);
	clock_gettime(CLOCK_MONOTONIC, &end);
	for (size_t i = 0; i < N; i++)
		named += wants[i].n_frames > 0;
	took = (double)(end.tv_sec - start.tv_sec) + 1e-9 * (double)(end.tv_nsec - start.tv_nsec);
	fprintf(stderr, "%s: %s, %zu of %d addresses named, %.2f s\n", path, symbol_level_word(level), named, N, took);
	CHECK(took < 20); /* with sanitizers, on a busy machine; 2 s without */
	pool_done(&pool);
	free(wants);
}

/* Of assembly: functions without a size, without a type, inside one another. */
static void test_assembly(void)
{
	const struct {
		uint64_t at;
		const char *function;
	} all[] = {{0x10000, "first"}, {0x1000f, "first"}, {0x10010, "second"}, {0x10017, "second"}, {0x10018, NULL},
		{0x10020, "third"}, {0x1002f, "third"}, {0x10030, "outer"}, {0x10034, "inner"}, {0x10038, "outer"},
		{0x10040, "outer"}, {0x10050, "fourth"}, {0x1005f, "fourth"}, {0x10060, NULL}, {0x1006f, NULL}};
	struct symbol_want wants[sizeof(all) / sizeof(all[0])] = {0};
	size_t n = sizeof(all) / sizeof(all[0]);
	struct symbol_module module;
	struct symbol_options none = {0};
	enum symbol_level level;
	struct pool pool = {0};
	char path[512];

	snprintf(path, sizeof(path), "%s/assembly.so", folder);
	if (shell("printf '.text\n"
			"first: .type first,@function\n.skip 16\n"
			"second: .type second,@function\n.size second,8\n.skip 16\n"
			"third: .skip 16\n"
			"outer: .type outer,@function\n.size outer,32\n.skip 4\n"
			"inner: .type inner,@function\n.size inner,4\n.skip 28\n"
			"fourth: .type fourth,@function\n.skip 16\n"
			"last: .type last,@function\n.skip 16\n' |"
			" gcc -x assembler -shared -nostdlib -Wl,--build-id=none,-Ttext=0x10000 -o %s -", path) != 0) {
		CHECK(!"assembly.so could not be built");
		return;
	}
	for (size_t i = 0; i < n; i++)
		wants[i].address = all[i].at;
	module = (struct symbol_module){path, NULL, 0};
	CHECK_EQ(symbol_resolve(&module, &none, &pool, wants, n, &level), 0);
	CHECK_EQ(level, SYMBOL_TABLE);
	for (size_t i = 0; i < n; i++)
		CHECK_STR(wants[i].n_frames ? wants[i].frames[0].function : "", all[i].function ? all[i].function : "");
	pool_done(&pool);
}

int main(int argc, char **argv)
{
	source = argc > 1 ? argv[1] : NULL;
	if (argc > 2) {
		for (int i = 2; i < argc; i++)
			time_big_file(argv[i]);
		return check_done();
	}
	REQUIRE(source && mkdtemp(folder));
	test_compilers();
	test_debug_files();
	test_tables();
	test_assembly();
	test_packed();
	test_damage();
	test_jit();
	test_demangle();
	test_site_id();
	CHECK_EQ(shell("rm -rf %s", folder), 0);
	return check_done();
}
