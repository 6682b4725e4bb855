/* audit_export.h - signs the head of the audit chain now and then and appends it to a file outside of the database. */
#ifndef CW_APP_AUDIT_EXPORT_H
#define CW_APP_AUDIT_EXPORT_H

#include <stdbool.h>

struct cw_audit_export;
struct cw_config;
struct cw_engine;
struct cw_err;

/* Makes the key at the first start. The first head is written soon after, then every audit.export_s when it has moved, and
 * sooner when it has moved by audit.export_rows entries. */
struct cw_audit_export *cw_audit_export_new(struct cw_engine *e, struct cw_err *err);
void cw_audit_export_apply(struct cw_audit_export *x, const struct cw_config *config);
/* At an orderly end: a last head, with all that was noted until now; `done` in a second at most. False: there is nothing to
 * wait for, and `done` is not called. */
bool cw_audit_export_finish(struct cw_audit_export *x, void (*done)(void *arg), void *arg);
/* Before the pool and the workers. */
void cw_audit_export_free(struct cw_audit_export **x);

#endif
