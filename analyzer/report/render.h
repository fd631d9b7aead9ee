/*
 * render.h - text for people: tables, stacks, paragraphs, 80 columns.
 *
 * Everything goes to stdout.  Colour only where stdout is a terminal and
 * neither NO_COLOR nor TERM=dumb speaks against it.
 */
#ifndef REPORT_RENDER_H
#define REPORT_RENDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct capture_frame;
struct capture_stack;

/* Columns of a line: those of the terminal, within 80 to 160; 80 elsewhere. */
size_t render_width(void);

enum render_style { STYLE_PLAIN, STYLE_BOLD, STYLE_DIM, STYLE_WARN, STYLE_BAD };
/* Escape sequence, or "" where colour is off.  STYLE_PLAIN ends the others. */
const char *render_style(enum render_style style);

/* A heading on a line of its own, with an empty line before it. */
void render_heading(const char *text);
/* A paragraph, broken between words, every line indented; `first` stands at
 * the beginning of the first line instead of spaces ("- ", or NULL). */
void render_paragraph(size_t indent, const char *first, const char *text);

/* ISO 8601, UTC.  NULL for a negative time. */
#define RENDER_TIME 32
const char *render_time(char buffer[RENDER_TIME], int64_t realtime_ns);

/* Strings to be freed. */
char *render_frame_name(const struct capture_frame *f, size_t width);  /* "main", "libx.so+0x12" */
char *render_frame_place(const struct capture_frame *f, size_t width); /* "src/a.c:12", "[libx.so]" */
char *render_chain(const struct capture_stack *s, size_t width);       /* "f a.c:1 < main a.c:9" */
char *render_command(char *const *argv, size_t n, const char *exe, size_t width);

/* Frames from the inner end without what libc does before main. */
size_t render_telling_frames(const struct capture_stack *s);

/* One line a frame, at most max_frames, without what libc does before main;
 * 0: all of them.  Says what was left out. */
void render_stack(size_t indent, const struct capture_stack *s, size_t max_frames);

/* A table.  Cells are copied.  At most one column is flexible: it gives way
 * when the line gets too long. */
#define TABLE_COLUMNS 12
struct table_column {
	const char *title;
	bool right;
	bool flexible;
};
struct table {
	const struct table_column *columns;
	size_t n_columns;
	char **cell;
	size_t n_cells, capacity;
};
void table_begin(struct table *t, const struct table_column *columns, size_t n_columns);
void table_cell(struct table *t, const char *text);
void table_size(struct table *t, uint64_t bytes);
void table_count(struct table *t, uint64_t n);
void table_print(struct table *t, size_t indent); /* and frees the table */

#endif
