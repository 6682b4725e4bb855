/* labels - address lists with versions: sanctions, exchanges, allow lists. What a change does to alerts that rested on
 * labels is in the functions of the migration, so that every hand that changes a list does the same. */
#include "store/labels.h"

#include <string.h>

#include "base/arena.h"
#include "pg/pool.h"
#include "pg/query.h"
#include "store/build.h"
#include "store/ops.h"

static const struct cw_column columns[] = {
	CW_COLUMN("list", "l.list", 0),
	CW_COLUMN("address", "l.address", 0),
	CW_COLUMN("chain_id", "l.chain_id", 0),
	CW_COLUMN("category", "l.category", 0),
	CW_COLUMN("name", "l.label", 0),
	CW_COLUMN("source", "l.source", 0),
	CW_COLUMN("confidence", "l.confidence", 0),
	CW_COLUMN("first_seen", "l.first_seen", 0),
	CW_COLUMN("last_seen", "l.last_seen", 0),
	CW_COLUMN("expires_at", "l.expires_at", 0),
	CW_COLUMN("version", "l.version", 0),
	CW_COLUMN("created_at", "l.created_at", 0),
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
	.tail = "ORDER BY l.list, l.chain_id, l.category",
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
	cw_build_value(b, "limit", " ORDER BY l.address FETCH FIRST (%) ROWS WITH TIES");
}

const struct cw_op cw_labels_list = {
	.repo = "labels", .name = "list", .kind = CW_OP_ROWS,
	.summary = "The entries of one list by address; `after` is the last address of the part before. All entries of an "
	           "address come together, so there may be some more than `limit`.",
	CW_OP_ARGS(list_args), CW_OP_COLUMNS(columns), .build = build_list, .from = "labels l",
};

const struct cw_op cw_labels_count = {
	.repo = "labels", .name = "count", .kind = CW_OP_ONE,
	.summary = "How many entries of a list match.",
	CW_OP_ARGS(filter_args), CW_OP_COLUMNS(count_columns), .build = cw_build_query, .from = "labels l",
};

static const struct cw_column name_columns[] = {
	CW_COLUMN("list", "n.list", 0),
	CW_COLUMN("version", "n.version", 0),
	CW_COLUMN("entries", "n.entries", 0),
	CW_COLUMN("checksum", "n.checksum", 0),
	CW_COLUMN("updated_at", "n.updated_at", 0),
	CW_COLUMN("suppress", "CASE WHEN s.id IS NOT NULL THEN jsonb_build_object('suppression', s.id, 'rules', s.rules,"
	          " 'side', s.side, 'max_severity', s.max_severity, 'reason', s.reason, 'hidden', s.hidden, 'last_hidden_at',"
	          " s.last_hidden_at) END", 0),
};
static const struct cw_arg_spec name_args[] = { { .name = "list", .where = "n.list = %" } };

const struct cw_op cw_labels_lists = {
	.repo = "labels", .name = "lists", .kind = CW_OP_ROWS,
	.summary = "The lists, each with its newest version and whether it hides alerts.",
	CW_OP_ARGS(name_args), CW_OP_COLUMNS(name_columns), .build = cw_build_query,
	.from = "label_lists n LEFT JOIN suppressions s ON s.list = n.list AND s.ended_at IS NULL", .tail = "ORDER BY n.list",
};

#define VERSION_COLUMNS \
	CW_COLUMN("version", "v.version", 0), CW_COLUMN("list", "v.list", 0), CW_COLUMN("action", "v.action", 0), \
	CW_COLUMN("checksum", "v.checksum", 0), CW_COLUMN("entries", "v.entries", 0), CW_COLUMN("added", "v.added", 0), \
	CW_COLUMN("changed", "v.changed", 0), CW_COLUMN("removed", "v.removed", 0), \
	CW_COLUMN("reopened", "v.reopened", 0), CW_COLUMN("format", "v.format", 0), CW_COLUMN("file", "v.file", 0), \
	CW_COLUMN("created_at", "v.created_at", 0), CW_COLUMN("created_by", "v.created_by", 0)

