/* closed.c - a daemon's way: closes every descriptor, opens its own, goes on
 * allocating and forking; its files must hold what it wrote and no more. */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "guest.h"

int main(void)
{
	struct stat st;
	int out = fcntl(1, F_DUPFD, 100), bad = 0, status = 0;
	for (int fd = 0; fd < 100; fd++)
		close(fd);
	for (int fd = 0; fd < 10; fd++) {
		int f = memfd_create("victim", 0);
		bad += f != fd || write(f, "0123456789", 10) != 10 || lseek(f, 0, SEEK_SET) != 0;
	}
	churn(100000);
	for (int i = 0; i < 20; i++) {
		pid_t pid = fork();
		if (pid == 0) {
			churn(1000);
			_exit(0);
		}
		waitpid(pid, &status, 0);
		bad += status != 0;
	}
	for (int fd = 0; fd < 10; fd++)
		bad += fstat(fd, &st) != 0 || st.st_size != 10 || lseek(fd, 0, SEEK_CUR) != 0;
	for (int fd = 10; fd < 99; fd++)
		bad += fcntl(fd, F_GETFD) >= 0;
	dprintf(out, "bad %d\nexpect: process 1 begin start end exit status 0*\ncount: 20 process * begin fork *\n", bad);
	_exit(0);
}
