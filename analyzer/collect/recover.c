/*
 * recover.c - `mmscope recover`: a database from a session left behind.
 *
 * A session file stays when its collector was killed, or when there was none
 * (MMSCOPE_NOHELPER, a container's pid 1).  What stands in it is read by the
 * same code that ends every recording.  The file is mapped privately: an
 * attempt that fails leaves it as it was.  It is removed once the database
 * is complete and no process writes into it any more.
 */
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "collect/collector.h"
#include "collect/run.h"
#include "verbs.h"

static void print_help(void)
{
	printf("Usage: mmscope recover [-o FILE] [SESSION]\n"
	       "\n"
	       "Makes a database of a recording whose collector was killed or never ran.\n"
	       "Without SESSION: lists the sessions that were left behind.\n"
	       "\n"
	       "  -o, --output FILE    the database (default: the one the recording was for)\n"
	       "  -h, --help           this text\n"
	       "\n"
	       "Example:\n"
	       "  mmscope recover\n"
	       "  mmscope recover /dev/shm/mmscope.0/8c1f...\n");
}

static bool mutex_held(const pthread_mutex_t *m)
{
	uint32_t word = __atomic_load_n((const uint32_t *)m, __ATOMIC_RELAXED);
	return word && !(word & FUTEX_OWNER_DIED);
}

static bool collector_lives(const struct mms_header *h)
{
	return atomic_load(&h->collector_state) == MMS_COLLECTOR_ALIVE && mutex_held(&h->collector_alive);
}

static uint32_t live_threads(const struct mms_session *s)
{
	uint32_t n = 0;
	for (uint32_t i = 0;; i++) {
		const struct mms_thread *t = mms_thread_slot(s, i);
		if (!t)
			return n;
		n += atomic_load(&t->process) != 0 && mutex_held(&t->alive);
	}
}

static const char *state_text(const struct mms_session *s)
{
	if (collector_lives(s->header))
		return "being recorded";
	return live_threads(s) ? "running, no collector" : "left behind";
}

static void list_one(const char *path)
{
	struct session_file f;
	char when[32];
	if (session_file_open(path, false, &f) < 0)
		return;
	const struct mms_header *h = f.session.header;
	time_t start = (time_t)(h->start_realtime_ns / 1000000000u);
	strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", localtime(&start));
	printf("%s\n    %s, %s, for %s\n", path, when, state_text(&f.session),
		h->output[0] ? h->output : "no output named");
	session_file_close(&f);
}

static int list_sessions(void)
{
	char folder[64], path[400];
	snprintf(folder, sizeof(folder), "/dev/shm/mmscope.%u", (unsigned)geteuid());
	DIR *d = opendir(folder);
	struct dirent *e;
	while (d && (e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
		if (strstr(e->d_name, ".db"))
			printf("%s\n    a database that found no room where it was meant to be\n", path);
		else
			list_one(path);
	}
	if (d)
		closedir(d);
	return VERB_OK;
}

static int fail(const char *file, const char *reason)
{
	fprintf(stderr, "mmscope recover: %s: %s\n", file, reason);
	return VERB_USAGE;
}

static const char *open_reason(int error)
{
	return error == -EPROTO ? "is no mmscope session, or one of another version" :
		error == -ELOOP ? "is a symbolic link" :
				  strerror(-error);
}

/* The finished database takes the place of what was there. */
static int take_place(const char *made, const char *output)
{
	char side[4200];
	if (strcmp(made, output) == 0)
		return 0;
	if (rename(made, output) < 0)
		return -errno;
	/* Of the database that was there: they would be taken for the new one's. */
	snprintf(side, sizeof(side), "%s-wal", output);
	unlink(side);
	snprintf(side, sizeof(side), "%s-shm", output);
	unlink(side);
	return 0;
}

/* Everything but the session file itself. */
static int recover(struct collector *c, const char *output)
{
	const struct mms_header *h = c->file.session.header;
	char made[4100];
	bool is_new;
	int r = run_output_check(output, &is_new);
	if (r < 0)
		return fail(output, r == -EEXIST ? "exists and is no mmscope database" : strerror(-r));
	/* What the killed collector wrote is read while the new one is made. */
	snprintf(made, sizeof(made), "%s%s", output, is_new ? "" : ".recovering");
	c->recovering = true;
	c->earlier = h->output[0] && access(h->output, R_OK) == 0 && strcmp(made, h->output) != 0 ?
		h->output : NULL;
	r = collector_begin(c);
	if (r == 0) /* what threads told may be in what was read already */
		c->model->untold_interval = atomic_load(&h->interval);
	if (r == 0)
		r = collector_store(c, made);
	if (r == 0)
		r = collector_finish(c);
	if (r == 0 && !c->failure[0])
		r = take_place(made, output);
	if (r == 0 && !c->failure[0]) {
		printf("%s\n", output);
		return VERB_OK;
	}
	fail(output, c->failure[0] ? c->failure : strerror(-r));
	return VERB_USAGE;
}

static int recover_session(const char *path, const char *output)
{
	struct collector c = {.session_path = path, .file.fd = -1};
	int r = session_file_open(path, false, &c.file);
	if (r < 0)
		return fail(path, open_reason(r));
	const struct mms_header *h = c.file.session.header;
	if (!output)
		output = h->output;
	bool written_to = live_threads(&c.file.session) != 0;
	int status;
	if (collector_lives(h))
		status = fail(path, "is being recorded: its collector will finish it");
	else if (!output[0])
		status = fail(path, "names no database; give one with -o");
	else {
		c.incomplete = written_to;
		status = recover(&c, output);
	}
	if (status == VERB_OK && !written_to)
		unlink(path);
	collector_end(&c);
	return status;
}

int verb_recover(int argc, char **argv)
{
	static const struct option options[] = {
		{"output", required_argument, NULL, 'o'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	const char *output = NULL;
	int option;
	optind = 0;
	opterr = 0;
	while ((option = getopt_long(argc, argv, ":o:h", options, NULL)) != -1) {
		if (option == 'h') {
			print_help();
			return VERB_OK;
		}
		if (option != 'o') {
			fprintf(stderr, "mmscope recover: %s: %s (mmscope recover --help)\n", argv[optind - 1],
				option == ':' ? "needs an argument" : "no such option");
			return VERB_USAGE;
		}
		output = optarg;
	}
	if (argc - optind > 1) {
		fprintf(stderr, "mmscope recover: one session at a time (mmscope recover --help)\n");
		return VERB_USAGE;
	}
	return optind < argc ? recover_session(argv[optind], output) : list_sessions();
}
