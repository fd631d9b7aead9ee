/*
 * doctor.h - one question to the machine, and its answer.
 */
#ifndef REPORT_DOCTOR_H
#define REPORT_DOCTOR_H

#include <stddef.h>

enum check_state {
	CHECK_OK,
	CHECK_LIMITED, /* recording works, something will not be measured */
	CHECK_REFUSED, /* nothing will be recorded */
};

struct check {
	const char *name;
	enum check_state state;
	char text[192]; /* one sentence: what is, and what it means */
};

/* Fills out checks that concern the machine and this process's limits;
 * returns their number.  Leaves no process, file or descriptor behind. */
#define MACHINE_CHECKS 16
size_t doctor_machine(struct check checks[MACHINE_CHECKS]);

#endif
