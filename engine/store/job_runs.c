/* job_runs - each run of a job; legal_holds - what must be kept. */
#include "store/job_runs.h"

#include "base/arena.h"
#include "pg/pool.h"
#include "store/build.h"
#include "store/ops.h"

static void tell(struct cw_pool *pool, const struct cw_stmt *stmt, const char *const *texts, int n)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_params params;

	cw_params_init(&params, arena);
	for (int i = 0; i < n; i++)
		cw_params_cstring(&params, texts[i]);
	cw_pool_query(pool, stmt, &params, NULL, NULL);
	cw_arena_free(&arena);
}

void cw_job_runs_orphaned(struct cw_pool *pool, const char *instance)
{
	static const struct cw_stmt runs = {
		"job_runs_orphaned", "UPDATE job_runs SET status = 'interrupted', finished_at = now(), error ="
		                     " 'its engine ended before it' WHERE status = 'running' AND right(worker, length($1) + 1) = ':' || $1",
	};
	static const struct cw_stmt sending = {
		"outbox_orphaned", "UPDATE outbox SET next_attempt_at = now(), claimed_by = NULL WHERE delivered_at IS NULL"
		                   " AND failed_at IS NULL AND right(claimed_by, length($1) + 1) = ':' || $1",
	};

	tell(pool, &runs, &instance, 1);
	tell(pool, &sending, &instance, 1);
}

void cw_job_runs_beat(struct cw_pool *pool, const char *worker)
{
	static const struct cw_stmt stmt = {
		"job_runs_beat", "UPDATE job_runs SET heartbeat_at = now() WHERE status = 'running' AND worker = $1",
	};

	tell(pool, &stmt, &worker, 1);
}

void cw_job_runs_abandon(struct cw_pool *pool, const char *worker, const char *name, const char *why)
{
	static const struct cw_stmt stmt = {
		"job_runs_abandon", "UPDATE job_runs SET status = 'failed', finished_at = now(), error = $3"
		                    " WHERE status = 'running' AND worker = $1 AND name = $2",
	};
	const char *texts[] = { worker, name, why };

	tell(pool, &stmt, texts, 3);
}

/* --- operations --- */

static const struct cw_column columns[] = {
	CW_COLUMN("id", "r.id", 0),
	CW_COLUMN("name", "r.name", 0),
	CW_COLUMN("status", "r.status", 0),
	CW_COLUMN("slot", "r.slot", 0),
	CW_COLUMN("worker", "r.worker", 0),
	CW_COLUMN("started_at", "r.started_at", 0),
	CW_COLUMN("finished_at", "r.finished_at", 0),
	CW_COLUMN("detail", "r.detail", 0),
	CW_COLUMN("error", "r.error", 0),
};

#define STATUSES "running|succeeded|failed|interrupted"

static const struct cw_arg_spec list_args[] = {
	{ .name = "name", .required = true, .where = "r.name = %" },
	{ .name = "status", .type = CW_ARG_CHOICE, .choices = STATUSES, .where = "r.status = '%'" },
	CW_PAGE_ARGS,
};

const struct cw_op cw_job_runs_list = {
	.repo = "job_runs", .name = "list", .kind = CW_OP_PAGE,
	.summary = "Runs of a job, newest first.",
	CW_OP_ARGS(list_args), CW_OP_COLUMNS(columns), .build = cw_build_query, .from = "job_runs r", .keys = "r.id",
};

static const struct cw_arg_spec get_args[] = { { .name = "id", .type = CW_ARG_INT, .required = true, .where = "r.id = %" } };

const struct cw_op cw_job_runs_get = {
	.repo = "job_runs", .name = "get", .kind = CW_OP_ONE,
	.summary = "One run of a job.",
	CW_OP_ARGS(get_args), CW_OP_COLUMNS(columns), .build = cw_build_query, .from = "job_runs r",
};

static const struct cw_arg_spec last_args[] = { { .name = "names", .type = CW_ARG_TEXTS, .required = true } };

