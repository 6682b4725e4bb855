#include "http/reply.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "http/exchange.h"

#define JSON_TYPE "application/json"
#define PROBLEM_TYPE "application/problem+json"

/* The usual ones first: it is searched in order. */
static const struct { int status; const char *text; } statuses[] = {
	{ 200, "OK" }, { 404, "Not Found" }, { 400, "Bad Request" }, { 201, "Created" }, { 202, "Accepted" },
	{ 204, "No Content" }, { 207, "Multi-Status" }, { 301, "Moved Permanently" }, { 302, "Found" },
	{ 303, "See Other" }, { 304, "Not Modified" }, { 307, "Temporary Redirect" }, { 308, "Permanent Redirect" },
	{ 401, "Unauthorized" }, { 403, "Forbidden" }, { 405, "Method Not Allowed" }, { 406, "Not Acceptable" },
	{ 408, "Request Timeout" }, { 409, "Conflict" }, { 410, "Gone" }, { 411, "Length Required" },
	{ 412, "Precondition Failed" }, { 413, "Content Too Large" }, { 414, "URI Too Long" },
	{ 415, "Unsupported Media Type" }, { 417, "Expectation Failed" }, { 422, "Unprocessable Content" },
	{ 428, "Precondition Required" }, { 429, "Too Many Requests" }, { 431, "Request Header Fields Too Large" },
	{ 500, "Internal Server Error" }, { 501, "Not Implemented" }, { 502, "Bad Gateway" },
	{ 503, "Service Unavailable" }, { 504, "Gateway Timeout" }, { 505, "HTTP Version Not Supported" },
	{ 507, "Insufficient Storage" },
};

const char *cw_status_text(int status)
{
	for (size_t i = 0; i < sizeof(statuses) / sizeof(*statuses); i++)
		if (statuses[i].status == status)
			return statuses[i].text;
	return "Unknown";
}

