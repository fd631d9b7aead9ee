/*
 * rows.c - processes, threads, modules, address-space events, forks and ticks
 * of the model as rows.
 *
 * Called by store_flush inside its transaction.  Writes only what changed
 * since the last commit (digests in struct store).  Knows the words that the
 * columns use for the numbers of the session (begin_how, end_how, op, kind);
 * docs/data-model.md lists them.
 */
#include "store.h"

#include "mmscope/record.h"
#include "mmscope/session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *begin_word(uint32_t begin)
{
	static const char *const word[] = {"unknown", "start", "fork", "exec", "spawn"};

	return begin < sizeof(word) / sizeof(word[0]) ? word[begin] : "unknown";
}

static const char *end_word(const struct model_process *p)
{
	switch (p->end) {
	case MMS_END_EXIT:
		return "exit";
	case MMS_END_SIGNAL:
		return "signal";
	case MMS_END_EXEC:
		return "exec";
	default:
		return p->end_ns && !p->runs_on ? "unknown" : "running";
	}
}

static const char *engine_word(uint32_t engine)
{
	return engine == MMS_ENGINE_OWN ? "own" : engine == MMS_ENGINE_LIBUNWIND ? "libunwind" : NULL;
}

/* Length of the valid UTF-8 sequence at p; 0: invalid. */
static size_t utf8_length(const uint8_t *p, size_t left)
{
	size_t n = p[0] < 0x80 ? 1 : p[0] >= 0xc2 && p[0] < 0xe0 ? 2
		: p[0] >= 0xe0 && p[0] < 0xf0 ? 3 : p[0] >= 0xf0 && p[0] < 0xf5 ? 4 : 0;

	if (!n || n > left)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	}
	return n;
}

/* One byte of a JSON string that is not plain; at most 6 bytes. */
static size_t json_escape(uint8_t c, char *out)
{
	if (c == '"' || c == '\\') {
		out[0] = '\\';
		out[1] = (char)c;
		return 2;
	}
	return (size_t)sprintf(out, "\\u%04x", c < 0x20 ? c : 0xfffd);
}

/* NUL-separated arguments as a JSON array; bytes that are no UTF-8 become the
 * replacement character.  The caller frees; NULL: out of memory. */
static char *json_argv(const char *argv, size_t size)
{
	char *text = malloc(size * 6 + 3 * size + 8), *p = text;

	if (!text)
		return NULL;
	*p++ = '[';
	if (size && argv[size - 1] == '\0')
		size--;
	for (size_t i = 0; argv && i < size;) {
		p += sprintf(p, p == text + 1 ? "\"" : ",\"");
		while (i < size && argv[i]) {
			uint8_t c = (uint8_t)argv[i];
			size_t n = utf8_length((const uint8_t *)argv + i, size - i);

			if (n == 0 || c < 0x20 || c == '"' || c == '\\') {
				p += json_escape(c, p);
				i++;
				continue;
			}
			memcpy(p, argv + i, n);
			p += n;
			i += n;
		}
		*p++ = '"';
		i++;
	}
	*p++ = ']';
	*p = '\0';
	return text;
}

static int write_process_row(struct store *s, const struct model_process *p)
{
	struct row r = row_of(store_statement(s, ST_PROCESS));
	char *argv = p->argv ? json_argv(p->argv, p->argv_bytes) : NULL;
	int error;

	row_int(&r, p->number);
	row_int(&r, p->pid ? p->pid : p->ns_pid); /* 0: a sum */
	row_maybe(&r, p->ns_pid != 0, p->ns_pid);
	row_maybe(&r, p->parent != 0, p->parent);
	row_maybe(&r, p->parent_pid != 0, p->parent_pid);
	row_text(&r, p->exe);
	row_text(&r, argv);
	row_text(&r, p->cwd);
	row_text(&r, begin_word(p->begin));
	row_int(&r, p->begin_ns);
	row_text(&r, end_word(p));
	row_maybe(&r, p->end_ns != 0 && !p->runs_on, p->end_ns);
	row_maybe(&r, p->status_known, (uint64_t)(int64_t)p->status);
	row_int(&r, p->peak_bytes);
	row_maybe(&r, p->peak_bytes != 0, p->peak_ns);
	row_int(&r, p->live_blocks);
	row_int(&r, p->live_bytes);
	row_int(&r, p->inherited_blocks);
	row_int(&r, p->inherited_bytes);
	row_int(&r, p->inherited_freed);
	row_int(&r, p->alloc_blocks);
	row_int(&r, p->alloc_bytes);
	row_int(&r, p->free_blocks);
	row_int(&r, p->unknown_frees);
	row_int(&r, p->failed_allocs);
	row_maybe(&r, p->hiwater_rss != 0, p->hiwater_rss);
	row_int(&r, p->lost_records);
	row_text(&r, engine_word(p->engine));
	row_int(&r, !p->unrecorded);
	row_maybe(&r, p->n_summed != 0, p->n_summed);
	error = store_run(s, &r);
	free(argv);
	return error;
}

