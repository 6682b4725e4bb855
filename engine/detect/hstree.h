/* hstree.h - isolation forest for a stream: rows are scored against the recent past and then join it.
 *
 * Trees of random half-spaces as in S. C. Tan, K. M. Ting, T. F. Liu (Fast anomaly detection for streaming data, IJCAI
 * 2011), with two differences. Cuts are drawn between the values at hand, as an isolation forest does, so no range has to
 * be known beforehand. And instead of counting each row in each tree, the newest rows are kept, and every few rows one
 * tree, in turn, is grown anew from a random part of them: all trees together follow the last rows, a row costs the same
 * whenever it comes but for that, and the undo log has one row and a share of a tree to save, not a counter in each tree.
 *
 * One block of memory, in the arena or plain (`st` NULL); deterministic: the same rows and seed give the same scores. */
#ifndef CW_DETECT_HSTREE_H
#define CW_DETECT_HSTREE_H

#include <stddef.h>
#include <stdint.h>

struct cw_state;

#define CW_HSTREE_COLS_MAX 16

struct cw_hstree_conf {
	uint32_t cols;                /* 1 to CW_HSTREE_COLS_MAX */
	uint32_t trees;               /* 8 to 200: 50 */
	uint32_t window;              /* newest rows kept, 256 to 65536: 1024. Each tree is grown from 256 of them */
	uint64_t seed;
};

struct cw_hstree {
	uint64_t rows;                /* seen so far */
	uint32_t grown, next;         /* trees that exist; the one to be grown next */
	/* then the window's rows, the cuts and the leaves of the trees */
};

/* Bytes of a block; zeroed it is empty. */
size_t cw_hstree_size(const struct cw_hstree_conf *conf);
/* Score of a row against the past, then takes it: 0 to 1, about 0.5 ordinary, towards 1 anomalous, as of an isolation
 * forest. NaN in the first 256 rows, and, nothing taken, for a row with a cell that is not finite. */
double cw_hstree_add(struct cw_state *st, struct cw_hstree *s, const struct cw_hstree_conf *conf, const double *row);
/* The same without taking it. */
double cw_hstree_score(const struct cw_hstree *s, const struct cw_hstree_conf *conf, const double *row);

#endif
