/* models, model_versions - whatever judges: rules, rulesets, trained models. Rules are written by
 * store/rules.h. */
#include <string.h>

#include "base/json.h"
#include "store/build.h"
#include "store/ops.h"

static const struct cw_column model_columns[] = {
	CW_COLUMN("id", "m.id", 0),
	CW_COLUMN("name", "m.name", 0),
	CW_COLUMN("model_type", "m.model_type", 0),
	CW_COLUMN("description", "m.description", 0),
	CW_COLUMN("is_active", "m.is_active", 0),
	CW_COLUMN("created_by", "m.created_by", 0),
	CW_COLUMN("created_at", "m.created_at", 0),
};

#define VERSION_COLUMNS \
	CW_COLUMN("id", "v.id", 0), CW_COLUMN("model_id", "v.model_id", 0), CW_COLUMN("version", "v.version", 0), \
	CW_COLUMN("storage_path", "v.storage_path", 0), CW_COLUMN("checksum", "v.checksum", 0), \
	CW_COLUMN("training_dataset_size", "v.training_dataset_size", 0), \
	CW_COLUMN("training_duration_seconds", "v.training_duration_seconds", 0), \
	CW_COLUMN("hyperparameters", "v.hyperparameters", 0), CW_COLUMN("metrics", "v.metrics", 0), \
	CW_COLUMN("is_deployed", "v.is_deployed", 0), CW_COLUMN("deployed_at", "v.deployed_at", 0), \
	CW_COLUMN("traffic_percentage", "v.traffic_percentage", 0), CW_COLUMN("created_by", "v.created_by", 0), \
	CW_COLUMN("created_at", "v.created_at", 0)
#define NAME_COLUMNS CW_COLUMN("name", "m.name", 0), CW_COLUMN("model_type", "m.model_type", 0)

static const struct cw_column version_columns[] = { VERSION_COLUMNS };
static const struct cw_column listed_columns[] = { VERSION_COLUMNS, NAME_COLUMNS };
static const struct cw_column source_columns[] = { VERSION_COLUMNS, NAME_COLUMNS, CW_COLUMN("source", "v.source", 0) };
static const struct cw_column count_columns[] = { CW_COLUMN("count", "count(*)", 0) };

static const struct cw_arg_spec model_id_args[] = {
	{ .name = "id", .type = CW_ARG_INT, .required = true, .where = "m.id = %" },
};
static const struct cw_arg_spec version_id_args[] = {
	{ .name = "id", .type = CW_ARG_INT, .required = true, .where = "v.id = %" },
};

/* --- models --- */

#define MODEL_FILTERS \
	{ .name = "model_type", .where = "m.model_type = %" }, \
	{ .name = "not_type", .where = "m.model_type <> %" }, { .name = "name", .where = "m.name = %" }, \
	{ .name = "is_active", .type = CW_ARG_BOOL, .where = "m.is_active", .otherwise = "NOT m.is_active" }

static const struct cw_arg_spec models_filter_args[] = { MODEL_FILTERS };

static const struct cw_column related_versions[] = { CW_COLUMN("", "v.model_id", CW_COL_HIDDEN), VERSION_COLUMNS };
static const struct cw_relation model_relations[] = {
	{ "versions", related_versions, CW_COUNT(related_versions),
	  "FROM model_versions v WHERE v.model_id = ANY ($1::int8[]) ORDER BY v.model_id, v.id DESC" },
	{ "deployed", related_versions, CW_COUNT(related_versions),
	  "FROM model_versions v WHERE v.model_id = ANY ($1::int8[]) AND v.is_deployed ORDER BY v.model_id, v.id DESC" },
};
#define MODEL_RELATIONS .relations = model_relations, .nrelations = CW_COUNT(model_relations)
#define INCLUDE_ARG { .name = "include", .type = CW_ARG_CHOICES, .choices = "versions|deployed" }

static const struct cw_arg_spec models_page_args[] = { MODEL_FILTERS, INCLUDE_ARG, CW_PAGE_ARGS };
static const struct cw_arg_spec models_get_args[] = {
	{ .name = "id", .type = CW_ARG_INT, .required = true, .where = "m.id = %" }, INCLUDE_ARG,
};
static const struct cw_arg_spec models_name_args[] = {
	{ .name = "name", .required = true, .where = "m.name = %" }, INCLUDE_ARG,
};

