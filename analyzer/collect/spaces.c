/*
 * spaces.c - the address spaces of the recorded processes over time.
 *
 * A look is compared with the one before: an area that is there unchanged
 * keeps its row, one that went away gets its death, a new one its birth.
 * What a page was before is remembered in one plane ("ever touched").
 *
 *	look      1        2        3        end
 *	area A    [--------------------------
 *	area B             [--------)
 *	rows      A born 1          B died 3
 *
 * Called by the collector's loop and by feed, in one thread.
 */
#include "collect/spaces.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <mmscope/pages.h>

#include "collect/space.h"
#include "model/live.h"

#define VMAS_MAX 150000u   /* rows */
#define GONE_MAX 4096u     /* stacks of one process */
#define SLICE_FIRST (8ul << 20)

void spaces_init(struct spaces *s, struct model *m, const struct stamp_clock *clock, struct store **store,
	const struct stack_source *stacks)
{
	*s = (struct spaces){ .model = m, .clock = clock, .store = store, .stacks = stacks, .slice = SLICE_FIRST };
}

static void areas_clear(struct areas *l)
{
	for (size_t i = 0; i < l->n; i++) {
		free(l->area[i].name);
		free(l->area[i].touch);
		free(l->area[i].pages);
	}
	l->n = 0;
}

static void space_done(struct space *sp)
{
	areas_clear(&sp->now);
	areas_clear(&sp->coming);
	free(sp->now.area);
	free(sp->coming.area);
	free(sp->gone);
	vma_tree_done(&sp->owners);
	page_shadow_done(&sp->pages);
	page_shadow_done(&sp->coming_pages);
	page_shadow_done(&sp->ever);
}

void spaces_done(struct spaces *s)
{
	while (s->looking)
		look_drop(s, s->looking);
	for (size_t i = 0; i < s->space.n; i++)
		space_done(s->space.item[i]);
	numbered_done(&s->space);
	memset(s, 0, sizeof(*s));
}

/* ---- which one ---- */

/* A forked child has what its parent had mapped. */
static void inherit(struct spaces *s, struct space *sp)
{
	const struct model_process *p = model_process_find(s->model, sp->number);
	struct space *parent = p && p->begin == MMS_BEGIN_FORK ? numbered_find(&s->space, p->parent) : NULL;

	if (!parent)
		return;
	for (struct vma *v = vma_tree_next(&parent->owners, 0); v; v = vma_tree_next(&parent->owners, v->end)) {
		struct vma copy = *v;
		vma_tree_map(&sp->owners, &copy);
	}
}

struct space *space_of(struct spaces *s, uint64_t number)
{
	struct space *sp = numbered_find(&s->space, number);

	if (sp)
		return sp;
	sp = numbered_new(&s->space, number, sizeof(*sp));
	if (!sp)
		return NULL;
	sp->number = number;
	sp->look.ask.pagemap_fd = -1;
	vma_tree_init(&sp->owners);
	page_shadow_init(&sp->pages);
	page_shadow_init(&sp->coming_pages);
	page_shadow_init(&sp->ever);
	inherit(s, sp);
	return sp;
}

static bool has_row(void *arg, uint64_t number, void *item)
{
	struct spaces *s = arg;
	const struct model_process *p = model_process_find(s->model, number);

	if (p && !p->n_summed)
		return true;
	look_drop(s, item);
	space_done(item);
	return false;
}

void spaces_forget(struct spaces *s)
{
	numbered_sift(&s->space, has_row, s);
}

void spaces_count(struct spaces *s)
{
	if (*s->store)
		s->n_rows = store_vmas(*s->store);
}

/* ---- a look that is being built ---- */

void space_drop_coming(struct space *sp)
{
	areas_clear(&sp->coming);
	page_shadow_done(&sp->coming_pages);
	page_shadow_init(&sp->coming_pages);
}

bool space_add(struct space *sp, const struct mms_area *a, const char *name, size_t length)
{
	struct areas *l = &sp->coming;

	if (l->n == l->capacity) {
		size_t capacity = l->capacity * 2 + 64;
		void *more = reallocarray(l->area, capacity, sizeof(*l->area));
		if (!more)
			return false;
		l->area = more;
		l->capacity = capacity;
	}
	char *copy = strndup(length ? name : "", length);
	if (!copy)
		return false;
	l->area[l->n++] = (struct area){ .a = *a, .name = copy };
	return true;
}

