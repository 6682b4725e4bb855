#include "store/ingest.h"

#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "pg/query.h"
#include "pg/result.h"

static const struct cw_stmt begin_stmt = { "ingest_begin", "BEGIN" };
static const struct cw_stmt commit_stmt = { "ingest_commit", "COMMIT" };
static const struct cw_stmt rollback_stmt = { "ingest_rollback", "ROLLBACK" };

#define TX_COLUMNS \
	"chain_id, hash, block_number, block_hash, tx_index, timestamp, from_address, to_address, value, gas, " \
	"gas_price, gas_used, nonce, input_data, input_size, status, created_address, logs"
#define TX_ARRAYS \
	"$1::int8[], $2::bytea[], $3::int8[], $4::bytea[], $5::int4[], $6::timestamptz[], $7::bytea[], $8::bytea[], " \
	"$9::numeric[], $10::int8[], $11::numeric[], $12::int8[], $13::int8[], $14::bytea[], $15::int4[], $16::int4[], " \
	"$17::bytea[], $18::bytea[]"

/* unnest gives its rows in the order of the arrays, and the sequence is drawn as they come: identities rise. */
static const struct cw_stmt insert_stmt = {
	"ingest_transactions",
	"INSERT INTO transactions (" TX_COLUMNS ") SELECT * FROM unnest(" TX_ARRAYS ")"
	" ON CONFLICT (chain_id, hash) WHERE canonical DO NOTHING RETURNING id, chain_id, hash",
};

/* By nextval and not setval: the sequence never goes back, whoever else draws from it. */
static const struct cw_stmt reserve_stmt = {
	"ingest_reserve",
	"SELECT max(nextval('transactions_id_seq')) FROM generate_series(1, $1 - (SELECT last_value FROM"
	" transactions_id_seq))",
};

static const struct cw_stmt insert_again_stmt = {
	"ingest_transactions_again",
	"INSERT INTO transactions (" TX_COLUMNS ", id) OVERRIDING SYSTEM VALUE"
	" SELECT * FROM unnest(" TX_ARRAYS ", $19::int8[])"
	" ON CONFLICT (chain_id, hash) WHERE canonical DO NOTHING RETURNING id, chain_id, hash",
};

static const struct cw_stmt predictions_stmt = {
	"ingest_predictions",
	"INSERT INTO predictions (transaction_id, model_version_id, user_id, is_anomaly, confidence, anomaly_score,"
	" request_id, response_time_ms, faults) SELECT * FROM unnest($1::int8[], $2::int8[], $3::int8[], $4::bool[],"
	" $5::float8[], $6::float8[], $7::text[], $8::float8[], $9::jsonb[])",
};

static const struct cw_stmt cursors_stmt = {
	"ingest_cursors",
	"INSERT INTO cursors (name, position) SELECT * FROM unnest($1::text[], $2::jsonb[])"
	" ON CONFLICT (name) DO UPDATE SET position = excluded.position, updated_at = now()",
};

void cw_ingest_begin(struct cw_conn *conn, cw_query_fn *fn, void *arg)
{
	cw_conn_query(conn, &begin_stmt, NULL, fn, arg);
}

void cw_ingest_commit(struct cw_conn *conn, cw_query_fn *fn, void *arg)
{
	cw_conn_query(conn, &commit_stmt, NULL, fn, arg);
}

void cw_ingest_rollback(struct cw_conn *conn, cw_query_fn *fn, void *arg)
{
	cw_conn_query(conn, &rollback_stmt, NULL, fn, arg);
}

void cw_ingest_reserve(struct cw_conn *conn, int64_t id, struct cw_arena *arena, cw_query_fn *fn, void *arg)
{
	struct cw_params params;

	cw_params_init(&params, arena);
	cw_params_i64(&params, id);
	cw_conn_query(conn, &reserve_stmt, &params, fn, arg);
}

enum { CHAIN, HASH, BLOCK, BLOCK_HASH, INDEX, TIME, FROM, TO, VALUE, GAS, GAS_PRICE, GAS_USED, NONCE, INPUT, INPUT_SIZE,
	   STATUS, CREATED, LOGS, ID, NCOLUMNS };

