/* Should it die or stand still, it is started again from the very program that runs (the engine has threads and secrets by
 * then, so a plain fork will not do): a fork that does nothing but exec, with an empty environment and without descriptors
 * but its socket.
 *
 * The zygote: single-threaded, forked before anything else, so that what it forks in turn has no secrets, no sockets and
 * a small heap. It clones with CLONE_PARENT: its evaluators are children of the engine, which can wait for them, and
 * which takes them with it when it dies. */
#include "pipeline/zygote.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "pipeline/lockdown.h"
#include "pipeline/supervise.h"

#define REPLY_S 1
/* Not one, lest a machine that is busy beyond measure cost it its life. */
#define SILENT_MAX 2

struct cw_zygote {
	pid_t pid;
	int fd;
	int program;              /* O_PATH; -1: it cannot be started again */
	uint64_t asked;
	int silent;               /* questions in a row that it has not answered in time */
};

struct request {
	uint64_t id;
	struct cw_spawn spawn;
};

struct reply {
	uint64_t id;              /* 0: the first one, after start */
	int64_t pid;              /* or -errno */
	struct cw_err err;        /* the first one: what failed */
};

union fd_space {
	char bytes[CMSG_SPACE(CW_PASS_COUNT * sizeof(int))];
	struct cmsghdr align;
};

/* --- inside --- */

/* 1, 0 when the engine is gone, -1 for a message that is none. */
static int receive(int fd, struct request *request, int fds[CW_PASS_COUNT])
{
	struct iovec iov = { request, sizeof(*request) };
	union fd_space space;
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &space, .msg_controllen = sizeof(space) };
	struct cmsghdr *c;
	ssize_t n;

	while ((n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC)) < 0 && errno == EINTR)
		;
	if (n <= 0)
		return 0;
	c = CMSG_FIRSTHDR(&msg);
	if (n != sizeof(*request) || c == NULL || c->cmsg_len != CMSG_LEN(CW_PASS_COUNT * sizeof(int)))
		return -1;
	memcpy(fds, CMSG_DATA(c), CW_PASS_COUNT * sizeof(int));
	return 1;
}

static _Noreturn void serve(int fd, const struct cw_evaluator_ops *ops, int64_t engine_pid)
{
	struct request request = { .id = 0 };
	int fds[CW_PASS_COUNT];
	int got;

	while ((got = receive(fd, &request, fds)) != 0) {
		struct reply reply = { .id = request.id };

		if (got < 0)
			continue;
		request.spawn.engine_pid = engine_pid;
		reply.pid = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
		if (reply.pid == 0)
			cw_evaluator_main(ops, &request.spawn, fds);
		if (reply.pid < 0)
			reply.pid = -errno;
		for (int i = 0; i < CW_PASS_COUNT; i++)
			close(fds[i]);
		if (send(fd, &reply, sizeof(reply), MSG_NOSIGNAL) < 0)
			break;
	}
	_exit(0);
}

/* Descriptors 0 to 2 exist, so that none of ours gets such a number; nothing else of the engine is kept but the socket,
 * which moves out of the way. */
static int settle(int *fd, int64_t engine_pid, struct cw_err *err)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC), moved = fcntl(*fd, F_DUPFD_CLOEXEC, 3);

	if (null < 0 || moved < 0)
		return cw_err_set(err, CW_ERR_SYSTEM, "could not start the zygote: %s", strerror(errno));
	for (int i = 0; i <= 2; i++)
		if (fcntl(i, F_GETFD) < 0)
			dup2(null, i);
	close_range(3, (unsigned)moved - 1, 0);
	close_range((unsigned)moved + 1, ~0u, 0);
	*fd = moved;
	return cw_lockdown_begin("cw-zygote", engine_pid, err);
}

/* What loader, sanitizers, clocks and failure points look up later. */
static bool is_harmless(const char *entry)
{
	static const char *const kept[] = { "LD_", "TZ=", "LANG", "LC_", "CW_", "FAKETIME", "ASAN_", "UBSAN_", "TSAN_", "LSAN_",
		                                "GCOV_" };

	for (size_t i = 0; i < sizeof(kept) / sizeof(*kept); i++)
		if (strncmp(entry, kept[i], strlen(kept[i])) == 0)
			return true;
	return false;
}

