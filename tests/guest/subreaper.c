/* subreaper.c - started as a subreaper: every orphan below becomes our child,
 * also a collector; none may have been started. */
#include <sys/prctl.h>
#include <sys/wait.h>

#include "guest.h"

int main(void)
{
	int subreaper = 0;
	churn(10);
	prctl(PR_GET_CHILD_SUBREAPER, &subreaper);
	usleep(50000);
	int r = waitpid(-1, NULL, WNOHANG);
	printf("subreaper %d, waitpid %d %s\n", subreaper, r, strerror(errno));
	return 0;
}
