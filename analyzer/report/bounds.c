/*
 * bounds.c - see bounds.h.  Called by rows.c and by the verbs that print
 * amounts of blocks.
 */
#include "report/bounds.h"

#include <math.h>
#include <stdio.h>

#include "report/alloc.h"
#include "report/answer.h"
#include "report/text.h"

static struct bounds whole(const struct answer *a, uint64_t figure)
{
	bool known = a->exact && a->lost_records == 0 && !a->n_pauses;
	return (struct bounds){.low = figure, .high = figure, .unknown = !known};
}

struct sampled sampled_whole(const struct answer *a, uint64_t alloc, uint64_t live, uint64_t peak)
{
	return (struct sampled){.alloc = whole(a, alloc), .live = whole(a, live), .peak = whole(a, peak)};
}

void sampled_read(struct sampled *s, const struct answer *a, struct query *q, int column)
{
	struct bounds *const bounds[] = {&s->alloc, &s->live, &s->peak};
	if (query_null(q, column))
		return;
	s->samples = (uint64_t)query_int(q, column++);
	s->live_samples = (uint64_t)query_int(q, column++);
	s->peak_samples = (uint64_t)query_int(q, column++);
	for (size_t i = 0; i < sizeof(bounds) / sizeof(bounds[0]); i++) {
		bounds[i]->low = (uint64_t)query_int(q, column++);
		bounds[i]->high = (uint64_t)query_int(q, column++);
		bounds[i]->unknown = a->lost_records != 0 || a->n_pauses;
	}
}

void bounds_add(struct bounds *to, uint64_t a, const struct bounds *from, uint64_t b)
{
	double below = hypot((double)a - (double)to->low, (double)b - (double)from->low);
	double above = hypot((double)to->high - (double)a, (double)from->high - (double)b);
	double sum = (double)a + (double)b;
	to->low = below < sum ? (uint64_t)(sum - below) : 0;
	to->high = (uint64_t)(sum + above);
	to->unknown |= from->unknown;
}

void sampled_add(struct sampled *to, const uint64_t a[3], const struct sampled *from, const uint64_t b[3])
{
	to->samples += from->samples;
	to->live_samples += from->live_samples;
	to->peak_samples += from->peak_samples;
	bounds_add(&to->alloc, a[0], &from->alloc, b[0]);
	bounds_add(&to->live, a[1], &from->live, b[1]);
	bounds_add(&to->peak, a[2], &from->peak, b[2]);
}

void bounds_json(struct json *j, const char *key, const struct bounds *b)
{
	char name[64];
	const uint64_t value[] = {b->low, b->high};
	for (int i = 0; i < 2; i++) {
		snprintf(name, sizeof(name), "%s_%s", key, i ? "high" : "low");
		if (b->unknown)
			json_null(j, name);
		else
			json_u64(j, name, value[i]);
	}
}

bool bounds_are_wide(const struct bounds *b, uint64_t figure)
{
	return b->unknown || b->high / 2 > figure;
}

char *bounds_text(uint64_t samples, const struct bounds *b, uint64_t figure)
{
	char n[TEXT_NUMBER], low[TEXT_NUMBER], high[TEXT_NUMBER];
	if (b->unknown)
		return xasprintf("%s %s, and not all that was to be recorded was", text_count(n, samples),
			text_plural(samples, "sample", "samples"));
	return xasprintf("%s %s: %s to %s%s", text_count(n, samples), text_plural(samples, "sample", "samples"),
		text_size(low, b->low), text_size(high, b->high),
		bounds_are_wide(b, figure) ? "; too few to say more" : "");
}

const char *about(const struct answer *a)
{
	return a->exact ? "" : "~";
}
