/*
 * budget.c - see budget.h.
 *
 * A hand-written reader over one text: the cursor knows line and column, and
 * the first thing that does not fit is reported with both.  Reads no files,
 * knows no database; called by check.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/alloc.h"
#include "report/budget.h"

struct cursor {
	const char *at, *line_start, *end; /* end: of the line's rule */
	int line;
	struct budget_error *error;
};

static bool fail_at(struct cursor *c, const char *at, const char *what, const char *about, size_t n)
{
	c->error->line = c->line;
	c->error->column = (int)(at - c->line_start) + 1;
	if (n > 60)
		n = 60;
	snprintf(c->error->text, sizeof(c->error->text), "%s%s%.*s%s", what, about ? " '" : "", (int)n,
		about ? about : "", about ? "'" : "");
	return false;
}

static void skip_blanks(struct cursor *c)
{
	while (c->at < c->end && isspace((unsigned char)*c->at))
		c->at++;
}

static size_t word_length(const struct cursor *c)
{
	size_t n = 0;
	while (c->at + n < c->end && !isspace((unsigned char)c->at[n]) && !strchr("<=>+", c->at[n]))
		n++;
	return n;
}

static char *copy_part(const char *from, size_t n)
{
	char *s = xmalloc(n + 1);
	memcpy(s, from, n);
	s[n] = 0;
	return s;
}

/* site:PATTERN or site:"PATTERN"; operators may stand in names of functions,
 * so an unquoted pattern ends at a blank only. */
static bool parse_pattern(struct cursor *c, struct budget_rule *r)
{
	if (c->end - c->at < 5 || memcmp(c->at, "site:", 5) != 0)
		return true;
	c->at += 5;
	const char *start = c->at;
	if (c->at < c->end && *c->at == '"') {
		const char *close = memchr(start + 1, '"', (size_t)(c->end - start - 1));
		if (!close)
			return fail_at(c, start, "this quote is not closed", NULL, 0);
		r->pattern = copy_part(start + 1, (size_t)(close - start - 1));
		c->at = close + 1;
	} else {
		while (c->at < c->end && !isspace((unsigned char)*c->at))
			c->at++;
		r->pattern = copy_part(start, (size_t)(c->at - start));
	}
	if (!r->pattern[0])
		return fail_at(c, start, "a name of a function is missing after site:", NULL, 0);
	skip_blanks(c);
	return true;
}

static bool parse_measure(struct cursor *c, struct budget_rule *r)
{
	size_t n = word_length(c);
	if (n == 0)
		return fail_at(c, c->at, "a measure is missing here", NULL, 0);
	for (size_t m = 0; m < N_MEASURES; m++) {
		if (strlen(measures[m].name) != n || memcmp(measures[m].name, c->at, n) != 0)
			continue;
		if (r->pattern && m >= N_SITE_MEASURES)
			return fail_at(c, c->at, "not known for single sites:", c->at, n);
		r->measure = (enum measure)m;
		c->at += n;
		skip_blanks(c);
		return true;
	}
	return fail_at(c, c->at, "no such measure:", c->at, n);
}

static bool parse_operator(struct cursor *c, struct budget_rule *r)
{
	size_t left = (size_t)(c->end - c->at);
	if (left >= 2 && memcmp(c->at, "<=", 2) == 0)
		r->operator = BUDGET_AT_MOST;
	else if (left >= 2 && memcmp(c->at, "==", 2) == 0)
		r->operator = BUDGET_EQUAL;
	else if (left >= 1 && *c->at == '<')
		r->operator = BUDGET_BELOW;
	else
		return fail_at(c, c->at, "<=, < or == should stand here", NULL, 0);
	c->at += r->operator == BUDGET_BELOW ? 1 : 2;
	skip_blanks(c);
	return true;
}

