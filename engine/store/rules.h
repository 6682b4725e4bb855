/* rules.h - generations of rules as rows of models and model_versions, and which rules are switched off. */
#ifndef CW_STORE_RULES_H
#define CW_STORE_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pg/conn.h"

struct cw_pool;
struct cw_result;

struct cw_rule_version {
	const char *id, *version, *sha256, *title;
	const char *source;           /* text; NULL: unknown */
	bool candidate;               /* on trial beside the live version */
};

/* Makes the rows that are missing, in one transaction: a model of type "rule" for each rule and a version of it for each
 * source (named "1.0.0", or "1.0.0+<digits of the SHA-256>" when that version exists with another source), a model
 * "ruleset" of type "ruleset" with `digest` as its version; deployed are these, but for candidates, and no others of
 * those types. The answer
 * has one row for the ruleset, then one a rule in the order given, none for a rule whose name another model has; read
 * them with cw_rules_row. */
uint64_t cw_rules_register(struct cw_pool *pool, const char *digest, const struct cw_rule_version *rules, size_t n,
                           cw_query_fn *fn, void *arg);

struct cw_rule_row {
	int64_t version_id;           /* model_versions.id */
	const char *version;
	const char *status;           /* enabled, disabled, quarantined */
	const char *reason;
	int64_t changed_us;           /* when that was; 0: never */
};
void cw_rules_row(const struct cw_result *res, int row, struct cw_rule_row *out);   /* row 0: the ruleset */

/* Notes that the engine has quarantined this version, with an entry in the audit log, in one transaction. */
uint64_t cw_rules_quarantine(struct cw_pool *pool, const struct cw_rule_version *rule, const char *reason,
                             uint64_t faults, cw_query_fn *fn, void *arg);

/* --- rules whose text is not that of a file --- */

/* All of them; one row each: rule_id, role, sha256, source, replaces. */
uint64_t cw_rule_sources_all(struct cw_pool *pool, cw_query_fn *fn, void *arg);

/* Fires of a rule and of one candidate of it, of transactions after `after`, of this time or later (0: any), by
 * transaction: its identity, whether it is the candidate's, hash, entity, severity, score, explanation. */
uint64_t cw_rule_alerts(struct cw_pool *pool, const char *rule_id, int64_t live_id, int64_t candidate_id, uint64_t after,
                        int64_t since_us, cw_query_fn *fn, void *arg);
/* The row of this very version, if it is still there. */
uint64_t cw_rule_sources_forget(struct cw_pool *pool, const char *rule_id, const char *role, const char *sha256,
                                cw_query_fn *fn, void *arg);

/* --- alerts a day, for alarms --- */

/* One row for each rule that is deployed: its name; alerts in the last hour, in the last day, in the seven days before
 * that; days since it was made, days since its first alert of those (0: none); whether transactions came in the last hour;
 * the kind of an alarm that is open, or "". */
uint64_t cw_rule_rates(struct cw_pool *pool, cw_query_fn *fn, void *arg);
/* Makes an alarm, unless one of its kind is open; with an entry in the audit log. Or ends it. */
uint64_t cw_rule_alarm_raise(struct cw_pool *pool, const char *rule, const char *kind, double observed, double min,
                             double max, bool declared, const char *message, cw_query_fn *fn, void *arg);
uint64_t cw_rule_alarm_clear(struct cw_pool *pool, const char *rule, const char *kind, cw_query_fn *fn, void *arg);

#endif
