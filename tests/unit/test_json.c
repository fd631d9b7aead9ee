/*
 * test_json.c - the JSON writer: escapes, nesting, numbers, as exact texts.
 * That whole answers are JSON is seen by tests/integration, which parse them.
 */
#include <math.h>

#include "check.h"
#include "report/json.h"

/* Runs fill on a writer and gives back the text. */
static char *written(void (*fill)(struct json *j))
{
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);
	REQUIRE(f);
	struct json j;
	json_begin(&j, f);
	fill(&j);
	json_finish(&j);
	fclose(f);
	return text;
}

static void fill_nothing(struct json *j)
{
}

static void fill_nested(struct json *j)
{
	json_string(j, "schema", "mmscope.test/1");
	json_object(j, "empty");
	json_end(j);
	json_array(j, "list");
	json_u64(j, NULL, 1);
	json_object(j, NULL);
	json_null(j, "nothing");
	json_array(j, "inner");
	json_end(j);
	json_end(j);
	json_bool(j, NULL, true);
	json_end(j);
	json_bool(j, "last", false);
}

static void fill_strings(struct json *j)
{
	json_string(j, "quotes", "a\"b\\c/d");
	json_string(j, "controls", "\001\b\t\n\f\r\037\177");
	json_string(j, "unicode", "h\xc3\xa9 \xe6\xbc\xa2 \xf0\x9f\x98\x80");
	json_string(j, "broken", "a\xff\xc3(\xed\xa0\x80");
	json_string(j, "none", NULL);
	json_bytes(j, "nul", "a\0b", 3);
	json_string(j, "k\"ey", "v");
}

static void fill_numbers(struct json *j)
{
	json_u64(j, "max", UINT64_MAX);
	json_i64(j, "min", INT64_MIN);
	json_double(j, "third", 1.0 / 3);
	json_double(j, "nan", NAN);
	json_double(j, "inf", -INFINITY);
	json_address(j, "address", 0x7fff12345678);
}

static void test_strings(void)
{
	char *text = written(fill_strings);
	CHECK(strstr(text, "\"quotes\": \"a\\\"b\\\\c/d\",\n") != NULL);
	CHECK(strstr(text, "\"controls\": \"\\u0001\\u0008\\u0009\\u000a\\u000c\\u000d\\u001f\\u007f\",\n") != NULL);
	CHECK(strstr(text, "\"unicode\": \"h\xc3\xa9 \xe6\xbc\xa2 \xf0\x9f\x98\x80\",\n") != NULL);
	CHECK(strstr(text, "\"broken\": \"a\\ufffd\\ufffd(\\ufffd\\ufffd\\ufffd\",\n") != NULL);
	CHECK(strstr(text, "\"none\": null,\n") != NULL);
	CHECK(strstr(text, "\"nul\": \"a\\u0000b\",\n") != NULL);
	CHECK(strstr(text, "\"k\\\"ey\": \"v\"\n") != NULL);
	free(text);
}

static void test_numbers(void)
{
	char *text = written(fill_numbers);
	CHECK(strstr(text, "\"max\": 18446744073709551615,") != NULL);
	CHECK(strstr(text, "\"min\": -9223372036854775808,") != NULL);
	CHECK(strstr(text, "\"third\": 0.333333333,") != NULL);
	CHECK(strstr(text, "\"nan\": null,") != NULL);
	CHECK(strstr(text, "\"inf\": null,") != NULL);
	CHECK(strstr(text, "\"address\": \"0x7fff12345678\"\n") != NULL);
	free(text);
}

int main(void)
{
	char *text = written(fill_nothing);
	CHECK_STR(text, "{}\n");
	free(text);
	text = written(fill_nested);
	CHECK_STR(text, "{\n"
			"  \"schema\": \"mmscope.test/1\",\n"
			"  \"empty\": {},\n"
			"  \"list\": [\n"
			"    1,\n"
			"    {\"nothing\": null, \"inner\": []},\n"
			"    true\n"
			"  ],\n"
			"  \"last\": false\n"
			"}\n");
	free(text);
	test_strings();
	test_numbers();
	return check_done();
}