/* Unit of a size; 0: none of that name. */
static double unit_factor(const char *unit, size_t n)
{
	static const struct {
		const char *name;
		double factor;
	} units[] = {{"", 1}, {"B", 1}, {"KiB", 1024.0}, {"MiB", 1048576.0}, {"GiB", 1073741824.0},
		{"TiB", 1099511627776.0}, {"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}};
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (strlen(units[i].name) == n && memcmp(units[i].name, unit, n) == 0)
			return units[i].factor;
	return 0;
}

/* Digits with at most one point; own reader, since strtod follows the locale
 * and takes hexadecimal and infinities. */
static bool parse_digits(struct cursor *c, double *ret)
{
	const char *start = c->at;
	double value = 0, scale = 0;
	for (; c->at < c->end; c->at++) {
		if (*c->at == '.' && scale == 0)
			scale = 1;
		else if (isdigit((unsigned char)*c->at))
			value = value * 10 + (*c->at - '0'), scale *= 10;
		else
			break;
	}
	if (c->at == start || !isdigit((unsigned char)c->at[-1]) || *start == '.')
		return fail_at(c, start, "a number should stand here", NULL, 0);
	*ret = scale > 0 ? value / scale : value;
	return true;
}

static bool parse_limit(struct cursor *c, struct budget_rule *r)
{
	double value, factor = 1;
	r->relative = c->at < c->end && *c->at == '+';
	c->at += r->relative;
	const char *number = c->at;
	if (!parse_digits(c, &value))
		return false;
	skip_blanks(c);
	size_t n = (size_t)(c->end - c->at);
	r->percent = n == 1 && *c->at == '%';
	if (r->percent && !r->relative)
		return fail_at(c, number, "per cent need a + : they are added to the baseline", NULL, 0);
	if (r->percent)
		factor = 100;
	else if (measures[r->measure].unit == UNIT_BYTES)
		factor = unit_factor(c->at, n);
	else if (n)
		factor = 0;
	if (factor == 0)
		return fail_at(c, c->at, "no such unit here:", c->at, n);
	if (value * factor > 9e18)
		return fail_at(c, number, "this number is too large", NULL, 0);
	r->limit = (int64_t)(value * factor + 0.5);
	return true;
}

static bool parse_line(struct cursor *c, struct budget_rule *r)
{
	return parse_pattern(c, r) && parse_measure(c, r) && parse_operator(c, r) && parse_limit(c, r);
}

/* End of what counts in a line: before a # that is not in quotes, and before
 * blanks. */
static const char *rule_end(const char *from, const char *to)
{
	bool quoted = false;
	const char *end = from;
	for (; end < to && (quoted || *end != '#'); end++)
		quoted ^= *end == '"';
	while (end > from && isspace((unsigned char)end[-1]))
		end--;
	return end;
}

bool budget_parse(struct budget *b, const char *text, struct budget_error *ret_error)
{
	struct cursor c = {.line = 1, .error = ret_error};
	for (const char *next; *text; text = next, c.line++) {
		const char *newline = strchr(text, '\n');
		const char *line_end = newline ? newline : text + strlen(text);
		next = newline ? newline + 1 : line_end;
		c.at = c.line_start = text;
		c.end = rule_end(text, line_end);
		skip_blanks(&c);
		if (c.at == c.end)
			continue;
		struct budget_rule r = {.line = c.line};
		r.text = copy_part(c.at, (size_t)(c.end - c.at));
		bool ok = parse_line(&c, &r);
		XGROW(b->rule, b->n, b->capacity);
		b->rule[b->n++] = r;
		if (!ok)
			return false;
	}
	return true;
}

void budget_done(struct budget *b)
{
	for (size_t i = 0; i < b->n; i++) {
		free(b->rule[i].text);
		free(b->rule[i].pattern);
	}
	free(b->rule);
	memset(b, 0, sizeof(*b));
}

bool budget_holds(const struct budget_rule *r, int64_t value, int64_t usual, int64_t *ret_limit)
{
	int64_t limit = r->limit;
	if (r->percent)
		limit = usual + (int64_t)((double)usual * (double)r->limit / 10000);
	else if (r->relative)
		limit = usual + r->limit;
	*ret_limit = limit;
	switch (r->operator) {
	case BUDGET_BELOW:
		return value < limit;
	case BUDGET_EQUAL:
		return value == limit;
	default:
		return value <= limit;
	}
}
