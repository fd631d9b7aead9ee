/*
 * suppress.c - see suppress.h: parser of both syntaxes, and matching.  A
 * suppressions file is written by hand: every error says its line and column.
 * Called by leaks and check; knows no database.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/alloc.h"
#include "report/suppress.h"
#include "store/capture.h"

#define ALL_REACH ((1u << N_REACH) - 1)
#define MAX_PARTS 64 /* of one rule */
#define VALGRIND_PARTS 24 /* more than these it refuses */

/* What libc and the loader keep on purpose, reached through their own data. */
static const char built_in[] =
	"{\nlibc: stdio buffer\nMemcheck:Leak\nmatch-leak-kinds: reachable\nfun:_IO_file_doallocate\n}\n"
	"{\nlibc: locale\nMemcheck:Leak\nmatch-leak-kinds: reachable\n...\nfun:setlocale\n}\n"
	"{\nlibc: character sets\nMemcheck:Leak\nmatch-leak-kinds: reachable\n...\nfun:__gconv_*\n}\n"
	"{\nlibc: time zone\nMemcheck:Leak\nmatch-leak-kinds: reachable\n...\nfun:tzset_internal\n}\n"
	"{\nlibc: name services\nMemcheck:Leak\nmatch-leak-kinds: reachable\n...\nfun:__nss_*\n}\n"
	"{\nlibc: functions at exit\nMemcheck:Leak\nmatch-leak-kinds: reachable\nfun:__new_exitfn\n}\n"
	"{\nloader: modules\nMemcheck:Leak\nmatch-leak-kinds: reachable\nobj:*/ld-linux*\n}\n"
	"{\nloader: messages\nMemcheck:Leak\nmatch-leak-kinds: reachable\nfun:_dlerror_run\n}\n";