/* What a process says it could not see, as one plain sentence each. */
static const struct {
	uint32_t bit;
	const char *kind, *text;
} coverage_text[] = {
	{MMS_COV_SANITIZER, "sanitizer", "The program carries a sanitizer; mmscope stayed passive."},
	{MMS_COV_OWN_MALLOC, "own_malloc", "The executable has its own malloc; its calls are not seen."},
	{MMS_COV_NO_SPACE, "no_space", "The session file was full; some things were not recorded."},
	{MMS_COV_COLLECTOR_GONE, "collector_gone", "The collector died; later events are missing."},
	{MMS_COV_SECCOMP, "seccomp", "A seccomp filter was on; the process could not announce itself."},
	{MMS_COV_FOREIGN_FREE, "foreign_free", "Blocks were freed that were never seen given out."},
	{MMS_COV_SMALL_MAP, "small_map", "An address-space limit allowed a small recording area only."},
	{MMS_COV_UNWIND_OFF, "unwind_off", "Call stacks were switched off."},
	{MMS_COV_AUDIT, "audit", "Some call stacks differed from a full unwind and may be wrong."},
};

static int write_coverage(struct store *s, const struct model_process *p)
{
	int error = 0;

	for (size_t i = 0; !error && i < sizeof(coverage_text) / sizeof(coverage_text[0]); i++) {
		uint64_t count = 1;

		if (!(p->coverage & coverage_text[i].bit))
			continue;
		if (coverage_text[i].bit == MMS_COV_FOREIGN_FREE && p->unknown_frees)
			count = p->unknown_frees;
		if (coverage_text[i].bit == MMS_COV_AUDIT && p->audit_failed)
			count = p->audit_failed;
		error = store_coverage(s, p->number, coverage_text[i].kind, count, coverage_text[i].text);
	}
	if (!error && p->lost_records)
		error = store_coverage(s, p->number, "lost", p->lost_records,
			"Records were lost because the ring was full; totals are lower bounds.");
	return error;
}

static int write_thread(struct store *s, uint64_t process, uint64_t number, const struct model_thread *t)
{
	struct row r = row_of(store_statement(s, ST_THREAD));
	char name[sizeof(t->name) + 1];

	memcpy(name, t->name, sizeof(t->name));
	name[sizeof(t->name)] = '\0';
	row_int(&r, process);
	row_int(&r, number);
	row_int(&r, t->tid);
	row_text(&r, name[0] ? name : NULL);
	row_int(&r, t->begin_ns);
	row_maybe(&r, t->end_ns != 0, t->end_ns);
	row_int(&r, t->alloc_blocks);
	row_int(&r, t->alloc_bytes);
	return store_run(s, &r);
}

/* The model merged ended threads: all have other positions now, and their sum
 * is a row. */
static int threads_moved(struct store *s, const struct model_process *p, struct written_process *w)
{
	struct row r;
	int error;

	if (w->thread_merges == p->thread_merges)
		return 0;
	r = row_of(store_statement(s, ST_THREADS_REMOVE));
	row_int(&r, p->number);
	error = store_run(s, &r);
	for (size_t i = 0; i < w->n_threads; i++)
		w->threads[i] = 0;
	w->thread_merges = p->thread_merges;
	if (!error && p->n_merged)
		error = write_thread(s, p->number, UINT64_MAX, &p->merged);
	if (!error && !p->n_summed)
		error = store_coverage(s, p->number, "threads_merged", p->n_merged,
			"Threads that ended long ago were merged: the list was full. Their sums are kept.");
	return error;
}

static int write_threads(struct store *s, const struct model_process *p, struct written_process *w)
{
	int error = threads_moved(s, p, w);

	if (store_grow(&w->threads, &w->n_threads, p->n_threads))
		return store_no_memory(s);
	for (size_t i = 0; !error && i < p->n_threads; i++) {
		const struct model_thread *t = &p->threads[i];
		uint64_t digest = store_digest(p->number, t, sizeof(*t));

		if (w->threads[i] == digest)
			continue;
		error = write_thread(s, p->number, t->number, t);
		w->threads[i] = digest;
	}
	return error;
}

