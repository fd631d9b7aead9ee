/*
 * baseline.c - see baseline.h.
 *
 * The noise model is Student's: few baselines tell little about how far a
 * figure moves, and the fewer they are the more is let pass.  Changes files
 * in baseline_update only, by a new file and a rename.  Called by check.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "report/alloc.h"
#include "report/baseline.h"

/* ---- files ---- */

static bool is_folder(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static bool is_database_name(const char *name)
{
	size_t n = strlen(name);
	return name[0] != '.' && n > 3 && strcmp(name + n - 3, ".db") == 0;
}

static int compare_paths(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void add_path(struct baseline_paths *p, char *path)
{
	XGROW(p->path, p->n, p->capacity);
	p->path[p->n++] = path;
}

int baseline_paths_add(struct baseline_paths *p, const char *file_or_folder)
{
	if (!is_folder(file_or_folder)) {
		add_path(p, xstrdup(file_or_folder));
		return 0;
	}
	DIR *dir = opendir(file_or_folder);
	if (!dir)
		return -errno;
	size_t first = p->n;
	for (struct dirent *e; (e = readdir(dir)) != NULL;)
		if (is_database_name(e->d_name))
			add_path(p, xasprintf("%s/%s", file_or_folder, e->d_name));
	closedir(dir);
	if (p->n > first)
		qsort(p->path + first, p->n - first, sizeof(*p->path), compare_paths);
	return 0;
}

void baseline_paths_done(struct baseline_paths *p)
{
	for (size_t i = 0; i < p->n; i++)
		free(p->path[i]);
	free(p->path);
	memset(p, 0, sizeof(*p));
}

static int copy_bytes(int from, int to)
{
	char buffer[1 << 16];
	ssize_t n;
	while ((n = read(from, buffer, sizeof(buffer))) > 0)
		for (ssize_t done = 0, w; done < n; done += w)
			if ((w = write(to, buffer + done, (size_t)(n - done))) < 0)
				return -errno;
	return n < 0 || fsync(to) < 0 ? -errno : 0;
}

static int copy_into_place(const char *from, const char *to)
{
	char *part = xasprintf("%s.new%ld", to, (long)getpid());
	int in = open(from, O_RDONLY | O_CLOEXEC);
	int out = in < 0 ? -1 : open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	int r = out < 0 ? -errno : copy_bytes(in, out);
	if (in >= 0)
		close(in);
	if (out >= 0 && close(out) < 0 && r == 0)
		r = -errno;
	if (r == 0 && rename(part, to) < 0)
		r = -errno;
	if (r < 0 && out >= 0)
		unlink(part);
	free(part);
	return r;
}

/* Numbers go up, so the order of names is the order of age. */
static unsigned long last_number(const struct baseline_paths *p)
{
	unsigned long last = 0, number;
	for (size_t i = 0; i < p->n; i++) {
		const char *name = strrchr(p->path[i], '/') + 1;
		if (sscanf(name, "baseline-%lu.db", &number) == 1 && number > last)
			last = number;
	}
	return last;
}

int baseline_update(const char *file_or_folder, const char *recording)
{
	struct baseline_paths p = {NULL};
	if (!is_folder(file_or_folder))
		return copy_into_place(recording, file_or_folder);
	int r = baseline_paths_add(&p, file_or_folder);
	if (r == 0) {
		char *to = xasprintf("%s/baseline-%06lu.db", file_or_folder, last_number(&p) + 1);
		r = copy_into_place(recording, to);
		free(to);
	}
	for (size_t i = 0; r == 0 && i + BASELINE_KEEP <= p.n; i++)
		if (strstr(p.path[i], "/baseline-") && unlink(p.path[i]) < 0)
			r = -errno;
	baseline_paths_done(&p);
	return r;
}

/* ---- noise ---- */

static int compare_values(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return x < y ? -1 : x > y;
}

static int64_t median_of(int64_t *values, size_t n)
{
	qsort(values, n, sizeof(*values), compare_values);
	return n % 2 ? values[n / 2] : values[n / 2 - 1] + (values[n / 2] - values[n / 2 - 1]) / 2;
}

static double larger(double a, double b)
{
	return a > b ? a : b;
}

/* How many standard deviations, estimated from n values, one more value of
 * the same normal distribution exceeds the mean by in 1 of 10,000 cases:
 * Student's t of n-1 degrees of freedom times sqrt(1 + 1/n). */
static double spread_factor(size_t n)
{
	static const double factor[] = {81.6, 81.6, 81.6, 81.6, 24.8, 14.3, 10.5, 8.57, 7.49, 6.79, 6.30, 5.94};
	size_t last = sizeof(factor) / sizeof(factor[0]) - 1;
	return factor[n < last ? n : last];
}

/* Newton's method: no library is needed for one root. */
static double square_root(double v)
{
	double x = v > 1 ? v : 1;
	for (int i = 0; i < 200 && v > 0; i++)
		x = (x + v / x) / 2;
	return v > 0 ? x : 0;
}

static double deviation_of(const int64_t *values, size_t n)
{
	double mean = 0, sum = 0;
	for (size_t i = 0; i < n; i++)
		mean += (double)values[i] / (double)n;
	for (size_t i = 0; i < n; i++)
		sum += ((double)values[i] - mean) * ((double)values[i] - mean);
	return n > 1 ? square_root(sum / (double)(n - 1)) : 0;
}

struct noise noise_of(int64_t *values, size_t n, const struct noise_floor *floor)
{
	struct noise x = {.median = median_of(values, n)};
	double spread = spread_factor(n) * deviation_of(values, n);
	spread = larger(spread, (double)x.median * (n < 3 ? floor->few_percent : floor->percent) / 100);
	spread = larger(spread, (double)floor->amount);
	x.limit = x.median + (int64_t)spread;
	return x;
}

/* ---- sites ---- */

static size_t find_root(size_t *root, size_t i)
{
	while (root[i] != i)
		i = root[i] = root[root[i]];
	return i;
}

/* Sites of the recording that stand in one place of any baseline. */
static size_t *join_sites(const struct match *match, size_t n_baselines, size_t n_sites)
{
	size_t *root = xcalloc(n_sites + 1, sizeof(*root));
	for (size_t i = 0; i < n_sites; i++)
		root[i] = i;
	for (size_t b = 0; b < n_baselines; b++) {
		size_t *first = xcalloc(match[b].n + 1, sizeof(*first)); /* of a place, + 1 */
		for (size_t i = 0; i < n_sites; i++) {
			size_t *f = &first[match[b].of_new[i]];
			if (*f)
				root[find_root(root, i)] = find_root(root, *f - 1);
			else
				*f = i + 1;
		}
		free(first);
	}
	return root;
}

static void add_known(int64_t *to, int64_t value)
{
	if (value >= 0)
		*to = *to < 0 ? value : *to + value;
}

static void begin_group(struct site_group *g, size_t n_baselines)
{
	for (size_t m = 0; m < N_SITE_MEASURES; m++)
		g->now[m] = UNKNOWN;
	g->before = xcalloc(n_baselines * N_SITE_MEASURES + 1, sizeof(*g->before));
	g->before_own_peak = xcalloc(n_baselines + 1, sizeof(*g->before_own_peak));
}

static void add_now(struct site_group *g, const struct side_site *s)
{
	if (!g->site || s->value[M_ALLOC_BYTES] > g->site->value[M_ALLOC_BYTES])
		g->site = s;
	for (size_t m = 0; m < N_SITE_MEASURES; m++)
		add_known(&g->now[m], s->value[m]);
	g->now_own_peak += s->own_peak;
}

static void add_before(struct site_group *g, size_t baseline, const struct place *p)
{
	int64_t *before = g->before + baseline * N_SITE_MEASURES;
	for (size_t m = 0; m < N_SITE_MEASURES; m++)
		before[m] = p->old_value[m] < 0 ? UNKNOWN : before[m] + p->old_value[m];
	g->before_own_peak[baseline] += p->old_own_peak;
}

void site_groups_make(struct site_groups *g, const struct side *now, const struct side *baselines,
	size_t n_baselines)
{
	struct match *match = xcalloc(n_baselines + 1, sizeof(*match));
	for (size_t b = 0; b < n_baselines; b++)
		match_sites(&match[b], &baselines[b], now);
	size_t *root = join_sites(match, n_baselines, now->n);
	size_t *group_of = xcalloc(now->n + 1, sizeof(*group_of)); /* by root, + 1 */
	memset(g, 0, sizeof(*g));
	g->group = xcalloc(now->n + 1, sizeof(*g->group));
	g->n_baselines = n_baselines;
	for (size_t i = 0; i < now->n; i++) {
		size_t *at = &group_of[find_root(root, i)];
		if (!*at) {
			begin_group(&g->group[g->n], n_baselines);
			*at = ++g->n;
		}
		add_now(&g->group[*at - 1], &now->site[i]);
	}
	for (size_t b = 0; b < n_baselines; b++) {
		bool *seen = xcalloc(match[b].n + 1, sizeof(*seen));
		for (size_t i = 0; i < now->n; i++) {
			size_t p = match[b].of_new[i];
			if (!seen[p])
				add_before(&g->group[group_of[find_root(root, i)] - 1], b, &match[b].place[p]);
			seen[p] = true;
		}
		free(seen);
		match_done(&match[b]);
	}
	free(group_of);
	free(root);
	free(match);
}

void site_groups_done(struct site_groups *g)
{
	for (size_t i = 0; i < g->n; i++) {
		free(g->group[i].before);
		free(g->group[i].before_own_peak);
	}
	free(g->group);
	memset(g, 0, sizeof(*g));
}
