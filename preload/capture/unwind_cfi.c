/*
 * unwind_cfi.c - .eh_frame_hdr, FDEs, CIEs and their call-frame programs.
 *
 * The format is that of the Linux Standard Base (eh_frame) and DWARF 4, 6.4.
 * Called for each return address that the rule table does not know, and by
 * the full-register walk for each frame.
 *
 * Law: every byte is read through a cfi_reader whose end lies inside the
 * module; a malformed module costs an unknown frame, never a crash.  No lock,
 * no allocation, no system call.  Loops are bounded by the bytes they read.
 */
#include "unwind_cfi.h"

#include <errno.h>
#include <stddef.h>

#define REMEMBER_DEPTH 4

enum { /* DW_EH_PE: how a pointer is stored */
	PE_OMIT = 0xff,
	PE_UDATA2 = 0x02,
	PE_UDATA4 = 0x03,
	PE_UDATA8 = 0x04,
	PE_SDATA2 = 0x0a,
	PE_SDATA4 = 0x0b,
	PE_SDATA8 = 0x0c,
	PE_ABSPTR = 0x00,
	PE_ULEB = 0x01,
	PE_SLEB = 0x09,
	PE_PCREL = 0x10,
	PE_DATAREL = 0x30,
	PE_INDIRECT = 0x80,
};

struct cie {
	uint64_t code_align;
	int64_t data_align;
	uint8_t ra_column;
	uint8_t fde_encoding;
	bool has_augmentation; /* FDEs carry an augmentation length */
	bool signal;
	struct cfi_reader program;
};

struct fde {
	uint64_t begin, range;
	struct cie cie;
	struct cfi_reader program;
};

uint64_t cfi_read_fixed(struct cfi_reader *r, unsigned bytes)
{
	uint64_t v = 0;

	if (r->bad || (size_t)(r->end - r->p) < bytes) {
		r->bad = true;
		return 0;
	}
	if (bytes == 4) { /* most of them; x86 reads unaligned words */
		uint32_t word;
		__builtin_memcpy(&word, r->p, sizeof(word));
		v = word;
	} else {
		for (unsigned i = 0; i < bytes; i++)
			v |= (uint64_t)r->p[i] << (8 * i);
	}
	r->p += bytes;
	return v;
}

int64_t cfi_read_signed(struct cfi_reader *r, unsigned bytes)
{
	unsigned unused = 64 - 8 * bytes;

	return (int64_t)(cfi_read_fixed(r, bytes) << unused) >> unused;
}

