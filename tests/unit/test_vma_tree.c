/*
 * test_vma_tree.c - the VMA tree against the kernel.
 *
 * Random operations on real memory; after every step the tree is compared
 * with /proc/self/maps over the whole address space: which addresses are
 * mapped, with which protection, shared or not, which file at which offset.
 *
 *   test_vma_tree [SEEDS [STEPS [FIRST_SEED]]]
 *
 * The program allocates nothing between the steps, so that only the
 * operations under test change the address space.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "check.h"
#include "mirror/proc_maps.h"
#include "mirror/vma_tree.h"

#define ARENA_PAGES 600u
#define STACK_PAGES 1024u
#define FILE_PAGES 64u

static struct vma_tree tree;
static uintptr_t arena, growing_end, growing_low, growing_start;
static int maps_fd, file_fd;
static char text[1 << 16], name[4096];
static uint64_t random_state;
static char last[160]; /* the operation, for the message of a failure */

static unsigned rnd(unsigned n)
{
	random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
	return (unsigned)(random_state >> 33) % n;
}

/* --- the kernel's view into the tree ---------------------------------------- */

static struct vma from_kernel(const struct proc_map *map)
{
	struct vma area = { .start = map->start, .end = map->end, .inode = map->inode,
		.device = map->device, .prot = map->prot, .flags = map->shared ? VMA_SHARED : 0,
		.pgoff = map->inode ? map->offset >> VMA_PAGE_SHIFT : map->start >> VMA_PAGE_SHIFT };

	return area;
}

static bool add_area(void *arg, const struct proc_map *map)
{
	struct vma area = from_kernel(map);

	(void)arg;
	vma_tree_map(&tree, &area);
	return true;
}

struct search {
	uintptr_t at;
	struct proc_map found; /* its name is not kept */
};

static bool covers_or_follows(void *arg, const struct proc_map *map)
{
	struct search *s = arg;

	if (map->end <= s->at)
		return true;
	s->found = *map;
	return false;
}

/* The area there, or the next one; of the text where the kernel knows no other
 * question (before Linux 6.11). */
static int ask(uintptr_t at, struct proc_map *ret)
{
	struct search s = { .at = at };
	int r = proc_maps_query(maps_fd, at, name, sizeof name, ret);

	if (r != -ENOTTY)
		return r;
	r = proc_maps_read(maps_fd, text, sizeof text, covers_or_follows, &s);
	*ret = s.found;
	return r < 0 ? r : s.found.end ? 0 : -ENOENT;
}

/* What a mirror does after a mapping whose file it cannot know: asks for it. */
static void map_as_kernel_says(uintptr_t start, uintptr_t end)
{
	for (uintptr_t at = start; at < end;) {
		struct proc_map map;

		if (ask(at, &map) < 0)
			break;
		struct vma area = from_kernel(&map);
		if (area.start < start) {
			area.pgoff += (start - area.start) >> VMA_PAGE_SHIFT;
			area.start = start;
		}
		if (area.end > end)
			area.end = end;
		if (area.start >= end)
			break;
		vma_tree_map(&tree, &area);
		at = area.end;
	}
}

/* --- comparison --------------------------------------------------------------- */

struct compare {
	uintptr_t at;
	unsigned wrong;
};

static bool same(const struct vma *a, const struct proc_map *map, uintptr_t at)
{
	return a->prot == map->prot && !(a->flags & VMA_SHARED) == !map->shared &&
		a->inode == map->inode &&
		(!map->inode || a->pgoff + ((at - a->start) >> VMA_PAGE_SHIFT) ==
				(map->offset + (at - map->start)) >> VMA_PAGE_SHIFT);
}

static bool compare_area(void *arg, const struct proc_map *map)
{
	struct compare *c = arg;

	if (c->at < map->start && vma_tree_find_intersection(&tree, c->at, map->start))
		c->wrong++;
	for (uintptr_t at = map->start; at < map->end;) {
		const struct vma *a = vma_tree_find(&tree, at);

		if (a == NULL || !same(a, map, at)) {
			if (c->wrong++ == 0)
				fprintf(stderr, "at %#lx: kernel %lx-%lx prot %u, tree %lx-%lx prot %u\n",
					at, map->start, map->end, map->prot, a ? a->start : 0,
					a ? a->end : 0, a ? a->prot : 0);
			break;
		}
		at = a->end;
	}
	c->at = map->end;
	return true;
}

static unsigned differences(void)
{
	struct compare c = { 0, 0 };

	lseek(maps_fd, 0, SEEK_SET);
	proc_maps_read(maps_fd, text, sizeof text, compare_area, &c);
	if (vma_tree_find_intersection(&tree, c.at, UINTPTR_MAX / 2))
		c.wrong++;
	return c.wrong;
}