static const struct cw_column version_columns[] = { VERSION_COLUMNS };
static const struct cw_arg_spec version_args[] = { { .name = "list", .required = true }, CW_PAGE_ARGS };

static void build_versions(struct cw_build *b)
{
	cw_build_select(b);
	cw_build_sql(b, " FROM label_versions v");
	cw_build_filter(b, "list", "v.list = %");
}

const struct cw_op cw_labels_versions = {
	.repo = "labels", .name = "versions", .kind = CW_OP_PAGE,
	.summary = "Every change of a list, newest first: checksum, counts, who, when.",
	CW_OP_ARGS(version_args), CW_OP_COLUMNS(version_columns), .build = build_versions, .keys = "v.version",
};

static const struct cw_column withdrawal_columns[] = {
	CW_COLUMN("id", "w.id", 0),
	CW_COLUMN("anomaly_id", "w.anomaly_id", 0),
	CW_COLUMN("list", "w.list", 0),
	CW_COLUMN("version", "w.version", 0),
	CW_COLUMN("address", "w.address", 0),
	CW_COLUMN("chain_id", "w.chain_id", 0),
	CW_COLUMN("category", "w.category", 0),
	CW_COLUMN("use", "w.use", 0),
	CW_COLUMN("previous_status", "w.previous_status", 0),
	CW_COLUMN("previous_false_positive", "w.previous_false_positive", 0),
	CW_COLUMN("withdrawn_at", "w.withdrawn_at", 0),
	CW_COLUMN("rule", "a.rule_id", 0),
	CW_COLUMN("severity", "a.severity", 0),
	CW_COLUMN("title", "a.title", 0),
	CW_COLUMN("status", "a.status", 0),
};
static const struct cw_arg_spec withdrawal_args[] = {
	{ .name = "list", .required = true },
	{ .name = "version", .type = CW_ARG_INT },
	CW_PAGE_ARGS,
};

static void build_withdrawals(struct cw_build *b)
{
	cw_build_select(b);
	cw_build_sql(b, " FROM label_withdrawals w JOIN anomalies a ON a.id = w.anomaly_id");
	cw_build_filter(b, "list", "w.list = %");
	cw_build_filter(b, "version", "w.version = %");
}

const struct cw_op cw_labels_withdrawals = {
	.repo = "labels", .name = "withdrawals", .kind = CW_OP_PAGE,
	.summary = "Alerts that were opened again because an entry of the list was taken away, newest first.",
	CW_OP_ARGS(withdrawal_args), CW_OP_COLUMNS(withdrawal_columns), .build = build_withdrawals, .keys = "w.id",
};

static const struct cw_column overlap_columns[] = {
	CW_COLUMN("address", "l.address", 0), CW_COLUMN("list", "o.list", 0), CW_COLUMN("category", "o.category", 0),
};
static const struct cw_arg_spec overlap_args[] = { { .name = "list", .required = true, .where = "l.list = %" } };

const struct cw_op cw_labels_sanctioned = {
	.repo = "labels", .name = "sanctioned", .kind = CW_OP_ROWS,
	.summary = "Addresses of a list that some list names as sanctioned: their alerts are not hidden by it. 100 at most.",
	CW_OP_ARGS(overlap_args), CW_OP_COLUMNS(overlap_columns), .build = cw_build_query,
	.from = "labels l JOIN labels o ON o.address = l.address AND o.category LIKE 'sanction%' AND (o.expires_at IS NULL OR"
	        " o.expires_at > now())", .tail = "ORDER BY l.address, o.list LIMIT 100",
};

/* --- changes --- */

static const struct cw_arg_spec import_args[] = {
	{ .name = "list", .required = true },
	{ .name = "rows", .type = CW_ARG_JSON },
	{ .name = "replace", .type = CW_ARG_BOOL },
	{ .name = "format" },
	{ .name = "file" },
	{ .name = "created_by", .type = CW_ARG_INT },
	{ .name = "events", .type = CW_ARG_BOOL },
};

