/* plain.c - allocates a little and ends with 6: for limits and namespaces. */
#include "guest.h"

int main(void)
{
	churn(1000);
	printf("plain\n");
	return 6;
}
