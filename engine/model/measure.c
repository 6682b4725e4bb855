#include "model/measure.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"

struct pair { double score; uint8_t label; };

static int falling(const void *a, const void *b)
{
	const struct pair *x = a, *y = b;

	return (x->score < y->score) - (x->score > y->score);
}

static struct pair *ranked(const double *score, const uint8_t *label, size_t n)
{
	struct pair *p = cw_alloc(n * sizeof(*p));

	for (size_t i = 0; i < n; i++)
		p[i] = (struct pair){ score[i], label[i] };
	qsort(p, n, sizeof(*p), falling);
	return p;
}

double cw_auc_roc(const double *score, const uint8_t *label, size_t n)
{
	struct pair *p = ranked(score, label, n);
	uint64_t positives = 0, negatives = 0, twice = 0;   /* pairs ordered rightly, ties by half, times two: exact */

	for (size_t i = 0; i < n;) {
		uint64_t pos = 0, neg = 0;
		double at = p[i].score;

		for (; i < n && p[i].score == at; i++) {
			pos += p[i].label;
			neg += 1u - p[i].label;
		}
		twice += neg * (2 * positives + pos);
		positives += pos;
		negatives += neg;
	}
	cw_free(p);
	return positives > 0 && negatives > 0 ? (double)twice / 2 / (double)positives / (double)negatives : NAN;
}

double cw_auc_pr(const double *score, const uint8_t *label, size_t n)
{
	struct pair *p = ranked(score, label, n);
	double positives = 0, sum = 0;

	for (size_t i = 0; i < n;) {
		double at = p[i].score, pos = 0;

		for (; i < n && p[i].score == at; i++)
			pos += p[i].label;
		positives += pos;
		sum += pos * positives / (double)i;
	}
	cw_free(p);
	return positives > 0 ? sum / positives : NAN;
}
