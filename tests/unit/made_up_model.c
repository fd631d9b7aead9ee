/*
 * made_up_model.c - a model whose every number is known, for tests of the
 * store.  The two functions of the real model that the writer calls stand here
 * too.
 */
#include "made_up_model.h"

#include "mmscope/record.h"
#include "mmscope/session.h"
#include "mmscope/stacks.h"

#include "check.h"

void model_settle(struct model *m) { (void)m; }

/* Each site's live blocks: one after the other from a base of its own. */
void model_live_blocks(const struct model_process *p,
	void (*fn)(void *arg, uint64_t address, uint64_t size, uint32_t stack, uint32_t thread, uint64_t t_ns),
	void *arg)
{
	for (size_t i = 0; i < p->n_sites; i++) {
		const struct heap_site *h = p->sites[i];

		for (uint64_t k = 0; k < h->live_blocks; k++)
			fn(arg, 0x7f0000000000 + ((uint64_t)h->stack << 28) + k * 64,
				h->live_bytes / h->live_blocks, h->stack, 1, 1000 + k);
	}
}

/* Nodes: id 1 is the root of context 7; ids 2.. form chains of depth 4. */
#define N_NODES 60000u
static bool made_up_node(const void *arg, uint32_t id, struct stack_node *ret)
{
	(void)arg;
	if (id == 0 || id > N_NODES)
		return false;
	if (id == 1)
		*ret = (struct stack_node){.pc = 7, .flags = MMS_NODE_ROOT};
	else
		*ret = (struct stack_node){.pc = 0x400000 + id * 16,
			.parent = id % 4 == 2 ? 1 : id - 1, .flags = id % 4 == 3 ? MMS_NODE_GUESSED : 0};
	return true;
}
const struct stack_source stacks = {made_up_node, NULL};

static void fill_site(struct heap_site *h, uint32_t stack, size_t i)
{
	h->stack = stack;
	h->alloc_blocks = 100 + i;
	h->alloc_bytes = 6400 + i;
	h->free_blocks = 90 + i;
	h->free_bytes = 5760 + i;
	h->live_blocks = 10;
	h->live_bytes = 640;
	h->peak_blocks = 20;
	h->peak_bytes = 1280;
	h->own_peak_bytes = 1300 + i;
	h->temporary_blocks = 3;
	h->min_size = 16;
	h->max_size = 64;
	h->first_ns = 5;
	h->last_ns = 500 + i;
	h->life_hist[4] = 7;
}

static void fill_events(struct made_up *u)
{
	u->modules[0] = (struct model_module){.id = 1, .context = 7, .flags = MMS_MODULE_EXE, .start = 0x400000,
		.end = 0x800000, .bias = 0, .path = "/no/such/program", .build_id = {0xab, 0xcd},
		.build_id_length = 2, .process = 1};
	u->modules[1] = (struct model_module){.id = 2, .context = 7, .flags = MMS_MODULE_LOADER, .start = 0x900000,
		.end = 0xa00000, .bias = 0x900000, .path = "/no/such/ld-linux-x86-64.so.2", .process = 1};
	u->vm[0] = (struct model_vm_event){.process = 1, .thread = 1, .stack = 5, .op = MMS_LONG_MMAP,
		.t_ns = 10, .address = 0xffffffff12345000, .length = 8192, .prot = 3, .flags = 34, .fd = -1};
	u->vm[1] = (struct model_vm_event){.process = 1, .thread = 1, .stack = 5, .op = MMS_LONG_MUNMAP,
		.t_ns = 20, .address = 0xffffffff12345000, .length = 4096};
	u->forks[0] = (struct model_fork){.id = 1, .parent = 1, .child = 2, .child_pid = 1002, .kind = MMS_FORK_FORK,
		.thread = 1, .stack = 9, .t_ns = 30, .pause_ns = 4};
	u->buckets[0] = (struct series_bucket){5, 10, 7};
	u->buckets[1] = (struct series_bucket){0, 7, 0};
	u->buckets[2] = (struct series_bucket){0, 1ull << 40, 1ull << 39};
	u->series = (struct series){.start_ns = 100, .width_ns = 10, .n = 3, .capacity = 3,
		.bucket = u->buckets};
	u->model.modules = u->modules;
	u->model.n_modules = 2;
	u->model.vm_events = u->vm;
	u->model.n_vm_events = 2;
	u->model.forks = u->forks;
	u->model.n_forks = 1;
}

struct made_up *make_up(size_t n_processes, size_t n_sites)
{
	struct made_up *u = calloc(1, sizeof(*u));

	REQUIRE(u);
	u->processes = calloc(n_processes, sizeof(*u->processes));
	u->sites = calloc(n_processes * n_sites, sizeof(*u->sites));
	u->model.processes = calloc(n_processes, sizeof(struct model_process *));
	REQUIRE(u->processes && u->sites && u->model.processes);
	for (size_t i = 0; i < n_processes; i++) {
		struct model_process *p = &u->processes[i];

		p->number = i + 1;
		p->pid = 1001 + (uint32_t)i;
		p->parent = i;
		p->exe = "/bin/\"odd\"\\name";
		p->argv = "odd\0a \"b\"\n\0\xff\xc3\xa4";
		p->argv_bytes = 14;
		p->begin = i ? MMS_BEGIN_FORK : MMS_BEGIN_START;
		p->alloc_blocks = 100 * n_sites;
		p->live_blocks = 10 * n_sites;
		p->n_sites = n_sites;
		p->sites = calloc(n_sites, sizeof(struct heap_site *));
		REQUIRE(p->sites);
		for (size_t k = 0; k < n_sites; k++) {
			p->sites[k] = &u->sites[i * n_sites + k];
			fill_site(p->sites[k], k ? 1 + 4 * (uint32_t)k : 0, k);
		}
		u->model.processes[i] = p;
	}
	u->thread = (struct model_thread){.number = 1, .tid = 1001, .name = "main", .begin_ns = 1};
	u->processes[0].threads = &u->thread;
	u->processes[0].n_threads = 1;
	u->processes[0].series = &u->series;
	u->model.n_processes = n_processes;
	u->model.now_ns = 12345;
	fill_events(u);
	return u;
}

void unmake(struct made_up *u)
{
	for (size_t i = 0; i < u->model.n_processes; i++)
		free(u->processes[i].sites);
	free(u->model.processes);
	free(u->processes);
	free(u->sites);
	free(u);
}
