/*
 * unwind_own.c - resolving a rule, and the walk by rules.
 *
 * Called for every stack of the engine `own`.  Law of this folder: no lock,
 * no allocation, no system call (but reach_prove, after a guess), errno
 * untouched, callable from a signal handler that interrupted itself: the rule
 * table is all it shares, and that is made for it.
 */
#include "unwind_own.h"

#include "capture/unwind_cfi.h"
#include "capture/unwind_full.h"
#include "capture/unwind_modules.h"

#include <errno.h>

/* gcc's frame of a function that realigned its stack (DRAP):
 * CFA = *(rbp - 8k), caller's rbp = *rbp.  Returns 8k, or 0: another shape. */
static uint64_t drap_offset(const struct cfi_module *m, const struct cfi_row *row)
{
	struct cfi_reader cfa = cfi_expression(m, row->cfa);

	if (cfi_read_byte(&cfa) != 0x76) /* breg6 */
		return 0;
	int64_t offset = cfi_read_sleb(&cfa);
	if (cfi_read_byte(&cfa) != 0x06 || cfa.bad || cfa.p != cfa.end) /* deref */
		return 0;
	if (offset >= 0 || offset & 7 || (uint64_t)-offset >> 3 > RULE_CFA_MAX)
		return 0;
	if (row->how[CFI_RBP] != CFI_EXPR)
		return 0;
	struct cfi_reader rbp = cfi_expression(m, row->value[CFI_RBP]);
	if (cfi_read_byte(&rbp) != 0x76 || cfi_read_sleb(&rbp) != 0 || rbp.bad || rbp.p != rbp.end)
		return 0;
	return (uint64_t)-offset;
}

static rule rule_of_row(const struct cfi_module *m, const struct cfi_row *row)
{
	struct rule_step step = { .cfa = (uint64_t)row->cfa, .from_rbp = row->cfa_register == CFI_RBP };

	if (row->signal || row->ra_column != CFI_RA)
		return rule_plain(RULE_COMPLEX);
	if (row->how[CFI_RA] == CFI_UNDEFINED)
		return rule_plain(RULE_END);
	if (row->how[CFI_RA] != CFI_OFFSET || row->value[CFI_RA] != -8 || row->how[CFI_RSP] != CFI_SAME)
		return rule_plain(RULE_COMPLEX);
	if (row->cfa_register == CFI_CFA_EXPR) {
		uint64_t k = drap_offset(m, row);
		return k ? (rule)RULE_DRAP | (rule)(k >> 3) << 3 : rule_plain(RULE_COMPLEX);
	}
	if (row->cfa_register != CFI_RSP && row->cfa_register != CFI_RBP)
		return rule_plain(RULE_COMPLEX);
	if (row->cfa < 8 || row->cfa & 7)
		return rule_plain(RULE_COMPLEX);
	if (row->how[CFI_RBP] == CFI_OFFSET) {
		if (row->value[CFI_RBP] >= 0 || row->value[CFI_RBP] & 7)
			return rule_plain(RULE_COMPLEX);
		step.rbp = (uint64_t)-(int64_t)row->value[CFI_RBP];
	} else if (row->how[CFI_RBP] != CFI_SAME) {
		return rule_plain(RULE_COMPLEX);
	}
	return rule_pack(&step);
}

rule own_resolve(uint64_t pc)
{
	uint64_t generation = rules_generation();
	struct cfi_module m;
	struct cfi_row row;
	rule r;

	/* The byte before the return address belongs to the call. */
	if (pc > RULE_PC_MASK || !modules_find(pc - 1, &m))
		return rule_plain(RULE_NOCFI); /* not stored: JIT memory comes and goes */
	if (!m.hdr || cfi_find_row(&m, pc - 1, &row))
		r = rule_plain(RULE_NOCFI);
	else
		r = rule_of_row(&m, &row);
	rules_insert(pc, r, generation);
	return r;
}

static enum own_step step_guess(struct own_state *s, struct reach *reach)
{
	if (!s->rbp)
		return OWN_END;
	uint64_t frame = s->rbp;
	if (!reach_guess(reach, s->sp, frame, &s->pc, &s->rbp))
		return OWN_LOST;
	s->sp = frame + 16;
	return s->pc ? OWN_GUESSED : OWN_END;
}

enum own_step own_step_rare(struct own_state *s, rule r, struct reach *reach)
{
	struct rule_step step;
	uint64_t cfa, pc, rbp = s->rbp;

	switch (rule_kind(r)) {
	case RULE_END:
		return OWN_END;
	case RULE_NOCFI:
		return step_guess(s, reach);
	case RULE_DRAP:
		if (!reach_read(reach, s->rbp - rule_cfa(r), &cfa) || !reach_read(reach, s->rbp, &rbp))
			return OWN_LOST;
		step.rbp = 0;
		break;
	case RULE_SP:
	case RULE_BP:
	case RULE_WIDE:
		step = rule_unpack(r);
		cfa = (step.from_rbp ? s->rbp : s->sp) + step.cfa;
		break;
	default:
		return OWN_COMPLEX;
	}
	if (cfa - s->sp - 1 >= OWN_SPAN_MAX || cfa > reach->limit)
		return OWN_COMPLEX;
	if (step.rbp && !reach_read(reach, cfa - step.rbp, &rbp))
		return OWN_LOST;
	if (!reach_read(reach, cfa - 8, &pc))
		return OWN_LOST;
	*s = (struct own_state){ pc, cfa, rbp };
	return pc ? OWN_OK : OWN_END;
}

bool own_walk(struct reach *reach, void *const *fp, unwind_frame *frames, size_t max, size_t *ret_n)
{
	struct own_state s = { (uintptr_t)fp[1], (uintptr_t)(fp + 2), (uintptr_t)fp[0] };
	struct rule_view view = rules_view();
	uint64_t flags = 0;
	size_t n = 0;

	while (n < max && s.pc <= RULE_PC_MASK) {
		frames[n++] = s.pc | flags;
		enum own_step e = own_step(&s, own_rule(view, s.pc), reach);
		if (__builtin_expect(e == OWN_OK, 1)) {
			flags = 0;
			continue;
		}
		if (e == OWN_GUESSED) {
			flags = (uint64_t)MMS_NODE_GUESSED << 48;
			continue;
		}
		if (e == OWN_LOST)
			frames[n - 1] |= (uint64_t)MMS_NODE_TRUNCATED << 48;
		*ret_n = n;
		return e != OWN_COMPLEX;
	}
	if (n)
		frames[n - 1] |= (uint64_t)MMS_NODE_TRUNCATED << 48;
	*ret_n = n;
	return true;
}

size_t own_walk_any(struct reach *reach, void *const *fp, unwind_frame *frames, size_t max)
{
	struct reach fresh = *reach;
	size_t n;

	if (own_walk(reach, fp, frames, max, &n))
		return n;
	/* What was proven on the way stays true, the distrust does not. */
	*reach = fresh;
	return full_walk(reach, fp, frames, max);
}
