/* The client: a curl multi handle whose sockets and timer are the loop's.
 *
 * libcurl may not be called from its own callbacks, and an owner may do anything in his: so a call that is complete goes
 * to a list, and is told at the end of the turn. */
#include "http/client.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/list.h"
#include "base/mem.h"
#include "loop/loop.h"

#define HTTPC_MAGIC 0x48545443u    /* "HTTC" */
#define RETRY_AFTER_MAX_S 86400

struct cw_httpc {
	uint32_t magic;
	struct cw_loop *loop;
	struct cw_timer *timer;
	CURLM *multi;
	char *ca_file, *user_agent;
	struct cw_list running, done;
	int busy;
	bool public_only;
};

struct cw_httpc_call {
	struct cw_list link;
	struct cw_httpc *client;
	CURL *easy;
	struct curl_slist *headers;
	cw_httpc_fn *fn;
	void *arg;
	struct cw_buf body;
	size_t max_bytes;
	bool refused, too_large, cut;
	bool headed;                     /* all headers of the final answer are there */
	int64_t retry_after_ms, started_us;
	CURLcode result;
	char detail[CURL_ERROR_SIZE];
	char label[128];
};

/* --- sockets and timer --- */

static void collect(struct cw_httpc *c);

static void on_socket(void *arg, int fd, int flags)
{
	struct cw_httpc *c = CW_CAST(arg, HTTPC_MAGIC);
	int running, select = ((flags & CW_WATCH_READ) != 0 ? CURL_CSELECT_IN : 0) |
	                      ((flags & CW_WATCH_WRITE) != 0 ? CURL_CSELECT_OUT : 0);

	curl_multi_socket_action(c->multi, fd, select, &running);
	collect(c);
}

static void on_timer(void *arg)
{
	struct cw_httpc *c = CW_CAST(arg, HTTPC_MAGIC);
	int running;

	curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	collect(c);
}

static int set_timer(CURLM *multi, long after_ms, void *arg)
{
	struct cw_httpc *c = arg;

	(void)multi;
	if (after_ms < 0)
		cw_timer_clear(c->timer);
	else
		cw_timer_set(c->timer, after_ms);
	return 0;
}

static int set_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	struct cw_httpc *c = arg;
	struct cw_watch *watch = socket_arg;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		cw_watch_free(&watch);
		curl_multi_assign(c->multi, fd, NULL);
		return 0;
	}
	if (watch == NULL) {
		watch = cw_watch_new(c->loop, fd, on_socket, c);
		curl_multi_assign(c->multi, fd, watch);
	}
	cw_watch_set(watch, ((what & CURL_POLL_IN) != 0 ? CW_WATCH_READ : 0) |
	                        ((what & CURL_POLL_OUT) != 0 ? CW_WATCH_WRITE : 0));
	return 0;
}

/* --- where a call may go --- */

/* Networks that are not somebody else's server on the internet: IANA's special-purpose registries. */
static bool special_ipv4(uint32_t a)
{
	static const struct { uint32_t net, mask; } nets[] = {
		{ 0x00000000, 0xff000000 }, { 0x0a000000, 0xff000000 }, { 0x64400000, 0xffc00000 }, { 0x7f000000, 0xff000000 },
		{ 0xa9fe0000, 0xffff0000 }, { 0xac100000, 0xfff00000 }, { 0xc0000000, 0xffffff00 }, { 0xc0000200, 0xffffff00 },
		{ 0xc0586300, 0xffffff00 }, { 0xc0a80000, 0xffff0000 }, { 0xc6120000, 0xfffe0000 }, { 0xc6336400, 0xffffff00 },
		{ 0xcb007100, 0xffffff00 }, { 0xe0000000, 0xe0000000 },
	};

	for (size_t i = 0; i < sizeof(nets) / sizeof(*nets); i++)
		if ((a & nets[i].mask) == nets[i].net)
			return true;
	return false;
}