static void build_last(struct cw_build *b)
{
	cw_build_select(b);
	cw_build_value(b, "names", " FROM unnest(%::text[]) n (name) CROSS JOIN LATERAL (SELECT * FROM job_runs j"
	               " WHERE j.name = n.name ORDER BY j.id DESC LIMIT 1) r");
}

const struct cw_op cw_job_runs_last = {
	.repo = "job_runs", .name = "last", .kind = CW_OP_ROWS,
	.summary = "The newest run of each of these jobs.",
	CW_OP_ARGS(last_args), CW_OP_COLUMNS(columns), .build = build_last,
};

static const struct cw_arg_spec claim_args[] = {
	{ .name = "name", .required = true },
	{ .name = "slot", .type = CW_ARG_TIME },
	{ .name = "worker", .required = true },
};

/* The row of a slot can be inserted once, and one running row a name: whoever inserts runs. A run that was interrupted
 * leaves its slot to another, but not for ever: it may be what killed its engine. */
static void build_claim(struct cw_build *b)
{
	cw_build_value(b, "name", "WITH stale AS (UPDATE job_runs SET status = 'interrupted', finished_at = now(), error ="
	               " 'its engine has gone silent' WHERE name = % AND status = 'running' AND"
	               " heartbeat_at < now() - interval '90 seconds' RETURNING id)");
	cw_build_value(b, "name", " INSERT INTO job_runs AS r (name, slot, worker, heartbeat_at) SELECT %");
	cw_build_value(b, "slot", ", %");
	cw_build_value(b, "worker", ", %, now() FROM (SELECT count(*) FROM stale) s");
	cw_build_value(b, "name", " WHERE (SELECT count(*) FROM job_runs i WHERE i.status = 'interrupted' AND i.name = %");
	cw_build_value(b, "slot", " AND i.slot = %");
	cw_build_sql(b, ") < 3 ON CONFLICT DO NOTHING");
	cw_build_returning(b);
}

const struct cw_op cw_job_runs_claim = {
	.repo = "job_runs", .name = "claim", .kind = CW_OP_EXEC,
	.summary = "Takes the run of a slot (or one by hand) for this engine; no row: another has it, or it is running.",
	CW_OP_ARGS(claim_args), CW_OP_COLUMNS(columns), .build = build_claim,
};

static const struct cw_arg_spec finish_args[] = {
	{ .name = "id", .type = CW_ARG_INT, .required = true },
	{ .name = "status", .type = CW_ARG_CHOICE, .choices = "succeeded|failed", .required = true },
	{ .name = "detail", .type = CW_ARG_JSON },
	{ .name = "error" },
};

static const struct cw_arg_spec progress_args[] = {
	{ .name = "id", .type = CW_ARG_INT, .required = true, .where = "r.id = %" },
	{ .name = "detail", .type = CW_ARG_JSON, .required = true, .column = "detail" },
};

const struct cw_op cw_job_runs_progress = {
	.repo = "job_runs", .name = "progress", .kind = CW_OP_EXEC,
	.summary = "What a run has to tell while it runs.",
	CW_OP_ARGS(progress_args), .columns = NULL, .ncolumns = 0, .build = cw_build_update, .from = "job_runs r",
	.tail = "AND r.status = 'running'",
};

static void build_finish(struct cw_build *b)
{
	cw_build_value(b, "status", "UPDATE job_runs r SET finished_at = now(), status = %");
	cw_build_value(b, "detail", ", detail = coalesce(%, r.detail)");
	cw_build_value(b, "error", ", error = left(%, 2000)");
	cw_build_value(b, "id", " WHERE r.id = % AND r.status = 'running'");
	cw_build_returning(b);
}

const struct cw_op cw_job_runs_finish = {
	.repo = "job_runs", .name = "finish", .kind = CW_OP_EXEC,
	.summary = "The end of a run.",
	CW_OP_ARGS(finish_args), CW_OP_COLUMNS(columns), .build = build_finish,
};

