/* stolen.c - closefrom(3), then files of its own on every number that a
 * library may have used, also above 1000; forks, mappings and allocations
 * follow.  Offsets and sizes must be what the program made them. */
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "guest.h"

#define LAST 1100

int main(void)
{
	struct rlimit limit;
	struct stat st;
	int bad = 0, status = 0;
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max < 4096 ? limit.rlim_max : 4096;
	setrlimit(RLIMIT_NOFILE, &limit);
	churn(1000);
	closefrom(3);
	for (int fd = 3; fd < LAST && fd < (int)limit.rlim_cur; fd++) {
		int f = memfd_create("victim", 0);
		bad += f != fd || write(f, "0123456789", 10) != 10 || lseek(f, 0, SEEK_SET) != 0;
	}
	churn(100000);
	char *area = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(area, 1, 1 << 20);
	for (int i = 0; i < 10; i++) {
		pid_t pid = fork();
		if (pid == 0) {
			churn(1000);
			memset(area, 2, 1 << 19);
			_exit(0);
		}
		waitpid(pid, &status, 0);
		bad += status != 0;
	}
	munmap(area, 1 << 20);
	for (int fd = 3; fd < LAST && fd < (int)limit.rlim_cur; fd++)
		bad += fstat(fd, &st) != 0 || st.st_size != 10 || lseek(fd, 0, SEEK_CUR) != 0;
	printf("bad %d\n", bad);
	EXPECT("process 1 begin start end exit status 0*");
	COUNT(10, "process * begin fork *");
	return 0;
}
