/* ops.h - what the engine offers to scripts by name (engine.call), and what it tells subscribers. */
#ifndef CW_APP_OPS_H
#define CW_APP_OPS_H

#include <stdbool.h>

struct cw_config;
struct cw_engine;
struct cw_err;
struct cw_outcome;
struct cw_retraction;
struct cw_scripts_conf;

typedef void cw_ops_done_fn(void *done_arg, const char *json, const struct cw_err *err);

/* "reload": {"message","changes"}. "rules.submit" {"rule","source"}, "rules.withdraw" {"rule"}, "rules.promote" {"rule",
 * "force"}: {"message","rule","version","status","sha256","replaces","source"}; what rule_sources has to say is the
 * caller's to write. "labels.refresh": {"live"}, when what is committed of address lists has gone live. "rules.diff" {"rule","since","limit"}. "archive.put" {"to","key","text"}: {"key","bytes"}. "lua"
 * {"world":"rules"|"scripts","text"}: {"output"} (app/eval.h). Answers once, never before this call has returned. */
void cw_ops_call(void *engine, const char *name, const char *args_json, cw_ops_done_fn *done, void *done_arg);
/* One server-sent event per alert that is not shadow; as cw_publish_fn. */
void cw_ops_publish(void *engine, const struct cw_outcome *outcome);
void cw_ops_retract(void *engine, const struct cw_retraction *retraction);     /* as cw_retract_fn */
/* A server-sent event "rule.alarm"; as cw_alarm_fn. */
struct cw_rule_alarm;
void cw_ops_alarm(void *engine, const char *rule, const struct cw_rule_alarm *alarm, bool raised, const char *message);
struct cw_scripts_conf cw_ops_scripts_conf(const struct cw_config *config);
/* Settings that scripts may read, JSON; kept by the engine. */
const char *cw_ops_conf_json(struct cw_engine *e, const struct cw_config *config);

#endif
