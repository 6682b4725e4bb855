/* parser.h - strict, incremental HTTP/1.1 request parser. Knows bytes, not sockets.
 *
 * Feed it what arrived; it consumes up to the end of one request head, then delivers body pieces, then stops until
 * cw_parser_next. What two parsers could read differently is refused (RFC 9112: 400 and close): see parser.c for the
 * list. It never allocates beyond its limits. */
#ifndef CW_HTTP_PARSER_H
#define CW_HTTP_PARSER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cw_slice { const char *p; size_t len; };

struct cw_http_limits {
	size_t request_line;         /* 8192: longer is 414 */
	size_t headers;              /* 16384 bytes in all, names, values and line ends: 431 */
	unsigned header_count;       /* 100: 431 */
	uint64_t body;               /* 8 MiB: 413; per request it may be raised or lowered after the head */
};
extern const struct cw_http_limits cw_http_limits_default;

struct cw_header { struct cw_slice name, value; };   /* names as they came; compare without case */

/* What this server knows; any other method is 501. */
enum cw_method { CW_METHOD_GET = 1, CW_METHOD_HEAD = 2, CW_METHOD_POST = 4, CW_METHOD_PUT = 8, CW_METHOD_PATCH = 16,
	             CW_METHOD_DELETE = 32, CW_METHOD_OPTIONS = 64 };

/* Valid until cw_parser_next; points into the parser's own copy of the head. */
struct cw_head {
	enum cw_method method;
	struct cw_slice target, path, query;   /* path still percent-encoded; query without '?' */
	struct cw_header *headers;
	unsigned nheaders;
	int minor;                   /* HTTP/1.minor */
	bool keep_alive, chunked, expect_continue;
	int64_t content_length;      /* -1: none given */
};

enum cw_parse { CW_PARSE_MORE = 0, CW_PARSE_HEAD, CW_PARSE_BODY, CW_PARSE_DONE, CW_PARSE_ERROR };

struct cw_parser;
/* `limits` are copied. */
struct cw_parser *cw_parser_new(const struct cw_http_limits *limits);
void cw_parser_free(struct cw_parser **parser);
/* Ready for the next request, after DONE or to start anew; the body limit is the parser's own again. */
void cw_parser_next(struct cw_parser *parser);

/* Consumes a part of [data, data + len) and says what it found: MORE (all consumed), HEAD (once, before any body),
 * BODY (`piece` is a part of the body inside `data`), DONE (request complete, later bytes are the next request's),
 * ERROR (see status; the connection must be closed after the reply). What it finds does not depend on how the bytes
 * were cut, but for the cuts of the pieces. len may be 0: after HEAD that tells whether a body follows (MORE), or not
 * (DONE), or is announced too long (ERROR). DONE and ERROR are repeated until cw_parser_next. */
enum cw_parse cw_parser_feed(struct cw_parser *parser, const char *data, size_t len, size_t *consumed,
                             struct cw_slice *piece);
const struct cw_head *cw_parser_head(const struct cw_parser *parser);
void cw_parser_set_body_limit(struct cw_parser *parser, uint64_t limit);
/* After ERROR: 400, 413, 414, 417, 431, 501 or 505, and why (a constant text, to be shown to the client). */
int cw_parser_status(const struct cw_parser *parser);
const char *cw_parser_reason(const struct cw_parser *parser);
/* True until the first byte of a request, not counting an empty line before it: an idle connection may be closed. */
bool cw_parser_idle(const struct cw_parser *parser);

const char *cw_method_name(enum cw_method method);
/* True if `slice` is this text, letters compared without case (ASCII). */
bool cw_slice_is(struct cw_slice slice, const char *text);

#endif
