/*
 * frames.c - from pcs to rows of `frame`, inside a database.
 *
 * Called at the end of a recording, by the verb symbolize, and by capture.c
 * on its copy of a database that is still being written: one path for all.
 *
 *   1. every node without a frame finds its module: context and pc decide, so
 *      an address that was reused after a dlclose gets the right file
 *   2. the same build of a file is resolved once, however many processes and
 *      contexts had it: nodes are sorted by (file, address)
 *   3. each distinct address becomes one row of `frame`, and one more for
 *      each function it was inlined into
 *   4. addresses in no module are looked for in the process's perf map (JIT)
 *   5. sites.c's counterpart site_rows.c makes the stable ids
 */
#include "frames.h"

#include "db.h"

#include "symbol/jit.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct module_row {
	int64_t id;
	uint32_t context;
	uint64_t start, end, bias;
	uint32_t file; /* rows of the same build of the same path share a number */
	char *path, *build_id, *symbols;
};
struct node_row {
	int64_t id;
	uint64_t pc;
	uint32_t context, flags;
	int64_t module;   /* index; -1: none */
	uint64_t address; /* to look up, in the file */
	int64_t frame;
};
struct work {
	sqlite3 *db;
	struct pool pool;
	struct module_row *modules; /* by context, start */
	size_t n_modules;
	struct node_row *nodes;
	size_t n_nodes;
	int64_t next_frame;
	sqlite3_stmt *insert_frame, *set_frame, *set_symbols;
	struct frames_result *result;
};

#define NODE_EXACT 8 /* MMS_NODE_EXACT_PC as stored in stack.flags */

/* Room for one more element at the end of an array that doubles. */
static void *one_more(void *array, size_t n, size_t size)
{
	if (n & (n - 1))
		return array;
	return realloc(array, (n ? 2 * n : 1) * size);
}

static int sqlite_errno(int code) { return code == SQLITE_OK || code == SQLITE_DONE ? 0 : -EIO; }

static int load_modules(struct work *w)
{
	sqlite3_stmt *st;
	int code = sqlite3_prepare_v2(w->db,
		"SELECT id, context, start, end, bias, path, build_id, symbols,"
		" dense_rank() OVER (ORDER BY path, build_id)"
		" FROM module WHERE kind <> 'jit' ORDER BY context, start, id", -1, &st, NULL);

	while (code == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW) {
		struct module_row *grown = one_more(w->modules, w->n_modules, sizeof(*grown));

		if (!grown) {
			sqlite3_finalize(st);
			return -ENOMEM;
		}
		w->modules = grown;
		grown[w->n_modules++] = (struct module_row){
			.id = sqlite3_column_int64(st, 0),
			.context = (uint32_t)sqlite3_column_int64(st, 1),
			.start = (uint64_t)sqlite3_column_int64(st, 2),
			.end = (uint64_t)sqlite3_column_int64(st, 3),
			.bias = (uint64_t)sqlite3_column_int64(st, 4),
			.path = pool_text(&w->pool, (const char *)sqlite3_column_text(st, 5)),
			.build_id = pool_text(&w->pool, (const char *)sqlite3_column_text(st, 6)),
			.symbols = pool_text(&w->pool, (const char *)sqlite3_column_text(st, 7)),
			.file = (uint32_t)sqlite3_column_int64(st, 8),
		};
	}
	return sqlite_errno(code == SQLITE_OK ? sqlite3_finalize(st) : code);
}

/* Index of the module of a pc; -1: none. */
static int64_t module_of(const struct work *w, uint32_t context, uint64_t pc)
{
	size_t low = 0, high = w->n_modules;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct module_row *m = &w->modules[middle];

		if (m->context < context || (m->context == context && m->start <= pc))
			low = middle + 1;
		else
			high = middle;
	}
	if (!low || w->modules[low - 1].context != context || pc >= w->modules[low - 1].end)
		return -1;
	return (int64_t)low - 1;
}

static void place_node(const struct work *w, struct node_row *node)
{
	uint64_t pc = node->flags & NODE_EXACT ? node->pc : node->pc - 1;

	node->module = module_of(w, node->context, pc);
	node->address = node->module < 0 ? pc : pc - w->modules[node->module].bias;
}

