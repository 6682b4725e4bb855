/* repo.h - repositories: every operation on a table is a value (struct cw_op) with named, typed arguments and columns.
 *
 * One way in for all of them: set arguments by name, call, get rows. Scripts bind the whole registry in one loop
 * (`db.anomalies:list{ severity = "high" }`), C code names an operation (`&cw_users_by_email`). Results become JSON
 * text straight from PostgreSQL's binary cells; who needs values reads the result itself.
 *
 * Statements are made from the arguments that are set (values are always parameters) and prepared once a connection.
 * Pages go by key, newest first unless `order` says "asc": `next` of one page is the argument `cursor` of the one after
 * it, and page a thousand costs what the first one costs. Who must name a place by number says `offset`. */
#ifndef CW_STORE_REPO_H
#define CW_STORE_REPO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cw_arena;
struct cw_buf;
struct cw_build;
struct cw_call;
struct cw_conn;
struct cw_err;
struct cw_pool;
struct cw_result;

/* --- operations --- */

enum cw_arg_type {
	CW_ARG_TEXT = 0,              /* valid UTF-8 without NUL */
	CW_ARG_INT,                   /* between min and max (both 0: any) */
	CW_ARG_NUMBER,                /* finite; between min and max (both 0: any) */
	CW_ARG_BOOL,
	CW_ARG_TIME,                  /* RFC 3339, or seconds since 1970; kept as microseconds */
	CW_ARG_HASH,                  /* 0x and 64 digits */
	CW_ARG_ADDRESS,               /* 0x and 40 digits */
	CW_ARG_BYTES,                 /* 0x and hex digits */
	CW_ARG_JSON,                  /* any JSON value as text */
	CW_ARG_CHOICE,                /* one of `choices`, "low|medium|high" */
	CW_ARG_TEXTS,                 /* a list: setting it again adds an element */
	CW_ARG_CHOICES,               /* a list of choices; "a,b" sets both */
	CW_ARG_INET,                  /* an IPv4 or IPv6 address */
	CW_ARG_AMOUNT,                /* a whole number below 2^256, in decimal or 0x hex digits */
};

/* What an argument is and what it does to the statement, in one place: `where` is the condition that it adds to a query
 * (% is its value), `column` what it writes. Both may be left to the operation's own build function. */
struct cw_arg_spec {
	const char *name;
	enum cw_arg_type type;
	bool required;
	const char *choices;
	double min, max;
	const char *where;            /* "m.name = %"; of a bool: what holds when it is true */
	const char *otherwise;        /* of a bool: what holds when it is false */
	const char *column, *value;   /* written as `column = value`; value NULL: "%" */
};

enum cw_column_flags {
	CW_COL_HIDDEN = 1,            /* selected, not in the JSON */
	CW_COL_QUANTITY = 2,          /* an integer as a decimal string */
	CW_COL_SECONDS = 4,           /* a time as a decimal string of seconds since 1970 */
	CW_COL_OPEN = 8,              /* no column: begins a nested object of this name */
	CW_COL_CLOSE = 16,            /* no column: ends it */
	CW_COL_LOGS = 32,             /* packed logs (chain/logs.h) as a list */
};
/* `key` is written with quotes and colon: "\"hash\":". */
struct cw_column { const char *key, *sql; unsigned flags; };
#define CW_COLUMN(name, sql_, flags_) { "\"" name "\":", sql_, flags_ }

enum cw_op_kind {
	CW_OP_ONE = 0,                /* one row or none */
	CW_OP_PAGE,                   /* rows by key, with `limit`, `order`, and `cursor` or `offset` */
	CW_OP_ROWS,                   /* all rows there are */
	CW_OP_EXEC,                   /* a change; rows only if columns are named (RETURNING) */
};

/* Rows of another table that belong to the rows of a result: one query for all of them. Its first column is the key. */
struct cw_relation {
	const char *name;             /* as in `include`, and in the JSON */
	const struct cw_column *columns;
	int ncolumns;
	const char *tail;             /* FROM ... WHERE x = ANY($1) ORDER BY x, ... */
};

