/*
 * death.c - a robust mutex, locked by hand.
 *
 * pthread_mutex_lock would do, if it were sure to be libc's: programs and
 * other preloads interpose it, and in the child of a raw clone it locks with
 * the parent's tid.  The list is the kernel's interface (set_robust_list);
 * that libc chains its mutexes in both directions is kept up, so that a
 * robust mutex of the target, locked before or after ours, is taken out of
 * the list as ever.
 *
 *	head -> &m.next -> &older.next -> ... -> head       (futex at -32)
 *	m.prev = head, older.prev = &m.next
 *
 * Called by thread.c with all signals blocked.
 */
#include "death.h"

#include <stddef.h>

#include "base/sys.h"

#define OWNER_DIED 0x40000000u /* FUTEX_OWNER_DIED */

struct robust_head {
	uintptr_t first;
	long futex_offset;
	uintptr_t pending; /* a lock or unlock is under way */
};

/* Where libc keeps the futex and the two links of a mutex. */
struct robust_mutex {
	uint32_t futex;
	uint32_t other[5];
	uintptr_t prev, next;
};
_Static_assert(sizeof(struct robust_mutex) == sizeof(pthread_mutex_t), "mutex of glibc, x86-64");
#define FUTEX_OFFSET (-(long)offsetof(struct robust_mutex, next))

bool death_register(pthread_mutex_t *mutex, uint32_t tid)
{
	struct robust_head *head = NULL;
	size_t length = 0;
	struct robust_mutex *m = (struct robust_mutex *)(void *)mutex;
	if (mms_syscall3(SYS_get_robust_list, 0, (long)&head, (long)&length) < 0 || !head ||
		head->futex_offset != FUTEX_OFFSET)
		return false;
	/* We run in a handler that interrupted libc's own work on the list. */
	if (head->pending)
		return false;
	__atomic_store_n(&m->futex, tid, __ATOMIC_RELEASE);
	uintptr_t older = head->first & ~(uintptr_t)1;
	m->next = head->first;
	m->prev = (uintptr_t)head;
	if (older != (uintptr_t)head)
		((uintptr_t *)older)[-1] = (uintptr_t)&m->next;
	__atomic_store_n(&head->first, (uintptr_t)&m->next, __ATOMIC_RELEASE);
	return true;
}

bool death_is_marked(const pthread_mutex_t *mutex)
{
	const struct robust_mutex *m = (const struct robust_mutex *)(const void *)mutex;
	return __atomic_load_n(&m->futex, __ATOMIC_ACQUIRE) & OWNER_DIED;
}
