/* all.h - one line for each primitive: what primitive.c lists. To add one, write its file and name it here. */
#ifndef CW_DETECT_ALL_H
#define CW_DETECT_ALL_H

#include "detect/primitive.h"

extern const struct cw_primitive
	cw_window_count, cw_window_sum, cw_window_rate, cw_window_max, cw_window_min,      /* window.c */
	cw_window_distinct, cw_window_last,                                                /* window_distinct.c, _last.c */
	cw_stat_robust,                                                                    /* robust.c */
	cw_stat_welford, cw_stat_ewma,                                                     /* moments.c */
	cw_key_first_seen,                                                                 /* first_seen.c */
	cw_key_funder, cw_key_lookalike,                                                   /* funder.c, lookalike.c */
	cw_drift_page_hinkley, cw_drift_cusum, cw_drift_ddm, cw_drift_eddm, cw_drift_hddm_a, cw_drift_hddm_w,
	cw_drift_adwin, cw_drift_kswin,                                                    /* drift_prims.c */
	cw_sketch_distinct, cw_sketch_count, cw_sketch_top, cw_sketch_seen, cw_sketch_sample,   /* sketch_prims.c */
	cw_window_session, cw_window_tumbling,                                             /* window_session.c */
	cw_stat_quantile,                                                                  /* quantile.c */
	cw_stat_histogram, cw_stat_benford, cw_stat_entropy,                               /* shares.c */
	cw_stat_season, cw_stat_activity,                                                  /* season.c */
	cw_sequence_steps, cw_sequence_repeats, cw_sequence_nonce, cw_sequence_sandwich,   /* sequence.c */
	cw_graph_transfers,                                                                /* graph.c */
	cw_series_prim, cw_outlier_forest,                                                 /* row_prims.c */
	cw_list_contains;                                                                  /* list_contains.c */

#define CW_ALL_PRIMITIVES \
	&cw_window_count, &cw_window_sum, &cw_window_rate, &cw_window_max, &cw_window_min, \
	&cw_window_distinct, &cw_window_last, &cw_window_session, &cw_window_tumbling, \
	&cw_stat_robust, &cw_stat_welford, &cw_stat_ewma, &cw_stat_quantile, \
	&cw_stat_histogram, &cw_stat_benford, &cw_stat_entropy, &cw_stat_season, &cw_stat_activity, \
	&cw_key_first_seen, &cw_key_funder, &cw_key_lookalike, \
	&cw_sequence_steps, &cw_sequence_repeats, &cw_sequence_nonce, &cw_sequence_sandwich, \
	&cw_drift_page_hinkley, &cw_drift_cusum, &cw_drift_ddm, &cw_drift_eddm, &cw_drift_hddm_a, &cw_drift_hddm_w, \
	&cw_drift_adwin, &cw_drift_kswin, \
	&cw_sketch_distinct, &cw_sketch_count, &cw_sketch_top, &cw_sketch_seen, &cw_sketch_sample, \
	&cw_graph_transfers, \
	&cw_series_prim, &cw_outlier_forest, \
	&cw_list_contains,

#endif
