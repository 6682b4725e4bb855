/* What is refused, and why. "Smuggling" is when a proxy in front and this server see different requests in the same
 * bytes; each line below closes one way to it (RFC 9112 sections 2.2, 3, 5, 6, 7, 11.2; the trophy list of HTTP Garden).
 *
 * 400  a line that does not end in CR LF; a CR anywhere else; control characters and NUL in fields; a name that is not
 *      a token; white space before the colon; a line that begins with white space (obs-fold); more than one empty line
 *      before a request; more or other than one space between the parts of the request line
 *      Content-Length together with Transfer-Encoding, repeated, or anything but digits; Transfer-Encoding repeated, in
 *      HTTP/1.0, or without `chunked` as its last and only chunked coding; either with `_` for `-`, which gateways
 *      that make environment variables of headers cannot tell apart
 *      Content-Type repeated; Host missing (1.1), repeated, empty or not a host; an absolute target that names another authority
 *      target with raw spaces, control or 8-bit characters, `#`, a broken %-escape or %00 in the path
 *      chunk sizes that are not 1 to 16 hex digits, overflow, have a sign or prefix; chunks that do not end in CR LF;
 *      malformed or endless chunk extensions; malformed trailers, and trailers that would change the framing
 * 413  body over the limit   414 request line over the limit   417 an expectation other than 100-continue
 * 431  header or trailer section over the limits   501 unknown method; codings before `chunked`
 * 505  any version but 1.0 and 1.1
 *
 * A line is looked at when it is complete, or when it has become too long: what is found never depends on how the
 * bytes were cut (tests/fuzz/fuzz_http.c holds this). */
#include "http/parser.h"

#include <string.h>
#include <strings.h>

#include "base/mem.h"

#define CHUNK_LINE_MAX 1024      /* size and extensions of one chunk; real ones have a few dozen bytes */
#define CHUNK_EXT_TOTAL 16384    /* extensions of a whole body: they cost work and carry nothing (CVE-2023-39326) */
#define CHUNK_DIGITS 16          /* hex digits of a size, leading zeros counted */
#define FIRST_BYTES 1024         /* of the head's buffer; most heads fit */
#define FIRST_HEADERS 16

const struct cw_http_limits cw_http_limits_default = {
	.request_line = 8192, .headers = 16384, .header_count = 100, .body = (uint64_t)8 << 20,
};

enum state { REQUEST_LINE = 0, HEADERS, BODY_LENGTH, CHUNK_SIZE, CHUNK_DATA, CHUNK_END, TRAILERS, DONE, FAILED };

struct text {
	char *p;
	size_t len, cap, line;   /* line: where the line that is being read begins */
};

struct cw_parser {
	struct cw_http_limits limits;
	enum state state;
	struct text text;        /* the head */
	struct text tail;        /* chunk sizes and trailers; apart, so that the head does not move any more */
	struct cw_head head;
	unsigned headers_cap;
	struct cw_slice authority;   /* of an absolute target */
	bool https;
	unsigned host, length, coding, type;   /* number of that header from 1; 0: none */
	bool empty_line, close, keep, known_method;
	size_t section;          /* bytes of the header or trailer section so far */
	unsigned trailers;
	size_t ext_total;
	uint64_t body_limit, received, left;   /* left: of the body or of this chunk */
	unsigned chunk_crlf;     /* bytes seen of the CR LF after a chunk */
	int status;
	const char *reason;
};

/* ---- characters (RFC 9110 5.6.2, 5.5; RFC 3986) ---- */

enum { TOKEN = 1, TARGET = 2, VALUE = 4, HOST = 8, QUOTED = 16 };

static const struct { const char *set; unsigned char flags; } classes[] = {
	{ "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", TOKEN | HOST },
	{ "!$&'*+-._~", TOKEN | HOST },
	{ "#%^`|", TOKEN },
	{ "();=", HOST },   /* a comma would be grammatical too, but some read it as a list */
};
static unsigned char table[256];