static void build_import(struct cw_build *b)
{
	cw_build_select(b);
	cw_build_value(b, "list", " FROM label_import(%");
	cw_build_value(b, "rows", ", %");
	cw_build_value(b, "replace", ", coalesce(%, false)");
	cw_build_value(b, "format", ", coalesce(%, '')");
	cw_build_value(b, "file", ", coalesce(%, '')");
	cw_build_value(b, "created_by", ", %");
	cw_build_value(b, "events", ", coalesce(%, false)) v WHERE v.list IS NOT NULL");
}

static const struct cw_arg_spec stage_args[] = { { .name = "rows", .type = CW_ARG_JSON, .required = true } };
static const struct cw_column stage_columns[] = { CW_COLUMN("rows", "label_stage", 0) };

static void build_stage(struct cw_build *b)
{
	cw_build_select(b);
	cw_build_value(b, "rows", " FROM label_stage(%)");
}

const struct cw_op cw_labels_stage = {
	.repo = "labels", .name = "stage", .kind = CW_OP_EXEC,
	.summary = "Some of the entries for the import of this database transaction: large lists come in parts.",
	CW_OP_ARGS(stage_args), CW_OP_COLUMNS(stage_columns), .build = build_stage,
};

const struct cw_op cw_labels_import = {
	.repo = "labels", .name = "import", .kind = CW_OP_EXEC,
	.summary = "Entries of a list: [{\"address\":, \"chain_id\":, \"category\":, \"label\":, \"source\":, \"confidence\":,"
	           " \"first_seen\":, \"last_seen\":, \"expires_at\":}], times in seconds, and what was staged. With `replace` the others leave the list,"
	           " and alerts that rested on them are opened again. Gives the new version; nothing where nothing changed.",
	CW_OP_ARGS(import_args), CW_OP_COLUMNS(version_columns), .build = build_import,
};

static const struct cw_arg_spec remove_args[] = {
	{ .name = "list", .required = true },
	{ .name = "address", .type = CW_ARG_ADDRESS },
	{ .name = "chain_id", .type = CW_ARG_INT },
	{ .name = "category" },
	{ .name = "removed_by", .type = CW_ARG_INT },
	{ .name = "events", .type = CW_ARG_BOOL },
};

static void build_remove(struct cw_build *b)
{
	cw_build_select(b);
	cw_build_value(b, "list", " FROM label_remove(%");
	cw_build_value(b, "address", ", %");
	cw_build_value(b, "chain_id", ", %");
	cw_build_value(b, "category", ", %");
	cw_build_value(b, "removed_by", ", %");
	cw_build_value(b, "events", ", coalesce(%, false)) v WHERE v.list IS NOT NULL");
}

const struct cw_op cw_labels_remove = {
	.repo = "labels", .name = "remove", .kind = CW_OP_EXEC,
	.summary = "Takes an address off a list (on one chain, of one category, where given), or all of them, and opens the"
	           " alerts again that rested on it. Gives the new version; nothing where there was no such entry.",
	CW_OP_ARGS(remove_args), CW_OP_COLUMNS(version_columns), .build = build_remove,
};

static const struct cw_arg_spec suppress_args[] = {
	{ .name = "list", .required = true },
	{ .name = "on", .type = CW_ARG_BOOL, .required = true },
	{ .name = "rules", .type = CW_ARG_TEXTS },
	{ .name = "side", .type = CW_ARG_CHOICE, .choices = "entity|counterparty|either" },
	{ .name = "max_severity", .type = CW_ARG_CHOICE, .choices = "low|medium|high|critical" },
	{ .name = "reason" },
	{ .name = "owner", .type = CW_ARG_INT },
};

static void build_suppress(struct cw_build *b)
{
	cw_build_select(b);
	cw_build_value(b, "list", " FROM label_suppress(%");
	cw_build_value(b, "on", ", %");
	cw_build_value(b, "rules", ", %");
	cw_build_value(b, "side", ", coalesce(%, 'either')");
	cw_build_value(b, "max_severity", ", coalesce(%, 'high')");
	cw_build_value(b, "reason", ", coalesce(%, 'allow list')");
	cw_build_value(b, "owner", ", %) v WHERE v.list IS NOT NULL");
}

