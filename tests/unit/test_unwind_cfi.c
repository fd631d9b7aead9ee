/*
 * test_unwind_cfi.c - rows read from unwind data that is made here byte by
 * byte: every instruction that a compiler emits, the shapes of CIEs, tables
 * with and without a sorted index, and what is malformed.
 */
#include "check.h"

#include <errno.h>
#include <stdlib.h>

#include "capture/unwind_cfi.h"
#include "capture/unwind_expr.h"
#include "base/doorbell.h"

bool doorbell_is_silent(void) { return true; }

#define CODE 0x1000u /* the functions' place, relative to the module */

struct image {
	uint8_t *bytes; /* exactly `n`: a read beyond is seen */
	size_t n;
	uint8_t build[4096];
	size_t used, cie, fde;
};

static void put(struct image *m, const void *p, size_t n)
{
	REQUIRE(m->used + n <= sizeof(m->build));
	memcpy(m->build + m->used, p, n);
	m->used += n;
}
static void put8(struct image *m, uint8_t v) { put(m, &v, 1); }
static void put32(struct image *m, uint32_t v) { put(m, &v, 4); }

/* .eh_frame_hdr of one function, then .eh_frame.  `count` entries are said. */
static void begin_image(struct image *m, uint8_t table_encoding, uint32_t count)
{
	m->used = 0;
	put(m, (uint8_t[]){ 1, 0x1b, 0x03, table_encoding }, 4);
	put32(m, 16); /* .eh_frame: from here to 4 + 16 = 20 */
	put32(m, count);
	put32(m, CODE);
	put32(m, 0); /* the FDE, set later */
}

static void end_entry(struct image *m, size_t start)
{
	while ((m->used - start) % 4)
		put8(m, 0);
	uint32_t length = (uint32_t)(m->used - start - 4);
	memcpy(m->build + start, &length, 4);
}

static void add_cie(struct image *m, const char *augmentation, const uint8_t *data, size_t n_data,
	const uint8_t *program, size_t n)
{
	m->cie = m->used;
	put32(m, 0);
	put32(m, 0);
	put8(m, 1);
	put(m, augmentation, strlen(augmentation) + 1);
	put(m, (uint8_t[]){ 1, 0x78, 16 }, 3); /* code 1, data -8, return address 16 */
	if (augmentation[0] == 'z') {
		put8(m, (uint8_t)n_data);
		put(m, data, n_data);
	}
	put(m, program, n);
	end_entry(m, m->cie);
}

static void add_fde(struct image *m, bool has_augmentation, const uint8_t *program, size_t n)
{
	m->fde = m->used;
	put32(m, 0);
	put32(m, (uint32_t)(m->used - m->cie));
	put32(m, (uint32_t)(CODE - m->used)); /* pc-relative */
	put32(m, 0x100);
	if (has_augmentation)
		put8(m, 0);
	put(m, program, n);
	end_entry(m, m->fde);
	uint32_t at = (uint32_t)m->fde;
	memcpy(m->build + 16, &at, 4);
}

static struct cfi_module finish(struct image *m)
{
	free(m->bytes);
	m->n = m->used;
	m->bytes = malloc(m->n);
	memcpy(m->bytes, m->build, m->n);
	return (struct cfi_module){ m->bytes, m->bytes + m->n, m->bytes };
}

static const uint8_t usual[] = { 0x0c, 7, 8, 0x90, 1 }; /* CFA = rsp + 8, ra at CFA - 8 */
#define PROGRAM(...) (const uint8_t[]){ __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ })

/* One function with the usual CIE; the row at `at` bytes into it. */
static int row_at(struct image *m, const uint8_t *program, size_t n, uint32_t at, struct cfi_row *row)
{
	uint8_t encoding = 0x1b;

	begin_image(m, 0x3b, 1);
	add_cie(m, "zR", &encoding, 1, usual, sizeof(usual));
	add_fde(m, true, program, n);
	put32(m, 0);
	struct cfi_module mod = finish(m);
	return cfi_find_row(&mod, (uintptr_t)m->bytes + CODE + at, row);
}

