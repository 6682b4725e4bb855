/* drift.h - detectors of change in a stream of numbers or of errors, one number at a time.
 *
 * Plain structures: zeroed is empty, the caller owns them (and touches them before the call where they live in the
 * arena). Each add returns what it found; a detector that has fired starts anew with the next number. Pure.
 *
 * Their results are those of river and scikit-multiflow on the test streams of either, index by index. */
#ifndef CW_DETECT_DRIFT_H
#define CW_DETECT_DRIFT_H

#include <stdbool.h>
#include <stdint.h>

enum cw_drift { CW_DRIFT_NONE = 0, CW_DRIFT_WARNING, CW_DRIFT_FOUND };

/* Page-Hinkley: rises of the mean. E. S. Page, Continuous inspection schemes, Biometrika 41 (1954). */
struct cw_page_hinkley_conf {
	uint32_t warm;                /* numbers before it may fire: 30 */
	double delta;                 /* change that is tolerated, in the unit of the numbers: 0.005 */
	double threshold;             /* of the sum: 50 */
	double alpha;                 /* the sum shrinks by this a step: 0.9999 */
};
struct cw_page_hinkley { double mean, sum; uint32_t n; };
enum cw_drift cw_page_hinkley_add(struct cw_page_hinkley *s, const struct cw_page_hinkley_conf *conf, double x);

/* Two-sided tabular CUSUM over numbers standardised by mean and deviation of the run so far (self-starting: D. M.
 * Hawkins, Self-starting CUSUM charts for location and scale, The Statistician 36, 1987). */
struct cw_cusum_conf {
	uint32_t warm;                /* numbers before it may fire */
	double slack;                 /* k, in standard deviations: half of the shift that matters; 0.5 */
	double threshold;             /* h, in standard deviations; 5 */
};
struct cw_cusum { double mean, m2, up, down; uint32_t n; };
enum cw_drift cw_cusum_add(struct cw_cusum *s, const struct cw_cusum_conf *conf, double x);

/* DDM: a rising error rate. J. Gama, P. Medas, G. Castillo, P. Rodrigues, Learning with drift detection, SBIA 2004. */
struct cw_ddm_conf {
	uint32_t warm;                /* numbers before it may fire: 30 */
	double warning, drift;        /* in standard deviations: 2, 3 */
};
struct cw_ddm { double p, p_min, s_min; uint32_t n; bool has_min; };
enum cw_drift cw_ddm_add(struct cw_ddm *s, const struct cw_ddm_conf *conf, bool error);

/* EDDM: a shrinking distance between errors. M. Baena-Garcia and others, Early drift detection method, IWKDDS 2006. */
struct cw_eddm_conf {
	uint32_t warm;                /* errors before it may fire: 30 */
	double warning, drift;        /* of the greatest distance so far: 0.95, 0.9 */
};
struct cw_eddm { double mean, m2, max; uint32_t n, errors, last; };
enum cw_drift cw_eddm_add(struct cw_eddm *s, const struct cw_eddm_conf *conf, bool error);

/* HDDM: changes of a mean in [0, 1] by Hoeffding's (A) and McDiarmid's (W) bounds. I. Frias-Blanco and others, Online
 * and non-parametric drift detection methods based on Hoeffding's bounds, IEEE TKDE 27 (2015). */
struct cw_hddm_conf {
	double drift, warning;        /* probability of a false alarm: 0.001, 0.005 */
	double lambda;                /* W: weight of the newest number: 0.05 */
	bool two_sided;               /* falls are found too */
};
struct cw_hddm_a { uint64_t n, n_min, n_max; double sum, sum_min, sum_max; };
enum cw_drift cw_hddm_a_add(struct cw_hddm_a *s, const struct cw_hddm_conf *conf, double x);

struct cw_hddm_mean { double mean, bound; bool any; };
struct cw_hddm_w {
	struct cw_hddm_mean all, before_up, after_up, before_down, after_down;
	double cut_up, cut_down;
	bool any;
};
enum cw_drift cw_hddm_w_add(struct cw_hddm_w *s, const struct cw_hddm_conf *conf, double x);

#endif
