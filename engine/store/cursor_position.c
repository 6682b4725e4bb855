#include "store/cursor_position.h"

#include "base/arena.h"
#include "pg/pool.h"
#include "pg/query.h"

static const struct cw_stmt get_stmt = { "cursor_position", "SELECT position::text FROM cursors WHERE name = $1" };

uint64_t cw_cursor_position(struct cw_pool *pool, const char *name, cw_query_fn *fn, void *arg)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_params params;
	uint64_t query;

	cw_params_init(&params, arena);
	cw_params_cstring(&params, name);
	query = cw_pool_read(pool, &get_stmt, &params, fn, arg);
	cw_arena_free(&arena);
	return query;
}
