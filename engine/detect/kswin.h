/* kswin.h - a sliding window whose newest part is compared with its older part by the Kolmogorov-Smirnov test.
 *
 * C. Raab, M. Heusinger, F.-M. Schleif, Reactive soft prototype computing for concept drift streams, Neurocomputing 416
 * (2020). Two things differ from the paper: the older part is taken whole and not sampled, so that the same stream
 * gives the same result without a seed (and no power is thrown away); and the limit of the statistic is computed once,
 * from the exact distribution. Lives in the arena or in plain memory (`st` NULL). */
#ifndef CW_DETECT_KSWIN_H
#define CW_DETECT_KSWIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "detect/drift.h"

struct cw_state;

#define CW_KSWIN_WINDOW_MAX 2000

struct cw_kswin_conf {
	uint32_t window, recent;      /* numbers in the window, and how many of them are its newest part; recent < window */
	bool keep;                    /* after a finding the newest part stays as the past of what follows; else it starts
	                               * anew */
	double limit;                 /* of the statistic; from cw_kswin_limit */
};
/* The smallest distance between two samples of those sizes that chance exceeds with probability alpha at most; at least
 * 0.1, below which differences do not matter. */
double cw_kswin_limit(uint32_t window, uint32_t recent, double alpha);

struct cw_kswin {
	uint32_t n, head;             /* numbers held; place of the next */
	double statistic;             /* of the last test; 0 before there was one */
	/* double ring[window]; uint16_t order[window]: places of the ring in rising order of their numbers */
};
size_t cw_kswin_size(uint32_t window);
enum cw_drift cw_kswin_add(struct cw_state *st, struct cw_kswin *s, const struct cw_kswin_conf *conf, double x);
/* Copies the older and the newest part, in order of arrival. Returns false before the window is full. */
bool cw_kswin_parts(const struct cw_kswin *s, const struct cw_kswin_conf *conf, double *older, double *newest);

#endif
