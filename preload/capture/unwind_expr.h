/*
 * unwind_expr.h - DWARF expressions, as unwind data uses them.
 */
#ifndef CAPTURE_UNWIND_EXPR_H
#define CAPTURE_UNWIND_EXPR_H

#include <stdbool.h>
#include <stdint.h>

#include "capture/unwind_cfi.h"
#include "capture/unwind_reach.h"

/* The registers of a frame. */
struct expr_registers {
	uint64_t r[CFI_REGISTERS];
	uint32_t known; /* bit n: r[n] is this frame's value */
};

/* What the expression yields, with *initial on its stack at the beginning when
 * it is given.  False: it is malformed, of a kind that unwinding does not use,
 * needs a register that is lost or reads what may not be read. */
bool expr_evaluate(struct cfi_reader expression, const struct expr_registers *regs, struct reach *reach,
	const uint64_t *initial, uint64_t *ret);

#endif
