/*
 * chains.c - loads stack, frame and module.
 *
 * A verb prints thousands of stacks of dozens of frames: one read of three
 * tables into arrays by id is faster than a statement per frame.  Called by
 * site_rows.c and stack_read.c.  The rows may come from a damaged file: ids
 * that lead nowhere or in circles end a walk, they do not crash it.
 */
#include "chains.h"

#include "db.h"

#include <errno.h>
#include <stdlib.h>

struct module_name {
	const char *path, *kind;
};

static size_t id_bound(sqlite3 *db, const char *sql, size_t most)
{
	int64_t n = db_int(db, sql, 0);

	return n < 0 || (uint64_t)n >= most ? 1 : (size_t)n + 1;
}

static const char *text_of(struct pool *pool, sqlite3_stmt *st, int column)
{
	return pool_text(pool, (const char *)sqlite3_column_text(st, column));
}

static int finish(sqlite3_stmt *st, int code)
{
	int end = sqlite3_finalize(st);

	return code == SQLITE_OK && end == SQLITE_OK ? 0 : -EIO;
}

static int load_frames(sqlite3 *db, struct chains *c, const struct module_name *modules, size_t n_modules)
{
	sqlite3_stmt *st = NULL;
	int code = sqlite3_prepare_v2(db, "SELECT id, function, file, line, offset, inlined_by, module_id FROM frame",
		-1, &st, NULL);

	while (code == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW) {
		size_t id = (size_t)sqlite3_column_int64(st, 0), module = (size_t)sqlite3_column_int64(st, 6);
		struct chain_frame *f = id < c->n_frames ? &c->frames[id] : NULL;

		if (!f)
			continue;
		f->function = text_of(&c->pool, st, 1);
		f->file = text_of(&c->pool, st, 2);
		f->line = sqlite3_column_int64(st, 3);
		f->offset = sqlite3_column_int64(st, 4);
		f->outer = (uint32_t)sqlite3_column_int64(st, 5);
		f->module = module && module < n_modules ? modules[module].path : NULL;
		f->kind = module && module < n_modules ? modules[module].kind : NULL;
		f->part = site_part(&(struct site_frame){f->function, f->file, f->module, (uint64_t)f->offset, f->kind});
	}
	return finish(st, code);
}

static int load_modules_and_frames(sqlite3 *db, struct chains *c)
{
	size_t n = id_bound(db, "SELECT max(id) FROM module", 1u << 28);
	struct module_name *modules = calloc(n, sizeof(*modules));
	sqlite3_stmt *st = NULL;
	int error, code;

	if (!modules)
		return -ENOMEM;
	code = sqlite3_prepare_v2(db, "SELECT id, path, kind FROM module", -1, &st, NULL);
	while (code == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW) {
		size_t id = (size_t)sqlite3_column_int64(st, 0);

		if (id < n)
			modules[id] = (struct module_name){text_of(&c->pool, st, 1), text_of(&c->pool, st, 2)};
	}
	error = finish(st, code);
	if (!error)
		error = load_frames(db, c, modules, n);
	free(modules);
	return error;
}

static int load_nodes(sqlite3 *db, struct chains *c)
{
	sqlite3_stmt *st = NULL;
	int code = sqlite3_prepare_v2(db, "SELECT id, parent_id, frame_id, flags, pc FROM stack", -1, &st, NULL);

	while (code == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW) {
		size_t id = (size_t)sqlite3_column_int64(st, 0);

		if (id < c->n_nodes)
			c->nodes[id] = (struct chain_node){
				.parent = (uint32_t)sqlite3_column_int64(st, 1),
				.frame = (uint32_t)sqlite3_column_int64(st, 2),
				.flags = (uint32_t)sqlite3_column_int64(st, 3),
				.pc = (uint64_t)sqlite3_column_int64(st, 4),
			};
	}
	return finish(st, code);
}

int chains_load(sqlite3 *db, struct chains *ret)
{
	struct chains c = {
		.n_frames = id_bound(db, "SELECT max(id) FROM frame", 1u << 28),
		.n_nodes = id_bound(db, "SELECT max(id) FROM stack", 1u << 24),
	};
	int error = -ENOMEM;

	c.frames = calloc(c.n_frames, sizeof(*c.frames));
	c.nodes = calloc(c.n_nodes, sizeof(*c.nodes));
	if (c.frames && c.nodes)
		error = load_modules_and_frames(db, &c);
	if (!error)
		error = load_nodes(db, &c);
	if (error)
		chains_done(&c);
	else
		*ret = c;
	return error;
}

void chains_done(struct chains *c)
{
	free(c->frames);
	free(c->nodes);
	pool_done(&c->pool);
	*c = (struct chains){0};
}
