/*
 * module.c - the list of loaded modules, and dlclose.
 *
 * dlopen is not wrapped: the loader would take us for the caller and search
 * our RUNPATH.  Changes are seen by the two counters of dl_iterate_phdr,
 * read when there is a sign (module.h) and after dlclose.
 *
 *   loads only:   the new list is added to the present context
 *   an unload:    a new context, because an address may mean another
 *                 function from now on; the whole list is told again
 *   forked child: shares its parent's context until its list first differs
 *
 * May not be called from emit or from the engines.  One thread at a time
 * tells; others go on (no waiting): the flag is put up again for them.
 */
#include "wrap/module.h"

#include <elf.h>
#include <errno.h>
#include <link.h>
#include <sys/auxv.h>

#include "base/doorbell.h"
#include "base/enter.h"
#include "base/next.h"
#include "base/sys.h"
#include "capture/canonical.h"
#include "capture/emit.h"
#include "capture/unwind.h"
#include "capture/unwind_rules.h"

struct module_watch module_watch;

/* What was told last; written by the thread that holds `busy`. */
static struct {
	_Atomic uint32_t busy;   /* pid of the process that is telling; a child of
	                          * fork finds its parent's and takes it over */
	_Atomic uint64_t adds, subs;
	_Atomic uint64_t number; /* process that told: a forked child is another */
	_Atomic bool started;
} told;

/* ---- one module ---- */

static void find_build_id(const struct dl_phdr_info *info, const ElfW(Phdr) *ph, struct mms_module *m)
{
	const uint8_t *p = (const uint8_t *)(info->dlpi_addr + ph->p_vaddr);
	const uint8_t *end = p + ph->p_memsz;
	while (p + sizeof(ElfW(Nhdr)) <= end) {
		const ElfW(Nhdr) *note = (const ElfW(Nhdr) *)(const void *)p;
		const uint8_t *name = p + sizeof(*note);
		const uint8_t *data = name + ((note->n_namesz + 3u) & ~3u);
		const uint8_t *after = data + ((note->n_descsz + 3u) & ~3u);
		if (after > end || after < p)
			return;
		if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4 && name[0] == 'G' &&
			note->n_descsz <= sizeof(m->build_id)) {
			m->build_id_length = (uint8_t)note->n_descsz;
			for (uint32_t i = 0; i < note->n_descsz; i++)
				m->build_id[i] = data[i];
			return;
		}
		p = after;
	}
}

static bool is_loaded(const struct dl_phdr_info *info, const ElfW(Phdr) *ph)
{
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *l = &info->dlpi_phdr[i];
		if (l->p_type == PT_LOAD && l->p_vaddr <= ph->p_vaddr &&
			ph->p_vaddr + ph->p_memsz <= l->p_vaddr + l->p_memsz)
			return true;
	}
	return false;
}

static void measure(const struct dl_phdr_info *info, struct mms_module *m)
{
	m->bias = info->dlpi_addr;
	m->start = ~0ull;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		uint64_t low = info->dlpi_addr + ph->p_vaddr, high = low + ph->p_memsz;
		if (ph->p_type == PT_LOAD) {
			m->start = low < m->start ? low : m->start;
			m->end = high > m->end ? high : m->end;
		} else if (ph->p_type == PT_NOTE && m->build_id_length == 0 && is_loaded(info, ph)) {
			find_build_id(info, ph, m);
		}
	}
}

static bool contains(const struct mms_module *m, uintptr_t address)
{
	return m->start <= address && address < m->end;
}

static uint8_t classify(const struct mms_module *m, const struct dl_phdr_info *info)
{
	uint8_t flags = 0;
	if (contains(m, getauxval(AT_PHDR)))
		flags |= MMS_MODULE_EXE;
	if (contains(m, getauxval(AT_SYSINFO_EHDR)))
		flags |= MMS_MODULE_VDSO;
	if (getauxval(AT_BASE) && contains(m, getauxval(AT_BASE)))
		flags |= MMS_MODULE_LOADER;
	if (contains(m, (uintptr_t)&module_watch))
		flags |= MMS_MODULE_SELF;
	return flags;
}

/* Asked for once: after a system call filter it cannot be asked again. */
static const char *exe_path(void)
{
	static char path[1024];
	if (!path[0] && !doorbell_is_silent())
		mms_readlinkat(AT_FDCWD, "/proc/self/exe", path, sizeof(path) - 1);
	return path;
}

/* The file's absolute path; "[vdso]" where there is none. */
static size_t path_of(const struct mms_module *m, const struct dl_phdr_info *info, char *path, size_t room)
{
	path[0] = 0;
	if (m->flags & MMS_MODULE_VDSO) {
		mms_append(path, room, "[vdso]");
	} else if (m->flags & MMS_MODULE_EXE) {
		mms_append(path, room, exe_path());
	} else {
		if (info->dlpi_name[0] && info->dlpi_name[0] != '/' && !doorbell_is_silent()) {
			long n = mms_syscall3(SYS_getcwd, (long)path, (long)room, 0);
			path[n > 0 ? n - 1 : 0] = 0;
			mms_append(path, room, "/");
		}
		mms_append(path, room, info->dlpi_name);
	}
	return mms_strlen(path);
}