/* The environment came along with the fork, and settings may take any variable of it for a secret. */
static void forget_environment(void)
{
	char **to = environ;

	for (char **at = environ; at != NULL && *at != NULL; at++) {
		if (is_harmless(*at))
			*to++ = *at;
		else
			explicit_bzero(*at, strlen(*at));
	}
	if (to != NULL)
		*to = NULL;
}

static _Noreturn void zygote_main(int fd, const struct cw_evaluator_ops *ops, int64_t engine_pid)
{
	struct reply hello = { .id = 0 };

	forget_environment();
	hello.pid = settle(&fd, engine_pid, &hello.err) == 0 ? getpid() : -1;
	if (send(fd, &hello, sizeof(hello), MSG_NOSIGNAL) < 0 || hello.pid < 0)
		_exit(1);
	serve(fd, ops, engine_pid);
}

_Noreturn void cw_zygote_main(int fd, const struct cw_evaluator_ops *ops)
{
	zygote_main(fd, ops, getppid());
}

/* --- outside --- */

/* An answer that came too late: nobody knows this evaluator. */
static void forsake(const struct reply *reply)
{
	if (reply->id == 0 || reply->pid <= 0)
		return;
	kill((pid_t)reply->pid, SIGKILL);
	waitpid((pid_t)reply->pid, NULL, __WALL);
}