static int load_nodes(struct work *w)
{
	sqlite3_stmt *st;
	int code = sqlite3_prepare_v2(w->db,
		"SELECT id, pc, context, flags FROM stack WHERE frame_id IS NULL", -1, &st, NULL);

	while (code == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW) {
		struct node_row *grown = one_more(w->nodes, w->n_nodes, sizeof(*grown));
		struct node_row *node;

		if (!grown) {
			sqlite3_finalize(st);
			return -ENOMEM;
		}
		w->nodes = grown;
		node = &grown[w->n_nodes++];
		*node = (struct node_row){
			.id = sqlite3_column_int64(st, 0),
			.pc = (uint64_t)sqlite3_column_int64(st, 1),
			.context = (uint32_t)sqlite3_column_int64(st, 2),
			.flags = (uint32_t)sqlite3_column_int64(st, 3),
		};
		place_node(w, node);
	}
	return sqlite_errno(code == SQLITE_OK ? sqlite3_finalize(st) : code);
}

static uint32_t file_of(const struct work *w, const struct node_row *node)
{
	return node->module < 0 ? 0 : w->modules[node->module].file;
}

static const struct work *sorting; /* qsort has no argument for its caller */

static int by_file_and_address(const void *a, const void *b)
{
	const struct node_row *x = a, *y = b;
	uint32_t fx = file_of(sorting, x), fy = file_of(sorting, y);

	if (fx != fy)
		return fx < fy ? -1 : 1;
	if (!fx && x->context != y->context) /* JIT: each process has its own map */
		return x->context < y->context ? -1 : 1;
	return x->address < y->address ? -1 : x->address > y->address;
}

static int insert_frame(struct work *w, int64_t module, uint64_t offset, const struct symbol_frame *f,
	int64_t outer, int64_t *ret_id)
{
	struct row r = row_of(w->insert_frame);

	row_int(&r, (uint64_t)w->next_frame);
	row_maybe(&r, module >= 0, (uint64_t)module);
	row_int(&r, offset);
	row_text(&r, f ? f->function : NULL);
	row_text(&r, f ? f->file : NULL);
	row_maybe(&r, f && f->line > 0, f ? (uint64_t)f->line : 0);
	row_maybe(&r, outer > 0, (uint64_t)outer);
	*ret_id = w->next_frame++;
	return sqlite_errno(row_run(&r));
}

/* Rows of one address, outermost first since the inner ones point outwards. */
static int insert_chain(struct work *w, int64_t module, uint64_t offset, const struct symbol_want *want,
	int64_t *ret_id)
{
	int64_t outer = 0;
	int error = 0;

	w->result->n_addresses++;
	w->result->n_named += want->n_frames && want->frames[want->n_frames - 1].function;
	if (!want->n_frames)
		return insert_frame(w, module, offset, NULL, 0, ret_id);
	for (size_t i = want->n_frames; !error && i-- > 0;)
		error = insert_frame(w, module, offset, &want->frames[i], i + 1 < want->n_frames ? outer : 0, &outer);
	*ret_id = outer;
	return error;
}

static size_t unhex(const char *hex, uint8_t *out, size_t room)
{
	size_t n = 0;

	for (; hex && n < room && hex[2 * n] && hex[2 * n + 1]; n++) {
		char digits[3] = {hex[2 * n], hex[2 * n + 1], '\0'};

		out[n] = (uint8_t)strtoul(digits, NULL, 16);
	}
	return n;
}

static int set_level(struct work *w, uint32_t file, enum symbol_level level)
{
	int error = 0;

	for (size_t i = 0; !error && i < w->n_modules; i++) {
		struct row r = row_of(w->set_symbols);

		if (w->modules[i].file != file)
			continue;
		row_text(&r, symbol_level_word(level));
		row_int(&r, (uint64_t)w->modules[i].id);
		error = sqlite_errno(row_run(&r));
	}
	return error;
}

static int open_module(const struct module_row *m, const struct symbol_options *options, struct pool *pool,
	struct symbol_want *wants, size_t n, enum symbol_level *ret)
{
	uint8_t build_id[64];
	struct symbol_module module = {m->path, build_id, unhex(m->build_id, build_id, sizeof(build_id))};

	return symbol_resolve(&module, options, pool, wants, n, ret);
}