static const enum cw_elem tx_types[NCOLUMNS] = {
	CW_ELEM_I64, CW_ELEM_BYTEA, CW_ELEM_I64, CW_ELEM_BYTEA, CW_ELEM_I32, CW_ELEM_TIME, CW_ELEM_BYTEA, CW_ELEM_BYTEA,
	CW_ELEM_NUMERIC, CW_ELEM_I64, CW_ELEM_NUMERIC, CW_ELEM_I64, CW_ELEM_I64, CW_ELEM_BYTEA, CW_ELEM_I32, CW_ELEM_I32,
	CW_ELEM_BYTEA, CW_ELEM_BYTEA, CW_ELEM_I64,
};

static void put_i64(struct cw_array *a, bool present, uint64_t value)
{
	if (present)
		cw_array_i64(a, (int64_t)value);
	else
		cw_array_null(a);
}

static void put_i32(struct cw_array *a, bool present, uint32_t value)
{
	if (present)
		cw_array_i32(a, (int32_t)value);
	else
		cw_array_null(a);
}

static void put_bytes(struct cw_array *a, bool present, const void *bytes, size_t len)
{
	if (present)
		cw_array_bytes(a, bytes, len);
	else
		cw_array_null(a);
}

static void put_logs(struct cw_array *a, const struct cw_tx *tx, struct cw_buf *packed)
{
	cw_buf_clear(packed);
	if ((tx->has & CW_TX_HAS_LOGS) != 0)
		cw_logs_pack(packed, tx);
	put_bytes(a, (tx->has & CW_TX_HAS_LOGS) != 0, packed->data, packed->len);
}

static void put_row(struct cw_array **c, const struct cw_tx_in *in, struct cw_buf *packed)
{
	const struct cw_tx *tx = &in->tx;
	bool input = (tx->has & CW_TX_HAS_INPUT) != 0;

	cw_array_i64(c[CHAIN], (int64_t)tx->chain_id);
	cw_array_bytes(c[HASH], tx->hash.b, sizeof(tx->hash.b));
	cw_array_i64(c[BLOCK], (int64_t)tx->block_number);
	put_bytes(c[BLOCK_HASH], (tx->has & CW_TX_HAS_BLOCK_HASH) != 0, tx->block_hash.b, sizeof(tx->block_hash.b));
	put_i32(c[INDEX], (tx->has & CW_TX_HAS_INDEX) != 0, tx->index);
	cw_array_time(c[TIME], tx->timestamp * 1000000);
	cw_array_bytes(c[FROM], tx->from.b, sizeof(tx->from.b));
	put_bytes(c[TO], (tx->has & CW_TX_HAS_TO) != 0, tx->to.b, sizeof(tx->to.b));
	cw_array_numeric(c[VALUE], &tx->value);
	cw_array_i64(c[GAS], (int64_t)tx->gas);
	cw_array_numeric(c[GAS_PRICE], &tx->gas_price);
	put_i64(c[GAS_USED], (tx->has & CW_TX_HAS_GAS_USED) != 0, tx->gas_used);
	cw_array_i64(c[NONCE], (int64_t)tx->nonce);
	put_bytes(c[INPUT], input, in->input, in->input_len);
	cw_array_i32(c[INPUT_SIZE], (int32_t)tx->input_size);
	put_i32(c[STATUS], (tx->has & CW_TX_HAS_STATUS) != 0, tx->status);
	put_bytes(c[CREATED], (tx->has & CW_TX_HAS_CREATED) != 0, tx->created.b, sizeof(tx->created.b));
	put_logs(c[LOGS], tx, packed);
}

void cw_ingest_transactions(struct cw_conn *conn, const struct cw_tx_in *const *txs, size_t n, bool keep_ids,
                            struct cw_arena *arena, cw_query_fn *fn, void *arg)
{
	struct cw_array *columns[NCOLUMNS];
	struct cw_params params;
	struct cw_buf packed = CW_BUF_INIT;
	int count = keep_ids ? NCOLUMNS : ID;

