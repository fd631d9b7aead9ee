/*
 * upgrade.c - numbered forward upgrades of the schema.
 *
 * A CHANGE OF SCHEMA is: the new text in schema.sql, MMS_SCHEMA_VERSION one
 * higher, and one step here that turns the version before into the new one.
 * Steps are never edited afterwards: databases out there have run them.
 *
 * Each step runs in a transaction of its own together with the new
 * user_version, so a killed or failed upgrade leaves a whole database of some
 * version.  Called by capture.c on the copy it reads.
 *
 * Version 1 is the first; no step leads to it.
 */
#include "upgrade.h"

#include "db.h"

#include <errno.h>
#include <stdio.h>

const struct upgrade_step upgrade_steps[] = {
	{1, upgrade_to_2},
	{2, upgrade_to_3},
	{3, upgrade_to_4},
};
const size_t n_upgrade_steps = sizeof(upgrade_steps) / sizeof(upgrade_steps[0]);

static const struct upgrade_step *step_from(const struct upgrade_step *steps, size_t n, int from)
{
	for (size_t i = 0; i < n; i++) {
		if (steps[i].from == from && steps[i].sql)
			return &steps[i];
	}
	return NULL;
}

static int run_step(sqlite3 *db, const struct upgrade_step *step)
{
	char reason[64], version[64];
	int code = db_exec(db, "BEGIN IMMEDIATE");

	if (code == SQLITE_OK)
		code = db_exec(db, step->sql);
	snprintf(version, sizeof(version), "PRAGMA user_version = %d", step->from + 1);
	if (code == SQLITE_OK)
		code = db_exec(db, version);
	if (code == SQLITE_OK)
		code = db_exec(db, "COMMIT");
	if (code == SQLITE_OK)
		return 0;
	int error = db_failure(db, code, reason, sizeof(reason));
	db_exec(db, "ROLLBACK");
	return error;
}

int upgrade(sqlite3 *db, const struct upgrade_step *steps, size_t n_steps, int target)
{
	int version = (int)db_int(db, "PRAGMA user_version", -1);

	while (version < target) {
		const struct upgrade_step *step = step_from(steps, n_steps, version);
		int error = step ? run_step(db, step) : -ENOTSUP;

		if (error)
			return error;
		version++;
	}
	return 0;
}
