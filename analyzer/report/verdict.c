/*
 * verdict.c - see verdict.h.  Pure: numbers in, words out.  Called by leaks
 * for every site, and by the unit test that replays a mix of known sites.
 */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "report/text.h"
#include "report/verdict.h"

#define SHORT_RUN_S 1.0    /* below this, start and end of a run are not told apart */
#define SHORT_GROWTH_S 2.0 /* a rise that was watched for less may be building up */
#define STALE_BLOCKS 3     /* fewer that outlive the rest prove nothing */
#define STALE_SHARE 0.05   /* of the live bytes */
#define START_SHARE 0.10   /* of the life of the process: its start */
#define END_SHARE 0.05     /* and its end */

static const char *const reach_words[N_REACH] = {
	"definite", "indirect", "possible", "reachable", "unclassified"};

const char *reach_word(enum reach reach)
{
	return reach_words[reach];
}

enum reach reach_of_word(const char *word)
{
	for (int i = 0; word && i < REACH_UNCLASSIFIED; i++)
		if (strcmp(word, reach_words[i]) == 0)
			return (enum reach)i;
	return REACH_UNCLASSIFIED;
}

const char *class_word(enum site_class class)
{
	static const char *const word[N_CLASSES] = {
		"leaking", "lost", "growing, reachable", "unproven", "start-up", "exit noise"};
	return word[class];
}

uint64_t verdict_usual_life(const uint32_t *counts, size_t n)
{
	uint64_t all = 0, seen = 0;

	for (size_t i = 0; i < n; i++)
		all += counts[i];
	for (size_t i = 0; i < n && all; i++) {
		seen += counts[i];
		if (seen * 100 >= all * 99)
			return i < VERDICT_LIVES - 1 ? 2ull << i : UINT64_MAX;
	}
	return 0;
}

static uint64_t sum(const uint64_t *of)
{
	uint64_t all = 0;

	for (int i = 0; i < N_REACH; i++)
		all += of[i];
	return all;
}

static uint64_t lost_of(const uint64_t *of)
{
	return of[REACH_DEFINITE] + of[REACH_INDIRECT];
}

static double share(uint64_t part, uint64_t whole)
{
	return whole ? (double)part / (double)whole : 0;
}

static bool grows(const struct verdict_facts *f)
{
	return f->growth.verdict == GROWTH_GROWING;
}

static double life_s(const struct verdict_facts *f)
{
	return f->end_ns > f->begin_ns ? (double)(f->end_ns - f->begin_ns) / 1e9 : 0;
}

/* What was lost is at least half of what was added while the site was watched. */
static bool growth_is_lost(const struct verdict_facts *f)
{
	return (double)lost_of(f->bytes) * 2 >= f->growth.low * f->growth.window_s;
}

/* Share of the live bytes that outlive what is freed; all where nothing is. */
static double stale_share(const struct verdict_facts *f)
{
	return f->usual_life_ns ? share(f->old_bytes, f->listed_bytes) : 1;
}

static bool is_stale(const struct verdict_facts *f)
{
	if (!f->usual_life_ns)
		return f->growth.window_s >= SHORT_GROWTH_S;
	return f->old_blocks >= STALE_BLOCKS && stale_share(f) >= STALE_SHARE;
}

/* The births that are known speak for all. */
static bool all_listed(const struct verdict_facts *f)
{
	return f->listed_blocks && f->listed_blocks >= sum(f->blocks);
}

static bool of_start_up(const struct verdict_facts *f)
{
	double life = life_s(f), reached = share(f->bytes[REACH_REACHABLE], sum(f->bytes));

	return all_listed(f) && f->youngest_ns >= f->begin_ns && (life >= SHORT_RUN_S || reached >= 1) &&
		(double)(f->youngest_ns - f->begin_ns) / 1e9 <= START_SHARE * life;
}

static bool of_the_end(const struct verdict_facts *f)
{
	double life = life_s(f), age = f->end_ns > f->oldest_ns ? (double)(f->end_ns - f->oldest_ns) / 1e9 : 0;

	if (!all_listed(f))
		return false;
	if (f->free_blocks >= sum(f->blocks) && f->usual_life_ns && f->old_blocks == 0)
		return true;
	return life >= SHORT_RUN_S && age <= END_SHARE * life;
}

static enum site_class classify(const struct verdict_facts *f)
{
	uint64_t bytes = sum(f->bytes);

	if (lost_of(f->blocks))
		return grows(f) && growth_is_lost(f) ? CLASS_LEAKING : CLASS_LOST;
	if (grows(f)) {
		if (f->bytes[REACH_REACHABLE] * 2 > bytes)
			return CLASS_GROWING;
		return is_stale(f) ? CLASS_LEAKING : CLASS_UNPROVEN;
	}
	/* What only an interior pointer points to is a finding of its own. */
	if (f->bytes[REACH_POSSIBLE] || f->merged)
		return CLASS_UNPROVEN;
	if (of_the_end(f))
		return CLASS_EXIT_NOISE;
	return of_start_up(f) ? CLASS_START_UP : CLASS_UNPROVEN;
}

