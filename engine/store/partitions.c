#include "store/partitions.h"

#include "base/arena.h"
#include "pg/pool.h"
#include "pg/query.h"

uint64_t cw_partitions_ahead(struct cw_pool *pool, int months, cw_query_fn *fn, void *arg)
{
	static const struct cw_stmt stmt = { "partitions_ahead", "SELECT partitions_ahead($1)" };
	struct cw_arena *arena = cw_arena_new();
	struct cw_params params;
	uint64_t query;

	cw_params_init(&params, arena);
	cw_params_i32(&params, months);
	query = cw_pool_query(pool, &stmt, &params, fn, arg);
	cw_arena_free(&arena);
	return query;
}
