/* drift.c - small change detectors. */
#include "detect/drift.h"

#include <math.h>

#include "detect/num.h"

enum cw_drift cw_page_hinkley_add(struct cw_page_hinkley *s, const struct cw_page_hinkley_conf *conf, double x)
{
	s->n++;
	s->mean += (x - s->mean) / s->n;
	s->sum = conf->alpha * s->sum + (x - s->mean - conf->delta);
	if (s->sum < 0)
		s->sum = 0;
	if (s->n + 1 < conf->warm || s->sum <= conf->threshold)
		return CW_DRIFT_NONE;
	*s = (struct cw_page_hinkley){ 0 };
	return CW_DRIFT_FOUND;
}

enum cw_drift cw_cusum_add(struct cw_cusum *s, const struct cw_cusum_conf *conf, double x)
{
	double delta = x - s->mean;

	if (s->n >= 2) {
		/* against the run before this number; the factor is the variance of that difference */
		double sd = sqrt(s->m2 / (s->n - 1)), z = delta == 0 ? 0 : delta / sd * sqrt(s->n / (s->n + 1.0));

		z = z > 1e6 ? 1e6 : z < -1e6 ? -1e6 : z;
		s->up = fmax(0, s->up + z - conf->slack);
		s->down = fmax(0, s->down - z - conf->slack);
	}
	s->n++;
	s->mean += delta / s->n;
	s->m2 += delta * (x - s->mean);
	if (s->n <= conf->warm) {
		s->up = s->down = 0;
		return CW_DRIFT_NONE;
	}
	if (s->up <= conf->threshold && s->down <= conf->threshold)
		return CW_DRIFT_NONE;
	*s = (struct cw_cusum){ 0 };
	return CW_DRIFT_FOUND;
}

enum cw_drift cw_ddm_add(struct cw_ddm *s, const struct cw_ddm_conf *conf, bool error)
{
	double sd, drift, warning, now;

	s->n++;
	s->p += (error - s->p) / s->n;
	sd = sqrt(s->p * (1 - s->p) / s->n);
	now = s->p + sd;
	if (s->n <= conf->warm)
		return CW_DRIFT_NONE;
	if (!s->has_min || now <= s->p_min + s->s_min) {
		s->p_min = s->p;
		s->s_min = sd;
		s->has_min = true;
	}
	drift = s->p_min + conf->drift * s->s_min;
	warning = s->p_min + conf->warning * s->s_min;
	if (now > drift) {
		*s = (struct cw_ddm){ 0 };
		return CW_DRIFT_FOUND;
	}
	return now > warning ? CW_DRIFT_WARNING : CW_DRIFT_NONE;
}

enum cw_drift cw_eddm_add(struct cw_eddm *s, const struct cw_eddm_conf *conf, bool error)
{
	double distance, delta, level, reach;

	s->n++;
	if (!error)
		return CW_DRIFT_NONE;
	s->errors++;
	distance = s->n - s->last;
	s->last = s->n;
	delta = distance - s->mean;
	s->mean += delta / s->errors;
	s->m2 += delta * (distance - s->mean);
	if (s->n + 1 < conf->warm)
		return CW_DRIFT_NONE;
	reach = s->mean + 2 * sqrt(s->m2 / s->errors);
	if (reach > s->max) {
		s->max = reach;
		return CW_DRIFT_NONE;
	}
	level = reach / s->max;
	if (s->errors <= conf->warm || level >= conf->warning)
		return CW_DRIFT_NONE;
	if (level >= conf->drift)
		return CW_DRIFT_WARNING;
	*s = (struct cw_eddm){ 0 };
	return CW_DRIFT_FOUND;
}

static double hoeffding(uint64_t n, double confidence)
{
	return sqrt(cw_ln(1 / confidence) / (2 * (double)n));
}

/* Whether the mean of all n numbers is further from that of the first n0 than chance allows. */
static bool mean_moved(double mean0, uint64_t n0, double mean, uint64_t n, double confidence, double sign)
{
	double m = (double)(n - n0) / (double)n0 / (double)n;

	return n != n0 && (mean - mean0) * sign >= sqrt(m / 2 * cw_ln(2 / confidence));
}

enum cw_drift cw_hddm_a_add(struct cw_hddm_a *s, const struct cw_hddm_conf *conf, double x)
{
	double bound, mean, mean_min, mean_max;

	s->n++;
	s->sum += x;
	mean = s->sum / (double)s->n;
	bound = hoeffding(s->n, conf->drift);
	if (s->n_min == 0 || s->sum_min / (double)s->n_min + hoeffding(s->n_min, conf->drift) >= mean + bound) {
		s->n_min = s->n;
		s->sum_min = s->sum;
	}
	if (s->n_max == 0 || s->sum_max / (double)s->n_max - hoeffding(s->n_max, conf->drift) <= mean - bound) {
		s->n_max = s->n;
		s->sum_max = s->sum;
	}
	mean_min = s->sum_min / (double)s->n_min;
	mean_max = s->sum_max / (double)s->n_max;
	if (mean_moved(mean_min, s->n_min, mean, s->n, conf->drift, 1) ||
	    (conf->two_sided && mean_moved(mean_max, s->n_max, mean, s->n, conf->drift, -1))) {
		*s = (struct cw_hddm_a){ 0 };
		return CW_DRIFT_FOUND;
	}
	if (mean_moved(mean_min, s->n_min, mean, s->n, conf->warning, 1) ||
	    (conf->two_sided && mean_moved(mean_max, s->n_max, mean, s->n, conf->warning, -1)))
		return CW_DRIFT_WARNING;
	return CW_DRIFT_NONE;
}

/* Weighted mean and the sum of the squared weights, by which McDiarmid's bound is. */
static void weigh(struct cw_hddm_mean *m, double lambda, double x)
{
	m->mean = m->any ? lambda * x + (1 - lambda) * m->mean : x;
	m->bound = lambda * lambda + (1 - lambda) * (1 - lambda) * (m->any ? m->bound : 1);
	m->any = true;
}

static bool differ(const struct cw_hddm_mean *low, const struct cw_hddm_mean *high, double confidence)
{
	return low->any && high->any &&
	       high->mean - low->mean > sqrt((low->bound + high->bound) * cw_ln(1 / confidence) / 2);
}

enum cw_drift cw_hddm_w_add(struct cw_hddm_w *s, const struct cw_hddm_conf *conf, double x)
{
	double bound;

	weigh(&s->all, conf->lambda, x);
	bound = sqrt(s->all.bound * cw_ln(1 / conf->drift) / 2);
	if (!s->any || s->all.mean + bound < s->cut_up) {
		s->cut_up = s->all.mean + bound;
		s->before_up = s->all;
		s->after_up = (struct cw_hddm_mean){ 0 };
	} else {
		weigh(&s->after_up, conf->lambda, x);
	}
	if (!s->any || s->all.mean - bound > s->cut_down) {
		s->cut_down = s->all.mean - bound;
		s->before_down = s->all;
		s->after_down = (struct cw_hddm_mean){ 0 };
	} else {
		weigh(&s->after_down, conf->lambda, x);
	}
	s->any = true;
	if (differ(&s->before_up, &s->after_up, conf->drift) ||
	    (conf->two_sided && differ(&s->after_down, &s->before_down, conf->drift))) {
		*s = (struct cw_hddm_w){ 0 };
		return CW_DRIFT_FOUND;
	}
	if (differ(&s->before_up, &s->after_up, conf->warning) ||
	    (conf->two_sided && differ(&s->after_down, &s->before_down, conf->warning)))
		return CW_DRIFT_WARNING;
	return CW_DRIFT_NONE;
}
