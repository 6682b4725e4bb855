/* labels.h - address lists of the database in the running engine.
 *
 * One small query a second tells whether a list has changed, whoever changed it and on which engine; then the lists are read
 * again and swapped into the evaluator at a batch boundary (cw_pipeline_load_lists): no restart, no transaction lost. Alerts
 * that were opened again because a label was taken away are told to subscribers of the event stream. */
#ifndef CW_APP_LABELS_H
#define CW_APP_LABELS_H

#include <stdint.h>

struct cw_arena;
struct cw_bundle_file;
struct cw_engine;
struct cw_err;
struct cw_label_watch;
struct cw_result;

/* The answer of cw_labels_documents as files of a bundle, in `arena`. *state gets the number of its state; 0: no lists. */
struct cw_bundle_file *cw_labels_files(const struct cw_result *res, int *n, int64_t *state, struct cw_arena *arena);

/* `state`: of the lists that the pipeline was given. */
struct cw_label_watch *cw_label_watch_new(struct cw_engine *e, int64_t state);
void cw_label_watch_free(struct cw_label_watch **watch);

/* `fn` once, when everything that is committed by now is live, or could not be made so. Never before this call has
 * returned. */
typedef void cw_labels_live_fn(void *arg, const struct cw_err *err);
void cw_label_watch_refresh(struct cw_label_watch *watch, cw_labels_live_fn *fn, void *arg);

#endif
