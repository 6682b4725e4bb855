/* adwin.h - a window that grows while the mean holds and is cut where it changes.
 *
 * ADWIN2 (A. Bifet, R. Gavalda, Learning from time-changing data with adaptive windowing, SDM 2007): the window is an
 * exponential histogram, rows of up to 5 buckets of 1, 2, 4, ... numbers, with sum and variance of each. Every `clock`
 * numbers it looks for a cut whose two sides differ by more than chance allows at level `delta`, and drops the oldest
 * buckets while there is one. Lives in the arena or in plain memory (`st` NULL). */
#ifndef CW_DETECT_ADWIN_H
#define CW_DETECT_ADWIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "detect/drift.h"

struct cw_state;

#define CW_ADWIN_BUCKETS 5        /* M of the paper */
#define CW_ADWIN_ROWS_MAX 30

struct cw_adwin_conf {
	double delta;                 /* chance of a false cut: 0.002 */
	uint32_t clock;               /* numbers between two looks: 32 */
	uint32_t rows;                /* 5 * (2^rows - 1) numbers are remembered at most; older ones leave */
	bool leave_newest;            /* the newest bucket of each row is on neither side of a cut: a slip of river and
	                               * scikit-multiflow, which find changes later by it; to compare with them */
	bool restart;                 /* a cut empties the window (as river does), not only its older side (the paper) */
};
struct cw_adwin_row { double sum[CW_ADWIN_BUCKETS + 1], m2[CW_ADWIN_BUCKETS + 1]; uint64_t n; };
struct cw_adwin {
	double sum, m2;               /* of the window: total, sum of squared deviations */
	uint64_t width, tick;
	uint32_t rows, pad;
	struct cw_adwin_row row[];    /* conf.rows of them */
};

size_t cw_adwin_size(uint32_t rows);
enum cw_drift cw_adwin_add(struct cw_state *st, struct cw_adwin *s, const struct cw_adwin_conf *conf, double x);

#endif
