/*
 * unwind_plugin.c - a plugin of one function, built twice with frames of
 * different size (PLUGIN_FRAME) and otherwise equal code: loaded at the same
 * address, a rule that outlives dlclose is wrong for the other one.
 */
void plugin_run(void (*f)(void));

__attribute__((noinline)) static void hold(void *p)
{
	__asm__ volatile("" : : "r"(p) : "memory");
}

void plugin_run(void (*f)(void))
{
	volatile char frame[PLUGIN_FRAME];

	hold((void *)frame);
	f();
	hold((void *)frame);
}
