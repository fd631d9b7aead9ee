/* exits.c - the ways to end, by argument: the last word knows the status, and
 * what runs after it still works. */
#include <signal.h>

#include "guest.h"

static void at_exit(void) { churn(10); }
static void __attribute__((destructor)) last(void) { churn(10); }

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "return";
	atexit(at_exit);
	at_quick_exit(at_exit);
	churn(10);
	if (!strcmp(how, "return")) {
		EXPECT("exit 1 status 44 how 0");
		EXPECT("process 1 * end exit status 44 *");
		return 300;
	}
	if (!strcmp(how, "_exit")) {
		EXPECT("exit 1 status 9 how 1");
		_exit(9);
	}
	if (!strcmp(how, "_Exit")) {
		EXPECT("exit 1 status 10 how 1");
		_Exit(10);
	}
	if (!strcmp(how, "quick_exit")) {
		EXPECT("exit 1 status 11 how 2");
		quick_exit(11);
	}
	if (!strcmp(how, "abort")) {
		EXPECT("process 1 * end none *");
		REFUSE("exit *");
		abort();
	}
	return 99;
}
