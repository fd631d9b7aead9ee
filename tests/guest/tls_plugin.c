/* tls_plugin.c - thread-local storage that is made at its first touch, by one
 * malloc of just this size. */
static __thread char own[31500];

char *plugin_own(void);
char *plugin_own(void)
{
	return own;
}
