/* kswin.c - Kolmogorov-Smirnov windowing: the order of the numbers is kept, so that a test is one walk. */
#include "detect/kswin.h"

#include <math.h>
#include <string.h>

#include "detect/keyed.h"
#include "detect/twosample.h"

#define LEAST_DISTANCE 0.1

size_t cw_kswin_size(uint32_t window)
{
	return sizeof(struct cw_kswin) + window * (sizeof(double) + sizeof(uint16_t));
}

double cw_kswin_limit(uint32_t window, uint32_t recent, double alpha)
{
	size_t n = window - recent, m = recent, lo = 0, hi = n * m;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (cw_ks_p_exact(n, m, (double)mid / (double)(n * m)) <= alpha)
			hi = mid;
		else
			lo = mid + 1;
	}
	return fmax((double)lo / (double)(n * m), LEAST_DISTANCE);
}

static double *ring_of(struct cw_kswin *s)
{
	return (double *)(void *)(s + 1);
}

static uint16_t *order_of(struct cw_kswin *s, const struct cw_kswin_conf *conf)
{
	return (uint16_t *)(void *)(ring_of(s) + conf->window);
}

/* The first place in the order whose number is not below x. */
static uint32_t lower_bound(const double *ring, const uint16_t *order, uint32_t n, double x)
{
	uint32_t lo = 0, hi = n;

	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;

		if (ring[order[mid]] < x)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void take_out(const double *ring, uint16_t *order, uint32_t n, uint16_t place)
{
	uint32_t at = lower_bound(ring, order, n, ring[place]);

	while (order[at] != place)
		at++;
	memmove(order + at, order + at + 1, (n - at - 1) * sizeof(*order));
}

static void put_in(const double *ring, uint16_t *order, uint32_t n, uint16_t place)
{
	uint32_t at = lower_bound(ring, order, n, ring[place]);

	memmove(order + at + 1, order + at, (n - at) * sizeof(*order));
	order[at] = place;
}

/* Largest distance between the two parts' distribution functions. The window is full: the oldest number is at head. */
static double distance(const struct cw_kswin *s, const struct cw_kswin_conf *conf, const double *ring,
                       const uint16_t *order)
{
	uint32_t n = conf->window, older = n - conf->recent;
	double worst = 0, step_old = 1.0 / older, step_new = 1.0 / conf->recent, d = 0;

	for (uint32_t i = 0; i < n; i++) {
		uint32_t age = order[i] >= s->head ? order[i] - s->head : order[i] + n - s->head;

		d += age < older ? step_old : -step_new;
		/* between equal numbers the functions have no value of their own */
		if (fabs(d) > worst && (i + 1 == n || ring[order[i + 1]] != ring[order[i]]))
			worst = fabs(d);
	}
	return worst;
}

/* Keeps the newest part only. */
static void keep_recent(struct cw_kswin *s, const struct cw_kswin_conf *conf)
{
	double *ring = ring_of(s), newest[CW_KSWIN_WINDOW_MAX];
	uint16_t *order = order_of(s, conf);

	for (uint32_t i = 0; i < conf->recent; i++)
		newest[i] = ring[(s->head + conf->window - conf->recent + i) % conf->window];
	for (uint32_t i = 0; i < conf->recent; i++) {
		ring[i] = newest[i];
		put_in(ring, order, i, (uint16_t)i);
	}
	s->n = s->head = conf->recent;
}

enum cw_drift cw_kswin_add(struct cw_state *st, struct cw_kswin *s, const struct cw_kswin_conf *conf, double x)
{
	double *ring = ring_of(s);
	uint16_t *order = order_of(s, conf);

	cw_detect_touch(st, s, sizeof(*s));
	cw_detect_touch(st, &ring[s->head], sizeof(*ring));
	cw_detect_touch(st, order, conf->window * sizeof(*order));
	if (s->n == conf->window)
		take_out(ring, order, s->n--, (uint16_t)s->head);
	ring[s->head] = x;
	put_in(ring, order, s->n++, (uint16_t)s->head);
	s->head = s->head + 1 < conf->window ? s->head + 1 : 0;
	if (s->n < conf->window)
		return CW_DRIFT_NONE;
	s->statistic = distance(s, conf, ring, order);
	/* sums of fractions: half a step of the lattice forgives their rounding */
	if (s->statistic < conf->limit - 0.5 / ((double)conf->recent * (conf->window - conf->recent)))
		return CW_DRIFT_NONE;
	cw_detect_touch(st, s, cw_kswin_size(conf->window));
	if (conf->keep)
		keep_recent(s, conf);
	else
		s->n = s->head = 0;
	return CW_DRIFT_FOUND;
}

bool cw_kswin_parts(const struct cw_kswin *s, const struct cw_kswin_conf *conf, double *older, double *newest)
{
	const double *ring = (const double *)(const void *)(s + 1);
	uint32_t n_older = conf->window - conf->recent;

	if (s->n < conf->window)
		return false;
	for (uint32_t i = 0; i < conf->window; i++) {
		double x = ring[(s->head + i) % conf->window];

		if (i < n_older)
			older[i] = x;
		else
			newest[i - n_older] = x;
	}
	return true;
}