/* --- operations ------------------------------------------------------------------ */

struct range {
	uintptr_t start;
	size_t length;
};

static struct range pick(void)
{
	unsigned first = rnd(ARENA_PAGES), n = 1 + rnd(rnd(4) ? 12 : 80);

	if (first + n > ARENA_PAGES)
		n = ARENA_PAGES - first;
	return (struct range){ arena + first * VMA_PAGE_SIZE, n * VMA_PAGE_SIZE };
}

static int pick_prot(void)
{
	static const int prot[] = { PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE, PROT_READ | PROT_EXEC };

	return prot[rnd(4)];
}

static void op_map(void)
{
	struct range r = pick();
	int prot = pick_prot(), kind = (int)rnd(4);
	int flags = (kind & 1 ? MAP_SHARED : MAP_PRIVATE) | (kind & 2 ? 0 : MAP_ANONYMOUS);
	off_t offset = kind & 2 ? (off_t)(rnd(FILE_PAGES) * VMA_PAGE_SIZE) : 0;

	flags |= rnd(5) ? MAP_FIXED : 0;
	void *p = mmap(flags & MAP_FIXED ? (void *)r.start : NULL, r.length, prot, flags,
		kind & 2 ? file_fd : -1, offset);
	snprintf(last, sizeof last, "mmap %lx+%lx prot %d flags %x: %p", r.start, r.length, prot, flags, p);
	if (p == MAP_FAILED)
		return;
	uintptr_t start = (uintptr_t)p;
	if (kind == 0) {
		struct vma area = { .start = start, .end = start + r.length, .prot = (uint8_t)prot,
			.pgoff = start >> VMA_PAGE_SHIFT };

		vma_tree_map(&tree, &area);
	} else {
		map_as_kernel_says(start, start + r.length);
	}
	if (!(flags & MAP_FIXED) && munmap(p, r.length) == 0)
		vma_tree_unmap(&tree, start, start + r.length);
}

static void op_unmap(void)
{
	struct range r = pick();

	snprintf(last, sizeof last, "munmap %lx+%lx", r.start, r.length);
	if (munmap((void *)r.start, r.length) == 0)
		vma_tree_unmap(&tree, r.start, r.start + r.length);
}

/* mprotect over a hole changes what lies before it, then fails with ENOMEM;
 * a refused area (a shared mapping opened without write) stops it likewise. */
static void op_protect(void)
{
	struct range r = pick();
	int prot = pick_prot();

	snprintf(last, sizeof last, "mprotect %lx+%lx %d", r.start, r.length, prot);
	if (mprotect((void *)r.start, r.length, prot) == 0) {
		vma_tree_protect(&tree, r.start, r.start + r.length, (unsigned)prot);
	} else if (vma_tree_find(&tree, r.start)) {
		uintptr_t at = r.start;
		struct vma *a;

		while (at < r.start + r.length && (a = vma_tree_find(&tree, at)))
			at = a->end;
		if (at > r.start + r.length)
			at = r.start + r.length;
		vma_tree_protect(&tree, r.start, at, (unsigned)prot);
	}
}

static void op_remap(void)
{
	static const int choice[] = { 0, MREMAP_MAYMOVE, MREMAP_MAYMOVE | MREMAP_FIXED,
		MREMAP_MAYMOVE | MREMAP_DONTUNMAP, MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP };
	struct range from = pick(), to = pick();
	int flags = choice[rnd(5)];
	size_t old_length = rnd(8) || flags & MREMAP_DONTUNMAP ? from.length : 0;
	size_t length = rnd(2) || flags & MREMAP_DONTUNMAP ? from.length : to.length;
	uintptr_t target = to.start;

	if (target + length > arena + ARENA_PAGES * VMA_PAGE_SIZE)
		return;
	void *p = mremap((void *)from.start, old_length, length, flags, (void *)target);
	snprintf(last, sizeof last, "mremap %lx+%lx to %lx+%lx flags %x: %p", from.start, old_length, target,
		length, flags, p);
	if (p == MAP_FAILED) {
		/* MREMAP_FIXED may have unmapped its target, and a shrink its tail,
		 * before it failed; the mirror asks the kernel after a failure. */
		if (flags & MREMAP_FIXED) {
			vma_tree_unmap(&tree, target, target + length);
			map_as_kernel_says(target, target + length);
		}
		vma_tree_unmap(&tree, from.start, from.start + from.length);
		map_as_kernel_says(from.start, from.start + from.length);
		return;
	}
	uintptr_t at = (uintptr_t)p;
	CHECK_EQ(vma_tree_move(&tree, from.start, old_length, at, length, flags & MREMAP_DONTUNMAP), 0);
	if ((at < arena || at >= arena + ARENA_PAGES * VMA_PAGE_SIZE) && munmap(p, length) == 0)
		vma_tree_unmap(&tree, at, at + length);
}