static void check_usual(struct image *m)
{
	/* push rbp; mov rsp, rbp; ...; leave; ret */
	static const uint8_t program[] = { 0x41, 0x0e, 16, 0x86, 2, 0x43, 0x0d, 6, 0x02, 0x50, 0x0c, 7, 8 };
	struct cfi_row row;

	CHECK_EQ(row_at(m, program, sizeof(program), 0, &row), 0);
	CHECK_EQ(row.cfa_register, CFI_RSP);
	CHECK_EQ(row.cfa, 8);
	CHECK_EQ(row.how[CFI_RA], CFI_OFFSET);
	CHECK_EQ(row.value[CFI_RA], -8);
	CHECK_EQ(row.how[CFI_RBP], CFI_SAME);
	CHECK_EQ(row_at(m, program, sizeof(program), 1, &row), 0);
	CHECK_EQ(row.cfa, 16);
	CHECK_EQ(row.how[CFI_RBP], CFI_OFFSET);
	CHECK_EQ(row.value[CFI_RBP], -16);
	CHECK_EQ(row_at(m, program, sizeof(program), 4, &row), 0);
	CHECK_EQ(row.cfa_register, CFI_RBP);
	CHECK_EQ(row_at(m, program, sizeof(program), 0x53, &row), 0);
	CHECK_EQ(row.cfa_register, CFI_RBP);
	CHECK_EQ(row_at(m, program, sizeof(program), 0x54, &row), 0);
	CHECK_EQ(row.cfa_register, CFI_RSP);
	CHECK_EQ(row_at(m, program, sizeof(program), 0x100, &row), -ENOENT);
	CHECK_EQ(row_at(m, program, sizeof(program), (uint32_t)-1, &row), -ENOENT);
}

static void check_instructions(struct image *m)
{
	struct cfi_row row;

	/* remember, change, restore_state; restore one */
	CHECK_EQ(row_at(m, PROGRAM(0x86, 2, 0x0a, 0x0e, 99, 0x07, 6, 0x41, 0x0b), 1, &row), 0);
	CHECK_EQ(row.cfa, 8);
	CHECK_EQ(row.how[CFI_RBP], CFI_OFFSET);
	CHECK_EQ(row_at(m, PROGRAM(0x07, 16, 0x41, 0xd0), 0, &row), 0);
	CHECK_EQ(row.how[CFI_RA], CFI_UNDEFINED);
	CHECK_EQ(row_at(m, PROGRAM(0x07, 16, 0x41, 0xd0), 1, &row), 0);
	CHECK_EQ(row.how[CFI_RA], CFI_OFFSET);
	CHECK_EQ(row_at(m, PROGRAM(0x07, 16, 0x41, 0x06, 16), 1, &row), 0);
	CHECK_EQ(row.how[CFI_RA], CFI_OFFSET);
	/* the long forms: offset_extended, _sf, GNU_negative; register; val_offset */
	CHECK_EQ(row_at(m, PROGRAM(0x05, 3, 4, 0x11, 12, 0x7e, 0x2f, 13, 5, 0x09, 14, 15, 0x14, 15, 6), 0, &row), 0);
	CHECK_EQ(row.value[3], -32);
	CHECK_EQ(row.value[12], 16);
	CHECK_EQ(row.value[13], 40);
	CHECK_EQ(row.how[14], CFI_REGISTER);
	CHECK_EQ(row.value[14], 15);
	CHECK_EQ(row.how[15], CFI_VAL_OFFSET);
	CHECK_EQ(row.value[15], -48);
	/* def_cfa_sf, def_cfa_offset_sf, def_cfa_offset of two bytes */
	CHECK_EQ(row_at(m, PROGRAM(0x12, 6, 0x7d), 0, &row), 0);
	CHECK_EQ(row.cfa, 24);
	CHECK_EQ(row_at(m, PROGRAM(0x13, 0x70), 0, &row), 0);
	CHECK_EQ(row.cfa, 128);
	CHECK_EQ(row_at(m, PROGRAM(0x0e, 0x90, 0x02), 0, &row), 0);
	CHECK_EQ(row.cfa, 272);
	/* advance_loc2 and 4; GNU_args_size is passed over */
	CHECK_EQ(row_at(m, PROGRAM(0x03, 0x20, 0, 0x0e, 32, 0x2e, 64, 0x04, 0x20, 0, 0, 0, 0x0e, 48), 0x1f, &row), 0);
	CHECK_EQ(row.cfa, 8);
	CHECK_EQ(row_at(m, PROGRAM(0x03, 0x20, 0, 0x0e, 32, 0x2e, 64, 0x04, 0x20, 0, 0, 0, 0x0e, 48), 0x20, &row), 0);
	CHECK_EQ(row.cfa, 32);
	CHECK_EQ(row_at(m, PROGRAM(0x03, 0x20, 0, 0x0e, 32, 0x2e, 64, 0x04, 0x20, 0, 0, 0, 0x0e, 48), 0x40, &row), 0);
	CHECK_EQ(row.cfa, 48);
	/* a vector register says nothing about what is asked */
	CHECK_EQ(row_at(m, PROGRAM(0x91 + 8, 5, 0x05, 40, 2), 0, &row), 0);
}

