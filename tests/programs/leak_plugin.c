/* leak_plugin.c - loses two blocks; leaks.c unloads it afterwards. */
#include <stdlib.h>
#include <string.h>

void site_in_plugin(void);

void site_in_plugin(void)
{
	memset(malloc(123), 0, 123);
	memset(malloc(123), 0, 123);
}
