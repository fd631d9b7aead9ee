/*
 * alive.c - processes known by (boot, pid, start), so that a reused pid is not
 * taken for the collector.
 *
 * Called by finish.c, which notes its own, and by capture.c, which asks
 * whether the writer of an unfinished database is still there.
 */
#include "alive.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void alive_boot_id(char out[64])
{
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");

	if (!f || !fgets(out, 64, f))
		out[0] = '\0';
	out[strcspn(out, "\n")] = '\0';
	if (f)
		fclose(f);
}

uint64_t alive_start(int64_t pid)
{
	char path[64], text[1024];
	uint64_t ticks = 0;
	char state = 'Z';
	const char *p;
	size_t n;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%" PRId64 "/stat", pid);
	f = fopen(path, "re");
	n = f ? fread(text, 1, sizeof(text) - 1, f) : 0;
	if (f)
		fclose(f);
	text[n] = '\0';
	p = strrchr(text, ')'); /* the name may hold anything; field 22 is the start */
	if (!p || sscanf(p, ") %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d"
			" %" SCNu64, &state, &ticks) != 2)
		return 0;
	return state == 'Z' || state == 'X' ? 0 : ticks; /* a zombie writes nothing */
}