static uint64_t mix_bytes(uint64_t h, const void *data, size_t n)
{
	const uint8_t *byte = data;
	for (size_t i = 0; i < n; i++)
		h = mms_stack_hash(h, byte[i]);
	return mms_stack_hash(h, n);
}

/* What tells the module's file from every other: 64 bits of hash.  A file
 * without a build id is known by where and when it was written.  0: it cannot
 * be told. */
static uint64_t identity_of(const struct mms_module *m, const char *path, size_t n)
{
	uint64_t h = mix_bytes(m->flags, path, n);
	struct stat st;
	h = mms_stack_hash(h, m->end - m->start);
	if (m->build_id_length)
		return mix_bytes(h, m->build_id, m->build_id_length) | 1;
	if (doorbell_is_silent() || mms_syscall4(SYS_newfstatat, AT_FDCWD, (long)path, (long)&st, 0) < 0)
		return 0;
	const uint64_t file[] = { st.st_dev, st.st_ino, (uint64_t)st.st_size, (uint64_t)st.st_mtim.tv_sec,
		(uint64_t)st.st_mtim.tv_nsec };
	return mix_bytes(h, file, sizeof(file)) | 1;
}

static int tell_one(struct dl_phdr_info *info, size_t size, void *context)
{
	struct mms_module m = { .context = *(const uint32_t *)context };
	char path[1024];
	measure(info, &m);
	if (m.start >= m.end)
		return 0;
	m.flags = classify(&m, info);
	if (m.flags & MMS_MODULE_LOADER) {
		module_watch.loader = m.start;
		__atomic_store_n(&module_watch.loader_bytes, m.end - m.start, __ATOMIC_RELEASE);
	}
	rules_modules(RULES_LIST_ADD, m.start, m.end);
	size_t n = path_of(&m, info, path, sizeof(path));
	m.path_length = (uint16_t)n;
	m.file = canonical_add(capture_session(), identity_of(&m, path, n), m.start, m.end);
	emit_long(MMS_LONG_MODULE, 0, &m, sizeof(m), path, n, NULL, 0);
	return 0;
}

/* ---- the list ---- */

struct counters {
	uint64_t adds, subs;
};

static int read_counters(struct dl_phdr_info *info, size_t size, void *argument)
{
	struct counters *c = argument;
	c->adds = info->dlpi_adds;
	c->subs = info->dlpi_subs;
	return 1; /* the first entry is enough */
}

static uint32_t new_context(struct mms_process *p)
{
	struct mms_context note = { .previous = atomic_load_explicit(&p->context, memory_order_relaxed) };
	note.context = atomic_fetch_add_explicit(
		&capture_session()->header->next_context, 1, memory_order_relaxed);
	emit_long(MMS_LONG_CONTEXT, 0, &note, sizeof(note), NULL, 0, NULL, 0);
	return note.context;
}

static void tell(struct mms_process *p, struct counters now)
{
	bool first = !atomic_load(&told.started);
	bool unloaded = !first && now.subs != atomic_load(&told.subs);
	bool child = !first && p->number != atomic_load(&told.number);
	uint32_t context = atomic_load_explicit(&p->context, memory_order_relaxed);
	if (unloaded)
		unwind_invalidate();
	if (unloaded || child)
		context = new_context(p);
	rules_modules(RULES_LIST_BEGIN, 0, 0);
	canonical_begin();
	dl_iterate_phdr(tell_one, &context);
	rules_modules(RULES_LIST_END, 0, 0);
	canonical_end();
	atomic_store(&told.adds, now.adds);
	atomic_store(&told.subs, now.subs);
	atomic_store(&told.number, p->number);
	atomic_store(&told.started, true);
	/* only now may a stack refer to it */
	capture_set_context(context);
}

static bool take(uint32_t pid)
{
	uint32_t holder = atomic_load(&told.busy);
	return holder != pid && atomic_compare_exchange_strong(&told.busy, &holder, pid);
}

void module_check(void)
{
	struct mms_process *p = capture_process();
	struct counters now = { 0, 0 };
	if (!capture_on() || !p || guard_inside() || !take(p->pid))
		return;
	int error = errno;
	guard_enter();
	atomic_store_explicit(&module_watch.stir, 0, memory_order_relaxed);
	dl_iterate_phdr(read_counters, &now);
	if (!atomic_load(&told.started) || now.adds != atomic_load(&told.adds) ||
		now.subs != atomic_load(&told.subs))
		tell(p, now);
	guard_leave();
	atomic_store(&told.busy, 0);
	errno = error;
}

void module_loader_called(bool is_free)
{
	struct counters now = { 0, 0 };
	atomic_store_explicit(&module_watch.stir, 1, memory_order_relaxed);
	if (!is_free || guard_inside())
		return;
	dl_iterate_phdr(read_counters, &now);
	if (now.subs != atomic_load_explicit(&told.subs, memory_order_relaxed))
		module_check();
}

WRAPPER int dlclose(void *handle)
{
	int r = next.dlclose(handle);
	if (capture_on() || preload_enter())
		module_check();
	return r;
}
