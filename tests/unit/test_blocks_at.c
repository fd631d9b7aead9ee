/*
 * test_blocks_at.c - the blocks that lay in a process's memory at its fork,
 * asked for long after it, against a list that was copied at the fork.
 */
#include "check.h"

#include <mmscope/record.h>

#include "model/model.h"

#define SLOTS 2000 /* addresses that come and go */
#define ROUNDS 20

static uint64_t random_state = 5, now_ns = 1000;

static uint64_t rnd(uint64_t n)
{
	random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
	return (random_state >> 20) % n;
}

struct memory { /* size and stack by address; stack 0: free */
	uint64_t size[SLOTS];
	uint32_t stack[SLOTS];
};

static uint64_t address_of(size_t slot)
{
	return 0x10000 + slot * 4096;
}

/* inherited: blocks of before the fork may be freed too. */
static void live(struct model *m, struct model_process *p, struct memory *memory, size_t steps)
{
	for (size_t i = 0; i < steps; i++) {
		size_t slot = rnd(SLOTS);
		now_ns += 100 + rnd(5000);
		if (memory->stack[slot]) {
			model_release(m, p, 1, address_of(slot), false, now_ns);
			memory->stack[slot] = 0;
		} else {
			memory->size[slot] = 1 + rnd(3000);
			memory->stack[slot] = 1 + (uint32_t)rnd(9);
			model_alloc(m, p, 1, address_of(slot), memory->size[slot], memory->stack[slot], now_ns);
		}
	}
	model_round(m, now_ns);
}

static struct model_process *fork_of(struct model *m, struct model_process *parent, uint64_t number)
{
	struct model_fork f = { .parent = parent->number, .child_pid = (uint32_t)number, .thread = 1, .t_ns = now_ns += 5000 };

	model_fork_seen(m, &f);
	struct model_process *child = model_process(m, number);
	REQUIRE(child);
	child->pid = child->ns_pid = (uint32_t)number;
	model_forked(m, child, parent, now_ns += 1000);
	return child;
}

struct seen {
	const struct memory *want;
	size_t n;
};

static void block(void *arg, uint64_t address, uint64_t size, uint32_t stack)
{
	struct seen *s = arg;
	size_t slot = (address - 0x10000) / 4096;

	REQUIRE(slot < SLOTS);
	CHECK_EQ(s->want->stack[slot], stack);
	CHECK_EQ(s->want->size[slot], size);
	s->n++;
}

static void same_as(const struct model_process *p, uint64_t t_ns, const struct memory *want)
{
	struct seen s = { .want = want };
	size_t n = 0;

	model_blocks_at(p, t_ns, block, &s);
	for (size_t i = 0; i < SLOTS; i++)
		n += want->stack[i] != 0;
	CHECK_EQ(s.n, n);
}

/*
 * parent  ....... fork ..(hold)........ goes on ............. asked, released
 * child                | frees, allocates . fork ... goes on . ends
 * grandchild                                   | ........... asked
 */
static void one_round(void)
{
	static struct memory mine, at_fork, child_memory, at_second;
	struct model *m = model_new();

	REQUIRE(m);
	memset(&mine, 0, sizeof(mine));
	struct model_process *parent = model_process(m, 1);
	parent->pid = parent->ns_pid = 1;
	live(m, parent, &mine, 4000);

	at_fork = child_memory = mine;
	uint64_t fork_ns = now_ns += 3000;
	struct model_process *child = fork_of(m, parent, 2);
	REQUIRE(model_blocks_hold(parent));
	live(m, parent, &mine, 1500);
	live(m, child, &child_memory, 700);
	same_as(parent, fork_ns, &at_fork);

	at_second = child_memory;
	uint64_t second_ns = now_ns += 3000;
	fork_of(m, child, 3);
	live(m, parent, &mine, 1500);
	/* Nothing inherited is freed now: what of that is known has no time. */
	for (size_t i = 0; i < SLOTS; i++)
		if (child_memory.stack[i] && child_memory.stack[i] == at_fork.stack[i])
			child_memory.stack[i] = UINT32_MAX;
	for (size_t i = 0; i < SLOTS; i++)
		if (child_memory.stack[i] && child_memory.stack[i] != UINT32_MAX && rnd(2)) {
			model_release(m, child, 1, address_of(i), false, now_ns += 1000);
			child_memory.stack[i] = 0;
		}
	model_round(m, now_ns);
	same_as(child, second_ns, &at_second);
	same_as(parent, fork_ns, &at_fork);

	model_process_ended(m, model_process(m, 3), now_ns);
	model_process_ended(m, child, now_ns);
	live(m, parent, &mine, 1500);
	same_as(parent, fork_ns, &at_fork);
	model_process_ended(m, parent, now_ns);
	same_as(parent, fork_ns, &at_fork);
	model_blocks_release(parent);
	CHECK(!model_blocks_hold(parent));
	model_free(m);
}

/* A daemon: its parent forks, frees something and is over before the child, in
 * its turn, records anything. */
static void late_child(uint64_t pause_ns, uint64_t inherited)
{
	struct model *m = model_new();
	uint64_t t = 1000000;

	REQUIRE(m);
	struct model_process *first = model_process(m, 1);
	struct model_process *parent = model_process(m, 2);
	first->pid = first->ns_pid = 1;
	parent->pid = parent->ns_pid = 2;
	model_alloc(m, first, 1, 0x1000, 100, 1, t += 5000);
	model_fork_seen(m, &(struct model_fork){ .parent = 1, .child_pid = 2, .kind = MMS_FORK_FORK, .thread = 1, .t_ns = t += 5000 });
	model_forked(m, parent, first, t += 5000);
	model_alloc(m, parent, 1, 0x2000, 50, 2, t += 5000);
	model_alloc(m, parent, 1, 0x3000, 60, 2, t += 5000);
	model_fork_seen(m, &(struct model_fork){ .parent = 2, .child_pid = 3, .kind = MMS_FORK_FORK, .thread = 1, .t_ns = t += 5000 });
	model_release(m, parent, 1, 0x2000, false, t += 5000);
	model_process_ended(m, parent, t += 5000);
	model_process_ended(m, first, t += 5000);
	model_round(m, t += pause_ns);

	struct model_process *child = model_process(m, 3);
	child->pid = child->ns_pid = 3;
	model_forked(m, child, parent, t += 5000);
	CHECK_EQ(child->inherited_blocks, inherited);
	for (uint64_t address = 0x1000; address <= 0x3000; address += 0x1000)
		model_release(m, child, 1, address, false, t += 5000);
	model_round(m, t += 1000000);
	CHECK_EQ(child->inherited_freed, inherited);
	CHECK_EQ(child->unknown_frees, 3 - inherited);
	model_process_ended(m, child, t += 5000);
	CHECK(!model_blocks_hold(child) && !model_blocks_hold(parent) && !model_blocks_hold(first));
	model_free(m);
}

int main(void)
{
	for (int i = 0; i < ROUNDS; i++)
		one_round();
	late_child(1000000, 3);
	late_child(9000000000, 3);
	late_child(11000000000, 2); /* given up */
	return check_done();
}
