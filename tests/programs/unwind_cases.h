/*
 * unwind_cases.h - what the files of unwind_cases share.
 */
#ifndef TESTS_UNWIND_CASES_H
#define TESTS_UNWIND_CASES_H

#define NOINLINE __attribute__((noinline))

extern volatile unsigned sink; /* written after a call, so that it is no tail call */
void allocate(void);

void bare_rbp(void);
void bare_no_rbp(void);
void bare_spoilt(void);
void bare_in_thread(void);
void bare_in_coroutine(void);

#endif
