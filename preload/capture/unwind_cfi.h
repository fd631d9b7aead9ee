/*
 * unwind_cfi.h - the reader of .eh_frame: from a code address to the row of
 * register rules that is in force there.
 *
 * Reads only between lo and hi of the module it is given and trusts no length
 * it finds there.  No lock, no allocation, no system call; under 1 KiB of
 * stack.
 */
#ifndef CAPTURE_UNWIND_CFI_H
#define CAPTURE_UNWIND_CFI_H

#include <stdbool.h>
#include <stdint.h>

/* Where a module's unwind data lies: its .eh_frame_hdr, and the mapped memory
 * around that, which .eh_frame lies in too. */
struct cfi_module {
	const uint8_t *lo, *hi;
	const uint8_t *hdr;
};

#define CFI_REGISTERS 17 /* rax rdx rcx rbx rsi rdi rbp rsp r8..r15, return address */
#define CFI_RBP 6
#define CFI_RSP 7
#define CFI_RA 16

enum cfi_how {
	CFI_SAME = 0,   /* the caller's value is the present one */
	CFI_UNDEFINED,  /* the caller's value is lost */
	CFI_OFFSET,     /* saved at CFA + value */
	CFI_VAL_OFFSET, /* is CFA + value */
	CFI_EXPR,       /* saved at the address that the expression yields */
	CFI_VAL_EXPR,   /* is what the expression yields */
	CFI_REGISTER,   /* stands in register `value` */
};

#define CFI_CFA_EXPR 0xfe /* cfa_register: the CFA is an expression */
#define CFI_CFA_NONE 0xff

/* 96 bytes: several of them lie on the target's stack. */
struct cfi_row {
	int32_t cfa;          /* offset from cfa_register, or place of the expression */
	uint8_t cfa_register; /* or CFI_CFA_EXPR, CFI_CFA_NONE */
	uint8_t ra_column;    /* normally CFI_RA */
	bool signal;          /* augmentation S: the next pc was interrupted, not called from */
	uint8_t how[CFI_REGISTERS];
	int32_t value[CFI_REGISTERS]; /* offset, register, or place of the expression */
};

/* The row in force at pc.  0; -ENOENT: no unwind data covers pc; -EINVAL: the
 * data is malformed or of a kind that is not read here. */
int cfi_find_row(const struct cfi_module *m, uint64_t pc, struct cfi_row *ret);

struct cfi_reader;

/* The expression at a place that a row names (cfa or value[]). */
struct cfi_reader cfi_expression(const struct cfi_module *m, int32_t place);

/* A reader that stops at its end and stays stopped; shared with the
 * evaluation of expressions. */
struct cfi_reader {
	const uint8_t *p, *end;
	bool bad;
};
uint64_t cfi_read_fixed(struct cfi_reader *r, unsigned bytes); /* little endian, 0 when bad */
int64_t cfi_read_signed(struct cfi_reader *r, unsigned bytes);
uint64_t cfi_read_long_uleb(struct cfi_reader *r);
int64_t cfi_read_sleb(struct cfi_reader *r);

static inline uint8_t cfi_read_byte(struct cfi_reader *r)
{
	if (__builtin_expect(r->bad || r->p == r->end, 0)) {
		r->bad = true;
		return 0;
	}
	return *r->p++;
}

/* Nearly all of them are one byte long. */
static inline uint64_t cfi_read_uleb(struct cfi_reader *r)
{
	if (__builtin_expect(!r->bad && r->p < r->end && *r->p < 0x80, 1))
		return *r->p++;
	return cfi_read_long_uleb(r);
}

#endif
