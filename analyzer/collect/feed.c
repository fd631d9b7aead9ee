/*
 * feed.c - the order_sink that feeds the model.
 *
 * Called by drain, in the order of time, for every record of the session.
 * Payloads come from the targets' memory: every length is checked against
 * what the record holds.  w->user of a writer is its model_process.
 */
#include "collect/feed.h"

#include <stdlib.h>
#include <string.h>

#include <mmscope/files.h>

#include "model/live.h"

static struct model_process *process_of(struct feed *f, struct order_writer *w, uint64_t t_ns)
{
	struct model_process *p = w->user;

	if (p)
		return p;
	model_turn(f->model, t_ns);
	p = model_process(f->model, w->process);
	if (!p)
		return NULL;
	if (!p->ns_pid) { /* its slot was not seen */
		p->ns_pid = w->pid;
		p->begin_ns = t_ns;
	}
	if (!p->pid)
		p->pid = p->ns_pid;
	struct model_thread *th = model_thread(p, w->thread, w->tid, t_ns);
	if (th)
		th->tcb = w->tcb;
	w->user = p;
	return p;
}

static inline void feed_one(struct feed *f, const struct order_heap *e)
{
	struct order_writer *w = e->w;
	struct model_process *p = process_of(f, w, e->t_ns);

	if (!p)
		return;
	if (f->raw)
		f->raw(f->raw_arg, w, e);
	switch (e->op) {
	case MMS_OP_FREE:
		model_release(f->model, p, w->thread, e->address, e->stack == 1, e->t_ns);
		break;
	case MMS_OP_REALLOC_BEGIN:
		model_realloc_begin(f->model, p, w->thread, e->address, e->t_ns);
		break;
	case MMS_OP_REALLOC_END:
		model_realloc_end(f->model, p, w->thread, e->address, e->size, e->stack, e->t_ns);
		break;
	case MMS_OP_REALLOC_FAIL:
		model_realloc_fail(f->model, p, w->thread, e->address, e->size == 1, e->t_ns);
		break;
	default:
		model_alloc(f->model, p, w->thread, e->address, e->size, e->stack, e->t_ns);
	}
}

#define AHEAD_FAR 16u /* events */
#define AHEAD_NEAR 8u

static void look_ahead(const struct order_heap *e, size_t n, size_t i)
{
	if (i + AHEAD_FAR < n && e[i + AHEAD_FAR].w->user)
		model_ahead_far(e[i + AHEAD_FAR].w->user, e[i + AHEAD_FAR].address);
	if (i + AHEAD_NEAR < n && e[i + AHEAD_NEAR].w->user)
		model_ahead_near(e[i + AHEAD_NEAR].w->user, e[i + AHEAD_NEAR].address);
}

static bool is_large(const struct order_heap *e)
{
	const struct model_process *p = e->w->user;

	return p && model_is_large(p);
}

static void feed_heap(void *arg, const struct order_heap *e, size_t n)
{
	/* Where more than one process is among them, a guess. */
	bool large = is_large(&e[0]) || is_large(&e[n / 2]) || is_large(&e[n - 1]);

	for (size_t i = 0; i < n; i++) {
		if (large)
			look_ahead(e, n, i);
		feed_one(arg, &e[i]);
	}
}

/* ---- long records ---- */

struct note {
	struct feed *f;
	struct model_process *p;
	const struct order_writer *w;
	const struct order_note *n;
};

/* Copies the payload's struct; the bytes that follow it are returned as text,
 * *room is their number.  NULL: the record is too short. */
static const char *payload(const struct order_note *n, void *ret, size_t bytes, size_t *room)
{
	if (n->bytes < bytes)
		return NULL;
	memcpy(ret, n->payload, bytes);
	*room = n->bytes - bytes;
	return (const char *)n->payload + bytes;
}

static void note_vm(struct note *c)
{
	struct mms_vm v;
	size_t room;

	if (!payload(c->n, &v, sizeof(v), &room))
		return;
	if (c->n->type == MMS_LONG_VM_FAIL) {
		model_vm_failed(c->f->model, c->p->number, c->w->thread, v.flags);
		return;
	}
	model_vm(c->f->model, &(struct model_vm_event){
		.process = c->p->number, .thread = c->w->thread, .stack = c->n->stack, .op = c->n->type,
		.t_ns = c->n->t_ns, .address = v.address, .length = v.length, .address2 = v.address2,
		.length2 = v.length2, .offset = v.offset, .prot = v.prot, .flags = v.flags, .fd = v.fd });
}

static void note_heap_fail(struct note *c)
{
	struct mms_heap_fail v = { 0 };

	if (c->n->bytes < offsetof(struct mms_heap_fail, own))
		return;
	memcpy(&v, c->n->payload, c->n->bytes < sizeof(v) ? c->n->bytes : sizeof(v));
	model_alloc_failed(c->f->model, &(struct model_failure){
		.process = c->p->number, .t_ns = c->n->t_ns, .size = v.size, .thread = c->w->thread,
		.stack = c->n->stack, .error = v.error, .block = v.op != 0, .huge = v.huge, .own = v.own });
}

