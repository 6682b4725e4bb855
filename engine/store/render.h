/* render.h - rows as JSON by the column list of an operation. Private to store/. */
#ifndef CW_STORE_RENDER_H
#define CW_STORE_RENDER_H

#include "base/buf.h"
#include "store/repo.h"

#define CW_TYPE_TIMESTAMPTZ 1184u    /* pg_type.h */

/* "SELECT a, b" with `separator` "SELECT " */
void cw_render_columns(struct cw_buf *sql, const char *separator, const struct cw_column *columns, int n);
/* An object without its closing brace. */
void cw_render_row(struct cw_buf *out, const struct cw_result *res, int row, const struct cw_column *columns, int n);
int cw_render_find(const struct cw_column *columns, int n, const char *name);

#endif
