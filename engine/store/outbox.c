/* outbox - deliveries that a commit has promised; cursors - how far each source has been read. */
#include "store/build.h"
#include "store/ops.h"

static const struct cw_column columns[] = {
	CW_COLUMN("id", "o.id", 0),
	CW_COLUMN("anomaly_id", "o.anomaly_id", 0),
	CW_COLUMN("kind", "o.kind", 0),
	CW_COLUMN("event_id", "o.event_id::text", 0),
	CW_COLUMN("target", "o.target", 0),
	CW_COLUMN("payload", "o.payload", 0),
	CW_COLUMN("attempts", "o.attempts", 0),
	CW_COLUMN("next_attempt_at", "o.next_attempt_at", 0),
	CW_COLUMN("created_at", "o.created_at", 0),
	CW_COLUMN("delivered_at", "o.delivered_at", 0),
	CW_COLUMN("failed_at", "o.failed_at", 0),
	CW_COLUMN("last_error", "o.last_error", 0),
};

#define STATE_WHERE \
	"CASE '%' WHEN 'due' THEN o.delivered_at IS NULL AND o.failed_at IS NULL WHEN 'delivered' THEN o.delivered_at IS NOT NULL" \
	" ELSE o.failed_at IS NOT NULL END"

static const struct cw_arg_spec list_args[] = {
	{ .name = "target", .where = "o.target = %" },
	{ .name = "anomaly_id", .type = CW_ARG_INT, .where = "o.anomaly_id = %" },
	{ .name = "state", .type = CW_ARG_CHOICE, .choices = "due|delivered|failed", .where = STATE_WHERE },
	CW_PAGE_ARGS,
};

const struct cw_op cw_outbox_list = {
	.repo = "outbox", .name = "list", .kind = CW_OP_PAGE,
	.summary = "Deliveries, newest first: those of an anomaly, of a target, due, delivered or given up.",
	CW_OP_ARGS(list_args), CW_OP_COLUMNS(columns), .build = cw_build_query, .from = "outbox o", .keys = "o.id",
};

static const struct cw_arg_spec due_args[] = {
	{ .name = "limit", .type = CW_ARG_INT, .min = 1, .max = 1000, .required = true },
	{ .name = "routed", .type = CW_ARG_BOOL },
};

static void build_due(struct cw_build *b)
{
	const struct cw_arg *routed = cw_build_arg(b, "routed");

	cw_build_select(b);
	cw_build_sql(b, " FROM outbox o WHERE o.delivered_at IS NULL AND o.failed_at IS NULL AND o.next_attempt_at <= now()");
	if (routed != NULL)
		cw_build_sql(b, routed->flag ? " AND o.target <> ''" : " AND o.target = ''");
	cw_build_value(b, "limit", " ORDER BY o.next_attempt_at, o.id LIMIT % FOR UPDATE SKIP LOCKED");
}

/* What is being sent is nobody else's for a while; if the sender dies, it is due again after it. */
static void build_claim(struct cw_build *b)
{
	cw_build_value(b, "lease_s", "UPDATE outbox o SET next_attempt_at = now() + make_interval(secs => %)");
	cw_build_value(b, "worker", ", claimed_by = %");
	cw_build_sql(b, " WHERE o.id IN (SELECT d.id FROM outbox d WHERE d.delivered_at IS NULL AND d.failed_at IS NULL"
	                " AND d.next_attempt_at <= now()");
	cw_build_value(b, "target", " AND d.target = %");
	cw_build_value(b, "limit", " ORDER BY d.next_attempt_at, d.id LIMIT % FOR UPDATE SKIP LOCKED)");
	cw_build_returning(b);
}

static const struct cw_arg_spec claim_args[] = {
	{ .name = "target", .required = true },
	{ .name = "limit", .type = CW_ARG_INT, .min = 1, .max = 1000, .required = true },
	{ .name = "lease_s", .type = CW_ARG_NUMBER, .min = 0, .max = 3600, .required = true },
	{ .name = "worker" },
};

