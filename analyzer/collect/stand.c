/*
 * stand.c - see stand.h.
 *
 * libunwind's ptrace side finds modules and their tables for another process;
 * registers and stacks are given to it from what was kept, so that the process
 * need not stand still for it.  The library is loaded when it is needed and
 * then stays: no other verb pays for it.  Called by snapshot.c, in a thread of
 * its own.
 */
#include "collect/stand.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <libunwind-ptrace.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "collect/copy_private.h"
#include "mirror/proc_maps.h"

struct unwinder {
	void *(*create)(pid_t);
	void (*destroy)(void *);
	__typeof__(_UPT_find_proc_info) *find;
	__typeof__(_UPT_put_unwind_info) *put;
	__typeof__(_UPT_get_proc_name) *name;
	__typeof__(unw_create_addr_space) *new_space;
	__typeof__(unw_destroy_addr_space) *free_space;
	__typeof__(unw_init_remote) *init;
	__typeof__(unw_step) *step;
	__typeof__(unw_get_reg) *get;
	__typeof__(unw_get_proc_name) *get_name;
	__typeof__(unw_get_proc_info) *get_info;
};

static bool load(struct unwinder *u)
{
	/* The second takes what it needs of the first from the global names. */
	void *core = dlopen("libunwind-x86_64.so.8", RTLD_NOW | RTLD_GLOBAL);
	void *remote = core ? dlopen("libunwind-ptrace.so.0", RTLD_NOW | RTLD_LOCAL) : NULL;
	const struct {
		void *to;
		const char *name;
	} symbols[] = {
		{ &u->create, "_UPT_create" }, { &u->destroy, "_UPT_destroy" }, { &u->find, "_UPT_find_proc_info" },
		{ &u->put, "_UPT_put_unwind_info" }, { &u->name, "_UPT_get_proc_name" },
		{ &u->new_space, "_Ux86_64_create_addr_space" }, { &u->free_space, "_Ux86_64_destroy_addr_space" },
		{ &u->init, "_Ux86_64_init_remote" }, { &u->step, "_Ux86_64_step" },
		{ &u->get, "_Ux86_64_get_reg" }, { &u->get_name, "_Ux86_64_get_proc_name" },
		{ &u->get_info, "_Ux86_64_get_proc_info" },
	};

	for (size_t i = 0; i < sizeof(symbols) / sizeof(symbols[0]); i++) {
		void *from = strncmp(symbols[i].name, "_UPT", 4) == 0 ? remote : core;
		void *at = from ? dlsym(from, symbols[i].name) : NULL;

		if (!at)
			return false;
		memcpy(symbols[i].to, &at, sizeof(at));
	}
	return true;
}

/* ---- what libunwind asks ---- */

struct asked {
	const struct unwinder *u;
	const struct copy *copy;
	const struct freeze_thread *thread;
	pid_t pid;
	void *modules; /* of _UPT_create */
};

static int find_info(unw_addr_space_t as, unw_word_t ip, unw_proc_info_t *pi, int need, void *arg)
{
	const struct asked *a = arg;

	return a->u->find(as, ip, pi, need, a->modules);
}

static void put_info(unw_addr_space_t as, unw_proc_info_t *pi, void *arg)
{
	const struct asked *a = arg;

	a->u->put(as, pi, a->modules);
}

static int no_list(unw_addr_space_t as, unw_word_t *list, void *arg)
{
	(void)as;
	(void)list;
	(void)arg;
	return -UNW_ENOINFO;
}

/* Looking for tables it asks with the argument of _UPT_create instead of ours. */
static _Thread_local const struct asked *asking;

static int memory(unw_addr_space_t as, unw_word_t address, unw_word_t *value, int write, void *arg)
{
	const struct asked *a = asking;
	const struct iovec to = { value, sizeof(*value) }, from = { (void *)(uintptr_t)address, sizeof(*value) };
	uint64_t word;

	(void)as;
	(void)arg;
	if (write)
		return -UNW_EINVAL;
	if (copy_word_at(a->copy, address, &word)) {
		*value = word;
		return 0;
	}
	return process_vm_readv(a->pid, &to, 1, &from, 1, 0) == sizeof(*value) ? 0 : -UNW_EINVAL;
}

static int registers(unw_addr_space_t as, unw_regnum_t number, unw_word_t *value, int write, void *arg)
{
	const struct asked *a = arg;
	const struct user_regs_struct *r = &a->thread->regs;
	const uint64_t by_number[] = { r->rax, r->rdx, r->rcx, r->rbx, r->rsi, r->rdi, r->rbp, r->rsp, r->r8, r->r9,
		r->r10, r->r11, r->r12, r->r13, r->r14, r->r15, r->rip };

	(void)as;
	if (write || number < 0 || (size_t)number >= sizeof(by_number) / sizeof(by_number[0]))
		return -UNW_EBADREG;
	*value = by_number[number];
	return 0;
}

