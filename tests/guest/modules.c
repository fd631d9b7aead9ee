/* modules.c - what is loaded is told: at the start, after dlopen, and again
 * in a new context after dlclose. */
#include <dlfcn.h>

#include "guest.h"

int main(int argc, char **argv)
{
	churn(10);
	void *h = dlopen(argv[1], RTLD_NOW);
	printf("%s\n", h ? "loaded" : dlerror());
	churn(10);
	EXPECT("module 1 context 1 * flags 1 */modules");
	EXPECT("module 1 context 1 * flags 8 */libmmscope.so");
	EXPECT("module 1 context 1 build-id 20 * */libc.so.6");
	EXPECT("module 1 context 1 * flags 2 [[]vdso]");
	EXPECT("module 1 context 1 * */libplugin.so");
	dlclose(h);
	churn(10);
	EXPECT("context 1 2 after 1");
	EXPECT("module 1 context 2 * flags 1 */modules");
	REFUSE("module 1 context 2 * */libplugin.so");
	return 0;
}
