#include "store/source_blocks.h"

#include <string.h>

#include "base/arena.h"
#include "pg/pool.h"
#include "pg/query.h"
#include "pg/result.h"

static const struct cw_stmt add_stmt = {
	"source_blocks_add",
	"WITH old AS (DELETE FROM source_blocks WHERE source = $1 AND number < $4)"
	" INSERT INTO source_blocks (source, number, hash) SELECT $1, * FROM unnest($2::int8[], $3::bytea[])"
	" ON CONFLICT (source, number) DO UPDATE SET hash = excluded.hash",
};

static const struct cw_stmt load_stmt = {
	"source_blocks_load",
	"SELECT NULL::int8 AS number, NULL::bytea AS hash, position::text FROM cursors WHERE name = $1"
	" UNION ALL (SELECT number, hash, NULL FROM source_blocks WHERE source = $1 ORDER BY number DESC LIMIT $2)"
	" ORDER BY number NULLS FIRST",
};

uint64_t cw_source_blocks_add(struct cw_pool *pool, const char *source, const struct cw_source_block *blocks, size_t n,
                              uint64_t oldest, cw_query_fn *fn, void *arg)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_array *numbers = cw_array_begin(arena, CW_ELEM_I64, n), *hashes = cw_array_begin(arena, CW_ELEM_BYTEA, n);
	struct cw_params params;
	uint64_t query;

	for (size_t i = 0; i < n; i++) {
		cw_array_i64(numbers, (int64_t)blocks[i].number);
		cw_array_bytes(hashes, blocks[i].hash.b, sizeof(blocks[i].hash.b));
	}
	cw_params_init(&params, arena);
	cw_params_cstring(&params, source);
	cw_params_array(&params, numbers);
	cw_params_array(&params, hashes);
	cw_params_i64(&params, (int64_t)oldest);
	query = cw_pool_query(pool, &add_stmt, &params, fn, arg);
	cw_arena_free(&arena);
	return query;
}

uint64_t cw_source_blocks_load(struct cw_pool *pool, const char *source, int max, cw_query_fn *fn, void *arg)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_params params;
	uint64_t query;

	cw_params_init(&params, arena);
	cw_params_cstring(&params, source);
	cw_params_i64(&params, max);
	query = cw_pool_read(pool, &load_stmt, &params, fn, arg);
	cw_arena_free(&arena);
	return query;
}

bool cw_source_blocks_row(const struct cw_result *res, int row, struct cw_source_block *out, const char **position,
                          size_t *len)
{
	const uint8_t *bytes;
	size_t size;

	if (cw_result_is_null(res, row, 0)) {
		*position = cw_result_text(res, row, 2, len);
		return false;
	}
	out->number = (uint64_t)cw_result_i64(res, row, 0);
	bytes = cw_result_bytea(res, row, 1, &size);
	memset(&out->hash, 0, sizeof(out->hash));
	if (size == sizeof(out->hash.b))
		memcpy(out->hash.b, bytes, size);
	return true;
}
