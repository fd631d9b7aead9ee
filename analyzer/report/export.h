/*
 * export.h - a recording in other people's formats: one function each.
 *
 * Each writes the whole file to `out`; whether that went well is seen by the
 * caller in ferror(out).
 */
#ifndef REPORT_EXPORT_H
#define REPORT_EXPORT_H

#include <stdio.h>

#include "report/rows.h"

struct export {
	struct answer a;
	struct rows rows; /* of the processes asked for */
	int order;        /* enum row_order: what folded stacks count */
	int64_t pid;      /* 0: all */
};

void export_pprof(struct export *x, FILE *out);
void export_folded(struct export *x, FILE *out);
void export_speedscope(struct export *x, FILE *out);
void export_csv(struct export *x, FILE *out);
void export_openmetrics(struct export *x, FILE *out);
void export_trace(struct export *x, FILE *out);

/* Name of a frame, clean and never cut; to be freed. */
char *export_frame_name(const struct capture_frame *f);

#endif
