/*
 * ticks.c - what /proc says of the living processes, once a second.
 *
 * The descriptors are opened at the first tick and kept: a process that
 * lives shorter than that costs nothing, and one that becomes undumpable
 * later can still be read.  statm and status are readable for everybody;
 * what cannot be read is -1, not 0.  Called by collect.c.
 */
#include "ticks.h"

#include <fcntl.h>
#include <stdio.h>
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

static void read_statm(struct watch_process *p, struct store_tick *t)
{
	char text[256];
	long long size, rss, shared, text_pages, lib, data;
	long long page = sysconf(_SC_PAGESIZE);
	if (!read_kept(p, &p->files.statm, "statm", text, sizeof(text)) ||
		sscanf(text, "%lld %lld %lld %lld %lld %lld", &size, &rss, &shared, &text_pages, &lib, &data) != 6)
		return;
	t->vm_size = size * page;
	t->rss = rss * page;
	t->shared = shared * page;
	t->data = data * page;
}

static void read_stat(struct watch_process *p, struct store_tick *t)
{
	char text[2048];
	long long minflt, majflt;
	if (!read_kept(p, &p->files.stat, "stat", text, sizeof(text)))
		return;
	const char *rest = strrchr(text, ')'); /* the name may hold anything */
	if (rest && sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %lld %*u %lld", &minflt, &majflt) == 2) {
		t->minflt = minflt;
		t->majflt = majflt;
	}
}

static void read_status(struct watch_process *p, struct watch_image *im, struct mms_mm *mm)
{
	char text[4096];
	if (!read_kept(p, &p->files.status, "status", text, sizeof(text)))
		return;
	mm_parse_status(text, strlen(text), mm);
	if (mm->hiwater_rss)
		im->hiwater_bytes = mm->hiwater_rss;
}

void ticks_take(struct watch *w, struct store *store, struct spaces *spaces, uint64_t now_ns)
{
	for (size_t i = 0; i < w->n_processes; i++) {
		struct watch_process *p = &w->processes[i];
		if (p->gone_ns || !p->image)
			continue;
		struct mms_mm mm = {.total = 0};
		read_status(p, watch_image_find(w, p->image), &mm);
		struct model_process *m = model_process_find(w->model, p->image);
		if (!store || !m)
			continue;
		struct store_tick t = {.process = p->image, .t_ns = now_ns, .rss = -1, .vm_size = -1,
			.shared = -1, .data = -1, .minflt = -1, .majflt = -1,
			.live_bytes = m->live_bytes, .live_blocks = m->live_blocks};
		read_statm(p, &t);
		if (t.rss < 0)
			continue;
		read_stat(p, &t);
		store_sample(store, &t);
		spaces_tick(spaces, p, &t, &mm);
	}
}