static void check_expressions(struct image *m)
{
	struct expr_registers regs = { .known = 1u << CFI_RBP | 1u << CFI_RSP };
	uint64_t stack[4] = { 11, 22, 33, 44 }, v = 0;
	struct reach reach;
	struct cfi_row row;

	reach_init(&reach, (uintptr_t)stack, (uintptr_t)stack, (uintptr_t)(stack + 4));
	reach.distrust = true;
	regs.r[CFI_RBP] = (uintptr_t)(stack + 2);
	regs.r[CFI_RSP] = (uintptr_t)stack;
	/* gcc's realigned frame: CFA = *(rbp - 8), rbp at *rbp */
	CHECK_EQ(row_at(m, PROGRAM(0x0f, 3, 0x76, 0x78, 0x06, 0x10, 6, 2, 0x76, 0), 0, &row), 0);
	CHECK_EQ(row.cfa_register, CFI_CFA_EXPR);
	CHECK_EQ(row.how[CFI_RBP], CFI_EXPR);
	struct cfi_module mod = { m->bytes, m->bytes + m->n, m->bytes };
	CHECK(expr_evaluate(cfi_expression(&mod, row.cfa), &regs, &reach, NULL, &v));
	CHECK_EQ(v, 22);
	CHECK(expr_evaluate(cfi_expression(&mod, row.value[CFI_RBP]), &regs, &reach, NULL, &v));
	CHECK_EQ(v, (uintptr_t)(stack + 2));
	/* the PLT's: rsp + 8 + ((rip & 15) >= 11) * 8 */
	CHECK_EQ(row_at(m, PROGRAM(0x0f, 11, 0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22), 0, &row), 0);
	mod = (struct cfi_module){ m->bytes, m->bytes + m->n, m->bytes };
	regs.r[CFI_RA] = 0x100b;
	CHECK(!expr_evaluate(cfi_expression(&mod, row.cfa), &regs, &reach, NULL, &v)); /* rip not known */
	regs.known |= 1u << CFI_RA;
	CHECK(expr_evaluate(cfi_expression(&mod, row.cfa), &regs, &reach, NULL, &v));
	CHECK_EQ(v, (uintptr_t)stack + 16);
	regs.r[CFI_RA] = 0x100a;
	CHECK(expr_evaluate(cfi_expression(&mod, row.cfa), &regs, &reach, NULL, &v));
	CHECK_EQ(v, (uintptr_t)stack + 8);
	/* what may not be read is not read; what is not closed ends */
	static const uint8_t wild[] = { 0x08, 64, 0x06 }, backward[] = { 0x2f, 0xfd, 0xff }, empty[] = { 0x22 };
	struct cfi_reader r = { wild, wild + sizeof(wild), false };
	CHECK(!expr_evaluate(r, &regs, &reach, NULL, &v));
	r = (struct cfi_reader){ backward, backward + sizeof(backward), false };
	CHECK(!expr_evaluate(r, &regs, &reach, NULL, &v));
	r = (struct cfi_reader){ empty, empty + sizeof(empty), false };
	CHECK(!expr_evaluate(r, &regs, &reach, NULL, &v));
}

