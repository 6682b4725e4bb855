/* build.h - how an operation writes its statement. Private to store/. */
#ifndef CW_STORE_BUILD_H
#define CW_STORE_BUILD_H

#include "base/buf.h"
#include "pg/query.h"
#include "store/cursor.h"
#include "store/repo.h"

struct cw_build {
	const struct cw_args *args;
	struct cw_arena *arena;
	struct cw_buf sql;
	struct cw_params params;
	int conditions;
	bool plan_anew;               /* not prepared: the best plan depends on the values, a rare rule is not a common one */
	/* Page: the position after which it begins, by the columns of op->keys. */
	bool has_cursor;
	struct cw_cursor cursor;
	int limit;                    /* rows asked for, and one more is fetched */
	int64_t offset;
	bool ascending;
	const char *fault;            /* set by a build function: why it cannot be done with these arguments */
};

/* Canonical and dropped transactions have an index each. */
#define CW_WHERE_HASH "(t.hash = % AND t.canonical OR t.hash = % AND NOT t.canonical)"

#define CW_COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

const struct cw_arg *cw_build_arg(const struct cw_build *b, const char *name);   /* NULL: not set */
void cw_build_sql(struct cw_build *b, const char *text);
/* "SELECT <columns of the operation>" */
void cw_build_select(struct cw_build *b);
/* " RETURNING <columns of the operation>" */
void cw_build_returning(struct cw_build *b);
/* Appends `template` with each % replaced by the argument as a parameter ("$3"); null if it is not set. */
void cw_build_value(struct cw_build *b, const char *name, const char *template);
/* Begins the next condition: " WHERE " or " AND ". */
void cw_build_and(struct cw_build *b);
/* If the argument is set: adds a condition, % is the parameter. */
void cw_build_filter(struct cw_build *b, const char *name, const char *template);
/* The same with the value itself for %: for choices, whose values are ours; planner and statistics see them. */
void cw_build_choice(struct cw_build *b, const char *name, const char *template);
/* true: adds `yes` as a condition; false: `no`; not set: nothing. */
void cw_build_flag(struct cw_build *b, const char *name, const char *yes, const char *no);
/* Condition of the cursor (if there is one), ORDER BY, LIMIT and OFFSET. */
void cw_build_page(struct cw_build *b, const char *keys);
/* For parts of a UNION: the condition; order and as many rows as the whole may need. */
void cw_build_after(struct cw_build *b, const char *keys);
void cw_build_order(struct cw_build *b, const char *keys);

/* Whole statements from what the operation declares: `from`, its arguments' `where` and `column`, `tail`, columns. */
void cw_build_query(struct cw_build *b);      /* SELECT */
void cw_build_insert(struct cw_build *b);     /* INSERT of the arguments that are given; RETURNING its columns */
void cw_build_update(struct cw_build *b);     /* UPDATE of the arguments that are given; one at least */
void cw_build_delete(struct cw_build *b);
/* Conditions of the arguments that have a `where`. */
void cw_build_where(struct cw_build *b);

#endif
