/* json.h - strict JSON: a reader that keeps integers exact and a writer.
 *
 * The reader takes RFC 8259 and nothing else: UTF-8 is checked, numbers stay text (so 2^256 - 1 survives), depth and
 * size are bounded. What is not JSON is CW_JSON_SYNTAX (HTTP 400); what is JSON but ambiguous or not storable -
 * duplicate keys, NUL, lone surrogates - is CW_JSON_REFUSED (HTTP 422). Nodes live in the arena that was passed in. */
#ifndef CW_BASE_JSON_H
#define CW_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cw_arena;
struct cw_buf;

enum cw_json_type { CW_JSON_NULL = 0, CW_JSON_FALSE, CW_JSON_TRUE, CW_JSON_NUMBER, CW_JSON_STRING, CW_JSON_ARRAY,
	                CW_JSON_OBJECT };

struct cw_json {
	enum cw_json_type type;
	uint32_t count;              /* members or elements */
	const char *key;             /* of a member, NUL-terminated; NULL otherwise */
	size_t key_len;
	const char *text;            /* string: decoded UTF-8, NUL-terminated; number: as it was written */
	size_t len;
	const struct cw_json *first; /* first member or element */
	const struct cw_json *next;  /* next sibling */
};

enum cw_json_fault { CW_JSON_OK = 0, CW_JSON_SYNTAX, CW_JSON_REFUSED, CW_JSON_TOO_DEEP };

struct cw_json_error {
	enum cw_json_fault fault;
	size_t offset;               /* byte offset of the fault */
	unsigned line, column;       /* from 1 */
	char what[128];              /* "expected ',' or '}'" */
};

#define CW_JSON_DEPTH_DEFAULT 32

/* The whole text must be one value. Returns NULL and fills `error` otherwise. */
const struct cw_json *cw_json_parse(const char *text, size_t len, unsigned max_depth, struct cw_arena *arena,
                                    struct cw_json_error *error);

/* Member of an object by name; NULL if there is none or `object` is not an object. */
const struct cw_json *cw_json_get(const struct cw_json *object, const char *key);

bool cw_json_is_integer(const struct cw_json *value);                    /* a number without fraction and exponent */
bool cw_json_to_i64(const struct cw_json *value, int64_t *out);          /* exact, or false */
bool cw_json_to_double(const struct cw_json *value, double *out);        /* finite, or false */

/* Writer. Commas are the caller's. */
void cw_json_put_string(struct cw_buf *out, const char *text, size_t len);   /* with quotes; invalid UTF-8 as U+FFFD */
void cw_json_put_cstring(struct cw_buf *out, const char *text);
/* Shortest text that reads back as the same double; null for NaN and infinities. */
void cw_json_put_double(struct cw_buf *out, double value);
void cw_json_put_value(struct cw_buf *out, const struct cw_json *value);     /* as it was read */

#endif
