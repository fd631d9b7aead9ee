/*
 * cgroups.h - the place a process has among the cgroups: its own and all
 * ancestors that can be seen, v1 and v2, and the host above them.
 *
 * Processes of one cgroup share a place: its files are opened once and read
 * once a tick.
 */
#ifndef COLLECT_CGROUPS_H
#define COLLECT_CGROUPS_H

#include "collect/limit.h"

struct cgroup_place;

/* root: "" for this machine, or a recorded directory tree; cgroup: the text of
 * /proc/PID/cgroup.  NULL: no memory. */
struct cgroup_place *cgroup_place_open(const char *root, const char *cgroup);
void cgroup_place_close(struct cgroup_place *p); /* accepts NULL */

/* The text that it was opened with. */
const char *cgroup_place_text(const struct cgroup_place *p);
/* Ancestors are hidden by a cgroup namespace or a mount. */
bool cgroup_place_hidden(const struct cgroup_place *p);
/* Limits of the groups and of the host; paths live as long as the place.  The
 * nearest group has a point even without a limit (LIMIT_UNLIMITED): whom the
 * kernel kills is counted there.  Every number is of now, but each eighth read
 * alone looks for a limit of an ancestor that had none, and for the overcommit
 * mode. */
void cgroup_place_read(struct cgroup_place *p, struct limit_points *ret, struct limit_commit *ret_commit);
/* The folder of a group whose limit point has this path; NULL: the host. */
const char *cgroup_place_folder(const struct cgroup_place *p, const char *path, bool *ret_v2);

#endif
