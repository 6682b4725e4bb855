/* hbos.h - histogram-based outlier score: how rare each column's value is, added up as if columns were independent.
 *
 * M. Goldstein, A. Dengel, Histogram-based outlier score (HBOS), KI 2012: bins of equal width. Read-only once fitted. */
#ifndef CW_DETECT_HBOS_H
#define CW_DETECT_HBOS_H

#include <stdint.h>

#include "detect/table.h"

struct cw_err;
struct cw_hbos;

/* `bins` 2 to 1000; 0: 10. NULL with CW_ERR_INVALID as for every fit. */
struct cw_hbos *cw_hbos_fit(const struct cw_table *t, uint32_t bins, struct cw_err *err);
void cw_hbos_free(struct cw_hbos **h);
/* Sum over the columns of ln(height of the highest bin / height of the row's bin); empty bins, and values beyond the
 * table's range, count as half a row. 0: in the highest bin everywhere. NaN for a row that is not finite. */
double cw_hbos_score(const struct cw_hbos *h, const double *row);

#endif
