/*
 * lineage.c - processes, their threads and modules, forks, VM events.
 *
 * Called by collect/feed.c for what is not a heap event.  A process is one
 * image: after an exec it is another one.  Objects stay until model_free.
 */
#include "model/process.h"

#include <stdlib.h>
#include <string.h>

#include <mmscope/record.h>
#include <mmscope/session.h>
#include <mmscope/files.h>

#include "model/series.h"


/* The pointer is copied in and out: it may be of any type. */
bool model_reserve(void *array, size_t *capacity, size_t n, size_t size)
{
	size_t more = *capacity ? *capacity * 2 : 4;
	void *items;

	if (n < *capacity)
		return true;
	memcpy(&items, array, sizeof(items));
	items = realloc(items, more * size);
	if (!items)
		return false;
	memcpy(array, &items, sizeof(items));
	*capacity = more;
	return true;
}

struct model *model_new(void)
{
	struct model *m = calloc(1, sizeof(*m));

	if (m)
		m->lineage = calloc(1, sizeof(*m->lineage));
	if (m && m->lineage) {
		m->series_worth = SERIES_WORTH_BYTES;
		return m;
	}
	free(m);
	return NULL;
}

void process_free(struct model_process *p)
{
	struct process_state *st = p->state;

	for (size_t i = 0; i < p->n_sites; i++) {
		series_free(p->sites[i]->series);
		free(p->sites[i]->sampled);
		free(p->sites[i]->left);
		free(p->sites[i]);
	}
	for (size_t i = 0; i < p->n_threads; i++) {
		free(st->thread_state[i].flights);
		free(st->thread_state[i].told);
	}
	live_done(p->live);
	series_free(p->series);
	index_done(&st->stacks);
	free(st->dense);
	index_done(&st->threads);
	index_done(&st->ghost_index);
	index_done(&st->inherited_gone);
	free(st->thread_state);
	free(st->early);
	free(st->pending);
	free(st->ghosts);
	free(st->open_forks);
	free(p->sites);
	free(p->threads);
	free(p->exe);
	free(p->argv);
	free(p->cwd);
	free(p->next_exe);
	free(p->verdicts);
	free(p);
}

void model_free(struct model *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->n_processes; i++)
		process_free(m->processes[i]);
	for (size_t i = 0; i < m->n_modules; i++)
		free(m->modules[i].path);
	index_done(&m->lineage->processes);
	free(m->lineage->active);
	free(m->lineage);
	free(m->processes);
	free(m->modules);
	free(m->vm_events);
	free(m->forks);
	free(m->fork_summed);
	free(m->failures);
	free(m);
}

struct model_process *model_process_find(const struct model *m, uint64_t number)
{
	uint32_t at = index_find(&m->lineage->processes, number);

	return at == INDEX_NONE ? NULL : m->processes[at];
}

/* One piece of memory: the process, what is private about it, its table. */
struct process_memory {
	struct model_process process;
	struct process_state state;
	struct live_table live;
};

struct model_process *process_new(const struct model *m, uint64_t number)
{
	struct process_memory *memory = calloc(1, sizeof(*memory));
	struct model_process *p;

	if (!memory)
		return NULL;
	p = &memory->process;
	p->number = p->family = number;
	p->state = &memory->state;
	p->live = &memory->live;
	p->state->epoch = 1;
	p->state->merge_at = MODEL_THREADS_MAX;
	p->sampled = m->untold_interval != 0;
	p->state->untold_interval = m->untold_interval;
	p->state->partial = &m->partial;
	live_init(p->live);
	return p;
}

struct model_process *model_process(struct model *m, uint64_t number)
{
	struct model_process *p = model_process_find(m, number);

	if (p)
		return p;
	if (!model_reserve(&m->processes, &m->lineage->processes_capacity, m->n_processes, sizeof(p)) ||
		!model_reserve(&m->lineage->active, &m->lineage->active_capacity, m->lineage->n_active, sizeof(p)))
		return NULL;
	p = process_new(m, number);
	if (!p || index_put(&m->lineage->processes, number, (uint32_t)m->n_processes) < 0) {
		free(p);
		return NULL;
	}
	m->processes[m->n_processes++] = m->lineage->active[m->lineage->n_active++] = p;
	return p;
}

