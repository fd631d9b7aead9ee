/* kill_filter.c - a filter that kills on socket and clone, switched on before
 * the program is executed: the image that starts under it must neither ring
 * nor start a collector.  Without an argument it sets the filter and becomes
 * itself; with one it works. */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "guest.h"

#define KILL(nr) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS)

static struct sock_filter code[] = {
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	KILL(SYS_socket), KILL(SYS_connect), KILL(SYS_clone), KILL(SYS_clone3), KILL(SYS_vfork),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
};

int main(int argc, char **argv)
{
	struct sock_fprog program = { sizeof(code) / sizeof(*code), code };
	churn(100);
	if (argc > 1) {
		churn(50000);
		printf("alive under the filter\n");
		EXPECT("process 2 begin exec end exit status 7 *");
		return 7;
	}
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
	execl("/proc/self/exe", "kill_filter", "inside", NULL);
	return 1;
}
