/*
 * cow.c - which forks are watched, and what is told of them.
 *
 * A child that executes another program at once shares pages for nothing:
 * watching it would cost more than the fork.  What became of the children of a
 * call stack is kept in one page that all processes of the tree share; after
 * two that executed and none that lived on, forks from there are not watched.
 *
 * Called by fork.c, exit.c and exec.c.  No allocation, no lock (mirror/cow.h).
 */
#include "wrap/cow.h"

#include <errno.h>
#include <stdatomic.h>

#include <mmscope/launch.h>

#include "base/doorbell.h"
#include "base/own.h"
#include "base/sys.h"
#include "capture/emit.h"
#include "mirror/cow.h"
#include "wrap/process.h"
#include "wrap/space.h"
#include "wrap/witness.h"

#define PLACES 512u
#define PLACE_TRIES 8u
#define LEARNED 2u /* children that executed */
#define POPULATE_READ 22 /* MADV_POPULATE_READ, since Linux 5.14 */

struct place {
	_Atomic uint32_t stack; /* 0: free */
	_Atomic uint16_t n_execs, n_lives;
};
_Static_assert(sizeof(struct place) * PLACES == 4096, "one page");

static struct place *_Atomic places; /* shared by the whole tree */
static uint32_t born_of;             /* stack of the fork that made this process; 0: none known */
static _Atomic uint64_t newest;      /* begin of the fork that was watched last; 0: none */
static _Atomic uint32_t newest_watch; /* enum mms_watch of it */
static int born_by;                  /* its pid */
static bool is_child;                /* of a fork */
static uint64_t seen;                /* number of the process, where the bracket saw its fork */
/* What the witness of this thread's fork took, or what was told before it. */
static __thread uint64_t witness_ns __attribute__((tls_model("initial-exec")));
static __thread struct mms_cow_arm before_it __attribute__((tls_model("initial-exec")));
static __thread uint64_t thread_faults __attribute__((tls_model("initial-exec"))); /* of it, before */
static atomic_flag showing = ATOMIC_FLAG_INIT; /* a thread forks whose frames are shown */
static __thread bool is_shown __attribute__((tls_model("initial-exec"))); /* it is this one */
static bool is_of_many; /* this process is the child of a fork of enough memory to be watched */

/* A child that is not recorded asks for no comparison. */
static bool wants_witness(void)
{
	const struct mms_header *h = capture_session()->header;

	return h->cow == MMS_COW_WITNESS && h->follow != MMS_FOLLOW_NONE;
}

/* The best way there is without a witness.  Where there is none pages are
 * tried to be protected all the same: the record says why they were not. */
static enum mms_watch rung(struct mms_fork *note)
{
	struct cow_rungs r;

	cow_rungs(&r);
	note->no_uffd = (int16_t)r.no_uffd;
	note->no_soft_dirty = (int16_t)r.no_soft_dirty;
	if (!r.no_uffd)
		return MMS_WATCH_UFFD;
	if (!r.no_soft_dirty)
		return MMS_WATCH_SOFT_DIRTY;
	return atomic_load(&capture_session()->header->sees_frames) ? MMS_WATCH_FRAMES : MMS_WATCH_UFFD;
}

static struct place *place_of(uint32_t stack)
{
	struct place *all = atomic_load(&places);

	for (uint32_t i = 0; all && stack && i < PLACE_TRIES; i++) {
		struct place *p = &all[(stack * 2654435761u + i) % PLACES];
		uint32_t none = 0;

		if (atomic_load(&p->stack) == stack || atomic_compare_exchange_strong(&p->stack, &none, stack) ||
			none == stack)
			return p;
	}
	return NULL;
}

static void make_places(void)
{
	struct place *none = NULL;

	if (atomic_load(&places))
		return;
	long at = mms_mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (mms_is_error(at))
		return;
	if (atomic_compare_exchange_strong(&places, &none, (struct place *)at))
		own_note((void *)at, 4096);
	else
		mms_munmap((void *)at, 4096);
}

