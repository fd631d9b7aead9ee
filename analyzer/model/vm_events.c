/*
 * vm_events.c - the calls that changed the address space, in bounded memory.
 *
 * A program that maps and unmaps for months makes calls without end; what the
 * answers need is what is mapped.  When the list is full, its older three
 * quarters are merged: a mapping and the call that took the whole of it away
 * go together, where nothing in between touched the same addresses, and calls
 * that change no mapping (protection, advice, locks, brk) go alone.  What goes
 * is counted.  The newest quarter stays as it is: a call may still turn out
 * to have failed.  When merging frees too little, later calls are counted only.
 */
#include "model/process.h"

#include "mmscope/record.h"

#include <string.h>

#define PAGE 4096ull
#define LOOK_BACK 256 /* events between a mapping and its end, at most */

static uint64_t end_of(const struct model_vm_event *e)
{
	return e->address + ((e->length + PAGE - 1) & ~(PAGE - 1));
}

static bool maps_or_unmaps(uint32_t op)
{
	return op == MMS_LONG_MMAP || op == MMS_LONG_MUNMAP || op == MMS_LONG_MREMAP || op == MMS_LONG_SHMAT ||
		op == MMS_LONG_SHMDT;
}

static bool touches(const struct model_vm_event *e, uint64_t start, uint64_t end)
{
	/* shmdt says no length, mremap has two places: near enough is touched. */
	if (e->op == MMS_LONG_SHMDT)
		return true;
	if (e->op == MMS_LONG_MREMAP && e->address2 < end && e->address2 + e->length2 > start)
		return true;
	return e->address < end && end_of(e) > start;
}

/* Takes both out when the unmap at `at` is the whole end of one mapping. */
static void merge_end(struct model_vm_event *events, size_t at)
{
	struct model_vm_event *last = &events[at];
	uint64_t start = last->address, end = end_of(last);

	for (size_t i = at; i-- > 0 && at - i <= LOOK_BACK;) {
		struct model_vm_event *e = &events[i];

		if (e->process != last->process || !maps_or_unmaps(e->op) || !touches(e, start, end))
			continue;
		if (e->op == MMS_LONG_MMAP && e->address == start && end_of(e) == end)
			e->op = last->op = 0;
		return;
	}
}

static void merge(struct model *m)
{
	size_t old = m->n_vm_events - m->n_vm_events / 4, n = 0;

	for (size_t i = 0; i < old; i++) {
		if (!maps_or_unmaps(m->vm_events[i].op))
			m->vm_events[i].op = 0;
		else if (m->vm_events[i].op == MMS_LONG_MUNMAP)
			merge_end(m->vm_events, i);
	}
	for (size_t i = 0; i < m->n_vm_events; i++) {
		if (i >= old || m->vm_events[i].op)
			m->vm_events[n++] = m->vm_events[i];
	}
	m->n_vm_merged += m->n_vm_events - n;
	m->n_vm_events = n;
	m->vm_merges++;
}

void model_vm(struct model *m, const struct model_vm_event *e)
{
	if (m->n_vm_events == MODEL_VM_EVENTS_MAX && !m->vm_full) {
		merge(m);
		/* Less than a quarter came free: the next time would be soon. */
		m->vm_full = m->n_vm_events > MODEL_VM_EVENTS_MAX - MODEL_VM_EVENTS_MAX / 4;
	}
	if (m->n_vm_events == MODEL_VM_EVENTS_MAX) {
		m->n_vm_cut++;
		return;
	}
	if (!model_reserve(&m->vm_events, &m->vm_capacity, m->n_vm_events, sizeof(*e))) {
		model_dropped(m);
		return;
	}
	m->vm_events[m->n_vm_events++] = *e;
}

void model_vm_failed(struct model *m, uint64_t process, uint32_t thread, uint32_t op)
{
	if (m->n_vm_events == MODEL_VM_EVENTS_MAX)
		return; /* it may be one that was not kept */
	for (size_t i = m->n_vm_events; i-- > 0;) {
		struct model_vm_event *e = &m->vm_events[i];

		if (e->process != process || e->thread != thread)
			continue;
		if (e->op == op)
			e->op = 0; /* it keeps its place: readers count in positions */
		return;
	}
}
