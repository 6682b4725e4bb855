/* ops.h - every operation of every repository (their arguments are described where they are defined). */
#ifndef CW_STORE_OPS_H
#define CW_STORE_OPS_H

#include "store/repo.h"

#define CW_OP_ARGS(list) .args = (list), .nargs = (int)(sizeof(list) / sizeof((list)[0]))
#define CW_OP_COLUMNS(list) .columns = (list), .ncolumns = (int)(sizeof(list) / sizeof((list)[0]))
#define CW_PAGE_ARGS { .name = "limit", .type = CW_ARG_INT, .min = 1, .max = CW_PAGE_MAX }, { .name = "cursor" }

extern const struct cw_op cw_transactions_get, cw_transactions_by_address, cw_transactions_recent,
	cw_transactions_statistics;
extern const struct cw_op cw_anomalies_list, cw_anomalies_get, cw_anomalies_count, cw_anomalies_review, cw_anomalies_evidence,
	cw_anomalies_statistics, cw_anomalies_false_positive_rate;
extern const struct cw_op cw_predictions_list, cw_predictions_statistics;
extern const struct cw_op cw_models_list, cw_models_get, cw_models_create, cw_models_update;
extern const struct cw_op cw_model_versions_list, cw_model_versions_get, cw_model_versions_create,
	cw_model_versions_deploy, cw_model_versions_withdraw;
extern const struct cw_op cw_users_list, cw_users_get, cw_users_by_email, cw_users_create, cw_users_update,
	cw_users_set_password, cw_users_touch, cw_users_count;
extern const struct cw_op cw_api_keys_by_hash, cw_api_keys_by_prefix, cw_api_keys_list, cw_api_keys_create,
	cw_api_keys_revoke, cw_api_keys_touch;
extern const struct cw_op cw_audit_logs_append, cw_audit_logs_last, cw_audit_logs_get, cw_audit_logs_list,
	cw_audit_logs_statistics, cw_audit_logs_chain;
extern const struct cw_op cw_system_metrics_append, cw_system_metrics_list, cw_system_metrics_names;
extern const struct cw_op cw_rule_states_list;
extern const struct cw_op cw_suppressions_list, cw_suppressions_get, cw_suppressions_create, cw_suppressions_finish;

#endif
