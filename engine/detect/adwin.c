/* adwin.c - the adaptive window. */
#include "detect/adwin.h"

#include <math.h>
#include <string.h>

#include "detect/keyed.h"
#include "detect/num.h"

#define GRACE    10   /* no look before the window holds more numbers than this */
#define SIDE_MIN 5    /* numbers on each side of a cut */

size_t cw_adwin_size(uint32_t rows)
{
	return sizeof(struct cw_adwin) + rows * sizeof(struct cw_adwin_row);
}

/* Sum of squared deviations that two groups have from their common mean beyond their own. */
static double between(double n1, double mean1, double n2, double mean2)
{
	return n1 * n2 * (mean1 - mean2) * (mean1 - mean2) / (n1 + n2);
}

static void push(struct cw_adwin_row *row, double sum, double m2)
{
	row->sum[row->n] = sum;
	row->m2[row->n] = m2;
	row->n++;
}

static void shift(struct cw_adwin_row *row, uint64_t by)
{
	memmove(row->sum, row->sum + by, (row->n - by) * sizeof(row->sum[0]));
	memmove(row->m2, row->m2 + by, (row->n - by) * sizeof(row->m2[0]));
	row->n -= by;
}

/* The oldest bucket leaves. */
static void drop_oldest(struct cw_state *st, struct cw_adwin *s)
{
	struct cw_adwin_row *row = &s->row[s->rows - 1];
	double n = (double)(1ull << (s->rows - 1));

	cw_detect_touch(st, row, sizeof(*row));
	s->width -= 1ull << (s->rows - 1);
	s->sum -= row->sum[0];
	s->m2 -= row->m2[0];
	if (s->width > 0)
		s->m2 -= between(n, row->sum[0] / n, (double)s->width, s->sum / (double)s->width);
	shift(row, 1);
	while (s->rows > 0 && s->row[s->rows - 1].n == 0)
		s->rows--;
}

static void clear(struct cw_state *st, struct cw_adwin *s)
{
	size_t size = cw_adwin_size(s->rows);

	cw_detect_touch(st, s, size);
	memset(s, 0, size);
}

/* Joins the two oldest buckets of a row that is too full into one of the next. */
static void compress(struct cw_state *st, struct cw_adwin *s, const struct cw_adwin_conf *conf)
{
	for (uint32_t i = 0; i < s->rows && s->row[i].n == CW_ADWIN_BUCKETS + 1; i++) {
		struct cw_adwin_row *row = &s->row[i];
		double n = (double)(1ull << i);

		if (i + 1 == conf->rows) {
			drop_oldest(st, s);
			return;
		}
		cw_detect_touch(st, row, sizeof(*row));
		cw_detect_touch(st, row + 1, sizeof(*row));
		if (i + 1 == s->rows)
			s->rows++;
		push(row + 1, row->sum[0] + row->sum[1],
		     row->m2[0] + row->m2[1] + between(n, row->sum[0] / n, n, row->sum[1] / n));
		shift(row, 2);
	}
}

static bool differ(const struct cw_adwin *s, const struct cw_adwin_conf *conf, double n0, double n1, double delta_mean)
{
	double n = (double)s->width;
	double confidence = cw_ln(2 * cw_ln(n) / conf->delta);
	double m = 1 / (n0 - SIDE_MIN + 1) + 1 / (n1 - SIDE_MIN + 1);

	return fabs(delta_mean) > sqrt(2 * m * (s->m2 / n) * confidence) + 2.0 / 3 * confidence * m;
}

/* Whether some cut tells an older from a newer part. */
static bool has_cut(const struct cw_adwin *s, const struct cw_adwin_conf *conf)
{
	double n0 = 0, sum0 = 0;

	for (uint32_t i = s->rows; i-- > 0;) {
		const struct cw_adwin_row *row = &s->row[i];
		uint64_t buckets = conf->leave_newest && row->n > 0 ? row->n - 1 : row->n;

		for (uint64_t k = 0; k < buckets; k++) {
			double n1;

			n0 += (double)(1ull << i);
			sum0 += row->sum[k];
			n1 = (double)s->width - n0;
			if (n0 >= SIDE_MIN && n1 >= SIDE_MIN && differ(s, conf, n0, n1, sum0 / n0 - (s->sum - sum0) / n1))
				return true;
		}
	}
	return false;
}

enum cw_drift cw_adwin_add(struct cw_state *st, struct cw_adwin *s, const struct cw_adwin_conf *conf, double x)
{
	enum cw_drift found = CW_DRIFT_NONE;

	cw_detect_touch(st, s, sizeof(*s) + sizeof(s->row[0]));
	if (s->rows == 0)
		s->rows = 1;
	push(&s->row[0], x, 0);
	s->width++;
	if (s->width > 1)
		s->m2 += between((double)s->width - 1, s->sum / ((double)s->width - 1), 1, x);
	s->sum += x;
	compress(st, s, conf);
	s->tick++;
	if (s->tick % conf->clock != 0 || s->width <= GRACE)
		return found;
	while (s->width > GRACE / 2 && has_cut(s, conf)) {
		found = CW_DRIFT_FOUND;
		drop_oldest(st, s);
	}
	if (found == CW_DRIFT_FOUND && conf->restart)
		clear(st, s);
	return found;
}