static void put_states(struct page_shadow *shadow, const uint8_t *bytes, size_t n, uint64_t first)
{
	struct mms_page_reader r;
	uint64_t page, run;
	enum mms_page_state state;

	mms_pages_begin(&r, bytes, n, first);
	while (mms_pages_next(&r, &page, &run, &state)) {
		if (state == MMS_PAGE_ABSENT || page >> 36 || run > 1ull << 36)
			continue;
		page_plane_set(&shadow->plane[PAGE_TOUCHED], page, run);
		if (state == MMS_PAGE_SWAPPED) {
			page_plane_set(&shadow->plane[PAGE_SWAPPED], page, run);
			continue;
		}
		page_plane_set(&shadow->plane[PAGE_PRESENT], page, run);
		if (state == MMS_PAGE_ZERO)
			page_plane_set(&shadow->plane[PAGE_ZERO], page, run);
		if (state == MMS_PAGE_HUGE)
			page_plane_set(&shadow->plane[PAGE_HUGE], page, run);
	}
}

/* ---- a look that is whole ---- */

static void add_touched(struct space *sp)
{
	struct page_plane *now = &sp->coming_pages.plane[PAGE_TOUCHED], *ever = &sp->ever.plane[PAGE_TOUCHED];

	for (size_t i = 0; i < sp->coming.n; i++) {
		struct area *x = &sp->coming.area[i];
		uint64_t end = x->a.end >> 12;
		struct page_run run = { .first = x->a.start >> 12 };

		while (page_plane_run(now, run.first + run.n, end, &run))
			page_plane_set(ever, run.first, run.n);
		x->touched = page_plane_count(ever, x->a.start >> 12, end - (x->a.start >> 12));
		/* States were left out: at least what was counted. */
		uint64_t counted = (uint64_t)x->a.present + x->a.zero + x->a.swapped;
		if (x->touched < counted)
			x->touched = counted;
	}
}

static bool same(const struct area *o, const struct area *n)
{
	return o->a.start == n->a.start && o->a.end == n->a.end && o->a.prot == n->a.prot &&
		(o->a.flags & VMA_SHARED) == (n->a.flags & VMA_SHARED) && o->a.inode == n->a.inode &&
		o->a.stack == n->a.stack && o->a.pgoff == n->a.pgoff && strcmp(o->name, n->name) == 0 &&
		(o->a.born_stamp == n->a.born_stamp || !o->a.born_stamp || !n->a.born_stamp);
}

static bool resized(const struct area *o, const struct area *n)
{
	return o->a.start == n->a.start && o->a.origin == n->a.origin && o->a.stack == n->a.stack;
}

void space_write_area(struct spaces *s, const struct space *sp, struct area *x, uint64_t died_ns)
{
	if (!*s->store)
		return;
	if (!x->id) {
		if (s->n_rows >= VMAS_MAX) {
			s->n_left_out++;
			return;
		}
		x->id = ++s->n_vmas;
		s->n_rows++;
	}
	struct store_vma v = { .id = x->id, .process = sp->number, .start = x->a.start, .end = x->a.end,
		.pgoff = x->a.pgoff, .inode = x->a.inode, .device = x->a.device, .stack = x->a.stack,
		.prot = x->a.prot, .shared = (x->a.flags & VMA_SHARED) != 0, .origin = x->a.origin,
		.name = x->name, .born_ns = x->born_ns, .died_ns = died_ns, .known = x->a.known,
		.present = x->a.present, .zero = x->a.zero, .swapped = x->a.swapped, .huge = x->a.huge,
		.touched = x->touched };
	store_vma(*s->store, &v, s->stacks);
	x->changed = false;
}

static uint64_t birth(struct spaces *s, const struct space *sp, const struct area *x, uint64_t t_ns)
{
	const struct model_process *p = model_process_find(s->model, sp->number);

	if (x->a.born_stamp)
		return stamp_full_ns(s->clock, x->a.born_stamp);
	return sp->looked || !p ? t_ns : p->begin_ns;
}

static void died(struct spaces *s, struct space *sp, struct area *x, uint64_t t_ns)
{
	space_write_area(s, sp, x, t_ns);
	touches_write(s, x);
	page_plane_clear(&sp->ever.plane[PAGE_TOUCHED], x->a.start >> 12, (x->a.end - x->a.start) >> 12);
}

