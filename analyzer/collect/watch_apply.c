/*
 * watch_apply.c - what is known of processes from outside, into the model.
 *
 * How a process ended: the kernel's word, else that of the parent that waited
 * for it (the same, by way of its records), else the process's own.
 * A program that ran and did not join gets a row of its own, so that every
 * process of the tree can be found.  Called before each flush and at the end.
 */
#include "watch_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "collect/elf_check.h"

#define GHOST_PATIENCE 200000000ull

static void set_end(struct model_process *m, int wait_status)
{
	bool signal = WIFSIGNALED(wait_status);
	m->end = signal ? MMS_END_SIGNAL : MMS_END_EXIT;
	m->status = signal ? WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
	m->status_known = true;
}

/* p: NULL where the process is not known; told: its last image that its parent
 * can have been told of; NULL: none. */
static void apply_status(struct model_process *m, const struct watch_process *p, const struct model_process *told)
{
	if (p && p->status_known)
		set_end(m, p->wait_status);
	else if (told && told->reaped)
		set_end(m, told->reaped_status);
}

static void apply_end(struct watch *w, struct model_process *m, const struct watch_image *im)
{
	const struct watch_process *p = im->process ? &w->processes[im->process - 1] : NULL;
	if (im->followed_by_exec || (p && p->unjoined_exec)) {
		m->end = MMS_END_EXEC;
		m->status = 0;
		m->status_known = true;
	} else if (p || m->end != MMS_END_EXEC) { /* else it was another program that ended */
		apply_status(m, p, m);
	}
	if (!m->end_ns)
		m->end_ns = im->gone_ns > m->begin_ns ? im->gone_ns : m->begin_ns;
	/* What it told may still be on the way: then who reads the last of it says so. */
	if (m->read || w->finishing)
		model_process_ended(w->model, m, m->end_ns);
}

static char *copy_if_unset(char *have, const char *from)
{
	return have || !from ? have : strdup(from);
}

/* A row for a program that ran in the session and was not recorded: it takes
 * a number of its own, as if it had joined. */
static struct model_process *ghost_new(struct watch *w, uint64_t parent, uint32_t begin, const char *exe)
{
	uint64_t number = atomic_fetch_add(&w->session->header->next_process, 1);
	struct model_process *m = model_process(w->model, number);
	if (!m)
		return NULL;
	m->unrecorded = true;
	m->parent = parent;
	m->begin = begin;
	m->exe = exe ? strdup(exe) : NULL;
	return m;
}

/* The file that an exec of `path` meant, as /proc/PID/exe would have named it.
 * The caller frees; NULL: no memory. */
static char *executed_file(const char *path, const char *cwd)
{
	char found[4096];
	if (!strchr(path, '/')) {
		if (elf_find(path, getenv("PATH"), found, sizeof(found)) < 0)
			return strdup(path);
	} else {
		snprintf(found, sizeof(found), "%s%s%s", path[0] == '/' || !cwd ? "" : cwd,
			path[0] == '/' || !cwd ? "" : "/", path);
	}
	char *real = realpath(found, NULL);
	return real ? real : strdup(path);
}

/* The process ended in a program that did not join. */
static void apply_ghost(struct watch *w, struct watch_process *p)
{
	struct model_process *before = p->image ? model_process_find(w->model, p->image) : NULL;
	bool first = p == w->processes && !before;
	const char *path = before ? before->next_exe : first ? w->session->header->program : p->exe;
	char *exe = path ? executed_file(path, before ? before->cwd : w->session->header->cwd) : NULL;
	uint32_t begin = before ? MMS_BEGIN_EXEC : first ? MMS_BEGIN_START : MMS_BEGIN_SPAWN;
	struct model_process *m = ghost_new(w, before ? p->image : p->fork_parent, begin, exe);
	free(exe);
	if (!m)
		return;
	p->ghost = m->number;
	m->pid = (uint32_t)p->pid;
	m->begin_ns = before && before->end_ns ? before->end_ns : p->came_ns;
	apply_status(m, p, before);
	model_process_ended(w->model, m, p->gone_ns);
	for (size_t i = 0; i < w->model->n_forks; i++) {
		struct model_fork *f = &w->model->forks[i];
		if (!before && !f->child && f->parent == p->fork_parent && f->child_pid == m->pid)
			f->child = m->number;
	}
}

/* A child whose bell was not heard and whose slot was given back before it was
 * looked at: its parent's fork record names the process, its own the image. */
