#include "source/trail.h"

#include <inttypes.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "chain/tx.h"

#define DENSE 1024                   /* remembered one by one in memory: a journal's worth of reorg is far less */
#define STEPS_MAX 2048               /* remembered in all; above it every second of the old half goes */
#define TEXT_DENSE 32                /* of those in the text; behind them each step is a quarter longer than the last */

struct step {
	uint64_t number;
	struct cw_hash hash;
};

/* In rising order of numbers. */
struct cw_trail {
	struct step *steps;
	size_t n;
};

struct cw_trail *cw_trail_new(void)
{
	struct cw_trail *t = cw_zalloc(sizeof(*t));

	t->steps = cw_alloc(STEPS_MAX * sizeof(*t->steps));
	return t;
}

void cw_trail_free(struct cw_trail **trail)
{
	if (*trail != NULL)
		cw_free((*trail)->steps);
	cw_free(*trail);
	*trail = NULL;
}

bool cw_trail_empty(const struct cw_trail *trail)
{
	return trail->n == 0;
}

/* How many have a number of at most `number`. */
static size_t up_to(const struct cw_trail *t, uint64_t number)
{
	size_t low = 0, high = t->n;

	while (low < high) {
		size_t mid = (low + high) / 2;

		if (t->steps[mid].number <= number)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* Every second of those that are not dense, but the first. */
static void thin(struct cw_trail *t)
{
	size_t kept = 1, old = t->n - DENSE;

	for (size_t i = 2; i < old; i += 2)
		t->steps[kept++] = t->steps[i];
	memmove(&t->steps[kept], &t->steps[old], DENSE * sizeof(*t->steps));
	t->n = kept + DENSE;
}

void cw_trail_add(struct cw_trail *t, uint64_t number, const struct cw_hash *hash)
{
	if (number > 0)
		cw_trail_cut(t, number - 1);
	else
		t->n = 0;
	if (t->n == STEPS_MAX)
		thin(t);
	t->steps[t->n++] = (struct step){ number, *hash };
}

void cw_trail_cut(struct cw_trail *t, uint64_t number)
{
	t->n = up_to(t, number);
}

void cw_trail_clear(struct cw_trail *t)
{
	t->n = 0;
}

bool cw_trail_tip(const struct cw_trail *t, uint64_t *number, struct cw_hash *hash)
{
	if (t->n == 0)
		return false;
	*number = t->steps[t->n - 1].number;
	*hash = t->steps[t->n - 1].hash;
	return true;
}

bool cw_trail_find(const struct cw_trail *t, uint64_t number, struct cw_hash *hash)
{
	size_t n = up_to(t, number);

	if (n == 0 || t->steps[n - 1].number != number)
		return false;
	*hash = t->steps[n - 1].hash;
	return true;
}

bool cw_trail_before(const struct cw_trail *t, uint64_t number, uint64_t *found, struct cw_hash *hash)
{
	size_t n = number > 0 ? up_to(t, number - 1) : 0;

	if (n == 0)
		return false;
	*found = t->steps[n - 1].number;
	*hash = t->steps[n - 1].hash;
	return true;
}

static void put_hash(struct cw_buf *out, const struct cw_hash *hash)
{
	char text[CW_HASH_TEXT];

	cw_buf_printf(out, "\"%s\"", cw_hash_format(hash, text));
}

static void put_step(struct cw_buf *out, const struct step *step, bool *first)
{
	cw_buf_printf(out, "%s[\"%" PRIu64 "\",", *first ? "" : ",", step->number);
	put_hash(out, &step->hash);
	cw_buf_putc(out, ']');
	*first = false;
}

void cw_trail_to_json(const struct cw_trail *t, uint64_t chain_id, uint64_t number, struct cw_buf *out)
{
	size_t n = up_to(t, number), back = 1, last = 0;
	bool first = true;

	cw_buf_printf(out, "{\"chain_id\":\"%" PRIu64 "\"", chain_id);
	if (n > 0) {
		cw_buf_printf(out, ",\"block\":\"%" PRIu64 "\",\"hash\":", t->steps[n - 1].number);
		put_hash(out, &t->steps[n - 1].hash);
	}
	cw_buf_puts(out, ",\"before\":[");
	for (; back < n; back += back < TEXT_DENSE ? 1 : back / 4) {
		put_step(out, &t->steps[n - 1 - back], &first);
		last = back;
	}
	if (n > 1 && last != n - 1)
		put_step(out, &t->steps[0], &first);
	cw_buf_puts(out, "]}");
}

static bool read_number(const struct cw_json *json, uint64_t *out)
{
	struct cw_u256 number;

	if (json == NULL || !cw_json_quantity(json, &number) || !cw_u256_fits_u64(&number) || number.w[0] > INT64_MAX)
		return false;
	*out = number.w[0];
	return true;
}

static bool read_step(const struct cw_json *number, const struct cw_json *hash, struct step *out)
{
	return read_number(number, &out->number) && hash != NULL && hash->type == CW_JSON_STRING &&
	       cw_hash_parse(&out->hash, hash->text, hash->len);
}

/* The list goes backwards. */
static bool read_steps(struct cw_trail *t, const struct cw_json *json)
{
	const struct cw_json *before = cw_json_get(json, "before");
	struct step step;

	if (!read_step(cw_json_get(json, "block"), cw_json_get(json, "hash"), &step) || before == NULL ||
	    before->type != CW_JSON_ARRAY || before->count >= STEPS_MAX)
		return false;
	t->n = before->count + 1;
	t->steps[before->count] = step;
	for (const struct cw_json *e = before->first; e != NULL; e = e->next) {
		uint64_t above = step.number;

		if (e->type != CW_JSON_ARRAY || e->count != 2 || !read_step(e->first, e->first->next, &step) ||
		    step.number >= above)
			return false;
		t->steps[--t->n - 1] = step;
	}
	t->n = before->count + 1;
	return true;
}

int cw_trail_from_json(struct cw_trail *t, uint64_t chain_id, const char *text, size_t len, struct cw_err *err)
{
	struct cw_arena *arena = cw_arena_new();
	const struct cw_json *json = cw_json_parse(text, len, 4, arena, NULL);
	uint64_t of = 0;
	int rc = 0;

	t->n = 0;
	if (json == NULL || json->type != CW_JSON_OBJECT || !read_number(cw_json_get(json, "chain_id"), &of))
		rc = cw_err_set(err, CW_ERR_INVALID, "the cursor is none of a chain");
	else if (of != chain_id)
		rc = cw_err_set(err, CW_ERR_INVALID, "the cursor is of chain %" PRIu64 ", the source of %" PRIu64, of, chain_id);
	else if (cw_json_get(json, "block") != NULL && !read_steps(t, json))
		rc = cw_err_set(err, CW_ERR_INVALID, "the cursor makes no sense");
	if (rc != 0)
		t->n = 0;
	cw_arena_free(&arena);
	return rc;
}
