/*
 * cow_frames.c - who copied a page, by the frames of memory that the sides
 * have it in.  Needs CAP_SYS_ADMIN.
 *
 *	parent stands still, its frames are read --fork-- both go on
 *	      frame F                             parent F, child G: the child copied
 *
 * The kernel gives the copy to the side that writes, so a side in another frame
 * than before has copied.  Not seen: the write of a side that was left the page
 * alone, because nothing is copied for it.  Where the kernel moves a page both
 * sides are in the same new frame.  A page that was given away and taken again
 * counts as copied.
 *
 * Called by cow.c, cow_ask.c and cow_witness.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "collect/cow_private.h"

#define ENTRY_PRESENT (1ull << 63)
#define ENTRY_FRAME ((1ull << 55) - 1)
#define ENTRY_SWAPPED (1ull << 62)
#define NOT_KNOWN UINT64_MAX /* in the place of a frame */
#define IN_SWAP (UINT64_MAX - 1)

bool cow_sees_frames(void)
{
	volatile uint64_t here = 1;
	uint64_t entry = 0;
	int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : pread(fd, &entry, sizeof(entry), (off_t)((uintptr_t)&here >> 12 << 3));

	if (fd >= 0)
		close(fd);
	return n == (ssize_t)sizeof(entry) && here && entry & ENTRY_PRESENT && entry & ENTRY_FRAME;
}

void cow_frames_free(struct cow_frames *r)
{
	if (!r)
		return;
	free(r->run);
	free(r->frame);
	free(r);
}

static uint64_t count(const struct cow_run *run, size_t n)
{
	uint64_t pages = 0;

	for (size_t i = 0; i < n; i++)
		pages += run[i].n;
	return pages;
}

/* The frames of these pages now; to be freed.  NULL: the process is gone. */
static uint64_t *read_frames(const struct watch_process *p, const struct cow_run *run, size_t n)
{
	uint64_t *frame = p ? calloc(count(run, n) + 1, sizeof(*frame)) : NULL, *at = frame;
	int fd = frame ? openat(p->proc_fd, "pagemap", O_RDONLY | O_CLOEXEC) : -1;
	ssize_t got = fd < 0 ? -1 : 1;

	for (size_t i = 0; i < n && got > 0; at += run[i++].n)
		for (uint64_t done = 0; done < run[i].n && got > 0; done += (uint64_t)got / 8)
			got = pread(fd, at + done, (run[i].n - done) * 8, (off_t)((run[i].page + done) * 8));
	if (fd >= 0)
		close(fd);
	if (got <= 0 && n) {
		free(frame);
		return NULL;
	}
	for (uint64_t *e = frame; e < at; e++)
		*e = *e & ENTRY_PRESENT ? *e & ENTRY_FRAME : *e & ENTRY_SWAPPED ? IN_SWAP : 0;
	return frame;
}

void cow_frames_note(struct cows *c, struct cow_process *p, uint64_t number)
{
	struct cow_frames *r = calloc(1, sizeof(*r));

	p->shows_frames = false;
	p->frames_new = true;
	cow_frames_free(p->frames);
	p->frames = r;
	if (r)
		r->run = cow_runs_of(&p->clean, &r->n_runs);
	if (r && r->run)
		r->frame = read_frames(cow_outside(c, number), r->run, r->n_runs);
}

int cow_frames_arm(struct cow_fork *f, struct cow_process *parent)
{
	f->frames = parent->frames;
	parent->frames = NULL;
	if (!f->frames || !f->frames->frame)
		return -ESRCH;
	const uint64_t *frame = f->frames->frame;
	for (size_t i = 0; i < f->frames->n_runs; i++)
		for (uint64_t page = f->frames->run[i].page; page < f->frames->run[i].page + f->frames->run[i].n; page++, frame++) {
			bool there = *frame && *frame != IN_SWAP;
			if (there)
				page_plane_set(&f->side[CHILD].plane[COW_ARMED], page, 1);
			else
				page_plane_clear(&f->side[PARENT].plane[COW_ARMED], page, 1);
			f->n_swapped += *frame == IN_SWAP;
		}
	cow_plane_add_common(&f->side[CHILD].plane[COW_HUGE], &f->side[PARENT].plane[COW_HUGE], &f->side[PARENT].plane[COW_HUGE]);
	return 0;
}

static void credit(struct cow_side *s, uint64_t page, bool newest)
{
	page_plane_set(&s->plane[COW_WRITTEN], page, 1);
	if (newest)
		page_plane_set(&s->plane[COW_FIRST], page, 1);
}

