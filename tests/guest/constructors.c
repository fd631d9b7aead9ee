/* constructors.c - linked with early.c. */
#include "guest.h"

extern int early_value;

int main(void)
{
	printf("%d %s %s\n", early_value, getenv("EARLY_VARIABLE"), getenv("EARLY_OTHER"));
	EXPECT("process 1 begin start end exit status 3*");
	EXPECT("heap some");
	return 3;
}
