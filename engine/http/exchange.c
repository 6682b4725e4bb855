#include "http/exchange.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/arena.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/utf8.h"

#define SPARE_MAX 256
#define DROP_MAX 65536             /* of a body nobody wants: read it to keep the connection, beyond it close */
#define EARLY_MS 500               /* a refusal waits so long for the chunks behind its head */
#define BODY_FIRST 65536           /* room made at once for a body of known length */
#define CLIENT_GONE 499            /* in log and metrics only, as nginx counts it */

/* ---- life ---- */

struct cw_exchange *cw_exchange_take(struct cw_server *server)
{
	struct cw_list *link = cw_list_take(&server->spare);
	struct cw_exchange *x;

	if (link != NULL) {
		server->nspare--;
		x = cw_list_entry(link, struct cw_exchange, link);
	} else {
		x = cw_zalloc(sizeof(*x));
		cw_list_init(&x->link);
		x->parser = cw_parser_new(&server->conf.limits);
		x->req.arena = cw_arena_new();
		cw_buf_init(&x->body);
		cw_buf_init(&x->held);
		cw_buf_init(&x->headers);
		x->server = server;
		x->generation = server->generation;
	}
	x->req.magic = CW_REQUEST_MAGIC;
	x->req.deadline_us = INT64_MAX;
	x->minor = 1;
	return x;
}

static void keep_small(struct cw_buf *buf)
{
	if (buf->cap > CW_KEEP_BYTES)
		cw_buf_release(buf);
	else
		cw_buf_clear(buf);
}

static void destroy(struct cw_exchange *x)
{
	cw_parser_free(&x->parser);
	cw_arena_free(&x->req.arena);
	cw_buf_release(&x->body);
	cw_buf_release(&x->held);
	cw_buf_release(&x->headers);
	cw_free(x);
}

/* Everything as at first, but parser, arena and buffers are kept. */
static void reset(struct cw_exchange *x)
{
	struct cw_exchange kept = *x;

	cw_arena_clear(x->req.arena);
	keep_small(&kept.body);
	keep_small(&kept.held);
	keep_small(&kept.headers);
	memset(x, 0, sizeof(*x));
	x->req.arena = kept.req.arena;
	x->server = kept.server;
	x->parser = kept.parser;
	x->body = kept.body;
	x->held = kept.held;
	x->headers = kept.headers;
	x->generation = kept.generation;
	cw_list_init(&x->link);
	cw_parser_next(x->parser);
}

void cw_exchange_release(struct cw_exchange *x)
{
	struct cw_server *server = x->server;

	cw_list_remove(&x->link);
	if (x->router != NULL)
		cw_router_unref(&x->router);
	x->req.magic = 0;
	if (server != NULL)
		server->body_bytes -= x->body_bytes;
	if (server == NULL || server->nspare >= SPARE_MAX || x->generation != server->generation) {
		destroy(x);
		return;
	}
	reset(x);
	cw_list_prepend(&server->spare, &x->link);   /* the last one used is the warmest */
	server->nspare++;
}

/* ---- ids ---- */

static void put_hex(char *out, uint64_t v)
{
	static const char digits[] = "0123456789abcdef";

	for (int i = 15; i >= 0; i--, v >>= 4)
		out[i] = digits[v & 15];
}

/* 64 random bits of this process and a counter, stirred so that ids look different (the finaliser of Steele, Lea and
 * Flood's SplitMix64 is a bijection: they stay distinct). */
static void make_id(char id[65])
{
	static uint64_t process, counter;
	uint64_t z;

	if (process == 0 && getrandom(&process, sizeof(process), 0) != (ssize_t)sizeof(process))
		process = (uint64_t)cw_clock_wall_us();
	z = process + ++counter * 0x9e3779b97f4a7c15u;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	put_hex(id, process);
	put_hex(id + 16, z ^ (z >> 31));
	id[32] = '\0';
}