static void note_roots(struct note *c)
{
	struct mms_roots v;
	size_t room;

	if (!payload(c->n, &v, sizeof(v), &room))
		return;
	c->p->roots_sp = v.sp;
	memcpy(c->p->roots_registers, v.registers, sizeof(v.registers));
}

static void note_sampling(struct note *c)
{
	struct mms_sampling v;
	size_t room;

	if (payload(c->n, &v, sizeof(v), &room))
		model_sampling(c->f->model, c->p, c->w->thread, v.interval, c->n->t_ns);
}

static void note_process(struct note *c)
{
	struct mms_process_note v;
	size_t room;
	const char *text = payload(c->n, &v, sizeof(v), &room);

	if (text && (size_t)v.exe_length + v.argv_length <= room)
		model_process_image(c->p, text, v.exe_length, text + v.exe_length, v.argv_length);
}

static void note_module(struct note *c)
{
	struct mms_module v;
	size_t room;
	const char *path = payload(c->n, &v, sizeof(v), &room);

	if (!path || v.path_length > room)
		return;
	struct model_module module = {
		.context = v.context, .flags = v.flags, .file = v.file <= MMS_FILES ? v.file : 0, .start = v.start, .end = v.end, .bias = v.bias,
		.build_id_length = v.build_id_length < sizeof(v.build_id) ? v.build_id_length : sizeof(v.build_id) };
	memcpy(module.build_id, v.build_id, module.build_id_length);
	model_module_loaded(c->f->model, c->p, &module, path, v.path_length, c->n->t_ns);
}

static void note_context(struct note *c)
{
	struct mms_context v;
	size_t room;

	if (payload(c->n, &v, sizeof(v), &room))
		model_context(c->f->model, c->p, v.context, c->n->t_ns);
}

static void note_thread(struct note *c)
{
	struct mms_thread_note v;
	size_t room;
	const char *name = payload(c->n, &v, sizeof(v), &room);

	if (!name || v.name_length > room)
		return;
	if (c->n->type == MMS_LONG_THREAD_END)
		model_thread_ended(c->p, c->w->thread, c->n->t_ns);
	else
		model_thread_named(c->p, c->w->thread, name, v.name_length);
}

static void note_fork(struct note *c)
{
	struct mms_fork v;
	size_t room;

	if (!payload(c->n, &v, sizeof(v), &room))
		return;
	uint64_t begin_ns = stamp_full_ns(c->f->clock, v.begin_stamp);
	uint64_t end_ns = stamp_full_ns(c->f->clock, v.end_stamp);
	model_fork_seen(c->f->model, &(struct model_fork){
		.parent = c->p->number, .child_pid = v.child_pid, .kind = v.kind, .thread = c->w->thread,
		.stack = c->n->stack, .t_ns = begin_ns < c->n->t_ns ? begin_ns : c->n->t_ns,
		.pause_ns = end_ns > begin_ns ? end_ns - begin_ns : 0 });
}

/* An exec that succeeds is the last word of the image; the collector learns of
 * the new image from its slot. */
static void note_exec(struct note *c)
{
	c->p->end = c->n->type == MMS_LONG_EXEC ? MMS_END_EXEC : MMS_END_NONE;
	c->p->end_ns = c->n->type == MMS_LONG_EXEC ? c->n->t_ns : 0;
	struct mms_exec v;
	size_t room;
	const char *path = payload(c->n, &v, sizeof(v), &room);

	if (c->n->type != MMS_LONG_EXEC || !path || v.path_length > room)
		return;
	free(c->p->next_exe);
	c->p->next_exe = strndup(path, v.path_length);
}

static void note_exit(struct note *c)
{
	struct mms_exit v;
	size_t room;

	if (!payload(c->n, &v, sizeof(v), &room))
		return;
	c->p->end = MMS_END_EXIT;
	c->p->status = v.status & 0xff;
	c->p->status_known = true;
	c->p->end_ns = c->n->t_ns;
}

static void note_reaped(struct note *c)
{
	struct mms_reaped v;
	size_t room;

	if (payload(c->n, &v, sizeof(v), &room))
		model_reaped(c->f->model, c->p, v.pid, v.status, c->n->t_ns);
}

