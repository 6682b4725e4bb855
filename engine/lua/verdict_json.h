/* verdict_json.h - outcomes of the pipeline as the JSON that clients get. */
#ifndef CW_LUA_VERDICT_JSON_H
#define CW_LUA_VERDICT_JSON_H

struct cw_buf;
struct cw_err;
struct cw_json_error;
struct cw_outcome;
struct cw_tx_faults;

/* One verdict as a JSON object. `outcome->err` must not be set. */
void cw_put_verdict(struct cw_buf *out, const struct cw_outcome *outcome);
/* JSON array of {"pointer","detail"}; `prefix` is put before each pointer ("/transactions/3"). */
void cw_put_tx_faults(struct cw_buf *out, const char *prefix, const struct cw_tx_faults *faults, int *count);
/* "could not read ... as JSON: line 1, column 5: expected ..." */
void cw_put_json_error(struct cw_buf *out, const struct cw_json_error *error);
/* HTTP status and code for text that is not JSON, or is refused: 400 json_syntax, 422 json_refused. */
int cw_json_error_status(const struct cw_json_error *error, const char **code);

#endif