static void op_brk(void)
{
	uintptr_t now = (uintptr_t)syscall(SYS_brk, 0);
	intptr_t step = (intptr_t)rnd(60000) - 30000;

	if ((intptr_t)(now - tree.brk_start) + step < 0)
		step = -step;
	uintptr_t after = (uintptr_t)syscall(SYS_brk, now + (uintptr_t)step);
	vma_tree_brk(&tree, after, 0, 0);
}

/* A growsdown area grows by a touch, without a call: a point query finds it. */
static void op_grow_down(void)
{
	struct proc_map map;

	if (growing_low - VMA_PAGE_SIZE * 300 < growing_start)
		return;
	growing_low -= VMA_PAGE_SIZE * (1 + rnd(3));
	*(volatile char *)growing_low = 1;
	REQUIRE(ask(growing_low, &map) == 0);
	CHECK_EQ(vma_tree_grow_down(&tree, growing_end, map.start), 0);
}

static void op_advise(void)
{
	struct range r = pick();
	static const int advice[] = { MADV_DONTNEED, MADV_FREE, MADV_NORMAL, MADV_WILLNEED };

	madvise((void *)r.start, r.length, advice[rnd(4)]);
}

static void step(void)
{
	switch (rnd(16)) {
	case 0 ... 4: op_map(); break;
	case 5 ... 7: op_unmap(); break;
	case 8 ... 10: op_protect(); break;
	case 11 ... 12: op_remap(); break;
	case 13: op_brk(); break;
	case 14: op_grow_down(); break;
	default: op_advise(); break;
	}
}

/* --- both ways to read the kernel's list ------------------------------------ */

struct told {
	unsigned n;
	uint64_t sum; /* of all that is told of each area, in order */
	uintptr_t highest;
};

static bool add_up(void *arg, const struct proc_map *map)
{
	struct told *t = arg;
	const uint64_t number[] = { map->start, map->end, map->offset, map->inode, map->device, map->prot, map->shared };

	t->n++;
	t->highest = map->end;
	for (size_t i = 0; i < sizeof number / sizeof number[0]; i++)
		t->sum = (t->sum ^ number[i]) * 0x100000001b3u;
	for (size_t i = 0; i < map->name_length; i++)
		t->sum = (t->sum ^ (unsigned char)map->name[i]) * 0x100000001b3u;
	return true;
}

static void test_walk_is_text(void)
{
	struct told by_query = { 0 }, by_text = { 0 };
	struct proc_map first;
	int fd = open("/proc/self/maps", O_RDONLY);

	if (proc_maps_query(fd, 0, name, sizeof name, &first) == -ENOTTY)
		fprintf(stderr, "skipped: PROCMAP_QUERY needs Linux 6.11\n");
	CHECK_EQ(proc_maps_walk(fd, text, sizeof text, add_up, &by_query), 0);
	CHECK_EQ(proc_maps_read(fd, text, sizeof text, add_up, &by_text), 0);
	CHECK(by_text.n > 10);
	CHECK_EQ(by_query.n, by_text.n);
	CHECK_EQ(by_query.sum, by_text.sum);
	CHECK(by_text.highest < UINTPTR_MAX / 2); /* [vsyscall] is in neither */
	close(fd);
}

static bool add_up_writable(void *arg, const struct proc_map *map)
{
	struct proc_map nameless = *map;

	nameless.name_length = 0;
	return !(map->prot & PROT_WRITE) || add_up(arg, &nameless);
}

static void test_writable_are_those_of_the_text(void)
{
	struct told by_query = { 0 }, by_text = { 0 };
	int fd = open("/proc/self/maps", O_RDONLY);

	CHECK_EQ(proc_maps_writable(fd, text, sizeof text, add_up_writable, &by_query), 0);
	CHECK_EQ(proc_maps_read(fd, text, sizeof text, add_up_writable, &by_text), 0);
	CHECK(by_text.n > 3);
	CHECK_EQ(by_query.n, by_text.n);
	CHECK_EQ(by_query.sum, by_text.sum);
	close(fd);
}

/* A kernel without the question: the text is read. */
static void test_walk_without_query(void)
{
	char line[] = "1000-2000 rw-p 00000000 00:00 0 \n7000-9000 r--s 00001000 08:01 77 /a b\n";
	char path[] = "/tmp/mmscope-test-maps-XXXXXX";
	struct told told = { 0 };
	int fd = mkstemp(path);

	REQUIRE(fd >= 0 && unlink(path) == 0 && write(fd, line, sizeof line - 1) == (ssize_t)sizeof line - 1);
	CHECK_EQ(proc_maps_walk(fd, text, sizeof text, add_up, &told), 0);
	CHECK_EQ(told.n, 2);
	CHECK_EQ(told.highest, 0x9000);
	close(fd);
}

