/* labels - address lists: sanctions, exchanges, allow lists. */
#include "store/build.h"
#include "store/ops.h"

static const struct cw_column columns[] = {
	CW_COLUMN("created_at", "l.created_at", 0),
	CW_COLUMN("list", "l.list", 0),
	CW_COLUMN("address", "l.address", 0),
	CW_COLUMN("chain_id", "l.chain_id", 0),
	CW_COLUMN("label", "l.label", 0),
	CW_COLUMN("category", "l.category", 0),
	CW_COLUMN("source", "l.source", 0),
	CW_COLUMN("confidence", "l.confidence", 0),
	CW_COLUMN("created_by", "l.created_by", 0),
	CW_COLUMN("expires_at", "l.expires_at", 0),
};
static const struct cw_column count_columns[] = { CW_COLUMN("count", "count(*)", 0) };

#define CHAIN_ARG { .name = "chain_id", .type = CW_ARG_INT, .where = "l.chain_id IN (0, %)" }
#define EXPIRED_ARG \
	{ .name = "expired", .type = CW_ARG_BOOL, .where = "l.expires_at <= now()", \
	  .otherwise = "(l.expires_at IS NULL OR l.expires_at > now())" }

static const struct cw_arg_spec of_args[] = {
	{ .name = "address", .type = CW_ARG_ADDRESS, .required = true, .where = "l.address = %" },
	CHAIN_ARG, EXPIRED_ARG,
};

const struct cw_op cw_labels_of = {
	.repo = "labels", .name = "of", .kind = CW_OP_ROWS,
	.summary = "All that is said of an address, by list; those of chain 0 hold on every chain.",
	CW_OP_ARGS(of_args), CW_OP_COLUMNS(columns), .build = cw_build_query, .from = "labels l",
	.tail = "ORDER BY l.list, l.chain_id",
};

#define FILTER_ARGS \
	{ .name = "list", .required = true, .where = "l.list = %" }, { .name = "category", .where = "l.category = %" }, \
	{ .name = "source", .where = "l.source = %" }, CHAIN_ARG, EXPIRED_ARG

static const struct cw_arg_spec list_args[] = {
	FILTER_ARGS,
	{ .name = "after", .type = CW_ARG_ADDRESS, .where = "l.address > %" },
	{ .name = "limit", .type = CW_ARG_INT, .min = 1, .max = 10000, .required = true },
};
static const struct cw_arg_spec filter_args[] = { FILTER_ARGS };

static void build_list(struct cw_build *b)
{
	cw_build_query(b);
	cw_build_value(b, "limit", " ORDER BY l.address, l.chain_id LIMIT %");
}

const struct cw_op cw_labels_list = {
	.repo = "labels", .name = "list", .kind = CW_OP_ROWS,
	.summary = "The entries of one list by address; `after` is the last address of the part before.",
	CW_OP_ARGS(list_args), CW_OP_COLUMNS(columns), .build = build_list, .from = "labels l",
};

const struct cw_op cw_labels_count = {
	.repo = "labels", .name = "count", .kind = CW_OP_ONE,
	.summary = "How many entries of a list match.",
	CW_OP_ARGS(filter_args), CW_OP_COLUMNS(count_columns), .build = cw_build_query, .from = "labels l",
};

static const struct cw_column name_columns[] = {
	CW_COLUMN("list", "n.list", 0),
	CW_COLUMN("entries", "(SELECT count(*) FROM labels c WHERE c.list = n.list)", 0),
};

/* A walk along the key, one probe a list. */
static void build_names(struct cw_build *b)
{
	cw_build_sql(b, "WITH RECURSIVE n AS ((SELECT list FROM labels ORDER BY list LIMIT 1) UNION ALL SELECT (SELECT l.list"
	             " FROM labels l WHERE l.list > n.list ORDER BY l.list LIMIT 1) FROM n WHERE n.list IS NOT NULL) ");
	cw_build_select(b);
	cw_build_sql(b, " FROM n WHERE n.list IS NOT NULL");
}

