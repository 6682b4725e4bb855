/* primitive.h - what a detector primitive tells about itself, so that one declaration serves Lua, lint and documents.
 *
 * A primitive is a constructor with typed options ("window.distinct { key = 'from', of = 'to', span = '10m' }") and
 * methods of one C shape. The Lua layer binds it through FFI (JIT on) or as C functions (JIT off) from this table; the
 * reference and the editor stubs are generated from it. Handles are of this process; all state is in the arena. Pure:
 * time is the transaction's, randomness a seed in the options. */
#ifndef CW_DETECT_PRIMITIVE_H
#define CW_DETECT_PRIMITIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "chain/tx.h"
#include "state/dict.h"
#include "state/state.h"

struct cw_buf;
struct cw_err;

/* --- fields of a transaction that options and methods can name (detect/field.c) --- */
enum cw_field {
	CW_FIELD_NONE = 0,
	CW_FIELD_FROM, CW_FIELD_TO, CW_FIELD_HASH, CW_FIELD_CHAIN, CW_FIELD_SELECTOR,      /* keys */
	CW_FIELD_VALUE, CW_FIELD_GAS, CW_FIELD_GAS_PRICE, CW_FIELD_GAS_USED, CW_FIELD_NONCE,   /* numbers; also keys */
	CW_FIELD_BLOCK, CW_FIELD_TIMESTAMP, CW_FIELD_INPUT_SIZE, CW_FIELD_STATUS, CW_FIELD_INDEX, CW_FIELD_FEE,
	CW_FIELD_ARG1, CW_FIELD_ARG2, CW_FIELD_ARG3,       /* words of the call data behind the selector; keys: as addresses */
	CW_FIELD_CREATED,
	CW_FIELD_LOG_ADDRESS, CW_FIELD_LOG_FROM, CW_FIELD_LOG_TO, CW_FIELD_LOG_AMOUNT, CW_FIELD_LOG_ID,   /* of log_at */
	CW_FIELD_COUNT
};
/* "from", "to", "hash", "chain", "selector", "value" (wei), "gas", "gas_price", ...; NONE if unknown. */
enum cw_field cw_field_parse(const char *name);
const char *cw_field_name(enum cw_field field);          /* "" for NONE */
bool cw_field_is_number(enum cw_field field);
/* Up to three fields joined with '+': "to+selector", in any order, none twice. 0 = none given. */
typedef uint32_t cw_fieldset;
bool cw_fieldset_parse(const char *text, cw_fieldset *out);
#define CW_FIELDSET_TEXT 48
char *cw_fieldset_format(cw_fieldset fields, char out[CW_FIELDSET_TEXT]);
/* The dictionary key of a transaction; the chain is always part of it. false: the transaction lacks a field
 * (a contract creation has no "to", a plain transfer no "selector"). A single address keeps its 20 bytes, so that
 * "from" and "to" share entries; others are hashed. No fields: one key for each chain. */
bool cw_fieldset_key(const struct cw_tx *tx, cw_fieldset fields, struct cw_dict_key *key);
/* The address in a field: from, to, created, an argument of the call that is an address, one of the log that is looked at.
 * NULL if there is none. */
const struct cw_address *cw_field_address(const struct cw_tx *tx, enum cw_field field);
/* The 32 bytes of an argument (ARG1 to ARG3), NULL if the call data at hand is too short. */
const uint8_t *cw_field_word(const struct cw_tx *tx, enum cw_field field);
/* 64-bit hash of the same; the chain is part of it. */
bool cw_fieldset_hash(const struct cw_tx *tx, cw_fieldset fields, uint64_t *hash);
/* Wei, gas, seconds, bytes. NaN where the transaction lacks the field, or where it is not a number. */
double cw_field_number(const struct cw_tx *tx, enum cw_field field);
/* 64-bit hash without secret, good in all bits (for sketches). The same on every machine. */
uint64_t cw_hash64(const void *bytes, size_t len, uint64_t seed);

/* --- options --- */
enum cw_opt_type {
	CW_OPT_KEY,       /* field or fields to key by: "from", "to+selector"; "" or absent: one global entry */
	CW_OPT_FIELD,     /* one numeric field of the transaction */
	CW_OPT_SPAN,      /* duration: "10m", "36h", "7d", or seconds */
	CW_OPT_COUNT,     /* whole number */
	CW_OPT_NUMBER,
	CW_OPT_BOOL,
	CW_OPT_TEXT,
};
struct cw_opt {
	const char *name;
	enum cw_opt_type type;
	bool required;
	double def, min, max;            /* of spans in seconds */
	const char *def_text;            /* of KEY, FIELD and TEXT */
	const char *doc;                 /* one sentence with the unit */
};
union cw_opt_value {
	cw_fieldset key;
	enum cw_field field;
	double number;                   /* SPAN in seconds, COUNT, NUMBER, BOOL 0 or 1 */
	const char *text;                /* never NULL; lives as long as the raw options: open() copies what it keeps */
};
#define CW_PRIMITIVE_OPTS_MAX 16