static enum mms_watch decide(uint32_t stack, struct mms_fork *note)
{
	if (capture_session()->header->cow == MMS_COW_OFF)
		return MMS_WATCH_OFF;
	if (doorbell_is_silent() || space_on_small_stack())
		return MMS_WATCH_FILTER;
	make_places();
	struct place *p = place_of(stack);
	if (p && atomic_load(&p->n_execs) >= LEARNED && atomic_load(&p->n_lives) == 0)
		return MMS_WATCH_EXECS;
	uint64_t n_pages = cow_private_pages();
	note->share = cow_share(n_pages);
	if (n_pages < COW_SMALL_PAGES)
		return MMS_WATCH_SMALL;
	return wants_witness() ? MMS_WATCH_WITNESS : rung(note);
}

void cow_decide(uint32_t stack, struct mms_fork *note)
{
	note->watch = decide(stack, note);
}

/* ---- telling ---- */

static void tell_pages(void *arg, uint64_t first, const uint8_t *bytes, size_t n)
{
	struct mms_pages head = { .page = first, .n_bytes = (uint32_t)n };

	(void)arg;
	emit_long(MMS_LONG_COW_PAGES, 0, &head, sizeof(head), bytes, n, NULL, 0);
}

static void tell_area(void *arg, const struct mms_cow_area *area, const char *name)
{
	(void)arg;
	emit_long(MMS_LONG_COW_AREA, area->stack, area, sizeof(*area), name, area->name_length, NULL, 0);
}

/* Faults will be all that is known, and ours shall not be among them: what the
 * kernel is asked to populate it does not count.  A child has our code in no
 * page table. */
static void touch_ahead(enum mms_cow_side side)
{
	extern const char __ehdr_start[] __attribute__((visibility("hidden")));
	extern const char edata[] __attribute__((visibility("hidden")));
	uintptr_t start = (uintptr_t)__ehdr_start, end = ((uintptr_t)edata + 4095) & ~4095ul;

	if (side == MMS_COW_CHILD)
		mms_madvise((void *)start, end - start, POPULATE_READ);
	capture_touch_ahead();
}

/* What was told of a side is the caller's. */
static void tell_armed(const struct mms_fork *note, struct mms_cow_arm *arm, int error)
{
	arm->error = error;
	atomic_store(&newest_watch, note->watch);
	atomic_store(&newest, arm->error == 0 ? note->begin_stamp : 0);
	arm->watch = note->watch;
	arm->faults = cow_faults();
	arm->window = arm->faults - (arm->side == MMS_COW_PARENT ? note->faults : 0);
	emit_long(MMS_LONG_COW_ARM, 0, arm, sizeof(*arm), NULL, 0, NULL, 0);
	if (arm->error)
		touch_ahead(arm->side);
}

struct arming {
	const struct mms_fork *note;
	struct mms_cow_arm arm;
};

static void end_arm(void *arg, int error)
{
	struct arming *a = arg;

	tell_armed(a->note, &a->arm, error);
}

static void one_side(const struct mms_fork *note, uint64_t parent, enum mms_cow_side side)
{
	struct arming a = { note, { .begin_stamp = note->begin_stamp, .parent = parent, .side = side } };
	struct cow_sink sink = { &a, tell_pages, side == MMS_COW_PARENT ? tell_area : NULL, end_arm };
	int r = note->watch == MMS_WATCH_SOFT_DIRTY ? cow_protect_soft_dirty(&sink, note->share, &a.arm)
						    : cow_protect(&sink, note->share, &a.arm);

	if (r == -EBUSY)
		end_arm(&a, r);
}

/* With a witness nothing is protected: the collector looks at it for what was
 * shared, and at the sides for what they have for themselves since. */
static void one_side_with_witness(const struct mms_fork *note, uint64_t parent, enum mms_cow_side side)
{
	struct arming a = { note, { .begin_stamp = note->begin_stamp, .parent = parent, .side = side,
		.share = MMS_COW_SHARE_ALL } };
	struct cow_sink sink = { .arg = &a, .area = tell_area, .end = end_arm };

	a.arm.cost_ns = side == MMS_COW_PARENT ? witness_ns : 0;
	int r = side == MMS_COW_PARENT ? cow_tell_areas(&sink, note->witness, &a.arm) : 0;
	if (side == MMS_COW_CHILD || r == -EBUSY)
		end_arm(&a, r);
}