const struct cw_op cw_models_list = {
	.repo = "models", .name = "list", .kind = CW_OP_PAGE,
	.summary = "Models and rules, newest first, on request with all their versions or the deployed ones.",
	CW_OP_ARGS(models_page_args), CW_OP_COLUMNS(model_columns), .build = cw_build_query, .from = "models m",
	.keys = "m.id", MODEL_RELATIONS,
};

const struct cw_op cw_models_get = {
	.repo = "models", .name = "get", .kind = CW_OP_ONE,
	.summary = "One model.",
	CW_OP_ARGS(models_get_args), CW_OP_COLUMNS(model_columns), .build = cw_build_query, .from = "models m",
	MODEL_RELATIONS,
};

const struct cw_op cw_models_by_name = {
	.repo = "models", .name = "by_name", .kind = CW_OP_ONE,
	.summary = "One model by its name: a rule by its id.",
	CW_OP_ARGS(models_name_args), CW_OP_COLUMNS(model_columns), .build = cw_build_query, .from = "models m",
	MODEL_RELATIONS,
};

const struct cw_op cw_models_count = {
	.repo = "models", .name = "count", .kind = CW_OP_ONE,
	.summary = "How many models match.",
	CW_OP_ARGS(models_filter_args), CW_OP_COLUMNS(count_columns), .build = cw_build_query, .from = "models m",
};

static const struct cw_arg_spec models_create_args[] = {
	{ .name = "name", .required = true, .column = "name" },
	{ .name = "model_type", .required = true, .column = "model_type" },
	{ .name = "description", .column = "description" },
	{ .name = "created_by", .type = CW_ARG_INT, .column = "created_by" },
};

const struct cw_op cw_models_create = {
	.repo = "models", .name = "create", .kind = CW_OP_EXEC,
	.summary = "A new model; its name must be free.",
	CW_OP_ARGS(models_create_args), CW_OP_COLUMNS(model_columns), .build = cw_build_insert, .from = "models AS m",
};

static const struct cw_arg_spec models_update_args[] = {
	{ .name = "id", .type = CW_ARG_INT, .required = true, .where = "m.id = %" },
	{ .name = "description", .column = "description" },
	{ .name = "is_active", .type = CW_ARG_BOOL, .column = "is_active" },
};

const struct cw_op cw_models_update = {
	.repo = "models", .name = "update", .kind = CW_OP_EXEC,
	.summary = "Changes what is given.",
	CW_OP_ARGS(models_update_args), CW_OP_COLUMNS(model_columns), .build = cw_build_update, .from = "models m",
};

const struct cw_op cw_models_delete = {
	.repo = "models", .name = "delete", .kind = CW_OP_EXEC,
	.summary = "A model with its versions; a conflict while anomalies or predictions name one of them.",
	CW_OP_ARGS(model_id_args), CW_OP_COLUMNS(model_columns), .build = cw_build_delete, .from = "models m",
};

/* --- versions --- */

#define VERSION_FILTERS \
	{ .name = "model_id", .type = CW_ARG_INT, .where = "v.model_id = %" }, \
	{ .name = "model_type", .where = "m.model_type = %" }, { .name = "checksum", .where = "v.checksum = %" }, \
	{ .name = "is_deployed", .type = CW_ARG_BOOL, .where = "v.is_deployed", .otherwise = "NOT v.is_deployed" }
#define VERSIONS_FROM "model_versions v JOIN models m ON m.id = v.model_id"

static const struct cw_arg_spec versions_list_args[] = { VERSION_FILTERS, CW_PAGE_ARGS };
static const struct cw_arg_spec versions_filter_args[] = { VERSION_FILTERS };

const struct cw_op cw_model_versions_list = {
	.repo = "model_versions", .name = "list", .kind = CW_OP_PAGE,
	.summary = "Versions, newest first: of a model, of a type, those that are deployed.",
	CW_OP_ARGS(versions_list_args), CW_OP_COLUMNS(listed_columns), .build = cw_build_query, .from = VERSIONS_FROM,
	.keys = "v.id",
};

const struct cw_op cw_model_versions_count = {
	.repo = "model_versions", .name = "count", .kind = CW_OP_ONE,
	.summary = "How many versions match.",
	CW_OP_ARGS(versions_filter_args), CW_OP_COLUMNS(count_columns), .build = cw_build_query, .from = VERSIONS_FROM,
};

