/* combined.h - the default for tables: whichever of two different detectors finds a row odder. No settings.
 *
 * An isolation forest (odd in single columns) and near neighbours in small samples (odd in the combination), each brought
 * to (score - median) / interquartile range over the training rows, the distance on a logarithmic scale, for it spreads
 * over decades where the forest's steps do not; the score is the larger one. No detector wins on every table; the larger
 * loses little to the better of the two on any, while an average is dragged down by the one that is blind. Read-only once
 * fitted. */
#ifndef CW_DETECT_COMBINED_H
#define CW_DETECT_COMBINED_H

#include <stdint.h>

#include "detect/table.h"

struct cw_combined;
struct cw_err;

struct cw_combined *cw_combined_fit(const struct cw_table *t, uint64_t seed, struct cw_err *err);
void cw_combined_free(struct cw_combined **c);

enum cw_combined_part { CW_COMBINED_FOREST = 0, CW_COMBINED_NEAR, CW_COMBINED_PARTS };
/* In interquartile ranges above the median row: 0 is ordinary. NaN for a row that is not finite. `part`, unless NULL,
 * is told which detector found it. */
double cw_combined_score(const struct cw_combined *c, const double *row, enum cw_combined_part *part);
const char *cw_combined_part_name(enum cw_combined_part part);   /* "forest", "neighbours" */

#endif