/* What was told is read first: it may be on the way for a while. */
static void stand_still(void)
{
	emit_long(MMS_LONG_COW_STANDS, 0, NULL, 0, NULL, 0, NULL, 0);
	process_be_read(capture_process(), MMS_REACH_COMPARE);
}

static void end_showing(void)
{
	if (is_shown)
		atomic_flag_clear_explicit(&showing, memory_order_release);
	is_shown = false;
}

/* Nor where frames are compared: all was told before the fork. */
static void one_side_by_frames(const struct mms_fork *note, uint64_t parent, enum mms_cow_side side)
{
	struct mms_cow_arm arm = { .share = note->share };

	if (side == MMS_COW_PARENT)
		arm = before_it;
	arm.begin_stamp = note->begin_stamp;
	arm.parent = parent;
	arm.side = side;
	tell_armed(note, &arm, arm.error);
	end_showing();
}

#define FAULTS_TRIES 4

/* What this thread faulted in the fork is the fork's and ours.  That of the
 * record too: where telling took a fault it is told again. */
static void tell_faults(const struct mms_fork *note, uint64_t parent, enum mms_cow_side side)
{
	struct mms_cow_faults v = { .begin_stamp = note->begin_stamp, .parent = parent, .side = side };
	uint64_t now = cow_faults_of_thread(), told = now + 1;

	for (int i = 0; i < FAULTS_TRIES && told != now; i++) {
		told = now;
		v.faults = side == MMS_COW_CHILD ? told : note->faults + told - thread_faults;
		emit_long(MMS_LONG_COW_FAULTS, 0, &v, sizeof(v), NULL, 0, NULL, 0);
		now = cow_faults_of_thread();
	}
}

static bool counts_faults(const struct mms_fork *note)
{
	return note->watch != MMS_WATCH_OFF && note->watch != MMS_WATCH_EXECS && note->watch != MMS_WATCH_FILTER;
}

static void side_of(const struct mms_fork *note, uint64_t parent, enum mms_cow_side side)
{
	if (note->watch == MMS_WATCH_UFFD || note->watch == MMS_WATCH_SOFT_DIRTY)
		one_side(note, parent, side);
	else if (note->watch == MMS_WATCH_WITNESS)
		one_side_with_witness(note, parent, side);
	else if (note->watch == MMS_WATCH_FRAMES)
		one_side_by_frames(note, parent, side);
	if (counts_faults(note))
		tell_faults(note, parent, side);
}

/* We stand still while the frames are read in which the pages are now: a side
 * that is in another one later has copied.  One thread at a time, up to the end
 * of its fork: the collector keeps one set of frames for a process. */
static void show_frames(const struct mms_fork *note, uint64_t begin_ns)
{
	struct cow_sink sink = { .pages = tell_pages, .area = tell_area };

	before_it = (struct mms_cow_arm){ .side = MMS_COW_PARENT, .error = -EBUSY };
	if (!is_shown && atomic_flag_test_and_set_explicit(&showing, memory_order_acquire))
		return;
	is_shown = true;
	emit_long(MMS_LONG_COW_FRAMES, 0, NULL, 0, NULL, 0, NULL, 0);
	before_it.error = cow_tell_there(&sink, note->share, &before_it);
	if (before_it.error == 0)
		stand_still();
	before_it.cost_ns = mms_clock_ns(CLOCK_MONOTONIC) - begin_ns;
}

static void end_told(void *arg, int error)
{
	(void)arg;
	if (error == 0)
		emit_long(MMS_LONG_COW_TELL, 0, NULL, 0, NULL, 0, NULL, 0);
}

/* Any fork shares anew what this process had for itself. */
static void tell_before_it_is_shared(void)
{
	struct cow_sink sink = { .pages = tell_pages, .end = end_told };

	cow_check();
	if (atomic_load(&newest) && wants_witness() && !doorbell_is_silent())
		cow_tell_alone(&sink);
}

