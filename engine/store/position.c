#include "store/position.h"

#include "pg/pool.h"

static const struct cw_stmt position = {
	"position",
	"SELECT (SELECT system_identifier::text FROM pg_control_system()) || '/' || current_database(),"
	" greatest((SELECT max(id) FROM transactions), 0), coalesce((SELECT max(id) FROM anomalies), 0)",
};

uint64_t cw_position(struct cw_pool *pool, cw_query_fn *fn, void *arg)
{
	return cw_pool_read(pool, &position, NULL, fn, arg);
}
