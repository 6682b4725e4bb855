/* ddsketch.h - quantiles of positive numbers within a relative error, in a fixed number of bins.
 *
 * DDSketch (Masson, Rim, Lee, VLDB 2019) with the uniform collapse of UDDSketch (Epicoco and others, IEEE Access 2020):
 * bins of equal width on a logarithmic axis; when the numbers span more than the bins can, neighbours are merged two by
 * two, which doubles the error for all quantiles alike and is remembered as the level. Why not KLL or t-digest: amounts
 * run over 20 decades, so an error relative to the value is what an analyst can use; adding writes one counter and
 * needs no coin (KLL) and no rewriting of centroids (t-digest), which the undo log would have to save; and merging two
 * sketches gives the very bins that one sketch over both would have.
 *
 * Numbers <= 0 are counted apart as zeros. Lives in the arena or in plain memory: `st` NULL for the latter. */
#ifndef CW_DETECT_DDSKETCH_H
#define CW_DETECT_DDSKETCH_H

#include <stddef.h>
#include <stdint.h>

struct cw_state;

struct cw_ddsketch {
	double error;                 /* relative, at level 0 */
	double scale;                 /* bins for each unit of cw_log2_cubic */
	uint32_t bins;
	uint32_t level;               /* collapses so far: the error has about doubled so often */
	int32_t first;                /* bin number of n[0] at this level */
	int32_t low, high;            /* bins in use, low > high: none */
	uint32_t zeros;
	uint64_t count;               /* zeros included */
	uint32_t n[];
};

#define CW_DDSKETCH_BINS_MIN 16
#define CW_DDSKETCH_BINS_MAX 65536

size_t cw_ddsketch_size(uint32_t bins);
/* Writes an empty sketch into `size` bytes of zeroed memory. 0 < error < 1. */
void cw_ddsketch_init(struct cw_state *st, struct cw_ddsketch *s, uint32_t bins, double error);
/* NaN and infinities are not taken. */
void cw_ddsketch_add(struct cw_state *st, struct cw_ddsketch *s, double x);
/* The value below which a share `q` (0 to 1) of the numbers lies; NaN when empty. Within cw_ddsketch_error() of a
 * number that has that rank, relative. */
double cw_ddsketch_quantile(const struct cw_ddsketch *s, double q);
/* Share of the numbers that are below x or in its bin up to half: 0 to 1; NaN when empty. */
double cw_ddsketch_rank(const struct cw_ddsketch *s, double x);
/* Median of the distances to `center`; `log` != 0: of |ln x - ln center| with x and center raised to 1 at least. */
double cw_ddsketch_mad(const struct cw_ddsketch *s, double center, int log);
/* Mean of the same distances. */
double cw_ddsketch_mean_deviation(const struct cw_ddsketch *s, double center, int log);
/* Relative error that holds at the present level. */
double cw_ddsketch_error(const struct cw_ddsketch *s);
/* Halves every count, so that the past weighs less. */
void cw_ddsketch_halve(struct cw_state *st, struct cw_ddsketch *s);
/* Adds `from`, which must have the same error and bins, to `s`: the bins are those of one sketch over both. */
void cw_ddsketch_merge(struct cw_state *st, struct cw_ddsketch *s, const struct cw_ddsketch *from);

#endif