static uint32_t be32(const uint8_t *b)
{
	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

/* Only 2000::/3 is given out, and in it 6to4 and the translators hide an IPv4 address. */
static bool special_ipv6(const uint8_t b[16])
{
	static const uint8_t zero[12], mapped[12] = { [10] = 0xff, [11] = 0xff };
	static const uint8_t nat64[12] = { 0x00, 0x64, 0xff, 0x9b };

	if (memcmp(b, zero, sizeof(zero)) == 0 || memcmp(b, mapped, sizeof(mapped)) == 0 ||
	    memcmp(b, nat64, sizeof(nat64)) == 0)
		return memcmp(b, zero, sizeof(zero)) == 0 || special_ipv4(be32(b + 12));
	if (b[0] == 0x20 && b[1] == 0x02)
		return special_ipv4(be32(b + 2));
	if (b[0] == 0x20 && b[1] == 0x01 && (b[2] < 0x02 || (b[2] == 0x0d && b[3] == 0xb8)))
		return true;             /* 2001::/23 (Teredo and the like), 2001:db8::/32 */
	return (b[0] & 0xe0) != 0x20;
}

bool cw_httpc_is_special(const struct sockaddr *address)
{
	if (address->sa_family == AF_INET)
		return special_ipv4(ntohl(((const struct sockaddr_in *)(const void *)address)->sin_addr.s_addr));
	if (address->sa_family == AF_INET6)
		return special_ipv6(((const struct sockaddr_in6 *)(const void *)address)->sin6_addr.s6_addr);
	return true;
}

static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct cw_httpc_call *call = arg;

	(void)purpose;
	if (call->client->public_only && cw_httpc_is_special(&address->addr)) {
		call->refused = true;
		return CURL_SOCKET_BAD;
	}
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static CURLU *parse_url(const char *url, struct cw_err *err)
{
	CURLU *u = curl_url();
	char *scheme = NULL, *host = NULL;
	CURLUcode rc = curl_url_set(u, CURLUPART_URL, url, 0);
	bool good = rc == CURLUE_OK && curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
	            curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK && host[0] != '\0' &&
	            (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0);

	curl_free(scheme);
	curl_free(host);
	if (good)
		return u;
	curl_url_cleanup(u);
	cw_err_set(err, CW_ERR_INVALID, "is not an http or https URL%s%s", rc != CURLUE_OK ? ": " : "",
	           rc != CURLUE_OK ? curl_url_strerror(rc) : "");
	return NULL;
}

int cw_httpc_check_url(const char *url, struct cw_err *err)
{
	CURLU *u = parse_url(url, err);

	if (u == NULL)
		return -1;
	curl_url_cleanup(u);
	return 0;
}

void cw_httpc_label(const char *url, char *out, size_t size)
{
	CURLU *u = parse_url(url, NULL);
	char *scheme = NULL, *host = NULL, *port = NULL;

	snprintf(out, size, "?");
	if (u == NULL)
		return;
	curl_url_get(u, CURLUPART_SCHEME, &scheme, 0);
	curl_url_get(u, CURLUPART_HOST, &host, 0);
	curl_url_get(u, CURLUPART_PORT, &port, 0);
	if (scheme != NULL && host != NULL)
		snprintf(out, size, "%s://%s%s%s", scheme, host, port != NULL ? ":" : "", port != NULL ? port : "");
	curl_free(scheme);
	curl_free(host);
	curl_free(port);
	curl_url_cleanup(u);
}

/* --- the answer --- */

static size_t on_body(char *bytes, size_t size, size_t n, void *arg)
{
	struct cw_httpc_call *call = arg;
	size_t len = size * n;

	if (len > call->max_bytes - call->body.len) {
		call->too_large = true;
		if (call->cut)
			cw_buf_add(&call->body, bytes, call->max_bytes - call->body.len);
		return 0;
	}
	cw_buf_add(&call->body, bytes, len);
	return len;
}

static int64_t read_retry_after(const char *text, size_t len)
{
	char value[64];
	char *end;
	long long seconds;

	snprintf(value, sizeof(value), "%.*s", (int)(len < sizeof(value) ? len : sizeof(value) - 1), text);
	seconds = strtoll(value, &end, 10);
	if (end == value || (*end != '\0' && strchr(" \r\n", *end) == NULL)) {
		time_t at = curl_getdate(value, NULL);

		if (at < 0)
			return -1;
		seconds = (long long)at - cw_clock_wall_us() / 1000000;
	}
	if (seconds < 0)
		seconds = 0;
	return (seconds < RETRY_AFTER_MAX_S ? seconds : RETRY_AFTER_MAX_S) * 1000;
}

static size_t on_header(char *bytes, size_t size, size_t n, void *arg)
{
	static const char name[] = "retry-after:";
	struct cw_httpc_call *call = arg;
	size_t len = size * n, at = sizeof(name) - 1;

	if (len > at && strncasecmp(bytes, name, at) == 0) {
		while (at < len && bytes[at] == ' ')
			at++;
		call->retry_after_ms = read_retry_after(bytes + at, len - at);
	}
	if (len <= 2 && (bytes[0] == '\r' || bytes[0] == '\n')) {
		long status = 0;

		curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
		call->headed = status >= 200;
	}
	return len;
}

/* --- calls --- */

/* Puts the URL and the reason together, without path and query. */
static void describe(const struct cw_httpc_call *call, struct cw_err *err)
{
	const char *reason = call->detail[0] != '\0' ? call->detail : curl_easy_strerror(call->result);

	if (call->refused)
		cw_err_set(err, CW_ERR_DENIED, "could not call \"%s\": its address is private or special", call->label);
	else if (call->too_large)
		cw_err_set(err, CW_ERR_INVALID, "the answer of \"%s\" is larger than %zu bytes", call->label, call->max_bytes);
	else if (call->result == CURLE_OPERATION_TIMEDOUT)
		cw_err_set(err, CW_ERR_TIMEOUT, "could not call \"%s\" in time: %s", call->label, reason);
	else if (call->result == CURLE_WEIRD_SERVER_REPLY || call->result == CURLE_UNSUPPORTED_PROTOCOL ||
	         call->result == CURLE_BAD_CONTENT_ENCODING)
		cw_err_set(err, CW_ERR_INVALID, "the answer of \"%s\" is not HTTP: %s", call->label, reason);
	else
		cw_err_set(err, CW_ERR_BUSY, "could not call \"%s\": %s", call->label, reason);
}

static void call_free(struct cw_httpc_call *call)
{
	cw_list_remove(&call->link);
	call->client->busy--;
	if (call->easy != NULL) {
		curl_multi_remove_handle(call->client->multi, call->easy);
		curl_easy_cleanup(call->easy);
	}
	curl_slist_free_all(call->headers);
	cw_buf_release(&call->body);
	cw_free(call);
}

static void tell(struct cw_httpc_call *call)
{
	struct cw_err err = { .code = CW_OK };
	struct cw_httpc_answer answer = { .retry_after_ms = call->retry_after_ms };
	cw_httpc_fn *fn = call->fn;
	void *arg = call->arg;
	char *type = NULL;
	char content_type[128];
	struct cw_buf body;
	long status = 0;

	if (call->result != CURLE_OK && !(call->cut && call->headed)) {
		describe(call, &err);
		call_free(call);
		fn(arg, NULL, &err);
		return;
	}
	curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(call->easy, CURLINFO_CONTENT_TYPE, &type);
	snprintf(content_type, sizeof(content_type), "%s", type != NULL ? type : "");
	answer.status = (int)status;
	answer.content_type = content_type;
	answer.took_us = cw_clock_mono_us() - call->started_us;
	body = call->body;
	answer.body = body.data;
	answer.len = body.len;
	cw_buf_init(&call->body);
	call_free(call);
	fn(arg, &answer, NULL);
	cw_buf_release(&body);
}

/* The callbacks may cancel others of the list: each is taken when its turn comes. */
static void tell_all(void *arg)
{
	struct cw_httpc *c = CW_CAST(arg, HTTPC_MAGIC);
	struct cw_list *link;

	while ((link = cw_list_take(&c->done)) != NULL)
		tell(cw_list_entry(link, struct cw_httpc_call, link));
}

static void collect(struct cw_httpc *c)
{
	CURLMsg *msg;
	int left;

	while ((msg = curl_multi_info_read(c->multi, &left)) != NULL) {
		struct cw_httpc_call *call;
		char *private = NULL;

		cw_assert(msg->msg == CURLMSG_DONE);   /* there is no other */
		curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &private);
		call = (struct cw_httpc_call *)(void *)private;
		call->result = msg->data.result;
		cw_list_remove(&call->link);
		if (cw_list_empty(&c->done))
			cw_loop_defer(c->loop, tell_all, c);
		cw_list_append(&c->done, &call->link);
	}
}

