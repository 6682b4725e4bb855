/* rulewhen.h - `when = { ... }` of a rule: conditions that are looked at in C before the rule is called at all.
 *
 * A table, or a list of tables of which one must hold, or a function of the parameters that returns it. Keys: `kind`, `selector`, `min_x` / `max_x` / `x` of the
 * numbers of a transaction, `from_listed`, `to_listed`, `listed`; rules/README.md describes them. Owned by the rule's
 * binding, which frees it. */
#ifndef CW_LUA_RULEWHEN_H
#define CW_LUA_RULEWHEN_H

#include <stdbool.h>
#include <stdint.h>

#include <lua.h>

struct cw_buf;
struct cw_err;
struct cw_rule;
struct cw_tx;
struct cw_when;

/* What conditions look at: made once a transaction, for all rules. `numbers` as cw_rules_numbers makes them. */
struct cw_when_view {
	const struct cw_tx *tx;
	const double *numbers;
	unsigned kind;
	uint32_t selector, logs;
	bool has_selector, listed[2];     /* sender, receiver: on any list at all */
};
void cw_when_look(struct cw_when_view *view, const struct cw_tx *tx, const double *numbers);

/* What most transactions fail at, side by side in one array for all rules: looked at first. */
struct cw_when_hint {
	uint64_t selectors;               /* bit selector % 64; all bits: no condition */
	uint32_t logs;                    /* bits of enum cw_log_kind; 0: no condition */
	uint8_t kinds;
	bool listed;                      /* only with one end on a list */
	int16_t number;                   /* in [least, most]; -1: no condition */
	double least, most;
};
void cw_when_hint(const struct cw_when *when, struct cw_when_hint *hint);
/* False: the conditions do not hold. True: they may. */
static inline bool cw_when_might(const struct cw_when_hint *hint, const struct cw_when_view *view)
{
	return (hint->kinds & view->kind) != 0 && (hint->logs == 0 || (hint->logs & view->logs) != 0) &&
	       (hint->selectors >> (view->selector % 64) & 1) != 0 &&
	       (!hint->listed || view->listed[0] || view->listed[1]) &&
	       (hint->number < 0 || (view->numbers[hint->number] >= hint->least && view->numbers[hint->number] <= hint->most));
}
/* Do all conditions hold? NULL: yes. */
bool cw_when_wants(const struct cw_when *when, const struct cw_when_view *view);
/* As a JSON list with a list for each alternative: its conditions, what the transaction has, whether they hold. */
void cw_when_explain(const struct cw_when *when, const struct cw_when_view *view, struct cw_buf *out);

/* Reads the table on top of the stack; raises for the author of the rule. `*out` is set before anything can raise. */
void cw_when_read(lua_State *L, const struct cw_rule *rule, struct cw_when **out);
int cw_when_open(struct cw_when *when, struct cw_err *err);   /* finds the lists in use; NULL is fine */
void cw_when_close(struct cw_when *when);
void cw_when_free(struct cw_when **when);

#endif
