/*
 * ticks.c - what /proc says of the living processes, once a second.
 *
 * The descriptors are opened at the first tick and kept: a process that
 * lives shorter than that costs nothing, and one that becomes undumpable
 * later can still be read.  status is readable for everybody, tells all that
 * statm does, and is read once: its sizes go on to the limits (pressure.c).
 * What cannot be read is -1, not 0.  Called by collect.c.
 */
#include "ticks.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collect/spaces.h"
#include "mirror/mm.h"
#include "store/writer.h"

/* Reads the text of a kept descriptor; false when it has none (any more). */
static bool read_kept(const struct watch_process *p, int *fd, const char *name, char *text, size_t room)
{
	if (*fd < 0 && p->proc_fd >= 0)
		*fd = openat(p->proc_fd, name, O_RDONLY | O_CLOEXEC);
	if (*fd < 0)
		return false;
	ssize_t n = pread(*fd, text, room - 1, 0);
	text[n > 0 ? n : 0] = 0;
	return n > 0;
}

/* The words of stat between the name and the faults, proc_pid_stat(5). */
#define MINFLT 8
#define MAJFLT 10

static void read_stat(struct watch_process *p, struct store_tick *t)
{
	char text[2048];
	if (!read_kept(p, &p->files.stat, "stat", text, sizeof(text)))
		return;
	const char *at = strrchr(text, ')'); /* the name may hold anything */
	for (int i = 1; at && i <= MAJFLT; i++) {
		at = strchr(at + 1, ' ');
		if (at && i == MINFLT)
			t->minflt = strtoll(at, NULL, 10);
		else if (at && i == MAJFLT)
			t->majflt = strtoll(at, NULL, 10);
	}
}

static void read_status(struct watch_process *p, struct watch_image *im)
{
	char text[4096];
	p->mm = (struct mms_mm){.total = 0};
	if (!read_kept(p, &p->files.status, "status", text, sizeof(text)))
		return;
	mm_parse_status(text, strlen(text), &p->mm);
	if (p->mm.hiwater_rss)
		im->hiwater_bytes = p->mm.hiwater_rss;
}

static void put_sizes(const struct mms_mm *mm, struct store_tick *t)
{
	t->vm_size = (int64_t)mm->total;
	t->rss = (int64_t)mm->rss;
	t->shared = (int64_t)(mm->rss_file + mm->rss_shmem);
	t->data = (int64_t)(mm->data + mm->stack);
}

void ticks_take(struct watch *w, struct store *store, struct spaces *spaces, uint64_t now_ns)
{
	for (size_t i = 0; i < w->n_processes; i++) {
		struct watch_process *p = &w->processes[i];
		if (p->gone_ns || !p->image)
			continue;
		read_status(p, watch_image_find(w, p->image));
		struct model_process *m = model_process_find(w->model, p->image);
		if (!store || !m || !p->mm.total)
			continue;
		struct store_tick t = {.process = p->image, .t_ns = now_ns, .minflt = -1, .majflt = -1,
			.live_bytes = m->live_bytes, .live_blocks = m->live_blocks};
		put_sizes(&p->mm, &t);
		read_stat(p, &t);
		store_sample(store, &t);
		spaces_tick(spaces, p, &t);
	}
}
