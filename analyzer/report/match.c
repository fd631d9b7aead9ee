/*
 * match.c - see match.h.
 *
 * Works on hashes of function names; strings are looked at for explanations
 * only.  Sites of both sides are joined in a union-find forest, each tree is
 * a place.  Called by diff and check.
 */
#include <stdlib.h>
#include <string.h>

#include "report/alloc.h"
#include "report/match.h"
#include "report/render.h"

/* Names of a stack, innermost first. */
struct chain {
	uint64_t *name;
	size_t n;
};

struct matching {
	const struct side *side[2];
	struct chain *chain[2]; /* of sites without a partner; else empty */
	bool *paired[2];
	size_t *root; /* union-find: sites of the old side, then of the new one */
};

static size_t node_of(const struct matching *x, int side, size_t i)
{
	return side ? x->side[0]->n + i : i;
}

static size_t find_root(size_t *root, size_t i)
{
	while (root[i] != i) {
		root[i] = root[root[i]];
		i = root[i];
	}
	return i;
}

static void join(struct matching *x, size_t old, size_t new)
{
	size_t a = find_root(x->root, old), b = find_root(x->root, node_of(x, 1, new));
	if (a < b)
		x->root[b] = a;
	else
		x->root[a] = b;
}

/* Both sides are sorted by id. */
static void pair_by_id(struct matching *x)
{
	const struct side *a = x->side[0], *b = x->side[1];
	for (size_t i = 0, k = 0; i < a->n && k < b->n;) {
		int c = strcmp(a->site[i].id, b->site[k].id);
		if (c == 0) {
			join(x, i, k);
			x->paired[0][i] = x->paired[1][k] = true;
		}
		i += c <= 0;
		k += c >= 0;
	}
}

/* The compiler's suffixes are not part of a name: ".constprop.0", ".cold". */
static size_t plain_length(const char *name)
{
	static const char *const suffix[] = {".constprop", ".cold", ".part", ".isra", ".lto_priv", ".llvm.",
		" [clone"};
	size_t length = strlen(name);
	for (size_t i = 0; i < sizeof(suffix) / sizeof(suffix[0]); i++) {
		const char *at = strstr(name, suffix[i]);
		if (at && at != name && (size_t)(at - name) < length)
			length = (size_t)(at - name);
	}
	return length;
}

static uint64_t hash_name(const struct capture_frame *f)
{
	uint64_t h = 0xcbf29ce484222325ull;
	size_t n = f->function ? plain_length(f->function) : 0;
	if (!f->function)
		return h ^ (f->module ? f->offset : f->address);
	for (size_t i = 0; i < n; i++)
		h = (h ^ (uint8_t)f->function[i]) * 0x100000001b3ull;
	return h;
}

static struct chain make_chain(const struct capture_stack *s)
{
	struct chain c = {.n = render_telling_frames(s)};
	c.name = xcalloc(c.n + 1, sizeof(*c.name));
	for (size_t i = 0; i < c.n; i++)
		c.name[i] = hash_name(&s->frames[i]);
	return c;
}

static size_t common_suffix(const struct chain *a, const struct chain *b)
{
	size_t n = 0;
	while (n < a->n && n < b->n && a->name[a->n - 1 - n] == b->name[b->n - 1 - n])
		n++;
	return n;
}

/* Whether every name of the shorter one is in the longer one, in order. */
static bool is_part(const struct chain *shorter, const struct chain *longer)
{
	size_t at = 0;
	for (size_t i = 0; i < longer->n && at < shorter->n; i++)
		at += longer->name[i] == shorter->name[at];
	return at == shorter->n;
}

static bool same_figures(const struct side_site *a, const struct side_site *b)
{
	return a->value[M_ALLOC_BLOCKS] >= 0 && a->value[M_ALLOC_BLOCKS] == b->value[M_ALLOC_BLOCKS] &&
		a->value[M_ALLOC_BYTES] == b->value[M_ALLOC_BYTES];
}

/* How well two sites go together, 0: not at all.  The common suffix weighs
 * most, then the number of common names. */
