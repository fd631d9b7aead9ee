/* dlsym_calls.c - run with hooked_dlsym.c preloaded before us. */
#include <dlfcn.h>

#include "guest.h"

int main(void)
{
	int (*state)(void) = (int (*)(void))dlsym(RTLD_DEFAULT, "hooked_state");
	churn(1000);
	printf("the early block is %s\n", state && state() ? "whole" : "broken");
	EXPECT("process 1 begin start end exit status 0*");
	return 0;
}
