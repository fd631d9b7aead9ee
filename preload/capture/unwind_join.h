/*
 * unwind_join.h - stacks that the thread has walked before, and the walk that
 * joins one of them.
 *
 * Consecutive stacks of a thread share their outer frames.  One step is a
 * function of (pc, sp, and rbp where it matters) and of the words it reads.
 * So when a walk reaches the state of a remembered frame, going outward frame
 * by frame, as long as the word where the return address lies is the
 * remembered pc (and the word where rbp was saved the remembered rbp, where
 * that matters), every next state is the remembered one.  At the first
 * difference it goes on with ordinary steps from there.  Every word compared
 * is one that a full walk would read next: this is as safe, and as right, as
 * a full walk.
 *
 * rbp matters at a frame (`live`) when a step from it or from an older frame
 * uses it before it is restored from the stack.
 *
 * A thread that allocates in several places in turn leaves the inner frames of
 * one stack for those of another, and comes back.  What a walk replaces is kept
 * as a branch, found by the innermost pc and sp: when the frame that it hangs on
 * stands in the stack that is remembered now, the branch is confirmed like any
 * frames, then that stack from there outward, and nothing is walked or written.
 */
#ifndef CAPTURE_UNWIND_JOIN_H
#define CAPTURE_UNWIND_JOIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <mmscope/record.h>

#include "base/ours.h"
#include "capture/unwind_own.h"

#define JOIN_STACKS 8         /* coroutines want several */
#define JOIN_DEPTH 4096u      /* frames of the first of them; deeper stacks are walked plainly */
#define JOIN_DEPTH_OTHER 512u /* frames of each of the others */
#define JOIN_BRANCH 12u       /* frames of a branch, with the one that it hangs on */
#define JOIN_BRANCHES 256u    /* branches at most, of the first JOIN_LARGE threads that want so many */
#define JOIN_BRANCHES_USUAL 32u
#define JOIN_LARGE 2u
#define JOIN_BRANCHES_FIRST 8u
#define JOIN_QUIET 1024u      /* walks from the start or a fork until branches are kept */

OURS extern uint32_t join_forks; /* of this process and those it comes from */

struct join_frame {
	uint64_t sp, rbp;
	uint64_t key;  /* pc and flags: the frame's w0 in the stack table */
	uint64_t hash; /* cumulative, from the root */
	rule rule;
	uint32_t mark; /* id of its node in the stack table, 0: not known here; enum join_mark.
	                * One word: a load that spans what two stores wrote has to wait */
};

enum join_mark {
	JOIN_LIVE = 1 << 24,  /* rbp matters, see above */
	JOIN_SAVED = 1 << 25, /* the word where rbp was saved (by `rule`) is compared, too */
	JOIN_STEP = 1 << 26,  /* its step is made again each time (a guess, DRAP, WIDE) */
	JOIN_PLAIN = 1 << 27, /* neither from here outward, and the outermost frame is an end:
	                       * pcs are all there is to compare */
};

static inline uint32_t join_id(const struct join_frame *f)
{
	return f->mark & MMS_STACK_MASK;
}

/* Inner frames of a stack that others have replaced.  Zeroed: there is none. */
struct join_branch {
	uint32_t n;     /* frames; 0 while it is written */
	uint32_t epoch; /* of struct join when it was: an older one is void */
	uint32_t at;    /* the stack that it hangs on, */
	uint32_t keep;  /* at its frame keep - 1: a copy of that is frame[0] */
	struct join_frame frame[JOIN_BRANCH]; /* innermost last */
};

/* Zeroed memory is a valid one without any stack. */
struct join {
	uint64_t generation; /* of the rules that everything here follows from */
	uint32_t context;
	uint32_t current; /* the stack used last */
	struct join_frame *top; /* its innermost frame; NULL: there is none, or it changes */
	uint32_t next;    /* where the next new stack goes */
	/* Written by signal handlers too: */
	uint32_t in_use;      /* stacks that the walk under way reads or writes, a bit each;
	                       * between walks the current one */
	uint32_t quarantined; /* in use by a walk that was left, or may yet go on */
	uint32_t n_abandoned; /* walks that were left */
	uint32_t epoch;       /* of the branches */
	uint32_t n[JOIN_STACKS]; /* frames of each stack; 0: nothing is remembered there */
	uint32_t branch_mask;   /* number of places for branches - 1; 0: not begun */
	uint32_t branch_missed; /* walks since they last grew */
	uint32_t forks, n_walks; /* walks since so many forks, JOIN_QUIET at most */
	/* frame[0] of each is the outermost.  The first stack is the one that short
	 * processes use: it shares its page with what stands above. */
	struct join_frame first[JOIN_DEPTH];
	struct join_frame fresh[JOIN_DEPTH]; /* innermost first, while a walk is under way */
	struct join_branch branch[JOIN_BRANCHES];
	struct join_frame other[JOIN_STACKS - 1][JOIN_DEPTH_OTHER];
};

/* Walks from fp.  The whole stack then stands in the answer; n == 0: it needs
 * all registers or is too deep, and nothing was remembered. */
struct joined join_walk(struct join *j, struct reach *reach, void *const *fp, uint32_t context);

/* The stack says that f is called by who is remembered, as far as pcs say that.  A
 * key with flags is no pc, and is left to who steps. */
static inline bool join_stands(const struct join_frame *f)
{
	return *(const volatile uint64_t *)(uintptr_t)(f->sp - 8) == f->key;
}

/* Goes outward from frame f while the stack still says what is remembered.
 * Returns the outermost frame whose state is confirmed. */
struct join_frame *join_confirm(struct join_frame *f, struct join_frame *root);

/* The innermost frame of the stack from fp when that is the last one, frame by
 * frame; else NULL.  Reads alone: what a loop that allocates does all day. */
static inline __attribute__((always_inline)) struct join_frame *join_same(
	struct join *j, void *const *fp, uint32_t context)
{
	struct join_frame *top = j->top, *f = top;

	if (__builtin_expect(!top || top->sp != (uintptr_t)(fp + 2) || top->key != (uintptr_t)fp[1], 0))
		return NULL;
	if ((top->mark & JOIN_LIVE && top->rbp != (uintptr_t)fp[0]) || j->generation != rules_generation() ||
		j->context != context)
		return NULL;
	struct join_frame *root = j->current ? j->other[j->current - 1] : j->first;
	if (!(top->mark & JOIN_PLAIN))
		return join_confirm(top, root) == root && rule_kind(root->rule) == RULE_END ? top : NULL;
	for (; f - root >= 4; f -= 4)
		if (!join_stands(f - 1) || !join_stands(f - 2) || !join_stands(f - 3) || !join_stands(f - 4))
			return NULL;
	for (; f > root; f--)
		if (!join_stands(f - 1))
			return NULL;
	return top;
}

/* The same for a stack whose inner frames are a branch. */
struct join_frame *join_branched(struct join *j, void *const *fp, uint32_t context);

/* A walk that was under way has been left for good (siglongjmp), or so it
 * seems: what it had in hand is kept away from the next ones. */
void join_abandon(struct join *j);

/* Nothing is remembered any more. */
void join_forget(struct join *j);

#endif
