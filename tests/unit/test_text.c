/*
 * test_text.c - widths, cuts and numbers of report/text.c.
 */
#include "check.h"
#include "report/text.h"

static void check_cut(char *got, const char *want, size_t width)
{
	CHECK_STR(got, want);
	CHECK(text_width(got) <= width);
	free(got);
}

static void check_clean(const char *s, const char *want)
{
	char *got = text_clean(s);
	CHECK_STR(got, want);
	free(got);
}

static void test_widths(void)
{
	CHECK_EQ(text_width(""), 0);
	CHECK_EQ(text_width("abc"), 3);
	CHECK_EQ(text_width("h\xc3\xa9llo"), 5);
	CHECK_EQ(text_width("e\xcc\x81"), 1);               /* combining accent */
	CHECK_EQ(text_width("\xe6\xbc\xa2\xe5\xad\x97"), 4); /* two wide characters */
	CHECK_EQ(text_width("\xf0\x9f\x98\x80"), 2);         /* emoji */
	CHECK_EQ(text_width("\xff\xfe"), 2);                 /* one ? each */
	CHECK_EQ(text_width("\xe6\xbc"), 2);                 /* cut in the middle */
}

static void test_cleaning(void)
{
	check_clean("plain", "plain");
	check_clean("a\033[31mb\n\tc", "a?[31mb??c");
	check_clean("\xc0\xaf", "??");           /* overlong slash */
	check_clean("\xed\xa0\x80", "???");      /* surrogate */
	check_clean("\xf4\x90\x80\x80", "????"); /* beyond Unicode */
	check_clean("a\xe2\x80\xae" "b", "a?b"); /* right-to-left override */
	check_clean("\xc2\x9b" "31m", "?31m");   /* C1 control */
	check_clean("\xe6\xbc\xa2", "\xe6\xbc\xa2");
}

static void test_cuts(void)
{
	check_cut(text_cut_end("short", 10), "short", 10);
	check_cut(text_cut_end("exactly ten", 11), "exactly ten", 11);
	check_cut(text_cut_end("a long sentence", 10), "a long ...", 10);
	check_cut(text_cut_end("abcdef", 3), "...", 3);
	check_cut(text_cut_end("abcdef", 1), ".", 1);
	check_cut(text_cut_end("abcdef", 0), "", 0);
	/* A wide character is not halved. */
	check_cut(text_cut_end("\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2", 5), "\xe6\xbc\xa2...", 5);
	check_cut(text_cut_end("a\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2", 5), "a...", 5);
	/* The dots may be longer than the rest they stand for. */
	check_cut(text_cut_end("\xe6\xbc\xa2\xe6\xbc\xa2", 3), "...", 3);
	check_cut(text_cut_start("/usr/src/project/deep/file.c:12", 16), "...eep/file.c:12", 16);
	check_cut(text_cut_start("short", 5), "short", 5);
	check_cut(text_cut_start("longer", 2), "..", 2);
	check_cut(text_cut_start("longer", 0), "", 0);
}

static void test_functions(void)
{
	check_cut(text_cut_function("main", 10), "main", 10);
	check_cut(text_cut_function("f(int, char const*)", 10), "f(...)", 10);
	check_cut(text_cut_function("f()", 3), "f()", 3);
	check_cut(text_cut_function("std::map<int, std::string>::insert(std::pair<int, long>)", 30),
		"std::map<...>::insert(...)", 30);
	check_cut(text_cut_function("bool operator<< <int, long>(std::ostream&, int)", 26),
		"bool operator<< <...>(...)", 26);
	check_cut(text_cut_function("a::operator->(very long parameter list)", 20), "a::operator->(...)", 20);
	check_cut(text_cut_function("x<y>::a_name_that_is_too_long", 12), "x<...>::a...", 12);
	check_cut(text_cut_function("unbalanced<<<<<<((((", 8), "unbal...", 8);
	char name[301];
	memset(name, '<', 300);
	name[300] = 0;
	char *got = text_cut_function(name, 40);
	CHECK(text_width(got) <= 40);
	free(got);
}

static void test_numbers(void)
{
	char b[TEXT_NUMBER];
	CHECK_STR(text_size(b, 0), "0 B");
	CHECK_STR(text_size(b, 1023), "1023 B");
	CHECK_STR(text_size(b, 1024), "1.00 KiB");
	CHECK_STR(text_size(b, 10239), "10.0 KiB");
	CHECK_STR(text_size(b, 1048575), "1.00 MiB");
	CHECK_STR(text_size(b, 72704), "71.0 KiB");
	CHECK_STR(text_size(b, UINT64_MAX), "16.0 EiB");
	CHECK_STR(text_count(b, 0), "0");
	CHECK_STR(text_count(b, 999), "999");
	CHECK_STR(text_count(b, 1000), "1,000");
	CHECK_STR(text_count(b, UINT64_MAX), "18,446,744,073,709,551,615");
	CHECK_STR(text_duration(b, 0), "0 ns");
	CHECK_STR(text_duration(b, 1500), "1.5 us");
	CHECK_STR(text_duration(b, 2500000), "2.5 ms");
	CHECK_STR(text_duration(b, 61250000000), "61.25 s");
	CHECK_STR(text_duration(b, 184000000000), "3 min 04 s");
	CHECK_STR(text_duration(b, 7265000000000), "2 h 01 min");
	CHECK_STR(text_duration(b, UINT64_MAX), "5124095 h 34 min");
	CHECK_STR(text_percent(b, 1, 3), "33.3 %");
	CHECK_STR(text_percent(b, 1, 0), "-");
	CHECK_STR(text_plural(1, "block", "blocks"), "block");
	CHECK_STR(text_plural(0, "block", "blocks"), "blocks");
}

int main(void)
{
	test_widths();
	test_cleaning();
	test_cuts();
	test_functions();
	test_numbers();
	return check_done();
}