void model_process_ended(struct model *m, struct model_process *p, uint64_t t_ns)
{
	if (p->state->ended)
		return;
	if (!p->end_ns)
		p->end_ns = t_ns > p->begin_ns ? t_ns : p->begin_ns;
	pair_expire(m, p, UINT64_MAX);
	for (size_t i = 0; i < p->n_threads; i++)
		if (!p->threads[i].end_ns)
			p->threads[i].end_ns = p->end_ns;
	for (size_t i = 0; i < m->n_modules; i++)
		if (m->modules[i].process == p->number && m->modules[i].context != MMS_CONTEXT_COMMON &&
			!m->modules[i].unload_ns)
			m->modules[i].unload_ns = p->end_ns;
	inherit_ended(p);
}

void model_process_image(struct model_process *p, const char *exe, size_t exe_length,
	const char *argv, size_t argv_length)
{
	char *new_exe = exe_length ? strndup(exe, exe_length) : NULL; /* it had no /proc to read it from */
	char *new_argv = malloc(argv_length + 1);

	if ((exe_length && !new_exe) || !new_argv) {
		free(new_exe);
		free(new_argv);
		return;
	}
	memcpy(new_argv, argv, argv_length);
	new_argv[argv_length] = 0;
	free(p->exe);
	free(p->argv);
	p->exe = new_exe;
	p->argv = new_argv;
	p->argv_bytes = argv_length;
}

/* ---- threads ---- */

static bool threads_grow(struct model_process *p)
{
	struct process_state *st = p->state;
	size_t capacity = st->threads_capacity;

	if (p->n_threads < capacity)
		return true;
	if (!model_reserve(&p->threads, &st->threads_capacity, p->n_threads, sizeof(*p->threads)))
		return false;
	if (model_reserve(&st->thread_state, &capacity, p->n_threads, sizeof(*st->thread_state)))
		return true;
	st->threads_capacity = capacity;
	return false;
}

uint32_t thread_find(struct model_process *p, uint32_t number, uint64_t t_ns)
{
	struct process_state *st = p->state;
	uint32_t at;

	at = index_find(&st->threads, number);
	if (at == INDEX_NONE) {
		if (!threads_grow(p) || index_put(&st->threads, number, (uint32_t)p->n_threads) < 0)
			return INDEX_NONE;
		at = (uint32_t)p->n_threads++;
		p->threads[at] = (struct model_thread){ .number = number, .begin_ns = t_ns };
		st->thread_state[at] = (struct thread_state){ 0 };
	}
	st->thread_at = at;
	return at;
}

struct model_thread *model_thread(struct model_process *p, uint32_t number, uint32_t tid, uint64_t t_ns)
{
	uint32_t at = thread_at(p, number, t_ns);

	if (at == INDEX_NONE)
		return NULL;
	if (tid)
		p->threads[at].tid = tid;
	return &p->threads[at];
}

void model_thread_named(struct model_process *p, uint32_t number, const char *name, size_t length)
{
	uint32_t at = index_find(&p->state->threads, number);

	if (at == INDEX_NONE)
		return;
	struct model_thread *th = &p->threads[at];
	if (length >= sizeof(th->name))
		length = sizeof(th->name) - 1;
	memset(th->name, 0, sizeof(th->name));
	memcpy(th->name, name, length);
}

void model_thread_ended(struct model_process *p, uint32_t number, uint64_t t_ns)
{
	uint32_t at = index_find(&p->state->threads, number);

	if (at != INDEX_NONE && !p->threads[at].end_ns)
		p->threads[at].end_ns = t_ns;
}

void model_thread_read(struct model_process *p, uint32_t number, uint64_t t_ns)
{
	uint32_t at = index_find(&p->state->threads, number);

	if (at == INDEX_NONE)
		return;
	model_thread_ended(p, number, t_ns);
	p->state->thread_state[at].read = true;
}

/* ---- modules ---- */

/* A row of the same file at the same place in a context that this process has
 * left: it was not unloaded. */
