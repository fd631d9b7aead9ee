/*
 * unwind_full.c - unwinding with all 17 registers, straight from .eh_frame.
 *
 * Called for stacks that hold a frame of kind COMPLEX (a signal frame, a CFA
 * in another register) and by the audit.  1 us for ten frames.
 *
 * Law: no cache, no lock, no allocation; system calls only by reach_prove.
 * Whatever was read behind a guess or below an interrupted frame is read only
 * where it is known to be readable.  Every frame lies above its callee,
 * except where a signal handler came from another stack; the number of frames
 * is bounded by `max`.
 */
#include "unwind_full.h"

#include <mmscope/stacks.h>

#include "capture/unwind_expr.h"
#include "capture/unwind_modules.h"
#include "capture/unwind_rules.h"

#define SPAN_MAX (64ull << 20) /* no frame is bigger */

struct cursor {
	struct expr_registers regs; /* CFI_RA: the pc of the frame */
	struct reach *reach;
	bool exact;   /* pc was interrupted, not called from: look it up without -1 */
	bool guessed; /* the last step was a guess */
};

enum step { STEP_OK, STEP_END, STEP_LOST };

static bool evaluate(struct cursor *c, const struct cfi_module *m, int32_t place,
	const uint64_t *initial, uint64_t *ret)
{
	return expr_evaluate(cfi_expression(m, place), &c->regs, c->reach, initial, ret);
}

static bool find_cfa(struct cursor *c, const struct cfi_module *m, const struct cfi_row *row,
	uint64_t *ret)
{
	if (row->cfa_register == CFI_CFA_EXPR)
		return evaluate(c, m, row->cfa, NULL, ret);
	if (row->cfa_register >= CFI_REGISTERS || !(c->regs.known >> row->cfa_register & 1))
		return false;
	*ret = c->regs.r[row->cfa_register] + (uint64_t)(int64_t)row->cfa;
	return true;
}

/* The caller's value of a register that the row mentions.  False: it is lost. */
static bool find_register(struct cursor *c, const struct cfi_module *m, const struct cfi_row *row,
	int reg, uint64_t cfa, uint64_t *ret)
{
	uint64_t offset = (uint64_t)(int64_t)row->value[reg], at;

	switch ((enum cfi_how)row->how[reg]) {
	case CFI_SAME:
	case CFI_UNDEFINED:
		return false;
	case CFI_OFFSET:
		return reach_read(c->reach, cfa + offset, ret);
	case CFI_VAL_OFFSET:
		*ret = cfa + offset;
		return true;
	case CFI_EXPR:
		return evaluate(c, m, row->value[reg], &cfa, &at) && reach_read(c->reach, at, ret);
	case CFI_VAL_EXPR:
		return evaluate(c, m, row->value[reg], &cfa, ret);
	case CFI_REGISTER:
		if (offset >= CFI_REGISTERS || !(c->regs.known >> offset & 1))
			return false;
		*ret = c->regs.r[offset];
		return true;
	}
	return false;
}

static enum step step_guess(struct cursor *c)
{
	uint64_t rbp = c->regs.r[CFI_RBP], pc, next_rbp;

	if (!(c->regs.known >> CFI_RBP & 1))
		return STEP_LOST;
	if (!rbp)
		return STEP_END;
	if (!reach_guess(c->reach, c->regs.r[CFI_RSP], rbp, &pc, &next_rbp))
		return STEP_LOST;
	c->regs.r[CFI_RSP] = rbp + 16;
	c->regs.r[CFI_RBP] = next_rbp;
	c->regs.r[CFI_RA] = pc;
	c->regs.known = 1u << CFI_RSP | 1u << CFI_RBP | 1u << CFI_RA;
	c->exact = false;
	c->guessed = true;
	return pc ? STEP_OK : STEP_END;
}

static enum step step_row(struct cursor *c, const struct cfi_module *m, const struct cfi_row *row)
{
	struct expr_registers next = c->regs; /* what is not mentioned stays */
	uint64_t cfa, sp = c->regs.r[CFI_RSP];

