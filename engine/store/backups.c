#include "store/backups.h"

#include "base/arena.h"
#include "pg/pool.h"
#include "pg/query.h"

static const struct cw_stmt last = {
	"backups_last",
	"SELECT (SELECT extract(epoch FROM finished_at)::float8 FROM job_runs WHERE name = 'backup.run' AND status = 'succeeded'\n"
	"        ORDER BY id DESC LIMIT 1),\n"
	"       (SELECT extract(epoch FROM finished_at)::float8 FROM job_runs WHERE name = 'backup.verify' AND status = 'succeeded'\n"
	"        ORDER BY id DESC LIMIT 1),\n"
	"       (SELECT max(extract(epoch FROM finished_at))::float8 FROM (\n"
	"        (SELECT finished_at FROM job_runs WHERE name = 'backup.run' AND status = 'failed' ORDER BY id DESC LIMIT 1)\n"
	"        UNION ALL\n"
	"        (SELECT finished_at FROM job_runs WHERE name = 'backup.verify' AND status = 'failed' ORDER BY id DESC LIMIT 1)) f)",
};

void cw_backups_last(struct cw_pool *pool, cw_query_fn *fn, void *arg)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_params params;

	cw_params_init(&params, arena);
	cw_pool_read(pool, &last, &params, fn, arg);
	cw_arena_free(&arena);
}
