#include "store/ops.h"

#include <string.h>

const struct cw_op *const cw_ops[] = {
	&cw_transactions_get, &cw_transactions_by_address, &cw_transactions_recent, &cw_transactions_statistics,
	&cw_anomalies_list, &cw_anomalies_get, &cw_anomalies_count, &cw_anomalies_review, &cw_anomalies_statistics,
	&cw_anomalies_false_positive_rate, &cw_anomalies_evidence,
	&cw_predictions_list, &cw_predictions_statistics,
	&cw_models_list, &cw_models_get, &cw_models_create, &cw_models_update,
	&cw_model_versions_list, &cw_model_versions_get, &cw_model_versions_create, &cw_model_versions_deploy,
	&cw_model_versions_withdraw,
	&cw_users_list, &cw_users_get, &cw_users_by_email, &cw_users_create, &cw_users_update, &cw_users_set_password,
	&cw_users_touch, &cw_users_count,
	&cw_api_keys_by_hash, &cw_api_keys_by_prefix, &cw_api_keys_list, &cw_api_keys_create, &cw_api_keys_revoke,
	&cw_api_keys_touch,
	&cw_audit_logs_append, &cw_audit_logs_last, &cw_audit_logs_get, &cw_audit_logs_list, &cw_audit_logs_statistics,
	&cw_audit_logs_chain,
	&cw_system_metrics_append, &cw_system_metrics_list, &cw_system_metrics_names,
	&cw_rule_states_list,
	&cw_suppressions_list, &cw_suppressions_get, &cw_suppressions_create, &cw_suppressions_finish,
	NULL,
};

const struct cw_op *cw_op_find(const char *repo, const char *name)
{
	for (int i = 0; cw_ops[i] != NULL; i++)
		if (strcmp(cw_ops[i]->repo, repo) == 0 && strcmp(cw_ops[i]->name, name) == 0)
			return cw_ops[i];
	return NULL;
}
