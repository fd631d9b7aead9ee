/*
 * render.c - see render.h.  Nothing here knows a verb; strings are cleaned
 * before they are printed, since they come from the target.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "report/alloc.h"
#include "report/render.h"
#include "report/text.h"
#include "store/capture.h"

#define MIN_WIDTH 80
#define MAX_WIDTH 160
#define GAP 2 /* between columns */

size_t render_width(void)
{
	struct winsize size;
	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col < MIN_WIDTH)
		return MIN_WIDTH;
	return size.ws_col > MAX_WIDTH ? MAX_WIDTH : size.ws_col;
}

static bool colour_wanted(void)
{
	const char *no_colour = getenv("NO_COLOR"), *term = getenv("TERM");
	return isatty(STDOUT_FILENO) && !(no_colour && *no_colour) && term && strcmp(term, "dumb") != 0;
}

const char *render_style(enum render_style style)
{
	static const char *const codes[] = {"\033[0m", "\033[1m", "\033[2m", "\033[33m", "\033[31m"};
	static int on = -1;
	if (on < 0)
		on = colour_wanted();
	return on ? codes[style] : "";
}

void render_heading(const char *text)
{
	printf("\n%s%s%s\n", render_style(STYLE_BOLD), text, render_style(STYLE_PLAIN));
}

/* Length of what fits on a line of `width` columns: up to a blank, or cut. */
static size_t break_line(const char *s, size_t width)
{
	size_t best = 0, i = 0;
	for (; s[i]; i++) {
		/* One byte at least one column: an upper bound is good enough. */
		if (i > width)
			break;
		if (s[i] == ' ')
			best = i;
	}
	if (!s[i] && i <= width)
		return i;
	if (best)
		return best;
	while (i > 1 && ((uint8_t)s[i] >> 6) == 2)
		i--; /* not within a character */
	return i;
}

void render_paragraph(size_t indent, const char *first, const char *text)
{
	char *clean = text_clean(text), *s = clean;
	size_t mark = first ? strlen(first) : 0;
	size_t width = render_width() - indent - mark;
	printf("%*s%s", (int)indent, "", first ? first : "");
	for (;;) {
		size_t n = break_line(s, width);
		printf("%.*s\n", (int)n, s);
		s += n;
		while (*s == ' ')
			s++;
		if (!*s)
			break;
		printf("%*s", (int)(indent + mark), "");
	}
	free(clean);
}

const char *render_time(char buffer[RENDER_TIME], int64_t realtime_ns)
{
	if (realtime_ns < 0)
		return NULL;
	time_t seconds = (time_t)(realtime_ns / 1000000000);
	struct tm tm;
	gmtime_r(&seconds, &tm);
	strftime(buffer, RENDER_TIME, "%Y-%m-%dT%H:%M:%SZ", &tm);
	return buffer;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash && slash[1] ? slash + 1 : path;
}

char *render_frame_name(const struct capture_frame *f, size_t width)
{
	if (f->function)
		return text_cut_function(f->function, width);
	char *s = f->module ? xasprintf("%s+0x%llx", base_name(f->module), (unsigned long long)f->offset)
			    : xasprintf("0x%llx", (unsigned long long)f->address);
	char *cut = text_cut_start(s, width);
	free(s);
	return cut;
}

char *render_frame_place(const struct capture_frame *f, size_t width)
{
	char *s;
	if (f->file && f->line > 0)
		s = xasprintf("%s:%lld", f->file, (long long)f->line);
	else if (f->file)
		s = xstrdup(f->file);
	else if (f->function && f->module)
		s = xasprintf("[%s]", base_name(f->module));
	else
		s = xstrdup("");
	char *cut = text_cut_start(s, width);
	free(s);
	return cut;
}

/* The frames that tell something: what libc does before main and at the start
 * of a thread is the same in every stack. */
static bool is_beginning(const struct capture_frame *f)
{
	static const char *const names[] = {"_start", "__libc_start_main", "__libc_start_main_impl",
		"__libc_start_call_main", "start_thread", "clone3", "__clone3", "__GI___clone3", "clone"};
	for (size_t i = 0; f->function && i < sizeof(names) / sizeof(names[0]); i++)
		if (strncmp(f->function, names[i], strcspn(f->function, "@")) == 0 &&
			strlen(names[i]) == strcspn(f->function, "@"))
			return true;
	return false;
}

size_t render_telling_frames(const struct capture_stack *s)
{
	size_t n = s->n;
	/* _start of a stripped program has no name. */
	if (n > 2 && !s->frames[n - 1].function && is_beginning(&s->frames[n - 2]))
		n--;
	while (n > 1 && is_beginning(&s->frames[n - 1]))
		n--;
	return n;
}

/* "f file.c:12" with the file's own name only; NAME_WIDTH keeps room for more
 * than one frame on a line. */
#define NAME_WIDTH 36
static char *short_frame(const struct capture_frame *f)
{
	char *name = render_frame_name(f, NAME_WIDTH);
	char *s;
	if (f->file && f->line > 0) {
		char *file = text_cut_start(base_name(f->file), 24);
		s = xasprintf("%s %s:%lld", name, file, (long long)f->line);
		free(file);
	} else {
		s = xstrdup(name);
	}
	free(name);
	return s;
}

char *render_chain(const struct capture_stack *s, size_t width)
{
	if (!s || s->n == 0)
		return xstrdup("(stack not captured)");
	char *line = short_frame(&s->frames[0]);
	size_t n = render_telling_frames(s);
	for (size_t i = 1; i < n && text_width(line) < width; i++) {
		char *frame = short_frame(&s->frames[i]);
		char *longer = xasprintf("%s < %s", line, frame);
		free(frame);
		free(line);
		line = longer;
	}
	char *cut = text_cut_end(line, width);
	free(line);
	return cut;
}