static void join_by_fork(struct watch *w, struct watch_process *p)
{
	if (p->image || !p->fork_parent || !p->gone_ns)
		return;
	for (size_t i = 0; i < w->images.n; i++) {
		struct watch_image *im = w->images.item[i];
		const struct model_process *m = im->number > p->fork_parent ? model_process_find(w->model, im->number) : NULL;
		if (!m || m->n_summed || m->unrecorded || m->parent != p->fork_parent || m->begin != MMS_BEGIN_FORK ||
			m->ns_pid != (uint32_t)p->pid || im->process)
			continue;
		p->image = im->number;
		im->process = (uint32_t)(p - w->processes) + 1;
		watch_process_over(w, p);
		return;
	}
}

/* A later image of the same process is known. */
static bool was_followed(const struct watch *w, const struct model_process *m)
{
	for (size_t i = 0; i < w->model->n_processes && !m->was_followed; i++) {
		const struct model_process *later = w->model->processes[i];
		if (later->number > m->number && later->begin != MMS_BEGIN_FORK &&
			(later->parent == m->number ? later->begin == MMS_BEGIN_EXEC : later->ns_pid == m->ns_pid))
			return true;
	}
	return m->was_followed;
}

/* An image became a program that did not join, in a process that was over
 * before it was looked at: all that is known is what it executed. */
static void apply_unseen_exec(struct watch *w, const struct model_process *before)
{
	char *exe = before->next_exe ? executed_file(before->next_exe, before->cwd) : NULL;
	struct model_process *m = ghost_new(w, before->number, MMS_BEGIN_EXEC, exe);
	free(exe);
	if (!m)
		return;
	m->pid = before->pid;
	m->begin_ns = before->end_ns;
	w->n_unseen_execs++;
	apply_status(m, NULL, before);
	model_process_ended(w->model, m, w->now_ns); /* nobody is left */
}

static void apply_unseen_execs(struct watch *w)
{
	size_t n = w->model->n_processes; /* without those that are made here */
	for (size_t i = 0; i < n; i++) {
		const struct model_process *m = w->model->processes[i];
		const struct watch_image *im = m->end == MMS_END_EXEC && !m->n_summed ? watch_image_at(w, m->number) : NULL;
		if (im && !im->process && !was_followed(w, m))
			apply_unseen_exec(w, m);
	}
}

static void apply_ghosts(struct watch *w)
{
	for (size_t i = 0; i < w->n_processes; i++) {
		struct watch_process *p = &w->processes[i];
		if (!p->gone_ns || p->pidfd >= 0 || !p->unjoined_exec || p->ghost)
			continue;
		/* Its parent's records may not have been read yet. */
		if (w->finishing || w->now_ns - p->gone_ns > GHOST_PATIENCE)
			apply_ghost(w, p);
	}
}

/* Neither the program nor we could read which file it is: the exec said it. */
static void name_by_exec(struct watch *w, struct model_process *m)
{
	const struct model_process *before = !m->exe && m->begin == MMS_BEGIN_EXEC && m->parent
		? model_process_find(w->model, m->parent) : NULL;
	if (before && before->next_exe)
		m->exe = executed_file(before->next_exe, before->cwd);
}

/* Of those that nobody saw from outside their parents may have told. */
static void apply_unwatched(struct watch *w)
{
	for (size_t i = 0; i < w->model->n_processes; i++) {
		struct model_process *m = w->model->processes[i];
		bool told = m->reaped && !m->n_summed && m->end != MMS_END_EXEC;
		const struct watch_image *im = told ? watch_image_find(w, m->number) : NULL;
		if (told && (!im || !im->gone))
			apply_status(m, NULL, m);
	}
}

void watch_apply(struct watch *w)
{
	watch_missed_over(w, w->now_ns);
	for (size_t i = 0; i < w->n_processes; i++)
		join_by_fork(w, &w->processes[i]);
	for (size_t i = 0; i < w->images.n; i++) {
		struct watch_image *im = w->images.item[i];
		struct model_process *m = im->known || im->gone ? model_process_find(w->model, im->number) : NULL;
		if (!m || m->n_summed)
			continue;
		const struct watch_process *p = im->process ? &w->processes[im->process - 1] : NULL;
		if (p && p->pid > 0)
			m->pid = (uint32_t)p->pid;
		if (im->hiwater_bytes > m->hiwater_rss)
			m->hiwater_rss = im->hiwater_bytes;
		if (!m->parent && im->parent && im->parent < im->number)
			m->parent = im->parent;
		m->exe = copy_if_unset(m->exe, im->exe);
		name_by_exec(w, m);
		m->cwd = copy_if_unset(m->cwd, im->cwd);
		if (im->gone)
			apply_end(w, m, im);
	}
	apply_unwatched(w);
	apply_ghosts(w);
	if (w->finishing)
		apply_unseen_execs(w);
}
