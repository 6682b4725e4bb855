/* One pass without recursion. Strings are decoded and numbers copied into one block as long as the text, each to the
 * place where it stands in the text: decoding never makes a string longer, and the byte after a string or a number
 * (a quote, a comma, a bracket) is room for its NUL.
 *
 * What is refused does not stop the reader: the text may still turn out not to be JSON at all, which is the graver
 * fault and the one to report. */
#include "base/json.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/utf8.h"

/* Objects up to this size are searched for a duplicate name member by member, larger ones through a map. */
#define SCAN_LIMIT 32
#define SLACK 8   /* strings are copied 8 bytes at a time */

#define ONES 0x0101010101010101u
#define HIGH_BITS 0x8080808080808080u

/* One open array or object. */
struct frame {
	struct cw_json *node, *last;
	uint64_t seen;          /* Bloom filter over the names so far */
	struct cw_map *names;   /* NULL up to SCAN_LIMIT members */
};

struct reader {
	const char *text;
	size_t len, at;
	char *out;              /* as long as the text */
	struct cw_arena *arena;
	struct cw_json_error *error;
	struct frame *stack;
	unsigned depth, cap, max_depth;
};

/* --- faults --- */

static void locate(const char *text, size_t offset, struct cw_json_error *error)
{
	error->offset = offset;
	error->line = 1;
	error->column = 1;
	for (size_t i = 0; i < offset; i++) {
		if (text[i] == '\n') {
			error->line++;
			error->column = 1;
		} else if (((unsigned char)text[i] & 0xc0) != 0x80) {
			error->column++;
		}
	}
}

__attribute__((format(printf, 4, 5)))
static int fail_at(struct reader *r, enum cw_json_fault fault, size_t offset, const char *format, ...)
{
	va_list args;

	r->error->fault = fault;
	locate(r->text, offset, r->error);
	va_start(args, format);
	vsnprintf(r->error->what, sizeof(r->error->what), format, args);
	va_end(args);
	return -1;
}

/* Notes the first refusal and lets the reader go on. */
static void refuse(struct reader *r, size_t offset, const char *what)
{
	if (r->error->fault == CW_JSON_OK)
		fail_at(r, CW_JSON_REFUSED, offset, "%s", what);
}

static int unexpected(struct reader *r, const char *wanted)
{
	unsigned char c;

	if (r->at >= r->len)
		return fail_at(r, CW_JSON_SYNTAX, r->at, "unexpected end of text, expected %s", wanted);
	c = (unsigned char)r->text[r->at];
	if (c > 0x20 && c < 0x7f)
		return fail_at(r, CW_JSON_SYNTAX, r->at, "unexpected '%c', expected %s", c, wanted);
	if (c == 0xef && r->at == 0 && r->len >= 3 && memcmp(r->text, "\xef\xbb\xbf", 3) == 0)
		return fail_at(r, CW_JSON_SYNTAX, 0, "byte order mark, expected %s", wanted);
	return fail_at(r, CW_JSON_SYNTAX, r->at, "unexpected byte 0x%02x, expected %s", c, wanted);
}

/* --- scalars --- */

static inline int peek(const struct reader *r)
{
	return r->at < r->len ? (unsigned char)r->text[r->at] : -1;
}

static inline void skip_space(struct reader *r)
{
	while (r->at < r->len) {
		char c = r->text[r->at];

		if (c != ' ' && c != '\n' && c != '\r' && c != '\t')
			return;
		r->at++;
	}
}

static int read_word(struct reader *r, struct cw_json *v, const char *word, enum cw_json_type type)
{
	size_t n = strlen(word);

	if (r->len - r->at < n || memcmp(r->text + r->at, word, n) != 0)
		return unexpected(r, "a value");
	r->at += n;
	v->type = type;
	return 0;
}

static bool skip_digits(struct reader *r)
{
	size_t start = r->at;

	while (r->at < r->len && r->text[r->at] >= '0' && r->text[r->at] <= '9')
		r->at++;
	return r->at > start;
}