static void feed_note(void *arg, struct order_writer *w, const struct order_note *n)
{
	struct feed *f = arg;

	model_turn(f->model, n->t_ns);
	struct note c = { .f = f, .p = process_of(f, w, n->t_ns), .w = w, .n = n };

	if (!c.p)
		return;
	switch (n->type) {
	case MMS_LONG_PROCESS:
		note_process(&c);
		break;
	case MMS_LONG_MODULE:
		note_module(&c);
		break;
	case MMS_LONG_CONTEXT:
		note_context(&c);
		break;
	case MMS_LONG_THREAD_NAME:
	case MMS_LONG_THREAD_END:
		note_thread(&c);
		break;
	case MMS_LONG_FORK:
		note_fork(&c);
		break;
	case MMS_LONG_EXEC:
	case MMS_LONG_EXEC_FAIL:
		note_exec(&c);
		break;
	case MMS_LONG_EXIT:
		note_exit(&c);
		break;
	case MMS_LONG_REAPED:
		note_reaped(&c);
		break;
	case MMS_LONG_ROOTS:
		note_roots(&c);
		break;
	case MMS_LONG_SAMPLING:
		note_sampling(&c);
		break;
	case MMS_LONG_HEAP_FAIL:
		note_heap_fail(&c);
		break;
	default:
		if (n->type >= MMS_LONG_MMAP && n->type <= MMS_LONG_VM_FAIL)
			note_vm(&c);
	}
	bool vm = n->type >= MMS_LONG_MMAP && n->type <= MMS_LONG_SHMDT;
	if (f->space && (vm || (n->type >= MMS_LONG_PAGES && n->type <= MMS_LONG_ALLOCATOR)))
		f->space(f->space_arg, w, n);
	if (f->cow && (n->type == MMS_LONG_FORK || (n->type >= MMS_LONG_COW_PAGES && n->type <= MMS_LONG_COW_STANDS)))
		f->cow(f->cow_arg, w, n);
}

/* ---- processes ---- */

void feed_process_slot(struct model_process *p, const struct mms_process *slot)
{
	p->context = atomic_load_explicit(&slot->context, memory_order_relaxed);
	p->coverage |= atomic_load_explicit(&slot->coverage, memory_order_relaxed);
	p->nested = atomic_load_explicit(&slot->n_nested, memory_order_relaxed);
	p->audited = atomic_load_explicit(&slot->n_audited, memory_order_relaxed);
	p->audit_failed = atomic_load_explicit(&slot->n_audit_failed, memory_order_relaxed);
	p->self_bytes = slot->self_bytes;
	p->engine = slot->engine;
	uint64_t hiwater = atomic_load_explicit(&slot->hiwater_bytes, memory_order_relaxed);
	if (hiwater > p->hiwater_rss)
		p->hiwater_rss = hiwater;
}

static void feed_process_begin(void *arg, const struct mms_process *slot, uint64_t t_ns)
{
	struct feed *f = arg;
	struct model_process *p, *parent;

	model_turn(f->model, t_ns);
	p = model_process(f->model, slot->number);
	if (!p)
		return;
	p->ns_pid = slot->pid;
	if (!p->pid)
		p->pid = slot->pid;
	if (!p->parent_pid)
		p->parent_pid = slot->parent_pid;
	p->parent = slot->parent_number;
	p->begin = slot->begin;
	p->begin_ns = t_ns;
	p->context = atomic_load_explicit(&slot->context, memory_order_relaxed);
	p->engine = slot->engine;
	parent = p->parent ? model_process_find(f->model, p->parent) : NULL;
	if (parent && (p->begin == MMS_BEGIN_FORK || p->begin == MMS_BEGIN_SPAWN))
		model_forked(f->model, p, parent, t_ns);
}

static void feed_process_read(void *arg, const struct mms_process *slot, uint64_t lost_records)
{
	struct feed *f = arg;
	struct model_process *p = model_process(f->model, slot->number);

	if (!p)
		return;
	feed_process_slot(p, slot);
	p->lost_records = lost_records;
	/* The last word stands in the slot also where its record found no room. */
	uint32_t end = atomic_load_explicit(&slot->end, memory_order_acquire);
	if (p->end == MMS_END_NONE && (end == MMS_END_EXIT || end == MMS_END_EXEC)) {
		p->end = end;
		p->status = atomic_load_explicit(&slot->status, memory_order_relaxed) & 0xff;
		p->status_known = true;
	}
	if (!p->end_ns && atomic_load_explicit(&slot->end_stamp, memory_order_relaxed))
		p->end_ns = stamp_full_ns(f->clock, atomic_load_explicit(&slot->end_stamp, memory_order_relaxed));
	model_process_ended(f->model, p, f->model->now_ns);
	p->read = true;
}

static void feed_round(void *arg, uint64_t horizon_ns)
{
	struct feed *f = arg;

	if (horizon_ns != UINT64_MAX && horizon_ns > f->model->now_ns)
		f->model->now_ns = horizon_ns;
	model_round(f->model, horizon_ns);
}

static void feed_thread_read(void *arg, struct order_writer *w)
{
	struct feed *f = arg;
	struct model_process *p = w->user;

	if (p)
		model_thread_read(p, w->thread, f->model->now_ns);
	w->user = NULL;
}

static uint64_t feed_family(void *arg, uint64_t process)
{
	const struct feed *f = arg;
	const struct model_process *p = model_process_find(f->model, process);

	return p ? p->family : 0;
}

static void feed_share(void *arg, order_turn *turn, uint64_t horizon_ns)
{
	struct feed *f = arg;

	f->model->turn = turn;
	if (horizon_ns > f->model->now_ns)
		f->model->now_ns = horizon_ns;
}

void feed_init(struct feed *f, struct model *m)
{
	*f = (struct feed){
		.sink = { .arg = f, .heap = feed_heap, .note = feed_note, .process_begin = feed_process_begin,
			.process_read = feed_process_read, .thread_read = feed_thread_read, .round = feed_round,
			.family = feed_family, .share = feed_share },
		.model = m };
}
