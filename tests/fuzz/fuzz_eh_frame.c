/*
 * fuzz_eh_frame.c - the reader of unwind data with any bytes: it reads nothing
 * outside them, ends, and gives one of its answers; and so does the machine
 * for expressions with what the row names.
 *
 * Input: where pc lies (32 bits, from the start of the module), where
 * .eh_frame_hdr lies (16 bits), then the module.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/doorbell.h"
#include "capture/unwind_expr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

bool doorbell_is_silent(void) { return true; }

static void evaluate(const struct cfi_module *m, int32_t place)
{
	uint64_t stack[8] = { 1, 2, 3 }, first = 42, v;
	struct expr_registers regs = { .known = 0xffff };
	struct reach reach;

	reach_init(&reach, (uintptr_t)stack, (uintptr_t)stack, (uintptr_t)(stack + 8));
	reach.distrust = true;
	for (int i = 0; i < CFI_REGISTERS; i++)
		regs.r[i] = (uintptr_t)(stack + i % 8);
	expr_evaluate(cfi_expression(m, place), &regs, &reach, NULL, &v);
	expr_evaluate(cfi_expression(m, place), &regs, &reach, &first, &v);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint32_t pc;
	uint16_t hdr;
	struct cfi_row row;

	if (size < 7)
		return 0;
	memcpy(&pc, data, 4);
	memcpy(&hdr, data + 4, 2);
	struct cfi_module m = { data + 6, data + size, data + 6 + hdr };
	int e = cfi_find_row(&m, (uintptr_t)m.lo + pc, &row);
	if (e != 0 && e != -ENOENT && e != -EINVAL)
		abort();
	if (e)
		return 0;
	if (row.cfa_register == CFI_CFA_EXPR)
		evaluate(&m, row.cfa);
	for (int i = 0; i < CFI_REGISTERS; i++) {
		if (row.how[i] > CFI_REGISTER)
			abort();
		if (row.how[i] == CFI_EXPR || row.how[i] == CFI_VAL_EXPR)
			evaluate(&m, row.value[i]);
	}
	return 0;
}
