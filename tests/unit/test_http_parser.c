/* A table of requests. Each is parsed whole, byte by byte and cut at random: what is found must be the same.
 *
 * Sources: RFC 9112 and RFC 9110, the 57 requests that evhttp was measured with, the published finds of HTTP Garden
 * (chunk sizes with prefix or sign, bare LF, version overflow) and of PortSwigger's request smuggling research. */
#include "http/parser.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

struct one {
	const char *name, *bytes;
	size_t len;
	const char *expect;
};
#define ONE(name, bytes, expect) { name, bytes, sizeof(bytes) - 1, expect }

/* What was found: "METHOD path?query + <body>" for a whole request (+ keep alive, - close), the status for an error,
 * "..." for a request that is not complete. */
static void trace(struct cw_buf *out, struct cw_parser *p, const struct cw_buf *body)
{
	const struct cw_head *h = cw_parser_head(p);

	if (out->len > 0)
		cw_buf_puts(out, " | ");
	cw_buf_printf(out, "%s %.*s", cw_method_name(h->method), (int)h->path.len, h->path.p);
	if (h->query.len > 0)
		cw_buf_printf(out, "?%.*s", (int)h->query.len, h->query.p);
	cw_buf_printf(out, " %c <", h->keep_alive ? '+' : '-');
	for (size_t i = 0; i < body->len; i++)
		cw_buf_printf(out, body->data[i] >= ' ' && body->data[i] < 0x7f ? "%c" : "\\%02x", (unsigned char)body->data[i]);
	cw_buf_putc(out, '>');
}

/* Feeds [bytes, len) as one piece in memory of just that size, so that a read beyond it is seen. True to go on. */
static bool feed(struct cw_parser *p, const char *bytes, size_t len, struct cw_buf *out, struct cw_buf *body)
{
	char *copy = malloc(len > 0 ? len : 1);
	size_t at = 0, used;
	struct cw_slice piece;
	bool go_on = true, more = false;

	if (len > 0)
		memcpy(copy, bytes, len);
	while (go_on && !more) {
		enum cw_parse found = cw_parser_feed(p, copy + at, len - at, &used, &piece);

		ck_assert_uint_le(used, len - at);
		switch (found) {
		case CW_PARSE_MORE:
			ck_assert_uint_eq(used, len - at);
			more = true;
			break;
		case CW_PARSE_HEAD: break;
		case CW_PARSE_BODY:
			ck_assert(piece.p >= copy + at && piece.p + piece.len <= copy + at + used);
			cw_buf_add(body, piece.p, piece.len);
			break;
		case CW_PARSE_DONE:
			trace(out, p, body);
			cw_buf_clear(body);
			cw_parser_next(p);
			break;
		case CW_PARSE_ERROR:
			cw_buf_printf(out, "%s%d", out->len > 0 ? " | " : "", cw_parser_status(p));
			ck_assert(cw_parser_reason(p)[0] != '\0');
			go_on = false;
			break;
		}
		at += used;
	}
	free(copy);
	return go_on;
}

/* cut 0: whole; 1: single bytes; else random pieces of up to `cut` bytes. */
static void run(const struct cw_http_limits *limits, const char *bytes, size_t len, unsigned cut, struct cw_buf *out)
{
	struct cw_parser *p = cw_parser_new(limits);
	struct cw_buf body = CW_BUF_INIT;
	bool go_on = true;

	for (size_t at = 0; at < len && go_on;) {
		size_t n = cut == 0 ? len : cut == 1 ? 1 : 1 + (size_t)random() % cut;

		if (n > len - at)
			n = len - at;
		go_on = feed(p, bytes + at, n, out, &body);
		at += n;
	}
	if (go_on && !cw_parser_idle(p))
		cw_buf_printf(out, "%s...", out->len > 0 ? " | " : "");
	cw_buf_release(&body);
	cw_parser_free(&p);
}

static void check_limits(const struct one *c, const struct cw_http_limits *limits)
{
	static const unsigned cuts[] = { 0, 1, 2, 3, 7, 20, 20, 100, 100, 1000 };

	for (size_t i = 0; i < sizeof(cuts) / sizeof(*cuts); i++) {
		struct cw_buf out = CW_BUF_INIT;

		run(limits, c->bytes, c->len, cuts[i], &out);
		ck_assert_msg(strcmp(out.data, c->expect) == 0, "%s, cut %u: \"%s\" instead of \"%s\"", c->name, cuts[i],
		              out.data, c->expect);
		cw_buf_release(&out);
	}
}

static void check_one(const struct one *c)
{
	check_limits(c, &cw_http_limits_default);
}

#define H "Host: h\r\n"
#define POST "POST /p HTTP/1.1\r\n" H

