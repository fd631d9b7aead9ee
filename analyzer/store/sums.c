/*
 * sums.c - what goes from the database when old ended processes become sums.
 *
 * The model has the sums already.  Rows that it writes are written anew, since
 * positions are; rows that the collector wrote about single processes go with
 * them; forks that became one are summed here, because only the database has
 * what they did.  All in the transaction of the flush, so that it can be done
 * once more when that fails.
 */
#include "store.h"

#include "spaces.h"

#define OF_GONE(table) "DELETE FROM " table " WHERE process_id NOT IN (SELECT id FROM temp.kept_process);"
#define OF_FORKS(table) "DELETE FROM " table " WHERE fork_id IN (SELECT id FROM temp.gone_fork)" \
	" OR fork_id IN (SELECT into_id FROM temp.gone_fork);"

/* Known only where it is known of each. */
#define ALL(column) "CASE WHEN count(" column ") = count(*) THEN sum(" column ") END"
#define SAME(column) "CASE WHEN min(" column ") IS max(" column ") AND count(" column ") = count(*) THEN min(" column ") END"

static const char rows_go[] =
	"DELETE FROM process; DELETE FROM thread; DELETE FROM module; DELETE FROM heap_site;"
	" DELETE FROM heap_estimate; DELETE FROM heap_series;"
	"DELETE FROM vma_pages WHERE vma_id IN (SELECT id FROM vma WHERE process_id NOT IN"
	" (SELECT id FROM temp.kept_process));"
	"DELETE FROM vma_touch WHERE vma_id IN (SELECT id FROM vma WHERE process_id NOT IN"
	" (SELECT id FROM temp.kept_process));"
	OF_GONE("vma") OF_GONE("page_scan") OF_GONE("mm") OF_GONE("sample") OF_GONE("drift") OF_GONE("hidden")
	OF_GONE("gone") OF_GONE("allocator") OF_GONE("debt")
	"DELETE FROM limit_point WHERE process_id <> 0 AND process_id NOT IN (SELECT id FROM temp.kept_process);"
	"DELETE FROM coverage WHERE process_id NOT IN (SELECT id FROM temp.kept_process);"
	"DELETE FROM stack WHERE context NOT IN (SELECT context FROM temp.kept_context);";

static const char forks_go[] =
	"CREATE TEMP TABLE fork_sum AS SELECT g.into_id AS id, " SAME("method") " AS method, min(exact) AS exact,"
	" " SAME("why") " AS why, " SAME("watched_share") " AS watched_share, " ALL("page_tables") " AS page_tables,"
	ALL("arm_parent_ns") " AS arm_parent_ns, " ALL("arm_child_ns") " AS arm_child_ns, "
	SAME("page_size") " AS page_size, " ALL("pages_shared") " AS pages_shared, "
	ALL("parent_broke") " AS parent_broke, " ALL("child_broke") " AS child_broke, "
	ALL("both_broke") " AS both_broke, " ALL("still_shared") " AS still_shared, "
	ALL("new_parent") " AS new_parent, " ALL("new_child") " AS new_child, " ALL("copies") " AS copies, "
	ALL("copies_low") " AS copies_low, " ALL("copies_high") " AS copies_high, "
	ALL("error_pages") " AS error_pages, " ALL("parent_faults") " AS parent_faults, "
	ALL("child_faults") " AS child_faults, " ALL("bytes_changed") " AS bytes_changed, "
	ALL("identical_pages") " AS identical_pages, " ALL("counter_pages") " AS counter_pages, "
	ALL("pointer_pages") " AS pointer_pages, " ALL("bulk_pages") " AS bulk_pages, "
	ALL("watched_ns") " AS watched_ns"
	" FROM (SELECT id, into_id FROM temp.gone_fork UNION SELECT into_id, into_id FROM temp.gone_fork) g"
	" JOIN fork f ON f.id = g.id GROUP BY g.into_id;"
	"UPDATE fork SET method = s.method, exact = s.exact, why = s.why, watched_share = s.watched_share,"
	" areas = NULL, page_tables = s.page_tables, arm_parent_ns = s.arm_parent_ns,"
	" arm_child_ns = s.arm_child_ns, page_size = s.page_size, pages_shared = s.pages_shared,"
	" parent_broke = s.parent_broke, child_broke = s.child_broke, both_broke = s.both_broke,"
	" still_shared = s.still_shared, new_parent = s.new_parent, new_child = s.new_child,"
	" copies = s.copies, copies_low = s.copies_low, copies_high = s.copies_high,"
	" error_pages = s.error_pages, parent_faults = s.parent_faults, child_faults = s.child_faults,"
	" bytes_changed = s.bytes_changed, identical_pages = s.identical_pages,"
	" counter_pages = s.counter_pages, pointer_pages = s.pointer_pages, bulk_pages = s.bulk_pages,"
	" watched_ns = s.watched_ns FROM temp.fork_sum s WHERE s.id = fork.id;"
	"DROP TABLE temp.fork_sum;"
	OF_FORKS("cow_vma") OF_FORKS("cow_site") OF_FORKS("cow_sample") OF_FORKS("cow_interval")
	OF_FORKS("cow_part_interval")
	"DELETE FROM fork WHERE id IN (SELECT id FROM temp.gone_fork);";