/* --- legal holds --- */

static const struct cw_column hold_columns[] = {
	CW_COLUMN("id", "h.id", 0),
	CW_COLUMN("hash", "h.hash", 0),
	CW_COLUMN("address", "h.address", 0),
	CW_COLUMN("rule", "h.rule_id", 0),
	CW_COLUMN("reason", "h.reason", 0),
	CW_COLUMN("created_at", "h.created_at", 0),
	CW_COLUMN("created_by", "h.created_by", 0),
	CW_COLUMN("released_at", "h.released_at", 0),
	CW_COLUMN("released_by", "h.released_by", 0),
};

static const struct cw_arg_spec holds_args[] = {
	{ .name = "active", .type = CW_ARG_BOOL, .where = "h.released_at IS NULL", .otherwise = "h.released_at IS NOT NULL" },
	CW_PAGE_ARGS,
};

const struct cw_op cw_legal_holds_list = {
	.repo = "legal_holds", .name = "list", .kind = CW_OP_PAGE,
	.summary = "Legal holds, newest first.",
	CW_OP_ARGS(holds_args), CW_OP_COLUMNS(hold_columns), .build = cw_build_query, .from = "legal_holds h",
	.keys = "h.id",
};

static const struct cw_arg_spec hold_args[] = {
	{ .name = "hash", .type = CW_ARG_HASH, .column = "hash" },
	{ .name = "address", .type = CW_ARG_ADDRESS, .column = "address" },
	{ .name = "rule", .column = "rule_id" },
	{ .name = "reason", .required = true, .column = "reason" },
	{ .name = "created_by", .type = CW_ARG_INT, .column = "created_by" },
};

static void build_hold(struct cw_build *b)
{
	int named = (cw_build_arg(b, "hash") != NULL) + (cw_build_arg(b, "address") != NULL) + (cw_build_arg(b, "rule") != NULL);

	if (named != 1)
		b->fault = "a hold names one of hash, address and rule";
	cw_build_insert(b);
}

const struct cw_op cw_legal_holds_create = {
	.repo = "legal_holds", .name = "create", .kind = CW_OP_EXEC,
	.summary = "Nothing of this transaction, this address or this rule is deleted any more.",
	CW_OP_ARGS(hold_args), CW_OP_COLUMNS(hold_columns), .build = build_hold, .from = "legal_holds AS h",
};

static const struct cw_arg_spec release_args[] = {
	{ .name = "id", .type = CW_ARG_INT, .required = true },
	{ .name = "released_by", .type = CW_ARG_INT },
};

static void build_release(struct cw_build *b)
{
	cw_build_value(b, "released_by", "UPDATE legal_holds h SET released_at = now(), released_by = %");
	cw_build_value(b, "id", " WHERE h.id = % AND h.released_at IS NULL");
	cw_build_returning(b);
}

const struct cw_op cw_legal_holds_release = {
	.repo = "legal_holds", .name = "release", .kind = CW_OP_EXEC,
	.summary = "Ends a hold; the row stays.",
	CW_OP_ARGS(release_args), CW_OP_COLUMNS(hold_columns), .build = build_release,
};

/* --- months --- */

static const struct cw_column month_columns[] = { CW_COLUMN("made", "partitions_ahead(m.n)", 0) };
static const struct cw_arg_spec ahead_args[] = { { .name = "months", .type = CW_ARG_INT, .min = 0, .max = 24, .required = true } };

static void build_ahead(struct cw_build *b)
{
	cw_build_select(b);
	cw_build_value(b, "months", " FROM (SELECT %::int4 AS n) m");
}

const struct cw_op cw_partitions_make = {
	.repo = "partitions", .name = "ahead", .kind = CW_OP_EXEC,
	.summary = "Makes the months of predictions, audit_logs and system_metrics so far ahead where they are missing.",
	CW_OP_ARGS(ahead_args), CW_OP_COLUMNS(month_columns), .build = build_ahead,
};
