/* cursor_position.h - how far each source has been read. Written by the pipeline, in the transaction of the rows. */
#ifndef CW_STORE_CURSOR_POSITION_H
#define CW_STORE_CURSOR_POSITION_H

#include <stdint.h>

#include "pg/conn.h"

struct cw_pool;

/* Answers one row with the position as JSON text, or none. */
uint64_t cw_cursor_position(struct cw_pool *pool, const char *name, cw_query_fn *fn, void *arg);

#endif
