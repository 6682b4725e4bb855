/* knn.h - distance to the near neighbours in small random samples of the table.
 *
 * Several samples of some dozen rows, the k-th nearest in each, the mean over the samples. Small samples beat the whole
 * table where anomalies come in clusters: few of them get into a sample, so they have no neighbours of their kind (M.
 * Sugiyama, K. Borgwardt, Rapid distance-based outlier detection via sampling, NeurIPS 2013; C. Aggarwal, S. Sathe,
 * Theoretical foundations and algorithms for outlier ensembles, SIGKDD Explorations 17, 2015). Columns are put on a robust
 * scale first (table.h). Read-only once fitted. */
#ifndef CW_DETECT_KNN_H
#define CW_DETECT_KNN_H

#include <stdint.h>

#include "detect/table.h"

struct cw_err;
struct cw_knn;

struct cw_knn_conf {
	uint32_t samples;              /* 1 to 1000; 0: 8 */
	uint32_t rows;                 /* of each sample, 2 to 1024; 0: 128 */
	uint32_t k;                    /* 1 to 64, below rows; 0: 5 */
	enum cw_scale_kind scale;
	uint64_t seed;
};

struct cw_knn *cw_knn_fit(const struct cw_table *t, const struct cw_knn_conf *conf, struct cw_err *err);
void cw_knn_free(struct cw_knn **k);
/* Mean distance, >= 0. One row of a sample that is equal to this one is passed over, so that a training row does not
 * find itself. NaN for a row that is not finite. */
double cw_knn_score(const struct cw_knn *k, const double *row);

#endif
