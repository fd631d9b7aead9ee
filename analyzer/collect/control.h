/*
 * control.h - what a recording does can be changed while it goes on.
 *
 * Requests of `mmscope ctl` come through the doorbell; what is decided is
 * written into two words of the session's header, which every target reads at
 * every allocation and free anyway.  So a change is there with each thread's
 * next call, and the targets get no signal and no descriptor.
 */
#ifndef COLLECT_CONTROL_H
#define COLLECT_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <mmscope/session.h>

#include "collect/doorbell.h"
#include "collect/stamp.h"
#include "store/writer.h"

#define CONTROL_PAUSES 256u /* later ones are put together with the last of these */

struct control_pause {
	uint64_t begin_ns, end_ns; /* end 0: goes on */
};

struct control {
	struct mms_header *header;
	const struct stamp_clock *clock;
	struct control_pause pause[CONTROL_PAUSES];
	size_t n_pauses;
	uint32_t unpaused;  /* enum mms_recording that `resume` goes back to */
	uint64_t stopped_ns; /* 0: was not stopped */
	bool by_duration;
	bool changed;       /* something, since it was written last */
	bool ever_changed;
};

void control_init(struct control *c, struct mms_header *header, const struct stamp_clock *clock);

/* Carries out a request, answers, and closes the caller's descriptor. */
void control_asked(struct control *c, struct bell_event *e);

/* Stops when the time that was asked for is over.  True: the recording is
 * to be ended now. */
bool control_over(struct control *c, uint64_t now_ns);

/* Mode, pauses, and what was not seen because of them. */
void control_write(struct control *c, struct store *s);

#endif
