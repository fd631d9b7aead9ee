/*
 * test_suppress.c - both syntaxes of suppressions: what is read, what a rule
 * covers, where an error is, and that written rules cover their own stack.
 */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "report/suppress.h"
#include "store/capture.h"

static struct capture_frame frames[] = {
	{.function = "make_item", .file = "/src/item.c", .module = "/srv/bin/prog", .line = 42},
	{.function = "ns::load_all(std::string*)", .file = "/src/load.c", .module = "/srv/lib/libload.so.3", .line = 9},
	{.module = "/usr/lib/libplain.so", .offset = 0x1234},
	{.function = "main", .file = "/src/main.c", .module = "/srv/bin/prog", .line = 7},
};
static const struct capture_stack stack = {.frames = frames, .n = 4};

/* Does the text hold a rule for blocks of the stack? */
static bool covers(const char *text, enum reach reach)
{
	struct suppressions s = {NULL};
	struct suppress_error error = {0};
	if (!CHECK(suppress_parse(&s, text, strlen(text), &error)))
		fprintf(stderr, "%zu:%zu: %s in:\n%s\n", error.line, error.column, error.what, text);
	bool found = suppress_find(&s, &stack, reach) != NULL;
	suppress_done(&s);
	return found;
}

static void test_lsan(void)
{
	CHECK(covers("leak:make_item", REACH_DEFINITE));
	CHECK(covers("# known\n\n  leak:ake_it\r\n", REACH_UNCLASSIFIED));
	CHECK(covers("leak:^make*m$", REACH_DEFINITE));
	CHECK(covers("leak:libload.so", REACH_DEFINITE));
	CHECK(covers("leak:/src/load.c$", REACH_DEFINITE));
	CHECK(covers("leak:nothing\nleak:ns::load_all(", REACH_DEFINITE));
	CHECK(!covers("leak:^ake_item", REACH_DEFINITE));
	CHECK(!covers("leak:make_ite$", REACH_DEFINITE));
	CHECK(!covers("leak:mak?_item", REACH_DEFINITE));
	CHECK(!covers("", REACH_DEFINITE));
}

static void test_valgrind(void)
{
	CHECK(covers("{\n n\n Memcheck:Leak\n fun:make_item\n}", REACH_DEFINITE));
	CHECK(covers("{\n n\n Memcheck:Leak\n fun:malloc\n fun:make_*\n fun:ns::load_all*\n obj:*plain*\n}",
		REACH_DEFINITE));
	CHECK(covers("{\n n\n Memcheck:Leak\n fun:*alloc\n ...\n fun:ma?n\n}", REACH_DEFINITE));
	CHECK(covers("{\n n\n Memcheck,Other:Leak\n ...\n obj:*/libplain.so\n fun:main\n}", REACH_DEFINITE));
	CHECK(covers("{\n n\n Memcheck:Leak\n src:/src/item.c:42\n}", REACH_DEFINITE));
	CHECK(!covers("{\n n\n Memcheck:Leak\n src:/src/item.c:43\n}", REACH_DEFINITE));
	CHECK(!covers("{\n n\n Memcheck:Leak\n fun:main\n}", REACH_DEFINITE));
	CHECK(!covers("{\n n\n Memcheck:Leak\n fun:make_item\n fun:main\n}", REACH_DEFINITE));
	CHECK(!covers("{\n n\n Memcheck:Leak\n ...\n fun:main\n fun:_start\n}", REACH_DEFINITE));
	CHECK(!covers("{\n n\n Memcheck:Param\n write(buf)\n fun:make_item\n}", REACH_DEFINITE));
	CHECK(!covers("{\n n\n Helgrind:Leak\n anything\n fun:make_item\n}", REACH_DEFINITE));
}

static void test_kinds(void)
{
	const char *text = "{\n n\n Memcheck:Leak\n match-leak-kinds: definite, possible\n fun:make_item\n}";
	CHECK(covers(text, REACH_DEFINITE));
	CHECK(covers(text, REACH_POSSIBLE));
	CHECK(!covers(text, REACH_INDIRECT));
	CHECK(!covers(text, REACH_UNCLASSIFIED));
	CHECK(covers("{\n n\n Memcheck:Leak\n match-leak-kinds:all\n fun:make_item\n}", REACH_UNCLASSIFIED));
	CHECK(!covers("{\n n\n Memcheck:Leak\n match-leak-kinds: none\n fun:make_item\n}", REACH_DEFINITE));
}

static void check_error(const char *text, size_t line, size_t column)
{
	struct suppressions s = {NULL};
	struct suppress_error error = {0};
	CHECK(!suppress_parse(&s, text, strlen(text), &error));
	CHECK_EQ(error.line, line);
	CHECK_EQ(error.column, column);
	CHECK(error.what && strlen(error.what) > 10);
	/* What was not read to its end covers nothing. */
	CHECK(suppress_find(&s, &stack, REACH_DEFINITE) == NULL);
	suppress_done(&s);
}

static void test_errors(void)
{
	check_error("race:make_item\n", 1, 1);
	check_error("leak:x\n\n   fun:y\n", 3, 4);
	check_error("  leak:\n", 1, 8);
	check_error("{\n}\n", 2, 1);
	check_error("{\n name\n  Memcheck\n fun:make_item\n}\n", 3, 3);
	check_error("{\n name\n Memcheck:Leak\n\tfunk:make_item\n}\n", 4, 2);
	check_error("{\n name\n Memcheck:Leak\n match-leak-kinds: definite,sure\n fun:make_item\n}\n", 4, 29);
	check_error("{\n name\n Memcheck:Leak\n}\n", 4, 1);
	check_error("{\n name\n Memcheck:Leak\n fun:make_item\n", 4, 1);
	check_error("{", 1, 1);
}

static void test_written(void)
{
	char *lsan = suppress_write_lsan(&stack);
	CHECK_STR(lsan, "leak:^make_item$\n");
	CHECK(covers(lsan, REACH_DEFINITE));
	char *valgrind = suppress_write_valgrind(&stack, "a name", REACH_INDIRECT);
	CHECK_STR(valgrind, "{\n   a name\n   Memcheck:Leak\n   match-leak-kinds: indirect\n   fun:*\n"
		"   fun:make_item\n"
		"   fun:ns::load_all(std::string*)\n   obj:/usr/lib/libplain.so\n   fun:main\n}\n");
	CHECK(covers(valgrind, REACH_INDIRECT));
	CHECK(!covers(valgrind, REACH_REACHABLE));
	free(lsan);
	free(valgrind);
}

static void test_built_in(void)
{
	struct capture_frame inner[] = {{.function = "_IO_file_doallocate", .module = "/lib/libc.so.6"},
		{.function = "puts", .module = "/lib/libc.so.6"}, {.function = "main", .module = "/srv/bin/prog"}};
	const struct capture_stack buffer = {.frames = inner, .n = 3};
	struct suppressions s = {NULL};
	suppress_built_in(&s);
	CHECK(s.n >= 8);
	struct suppress_rule *rule = suppress_find(&s, &buffer, REACH_REACHABLE);
	REQUIRE(rule != NULL);
	CHECK_STR(rule->name, "libc: stdio buffer");
	/* The buffer of a stream that was lost is a leak. */
	CHECK(suppress_find(&s, &buffer, REACH_INDIRECT) == NULL);
	CHECK(suppress_find(&s, &stack, REACH_REACHABLE) == NULL);
	suppress_done(&s);
}

int main(void)
{
	test_lsan();
	test_valgrind();
	test_kinds();
	test_errors();
	test_written();
	test_built_in();
	return check_done();
}
