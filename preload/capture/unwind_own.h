/*
 * unwind_own.h - inside of the engine `own`: what its files share.
 */
#ifndef CAPTURE_UNWIND_OWN_H
#define CAPTURE_UNWIND_OWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <mmscope/stacks.h>

#include "capture/unwind.h"
#include "capture/unwind_reach.h"
#include "capture/unwind_rules.h"

#define OWN_SPAN_MAX (64ull << 20) /* no frame is bigger */

/* What decides the next step, but for the words on the stack. */
struct own_state {
	uint64_t pc, sp, rbp;
};

enum own_step {
	OWN_OK,      /* state is the caller's now */
	OWN_GUESSED, /* the same, by the frame pointer */
	OWN_END,     /* there is no caller */
	OWN_LOST,    /* the caller is not to be found */
	OWN_COMPLEX, /* needs all registers: full_walk */
};

/* Learns the rule of a return address that the table does not have. */
rule own_resolve(uint64_t pc);

/* The steps that are not RULE_SP or RULE_BP within their bounds. */
enum own_step own_step_rare(struct own_state *s, rule r, struct reach *reach);

/* On a copy: a state whose address goes elsewhere is kept in memory all along,
 * and each step then waits for its own stores. */
static inline enum own_step own_step_seldom(struct own_state *s, rule r, struct reach *reach)
{
	struct own_state at = *s;
	enum own_step e = own_step_rare(&at, r, reach);

	*s = at;
	return e;
}

/* One step by rule r.  Everything the target's threads do all day is the
 * first two cases. */
static inline enum own_step own_step(struct own_state *s, rule r, struct reach *reach)
{
	uint64_t cfa, rbp = s->rbp;

	if (rule_kind(r) == RULE_SP)
		cfa = s->sp + rule_cfa(r);
	else if (rule_kind(r) == RULE_BP)
		cfa = s->rbp + rule_cfa(r);
	else
		return own_step_seldom(s, r, reach);
	if (__builtin_expect(cfa - s->sp - 1 >= OWN_SPAN_MAX || cfa > reach->limit || reach->distrust, 0))
		return own_step_seldom(s, r, reach);
	if (rule_rbp(r))
		rbp = *(const volatile uint64_t *)(uintptr_t)(cfa - rule_rbp(r));
	s->pc = *(const volatile uint64_t *)(uintptr_t)(cfa - 8);
	s->sp = cfa;
	s->rbp = rbp;
	return s->pc ? OWN_OK : OWN_END;
}

static inline rule own_rule(struct rule_view view, uint64_t pc)
{
	rule r = rules_find(view, pc);

	return __builtin_expect(r != RULE_NONE, 1) ? r : own_resolve(pc);
}

/* The walk by rules.  Fills frames and *ret_n; false: a frame needs all
 * registers, nothing that was filled in counts. */
bool own_walk(struct reach *reach, void *const *fp, unwind_frame *frames, size_t max, size_t *ret_n);

/* The walk by rules, or by all registers where it must be. */
size_t own_walk_any(struct reach *reach, void *const *fp, unwind_frame *frames, size_t max);

#endif