static void set_options(struct cw_httpc_call *call, const struct cw_httpc_request *r)
{
	const struct cw_httpc *c = call->client;
	const char *method = r->method != NULL ? r->method : r->body != NULL ? "POST" : "GET";
	CURL *e = call->easy;

	curl_easy_setopt(e, CURLOPT_URL, r->url);
	curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(e, CURLOPT_PROXY, "");
	curl_easy_setopt(e, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, 1L);
	curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, 2L);
	if (c->ca_file != NULL)
		curl_easy_setopt(e, CURLOPT_CAINFO, c->ca_file);
	curl_easy_setopt(e, CURLOPT_USERAGENT, c->user_agent);
	curl_easy_setopt(e, CURLOPT_ACCEPT_ENCODING, "");
	curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)(r->deadline_ms > 0 ? r->deadline_ms : 30000));
	curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)(r->connect_ms > 0 ? r->connect_ms : 5000));
	curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, open_socket);
	curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, call);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, call);
	curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(e, CURLOPT_HEADERDATA, call);
	curl_easy_setopt(e, CURLOPT_ERRORBUFFER, call->detail);
	curl_easy_setopt(e, CURLOPT_PRIVATE, call);
	if (strcmp(method, "HEAD") == 0)
		curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
	if (r->body != NULL) {
		curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->len);
		curl_easy_setopt(e, CURLOPT_COPYPOSTFIELDS, r->body);
	}
	if (strcmp(method, "HEAD") != 0 && strcmp(method, r->body != NULL ? "POST" : "GET") != 0)
		curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, method);
	curl_easy_setopt(e, CURLOPT_HTTPHEADER, call->headers);
}