struct reader {
	const char *text, *end;       /* of the file */
	const char *line, *line_end;  /* the current one, blanks cut off at both sides */
	const char *line_start;
	size_t number;
	struct suppress_error *error;
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* The next line that says something; false at the end. */
static bool next_line(struct reader *r)
{
	while (r->text < r->end) {
		const char *newline = memchr(r->text, '\n', (size_t)(r->end - r->text));

		r->line_start = r->line = r->text;
		r->line_end = newline ? newline : r->end;
		r->text = newline ? newline + 1 : r->end;
		r->number++;
		while (r->line < r->line_end && is_blank(*r->line))
			r->line++;
		while (r->line_end > r->line && is_blank(r->line_end[-1]))
			r->line_end--;
		if (r->line < r->line_end && *r->line != '#')
			return true;
	}
	r->line_start = r->line = r->line_end = r->end;
	return false;
}

static bool fail(struct reader *r, const char *at, const char *what)
{
	*r->error = (struct suppress_error){r->number ? r->number : 1, (size_t)(at - r->line_start) + 1, what};
	return false;
}

static char *copy(const char *from, const char *to)
{
	size_t n = (size_t)(to - from);
	char *s = xmalloc(n + 1);

	memcpy(s, from, n);
	s[n] = 0;
	return s;
}

/* Begins with the word?  Then *ret is what follows. */
static bool begins(const struct reader *r, const char *word, const char **ret)
{
	size_t n = strlen(word);

	*ret = r->line + n;
	return (size_t)(r->line_end - r->line) >= n && memcmp(r->line, word, n) == 0;
}

static bool line_is(const struct reader *r, const char *word)
{
	const char *rest;
	return begins(r, word, &rest) && rest == r->line_end;
}

static void add_part(struct suppress_rule *rule, enum suppress_part_kind kind, const char *from, const char *to)
{
	XGROW(rule->part, rule->n, rule->capacity);
	rule->part[rule->n++] = (struct suppress_part){kind, copy(from, to)};
}

static struct suppress_rule *add_rule(struct suppressions *s, char *name)
{
	XGROW(s->rule, s->n, s->capacity);
	s->rule[s->n] = (struct suppress_rule){.name = name, .reach = ALL_REACH};
	return &s->rule[s->n++];
}

void suppress_copy(struct suppressions *to, const struct suppressions *from)
{
	for (size_t i = 0; i < from->n; i++) {
		const struct suppress_rule *rule = &from->rule[i];
		struct suppress_rule *new = add_rule(to, xstrdup(rule->name));
		new->lsan = rule->lsan;
		new->no_leak = rule->no_leak;
		new->reach = rule->reach;
		for (size_t k = 0; k < rule->n; k++)
			add_part(new, rule->part[k].kind, rule->part[k].glob, rule->part[k].glob + strlen(rule->part[k].glob));
	}
}

static bool read_lsan(struct suppressions *s, struct reader *r, const char *pattern)
{
	if (pattern == r->line_end)
		return fail(r, pattern, "leak: needs a pattern");
	struct suppress_rule *rule = add_rule(s, copy(r->line, r->line_end));
	bool at_start = *pattern == '^', at_end = r->line_end[-1] == '$';

	/* As a glob over the whole text: the ends are open but for ^ and $. */
	const char *from = pattern + at_start, *to = r->line_end - (at_end && r->line_end - 1 >= from);
	char *inner = copy(from, to), *glob = xasprintf("%s%s%s", at_start ? "" : "*", inner, at_end ? "" : "*");
	add_part(rule, PART_ANY, glob, glob + strlen(glob));
	rule->lsan = true;
	free(inner);
	free(glob);
	return true;
}

/* "definite,possible", "all", "none" */
static bool read_kinds(struct reader *r, const char *at, struct suppress_rule *rule)
{
	rule->reach = 0;
	while (at < r->line_end) {
		while (at < r->line_end && (is_blank(*at) || *at == ','))
			at++;
		const char *from = at;
		while (at < r->line_end && !is_blank(*at) && *at != ',')
			at++;
		char *word = copy(from, at);
		enum reach reach = reach_of_word(word);
		bool all = strcmp(word, "all") == 0, none = strcmp(word, "none") == 0 || !*word;
		free(word);
		if (!all && !none && reach == REACH_UNCLASSIFIED)
			return fail(r, from, "a kind is one of definite, indirect, possible, reachable, all, none");
		rule->reach |= all ? ALL_REACH : none ? 0 : 1u << reach;
	}
	return true;
}

/* "Memcheck,Addrcheck:Leak" */
static bool read_kind(struct reader *r, struct suppress_rule *rule)
{
	const char *colon = memchr(r->line, ':', (size_t)(r->line_end - r->line));

	if (!colon || colon == r->line || colon + 1 == r->line_end)
		return fail(r, r->line, "the second line is TOOL:KIND, as in Memcheck:Leak");
	char *tools = copy(r->line, colon);
	bool memcheck = strstr(tools, "Memcheck") != NULL;
	free(tools);
	rule->no_leak = !memcheck || r->line_end - colon != 5 || memcmp(colon, ":Leak", 5) != 0;
	return true;
}

static bool read_part(struct reader *r, struct suppress_rule *rule)
{
	const char *rest;

	if (rule->n == MAX_PARTS)
		return fail(r, r->line, "too many frames in one rule");
	if (line_is(r, "..."))
		add_part(rule, PART_ANY, r->line, r->line);
	else if (begins(r, "fun:", &rest) && rest < r->line_end)
		add_part(rule, PART_FUNCTION, rest, r->line_end);
	else if (begins(r, "obj:", &rest) && rest < r->line_end)
		add_part(rule, PART_OBJECT, rest, r->line_end);
	else if (begins(r, "src:", &rest) && rest < r->line_end)
		add_part(rule, PART_SOURCE, rest, r->line_end);
	else
		return fail(r, r->line, "a frame is fun:, obj:, src: with a pattern, or ...");
	return true;
}

static bool read_valgrind(struct suppressions *s, struct reader *r)
{
	const char *rest;

	if (!next_line(r) || line_is(r, "}"))
		return fail(r, r->line, "a rule begins with its name");
	struct suppress_rule *rule = add_rule(s, copy(r->line, r->line_end));
	rule->no_leak = true; /* until it is whole */
	if (!next_line(r))
		return fail(r, r->line, "the second line is TOOL:KIND, as in Memcheck:Leak");
	if (!read_kind(r, rule))
		return false;
	/* Other errors may have a line of their own here: Memcheck:Param. */
	bool other = rule->no_leak;
	rule->no_leak = true;
	for (bool first = true; next_line(r); first = false) {
		if (line_is(r, "}")) {
			if (!rule->n && !other)
				return fail(r, r->line, "a rule needs a frame");
			rule->no_leak = other;
			return true;
		}
		bool kinds = first && !other && begins(r, "match-leak-kinds:", &rest);
		if (kinds ? !read_kinds(r, rest, rule) : !(other && first) && !read_part(r, rule))
			return false;
	}
	return fail(r, r->line, "the rule has no end: } is missing");
}

bool suppress_parse(struct suppressions *s, const char *text, size_t size, struct suppress_error *error)
{
	struct reader r = {.text = text, .end = text + size, .line_start = text, .error = error};
	const char *rest;

	while (next_line(&r)) {
		bool good = begins(&r, "leak:", &rest) ? read_lsan(s, &r, rest)
			: line_is(&r, "{") ? read_valgrind(s, &r)
			: fail(&r, r.line, "a rule is leak:PATTERN, or { ... } as Valgrind writes it");
		if (!good)
			return false;
	}
	return true;
}

void suppress_built_in(struct suppressions *s)
{
	struct suppress_error error;
	suppress_parse(s, built_in, sizeof(built_in) - 1, &error);
}

/* * is any text, ? one character where `one` says so. */
static bool glob(const char *pattern, const char *text, bool one)
{
	const char *star = NULL, *again = NULL;

	while (*text) {
		if (*pattern == '*') {
			star = ++pattern;
			again = text;
		} else if (*pattern && (*pattern == *text || (one && *pattern == '?'))) {
			pattern++;
			text++;
		} else if (star) {
			pattern = star;
			text = ++again;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return !*pattern;
}

static bool matches_lsan(const struct suppress_rule *rule, const struct capture_stack *stack)
{
	for (size_t i = 0; i < stack->n; i++) {
		const struct capture_frame *f = &stack->frames[i];
		const char *const text[] = {f->function, f->file, f->module};
		for (size_t k = 0; k < 3; k++)
			if (text[k] && glob(rule->part[0].glob, text[k], false))
				return true;
	}
	return false;
}

static bool matches_source(const char *pattern, const struct capture_frame *f)
{
	char *with_line = xasprintf("%s:%lld", f->file ? f->file : "", (long long)f->line);
	bool match = f->file && (glob(pattern, f->file, true) || glob(pattern, with_line, true));
	free(with_line);
	return match;
}

static bool matches_frame(const struct suppress_part *part, const struct capture_frame *f)
{
	switch (part->kind) {
	case PART_FUNCTION:
		return f->function && glob(part->glob, f->function, true);
	case PART_OBJECT:
		return f->module && glob(part->glob, f->module, true);
	case PART_SOURCE:
		return matches_source(part->glob, f);
	default:
		return true;
	}
}

/* From part `from` on, as a glob whose star is "...". */
static bool matches_frames(const struct suppress_rule *rule, size_t from, const struct capture_stack *stack)
{
	size_t part = from, at = 0, star = SIZE_MAX, again = 0;

	while (part < rule->n) {
		if (rule->part[part].kind == PART_ANY) {
			star = ++part;
			again = at;
		} else if (at < stack->n && matches_frame(&rule->part[part], &stack->frames[at])) {
			part++;
			at++;
		} else if (star != SIZE_MAX && again < stack->n) {
			part = star;
			at = ++again;
		} else {
			return false;
		}
	}
	return true;
}

/* Does the part stand for the allocator, whose frames our stacks leave out? */
static bool names_allocator(const struct suppress_part *part)
{
	static const char *const allocator[] = {"malloc", "calloc", "realloc", "reallocarray", "memalign",
		"aligned_alloc", "posix_memalign", "valloc", "pvalloc", "_Znwm", "_Znam", "_Znwj", "_Znaj",
		"_ZnwmRKSt9nothrow_t", "_ZnamRKSt9nothrow_t", "operator new(unsigned long)",
		"operator new[](unsigned long)"};

	for (size_t i = 0; part->kind == PART_FUNCTION && i < sizeof(allocator) / sizeof(allocator[0]); i++)
		if (glob(part->glob, allocator[i], true))
			return true;
	return part->kind == PART_OBJECT && strstr(part->glob, "vgpreload_memcheck") != NULL;
}

static bool matches(const struct suppress_rule *rule, const struct capture_stack *stack, enum reach reach)
{
	if (rule->no_leak || !(rule->reach & 1u << reach))
		return false;
	if (rule->lsan)
		return matches_lsan(rule, stack);
	return matches_frames(rule, 0, stack) ||
		(names_allocator(&rule->part[0]) && matches_frames(rule, 1, stack));
}

struct suppress_rule *suppress_find(const struct suppressions *s, const struct capture_stack *stack,
	enum reach reach)
{
	for (size_t i = 0; i < s->n; i++)
		if (matches(&s->rule[i], stack, reach))
			return &s->rule[i];
	return NULL;
}

struct suppress_rule *suppress_find_all(const struct suppressions *s, const struct capture_stack *stack,
	const uint64_t blocks[N_REACH])
{
	struct suppress_rule *rule = NULL;
	for (int k = 0; k < N_REACH; k++) {
		struct suppress_rule *other = blocks[k] ? suppress_find(s, stack, (enum reach)k) : NULL;
		if (blocks[k] && !other)
			return NULL;
		rule = other ? other : rule;
	}
	return rule;
}

void suppress_done(struct suppressions *s)
{
	for (size_t i = 0; i < s->n; i++) {
		for (size_t k = 0; k < s->rule[i].n; k++)
			free(s->rule[i].part[k].glob);
		free(s->rule[i].part);
		free(s->rule[i].name);
	}
	free(s->rule);
	memset(s, 0, sizeof(*s));
}

/* ---- writing ---- */

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

char *suppress_write_lsan(const struct capture_stack *stack)
{
	if (stack->n == 0)
		return xstrdup("# a site without a stack: no rule can name it\n");
	const struct capture_frame *f = &stack->frames[0];
	if (!f->function)
		return xasprintf("leak:%s\n", f->module ? base_name(f->module) : "?");
	char *text = xasprintf("leak:^%s$\n", f->function);
	/* Of the name itself these two are no ends. */
	for (char *p = text + 6; *p && p[1] != '\n'; p++)
		if (*p == '^' || *p == '$')
			*p = '*';
	return text;
}

/* Where a stack ends for Valgrind: main, or the start of a thread, which is not
 * among its frames; what is below it calls otherwise. */
static size_t telling_depth(const struct capture_stack *stack)
{
	for (size_t i = 0; i < stack->n; i++) {
		const char *function = stack->frames[i].function;
		if (function && strcmp(function, "main") == 0)
			return i + 1;
		if (function && strcmp(function, "start_thread") == 0 && i > 0)
			return i;
	}
	return stack->n;
}

/* Valgrind's stacks begin with the allocator's own function, one frame but for
 * posix_memalign: "fun:*" is that, there and (names_allocator) here. */
char *suppress_write_valgrind(const struct capture_stack *stack, const char *name, enum reach reach)
{
	char *text = xasprintf("{\n   %s\n   Memcheck:Leak\n   match-leak-kinds: %s\n   %s\n", name,
		reach == REACH_UNCLASSIFIED ? "all" : reach_word(reach), stack->n ? "fun:*" : "...");
	size_t depth = telling_depth(stack);
	for (size_t i = 0; i < depth && i < VALGRIND_PARTS - 1; i++) {
		const struct capture_frame *f = &stack->frames[i];
		char *longer = f->function ? xasprintf("%s   fun:%s\n", text, f->function)
			: xasprintf("%s   obj:%s\n", text, f->module ? f->module : "*");
		free(text);
		text = longer;
	}
	char *whole = xasprintf("%s}\n", text);
	free(text);
	return whole;
}