void cow_before(struct mms_fork *note)
{
	uint64_t begin = mms_clock_ns(CLOCK_MONOTONIC);

	/* Both of one moment: being answered may take a fault. */
	for (int i = 0; i < FAULTS_TRIES && !doorbell_is_silent(); i++) {
		thread_faults = cow_faults_of_thread();
		note->faults = cow_faults();
		if (cow_faults_of_thread() == thread_faults)
			break;
	}
	tell_before_it_is_shared();
	if (note->watch == MMS_WATCH_WITNESS) {
		note->witness = witness_make();
		if (note->witness < 0)
			note->watch = rung(note);
	}
	if (note->watch == MMS_WATCH_FRAMES)
		show_frames(note, begin);
	witness_ns = mms_clock_ns(CLOCK_MONOTONIC) - begin;
}

void cow_failed(const struct mms_fork *note)
{
	witness_end(note->witness);
	end_showing();
}

void cow_check(void)
{
	uint64_t stamp = atomic_load_explicit(&newest, memory_order_relaxed);
	const struct mms_process *p = stamp ? capture_process() : NULL;

	if (!p || atomic_load_explicit(&p->cow_over, memory_order_relaxed) != stamp)
		return;
	if (atomic_compare_exchange_strong(&newest, &stamp, 0))
		cow_end();
}

void cow_in_parent(const struct mms_fork *note, uint64_t parent)
{
	side_of(note, parent, MMS_COW_PARENT);
}

void cow_in_child(const struct mms_fork *note, uint64_t parent, uint32_t stack)
{
	cow_forked(!doorbell_is_silent());
	witness_forked();
	atomic_flag_clear(&showing);
	is_shown = false;
	atomic_store(&newest, 0);
	is_child = true;
	seen = capture_process() ? capture_process()->number : 0;
	born_of = stack;
	born_by = doorbell_is_silent() ? 0 : mms_getppid();
	is_of_many = counts_faults(note) && note->watch != MMS_WATCH_SMALL;
	side_of(note, parent, MMS_COW_CHILD);
}

/* Pages that we wrote can only be compared while we stand still. */
static bool is_compared(void)
{
	cow_check();
	return atomic_load(&newest) && (wants_witness() || atomic_load(&newest_watch) == MMS_WATCH_FRAMES);
}

/* The child of a raw clone comes to its end without a bracket. */
static void notice_clone(void)
{
	const struct mms_process *p = capture_process();

	if (!p || p->begin != MMS_BEGIN_FORK || p->number == seen)
		return;
	seen = p->number;
	cow_forked(!doorbell_is_silent());
	atomic_store(&newest, 0);
	is_child = true;
	born_of = 0;
	born_by = 0;
	is_of_many = false;
}

struct ending {
	struct mms_cow_last last;
	bool told;
};

static void end_last(void *arg, int error)
{
	struct ending *e = arg;

	e->told = true;
	e->last.error = error;
	emit_long(MMS_LONG_COW_LAST, 0, &e->last, sizeof(e->last), NULL, 0, NULL, 0);
}

/* A failed exec has told already: the later word counts. */
void cow_last_word(enum mms_look look)
{
	/* First: what follows is ours. */
	struct ending e = { { .faults = doorbell_is_silent() ? 0 : cow_faults(), .look = look }, false };
	struct cow_sink sink = { .arg = &e, .pages = tell_pages, .end = end_last };

	notice_clone();
	bool compared = is_compared(), watched = cow_is_watching() || compared;
	if (!is_child && !watched)
		return;
	struct place *p = is_child ? place_of(born_of) : NULL;
	if (p)
		atomic_fetch_add(look == MMS_LOOK_EXEC ? &p->n_execs : &p->n_lives, 1);
	int r = doorbell_is_silent() ? -EPERM : 0;
	if (r == 0 && is_of_many && born_by && born_by == mms_getppid())
		e.last.parent_faults = cow_faults_of(born_by);
	if (r == 0 && (cow_is_watching() || !compared))
		r = space_on_small_stack() ? -EAGAIN : cow_tell(&sink);
	if (!e.told)
		end_last(&e, r);
	if (compared && r != -EPERM)
		stand_still();
}