static struct model_module *module_before(struct model *m, const struct model_module *new)
{
	for (size_t i = m->n_modules; i-- > 0;) {
		struct model_module *o = &m->modules[i];

		if (o->process == new->process && o->context != new->context && o->start == new->start &&
			o->bias == new->bias && !strcmp(o->path, new->path))
			return o;
	}
	return NULL;
}

static bool module_is_known(const struct model *m, const struct model_module *new)
{
	for (size_t i = m->n_modules; i-- > 0;) {
		const struct model_module *o = &m->modules[i];

		if (o->context == new->context && o->start == new->start && !strcmp(o->path, new->path))
			return true;
	}
	return false;
}

/* Libraries that are a malloc of their own, and map memory for nothing else. */
static bool names_allocator(const char *path)
{
	static const char *const names[] = { "libjemalloc", "libtcmalloc", "libmimalloc" };
	const char *base = strrchr(path, '/');

	base = base ? base + 1 : path;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strncmp(base, names[i], strlen(names[i])) == 0)
			return true;
	return false;
}

/* The file in its place of the session, from the first process that tells of it. */
static void file_is_known(struct model *m, const struct model_module *module)
{
	uint8_t *known = &m->lineage->files[module->file / 8], bit = (uint8_t)(1 << module->file % 8);
	struct model_module new = *module;

	if (!module->file || *known & bit)
		return;
	new.context = MMS_CONTEXT_COMMON;
	new.start = mms_pc_extended(mms_file_start(module->file));
	new.end = new.start + (module->end - module->start);
	new.bias = new.start - (module->start - module->bias);
	new.path = strdup(module->path);
	if (!new.path || !model_reserve(&m->modules, &m->lineage->modules_capacity, m->n_modules, sizeof(new))) {
		free(new.path);
		return;
	}
	*known |= bit;
	if (new.flags & MMS_MODULE_LOADER)
		m->lineage->loaders[module->file / 8] |= bit;
	if (names_allocator(new.path))
		m->lineage->allocators[module->file / 8] |= bit;
	new.id = ++m->last_module;
	m->modules[m->n_modules++] = new;
}

void model_module_loaded(struct model *m, struct model_process *p, const struct model_module *module,
	const char *path, size_t path_length, uint64_t t_ns)
{
	struct model_module new = *module, *before;

	new.process = p->number;
	new.load_ns = t_ns;
	new.unload_ns = 0;
	new.path = strndup(path, path_length);
	if (!new.path)
		return;
	file_is_known(m, &new);
	if (module_is_known(m, &new) ||
		!model_reserve(&m->modules, &m->lineage->modules_capacity, m->n_modules, sizeof(new))) {
		free(new.path);
		return;
	}
	before = module_before(m, &new);
	if (before && before->unload_ns >= t_ns - (t_ns < 1000000 ? t_ns : 1000000)) {
		new.load_ns = before->load_ns;
		before->unload_ns = 0;
	}
	new.id = ++m->last_module;
	m->modules[m->n_modules++] = new;
}

static bool is_in(const uint8_t *files, uint64_t pc)
{
	uint32_t file = mms_file_of(pc);

	return files[file / 8] >> file % 8 & 1;
}

bool model_is_loader(const struct model *m, uint64_t pc)
{
	return is_in(m->lineage->loaders, pc);
}

bool model_is_allocator(const struct model *m, uint64_t pc)
{
	return is_in(m->lineage->allocators, pc);
}

void model_context(struct model *m, struct model_process *p, uint32_t context, uint64_t t_ns)
{
	uint32_t previous = p->context;

	p->context = context;
	for (size_t i = 0; i < m->n_modules; i++) {
		struct model_module *o = &m->modules[i];

		if (o->process == p->number && o->context == previous && previous != context && !o->unload_ns)
			o->unload_ns = t_ns;
	}
}

/* ---- failed allocations ---- */

void model_alloc_failed(struct model *m, const struct model_failure *failure)
{
	struct model_process *p = model_process_find(m, failure->process);

	if (p)
		p->failed_allocs += failure->block;
	if (m->n_failures == MODEL_FAILURES_MAX)
		return;
	if (!m->failures)
		m->failures = calloc(MODEL_FAILURES_MAX, sizeof(*m->failures));
	if (m->failures)
		m->failures[m->n_failures++] = *failure;
}

