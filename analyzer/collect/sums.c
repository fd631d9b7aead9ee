/*
 * sums.c - see sums.h.
 *
 * A place is what the frames of a stack are in their files: build id (or path)
 * and offset of each, hashed.  A frame in no file (generated code) counts as
 * one that is the same everywhere.  Chains are walked once a pass for each
 * stack; modules are looked up in a list sorted by context and address.
 */
#include "collect/sums.h"

#include <stdlib.h>
#include <string.h>

#include <mmscope/files.h>
#include <mmscope/stacks.h>

struct known {
	uint64_t place;
	uint32_t context;
};

struct pass {
	const struct stack_source *stacks;
	struct watch *watch;
	struct cows *cows;
	uint64_t worth; /* pages that a fork must have broken to stay */
	struct index sides;   /* processes that have a side in a watched fork */
	struct index at;      /* stack id -> position in known */
	struct known *known;
	size_t n, capacity;
	const struct model_module **module; /* by context and address */
	size_t n_modules;
};

static uint64_t mix(uint64_t h, uint64_t word)
{
	h = (h ^ word) * 0x9e3779b97f4a7c15ull;
	return h ^ h >> 31;
}

static uint64_t mix_bytes(uint64_t h, const void *data, size_t n)
{
	const uint8_t *byte = data;

	for (size_t i = 0; i < n; i++)
		h = mix(h, byte[i]);
	return mix(h, n);
}

static int by_place(const void *a, const void *b)
{
	const struct model_module *x = *(struct model_module *const *)a, *y = *(struct model_module *const *)b;

	if (x->context != y->context)
		return x->context < y->context ? -1 : 1;
	return x->start < y->start ? -1 : x->start > y->start;
}

static void sort_modules(struct pass *p, const struct model *m)
{
	p->module = calloc(m->n_modules + 1, sizeof(struct model_module *));
	p->n_modules = p->module ? m->n_modules : 0;
	for (size_t i = 0; i < p->n_modules; i++)
		p->module[i] = &m->modules[i];
	qsort(p->module, p->n_modules, sizeof(struct model_module *), by_place);
}

/* The last module of the context that begins at or below pc. */
static const struct model_module *module_of(const struct pass *p, uint32_t context, uint64_t pc)
{
	size_t low = 0, high = p->n_modules;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const struct model_module *o = p->module[middle];

		if (o->context < context || (o->context == context && o->start <= pc))
			low = middle + 1;
		else
			high = middle;
	}
	const struct model_module *o = low ? p->module[low - 1] : NULL;
	return o && o->context == context && o->start <= pc && pc < o->end ? o : NULL;
}

static uint64_t place_of(const struct pass *p, uint32_t context, const struct stack_node *node, size_t n)
{
	uint64_t h = 1;

	for (size_t i = 0; i < n; i++) {
		uint64_t pc = mms_pc_extended(node[i].pc);
		const struct model_module *o = module_of(p, context, pc);

		if (!o) {
			h = mix(h, 1);
			continue;
		}
		h = o->build_id_length ? mix_bytes(h, o->build_id, o->build_id_length) : mix_bytes(h, o->path, strlen(o->path));
		h = mix(h, pc - o->bias);
	}
	return h >> 1 | 1; /* the highest bit is for stacks without a place */
}

static struct known look_up(const struct pass *p, uint32_t stack)
{
	static struct stack_node node[MMS_STACK_MAX_DEPTH];
	struct known k = { 0 };
	size_t n = 0;

	while (stack && n < MMS_STACK_MAX_DEPTH && p->stacks->node(p->stacks->arg, stack, &node[n])) {
		if (node[n].flags & MMS_NODE_ROOT) {
			k.context = (uint32_t)node[n].pc;
			k.place = place_of(p, k.context, node, n);
			break;
		}
		stack = node[n++].parent;
	}
	return k;
}

static struct known known(struct pass *p, uint32_t stack)
{
	uint32_t at = index_find(&p->at, stack);

	if (at != INDEX_NONE)
		return p->known[at];
	struct known k = look_up(p, stack);
	if (p->n == p->capacity) {
		size_t capacity = p->capacity * 2 + 1024;
		void *more = reallocarray(p->known, capacity, sizeof(*p->known));
		if (!more)
			return k;
		p->known = more;
		p->capacity = capacity;
	}
	if (index_put(&p->at, stack, (uint32_t)p->n) == 0)
		p->known[p->n++] = k;
	return k;
}

static uint64_t place(void *arg, const struct model *m, uint32_t stack)
{
	struct pass *p = arg;

	if (!p->module)
		sort_modules(p, m);
	return known(p, stack).place;
}

static uint32_t context(void *arg, uint32_t stack)
{
	return known(arg, stack).context;
}

static bool needs(void *arg, const struct model_process *p)
{
	const struct pass *pass = arg;

	return index_find(&pass->sides, p->number) != INDEX_NONE || watch_needs(pass->watch, p);
}

static uint64_t fork_kind(void *arg, const struct model_fork *f)
{
	const struct pass *p = arg;

	return cows_kind(p->cows, f->id, p->worth);
}

void sums_take(struct model *m, struct watch *w, struct cows *cows, const struct stack_source *stacks,
	const struct sums_when *when)
{
	struct pass p = { .stacks = stacks, .watch = w, .cows = cows };

	p.worth = cows_worth(cows, when->max / 16);
	cows_needed(cows, p.worth, &p.sides);
	if (model_sum_up(m, &(struct model_outside){ .place = place, .context = context, .needs = needs,
			.fork_kind = fork_kind, .arg = &p, .max = when->max, .over = when->over })) {
		cows_forget(cows);
		watch_forget(w);
	}
	index_done(&p.sides);
	index_done(&p.at);
	free(p.known);
	free(p.module);
}
