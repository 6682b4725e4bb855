/* ddsketch.c - quantiles within a relative error. */
#include "detect/ddsketch.h"

#include <math.h>
#include <string.h>

#include "detect/keyed.h"
#include "detect/num.h"

size_t cw_ddsketch_size(uint32_t bins)
{
	return sizeof(struct cw_ddsketch) + (size_t)bins * sizeof(uint32_t);
}

void cw_ddsketch_init(struct cw_state *st, struct cw_ddsketch *s, uint32_t bins, double error)
{
	cw_detect_touch(st, s, sizeof(*s));
	s->error = error;
	/* from its middle to either end a bin may span 1 + error in value at most, wherever the cubic is steepest */
	s->scale = CW_LOG2_CUBIC_STEP / (2 * cw_ln(1 + error));
	s->bins = bins;
	s->low = 0;
	s->high = -1;
}

/* Bin numbers may be negative: `>> 1` halves them and rounds down, on every compiler this builds with. */
static int32_t bin_of(const struct cw_ddsketch *s, double x)
{
	double y = cw_log2_cubic(x) * s->scale;
	int64_t i = (int64_t)y - (y < (double)(int64_t)y);

	return (int32_t)(i >> s->level);
}

/* Merges bins two by two. */
static void collapse(struct cw_ddsketch *s)
{
	int32_t first = s->low >> 1, high = s->high >> 1;
	uint32_t n = (uint32_t)(s->high - s->low + 1), at = 0;
	const uint32_t *from = s->n + (s->low - s->first);

	/* target index <= source index, so going up is safe in place once the lowest bin stands at the start */
	memmove(s->n, from, n * sizeof(uint32_t));
	for (int32_t i = s->low; i <= s->high; at++) {
		uint32_t sum = s->n[i++ - s->low];

		if ((i >> 1) == first + (int32_t)at && i <= s->high)
			sum += s->n[i++ - s->low];
		s->n[at] = sum;
	}
	memset(s->n + at, 0, (s->bins - at) * sizeof(uint32_t));
	s->first = s->low = first;
	s->high = high;
	s->level++;
}

/* Makes room for bin `i`, moving or merging what is there; returns the bin at the level that came out. */
static int32_t make_room(struct cw_state *st, struct cw_ddsketch *s, int32_t i)
{
	int32_t low, high, first;

	cw_detect_touch(st, s, cw_ddsketch_size(s->bins));
	if (s->low > s->high) {
		s->first = i - (int32_t)(s->bins / 2);
		s->low = s->high = i;
		return i;
	}
	for (;;) {
		low = i < s->low ? i : s->low;
		high = i > s->high ? i : s->high;
		if (high - low < (int32_t)s->bins)
			break;
		collapse(s);
		i >>= 1;
	}
	first = low - ((int32_t)s->bins - (high - low + 1)) / 2;
	memmove(s->n + (s->low - first), s->n + (s->low - s->first),
	        (size_t)(s->high - s->low + 1) * sizeof(uint32_t));
	memset(s->n, 0, (size_t)(s->low - first) * sizeof(uint32_t));
	memset(s->n + (s->high - first + 1), 0, (s->bins - (size_t)(s->high - first + 1)) * sizeof(uint32_t));
	s->first = first;
	s->low = low;
	s->high = high;
	return i;
}

void cw_ddsketch_add(struct cw_state *st, struct cw_ddsketch *s, double x)
{
	int32_t i;

	if (!isfinite(x))
		return;
	cw_detect_touch(st, s, sizeof(*s));
	s->count++;
	if (x < 2.2250738585072014e-308) {
		s->zeros++;
		return;
	}
	i = bin_of(s, x);
	if (i < s->first || i >= s->first + (int32_t)s->bins || s->low > s->high)
		i = make_room(st, s, i);
	if (i < s->low)
		s->low = i;
	if (i > s->high)
		s->high = i;
	cw_detect_touch(st, &s->n[i - s->first], sizeof(uint32_t));
	s->n[i - s->first]++;
}

/* The value in the middle of a bin. */
static double value_of(const struct cw_ddsketch *s, int32_t bin)
{
	return cw_log2_cubic_inverse(((double)bin + 0.5) * (double)(1ull << s->level) / s->scale);
}

double cw_ddsketch_quantile(const struct cw_ddsketch *s, double q)
{
	uint64_t rank, seen = s->zeros;

	if (s->count == 0)
		return NAN;
	q = q > 0 ? q < 1 ? q : 1 : 0;
	rank = (uint64_t)(q * (double)(s->count - 1));   /* 0-based, rounded down */
	if (rank < seen)
		return 0;
	for (int32_t i = s->low; i <= s->high; i++) {
		seen += s->n[i - s->first];
		if (rank < seen)
			return value_of(s, i);
	}
	return s->low <= s->high ? value_of(s, s->high) : 0;
}