static bool is_harmless_id(struct cw_slice id)
{
	for (size_t i = 0; i < id.len; i++)
		if (strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.", id.p[i]) == NULL)
			return false;
	return id.len > 0 && id.len <= 64;
}

static void set_id(struct cw_exchange *x)
{
	struct cw_slice id = cw_request_header(&x->req, "x-request-id");

	if (id.p == NULL || !is_harmless_id(id)) {
		make_id(x->req.id);
		return;
	}
	memcpy(x->req.id, id.p, id.len);
	x->req.id[id.len] = '\0';
}

/* ---- the queue of a connection ---- */

static struct cw_exchange *first_of(const struct cw_peer *conn)
{
	return cw_list_empty(&conn->queue) ? NULL : cw_list_entry(conn->queue.next, struct cw_exchange, link);
}

static void dequeue(struct cw_peer *conn, struct cw_exchange *x)
{
	cw_list_remove(&x->link);
	conn->nqueue--;
	if (x->method != 0 && !x->safe)
		conn->nunsafe--;
	if (conn->current == x)
		conn->current = NULL;
}

static void give_held(struct cw_exchange *x)
{
	struct cw_buf *out = cw_exchange_out(x);

	if (out == NULL || out == &x->held)
		return;
	cw_buf_add(out, x->held.data, x->held.len);
	cw_buf_release(&x->held);
}

/* Moves on behind replies that are complete. A request that is not wholly read yet stays, so that its rest is not
 * taken for the next one, unless the connection ends with it. */
static void advance(struct cw_peer *conn)
{
	struct cw_exchange *x, *next;

	while (!conn->dead && !conn->last_sent && (x = first_of(conn)) != NULL && x->answer == CW_ANSWER_SENT) {
		if (x->early || (x == conn->current && !x->close))
			return;
		if (x->close)
			conn->closing = conn->last_sent = true;
		dequeue(conn, x);
		cw_exchange_release(x);
		next = first_of(conn);
		if (next != NULL && next->held.len > 0)
			give_held(next);
	}
}

struct cw_buf *cw_exchange_out(struct cw_exchange *x)
{
	struct cw_peer *conn = x->req.conn;
	struct cw_server *server = x->server;

	if (conn == NULL || conn->dead || conn->last_sent || conn->cut)
		return NULL;
	if (first_of(conn) != x || x->early)
		return &x->held;
	if (conn->out.cap == 0 && server->nspare_out > 0)
		conn->out = server->spare_out[--server->nspare_out];
	return &conn->out;
}

bool cw_exchange_is_last(const struct cw_exchange *x)
{
	if (x->req.conn == NULL || !x->keep_alive || x->server->draining)
		return true;
	if (x->stage == CW_STAGE_RUN || x->answer == CW_ANSWER_BEGUN)
		return false;
	/* The body is still to come. After 100 Continue was withheld nobody knows whether it will (RFC 9110 10.1.1). */
	return x->expects || x->req.head->content_length > DROP_MAX;
}

/* Chunks are awaited for a moment before their request is refused: if their framing is broken, that is what the client,
 * and whoever sits between, must hear. Not where the client waits for a word before it sends them, or while draining. */
bool cw_exchange_is_early(const struct cw_exchange *x)
{
	return x->req.conn != NULL && x->req.head != NULL && x->req.head->chunked && x->stage != CW_STAGE_RUN && !x->streams &&
	       !x->expects && !x->server->draining;
}

size_t cw_exchange_pending(const struct cw_exchange *x)
{
	const struct cw_peer *conn = x->req.conn;

	if (conn == NULL || conn->dead)
		return 0;
	return cw_peer_out_pending(conn) + (first_of(conn) == x ? 0 : x->held.len);
}

/* ---- what is counted and logged ---- */

static struct cw_route_metrics *metrics_of(struct cw_exchange *x)
{
	if (x->req.route == NULL)
		return &x->server->unmatched;
	return &((struct cw_routed *)(uintptr_t)x->req.route)->metrics;
}

static void count_status(struct cw_exchange *x, struct cw_route_metrics *m)
{
	const char *pattern = x->req.route != NULL ? x->req.route->pattern : "none";
	size_t n = sizeof(m->by_status) / sizeof(*m->by_status);
	struct cw_metric *metric;
	char labels[512];

	for (size_t i = 0; i < n && m->by_status[i].count != NULL; i++)
		if (m->by_status[i].status == x->status) {
			cw_metric_add(m->by_status[i].count, 1);
			return;
		}
	snprintf(labels, sizeof(labels), "route=\"%s\",code=\"%d\"", pattern, x->status);
	metric = cw_counter("chainwatch_http_requests_total", "Requests answered, by route and status.", labels);
	cw_metric_add(metric, 1);
	for (size_t i = 0; i < n; i++)
		if (m->by_status[i].count == NULL) {
			m->by_status[i].count = metric;
			m->by_status[i].status = x->status;
			break;
		}
}

static void account(struct cw_exchange *x, int status)
{
	struct cw_route_metrics *m = metrics_of(x);
	int64_t took_us = x->req.start_us > 0 ? cw_clock_mono_us() - x->req.start_us : 0;
	char path[512];

	x->status = status;
	count_status(x, m);
	if (m->seconds == NULL) {
		char labels[512];

		snprintf(labels, sizeof(labels), "route=\"%s\"", x->req.route != NULL ? x->req.route->pattern : "none");
		m->seconds = cw_histogram("chainwatch_http_request_seconds", "From the whole head to the whole reply.", labels,
		                          cw_seconds_bounds, cw_seconds_nbounds);
	}
	cw_metric_observe(m->seconds, (double)took_us / 1e6);
	if (!x->server->conf.access_log || (x->req.route != NULL && (x->req.route->flags & CW_ROUTE_NO_ACCESS_LOG)))
		return;
	cw_log(CW_LOG_INFO, "http", "request", "req=%s remote=%s method=%s path=%s status=%d bytes=%llu us=%lld", x->req.id,
	       x->req.remote, cw_method_name(x->method),
	       cw_log_quote(path, sizeof(path), x->req.path != NULL ? x->req.path : "-"), status,
	       (unsigned long long)x->sent_bytes, (long long)took_us);
}

static void uncount(struct cw_exchange *x)
{
	if (x->counted && x->server != NULL)
		x->server->in_flight--;
	x->counted = x->owned = false;
}

void cw_exchange_answered(struct cw_exchange *x)
{
	struct cw_peer *conn = x->req.conn;

	uncount(x);
	if (conn == NULL) {
		if (x->server != NULL) {
			x->server->norphans--;
			cw_server_schedule(x->server);
		}
		cw_exchange_release(x);
		return;
	}
	if (x->early) {
		x->req.deadline_us = cw_clock_mono_us() + EARLY_MS * 1000;
		cw_peer_touch(conn);
		return;
	}
	account(x, x->status);
	if (first_of(conn) == x)
		advance(conn);
	cw_peer_touch(conn);
}

/* The early answer stands. */
static void give_early(struct cw_exchange *x)
{
	x->early = false;
	account(x, x->status);
	give_held(x);
}

void cw_exchange_give_early(struct cw_exchange *x)
{
	struct cw_peer *conn = x->req.conn;

	give_early(x);
	if (first_of(conn) == x)
		advance(conn);
}

/* The early answer is withdrawn: there is a better one. */
static void withdraw_early(struct cw_exchange *x)
{
	x->early = x->cache_control = false;
	x->answer = CW_ANSWER_NONE;
	x->sent_bytes = 0;
	cw_buf_clear(&x->held);
	cw_buf_clear(&x->headers);
}

/* ---- giving up ---- */

void cw_exchange_drop(struct cw_exchange *x)
{
	struct cw_peer *conn = x->req.conn;
	cw_abort_fn *fn = x->on_abort;

	dequeue(conn, x);
	if (x->early)
		account(x, CLIENT_GONE);
	if (!x->owned) {
		cw_exchange_release(x);
		return;
	}
	if (x->answer == CW_ANSWER_BEGUN)
		account(x, x->status);   /* the usual end of an event stream */
	else if (x->status != CLIENT_GONE)
		account(x, CLIENT_GONE);
	x->req.conn = NULL;
	x->on_abort = NULL;
	cw_list_append(&x->server->orphans, &x->link);
	x->server->norphans++;
	if (fn != NULL)
		fn(x->abort_arg, &x->req);
}

/* Puts another exchange into the place of one that a handler still has, and lets the handler keep the old one. */
static struct cw_exchange *replace(struct cw_exchange *x)
{
	struct cw_exchange *y = cw_exchange_take(x->server);
	struct cw_peer *conn = x->req.conn;

	y->req.conn = conn;
	y->req.route = x->req.route;
	y->router = x->router != NULL ? cw_router_ref(x->router) : NULL;
	y->req.path = x->req.path != NULL ? cw_arena_strndup(y->req.arena, x->req.path, strlen(x->req.path)) : NULL;
	y->req.start_us = x->req.start_us;
	memcpy(y->req.id, x->req.id, sizeof(y->req.id));
	memcpy(y->req.remote, x->req.remote, sizeof(y->req.remote));
	y->method = x->method;
	y->minor = x->minor;
	y->safe = x->safe;
	y->keep_alive = x->keep_alive && conn->current != x;
	y->stage = CW_STAGE_RUN;
	cw_list_append(&x->link, &y->link);   /* just before x */
	conn->nqueue++;
	conn->nunsafe += y->method != 0 && !y->safe;
	if (conn->current == x)
		conn->closing = true;
	x->status = CLIENT_GONE;   /* accounted by y */
	return y;
}

static void answer_instead(struct cw_exchange *x, const struct cw_problem *problem)
{
	struct cw_exchange *y = replace(x);

	cw_exchange_drop(x);
	cw_reply_problem(&y->req, problem);
}

void cw_exchange_time_out(struct cw_exchange *x)
{
	answer_instead(x, &(struct cw_problem){ .status = 503, .code = "timeout", .retry_after_s = 1,
	                                        .detail = "the request could not be answered in time" });
}

void cw_peer_fail(struct cw_peer *conn, int status, const char *code, const char *detail)
{
	struct cw_exchange *x = conn->current;
	struct cw_problem problem = { .status = status, .code = code, .detail = detail,
		                          .retry_after_s = status == 503 ? 1 : 0 };

	conn->closing = true;
	if (x->early)
		withdraw_early(x);
	if (x->answer == CW_ANSWER_SENT) {
		x->close = true;
		if (first_of(conn) == x)
			advance(conn);
		else
			conn->current = NULL;
	} else if (x->answer == CW_ANSWER_BEGUN) {
		conn->last_sent = true;   /* all that can be said is that it ends too early */
		cw_exchange_drop(x);
	} else if (x->owned) {
		answer_instead(x, &problem);
	} else {
		if (x->req.id[0] == '\0')
			make_id(x->req.id);
		conn->current = NULL;
		x->keep_alive = false;
		x->stage = CW_STAGE_RUN;
		cw_reply_problem(&x->req, &problem);
	}
}

/* ---- from head to handler ---- */

static struct cw_exchange *begin(struct cw_peer *conn)
{
	struct cw_exchange *x = cw_exchange_take(conn->server);

	x->req.conn = conn;
	memcpy(x->req.remote, conn->remote, sizeof(x->req.remote));
	cw_list_append(&conn->queue, &x->link);
	conn->nqueue++;
	conn->current = x;
	conn->serial++;
	return x;
}

static void on_head(struct cw_peer *conn, struct cw_exchange *x)
{
	const struct cw_head *head = cw_parser_head(x->parser);

	x->req.head = head;
	x->req.start_us = cw_clock_mono_us();
	x->method = head->method;
	x->minor = head->minor;
	x->keep_alive = head->keep_alive;
	x->expects = head->expect_continue;
	x->safe = (head->method & (CW_METHOD_GET | CW_METHOD_HEAD | CW_METHOD_OPTIONS)) != 0;
	conn->nunsafe += !x->safe;
	set_id(x);
	x->stage = CW_STAGE_TURN;
	conn->server->requests++;
}

static bool has_turn(const struct cw_peer *conn, const struct cw_exchange *x)
{
	return first_of(conn) == x || (x->safe && !x->expects && conn->nunsafe == 0);
}

static void answer_unmatched(struct cw_exchange *x, unsigned allowed)
{
	bool all = cw_slice_is(x->req.head->path, "*");
	char allow[64];

	if (!all && allowed == 0) {
		cw_reply_problem(&x->req, &(struct cw_problem){ .status = 404, .code = "not_found",
		                                                .detail = "there is no such path" });
		return;
	}
	cw_reply_header(&x->req, "Allow", cw_allow_text(all ? 127u : allowed, allow));
	if (x->method == CW_METHOD_OPTIONS)
		cw_reply_send(&x->req, 204, NULL, NULL, 0);
	else
		cw_reply_problem(&x->req, &(struct cw_problem){ .status = 405, .code = "method_not_allowed",
		                                                .detail = "this path does not take this method" });
}

static int64_t reply_deadline(const struct cw_exchange *x)
{
	int64_t ms = x->req.route != NULL && x->req.route->timeout_ms > 0 ? x->req.route->timeout_ms
	                                                                  : x->server->conf.reply_ms;

	return cw_clock_mono_us() + ms * 1000;
}

static void call_handler(struct cw_exchange *x)
{
	x->owned = x->counted = true;
	x->server->in_flight++;
	x->req.route->fn(x->req.route->arg, &x->req);   /* x may be gone */
}

/* A body that would have to be decoded first. */
static bool is_encoded(const struct cw_exchange *x)
{
	struct cw_slice coding = cw_request_header(&x->req, "content-encoding");

	return coding.p != NULL && !cw_slice_is(coding, "identity") && (x->req.head->chunked || x->req.head->content_length > 0);
}

/* Behind the gate: what has no route is answered, what has one gets its body read. */
static void admit(struct cw_peer *conn, struct cw_exchange *x)
{
	const struct cw_route *route = x->req.route;
	struct cw_slice piece;
	size_t used;

	x->stage = CW_STAGE_BODY;
	x->owned = false;
	x->req.deadline_us = INT64_MAX;
	if (route == NULL) {
		unsigned allowed = 0;

		if (x->router != NULL)
			cw_router_match(x->router, &x->req, &allowed);
		answer_unmatched(x, allowed);
		return;
	}
	if (is_encoded(x)) {
		cw_reply_problem(&x->req, &(struct cw_problem){ .status = 415, .code = "content_encoding",
		                                                .detail = "bodies are taken without Content-Encoding only" });
		return;
	}
	cw_parser_set_body_limit(x->parser, route->body_limit > 0 ? route->body_limit : conn->server->conf.limits.body);
	/* A body that is announced too long is refused before the client is told to send it. */
	if (cw_parser_feed(x->parser, NULL, 0, &used, &piece) == CW_PARSE_ERROR)
		return;
	if (x->expects) {
		struct cw_buf *out = cw_exchange_out(x);

		if (out != NULL)
			cw_buf_puts(out, "HTTP/1.1 100 Continue\r\n\r\n");
		x->expects = false;
	}
	if (route->flags & CW_ROUTE_STREAM_BODY) {
		x->streams = true;
		call_handler(x);
	}
}

/* While memory is short what is under way needs it all. Reads that need no key stay: health, metrics. */
static bool turned_away(const struct cw_exchange *x)
{
	return x->req.route != NULL && (x->req.route->roles != 0 || !x->safe) && cw_mem_short();
}

/* Its turn has come: finds the route and asks the gate. */
static void enter(struct cw_peer *conn, struct cw_exchange *x)
{
	struct cw_server *server = conn->server;
	unsigned allowed;

	x->stage = CW_STAGE_GATE;
	if (server->router != NULL) {
		x->router = cw_router_ref(server->router);
		cw_router_match(x->router, &x->req, &allowed);
		if (cw_utf8_check(x->req.path, strlen(x->req.path)) != strlen(x->req.path)) {
			x->req.path = NULL;
			cw_peer_fail(conn, 400, "bad_request", "the path is not UTF-8");
			return;
		}
	}
	if (turned_away(x)) {
		cw_reply_problem(&x->req, &(struct cw_problem){ .status = 503, .code = "busy", .retry_after_s = 1,
		                                                .detail = "memory is short; try again shortly" });
		return;
	}
	if (server->gate != NULL) {
		x->owned = true;
		x->req.deadline_us = reply_deadline(x);
		if (!server->gate(server->gate_arg, &x->req))
			return;   /* answered, perhaps gone; or held */
	}
	admit(conn, x);
}

static void on_piece(struct cw_peer *conn, struct cw_exchange *x, struct cw_slice piece)
{
	struct cw_server *server = conn->server;

	conn->phase_bytes += piece.len;
	if (x->answer == CW_ANSWER_SENT || (x->streams && x->on_body == NULL)) {
		x->dropped_bytes += piece.len;
		if (x->answer != CW_ANSWER_SENT || x->dropped_bytes <= DROP_MAX)
			return;
		if (x->early)
			give_early(x);
		cw_peer_fail(conn, 413, "content_too_large", "");   /* answered already: only ends the connection */
		return;
	}
	if (x->streams) {
		x->on_body(x->body_arg, &x->req, piece.p, piece.len, false);   /* x may be gone */
		return;
	}
	if (server->body_bytes + piece.len > server->conf.bodies) {
		cw_peer_fail(conn, 503, "busy", "too many request bodies are in memory already; try again shortly");
		return;
	}
	server->body_bytes += piece.len;
	x->body_bytes += piece.len;
	if (x->body.cap == 0 && x->req.head->content_length > 0)
		cw_buf_reserve(&x->body, x->req.head->content_length < BODY_FIRST ? (size_t)x->req.head->content_length
		                                                                  : BODY_FIRST);
	cw_buf_add(&x->body, piece.p, piece.len);
}

static void on_complete(struct cw_peer *conn, struct cw_exchange *x)
{
	x->stage = CW_STAGE_RUN;
	conn->current = NULL;
	conn->closing = conn->closing || !x->keep_alive;
	if (x->answer == CW_ANSWER_SENT) {
		if (x->early)
			give_early(x);
		if (first_of(conn) == x)
			advance(conn);
		return;
	}
	x->req.deadline_us = reply_deadline(x);
	if (x->streams) {
		if (x->on_body != NULL)
			x->on_body(x->body_arg, &x->req, "", 0, true);
		return;
	}
	x->req.body = x->body.data;
	x->req.body_len = x->body.len;
	call_handler(x);
}

static const char *code_of(int status)
{
	switch (status) {
	case 413: return "content_too_large";
	case 414: return "uri_too_long";
	case 417: return "expectation_failed";
	case 431: return "headers_too_large";
	case 501: return "not_implemented";
	case 505: return "version_not_supported";
	default: return "bad_request";
	}
}

bool cw_exchange_is_blocked(const struct cw_exchange *x)
{
	return x->stage == CW_STAGE_TURN || (x->stage == CW_STAGE_GATE && x->answer == CW_ANSWER_NONE) ||
	       (x->paused && x->answer != CW_ANSWER_SENT);
}

/* Calls the parser once. Returns false when it wants more bytes. Handlers may run, so x may be gone afterwards. */
static bool step(struct cw_peer *conn, struct cw_exchange *x, const char *data, size_t len, size_t *at)
{
	struct cw_slice piece;
	size_t used;
	enum cw_parse found = cw_parser_feed(x->parser, len > *at ? data + *at : NULL, len - *at, &used, &piece);

	*at += used;
	switch (found) {
	case CW_PARSE_MORE: return false;
	case CW_PARSE_HEAD: on_head(conn, x); return true;
	case CW_PARSE_BODY: on_piece(conn, x, piece); return true;
	case CW_PARSE_DONE: on_complete(conn, x); return true;
	case CW_PARSE_ERROR:
		cw_peer_fail(conn, cw_parser_status(x->parser), code_of(cw_parser_status(x->parser)),
		             cw_parser_reason(x->parser));
		return true;
	}
	return false;
}

size_t cw_peer_consume(struct cw_peer *conn, const char *data, size_t len)
{
	size_t at = 0;

	while (!conn->closing && !conn->dead && !conn->cut) {
		struct cw_exchange *x = conn->current;

		if (x == NULL) {
			if (at == len || conn->nqueue >= conn->server->conf.pipeline_max || cw_peer_out_pending(conn) > CW_OUT_LOW)
				break;
			x = begin(conn);
		}
		if (x->stage == CW_STAGE_TURN && has_turn(conn, x))
			enter(conn, x);
		else if (cw_exchange_is_blocked(x))
			break;
		else if (x->stage == CW_STAGE_ADMIT)
			admit(conn, x);
		else if (!step(conn, x, data, len, &at))
			break;
	}
	return at;
}

/* ---- what handlers call ---- */

void cw_request_on_abort(struct cw_request *req, cw_abort_fn *fn, void *arg)
{
	struct cw_exchange *x = CW_CAST(cw_exchange_of(req), CW_REQUEST_MAGIC);

	x->on_abort = fn;
	x->abort_arg = arg;
}

void cw_request_on_body(struct cw_request *req, cw_body_fn *fn, void *arg)
{
	struct cw_exchange *x = CW_CAST(cw_exchange_of(req), CW_REQUEST_MAGIC);

	x->on_body = fn;
	x->body_arg = arg;
}

void cw_request_pause(struct cw_request *req)
{
	struct cw_exchange *x = CW_CAST(cw_exchange_of(req), CW_REQUEST_MAGIC);

	x->paused = true;
}

void cw_request_resume(struct cw_request *req)
{
	struct cw_exchange *x = CW_CAST(cw_exchange_of(req), CW_REQUEST_MAGIC);

	x->paused = false;
	if (req->conn != NULL)
		cw_peer_touch(req->conn);
}

void cw_request_proceed(struct cw_request *req)
{
	struct cw_exchange *x = CW_CAST(cw_exchange_of(req), CW_REQUEST_MAGIC);

	if (x->stage != CW_STAGE_GATE || x->answer != CW_ANSWER_NONE) {
		cw_bug("proceed with a request that no gate holds");
		return;
	}
	x->on_abort = NULL;   /* the gate's */
	if (req->conn == NULL) {
		cw_exchange_answered(x);   /* gave up meanwhile; nobody else has it */
		return;
	}
	x->stage = CW_STAGE_ADMIT;
	x->req.deadline_us = INT64_MAX;
	cw_peer_touch(req->conn);
}

void cw_reply_cut(struct cw_request *req)
{
	struct cw_exchange *x = CW_CAST(cw_exchange_of(req), CW_REQUEST_MAGIC);

	if (x->answer != CW_ANSWER_BEGUN) {
		cw_bug("only a reply that has begun can be cut off");
		return;
	}
	x->answer = CW_ANSWER_SENT;
	if (req->conn == NULL) {
		cw_exchange_answered(x);
		return;
	}
	uncount(x);
	account(x, x->status);
	req->conn->cut = true;
	cw_peer_touch(req->conn);
}
