/*
 * options.c - reads our few variables out of the environment.
 *
 * Runs in the first stage of the start, perhaps before libc has set
 * `environ`: then the strings are taken from where the kernel put them, behind
 * argc and argv at the top of the first stack.  No libc call.  Called by
 * init.c only; options_glob also by the wrappers of exec.
 */
#include "options.h"

#include <unistd.h>

#include "sys.h"

#include <mmscope/session.h>

extern void *__libc_stack_end __attribute__((weak)); /* ld.so: &argc */

static char *const *own_environment(void)
{
	if (environ)
		return environ;
	if (!&__libc_stack_end || !__libc_stack_end)
		return NULL;
	long argc = *(long *)__libc_stack_end;
	return (char *const *)__libc_stack_end + 1 + argc + 1;
}

static uint64_t number(const char *s)
{
	uint64_t n = 0;
	for (; *s >= '0' && *s <= '9'; s++)
		n = n * 10 + (uint64_t)(*s - '0');
	return n;
}

/* A size like 512K; what is none, or too large, is 0: the default. */
static uint64_t interval(const char *s)
{
	uint64_t n = number(s);
	while (*s >= '0' && *s <= '9')
		s++;
	unsigned shift = *s == 'K' || *s == 'k' ? 10 : *s == 'M' || *s == 'm' ? 20 : *s == 'G' || *s == 'g' ? 30 : 0;
	return n <= MMS_INTERVAL_MAX >> shift ? n << shift : 0;
}

static uint32_t choice(const char *value, const char *const names[], size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (mms_streq(value, names[i]))
			return (uint32_t)i + 1;
	return 0;
}

static void read_follow(const char *value, struct options *o)
{
	static const char *const names[] = { "all", "none" };
	o->follow = choice(value, names, 2);
	if (o->follow == 0 && *value) {
		o->follow = MMS_FOLLOW_GLOB;
		o->follow_glob = value;
	}
}

/* entry is "NAME=value", NAME begins with MMSCOPE_; s is what follows that. */
static void read_ours(const char *s, struct options *o)
{
	static const char *const modes[] = { "exact", "sample" };
	static const char *const policies[] = { "block", "drop" };
	static const char *const engines[] = { "own", "libunwind" };
	const char *v;
	if (mms_after(s, "SESSION=", &v))
		o->session = *v ? v : NULL;
	else if (mms_after(s, "OUT=", &v))
		o->out = *v ? v : NULL;
	else if (mms_after(s, "BIN=", &v))
		o->bin = *v ? v : NULL;
	else if (mms_after(s, "NOHELPER=", &v))
		o->no_helper = *v && !mms_streq(v, "0");
	else if (mms_after(s, "MODE=", &v))
		o->mode = choice(v, modes, 2);
	else if (mms_after(s, "SAMPLE=", &v))
		o->sample_bytes = interval(v);
	else if (mms_after(s, "FOLLOW=", &v))
		read_follow(v, o);
	else if (mms_after(s, "POLICY=", &v))
		o->policy = choice(v, policies, 2);
	else if (mms_after(s, "COW=", &v))
		o->cow = mms_streq(v, "off") ? MMS_COW_OFF : mms_streq(v, "witness") ? MMS_COW_WITNESS : 0;
	else if (mms_after(s, "REACH=", &v))
		o->no_reach = mms_streq(v, "off");
	else if (mms_after(s, "UNWIND=", &v))
		o->engine = choice(v, engines, 2);
	else if (mms_after(s, "AUDIT=", &v))
		o->audit_every = (uint32_t)number(v);
}

void options_read(char *const *environment, struct options *ret)
{
	const char *v;
	*ret = (struct options){ .session = NULL };
	if (!environment)
		environment = own_environment();
	for (; environment && *environment; environment++) {
		if (mms_after(*environment, "MMSCOPE_", &v))
			read_ours(v, ret);
		else if (mms_after(*environment, "PATH=", &v))
			ret->path = *environment;
		else if (mms_after(*environment, "LD_PRELOAD=", &v))
			ret->preload = v;
	}
	/* a number alone means sampling */
	if (ret->sample_bytes && ret->mode == 0)
		ret->mode = MMS_MODE_SAMPLE;
}

/* One [..] set; *pattern stands behind '[' and is moved behind ']'. */
static bool set_has(const char **pattern, char c)
{
	const char *p = *pattern;
	bool negated = *p == '!' || *p == '^', found = false;
	p += negated;
	for (bool first = true; *p && (first || *p != ']'); first = false, p++) {
		if (p[1] == '-' && p[2] && p[2] != ']') {
			found |= p[0] <= c && c <= p[2];
			p += 2;
		} else {
			found |= *p == c;
		}
	}
	*pattern = *p ? p + 1 : p;
	return found != negated;
}

bool options_glob(const char *pattern, const char *name)
{
	/* where to go on after the last '*': one level is enough */
	const char *star = NULL, *retry = NULL;
	for (;;) {
		bool ok;
		const char *next = pattern + 1;
		if (*pattern == '*') {
			star = ++pattern;
			retry = name;
			continue;
		}
		if (!*name && !*pattern)
			return true;
		if (*pattern == '[') {
			ok = *name && set_has(&next, *name);
		} else {
			ok = *name && (*pattern == '?' || *pattern == *name);
		}
		if (ok) {
			pattern = next;
			name++;
		} else if (star && *retry) {
			pattern = star;
			name = ++retry;
		} else {
			return false;
		}
	}
}
