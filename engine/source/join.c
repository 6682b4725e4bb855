#include "source/join.h"

#include <inttypes.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "chain/tx.h"
#include "source/file.h"

/* Where something stands in the chain. `third` is a log's index, else 0. */
struct place {
	uint64_t block, index, third;
};

/* A file that is read beside the transactions, one record ahead. */
struct side {
	const char *path;
	struct cw_records *records;      /* NULL: there is none */
	struct cw_arena *arena;          /* of the record */
	struct cw_buf text;
	const struct cw_json *json;      /* NULL: nothing has been read, or the end */
	struct place at;
	bool begun, is_logs;
	uint64_t lost;
};

struct cw_join {
	struct cw_records *transactions;
	const char *path;
	struct side receipts, logs;
	struct cw_arena *arena;
	struct place at;
	bool begun, failed;
	uint64_t bare;
};

static int compare(const struct place *a, const struct place *b)
{
	if (a->block != b->block)
		return a->block < b->block ? -1 : 1;
	if (a->index != b->index)
		return a->index < b->index ? -1 : 1;
	return a->third < b->third ? -1 : a->third > b->third;
}

static const struct cw_json *member(const struct cw_json *json, const char *snake, const char *camel)
{
	const struct cw_json *found = cw_json_get(json, snake);

	return found != NULL ? found : cw_json_get(json, camel);
}

static int read_number(const struct cw_json *json, const char *snake, const char *camel, uint64_t *out, struct cw_err *err)
{
	const struct cw_json *found = member(json, snake, camel);
	struct cw_u256 number;

	if (found == NULL)
		return cw_err_set(err, CW_ERR_INVALID, "column \"%s\" is missing or empty", snake);
	if (!cw_json_quantity(found, &number) || !cw_u256_fits_u64(&number))
		return cw_err_set(err, CW_ERR_INVALID, "column \"%s\" must be a whole number", snake);
	*out = number.w[0];
	return 0;
}

static int read_place(const struct cw_json *json, bool is_log, struct place *out, struct cw_err *err)
{
	out->third = 0;
	if (read_number(json, "block_number", "blockNumber", &out->block, err) != 0 ||
	    read_number(json, "transaction_index", "transactionIndex", &out->index, err) != 0)
		return -1;
	return is_log ? read_number(json, "log_index", "logIndex", &out->third, err) : 0;
}

static int say_where(struct cw_join *j, const char *path, uint64_t line, struct cw_err *err)
{
	j->failed = true;
	return cw_err_wrap(err, "%s:%" PRIu64, path, line);
}

static int out_of_order(struct cw_join *j, const char *path, uint64_t line, const struct place *before,
                        const struct place *now, struct cw_err *err)
{
	cw_err_set(err, CW_ERR_INVALID, "block %" PRIu64 ", transaction %" PRIu64 " stands behind block %" PRIu64
	           ", transaction %" PRIu64 "; sort the file by block, transaction and log", now->block, now->index,
	           before->block, before->index);
	return say_where(j, path, line, err);
}

/* The next record of a side; json == NULL at the end. -1: an error, and no way on. */
static int advance(struct cw_join *j, struct side *s, struct cw_err *err)
{
	struct place before = s->at;
	struct cw_json_error fault;
	int rc;

	s->json = NULL;
	if (s->records == NULL)
		return 0;
	rc = cw_records_next(s->records, &s->text, err);
	if (rc <= 0) {
		j->failed = j->failed || rc < 0;
		return rc;
	}
	cw_arena_clear(s->arena);
	s->json = cw_json_parse(s->text.data, s->text.len, 8, s->arena, &fault);
	if (s->json == NULL || s->json->type != CW_JSON_OBJECT) {
		cw_err_set(err, CW_ERR_INVALID, "is no JSON object");
		return say_where(j, s->path, cw_records_line(s->records), err);
	}
	if (read_place(s->json, s->is_logs, &s->at, err) != 0)
		return say_where(j, s->path, cw_records_line(s->records), err);
	if (s->begun && compare(&before, &s->at) >= 0)
		return out_of_order(j, s->path, cw_records_line(s->records), &before, &s->at, err);
	s->begun = true;
	return 1;
}