/* ---- who waited for whom ---- */

static bool pid_is(const struct model_process *p, uint32_t pid)
{
	return pid && (p->ns_pid == pid || p->pid == pid);
}

/* The same process may have executed another program since it forked. */
static bool is_child_of(const struct model *m, const struct model_process *p, const struct model_process *parent)
{
	while (p->begin == MMS_BEGIN_EXEC && p->parent && p->parent < p->number) {
		const struct model_process *before = model_process_find(m, p->parent);

		if (!before || before->n_summed)
			break;
		p = before;
	}
	const struct model_process *of = p->parent ? model_process_find(m, p->parent) : NULL;
	return of && !of->n_summed ? of->ns_pid == parent->ns_pid : p->parent_pid == parent->ns_pid;
}

/* Pids come back: it was the last child of this number that had begun. */
void model_reaped(struct model *m, const struct model_process *parent, uint32_t pid, int32_t wait_status, uint64_t t_ns)
{
	for (size_t i = m->n_processes; i-- > 0;) {
		struct model_process *p = m->processes[i];

		if (p->n_summed || p->unrecorded || p == parent || !pid_is(p, pid) || p->begin_ns > t_ns ||
			!is_child_of(m, p, parent))
			continue;
		if (!p->reaped)
			p->reaped_status = wait_status;
		p->reaped = true;
		return;
	}
}

/* ---- forks ---- */

static bool copies_memory(uint32_t kind)
{
	return kind == MMS_FORK_FORK || kind == MMS_FORK_UNDERSCORE || kind == MMS_FORK_ATFORK ||
		kind == MMS_FORK_CLONE;
}

/* The child of this fork, if it has begun before its parent's record came. */
static struct model_process *child_before(const struct model *m, const struct model_fork *f)
{
	for (size_t i = m->n_processes; i-- > 0;) {
		struct model_process *p = m->processes[i];

		if (p->parent == f->parent && p->begin_ns >= f->t_ns && p->begin != MMS_BEGIN_EXEC &&
			(pid_is(p, f->child_pid) || !f->child_pid))
			return p;
	}
	return NULL;
}

void model_fork_seen(struct model *m, const struct model_fork *f)
{
	struct model_process *parent = model_process(m, f->parent);
	struct model_process *child = child_before(m, f);

	if (!parent || !model_reserve(&m->forks, &m->lineage->forks_capacity, m->n_forks, sizeof(*f))) {
		model_dropped(m);
		return;
	}
	m->forks[m->n_forks] = *f;
	m->forks[m->n_forks].id = ++m->last_fork;
	m->forks[m->n_forks++].child = child ? child->number : 0;
	if (copies_memory(f->kind))
		inherit_fork_seen(parent, child, f->child_pid, f->t_ns);
}

struct model_fork *model_fork_find(const struct model *m, uint64_t id)
{
	size_t low = 0, high = m->n_forks;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (m->forks[middle].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low < m->n_forks && m->forks[low].id == id ? &m->forks[low] : NULL;
}

/* Gives the parent's record of the fork its child. */
static void link_fork(struct model *m, const struct model_process *child)
{
	for (size_t i = m->n_forks; i-- > 0;) {
		struct model_fork *f = &m->forks[i];

		if (f->parent != child->parent || f->child ||
			f->n_summed || (f->child_pid && !pid_is(child, f->child_pid)))
			continue;
		f->child = child->number;
		return;
	}
}

void model_forked(struct model *m, struct model_process *child, struct model_process *parent, uint64_t t_ns)
{
	child->parent = parent->number;
	if (child->begin == MMS_BEGIN_FORK || child->begin == 0)
		inherit_begin(child, parent, t_ns);
	/* The same image, until it executes another. */
	if (child->begin == MMS_BEGIN_FORK && !child->exe && parent->exe)
		model_process_image(child, parent->exe, strlen(parent->exe), parent->argv ? parent->argv : "",
			parent->argv_bytes);
	link_fork(m, child);
}