static int read_number(struct reader *r, struct cw_json *v)
{
	size_t start = r->at;
	char *copy = r->out + start;

	if (peek(r) == '-')
		r->at++;
	if (peek(r) == '0')
		r->at++;
	else if (!skip_digits(r))
		return unexpected(r, "a digit");
	if (peek(r) == '.') {
		r->at++;
		if (!skip_digits(r))
			return unexpected(r, "a digit after '.'");
	}
	if (peek(r) == 'e' || peek(r) == 'E') {
		r->at++;
		if (peek(r) == '+' || peek(r) == '-')
			r->at++;
		if (!skip_digits(r))
			return unexpected(r, "a digit of the exponent");
	}
	v->type = CW_JSON_NUMBER;
	v->text = copy;
	v->len = r->at - start;
	memcpy(copy, r->text + start, v->len);
	copy[v->len] = '\0';
	return 0;
}

static int hex4(struct reader *r, uint32_t *code)
{
	*code = 0;
	for (int i = 0; i < 4; i++, r->at++) {
		int c = peek(r);

		if (c >= '0' && c <= '9')
			*code = *code << 4 | (uint32_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			*code = *code << 4 | (uint32_t)(c - 'a' + 10);
		else if (c >= 'A' && c <= 'F')
			*code = *code << 4 | (uint32_t)(c - 'A' + 10);
		else
			return unexpected(r, "four hex digits after \"\\u\"");
	}
	return 0;
}

/* Behind "\u"; a high surrogate takes the "\uXXXX" of its low one along. */
static int read_unicode(struct reader *r, char **out)
{
	size_t start = r->at - 2;
	uint32_t code, low;

	if (hex4(r, &code) != 0)
		return -1;
	if (code == 0)
		refuse(r, start, "NUL in a string");
	if (code >= 0xd800 && code <= 0xdbff && r->len - r->at >= 2 && memcmp(r->text + r->at, "\\u", 2) == 0) {
		size_t second = r->at;

		r->at += 2;
		if (hex4(r, &low) != 0)
			return -1;
		if (low >= 0xdc00 && low <= 0xdfff)
			code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
		else
			r->at = second;   /* not a pair: the second one stands for itself */
	}
	if (code >= 0xd800 && code <= 0xdfff)
		refuse(r, start, "lone surrogate in a string");
	*out += cw_utf8_encode(code, *out);
	return 0;
}

static int read_escape(struct reader *r, char **out)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	const char *at;
	int c;

	r->at++;
	c = peek(r);
	if (c == 'u') {
		r->at++;
		return read_unicode(r, out);
	}
	at = c > 0 ? strchr(from, c) : NULL;
	if (at == NULL)
		return unexpected(r, "an escape after '\\'");
	*(*out)++ = to[at - from];
	r->at++;
	return 0;
}

/* Copies plain ASCII up to the first byte that needs a look. */
static void copy_plain(struct reader *r, char **out)
{
	const char *p = r->text + r->at, *end = r->text + r->len;
	char *to = *out;

	while (end - p >= 8) {
		uint64_t w, quote, slash, control, hit;

		memcpy(&w, p, 8);
		quote = w ^ ONES * '"';
		slash = w ^ ONES * '\\';
		quote = (quote - ONES) & ~quote;
		slash = (slash - ONES) & ~slash;
		control = (w - ONES * 0x20) & ~w;
		hit = (quote | slash | control | w) & HIGH_BITS;
		memcpy(to, &w, 8);
		if (hit != 0) {
			/* The lowest marked byte is exact; a borrow can only mark bytes above it wrongly. */
			int n = __builtin_ctzll(hit) / 8;

			p += n;
			to += n;
			break;
		}
		p += 8;
		to += 8;
	}
	while (p < end && (unsigned char)*p >= 0x20 && (unsigned char)*p < 0x80 && *p != '"' && *p != '\\')
		*to++ = *p++;
	r->at = (size_t)(p - r->text);
	*out = to;
}

/* At the opening quote. */
static int read_string(struct reader *r, const char **text, size_t *len)
{
	char *start = r->out + r->at, *out = start;

	r->at++;
	for (;;) {
		int c;

		copy_plain(r, &out);
		c = peek(r);
		if (c == '"')
			break;
		if (c == '\\') {
			if (read_escape(r, &out) != 0)
				return -1;
		} else if (c >= 0x80) {
			size_t n = cw_utf8_sequence(r->text + r->at, r->len - r->at);

			if (n == 0)
				return fail_at(r, CW_JSON_SYNTAX, r->at, "invalid UTF-8 in a string");
			memcpy(out, r->text + r->at, n);
			out += n;
			r->at += n;
		} else if (r->at < r->len) {
			return fail_at(r, CW_JSON_SYNTAX, r->at, "control character 0x%02x in a string", (unsigned)c);
		} else {
			return unexpected(r, "'\"'");
		}
	}
	r->at++;
	*out = '\0';
	*text = start;
	*len = (size_t)(out - start);
	return 0;
}

