/*
 * ctl.c - mmscope ctl: changes what a recording does while it goes on.
 *
 * Asks the collector, through the session's abstract socket; the recorded
 * program gets no signal and no descriptor.  The session is found by the
 * database that it writes, or by the id in it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mmscope/session.h>

#include "report/json.h"
#include "report/options.h"
#include "report/session.h"
#include "report/text.h"
#include "verbs.h"

#define PATIENCE_S 20 /* for an answer: a flush of a large database holds the collector up */

static const struct {
	const char *word;
	uint32_t what;
} words[] = {
	{"status", MMS_REQUEST_STATUS}, {"pause", MMS_REQUEST_PAUSE}, {"resume", MMS_REQUEST_RESUME},
	{"sample", MMS_REQUEST_SAMPLE}, {"exact", MMS_REQUEST_SAMPLE}, {"stop", MMS_REQUEST_STOP},
};

static int complain(const char *about, const char *why)
{
	char *clean = text_clean(about);
	fprintf(stderr, "mmscope ctl: %s: %s\n", clean, why);
	free(clean);
	return VERB_USAGE;
}

static const char *state_word(const struct mms_reply *r)
{
	switch (r->recording) {
	case MMS_RECORDING_OFF:
		return "stopped";
	case MMS_RECORDING_PAUSED:
		return "paused";
	case MMS_RECORDING_SAMPLE:
		return "sample";
	default:
		return r->interval ? "sample" : "exact";
	}
}

static void print_json(const struct mms_reply *r)
{
	struct json j;
	json_begin(&j, stdout);
	json_string(&j, "schema", "mmscope.ctl/1");
	json_string(&j, "state", state_word(r));
	json_u64(&j, "t_ns", r->t_ns);
	if (r->interval)
		json_u64(&j, "sample_bytes", r->interval);
	else
		json_null(&j, "sample_bytes");
	json_u64(&j, "pauses", r->n_pauses);
	json_finish(&j);
}

static void print_text(const struct mms_reply *r)
{
	char size[TEXT_NUMBER], when[TEXT_NUMBER];
	const char *word = state_word(r);
	printf("%s, %s after the start", strcmp(word, "sample") == 0 ? "sampling" :
		strcmp(word, "exact") == 0 ? "recording every block" : word, text_duration(when, r->t_ns));
	if (r->interval)
		printf("; one sample in %s", text_size(size, r->interval));
	putchar('\n');
}

/* 4096, 64K, 1M, 2G. */
static bool parse_size(const char *text, uint64_t *ret)
{
	char *end;
	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	unsigned long long n = strtoull(text, &end, 10);
	unsigned shift = *end == 'K' || *end == 'k' ? 10 : *end == 'M' || *end == 'm' ? 20 : *end == 'G' || *end == 'g' ? 30 : 0;
	end += shift != 0;
	if (errno || *end || n == 0 || n > MMS_INTERVAL_MAX >> shift)
		return false;
	*ret = n << shift;
	return true;
}

/* -1: the request is whole; else the exit status. */
static int make_request(const char *const operand[3], struct mms_request *ret)
{
	size_t i = 0, n = sizeof(words) / sizeof(words[0]);
	while (i < n && strcmp(words[i].word, operand[1]) != 0)
		i++;
	if (i == n)
		return complain(operand[1], "must be status, pause, resume, sample SIZE, exact or stop");
	*ret = (struct mms_request){.magic = MMS_SESSION_MAGIC, .what = words[i].what};
	bool sized = strcmp(operand[1], "sample") == 0;
	if (sized && !operand[2])
		return complain(operand[1], "needs a size (like 512K)");
	if (!sized && operand[2])
		return complain(operand[2], "one argument too many");
	if (sized && !parse_size(operand[2], &ret->value))
		return complain(operand[2], "not a size from 1 to 1024G (like 512K)");
	return -1;
}

int verb_ctl(int argc, char **argv)
{
	int format = FORMAT_TEXT;
	const struct option_spec options[] = {
		OPTION_FORMAT(&format),
		{OPTION_END},
	};
	const struct verb_spec spec = {
		.name = "ctl",
		.operands = "FILE.db WHAT",
		.summary = "Changes a recording that goes on; the program notices nothing. WHAT is\n"
			   "  status         what it does now\n"
			   "  pause, resume  leave out allocations and frees, and go on\n"
			   "  sample SIZE    record one sample in so many bytes (512K) from now on\n"
			   "  exact          record every block from now on\n"
			   "  stop           finish the database; the program goes on unrecorded",
		.example = "    mmscope ctl server.db sample 64K",
		.options = options,
		.min_operands = 2,
		.max_operands = 3,
		.missing = "a database, and what to do with its recording",
	};
	const char *operand[3];
	struct mms_request request;
	struct mms_reply reply;
	int status = options_parse(&spec, argc, argv, operand);
	if (status < 0)
		status = make_request(operand, &request);
	if (status >= 0)
		return status;
	struct session_ask ask = {&request, sizeof(request), &reply, sizeof(reply), PATIENCE_S};
	if (!session_ask("ctl", operand[0], &ask))
		return VERB_USAGE;
	if (reply.error)
		return complain(operand[0], session_error(reply.error));
	if (format == FORMAT_JSON)
		print_json(&reply);
	else
		print_text(&reply);
	return fflush(stdout) == 0 ? VERB_OK : complain("standard output", strerror(errno));
}
