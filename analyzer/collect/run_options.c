/*
 * run_options.c - the options of `mmscope run`.
 *
 * What this version has not is refused by name, so that nobody takes a
 * recording for what it is not.  Called by run.c; fuzzed by tests/fuzz.
 */
#include "run.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collect/drain.h"

enum {
	OPT_WAIT = 256, OPT_SUMMARY, OPT_MODE, OPT_SAMPLE, OPT_FOLLOW, OPT_COW, OPT_DURATION, OPT_PROCESSES, OPT_EVENTS,
	OPT_ANY_UID, OPT_POLICY, OPT_RING, OPT_ENGINE, OPT_AUDIT, OPT_REACH,
	OPT_WORKERS,
};

static const struct option long_options[] = {
	{"output", required_argument, NULL, 'o'},
	{"wait", no_argument, NULL, OPT_WAIT},
	{"summary", no_argument, NULL, OPT_SUMMARY},
	{"mode", required_argument, NULL, OPT_MODE},
	{"sample", required_argument, NULL, OPT_SAMPLE},
	{"follow", required_argument, NULL, OPT_FOLLOW},
	{"cow", required_argument, NULL, OPT_COW},
	{"duration", required_argument, NULL, OPT_DURATION},
	{"processes", required_argument, NULL, OPT_PROCESSES},
	{"reach", required_argument, NULL, OPT_REACH},
	{"events", no_argument, NULL, OPT_EVENTS},
	{"workers", required_argument, NULL, OPT_WORKERS},
	{"any-uid", no_argument, NULL, OPT_ANY_UID},
	{"policy", required_argument, NULL, OPT_POLICY},
	{"ring", required_argument, NULL, OPT_RING},
	{"engine", required_argument, NULL, OPT_ENGINE},
	{"audit", required_argument, NULL, OPT_AUDIT},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

static void print_help(void)
{
	printf("Usage: mmscope run [OPTION...] -- CMD [ARGUMENT...]\n"
	       "\n"
	       "Runs CMD and records what it and all its children do with memory. The exit\n"
	       "status is that of CMD.\n"
	       "\n"
	       "  -o, --output FILE    the database (default: mmscope.CMD.PID.db, here)\n"
	       "      --wait           return when the database is finished\n"
	       "      --summary        the same, and print `mmscope report` at the end\n"
	       "      --mode WHAT      exact (default): every block; sample: some, at little\n"
	       "                       cost, and estimates of all\n"
	       "      --sample SIZE    one sample in so many bytes (default 512K)\n"
	       "      --duration TIME  stop recording after so long (30, 10m, 2h); CMD goes on\n"
	       "      --follow WHICH   children that are recorded: all (default), none, or a\n"
	       "                       pattern for the names of their programs\n"
	       "      --cow WHAT       copy-on-write of forks: auto (default),\n"
	       "                       witness or off\n"
	       "      --reach on|off   at the end of a process, find out which blocks are lost\n"
	       "      --events         keep every single event (large)\n"
	       "      --policy WHAT    when recording cannot keep up: block (default) or drop\n"
	       "      --processes N    list so many processes one by one; old ended ones beyond\n"
	       "                       that are summed up by program (default 4096)\n"
	       "      --ring SIZE      memory between CMD and recorder, at most (default 32M)\n"
	       "      --workers N      threads of the recorder that read (1 to 4; default: one,\n"
	       "                       more when that cannot keep up)\n"
	       "      --any-uid        also record children that change their user id\n"
	       "      --engine NAME    unwinder: own (default) or libunwind\n"
	       "      --audit N        check one stack in N with a full walk\n"
	       "  -h, --help           this text\n"
	       "\n"
	       "Status: that of CMD; 125 mmscope failed, 126 CMD cannot be executed, 127 CMD\n"
	       "was not found.\n"
	       "\n"
	       "Example:\n"
	       "  mmscope run -o ls.db -- ls -l\n"
	       "  mmscope report ls.db\n");
}

static bool wrong(const char *option, const char *value, const char *why)
{
	fprintf(stderr, "mmscope run: --%s %s: %s\n", option, value, why);
	return false;
}

bool run_parse_size(const char *text, uint64_t *ret)
{
	static const char suffix[] = "KMG";
	char *end;
	if (text[0] < '0' || text[0] > '9')
		return false;
	unsigned long long value = strtoull(text, &end, 10);
	unsigned shift = 0;
	if (*end) {
		const char *s = strchr(suffix, *end >= 'a' ? *end - 32 : *end);
		if (!s)
			return false;
		shift = (unsigned)(s - suffix + 1) * 10;
		end++;
		if (strcmp(end, "iB") == 0)
			end += 2;
		else if (*end == 'B')
			end++;
	}
	if (*end || value > UINT64_MAX >> shift)
		return false;
	*ret = (uint64_t)value << shift;
	return true;
}

static bool parse_ring(const char *text, struct run_options *o)
{
	if (!run_parse_size(text, &o->ring_bytes))
		return wrong("ring", text, "not a size (like 8M)");
	if (o->ring_bytes < 2 * MMS_CELL_SIZE || o->ring_bytes > (uint64_t)(MMS_MAX_CELLS - 64) * MMS_CELL_SIZE)
		return wrong("ring", text, "must be between 128K and 60M");
	return true;
}

static bool parse_audit(const char *text, struct run_options *o)
{
	uint64_t n;
	if (!run_parse_size(text, &n) || n > UINT32_MAX)
		return wrong("audit", text, "not a number");
	o->audit_every = (uint32_t)n;
	return true;
}

static bool parse_number(const char *option, const char *text, uint32_t least, uint32_t most, uint32_t *ret)
{
	char why[64];
	uint64_t n;
	snprintf(why, sizeof(why), "not a number from %u to %u", least, most);
	if (!run_parse_size(text, &n) || n < least || n > most)
		return wrong(option, text, why);
	*ret = (uint32_t)n;
	return true;
}

static void parse_follow(const char *text, struct run_options *o)
{
	o->follow = strcmp(text, "all") == 0 ? MMS_FOLLOW_ALL :
		strcmp(text, "none") == 0    ? MMS_FOLLOW_NONE :
					       MMS_FOLLOW_GLOB;
	if (o->follow == MMS_FOLLOW_GLOB)
		o->follow_glob = text;
}

/* One of two words. */
static bool parse_word(
	const char *option, const char *text, const char *one, const char *two, uint32_t *ret)
{
	char why[64];
	if (strcmp(text, one) == 0)
		*ret = 1;
	else if (strcmp(text, two) == 0)
		*ret = 2;
	else {
		snprintf(why, sizeof(why), "must be %s or %s", one, two);
		return wrong(option, text, why);
	}
	return true;
}
_Static_assert(MMS_POLICY_BLOCK == 1 && MMS_POLICY_DROP == 2, "parse_word counts from 1");
_Static_assert(MMS_ENGINE_OWN == 1 && MMS_ENGINE_LIBUNWIND == 2, "parse_word counts from 1");

static bool parse_cow(const char *text, struct run_options *o)
{
	static const char *const words[] = { [MMS_COW_AUTO] = "auto", [MMS_COW_WITNESS] = "witness", [MMS_COW_OFF] = "off" };

	for (uint32_t i = MMS_COW_AUTO; i <= MMS_COW_OFF; i++)
		if (strcmp(text, words[i]) == 0) {
			o->cow = i;
			return true;
		}
	return wrong("cow", text, "must be auto, witness or off");
}

static bool parse_reach(const char *text, struct run_options *o)
{
	uint32_t word;
	if (!parse_word("reach", text, "on", "off", &word))
		return false;
	o->no_reach = word == 2;
	return true;
}

/* A size alone means sampling. */
static bool parse_sample(const char *text, struct run_options *o)
{
	if (!run_parse_size(text, &o->sample_bytes) || o->sample_bytes == 0 || o->sample_bytes > MMS_INTERVAL_MAX)
		return wrong("sample", text, "not a size from 1 to 1024G (like 512K)");
	o->mode = o->mode ? o->mode : MMS_MODE_SAMPLE;
	return o->mode == MMS_MODE_SAMPLE || wrong("sample", text, "does not go with --mode exact");
}

static bool parse_mode(const char *text, struct run_options *o)
{
	if (!parse_word("mode", text, "exact", "sample", &o->mode))
		return false;
	return o->mode == MMS_MODE_SAMPLE || !o->sample_bytes || wrong("mode", text, "does not go with --sample");
}
_Static_assert(MMS_MODE_EXACT == 1 && MMS_MODE_SAMPLE == 2, "parse_word counts from 1");

/* Seconds, or with m or h behind them. */
static bool parse_duration(const char *text, struct run_options *o)
{
	char *end;
	unsigned long n = text[0] >= '0' && text[0] <= '9' ? strtoul(text, &end, 10) : 0;
	unsigned long unit = n == 0 ? 0 : strcmp(end, "h") == 0 ? 3600 : strcmp(end, "m") == 0 ? 60 :
		*end == 0 || strcmp(end, "s") == 0 ? 1 : 0;
	if (unit == 0 || n > 1000000000 / unit)
		return wrong("duration", text, "not a time (like 30, 10m, 2h)");
	o->duration_s = (uint32_t)(n * unit);
	return true;
}

static bool parse_one(int option, const char *text, struct run_options *o)
{
	switch (option) {
	case 'o':
		o->output = text;
		return text[0] || wrong("output", "''", "an empty name");
	case OPT_SUMMARY:
		o->summary = true;
		/* fallthrough */
	case OPT_WAIT:
		o->wait = true;
		return true;
	case OPT_EVENTS:
		o->record_events = true;
		return true;
	case OPT_ANY_UID:
		o->any_uid = true;
		return true;
	case OPT_FOLLOW:
		parse_follow(text, o);
		return true;
	case OPT_POLICY:
		return parse_word("policy", text, "block", "drop", &o->policy);
	case OPT_ENGINE:
		return parse_word("engine", text, "own", "libunwind", &o->engine);
	case OPT_COW:
		return parse_cow(text, o);
	case OPT_REACH:
		return parse_reach(text, o);
	case OPT_RING:
		return parse_ring(text, o);
	case OPT_AUDIT:
		return parse_audit(text, o);
	case OPT_PROCESSES:
		return parse_number("processes", text, 64, 1000000, &o->processes_max);
	case OPT_WORKERS:
		return parse_number("workers", text, 1, LANES_MAX, &o->workers);
	case OPT_MODE:
		return parse_mode(text, o);
	case OPT_SAMPLE:
		return parse_sample(text, o);
	default:
		return parse_duration(text, o);
	}
}

enum run_parse run_options_parse(int argc, char **argv, struct run_options *ret)
{
	*ret = (struct run_options){.follow = MMS_FOLLOW_ALL, .cow = MMS_COW_AUTO, .policy = MMS_POLICY_BLOCK,
		.engine = MMS_ENGINE_OWN};
	optind = 0;
	opterr = 0;
	for (;;) {
		/* "+": what follows the command's name is the command's. ":" tells
		 * a missing argument from an unknown option. */
		int at = optind ? optind : 1;
		int option = getopt_long(argc, argv, "+:o:h", long_options, NULL);
		if (option == -1)
			break;
		if (option == 'h') {
			print_help();
			return RUN_HELP;
		}
		if (option == '?' || option == ':') {
			fprintf(stderr, "mmscope run: %s: %s (mmscope run --help lists the options)\n",
				argv[at], option == ':' ? "needs an argument" : "no such option");
			return RUN_WRONG;
		}
		if (!parse_one(option, optarg, ret))
			return RUN_WRONG;
	}
	if (optind >= argc) {
		fprintf(stderr, "mmscope run: no command given (mmscope run -- CMD...)\n");
		return RUN_WRONG;
	}
	ret->command = argv + optind;
	return RUN_PARSED;
}
