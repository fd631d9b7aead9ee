/*
 * html_data.h - everything the page shows, as one JSON object.
 *
 * {"schema", "capture", "coverage", "main", "processes", "table", "time",
 *  "forks", "areas"}; lists that grow with the program are flat arrays of
 * numbers, whose columns stand in "columns".
 */
#ifndef REPORT_HTML_DATA_H
#define REPORT_HTML_DATA_H

#include <stdio.h>

struct answer;

void html_data(struct answer *a, FILE *out);

#endif
