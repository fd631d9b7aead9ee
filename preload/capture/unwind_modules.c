/*
 * unwind_modules.c - modules, as the loader knows them.
 *
 * Called when a return address has no rule yet, and by the full-register
 * walk.  glibc 2.35 and newer answer without a lock (_dl_find_object); that
 * is the way everywhere today.  On older ones a sorted list is made with
 * dl_iterate_phdr, as every C++ exception does there; a list that is replaced
 * stays mapped, because another thread may be reading it.
 *
 * Law: no allocation, errno untouched.  dl_iterate_phdr takes the loader's
 * list lock and is called with nothing of ours held.
 */
#include "unwind_modules.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <stddef.h>

#include "base/own.h"
#include "base/sys.h"

extern int _dl_find_object(void *, struct dl_find_object *) __attribute__((weak));

struct module_list {
	uint64_t adds, subs; /* of the loader, when the list was made */
	size_t bytes;
	size_t n;
	struct cfi_module module[];
};

static struct module_list *current; /* replaced whole, by compare and exchange */
static bool list_forced;

void modules_force_list(bool force)
{
	list_forced = force;
}

/* The module that one entry of dl_iterate_phdr describes. */
static bool describe(const struct dl_phdr_info *info, struct cfi_module *ret)
{
	uintptr_t lo = ~(uintptr_t)0, hi = 0;

	ret->hdr = NULL;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		uintptr_t at = info->dlpi_addr + ph->p_vaddr;
		if (ph->p_type == PT_GNU_EH_FRAME)
			ret->hdr = (const uint8_t *)at;
		if (ph->p_type != PT_LOAD)
			continue;
		if (at < lo)
			lo = at;
		if (at + ph->p_memsz > hi)
			hi = at + ph->p_memsz;
	}
	ret->lo = (const uint8_t *)lo;
	ret->hi = (const uint8_t *)hi;
	return lo < hi;
}

static int count_module(struct dl_phdr_info *info, size_t size, void *data)
{
	struct module_list *l = data;

	l->adds = info->dlpi_adds;
	l->subs = info->dlpi_subs;
	l->n++;
	return 0;
}

static int add_module(struct dl_phdr_info *info, size_t size, void *data)
{
	struct module_list *l = data;
	struct cfi_module m;
	size_t i = l->n;

	l->adds = info->dlpi_adds;
	l->subs = info->dlpi_subs;
	if (!describe(info, &m))
		return 0;
	if ((i + 1) * sizeof(m) > l->bytes - sizeof(*l))
		return 1;
	for (; i > 0 && l->module[i - 1].lo > m.lo; i--)
		l->module[i] = l->module[i - 1];
	l->module[i] = m;
	l->n++;
	return 0;
}

static int first_entry(struct dl_phdr_info *info, size_t size, void *data)
{
	struct module_list *l = data;

	l->adds = info->dlpi_adds;
	l->subs = info->dlpi_subs;
	return 1;
}

/* The list as it is now, or NULL. */
static struct module_list *fresh_list(void)
{
	struct module_list *l = __atomic_load_n(&current, __ATOMIC_ACQUIRE), now = { 0 };

	dl_iterate_phdr(first_entry, &now);
	if (l && l->adds == now.adds && l->subs == now.subs)
		return l;
	dl_iterate_phdr(count_module, &now);
	/* Room for modules that are loaded between the two passes. */
	size_t bytes = (sizeof(*l) + (now.n + 8) * sizeof(struct cfi_module) + 4095) & ~(size_t)4095;
	long at = own_map(bytes, PROT_READ | PROT_WRITE, 0);
	if (mms_is_error(at))
		return l;
	struct module_list *made = (struct module_list *)at;
	made->bytes = bytes;
	dl_iterate_phdr(add_module, made);
	if (__atomic_compare_exchange_n(&current, &l, made, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
		return made;
	own_unmap(made, bytes); /* another thread was faster */
	return l;
}

static bool list_find(uint64_t pc, struct cfi_module *ret)
{
	const struct module_list *l = fresh_list();

	if (!l)
		return false;
	size_t lo = 0, hi = l->n;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		if ((uintptr_t)l->module[mid].lo <= pc)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (!lo || pc >= (uintptr_t)l->module[lo - 1].hi)
		return false;
	*ret = l->module[lo - 1];
	return true;
}

bool modules_find(uint64_t pc, struct cfi_module *ret)
{
	struct dl_find_object found;

	if (!_dl_find_object || list_forced)
		return list_find(pc, ret);
	if (_dl_find_object((void *)(uintptr_t)pc, &found))
		return false;
	ret->hdr = found.dlfo_eh_frame;
	/* Of an executable with gaps each segment is an object of its own: what
	 * bounds the reading is the segment that the unwind data lies in. */
	if (ret->hdr && (uintptr_t)ret->hdr - (uintptr_t)found.dlfo_map_start >=
			(uintptr_t)found.dlfo_map_end - (uintptr_t)found.dlfo_map_start &&
		_dl_find_object((void *)ret->hdr, &found))
		ret->hdr = NULL;
	ret->lo = found.dlfo_map_start;
	ret->hi = found.dlfo_map_end;
	return true;
}
