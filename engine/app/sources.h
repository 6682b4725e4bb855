/* sources.h - what the engine reads from by itself: chains and buses of the settings. Private to app/. */
#ifndef CW_APP_SOURCES_H
#define CW_APP_SOURCES_H

struct cw_buf;
struct cw_config;
struct cw_engine;
struct cw_err;
struct cw_sources;

struct cw_sources *cw_sources_new(struct cw_engine *engine);
/* Starts what is new, stops what is gone, begins anew what has changed; the others do not notice. */
int cw_sources_apply(struct cw_sources *sources, const struct cw_config *config, struct cw_err *err);
/* Before the pipeline. */
void cw_sources_free(struct cw_sources **sources);
/* {"sources":[...]}, see source/follow.h and source/bus.h */
void cw_sources_status(const struct cw_sources *sources, struct cw_buf *out);

#endif
