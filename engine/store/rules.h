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
};

/* Makes the rows that are missing, in one transaction: a model of type "rule" for each rule and a version of it for each
 * source (named "1.0.0", or "1.0.0+<digits of the SHA-256>" when that version exists with another source), a model
 * "ruleset" of type "ruleset" with `digest` as its version; deployed are these and no others of those types. The answer
 * has one row for the ruleset, then one a rule in the order given, none for a rule whose name another model has; read
 * them with cw_rules_row. */
uint64_t cw_rules_register(struct cw_pool *pool, const char *digest, const struct cw_rule_version *rules, size_t n,
                           cw_query_fn *fn, void *arg);

struct cw_rule_row {
	int64_t version_id;           /* model_versions.id */
	const char *version;
	const char *status;           /* enabled, disabled, quarantined */
	const char *reason;
};
void cw_rules_row(const struct cw_result *res, int row, struct cw_rule_row *out);   /* row 0: the ruleset */

/* `status` enabled, disabled or quarantined. */
uint64_t cw_rules_set_status(struct cw_pool *pool, const char *rule_id, const char *status, const char *reason,
                             uint64_t faults, cw_query_fn *fn, void *arg);

#endif
