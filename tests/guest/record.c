/*
 * record.c - runs a command in a session and prints what the session holds.
 *
 *   record DUMP LIBRARY [key=value ...] -- CMD...
 *
 * Makes the session itself, starts no collector, puts LIBRARY first in
 * LD_PRELOAD, runs CMD as a child with our descriptors, ends with its status
 * (128 + signal where it was killed), and writes to the file DUMP one line
 * for each process slot and each long record.  Keys: follow=all|none|GLOB,
 * cells=N (bound of the file), keep=1 (children may outlive CMD by 200 ms).
 * Called by guest.py.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <mmscope/launch.h>

static const char *const begins[] = { "?", "start", "fork", "exec", "spawn" };
static const char *const ends[] = { "none", "exit", "signal", "exec" };

static void dump_process(FILE *out, const struct mms_process *p)
{
	fprintf(out, "process %" PRIu64 " begin %s end %s status %d coverage %#x pid %u parent %u\n", p->number,
		begins[p->begin % 5], ends[atomic_load(&p->end) % 4], atomic_load(&p->status),
		atomic_load(&p->coverage), p->pid, p->parent_pid);
}

/* Blocks of 31000 to 31999 bytes are the program's marks: what happens to
 * them is printed, by size. */
static struct mark {
	uint64_t address;
	uint32_t size;
} marks[64];
static uint32_t n_marks;

static void dump_heap(FILE *out, uint64_t w1)
{
	static const char *const names[] = { "?", "malloc", "calloc", "aligned", "free", "realloc-begin",
		"realloc-end", "realloc-fail" };
	uint32_t op = mms_w1_op(w1), size = mms_w1_size(w1);
	uint64_t address = mms_w1_ptr(w1);
	if (op > MMS_OP_REALLOC_FAIL)
		return;
	for (uint32_t i = 0; i < n_marks; i++) {
		if (marks[i].address != address)
			continue;
		if (op == MMS_OP_REALLOC_BEGIN || op == MMS_OP_FREE)
			fprintf(out, "heap %s %u\n", names[op], marks[i].size);
		else if (op == MMS_OP_REALLOC_FAIL)
			fprintf(out, "heap %s %u %s\n", names[op], marks[i].size, size ? "gone" : "kept");
		if (op == MMS_OP_REALLOC_BEGIN || (op == MMS_OP_REALLOC_FAIL && !size))
			continue;
		marks[i] = marks[--n_marks]; /* freed, or its address is another block now */
		break;
	}
	if (op != MMS_OP_REALLOC_FAIL && size / 1000 == 31 && n_marks < 64) {
		fprintf(out, "heap %s %u\n", names[op], size);
		marks[n_marks++] = (struct mark){ address, size };
	}
}

static void dump_vm(FILE *out, uint32_t type, const struct mms_vm *vm)
{
	static const char *const names[] = { "?", "mmap", "munmap", "mremap-begin", "mremap", "brk", "mprotect",
		"madvise", "mlock", "munlock", "shmat", "shmdt", "fail" };
	if (type == MMS_LONG_BRK)
		fprintf(out, "vm brk by %" PRId64 "\n", (int64_t)(vm->address - vm->address2));
	else if (type == MMS_LONG_VM_FAIL)
		fprintf(out, "vm fail of %s length %" PRIu64 ": %s\n",
			names[vm->flags <= MMS_LONG_VM_FAIL ? vm->flags : 0], vm->length, strerror(vm->error));
	else
		fprintf(out, "vm %s length %" PRIu64 " length2 %" PRIu64 " offset %" PRIu64 " prot %u flags %#x %s\n",
			names[type], vm->length, vm->length2, vm->offset, vm->prot, vm->flags,
			vm->address2 && vm->address2 != vm->address ? "moved" : "in place");
}

static void dump_long(FILE *out, const struct mms_block *b, uint32_t type, const uint8_t *payload)
{
	union {
		const uint8_t *bytes;
		const struct mms_vm *vm;
		const struct mms_heap_fail *failure;
		const struct mms_fork *fork;
		const struct mms_exec *exec;
		const struct mms_exit *exit;
		const struct mms_reaped *reaped;
		const struct mms_thread_note *name;
		const struct mms_module *module;
		const struct mms_context *context;
	} p = { payload };
	uint64_t number = b->process_number;
	if (type <= MMS_LONG_VM_FAIL)
		dump_vm(out, type, p.vm);
	else if (type == MMS_LONG_HEAP_FAIL)
		fprintf(out, "heap failure %zu: %s\n", (size_t)p.failure->size, strerror(p.failure->error));
	else if (type == MMS_LONG_FORK)
		fprintf(out, "fork %" PRIu64 " kind %u child %s\n", number, p.fork->kind,
			p.fork->child_pid ? "known" : "unknown");
	else if (type == MMS_LONG_EXEC)
		fprintf(out, "exec %" PRIu64 " %.*s\n", number, (int)p.exec->path_length,
			(const char *)payload + sizeof(*p.exec));
	else if (type == MMS_LONG_EXEC_FAIL)
		fprintf(out, "exec-fail %" PRIu64 " %s\n", number, strerror(p.exec->error));
	else if (type == MMS_LONG_EXIT)
		fprintf(out, "exit %" PRIu64 " status %d how %u\n", number, p.exit->status, p.exit->how);
	else if (type == MMS_LONG_REAPED)
		fprintf(out, "reaped %" PRIu64 " pid %u status %#x\n", number, p.reaped->pid, (unsigned)p.reaped->status);
	else if (type == MMS_LONG_THREAD_NAME)
		fprintf(out, "name %" PRIu64 " %.*s\n", number, (int)p.name->name_length,
			(const char *)payload + sizeof(*p.name));
	else if (type == MMS_LONG_MODULE)
		fprintf(out, "module %" PRIu64 " context %u build-id %d flags %u %.*s\n", number,
			p.module->context, p.module->build_id_length, p.module->flags,
			p.module->path_length, (const char *)payload + sizeof(*p.module));
	else if (type == MMS_LONG_CONTEXT)
		fprintf(out, "context %" PRIu64 " %u after %u\n", number, p.context->context, p.context->previous);
}