const struct cw_op cw_outbox_claim = {
	.repo = "outbox", .name = "claim", .kind = CW_OP_ROWS,
	.summary = "Takes a target's due deliveries for `lease_s` seconds; then they are due again unless they were ended.",
	CW_OP_ARGS(claim_args), CW_OP_COLUMNS(columns), .build = build_claim,
};

static const struct cw_column target_columns[] = {
	CW_COLUMN("target", "o.target", 0),
	CW_COLUMN("due", "count(*) FILTER (WHERE o.failed_at IS NULL)", 0),
	CW_COLUMN("failed", "count(*) FILTER (WHERE o.failed_at IS NOT NULL)", 0),
	CW_COLUMN("oldest", "min(o.created_at) FILTER (WHERE o.failed_at IS NULL)", 0),
	CW_COLUMN("last_error", "(array_agg(o.last_error ORDER BY o.id DESC) FILTER (WHERE o.last_error IS NOT NULL))[1]", 0),
};

const struct cw_op cw_outbox_targets = {
	.repo = "outbox", .name = "targets", .kind = CW_OP_ROWS,
	.summary = "What waits and what was given up, for each target.",
	.args = NULL, .nargs = 0, CW_OP_COLUMNS(target_columns), .build = cw_build_query,
	.from = "outbox o", .tail = "WHERE o.delivered_at IS NULL AND o.target <> '' GROUP BY o.target ORDER BY o.target",
};

static const struct cw_arg_spec retry_args[] = { { .name = "target", .required = true, .where = "o.target = %" } };

static void build_retry(struct cw_build *b)
{
	cw_build_sql(b, "UPDATE outbox o SET failed_at = NULL, attempts = 0, next_attempt_at = now()");
	cw_build_where(b);
	cw_build_sql(b, " AND o.failed_at IS NOT NULL");
}

const struct cw_op cw_outbox_retry = {
	.repo = "outbox", .name = "retry", .kind = CW_OP_EXEC,
	.summary = "Everything that was given up for a target is due again.",
	CW_OP_ARGS(retry_args), .columns = NULL, .ncolumns = 0, .build = build_retry,
};

const struct cw_op cw_outbox_due = {
	.repo = "outbox", .name = "due", .kind = CW_OP_ROWS,
	.summary = "Deliveries whose time has come, the longest overdue first; locked for the transaction that asks.",
	CW_OP_ARGS(due_args), CW_OP_COLUMNS(columns), .build = build_due,
};

static const struct cw_arg_spec create_args[] = {
	{ .name = "target", .required = true, .column = "target" },
	{ .name = "anomaly_id", .type = CW_ARG_INT, .column = "anomaly_id" },
	{ .name = "payload", .type = CW_ARG_JSON, .column = "payload" },
	{ .name = "kind", .type = CW_ARG_CHOICE, .choices = "new|updated|retracted|reborn|label_withdrawn", .column = "kind" },
	{ .name = "event_of", .type = CW_ARG_INT, .column = "event_id",
	  .value = "coalesce((SELECT e.event_id FROM outbox e WHERE e.id = %), gen_random_uuid())" },
};

const struct cw_op cw_outbox_create = {
	.repo = "outbox", .name = "create", .kind = CW_OP_EXEC,
	.summary = "One more delivery to make.",
	CW_OP_ARGS(create_args), CW_OP_COLUMNS(columns), .build = cw_build_insert, .from = "outbox AS o",
};

static const struct cw_arg_spec id_args[] = { { .name = "id", .type = CW_ARG_INT, .required = true, .where = "o.id = %" } };

static void build_delivered(struct cw_build *b)
{
	cw_build_sql(b, "UPDATE outbox o SET delivered_at = now(), failed_at = NULL, attempts = attempts + 1, last_error = NULL");
	cw_build_where(b);
	cw_build_returning(b);
}

