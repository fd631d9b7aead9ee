/*
 * top.c - mmscope top: a live view of a recording that goes on.
 *
 * On a terminal the screen is drawn anew each second, by plain ANSI
 * sequences, until q or the end of the recording; elsewhere, with --once and
 * as JSON it is one moment.
 * Reads the database only: the target and its collector notice nothing.
 * The terminal is put back at every way out, by a signal too.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "report/options.h"
#include "report/top.h"
#include "verbs.h"

#define REFRESH_MS 1000
#define TO_SCREEN "\033[?1049h\033[?25l"   /* the other screen, no cursor */
#define FROM_SCREEN "\033[?25h\033[?1049l"
#define HELP "q quit  order: r change  l live  a allocations  p peak"

static struct termios terminal_before;
static bool terminal_changed;
static volatile sig_atomic_t ending;

static void on_end(int number)
{
	ending = number;
}

static void terminal_back(void)
{
	if (!terminal_changed)
		return;
	terminal_changed = false;
	fputs(FROM_SCREEN, stdout);
	fflush(stdout);
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &terminal_before);
}

static bool terminal_take(void)
{
	struct termios keys;
	const int ends[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
	struct sigaction action = {.sa_handler = on_end};

	if (tcgetattr(STDIN_FILENO, &terminal_before) != 0)
		return false;
	keys = terminal_before;
	keys.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	keys.c_cc[VMIN] = 1;
	keys.c_cc[VTIME] = 0;
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		sigaction(ends[i], &action, NULL);
	if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &keys) != 0)
		return false;
	terminal_changed = true;
	atexit(terminal_back); /* a damaged file ends the program from within */
	fputs(TO_SCREEN, stdout);
	return true;
}

static size_t screen_rows(void)
{
	struct winsize size;
	return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 4 ? size.ws_row : 24;
}

static void draw(struct top *t, const char *reason)
{
	fputs("\033[H\033[2J", stdout);
	top_sort(t);
	top_text(t, screen_rows(), reason[0] ? reason : HELP);
	fflush(stdout);
}

/* Takes keys until the next moment is due; false: it is over. */
static bool wait_key(struct top *t, int64_t until_ns)
{
	static const char orders[] = "rlap";
	struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
	char key;

	for (;;) {
		int64_t left_ms = (until_ns - top_clock_ns()) / 1000000;
		int ready = left_ms > 0 ? poll(&input, 1, (int)left_ms) : 0;
		if (ending || (ready > 0 && (read(STDIN_FILENO, &key, 1) != 1 || key == 'q')))
			return false;
		if (ready == 0)
			return true;
		if (ready < 0 && errno != EINTR)
			return false;
		const char *at = ready > 0 ? strchr(orders, key) : NULL;
		if (at && key) {
			t->order = (int)(at - orders);
			draw(t, "");
		}
	}
}

static void watch(struct top *t)
{
	char reason[512];
	int64_t next = top_clock_ns();
	bool over;
	do {
		reason[0] = 0;
		top_load(t, reason, sizeof(reason));
		over = !reason[0] && t->now.state != CAPTURE_RECORDING;
		if (over)
			break;
		draw(t, reason);
		int64_t took = top_clock_ns() - next;
		/* A big recording is asked less often. */
		next += REFRESH_MS * 1000000ll + (took > 100000000 ? 9 * took : 0);
	} while (wait_key(t, next));
	terminal_back();
	if (over) { /* nothing changes any more: the last moment stays to be read */
		top_sort(t);
		top_text(t, 0, NULL);
	}
}

static int show(struct top *t, int format, bool once)
{
	char reason[512] = "";
	int64_t begin = top_clock_ns();
	int status = answer_open(&t->names, "top", t->path);

	if (status)
		return status;
	t->names_ns = top_clock_ns();
	t->names_cost_ns = t->names_ns - begin;
	if (!top_load(t, reason, sizeof(reason)))
		return answer_refuse(&t->names, reason);
	bool live = !once && format == FORMAT_TEXT && isatty(STDIN_FILENO) && isatty(STDOUT_FILENO);
	if (live && terminal_take()) {
		watch(t);
	} else {
		top_sort(t);
		if (format == FORMAT_JSON)
			top_json(t);
		else
			top_text(t, 0, NULL);
	}
	top_done(&t->now);
	return answer_close(&t->names, VERB_OK);
}

int verb_top(int argc, char **argv)
{
	struct top t = {.limit = -1};
	int format = FORMAT_TEXT;
	bool once = false;
	const struct option_spec options[] = {
		{OPTION_CHOICE, "by", TOP_ORDERS, "order; also the keys r, l, a, p", &t.order},
		{OPTION_FLAG, "once", NULL, "one moment, no live view", &once},
		OPTION_FORMAT(&format),
		{OPTION_NUMBER, "limit", "N", "sites to show, 0: all", &t.limit},
		{OPTION_END},
	};
	const struct verb_spec spec = {
		.name = "top",
		.operands = "FILE.db",
		.summary = "Shows what a recording holds now and what grows, anew each second.\n"
			   "q ends it, and so does the end of the recording. One moment where stdout\n"
			   "is no terminal.",
		.example = "    mmscope run -o prog.db -- ./prog &\n    mmscope top prog.db",
		.options = options,
		.min_operands = 1,
		.max_operands = 1,
		.missing = "no database given",
	};
	int status = options_parse(&spec, argc, argv, &t.path);
	return status >= 0 ? status : show(&t, format, once);
}
