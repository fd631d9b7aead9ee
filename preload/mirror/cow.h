/*
 * cow.h - this process's side of a watched fork.
 *
 * A userfaultfd in asynchronous write-protect mode is kept while a fork is
 * watched: the kernel clears the mark of a page at its first write, no event
 * is sent and nobody handles one.  The descriptor is close-on-exec, above
 * 1000, and looked at before each use: the program may have closed it, which
 * ends the watching and nothing else.
 *
 * THE LAW.  Called by the thread that forks, and at the last word.  One flag,
 * for which a thread waits 10 ms at most; it is not held over a fork by the
 * thread that forks, and a child forgets it.  No allocation but one mapping of our own at the first
 * use.  The caller sees to it that no system call filter came into force.
 */
#ifndef MIRROR_COW_H
#define MIRROR_COW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <mmscope/record.h>

#define COW_SMALL_PAGES 512u /* 2 MiB: below, watching costs more than the copies */

struct cow_sink {
	void *arg;
	/* enum mms_cow_state of pages from `first` on, in the format of pages.h. */
	void (*pages)(void *arg, uint64_t first, const uint8_t *bytes, size_t n);
	void (*area)(void *arg, const struct mms_cow_area *area, const char *name);
	/* All is told, or error (-errno) says why not: the record that closes it goes
	 * out before another thread begins to tell.  Not called after -EBUSY and -EBADF. */
	void (*end)(void *arg, int error);
};

/* Private pages in memory; 0: not known. */
uint64_t cow_private_pages(void);

/* Which share of so many pages can be protected in the time there is, of
 * MMS_COW_SHARE_ALL.  Asked once before a fork, so that both sides protect the
 * same pages. */
uint32_t cow_share(uint64_t n_pages);

/* Why a way to tell writes apart is not there: -errno; 0: it is, or was not
 * needed (rung_try_soft_dirty).  Found out once in a tree of processes. */
struct cow_rungs {
	int no_uffd, no_soft_dirty;
};
void cow_rungs(struct cow_rungs *ret);

/* Protects that share of the pages of this process and tells them in the states
 * they had before; sink->area may be NULL.  Fills ret->pages and what follows
 * it; ret->side is the caller's.
 * 0; -EBUSY: another thread does it just now; -EPERM, -ENOSYS, ...: why
 * nothing could be protected. */
int cow_protect(const struct cow_sink *sink, uint32_t share, struct mms_cow_arm *ret);

/* The same with the soft-dirty bits.  All pages of the process are protected
 * then, whatever the share. */
int cow_protect_soft_dirty(const struct cow_sink *sink, uint32_t share, struct mms_cow_arm *ret);

/* The same without protecting anything: tells the pages as clean. */
int cow_tell_there(const struct cow_sink *sink, uint32_t share, struct mms_cow_arm *ret);

/* Tells what was written since.  0; -EBADF: nothing is watched any more, or
 * the program closed the descriptor; -EBUSY. */
int cow_tell(const struct cow_sink *sink);

/* ---- for a fork with a witness (wrap/witness.h): nothing is protected ---- */

/* Tells the areas that the witness took over; sink->pages is not used.  Fills
 * ret->areas.  0 or -errno. */
int cow_tell_areas(const struct cow_sink *sink, int witness, struct mms_cow_arm *ret);

/* Tells which pages this process has for itself: what it wrote since the
 * newest fork.  0 or -errno. */
int cow_tell_alone(const struct cow_sink *sink);

/* ---- */

/* Something is watched by this process. */
bool cow_is_watching(void);

/* Nothing is watched any more. */
void cow_end(void);

/* In a child of fork, before anything else here: what came over is the
 * parent's, and is closed where system calls may be made. */
void cow_forked(bool may_ask);

/* Minor faults of this process, of this thread, or of another process, so far;
 * 0: not known. */
uint64_t cow_faults(void);
uint64_t cow_faults_of_thread(void);
uint64_t cow_faults_of(int pid);

#endif