static void fill_table(void)
{
	for (size_t i = 0; i < sizeof(classes) / sizeof(*classes); i++)
		for (const char *c = classes[i].set; *c != '\0'; c++)
			table[(unsigned char)*c] |= classes[i].flags;
	for (int c = 0x21; c < 0x7f; c++)
		table[c] |= (unsigned char)((c != '#' ? TARGET : 0) | VALUE | (c != '"' && c != '\\' ? QUOTED : 0));
	for (int c = 0x80; c < 0x100; c++)
		table[c] |= VALUE | QUOTED;   /* obs-text: opaque, but not dangerous */
	table[' '] |= VALUE | QUOTED;
	table['\t'] |= VALUE | QUOTED;
}

static inline bool is(char c, unsigned flags)
{
	return (table[(unsigned char)c] & flags) != 0;
}

static bool all(const char *p, const char *end, unsigned flags)
{
	for (; p < end; p++)
		if (!is(*p, flags))
			return false;
	return true;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

bool cw_slice_is(struct cw_slice slice, const char *text)
{
	return strlen(text) == slice.len && strncasecmp(slice.p, text, slice.len) == 0;
}

static struct cw_slice trim(struct cw_slice s)
{
	while (s.len > 0 && is_blank(s.p[0])) {
		s.p++;
		s.len--;
	}
	while (s.len > 0 && is_blank(s.p[s.len - 1]))
		s.len--;
	return s;
}

/* Next element of a comma list, trimmed, perhaps empty; false at the end. */
static bool next_element(struct cw_slice *list, struct cw_slice *element)
{
	const char *comma;

	if (list->p == NULL)
		return false;
	comma = memchr(list->p, ',', list->len);
	*element = *list;
	if (comma == NULL) {
		list->p = NULL;
	} else {
		element->len = (size_t)(comma - list->p);
		list->p = comma + 1;
		list->len -= element->len + 1;
	}
	*element = trim(*element);
	return true;
}

/* ---- life ---- */

struct cw_parser *cw_parser_new(const struct cw_http_limits *limits)
{
	struct cw_parser *parser = cw_zalloc(sizeof(*parser));

	if (!is('a', TOKEN))
		fill_table();
	parser->limits = *limits;
	parser->headers_cap = FIRST_HEADERS;
	parser->head.headers = cw_alloc(FIRST_HEADERS * sizeof(*parser->head.headers));
	cw_parser_next(parser);
	return parser;
}

void cw_parser_free(struct cw_parser **parser)
{
	struct cw_parser *p = *parser;

	*parser = NULL;
	if (p == NULL)
		return;
	cw_free(p->text.p);
	cw_free(p->tail.p);
	cw_free(p->head.headers);
	cw_free(p);
}

void cw_parser_next(struct cw_parser *parser)
{
	parser->state = REQUEST_LINE;
	parser->text.len = parser->text.line = 0;
	parser->tail.len = parser->tail.line = 0;
	parser->head.nheaders = 0;
	parser->head.chunked = parser->head.expect_continue = false;
	parser->head.content_length = -1;
	parser->authority = (struct cw_slice){ NULL, 0 };
	parser->host = parser->length = parser->coding = parser->type = 0;
	parser->empty_line = parser->close = parser->keep = false;
	parser->section = 0;
	parser->trailers = 0;
	parser->ext_total = 0;
	parser->body_limit = parser->limits.body;
	parser->received = parser->left = 0;
	parser->chunk_crlf = 0;
	parser->status = 0;
	parser->reason = "";
}

const struct cw_head *cw_parser_head(const struct cw_parser *parser)
{
	return &parser->head;
}

void cw_parser_set_body_limit(struct cw_parser *parser, uint64_t limit)
{
	parser->body_limit = limit;
}

int cw_parser_status(const struct cw_parser *parser)
{
	return parser->status;
}

const char *cw_parser_reason(const struct cw_parser *parser)
{
	return parser->reason;
}

bool cw_parser_idle(const struct cw_parser *parser)
{
	return parser->state == REQUEST_LINE && parser->text.len == 0;
}

static bool fail(struct cw_parser *p, int status, const char *reason)
{
	p->state = FAILED;
	p->status = status;
	p->reason = reason;
	return false;
}

/* ---- lines ---- */

static void rebase(struct cw_slice *s, const char *old, size_t len, const char *new)
{
	if (s->p != NULL && s->p >= old && s->p <= old + len)
		s->p = new + (s->p - old);
}

/* More room for the text. The slices of the head point into it and move along. */
static void grow(struct cw_parser *p, struct text *t, size_t need)
{
	size_t cap = t->cap > 0 ? t->cap : FIRST_BYTES;
	char *bytes;

	while (cap < need)
		cap *= 2;
	bytes = cw_alloc(cap);
	if (t->len > 0)
		memcpy(bytes, t->p, t->len);
	if (t == &p->text && p->state == HEADERS) {
		rebase(&p->head.target, t->p, t->len, bytes);
		rebase(&p->head.path, t->p, t->len, bytes);
		rebase(&p->head.query, t->p, t->len, bytes);
		rebase(&p->authority, t->p, t->len, bytes);
		for (unsigned i = 0; i < p->head.nheaders; i++) {
			rebase(&p->head.headers[i].name, t->p, t->len, bytes);
			rebase(&p->head.headers[i].value, t->p, t->len, bytes);
		}
	}
	cw_free(t->p);
	t->p = bytes;
	t->cap = cap;
}

enum line { LINE_MORE, LINE_WHOLE, LINE_LONG, LINE_CR };

/* Whether a CR without LF behind it ends in [from, end of the text). */
static bool has_bare_cr(const struct text *t, size_t from)
{
	const char *c = t->p + from, *end = t->p + t->len;

	while (c < end && (c = memchr(c, '\r', (size_t)(end - c))) != NULL && ++c < end)
		if (*c != '\n')
			return true;
	return false;
}

/* Moves bytes up to and with the next LF into the text. A line may have `max` bytes with its end. A CR alone is found with
 * the byte behind it: whoever takes it for the end of a line would wait for an answer. */
static enum line take_line(struct cw_parser *p, struct text *t, const char **at, const char *end, size_t max)
{
	const char *lf = *at < end ? memchr(*at, '\n', (size_t)(end - *at)) : NULL;
	size_t n = (size_t)((lf != NULL ? lf + 1 : end) - *at), room = max - (t->len - t->line), from = t->len;
	bool fits = n <= room;

	if (!fits)
		n = room;
	if (n > 0) {
		if (t->cap - t->len < n)
			grow(p, t, t->len + n);
		memcpy(t->p + t->len, *at, n);
		t->len += n;
		*at += n;
		if (has_bare_cr(t, from > t->line ? from - 1 : from))
			return LINE_CR;
	}
	if (!fits)
		return LINE_LONG;
	return lf != NULL ? LINE_WHOLE : LINE_MORE;
}

#define BARE_CR "a CR without LF"

/* The whole line without its end; false if that is not CR LF. */
static bool line_slice(struct cw_parser *p, struct text *t, struct cw_slice *line)
{
	size_t len = t->len - t->line;

	line->p = t->p + t->line;
	if (len < 2 || line->p[len - 2] != '\r')
		return fail(p, 400, "a line does not end in CR LF");
	line->len = len - 2;
	t->line = t->len;
	return true;
}

/* ---- request line (RFC 9112 section 3) ---- */

static const struct { const char *name; enum cw_method method; } methods[] = {
	{ "GET", CW_METHOD_GET },     { "POST", CW_METHOD_POST },   { "HEAD", CW_METHOD_HEAD },
	{ "PUT", CW_METHOD_PUT },     { "PATCH", CW_METHOD_PATCH }, { "DELETE", CW_METHOD_DELETE },
	{ "OPTIONS", CW_METHOD_OPTIONS },
};

const char *cw_method_name(enum cw_method method)
{
	for (size_t i = 0; i < sizeof(methods) / sizeof(*methods); i++)
		if (methods[i].method == method)
			return methods[i].name;
	return "-";
}

static void set_method(struct cw_parser *p, const char *name, size_t len)
{
	p->known_method = false;
	for (size_t i = 0; i < sizeof(methods) / sizeof(*methods) && !p->known_method; i++)
		if (strlen(methods[i].name) == len && memcmp(methods[i].name, name, len) == 0) {
			p->head.method = methods[i].method;
			p->known_method = true;
		}
}

static bool set_version(struct cw_parser *p, const char *v, size_t len)
{
	if (len != 8 || memcmp(v, "HTTP/", 5) != 0 || v[6] != '.' || v[5] < '0' || v[5] > '9' || v[7] < '0' || v[7] > '9')
		return fail(p, 400, "the request line does not end in an HTTP version");
	if (v[5] != '1' || v[7] > '1')
		return fail(p, 505, "only HTTP/1.1 and HTTP/1.0 are spoken here");
	p->head.minor = v[7] - '0';
	return true;
}

/* Escapes in a path are two hex digits and never NUL, which would end a string early somewhere. */
static bool check_path(struct cw_parser *p, struct cw_slice path)
{
	const char *end = path.p + path.len;

	for (const char *c = path.p; (c = memchr(c, '%', (size_t)(end - c))) != NULL; c += 3) {
		if (end - c < 3 || hex_digit(c[1]) < 0 || hex_digit(c[2]) < 0)
			return fail(p, 400, "malformed percent escape in the path");
		if (c[1] == '0' && c[2] == '0')
			return fail(p, 400, "the path contains an escaped NUL");
	}
	return true;
}

/* Splits at the first '?'. An empty path stands for "/". */
static bool set_path(struct cw_parser *p, const char *from, const char *end)
{
	const char *mark = memchr(from, '?', (size_t)(end - from));
	const char *stop = mark != NULL ? mark : end;

	p->head.path = (struct cw_slice){ from, (size_t)(stop - from) };
	p->head.query = mark != NULL ? (struct cw_slice){ mark + 1, (size_t)(end - mark - 1) } : (struct cw_slice){ end, 0 };
	if (!check_path(p, p->head.path))
		return false;
	if (p->head.path.len == 0)
		p->head.path = (struct cw_slice){ "/", 1 };
	return true;
}

static bool set_absolute(struct cw_parser *p, struct cw_slice target)
{
	const char *end = target.p + target.len, *from, *stop;

	p->https = target.len > 8 && strncasecmp(target.p, "https://", 8) == 0;
	if (!p->https && !(target.len > 7 && strncasecmp(target.p, "http://", 7) == 0))
		return fail(p, 400, "the target is neither a path nor an http URI");
	from = target.p + (p->https ? 8 : 7);
	for (stop = from; stop < end && *stop != '/' && *stop != '?'; stop++)
		;
	p->authority = (struct cw_slice){ from, (size_t)(stop - from) };
	return set_path(p, stop, end);
}

static bool set_target(struct cw_parser *p, struct cw_slice target)
{
	p->head.target = target;
	p->head.path = target;
	p->head.query = (struct cw_slice){ target.p + target.len, 0 };
	if (!all(target.p, target.p + target.len, TARGET))
		return fail(p, 400, "the target contains a character that must be escaped");
	if (!p->known_method)
		return true;   /* 501 after the head; CONNECT has another form of target */
	if (target.p[0] == '/')
		return set_path(p, target.p, target.p + target.len);
	if (target.len == 1 && target.p[0] == '*') {
		if (p->head.method != CW_METHOD_OPTIONS)
			return fail(p, 400, "only OPTIONS may ask for \"*\"");
		return true;
	}
	return set_absolute(p, target);
}

static bool request_line(struct cw_parser *p, struct cw_slice line)
{
	const char *end = line.p + line.len, *method = line.p, *space = method, *target;

	while (space < end && is(*space, TOKEN))
		space++;
	if (space == method || space == end || *space != ' ')
		return fail(p, 400, "the request line does not begin with a method and a space");
	target = space + 1;
	set_method(p, method, (size_t)(space - method));
	space = memchr(target, ' ', (size_t)(end - target));
	if (space == NULL || space == target)
		return fail(p, 400, "the request line is not method, target and version with one space between them");
	if (!set_version(p, space + 1, (size_t)(end - space - 1)))
		return false;
	return set_target(p, (struct cw_slice){ target, (size_t)(space - target) });
}

/* ---- fields (RFC 9112 section 5) ---- */

/* Checks one field line and splits it. */
static bool split_field(struct cw_parser *p, struct cw_slice line, struct cw_header *field)
{
	const char *end = line.p + line.len, *c = line.p;

	if (is_blank(*c))
		return fail(p, 400, "a header line begins with white space");
	while (c < end && is(*c, TOKEN))
		c++;
	if (c < end && is_blank(*c))
		return fail(p, 400, "white space before the colon of a header");
	if (c == end || *c != ':' || c == line.p)
		return fail(p, 400, "a header line is not a name and a colon");
	field->name = (struct cw_slice){ line.p, (size_t)(c - line.p) };
	c++;
	if (!all(c, end, VALUE))
		return fail(p, 400, "a control character in a header value");
	field->value = trim((struct cw_slice){ c, (size_t)(end - c) });
	return true;
}

static void read_connection(struct cw_parser *p, struct cw_slice list)
{
	struct cw_slice option;

	while (next_element(&list, &option)) {
		p->close = p->close || cw_slice_is(option, "close");
		p->keep = p->keep || cw_slice_is(option, "keep-alive");
	}
}

static bool once(struct cw_parser *p, unsigned *which, const char *reason)
{
	if (*which != 0)
		return fail(p, 400, reason);
	*which = p->head.nheaders;
	return true;
}

#define UNDERSCORE "a header of framing with an underscore for its hyphen"   /* some take the one for the other */

/* The fields that decide the framing are noted when they come by; the first letter and length sort out the others. */
static bool note_field(struct cw_parser *p, const struct cw_header *f)
{
	switch (f->name.len) {
	case 4:
		if (cw_slice_is(f->name, "host"))
			return once(p, &p->host, "Host came twice");
		return true;
	case 6:
		if (!cw_slice_is(f->name, "expect") || p->head.minor == 0)
			return true;
		if (p->head.expect_continue || !cw_slice_is(f->value, "100-continue"))
			return fail(p, 417, "the only expectation known here is 100-continue");
		p->head.expect_continue = true;
		return true;
	case 10:
		if (cw_slice_is(f->name, "connection"))
			read_connection(p, f->value);
		return true;
	case 12:
		if (cw_slice_is(f->name, "content-type"))
			return once(p, &p->type, "Content-Type came twice");
		return true;
	case 14:
		if (cw_slice_is(f->name, "content-length"))
			return once(p, &p->length, "Content-Length came twice");
		return !cw_slice_is(f->name, "content_length") || fail(p, 400, UNDERSCORE);
	case 17:
		if (cw_slice_is(f->name, "transfer-encoding"))
			return once(p, &p->coding, "Transfer-Encoding came twice");
		return !cw_slice_is(f->name, "transfer_encoding") || fail(p, 400, UNDERSCORE);
	default: return true;
	}
}

static bool header_line(struct cw_parser *p, struct cw_slice line)
{
	struct cw_head *h = &p->head;

	if (h->nheaders >= p->limits.header_count)
		return fail(p, 431, "too many headers");
	if (h->nheaders == p->headers_cap) {
		p->headers_cap *= 2;
		h->headers = cw_realloc(h->headers, p->headers_cap * sizeof(*h->headers));
	}
	if (!split_field(p, line, &h->headers[h->nheaders]))
		return false;
	h->nheaders++;
	return note_field(p, &h->headers[h->nheaders - 1]);
}

/* ---- the head as a whole ---- */

/* uri-host [ ":" port ] of RFC 3986, without user information. */
static bool is_host(struct cw_slice host)
{
	const char *end = host.p + host.len, *c = host.p;

	if (host.len == 0)
		return false;
	if (*c == '[') {
		for (c++; c < end && (hex_digit(*c) >= 0 || *c == ':' || *c == '.'); c++)
			;
		if (c - host.p < 3 || c == end || *c++ != ']')
			return false;
	} else {
		for (; c < end && *c != ':'; c++) {
			if (is(*c, HOST))
				continue;
			if (*c != '%' || end - c < 3 || hex_digit(c[1]) < 0 || hex_digit(c[2]) < 0)
				return false;
			c += 2;
		}
		if (c == host.p)
			return false;
	}
	if (c == end)
		return true;
	if (*c != ':' || end - c > 6)
		return false;
	for (c++; c < end; c++)
		if (*c < '0' || *c > '9')
			return false;
	return true;
}

/* Without ":", or with ":80" / ":443" where that is what the scheme means anyway. */
static struct cw_slice without_default_port(struct cw_slice a, bool https)
{
	size_t n = https ? 4 : 3;

	if (a.len > n && memcmp(a.p + a.len - n, https ? ":443" : ":80", n) == 0)
		a.len -= n;
	else if (a.len > 1 && a.p[a.len - 1] == ':')
		a.len--;
	return a;
}

static bool check_host(struct cw_parser *p)
{
	struct cw_slice host, authority;

	if (p->authority.p != NULL && !is_host(p->authority))
		return fail(p, 400, "the authority of the target is not a host");
	if (p->host == 0)
		return p->head.minor == 0 || fail(p, 400, "no Host header");
	host = p->head.headers[p->host - 1].value;
	if (!is_host(host))
		return fail(p, 400, "the Host header is not a host");
	if (p->authority.p == NULL)
		return true;
	host = without_default_port(host, p->https);
	authority = without_default_port(p->authority, p->https);
	if (host.len != authority.len || strncasecmp(host.p, authority.p, host.len) != 0)
		return fail(p, 400, "the target names another host than the Host header");
	return true;
}

static bool read_length(struct cw_parser *p)
{
	struct cw_slice v = p->head.headers[p->length - 1].value;
	int64_t n = 0;

	if (v.len == 0 || v.len > 18)   /* 18 digits fit into 63 bits */
		return fail(p, 400, "Content-Length is not a number");
	for (size_t i = 0; i < v.len; i++) {
		if (v.p[i] < '0' || v.p[i] > '9')
			return fail(p, 400, "Content-Length is not a number");
		n = n * 10 + (v.p[i] - '0');
	}
	p->head.content_length = n;
	return true;
}

/* RFC 9112 6.1: without `chunked` at the end the length of the body cannot be known. Codings before it are well framed
 * but not understood here. */
static bool read_coding(struct cw_parser *p)
{
	struct cw_slice list = p->head.headers[p->coding - 1].value, coding;
	unsigned count = 0, chunked = 0;
	bool last = false;

	if (p->head.minor == 0)
		return fail(p, 400, "Transfer-Encoding in HTTP/1.0");
	if (p->length != 0)
		return fail(p, 400, "both Content-Length and Transfer-Encoding");
	while (next_element(&list, &coding)) {
		if (coding.len == 0 || !all(coding.p, coding.p + coding.len, TOKEN))
			return fail(p, 400, "malformed Transfer-Encoding");
		last = cw_slice_is(coding, "chunked");
		chunked += last;
		count++;
	}
	if (!last || chunked != 1)
		return fail(p, 400, "Transfer-Encoding is not \"chunked\"");
	if (count > 1)
		return fail(p, 501, "no transfer coding but \"chunked\" is understood");
	p->head.chunked = true;
	return true;
}

static bool finish_head(struct cw_parser *p)
{
	if (!check_host(p) || (p->coding != 0 && !read_coding(p)) || (p->length != 0 && !read_length(p)))
		return false;
	if (!p->known_method)
		return fail(p, 501, "unknown method");
	p->head.keep_alive = !p->close && (p->head.minor == 1 || p->keep);
	p->left = p->head.content_length > 0 ? (uint64_t)p->head.content_length : 0;
	if (p->head.chunked)
		p->state = CHUNK_SIZE;
	else if (p->left > 0)
		p->state = BODY_LENGTH;
	else
		p->state = DONE;
	if (p->state == DONE)
		p->head.expect_continue = false;
	return true;
}

/* ---- chunks (RFC 9112 section 7.1) ---- */

static const char *skip_blanks(const char *c, const char *end)
{
	while (c < end && is_blank(*c))
		c++;
	return c;
}

static const char *skip_token(const char *c, const char *end)
{
	while (c < end && is(*c, TOKEN))
		c++;
	return c;
}

/* After the opening quote; NULL if it does not end. */
static const char *skip_quoted(const char *c, const char *end)
{
	for (; c < end && *c != '"'; c++) {
		if (*c == '\\' && ++c == end)
			return NULL;
		if (!is(*c, QUOTED) && !(c[-1] == '\\' && is(*c, VALUE)))
			return NULL;
	}
	return c < end ? c + 1 : NULL;
}

/* *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] ) */
static bool is_extension(const char *c, const char *end)
{
	while (c < end) {
		const char *from;

		c = skip_blanks(c, end);
		if (c == end || *c != ';')
			return false;
		from = skip_blanks(c + 1, end);
		c = skip_token(from, end);
		if (c == from)
			return false;
		from = skip_blanks(c, end);
		if (from == end || *from != '=')
			continue;
		from = skip_blanks(from + 1, end);
		c = from < end && *from == '"' ? skip_quoted(from + 1, end) : skip_token(from, end);
		if (c == NULL || c == from)
			return false;
	}
	return true;
}

static bool chunk_size(struct cw_parser *p, struct cw_slice line)
{
	const char *end = line.p + line.len, *c = line.p;
	uint64_t size = 0;

	for (; c < end && hex_digit(*c) >= 0; c++) {
		if (c - line.p == CHUNK_DIGITS || size >> 59 != 0)
			return fail(p, 400, "a chunk size is too large");
		size = size << 4 | (uint64_t)hex_digit(*c);
	}
	if (c == line.p)
		return fail(p, 400, "a chunk size is not a hexadecimal number");
	p->ext_total += (size_t)(end - c);
	if (p->ext_total > CHUNK_EXT_TOTAL)
		return fail(p, 400, "too many chunk extensions");
	if (!is_extension(c, end))
		return fail(p, 400, "malformed chunk size or extension");
	if (size > p->body_limit || p->received > p->body_limit - size)
		return fail(p, 413, "the body is too long");
	p->received += size;
	p->left = size;
	p->state = size > 0 ? CHUNK_DATA : TRAILERS;
	p->section = 0;
	return true;
}

static bool chunk_end(struct cw_parser *p, const char **at, const char *end)
{
	for (; *at < end && p->chunk_crlf < 2; p->chunk_crlf++, (*at)++)
		if (**at != "\r\n"[p->chunk_crlf])
			return fail(p, 400, "a chunk does not end where its size says");
	if (p->chunk_crlf == 2) {
		p->chunk_crlf = 0;
		p->state = CHUNK_SIZE;
	}
	return true;
}

/* Trailers are checked and dropped; nothing here has a use for them. */
static bool trailer_line(struct cw_parser *p, struct cw_slice line)
{
	struct cw_header field;

	if (++p->trailers > p->limits.header_count)
		return fail(p, 431, "too many trailers");
	if (!split_field(p, line, &field))
		return false;
	if (cw_slice_is(field.name, "content-length") || cw_slice_is(field.name, "transfer-encoding") ||
	    cw_slice_is(field.name, "host"))
		return fail(p, 400, "a header of framing or routing among the trailers");
	return true;
}

/* ---- feed ---- */

static void feed_request_line(struct cw_parser *p, const char **at, const char *end)
{
	struct cw_slice line;

	if (p->text.len == 0 && *at < end && !is(**at, TOKEN) && **at != '\r') {
		fail(p, 400, "this is not an HTTP request");   /* at once: a TLS hello may never send a LF */
		return;
	}
	switch (take_line(p, &p->text, at, end, p->limits.request_line + 2)) {
	case LINE_MORE: return;
	case LINE_LONG: fail(p, 414, "the request line is too long"); return;
	case LINE_CR: fail(p, 400, BARE_CR); return;
	case LINE_WHOLE: break;
	}
	if (!line_slice(p, &p->text, &line))
		return;
	if (line.len == 0) {
		/* RFC 9112 2.2: an empty line before a request is an old client's mistake; two are not. */
		if (p->empty_line) {
			fail(p, 400, "empty lines before the request");
			return;
		}
		p->empty_line = true;
		p->text.len = p->text.line = 0;
		return;
	}
	if (request_line(p, line))
		p->state = HEADERS;
}

/* A line of the header or trailer section; true if it is there, with its end cut off. */
static bool section_line(struct cw_parser *p, struct text *t, const char **at, const char *end, struct cw_slice *line)
{
	switch (take_line(p, t, at, end, p->limits.headers + 2 - p->section)) {
	case LINE_MORE: return false;
	case LINE_LONG: return fail(p, 431, "the headers are too long");
	case LINE_CR: return fail(p, 400, BARE_CR);
	case LINE_WHOLE: break;
	}
	p->section += t->len - t->line;
	return line_slice(p, t, line);
}

static void feed_tail(struct cw_parser *p, const char **at, const char *end)
{
	struct cw_slice line;

	if (p->state == TRAILERS) {
		if (!section_line(p, &p->tail, at, end, &line))
			return;
		if (line.len == 0)
			p->state = DONE;
		else
			trailer_line(p, line);
	} else {
		switch (take_line(p, &p->tail, at, end, CHUNK_LINE_MAX)) {
		case LINE_MORE: return;
		case LINE_LONG: fail(p, 400, "a chunk size line is too long"); return;
		case LINE_CR: fail(p, 400, BARE_CR); return;
		case LINE_WHOLE: break;
		}
		if (line_slice(p, &p->tail, &line))
			chunk_size(p, line);
	}
	p->tail.len = p->tail.line = 0;
}

/* The next part of the body in [at, end); true if there is one. */
static bool feed_body(struct cw_parser *p, const char **at, const char *end, struct cw_slice *piece)
{
	size_t n = (size_t)(end - *at);

	if (p->state == BODY_LENGTH && (uint64_t)p->head.content_length > p->body_limit)
		return fail(p, 413, "the body is too long");
	if (n == 0)
		return false;
	if (n > p->left)
		n = (size_t)p->left;
	*piece = (struct cw_slice){ *at, n };
	*at += n;
	p->left -= n;
	if (p->left == 0)
		p->state = p->state == CHUNK_DATA ? CHUNK_END : DONE;
	return true;
}

enum cw_parse cw_parser_feed(struct cw_parser *parser, const char *data, size_t len, size_t *consumed,
                             struct cw_slice *piece)
{
	struct cw_parser *p = parser;
	const char *at = data, *end = len > 0 ? data + len : data;
	enum cw_parse found = CW_PARSE_MORE;

	*piece = (struct cw_slice){ NULL, 0 };
	while (found == CW_PARSE_MORE) {
		bool begun = at < end;

		switch (p->state) {
		case REQUEST_LINE: feed_request_line(p, &at, end); break;
		case HEADERS: {
			struct cw_slice line;

			if (!section_line(p, &p->text, &at, end, &line))
				break;
			if (line.len > 0)
				header_line(p, line);
			else if (finish_head(p))
				found = CW_PARSE_HEAD;
			break;
		}
		case BODY_LENGTH:
		case CHUNK_DATA:
			if (feed_body(p, &at, end, piece))
				found = CW_PARSE_BODY;
			break;
		case CHUNK_SIZE:
		case TRAILERS: feed_tail(p, &at, end); break;
		case CHUNK_END: chunk_end(p, &at, end); break;
		case DONE: found = CW_PARSE_DONE; break;
		case FAILED: found = CW_PARSE_ERROR; break;
		}
		if (!begun && p->state != FAILED && p->state != DONE)
			break;
	}
	*consumed = (size_t)(at - data);
	return found;
}
