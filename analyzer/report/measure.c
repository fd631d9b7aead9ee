/*
 * measure.c - see measure.h.  Names in budget files and keys in JSON are
 * written down by users: they are never changed.  Used by diff and check.
 */
#include <stdio.h>

#include "report/measure.h"
#include "report/text.h"

const struct measure_words measures[N_MEASURES] = {
	[M_LIVE_BYTES] = {"live.bytes", "live_bytes", "live at end", UNIT_BYTES},
	[M_LIVE_BLOCKS] = {"live.blocks", "live_blocks", "live blocks", UNIT_BLOCKS},
	[M_PEAK_BYTES] = {"peak.bytes", "peak_bytes", "peak", UNIT_BYTES},
	[M_ALLOC_BYTES] = {"alloc.bytes", "alloc_bytes", "allocated", UNIT_BYTES},
	[M_ALLOC_BLOCKS] = {"alloc.blocks", "alloc_blocks", "allocations", UNIT_BLOCKS},
	[M_TEMPORARY_BLOCKS] = {"temporary.blocks", "temporary_blocks", "temporary", UNIT_BLOCKS},
	[M_NEVER_BYTES] = {"touch.never.bytes", "never_touched_bytes", "never touched", UNIT_BYTES},
	[M_COW_PAGES] = {"cow.broken.pages", "cow_broken_pages", "broken COW pages", UNIT_PAGES},
	[M_RSS_PEAK] = {"rss.peak.bytes", "rss_peak_bytes", "RSS peak", UNIT_BYTES},
	[M_DEFINITE_BYTES] = {"leaks.definite.bytes", "leaks_definite_bytes", "definite leaks", UNIT_BYTES},
	[M_DEFINITE_BLOCKS] = {"leaks.definite.blocks", "leaks_definite_blocks", "definite leak blocks",
		UNIT_BLOCKS},
	[M_INDIRECT_BYTES] = {"leaks.indirect.bytes", "leaks_indirect_bytes", "indirect leaks", UNIT_BYTES},
	[M_INDIRECT_BLOCKS] = {"leaks.indirect.blocks", "leaks_indirect_blocks", "indirect leak blocks",
		UNIT_BLOCKS},
	[M_POSSIBLE_BYTES] = {"leaks.possible.bytes", "leaks_possible_bytes", "possible leaks", UNIT_BYTES},
	[M_POSSIBLE_BLOCKS] = {"leaks.possible.blocks", "leaks_possible_blocks", "possible leak blocks",
		UNIT_BLOCKS},
	[M_REACHABLE_BYTES] = {"leaks.reachable.bytes", "leaks_reachable_bytes", "still reachable",
		UNIT_BYTES},
	[M_REACHABLE_BLOCKS] = {"leaks.reachable.blocks", "leaks_reachable_blocks",
		"still reachable blocks", UNIT_BLOCKS},
	[M_UNCLASSIFIED_BYTES] = {"leaks.unclassified.bytes", "leaks_unclassified_bytes",
		"not freed, unclassified", UNIT_BYTES},
	[M_UNCLASSIFIED_BLOCKS] = {"leaks.unclassified.blocks", "leaks_unclassified_blocks",
		"unclassified blocks", UNIT_BLOCKS},
};

char *measure_text(char buffer[MEASURE_TEXT], enum measure m, int64_t value)
{
	char number[TEXT_NUMBER];
	if (value < 0)
		snprintf(buffer, MEASURE_TEXT, "not known");
	else if (measures[m].unit == UNIT_BYTES)
		snprintf(buffer, MEASURE_TEXT, "%s", text_size(number, (uint64_t)value));
	else
		snprintf(buffer, MEASURE_TEXT, "%s", text_count(number, (uint64_t)value));
	return buffer;
}

char *measure_change_text(char buffer[MEASURE_TEXT], enum measure m, int64_t change)
{
	char number[MEASURE_TEXT];
	measure_text(number, m, change < 0 ? -change : change);
	snprintf(buffer, MEASURE_TEXT, "%c%.*s", change < 0 ? '-' : '+', MEASURE_TEXT - 2, number);
	return buffer;
}
