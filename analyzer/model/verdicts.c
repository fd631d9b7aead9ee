/*
 * verdicts.c - what became of a block of a process that was looked at in its end.
 */
#include "model/model.h"

enum reach_verdict model_verdict(const struct model_process *p, uint64_t address, uint64_t t_ns)
{
	size_t low = 0, high = p->n_verdicts;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (p->verdicts[middle] >> 8 < address)
			low = middle + 1;
		else
			high = middle;
	}
	/* What came later may stand where a judged one stood. */
	bool is_there = low < p->n_verdicts && p->verdicts[low] >> 8 == address && t_ns <= p->judged_ns;
	return is_there ? p->verdicts[low] & 255 : REACH_UNCLASSIFIED;
}
