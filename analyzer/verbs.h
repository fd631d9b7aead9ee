/*
 * verbs.h - the verbs of mmscope: one file, one function, one line in the
 * table of main.c.
 *
 * A verb is called with argv[0] = its name and returns the exit status.
 * It writes its answer to stdout, messages and progress to stderr:
 * `mmscope VERB: FILE: reason`, one line, once.
 */
#ifndef MMSCOPE_VERBS_H
#define MMSCOPE_VERBS_H

/* Exit status of the analysis verbs (DESIGN 6). */
enum verb_status {
	VERB_OK = 0,
	VERB_FINDINGS = 1,   /* check, diff --fail */
	VERB_USAGE = 2,      /* wrong option, unreadable input */
	VERB_INCOMPLETE = 3, /* the data cannot answer the question */
};

/* `run` hands through the status of CMD; these are its own. */
enum run_status { RUN_FAILED = 125, RUN_NOT_EXECUTABLE = 126, RUN_NOT_FOUND = 127 };

struct verb {
	const char *name;
	const char *group; /* heading in `mmscope --help`; NULL: not listed */
	const char *help;  /* one line, without a full stop */
	int (*main)(int argc, char **argv);
};

int verb_run(int argc, char **argv);       /* collect/ */
int verb_collect(int argc, char **argv);   /* collect/; started by run and by the preload */
int verb_recover(int argc, char **argv);   /* collect/ */
int verb_symbolize(int argc, char **argv); /* symbol/ */
int verb_report(int argc, char **argv);    /* report/report.c */
int verb_leaks(int argc, char **argv);     /* report/leaks.c */
int verb_sites(int argc, char **argv);     /* report/sites.c */
int verb_cow(int argc, char **argv);       /* report/cow.c */
int verb_oom(int argc, char **argv);       /* report/oom.c */
int verb_diff(int argc, char **argv);      /* report/diff.c */
int verb_check(int argc, char **argv);     /* report/check.c */
int verb_pages(int argc, char **argv);     /* report/pages.c */
int verb_maps(int argc, char **argv);      /* report/maps.c */
int verb_top(int argc, char **argv);       /* report/top.c */
int verb_export(int argc, char **argv);    /* report/export.c */
int verb_ctl(int argc, char **argv);       /* report/ctl.c */
int verb_snapshot(int argc, char **argv);  /* report/snapshot.c */
int verb_html(int argc, char **argv);      /* report/html.c */
int verb_doctor(int argc, char **argv);    /* report/doctor.c */

#endif
