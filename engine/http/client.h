/* client.h - everything outgoing over HTTP: one client for JSON-RPC nodes, webhooks and whatever follows.
 *
 * On libcurl's multi interface and the loop: connections are kept and used again, nothing blocks (names are resolved by
 * libcurl's threads). http and https only, certificates are checked, redirects are not followed, proxies and .netrc are
 * not looked at: where a call goes is what its URL says. Loop thread only.
 *
 * What comes from a stranger's hands (a webhook's URL) is called by a client that is `public_only`: the address that was
 * resolved is looked at when the socket is opened, so a name that resolves differently the second time does not get by. */
#ifndef CW_HTTP_CLIENT_H
#define CW_HTTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cw_err;
struct cw_httpc;
struct cw_httpc_call;
struct cw_loop;
struct sockaddr;

struct cw_httpc_conf {
	int host_connections;         /* to one host at a time, 8; more calls wait */
	int idle_connections;         /* kept open, 32 */
	const char *ca_file;          /* certificates to trust; NULL: the system's */
	const char *user_agent;       /* NULL: "chainwatch" */
	bool public_only;             /* refuse private, loopback, link-local and other special addresses */
};

struct cw_httpc_request {
	const char *method;           /* NULL: GET, or POST with a body */
	const char *url;
	const char *const *headers;   /* "Name: value" */
	int nheaders;
	const void *body;             /* copied */
	size_t len;
	int64_t deadline_ms;          /* of the whole call, 30000 */
	int64_t connect_ms;           /* 5000 */
	size_t max_bytes;             /* of the answer's body, decompressed; 16 MiB */
	bool cut;                     /* only the status counts: a body that is too long, too slow or broken off is cut, no error */
};

/* Valid during the callback. */
struct cw_httpc_answer {
	int status;                   /* any: 404 is an answer, not an error */
	const char *body;             /* NUL-terminated */
	size_t len;
	const char *content_type;     /* "" if none */
	int64_t retry_after_ms;       /* from Retry-After, seconds or a date; -1: none */
	int64_t took_us;
};

/* Exactly once, at the end of a turn: never before start has returned. `answer` is NULL when `err` is set:
 * CW_ERR_TIMEOUT, CW_ERR_DENIED (public_only), CW_ERR_INVALID (too large, not HTTP), CW_ERR_BUSY (could not connect, or the
 * connection broke: try again). May start and cancel calls; must not free the client. */
typedef void cw_httpc_fn(void *arg, const struct cw_httpc_answer *answer, const struct cw_err *err);

/* Before any other use of libcurl in this process, by whomever; later calls do nothing. Its memory comes from base/mem.h. */
void cw_httpc_global(void);

struct cw_httpc *cw_httpc_new(struct cw_loop *loop, const struct cw_httpc_conf *conf);   /* NULL conf: defaults */
/* Calls under way are cancelled: nobody is told. Not from a callback. */
void cw_httpc_free(struct cw_httpc **client);

/* NULL and CW_ERR_INVALID if the URL or a header makes no sense. The call is valid until its callback or its cancel. */
struct cw_httpc_call *cw_httpc_start(struct cw_httpc *client, const struct cw_httpc_request *request, cw_httpc_fn *fn,
                                     void *arg, struct cw_err *err);
/* `fn` will not be called. */
void cw_httpc_cancel(struct cw_httpc_call **call);
int cw_httpc_busy(const struct cw_httpc *client);                   /* calls under way */

/* Whether it is an absolute http or https URL with a host. */
int cw_httpc_check_url(const char *url, struct cw_err *err);
/* Scheme, host and port, for logs and status: user, password, path and query may hold keys. "?" if it is no URL. */
void cw_httpc_label(const char *url, char *out, size_t size);
/* An address that public_only refuses. */
bool cw_httpc_is_special(const struct sockaddr *address);

#endif
