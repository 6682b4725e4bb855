/* ops.h - every operation of every repository (their arguments are described where they are defined). */
#ifndef CW_STORE_OPS_H
#define CW_STORE_OPS_H

#include "store/repo.h"

#define CW_OP_ARGS(list) .args = (list), .nargs = (int)(sizeof(list) / sizeof((list)[0]))
#define CW_OP_COLUMNS(list) .columns = (list), .ncolumns = (int)(sizeof(list) / sizeof((list)[0]))
#define CW_PAGE_ARGS \
	{ .name = "limit", .type = CW_ARG_INT, .min = 1, .max = CW_PAGE_MAX }, { .name = "cursor" }, \
	{ .name = "offset", .type = CW_ARG_INT, .min = 0, .max = CW_OFFSET_MAX }, \
	{ .name = "order", .type = CW_ARG_CHOICE, .choices = "asc|desc" }

extern const struct cw_op cw_transactions_get, cw_transactions_by_address, cw_transactions_list,
	cw_transactions_by_block, cw_transactions_by_time, cw_transactions_count, cw_transactions_statistics,
	cw_transactions_bulk_create;
extern const struct cw_op cw_anomalies_list, cw_anomalies_get, cw_anomalies_count, cw_anomalies_review, cw_anomalies_evidence,
	cw_anomalies_statistics, cw_anomalies_false_positive_rate;
extern const struct cw_op cw_predictions_list, cw_predictions_statistics;
extern const struct cw_op cw_models_list, cw_models_get, cw_models_by_name, cw_models_count, cw_models_create,
	cw_models_update, cw_models_delete;
extern const struct cw_op cw_model_versions_list, cw_model_versions_count, cw_model_versions_get,
	cw_model_versions_latest, cw_model_versions_traffic, cw_model_versions_create, cw_model_versions_update,
	cw_model_versions_delete, cw_model_versions_deploy, cw_model_versions_withdraw, cw_model_versions_split;
extern const struct cw_op cw_users_list, cw_users_get, cw_users_by_email, cw_users_create, cw_users_update,
	cw_users_set_password, cw_users_rehash, cw_users_sign_out, cw_users_touch, cw_users_count, cw_users_secret;
extern const struct cw_op cw_api_keys_by_hash, cw_api_keys_by_prefix, cw_api_keys_list, cw_api_keys_create,
	cw_api_keys_get, cw_api_keys_revoke, cw_api_keys_touch;
extern const struct cw_op cw_sessions_open, cw_sessions_rotate, cw_sessions_by_token, cw_sessions_revoke, cw_sessions_list;
extern const struct cw_op cw_invitations_create, cw_invitations_take;
extern const struct cw_op cw_revoked_tokens_add, cw_login_failures_get, cw_login_failures_add, cw_login_failures_clear;
extern const struct cw_op cw_audit_logs_append, cw_audit_logs_last, cw_audit_logs_get, cw_audit_logs_list,
	cw_audit_logs_statistics, cw_audit_logs_chain;
extern const struct cw_op cw_system_metrics_append, cw_system_metrics_list, cw_system_metrics_series,
	cw_system_metrics_names;
extern const struct cw_op cw_labels_of, cw_labels_list, cw_labels_count, cw_labels_lists, cw_labels_versions,
	cw_labels_withdrawals, cw_labels_sanctioned, cw_labels_stage, cw_labels_import, cw_labels_remove, cw_labels_suppress;
extern const struct cw_op cw_outbox_list, cw_outbox_due, cw_outbox_claim, cw_outbox_targets, cw_outbox_retry;
extern const struct cw_op cw_outbox_create, cw_outbox_delivered, cw_outbox_failed,
	cw_outbox_again;
extern const struct cw_op cw_cursors_list, cw_cursors_get, cw_cursors_put, cw_cursors_delete;
extern const struct cw_op cw_job_runs_list, cw_job_runs_get, cw_job_runs_last, cw_job_runs_claim, cw_job_runs_progress,
	cw_job_runs_finish;
extern const struct cw_op cw_legal_holds_list, cw_legal_holds_create, cw_legal_holds_release, cw_partitions_make;
extern const struct cw_op cw_retention_count, cw_retention_delete, cw_retention_anonymise, cw_retention_fetch,
	cw_retention_delete_rows, cw_retention_months, cw_retention_drop_month;
extern const struct cw_op cw_anomalies_unreviewed, cw_anomalies_recent, cw_anomalies_by_entity;
extern const struct cw_op cw_suppressions_list, cw_suppressions_get, cw_suppressions_create, cw_suppressions_finish;
extern const struct cw_op cw_anomalies_after;
extern const struct cw_op cw_rule_states_list, cw_rule_states_set, cw_rule_sources_list, cw_rule_sources_put,
	cw_rule_sources_delete, cw_rule_alarms_list;

#endif