double cw_ddsketch_rank(const struct cw_ddsketch *s, double x)
{
	uint64_t below = 0;
	double here = 0;
	int32_t bin;

	if (s->count == 0 || isnan(x))
		return NAN;
	if (x < 2.2250738585072014e-308)
		return x < 0 ? 0 : (double)s->zeros / 2 / (double)s->count;
	if (isinf(x))
		return 1;
	bin = bin_of(s, x);
	below = s->zeros;
	for (int32_t i = s->low; i <= s->high && i <= bin; i++) {
		if (i == bin)
			here = (double)s->n[i - s->first];
		else
			below += s->n[i - s->first];
	}
	return ((double)below + here / 2) / (double)s->count;
}

static double log_from_1(double x)
{
	return x > 1 ? cw_ln(x) : 0;
}

static double distance(double x, double center, int log)
{
	return log != 0 ? fabs(log_from_1(x) - log_from_1(center)) : fabs(x - center);
}

/* A finger on a bin and how far the bin is from the center; INFINITY: beyond the last one. The zeros are one more place
 * below the lowest bin. */
struct finger { int32_t bin; double distance; };

/* Moves a finger on to the next place that holds something. */
static void settle(const struct cw_ddsketch *s, struct finger *f, int32_t step, double center, int log)
{
	while (f->bin >= s->low && f->bin <= s->high && s->n[f->bin - s->first] == 0)
		f->bin += step;
	if (f->bin >= s->low && f->bin <= s->high)
		f->distance = distance(value_of(s, f->bin), center, log);
	else if (f->bin == s->low - 1 && s->zeros > 0)
		f->distance = distance(0, center, log);
	else
		f->distance = INFINITY;
}

/* Two fingers start at the center and walk outwards, always the nearer one, until half of the numbers are passed. */
double cw_ddsketch_mad(const struct cw_ddsketch *s, double center, int log)
{
	uint64_t want = s->count / 2 + 1, seen = 0;
	struct finger up = { 0, 0 }, down = { 0, 0 };
	double d = 0;

	if (s->count == 0)
		return NAN;
	up.bin = center > 0 && s->low <= s->high ? bin_of(s, center) : s->low;
	if (up.bin < s->low)
		up.bin = s->low;
	if (up.bin > s->high + 1)
		up.bin = s->high + 1;
	down.bin = up.bin - 1;
	settle(s, &up, 1, center, log);
	settle(s, &down, -1, center, log);
	while (seen < want && !(isinf(up.distance) && isinf(down.distance))) {
		struct finger *f = up.distance <= down.distance ? &up : &down;
		int32_t step = f == &up ? 1 : -1;

		seen += f->bin >= s->low ? s->n[f->bin - s->first] : s->zeros;
		d = f->distance;
		f->bin += step;
		settle(s, f, step, center, log);
	}
	return d;
}

double cw_ddsketch_mean_deviation(const struct cw_ddsketch *s, double center, int log)
{
	double sum = (double)s->zeros * distance(0, center, log);

	if (s->count == 0)
		return NAN;
	for (int32_t i = s->low; i <= s->high; i++)
		if (s->n[i - s->first] != 0)
			sum += s->n[i - s->first] * distance(value_of(s, i), center, log);
	return sum / (double)s->count;
}

double cw_ddsketch_error(const struct cw_ddsketch *s)
{
	return cw_exp((double)(1ull << s->level) * cw_ln(1 + s->error)) - 1;
}

void cw_ddsketch_halve(struct cw_state *st, struct cw_ddsketch *s)
{
	int32_t low = 0, high = -1;

	cw_detect_touch(st, s, cw_ddsketch_size(s->bins));
	s->zeros /= 2;
	s->count = s->zeros;
	for (int32_t i = s->low; i <= s->high; i++) {
		uint32_t *n = &s->n[i - s->first];

		*n /= 2;
		if (*n == 0)
			continue;
		s->count += *n;
		if (low > high)
			low = i;
		high = i;
	}
	s->low = low;
	s->high = high;
}

void cw_ddsketch_merge(struct cw_state *st, struct cw_ddsketch *s, const struct cw_ddsketch *from)
{
	cw_detect_touch(st, s, cw_ddsketch_size(s->bins));
	s->count += from->count;
	s->zeros += from->zeros;
	if (from->low > from->high)
		return;
	while (s->level < from->level && s->low <= s->high)
		collapse(s);
	if (s->level < from->level)
		s->level = from->level;
	/* both ends first, so that the bins hold still while the counts go in */
	for (int end = 0; end < 2; end++) {
		int32_t i = (end == 0 ? from->low : from->high) >> (s->level - from->level);

		make_room(st, s, i);
	}
	for (int32_t i = from->low; i <= from->high; i++)
		s->n[(i >> (s->level - from->level)) - s->first] += from->n[i - from->first];
}