static const struct one served[] = {
	ONE("plain", "GET / HTTP/1.1\r\n" H "\r\n", "GET / + <>"),
	ONE("query", "GET /a/b?x=1&y=%2 HTTP/1.1\r\n" H "\r\n", "GET /a/b?x=1&y=%2 + <>"),
	ONE("second question mark", "GET /a?b?c HTTP/1.1\r\n" H "\r\n", "GET /a?b?c + <>"),
	ONE("escapes stay", "GET /a%2Fb%20c HTTP/1.1\r\n" H "\r\n", "GET /a%2Fb%20c + <>"),
	ONE("dots stay", "GET /a/../b HTTP/1.1\r\n" H "\r\n", "GET /a/../b + <>"),
	ONE("head", "HEAD / HTTP/1.1\r\n" H "\r\n", "HEAD / + <>"),
	ONE("put", "PUT /x HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\n0", "PUT /x + <0>"),
	ONE("patch", "PATCH /x HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\n0", "PATCH /x + <0>"),
	ONE("delete", "DELETE /x HTTP/1.1\r\n" H "\r\n", "DELETE /x + <>"),
	ONE("options for all", "OPTIONS * HTTP/1.1\r\n" H "\r\n", "OPTIONS * + <>"),
	ONE("options for one", "OPTIONS /x HTTP/1.1\r\n" H "\r\n", "OPTIONS /x + <>"),
	ONE("no white space after the colon", "GET / HTTP/1.1\r\nHost:h\r\nA:b\r\n\r\n", "GET / + <>"),
	ONE("white space around a value", "GET / HTTP/1.1\r\nHost: \t h \t\r\n\r\n", "GET / + <>"),
	ONE("empty value", "GET / HTTP/1.1\r\n" H "X:\r\nY: \r\n\r\n", "GET / + <>"),
	ONE("obs-text in a value", "GET / HTTP/1.1\r\n" H "X: caf\xc3\xa9\r\n\r\n", "GET / + <>"),
	ONE("odd names are tokens", "GET / HTTP/1.1\r\n" H "!#$%&'*+-.^_`|~1: x\r\n\r\n", "GET / + <>"),
	ONE("names without case", "POST / HTTP/1.1\r\nhOsT: h\r\ncONTENT-lENGTH: 2\r\n\r\nab", "POST / + <ab>"),
	ONE("ipv6 host", "GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", "GET / + <>"),
	ONE("host with port", "GET / HTTP/1.1\r\nHost: a-b.example:65535\r\n\r\n", "GET / + <>"),
	ONE("host with empty port", "GET / HTTP/1.1\r\nHost: a:\r\n\r\n", "GET / + <>"),
	ONE("absolute target", "GET http://h/a?b HTTP/1.1\r\n" H "\r\n", "GET /a?b + <>"),
	ONE("absolute target without path", "GET http://h HTTP/1.1\r\n" H "\r\n", "GET / + <>"),
	ONE("absolute target with query only", "GET http://h?q HTTP/1.1\r\n" H "\r\n", "GET /?q + <>"),
	ONE("absolute target, default port", "GET http://H:80/ HTTP/1.1\r\n" H "\r\n", "GET / + <>"),
	ONE("absolute target, https", "GET https://h/ HTTP/1.1\r\nHost: h:443\r\n\r\n", "GET / + <>"),
	ONE("get with body", "GET / HTTP/1.1\r\n" H "Content-Length: 3\r\n\r\nabc", "GET / + <abc>"),
	ONE("length", POST "Content-Length: 5\r\n\r\nhello", "POST /p + <hello>"),
	ONE("length with leading zeros", POST "Content-Length: 0005\r\n\r\nhello", "POST /p + <hello>"),
	ONE("length 0", POST "Content-Length: 0\r\n\r\n", "POST /p + <>"),
	ONE("post without length", POST "\r\n", "POST /p + <>"),
	ONE("body of any bytes", POST "Content-Length: 4\r\n\r\n\0\r\n\xff", "POST /p + <\\00\\0d\\0a\\ff>"),
	ONE("chunked", POST "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "POST /p + <hello>"),
	ONE("chunked in capitals", POST "transfer-encoding: CHUNKED\r\n\r\n5\r\nhello\r\n0\r\n\r\n", "POST /p + <hello>"),
	ONE("chunks", POST "Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n00A\r\n0123456789\r\n0\r\n\r\n",
	  "POST /p + <he0123456789>"),
	ONE("chunk extensions", POST "Transfer-Encoding: chunked\r\n\r\n2;a;b=c ; d = \"e;\\\"f\"\r\nhi\r\n0;z\r\n\r\n",
	  "POST /p + <hi>"),
	ONE("trailers are dropped", POST "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX: y\r\nZ: 1\r\n\r\n",
	  "POST /p + <hi>"),
	ONE("last chunk of many zeros", POST "Transfer-Encoding: chunked\r\n\r\n000\r\n\r\n", "POST /p + <>"),
	ONE("close", "GET / HTTP/1.1\r\n" H "Connection: close\r\n\r\n", "GET / - <>"),
	ONE("close in a list", "GET / HTTP/1.1\r\n" H "Connection: x ,, Close\r\n\r\n", "GET / - <>"),
	ONE("close beats keep-alive", "GET / HTTP/1.1\r\n" H "Connection: close\r\nConnection: keep-alive\r\n\r\n",
	  "GET / - <>"),
	ONE("closed is not close", "GET / HTTP/1.1\r\n" H "Connection: closed\r\n\r\n", "GET / + <>"),
	ONE("upgrade is not taken", "GET / HTTP/1.1\r\n" H "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
	  "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n", "GET / + <>"),
	ONE("http/1.0", "GET / HTTP/1.0\r\n\r\n", "GET / - <>"),
	ONE("http/1.0 keep-alive", "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "GET / + <>"),
	ONE("http/1.0 with a body", "POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi", "POST / - <hi>"),
	ONE("one empty line before", "\r\nGET / HTTP/1.1\r\n" H "\r\n", "GET / + <>"),
	ONE("pipeline", "GET /1 HTTP/1.1\r\n" H "\r\nPOST /2 HTTP/1.1\r\n" H "Content-Length: 1\r\n\r\nx"
	  "GET /3 HTTP/1.1\r\n" H "\r\n", "GET /1 + <> | POST /2 + <x> | GET /3 + <>"),
	ONE("empty line between", POST "Content-Length: 1\r\n\r\nx\r\nGET / HTTP/1.1\r\n" H "\r\n",
	    "POST /p + <x> | GET / + <>"),
	ONE("expect", POST "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\nx", "POST /p + <x>"),
	ONE("any expectation in 1.0 is ignored", "GET / HTTP/1.0\r\nExpect: x\r\n\r\n", "GET / - <>"),
	ONE("not complete", "GET / HTTP/1.1\r\n" H, "..."),
	ONE("not complete, body", POST "Content-Length: 5\r\n\r\nhell", "..."),
	ONE("not complete, last chunk", POST "Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n", "..."),
	ONE("nothing", "\r\n", ""),
};

static const struct one refused[] = {
	/* request line */
	ONE("http/0.9", "GET /\r\n\r\n", "400"),
	ONE("http/2.0", "GET / HTTP/2.0\r\n" H "\r\n", "505"),
	ONE("http/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505"),
	ONE("http/1.2", "GET / HTTP/1.2\r\n" H "\r\n", "505"),
	ONE("http/0.1", "GET / HTTP/0.1\r\n" H "\r\n", "505"),
	ONE("http/1.10", "GET / HTTP/1.10\r\n" H "\r\n", "400"),
	ONE("http/257.1, which is 1.1 in 8 bits", "GET / HTTP/257.1\r\n" H "\r\n", "400"),
	ONE("http/1.1x", "GET / HTTP/1.1x\r\n" H "\r\n", "400"),
	ONE("http/1", "GET / HTTP/1\r\n" H "\r\n", "400"),
	ONE("http/1,1", "GET / HTTP/1,1\r\n" H "\r\n", "400"),
	ONE("lower case version", "GET / http/1.1\r\n" H "\r\n", "400"),
	ONE("space after the version", "GET / HTTP/1.1 \r\n" H "\r\n", "400"),
	ONE("two spaces", "GET  / HTTP/1.1\r\n" H "\r\n", "400"),
	ONE("two spaces before the version", "GET /  HTTP/1.1\r\n" H "\r\n", "400"),
	ONE("tab for a space", "GET\t/ HTTP/1.1\r\n" H "\r\n", "400"),
	ONE("leading space", " GET / HTTP/1.1\r\n" H "\r\n", "400"),
	ONE("unknown method", "BREW / HTTP/1.1\r\n" H "\r\n", "501"),
	ONE("lower case method", "get / HTTP/1.1\r\n" H "\r\n", "501"),
	ONE("trace", "TRACE / HTTP/1.1\r\n" H "\r\n", "501"),
	ONE("connect", "CONNECT h:80 HTTP/1.1\r\n" H "\r\n", "501"),
	ONE("method with a bad character", "GE(T / HTTP/1.1\r\n" H "\r\n", "400"),
	ONE("method with a colon", "GET: / HTTP/1.1\r\n" H "\r\n", "400"),
	ONE("no method", "/ HTTP/1.1\r\n" H "\r\n", "400"),
	ONE("two empty lines before", "\r\n\r\nGET / HTTP/1.1\r\n" H "\r\n", "400"),
	ONE("bare LF before", "\nGET / HTTP/1.1\r\n" H "\r\n", "400"),
	ONE("bare CR before", "\rGET / HTTP/1.1\r\n" H "\r\n", "400"),
	ONE("tls hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "400"),
	ONE("garbage", "\xff\x00\x01", "400"),
	ONE("space in the target", "GET /a b HTTP/1.1\r\n" H "\r\n", "400"),
	ONE("8-bit in the target", "GET /\xff HTTP/1.1\r\n" H "\r\n", "400"),
	ONE("utf-8 in the target", "GET /caf\xc3\xa9 HTTP/1.1\r\n" H "\r\n", "400"),
	ONE("control in the target", "GET /\x01 HTTP/1.1\r\n" H "\r\n", "400"),
	ONE("del in the target", "GET /\x7f HTTP/1.1\r\n" H "\r\n", "400"),
	ONE("NUL in the target", "GET /\0 HTTP/1.1\r\n" H "\r\n", "400"),
	ONE("CR in the target", "GET /\r HTTP/1.1\r\n" H "\r\n", "400"),
	ONE("fragment", "GET /a#b HTTP/1.1\r\n" H "\r\n", "400"),
	ONE("fragment in the query", "GET /a?b#c HTTP/1.1\r\n" H "\r\n", "400"),
	ONE("escape without digits", "GET /%zz HTTP/1.1\r\n" H "\r\n", "400"),
	ONE("escape cut by the end", "GET /%2 HTTP/1.1\r\n" H "\r\n", "400"),
	ONE("escape cut by the query", "GET /%2?0 HTTP/1.1\r\n" H "\r\n", "400"),
	ONE("escaped NUL", "GET /a%00b HTTP/1.1\r\n" H "\r\n", "400"),
	ONE("star for get", "GET * HTTP/1.1\r\n" H "\r\n", "400"),
	ONE("relative target", "GET a/b HTTP/1.1\r\n" H "\r\n", "400"),
	ONE("authority as target", "GET h:80 HTTP/1.1\r\n" H "\r\n", "400"),
	ONE("other scheme", "GET ftp://h/ HTTP/1.1\r\n" H "\r\n", "400"),
	ONE("absolute, other host", "GET http://evil/ HTTP/1.1\r\n" H "\r\n", "400"),
	ONE("absolute, other port", "GET http://h:81/ HTTP/1.1\r\n" H "\r\n", "400"),
	ONE("absolute, user", "GET http://u@h/ HTTP/1.1\r\n" H "\r\n", "400"),
	ONE("absolute, no authority", "GET http:///a HTTP/1.1\r\n" H "\r\n", "400"),
	ONE("absolute, escaped NUL", "GET http://h/%00 HTTP/1.1\r\n" H "\r\n", "400"),
	/* line ends */
	ONE("LF after the request line", "GET / HTTP/1.1\n" H "\r\n", "400"),
	ONE("LF after a header", "GET / HTTP/1.1\r\nHost: h\n\r\n", "400"),
	ONE("LF for the empty line", "GET / HTTP/1.1\r\n" H "\n", "400"),
	ONE("LF everywhere", "GET / HTTP/1.1\nHost: h\n\n", "400"),
	ONE("CR CR LF", "GET / HTTP/1.1\r\nHost: h\r\r\n\r\n", "400"),
	ONE("CR in a value", "GET / HTTP/1.1\r\n" H "X: a\rb\r\n\r\n", "400"),
	ONE("CR for a line end", "GET / HTTP/1.1\rHost: h\r\r\n", "400"),
	/* found with the byte behind it: there may never be a LF */
	ONE("CR in the request line", "GET / HTTP/1.1\rH", "400"),
	ONE("CR in the target, no more", "GET /\rx", "400"),
	ONE("CR in a name, no more", "GET / HTTP/1.1\r\n" H "X\ry", "400"),
	ONE("CR in a value, no more", "GET / HTTP/1.1\r\n" H "X: a\rY", "400"),
	ONE("CR for the empty line, no more", "GET / HTTP/1.1\r\n" H "\rG", "400"),
	ONE("CR CR", "GET / HTTP/1.1\r\n" H "\r\r", "400"),
	ONE("CR that may be the first half of an end", "GET / HTTP/1.1\r\n" H "X: a\r", "..."),
	/* fields */
	ONE("no Host", "GET / HTTP/1.1\r\n\r\n", "400"),
	ONE("two Hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400"),
	ONE("the same Host twice", "GET / HTTP/1.1\r\n" H H "\r\n", "400"),
	ONE("two Hosts in 1.0", "GET / HTTP/1.0\r\n" H H "\r\n", "400"),
	ONE("empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", "400"),
	ONE("Host with a space", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "400"),
	ONE("Host with a comma", "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", "400"),
	ONE("Host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "400"),
	ONE("Host with a user", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", "400"),
	ONE("Host with an 8-bit character", "GET / HTTP/1.1\r\nHost: \xe9\r\n\r\n", "400"),
	ONE("Host with a named port", "GET / HTTP/1.1\r\nHost: a:http\r\n\r\n", "400"),
	ONE("Host with a long port", "GET / HTTP/1.1\r\nHost: a:080800\r\n\r\n", "400"),
	ONE("Host that is a port", "GET / HTTP/1.1\r\nHost: :80\r\n\r\n", "400"),
	ONE("Host, open bracket", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", "400"),
	ONE("Host, text in brackets", "GET / HTTP/1.1\r\nHost: [evil]\r\n\r\n", "400"),
	ONE("Host, bad escape", "GET / HTTP/1.1\r\nHost: a%2\r\n\r\n", "400"),
	ONE("space before the colon", "GET / HTTP/1.1\r\n" H "X : y\r\n\r\n", "400"),
	ONE("tab before the colon", "GET / HTTP/1.1\r\n" H "X\t: y\r\n\r\n", "400"),
	ONE("obs-fold", "GET / HTTP/1.1\r\n" H "X: a\r\n b\r\n\r\n", "400"),
	ONE("obs-fold with a tab", "GET / HTTP/1.1\r\n" H "X: a\r\n\tb\r\n\r\n", "400"),
	ONE("fold before the first header", "GET / HTTP/1.1\r\n Host: h\r\n\r\n", "400"),
	ONE("blank line that is not empty", "GET / HTTP/1.1\r\n" H " \r\n\r\n", "400"),
	ONE("no colon", "GET / HTTP/1.1\r\n" H "Xy\r\n\r\n", "400"),
	ONE("no name", "GET / HTTP/1.1\r\n" H ": y\r\n\r\n", "400"),
	ONE("name with a bad character", "GET / HTTP/1.1\r\n" H "X@: y\r\n\r\n", "400"),
	ONE("name with an 8-bit character", "GET / HTTP/1.1\r\n" H "X\xe9: y\r\n\r\n", "400"),
	ONE("name with a NUL", "GET / HTTP/1.1\r\n" H "X\0: y\r\n\r\n", "400"),
	ONE("NUL in a value", "GET / HTTP/1.1\r\n" H "X: a\0b\r\n\r\n", "400"),
	ONE("control in a value", "GET / HTTP/1.1\r\n" H "X: a\x0b\r\n\r\n", "400"),
	ONE("DEL in a value", "GET / HTTP/1.1\r\n" H "X: a\x7f\r\n\r\n", "400"),
	ONE("other expectation", POST "Expect: tea\r\nContent-Length: 1\r\n\r\nx", "417"),
	ONE("two expectations", POST "Expect: 100-continue, x\r\nContent-Length: 1\r\n\r\nx", "417"),
	/* framing */
	ONE("length and chunked", POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"),
	ONE("chunked and length", POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", "400"),
	ONE("length 0 and chunked", POST "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"),
	ONE("two lengths", POST "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", "400"),
	ONE("the same length twice", POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", "400"),
	ONE("list of lengths", POST "Content-Length: 5, 5\r\n\r\nhello", "400"),
	ONE("list without space", POST "Content-Length: 5,5\r\n\r\nhello", "400"),
	ONE("length with a plus", POST "Content-Length: +5\r\n\r\nhello", "400"),
	ONE("negative length", POST "Content-Length: -1\r\n\r\n", "400"),
	ONE("hexadecimal length", POST "Content-Length: 0x5\r\n\r\nhello", "400"),
	ONE("length with a tail", POST "Content-Length: 5abc\r\n\r\nhello", "400"),
	ONE("length with a space inside", POST "Content-Length: 5 0\r\n\r\nhello", "400"),
	ONE("length with a fraction", POST "Content-Length: 5.0\r\n\r\nhello", "400"),
	ONE("empty length", POST "Content-Length:\r\n\r\n", "400"),
	ONE("length over 64 bits", POST "Content-Length: 18446744073709551621\r\n\r\nhello", "400"),
	ONE("length with a space before the colon", POST "Content-Length : 5\r\n\r\nhello", "400"),
	ONE("length over the limit", POST "Content-Length: 8388609\r\n\r\nx", "413"),
	ONE("xchunked", POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "400"),
	ONE("identity", POST "Transfer-Encoding: identity\r\n\r\n", "400"),
	ONE("gzip", POST "Transfer-Encoding: gzip\r\n\r\n", "400"),
	ONE("gzip, chunked", POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "501"),
	ONE("chunked, gzip", POST "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", "400"),
	ONE("chunked, chunked", POST "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", "400"),
	ONE("chunked, identity", POST "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", "400"),
	ONE("comma after chunked", POST "Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n", "400"),
	ONE("chunked with a parameter", POST "Transfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n", "400"),
	ONE("chunked in quotes", POST "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", "400"),
	ONE("chunked after a vertical tab", POST "Transfer-Encoding: \x0b" "chunked\r\n\r\n0\r\n\r\n", "400"),
	ONE("empty coding", POST "Transfer-Encoding:\r\n\r\n", "400"),
	ONE("two codings", POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", "400"),
	ONE("chunked twice", POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"),
	ONE("space before the colon of a coding", POST "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", "400"),
	ONE("folded coding", POST "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", "400"),
	ONE("underscore in a coding", POST "Transfer_Encoding: chunked\r\n\r\n", "400"),
	ONE("coding and one with an underscore", POST "transfer_encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"),
	ONE("underscore in a length", POST "Content_Length: 2\r\n\r\nhi", "400"),
	ONE("length and one with an underscore", POST "Content-Length: 2\r\nCONTENT_LENGTH: 0\r\n\r\nhi", "400"),
	ONE("chunked in 1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"),
};

#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"

static const struct one chunks[] = {
	ONE("prefix", CHUNKED "0x2\r\nhi\r\n0\r\n\r\n", "400"),
	ONE("plus", CHUNKED "+2\r\nhi\r\n0\r\n\r\n", "400"),
	ONE("minus", CHUNKED "-1\r\nhi\r\n0\r\n\r\n", "400"),
	ONE("underscore", CHUNKED "1_0\r\nhi\r\n0\r\n\r\n", "400"),
	ONE("leading space", CHUNKED " 2\r\nhi\r\n0\r\n\r\n", "400"),
	ONE("trailing space", CHUNKED "2 \r\nhi\r\n0\r\n\r\n", "400"),
	ONE("empty", CHUNKED "\r\nhi\r\n0\r\n\r\n", "400"),
	ONE("not hexadecimal", CHUNKED "g\r\nhi\r\n0\r\n\r\n", "400"),
	ONE("16 digits, too long", CHUNKED "0fffffffffffffff\r\nhi", "413"),
	ONE("overflow", CHUNKED "ffffffffffffffff\r\nhi", "400"),
	ONE("overflow to 2", CHUNKED "10000000000000002\r\nhi\r\n0\r\n\r\n", "400"),
	ONE("too many zeros", CHUNKED "00000000000000002\r\nhi\r\n0\r\n\r\n", "400"),
	ONE("longer than its size", CHUNKED "2\r\nhi!\r\n0\r\n\r\n", "400"),
	ONE("shorter than its size", CHUNKED "3\r\nhi\r\n0\r\n\r\n", "400"),
	ONE("LF after the size", CHUNKED "2\nhi\r\n0\r\n\r\n", "400"),
	ONE("LF after the data", CHUNKED "2\r\nhi\n0\r\n\r\n", "400"),
	ONE("CR after the data", CHUNKED "2\r\nhi\r0\r\n\r\n", "400"),
	ONE("LF after the last", CHUNKED "2\r\nhi\r\n0\n\n", "400"),
	ONE("LF for the last line", CHUNKED "2\r\nhi\r\n0\r\n\n", "400"),
	ONE("CR in the size line, no more", CHUNKED "2\rh", "400"),
	ONE("CR in an extension, no more", CHUNKED "2;a\rb", "400"),
	ONE("CR in a trailer, no more", CHUNKED "0\r\nx: y\rz", "400"),
	ONE("CR for the last line, no more", CHUNKED "0\r\n\rG", "400"),
	ONE("CR in the size line", CHUNKED "2\r;a\r\nhi\r\n0\r\n\r\n", "400"),
	ONE("extension without a name", CHUNKED "2;\r\nhi\r\n0\r\n\r\n", "400"),
	ONE("extension without a value", CHUNKED "2;a=\r\nhi\r\n0\r\n\r\n", "400"),
	ONE("extension with a space", CHUNKED "2;a b\r\nhi\r\n0\r\n\r\n", "400"),
	ONE("extension with an open quote", CHUNKED "2;a=\"b\r\nhi\r\n0\r\n\r\n", "400"),
	ONE("extension with an open escape", CHUNKED "2;a=\"b\\\r\nhi\r\n0\r\n\r\n", "400"),
	ONE("extension with a LF in quotes", CHUNKED "2;a=\"\n\"\r\nhi\r\n0\r\n\r\n", "400"),
	ONE("extension with a NUL", CHUNKED "2;a=\"\0\"\r\nhi\r\n0\r\n\r\n", "400"),
	ONE("trailer without a colon", CHUNKED "0\r\nx\r\n\r\n", "400"),
	ONE("trailer with a space", CHUNKED "0\r\nx : y\r\n\r\n", "400"),
	ONE("folded trailer", CHUNKED "0\r\nx: y\r\n z\r\n\r\n", "400"),
	ONE("length as a trailer", CHUNKED "0\r\nContent-Length: 5\r\n\r\n", "400"),
	ONE("coding as a trailer", CHUNKED "0\r\nTransfer-Encoding: chunked\r\n\r\n", "400"),
	ONE("host as a trailer", CHUNKED "0\r\nHost: evil\r\n\r\n", "400"),
	ONE("trailer with a control", CHUNKED "0\r\nx: \x01\r\n\r\n", "400"),
};

START_TEST(valid_requests_are_served)
{
	check_one(&served[_i]);
}
END_TEST

START_TEST(bad_requests_are_refused)
{
	check_one(&refused[_i]);
}
END_TEST

START_TEST(bad_chunks_are_refused)
{
	check_one(&chunks[_i]);
}
END_TEST

/* ---- limits ---- */

static const struct cw_http_limits small = { .request_line = 32, .headers = 64, .header_count = 3, .body = 10 };

static const struct one limited[] = {
	ONE("request line of 32 bytes", "GET /34567890123456789 HTTP/1.1\r\n" H "\r\n", "GET /34567890123456789 + <>"),
	ONE("of just 32", "GET /345678901234567890 HTTP/1.1\r\n" H "\r\n", "GET /345678901234567890 + <>"),
	ONE("of 33", "GET /3456789012345678901 HTTP/1.1\r\n" H "\r\n", "414"),
	ONE("without an end", "GET /34567890123456789012345678901234567890", "414"),
	ONE("three headers", "GET / HTTP/1.1\r\n" H "a:\r\nb:\r\n\r\n", "GET / + <>"),
	ONE("four headers", "GET / HTTP/1.1\r\n" H "a:\r\nb:\r\nc:\r\n\r\n", "431"),
	ONE("64 bytes", "GET / HTTP/1.1\r\n" H "a: 1234567890123456789012345678901234567890123456789\r\n\r\n", "GET / + <>"),
	ONE("a header without an end",
	  "GET / HTTP/1.1\r\n" H "a: 123456789012345678901234567890123456789012345678901234567890", "431"),
	ONE("a body of 10", POST "Content-Length: 10\r\n\r\n0123456789", "POST /p + <0123456789>"),
	ONE("a body of 11", POST "Content-Length: 11\r\n\r\n0123456789a", "413"),
	ONE("chunks of 10", CHUNKED "5\r\n01234\r\n5\r\n56789\r\n0\r\n\r\n", "POST /p + <0123456789>"),
	ONE("chunks of 11", CHUNKED "5\r\n01234\r\n6\r\n56789a\r\n0\r\n\r\n", "413"),
	ONE("one huge chunk", CHUNKED "7fffffffffffffff\r\n", "413"),
	ONE("three trailers", CHUNKED "0\r\na:\r\nb:\r\nc:\r\n\r\n", "POST /p + <>"),
	ONE("four trailers", CHUNKED "0\r\na:\r\nb:\r\nc:\r\nd:\r\n\r\n", "431"),
	ONE("a trailer without an end",
	  CHUNKED "0\r\na: 123456789012345678901234567890123456789012345678901234567890123456789", "431"),
};

START_TEST(limits_hold_to_the_byte)
{
	check_limits(&limited[_i], &small);
}
END_TEST

/* Sizes by the rule: header section and its empty line may have limits.headers + 2 bytes. */
START_TEST(header_bytes_are_counted_exactly)
{
	for (int extra = 0; extra <= 1; extra++) {
		struct cw_buf req = CW_BUF_INIT;
		struct one c = { "headers", NULL, 0, extra == 0 ? "GET / + <>" : "431" };

		cw_buf_puts(&req, "GET / HTTP/1.1\r\n" H "a: ");
		for (int i = 0; i < 64 - 9 - 5 + extra; i++)
			cw_buf_putc(&req, 'x');
		cw_buf_puts(&req, "\r\n\r\n");
		c.bytes = req.data;
		c.len = req.len;
		check_limits(&c, &small);
		cw_buf_release(&req);
	}
}
END_TEST

START_TEST(many_headers_move_with_the_buffer)
{
	struct cw_parser *p = cw_parser_new(&cw_http_limits_default);
	struct cw_buf req = CW_BUF_INIT;
	struct cw_slice piece;
	size_t used;

	cw_buf_puts(&req, "GET /path?query HTTP/1.1\r\n" H);
	for (int i = 0; i < 99; i++)
		cw_buf_printf(&req, "X-%d: %080d\r\n", i, i);
	cw_buf_puts(&req, "\r\n");
	for (size_t at = 0; at + 1 < req.len; at++)
		ck_assert_int_eq(cw_parser_feed(p, req.data + at, 1, &used, &piece), CW_PARSE_MORE);
	ck_assert_int_eq(cw_parser_feed(p, req.data + req.len - 1, 1, &used, &piece), CW_PARSE_HEAD);
	const struct cw_head *h = cw_parser_head(p);

	ck_assert_uint_eq(h->nheaders, 100);
	ck_assert(cw_slice_is(h->path, "/path") && cw_slice_is(h->query, "query"));
	ck_assert(cw_slice_is(h->target, "/path?query"));
	for (unsigned i = 0; i < 99; i++) {
		char name[16], value[100];

		snprintf(name, sizeof(name), "x-%u", i);
		snprintf(value, sizeof(value), "%080u", i);
		ck_assert(cw_slice_is(h->headers[i + 1].name, name) && cw_slice_is(h->headers[i + 1].value, value));
	}
	cw_buf_release(&req);
	cw_parser_free(&p);
}
END_TEST

START_TEST(too_many_extensions_are_refused)
{
	struct cw_buf req = CW_BUF_INIT;
	struct one c = { "extensions", NULL, 0, "400" };

	cw_buf_puts(&req, CHUNKED);
	for (int i = 0; i < 20; i++)
		cw_buf_printf(&req, "1;a=%0900d\r\nx\r\n", 1);
	cw_buf_puts(&req, "0\r\n\r\n");
	c.bytes = req.data;
	c.len = req.len;
	check_one(&c);
	cw_buf_clear(&req);
	cw_buf_printf(&req, CHUNKED "1;a=%01100d\r\nx\r\n0\r\n\r\n", 1);
	c.bytes = req.data;
	c.len = req.len;
	c.name = "one long extension";
	check_one(&c);
	cw_buf_release(&req);
}
END_TEST

START_TEST(body_limit_can_change_after_the_head)
{
	static const char text[] = POST "Content-Length: 20\r\n\r\n01234567890123456789";
	struct cw_parser *p = cw_parser_new(&small);
	struct cw_slice piece;
	size_t used;

	ck_assert_int_eq(cw_parser_feed(p, text, sizeof(text) - 1, &used, &piece), CW_PARSE_HEAD);
	ck_assert_uint_eq(used, sizeof(text) - 1 - 20);
	cw_parser_set_body_limit(p, 20);
	ck_assert_int_eq(cw_parser_feed(p, NULL, 0, &used, &piece), CW_PARSE_MORE);
	ck_assert_int_eq(cw_parser_feed(p, text + sizeof(text) - 1 - 20, 20, &used, &piece), CW_PARSE_BODY);
	ck_assert_uint_eq(piece.len, 20);
	ck_assert_int_eq(cw_parser_feed(p, NULL, 0, &used, &piece), CW_PARSE_DONE);
	cw_parser_next(p);
	ck_assert_int_eq(cw_parser_feed(p, text, sizeof(text) - 1, &used, &piece), CW_PARSE_HEAD);
	ck_assert_msg(cw_parser_feed(p, NULL, 0, &used, &piece) == CW_PARSE_ERROR, "the raised limit was for one request");
	ck_assert_int_eq(cw_parser_status(p), 413);
	cw_parser_free(&p);
}
END_TEST

START_TEST(head_is_readable_until_next)
{
	static const char text[] = CHUNKED "3;x=y\r\nabc\r\n0\r\nT: u\r\n\r\n";
	struct cw_parser *p = cw_parser_new(&cw_http_limits_default);
	struct cw_slice piece;
	size_t used, at = 0;
	enum cw_parse found;

	ck_assert(cw_parser_idle(p));
	do {
		found = cw_parser_feed(p, text + at, sizeof(text) - 1 - at, &used, &piece);
		at += used;
		ck_assert(!cw_parser_idle(p));
	} while (found != CW_PARSE_DONE);
	ck_assert_uint_eq(at, sizeof(text) - 1);
	ck_assert(cw_slice_is(cw_parser_head(p)->path, "/p"));
	ck_assert(cw_slice_is(cw_parser_head(p)->headers[1].value, "chunked"));
	ck_assert(cw_parser_head(p)->chunked);
	ck_assert_int_eq(cw_parser_head(p)->content_length, -1);
	cw_parser_next(p);
	ck_assert(cw_parser_idle(p));
	cw_parser_free(&p);
}
END_TEST

/* Random damage to valid requests: whatever is found, it does not depend on the cuts. */
START_TEST(damaged_requests_are_cut_invariant)
{
	for (int round = 0; round < 3000; round++) {
		const struct one *c = &served[(size_t)random() % (sizeof(served) / sizeof(*served))];
		size_t len = c->len;
			static const char evil[] = "\r\n\t :;,\0\x7f\xff%#0xg+-";
		char bytes[1024];
		struct cw_buf whole = CW_BUF_INIT, single = CW_BUF_INIT, mixed = CW_BUF_INIT;

		memcpy(bytes, c->bytes, len);
		for (int i = 0; i < 1 + round % 3; i++)
			bytes[(size_t)random() % len] = evil[(size_t)random() % (sizeof(evil) - 1)];
		run(&small, bytes, len, 0, &whole);
		run(&small, bytes, len, 1, &single);
		run(&small, bytes, len, 30, &mixed);
		ck_assert_uint_eq(whole.len, single.len);
		ck_assert(memcmp(whole.data, single.data, whole.len) == 0);
		ck_assert_uint_eq(whole.len, mixed.len);
		ck_assert(memcmp(whole.data, mixed.data, whole.len) == 0);
		cw_buf_release(&whole);
		cw_buf_release(&single);
		cw_buf_release(&mixed);
	}
}
END_TEST

#define COUNT(table) (int)(sizeof(table) / sizeof(*(table)))

int main(void)
{
	Suite *suite = suite_create("http parser");
	TCase *tc = tcase_create("parser");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tc);
	tcase_add_loop_test(tc, valid_requests_are_served, 0, COUNT(served));
	tcase_add_loop_test(tc, bad_requests_are_refused, 0, COUNT(refused));
	tcase_add_loop_test(tc, bad_chunks_are_refused, 0, COUNT(chunks));
	tcase_add_loop_test(tc, limits_hold_to_the_byte, 0, COUNT(limited));
	tcase_add_test(tc, header_bytes_are_counted_exactly);
	tcase_add_test(tc, many_headers_move_with_the_buffer);
	tcase_add_test(tc, too_many_extensions_are_refused);
	tcase_add_test(tc, body_limit_can_change_after_the_head);
	tcase_add_test(tc, head_is_readable_until_next);
	tcase_add_test(tc, damaged_requests_are_cut_invariant);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
