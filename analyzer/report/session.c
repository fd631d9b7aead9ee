/*
 * session.c - see session.h.
 *
 * The collector listens on the session's abstract socket; the recorded
 * programs get no signal and no descriptor.  The session is found by the
 * database that it writes, or by the id in it.  Called by ctl and snapshot.
 */
#include "report/session.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "report/text.h"
#include "store/capture.h"
#include "store/pending.h"

static bool complain(const char *verb, const char *path, const char *why)
{
	char *clean = text_clean(path);
	fprintf(stderr, "mmscope %s: %s: %s\n", verb, clean, why);
	free(clean);
	return false;
}

/* The id of the session that writes this database.  0; -errno with a reason:
 * there is no such database; 1: it is not being recorded. */
static int find_session(const char *path, char ret[33], char *reason, size_t reason_size)
{
	struct pending session;
	struct capture *c;
	reason[0] = 0;
	if (pending_find(path, &session)) {
		memcpy(ret, session.id, 33);
		return 0;
	}
	int r = capture_peek(path, &c, reason, reason_size);
	if (r < 0)
		return r;
	const char *id = capture_meta(c, "session_id");
	bool goes_on = capture_state(c) == CAPTURE_RECORDING && id && strlen(id) == 32;
	if (goes_on)
		memcpy(ret, id, 33);
	capture_close(c);
	return goes_on ? 0 : 1;
}

bool session_goes_on(const char *path)
{
	char id[33], reason[512];
	return find_session(path, id, reason, sizeof(reason)) == 0;
}

static int connect_to(const char *id)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int n = snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "mmscope.%s", id);
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n)) == 0)
		return fd;
	int error = -errno;
	close(fd);
	return error;
}

static int send_and_wait(int fd, const struct session_ask *ask)
{
	struct timeval patience = {.tv_sec = ask->patience_s};
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (send(fd, ask->request, ask->request_size, MSG_NOSIGNAL) < 0)
		return -errno;
	ssize_t got = recv(fd, ask->reply, ask->reply_size, 0);
	return got == (ssize_t)ask->reply_size ? 0 : got < 0 ? -errno : got == 0 ? -EACCES : -ENOSYS;
}

const char *session_error(int error)
{
	switch (error) {
	case -ECONNREFUSED:
		return "its collector is not there any more, or not to be reached from here";
	case -EACCES:
		return "only who records it, or root, may change it";
	case -EAGAIN:
		return "its collector does not answer";
	case -ESHUTDOWN:
		return "the recording is just ending";
	case -EINVAL:
		return "samples that far apart say nothing";
	case -ENOSYS:
		return "its collector is another version, which cannot do that";
	default:
		return strerror(-error);
	}
}

bool session_ask(const char *verb, const char *path, const struct session_ask *ask)
{
	char id[33], why[512];
	int r = find_session(path, id, why, sizeof(why));
	if (r < 0)
		return complain(verb, path, why[0] ? why : strerror(-r));
	if (r > 0)
		return complain(verb, path, "is not being recorded");
	int fd = connect_to(id);
	r = fd < 0 ? fd : send_and_wait(fd, ask);
	if (fd >= 0)
		close(fd);
	/* Hung up on: root is never refused, and what has ended refuses nobody. */
	if (r == -EACCES && (geteuid() == 0 || !session_goes_on(path)))
		r = -ESHUTDOWN;
	return r == 0 ? true : complain(verb, path, session_error(r));
}