static int insert(struct store *s, enum store_statement which, uint64_t a, uint64_t b)
{
	struct row r = row_of(store_statement(s, which));

	row_int(&r, a);
	if (which == ST_GONE_FORK)
		row_int(&r, b);
	return store_run(s, &r);
}

/* What stays, as tables; sums have no detail of their own. */
static int list(struct store *s, const struct model *m)
{
	int error = store_exec(s, "CREATE TEMP TABLE IF NOT EXISTS kept_process (id INTEGER PRIMARY KEY);"
		"CREATE TEMP TABLE IF NOT EXISTS kept_context (context INTEGER PRIMARY KEY);"
		"CREATE TEMP TABLE IF NOT EXISTS gone_fork (id INTEGER PRIMARY KEY, into_id INTEGER NOT NULL);");

	for (size_t i = 0; !error && i < m->n_processes; i++)
		if (!m->processes[i]->n_summed)
			error = insert(s, ST_KEPT_PROCESS, m->processes[i]->number, 0);
	for (size_t i = 0; !error && i < m->n_modules; i++)
		error = insert(s, ST_KEPT_CONTEXT, m->modules[i].context, 0);
	for (size_t i = 0; !error && i < m->n_fork_summed; i++)
		error = insert(s, ST_GONE_FORK, m->fork_summed[i].id, m->fork_summed[i].into);
	return error;
}

static int say(struct store *s, const struct model *m)
{
	uint64_t processes = 0, forks = 0;
	int error;

	for (size_t i = 0; i < m->n_processes; i++)
		processes += m->processes[i]->n_summed;
	for (size_t i = 0; i < m->n_forks; i++)
		forks += m->forks[i].n_summed;
	error = store_coverage(s, 0, "processes_merged", processes,
		"Processes that ended long ago were merged, one sum for each program: figures add up, a peak is"
		" the highest of one process. Their address spaces, series and single blocks are not kept.");
	if (!error)
		error = store_coverage(s, 0, "forks_merged", forks,
			"Forks of long ago were merged, one sum for each place: figures add up, areas and sites"
			" of theirs are not kept.");
	return error;
}

int store_sums(struct store *s, const struct model *m)
{
	int error;

	if (s->process_sums == m->process_sums)
		return 0;
	store_forget(s);
	s->process_sums = m->process_sums;
	error = list(s, m);
	if (!error)
		error = store_exec(s, rows_go);
	if (!error && m->n_fork_summed)
		error = store_exec(s, forks_go);
	if (!error)
		error = store_exec(s, "DELETE FROM temp.kept_process; DELETE FROM temp.kept_context;"
			" DELETE FROM temp.gone_fork;");
	if (!error)
		error = say(s, m);
	return error;
}

uint64_t store_vmas(struct store *s)
{
	return (uint64_t)db_int(s->db, "SELECT count(*) FROM vma", 0);
}
