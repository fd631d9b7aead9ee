/*
 * bench_tick.c - what a look at the limits costs the collector.
 *
 * Looks at itself as the collector looks at a program, with the descriptors
 * that it keeps: the place (cgroups of all ancestors, host, PSI), the process
 * (limits and areas, where they are due), and the row of status and stat, which
 * tells the process's sizes as well.  CPU time a
 * tick, the least of ten rounds; "whole" is what one second costs for one
 * process, without the rare looks that have a budget of their own (pages of
 * forks, whom the kernel would kill).
 *
 *   bench_tick [TICKS]     default 1000
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "collect/cgroups.h"
#include "collect/limit.h"
#include "collect/pressure.h"
#include "collect/spaces.h"
#include "collect/ticks.h"
#include "store/writer.h"

#define ROUNDS 10
#define SECOND 1000000000ull

static struct watch_process process;
static struct watch watch;
static struct pressure *pressure;
static struct spaces spaces;
static struct store *store;
static char path[64]; /* of the rows */
static struct cgroup_place *place;
static struct limit_process own;
static uint64_t now_ns = SECOND;

static double cpu_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static struct limit_commit read_place(struct limit_points *points)
{
	struct limit_commit commit;

	points->n = 0;
	cgroup_place_read(place, points, &commit);
	return commit;
}

static void tick_place(void)
{
	struct limit_points points;

	read_place(&points);
}

static void tick_process(void)
{
	struct limit_commit commit = { 0, LIMIT_NONE, LIMIT_NONE, LIMIT_NONE, LIMIT_NONE };
	struct limit_points points = { .n = 0 };

	limit_process_read(&own, now_ns, &process.mm, &commit, &points);
}

static void tick_row(void)
{
	ticks_take(&watch, store, &spaces, now_ns);
}

static void tick_whole(void)
{
	tick_row();
	pressure_take(pressure, &watch, NULL, &spaces, now_ns);
}

/* Pages are looked at under a budget of their own: never due here. */
static bool open_rows(void)
{
	char reason[256];
	struct model_process *m = model_process(watch.model, 1);

	snprintf(path, sizeof path, "/tmp/bench_tick.%d.db", (int)getpid());
	spaces_init(&spaces, watch.model, NULL, &store, NULL);
	spaces.next_look_ns = UINT64_MAX;
	return m && store_open(path, &store, reason, sizeof reason) == 0;
}

static void measure(const char *name, void (*tick)(void), unsigned n)
{
	double least = 1e9;

	for (int round = 0; round < ROUNDS; round++) {
		double begin = cpu_us();

		for (unsigned i = 0; i < n; i++) {
			now_ns += SECOND;
			tick();
		}
		double us = (cpu_us() - begin) / n;
		least = us < least ? us : least;
	}
	printf("%-8s %6.1f us a tick\n", name, least);
}

int main(int argc, char **argv)
{
	unsigned n = argc > 1 ? (unsigned)atoi(argv[1]) : 1000;
	char text[4096];
	int proc_fd = open("/proc/self", O_PATH | O_DIRECTORY), fd = open("/proc/self/cgroup", O_RDONLY);

	limit_text(fd, text, sizeof text);
	process = (struct watch_process){ .pid = getpid(), .pidfd = -1, .proc_fd = proc_fd, .image = 1,
		.files = { -1, -1 } };
	static struct mms_header header;
	static const struct mms_session session = { .header = &header };
	watch = (struct watch){ .session = &session, .processes = &process, .n_processes = 1, 
		.model = model_new(), .n_alive = 1 };
	numbered_new(&watch.images, 1, sizeof(struct watch_image));
	place = cgroup_place_open("", text);
	pressure = pressure_new();
	limit_process_init(&own, proc_fd);
	if (!watch.model || !place || !pressure || proc_fd < 0 || !open_rows())
		return 1;
	struct limit_points points;
	read_place(&points);
	printf("%zu limits of the place\n", points.n);
	measure("place", tick_place, n);
	measure("row", tick_row, n);
	measure("process", tick_process, n);
	measure("whole", tick_whole, n);
	pressure_free(pressure);
	limit_process_done(&own);
	cgroup_place_close(place);
	spaces_done(&spaces);
	store_close(store);
	unlink(path);
	model_free(watch.model);
	close(fd);
	close(proc_fd);
	return 0;
}