static int wait_reply(struct cw_zygote *zygote, uint64_t id, struct reply *reply, struct cw_err *err)
{
	for (;;) {
		ssize_t n = recv(zygote->fd, reply, sizeof(*reply), 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return cw_err_set(err, CW_ERR_SYSTEM, "the zygote does not answer");
		if (n != sizeof(*reply))
			return cw_err_set(err, CW_ERR_SYSTEM, "the zygote is gone");
		if (reply->id == id)
			return 0;
		forsake(reply);
	}
}

struct cw_zygote *cw_zygote_start(const struct cw_evaluator_ops *ops, struct cw_err *err)
{
	struct cw_zygote *zygote = cw_zalloc(sizeof(*zygote));
	struct timeval limit = { .tv_sec = REPLY_S };
	pid_t engine_pid = getpid();
	struct reply hello = { .pid = 0 };
	int pair[2];

	zygote->program = -1;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
		cw_err_set(err, CW_ERR_SYSTEM, "could not start the zygote: %s", strerror(errno));
		cw_free(zygote);
		return NULL;
	}
	zygote->fd = pair[0];
	zygote->pid = fork();
	if (zygote->pid == 0)
		zygote_main(pair[1], ops, engine_pid);
	close(pair[1]);
	setsockopt(zygote->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (zygote->pid < 0)
		cw_err_set(err, CW_ERR_SYSTEM, "could not start the zygote: %s", strerror(errno));
	else if (wait_reply(zygote, 0, &hello, err) == 0 && hello.pid > 0)
		return zygote;
	else if (err != NULL && hello.pid < 0)
		*err = hello.err;
	cw_zygote_stop(&zygote);
	return NULL;
}

static void bury(struct cw_zygote *z)
{
	struct reply late;

	if (z->pid > 0) {
		kill(z->pid, SIGKILL);
		while (waitpid(z->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	if (z->fd >= 0) {
		while (recv(z->fd, &late, sizeof(late), MSG_DONTWAIT) == (ssize_t)sizeof(late))
			forsake(&late);
		close(z->fd);
	}
	z->fd = -1;
	z->pid = 0;
	z->silent = 0;
}

void cw_zygote_stop(struct cw_zygote **zygote)
{
	struct cw_zygote *z = *zygote;

	*zygote = NULL;
	if (z == NULL)
		return;
	bury(z);
	if (z->program >= 0)
		close(z->program);
	cw_free(z);
}

void cw_zygote_keep_program(struct cw_zygote *zygote)
{
	zygote->program = open("/proc/self/exe", O_PATH | O_CLOEXEC);
}

/* In the child of a program with threads: nothing but system calls. */
static _Noreturn void exec_zygote(int program, int fd)
{
	char number[12] = "", *const argv[] = { "chainwatch", CW_ZYGOTE_OPTION, number, NULL }, *const envp[] = { NULL };
	int at = sizeof(number) - 1;
	char *start;

	number[at] = '\0';
	for (int n = fd; at > 0 && (n > 0 || number[at] == '\0'); n /= 10)
		number[--at] = (char)('0' + n % 10);
	start = number + at;
	memmove(number, start, strlen(start) + 1);
	fcntl(fd, F_SETFD, 0);
	syscall(SYS_execveat, program, "", argv, envp, AT_EMPTY_PATH);
	_exit(127);
}

static int start_again(struct cw_zygote *z, struct cw_err *err)
{
	struct timeval limit = { .tv_sec = REPLY_S };
	struct reply hello = { .pid = 0 };
	int pair[2];

	if (z->program < 0)
		return -1;
	bury(z);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		return cw_err_set(err, CW_ERR_SYSTEM, "could not start the zygote again: %s", strerror(errno));
	z->fd = pair[0];
	z->pid = fork();
	if (z->pid == 0)
		exec_zygote(z->program, pair[1]);
	close(pair[1]);
	setsockopt(z->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (z->pid < 0)
		return cw_err_set(err, CW_ERR_SYSTEM, "could not start the zygote again: %s", strerror(errno));
	if (wait_reply(z, 0, &hello, err) != 0)
		return cw_err_wrap(err, "could not start the zygote again");
	if (hello.pid < 0) {
		*err = hello.err;
		return -1;
	}
	cw_log(CW_LOG_WARN, "evaluator", "the zygote was gone and was started again", "pid=%d", (int)z->pid);
	return 0;
}

bool cw_child_is_stopped(pid_t pid)
{
	siginfo_t info = { .si_pid = 0 };

	return pid > 0 && waitid(P_PID, (id_t)pid, &info, WSTOPPED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid;
}

/* Whether another one is to take its place: it has died, stands still or is silent for too long. */
static bool is_gone(struct cw_zygote *zygote)
{
	if (zygote->pid > 0 && waitpid(zygote->pid, NULL, WNOHANG) == zygote->pid)
		zygote->pid = 0;
	return zygote->pid == 0 || cw_child_is_stopped(zygote->pid) || ++zygote->silent >= SILENT_MAX;
}

static pid_t ask(struct cw_zygote *zygote, const struct cw_spawn *spawn, const int fds[CW_PASS_COUNT], bool *gone,
                 struct cw_err *err)
{
	struct request request = { .id = ++zygote->asked, .spawn = *spawn };
	struct iovec iov = { &request, sizeof(request) };
	union fd_space space = { .bytes = { 0 } };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &space, .msg_controllen = sizeof(space) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	struct reply reply;

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(CW_PASS_COUNT * sizeof(int));
	memcpy(CMSG_DATA(c), fds, CW_PASS_COUNT * sizeof(int));
	*gone = cw_child_is_stopped(zygote->pid);
	if (*gone)
		return cw_err_set(err, CW_ERR_SYSTEM, "the zygote was stopped by a signal");
	if (sendmsg(zygote->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)sizeof(request)) {
		*gone = errno == EPIPE || errno == ECONNRESET || errno == EBADF || errno == ENOTCONN;
		return cw_err_set(err, CW_ERR_SYSTEM, "could not reach the zygote: %s", strerror(errno));
	}
	if (wait_reply(zygote, request.id, &reply, err) != 0) {
		*gone = is_gone(zygote);
		return -1;
	}
	zygote->silent = 0;
	if (reply.pid <= 0)
		return cw_err_set(err, CW_ERR_SYSTEM, "could not fork an evaluator: %s", strerror((int)-reply.pid));
	return (pid_t)reply.pid;
}

pid_t cw_zygote_spawn(struct cw_zygote *zygote, const struct cw_spawn *spawn, const int fds[CW_PASS_COUNT],
                      struct cw_err *err)
{
	bool gone;
	pid_t pid = ask(zygote, spawn, fds, &gone, err);

	if (pid < 0 && gone && start_again(zygote, err) == 0)
		pid = ask(zygote, spawn, fds, &gone, err);
	return pid;
}
