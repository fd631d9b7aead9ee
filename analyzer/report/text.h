/*
 * text.h - text as it arrives on a terminal: UTF-8, columns, human numbers.
 *
 * Strings come from the target (file names, symbols) and are not trusted:
 * control characters and broken UTF-8 never reach the terminal.
 */
#ifndef REPORT_TEXT_H
#define REPORT_TEXT_H

#include <stddef.h>
#include <stdint.h>

/* Decodes one code point at s (s < end).  Returns its length in bytes, 0 when
 * there is no valid UTF-8 here (overlong, surrogate, cut). */
size_t text_decode(const char *s, const char *end, uint32_t *ret_code);

/* Columns that s takes after text_clean. */
size_t text_width(const char *s);

/* Each returns a new string (free it; never NULL: out of memory ends the
 * verb), clean and at most `width` columns wide. */
char *text_clean(const char *s);                /* any width */
char *text_cut_end(const char *s, size_t width);    /* "long na..." */
char *text_cut_start(const char *s, size_t width);  /* ".../dir/file.c": paths */
/* A function: first template arguments and parameters are folded to <...> and
 * (...), then the end is cut. */
char *text_cut_function(const char *s, size_t width);

/* Numbers.  The buffer is given back for use in printf. */
#define TEXT_NUMBER 32
char *text_size(char buffer[TEXT_NUMBER], uint64_t bytes);    /* "1.2 MiB", "512 B" */
char *text_count(char buffer[TEXT_NUMBER], uint64_t n);       /* "1,234,567" */
char *text_duration(char buffer[TEXT_NUMBER], uint64_t ns);   /* "1.25 s", "3 min 04 s" */
char *text_percent(char buffer[TEXT_NUMBER], uint64_t part, uint64_t whole); /* "12.5 %" */

/* "block" or "blocks". */
const char *text_plural(uint64_t n, const char *one, const char *many);

#endif