static double wasted_share(const struct verdict_facts *f)
{
	uint64_t bytes = sum(f->bytes), classified = bytes - f->bytes[REACH_UNCLASSIFIED];

	if (classified * 2 > bytes)
		return share(lost_of(f->bytes) + f->bytes[REACH_POSSIBLE], classified);
	return is_stale(f) ? stale_share(f) : 0;
}

static void say(struct verdict *v, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(struct verdict *v, const char *format, ...)
{
	size_t at = strlen(v->why);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(v->why + at, sizeof(v->why) - at, format, arguments);
	va_end(arguments);
}

static void say_growth(const struct verdict_facts *f, struct verdict *v)
{
	char low[TEXT_NUMBER], high[TEXT_NUMBER], window[TEXT_NUMBER];

	say(v, "Grows by %s to %s a second, watched for %s", text_size(low, (uint64_t)(f->growth.low + 0.5)),
		text_size(high, (uint64_t)(f->growth.high + 0.5)),
		text_duration(window, (uint64_t)(f->growth.window_s * 1e9)));
}

static void say_lost(const struct verdict_facts *f, struct verdict *v)
{
	char n[TEXT_NUMBER], size[TEXT_NUMBER];
	uint64_t direct = f->blocks[REACH_DEFINITE], indirect = f->blocks[REACH_INDIRECT];

	text_size(size, lost_of(f->bytes));
	if (direct)
		say(v, "nothing points to %s %s", text_count(n, direct), text_plural(direct, "block", "blocks"));
	else
		say(v, "only lost blocks point to %s %s", text_count(n, indirect), text_plural(indirect, "block", "blocks"));
	if (direct && indirect)
		say(v, ", and only lost blocks to %s more", text_count(n, indirect));
	say(v, direct + indirect == 1 ? " of %s" : ", %s in all", size);
}

static void say_leaking(const struct verdict_facts *f, struct verdict *v)
{
	char n[TEXT_NUMBER], life[TEXT_NUMBER];

	say_growth(f, v);
	if (lost_of(f->blocks)) {
		say(v, ", and ");
		say_lost(f, v);
	} else if (!f->usual_life_ns) {
		say(v, ", and none of its blocks was ever freed");
	} else {
		say(v, ", and %s blocks are older than 99 of 100 that were freed (%s)", text_count(n, f->old_blocks),
			text_duration(life, f->usual_life_ns));
	}
	say(v, ".");
}

static void say_unproven(const struct verdict_facts *f, struct verdict *v)
{
	if (grows(f)) {
		say_growth(f, v);
		say(v, f->usual_life_ns ? ", but its blocks are no older than those it frees."
			: ": too short to tell a leak from building up.");
	} else if (f->bytes[REACH_POSSIBLE]) {
		char n[TEXT_NUMBER];
		uint64_t blocks = f->blocks[REACH_POSSIBLE];
		say(v, "Only pointers into the middle lead to %s %s.", text_count(n, blocks),
			text_plural(blocks, "block", "blocks"));
	} else {
		const char *kept = f->running ? "Live now" : "Kept to the end";
		const char *reached = f->bytes[REACH_REACHABLE] ? " and can still be reached" : "";
		if (f->merged)
			say(v, "Kept to the end%s, in merged processes: whether it grows is not known.", reached);
		else if (f->growth.verdict == GROWTH_FLAT)
			say(v, "%s, but does not grow%s.", kept, reached);
		else
			say(v, "%s%s; %s.", kept, reached, f->traced ? "watched too short to say whether it grows"
				: f->running ? "whether it grows is known when the recording ends"
				: "too little to be followed over time");
	}
}

static void say_why(const struct verdict_facts *f, struct verdict *v)
{
	char life[TEXT_NUMBER];

	switch (v->class) {
	case CLASS_LEAKING:
		say_leaking(f, v);
		break;
	case CLASS_LOST:
		say_lost(f, v);
		v->why[0] = (char)toupper(v->why[0]);
		say(v, ".");
		break;
	case CLASS_GROWING:
		say_growth(f, v);
		say(v, ", and can still be reached: a cache or list without a limit.");
		break;
	case CLASS_START_UP:
		say(v, "Taken within the first %s, kept, and never more after that.",
			text_duration(life, f->youngest_ns - f->begin_ns));
		break;
	case CLASS_EXIT_NOISE:
		say(v, "None is older than %s: the end came before they would have been freed.",
			text_duration(life, f->end_ns > f->oldest_ns ? f->end_ns - f->oldest_ns : 0));
		break;
	default:
		say_unproven(f, v);
	}
}

void verdict_judge(const struct verdict_facts *f, struct verdict *ret)
{
	memset(ret, 0, sizeof(*ret));
	ret->class = classify(f);
	ret->scored = f->growth.verdict != GROWTH_UNPROVEN;
	if (grows(f) && f->growth.low > 0 && ret->class != CLASS_GROWING)
		ret->score = f->growth.low * wasted_share(f);
	say_why(f, ret);
}