/* Passes over what is of transactions before `at`. */
static int reach(struct cw_join *j, struct side *s, const struct place *at, struct cw_err *err)
{
	struct place first = { at->block, at->index, 0 };

	while (s->json != NULL && compare(&s->at, &first) < 0) {
		s->lost++;
		if (advance(j, s, err) < 0)
			return -1;
	}
	return 0;
}

static bool is_here(const struct side *s, const struct place *at)
{
	return s->json != NULL && s->at.block == at->block && s->at.index == at->index;
}

/* The record names the transaction that stands at its place. */
static int check_hash(struct cw_join *j, const struct side *s, const struct cw_json *tx, struct cw_err *err)
{
	const struct cw_json *ours = member(tx, "hash", "transactionHash"), *theirs;

	theirs = member(s->json, "transaction_hash", "transactionHash");
	if (theirs != NULL && ours != NULL && theirs->type == CW_JSON_STRING && ours->type == CW_JSON_STRING &&
	    strcasecmp(theirs->text, ours->text) == 0)
		return 0;
	cw_err_set(err, CW_ERR_INVALID, "column \"transaction_hash\" is not that of the transaction at this place (%s:%" PRIu64
	           "): another export?", j->path, cw_records_line(j->transactions));
	return say_where(j, s->path, cw_records_line(s->records), err);
}

/* `beside`: the object that is being added to; NULL: a new one. What it says itself is not said twice. */
static void put_string(struct cw_buf *out, const char *name, const struct cw_json *value, const struct cw_json *beside)
{
	if (value == NULL || value->type == CW_JSON_NULL || (beside != NULL && cw_json_get(beside, name) != NULL))
		return;
	cw_buf_printf(out, ",\"%s\":", name);
	if (value->type == CW_JSON_STRING)
		cw_json_put_string(out, value->text, value->len);
	else
		cw_buf_add(out, value->text, value->len);
}

static int put_receipt(struct cw_join *j, struct cw_buf *out, const struct cw_json *tx, struct cw_err *err)
{
	struct side *s = &j->receipts;

	if (s->records == NULL)
		return 0;
	if (!is_here(s, &j->at)) {
		j->bare++;
		return 0;
	}
	if (check_hash(j, s, tx, err) != 0)
		return -1;
	put_string(out, "receipt_status", cw_json_get(s->json, "status"), tx);
	put_string(out, "receipt_gas_used", member(s->json, "gas_used", "gasUsed"), tx);
	put_string(out, "receipt_contract_address", member(s->json, "contract_address", "contractAddress"), tx);
	put_string(out, "receipt_effective_gas_price", member(s->json, "effective_gas_price", "effectiveGasPrice"), tx);
	return advance(j, s, err) < 0 ? -1 : 0;
}

/* In CSV the topics stand in one cell, separated by commas. */
static void put_topics(struct cw_buf *out, const struct cw_json *topics)
{
	bool first = true;

	cw_buf_puts(out, ",\"topics\":[");
	if (topics != NULL && topics->type == CW_JSON_STRING)
		for (const char *p = topics->text; *p != '\0';) {
			size_t skip = strspn(p, " ,[]'\""), len = strcspn(p + skip, " ,[]'\"");

			p += skip;
			if (len == 0)
				break;
			if (!first)
				cw_buf_putc(out, ',');
			cw_json_put_string(out, p, len);
			first = false;
			p += len;
		}
	for (const struct cw_json *e = topics != NULL && topics->type == CW_JSON_ARRAY ? topics->first : NULL; e != NULL; e = e->next) {
		if (e->type != CW_JSON_STRING)
			continue;
		if (!first)
			cw_buf_putc(out, ',');
		cw_json_put_string(out, e->text, e->len);
		first = false;
	}
	cw_buf_putc(out, ']');
}

