/* models, model_versions, rule_states - whatever judges: rules, rulesets, trained models. Rules are written by
 * store/rules.h. */
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

static const struct cw_column version_columns[] = {
	CW_COLUMN("id", "v.id", 0),
	CW_COLUMN("model_id", "v.model_id", 0),
	CW_COLUMN("version", "v.version", 0),
	CW_COLUMN("storage_path", "v.storage_path", 0),
	CW_COLUMN("checksum", "v.checksum", 0),
	CW_COLUMN("training_dataset_size", "v.training_dataset_size", 0),
	CW_COLUMN("training_duration_seconds", "v.training_duration_seconds", 0),
	CW_COLUMN("hyperparameters", "v.hyperparameters", 0),
	CW_COLUMN("metrics", "v.metrics", 0),
	CW_COLUMN("is_deployed", "v.is_deployed", 0),
	CW_COLUMN("deployed_at", "v.deployed_at", 0),
	CW_COLUMN("traffic_percentage", "v.traffic_percentage", 0),
	CW_COLUMN("created_by", "v.created_by", 0),
	CW_COLUMN("created_at", "v.created_at", 0),
};

static const struct cw_column source_columns[] = {
	CW_COLUMN("id", "v.id", 0),
	CW_COLUMN("model_id", "v.model_id", 0),
	CW_COLUMN("name", "m.name", 0),
	CW_COLUMN("model_type", "m.model_type", 0),
	CW_COLUMN("version", "v.version", 0),
	CW_COLUMN("storage_path", "v.storage_path", 0),
	CW_COLUMN("checksum", "v.checksum", 0),
	CW_COLUMN("source", "v.source", 0),
	CW_COLUMN("training_dataset_size", "v.training_dataset_size", 0),
	CW_COLUMN("training_duration_seconds", "v.training_duration_seconds", 0),
	CW_COLUMN("hyperparameters", "v.hyperparameters", 0),
	CW_COLUMN("metrics", "v.metrics", 0),
	CW_COLUMN("is_deployed", "v.is_deployed", 0),
	CW_COLUMN("deployed_at", "v.deployed_at", 0),
	CW_COLUMN("traffic_percentage", "v.traffic_percentage", 0),
	CW_COLUMN("created_by", "v.created_by", 0),
	CW_COLUMN("created_at", "v.created_at", 0),
};

static const struct cw_arg_spec id_args[] = { { .name = "id", .type = CW_ARG_INT, .required = true } };

/* --- models --- */

static const struct cw_arg_spec models_list_args[] = {
	{ .name = "model_type" },
	{ .name = "name" },
	{ .name = "is_active", .type = CW_ARG_BOOL },
	CW_PAGE_ARGS,
};

static void build_models_list(struct cw_build *b)
{
	cw_build_select(b);
	cw_build_sql(b, " FROM models m");
	cw_build_filter(b, "model_type", "m.model_type = %");
	cw_build_filter(b, "name", "m.name = %");
	cw_build_flag(b, "is_active", "m.is_active", "NOT m.is_active");
}

const struct cw_op cw_models_list = {
	.repo = "models", .name = "list", .kind = CW_OP_PAGE,
	.summary = "Models and rules, newest first.",
	CW_OP_ARGS(models_list_args), CW_OP_COLUMNS(model_columns), .build = build_models_list, .keys = "m.id",
};

static void build_models_get(struct cw_build *b)
{
	cw_build_select(b);
	cw_build_sql(b, " FROM models m");
	cw_build_filter(b, "id", "m.id = %");
}

const struct cw_op cw_models_get = {
	.repo = "models", .name = "get", .kind = CW_OP_ONE,
	.summary = "One model.",
	CW_OP_ARGS(id_args), CW_OP_COLUMNS(model_columns), .build = build_models_get,
};

static const struct cw_arg_spec models_create_args[] = {
	{ .name = "name", .required = true },
	{ .name = "model_type", .required = true },
	{ .name = "description" },
	{ .name = "created_by", .type = CW_ARG_INT },
};

static void build_models_create(struct cw_build *b)
{
	cw_build_value(b, "name", "INSERT INTO models AS m (name, model_type, description, created_by) VALUES (%");
	cw_build_value(b, "model_type", ", %");
	cw_build_value(b, "description", ", coalesce(%, '')");
	cw_build_value(b, "created_by", ", %)");
	cw_build_returning(b);
}

const struct cw_op cw_models_create = {
	.repo = "models", .name = "create", .kind = CW_OP_EXEC,
	.summary = "A new model; its name must be free.",
	CW_OP_ARGS(models_create_args), CW_OP_COLUMNS(model_columns), .build = build_models_create,
};

static const struct cw_arg_spec models_update_args[] = {
	{ .name = "id", .type = CW_ARG_INT, .required = true },
	{ .name = "description" },
	{ .name = "is_active", .type = CW_ARG_BOOL },
};

