/* try_rules.h - loads and tests a generation of rules without making it live: for `check` and `rules test`. */
#ifndef CW_APP_TRY_RULES_H
#define CW_APP_TRY_RULES_H

struct cw_buf;
struct cw_config;
struct cw_err;
struct cw_zygote;

/* In an evaluator process, as the engine does it. `report` gets the ruleset as JSON. */
int cw_try_rules(const struct cw_config *config, struct cw_zygote *zygote, struct cw_buf *report, struct cw_err *err);

#endif