	for (int i = 0; i < count; i++)
		columns[i] = cw_array_begin(arena, tx_types[i], n);
	for (size_t i = 0; i < n; i++) {
		put_row(columns, txs[i], &packed);
		if (keep_ids)
			cw_array_i64(columns[ID], (int64_t)txs[i]->tx.seq);
	}
	cw_buf_release(&packed);
	cw_params_init(&params, arena);
	for (int i = 0; i < count; i++)
		cw_params_array(&params, columns[i]);
	cw_conn_query(conn, keep_ids ? &insert_again_stmt : &insert_stmt, &params, fn, arg);
}

int64_t cw_ingest_match(const struct cw_result *res, int row, const struct cw_tx *tx)
{
	size_t len;
	const uint8_t *hash;

	if (row >= cw_result_rows(res))
		return 0;
	hash = cw_result_bytea(res, row, 2, &len);
	if (len != sizeof(tx->hash.b) || memcmp(hash, tx->hash.b, len) != 0)
		return 0;
	if ((uint64_t)cw_result_i64(res, row, 1) != tx->chain_id)
		return 0;
	return cw_result_i64(res, row, 0);
}

/* One array a column, in the order of the parameters. */
struct columns {
	struct cw_array *list[16];
	int count;
};

static struct cw_array *add(struct columns *c, struct cw_arena *arena, enum cw_elem type, size_t n)
{
	return c->list[c->count++] = cw_array_begin(arena, type, n);
}

static void send_columns(struct cw_conn *conn, const struct cw_stmt *stmt, const struct columns *c,
                         struct cw_arena *arena, cw_query_fn *fn, void *arg)
{
	struct cw_params params;

	cw_params_init(&params, arena);
	for (int i = 0; i < c->count; i++)
		cw_params_array(&params, c->list[i]);
	cw_conn_query(conn, stmt, &params, fn, arg);
}

void cw_ingest_predictions(struct cw_conn *conn, const struct cw_new_prediction *rows, size_t n,
                           struct cw_arena *arena, cw_query_fn *fn, void *arg)
{
	struct columns c = { .count = 0 };
	struct cw_array *tx = add(&c, arena, CW_ELEM_I64, n), *version = add(&c, arena, CW_ELEM_I64, n);
	struct cw_array *user = add(&c, arena, CW_ELEM_I64, n), *anomaly = add(&c, arena, CW_ELEM_BOOL, n);
	struct cw_array *confidence = add(&c, arena, CW_ELEM_F64, n), *score = add(&c, arena, CW_ELEM_F64, n);
	struct cw_array *request = add(&c, arena, CW_ELEM_TEXT, n), *ms = add(&c, arena, CW_ELEM_F64, n);
	struct cw_array *faults = add(&c, arena, CW_ELEM_JSONB, n);

	for (size_t i = 0; i < n; i++) {
		const struct cw_new_prediction *r = &rows[i];

		cw_array_i64(tx, r->transaction_id);
		cw_array_i64(version, r->model_version_id);
		put_i64(user, r->user_id != 0, (uint64_t)r->user_id);
		cw_array_bool(anomaly, r->is_anomaly);
		cw_array_f64(confidence, r->confidence);
		cw_array_f64(score, r->score);
		put_bytes(request, r->request_id[0] != '\0', r->request_id, strlen(r->request_id));
		cw_array_f64(ms, r->response_time_ms);
		put_bytes(faults, r->faults != NULL, r->faults, r->faults != NULL ? strlen(r->faults) : 0);
	}
	send_columns(conn, &predictions_stmt, &c, arena, fn, arg);
}

void cw_ingest_cursors(struct cw_conn *conn, const struct cw_new_cursor *rows, size_t n, struct cw_arena *arena,
                       cw_query_fn *fn, void *arg)
{
	struct columns c = { .count = 0 };
	struct cw_array *name = add(&c, arena, CW_ELEM_TEXT, n), *position = add(&c, arena, CW_ELEM_JSONB, n);

	for (size_t i = 0; i < n; i++) {
		cw_array_bytes(name, rows[i].name, strlen(rows[i].name));
		cw_array_bytes(position, rows[i].position, strlen(rows[i].position));
	}
	send_columns(conn, &cursors_stmt, &c, arena, fn, arg);
}