/* Words as a shell would need them, so that the line can be pasted. */
static char *quote_word(const char *word)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789_@%+=:,./-";
	if (*word && strspn(word, plain) == strlen(word))
		return xstrdup(word);
	char *quoted = xmalloc(4 * strlen(word) + 3), *to = quoted;
	*to++ = '\'';
	for (; *word; word++) {
		if (*word == '\'') {
			memcpy(to, "'\\''", 4);
			to += 4;
		} else {
			*to++ = *word == '\n' ? ' ' : *word;
		}
	}
	*to++ = '\'';
	*to = 0;
	return quoted;
}

char *render_command(char *const *argv, size_t n, const char *exe, size_t width)
{
	char *line = n ? quote_word(argv[0]) : xstrdup(exe);
	for (size_t i = 1; i < n && strlen(line) < 4 * width; i++) {
		char *word = quote_word(argv[i]);
		char *longer = xasprintf("%s %s", line, word);
		free(word);
		free(line);
		line = longer;
	}
	char *cut = text_cut_end(line, width);
	free(line);
	return cut;
}

static void render_frame(size_t indent, const struct capture_frame *f, size_t name_width)
{
	size_t room = render_width() - indent;
	char *name = render_frame_name(f, name_width);
	size_t used = text_width(name);
	char *place = render_frame_place(f, room - name_width - GAP);
	printf("%*s%s", (int)indent, "", name);
	if (*place || f->inlined || f->guessed)
		printf("%*s%s%s%s", (int)(name_width - used + GAP), "", render_style(STYLE_DIM), place,
			render_style(STYLE_PLAIN));
	putchar('\n');
	free(place);
	free(name);
}

static size_t stack_name_width(const struct capture_stack *s, size_t shown, size_t room)
{
	size_t widest = 0;
	for (size_t i = 0; i < shown; i++) {
		char *name = render_frame_name(&s->frames[i], room * 3 / 5);
		size_t width = text_width(name);
		widest = width > widest ? width : widest;
		free(name);
	}
	return widest;
}

void render_stack(size_t indent, const struct capture_stack *s, size_t max_frames)
{
	const char *dim = render_style(STYLE_DIM), *plain = render_style(STYLE_PLAIN);
	if (!s || s->n == 0) {
		printf("%*s%s(stack not captured)%s\n", (int)indent, "", dim, plain);
		return;
	}
	size_t n = max_frames ? render_telling_frames(s) : s->n;
	/* "1 more frame" would take the line of the frame itself. */
	size_t shown = max_frames && n > max_frames + 1 ? max_frames : n;
	size_t name_width = stack_name_width(s, shown, render_width() - indent);
	for (size_t i = 0; i < shown; i++)
		render_frame(indent, &s->frames[i], name_width);
	if (shown < n)
		printf("%*s%s... %zu more frames%s\n", (int)indent, "", dim, n - shown, plain);
	if (s->truncated)
		printf("%*s%s(the outer end of this stack was cut)%s\n", (int)indent, "", dim, plain);
}

void table_begin(struct table *t, const struct table_column *columns, size_t n_columns)
{
	memset(t, 0, sizeof(*t));
	t->columns = columns;
	t->n_columns = n_columns;
}

void table_cell(struct table *t, const char *text)
{
	XGROW(t->cell, t->n_cells, t->capacity);
	t->cell[t->n_cells++] = text_clean(text);
}

void table_size(struct table *t, uint64_t bytes)
{
	char number[TEXT_NUMBER];
	table_cell(t, text_size(number, bytes));
}

void table_count(struct table *t, uint64_t n)
{
	char number[TEXT_NUMBER];
	table_cell(t, text_count(number, n));
}

/* Natural widths; the flexible column gets what is left of the line. */
static void table_widths(const struct table *t, size_t indent, size_t *width)
{
	size_t total = indent + GAP * (t->n_columns - 1), flexible = t->n_columns;
	for (size_t c = 0; c < t->n_columns; c++) {
		width[c] = text_width(t->columns[c].title);
		for (size_t i = c; i < t->n_cells; i += t->n_columns) {
			size_t w = text_width(t->cell[i]);
			width[c] = w > width[c] ? w : width[c];
		}
		total += width[c];
		if (t->columns[c].flexible)
			flexible = c;
	}
	if (flexible == t->n_columns || total <= render_width())
		return;
	size_t over = total - render_width(), least = 8;
	width[flexible] = width[flexible] > over + least ? width[flexible] - over : least;
}

static void print_cell(const struct table_column *column, const char *text, size_t width, bool last)
{
	char *cut = text_cut_end(text, width);
	size_t pad = width - text_width(cut);
	if (column->right)
		printf("%*s%s", (int)pad, "", cut);
	else
		printf("%s%*s", cut, last ? 0 : (int)pad, "");
	if (!last)
		printf("%*s", GAP, "");
	free(cut);
}

void table_print(struct table *t, size_t indent)
{
	size_t width[TABLE_COLUMNS];
	table_widths(t, indent, width);
	printf("%s%*s", render_style(STYLE_DIM), (int)indent, "");
	for (size_t c = 0; c < t->n_columns; c++)
		print_cell(&t->columns[c], t->columns[c].title, width[c], c + 1 == t->n_columns);
	printf("%s\n", render_style(STYLE_PLAIN));
	for (size_t i = 0; i < t->n_cells; i++) {
		size_t c = i % t->n_columns;
		if (c == 0)
			printf("%*s", (int)indent, "");
		print_cell(&t->columns[c], t->cell[i], width[c], c + 1 == t->n_columns);
		if (c + 1 == t->n_columns)
			putchar('\n');
		free(t->cell[i]);
	}
	free(t->cell);
	t->cell = NULL;
}