/* nodes[0..n) have one module file and are sorted by address. */
static int resolve_file(struct work *w, const struct symbol_options *options, struct node_row *nodes, size_t n)
{
	const struct module_row *m = &w->modules[nodes[0].module];
	struct symbol_want *wants = calloc(n, sizeof(*wants));
	struct pool pool = {0};
	enum symbol_level level;
	size_t n_wants = 0;
	int error;

	if (!wants)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		if (!i || nodes[i].address != nodes[i - 1].address)
			wants[n_wants++].address = nodes[i].address;
	}
	error = open_module(m, options, &pool, wants, n_wants, &level);
	for (size_t i = 0, k = 0; !error && i < n; i++) {
		if (i && nodes[i].address == nodes[i - 1].address) {
			nodes[i].frame = nodes[i - 1].frame;
			continue;
		}
		error = insert_chain(w, m->id, nodes[i].pc - w->modules[nodes[i].module].bias, &wants[k++],
			&nodes[i].frame);
	}
	if (!error)
		error = set_level(w, m->file, level);
	w->result->n_missing += level == SYMBOL_MISSING;
	free(wants);
	pool_done(&pool);
	return error;
}

/* The perf map of a process that had this context; NULL: there is none. */
static struct jit_map *map_of_context(struct work *w, uint32_t context, uint32_t *ret_pid, int64_t *ret_process)
{
	struct jit_map *map = NULL;
	sqlite3_stmt *st;

	if (sqlite3_prepare_v2(w->db,
			"SELECT DISTINCT p.pid, coalesce(p.ns_pid, p.pid), p.id FROM module m"
			" JOIN process p ON p.id = m.process_id WHERE m.context = ?",
			-1, &st, NULL) != SQLITE_OK)
		return NULL;
	sqlite3_bind_int64(st, 1, context);
	while (!map && sqlite3_step(st) == SQLITE_ROW) {
		*ret_pid = (uint32_t)sqlite3_column_int64(st, 0);
		*ret_process = sqlite3_column_int64(st, 2);
		if (jit_open(*ret_pid, &map) != 0 && sqlite3_column_int64(st, 1) != *ret_pid) {
			*ret_pid = (uint32_t)sqlite3_column_int64(st, 1);
			if (jit_open(*ret_pid, &map) != 0)
				map = NULL;
		}
	}
	sqlite3_finalize(st);
	return map;
}

static int64_t insert_jit_module(struct work *w, const struct jit_map *map, uint32_t context, uint32_t pid,
	int64_t process)
{
	sqlite3_stmt *st;
	uint64_t start, end;
	struct row r;
	int code;

	jit_range(map, &start, &end);
	if (sqlite3_prepare_v2(w->db,
			"INSERT INTO module VALUES (NULL, ?1, ?2, '/tmp/perf-' || ?3 || '.map', NULL, ?4, ?5, 0,"
			" 'jit', 0, NULL, 'symtab')", -1, &st, NULL) != SQLITE_OK)
		return -1;
	r = row_of(st);
	row_int(&r, context);
	row_int(&r, (uint64_t)process);
	row_int(&r, pid);
	row_int(&r, start);
	row_int(&r, end);
	code = row_run(&r);
	sqlite3_finalize(st);
	return code == SQLITE_OK ? sqlite3_last_insert_rowid(w->db) : -1;
}

/* nodes[0..n): in no module, of one context, sorted by address. */
static int resolve_jit(struct work *w, struct node_row *nodes, size_t n)
{
	uint32_t pid = 0;
	int64_t process = 0, module = -1;
	struct jit_map *map = map_of_context(w, nodes[0].context, &pid, &process);
	int error = 0;

	for (size_t i = 0; !error && i < n; i++) {
		struct symbol_frame frame = {.function = map ? jit_find(map, nodes[i].address) : NULL};
		struct symbol_want want = {.frames = &frame, .n_frames = frame.function ? 1 : 0};

		if (i && nodes[i].address == nodes[i - 1].address) {
			nodes[i].frame = nodes[i - 1].frame;
			continue;
		}
		if (want.n_frames && module < 0)
			module = insert_jit_module(w, map, nodes[0].context, pid, process);
		error = insert_chain(w, want.n_frames ? module : -1, nodes[i].pc, &want, &nodes[i].frame);
	}
	jit_close(map);
	return error;
}

static int resolve_nodes(struct work *w, const struct symbol_options *options)
{
	int error = 0;

	sorting = w;
	if (w->n_nodes)
		qsort(w->nodes, w->n_nodes, sizeof(*w->nodes), by_file_and_address);
	for (size_t first = 0, end; !error && first < w->n_nodes; first = end) {
		uint32_t file = file_of(w, &w->nodes[first]);

		for (end = first + 1; end < w->n_nodes && file_of(w, &w->nodes[end]) == file &&
			(file || w->nodes[end].context == w->nodes[first].context); end++)
			;
		error = file ? resolve_file(w, options, &w->nodes[first], end - first)
			: resolve_jit(w, &w->nodes[first], end - first);
	}
	for (size_t i = 0; !error && i < w->n_nodes; i++) {
		struct row r = row_of(w->set_frame);

		row_int(&r, (uint64_t)w->nodes[i].frame);
		row_int(&r, (uint64_t)w->nodes[i].id);
		error = sqlite_errno(row_run(&r));
	}
	return error;
}