/* One option as a script or a configuration gave it. */
enum cw_raw_type { CW_RAW_NIL = 0, CW_RAW_NUMBER, CW_RAW_BOOL, CW_RAW_TEXT };
struct cw_raw_opt {
	const char *name;
	enum cw_raw_type type;
	double number;                   /* of NUMBER and BOOL (0 or 1) */
	const char *text;
};

/* --- methods: all of one shape --- */
/* `tx` may be NULL for methods that do not take it. NaN is nil in Lua: the transaction lacks the key or the value, or
 * nothing is known yet. A FIELD argument arrives as the number of its enum cw_field. */
typedef double cw_method_fn(void *handle, const struct cw_tx *tx, double a, double b);
enum cw_arg { CW_ARG_NONE = 0, CW_ARG_NUMBER, CW_ARG_FIELD };
enum cw_result_kind { CW_RESULT_NUMBER = 0, CW_RESULT_BOOL, CW_RESULT_TEXT /* index for cw_primitive.text */ };
struct cw_method {
	const char *name;
	cw_method_fn *fn;
	bool takes_tx;
	enum cw_arg a, b;                /* an absent optional argument arrives as NaN */
	enum cw_result_kind result;
	const char *doc;                 /* LuaLS style: "number of distinct values in the window, this one included" */
};

struct cw_primitive {
	const char *table, *name;        /* "window", "distinct" */
	uint32_t version;                /* of the layout in the arena; raised when that changes, so that old state is left */
	const char *doc;                 /* what it is for, one or two sentences */
	const char *error;               /* how exact it is */
	const char *memory;              /* bytes a key, cost of an update */
	const char *source;              /* paper and section, or manual; "" where the method is plain counting */
	const char *example;             /* one line of a rule */
	const struct cw_opt *opts;       /* ends with name NULL */
	const struct cw_method *methods; /* ends with name NULL */
	/* `root->ref` 0: makes the state; else attaches to it. `vals` is parallel to `opts`, checked against them. */
	void *(*open)(struct cw_state *st, struct cw_state_root *root, const union cw_opt_value *vals, struct cw_err *err);
	void (*close)(void *handle);                 /* the handle only */
	void (*drop)(void *handle);                  /* handle and state */
	void (*prefetch)(void *handle, const struct cw_tx *tx, int stage);    /* may be NULL */
	const char *(*text)(void *handle, int index);                         /* for RESULT_TEXT; else NULL */
	/* What it holds for the transaction's key beyond what its methods read, for people: buckets of a window, the last
	 * values. Appends JSON members, each with a comma in front. `field` as
	 * a method with CW_ARG_FIELD gets it: another key, or NaN. Changes nothing. May be NULL. */
	void (*describe)(void *handle, const struct cw_tx *tx, double field, struct cw_buf *out);
};

/* All primitives, ends with NULL (detect/primitive.c lists them). */
extern const struct cw_primitive *const cw_primitives[];
const struct cw_primitive *cw_primitive_find(const char *table, const char *name);

/* Turns raw options into `vals` (room for CW_PRIMITIVE_OPTS_MAX), parallel to p->opts; what was not given gets its
 * default. Returns -1 and CW_ERR_INVALID with a message for the author of the rule: unknown option, wrong type, out of
 * range, missing. */
int cw_primitive_read_options(const struct cw_primitive *p, const struct cw_raw_opt *raw, size_t nraw,
                              union cw_opt_value *vals, struct cw_err *err);
/* Digest of a declaration for cw_state_root_open: the primitive, its version and every option that is in force. */
void cw_primitive_digest(const struct cw_primitive *p, const union cw_opt_value *vals, uint8_t out[16]);

/* Appends JSON members: "key", what each method that only reads says (all but add and clear), and what `describe` adds.
 * Changes nothing. */
void cw_primitive_describe(const struct cw_primitive *p, const union cw_opt_value *vals, void *handle,
                           const struct cw_tx *tx, double field, struct cw_buf *out);
/* The options in force as JSON members. */
void cw_primitive_put_options(const struct cw_primitive *p, const union cw_opt_value *vals, struct cw_buf *out);

/* "10m", "36h", "7d", "1h30m", "90" (seconds); units s m h d w. false if it is none of them. */
bool cw_span_parse(const char *text, double *seconds);
#define CW_SPAN_TEXT 40
char *cw_span_format(double seconds, char out[CW_SPAN_TEXT]);   /* the largest unit that divides it: "36h" */

#endif
