/* retention - what a policy may do to a table: count, delete, anonymise or fetch a slice of what is older than a time, and
 * drop a month. Which rows there are to choose from stands in one table here; how long and when, in the policy.
 *
 * A slice is bounded and takes only rows that nobody holds a lock on, so ingest never waits for it longer than a slice
 * takes. What a legal hold names is never in one. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "store/build.h"
#include "store/ops.h"

#define TABLES "transactions|anomalies|predictions|audit_logs|system_metrics|job_runs|outbox|users"

struct target {
	const char *name, *time;      /* the column that tells its age */
	const char *held;             /* under a legal hold; NULL: cannot be */
	const char *anonymise;        /* SET ...; NULL: cannot be */
	const char *named;            /* rows that still have something to anonymise */
	const char *fields;           /* conditions that make sense, with a space around each */
	bool months;
	const char *delete_when;      /* a condition without which its rows cannot go; NULL: none */
};

static const struct target targets[] = {
	{ "transactions", "created_at", "is_held(r.id)", "input_data = NULL", "r.input_data IS NOT NULL",
	  " orphaned found ", false, NULL },
	{ "anomalies", "detected_at", "(is_held(r.transaction_id) OR r.rule_id IN (SELECT h.rule_id FROM legal_holds h WHERE"
	  " h.released_at IS NULL AND h.rule_id IS NOT NULL))", "reviewed_by = NULL, review_note = NULL",
	  "(r.reviewed_by IS NOT NULL OR r.review_note IS NOT NULL)", " severity reviewed shadow false_positive rule ", false,
	  NULL },
	{ "predictions", "created_at", "is_held(r.transaction_id)", "user_id = NULL, request_id = NULL",
	  "(r.user_id IS NOT NULL OR r.request_id IS NOT NULL)", " is_anomaly ", true, NULL },
	{ "audit_logs", "timestamp", NULL, NULL, NULL, "", true, NULL },
	{ "system_metrics", "timestamp", NULL, NULL, NULL, " metric ", true, NULL },
	{ "job_runs", "started_at", NULL, NULL, NULL, " metric ", false, "r.status <> 'running'" },
	{ "outbox", "created_at", "(r.anomaly_id IS NOT NULL AND is_held((SELECT a.transaction_id FROM anomalies a WHERE a.id ="
	  " r.anomaly_id)))", "payload = NULL, last_error = NULL", "(r.payload IS NOT NULL OR r.last_error IS NOT NULL)",
	  " delivered ", false, "(r.delivered_at IS NOT NULL OR r.failed_at IS NOT NULL)" },
	{ "users", "coalesce(r.last_login, r.created_at)", NULL,
	  "email = 'user-' || id || '@anonymous.invalid', hashed_password = NULL, is_active = false",
	  "r.email NOT LIKE '%@anonymous.invalid'", " ", false, "NOT r.is_active" },
};

#define CHOOSE_ARGS \
	{ .name = "table", .type = CW_ARG_CHOICE, .choices = TABLES, .required = true }, \
	{ .name = "before", .type = CW_ARG_TIME, .required = true }, \
	{ .name = "severity", .type = CW_ARG_CHOICES, .choices = "low|medium|high|critical" }, \
	{ .name = "reviewed", .type = CW_ARG_BOOL }, { .name = "shadow", .type = CW_ARG_BOOL }, \
	{ .name = "false_positive", .type = CW_ARG_BOOL }, { .name = "rule" }, { .name = "orphaned", .type = CW_ARG_BOOL }, \
	{ .name = "found", .type = CW_ARG_BOOL }, { .name = "is_anomaly", .type = CW_ARG_BOOL }, { .name = "metric" }, \
	{ .name = "delivered", .type = CW_ARG_BOOL }
#define LIMIT_ARG { .name = "limit", .type = CW_ARG_INT, .min = 1, .max = 10000, .required = true }