const struct cw_op cw_outbox_delivered = {
	.repo = "outbox", .name = "delivered", .kind = CW_OP_EXEC,
	.summary = "It has arrived.",
	CW_OP_ARGS(id_args), CW_OP_COLUMNS(columns), .build = build_delivered,
};

static const struct cw_arg_spec failed_args[] = {
	{ .name = "id", .type = CW_ARG_INT, .required = true },
	{ .name = "error", .required = true },
	{ .name = "retry_at", .type = CW_ARG_TIME },
};

static void build_failed(struct cw_build *b)
{
	cw_build_value(b, "error", "UPDATE outbox o SET attempts = attempts + 1, claimed_by = NULL, last_error = left(%, 500)");
	cw_build_value(b, "retry_at", ", next_attempt_at = coalesce(%, next_attempt_at)");
	if (cw_build_arg(b, "retry_at") == NULL)
		cw_build_sql(b, ", failed_at = now()");
	cw_build_value(b, "id", " WHERE o.id = %");
	cw_build_returning(b);
}

const struct cw_op cw_outbox_failed = {
	.repo = "outbox", .name = "failed", .kind = CW_OP_EXEC,
	.summary = "It has not arrived; tried again at `retry_at`, or given up.",
	CW_OP_ARGS(failed_args), CW_OP_COLUMNS(columns), .build = build_failed,
};

static void build_again(struct cw_build *b)
{
	cw_build_sql(b, "UPDATE outbox o SET failed_at = NULL, next_attempt_at = now()");
	cw_build_where(b);
	cw_build_sql(b, " AND o.delivered_at IS NULL");
	cw_build_returning(b);
}

const struct cw_op cw_outbox_again = {
	.repo = "outbox", .name = "again", .kind = CW_OP_EXEC,
	.summary = "Tries at once one that was given up or waits for its next attempt.",
	CW_OP_ARGS(id_args), CW_OP_COLUMNS(columns), .build = build_again,
};

/* --- cursors --- */

static const struct cw_column cursor_columns[] = {
	CW_COLUMN("name", "c.name", 0),
	CW_COLUMN("position", "c.position", 0),
	CW_COLUMN("updated_at", "c.updated_at", 0),
};

const struct cw_op cw_cursors_list = {
	.repo = "cursors", .name = "list", .kind = CW_OP_ROWS,
	.summary = "How far each source has been read.",
	.args = NULL, .nargs = 0, CW_OP_COLUMNS(cursor_columns), .build = cw_build_query, .from = "cursors c",
	.tail = "ORDER BY c.name",
};

static const struct cw_arg_spec cursor_args[] = { { .name = "name", .required = true, .where = "c.name = %" } };

const struct cw_op cw_cursors_get = {
	.repo = "cursors", .name = "get", .kind = CW_OP_ONE,
	.summary = "How far one source has been read.",
	CW_OP_ARGS(cursor_args), CW_OP_COLUMNS(cursor_columns), .build = cw_build_query, .from = "cursors c",
};

static const struct cw_arg_spec cursor_put_args[] = {
	{ .name = "name", .required = true, .column = "name" },
	{ .name = "position", .type = CW_ARG_JSON, .required = true, .column = "position" },
};

const struct cw_op cw_cursors_put = {
	.repo = "cursors", .name = "put", .kind = CW_OP_EXEC,
	.summary = "Moves a source's position, in the transaction of its rows.",
	CW_OP_ARGS(cursor_put_args), CW_OP_COLUMNS(cursor_columns), .build = cw_build_insert, .from = "cursors AS c",
	.tail = "ON CONFLICT (name) DO UPDATE SET position = excluded.position, updated_at = now()",
};

const struct cw_op cw_cursors_delete = {
	.repo = "cursors", .name = "delete", .kind = CW_OP_EXEC,
	.summary = "Forgets a source's position: it is read from its beginning.",
	CW_OP_ARGS(cursor_args), .columns = NULL, .ncolumns = 0, .build = cw_build_delete, .from = "cursors c",
};