	if (row->how[row->ra_column] == CFI_UNDEFINED)
		return STEP_END;
	if (row->signal)
		c->reach->distrust = true;
	if (!find_cfa(c, m, row, &cfa))
		return STEP_LOST;
	if (!row->signal && (cfa <= sp || cfa - sp > SPAN_MAX || cfa > c->reach->limit))
		return STEP_LOST;
	if (c->reach->distrust && !row->signal && !reach_has(c->reach, cfa - 8, 8))
		return STEP_LOST;
	for (int i = 0; i < CFI_REGISTERS; i++) {
		if (row->how[i] == CFI_SAME)
			continue;
		next.known &= ~(1u << i);
		if (find_register(c, m, row, i, cfa, &next.r[i]))
			next.known |= 1u << i;
	}
	if (!(next.known >> row->ra_column & 1) || row->how[row->ra_column] == CFI_SAME)
		return STEP_LOST;
	next.r[CFI_RA] = next.r[row->ra_column];
	if (row->how[CFI_RSP] == CFI_SAME)
		next.r[CFI_RSP] = cfa; /* the ABI's rule where nothing is said */
	next.known |= 1u << CFI_RA | 1u << CFI_RSP;
	if (row->signal)
		reach_move(c->reach, next.r[CFI_RSP]);
	c->regs = next;
	c->exact = row->signal;
	c->guessed = false;
	return next.r[CFI_RA] ? STEP_OK : STEP_END;
}

static enum step step(struct cursor *c)
{
	uint64_t at = c->regs.r[CFI_RA] - !c->exact;
	struct cfi_module m;
	struct cfi_row row;

	if (!modules_find(at, &m) || !m.hdr || cfi_find_row(&m, at, &row))
		return step_guess(c);
	return step_row(c, &m, &row);
}

/* From the frame where the registers were taken to the wrapper's caller. */
static bool leave_own_frames(struct cursor *c, void *const *fp)
{
	uintptr_t sp = (uintptr_t)(fp + 2);

	while (c->regs.r[CFI_RSP] < sp)
		if (step(c) != STEP_OK || c->guessed)
			return false;
	return c->regs.r[CFI_RSP] == sp && c->regs.r[CFI_RA] == (uintptr_t)fp[1];
}

static size_t walk(struct cursor *c, unwind_frame *frames, size_t max)
{
	uint64_t flags = 0;
	size_t n = 0;

	for (;;) {
		uint64_t pc = c->regs.r[CFI_RA];
		if (n == max || pc > RULE_PC_MASK) {
			if (n)
				frames[n - 1] |= (uint64_t)MMS_NODE_TRUNCATED << 48;
			return n;
		}
		frames[n++] = pc | flags << 48;
		enum step s = step(c);
		if (s == STEP_LOST)
			frames[n - 1] |= (uint64_t)MMS_NODE_TRUNCATED << 48;
		if (s != STEP_OK)
			return n;
		flags = (c->guessed ? MMS_NODE_GUESSED : 0) | (c->exact ? MMS_NODE_EXACT_PC : 0);
	}
}

/* Never inlined: its own frame is where the registers are taken. */
__attribute__((noinline)) size_t full_walk(struct reach *reach, void *const *fp,
	unwind_frame *frames, size_t max)
{
	struct cursor c;
	uint64_t *r = c.regs.r;

	__asm__ volatile("movq %%rbx, 24(%0)\n\t"
			 "movq %%rbp, 48(%0)\n\t"
			 "movq %%rsp, 56(%0)\n\t"
			 "movq %%r12, 96(%0)\n\t"
			 "movq %%r13, 104(%0)\n\t"
			 "movq %%r14, 112(%0)\n\t"
			 "movq %%r15, 120(%0)\n\t"
			 "leaq 0f(%%rip), %%rax\n"
			 "0:\n\t"
			 "movq %%rax, 128(%0)"
			 :
			 : "r"(r)
			 : "rax", "memory");
	c.regs.known = 1u << 3 | 1u << 6 | 1u << 7 | 0xfu << 12 | 1u << CFI_RA;
	c.reach = reach;
	c.exact = true;
	c.guessed = false;
	if (!leave_own_frames(&c, fp)) {
		r[CFI_RBP] = (uint64_t)(uintptr_t)fp[0];
		r[CFI_RSP] = (uint64_t)(uintptr_t)(fp + 2);
		r[CFI_RA] = (uint64_t)(uintptr_t)fp[1];
		c.regs.known = 1u << CFI_RBP | 1u << CFI_RSP | 1u << CFI_RA;
	}
	c.exact = c.guessed = false;
	return walk(&c, frames, max);
}
