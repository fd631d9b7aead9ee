/*
 * json.h - a strict, streaming JSON writer.
 *
 * Values are written as they come: nothing is kept but the nesting.  A key is
 * given exactly where the surrounding value is an object.  Strings may hold
 * any bytes: what is not UTF-8 becomes U+FFFD.  Numbers are never cut: 64-bit
 * integers are written whole, what is not finite becomes null.
 */
#ifndef REPORT_JSON_H
#define REPORT_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#define JSON_MAX_DEPTH 32

struct json {
	FILE *out;
	int depth;
	bool has_member[JSON_MAX_DEPTH]; /* a comma is due before the next one */
	bool is_array[JSON_MAX_DEPTH];
};

void json_begin(struct json *j, FILE *out); /* opens the outermost object */
void json_finish(struct json *j);           /* closes it, ends the line */

void json_object(struct json *j, const char *key);
void json_array(struct json *j, const char *key);
void json_end(struct json *j); /* of the innermost object or array */

void json_string(struct json *j, const char *key, const char *value); /* NULL: null */
void json_bytes(struct json *j, const char *key, const char *value, size_t length);
void json_u64(struct json *j, const char *key, uint64_t value);
void json_i64(struct json *j, const char *key, int64_t value);
void json_thousandths(struct json *j, const char *key, int64_t value); /* 1234: 1.234 */
void json_double(struct json *j, const char *key, double value);
void json_bool(struct json *j, const char *key, bool value);
void json_null(struct json *j, const char *key);
/* {"blocks": ..., "bytes": ...} */
void json_amount(struct json *j, const char *key, uint64_t blocks, uint64_t bytes);
void json_address(struct json *j, const char *key, uint64_t value); /* "0x..." */

#endif