static uint64_t dump_block(FILE *out, struct mms_block *b)
{
	uint64_t n = 0;
	for (uint8_t *at = (uint8_t *)b + MMS_BLOCK_FIRST; at < (uint8_t *)b + MMS_BLOCK_END;) {
		uint64_t w0 = __atomic_load_n((uint64_t *)(void *)at, __ATOMIC_ACQUIRE);
		uint64_t w1 = ((uint64_t *)(void *)at)[1];
		if (mms_w0_gen(w0) != b->gen)
			break;
		uint32_t op = mms_w1_op(w1), slots = 1;
		if (op == MMS_OP_LONG) {
			slots = mms_w1_size(w1);
			dump_long(out, b, mms_w1_long(w1), at + 16);
		} else if (op == MMS_OP_PAD) {
			slots = mms_w1_size(w1);
		} else {
			slots = op >= MMS_OP_MALLOC_EXT && op <= MMS_OP_REALLOC_END_EXT ? 2 : 1;
			n++;
			dump_heap(out, w1);
		}
		at += 16u * (slots ? slots : 1);
	}
	return n;
}

static void dump(FILE *out, const struct mms_session *s)
{
	uint64_t n_heap = 0;
	for (uint32_t i = 0; i < MMS_PROCESSES_INLINE; i++)
		if (atomic_load(&s->cell0->process[i].state) == MMS_SLOT_LIVE)
			dump_process(out, &s->cell0->process[i]);
	for (uint32_t i = 1; i < atomic_load(&s->header->n_cells_ready); i++)
		if (s->cell0->cell_kind[i] == MMS_CELL_RING && atomic_load(&s->cell0->owner[i]))
			n_heap += dump_block(out, (struct mms_block *)(void *)mms_cell(s, i));
	fprintf(out, "heap %s\n", n_heap ? "some" : "none");
}

/* More ring blocks than a new session has, as the collector would add them. */
static void grow(const char *path, const struct mms_session *s, uint32_t n)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0 || posix_fallocate(fd, 0, (off_t)n << MMS_CELL_SHIFT) != 0)
		exit(125);
	close(fd);
	for (uint32_t i = MMS_INITIAL_CELLS; i < n; i++) {
		s->cell0->cell_kind[i] = MMS_CELL_RING;
		((struct mms_block *)(void *)mms_cell(s, i))->gen = 1;
	}
	atomic_store(&s->header->n_cells_ready, n);
}

static int run(char **argv, const char *library, const char *path)
{
	pid_t pid = fork();
	if (pid == 0) {
		char preload[4096];
		const char *old = getenv("LD_PRELOAD");
		snprintf(preload, sizeof(preload), "%s%s%s", library, old ? ":" : "", old ? old : "");
		setenv("LD_PRELOAD", preload, 1);
		setenv(MMS_ENV_SESSION, path, 1);
		execvp(argv[0], argv);
		_exit(127);
	}
	int status = 0;
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(int argc, char **argv)
{
	struct mms_create_options o = { .output = "/dev/null", .policy = MMS_POLICY_DROP };
	struct mms_session s;
	char path[MMS_SESSION_PATH_MAX];
	uint32_t cells = 64;
	int i = 3, keep = 0;
	if (argc < 5)
		return 125;
	for (; i < argc && strcmp(argv[i], "--"); i++) {
		const char *v = strchr(argv[i], '=') + 1;
		if (!strncmp(argv[i], "follow=", 7)) {
			o.follow = !strcmp(v, "none") ? MMS_FOLLOW_NONE : !strcmp(v, "all") ? MMS_FOLLOW_ALL : MMS_FOLLOW_GLOB;
			o.follow_glob = v;
		} else if (!strncmp(argv[i], "cells=", 6)) {
			cells = (uint32_t)atoi(v);
		} else if (!strncmp(argv[i], "keep=", 5)) {
			keep = atoi(v);
		}
	}
	o.creator_pid = (uint32_t)-1; /* nobody: the first to come is the first process */
	if (mms_session_create(&o, path, &s) < 0)
		return 125;
	grow(path, &s, cells);
	int status = run(argv + i + 1, argv[2], path);
	if (keep)
		usleep(200000);
	unlink(path);
	FILE *out = fopen(argv[1], "we");
	if (!out)
		return 125;
	dump(out, &s);
	fclose(out);
	return status;
}
