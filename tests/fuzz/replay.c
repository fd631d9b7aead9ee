/*
 * replay.c - the main program of every fuzz target outside a fuzzer: gives it
 * each file of the folders named on the command line, and each of its
 * beginnings that a cut file would have.  A fuzzer brings a main of its own.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned long n_inputs;

/* A copy of the exact size, so that a read behind the end is found. */
static void give(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size ? size : 1);
	if (!copy)
		abort();
	memcpy(copy, data, size);
	LLVMFuzzerTestOneInput(copy, size);
	free(copy);
	n_inputs++;
}

static void replay(const char *path)
{
	static uint8_t data[1 << 20];
	FILE *f = fopen(path, "rb");
	if (!f) {
		perror(path);
		exit(1);
	}
	size_t size = fread(data, 1, sizeof(data), f);
	fclose(f);
	size_t step = size / 256 + 1;
	for (size_t cut = 0; cut < size; cut += step)
		give(data, cut);
	give(data, size);
}

static void replay_folder(const char *folder)
{
	char path[4096];
	struct dirent *entry;
	DIR *dir = opendir(folder);
	if (!dir) {
		perror(folder);
		exit(1);
	}
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		replay(path);
	}
	closedir(dir);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		replay_folder(argv[i]);
	dprintf(1, "%lu inputs\n", n_inputs); /* stdout may be the target's to redirect */
	return n_inputs == 0;
}
