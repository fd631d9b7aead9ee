/*
 * head.h - the first lines of the text answers: what was recorded, how it
 * ended, and what was not seen.
 */
#ifndef REPORT_HEAD_H
#define REPORT_HEAD_H

#include "report/answer.h"

/* "leaks of ./prog (pid 12), 1.2 s, every block" and, if so, the warning that
 * the recording goes on or broke off. */
void head_print(struct answer *a);

/* One paragraph a coverage note; at most `limit` of them.  Nothing when
 * everything was seen. */
void head_print_coverage(struct answer *a, size_t limit);

/* "exit status 1", "killed by SIGKILL", "still running"; to be freed. */
char *head_end_text(const struct answer_process *p);

/* Heading of one process's part: "1234 /usr/bin/git: ..." */
void head_print_process(const struct answer_process *p, const char *text);

#endif