static int prepare(struct work *w)
{
	int code = sqlite3_prepare_v2(w->db, "INSERT INTO frame VALUES (?,?,?,?,?,?,?)", -1, &w->insert_frame, NULL);

	if (code == SQLITE_OK)
		code = sqlite3_prepare_v2(w->db, "UPDATE stack SET frame_id = ? WHERE id = ?", -1, &w->set_frame, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_prepare_v2(w->db, "UPDATE module SET symbols = ? WHERE id = ?", -1,
			&w->set_symbols, NULL);
	w->next_frame = db_int(w->db, "SELECT max(id) + 1 FROM frame", 1);
	return sqlite_errno(code);
}

static void work_done(struct work *w)
{
	sqlite3_finalize(w->insert_frame);
	sqlite3_finalize(w->set_frame);
	sqlite3_finalize(w->set_symbols);
	free(w->modules);
	free(w->nodes);
	pool_done(&w->pool);
}

int frames_resolve(sqlite3 *db, const struct symbol_options *options, struct frames_result *ret)
{
	struct frames_result ignored;
	struct work w = {.db = db, .result = ret ? ret : &ignored};
	int error = prepare(&w);

	*w.result = (struct frames_result){0};
	if (!error)
		error = load_modules(&w);
	if (!error)
		error = load_nodes(&w);
	if (!error)
		error = resolve_nodes(&w, options);
	work_done(&w);
	return error ? error : frames_sites(db);
}

static enum symbol_level level_of_word(const char *word)
{
	for (int level = SYMBOL_MISSING; level <= SYMBOL_FULL; level++) {
		if (word && !strcmp(word, symbol_level_word((enum symbol_level)level)))
			return (enum symbol_level)level;
	}
	return SYMBOL_MISSING;
}

/* Forgets the frames of a file that can tell more now. */
static int forget_file(struct work *w, const struct symbol_options *options, uint32_t file)
{
	struct pool pool = {0};
	const struct module_row *first = NULL;
	enum symbol_level level;
	int error = 0;

	for (size_t i = 0; i < w->n_modules && !first; i++)
		first = w->modules[i].file == file ? &w->modules[i] : NULL;
	if (!first || level_of_word(first->symbols) == SYMBOL_FULL)
		return 0;
	error = open_module(first, options, &pool, NULL, 0, &level);
	pool_done(&pool);
	if (error || level <= level_of_word(first->symbols))
		return error;
	for (size_t i = 0; !error && i < w->n_modules; i++) {
		sqlite3_stmt *st;

		if (w->modules[i].file != file)
			continue;
		if (sqlite3_prepare_v2(w->db, "UPDATE stack SET frame_id = NULL WHERE frame_id IN"
				" (SELECT id FROM frame WHERE module_id = ?)", -1, &st, NULL) != SQLITE_OK)
			return -EIO;
		sqlite3_bind_int64(st, 1, w->modules[i].id);
		error = sqlite_errno(sqlite3_step(st));
		sqlite3_finalize(st);
	}
	return error;
}

int frames_again(sqlite3 *db, const struct symbol_options *options, struct frames_result *ret)
{
	struct frames_result ignored;
	struct work w = {.db = db, .result = &ignored};
	uint32_t n_files = 0;
	int error = prepare(&w);

	if (!error)
		error = load_modules(&w);
	for (size_t i = 0; i < w.n_modules; i++)
		n_files = w.modules[i].file > n_files ? w.modules[i].file : n_files;
	for (uint32_t file = 1; !error && file <= n_files; file++)
		error = forget_file(&w, options, file);
	work_done(&w);
	if (!error)
		error = frames_resolve(db, options, ret);
	if (!error && db_exec(db, "DELETE FROM frame WHERE id NOT IN"
			" (WITH RECURSIVE used(id) AS (SELECT frame_id FROM stack WHERE frame_id IS NOT NULL"
			"  UNION SELECT f.inlined_by FROM frame f JOIN used u ON f.id = u.id"
			"   WHERE f.inlined_by IS NOT NULL) SELECT id FROM used)") != SQLITE_OK)
		error = -EIO;
	return error;
}
