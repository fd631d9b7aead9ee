/*
 * verdicts.c - what became of a block of a process that was looked at at its
 * end, one by one and as a sum.
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

void site_left_add(struct site_left *left, enum reach_verdict verdict, uint64_t size, uint64_t t_ns)
{
	bool is_first = true;

	for (int i = 0; i < LEFT_VERDICTS; i++)
		is_first = is_first && !left->blocks[i];
	left->oldest_ns = is_first || t_ns < left->oldest_ns ? t_ns : left->oldest_ns;
	left->youngest_ns = t_ns > left->youngest_ns ? t_ns : left->youngest_ns;
	left->blocks[verdict]++;
	left->bytes[verdict] += size;
}
