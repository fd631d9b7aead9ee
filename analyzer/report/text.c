/*
 * text.c - cleaning, measuring and shortening of text; numbers for people.
 * Pure functions, no output.  Used by render.c and by the verbs.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/alloc.h"
#include "report/text.h"

#define DOTS "..."

size_t text_decode(const char *s, const char *end, uint32_t *ret_code)
{
	static const uint32_t lowest[5] = {0, 0, 0x80, 0x800, 0x10000};
	uint8_t first = (uint8_t)*s;
	size_t n = first < 0x80 ? 1 : first >> 5 == 6 ? 2 : first >> 4 == 14 ? 3 : first >> 3 == 30 ? 4 : 0;
	if (n == 0 || (size_t)(end - s) < n)
		return 0;
	uint32_t code = n == 1 ? first : first & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		uint8_t c = (uint8_t)s[i];
		if (c >> 6 != 2)
			return 0;
		code = code << 6 | (c & 0x3f);
	}
	if (code < lowest[n] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	*ret_code = code;
	return n;
}

/* Columns of a code point: East Asian wide 2, combining 0.  The common
 * ranges; a rare script may be off by a column, which only moves a border. */
static size_t code_width(uint32_t c)
{
	static const uint32_t zero[][2] = {{0x300, 0x36f}, {0x200b, 0x200f}, {0x202a, 0x202e},
		{0x2060, 0x2064}, {0x2066, 0x2069}, {0x20d0, 0x20ff}, {0xfe00, 0xfe0f}, {0xfeff, 0xfeff}};
	static const uint32_t wide[][2] = {{0x1100, 0x115f}, {0x2e80, 0x303e}, {0x3041, 0xa4cf},
		{0xac00, 0xd7a3}, {0xf900, 0xfaff}, {0xfe30, 0xfe6f}, {0xff00, 0xff60},
		{0xffe0, 0xffe6}, {0x1f300, 0x1f64f}, {0x1f680, 0x1faff}, {0x20000, 0x3fffd}};
	if (c < 0x300)
		return 1;
	for (size_t i = 0; i < sizeof(zero) / sizeof(zero[0]); i++)
		if (c >= zero[i][0] && c <= zero[i][1])
			return 0;
	for (size_t i = 0; i < sizeof(wide) / sizeof(wide[0]); i++)
		if (c >= wide[i][0] && c <= wide[i][1])
			return 2;
	return 1;
}

/* Controls, and the marks that turn the direction of a line. */
static bool is_dangerous(uint32_t c)
{
	return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x202a && c <= 0x202e) ||
		(c >= 0x2066 && c <= 0x2069);
}

/* Length in bytes of what is shown as one character at s; *ret_width columns.
 * Not printable: a "?" stands for it, *ret_bad is true. */
static size_t step(const char *s, const char *end, size_t *ret_width, bool *ret_bad)
{
	uint32_t code = 0;
	size_t n = text_decode(s, end, &code);
	*ret_bad = n == 0 || is_dangerous(code);
	*ret_width = *ret_bad ? 1 : code_width(code);
	return n ? n : 1;
}

size_t text_width(const char *s)
{
	const char *end = s + strlen(s);
	size_t total = 0;
	while (s < end) {
		size_t width;
		bool bad;
		s += step(s, end, &width, &bad);
		total += width;
	}
	return total;
}

char *text_clean(const char *s)
{
	const char *end = s + strlen(s);
	char *clean = xmalloc((size_t)(end - s) + 1), *to = clean;
	while (s < end) {
		size_t width;
		bool bad;
		size_t n = step(s, end, &width, &bad);
		if (bad) {
			*to++ = '?';
		} else {
			memcpy(to, s, n);
			to += n;
		}
		s += n;
	}
	*to = 0;
	return clean;
}

char *text_cut_end(const char *s, size_t width)
{
	char *clean = text_clean(s);
	if (text_width(clean) <= width)
		return clean;
	size_t dots = width < strlen(DOTS) ? width : strlen(DOTS);
	size_t keep = width - dots, used = 0;
	char *p = clean, *end = clean + strlen(clean);
	while (p < end) {
		size_t w;
		bool bad;
		size_t n = step(p, end, &w, &bad);
		if (used + w > keep)
			break;
		used += w;
		p += n;
	}
	/* p may stand less than three bytes before the end: one wide character. */
	char *cut = xmalloc((size_t)(p - clean) + dots + 1);
	memcpy(cut, clean, (size_t)(p - clean));
	memcpy(cut + (p - clean), DOTS, dots);
	cut[(size_t)(p - clean) + dots] = 0;
	free(clean);
	return cut;
}

