/* pid_reuse.c - two children, one after the other, with the same pid: the
 * number is asked for (clone3, set_tid).  Ends with 77 where that is refused. */
#include <linux/sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "guest.h"

static pid_t child_with(pid_t pid)
{
	struct clone_args a = { .exit_signal = SIGCHLD, .set_tid = pid ? (uintptr_t)&pid : 0, .set_tid_size = pid ? 1 : 0 };
	return (pid_t)syscall(SYS_clone3, &a, sizeof(a));
}

static int life(pid_t pid, int n_blocks, int status, pid_t *ret)
{
	*ret = child_with(pid);
	if (*ret == 0) {
		for (int i = 0; i < n_blocks; i++) {
			void *volatile p = malloc(31000 + (size_t)status);
			(void)p;
		}
		_exit(status);
	}
	int end = 0;
	waitpid(*ret, &end, 0);
	return WIFEXITED(end) ? WEXITSTATUS(end) : 128 + WTERMSIG(end);
}

int main(void)
{
	pid_t first, second;
	int a = life(0, 10, 31, &first), b = life(first, 20, 32, &second);
	if (second == -1)
		return 77;
	printf("%d %d %d\n", a, b, first == second);
	return 5;
}
