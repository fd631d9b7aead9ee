/*
 * space_debts.c - what the judgement of limits asks of an address space.
 *
 * Called by pressure.c at ticks, and by spaces.c when a look is whole.
 */
#include <sys/mman.h>

#include "collect/space.h"

struct vma_tree *spaces_owners(struct spaces *s, uint64_t process)
{
	struct space *sp = space_of(s, process);

	return sp ? &sp->owners : NULL;
}

uint64_t spaces_calls(struct spaces *s, uint64_t process)
{
	struct space *sp = space_of(s, process);

	return sp ? sp->n_calls : 0;
}

bool spaces_noreserve(struct spaces *s, uint64_t process, uint64_t *ret_bytes)
{
	struct space *sp = space_of(s, process);

	if (!sp || !sp->noreserve_known)
		return false;
	*ret_bytes = sp->noreserve;
	return true;
}

/* The zero page costs nothing yet. */
void space_add_up(struct space *sp)
{
	sp->noreserve = 0;
	sp->noreserve_known = true;
	for (size_t i = 0; i < sp->now.n; i++) {
		const struct mms_area *a = &sp->now.area[i].a;

		if (!(a->flags & VMA_NORESERVE) || a->flags & VMA_SHARED || !(a->prot & PROT_WRITE))
			continue;
		sp->noreserve_known = sp->noreserve_known && a->known;
		sp->noreserve += a->end - a->start - (((uint64_t)a->present + a->swapped) << 12);
	}
}
