/*
 * pages.h - states of pages as a run of bytes: in PAGES and AREA records, and
 * in the columns vma_pages.states and cow_vma.pages of the database.
 *
 * A sequence of items, each about the n pages after those of the item before:
 *
 *	item  = head [bits]
 *	head  = varint(n << 3 | state)      LEB128: 7 bits a byte, low first
 *	bits  = ceil(n / 8) bytes, only with state BITS: bit i of byte i / 8
 *	        (low first) is 1 when page i is present
 *
 * Pages after the last item are absent.  A 2 MiB piece takes at most 67 bytes
 * when it holds present and absent pages alone.
 */
#ifndef MMSCOPE_PAGES_H
#define MMSCOPE_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum mms_page_state {
	MMS_PAGE_ABSENT = 0,
	MMS_PAGE_PRESENT = 1,
	MMS_PAGE_ZERO = 2,    /* the shared zero page: read, never written */
	MMS_PAGE_SWAPPED = 3,
	MMS_PAGE_HUGE = 4,    /* present, mapped by a 2 MiB entry */
	MMS_PAGE_BEFORE = 5,  /* absent now, but was there at an earlier look */
	MMS_PAGE_BITS = 7,    /* on the wire only */
};

/* In cow_vma.pages the same format says what became of the pages of a fork. */
enum mms_cow_page {
	MMS_COW_PAGE_NONE = 0,   /* not shared, or not watched */
	MMS_COW_PAGE_SHARED = 1, /* shared, and written by nobody */
	MMS_COW_PAGE_PARENT = 2, /* written by the parent */
	MMS_COW_PAGE_CHILD = 3,
	MMS_COW_PAGE_BOTH = 4,
};

struct mms_page_reader {
	const uint8_t *at, *end;
	uint64_t page;     /* of the next item */
	const uint8_t *bits;
	uint64_t n_bits, bit; /* of a BITS item being read */
};

static inline void mms_pages_begin(struct mms_page_reader *r, const void *bytes, size_t n, uint64_t first)
{
	*r = (struct mms_page_reader){ .at = (const uint8_t *)bytes, .page = first };
	r->end = n ? r->at + n : r->at;
}

static inline bool mms_pages_bit(const struct mms_page_reader *r, uint64_t i)
{
	return r->bits[i / 8] >> (i % 8) & 1;
}

/* The next run of pages in one state, absent ones included.  False: the end,
 * or bytes that are none of this format. */
static inline bool mms_pages_next(struct mms_page_reader *r, uint64_t *ret_page, uint64_t *ret_n,
	enum mms_page_state *ret_state)
{
	if (r->bit == r->n_bits) {
		uint64_t head = 0;
		unsigned shift = 0;
		do {
			if (r->at == r->end || shift > 56)
				return false;
			head |= (uint64_t)(*r->at & 0x7f) << shift;
			shift += 7;
		} while (*r->at++ & 0x80);
		uint64_t n = head >> 3;
		if ((head & 7) != MMS_PAGE_BITS) {
			*ret_page = r->page;
			*ret_n = n;
			*ret_state = (enum mms_page_state)(head & 7);
			r->page += n;
			return true;
		}
		if (n == 0 || (n + 7) / 8 > (uint64_t)(r->end - r->at))
			return false;
		r->bits = r->at;
		r->at += (n + 7) / 8;
		r->n_bits = n;
		r->bit = 0;
	}
	bool present = mms_pages_bit(r, r->bit);
	uint64_t from = r->bit;
	while (r->bit < r->n_bits && mms_pages_bit(r, r->bit) == present)
		r->bit++;
	*ret_page = r->page;
	*ret_n = r->bit - from;
	*ret_state = present ? MMS_PAGE_PRESENT : MMS_PAGE_ABSENT;
	r->page += *ret_n;
	return true;
}

#endif
