#include "base/child.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"

#define SAID_MAX (4u << 20)          /* of each stream; what comes after it is read and dropped */

static _Noreturn void become(const struct cw_child *c, int out_fd, int err_fd, pid_t parent)
{
	sigset_t none;
	int null_fd = open("/dev/null", O_RDWR);

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (int s = 1; s < NSIG; s++)
		signal(s, SIG_DFL);
	dup2(null_fd, 0);
	if (out_fd >= 0)
		dup2(out_fd, 1);
	if (err_fd >= 0)
		dup2(err_fd, 2);
	close_range(3, ~0U, 0);
	if (c->as_user && geteuid() == 0 &&
	    (setgroups(0, NULL) != 0 || setresgid(c->gid, c->gid, c->gid) != 0 || setresuid(c->uid, c->uid, c->uid) != 0 ||
	     chdir("/") != 0)) {
		dprintf(2, "could not change to user id %ld: %s\n", (long)c->uid, strerror(errno));
		_exit(126);
	}
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(126);
	for (int i = 0; c->env != NULL && c->env[i] != NULL; i++)
		putenv((char *)c->env[i]);
	execvp(c->argv[0], (char *const *)c->argv);
	dprintf(2, "could not run \"%s\": %s\n", c->argv[0], strerror(errno));
	_exit(127);
}

/* False at the end of the stream. */
static bool take(int fd, struct cw_buf *into)
{
	char text[16384];
	ssize_t n = read(fd, text, sizeof(text));

	if (n < 0 && errno == EINTR)
		return true;
	if (n > 0 && into->len < SAID_MAX)
		cw_buf_add(into, text, (size_t)n);
	return n > 0;
}

static void listen_to(int fds[2], struct cw_buf *const into[2])
{
	while (fds[0] >= 0 || fds[1] >= 0) {
		struct pollfd p[2] = { { .fd = fds[0], .events = POLLIN }, { .fd = fds[1], .events = POLLIN } };

		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return;
		for (int i = 0; i < 2; i++) {
			if (fds[i] < 0 || p[i].revents == 0 || take(fds[i], into[i]))
				continue;
			close(fds[i]);
			fds[i] = -1;
		}
	}
}

int cw_child_run(const struct cw_child *child, struct cw_err *err)
{
	struct cw_buf *into[2] = { child->out, child->err };
	int read_ends[2] = { -1, -1 }, write_ends[2] = { -1, -1 }, status = 0;
	pid_t parent = getpid(), pid;

	for (int i = 0; i < 2; i++) {
		int ends[2];

		if (into[i] == NULL)
			continue;
		if (pipe2(ends, O_CLOEXEC) != 0)
			return cw_err_set(err, CW_ERR_SYSTEM, "could not make a pipe: %s", strerror(errno));
		read_ends[i] = ends[0];
		write_ends[i] = ends[1];
	}
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		become(child, write_ends[0], write_ends[1], parent);
	for (int i = 0; i < 2; i++)
		if (write_ends[i] >= 0)
			close(write_ends[i]);
	if (pid > 0)
		listen_to(read_ends, into);
	for (int i = 0; i < 2; i++)
		if (read_ends[i] >= 0)
			close(read_ends[i]);
	if (pid < 0)
		return cw_err_set(err, CW_ERR_SYSTEM, "could not fork: %s", strerror(errno));
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
