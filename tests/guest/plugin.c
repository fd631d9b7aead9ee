/* plugin.c - something to load and unload. */
int plugin_answer(void);
int plugin_answer(void)
{
	return 42;
}