const struct cw_op cw_labels_suppress = {
	.repo = "labels", .name = "suppress", .kind = CW_OP_EXEC,
	.summary = "Lets a list hide alerts, or not any more: of which rules (patterns of ids and tags), whose address must be on "
	           "it, and up to which severity. Gives the new version; nothing where there is no such list.",
	CW_OP_ARGS(suppress_args), CW_OP_COLUMNS(version_columns), .build = build_suppress,
};

/* --- for the engine --- */

static const struct cw_stmt state_stmt = {
	"labels_state", "SELECT version, coalesce((SELECT max(id) FROM label_withdrawals), 0) FROM label_state",
};

uint64_t cw_labels_state(struct cw_pool *pool, cw_query_fn *fn, void *arg)
{
	return cw_pool_read(pool, &state_stmt, NULL, fn, arg);
}

#define CELL(column) "'\"' || replace(" column ", '\"', '\"\"') || '\"'"

static const struct cw_stmt documents_stmt = {
	"labels_documents",
	"SELECT n.list, '# list ' || n.list || E'\\n# version ' || n.version || E'\\n' || coalesce('# suppress side=' || s.side"
	" || ' max_severity=' || s.max_severity || coalesce(' rules=' || array_to_string(s.rules, ','), '') || E'\\n', '')"
	" || E'address,chain_id,category,name,source,confidence,first_seen,last_seen,expires\\n' || coalesce((SELECT string_agg("
	"'0x' || encode(l.address, 'hex') || ',' || l.chain_id || ',' || " CELL("l.category") " || ',' || " CELL("l.label")
	" || ',' || " CELL("l.source") " || ',' || coalesce(l.confidence::text, '') || ','"
	" || coalesce(extract(epoch FROM l.first_seen)::int8::text, '') || ','"
	" || coalesce(extract(epoch FROM l.last_seen)::int8::text, '') || ','"
	" || coalesce(ceil(extract(epoch FROM l.expires_at))::int8::text, ''), E'\\n' ORDER BY l.address, l.chain_id, l.category)"
	" FROM labels l WHERE l.list = n.list), '') || E'\\n', st.version"
	" FROM label_lists n LEFT JOIN suppressions s ON s.list = n.list AND s.ended_at IS NULL CROSS JOIN label_state st"
	" WHERE n.version > 0 ORDER BY n.list",
};

uint64_t cw_labels_documents(struct cw_pool *pool, cw_query_fn *fn, void *arg)
{
	return cw_pool_read(pool, &documents_stmt, NULL, fn, arg);
}

static const struct cw_stmt settle_stmt = { "labels_settle", "SELECT label_settle($1)" };

uint64_t cw_labels_settle(struct cw_pool *pool, bool events, cw_query_fn *fn, void *arg)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_params params;
	uint64_t query;

	cw_params_init(&params, arena);
	cw_params_bool(&params, events);
	query = cw_pool_query(pool, &settle_stmt, &params, fn, arg);
	cw_arena_free(&arena);
	return query;
}

/* One row an alert: of several labels that it lost, one is named. */
static const struct cw_stmt withdrawn_stmt = {
	"labels_withdrawn",
	"SELECT DISTINCT ON (w.anomaly_id) w.id, a.id, a.rule_id, a.rule_version, a.title, a.severity, a.dedup_key, w.list,"
	" w.version, '0x' || encode(w.address, 'hex'), w.category, t.chain_id FROM label_withdrawals w"
	" JOIN anomalies a ON a.id = w.anomaly_id JOIN transactions t ON t.id = a.transaction_id"
	" WHERE w.id > $1 AND NOT a.shadow AND a.suppressed_by IS NULL AND a.finality <> 'retracted'"
	" ORDER BY w.anomaly_id, w.id LIMIT 10000",
};

uint64_t cw_labels_withdrawn(struct cw_pool *pool, int64_t after, cw_query_fn *fn, void *arg)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_params params;
	uint64_t query;

	cw_params_init(&params, arena);
	cw_params_i64(&params, after);
	query = cw_pool_read(pool, &withdrawn_stmt, &params, fn, arg);
	cw_arena_free(&arena);
	return query;
}