const struct cw_op cw_labels_lists = {
	.repo = "labels", .name = "lists", .kind = CW_OP_ROWS,
	.summary = "The lists that have entries.",
	.args = NULL, .nargs = 0, CW_OP_COLUMNS(name_columns), .build = build_names,
};

static const struct cw_arg_spec put_args[] = {
	{ .name = "list", .required = true, .column = "list" },
	{ .name = "address", .type = CW_ARG_ADDRESS, .required = true, .column = "address" },
	{ .name = "chain_id", .type = CW_ARG_INT, .min = 0, .max = 9e15, .column = "chain_id" },
	{ .name = "label", .column = "label" },
	{ .name = "category", .column = "category" },
	{ .name = "source", .column = "source" },
	{ .name = "confidence", .type = CW_ARG_NUMBER, .min = 0, .max = 1, .column = "confidence" },
	{ .name = "created_by", .type = CW_ARG_INT, .column = "created_by" },
	{ .name = "expires_at", .type = CW_ARG_TIME, .column = "expires_at" },
};

#define REPLACE \
	"ON CONFLICT (list, address, chain_id) DO UPDATE SET label = excluded.label, category = excluded.category," \
	" source = excluded.source, confidence = excluded.confidence, expires_at = excluded.expires_at"

const struct cw_op cw_labels_put = {
	.repo = "labels", .name = "put", .kind = CW_OP_EXEC,
	.summary = "An entry of a list; one that is there is replaced.",
	CW_OP_ARGS(put_args), CW_OP_COLUMNS(columns), .build = cw_build_insert, .from = "labels AS l", .tail = REPLACE,
};

static const struct cw_arg_spec bulk_args[] = {
	{ .name = "list", .required = true },
	{ .name = "rows", .type = CW_ARG_JSON, .required = true },
	{ .name = "created_by", .type = CW_ARG_INT },
};

static void build_bulk(struct cw_build *b)
{
	cw_build_sql(b, "INSERT INTO labels AS l (list, address, chain_id, label, category, source, confidence, expires_at,"
	             " created_by)");
	cw_build_value(b, "list", " SELECT DISTINCT ON (j.address, coalesce(j.chain_id, 0)) %,");
	cw_build_sql(b, " decode(substr(j.address, 3), 'hex'), coalesce(j.chain_id, 0), coalesce(j.label, ''),"
	             " coalesce(j.category, ''), coalesce(j.source, ''), j.confidence, j.expires_at");
	cw_build_value(b, "created_by", ", %");
	cw_build_value(b, "rows", " FROM jsonb_to_recordset(%) AS j (address text, chain_id int8, label text, category text,"
	               " source text, confidence float8, expires_at timestamptz) " REPLACE);
}

const struct cw_op cw_labels_bulk_put = {
	.repo = "labels", .name = "bulk_put", .kind = CW_OP_EXEC,
	.summary = "Many entries of a list at once: [{\"address\":, \"label\":, ...}]; those that are there are replaced.",
	CW_OP_ARGS(bulk_args), .columns = NULL, .ncolumns = 0, .build = build_bulk,
};

static const struct cw_arg_spec delete_args[] = {
	{ .name = "list", .required = true, .where = "l.list = %" },
	{ .name = "address", .type = CW_ARG_ADDRESS, .required = true, .where = "l.address = %" },
	{ .name = "chain_id", .type = CW_ARG_INT, .where = "l.chain_id = %" },
};

const struct cw_op cw_labels_delete = {
	.repo = "labels", .name = "delete", .kind = CW_OP_EXEC,
	.summary = "Takes an address off a list, on one chain or on all.",
	CW_OP_ARGS(delete_args), .columns = NULL, .ncolumns = 0, .build = cw_build_delete, .from = "labels l",
};