static int put_logs(struct cw_join *j, struct cw_buf *out, const struct cw_json *tx, struct cw_err *err)
{
	struct side *s = &j->logs;

	if (s->records == NULL || cw_json_get(tx, "logs") != NULL)
		return 0;
	cw_buf_puts(out, ",\"logs\":[");
	for (int n = 0; is_here(s, &j->at); n++) {
		if (check_hash(j, s, tx, err) != 0)
			return -1;
		if (out->len > CW_RECORD_MAX) {
			cw_err_set(err, CW_ERR_INVALID, "the logs of one transaction are longer than %u bytes", CW_RECORD_MAX);
			return say_where(j, s->path, cw_records_line(s->records), err);
		}
		cw_buf_printf(out, "%s{\"logIndex\":\"%" PRIu64 "\"", n > 0 ? "," : "", s->at.third);
		put_string(out, "address", cw_json_get(s->json, "address"), NULL);
		put_string(out, "data", cw_json_get(s->json, "data"), NULL);
		put_topics(out, cw_json_get(s->json, "topics"));
		cw_buf_putc(out, '}');
		if (advance(j, s, err) < 0)
			return -1;
	}
	cw_buf_putc(out, ']');
	return 0;
}

int cw_join_next(struct cw_join *j, struct cw_buf *out, struct cw_err *err)
{
	struct place before = j->at;
	const struct cw_json *tx;
	struct cw_json_error fault;
	int rc = cw_records_next(j->transactions, out, err);

	if (rc <= 0)
		return rc;
	cw_arena_clear(j->arena);
	tx = cw_json_parse(out->data, out->len, CW_JSON_DEPTH_DEFAULT, j->arena, &fault);
	if (tx == NULL || tx->type != CW_JSON_OBJECT) {
		cw_err_set(err, CW_ERR_INVALID, "is no JSON object");
		return cw_err_wrap(err, "%s:%" PRIu64, j->path, cw_records_line(j->transactions));
	}
	if (read_place(tx, false, &j->at, err) != 0)
		return say_where(j, j->path, cw_records_line(j->transactions), err);
	if (j->begun && compare(&before, &j->at) >= 0)
		return out_of_order(j, j->path, cw_records_line(j->transactions), &before, &j->at, err);
	j->begun = true;
	if (reach(j, &j->receipts, &j->at, err) != 0 || reach(j, &j->logs, &j->at, err) != 0)
		return -1;
	/* The closing brace, with spaces before it or not, gives way; an empty object has no place and does not come here. */
	while (out->data[out->len - 1] != '}')
		out->len--;
	out->len--;
	if (put_receipt(j, out, tx, err) != 0 || put_logs(j, out, tx, err) != 0)
		return -1;
	cw_buf_putc(out, '}');
	return 1;
}

static int open_side(struct cw_join *j, struct side *s, const char *path, bool is_logs, struct cw_err *err)
{
	s->path = path;
	s->is_logs = is_logs;
	s->arena = cw_arena_new();
	cw_buf_init(&s->text);
	if (path == NULL)
		return 0;
	s->records = cw_records_open(path, err);
	return s->records != NULL && advance(j, s, err) >= 0 ? 0 : -1;
}

static void close_side(struct side *s)
{
	cw_records_close(&s->records);
	cw_arena_free(&s->arena);
	cw_buf_release(&s->text);
}

struct cw_join *cw_join_new(struct cw_records *transactions, const char *path, const char *receipts, const char *logs,
                            struct cw_err *err)
{
	struct cw_join *j = cw_zalloc(sizeof(*j));

	j->transactions = transactions;
	j->path = path;
	j->arena = cw_arena_new();
	if (open_side(j, &j->receipts, receipts, false, err) != 0 || open_side(j, &j->logs, logs, true, err) != 0)
		cw_join_free(&j);
	return j;
}

void cw_join_free(struct cw_join **join)
{
	struct cw_join *j = *join;

	*join = NULL;
	if (j == NULL)
		return;
	close_side(&j->receipts);
	close_side(&j->logs);
	cw_arena_free(&j->arena);
	cw_free(j);
}

bool cw_join_failed(const struct cw_join *join)
{
	return join->failed;
}

uint64_t cw_join_line(const struct cw_join *join)
{
	return cw_records_line(join->transactions);
}

static uint64_t left_over(struct cw_join *j, struct side *s)
{
	struct cw_err err;

	while (s->json != NULL) {
		s->lost++;
		if (advance(j, s, &err) < 0)
			break;
	}
	return s->lost;
}

struct cw_join_stats cw_join_stats(struct cw_join *join)
{
	return (struct cw_join_stats){ join->bare, left_over(join, &join->receipts), left_over(join, &join->logs) };
}