static size_t score(const struct matching *x, size_t old, size_t new)
{
	const struct chain *a = &x->chain[0][old], *b = &x->chain[1][new];
	const struct chain *shorter = a->n < b->n ? a : b, *longer = a->n < b->n ? b : a;
	if (shorter->n == 0 || 2 * shorter->n < longer->n)
		return 0;
	if (a->name[0] != b->name[0] && !same_figures(&x->side[0]->site[old], &x->side[1]->site[new]))
		return 0;
	if (!is_part(shorter, longer))
		return 0;
	return 1024 * common_suffix(a, b) + shorter->n;
}

static void join_best(struct matching *x, int side, size_t i)
{
	size_t best = 0, partner = 0;
	for (size_t k = 0; k < x->side[!side]->n; k++) {
		if (x->paired[!side][k])
			continue;
		size_t s = side ? score(x, k, i) : score(x, i, k);
		if (s > best) {
			best = s;
			partner = k;
		}
	}
	if (best && side)
		join(x, partner, i);
	else if (best)
		join(x, i, partner);
}

/* A stack whose functions were inlined without a trace answers to several of
 * the other side at once; only where their figures add up to its own. */
static void join_whole(struct matching *x, int side, size_t i)
{
	const struct chain *chain = &x->chain[side][i];
	const struct side_site *site = &x->side[side]->site[i];
	int64_t blocks = 0, bytes = 0;
	if (site->value[M_ALLOC_BLOCKS] < 0)
		return;
	for (int pass = 0; pass < 2; pass++) {
		for (size_t k = 0; k < x->side[!side]->n; k++) {
			const struct chain *longer = &x->chain[!side][k];
			if (x->paired[!side][k] || common_suffix(chain, longer) < chain->n)
				continue;
			if (pass)
				join(x, side ? k : i, side ? i : k);
			blocks += x->side[!side]->site[k].value[M_ALLOC_BLOCKS];
			bytes += x->side[!side]->site[k].value[M_ALLOC_BYTES];
		}
		if (chain->n == 0 || blocks != site->value[M_ALLOC_BLOCKS] || bytes != site->value[M_ALLOC_BYTES])
			return;
	}
}

static void pair_by_names(struct matching *x)
{
	for (int side = 0; side < 2; side++)
		for (size_t i = 0; i < x->side[side]->n; i++)
			if (!x->paired[side][i])
				x->chain[side][i] = make_chain(x->side[side]->site[i].stack);
	for (int side = 0; side < 2; side++)
		for (size_t i = 0; i < x->side[side]->n; i++)
			if (!x->paired[side][i]) {
				join_best(x, side, i);
				join_whole(x, side, i);
			}
}

static void add_values(int64_t *to, const int64_t *value)
{
	for (size_t m = 0; m < N_SITE_MEASURES; m++)
		if (value[m] >= 0)
			to[m] = to[m] < 0 ? value[m] : to[m] + value[m];
}

/* A snapshot does not know what was allocated in all. */
static int64_t weight(const struct side_site *s)
{
	return s->value[M_ALLOC_BYTES] >= 0 ? s->value[M_ALLOC_BYTES] : s->value[M_LIVE_BYTES];
}

static void add_site(struct place *p, int side, const struct side_site *s)
{
	const struct side_site **first = side ? &p->newer : &p->older;
	if (!*first || weight(s) > weight(*first))
		*first = s;
	for (int k = 0; k < N_REACH; k++)
		(side ? p->new_left : p->old_left)[k] += s->left[k];
	int64_t *to = side ? p->new_value : p->old_value;
	bool *at_most = side ? &p->new_at_most : &p->old_at_most;
	*at_most = *at_most || s->cow_at_most || (to[M_COW_PAGES] > 0 && s->value[M_COW_PAGES] > 0);
	add_values(to, s->value);
	*(side ? &p->new_own_peak : &p->old_own_peak) += s->own_peak;
	++*(side ? &p->n_newer : &p->n_older);
}

/* A measure that is known on a side stays known where a place has no site. */
static void begin_place(struct place *p, const struct matching *x)
{
	memset(p, 0, sizeof(*p));
	for (size_t m = 0; m < N_SITE_MEASURES; m++) {
		p->old_value[m] = x->side[0]->total[m] >= 0 ? 0 : UNKNOWN;
		p->new_value[m] = x->side[1]->total[m] >= 0 ? 0 : UNKNOWN;
	}
}

