/*
 * blocks.c - see blocks.h.  Called by judge.c and snapshot.c, in the thread
 * that feeds the model.
 */
#include "collect/blocks.h"

#include <errno.h>
#include <stdlib.h>

#include <mmscope/files.h>

/* What the loader allocates for itself (vectors of thread-local storage, its
 * lists) is not the program's to free. */
static bool is_loaders(const struct blocks *b, uint32_t stack)
{
	struct stack_node node;

	return b->stacks->node(b->stacks->arg, stack, &node) &&
		(mms_pc_is_canonical(node.pc) ? model_is_loader(b->model, node.pc) : copy_is_loader(b->copy, node.pc));
}

struct item {
	struct reach_block block;
	struct birth birth;
};

struct list {
	struct blocks *b;
	struct item *item;
};

static void add(struct list *l, uint64_t address, uint64_t size, uint32_t stack, uint64_t t_ns)
{
	struct blocks *b = l->b;

	if (b->n == b->room) {
		size_t room = b->room * 2 + 1024;
		void *grown = reallocarray(l->item, room, sizeof(*l->item));

		if (!grown) {
			b->no_memory = true;
			return;
		}
		l->item = grown;
		b->room = room;
	}
	l->item[b->n++] = (struct item){ { .address = address, .size = size }, { address, t_ns, stack } };
}

static void add_inherited(void *arg, uint64_t address, uint64_t size)
{
	add(arg, address, size, 0, 0);
}

static void add_own(void *arg, uint64_t address, uint64_t size, uint32_t stack, uint32_t thread, uint64_t t_ns)
{
	struct list *l = arg;

	(void)thread;
	add(l, address, size, stack, t_ns);
	if (is_loaders(l->b, stack))
		copy_word(l->b->copy, address);
}

/* Another malloc than libc's keeps lists of blocks in memory of its own, with
 * blocks on them that it has just given out. */
static void allocator_holes(struct blocks *b, struct vma_tree *owners)
{
	struct stack_node node;

	for (struct vma *v = vma_tree_next(owners, 0); v; v = vma_tree_next(owners, v->end))
		if (v->stack && b->stacks->node(b->stacks->arg, v->stack, &node) && mms_pc_is_canonical(node.pc) &&
			model_is_allocator(b->model, node.pc))
			copy_hole(b->copy, v->start, v->end);
}

static int by_address(const void *a, const void *b)
{
	const struct item *x = a, *y = b;

	return x->block.address < y->block.address ? -1 : x->block.address > y->block.address;
}

/* Blocks do not overlap, unless records were lost: the earlier one is cut. */
static void take(struct blocks *b, const struct item *item, size_t n)
{
	b->n = 0;
	for (size_t i = 0; i < n; i++) {
		struct reach_block *last = b->n ? &b->block[b->n - 1] : NULL;

		if (last && last->address == item[i].block.address)
			continue;
		if (last && last->address + last->size > item[i].block.address)
			last->size = item[i].block.address - last->address;
		b->birth[b->n] = item[i].birth;
		b->block[b->n++] = item[i].block;
	}
}

int blocks_list(struct blocks *b, const struct model *m, const struct model_process *p, struct copy *c,
	const struct stack_source *stacks, struct vma_tree *owners)
{
	struct list l = { .b = b };

	*b = (struct blocks){ .copy = c, .model = m, .stacks = stacks };
	model_live_blocks(p, add_own, &l);
	model_inherited_blocks(p, add_inherited, &l);
	if (owners && !c->in_flight)
		allocator_holes(b, owners);
	if (b->n)
		qsort(l.item, b->n, sizeof(*l.item), by_address);
	b->block = reallocarray(NULL, b->n + 1, sizeof(*b->block));
	b->birth = reallocarray(NULL, b->n + 1, sizeof(*b->birth));
	if (b->block && b->birth && l.item)
		take(b, l.item, b->n);
	bool failed = b->no_memory || c->no_memory || !b->block || !b->birth;
	free(l.item);
	return failed ? -ENOMEM : 0;
}

void blocks_done(struct blocks *b)
{
	free(b->block);
	free(b->birth);
	b->block = NULL;
	b->birth = NULL;
}
