#include "app/systemd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "loop/loop.h"

#define FIRST_SOCKET 3

struct cw_watchdog {
	struct cw_timer *timer;
	int64_t every_ms;
};

/* A datagram to $NOTIFY_SOCKET; '@' stands for the NUL of an abstract name. */
void cw_systemd_notify(const char *text)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd;

	if (path == NULL || (path[0] != '/' && path[0] != '@') || strlen(path) >= sizeof(to.sun_path))
		return;
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	memcpy(to.sun_path, path, strlen(path));
	if (path[0] == '@')
		to.sun_path[0] = '\0';
	sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&to,
	       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path)));
	close(fd);
}

/* Whether the variable names this process: an environment is inherited by children that it does not mean. */
static bool is_us(const char *variable)
{
	const char *pid = getenv(variable);

	return pid != NULL && strtol(pid, NULL, 10) == getpid();
}

int cw_systemd_socket(void)
{
	const char *fds = getenv("LISTEN_FDS");
	int listening = 0;
	socklen_t size = sizeof(listening);

	if (!is_us("LISTEN_PID") || fds == NULL || strtol(fds, NULL, 10) < 1 ||
	    getsockopt(FIRST_SOCKET, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) != 0 || !listening)
		return -1;
	return FIRST_SOCKET;
}

static void on_timer(void *arg)
{
	struct cw_watchdog *w = arg;

	cw_systemd_notify("WATCHDOG=1");
	cw_timer_set(w->timer, w->every_ms);
}

struct cw_watchdog *cw_systemd_watchdog(struct cw_loop *loop)
{
	const char *text = getenv("WATCHDOG_USEC");
	long long usec = text != NULL ? strtoll(text, NULL, 10) : 0;
	struct cw_watchdog *w;

	if (usec <= 0 || (getenv("WATCHDOG_PID") != NULL && !is_us("WATCHDOG_PID")))
		return NULL;
	w = cw_zalloc(sizeof(*w));
	w->every_ms = usec / 2000 > 0 ? usec / 2000 : 1;
	w->timer = cw_timer_new(loop, on_timer, w);
	cw_timer_set(w->timer, 1);
	return w;
}

void cw_systemd_watchdog_stop(struct cw_watchdog **watchdog)
{
	struct cw_watchdog *w = *watchdog;

	*watchdog = NULL;
	if (w == NULL)
		return;
	cw_timer_free(&w->timer);
	cw_free(w);
}

int cw_systemd_credential(const char *name, char *path, size_t size, struct cw_err *err)
{
	const char *dir = getenv("CREDENTIALS_DIRECTORY");

	if (name[0] == '\0' || name[0] == '.' || strchr(name, '/') != NULL)
		return cw_err_set(err, CW_ERR_INVALID, "\"%s\" is no name of a credential", name);
	if (dir == NULL || dir[0] != '/')
		return cw_err_set(err, CW_ERR_INVALID, "credential \"%s\": there is no $CREDENTIALS_DIRECTORY (LoadCredential= in the unit)",
		                  name);
	if (snprintf(path, size, "%s/%s", dir, name) >= (int)size)
		return cw_err_set(err, CW_ERR_INVALID, "credential \"%s\": the path is too long", name);
	return 0;
}
