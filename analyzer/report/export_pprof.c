/*
 * export_pprof.c - profile.proto of pprof, gzipped.
 *
 * The message, field by field (github.com/google/pprof, proto/profile.proto):
 *
 *     Profile   1 sample_type  2 sample  3 mapping  4 location  5 function
 *               6 string_table  9 time_nanos  10 duration_nanos
 *               14 default_sample_type
 *     ValueType 1 type  2 unit              (indices of strings)
 *     Sample    1 location_id (packed)  2 value (packed)  3 label
 *     Label     1 key  2 str  3 num
 *     Mapping   1 id  5 filename  7 has_functions  8 has_filenames
 *               9 has_line_numbers  10 has_inline_frames
 *     Location  1 id  2 mapping_id  3 address  4 line: 1 function_id  2 line
 *     Function  1 id  2 name  3 system_name  4 filename
 *
 * Inlined functions are lines of the location of the function that they were
 * inlined into.  Addresses are those in the module's file, so the same place
 * in two processes is one location.
 */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "report/alloc.h"
#include "report/export.h"
#include "verbs.h"

struct bytes {
	uint8_t *data;
	size_t n, capacity;
};

/* ---- protobuf ---- */

static void put_byte(struct bytes *b, uint8_t byte)
{
	XGROW(b->data, b->n, b->capacity);
	b->data[b->n++] = byte;
}

static void put_varint(struct bytes *b, uint64_t v)
{
	for (; v >= 0x80; v >>= 7)
		put_byte(b, (uint8_t)(v | 0x80));
	put_byte(b, (uint8_t)v);
}

/* Zero is what a missing field means. */
static void put_number(struct bytes *b, unsigned field, uint64_t v)
{
	if (v == 0)
		return;
	put_varint(b, field << 3);
	put_varint(b, v);
}

static void put_data(struct bytes *b, unsigned field, const void *data, size_t n)
{
	put_varint(b, field << 3 | 2);
	put_varint(b, n);
	for (size_t i = 0; i < n; i++)
		put_byte(b, ((const uint8_t *)data)[i]);
}

/* Appends and empties a message. */
static void put_message(struct bytes *b, unsigned field, struct bytes *message)
{
	put_data(b, field, message->data, message->n);
	message->n = 0;
}

/* ---- things that are numbered once ---- */

/* Keys are byte strings; ids count from 0. */
struct numbering {
	struct bytes *key;
	size_t n, capacity;
	size_t *slot; /* id + 1 */
	size_t n_slots;
};

static size_t hash_key(const void *key, size_t n)
{
	uint64_t h = 0xcbf29ce484222325ull;
	for (size_t i = 0; i < n; i++)
		h = (h ^ ((const uint8_t *)key)[i]) * 0x100000001b3ull;
	return (size_t)(h ^ h >> 31);
}

static void numbering_grow(struct numbering *x)
{
	free(x->slot);
	x->n_slots = x->n_slots ? 2 * x->n_slots : 1024;
	x->slot = xcalloc(x->n_slots, sizeof(*x->slot));
	for (size_t i = 0; i < x->n; i++) {
		size_t at = hash_key(x->key[i].data, x->key[i].n) & (x->n_slots - 1);
		while (x->slot[at])
			at = (at + 1) & (x->n_slots - 1);
		x->slot[at] = i + 1;
	}
}

static size_t number_of(struct numbering *x, const void *key, size_t n, bool *ret_is_new)
{
	if (2 * (x->n + 1) > x->n_slots)
		numbering_grow(x);
	size_t at = hash_key(key, n) & (x->n_slots - 1);
	*ret_is_new = false;
	for (; x->slot[at]; at = (at + 1) & (x->n_slots - 1)) {
		const struct bytes *k = &x->key[x->slot[at] - 1];
		if (k->n == n && memcmp(k->data, key, n) == 0)
			return x->slot[at] - 1;
	}
	XGROW(x->key, x->n, x->capacity);
	struct bytes *k = &x->key[x->n];
	*k = (struct bytes){.data = xmalloc(n + 1), .n = n, .capacity = n + 1};
	memcpy(k->data, key, n);
	*ret_is_new = true;
	x->slot[at] = ++x->n;
	return x->n - 1;
}

static void numbering_done(struct numbering *x)
{
	for (size_t i = 0; i < x->n; i++)
		free(x->key[i].data);
	free(x->key);
	free(x->slot);
}

/* ---- the profile ---- */

struct profile {
	struct numbering strings, functions, mappings, locations;
	struct bytes out;      /* everything but the string table */
	struct bytes message, inner, key;
};

static uint64_t string_id(struct profile *p, const char *s)
{
	bool is_new;
	return number_of(&p->strings, s, strlen(s), &is_new);
}

static uint64_t mapping_id(struct profile *p, const char *path)
{
	bool is_new;
	uint64_t id = number_of(&p->mappings, path, strlen(path), &is_new) + 1;
	if (is_new) {
		put_number(&p->message, 1, id);
		put_number(&p->message, 5, string_id(p, path));
		for (unsigned has = 7; has <= 10; has++)
			put_number(&p->message, has, 1);
		put_message(&p->out, 3, &p->message);
	}
	return id;
}

static uint64_t function_id(struct profile *p, const struct capture_frame *f)
{
	bool is_new;
	char *name = export_frame_name(f);
	uint64_t words[2] = {string_id(p, name), string_id(p, f->file ? f->file : "")};
	uint64_t id = number_of(&p->functions, words, sizeof(words), &is_new) + 1;
	free(name);
	if (is_new) {
		put_number(&p->message, 1, id);
		put_number(&p->message, 2, words[0]);
		put_number(&p->message, 3, words[0]);
		put_number(&p->message, 4, words[1]);
		put_message(&p->out, 5, &p->message);
	}
	return id;
}

