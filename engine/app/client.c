#include "app/client.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/config.h"
#include "base/assert.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "http/client.h"

/* Initdb, migrations and tests of rules on a slow machine; one that has ended is not waited for. */
#define SPAWN_WAIT_MS 180000

struct slot {
	CURL *easy;
	struct curl_slist *headers;
	struct cw_buf reply;
	bool busy;
};

struct cw_client {
	CURLM *multi;
	struct slot slots[CW_CLIENT_SLOTS];
	char address[256], key[256];
	const char *ca_file;
	bool tls;
	pid_t child;
	int busy;
};

static size_t on_data(char *data, size_t size, size_t n, void *arg)
{
	cw_buf_add(arg, data, size * n);
	return size * n;
}

/* "123\n127.0.0.1:80\n": both, or neither, since the number may be signalled to. */
static void read_noted(const char *text, char *address, size_t size, pid_t *pid)
{
	char *end;
	long number = strtol(text, &end, 10);
	size_t len = *end == '\n' ? strcspn(end + 1, "\n") : 0;

	if (*text < '1' || *text > '9' || number < 2 || number > INT_MAX || len == 0 || len >= size || end[1 + len] != '\n')
		return;
	for (size_t i = 1; i <= len; i++)
		if (end[i] <= ' ' || end[i] >= 0x7f)
			return;
	*pid = (pid_t)number;
	memcpy(address, end + 1, len);
	address[len] = '\0';
}

bool cw_engine_running(const char *data_dir, char *address, size_t size, pid_t *pid)
{
	char path[512], text[512];
	ssize_t n;
	int fd, locked;

	address[0] = '\0';
	*pid = 0;
	snprintf(path, sizeof(path), "%s/engine.pid", data_dir);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	locked = flock(fd, LOCK_SH | LOCK_NB);
	n = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (locked == 0)
		return false;
	text[n > 0 ? n : 0] = '\0';
	read_noted(text, address, size, pid);
	return true;
}

static void read_key(struct cw_client *c, const char *data_dir)
{
	const char *given = getenv("CHAINWATCH_API_KEY");
	char path[512];
	FILE *f;

	if (given != NULL) {
		snprintf(c->key, sizeof(c->key), "%s", given);
		return;
	}
	snprintf(path, sizeof(path), "%s/admin.key", data_dir);
	f = fopen(path, "re");
	if (f == NULL)
		return;
	if (fgets(c->key, sizeof(c->key), f) != NULL)
		c->key[strcspn(c->key, "\r\n")] = '\0';
	fclose(f);
}