/* --- names --- */

/* FNV-1a over the length and at most the first and last 8 bytes: feeds a filter, so collisions only cost time. */
static uint64_t filter_bit(const char *key, size_t len)
{
	uint64_t hash = 0xcbf29ce484222325u ^ len;

	for (size_t i = 0; i < len && i < 8; i++)
		hash = (hash ^ (unsigned char)key[i]) * 0x100000001b3u;
	for (size_t i = len > 16 ? len - 8 : 8; i < len; i++)
		hash = (hash ^ (unsigned char)key[i]) * 0x100000001b3u;
	return (uint64_t)1 << (hash >> 58);
}

static bool name_is_new(struct frame *f, const struct cw_json *v)
{
	uint64_t bit;

	if (f->names != NULL)
		return cw_map_put(f->names, v->key, v->key_len, f) == NULL;
	bit = filter_bit(v->key, v->key_len);
	if ((f->seen & bit) != 0)
		for (const struct cw_json *m = f->node->first; m != NULL; m = m->next)
			if (m->key_len == v->key_len && memcmp(m->key, v->key, v->key_len) == 0)
				return false;
	f->seen |= bit;
	if (f->node->count < SCAN_LIMIT)
		return true;
	f->names = cw_map_new();
	for (const struct cw_json *m = f->node->first; m != NULL; m = m->next)
		cw_map_put(f->names, m->key, m->key_len, f);
	cw_map_put(f->names, v->key, v->key_len, f);
	return true;
}

/* Name and colon. */
static int read_name(struct reader *r, struct frame *f, struct cw_json *v)
{
	size_t start = r->at;

	if (peek(r) != '"')
		return unexpected(r, f->node->count == 0 ? "a name in double quotes or '}'" : "a name in double quotes");
	if (read_string(r, &v->key, &v->key_len) != 0)
		return -1;
	if (!name_is_new(f, v) && r->error->fault == CW_JSON_OK)
		fail_at(r, CW_JSON_REFUSED, start, "duplicate name \"%.*s\"",
		        (int)cw_utf8_truncate(v->key, v->key_len, 64), v->key);
	skip_space(r);
	if (peek(r) != ':')
		return unexpected(r, "':'");
	r->at++;
	skip_space(r);
	return 0;
}

/* --- structure --- */

static int open_container(struct reader *r, struct cw_json *v, enum cw_json_type type)
{
	if (r->depth == r->max_depth)
		return fail_at(r, CW_JSON_TOO_DEEP, r->at, "more than %u levels of arrays and objects", r->max_depth);
	/* NOLINTBEGIN(clang-analyzer-core.*): the stack is NULL only while cap is 0, and the first frame makes cap 16. */
	if (r->depth == r->cap) {
		unsigned cap = r->cap > 0 ? 2 * r->cap : 16;
		struct frame *grown = cw_arena_alloc(r->arena, cap * sizeof(*grown));

		if (r->depth > 0)
			memcpy(grown, r->stack, r->depth * sizeof(*grown));
		r->stack = grown;
		r->cap = cap;
	}
	r->stack[r->depth++] = (struct frame){ .node = v };
	/* NOLINTEND(clang-analyzer-core.*) */
	v->type = type;
	r->at++;
	return 0;
}

static void close_container(struct reader *r)
{
	cw_map_free(&r->stack[--r->depth].names);
	r->at++;
}

static int read_value(struct reader *r, struct cw_json *v)
{
	switch (peek(r)) {
	case '"':
		v->type = CW_JSON_STRING;
		return read_string(r, &v->text, &v->len);
	case '{':
		return open_container(r, v, CW_JSON_OBJECT);
	case '[':
		return open_container(r, v, CW_JSON_ARRAY);
	case 't':
		return read_word(r, v, "true", CW_JSON_TRUE);
	case 'f':
		return read_word(r, v, "false", CW_JSON_FALSE);
	case 'n':
		return read_word(r, v, "null", CW_JSON_NULL);
	case '-': case '0': case '1': case '2': case '3': case '4': case '5': case '6': case '7': case '8': case '9':
		return read_number(r, v);
	default:
		return unexpected(r, "a value");
	}
}

/* A member or element with what stands before it; a container is only opened. */
static struct cw_json *read_node(struct reader *r)
{
	struct frame *f = r->depth > 0 ? &r->stack[r->depth - 1] : NULL;
	struct cw_json *v = cw_arena_zalloc(r->arena, sizeof(*v));

