/*
 * filter.c - prctl and syscall, watched for what changes our own rules.
 *
 * After a system call filter is in force a call that it does not allow may
 * kill: the doorbell is silenced before the switch, for ever; before strict
 * mode, which allows four calls in all, recording ends.  A thread's new name
 * is told.
 *
 * syscall() is passed on by a jump, not by a call: programs clone and vfork
 * through it, and such a child returns a second time to the caller's frame,
 * which a frame of ours in between would break.
 */
#include <errno.h>
#include <linux/seccomp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/doorbell.h"
#include "base/enter.h"
#include "base/next.h"
#include "base/sys.h"
#include "capture/emit.h"
#include "wrap/process.h"

/* Under a filter nothing is asked: who goes on there is no vfork child. */
static bool is_ours(void)
{
	return capture_process() && (doorbell_is_silent() || process_is_own());
}

/* The processor's clock is about to be forbidden: a stamp would be death. */
static void clock_forbidden(void)
{
	if (is_ours())
		capture_stop();
}

void process_filtered(bool strict)
{
	if (!is_ours())
		return;
	atomic_fetch_or_explicit(&capture_process()->coverage, MMS_COV_SECCOMP, memory_order_relaxed);
	doorbell_silence();
	if (strict)
		capture_stop();
}

/* libseccomp asks at its start what the kernel can do, by calls that cannot
 * succeed: strict mode takes neither flags nor arguments, a filter must be
 * somewhere.  What is refused changes nothing. */
static void about_to_filter(long mode, bool flags, long filter)
{
	if (mode == SECCOMP_MODE_STRICT && !flags)
		process_filtered(true);
	else if (mode == SECCOMP_MODE_FILTER && filter)
		process_filtered(false);
}

static void note_name(const char *name)
{
	struct mms_thread_note note = { .tid = (uint32_t)mms_gettid() };
	size_t n = mms_strlen(name);
	note.name_length = (uint32_t)(n < 15 ? n : 15); /* as the kernel cuts it */
	emit_long(MMS_LONG_THREAD_NAME, 0, &note, sizeof(note), name, note.name_length, NULL, 0);
}

WRAPPER int prctl(int op, ...)
{
	unsigned long a[4];
	va_list list;
	va_start(list, op);
	for (int i = 0; i < 4; i++)
		a[i] = va_arg(list, unsigned long);
	va_end(list);
	bool on = capture_on() || preload_enter();
	if (on && op == PR_SET_SECCOMP)
		about_to_filter((long)a[0], false, (long)a[1]);
	if (on && op == PR_SET_TSC && a[0] == PR_TSC_SIGSEGV)
		clock_forbidden();
	int r = next.prctl(op, a[0], a[1], a[2], a[3]);
	if (on && r == 0 && op == PR_SET_NAME && !doorbell_is_silent())
		note_name((const char *)a[0]);
	return r;
}

/* ---- syscall ---- */

/* Where syscall() jumps to; the table itself once it is filled. */
long (*syscall_target)(long, ...) __attribute__((visibility("hidden")));

void process_prepare(void)
{
	__atomic_store_n(&syscall_target, next.syscall, __ATOMIC_RELEASE);
}

/* Called by the stub below for the numbers that it picks out, before the
 * call; must_not change errno. */
void syscall_note(long number, long a, long b, long c) __attribute__((visibility("hidden")));
void syscall_note(long number, long a, long b, long c)
{
	int error = errno;
	if (capture_on() || preload_enter()) {
		if (number == SYS_seccomp && a == SECCOMP_SET_MODE_STRICT)
			about_to_filter(SECCOMP_MODE_STRICT, b || c, 0);
		else if (number == SYS_seccomp && a == SECCOMP_SET_MODE_FILTER)
			about_to_filter(SECCOMP_MODE_FILTER, b, c);
		else if (number == SYS_prctl && a == PR_SET_SECCOMP)
			about_to_filter(b, false, c);
		else if (number == SYS_prctl && a == PR_SET_TSC && b == PR_TSC_SIGSEGV)
			clock_forbidden();
		else if (number == SYS_exit_group)
			process_last_word((int)a, PROCESS_UNDERSCORE);
	}
	if (!__atomic_load_n(&syscall_target, __ATOMIC_ACQUIRE))
		__atomic_store_n(&syscall_target, next.syscall, __ATOMIC_RELEASE);
	errno = error;
}

/* rdi = number; rsi, rdx, rcx, r8, r9 and 8(%rsp) = the arguments. */
__asm__(".text\n"
	".globl syscall\n"
	".type syscall, @function\n"
	"syscall:\n"
	"	.cfi_startproc\n"
	"	cmp $317, %rdi\n" /* seccomp */
	"	je 1f\n"
	"	cmp $157, %rdi\n" /* prctl */
	"	je 1f\n"
	"	cmp $231, %rdi\n" /* exit_group */
	"	je 1f\n"
	"	cmpq $0, syscall_target(%rip)\n"
	"	je 1f\n"
	"2:	jmp *syscall_target(%rip)\n"
	"1:	push %rdi\n"
	"	.cfi_adjust_cfa_offset 8\n"
	"	push %rsi\n"
	"	.cfi_adjust_cfa_offset 8\n"
	"	push %rdx\n"
	"	.cfi_adjust_cfa_offset 8\n"
	"	push %rcx\n"
	"	.cfi_adjust_cfa_offset 8\n"
	"	push %r8\n"
	"	.cfi_adjust_cfa_offset 8\n"
	"	push %r9\n"
	"	.cfi_adjust_cfa_offset 8\n"
	"	sub $8, %rsp\n"
	"	.cfi_adjust_cfa_offset 8\n"
	"	call syscall_note\n"
	"	add $8, %rsp\n"
	"	.cfi_adjust_cfa_offset -8\n"
	"	pop %r9\n"
	"	.cfi_adjust_cfa_offset -8\n"
	"	pop %r8\n"
	"	.cfi_adjust_cfa_offset -8\n"
	"	pop %rcx\n"
	"	.cfi_adjust_cfa_offset -8\n"
	"	pop %rdx\n"
	"	.cfi_adjust_cfa_offset -8\n"
	"	pop %rsi\n"
	"	.cfi_adjust_cfa_offset -8\n"
	"	pop %rdi\n"
	"	.cfi_adjust_cfa_offset -8\n"
	"	jmp 2b\n"
	"	.cfi_endproc\n"
	".size syscall, .-syscall\n");