/* Everything of the process but pointers; texts by content. */
static uint64_t process_digest(const struct model_process *p)
{
	struct model_process plain = *p;
	uint64_t digest = store_digest(1, p->exe, p->exe ? strlen(p->exe) : 0);

	digest = store_digest(digest, p->argv, p->argv ? p->argv_bytes : 0);
	digest = store_digest(digest, p->cwd, p->cwd ? strlen(p->cwd) : 0);
	plain.exe = plain.argv = NULL;
	plain.live = NULL;
	plain.series = NULL;
	plain.threads = NULL;
	plain.sites = NULL;
	plain.state = NULL;
	plain.cwd = NULL;
	plain.next_exe = NULL;
	return store_digest(digest, &plain, sizeof(plain));
}

static int write_process(struct store *s, const struct model_process *p, struct written_process *w,
	const struct stack_source *stacks)
{
	uint64_t digest = process_digest(p);
	int error = write_threads(s, p, w); /* a thread's name may change alone */

	if (error || w->digest == digest)
		return error;
	error = write_process_row(s, p);
	if (!error)
		error = write_coverage(s, p);
	if (!error)
		error = store_write_sites(s, p, w, stacks);
	if (!error && p->sampled) {
		const struct store_amounts amounts = {p->alloc_bytes, p->alloc_blocks, p->live_bytes, p->live_blocks,
			p->peak_bytes, p->peak_blocks};
		error = store_write_estimate(s, p->number, -1, &p->sums, &amounts);
	}
	if (!error)
		error = store_write_process_series(s, p);
	w->digest = digest;
	return error;
}

static int grow_processes(struct store *s, size_t n)
{
	if (n <= s->n_processes)
		return 0;
	size_t room = n + n / 2 + 16;
	struct written_process *grown = realloc(s->processes, room * sizeof(*grown));

	if (!grown)
		return store_no_memory(s);
	memset(grown + s->n_processes, 0, (room - s->n_processes) * sizeof(*grown));
	s->processes = grown;
	s->n_processes = room;
	return 0;
}

int store_write_processes(struct store *s, const struct model *m, const struct stack_source *stacks)
{
	int error = grow_processes(s, m->n_processes);

	for (size_t i = 0; !error && i < m->n_processes; i++)
		error = write_process(s, m->processes[i], &s->processes[i], stacks);
	return error;
}

static const char *module_kind(uint8_t flags)
{
	return flags & MMS_MODULE_SELF ? "mmscope" : flags & MMS_MODULE_LOADER ? "loader"
		: flags & MMS_MODULE_VDSO ? "vdso" : flags & MMS_MODULE_EXE ? "exe" : "library";
}

static int write_module(struct store *s, const struct model_module *module)
{
	struct row r = row_of(store_statement(s, ST_MODULE));
	char hex[2 * sizeof(module->build_id) + 1];
	size_t n = module->build_id_length;

	if (n > sizeof(module->build_id))
		n = sizeof(module->build_id);
	for (size_t i = 0; i < n; i++)
		sprintf(hex + 2 * i, "%02x", module->build_id[i]);
	row_int(&r, module->id);
	row_int(&r, module->context);
	row_int(&r, module->process);
	row_text(&r, module->path ? module->path : "");
	row_text(&r, n ? hex : NULL);
	row_int(&r, module->start);
	row_int(&r, module->end);
	row_int(&r, module->bias);
	row_text(&r, module_kind(module->flags));
	row_int(&r, module->load_ns);
	row_maybe(&r, module->unload_ns != 0, module->unload_ns);
	return store_run(s, &r);
}

int store_write_modules(struct store *s, const struct model *m)
{
	int error = 0;

	if (store_grow(&s->modules, &s->n_modules, m->n_modules))
		return store_no_memory(s);
	for (size_t i = 0; !error && i < m->n_modules; i++) {
		const struct model_module *o = &m->modules[i];
		uint64_t digest = store_digest(o->unload_ns ^ o->process << 48 ^ o->id << 24, &o->start, 8);

		if (s->modules[i] == digest)
			continue;
		error = write_module(s, &m->modules[i]);
		s->modules[i] = digest;
	}
	return error;
}

static const char *vm_word(uint32_t op)
{
	static const char *const word[] = {
		[MMS_LONG_MMAP] = "mmap", [MMS_LONG_MUNMAP] = "munmap", [MMS_LONG_MREMAP] = "mremap",
		[MMS_LONG_BRK] = "brk", [MMS_LONG_MPROTECT] = "mprotect", [MMS_LONG_MADVISE] = "madvise",
		[MMS_LONG_MLOCK] = "mlock", [MMS_LONG_MUNLOCK] = "munlock", [MMS_LONG_SHMAT] = "shmat",
		[MMS_LONG_SHMDT] = "shmdt",
	};

	return op < sizeof(word) / sizeof(word[0]) ? word[op] : NULL;
}