struct cw_op {
	const char *repo, *name;      /* "anomalies", "list" */
	const char *summary;
	enum cw_op_kind kind;
	const struct cw_arg_spec *args;
	int nargs;
	const struct cw_column *columns;
	int ncolumns;
	/* Appends the statement; for a page it stops before ORDER BY (see store/build.h, which has some ready). */
	void (*build)(struct cw_build *b);
	const char *from;             /* for those: "models AS m" */
	const char *tail;             /* for those: what follows the conditions, or the VALUES of an insert */
	const char *keys;             /* page: ORDER BY columns, "a.detected_at, a.id": the result's first columns */
	bool ascending;               /* page: oldest first unless `order` says otherwise */
	const struct cw_relation *relations;
	int nrelations;
	int row_id;                   /* the result's column that is their key */
};

/* All operations, ended by NULL. */
extern const struct cw_op *const cw_ops[];
const struct cw_op *cw_op_find(const char *repo, const char *name);

/* --- arguments --- */

#define CW_ARGS_MAX 32
#define CW_PAGE_DEFAULT 50
#define CW_PAGE_MAX 1000
#define CW_OFFSET_MAX 100000          /* an offset reads what it leaves out; deeper goes by cursor */

struct cw_arg {
	bool set;
	bool flag;
	int64_t integer;              /* CW_ARG_INT; CW_ARG_TIME in microseconds */
	double number;
	const char *text;             /* text, JSON, choice; bytes of hash, address, bytes; a struct cw_u256 */
	size_t len;
	struct cw_arg_text { const char *text; size_t len; } *list;
	size_t nlist;
};

struct cw_args {
	const struct cw_op *op;
	struct cw_arena *arena;       /* values are copied there */
	struct cw_arg values[CW_ARGS_MAX];
};

void cw_args_init(struct cw_args *args, const struct cw_op *op, struct cw_arena *arena);
/* `text` as it comes from a query string, a script or a command line. -1 and CW_ERR_INVALID: no such argument (with the
 * nearest name), or no such value; the message names the argument. */
int cw_args_set(struct cw_args *args, const char *name, const char *text, size_t len, struct cw_err *err);
/* The type of an argument; -1: there is none of that name. */
int cw_args_type(const struct cw_args *args, const char *name);
/* From C: a name that does not exist or has another type is a bug. A NULL text leaves it unset. */
void cw_args_text(struct cw_args *args, const char *name, const char *text);
void cw_args_int(struct cw_args *args, const char *name, int64_t value);
void cw_args_number(struct cw_args *args, const char *name, double value);
void cw_args_bool(struct cw_args *args, const char *name, bool value);
void cw_args_time(struct cw_args *args, const char *name, int64_t wall_us);
void cw_args_bytes(struct cw_args *args, const char *name, const void *bytes, size_t len);

/* --- calls --- */

struct cw_rows {
	const struct cw_op *op;
	int count;                    /* rows of this page */
	const char *next;             /* cursor of the next page; NULL: this is the last */
	int64_t affected;             /* rows changed by CW_OP_EXEC */
	/* The cells, in the order of the columns (those of CW_COL_OPEN and CLOSE not counted). NULL when relations were
	 * included. */
	const struct cw_result *res;
	const struct cw_call *call;
};

/* Once, never before cw_repo_call has returned. Valid during the call; `rows` is NULL when `err` is set. */
typedef void cw_rows_fn(void *arg, const struct cw_rows *rows, const struct cw_err *err);

/* `args` are not needed afterwards. NULL and CW_ERR_INVALID: a required argument is missing, or the cursor is none of
 * this operation; `fn` will not be called. The handle is gone when `fn` has been called. */
struct cw_call *cw_repo_call(struct cw_pool *pool, const struct cw_args *args, cw_rows_fn *fn, void *arg,
                             struct cw_err *err);
/* The same inside a transaction that is open on `conn` (pg/conn.h), which must live until the answer or the cancel. */
struct cw_call *cw_repo_call_on(struct cw_conn *conn, const struct cw_args *args, cw_rows_fn *fn, void *arg,
                                struct cw_err *err);
/* `fn` will not be called. */
void cw_repo_cancel(struct cw_call **call);

/* One row as a JSON object, with included relations as arrays. */
void cw_rows_put_json(const struct cw_rows *rows, int row, struct cw_buf *out);
/* {"items":[...],"next":"..."} with next null on the last page. */
void cw_rows_put_page(const struct cw_rows *rows, struct cw_buf *out);
/* Index of a column in `res` by its JSON name; -1: none. Nested names with a dot: "transaction.hash". */
int cw_rows_column(const struct cw_rows *rows, const char *name);

#endif
