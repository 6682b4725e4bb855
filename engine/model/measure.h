/* measure.h - how good a score is, against labels. Pure. */
#ifndef CW_MODEL_MEASURE_H
#define CW_MODEL_MEASURE_H

#include <stddef.h>
#include <stdint.h>

/* Area under the ROC curve: the probability that a row labelled 1 scores higher than one labelled 0, ties by half. NaN
 * where one of the two is missing. Labels are 0 or 1; scores are not NaN. */
double cw_auc_roc(const double *score, const uint8_t *label, size_t n);
/* Average precision (area under the precision-recall curve by steps); rows with equal scores enter together. */
double cw_auc_pr(const double *score, const uint8_t *label, size_t n);

#endif