static void compare(struct spaces *s, struct space *sp, uint64_t t_ns)
{
	size_t o = 0;

	for (size_t i = 0; i < sp->coming.n; i++) {
		struct area *x = &sp->coming.area[i];
		while (o < sp->now.n && sp->now.area[o].a.start < x->a.start)
			died(s, sp, &sp->now.area[o++], t_ns);
		x->changed = true;
		if (o < sp->now.n && same(&sp->now.area[o], x)) {
			struct area *old = &sp->now.area[o++];
			touches_move(x, old);
			x->id = old->id;
			x->born_ns = old->born_ns;
			x->changed = memcmp(&old->a.present, &x->a.present, 16) != 0 || old->a.known != x->a.known;
		} else {
			if (o < sp->now.n && resized(&sp->now.area[o], x))
				touches_move(x, &sp->now.area[o]);
			x->born_ns = birth(s, sp, x, t_ns);
		}
	}
	while (o < sp->now.n)
		died(s, sp, &sp->now.area[o++], t_ns);
}

void space_take(struct spaces *s, struct space *sp, const struct store_scan *scan)
{
	struct store_scan sum = *scan;

	compare(s, sp, scan->t_ns);
	add_touched(sp);
	struct areas old = sp->now;
	sp->now = sp->coming;
	sp->coming = old;
	struct page_shadow pages = sp->pages;
	sp->pages = sp->coming_pages;
	sp->coming_pages = pages;
	space_drop_coming(sp);
	sp->looked = true;
	space_add_up(sp);
	sp->scan_error = -scan->error;
	sum.process = sp->number;
	sum.n_areas = sp->now.n;
	for (size_t i = 0; i < sp->now.n; i++) {
		struct area *x = &sp->now.area[i];
		sum.present += x->a.present;
		sum.zero += x->a.zero;
		sum.swapped += x->a.swapped;
		touches_note(x, scan->t_ns);
		if (x->changed)
			space_write_area(s, sp, x, 0);
	}
	if (*s->store)
		store_page_scan(*s->store, &sum);
}

/* ---- records ---- */

static void note_pages(struct space *sp, const struct order_note *n)
{
	struct mms_pages v;

	if (n->bytes < sizeof(v))
		return;
	memcpy(&v, n->payload, sizeof(v));
	if (v.n_bytes <= n->bytes - sizeof(v))
		put_states(&sp->coming_pages, (const uint8_t *)n->payload + sizeof(v), v.n_bytes, v.page);
}

static void note_area(struct space *sp, const struct order_note *n)
{
	struct mms_area a;

	if (n->bytes < sizeof(a))
		return;
	memcpy(&a, n->payload, sizeof(a));
	const char *text = (const char *)n->payload + sizeof(a);
	if (a.start >= a.end || (uint64_t)a.name_length + a.states_bytes > n->bytes - sizeof(a) ||
		(sp->coming.n && a.start < sp->coming.area[sp->coming.n - 1].a.end))
		return;
	put_states(&sp->coming_pages, (const uint8_t *)text + a.name_length, a.states_bytes, a.states_from);
	space_add(sp, &a, text, a.name_length);
}

static void write_drift(struct spaces *s, const struct space *sp, const struct mms_space *v)
{
	struct store_drift d = { .process = sp->number, .checks = v->checks, .differences = v->differences,
		.left = v->left, .missed = v->missed };

	memcpy(d.hidden, v->hidden, sizeof(d.hidden));
	store_drift(*s->store, &d);
}

static void note_space(struct spaces *s, struct space *sp, const struct order_note *n)
{
	struct mms_space v;

	if (n->bytes < sizeof(v))
		return;
	memcpy(&v, n->payload, sizeof(v));
	if (v.flags & MMS_SPACE_NO_TREE || v.n_areas != sp->coming.n) {
		s->n_broken += v.n_areas != sp->coming.n;
		if (v.flags & MMS_SPACE_NO_TREE && !sp->looked)
			sp->scan_error = v.scan_error;
		space_drop_coming(sp);
		return;
	}
	sp->no_states = v.flags & MMS_SPACE_NO_STATES;
	sp->final = v.look == MMS_LOOK_EXIT;
	space_take(s, sp, &(struct store_scan){ .t_ns = n->t_ns, .look = v.look, .n_pages = v.n_pages,
		.cost_ns = v.cost_ns, .error = v.scan_error < 0 ? -v.scan_error : 0 });
	if (sp->final)
		space_pack(sp);
	if (!*s->store)
		return;
	write_drift(s, sp, &v);
	store_mm(*s->store, sp->number, n->t_ns, &v.mm, false);
}