/* Written anew once a second. IMF-fixdate, RFC 9110 5.6.7; strftime's names are English in the "C" locale only. */
static const char *date_line(size_t *len)
{
	static const char days[][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
	static const char months[][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
	static char line[80];
	static size_t line_len;
	static int64_t line_second = -1;
	int64_t second = cw_clock_wall_us() / 1000000;

	if (second != line_second) {
		time_t t = (time_t)second;
		struct tm tm;

		gmtime_r(&t, &tm);
		line_len = (size_t)snprintf(line, sizeof(line), "Date: %s, %02d %s %04d %02d:%02d:%02d GMT\r\n", days[tm.tm_wday],
		                            tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
		line_second = second;
	}
	*len = line_len;
	return line;
}

/* ---- headers ---- */

static bool is_clean(const char *text)
{
	for (; *text != '\0'; text++)
		if (((unsigned char)*text < 0x20 && *text != '\t') || *text == 0x7f)
			return false;
	return true;
}

void cw_reply_header(struct cw_request *req, const char *name, const char *value)
{
	struct cw_exchange *x = CW_CAST(cw_exchange_of(req), CW_REQUEST_MAGIC);

	if (x->answer != CW_ANSWER_NONE) {
		cw_bug("header \"%s\" after the reply has begun", name);
		return;
	}
	if (name[0] == '\0' || strpbrk(name, " \t:") != NULL || !is_clean(name) || !is_clean(value)) {
		cw_bug("reply header \"%s\" has a name or value that would break the message", name);
		return;
	}
	x->cache_control = x->cache_control || strcasecmp(name, "cache-control") == 0;
	cw_buf_puts(&x->headers, name);
	cw_buf_add(&x->headers, ": ", 2);
	cw_buf_puts(&x->headers, value);
	cw_buf_add(&x->headers, "\r\n", 2);
}

#define ADD(out, literal) cw_buf_add((out), literal, sizeof(literal) - 1)

static void put_status(struct cw_buf *out, int status)
{
	if (status == 200) {
		ADD(out, "HTTP/1.1 200 OK\r\n");
		return;
	}
	ADD(out, "HTTP/1.1 ");
	cw_buf_uint(out, (uint64_t)status);
	cw_buf_putc(out, ' ');
	cw_buf_puts(out, cw_status_text(status));
	ADD(out, "\r\n");
}

static bool has_no_body(int status)
{
	return status == 204 || status == 304 || status < 200;
}

/* length -1: a stream. */
static void put_head(struct cw_buf *out, struct cw_exchange *x, const char *content_type, int64_t length)
{
	size_t date_len;
	const char *date = date_line(&date_len);

	cw_buf_reserve(out, 512);
	put_status(out, x->status);
	cw_buf_add(out, date, date_len);
	if (content_type != NULL) {
		ADD(out, "Content-Type: ");
		cw_buf_puts(out, content_type);
		ADD(out, "\r\n");
	}
	if (length >= 0 && !has_no_body(x->status)) {
		ADD(out, "Content-Length: ");
		cw_buf_uint(out, (uint64_t)length);
		ADD(out, "\r\n");
	} else if (x->chunked) {
		ADD(out, "Transfer-Encoding: chunked\r\n");
	}
	if (x->close)
		ADD(out, "Connection: close\r\n");
	else if (x->minor == 0)
		ADD(out, "Connection: keep-alive\r\n");
	ADD(out, "X-Request-Id: ");
	cw_buf_puts(out, x->req.id);
	ADD(out, "\r\nX-Content-Type-Options: nosniff\r\n");
	if (!x->cache_control)
		ADD(out, "Cache-Control: no-store\r\n");
	cw_buf_add(out, x->headers.data, x->headers.len);
	ADD(out, "\r\n");
}

/* False if it has been answered before, which a handler must not do. */
static bool start(struct cw_exchange *x, int status, enum cw_answer answer)
{
	if (x->answer != CW_ANSWER_NONE) {
		cw_bug("second answer (%d) to one request", status);
		return false;
	}
	if (status < 200 || status > 599) {
		cw_bug("a reply cannot have status %d", status);
		status = 500;
	}
	x->status = status;
	x->close = cw_exchange_is_last(x);
	x->early = answer == CW_ANSWER_SENT && cw_exchange_is_early(x);
	x->answer = answer;
	return true;
}

/* ---- whole replies ---- */

void cw_reply_send(struct cw_request *req, int status, const char *content_type, const void *body, size_t len)
{
	struct cw_exchange *x = CW_CAST(cw_exchange_of(req), CW_REQUEST_MAGIC);
	struct cw_buf *out;

	if (!start(x, status, CW_ANSWER_SENT))
		return;
	out = cw_exchange_out(x);
	if (out != NULL) {
		put_head(out, x, content_type, (int64_t)len);
		if (body != NULL && x->method != CW_METHOD_HEAD && !has_no_body(x->status)) {
			cw_buf_add(out, body, len);
			x->sent_bytes += len;
		}
	}
	cw_exchange_answered(x);
}

void cw_reply_json(struct cw_request *req, int status, const char *json, size_t len)
{
	cw_reply_send(req, status, JSON_TYPE, json, len);
}

/* ---- problems (RFC 9457) ---- */

/* Codes may come from scripts: what does not belong into a URN is left out. */
static void put_name(struct cw_buf *out, const char *code)
{
	for (; *code != '\0'; code++)
		if ((*code >= 'a' && *code <= 'z') || (*code >= '0' && *code <= '9') || strchr("_.-", *code) != NULL)
			cw_buf_putc(out, *code);
}

void cw_reply_problem(struct cw_request *req, const struct cw_problem *problem)
{
	struct cw_buf body = CW_BUF_INIT;
	char text[24];

	cw_buf_puts(&body, "{\"type\":\"urn:chainwatch:problem:");
	put_name(&body, problem->code);
	cw_buf_puts(&body, "\",\"title\":");
	cw_json_put_cstring(&body, problem->title != NULL ? problem->title : cw_status_text(problem->status));
	cw_buf_printf(&body, ",\"status\":%d,\"code\":", problem->status);
	cw_json_put_cstring(&body, problem->code);
	if (problem->detail != NULL) {
		cw_buf_puts(&body, ",\"detail\":");
		cw_json_put_cstring(&body, problem->detail);
	}
	if (req->path != NULL) {
		cw_buf_puts(&body, ",\"instance\":");
		cw_json_put_cstring(&body, req->path);
	}
	cw_buf_puts(&body, ",\"request_id\":");
	cw_json_put_cstring(&body, req->id);
	if (problem->errors_json != NULL) {
		cw_buf_puts(&body, ",\"errors\":");
		cw_buf_puts(&body, problem->errors_json);
	}
	cw_buf_putc(&body, '}');
	if (problem->retry_after_s > 0 || problem->status == 503) {
		snprintf(text, sizeof(text), "%d", problem->retry_after_s > 0 ? problem->retry_after_s : 1);
		cw_reply_header(req, "Retry-After", text);
	}
	cw_reply_send(req, problem->status, PROBLEM_TYPE, body.data, body.len);
	cw_buf_release(&body);
}

char *cw_allow_text(unsigned methods, char out[64])
{
	size_t n = 0;

	if (methods & CW_METHOD_GET)
		methods |= CW_METHOD_HEAD;
	methods |= CW_METHOD_OPTIONS;
	out[0] = '\0';
	for (unsigned bit = CW_METHOD_GET; bit <= CW_METHOD_OPTIONS; bit <<= 1)
		if (methods & bit)
			n += (size_t)snprintf(out + n, 64 - n, "%s%s", n > 0 ? ", " : "", cw_method_name((enum cw_method)bit));
	return out;
}

/* What a client may hear of a failure that is not its own. */
static const char *public_detail(enum cw_code code)
{
	switch (code) {
	case CW_ERR_BUSY: return "too much is waiting already; try again shortly";
	case CW_ERR_TIMEOUT: return "the request could not be answered in time";
	case CW_ERR_CANCELLED: return "the request was cancelled";
	case CW_ERR_DB: return "the database could not answer";
	case CW_ERR_FULL: return "the database has no room on its disk";
	case CW_ERR_SYSTEM: return "the system could not give what this needs; try again shortly";
	case CW_ERR_SCRIPT: return "the script behind this endpoint failed";
	default: return "an internal error";
	}
}

void cw_reply_error(struct cw_request *req, const struct cw_err *err)
{
	struct cw_problem problem = { .status = cw_code_http_status(err->code), .code = cw_code_name(err->code) };

	if (problem.status < 400) {
		cw_bug("an error without a code: %s", err->msg);
		problem.status = 500;
		problem.code = cw_code_name(CW_ERR_INTERNAL);
	}
	problem.detail = problem.status >= 500 ? public_detail(err->code) : err->msg;
	if (problem.status == 503 || problem.status == 507)
		problem.retry_after_s = 1;
	if (problem.status >= 500) {
		char quoted[2 * sizeof(err->msg)];

		cw_log(err->code == CW_ERR_BUSY || err->code == CW_ERR_CANCELLED ? CW_LOG_DEBUG : CW_LOG_ERROR, "http",
		       "request failed", "req=%s status=%d code=%s sqlstate=%s error=%s", req->id, problem.status, problem.code,
		       err->sqlstate[0] != '\0' ? err->sqlstate : "-", cw_log_quote(quoted, sizeof(quoted), err->msg));
	}
	cw_reply_problem(req, &problem);
}

/* ---- streams ---- */

void cw_reply_begin(struct cw_request *req, int status, const char *content_type)
{
	struct cw_exchange *x = CW_CAST(cw_exchange_of(req), CW_REQUEST_MAGIC);
	struct cw_buf *out;

	if (!start(x, status, CW_ANSWER_BEGUN))
		return;
	x->chunked = x->minor == 1 && !has_no_body(x->status);
	x->close = x->close || (x->minor == 0 && !has_no_body(x->status));   /* ends with the connection */
	out = cw_exchange_out(x);
	if (out == NULL)
		return;
	put_head(out, x, content_type, -1);
	cw_peer_touch(req->conn);
}

static void put_chunk(struct cw_buf *out, const void *data, size_t len)
{
	char size[20];
	int n = snprintf(size, sizeof(size), "%zx\r\n", len);

	cw_buf_reserve(out, len + (size_t)n + 2);
	cw_buf_add(out, size, (size_t)n);
	cw_buf_add(out, data, len);
	cw_buf_add(out, "\r\n", 2);
}

size_t cw_reply_piece(struct cw_request *req, const void *data, size_t len)
{
	struct cw_exchange *x = CW_CAST(cw_exchange_of(req), CW_REQUEST_MAGIC);
	struct cw_buf *out;
	size_t pending;

	if (x->answer != CW_ANSWER_BEGUN) {
		cw_bug("a piece of a reply that has not begun or is over");
		return 0;
	}
	out = cw_exchange_out(x);
	if (out == NULL)
		return 0;
	if (len > 0 && x->method != CW_METHOD_HEAD && !has_no_body(x->status)) {
		if (x->chunked)
			put_chunk(out, data, len);   /* never of length 0, which would end the body */
		else
			cw_buf_add(out, data, len);
		x->sent_bytes += len;
		cw_peer_touch(req->conn);
	}
	pending = cw_exchange_pending(x);
	x->full = x->full || pending > CW_OUT_HIGH;
	return pending;
}

void cw_reply_on_drain(struct cw_request *req, cw_drain_fn *fn, void *arg)
{
	struct cw_exchange *x = CW_CAST(cw_exchange_of(req), CW_REQUEST_MAGIC);

	x->on_drain = fn;
	x->drain_arg = arg;
}

void cw_reply_end(struct cw_request *req)
{
	struct cw_exchange *x = CW_CAST(cw_exchange_of(req), CW_REQUEST_MAGIC);
	struct cw_buf *out;

	if (x->answer != CW_ANSWER_BEGUN) {
		cw_bug("the end of a reply that has not begun or is over");
		return;
	}
	out = cw_exchange_out(x);
	if (out != NULL && x->chunked && x->method != CW_METHOD_HEAD)
		ADD(out, "0\r\n\r\n");
	x->answer = CW_ANSWER_SENT;
	cw_exchange_answered(x);
}

bool cw_reply_begun(const struct cw_request *req)
{
	return ((const struct cw_exchange *)(const void *)req)->answer != CW_ANSWER_NONE;
}