/* Who takes it out again has it in another frame, and may not have written. */
static bool was_in_swap(struct cow_fork *f, uint64_t *const frame[SIDES], uint64_t i, uint64_t page)
{
	bool was = false;

	for (int side = 0; side < SIDES; side++) {
		struct page_plane *p = &f->side[side].plane[COW_SWAPPED];
		if (frame[side] && frame[side][i] == IN_SWAP)
			page_plane_set(p, page, 1);
		was = was || (p->n_set && page_plane_count(p, page, 1));
	}
	return was;
}

static void compare(struct cows *c, struct cow_fork *f, uint64_t *const frame[SIDES])
{
	const uint64_t *before = f->frames->frame;
	bool newest[SIDES];
	uint64_t i = 0;

	for (int side = 0; side < SIDES; side++) {
		uint64_t number = f->side[side].process;
		const struct cow_process *p = cow_process_find(c, number);
		newest[side] = !p || p->newest == f;
		if (frame[side])
			cow_plane_free(&f->side[side].plane[COW_GONE]);
	}
	for (size_t k = 0; k < f->frames->n_runs; k++)
		for (uint64_t page = f->frames->run[k].page; page < f->frames->run[k].page + f->frames->run[k].n; page++, i++) {
			bool moved = frame[PARENT] && frame[CHILD] && frame[PARENT][i] == frame[CHILD][i];
			if (!before[i] || before[i] == IN_SWAP || was_in_swap(f, frame, i, page))
				continue;
			for (int side = 0; side < SIDES; side++) {
				if (!frame[side] || frame[side][i] == NOT_KNOWN)
					continue;
				if (!frame[side][i])
					page_plane_set(&f->side[side].plane[COW_GONE], page, 1);
				else if (!moved && frame[side][i] != before[i])
					credit(&f->side[side], page, newest[side]);
			}
		}
}

static bool is_asked_about(const struct cow_fork *f, uint64_t number)
{
	return !f->over && f->watch == MMS_WATCH_FRAMES && f->frames && f->frames->frame &&
		(f->side[PARENT].process == number || f->side[CHILD].process == number);
}

/* The frames of these pages among those that were read; to be freed. */
static uint64_t *frames_among(const struct cow_frames *now, const struct cow_run *run, size_t n)
{
	uint64_t *frame = malloc((count(run, n) + 1) * sizeof(*frame)), *at = frame;
	const uint64_t *from = now->frame;
	size_t k = 0;

	for (size_t i = 0; frame && i < n; i++)
		for (uint64_t page = run[i].page; page < run[i].page + run[i].n; page++) {
			while (k < now->n_runs && now->run[k].page + now->run[k].n <= page)
				from += now->run[k++].n;
			*at++ = k < now->n_runs && now->run[k].page <= page ? from[page - now->run[k].page] : NOT_KNOWN;
		}
	return frame;
}

void cow_frames_before(struct cows *c, uint64_t number)
{
	struct cow_process *p = cow_process_find(c, number);

	if (!p || !p->frames_new)
		return;
	p->frames_new = false;
	for (size_t i = c->first_open; i < c->n && p->frames && p->frames->frame; i++) {
		struct cow_fork *f = c->forks[i];
		uint64_t *frame[SIDES] = { NULL, NULL };

		if (!is_asked_about(f, number))
			continue;
		int side = f->side[CHILD].process == number ? CHILD : PARENT;
		frame[side] = frames_among(p->frames, f->frames->run, f->frames->n_runs);
		frame[!side] = read_frames(cow_outside(c, f->side[!side].process), f->frames->run, f->frames->n_runs);
		compare(c, f, frame);
		free(frame[PARENT]);
		free(frame[CHILD]);
	}
}

bool cow_frames_ask(struct cows *c, uint64_t number)
{
	bool some = false;

	for (size_t i = c->first_open; i < c->n; i++) {
		struct cow_fork *f = c->forks[i];
		uint64_t *frame[SIDES];

		if (!is_asked_about(f, number))
			continue;
		for (int side = 0; side < SIDES; side++)
			frame[side] = read_frames(cow_outside(c, f->side[side].process), f->frames->run, f->frames->n_runs);
		compare(c, f, frame);
		some = some || frame[f->side[CHILD].process == number ? CHILD : PARENT];
		free(frame[PARENT]);
		free(frame[CHILD]);
	}
	return some;
}