	if (f != NULL && f->node->type == CW_JSON_OBJECT && read_name(r, f, v) != 0)
		return NULL;
	if (f != NULL) {
		if (f->last != NULL)
			f->last->next = v;
		else
			f->node->first = v;
		f->last = v;
		f->node->count++;
	}
	return read_value(r, v) == 0 ? v : NULL;
}

/* Behind a value: closes what ends here. 1: a comma, more to come; 0: all is closed; -1: fault. */
static int read_after_value(struct reader *r)
{
	while (r->depth > 0) {
		bool object = r->stack[r->depth - 1].node->type == CW_JSON_OBJECT;
		int c;

		skip_space(r);
		c = peek(r);
		if (c == ',') {
			r->at++;
			skip_space(r);
			return 1;
		}
		if (c != (object ? '}' : ']'))
			return unexpected(r, object ? "',' or '}'" : "',' or ']'");
		close_container(r);
	}
	return 0;
}

static const struct cw_json *read_document(struct reader *r)
{
	const struct cw_json *root = NULL;
	int more = 1;

	skip_space(r);
	while (more > 0) {
		struct cw_json *v = read_node(r);

		if (v == NULL)
			return NULL;
		if (root == NULL)
			root = v;
		if (v->type == CW_JSON_ARRAY || v->type == CW_JSON_OBJECT) {
			skip_space(r);
			if (peek(r) != (v->type == CW_JSON_OBJECT ? '}' : ']'))
				continue;
			close_container(r);
		}
		more = read_after_value(r);
	}
	if (more < 0)
		return NULL;
	skip_space(r);
	if (r->at < r->len) {
		unexpected(r, "the end of the text");
		return NULL;
	}
	return r->error->fault == CW_JSON_OK ? root : NULL;
}

const struct cw_json *cw_json_parse(const char *text, size_t len, unsigned max_depth, struct cw_arena *arena,
                                    struct cw_json_error *error)
{
	struct cw_json_error ignored;
	struct reader r = { .text = text, .len = len, .arena = arena, .max_depth = max_depth,
		                .error = error != NULL ? error : &ignored };
	const struct cw_json *root;

	*r.error = (struct cw_json_error){ .fault = CW_JSON_OK };
	if (len > UINT32_MAX) {
		fail_at(&r, CW_JSON_REFUSED, 0, "text longer than 4 GiB");
		return NULL;
	}
	r.out = cw_arena_alloc(arena, len + SLACK);
	root = read_document(&r);
	while (r.depth > 0)
		cw_map_free(&r.stack[--r.depth].names);
	return root;
}

/* --- access --- */

const struct cw_json *cw_json_get(const struct cw_json *object, const char *key)
{
	size_t len = strlen(key);

	if (object == NULL || object->type != CW_JSON_OBJECT)
		return NULL;
	for (const struct cw_json *m = object->first; m != NULL; m = m->next)
		if (m->key_len == len && memcmp(m->key, key, len) == 0)
			return m;
	return NULL;
}

bool cw_json_is_integer(const struct cw_json *value)
{
	if (value == NULL || value->type != CW_JSON_NUMBER)
		return false;
	for (size_t i = 0; i < value->len; i++)
		if (value->text[i] == '.' || value->text[i] == 'e' || value->text[i] == 'E')
			return false;
	return true;
}

bool cw_json_to_i64(const struct cw_json *value, int64_t *out)
{
	bool negative;
	uint64_t sum = 0;

	if (!cw_json_is_integer(value))
		return false;
	negative = value->text[0] == '-';
	for (size_t i = negative ? 1 : 0; i < value->len; i++)
		if (__builtin_mul_overflow(sum, 10, &sum) ||
		    __builtin_add_overflow(sum, (uint64_t)(value->text[i] - '0'), &sum))
			return false;
	if (sum > (uint64_t)INT64_MAX + (negative ? 1 : 0))
		return false;
	*out = negative ? (int64_t)(0 - sum) : (int64_t)sum;
	return true;
}

bool cw_json_to_double(const struct cw_json *value, double *out)
{
	double number;

	if (value == NULL || value->type != CW_JSON_NUMBER)
		return false;
	number = strtod(value->text, NULL);
	if (number - number != 0)   /* infinite: too large for a double */
		return false;
	*out = number;
	return true;
}