char *text_cut_start(const char *s, size_t width)
{
	char *clean = text_clean(s);
	size_t total = text_width(clean);
	if (total <= width)
		return clean;
	if (width <= strlen(DOTS)) {
		free(clean);
		return text_cut_end(DOTS, width);
	}
	char *p = clean, *end = clean + strlen(clean);
	while (p < end && total > width - strlen(DOTS)) {
		size_t w;
		bool bad;
		p += step(p, end, &w, &bad);
		total -= w;
	}
	char *cut = xasprintf(DOTS "%s", p);
	free(clean);
	return cut;
}

/* Is the '<' or '>' here an operator's name and no bracket? */
static bool is_operator_sign(const char *start, const char *p)
{
	while (p > start && strchr("<>=-", p[-1]))
		p--;
	return p - start >= 8 && memcmp(p - 8, "operator", 8) == 0;
}

/* Copies s without what stands between outermost `open` and `close`. */
static void fold(char *to, const char *s, char open, char close)
{
	const char *start = s;
	int depth = 0;
	for (; *s; s++) {
		bool sign = open == '<' && is_operator_sign(start, s);
		if (*s == close && !sign && depth > 0 && --depth == 0 && s[-1] != open) {
			memcpy(to, DOTS, strlen(DOTS));
			to += strlen(DOTS);
		}
		if (depth == 0)
			*to++ = *s;
		if (*s == open && !sign)
			depth++;
	}
	*to = 0;
}

char *text_cut_function(const char *s, size_t width)
{
	char *clean = text_clean(s);
	static const char brackets[2][2] = {{'(', ')'}, {'<', '>'}};
	for (int i = 0; i < 2 && text_width(clean) > width; i++) {
		/* The dots may be longer than what they stand for: x<y>. */
		char *folded = xmalloc(2 * strlen(clean) + 1);
		fold(folded, clean, brackets[i][0], brackets[i][1]);
		free(clean);
		clean = folded;
	}
	char *cut = text_cut_end(clean, width);
	free(clean);
	return cut;
}

char *text_size(char buffer[TEXT_NUMBER], uint64_t bytes)
{
	static const char units[] = "KMGTPE";
	if (bytes < 1024) {
		snprintf(buffer, TEXT_NUMBER, "%d B", (int)bytes);
		return buffer;
	}
	double value = (double)bytes / 1024;
	int unit = 0;
	while (value >= 1023.95 && unit < 5) {
		value /= 1024;
		unit++;
	}
	snprintf(buffer, TEXT_NUMBER, value < 9.995 ? "%.2f %ciB" : "%.1f %ciB", value, units[unit]);
	return buffer;
}

char *text_count(char buffer[TEXT_NUMBER], uint64_t n)
{
	char digits[TEXT_NUMBER];
	int length = snprintf(digits, sizeof(digits), "%" PRIu64, n);
	char *to = buffer;
	for (int i = 0; i < length; i++) {
		if (i > 0 && (length - i) % 3 == 0)
			*to++ = ',';
		*to++ = digits[i];
	}
	*to = 0;
	return buffer;
}

char *text_duration(char buffer[TEXT_NUMBER], uint64_t ns)
{
	double seconds = (double)ns / 1e9;
	if (ns < 1000)
		snprintf(buffer, TEXT_NUMBER, "%d ns", (int)ns);
	else if (ns < 1000000)
		snprintf(buffer, TEXT_NUMBER, "%.1f us", (double)ns / 1e3);
	else if (ns < 1000000000)
		snprintf(buffer, TEXT_NUMBER, "%.1f ms", (double)ns / 1e6);
	else if (seconds < 119.5)
		snprintf(buffer, TEXT_NUMBER, "%.2f s", seconds);
	else if (seconds < 7200)
		snprintf(buffer, TEXT_NUMBER, "%d min %02d s", (int)(seconds / 60), (int)seconds % 60);
	else
		snprintf(buffer, TEXT_NUMBER, "%" PRIu64 " h %02d min", (uint64_t)(seconds / 3600),
			(int)((uint64_t)seconds / 60 % 60));
	return buffer;
}

char *text_percent(char buffer[TEXT_NUMBER], uint64_t part, uint64_t whole)
{
	if (whole == 0)
		snprintf(buffer, TEXT_NUMBER, "-");
	else
		snprintf(buffer, TEXT_NUMBER, "%.1f %%", 100.0 * (double)part / (double)whole);
	return buffer;
}

const char *text_plural(uint64_t n, const char *one, const char *many)
{
	return n == 1 ? one : many;
}
