/*
 * made_up_model.h - a model for tests of the store.
 */
#ifndef TESTS_MADE_UP_MODEL_H
#define TESTS_MADE_UP_MODEL_H

#include "model/model.h"
#include "model/series.h"
#include "store/writer.h"

struct made_up {
	struct model model;
	struct model_process *processes;
	struct heap_site *sites;
	struct model_module modules[2];
	struct model_vm_event vm[2];
	struct model_fork forks[1];
	struct model_thread thread;
	struct series series;
	struct series_bucket buckets[3];
};

/* Chains of four nodes in context 7: id 2 to 5, 6 to 9, ...; the pc of node n
 * is 0x400000 + 16 * n. */
extern const struct stack_source stacks;

/* Each process has the same sites: site k allocated 100 + k blocks, 10 of them
 * live; its stack is node 4 k + 1, of the first one 0. */
struct made_up *make_up(size_t n_processes, size_t n_sites);
void unmake(struct made_up *u);

#endif