static void make_places(struct match *m, struct matching *x)
{
	size_t n = x->side[0]->n + x->side[1]->n, capacity = 0;
	size_t *place_of = xcalloc(n + 1, sizeof(*place_of)); /* by root, + 1 */
	for (int side = 0; side < 2; side++) {
		for (size_t i = 0; i < x->side[side]->n; i++) {
			size_t r = find_root(x->root, node_of(x, side, i));
			if (!place_of[r]) {
				XGROW(m->place, m->n, capacity);
				begin_place(&m->place[m->n++], x);
				place_of[r] = m->n;
			}
			struct place *p = &m->place[place_of[r] - 1];
			add_site(p, side, &x->side[side]->site[i]);
			p->by_id |= x->paired[side][i];
			(side ? m->of_new : m->of_old)[i] = place_of[r] - 1;
		}
	}
	free(place_of);
}

static void describe(struct place *p)
{
	if (p->by_id || !p->older || !p->newer)
		return;
	struct chain a = make_chain(p->older->stack), b = make_chain(p->newer->stack);
	const struct capture_stack *stack = a.n < b.n ? p->newer->stack : p->older->stack;
	const struct chain *shorter = a.n < b.n ? &a : &b, *longer = a.n < b.n ? &b : &a;
	p->n_common = shorter->n;
	p->n_longer = longer->n;
	p->n_suffix = common_suffix(&a, &b);
	for (size_t i = 0, at = 0; i < longer->n && !p->gone; i++) {
		if (at < shorter->n && longer->name[i] == shorter->name[at])
			at++;
		else
			p->gone = render_frame_name(&stack->frames[i], 40);
	}
	free(a.name);
	free(b.name);
}

void match_sites(struct match *m, const struct side *older, const struct side *newer)
{
	struct matching x = {.side = {older, newer}};
	size_t n = older->n + newer->n;
	memset(m, 0, sizeof(*m));
	x.root = xcalloc(n + 1, sizeof(*x.root));
	for (size_t i = 0; i < n; i++)
		x.root[i] = i;
	for (int side = 0; side < 2; side++) {
		x.chain[side] = xcalloc(x.side[side]->n + 1, sizeof(**x.chain));
		x.paired[side] = xcalloc(x.side[side]->n + 1, sizeof(**x.paired));
	}
	m->of_old = xcalloc(older->n + 1, sizeof(*m->of_old));
	m->of_new = xcalloc(newer->n + 1, sizeof(*m->of_new));
	pair_by_id(&x);
	if (!older->snapshot_name || !side_same_recording(older, newer))
		pair_by_names(&x);
	make_places(m, &x);
	for (size_t i = 0; i < m->n; i++)
		describe(&m->place[i]);
	for (int side = 0; side < 2; side++) {
		for (size_t i = 0; i < x.side[side]->n; i++)
			free(x.chain[side][i].name);
		free(x.chain[side]);
		free(x.paired[side]);
	}
	free(x.root);
}

void match_done(struct match *m)
{
	for (size_t i = 0; i < m->n; i++)
		free(m->place[i].gone);
	free(m->place);
	free(m->of_old);
	free(m->of_new);
	memset(m, 0, sizeof(*m));
}

char *match_explain(const struct place *p)
{
	if (p->by_id || !p->older || !p->newer)
		return NULL;
	if (p->n_common == p->n_longer)
		return xasprintf("the same %zu function names, in another file or module", p->n_common);
	return xasprintf("%zu of %zu function names agree, %zu of them from main inwards; %s is in one "
			 "stack only (inlined, or called as a tail)",
		p->n_common, p->n_longer, p->n_suffix, p->gone);
}

int64_t place_change(const struct place *p, enum measure m)
{
	if (p->old_value[m] < 0 || p->new_value[m] < 0)
		return 0;
	int64_t change = p->new_value[m] - p->old_value[m];
	if (m == M_NEVER_BYTES && llabs(change) < NEVER_GRAIN)
		return 0;
	if (m != M_PEAK_BYTES)
		return change;
	int64_t own = p->new_own_peak - p->old_own_peak;
	if ((change > 0) != (own > 0) || (change < 0) != (own < 0))
		return 0;
	return llabs(change) < llabs(own) ? change : own;
}
