/* reads words and forgets some of them */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct word {
	struct word *next;
	char *text;
};

static struct word *remember(struct word *list, const char *text)
{
	struct word *w = malloc(sizeof(*w));
	w->next = list;
	w->text = strdup(text);
	return w;
}

static void forget(struct word *list)
{
	while (list) {
		struct word *next = list->next;
		free(list); /* but not list->text */
		list = next;
	}
}

int main(void)
{
	char text[64];
	struct word *list = NULL;
	size_t n = 0;
	for (int i = 0; i < 100000; i++, n++) {
		snprintf(text, sizeof(text), "word number %d", i);
		list = remember(list, text);
	}
	forget(list);
	printf("%zu words\n", n);
	return 0;
}