const struct cw_op cw_model_versions_get = {
	.repo = "model_versions", .name = "get", .kind = CW_OP_ONE,
	.summary = "One version, with a rule's source.",
	CW_OP_ARGS(version_id_args), CW_OP_COLUMNS(source_columns), .build = cw_build_query, .from = VERSIONS_FROM,
};

static const struct cw_arg_spec latest_args[] = {
	{ .name = "model_id", .type = CW_ARG_INT, .required = true, .where = "v.model_id = %" },
};

const struct cw_op cw_model_versions_latest = {
	.repo = "model_versions", .name = "latest", .kind = CW_OP_ONE,
	.summary = "The version of a model that was made last.",
	CW_OP_ARGS(latest_args), CW_OP_COLUMNS(source_columns), .build = cw_build_query, .from = VERSIONS_FROM,
	.tail = "ORDER BY v.id DESC LIMIT 1",
};

const struct cw_op cw_model_versions_traffic = {
	.repo = "model_versions", .name = "traffic", .kind = CW_OP_ROWS,
	.summary = "The deployed versions of a model and their shares, the largest first.",
	CW_OP_ARGS(latest_args), CW_OP_COLUMNS(listed_columns), .build = cw_build_query,
	.from = "(SELECT * FROM model_versions WHERE is_deployed) v JOIN models m ON m.id = v.model_id",
	.tail = "ORDER BY v.traffic_percentage DESC, v.id DESC",
};

#define VERSION_FIELDS \
	{ .name = "storage_path", .column = "storage_path" }, { .name = "checksum", .column = "checksum" }, \
	{ .name = "training_dataset_size", .type = CW_ARG_INT, .min = 0, .max = 1e18, .column = "training_dataset_size" }, \
	{ .name = "training_duration_seconds", .type = CW_ARG_NUMBER, .min = 0, .max = 1e12, \
	  .column = "training_duration_seconds" }, \
	{ .name = "hyperparameters", .type = CW_ARG_JSON, .column = "hyperparameters" }, \
	{ .name = "metrics", .type = CW_ARG_JSON, .column = "metrics" }

static const struct cw_arg_spec versions_create_args[] = {
	{ .name = "model_id", .type = CW_ARG_INT, .required = true, .column = "model_id" },
	{ .name = "version", .required = true, .column = "version" },
	VERSION_FIELDS,
	{ .name = "created_by", .type = CW_ARG_INT, .column = "created_by" },
};

const struct cw_op cw_model_versions_create = {
	.repo = "model_versions", .name = "create", .kind = CW_OP_EXEC,
	.summary = "A new version of a model, not deployed.",
	CW_OP_ARGS(versions_create_args), CW_OP_COLUMNS(version_columns), .build = cw_build_insert,
	.from = "model_versions AS v",
};

static const struct cw_arg_spec versions_update_args[] = {
	{ .name = "id", .type = CW_ARG_INT, .required = true, .where = "v.id = %" },
	VERSION_FIELDS,
};

const struct cw_op cw_model_versions_update = {
	.repo = "model_versions", .name = "update", .kind = CW_OP_EXEC,
	.summary = "Changes what is given.",
	CW_OP_ARGS(versions_update_args), CW_OP_COLUMNS(version_columns), .build = cw_build_update,
	.from = "model_versions v",
};

const struct cw_op cw_model_versions_delete = {
	.repo = "model_versions", .name = "delete", .kind = CW_OP_EXEC,
	.summary = "A version that is not deployed; a conflict while anomalies or predictions name it.",
	CW_OP_ARGS(version_id_args), CW_OP_COLUMNS(version_columns), .build = cw_build_delete,
	.from = "model_versions v", .tail = "AND NOT v.is_deployed",
};

static const struct cw_arg_spec deploy_args[] = {
	{ .name = "id", .type = CW_ARG_INT, .required = true },
	{ .name = "traffic_percentage", .type = CW_ARG_NUMBER, .min = 0, .max = 100 },
};