static void prepare(struct cw_client *c, struct slot *s, const char *method, const char *path,
                    const char *content_type, const void *body, size_t len)
{
	char url[512], line[320];
	bool unix_socket = strncmp(c->address, "unix:", 5) == 0;

	if (s->easy == NULL)
		s->easy = curl_easy_init();
	curl_slist_free_all(s->headers);
	s->headers = curl_slist_append(NULL, "Expect:");
	if (content_type != NULL) {
		snprintf(line, sizeof(line), "Content-Type: %s", content_type);
		s->headers = curl_slist_append(s->headers, line);
	}
	if (c->key[0] != '\0') {
		snprintf(line, sizeof(line), "X-API-Key: %s", c->key);
		s->headers = curl_slist_append(s->headers, line);
	}
	cw_buf_clear(&s->reply);
	curl_easy_reset(s->easy);
	snprintf(url, sizeof(url), "%s://%s%s", c->tls ? "https" : "http", unix_socket ? "localhost" : c->address, path);
	curl_easy_setopt(s->easy, CURLOPT_URL, url);
	if (unix_socket)
		curl_easy_setopt(s->easy, CURLOPT_UNIX_SOCKET_PATH, c->address + 5);
	curl_easy_setopt(s->easy, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(s->easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(s->easy, CURLOPT_SSL_VERIFYPEER, 1L);
	if (c->ca_file != NULL)
		curl_easy_setopt(s->easy, CURLOPT_CAINFO, c->ca_file);
	curl_easy_setopt(s->easy, CURLOPT_CUSTOMREQUEST, method);
	curl_easy_setopt(s->easy, CURLOPT_HTTPHEADER, s->headers);
	curl_easy_setopt(s->easy, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(s->easy, CURLOPT_WRITEDATA, &s->reply);
	curl_easy_setopt(s->easy, CURLOPT_TIMEOUT_MS, 120000L);
	if (body != NULL) {
		curl_easy_setopt(s->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)len);
		curl_easy_setopt(s->easy, CURLOPT_POSTFIELDS, body);
	}
}

static int status_of(const struct slot *s)
{
	long status = 0;

	curl_easy_getinfo(s->easy, CURLINFO_RESPONSE_CODE, &status);
	return (int)status;
}

static int no_answer(const struct cw_client *c, CURLcode code, struct cw_err *err)
{
	return cw_err_set(err, code == CURLE_OPERATION_TIMEDOUT ? CW_ERR_TIMEOUT : CW_ERR_DB,
	                  "could not reach the engine at \"%s\": %s", c->address, curl_easy_strerror(code));
}

int cw_client_call(struct cw_client *c, const char *method, const char *path, const char *content_type,
                   const void *body, size_t len, struct cw_buf *reply, struct cw_err *err)
{
	struct slot *s = &c->slots[0];
	CURLcode code;

	prepare(c, s, method, path, content_type, body, len);
	code = curl_easy_perform(s->easy);
	if (code != CURLE_OK)
		return no_answer(c, code, err);
	if (reply != NULL)
		cw_buf_add(reply, s->reply.data, s->reply.len);
	return status_of(s);
}

int cw_client_start(struct cw_client *c, const char *method, const char *path, const char *content_type,
                    const void *body, size_t len)
{
	for (int i = 0; i < CW_CLIENT_SLOTS; i++) {
		struct slot *s = &c->slots[i];

		if (s->busy)
			continue;
		prepare(c, s, method, path, content_type, body, len);
		/* It may be long: what ends it is that nothing moves any more. */
		curl_easy_setopt(s->easy, CURLOPT_TIMEOUT_MS, 0L);
		curl_easy_setopt(s->easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
		curl_easy_setopt(s->easy, CURLOPT_LOW_SPEED_TIME, 120L);
		curl_multi_add_handle(c->multi, s->easy);
		s->busy = true;
		c->busy++;
		return i;
	}
	return -1;
}

static int finished(struct cw_client *c, CURLMsg *msg, int *status, const struct cw_buf **reply, struct cw_err *err)
{
	CURLcode code = msg->data.result;
	int i = 0;

	while (i < CW_CLIENT_SLOTS - 1 && c->slots[i].easy != msg->easy_handle)
		i++;
	curl_multi_remove_handle(c->multi, msg->easy_handle);
	c->slots[i].busy = false;
	c->busy--;
	*reply = &c->slots[i].reply;
	*status = code == CURLE_OK ? status_of(&c->slots[i]) : 0;
	if (code != CURLE_OK)
		no_answer(c, code, err);
	return i;
}

int cw_client_wait(struct cw_client *c, int *status, const struct cw_buf **reply, struct cw_err *err)
{
	int running, left;

	while (c->busy > 0) {
		CURLMsg *msg;

		curl_multi_perform(c->multi, &running);
		while ((msg = curl_multi_info_read(c->multi, &left)) != NULL)
			if (msg->msg == CURLMSG_DONE)
				return finished(c, msg, status, reply, err);
		curl_multi_poll(c->multi, NULL, 0, 1000, NULL);
	}
	return -1;
}

void cw_client_drive(struct cw_client *c)
{
	int running;

	if (c->busy > 0)
		curl_multi_perform(c->multi, &running);
}

int cw_client_busy(const struct cw_client *c)
{
	return c->busy;
}

const char *cw_client_address(const struct cw_client *c)
{
	return c->address;
}

static bool answers(struct cw_client *c, const char *path)
{
	struct cw_err err;

	return cw_client_call(c, "GET", path, NULL, NULL, 0, NULL, &err) == 200;
}

/* The child listens on a socket of its own, so that no port is taken, and dies with us. */
static int spawn_engine(struct cw_client *c, const struct cw_config *config, struct cw_err *err)
{
	char option[300];
	pid_t parent = getpid();

	snprintf(c->address, sizeof(c->address), "unix:/tmp/chainwatch-%d.sock", (int)parent);
	snprintf(option, sizeof(option), "http.listen=%s", c->address);
	c->tls = false;
	c->child = fork();
	if (c->child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		if (getppid() != parent)
			_exit(1);
		if (config->path != NULL)
			setenv("CHAINWATCH_CONFIG", config->path, 1);
		setenv("CHAINWATCH_DATA_DIR", config->data_dir, 1);
		setenv("CHAINWATCH_LOG", "warn", 0);
		setsid();
		execl("/proc/self/exe", "chainwatch", "serve", "--set", option, (char *)NULL);
		_exit(127);
	}
	if (c->child < 0)
		return cw_err_set(err, CW_ERR_SYSTEM, "could not start an engine: %s", strerror(errno));
	for (int waited = 0; waited < SPAWN_WAIT_MS; waited += 20) {
		if (waitpid(c->child, NULL, WNOHANG) == c->child) {
			c->child = 0;
			return cw_err_set(err, CW_ERR_DB, "could not start an engine: it ended, see above");
		}
		if (access(c->address + 5, F_OK) == 0 && answers(c, "/health/ready"))
			return 0;
		usleep(20000);
	}
	return cw_err_set(err, CW_ERR_TIMEOUT, "could not start an engine: it was not ready in time");
}

struct cw_client *cw_client_open(const struct cw_config *config, bool spawn, struct cw_err *err)
{
	struct cw_client *c = cw_zalloc(sizeof(*c));
	pid_t pid;

	cw_httpc_global();
	c->multi = curl_multi_init();
	cw_assert(c->multi != NULL);
	for (int i = 0; i < CW_CLIENT_SLOTS; i++)
		cw_buf_init(&c->slots[i].reply);
	c->tls = config->tls_cert[0] != '\0';
	c->ca_file = c->tls ? config->tls_cert : NULL;
	if (!cw_engine_running(config->data_dir, c->address, sizeof(c->address), &pid) || c->address[0] == '\0') {
		snprintf(c->address, sizeof(c->address), "%s", config->listen);
		if (!answers(c, "/health/live")) {
			if (!spawn) {
				cw_err_set(err, CW_ERR_DB, "no engine is running on \"%s\" or answers at \"%s\"", config->data_dir,
				           config->listen);
				goto fail;
			}
			if (spawn_engine(c, config, err) != 0)
				goto fail;
		}
	}
	read_key(c, config->data_dir);
	return c;
fail:
	cw_client_close(&c);
	return NULL;
}

void cw_client_close(struct cw_client **client)
{
	struct cw_client *c = *client;

	*client = NULL;
	if (c == NULL)
		return;
	for (int i = 0; i < CW_CLIENT_SLOTS; i++) {
		struct slot *s = &c->slots[i];

		if (s->busy)
			curl_multi_remove_handle(c->multi, s->easy);
		curl_easy_cleanup(s->easy);
		curl_slist_free_all(s->headers);
		cw_buf_release(&s->reply);
	}
	curl_multi_cleanup(c->multi);
	if (c->child > 0) {
		kill(c->child, SIGTERM);
		waitpid(c->child, NULL, 0);
	}
	cw_free(c);
}
