/*
 * unwind_expr.c - a machine for DWARF expressions (DWARF 4, 2.5).
 *
 * Called by the full-register walk: signal frames and PLT entries describe
 * themselves so.  Law: bounded steps and depth, reads code only through its
 * reader and the target's stack only through reach_read.
 */
#include "unwind_expr.h"

#include <stddef.h>

#define EXPR_DEPTH 16
#define EXPR_STEPS 512

/* An expression under evaluation. */
struct machine {
	struct cfi_reader r;
	const struct expr_registers *regs;
	struct reach *reach;
	int n, steps;
	uint64_t stack[EXPR_DEPTH];
	bool bad;
};

static void push(struct machine *m, uint64_t v)
{
	if (m->n == EXPR_DEPTH)
		m->bad = true;
	else
		m->stack[m->n++] = v;
}

static uint64_t pop(struct machine *m)
{
	if (!m->n) {
		m->bad = true;
		return 0;
	}
	return m->stack[--m->n];
}

static uint64_t register_of(struct machine *m, uint64_t reg)
{
	if (reg >= CFI_REGISTERS || !(m->regs->known >> reg & 1)) {
		m->bad = true;
		return 0;
	}
	return m->regs->r[reg];
}

static void deref(struct machine *m, unsigned bytes)
{
	uint64_t at = pop(m), v = 0;

	if (m->bad || bytes == 0 || bytes > 8 || !reach_read(m->reach, at, &v))
		m->bad = true;
	push(m, bytes == 8 ? v : v & ((1ull << (8 * (bytes & 7))) - 1));
}

/* DW_OP_constNx, by opcode 0x08..0x11. */
static uint64_t constant(struct machine *m, uint8_t op)
{
	switch (op) {
	case 0x10:
		return cfi_read_uleb(&m->r);
	case 0x11:
		return (uint64_t)cfi_read_sleb(&m->r);
	default: {
		unsigned bytes = 1u << ((op - 8) / 2);
		return op & 1 ? (uint64_t)cfi_read_signed(&m->r, bytes) : cfi_read_fixed(&m->r, bytes);
	}
	}
}

/* Operations on the two topmost entries.  False: not one of them. */
static bool binary(struct machine *m, uint8_t op)
{
	if (op != 0x1a && op != 0x1c && op != 0x1e && op != 0x21 && op != 0x22 &&
		!(op >= 0x24 && op <= 0x27) && !(op >= 0x29 && op <= 0x2e))
		return false;
	uint64_t b = pop(m), a = pop(m), v = 0;
	int64_t sa = (int64_t)a, sb = (int64_t)b;

	switch (op) {
	case 0x1a: v = a & b; break;
	case 0x1c: v = a - b; break;
	case 0x1e: v = a * b; break;
	case 0x21: v = a | b; break;
	case 0x22: v = a + b; break;
	case 0x24: v = b < 64 ? a << b : 0; break;
	case 0x25: v = b < 64 ? a >> b : 0; break;
	case 0x26: v = (uint64_t)(sa >> (b < 64 ? b : 63)); break;
	case 0x27: v = a ^ b; break;
	case 0x29: v = sa == sb; break;
	case 0x2a: v = sa >= sb; break;
	case 0x2b: v = sa > sb; break;
	case 0x2c: v = sa <= sb; break;
	case 0x2d: v = sa < sb; break;
	default: v = sa != sb;
	}
	push(m, v);
	return true;
}

/* Operations that arrange the stack or branch.  False: not one of them. */
static bool arrange(struct machine *m, uint8_t op)
{
	uint64_t a, b;

	switch (op) {
	case 0x12: /* dup */
		a = pop(m);
		push(m, a);
		push(m, a);
		return true;
	case 0x13: /* drop */
		pop(m);
		return true;
	case 0x14: /* over */
		b = pop(m);
		a = pop(m);
		push(m, a);
		push(m, b);
		push(m, a);
		return true;
	case 0x16: /* swap */
		b = pop(m);
		a = pop(m);
		push(m, b);
		push(m, a);
		return true;
	case 0x28:   /* bra */
	case 0x2f: { /* skip */
		int64_t by = cfi_read_signed(&m->r, 2);
		/* Forward only: what is unwound by backward branches does not exist. */
		if ((op == 0x2f || pop(m)) && !m->r.bad) {
			if (by < 0 || by > m->r.end - m->r.p)
				m->bad = true;
			else
				m->r.p += by;
		}
		return true;
	}
	default:
		return false;
	}
}

static void operate(struct machine *m, uint8_t op)
{
	if (op >= 0x70 && op <= 0x8f) { /* breg0..31 */
		uint64_t base = register_of(m, op - 0x70);
		push(m, base + (uint64_t)cfi_read_sleb(&m->r));
	} else if (op >= 0x30 && op <= 0x4f) { /* lit0..31 */
		push(m, op - 0x30);
	} else if (op >= 0x08 && op <= 0x11) {
		push(m, constant(m, op));
	} else if (op == 0x03) { /* addr */
		push(m, cfi_read_fixed(&m->r, 8));
	} else if (op == 0x06) {
		deref(m, 8);
	} else if (op == 0x94) { /* deref_size */
		deref(m, cfi_read_byte(&m->r));
	} else if (op == 0x23) { /* plus_uconst */
		push(m, pop(m) + cfi_read_uleb(&m->r));
	} else if (op == 0x1f) { /* neg */
		push(m, 0 - pop(m));
	} else if (op == 0x20) { /* not */
		push(m, ~pop(m));
	} else if (op == 0x92) { /* bregx */
		uint64_t base = register_of(m, cfi_read_uleb(&m->r));
		push(m, base + (uint64_t)cfi_read_sleb(&m->r));
	} else if (op != 0x96 && !binary(m, op) && !arrange(m, op)) { /* 0x96: nop */
		m->bad = true;
	}
}

bool expr_evaluate(struct cfi_reader expression, const struct expr_registers *regs, struct reach *reach,
	const uint64_t *initial, uint64_t *ret)
{
	struct machine m;

	m.r = expression;
	m.regs = regs;
	m.reach = reach;
	m.n = 0;
	m.bad = false;
	m.steps = 0;
	if (initial)
		push(&m, *initial);
	while (!m.bad && !m.r.bad && m.r.p < m.r.end && m.steps++ < EXPR_STEPS)
		operate(&m, cfi_read_byte(&m.r));
	*ret = pop(&m);
	return !m.bad && !m.r.bad && m.steps <= EXPR_STEPS;
}