static void check_shapes(struct image *m)
{
	uint8_t data[16] = { 0x9b, 0, 0, 0, 0, 0x1b, 0x1b };
	struct cfi_module mod;
	struct cfi_row row;

	/* no sorted table: every entry in turn */
	begin_image(m, 0xff, 0);
	add_cie(m, "zPLR", data, 7, usual, sizeof(usual));
	add_fde(m, true, PROGRAM(0x0e, 24));
	put32(m, 0);
	mod = finish(m);
	CHECK_EQ(cfi_find_row(&mod, (uintptr_t)m->bytes + CODE, &row), 0);
	CHECK_EQ(row.cfa, 24);
	CHECK_EQ(cfi_find_row(&mod, (uintptr_t)m->bytes + CODE + 0x100, &row), -ENOENT);
	/* a signal frame */
	data[0] = 0x1b;
	begin_image(m, 0x3b, 1);
	add_cie(m, "zRS", data, 1, usual, sizeof(usual));
	add_fde(m, true, PROGRAM(0));
	mod = finish(m);
	CHECK_EQ(cfi_find_row(&mod, (uintptr_t)m->bytes + CODE, &row), 0);
	CHECK(row.signal);
}

static void check_malformed(struct image *m)
{
	uint8_t encoding = 0x1b;
	struct cfi_module mod;
	struct cfi_row row;

	CHECK_EQ(row_at(m, PROGRAM(0x0b), 0, &row), -EINVAL);       /* restores what was not remembered */
	CHECK_EQ(row_at(m, PROGRAM(0x3f), 0, &row), -EINVAL);       /* no such instruction */
	CHECK_EQ(row_at(m, PROGRAM(0x0f, 0x7f), 0, &row), -EINVAL); /* longer than its entry */
	CHECK_EQ(row_at(m, PROGRAM(0x0a, 0x0a, 0x0a, 0x0a, 0x0a), 0, &row), -EINVAL);
	CHECK_EQ(row_at(m, PROGRAM(0x0e, 0xff, 0xff, 0xff, 0xff, 0x7f), 0, &row), -EINVAL); /* beyond 32 bits */
	begin_image(m, 0x3b, 0x20000000); /* more entries than there are bytes */
	add_cie(m, "zR", &encoding, 1, usual, sizeof(usual));
	add_fde(m, true, PROGRAM(0));
	mod = finish(m);
	CHECK_EQ(cfi_find_row(&mod, (uintptr_t)m->bytes + CODE, &row), -EINVAL);
	begin_image(m, 0x3b, 1);
	add_cie(m, "xyz", NULL, 0, usual, sizeof(usual)); /* an augmentation that cannot be skipped */
	add_fde(m, false, PROGRAM(0));
	mod = finish(m);
	CHECK_EQ(cfi_find_row(&mod, (uintptr_t)m->bytes + CODE, &row), -EINVAL);
	m->build[16] = 0xf0; /* the FDE lies outside */
	mod = finish(m);
	CHECK_EQ(cfi_find_row(&mod, (uintptr_t)m->bytes + CODE, &row), -EINVAL);
	mod.hdr = mod.hi;
	CHECK_EQ(cfi_find_row(&mod, (uintptr_t)m->bytes + CODE, &row), -EINVAL);
}

/* Every byte of an image set to everything: an answer each time. */
static void check_damaged(struct image *m)
{
	static const uint8_t program[] = { 0x0a, 0x41, 0x0e, 16, 0x86, 2, 0x0f, 3, 0x76, 0x78, 0x06, 0x10, 6, 2, 0x76, 0, 0x0b };
	struct cfi_row row;
	uint32_t n_ok = 0, n_all = 0;

	CHECK_EQ(row_at(m, program, sizeof(program), 8, &row), 0);
	struct cfi_module mod = { m->bytes, m->bytes + m->n, m->bytes };
	for (size_t i = 0; i < m->n; i++) {
		uint8_t was = m->bytes[i];
		for (int v = 0; v < 256; v++) {
			m->bytes[i] = (uint8_t)v;
			int e = cfi_find_row(&mod, (uintptr_t)m->bytes + CODE + 8, &row);
			if (e != 0 && e != -ENOENT && e != -EINVAL)
				CHECK_EQ(e, 0);
			n_ok += e == 0;
			n_all++;
		}
		m->bytes[i] = was;
	}
	CHECK(n_ok > 0 && n_ok < n_all);
}

int main(void)
{
	static struct image m;

	check_usual(&m);
	check_instructions(&m);
	check_expressions(&m);
	check_shapes(&m);
	check_malformed(&m);
	check_damaged(&m);
	free(m.bytes);
	return check_done();
}
