/*
 * oom_load.h - what the database knows of a process's limits at a moment.
 * Between oom_judge.c and oom_load.c only.
 */
#ifndef REPORT_OOM_LOAD_H
#define REPORT_OOM_LOAD_H

#include "report/oom_judge.h"

/* The newest debts up to until_ns; sets place and t_ns.  False: there are none. */
bool oom_load_debts(struct oom *o, struct answer *a, int64_t until_ns);
/* Ticks up to o->t_ns; counters up to until_ns. */
void oom_load_limits(struct oom *o, struct answer *a, int64_t until_ns);
void oom_load_live(struct oom *o, struct answer *a);
void oom_load_victims(struct oom *o, struct answer *a);
void oom_load_failures(struct oom *o, struct answer *a, int64_t until_ns);

#endif