static int no_vectors(unw_addr_space_t as, unw_regnum_t number, unw_fpreg_t *value, int write, void *arg)
{
	(void)as;
	(void)number;
	(void)value;
	(void)write;
	(void)arg;
	return -UNW_EBADREG;
}

static int no_resume(unw_addr_space_t as, unw_cursor_t *cursor, void *arg)
{
	(void)as;
	(void)cursor;
	(void)arg;
	return -UNW_EINVAL;
}

static int name_of(unw_addr_space_t as, unw_word_t ip, char *name, size_t size, unw_word_t *offset, void *arg)
{
	const struct asked *a = arg;

	return a->u->name(as, ip, name, size, offset, a->modules);
}

/* ---- frames ---- */

static struct stand_frame *add(struct stand *s, pid_t tid, uint32_t depth, uint64_t pc)
{
	if (s->n == s->room) {
		size_t room = s->room * 2 + 64;
		void *grown = reallocarray(s->frame, room, sizeof(*s->frame));

		if (!grown)
			return NULL;
		s->frame = grown;
		s->room = room;
	}
	s->frame[s->n] = (struct stand_frame){ .tid = (uint32_t)tid, .depth = depth, .pc = pc };
	return &s->frame[s->n++];
}

/* The nearest name before it is another function's where names are missing:
 * the tables know where this one begins. */
static void name_frame(const struct unwinder *u, unw_cursor_t *cursor, struct stand_frame *f)
{
	unw_proc_info_t info;
	unw_word_t offset = 0;

	if (u->get_name(cursor, f->function, sizeof(f->function), &offset) < 0 ||
		u->get_info(cursor, &info) < 0 || f->pc - offset < info.start_ip)
		f->function[0] = 0;
}

static void walk(struct stand *s, unw_addr_space_t space, struct asked *a)
{
	unw_cursor_t cursor;
	unw_word_t pc = 0;
	int more = a->u->init(&cursor, space, a);

	for (uint32_t depth = 0; more >= 0 && depth < STAND_DEPTH; depth++) {
		if (a->u->get(&cursor, UNW_REG_IP, &pc) < 0 || !pc)
			return;
		struct stand_frame *f = add(s, a->thread->tid, depth, pc);
		if (!f)
			return;
		name_frame(a->u, &cursor, f);
		more = a->u->step(&cursor) > 0 ? 0 : -1;
	}
}

static bool name_modules(void *arg, const struct proc_map *m)
{
	struct stand *s = arg;

	for (size_t i = 0; i < s->n && m->prot & PROT_EXEC; i++) {
		struct stand_frame *f = &s->frame[i];

		if (f->pc < m->start || f->pc >= m->end || !m->name_length)
			continue;
		snprintf(f->module, sizeof(f->module), "%.*s", (int)m->name_length, m->name);
		f->offset = m->inode ? m->offset + (f->pc - m->start) : 0;
	}
	return true;
}

static void read_modules(struct stand *s, int proc_fd)
{
	char *text = malloc(65536);
	int fd = openat(proc_fd, "maps", O_RDONLY | O_CLOEXEC);

	if (text && fd >= 0)
		proc_maps_read(fd, text, 65536, name_modules, s);
	if (fd >= 0)
		close(fd);
	free(text);
}

int stand_read(struct stand *s, const struct freeze *f, const struct copy *c, int proc_fd)
{
	unw_accessors_t accessors = { find_info, put_info, no_list, memory, registers, no_vectors, no_resume, name_of };
	struct unwinder u;
	struct asked a = { .u = &u, .copy = c, .pid = f->pid };
	bool loaded = load(&u);
	unw_addr_space_t space = loaded ? u.new_space(&accessors, 0) : NULL;

	asking = &a;
	a.modules = space ? u.create(f->pid) : NULL;
	for (size_t i = 0; i < f->n_threads; i++) {
		size_t before = s->n;

		a.thread = &f->threads[i];
		if (a.modules)
			walk(s, space, &a);
		if (s->n == before)
			add(s, a.thread->tid, 0, a.thread->regs.rip);
	}
	if (a.modules)
		u.destroy(a.modules);
	if (space)
		u.free_space(space);
	asking = NULL;
	read_modules(s, proc_fd);
	return loaded ? 0 : -ENOENT;
}

void stand_done(struct stand *s)
{
	free(s->frame);
}
