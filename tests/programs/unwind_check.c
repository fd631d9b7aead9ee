/*
 * unwind_check.c - runs a command under the oracle and judges what it counted.
 *
 *   unwind_check ORACLE.so [--min N] [--no-libunwind] [--gcc N] [--status N] -- CMD...
 *
 * Prints one line of counts, and every difference that was kept with the
 * module of each frame.  Status 0: CMD ended as expected, at least N stacks
 * were compared, none differed; 1 otherwise.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <mmscope/stacks.h>

#include "unwind_oracle.h"

static const char *kinds[] = { "?", "libunwind", "libgcc", "full walk", "interned" };

/* The line of a maps text that an address lies in: file name and offset. */
static void print_place(const char *maps, uint64_t pc)
{
	for (const char *line = maps; line && *line; line = strchr(line, '\n')) {
		uint64_t lo, hi, offset;
		char name[256] = "";
		line += *line == '\n';
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %*s %" SCNx64 " %*s %*s %255[^\n]", &lo, &hi,
			    &offset, name) >= 3 && pc >= lo && pc < hi) {
			const char *slash = strrchr(name, '/');
			printf("%s+0x%" PRIx64, slash ? slash + 1 : name, pc - lo + offset);
			return;
		}
	}
	printf("?");
}

static void print_diff(const struct oracle_diff *d)
{
	uint32_t n = d->n_own > d->n_other ? d->n_own : d->n_other;

	printf("difference: %s, pid %u, %u frames against %u\n", kinds[d->kind % 5], d->pid, d->n_own,
		d->n_other);
	for (uint32_t i = 0; i < n && i < 60; i++) {
		uint64_t own = i < d->n_own ? d->own[i] : 0, other = i < d->n_other ? d->other[i] : 0;
		printf("  %2u flags %" PRIx64 " %12" PRIx64 " ", i, own >> 48, mms_node_pc(own));
		print_place(d->maps, mms_node_pc(own));
		printf("   other %12" PRIx64 " ", other);
		print_place(d->maps, other);
		printf("\n");
	}
}

static int judge(const struct oracle *o, uint64_t min)
{
	uint64_t wrong = o->n_libunwind_diff + o->n_libgcc_diff + o->n_full_diff + o->n_interned_diff;

	printf("processes %" PRIu64 ", stacks %" PRIu64 ", frames per stack %.1f, longest %" PRIu64
	       ", guessed %" PRIu64 ", truncated %" PRIu64 ", through a signal %" PRIu64 ", nested %" PRIu64 "\n",
		o->n_processes, o->n_stacks, o->n_stacks ? (double)o->n_frames / (double)o->n_stacks : 0,
		o->n_longest, o->n_guessed, o->n_truncated, o->n_exact, o->n_nested);
	printf("different: libunwind %" PRIu64 " of %" PRIu64 ", libgcc %" PRIu64 " of %" PRIu64
	       " (%" PRIu64 " ended early), full walk %" PRIu64 " of %" PRIu64 ", interned %" PRIu64
	       " of %" PRIu64 "\n",
		o->n_libunwind_diff, o->n_libunwind, o->n_libgcc_diff, o->n_libgcc, o->n_libgcc_short,
		o->n_full_diff, o->n_full, o->n_interned_diff, o->n_interned);
	for (uint32_t i = 0; i < o->n_diffs && i < 4; i++)
		print_diff(&o->diff[i]);
	if (o->n_stacks < min)
		printf("fewer than %" PRIu64 " stacks\n", min);
	return wrong || o->n_stacks < min;
}

static int run(char **cmd)
{
	int status = 0;
	pid_t pid = fork();

	if (!pid) {
		execvp(cmd[0], cmd);
		_exit(errno == ENOENT ? 127 : 126);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return 126;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int main(int argc, char **argv)
{
	char path[] = "/tmp/mms_oracle.XXXXXX";
	uint64_t min = 1;
	int i, wanted = 0, fd = mkstemp(path);

	if (argc < 4 || fd < 0 || ftruncate(fd, sizeof(struct oracle)))
		return 2;
	for (i = 2; i < argc && strcmp(argv[i], "--"); i++) {
		if (!strcmp(argv[i], "--no-libunwind"))
			setenv("MMS_ORACLE_NO_LIBUNWIND", "1", 1);
		else if (!strcmp(argv[i], "--min"))
			min = strtoull(argv[++i], NULL, 10);
		else if (!strcmp(argv[i], "--gcc"))
			setenv("MMS_ORACLE_GCC", argv[++i], 1);
		else if (!strcmp(argv[i], "--status"))
			wanted = atoi(argv[++i]);
		else
			return 2;
	}
	struct oracle *o = mmap(NULL, sizeof(*o), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (o == MAP_FAILED || i + 1 >= argc)
		return 2;
	setenv("MMS_ORACLE", path, 1);
	setenv("LD_PRELOAD", argv[1], 1);
	int got = run(argv + i + 1);
	unlink(path);
	if (got != wanted)
		printf("status %d, should be %d\n", got, wanted);
	return judge(o, min) || got != wanted;
}