static int write_vm_event(struct store *s, const struct model_vm_event *e, size_t id)
{
	struct row r = row_of(store_statement(s, ST_VM));
	bool moved = e->op == MMS_LONG_MREMAP || e->op == MMS_LONG_BRK;

	row_int(&r, id);
	row_int(&r, e->process);
	row_int(&r, e->thread);
	row_int(&r, e->t_ns);
	row_text(&r, vm_word(e->op));
	row_int(&r, e->address);
	row_int(&r, e->length);
	row_maybe(&r, moved, e->address2);
	row_maybe(&r, moved, e->length2);
	row_int(&r, e->prot);
	row_int(&r, e->flags);
	row_maybe(&r, e->op == MMS_LONG_MMAP && e->fd >= 0, (uint64_t)e->fd);
	row_int(&r, e->offset);
	row_int(&r, e->stack);
	return store_run(s, &r);
}

/* A call that failed after all is taken out of the model's list again, soon
 * after it was put there: the newest written rows are compared once more. */
#define VM_EVENTS_COMPARED 1024

/* The model merged old events: all have other positions now. */
static int vm_events_moved(struct store *s, const struct model *m)
{
	int error = 0;

	if (s->vm_merges == m->vm_merges)
		return 0;
	error = store_exec(s, "DELETE FROM vm_event");
	for (size_t i = 0; i < s->n_vm_events; i++)
		s->vm_events[i] = 0;
	s->n_vm_written = 0;
	s->vm_merges = m->vm_merges;
	if (!error)
		error = store_coverage(s, 0, "vm_events_merged", m->n_vm_merged,
			"Mappings that were taken away again, and calls that changed none, were merged:"
			" what is mapped is exact.");
	return error;
}

int store_write_vm_events(struct store *s, const struct model *m, const struct stack_source *stacks)
{
	size_t end = m->n_vm_events, first;
	int error = vm_events_moved(s, m);

	if (error)
		return error;
	first = s->n_vm_written > VM_EVENTS_COMPARED ? s->n_vm_written - VM_EVENTS_COMPARED : 0;
	if (store_grow(&s->vm_events, &s->n_vm_events, end))
		return store_no_memory(s);
	for (size_t i = first; !error && i < end; i++) {
		const struct model_vm_event *e = &m->vm_events[i];
		uint64_t digest = store_digest(1, e, sizeof(*e));

		if (s->vm_events[i] == digest || !vm_word(e->op))
			continue;
		error = store_write_stack(s, e->stack, stacks);
		if (!error)
			error = write_vm_event(s, e, i + 1);
		s->vm_events[i] = digest;
	}
	for (size_t i = end; !error && i < s->n_vm_written; i++) {
		struct row r = row_of(store_statement(s, ST_VM_REMOVE));

		row_int(&r, i + 1);
		error = store_run(s, &r);
		s->vm_events[i] = 0;
	}
	s->n_vm_written = end;
	if (!error && m->n_vm_cut)
		error = store_coverage(s, 0, "vm_events_cut", m->n_vm_cut,
			"Later address-space calls were counted but not kept one by one: the list was full.");
	return error;
}

static const char *fork_word(uint32_t kind)
{
	static const char *const word[] = {NULL, "fork", "_Fork", "atfork", "vfork", "spawn", "clone", "system"};

	return kind && kind < sizeof(word) / sizeof(word[0]) ? word[kind] : "fork";
}

int store_write_forks(struct store *s, const struct model *m, const struct stack_source *stacks)
{
	int error = 0;

	if (store_grow(&s->forks, &s->n_forks, m->n_forks))
		return store_no_memory(s);
	for (size_t i = 0; !error && i < m->n_forks; i++) {
		const struct model_fork *f = &m->forks[i];
		const uint64_t changing[] = {f->id, f->parent, f->child_pid, f->n_summed};
		uint64_t digest = store_digest(f->child, changing, sizeof(changing));
		struct row r;

		if (s->forks[i] == digest)
			continue;
		error = store_write_stack(s, f->stack, stacks);
		if (error)
			break;
		r = row_of(store_statement(s, ST_FORK));
		row_int(&r, f->id);
		row_int(&r, f->parent);
		row_maybe(&r, f->child != 0, f->child);
		row_maybe(&r, f->child_pid != 0, f->child_pid);
		row_text(&r, fork_word(f->kind));
		row_int(&r, f->t_ns);
		row_int(&r, f->pause_ns);
		row_int(&r, f->thread);
		row_int(&r, f->stack);
		row_maybe(&r, f->n_summed != 0, f->n_summed);
		error = store_run(s, &r);
		s->forks[i] = digest;
	}
	return error;
}
