/* test_run_options.c - collect/run_options.c: what is taken, what is refused. */
#include "check.h"

#include "collect/run.h"

static enum run_parse parse(struct run_options *o, const char *words)
{
	static char text[512];
	static char *argv[32];
	int argc = 1;
	snprintf(text, sizeof(text), "%s", words);
	argv[0] = (char *)"run";
	for (char *w = strtok(text, " "); w; w = strtok(NULL, " "))
		argv[argc++] = w;
	argv[argc] = NULL;
	return run_options_parse(argc, argv, o);
}

static void sizes(void)
{
	uint64_t v;
	CHECK(run_parse_size("4096", &v) && v == 4096);
	CHECK(run_parse_size("64K", &v) && v == 65536);
	CHECK(run_parse_size("32m", &v) && v == 32u << 20);
	CHECK(run_parse_size("1GiB", &v) && v == 1u << 30);
	CHECK(run_parse_size("2MB", &v) && v == 2u << 20);
	CHECK(!run_parse_size("", &v));
	CHECK(!run_parse_size("-1", &v));
	CHECK(!run_parse_size("1T", &v));
	CHECK(!run_parse_size("1Kx", &v));
	CHECK(!run_parse_size("18446744073709551615K", &v));
}

static void accepted(void)
{
	struct run_options o;
	CHECK_EQ(parse(&o, "-- ls -o x"), RUN_PARSED);
	CHECK_STR(o.command[0], "ls");
	CHECK_STR(o.command[1], "-o");
	CHECK(!o.output && !o.wait && o.policy == MMS_POLICY_BLOCK && o.engine == MMS_ENGINE_OWN &&
		o.follow == MMS_FOLLOW_ALL && o.cow == MMS_COW_AUTO);
	CHECK_EQ(parse(&o, "-o a.db --summary --follow none ls --wait"), RUN_PARSED);
	CHECK(o.wait && o.summary && o.follow == MMS_FOLLOW_NONE);
	CHECK_STR(o.output, "a.db");
	CHECK_STR(o.command[1], "--wait");
	CHECK_EQ(parse(&o, "--follow git* --policy drop --engine libunwind --audit 16 --ring 8M --events "
			   "--any-uid --mode exact --cow off --reach off ls"),
		RUN_PARSED);
	CHECK(o.follow == MMS_FOLLOW_GLOB && o.policy == MMS_POLICY_DROP && o.record_events && o.any_uid &&
		o.engine == MMS_ENGINE_LIBUNWIND && o.cow == MMS_COW_OFF && o.no_reach && o.audit_every == 16 && o.ring_bytes == 8u << 20);
	CHECK_STR(o.follow_glob, "git*");
	CHECK(o.mode == MMS_MODE_EXACT && o.sample_bytes == 0 && o.duration_s == 0);
	CHECK_EQ(parse(&o, "--mode sample --duration 90 ls"), RUN_PARSED);
	CHECK(o.mode == MMS_MODE_SAMPLE && o.sample_bytes == 0 && o.duration_s == 90);
	CHECK_EQ(parse(&o, "--sample 64K --duration 2h ls"), RUN_PARSED);
	CHECK(o.mode == MMS_MODE_SAMPLE && o.sample_bytes == 65536 && o.duration_s == 7200);
	CHECK_EQ(parse(&o, "--help"), RUN_HELP);
}

static void refused(void)
{
	static const char *const wrong[] = {"", "--", "--mode sometimes ls", "--sample 0 ls",
		"--sample x ls", "--sample 2000G ls", "--mode exact --sample 64K ls", "--sample 64K --mode exact ls", "--cow on ls",
		"--reach maybe ls", "--duration 0 ls", "--duration 5x ls",
		"--duration -5 ls", "--duration 99999999h ls", "--policy maybe ls", "--engine gdb ls", "--ring 1 ls", "--ring 1G ls",
		"--ring x ls", "--audit -1 ls", "--nothing ls", "-x ls", "-o"};
	struct run_options o;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		if (!CHECK_EQ(parse(&o, wrong[i]), RUN_WRONG))
			fprintf(stderr, "  with: %s\n", wrong[i]);
}

int main(void)
{
	sizes();
	accepted();
	refused();
	return check_done();
}