uint64_t cfi_read_long_uleb(struct cfi_reader *r)
{
	uint64_t v = 0;

	for (unsigned shift = 0; ; shift += 7) {
		uint64_t byte = cfi_read_byte(r);
		if (r->bad)
			return 0;
		if (shift < 64)
			v |= (byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return v;
	}
}

int64_t cfi_read_sleb(struct cfi_reader *r)
{
	uint64_t v = 0;

	for (unsigned shift = 0; ; ) {
		uint64_t byte = cfi_read_byte(r);
		if (r->bad)
			return 0;
		if (shift < 64)
			v |= (byte & 0x7f) << shift;
		shift += 7;
		if (byte & 0x80)
			continue;
		if (shift < 64 && byte & 0x40)
			v |= ~0ull << shift;
		return (int64_t)v;
	}
}

static void skip(struct cfi_reader *r, uint64_t bytes)
{
	if (r->bad || bytes > (uint64_t)(r->end - r->p))
		r->bad = true;
	else
		r->p += bytes;
}

/* A pointer in the given encoding.  `datarel` is what DW_EH_PE_datarel is
 * relative to (the start of .eh_frame_hdr). */
static uint64_t read_encoded(struct cfi_reader *r, uint8_t encoding, const uint8_t *datarel)
{
	uint64_t base = 0, v;

	switch (encoding & 0x70) {
	case 0:
		break;
	case PE_PCREL:
		base = (uintptr_t)r->p;
		break;
	case PE_DATAREL:
		base = (uintptr_t)datarel;
		break;
	default:
		r->bad = true;
	}
	switch (encoding & 0x0f) {
	case PE_ABSPTR:
	case PE_UDATA8:
	case PE_SDATA8:
		v = cfi_read_fixed(r, 8);
		break;
	case PE_UDATA2:
		v = cfi_read_fixed(r, 2);
		break;
	case PE_UDATA4:
		v = cfi_read_fixed(r, 4);
		break;
	case PE_SDATA2:
		v = (uint64_t)cfi_read_signed(r, 2);
		break;
	case PE_SDATA4:
		v = (uint64_t)cfi_read_signed(r, 4);
		break;
	case PE_ULEB:
		v = cfi_read_uleb(r);
		break;
	case PE_SLEB:
		v = (uint64_t)cfi_read_sleb(r);
		break;
	default:
		r->bad = true;
		return 0;
	}
	if (encoding & PE_INDIRECT)
		r->bad = true; /* only a personality is indirect, and that is skipped */
	return base + v;
}

/* Opens the entry (CIE or FDE) at p: the reader covers what follows its
 * length field.  False at the terminator, outside the module, or when bad. */
static bool open_entry(const struct cfi_module *m, const uint8_t *p, struct cfi_reader *ret)
{
	if (p < m->lo || p >= m->hi)
		return false;
	struct cfi_reader r = { p, m->hi, false };
	uint64_t length = cfi_read_fixed(&r, 4);

	if (length == 0xffffffff)
		length = cfi_read_fixed(&r, 8);
	if (r.bad || !length || length > (uint64_t)(r.end - r.p))
		return false;
	r.end = r.p + length;
	*ret = r;
	return true;
}

/* The augmentation string "z..." and its data. */
static bool read_augmentation(const char *text, struct cfi_reader *r, struct cie *cie)
{
	uint64_t length = cfi_read_uleb(r);

	if (r->bad || length > (uint64_t)(r->end - r->p))
		return false;
	struct cfi_reader data = { r->p, r->p + length, false };

	cie->has_augmentation = true;
	for (text++; *text; text++) {
		switch (*text) {
		case 'R':
			cie->fde_encoding = cfi_read_byte(&data);
			break;
		case 'L':
			skip(&data, 1);
			break;
		case 'P': {
			uint8_t encoding = cfi_read_byte(&data);
			if (encoding != PE_OMIT)
				read_encoded(&data, encoding & 0x0f, NULL);
			break;
		}
		case 'S':
			cie->signal = true;
			break;
		case 'B':
			break;
		default: /* unknown: its data cannot be skipped, but its end is known */
			goto done;
		}
	}
done:
	skip(r, length);
	return !data.bad && !r->bad;
}

static bool read_cie(const struct cfi_module *m, const uint8_t *p, struct cie *cie)
{
	struct cfi_reader r;

	*cie = (struct cie){ .fde_encoding = PE_ABSPTR };
	if (!open_entry(m, p, &r) || cfi_read_fixed(&r, 4) != 0)
		return false;
	uint8_t version = cfi_read_byte(&r);
	const char *text = (const char *)r.p;

	while (cfi_read_byte(&r))
		;
	if (r.bad || (version != 1 && version != 3 && version != 4))
		return false;
	if (version == 4 && (cfi_read_byte(&r) != 8 || cfi_read_byte(&r) != 0))
		return false; /* address size, segment size */
	cie->code_align = cfi_read_uleb(&r);
	cie->data_align = cfi_read_sleb(&r);
	uint64_t ra = version == 1 ? cfi_read_byte(&r) : cfi_read_uleb(&r);
	if (ra >= CFI_REGISTERS)
		return false;
	cie->ra_column = (uint8_t)ra;
	if (*text == 'z' ? !read_augmentation(text, &r, cie) : *text != 0)
		return false;
	cie->program = r;
	return !r.bad;
}

/* Reads the entry at p as an FDE.  0; 1: it is a CIE; -EINVAL. */
static int read_fde(const struct cfi_module *m, const uint8_t *p, struct fde *fde)
{
	struct cfi_reader r;

	if (!open_entry(m, p, &r))
		return -EINVAL;
	const uint8_t *field = r.p;
	uint64_t back = cfi_read_fixed(&r, 4);

	if (r.bad)
		return -EINVAL;
	if (!back)
		return 1;
	if (back > (uint64_t)(field - m->lo) || !read_cie(m, field - back, &fde->cie))
		return -EINVAL;
	fde->begin = read_encoded(&r, fde->cie.fde_encoding, m->hdr);
	fde->range = read_encoded(&r, fde->cie.fde_encoding & 0x0f, NULL);
	if (fde->cie.has_augmentation)
		skip(&r, cfi_read_uleb(&r));
	fde->program = r;
	return r.bad ? -EINVAL : 0;
}

/* .eh_frame_hdr without a sorted table: every entry of .eh_frame in turn. */
static int scan_entries(const struct cfi_module *m, const uint8_t *eh_frame, uint64_t pc, struct fde *fde)
{
	struct cfi_reader r;

	for (const uint8_t *p = eh_frame; open_entry(m, p, &r); p = r.end) {
		int e = read_fde(m, p, fde);
		if (e < 0)
			return e;
		if (!e && pc - fde->begin < fde->range)
			return 0;
	}
	return -ENOENT;
}

static int32_t table_word(const uint8_t *entry)
{
	int32_t word;

	__builtin_memcpy(&word, entry, sizeof(word));
	return word;
}

/* The sorted table: the last entry that begins at or before pc. */
static int search_table(const struct cfi_module *m, const uint8_t *table, uint64_t n, uint64_t pc,
	struct fde *fde)
{
	int64_t key = (int64_t)(pc - (uintptr_t)m->hdr);
	uint64_t lo = 0, hi = n;

	while (lo < hi) {
		uint64_t mid = lo + (hi - lo) / 2;
		if (table_word(table + 8 * mid) <= key)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (!lo)
		return -ENOENT;
	int e = read_fde(m, m->hdr + table_word(table + 8 * (lo - 1) + 4), fde);
	if (e)
		return -EINVAL;
	return pc - fde->begin < fde->range ? 0 : -ENOENT;
}

static int find_fde(const struct cfi_module *m, uint64_t pc, struct fde *fde)
{
	if (m->hdr < m->lo || m->hdr >= m->hi)
		return -EINVAL;
	struct cfi_reader r = { m->hdr, m->hi, false };
	uint8_t version = cfi_read_byte(&r);
	uint8_t frame_encoding = cfi_read_byte(&r);
	uint8_t count_encoding = cfi_read_byte(&r);
	uint8_t table_encoding = cfi_read_byte(&r);

	if (version != 1 || frame_encoding == PE_OMIT)
		return -EINVAL;
	uint64_t eh_frame = read_encoded(&r, frame_encoding, m->hdr);
	if (count_encoding == PE_OMIT || table_encoding != (PE_DATAREL | PE_SDATA4))
		return r.bad ? -EINVAL : scan_entries(m, (const uint8_t *)(uintptr_t)eh_frame, pc, fde);
	uint64_t n = read_encoded(&r, count_encoding, m->hdr);
	if (r.bad || n > (uint64_t)(r.end - r.p) / 8)
		return -EINVAL;
	return search_table(m, r.p, n, pc, fde);
}

/* A run of a call-frame program up to one code address. */
struct run {
	const struct cfi_module *m;
	const struct cie *cie;
	struct cfi_reader r;
	struct cfi_row *row;
	const struct cfi_row *initial; /* after the CIE's program; NULL inside it */
	uint64_t at, stop;
	unsigned n_remembered;
	struct cfi_row remembered[REMEMBER_DEPTH];
};

/* A factored offset in bytes.  Wraps on nonsense, which narrow() then refuses or
 * which is as good as any other offset of a malformed program. */
static int64_t factored(const struct run *run, uint64_t v)
{
	return (int64_t)(v * (uint64_t)run->cie->data_align);
}

/* A row keeps 32 bits of what is 64 in the file; no real frame needs more. */
static int32_t narrow(struct run *run, int64_t value)
{
	if (value != (int32_t)value)
		run->r.bad = true;
	return (int32_t)value;
}

static void set_rule(struct run *run, uint64_t reg, enum cfi_how how, int64_t value)
{
	if (reg >= CFI_REGISTERS)
		return; /* vector registers and the like: nobody asks for them */
	run->row->how[reg] = (uint8_t)how;
	run->row->value[reg] = narrow(run, value);
}

/* The place of the length-prefixed block that comes next, which is skipped. */
static int64_t take_block(struct run *run)
{
	int64_t place = run->r.p - run->m->lo;

	skip(&run->r, cfi_read_uleb(&run->r));
	return place;
}

static void set_cfa(struct run *run, uint64_t reg, int64_t offset)
{
	run->row->cfa_register = reg < CFI_REGISTERS ? (uint8_t)reg : CFI_CFA_NONE;
	run->row->cfa = narrow(run, offset);
}

static void restore(struct run *run, uint64_t reg)
{
	if (!run->initial)
		run->r.bad = true;
	else if (reg < CFI_REGISTERS)
		set_rule(run, reg, (enum cfi_how)run->initial->how[reg], run->initial->value[reg]);
}

static void remember_state(struct run *run)
{
	if (run->n_remembered == REMEMBER_DEPTH)
		run->r.bad = true;
	else
		run->remembered[run->n_remembered++] = *run->row;
}

static void restore_state(struct run *run)
{
	if (!run->n_remembered)
		run->r.bad = true;
	else
		*run->row = run->remembered[--run->n_remembered];
}

/* Instructions that move the location.  False: not one of them. */
static bool run_advance(struct run *run, uint8_t op)
{
	switch (op) {
	case 0x01: /* set_loc */
		run->at = read_encoded(&run->r, run->cie->fde_encoding, NULL);
		return true;
	case 0x02:
	case 0x03:
	case 0x04: /* advance_loc1, 2, 4 */
		run->at += cfi_read_fixed(&run->r, 1u << (op - 2)) * run->cie->code_align;
		return true;
	default:
		return false;
	}
}

/* Instructions about the CFA and the state as a whole.  False: not one. */
static bool run_cfa(struct run *run, uint8_t op)
{
	struct cfi_reader *r = &run->r;
	uint64_t reg;

	switch (op) {
	case 0x0a:
		remember_state(run);
		return true;
	case 0x0b:
		restore_state(run);
		return true;
	case 0x0c: /* def_cfa */
		reg = cfi_read_uleb(r);
		set_cfa(run, reg, (int64_t)cfi_read_uleb(r));
		return true;
	case 0x0d: /* def_cfa_register */
		set_cfa(run, cfi_read_uleb(r), run->row->cfa);
		return true;
	case 0x0e: /* def_cfa_offset */
		set_cfa(run, run->row->cfa_register, (int64_t)cfi_read_uleb(r));
		return true;
	case 0x0f:
		run->row->cfa = narrow(run, take_block(run));
		run->row->cfa_register = CFI_CFA_EXPR;
		return true;
	case 0x12: /* def_cfa_sf */
		reg = cfi_read_uleb(r);
		set_cfa(run, reg, factored(run, (uint64_t)cfi_read_sleb(r)));
		return true;
	case 0x13: /* def_cfa_offset_sf */
		set_cfa(run, run->row->cfa_register, factored(run, (uint64_t)cfi_read_sleb(r)));
		return true;
	default:
		return false;
	}
}

/* Instructions about one register. */
static void run_register(struct run *run, uint8_t op)
{
	struct cfi_reader *r = &run->r;
	uint64_t reg = cfi_read_uleb(r);

	switch (op) {
	case 0x05: /* offset_extended */
		set_rule(run, reg, CFI_OFFSET, factored(run, cfi_read_uleb(r)));
		break;
	case 0x06:
		restore(run, reg);
		break;
	case 0x07:
		set_rule(run, reg, CFI_UNDEFINED, 0);
		break;
	case 0x08:
		set_rule(run, reg, CFI_SAME, 0);
		break;
	case 0x09:
		set_rule(run, reg, CFI_REGISTER, (int64_t)cfi_read_uleb(r));
		break;
	case 0x10:
		set_rule(run, reg, CFI_EXPR, take_block(run));
		break;
	case 0x11: /* offset_extended_sf */
		set_rule(run, reg, CFI_OFFSET, factored(run, (uint64_t)cfi_read_sleb(r)));
		break;
	case 0x14: /* val_offset */
		set_rule(run, reg, CFI_VAL_OFFSET, factored(run, cfi_read_uleb(r)));
		break;
	case 0x15: /* val_offset_sf */
		set_rule(run, reg, CFI_VAL_OFFSET, factored(run, (uint64_t)cfi_read_sleb(r)));
		break;
	case 0x16:
		set_rule(run, reg, CFI_VAL_EXPR, take_block(run));
		break;
	case 0x2e: /* GNU_args_size: its one operand is read */
		break;
	case 0x2f: /* GNU_negative_offset_extended */
		set_rule(run, reg, CFI_OFFSET, factored(run, 0 - cfi_read_uleb(r)));
		break;
	default:
		r->bad = true;
	}
}

static int run_program(struct run *run)
{
	while (!run->r.bad && run->r.p < run->r.end && run->at <= run->stop) {
		uint8_t op = cfi_read_byte(&run->r);
		uint64_t low = op & 0x3f;

		switch (op >> 6) {
		case 1: /* advance_loc */
			run->at += low * run->cie->code_align;
			break;
		case 2: /* offset */
			set_rule(run, low, CFI_OFFSET,
				factored(run, cfi_read_uleb(&run->r)));
			break;
		case 3:
			restore(run, low);
			break;
		default:
			if (op && !run_advance(run, op) && !run_cfa(run, op))
				run_register(run, op);
		}
	}
	return run->r.bad ? -EINVAL : 0;
}

int cfi_find_row(const struct cfi_module *m, uint64_t pc, struct cfi_row *ret)
{
	struct fde fde;
	int e = find_fde(m, pc, &fde);

	if (e)
		return e;
	*ret = (struct cfi_row){ .cfa_register = CFI_CFA_NONE, .ra_column = fde.cie.ra_column,
		.signal = fde.cie.signal };
	struct run run;
	run.m = m;
	run.cie = &fde.cie;
	run.row = ret;
	run.n_remembered = 0;
	run.initial = NULL;
	run.r = fde.cie.program;
	run.at = 0;
	run.stop = ~0ull;
	e = run_program(&run);
	if (e)
		return e;
	struct cfi_row initial = *ret;
	run.initial = &initial;
	run.n_remembered = 0;
	run.r = fde.program;
	run.at = fde.begin;
	run.stop = pc;
	return run_program(&run);
}

struct cfi_reader cfi_expression(const struct cfi_module *m, int32_t place)
{
	struct cfi_reader r = { m->lo + place, m->hi, place < 0 || place >= m->hi - m->lo };
	uint64_t length = cfi_read_uleb(&r);

	if (length > (uint64_t)(r.end - r.p))
		r.bad = true;
	else
		r.end = r.p + length;
	return r;
}