/* What this one does not take stays with the others, in their proportions; one that is left without is withdrawn. */
static void build_deploy(struct cw_build *b)
{
	cw_build_value(b, "id", "WITH one AS (SELECT id, model_id FROM model_versions WHERE id = %)");
	cw_build_value(b, "traffic_percentage", ", share AS (SELECT coalesce(%, 100)::float8 AS mine)");
	cw_build_sql(b, ", rest AS (SELECT sum(o.traffic_percentage) AS total FROM model_versions o, one"
	             " WHERE o.model_id = one.model_id AND o.id <> one.id AND o.is_deployed)"
	             " UPDATE model_versions v SET is_deployed = CASE WHEN v.id = one.id THEN true"
	             " ELSE share.mine < 100 END, deployed_at = CASE WHEN v.id = one.id THEN now() ELSE v.deployed_at END,"
	             " traffic_percentage = CASE WHEN v.id = one.id THEN share.mine WHEN share.mine >= 100 THEN 0"
	             " ELSE v.traffic_percentage * (100 - share.mine) / nullif(rest.total, 0) END"
	             " FROM one, share, rest WHERE v.model_id = one.model_id"
	             " AND (v.id = one.id OR v.is_deployed AND v.traffic_percentage > 0)");
	cw_build_returning(b);
}

const struct cw_op cw_model_versions_deploy = {
	.repo = "model_versions", .name = "deploy", .kind = CW_OP_EXEC,
	.summary = "Gives a version a share of the traffic (100 if none is given); the other versions share the rest.",
	CW_OP_ARGS(deploy_args), CW_OP_COLUMNS(version_columns), .build = build_deploy,
};

static void build_withdraw(struct cw_build *b)
{
	cw_build_sql(b, "UPDATE model_versions v SET is_deployed = false, traffic_percentage = 0");
	cw_build_filter(b, "id", "v.id = %");
	cw_build_returning(b);
}

const struct cw_op cw_model_versions_withdraw = {
	.repo = "model_versions", .name = "withdraw", .kind = CW_OP_EXEC,
	.summary = "Takes a version out of service.",
	CW_OP_ARGS(version_id_args), CW_OP_COLUMNS(version_columns), .build = build_withdraw,
};

static const struct cw_arg_spec split_args[] = {
	{ .name = "model_id", .type = CW_ARG_INT, .required = true },
	{ .name = "shares", .type = CW_ARG_JSON, .required = true },
};

static const char *check_shares(struct cw_build *b)
{
	const struct cw_arg *arg = cw_build_arg(b, "shares");
	struct cw_json_error error;
	const struct cw_json *shares = cw_json_parse(arg->text, arg->len, 4, b->arena, &error);
	double total = 0, share;

	if (shares == NULL || shares->type != CW_JSON_OBJECT || shares->count == 0)
		return "shares must be an object: {\"<id of a version>\": percentage}";
	for (const struct cw_json *m = shares->first; m != NULL; m = m->next) {
		if (m->key_len == 0 || m->key_len > 18 || strspn(m->key, "0123456789") != m->key_len)
			return "the shares are named by the ids of versions";
		if (!cw_json_to_double(m, &share) || share < 0 || share > 100)
			return "each share must be a number from 0 to 100";
		total += share;
	}
	return total > 99.9999 && total < 100.0001 ? NULL : "the shares must sum to 100";
}

/* All or nothing: an id that is no version of the model leaves no row. */
static void build_split(struct cw_build *b)
{
	b->fault = check_shares(b);
	cw_build_value(b, "shares", "WITH given AS (SELECT key::int8 AS id, value::float8 AS share FROM jsonb_each_text(%))");
	cw_build_value(b, "model_id", ", own AS (SELECT v.id, g.share FROM model_versions v LEFT JOIN given g ON g.id = v.id"
	               " WHERE v.model_id = % AND (v.is_deployed OR g.id IS NOT NULL))");
	cw_build_sql(b, " UPDATE model_versions v SET traffic_percentage = coalesce(own.share, 0), is_deployed ="
	             " coalesce(own.share > 0, false), deployed_at = CASE WHEN own.share > 0 AND NOT v.is_deployed THEN now()"
	             " ELSE v.deployed_at END FROM own WHERE v.id = own.id"
	             " AND NOT EXISTS (SELECT FROM given g WHERE g.id NOT IN (SELECT id FROM own))");
	cw_build_returning(b);
}

const struct cw_op cw_model_versions_split = {
	.repo = "model_versions", .name = "split", .kind = CW_OP_EXEC,
	.summary = "Sets the whole traffic split of a model: {\"<id>\": percentage}, together 100; who is not named gets none.",
	CW_OP_ARGS(split_args), CW_OP_COLUMNS(version_columns), .build = build_split,
};
