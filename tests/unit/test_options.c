/*
 * test_options.c - the option parser of the verbs: every form of a word, and
 * one line for every mistake.
 */
#include <stdarg.h>

#include "check.h"
#include "report/options.h"

static bool flag;
static int64_t number;
static int choice;
static const char *operand[2];

static const struct option_spec options[] = {
	{OPTION_FLAG, "flag", NULL, "a flag", &flag},
	{OPTION_NUMBER, "number", "N", "a number", &number},
	{OPTION_CHOICE, "choice", "one|two|three", "a choice", &choice},
	{OPTION_END},
};
static const struct verb_spec spec = {"test", "A [B]", "Tests.", "    mmscope test x", options, 1, 2,
	"no A given"};

/* Parses the words up to NULL; stderr goes to a string. */
static int parse(char **complaint, ...)
{
	char *argv[16] = {(char *)"test"};
	int argc = 1;
	va_list words;
	va_start(words, complaint);
	while ((argv[argc] = va_arg(words, char *)))
		argc++;
	va_end(words);
	flag = false;
	number = -1;
	choice = 0;
	FILE *real = stderr;
	size_t size = 0;
	stderr = open_memstream(complaint, &size);
	REQUIRE(stderr);
	int status = options_parse(&spec, argc, argv, operand);
	fclose(stderr);
	stderr = real;
	return status;
}

#define PARSE(...) parse(&complaint, __VA_ARGS__, (char *)NULL)

static void check_refused(int status, char *complaint, const char *says)
{
	CHECK_EQ(status, 2);
	CHECK(strncmp(complaint, "mmscope test: ", 14) == 0);
	CHECK(strstr(complaint, says) != NULL);
	/* One line, and the last character ends it. */
	CHECK(strchr(complaint, '\n') == complaint + strlen(complaint) - 1);
	free(complaint);
}

static void test_good(void)
{
	char *complaint;
	CHECK_EQ(PARSE("a.db"), -1);
	CHECK_STR(operand[0], "a.db");
	CHECK_STR(operand[1], NULL);
	free(complaint);
	CHECK_EQ(PARSE("--number", "12", "a", "--choice=three", "b", "--flag"), -1);
	CHECK_EQ(number, 12);
	CHECK_EQ(choice, 2);
	CHECK(flag);
	CHECK_STR(operand[1], "b");
	free(complaint);
	CHECK_EQ(PARSE("--", "--flag"), -1);
	CHECK_STR(operand[0], "--flag");
	CHECK(!flag);
	free(complaint);
	CHECK_EQ(PARSE("-"), -1);
	CHECK_STR(operand[0], "-");
	free(complaint);
	CHECK_EQ(PARSE("--number=9223372036854775807", "a"), -1);
	CHECK_EQ(number, INT64_MAX);
	free(complaint);
}

static void test_refused(void)
{
	char *complaint;
	int status = PARSE("a", "b", "c");
	check_refused(status, complaint, "'c'");
	status = PARSE("--flag");
	check_refused(status, complaint, "no A given");
	status = PARSE("--nonsense", "a");
	check_refused(status, complaint, "unknown option '--nonsense'");
	status = PARSE("-x", "a");
	check_refused(status, complaint, "unknown option '-x'");
	status = PARSE("--fl", "a");
	check_refused(status, complaint, "unknown option '--fl'");
	status = PARSE("--flag=1", "a");
	check_refused(status, complaint, "takes no value");
	status = PARSE("a", "--number");
	check_refused(status, complaint, "needs a value");
	status = PARSE("--number", "12x", "a");
	check_refused(status, complaint, "takes a number, not '12x'");
	status = PARSE("--number", "-1", "a");
	check_refused(status, complaint, "not '-1'");
	status = PARSE("--number", " 1", "a");
	check_refused(status, complaint, "takes a number");
	status = PARSE("--number=", "a");
	check_refused(status, complaint, "takes a number");
	status = PARSE("--number", "9223372036854775808", "a");
	check_refused(status, complaint, "takes a number");
	status = PARSE("--choice", "four", "a");
	check_refused(status, complaint, "one of one|two|three, not 'four'");
	status = PARSE("--choice", "tw", "a");
	check_refused(status, complaint, "not 'tw'");
	status = PARSE("--choice", "one|two", "a");
	check_refused(status, complaint, "not 'one|two'");
	status = PARSE("--ev\033il\n", "a");
	check_refused(status, complaint, "'--ev?il?'");
}

int main(void)
{
	test_good();
	test_refused();
	return check_done();
}