__attribute__((format(printf, 2, 3))) static const char *text(struct cw_build *b, const char *format, ...)
{
	char out[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(out, sizeof(out), format, args);
	va_end(args);
	return cw_arena_strndup(b->arena, out, strlen(out));
}

static const struct target *target_of(const struct cw_build *b)
{
	const struct cw_arg *table = cw_build_arg(b, "table");

	for (int i = 0; i < CW_COUNT(targets); i++)
		if (strcmp(targets[i].name, table->text) == 0)
			return &targets[i];
	return &targets[0];              /* the argument is one of TABLES */
}

/* A condition that the table does not know is a mistake in the policy, not one that matches nothing. */
static void check_fields(struct cw_build *b, const struct target *t)
{
	static const char *const names[] = { "severity", "reviewed", "shadow", "false_positive", "rule", "orphaned", "found",
		                                 "is_anomaly", "metric", "delivered" };
	char word[32];

	for (int i = 0; i < CW_COUNT(names); i++) {
		snprintf(word, sizeof(word), " %s ", names[i]);
		if (cw_build_arg(b, names[i]) != NULL && strstr(t->fields, word) == NULL)
			b->fault = text(b, "rows of %s are not told apart by \"%s\"", t->name, names[i]);
	}
}

static void put_chosen(struct cw_build *b, const struct target *t, bool spare_held)
{
	const char *column = strchr(t->time, '(') != NULL ? t->time : text(b, "r.%s", t->time);

	check_fields(b, t);
	cw_build_filter(b, "before", text(b, "%s < %%", column));
	cw_build_filter(b, "severity", "r.severity::text = ANY (%)");
	cw_build_flag(b, "reviewed", "r.reviewed", "NOT r.reviewed");
	cw_build_flag(b, "shadow", "r.shadow", "NOT r.shadow");
	cw_build_flag(b, "false_positive", "r.false_positive", "r.false_positive IS NOT TRUE");
	cw_build_filter(b, "rule", "r.rule_id = %");
	cw_build_flag(b, "orphaned", "NOT r.canonical", "r.canonical");
	cw_build_flag(b, "found", "EXISTS (SELECT FROM anomalies a WHERE a.transaction_id = r.id)",
	              "NOT EXISTS (SELECT FROM anomalies a WHERE a.transaction_id = r.id)");
	cw_build_flag(b, "is_anomaly", "r.is_anomaly", "NOT r.is_anomaly");
	cw_build_filter(b, "metric", strcmp(t->name, "job_runs") == 0 ? "r.name = %" : "r.metric_name = %");
	cw_build_flag(b, "delivered", "r.delivered_at IS NOT NULL", "r.failed_at IS NOT NULL");
	if (t->delete_when != NULL) {
		cw_build_and(b);
		cw_build_sql(b, t->delete_when);
	}
	if (spare_held && t->held != NULL) {
		cw_build_and(b);
		cw_build_sql(b, "NOT ");
		cw_build_sql(b, t->held);
	}
}

static const struct cw_arg_spec count_args[] = { CHOOSE_ARGS, { .name = "to_anonymise", .type = CW_ARG_BOOL } };
static const struct cw_column count_columns[] = {
	CW_COLUMN("count", "", 0), CW_COLUMN("held", "", 0), CW_COLUMN("oldest", "", 0),
};

static void build_count(struct cw_build *b)
{
	const struct target *t = target_of(b);

	cw_build_sql(b, text(b, "SELECT count(*) AS count, count(*) FILTER (WHERE %s) AS held, min(%s%s) AS"
	                                " oldest FROM %s r", t->held != NULL ? t->held : "false",
	                                strchr(t->time, '(') != NULL ? "" : "r.", t->time, t->name));
	put_chosen(b, t, false);
	if (cw_build_arg(b, "to_anonymise") == NULL)
		return;
	if (t->named == NULL)
		b->fault = text(b, "rows of %s cannot be anonymised", t->name);
	cw_build_and(b);
	cw_build_sql(b, t->named != NULL ? t->named : "false");
}

const struct cw_op cw_retention_count = {
	.repo = "retention", .name = "count", .kind = CW_OP_ONE,
	.summary = "How many rows of a class are older than a time, how many of them are under a legal hold, and the oldest.",
	CW_OP_ARGS(count_args), CW_OP_COLUMNS(count_columns), .build = build_count,
};

static const struct cw_arg_spec slice_args[] = { CHOOSE_ARGS, LIMIT_ARG };

/* (key) IN (the oldest so many, as far as nobody works on them) */
static void put_slice(struct cw_build *b, const struct target *t, const char *more)
{
	const char *key = t->months ? text(b, "id, %s", t->time) : "id";

	cw_build_sql(b, text(b, " WHERE (%s) IN (SELECT %s FROM %s r", key, key, t->name));
	put_chosen(b, t, true);
	if (more != NULL) {
		cw_build_and(b);
		cw_build_sql(b, more);
	}
	cw_build_value(b, "limit", " ORDER BY r.id LIMIT % FOR UPDATE SKIP LOCKED)");
}

static void build_delete(struct cw_build *b)
{
	const struct target *t = target_of(b);

	if (strcmp(t->name, "audit_logs") == 0)
		b->fault = "the audit log goes by whole months";
	if (strcmp(t->name, "users") == 0)
		b->fault = "users are anonymised, not deleted: the audit log names them";
	cw_build_sql(b, text(b, "DELETE FROM %s", t->name));
	put_slice(b, t, NULL);
}

const struct cw_op cw_retention_delete = {
	.repo = "retention", .name = "delete", .kind = CW_OP_EXEC,
	.summary = "Deletes a slice of a class of rows that are older than a time; what is under a legal hold stays.",
	CW_OP_ARGS(slice_args), .columns = NULL, .ncolumns = 0, .build = build_delete,
};

static void build_anonymise(struct cw_build *b)
{
	const struct target *t = target_of(b);

	if (t->anonymise == NULL)
		b->fault = text(b, "rows of %s cannot be anonymised", t->name);
	cw_build_sql(b, text(b, "UPDATE %s SET %s", t->name, t->anonymise != NULL ? t->anonymise : ""));
	put_slice(b, t, t->named);
}

const struct cw_op cw_retention_anonymise = {
	.repo = "retention", .name = "anonymise", .kind = CW_OP_EXEC,
	.summary = "Takes what names a person (or the call data of a transaction) out of a slice of a class of rows.",
	CW_OP_ARGS(slice_args), .columns = NULL, .ncolumns = 0, .build = build_anonymise,
};

static const struct cw_column fetch_columns[] = { CW_COLUMN("id", "", 0), CW_COLUMN("row", "", 0) };
static const struct cw_arg_spec fetch_args[] = { CHOOSE_ARGS, LIMIT_ARG, { .name = "after", .type = CW_ARG_INT } };

static void build_fetch(struct cw_build *b)
{
	const struct target *t = target_of(b);

	cw_build_sql(b, text(b, "SELECT r.id, to_jsonb(r) AS row FROM %s r", t->name));
	put_chosen(b, t, true);
	cw_build_filter(b, "after", "r.id > %");
	cw_build_value(b, "limit", " ORDER BY r.id LIMIT %");
}

const struct cw_op cw_retention_fetch = {
	.repo = "retention", .name = "fetch", .kind = CW_OP_ROWS,
	.summary = "A slice of a class of rows as they are, for an archive.",
	CW_OP_ARGS(fetch_args), CW_OP_COLUMNS(fetch_columns), .build = build_fetch,
};

static const struct cw_arg_spec rows_args[] = { CHOOSE_ARGS, { .name = "ids", .type = CW_ARG_JSON, .required = true } };

static void build_delete_rows(struct cw_build *b)
{
	const struct target *t = target_of(b);

	if (strcmp(t->name, "audit_logs") == 0)
		b->fault = "the audit log goes by whole months";
	cw_build_sql(b, text(b, "DELETE FROM %s r", t->name));
	put_chosen(b, t, true);
	cw_build_filter(b, "ids", "r.id IN (SELECT value::int8 FROM jsonb_array_elements_text(%))");
}

const struct cw_op cw_retention_delete_rows = {
	.repo = "retention", .name = "delete_rows", .kind = CW_OP_EXEC,
	.summary = "Deletes rows that were archived, as far as they are still of their class.",
	CW_OP_ARGS(rows_args), .columns = NULL, .ncolumns = 0, .build = build_delete_rows,
};

/* --- months --- */

static const struct cw_arg_spec months_args[] = {
	{ .name = "table", .type = CW_ARG_CHOICE, .choices = "predictions|audit_logs|system_metrics", .required = true },
	{ .name = "before", .type = CW_ARG_TIME, .required = true },
};
static const struct cw_column months_columns[] = {
	CW_COLUMN("name", "", 0), CW_COLUMN("until", "", 0), CW_COLUMN("rows", "", 0), CW_COLUMN("bytes", "", 0),
};

/* The upper bound is read from the partition's own words: FOR VALUES FROM ('...') TO ('...'). */
static void build_months(struct cw_build *b)
{
	cw_build_value(b, "table", "SELECT m.name, m.until, m.rows, m.bytes FROM (SELECT c.relname::text AS name,"
	               " substring(pg_get_expr(c.relpartbound, c.oid) FROM $r$TO \\('([^']+)'\\)$r$)::timestamptz AS until,"
	               " greatest(c.reltuples, 0)::int8 AS rows, pg_total_relation_size(c.oid) AS bytes FROM pg_inherits i"
	               " JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = %::text::regclass) m");
	cw_build_value(b, "before", " WHERE m.until <= % ORDER BY m.until");
}

const struct cw_op cw_retention_months = {
	.repo = "retention", .name = "months", .kind = CW_OP_ROWS,
	.summary = "The months of a table that lie before a time as a whole.",
	CW_OP_ARGS(months_args), CW_OP_COLUMNS(months_columns), .build = build_months,
};

static const struct cw_arg_spec drop_args[] = {
	{ .name = "table", .type = CW_ARG_CHOICE, .choices = "predictions|audit_logs|system_metrics", .required = true },
	{ .name = "name", .required = true },
};
static const struct cw_column drop_columns[] = { CW_COLUMN("dropped", "", 0) };

static void build_drop(struct cw_build *b)
{
	cw_build_value(b, "name", "SELECT d.name AS dropped FROM (SELECT %::text AS name) d,");
	cw_build_value(b, "table", " LATERAL (SELECT partition_drop(%::text::regclass, d.name)) x");
}

const struct cw_op cw_retention_drop_month = {
	.repo = "retention", .name = "drop_month", .kind = CW_OP_EXEC,
	.summary = "Detaches a month and drops it, in an instant or not at all: busy (55P03) when others use the table.",
	CW_OP_ARGS(drop_args), CW_OP_COLUMNS(drop_columns), .build = build_drop,
};
