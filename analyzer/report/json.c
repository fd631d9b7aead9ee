/*
 * json.c - the JSON writer of all verbs; see json.h.
 *
 * The first two levels stand on lines of their own, so that the output can be
 * read with grep and diff; deeper ones are kept on one line.
 */
#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "report/json.h"
#include "report/text.h"

#define LINE_DEPTH 2

/* Bytes that stand for themselves. */
static size_t plain_length(const char *s, const char *end)
{
	const char *p = s;
	while (p < end && (uint8_t)*p >= 0x20 && (uint8_t)*p < 0x7f && *p != '"' && *p != '\\')
		p++;
	return (size_t)(p - s);
}

static void write_string(FILE *out, const char *s, size_t n)
{
	const char *end = s + n;
	putc_unlocked('"', out);
	while (s < end) {
		size_t plain = plain_length(s, end);
		uint32_t c;
		fwrite_unlocked(s, 1, plain, out);
		s += plain;
		if (s == end)
			break;
		size_t length = text_decode(s, end, &c);
		if (length == 0) {
			fputs("\\ufffd", out);
			s++;
			continue;
		}
		if (c == '"' || c == '\\')
			fprintf(out, "\\%c", (int)c);
		else if (c < 0x20 || c == 0x7f)
			fprintf(out, "\\u%04x", c);
		else
			fwrite_unlocked(s, 1, length, out);
		s += length;
	}
	putc_unlocked('"', out);
}

/* Comma, line break and key: everything that stands before a value. */
static void member(struct json *j, const char *key)
{
	assert(j->is_array[j->depth] == !key);
	if (j->has_member[j->depth])
		putc_unlocked(',', j->out);
	if (j->depth < LINE_DEPTH)
		fprintf(j->out, "\n%*s", 2 * (j->depth + 1), "");
	else if (j->has_member[j->depth])
		putc_unlocked(' ', j->out);
	j->has_member[j->depth] = true;
	if (key) {
		write_string(j->out, key, strlen(key));
		fwrite_unlocked(": ", 1, 2, j->out);
	}
}

static void push(struct json *j, bool is_array)
{
	assert(j->depth + 1 < JSON_MAX_DEPTH);
	putc_unlocked(is_array ? '[' : '{', j->out);
	j->depth++;
	j->has_member[j->depth] = false;
	j->is_array[j->depth] = is_array;
}

void json_begin(struct json *j, FILE *out)
{
	memset(j, 0, sizeof(*j));
	j->out = out;
	fputc('{', out);
}

static void close_level(struct json *j)
{
	if (j->has_member[j->depth] && j->depth < LINE_DEPTH)
		fprintf(j->out, "\n%*s", 2 * j->depth, "");
	putc_unlocked(j->is_array[j->depth] ? ']' : '}', j->out);
}

void json_finish(struct json *j)
{
	assert(j->depth == 0);
	close_level(j);
	fputc('\n', j->out);
}

void json_object(struct json *j, const char *key)
{
	member(j, key);
	push(j, false);
}

void json_array(struct json *j, const char *key)
{
	member(j, key);
	push(j, true);
}

void json_end(struct json *j)
{
	assert(j->depth > 0);
	close_level(j);
	j->depth--;
}

void json_bytes(struct json *j, const char *key, const char *value, size_t length)
{
	member(j, key);
	write_string(j->out, value, length);
}

void json_string(struct json *j, const char *key, const char *value)
{
	if (value)
		json_bytes(j, key, value, strlen(value));
	else
		json_null(j, key);
}

void json_u64(struct json *j, const char *key, uint64_t value)
{
	member(j, key);
	fprintf(j->out, "%" PRIu64, value);
}

void json_i64(struct json *j, const char *key, int64_t value)
{
	member(j, key);
	fprintf(j->out, "%" PRId64, value);
}

void json_thousandths(struct json *j, const char *key, int64_t value)
{
	uint64_t n = value < 0 ? -(uint64_t)value : (uint64_t)value;
	member(j, key);
	fprintf(j->out, "%s%" PRIu64 ".%03u", value < 0 ? "-" : "", n / 1000, (unsigned)(n % 1000));
}

void json_double(struct json *j, const char *key, double value)
{
	if (!isfinite(value)) {
		json_null(j, key);
		return;
	}
	member(j, key);
	fprintf(j->out, "%.9g", value);
}

void json_bool(struct json *j, const char *key, bool value)
{
	member(j, key);
	fputs(value ? "true" : "false", j->out);
}

void json_null(struct json *j, const char *key)
{
	member(j, key);
	fputs("null", j->out);
}

void json_amount(struct json *j, const char *key, uint64_t blocks, uint64_t bytes)
{
	json_object(j, key);
	json_u64(j, "blocks", blocks);
	json_u64(j, "bytes", bytes);
	json_end(j);
}

void json_address(struct json *j, const char *key, uint64_t value)
{
	member(j, key);
	fprintf(j->out, "\"0x%" PRIx64 "\"", value);
}