static void add_gone(struct space *sp, uint32_t stack, uint64_t bytes, uint64_t touched)
{
	size_t i = 0;

	while (i < sp->n_gone && sp->gone[i].stack != stack)
		i++;
	if (i == sp->n_gone) {
		if (sp->n_gone == sp->gone_capacity) {
			size_t capacity = sp->gone_capacity * 2 + 16;
			void *more = capacity <= GONE_MAX ? reallocarray(sp->gone, capacity, sizeof(*sp->gone)) : NULL;
			if (!more)
				return;
			sp->gone = more;
			sp->gone_capacity = capacity;
		}
		sp->gone[sp->n_gone++] = (struct gone){ .stack = stack };
	}
	sp->gone[i].count++;
	sp->gone[i].bytes += bytes;
	sp->gone[i].touched += touched;
}

/* A mapping has its stack with it; a block's is known by its address. */
static void note_gone(struct spaces *s, struct space *sp, const struct order_note *n)
{
	const struct model_process *p = model_process_find(s->model, sp->number);
	struct live_block b;
	struct mms_gone v;

	if (n->bytes < sizeof(v))
		return;
	memcpy(&v, n->payload, sizeof(v));
	if (v.kind == MMS_GONE_UNMAP)
		add_gone(sp, v.stack, v.length, v.touched);
	else if (p && p->live && live_find(p->live, v.address, &b) && b.site < p->n_sites)
		add_gone(sp, p->sites[b.site]->stack, b.size, v.touched);
}

static void note_allocator(struct spaces *s, const struct space *sp, const struct order_note *n)
{
	struct mms_allocator a;
	char text[256];

	if (n->bytes < sizeof(a) || !*s->store)
		return;
	memcpy(&a, n->payload, sizeof(a));
	store_allocator(*s->store, sp->number, &a);
	if (!a.error)
		return;
	snprintf(text, sizeof(text), "How the allocator keeps its free memory is not known: %s.",
		a.error == -EDEADLK ? "it did not answer"
		: a.error == -E2BIG ? "more than 1 GiB is in use, the question would take too long"
		: a.error == -ENOSYS ? "it is neither glibc 2.33 or later nor jemalloc with statistics"
				    : strerror(-a.error));
	store_coverage(*s->store, sp->number, "allocator", 1, text);
}

static uint64_t page_up(uint64_t a)
{
	return (a + 4095) & ~(uint64_t)4095;
}

static void note_vm(struct space *sp, const struct order_note *n)
{
	struct mms_vm v;

	if (n->bytes < sizeof(v))
		return;
	sp->n_calls++;
	memcpy(&v, n->payload, sizeof(v));
	struct vma area = { .start = v.address, .end = page_up(v.address + v.length), .prot = v.prot & 7,
		.stack = n->stack, .pgoff = v.address >> 12, .born_stamp = n->t_ns,
		.flags = n->type == MMS_LONG_MMAP && v.flags & MAP_NORESERVE ? VMA_NORESERVE : 0,
		.origin = v.fd >= 0 ? VMA_FILE : VMA_ANON };
	if (v.address % 4096 || v.address >> 47 || v.length >> 47 || (v.length == 0 && n->type != MMS_LONG_BRK))
		return;
	if (n->type == MMS_LONG_MMAP || n->type == MMS_LONG_SHMAT)
		vma_tree_map(&sp->owners, &area);
	else if (n->type == MMS_LONG_MUNMAP)
		vma_tree_unmap(&sp->owners, area.start, area.end);
	else if (n->type == MMS_LONG_MREMAP && v.address2 % 4096 == 0)
		vma_tree_move(&sp->owners, v.address2, page_up(v.length2), area.start, area.end - area.start, false);
}

void spaces_note(struct spaces *s, const struct order_writer *w, const struct order_note *n)
{
	struct space *sp = space_of(s, w->process);

	if (!sp)
		return;
	if (n->type == MMS_LONG_PAGES || n->type == MMS_LONG_AREA || n->type == MMS_LONG_SPACE)
		look_drop(s, sp); /* the process knows better, and nothing is mixed */
	switch (n->type) {
	case MMS_LONG_PAGES:
		note_pages(sp, n);
		break;
	case MMS_LONG_AREA:
		note_area(sp, n);
		break;
	case MMS_LONG_SPACE:
		note_space(s, sp, n);
		break;
	case MMS_LONG_GONE:
		note_gone(s, sp, n);
		break;
	case MMS_LONG_ALLOCATOR:
		note_allocator(s, sp, n);
		break;
	default:
		note_vm(sp, n);
	}
}
