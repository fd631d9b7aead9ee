/*
 * control.c - pause, resume, other intervals, an early end.
 *
 * Times lie around what they speak of: a pause begins before the word is
 * written and ends before it is written back, so no record lies within one,
 * and every block from before its end may have been freed in it.
 *
 *	EXACT   -- sample -->  THINNED (births by countdown, all frees)
 *	SAMPLE  -- sample -->  SAMPLE, with another interval
 *	SAMPLE  -- exact  -->  THINNED, with interval 0, and never back: blocks
 *	                       that were no samples are in the books from then on
 *
 * Called by the collector's loop; knows nothing of models.
 */
#include "collect/control.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

void control_init(struct control *c, struct mms_header *header, const struct stamp_clock *clock)
{
	*c = (struct control){.header = header, .clock = clock};
}

static uint64_t now(const struct control *c)
{
	return stamp_full_ns(c->clock, stamp_now(c->clock));
}

static uint32_t recording(const struct control *c)
{
	return atomic_load(&c->header->recording);
}

/* From now on not every block is known. */
static void partial(struct control *c)
{
	uint32_t asked = 0;
	atomic_compare_exchange_strong(&c->header->no_reach, &asked, MMS_NO_REACH_PARTIAL);
	c->changed = c->ever_changed = true;
}

static void pause_recording(struct control *c)
{
	uint32_t was = recording(c);
	if (was == MMS_RECORDING_PAUSED)
		return;
	partial(c);
	c->unpaused = was;
	if (c->n_pauses < CONTROL_PAUSES)
		c->pause[c->n_pauses++].begin_ns = now(c);
	c->pause[c->n_pauses - 1].end_ns = 0;
	atomic_store(&c->header->recording, MMS_RECORDING_PAUSED);
}

static void resume(struct control *c)
{
	if (recording(c) != MMS_RECORDING_PAUSED)
		return;
	c->pause[c->n_pauses - 1].end_ns = now(c);
	c->changed = c->ever_changed = true;
	atomic_store(&c->header->recording, c->unpaused);
}

/* Threads follow at their next sample; where there were none, at once. */
static int set_interval(struct control *c, uint64_t interval)
{
	uint32_t was = recording(c), *unpaused = &c->unpaused;
	bool paused = was == MMS_RECORDING_PAUSED;
	uint32_t to = paused ? *unpaused : was;
	if (interval > MMS_INTERVAL_MAX)
		return -EINVAL;
	if (to == MMS_RECORDING_EXACT && interval == 0)
		return 0;
	if (to == MMS_RECORDING_EXACT || interval == 0)
		to = MMS_RECORDING_THINNED;
	partial(c);
	atomic_store(&c->header->interval, interval);
	if (paused)
		*unpaused = to;
	else
		atomic_store(&c->header->recording, to);
	return 0;
}

static void stop(struct control *c)
{
	resume(c);
	c->stopped_ns = now(c);
	atomic_store(&c->header->recording, MMS_RECORDING_OFF);
}

static int carry_out(struct control *c, const struct mms_request *request)
{
	if (recording(c) == MMS_RECORDING_OFF && request->what != MMS_REQUEST_STATUS)
		return -ESHUTDOWN;
	switch (request->what) {
	case MMS_REQUEST_STATUS:
		return 0;
	case MMS_REQUEST_PAUSE:
		pause_recording(c);
		return 0;
	case MMS_REQUEST_RESUME:
		resume(c);
		return 0;
	case MMS_REQUEST_SAMPLE:
		return set_interval(c, request->value);
	case MMS_REQUEST_STOP:
		stop(c);
		return 0;
	default:
		return -ENOSYS;
	}
}

void control_asked(struct control *c, struct bell_event *e)
{
	struct mms_reply reply = {.error = carry_out(c, &e->request)};
	reply.recording = recording(c);
	reply.interval = atomic_load(&c->header->interval);
	reply.t_ns = now(c);
	reply.n_pauses = c->n_pauses;
	/* Who does not wait for the answer has it his way. */
	if (send(e->reply_fd, &reply, sizeof(reply), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		errno = 0;
	close(e->reply_fd);
}

bool control_over(struct control *c, uint64_t now_ns)
{
	uint64_t duration_ns = c->header->duration_s * 1000000000ull;
	if (!c->stopped_ns && duration_ns && now_ns >= duration_ns) {
		c->by_duration = true;
		stop(c);
	}
	return c->stopped_ns != 0;
}

static void write_pauses(struct control *c, struct store *s)
{
	uint64_t sum = 0;
	char text[512];
	for (size_t i = 0; i < c->n_pauses; i++) {
		const struct control_pause *p = &c->pause[i];
		sum += (p->end_ns ? p->end_ns : now(c)) - p->begin_ns;
		store_pause(s, p->begin_ns, p->end_ns);
	}
	const struct control_pause *last = &c->pause[c->n_pauses - 1];
	int n = snprintf(text, sizeof(text),
		"Allocations and frees were not recorded in %zu %s of %.3f s in all, the last one from %.3f s to ",
		c->n_pauses, c->n_pauses == 1 ? "pause" : "pauses", (double)sum / 1e9, (double)last->begin_ns / 1e9);
	if (last->end_ns)
		n += snprintf(text + n, sizeof(text) - (size_t)n, "%.3f s", (double)last->end_ns / 1e9);
	else
		n += snprintf(text + n, sizeof(text) - (size_t)n, "the end");
	snprintf(text + n, sizeof(text) - (size_t)n,
		": blocks from before its end may have been freed, and blocks from within are not known.");
	store_coverage(s, 0, "paused", c->n_pauses, text);
}

void control_write(struct control *c, struct store *s)
{
	uint32_t state = recording(c) == MMS_RECORDING_PAUSED ? c->unpaused : recording(c);
	uint64_t interval = atomic_load(&c->header->interval);
	char text[256];
	if (!s)
		return;
	if (c->changed && (state == MMS_RECORDING_THINNED || c->header->mode == MMS_MODE_SAMPLE)) {
		store_meta(s, "mode", "sample");
		store_meta_number(s, "sample_bytes", (int64_t)interval);
	}
	if (c->changed && state == MMS_RECORDING_THINNED)
		store_coverage(s, 0, "mode_changed", 1,
			"Every block was recorded for a part of the time, samples for another: figures are the sum.");
	if (c->changed && c->n_pauses)
		write_pauses(c, s);
	c->changed = false;
	if (!c->stopped_ns)
		return;
	snprintf(text, sizeof(text),
		"The recording was ended at %.3f s (%s); the program went on unrecorded.",
		(double)c->stopped_ns / 1e9, c->by_duration ? "run --duration" : "ctl stop");
	store_coverage(s, 0, "stopped", 1, text);
}