/* --- set-up ------------------------------------------------------------------------ */

static void make_areas(void)
{
	char path[] = "/tmp/mmscope-test-vma-XXXXXX";

	file_fd = mkstemp(path);
	REQUIRE(file_fd >= 0 && ftruncate(file_fd, (FILE_PAGES + 100) * VMA_PAGE_SIZE) == 0);
	unlink(path);
	void *p = mmap(NULL, ARENA_PAGES * VMA_PAGE_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	REQUIRE(p != MAP_FAILED);
	arena = (uintptr_t)p;
	size_t size = STACK_PAGES * VMA_PAGE_SIZE;
	p = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	REQUIRE(p != MAP_FAILED && munmap(p, size) == 0);
	growing_start = (uintptr_t)p;
	growing_end = growing_start + size;
	growing_low = growing_end - VMA_PAGE_SIZE;
	p = mmap((void *)growing_low, VMA_PAGE_SIZE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED, -1, 0);
	REQUIRE((uintptr_t)p == growing_low);
}

static void read_kernel(void)
{
	vma_tree_done(&tree);
	vma_tree_init(&tree);
	lseek(maps_fd, 0, SEEK_SET);
	REQUIRE(proc_maps_read(maps_fd, text, sizeof text, add_area, NULL) == 0);
	vma_tree_flags(&tree, growing_low, growing_end, VMA_GROWSDOWN, 0);
	uintptr_t now = (uintptr_t)syscall(SYS_brk, 0);
	if (tree.brk_start == 0)
		tree.brk_start = (now + VMA_PAGE_SIZE - 1) & ~(VMA_PAGE_SIZE - 1);
	tree.brk_end = now;
}

/* Neighbours of different makers; who is not known to be the longest is not told. */
static void test_longest(void)
{
	struct vma_tree t;
	const uintptr_t base = 1ul << 30, length = 100 * VMA_PAGE_SIZE;
	size_t steps = 1000;
	const struct vma *a;

	vma_tree_init(&t);
	for (uintptr_t i = 0; i < 100; i++) {
		uintptr_t start = base + i * VMA_PAGE_SIZE, n = i >= 40 && i < 70 ? 30 : 1;
		struct vma v = { .start = start, .end = start + n * VMA_PAGE_SIZE, .prot = 3, .stack = (uint32_t)i + 1,
			.pgoff = start >> VMA_PAGE_SHIFT };
		CHECK_EQ(vma_tree_map(&t, &v), 0);
		i += n - 1;
	}
	a = vma_tree_find_longest(&t, base, base + length, &steps);
	CHECK(a && a->stack == 41);
	CHECK_EQ(steps, 1000 - 41); /* none of the 30 pages after it can be longer than it */
	steps = 40;
	CHECK(!vma_tree_find_longest(&t, base, base + length, &steps));
	CHECK_EQ(steps, 0);
	steps = 2; /* of the long one a page, and then its neighbour: the first is as long as any */
	a = vma_tree_find_longest(&t, base + 69 * VMA_PAGE_SIZE, base + 71 * VMA_PAGE_SIZE, &steps);
	CHECK(a && a->stack == 41);
	CHECK_EQ(steps, 1);
	CHECK(!vma_tree_find_longest(&t, base - length, base, &steps));
	vma_tree_done(&t);
}

int main(int argc, char **argv)
{
	unsigned seeds = argc > 1 ? (unsigned)atoi(argv[1]) : 4;
	unsigned steps = argc > 2 ? (unsigned)atoi(argv[2]) : 5000;
	unsigned first = argc > 3 ? (unsigned)atoi(argv[3]) : 1;

	maps_fd = open("/proc/self/maps", O_RDONLY);
	REQUIRE(maps_fd >= 0);
	make_areas();
	test_longest();
	test_walk_is_text();
	test_writable_are_those_of_the_text();
	test_walk_without_query();
	for (unsigned seed = first; seed < first + seeds; seed++) {
		random_state = seed;
		read_kernel();
		REQUIRE(differences() == 0);
		for (unsigned i = 0; i < steps; i++) {
			step();
			if (!CHECK(vma_tree_is_valid(&tree)) || !CHECK(differences() == 0)) {
				fprintf(stderr, "seed %u, step %u: %s\n", seed, i, last);
				return 1;
			}
		}
	}
	printf("%u seeds of %u steps, %u areas at the end\n", seeds, steps, tree.n_areas);
	return check_done();
}