/* Lists that are files and hide alerts have a row of suppressions too, which counts. What is declared no more ends. */
static const struct cw_stmt declare_stmt = {
	"labels_declare",
	"WITH f AS (SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS f (list, side, max_severity, rules)),"
	" over AS (UPDATE suppressions s SET ended_at = now() WHERE s.list IS NOT NULL AND s.ended_at IS NULL AND s.from_file"
	" AND NOT EXISTS (SELECT FROM f WHERE f.list = s.list))"
	" INSERT INTO suppressions AS s (list, rules, side, max_severity, reason, expires_at, from_file)"
	" SELECT f.list, string_to_array(nullif(f.rules, ''), ','), f.side, f.max_severity::severity,"
	" 'the list is a file that declares it', 'infinity', true FROM f"
	" ON CONFLICT (list) WHERE list IS NOT NULL AND ended_at IS NULL DO UPDATE SET rules = excluded.rules,"
	" side = excluded.side, max_severity = excluded.max_severity WHERE s.from_file",
};

uint64_t cw_labels_declare(struct cw_pool *pool, const struct cw_label_declaration *lists, size_t n, cw_query_fn *fn,
                           void *arg)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_array *c[4];
	struct cw_params params;
	uint64_t query;

	cw_params_init(&params, arena);
	for (int i = 0; i < 4; i++)
		c[i] = cw_array_begin(arena, CW_ELEM_TEXT, n);
	for (size_t i = 0; i < n; i++) {
		cw_array_bytes(c[0], lists[i].list, strlen(lists[i].list));
		cw_array_bytes(c[1], lists[i].side, strlen(lists[i].side));
		cw_array_bytes(c[2], lists[i].max_severity, strlen(lists[i].max_severity));
		cw_array_bytes(c[3], lists[i].rules, strlen(lists[i].rules));
	}
	for (int i = 0; i < 4; i++)
		cw_params_array(&params, c[i]);
	query = cw_pool_query(pool, &declare_stmt, &params, fn, arg);
	cw_arena_free(&arena);
	return query;
}

/* --- lists that are files --- */

static const struct cw_stmt of_files_stmt = {
	"labels_of_files",
	"SELECT DISTINCT list, address, chain_id, category FROM anomaly_labels WHERE version = 0 AND withdrawn_at IS NULL",
};

uint64_t cw_labels_of_files(struct cw_pool *pool, cw_query_fn *fn, void *arg)
{
	return cw_pool_read(pool, &of_files_stmt, NULL, fn, arg);
}

static const struct cw_stmt left_files_stmt = {
	"labels_left_files",
	"SELECT coalesce(sum(label_withdraw(g.list, 0, true, g.addresses, g.chains, g.categories, NULL, $5)), 0)::bigint FROM"
	" (SELECT list, array_agg(address) AS addresses, array_agg(chain_id) AS chains, array_agg(category) AS categories"
	" FROM unnest($1::text[], $2::bytea[], $3::bigint[], $4::text[]) AS u (list, address, chain_id, category)"
	" GROUP BY list) g",
};

uint64_t cw_labels_left_files(struct cw_pool *pool, const struct cw_label_entry *gone, size_t n, bool events,
                              cw_query_fn *fn, void *arg)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_array *lists = cw_array_begin(arena, CW_ELEM_TEXT, n), *addresses = cw_array_begin(arena, CW_ELEM_BYTEA, n);
	struct cw_array *chains = cw_array_begin(arena, CW_ELEM_I64, n), *categories = cw_array_begin(arena, CW_ELEM_TEXT, n);
	struct cw_params params;
	uint64_t query;

	for (size_t i = 0; i < n; i++) {
		cw_array_bytes(lists, gone[i].list, strlen(gone[i].list));
		cw_array_bytes(addresses, gone[i].address, 20);
		cw_array_i64(chains, gone[i].chain_id);
		cw_array_bytes(categories, gone[i].category, strlen(gone[i].category));
	}
	cw_params_init(&params, arena);
	cw_params_array(&params, lists);
	cw_params_array(&params, addresses);
	cw_params_array(&params, chains);
	cw_params_array(&params, categories);
	cw_params_bool(&params, events);
	query = cw_pool_query(pool, &left_files_stmt, &params, fn, arg);
	cw_arena_free(&arena);
	return query;
}
