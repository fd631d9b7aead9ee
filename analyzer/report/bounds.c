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

static void list(struct sampled *s, struct bounds *ret[SAMPLED_FIGURES])
{
	ret[0] = &s->alloc;
	ret[1] = &s->live;
	ret[2] = &s->peak;
	ret[3] = &s->alloc_blocks;
	ret[4] = &s->live_blocks;
}

struct sampled sampled_whole(const struct answer *a, const struct figures *f)
{
	struct sampled s = {.samples = 0};
	struct bounds *bounds[SAMPLED_FIGURES];
	list(&s, bounds);
	for (size_t i = 0; i < SAMPLED_FIGURES; i++)
		*bounds[i] = whole(a, f->of[i]);
	return s;
}

void sampled_read(struct sampled *s, const struct answer *a, struct query *q, int column)
{
	struct bounds *bounds[SAMPLED_FIGURES];
	if (query_null(q, column))
		return;
	list(s, bounds);
	s->samples = (uint64_t)query_int(q, column++);
	s->live_samples = (uint64_t)query_int(q, column++);
	s->peak_samples = (uint64_t)query_int(q, column++);
	for (size_t i = 0; i < SAMPLED_FIGURES; i++) {
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

void sampled_add(struct sampled *to, const struct figures *a, const struct sampled *from, const struct figures *b)
{
	struct sampled other = *from;
	struct bounds *mine[SAMPLED_FIGURES], *theirs[SAMPLED_FIGURES];
	list(to, mine);
	list(&other, theirs);
	to->samples += from->samples;
	to->live_samples += from->live_samples;
	to->peak_samples += from->peak_samples;
	for (size_t i = 0; i < SAMPLED_FIGURES; i++)
		bounds_add(mine[i], a->of[i], theirs[i], b->of[i]);
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
