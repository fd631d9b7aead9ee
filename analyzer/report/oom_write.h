/*
 * oom_write.h - the answer of oom for one process, as JSON and as text.
 */
#ifndef REPORT_OOM_WRITE_H
#define REPORT_OOM_WRITE_H

#include "report/json.h"
#include "report/oom_judge.h"
#include "report/oom_sites.h"

/* The members of an object that stands open. */
void oom_json(struct json *j, const struct oom *o, struct oom_sites *sites, struct answer *a);
/* Members of the head that `report` shows: verdict, binding, time, growth. */
void oom_head_json(struct json *j, const struct oom *o);
void oom_text(const struct oom *o, struct oom_sites *sites, struct answer *a);
/* "elevated: 12 MiB left of the cgroup /a" */
char *oom_head_text(const struct oom *o);

#endif