/* Frames [0, n): those that were inlined, and the function they are in.  The
 * encoded location without its id is its own key. */
static uint64_t location_id(struct profile *p, const struct capture_frame *f, size_t n)
{
	const struct capture_frame *last = &f[n - 1];
	bool is_new;
	uint64_t mapping = last->module ? mapping_id(p, last->module) : 0;
	p->key.n = 0;
	put_number(&p->key, 2, mapping);
	put_number(&p->key, 3, last->module ? last->offset : last->address);
	for (size_t i = 0; i < n; i++) {
		uint64_t function = function_id(p, &f[i]);
		put_number(&p->inner, 1, function);
		put_number(&p->inner, 2, f[i].line > 0 ? (uint64_t)f[i].line : 0);
		put_message(&p->key, 4, &p->inner);
	}
	uint64_t id = number_of(&p->locations, p->key.data, p->key.n, &is_new) + 1;
	if (is_new) {
		put_number(&p->message, 1, id);
		for (size_t i = 0; i < p->key.n; i++)
			put_byte(&p->message, p->key.data[i]);
		put_message(&p->out, 4, &p->message);
	}
	return id;
}

static void put_stack(struct profile *p, struct bytes *ids, const struct capture_stack *s)
{
	for (size_t i = 0, first = 0; i < s->n; i++) {
		if (s->frames[i].inlined && i + 1 < s->n)
			continue;
		put_varint(ids, location_id(p, &s->frames[first], i + 1 - first));
		first = i + 1;
	}
}

static void put_sample(struct profile *p, const struct row *r)
{
	struct bytes ids = {NULL}, sample = {NULL};
	const uint64_t values[] = {r->alloc_blocks, r->alloc_bytes, r->live_blocks, r->live_bytes};
	put_stack(p, &ids, r->stack);
	if (ids.n == 0) {
		const struct capture_frame unknown = {.function = "(stack not captured)"};
		put_varint(&ids, location_id(p, &unknown, 1));
	}
	put_message(&sample, 1, &ids);
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		put_varint(&ids, values[i]);
	put_message(&sample, 2, &ids);
	put_number(&ids, 1, string_id(p, "pid"));
	put_number(&ids, 3, (uint64_t)r->process->pid);
	put_message(&sample, 3, &ids);
	put_number(&ids, 1, string_id(p, "site"));
	put_number(&ids, 2, string_id(p, r->id));
	put_message(&sample, 3, &ids);
	put_message(&p->out, 2, &sample);
	free(ids.data);
	free(sample.data);
}

static void put_types(struct profile *p)
{
	static const char *const types[][2] = {{"alloc_objects", "count"}, {"alloc_space", "bytes"},
		{"inuse_objects", "count"}, {"inuse_space", "bytes"}};
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		put_number(&p->message, 1, string_id(p, types[i][0]));
		put_number(&p->message, 2, string_id(p, types[i][1]));
		put_message(&p->out, 1, &p->message);
	}
	put_number(&p->out, 14, string_id(p, "inuse_space"));
}

static void *zlib_alloc(void *unused, unsigned n, unsigned size)
{
	return xcalloc(n, size);
}

static void zlib_free(void *unused, void *p)
{
	free(p);
}

/* windowBits 15 + 16: with gzip's header. */
static void write_gzip(const struct bytes *b, FILE *out)
{
	uint8_t buffer[1 << 14];
	z_stream z = {.next_in = b->data, .zalloc = zlib_alloc, .zfree = zlib_free};
	size_t left = b->n;
	int r = Z_OK;
	if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
		fprintf(stderr, "mmscope export: zlib: %s\n", z.msg ? z.msg : "cannot be used");
		exit(VERB_USAGE);
	}
	while (r != Z_STREAM_END) {
		if (z.avail_in == 0) {
			z.avail_in = left > 1 << 20 ? 1 << 20 : (uInt)left;
			left -= z.avail_in;
		}
		z.next_out = buffer;
		z.avail_out = sizeof(buffer);
		r = deflate(&z, left ? Z_NO_FLUSH : Z_FINISH);
		fwrite(buffer, 1, sizeof(buffer) - z.avail_out, out);
	}
	deflateEnd(&z);
}

void export_pprof(struct export *x, FILE *out)
{
	struct profile p = {.out.n = 0};
	string_id(&p, ""); /* index 0 must be the empty string */
	put_types(&p);
	/* The first mapping is taken for the program. */
	if (x->a.main)
		mapping_id(&p, x->a.main->exe);
	for (size_t i = 0; i < x->rows.n; i++)
		put_sample(&p, &x->rows.row[i]);
	int64_t start = capture_meta_number(x->a.capture, "start_realtime_ns", 0);
	put_number(&p.out, 9, (uint64_t)start);
	put_number(&p.out, 10, (uint64_t)x->a.duration_ns);
	for (size_t i = 0; i < p.strings.n; i++)
		put_data(&p.out, 6, p.strings.key[i].data, p.strings.key[i].n);
	write_gzip(&p.out, out);
	numbering_done(&p.strings);
	numbering_done(&p.functions);
	numbering_done(&p.mappings);
	numbering_done(&p.locations);
	free(p.out.data);
	free(p.message.data);
	free(p.inner.data);
	free(p.key.data);
}
