/* lint.h - what is wrong with a rule, found in its text without running a transaction.
 *
 * A rule's file is read as a tree (lua/syntax.h) and held against the API: fields of the transaction, constructors and
 * their options, methods, keys of rule, alert and tests, parameters. What the loader refuses is reported too, at its
 * line. Codes are stable: programs may rely on them, and `-- lint:allow CODE` at the end of a line silences one there. */
#ifndef CW_LUA_LINT_H
#define CW_LUA_LINT_H

#include <stdbool.h>
#include <stddef.h>

struct cw_arena;
struct cw_buf;
struct cw_bundle;

struct cw_finding {
	const char *file;
	int line, column;             /* from 1 */
	const char *code;             /* "unknown-field" */
	bool error;                   /* else a warning */
	const char *message;
};

struct cw_lint {
	struct cw_finding *list;
	int n, errors, warnings;
};

/* Looks over all files of the bundle, alone and together, and the overrides in params_json (`params_file` and its text
 * are for their places; may be NULL). Findings are sorted by file, line, column and live in `arena`. */
void cw_lint_bundle(const struct cw_bundle *bundle, const char *params_file, const char *params_text,
                    struct cw_arena *arena, struct cw_lint *out);

/* Lines "file:line:column: severity: message [code]", or one JSON object {"findings":[...],"errors":n,"warnings":n}. */
void cw_lint_put_text(const struct cw_lint *lint, struct cw_buf *out);
void cw_lint_put_json(const struct cw_lint *lint, struct cw_buf *out);

#endif
