/* adopt.h - takes over a database of the reference system: the same nine tables with text ids, amounts as doubles and
 * times without a zone. Its tables move to the schema "legacy" and stay there as they were; migrations make ours;
 * adopt.sql fills them and compares counts and sums. Synchronous. docs/DATABASE_MIGRATION_GUIDE.md says what becomes what. */
#ifndef CW_STORE_ADOPT_H
#define CW_STORE_ADOPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cw_err;

enum cw_adopt_state {
	CW_ADOPT_NONE,               /* no table of the reference system */
	CW_ADOPT_FOUND,              /* in "public", as it left them */
	CW_ADOPT_MOVED,              /* in "legacy", not taken over yet: an earlier run ended there */
	CW_ADOPT_DONE,
};
int cw_adopt_state(const char *conninfo, enum cw_adopt_state *state, struct cw_err *err);
/* What there is, as a JSON array of {table, rows}, and the largest value and gas price with whether all are whole. */
struct cw_adopt_look { char tables[2048]; double max_value, max_gas_price; bool whole_value, whole_gas_price; };
int cw_adopt_look(const char *conninfo, struct cw_adopt_look *look, struct cw_err *err);
int cw_adopt_move(const char *conninfo, struct cw_err *err);
/* Back to "public"; ours must be gone from there (migrate down to 0). */
int cw_adopt_move_back(const char *conninfo, struct cw_err *err);
struct cw_adopt_conf { const char *amounts, *gas_price; int64_t chain_id; bool skip_invalid; };
int cw_adopt_fill(const char *conninfo, const struct cw_adopt_conf *conf, struct cw_err *err);
/* The comparison as JSON: [{table, what, legacy, adopted}]. */
int cw_adopt_report(const char *conninfo, char *out, size_t size, struct cw_err *err);
int cw_adopt_drop(const char *conninfo, struct cw_err *err);

#endif