static int add_headers(struct cw_httpc_call *call, const struct cw_httpc_request *r, struct cw_err *err)
{
	for (int i = 0; i < r->nheaders; i++) {
		const char *h = r->headers[i];

		if (strpbrk(h, "\r\n") != NULL || strchr(h, ':') == NULL || h[0] == ':')
			return cw_err_set(err, CW_ERR_INVALID, "header %d is not \"Name: value\" in one line", i + 1);
		call->headers = curl_slist_append(call->headers, h);
	}
	call->headers = curl_slist_append(call->headers, "Expect:");   /* no round trip before a body */
	return 0;
}

struct cw_httpc_call *cw_httpc_start(struct cw_httpc *client, const struct cw_httpc_request *request, cw_httpc_fn *fn,
                                     void *arg, struct cw_err *err)
{
	struct cw_httpc_call *call;

	if (cw_httpc_check_url(request->url, err) != 0)
		return NULL;
	call = cw_zalloc(sizeof(*call));
	call->client = client;
	client->busy++;
	call->fn = fn;
	call->arg = arg;
	call->max_bytes = request->max_bytes > 0 ? request->max_bytes : 16u << 20;
	call->cut = request->cut;
	call->retry_after_ms = -1;
	call->started_us = cw_clock_mono_us();
	cw_buf_init(&call->body);
	cw_httpc_label(request->url, call->label, sizeof(call->label));
	cw_list_init(&call->link);
	cw_list_append(&client->running, &call->link);
	call->easy = curl_easy_init();
	cw_assert(call->easy != NULL);
	if (add_headers(call, request, err) != 0) {
		curl_easy_cleanup(call->easy);
		call->easy = NULL;
		call_free(call);
		return NULL;
	}
	set_options(call, request);
	curl_multi_add_handle(client->multi, call->easy);
	return call;
}

void cw_httpc_cancel(struct cw_httpc_call **call)
{
	struct cw_httpc_call *c = *call;

	*call = NULL;
	if (c != NULL)
		call_free(c);
}

int cw_httpc_busy(const struct cw_httpc *client)
{
	return client->busy;
}

/* --- the client --- */

static char *copy(const char *text)
{
	size_t size = strlen(text) + 1;

	return memcpy(cw_alloc(size), text, size);
}

static void *zeroed(size_t n, size_t size)
{
	cw_assert(size == 0 || n <= SIZE_MAX / size);
	return cw_zalloc(n * size);
}

void cw_httpc_global(void)
{
	static bool done;

	if (!done)
		cw_assert(curl_global_init_mem(CURL_GLOBAL_DEFAULT, cw_alloc, cw_free, cw_realloc, cw_strdup, zeroed) == CURLE_OK);
	done = true;
}

struct cw_httpc *cw_httpc_new(struct cw_loop *loop, const struct cw_httpc_conf *conf)
{
	static const struct cw_httpc_conf normal;
	struct cw_httpc *c = cw_zalloc(sizeof(*c));

	cw_httpc_global();
	if (conf == NULL)
		conf = &normal;
	c->magic = HTTPC_MAGIC;
	c->loop = loop;
	cw_list_init(&c->running);
	cw_list_init(&c->done);
	c->ca_file = conf->ca_file != NULL ? copy(conf->ca_file) : NULL;
	c->user_agent = copy(conf->user_agent != NULL ? conf->user_agent : "chainwatch");
	c->public_only = conf->public_only;
	c->timer = cw_timer_new(loop, on_timer, c);
	c->multi = curl_multi_init();
	cw_assert(c->multi != NULL);
	curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, set_socket);
	curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
	curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, set_timer);
	curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
	curl_multi_setopt(c->multi, CURLMOPT_MAX_HOST_CONNECTIONS,
	                  (long)(conf->host_connections > 0 ? conf->host_connections : 8));
	curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, (long)(conf->idle_connections > 0 ? conf->idle_connections : 32));
	return c;
}

void cw_httpc_free(struct cw_httpc **client)
{
	struct cw_httpc *c = *client;

	*client = NULL;
	if (c == NULL)
		return;
	cw_loop_undefer(c->loop, tell_all, c);
	while (!cw_list_empty(&c->running))
		call_free(cw_list_entry(c->running.next, struct cw_httpc_call, link));
	while (!cw_list_empty(&c->done))
		call_free(cw_list_entry(c->done.next, struct cw_httpc_call, link));
	curl_multi_cleanup(c->multi);
	cw_timer_free(&c->timer);
	cw_free(c->ca_file);
	cw_free(c->user_agent);
	cw_free(c);
}
