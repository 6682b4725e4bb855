/* log.h - lines for the operator, on stderr.
 *
 * logfmt by default (`ts=... level=info group=http msg="listening" addr=127.0.0.1:8080`), JSON on request. Groups
 * ("http", "pg", "lua", ...) can be raised or lowered one by one while running. Info tells what changed; a failing
 * dependency is logged on change of state and then counted. Values named password, secret, token, key, authorization
 * and the password part of a connection string are written as "***". A line is one line whatever is in it, at most 4 KiB
 * (what was cut ends in `cut=true`), and valid JSON in that format. Thread-safe: one write(2) a line. */
#ifndef CW_BASE_LOG_H
#define CW_BASE_LOG_H

#include <stdbool.h>

struct cw_err;

enum cw_log_level { CW_LOG_DEBUG = 0, CW_LOG_INFO, CW_LOG_WARN, CW_LOG_ERROR, CW_LOG_OFF };
enum cw_log_format { CW_LOG_LOGFMT = 0, CW_LOG_JSON };

/* `fields` is a printf format that gives logfmt pairs (values with spaces in double quotes), or NULL. */
void cw_log(enum cw_log_level level, const char *group, const char *msg, const char *fields, ...)
	__attribute__((format(printf, 4, 5)));
/* The same with code, SQLSTATE and message of `err` at the end. */
void cw_log_err(enum cw_log_level level, const char *group, const char *msg, const struct cw_err *err);

bool cw_log_enabled(enum cw_log_level level, const char *group);
/* group NULL: the default for groups that have no level of their own. */
void cw_log_set_level(const char *group, enum cw_log_level level);
void cw_log_clear_levels(void);
void cw_log_set_format(enum cw_log_format format);
/* Every line gets `key=value` after the group, e.g. the process ("evaluator"); NULL for none. Not copied. */
void cw_log_set_role(const char *role);
/* "debug" ... "off"; false if it is none of them. */
bool cw_log_level_parse(const char *text, enum cw_log_level *level);

/* Writes `text` quoted and escaped, so that it can stand after `key=` whatever it is, cut to what fits. Returns `out`. */
const char *cw_log_quote(char *out, unsigned long size, const char *text);

#endif
