/* filters.c - system call filters that kill: after the switch we make no call
 * that the program does not make itself.  The same for a forbidden clock. */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "guest.h"

#define ALLOW(nr) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static struct sock_filter code[] = {
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	ALLOW(SYS_brk), ALLOW(SYS_write), ALLOW(SYS_exit), ALLOW(SYS_exit_group), ALLOW(SYS_mmap), ALLOW(SYS_munmap),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
};

static void filter(int by_syscall)
{
	struct sock_fprog program = { sizeof(code) / sizeof(*code), code };
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (by_syscall)
		syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
	else
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
}

/* Enough to fill many ring blocks. */
static void child(int how)
{
	churn(100);
	if (how == 2)
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0, 0);
	else if (how == 3)
		prctl(PR_SET_TSC, PR_TSC_SIGSEGV, 0, 0, 0); /* no clock of the processor */
	else
		filter(how);
	churn(50000);
	if (how == 2)
		syscall(SYS_exit, 20); /* strict mode knows exit, not exit_group */
	_exit(20);
}

/* As libseccomp asks the kernel what it can do: none of these can succeed. */
static void probe(void)
{
	syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 1, NULL);
	syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, code);
	syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, NULL);
	prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, NULL, 0, 0);
	void *volatile p = malloc(31777);
	free(p);
	EXPECT("process 1 begin start end exit status 0 coverage 0 *");
	EXPECT("heap malloc 31777");
}

int main(void)
{
	probe();
	for (int how = 0; how < 4; how++) {
		int status = 0;
		pid_t pid = fork();
		if (pid == 0)
			child(how);
		waitpid(pid, &status, 0);
		printf("%d: exited %d status %d signal %d\n", how, WIFEXITED(status), WEXITSTATUS(status),
			WTERMSIG(status));
	}
	return 0;
}