static void build_models_update(struct cw_build *b)
{
	cw_build_value(b, "description", "UPDATE models m SET description = coalesce(%, m.description)");
	cw_build_value(b, "is_active", ", is_active = coalesce(%, m.is_active)");
	cw_build_filter(b, "id", "m.id = %");
	cw_build_returning(b);
}

const struct cw_op cw_models_update = {
	.repo = "models", .name = "update", .kind = CW_OP_EXEC,
	.summary = "Changes what is given.",
	CW_OP_ARGS(models_update_args), CW_OP_COLUMNS(model_columns), .build = build_models_update,
};

/* --- versions --- */

static const struct cw_arg_spec versions_list_args[] = {
	{ .name = "model_id", .type = CW_ARG_INT },
	{ .name = "is_deployed", .type = CW_ARG_BOOL },
	CW_PAGE_ARGS,
};

static void build_versions_list(struct cw_build *b)
{
	cw_build_select(b);
	cw_build_sql(b, " FROM model_versions v");
	cw_build_filter(b, "model_id", "v.model_id = %");
	cw_build_flag(b, "is_deployed", "v.is_deployed", "NOT v.is_deployed");
}

const struct cw_op cw_model_versions_list = {
	.repo = "model_versions", .name = "list", .kind = CW_OP_PAGE,
	.summary = "Versions of a model, newest first.",
	CW_OP_ARGS(versions_list_args), CW_OP_COLUMNS(version_columns), .build = build_versions_list, .keys = "v.id",
};

static void build_versions_get(struct cw_build *b)
{
	cw_build_select(b);
	cw_build_sql(b, " FROM model_versions v JOIN models m ON m.id = v.model_id");
	cw_build_filter(b, "id", "v.id = %");
}

const struct cw_op cw_model_versions_get = {
	.repo = "model_versions", .name = "get", .kind = CW_OP_ONE,
	.summary = "One version, with a rule's source.",
	CW_OP_ARGS(id_args), CW_OP_COLUMNS(source_columns), .build = build_versions_get,
};

static const struct cw_arg_spec versions_create_args[] = {
	{ .name = "model_id", .type = CW_ARG_INT, .required = true },
	{ .name = "version", .required = true },
	{ .name = "storage_path" },
	{ .name = "checksum" },
	{ .name = "training_dataset_size", .type = CW_ARG_INT, .min = 0, .max = 1e18 },
	{ .name = "training_duration_seconds", .type = CW_ARG_NUMBER, .min = 0, .max = 1e12 },
	{ .name = "hyperparameters", .type = CW_ARG_JSON },
	{ .name = "metrics", .type = CW_ARG_JSON },
	{ .name = "created_by", .type = CW_ARG_INT },
};

static void build_versions_create(struct cw_build *b)
{
	cw_build_value(b, "model_id", "INSERT INTO model_versions AS v (model_id, version, storage_path, checksum,"
	               " training_dataset_size, training_duration_seconds, hyperparameters, metrics, created_by) VALUES (%");
	cw_build_value(b, "version", ", %");
	cw_build_value(b, "storage_path", ", %");
	cw_build_value(b, "checksum", ", %");
	cw_build_value(b, "training_dataset_size", ", %");
	cw_build_value(b, "training_duration_seconds", ", %");
	cw_build_value(b, "hyperparameters", ", coalesce(%, '{}')");
	cw_build_value(b, "metrics", ", coalesce(%, '{}')");
	cw_build_value(b, "created_by", ", %)");
	cw_build_returning(b);
}

const struct cw_op cw_model_versions_create = {
	.repo = "model_versions", .name = "create", .kind = CW_OP_EXEC,
	.summary = "A new version of a model, not deployed.",
	CW_OP_ARGS(versions_create_args), CW_OP_COLUMNS(version_columns), .build = build_versions_create,
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
	CW_OP_ARGS(id_args), CW_OP_COLUMNS(version_columns), .build = build_withdraw,
};

/* --- switched-off rules --- */

static const struct cw_column state_columns[] = {
	CW_COLUMN("rule", "s.rule_id", 0),
	CW_COLUMN("status", "s.status", 0),
	CW_COLUMN("reason", "s.reason", 0),
	CW_COLUMN("faults", "s.faults", 0),
	CW_COLUMN("changed_at", "s.changed_at", 0),
	CW_COLUMN("changed_by", "s.changed_by", 0),
};

static void build_states(struct cw_build *b)
{
	cw_build_select(b);
	cw_build_sql(b, " FROM rule_states s ORDER BY s.rule_id");
}

const struct cw_op cw_rule_states_list = {
	.repo = "rule_states", .name = "list", .kind = CW_OP_ROWS,
	.summary = "Rules that have ever been switched off or quarantined.",
	.args = NULL, .nargs = 0, CW_OP_COLUMNS(state_columns), .build = build_states,
};
