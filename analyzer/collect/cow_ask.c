/*
 * cow_ask.c - the sides of a fork, asked from outside.
 *
 * /proc/PID/pagemap of both, by the code that the target uses for itself.
 * Called by cow.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collect/cow_private.h"
#include "mirror/cow_bits.h"
#include "mirror/cow_scan.h"
#include "mirror/mm.h"
#include "mirror/page_scan.h"

struct watch_process *cow_outside(const struct cows *c, uint64_t number)
{
	const struct watch *w = c->watch;
	const struct watch_image *im = watch_image_find(w, number);

	if (!im || !im->process)
		return NULL;
	struct watch_process *p = &w->processes[im->process - 1];
	return p->gone_ns || p->proc_fd < 0 || p->image != number ? NULL : p;
}

bool cow_is_gone(const struct cows *c, uint64_t number)
{
	const struct watch *w = c->watch;
	const struct watch_image *im = watch_image_find(w, number);

	if (!im || !im->known)
		return false;
	return im->gone || (im->process && (w->processes[im->process - 1].gone_ns ||
		w->processes[im->process - 1].image != number));
}

void cow_tell_over(struct cows *c, const struct cow_fork *f, int side)
{
	const struct watch *w = c->watch;
	uint64_t number = f->side[side].process;
	const struct watch_image *im = watch_image_find(w, number);
	struct mms_process *slot = im && im->known ? mms_process_slot(w->session, im->slot) : NULL;

	if (slot && slot->number == number)
		atomic_store_explicit(&slot->cow_over, f->stamp, memory_order_relaxed);
}

struct found {
	struct page_plane written, clean, fresh, moved, swapped, joined;
	uint32_t how; /* enum mms_watch */
	bool marks;   /* pages that are not protected are told, too */
	struct cow_bits alone; /* of these: those that nobody shares */
	int error;
};

static uint64_t entry[8192];

/* As in the target: what is shared is not new, but was moved by mremap. */
static void one_fresh(void *arg, uint64_t first, uint64_t n, unsigned categories)
{
	struct found *f = arg;

	page_plane_set(categories & (IS_WRITTEN | IS_SWAPPED) ? &f->fresh : &f->moved, first, n);
}

/* When the other side is gone nobody shares it any more: what was seen before counts. */
static void keep_moved(struct cow_process *p, struct found *f)
{
	cow_plane_add_common(&f->moved, &p->moved, &f->fresh);
	cow_plane_take_away(&f->fresh, &f->moved);
	cow_plane_free(&p->moved);
	p->moved = f->moved;
	f->moved = (struct page_plane){ .slot = NULL };
}

static void one_run(void *arg, uint64_t first, uint64_t n, unsigned categories)
{
	struct found *f = arg;

	bool joined = f->how == MMS_WATCH_WITNESS && categories & IS_HUGE && categories & IS_WRITTEN;

	if (f->marks && !(categories & IS_WPALLOWED)) {
		int r = cow_bits_range(&f->alone, first << 12, (first + n) << 12);
		f->error = r < 0 ? r : f->error;
		return;
	}
	if (joined)
		page_plane_set(&f->joined, first, n);
	page_plane_set(categories & IS_WRITTEN && !joined ? &f->written : &f->clean, first, n);
	if (categories & IS_SWAPPED)
		page_plane_set(&f->swapped, first, n);
}

static struct page_region region[2048];

/* By the marks that a userfaultfd left on its pages. */
static int ask_marks(int pagemap_fd, const struct cow_spans *s, struct found *found)
{
	struct cow_scan scan = { .pagemap_fd = pagemap_fd, .region = region, .fresh = s->whole,
		.n_regions = sizeof(region) / sizeof(region[0]), .run = one_run, .arg = found };
	int r = 0;

	found->marks = scan.fresh;
	found->alone = (struct cow_bits){ .pagemap_fd = pagemap_fd, .bit = COW_BIT_ALONE, .no_zero = true, .entry = entry,
		.n_entries = sizeof(entry) / sizeof(entry[0]), .run = one_fresh, .arg = found };
	for (size_t i = 0; i < s->n && r == 0; i++) {
		scan.of_file = s->item[i].of_file;
		r = cow_scan_range(&scan, s->item[i].start, s->item[i].end);
	}
	return r < 0 ? r : found->error;
}

/* By a bit of pagemap. */
static int ask_bits(int pagemap_fd, enum cow_bit bit, const struct cow_spans *s, struct found *found)
{
	struct cow_bits bits = { .pagemap_fd = pagemap_fd, .bit = bit, .entry = entry,
		.n_entries = sizeof(entry) / sizeof(entry[0]), .region = region,
		.n_regions = sizeof(region) / sizeof(region[0]), .run = one_run, .arg = found };
	int r = 0;

	for (size_t i = 0; i < s->n && r == 0; i++)
		if (s->item[i].end - s->item[i].start <= PAGE_SCAN_PREAD_MAX) /* the process armed no more either */
			r = cow_bits_range(&bits, s->item[i].start, s->item[i].end);
	return r;
}

/* The witness holds all that a process does not have for itself. */
static int ask_in_way(int pagemap_fd, uint32_t how, const struct cow_spans *s, struct found *found)
{
	if (how == MMS_WATCH_WITNESS || how == MMS_WATCH_SOFT_DIRTY)
		return ask_bits(pagemap_fd, how == MMS_WATCH_WITNESS ? COW_BIT_ALONE : COW_BIT_SOFT_DIRTY, s, found);
	return ask_marks(pagemap_fd, s, found);
}

bool cow_ask(struct cows *c, uint64_t number, uint32_t how)
{
	struct watch_process *p = cow_outside(c, number);
	struct found found = { .how = how };
	struct cow_spans spans;

	if (!p)
		return false;
	if (how == MMS_WATCH_FRAMES)
		return cow_frames_ask(c, number);
	int fd = openat(p->proc_fd, "pagemap", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	cow_spans_read(&spans, c, number, p);
	int r = ask_in_way(fd, how, &spans, &found);
	cow_spans_done(&spans);
	close(fd);
	bool some = found.written.n_set || found.clean.n_set;
	struct cow_process *told = cow_process_find(c, number);
	if (told)
		keep_moved(told, &found);
	if (r == 0 && some)
		cow_credit(c, number, &(struct cow_found){ .written = &found.written, .clean = &found.clean,
			.fresh = &found.fresh, .swapped = &found.swapped, .joined = &found.joined, .how = how,
			.share = MMS_COW_SHARE_ALL, .whole = true });
	/* Nothing is protected any more: it is ending, or closed the descriptor. */
	cow_plane_free(&found.written);
	cow_plane_free(&found.clean);
	cow_plane_free(&found.fresh);
	cow_plane_free(&found.moved);
	cow_plane_free(&found.swapped);
	cow_plane_free(&found.joined);
	return r == 0 && some;
}

uint64_t cow_ask_faults(struct cows *c, uint64_t number)
{
	struct watch_process *p = cow_outside(c, number);
	char text[1024];
	unsigned long long minflt;

	if (!p)
		return STORE_UNKNOWN;
	int fd = openat(p->proc_fd, "stat", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return STORE_UNKNOWN;
	text[n] = 0;
	const char *rest = strrchr(text, ')');
	if (!rest || sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %llu", &minflt) != 1)
		return STORE_UNKNOWN;
	return minflt;
}
