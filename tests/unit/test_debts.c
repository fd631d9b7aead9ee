/*
 * test_debts.c - thread stacks of the own process, as the collector sees them.
 *
 * The kernel joins the stack of a thread to a mapping above it of the same
 * kind.  Truth is what this program mapped and touched itself.
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"
#include "collect/debts.h"

#define MIB (1ul << 20)
#define PAGE 4096ul
#define GUARD PAGE
#define STACK (4 * MIB)
#define ABOVE (64 * MIB)
#define TOUCHED_STACK 100ul
#define TOUCHED_ABOVE 3000ul

static struct debts look(struct vma_tree *owners, uint64_t most)
{
	struct debts_ask ask = { .folder_fd = open("/proc/self", O_PATH | O_DIRECTORY), .stack_most = most,
		.owners = owners };
	struct debts d;

	CHECK(debts_look(&ask, &d));
	close(ask.folder_fd);
	return d;
}

static void touch(char *p, size_t n_pages)
{
	for (size_t i = 0; i < n_pages; i++)
		p[i * PAGE] = 1;
}

int main(void)
{
	struct debts before = look(NULL, 8 * MIB);
	struct vma_tree owners;
	char *p = mmap(NULL, GUARD + STACK + ABOVE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	char *stack = p + GUARD, *above = stack + STACK;
	CHECK(mprotect(stack, STACK, PROT_READ | PROT_WRITE) == 0);
	touch(stack + STACK - TOUCHED_STACK * PAGE, TOUCHED_STACK);
	struct debts alone = look(NULL, 8 * MIB);
	CHECK_EQ(alone.n_stacks, before.n_stacks + 1);
	CHECK_EQ(alone.stack, before.stack + STACK - TOUCHED_STACK * PAGE);

	/* Joined: one line of maps. */
	CHECK(mprotect(above, ABOVE, PROT_READ | PROT_WRITE) == 0);
	CHECK(madvise(stack, STACK + ABOVE, MADV_NOHUGEPAGE) == 0);
	touch(above, TOUCHED_ABOVE);
	struct debts joined = look(NULL, 8 * MIB);
	CHECK_EQ(joined.stack, before.stack + 8 * MIB - (TOUCHED_STACK + (8 * MIB - STACK) / PAGE) * PAGE);

	/* The program told that it mapped the upper part. */
	vma_tree_init(&owners);
	struct vma v = { .start = (uintptr_t)above, .end = (uintptr_t)above + ABOVE, .prot = PROT_READ | PROT_WRITE };
	CHECK_EQ(vma_tree_map(&owners, &v), 0);
	struct debts told = look(&owners, 64 * MIB);
	CHECK_EQ(told.stack, before.stack + STACK - TOUCHED_STACK * PAGE);
	CHECK_EQ(told.n_stacks, alone.n_stacks);
	vma_tree_done(&owners);
	return check_done();
}
