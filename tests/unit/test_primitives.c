/* Every registered primitive, without knowing what it does: declarations that make sense, writes that are announced,
 * rewinds that leave no trace, the same bytes for the same stream, bounded keys, and nothing left after a drop. */
#include "support/detect_env.h"

#define STREAM 1500

/* Options that make a primitive work hard on a short stream; the same for all, where it has them. */
static int options_for(const struct cw_primitive *p, int variant, union cw_opt_value *vals, struct cw_err *err)
{
	struct cw_raw_opt raw[CW_PRIMITIVE_OPTS_MAX];
	size_t n = 0;

	for (const struct cw_opt *o = p->opts; o->name != NULL; o++) {
		struct cw_raw_opt r = { .name = o->name };

		switch (o->type) {
		case CW_OPT_KEY:
			r.type = CW_RAW_TEXT;
			r.text = strcmp(o->name, "of") == 0 ? "to" : variant == 0 ? "from" : variant == 1 ? "from+to" : "";
			if (o->required && r.text[0] == '\0')
				r.text = "selector";
			break;
		case CW_OPT_FIELD: r = (struct cw_raw_opt){ o->name, CW_RAW_TEXT, 0, variant == 1 ? "gas_price" : "value" }; break;
		case CW_OPT_SPAN:
			if (!o->required)
				continue;
			r = (struct cw_raw_opt){ o->name, CW_RAW_NUMBER, variant == 1 ? 7 : 600, NULL };
			if (r.number < o->min)
				r.number = o->min;
			break;
		case CW_OPT_COUNT:
			/* small, so that evictions, samples and full tables come soon */
			if (strcmp(o->name, "max_keys") == 0)
				r.number = 40;
			else if (strcmp(o->name, "capacity") == 0 || strcmp(o->name, "cells") == 0 || strcmp(o->name, "bins") == 0)
				r.number = o->min > 20 ? o->min : 20;
			else
				continue;
			r.type = CW_RAW_NUMBER;
			break;
		case CW_OPT_NUMBER:
			if (!o->required)
				continue;
			r = (struct cw_raw_opt){ o->name, CW_RAW_NUMBER, strcmp(o->name, "hi") == 0 ? 1e12 : 1, NULL };
			break;
		default: continue;
		}
		raw[n++] = r;
	}
	return cw_primitive_read_options(p, raw, n, vals, err);
}

struct machine {
	struct cw_state *st;
	const struct cw_primitive *p;
	struct cw_state_root *root;
	union cw_opt_value vals[CW_PRIMITIVE_OPTS_MAX];
	void *h;
};

static struct machine machine_new(const struct cw_primitive *p, int variant)
{
	struct machine m = { .st = env_state(), .p = p };
	struct cw_err err = { 0 };
	uint8_t digest[16];

	ck_assert_msg(options_for(p, variant, m.vals, &err) == 0, "%s", err.msg);
	cw_primitive_digest(p, m.vals, digest);
	m.root = cw_state_root_open(m.st, "rule/state", digest);
	m.h = p->open(m.st, m.root, m.vals, &err);
	ck_assert_msg(m.h != NULL, "%s", err.msg);
	cw_state_mark(m.st, 1, 0);
	return m;
}

static void machine_end(struct machine *m)
{
	m->p->close(m->h);
	cw_state_close(&m->st);
}

/* All methods in order, with arguments now and then; the answers are folded into one number. */
static uint64_t call_all(const struct machine *m, const struct cw_tx *tx, uint64_t *rng)
{
	uint64_t sum = 0;

	if (m->p->prefetch != NULL)
		for (int stage = 0; stage < 2; stage++)
			m->p->prefetch(m->h, tx, stage);
	for (const struct cw_method *me = m->p->methods; me->name != NULL; me++) {
		double arg[2];
		double got;

		for (int i = 0; i < 2; i++) {
			enum cw_arg kind = i == 0 ? me->a : me->b;

			arg[i] = NAN;
			if (kind != CW_ARG_NONE && env_below(rng, 4) == 0)
				arg[i] = kind == CW_ARG_FIELD ? CW_FIELD_TO : (double)env_below(rng, 5);
		}
		got = me->fn(m->h, me->takes_tx ? tx : NULL, arg[0], arg[1]);
		if (me->result == CW_RESULT_BOOL && !isnan(got))
			ck_assert_msg(got == 0 || got == 1, "%s.%s:%s gives %g", m->p->table, m->p->name, me->name, got);
		if (isnan(got))
			got = -1;   /* any NaN */
		sum = cw_hash64(&got, sizeof(got), sum);
	}
	return sum;
}

static void name_of(char out[64], const struct cw_primitive *p, int variant)
{
	snprintf(out, 64, "%s.%s/%d", p->table, p->name, variant);
}

/* Mostly forward in time, sometimes back. */
static int64_t next_time(uint64_t *rng, int64_t time)
{
	uint64_t dice = env_below(rng, 100);

	if (dice < 60)
		return time;
	if (dice < 90)
		return time + (int64_t)env_below(rng, 30);
	return dice < 97 ? time - (int64_t)env_below(rng, 60) : time + (int64_t)env_below(rng, 4000);
}

START_TEST(declarations_make_sense)
{
	const struct cw_primitive *p = cw_primitives[_i];
	union cw_opt_value vals[CW_PRIMITIVE_OPTS_MAX];
	struct cw_err err;
	int n = 0;

	ck_assert_ptr_eq(cw_primitive_find(p->table, p->name), p);
	ck_assert_int_gt(p->version, 0);
	ck_assert_msg(p->doc != NULL && p->error != NULL && p->memory != NULL && p->source != NULL && p->example != NULL,
	              "%s.%s: a description is missing", p->table, p->name);
	ck_assert_ptr_nonnull(strstr(p->example, p->table));
	ck_assert_ptr_nonnull(p->open);
	ck_assert_ptr_nonnull(p->close);
	ck_assert_ptr_nonnull(p->drop);
	for (const struct cw_opt *o = p->opts; o->name != NULL; o++, n++) {
		ck_assert_msg(o->doc != NULL && o->doc[0] != '\0', "%s.%s: %s has no doc", p->table, p->name, o->name);
		if (o->type == CW_OPT_SPAN || o->type == CW_OPT_COUNT || o->type == CW_OPT_NUMBER)
			ck_assert_msg(o->min < o->max, "%s.%s: %s has no range", p->table, p->name, o->name);
	}
	ck_assert_int_le(n, CW_PRIMITIVE_OPTS_MAX);
	for (const struct cw_method *m = p->methods; m->name != NULL; m++) {
		ck_assert_msg(m->doc != NULL && m->doc[0] != '\0', "%s.%s:%s has no doc", p->table, p->name, m->name);
		ck_assert_ptr_nonnull(m->fn);
		if (m->result == CW_RESULT_TEXT)
			ck_assert_ptr_nonnull(p->text);
	}
	ck_assert_int_eq(options_for(p, 0, vals, &err), 0);
}
END_TEST

/* No two primitives share a name. */
START_TEST(names_are_unique)
{
	for (int i = 0; cw_primitives[i] != NULL; i++)
		for (int j = 0; j < i; j++)
			ck_assert(strcmp(cw_primitives[i]->table, cw_primitives[j]->table) != 0 ||
			          strcmp(cw_primitives[i]->name, cw_primitives[j]->name) != 0);
	ck_assert_ptr_null(cw_primitive_find("window", "nothing"));
}
END_TEST

START_TEST(writes_are_announced)
{
	for (int variant = 0; variant < 3; variant++) {
		struct machine m = machine_new(cw_primitives[_i], variant);
		struct cw_state_shadow shadow = { 0 };
		uint64_t rng = 7 + (uint64_t)_i;
		int64_t time = 1700000000;
		char name[64];

		name_of(name, m.p, variant);
		for (int i = 0; i < 400; i++) {
			struct cw_tx tx;

			time = next_time(&rng, time);
			tx = env_random_tx(&rng, time, variant == 2 ? 5 : 60);
			cw_state_shadow_take(&shadow, m.st);
			call_all(&m, &tx, &rng);
			ck_assert_msg(cw_state_check(m.st, &shadow) == -1, "%s: transaction %d wrote to %lld without touching it",
			              name, i, (long long)cw_state_check(m.st, &shadow));
			cw_state_mark(m.st, (uint64_t)i + 2, tx.block_number);
		}
		cw_state_shadow_release(&shadow);
		machine_end(&m);
	}
}
END_TEST

START_TEST(same_stream_gives_same_bytes_and_answers)
{
	for (int variant = 0; variant < 3; variant++) {
		struct machine m[2] = { machine_new(cw_primitives[_i], variant), machine_new(cw_primitives[_i], variant) };
		uint64_t rng[2] = { 99, 99 };
		int64_t time[2] = { 1700000000, 1700000000 };
		char name[64];

		name_of(name, m[0].p, variant);
		for (int i = 0; i < STREAM; i++) {
			uint64_t sum[2];

			for (int j = 0; j < 2; j++) {
				struct cw_tx tx;

				time[j] = next_time(&rng[j], time[j]);
				tx = env_random_tx(&rng[j], time[j], 80);
				sum[j] = call_all(&m[j], &tx, &rng[j]);
				/* batches of other sizes must not matter */
				if (i % (j == 0 ? 7 : 50) == 0)
					cw_state_mark(m[j].st, 5, tx.block_number);
			}
			ck_assert_msg(sum[0] == sum[1], "%s: answers differ at transaction %d", name, i);
		}
		for (int j = 0; j < 2; j++)
			cw_state_mark(m[j].st, 9, 0);
		ck_assert_uint_eq(cw_state_used(m[0].st), cw_state_used(m[1].st));
		for (int j = 0; j < 2; j++)
			m[j].p->close(m[j].h);
		/* the root is compared too; block and seq of the last mark are the same */
		ck_assert_msg(memcmp(cw_state_base(m[0].st), cw_state_base(m[1].st), cw_state_used(m[0].st)) == 0,
		              "%s: bytes differ", name);
		for (int j = 0; j < 2; j++)
			cw_state_close(&m[j].st);
	}
}
END_TEST

START_TEST(rewind_leaves_no_trace)
{
	for (int variant = 0; variant < 3; variant++) {
		struct machine m = machine_new(cw_primitives[_i], variant);
		uint64_t rng = 3 + (uint64_t)_i, seq = 1;
		int64_t time = 1700000000;
		char name[64];

		name_of(name, m.p, variant);
		for (int round = 0; round < 6; round++) {
			size_t used = cw_state_used(m.st);
			uint8_t *before = malloc(used);
			struct cw_state_mark mark;
			struct cw_err err = { 0 };
			uint64_t at = seq;

			memcpy(before, cw_state_base(m.st), used);
			for (int i = 0; i < 150; i++) {
				struct cw_tx tx;

				time = next_time(&rng, time);
				tx = env_random_tx(&rng, time, 60);
				call_all(&m, &tx, &rng);
				if (i % 10 == 9 && i < 145)
					cw_state_mark(m.st, ++seq, tx.block_number);
			}
			/* the last batch is left open */
			m.p->close(m.h);
			ck_assert(cw_state_find_seq(m.st, at, &mark));
			ck_assert_msg(cw_state_rewind(m.st, &mark, &err) == 0, "%s", err.msg);
			ck_assert_msg(memcmp(cw_state_base(m.st), before, used) == 0, "%s: a rewind left a trace", name);
			free(before);
			seq = at;
			m.h = m.p->open(m.st, m.root, m.vals, &err);
			ck_assert_msg(m.h != NULL, "%s", err.msg);
			/* go on from here, so that the next round starts with a past */
			for (int i = 0; i < 60; i++) {
				struct cw_tx tx;

				time = next_time(&rng, time);
				tx = env_random_tx(&rng, time, 60);
				call_all(&m, &tx, &rng);
			}
			cw_state_mark(m.st, ++seq, 0);
		}
		machine_end(&m);
	}
}
END_TEST

START_TEST(attaches_to_its_state)
{
	struct machine m = machine_new(cw_primitives[_i], 0), other = machine_new(cw_primitives[_i], 0);
	uint64_t rng = 5, rng2 = 5;
	int64_t time = 1700000000;
	struct cw_err err = { 0 };

	for (int i = 0; i < 300; i++) {
		struct cw_tx tx;
		uint64_t a, b, calls;

		time = next_time(&rng, time);
		tx = env_random_tx(&rng, time, 60);
		calls = rng2;
		a = call_all(&m, &tx, &rng2);
		b = call_all(&other, &tx, &calls);
		ck_assert_msg(a == b, "%s.%s: another answer after attaching", m.p->table, m.p->name);
		if (i % 40 == 39) {
			m.p->close(m.h);
			m.h = m.p->open(m.st, m.root, m.vals, &err);
			ck_assert_msg(m.h != NULL, "%s", err.msg);
		}
	}
	machine_end(&m);
	machine_end(&other);
}
END_TEST

START_TEST(drop_leaves_nothing)
{
	for (int variant = 0; variant < 3; variant++) {
		struct machine m = machine_new(cw_primitives[_i], variant);
		uint64_t rng = 11;
		int64_t time = 1700000000;

		for (int i = 0; i < 500; i++) {
			struct cw_tx tx;

			time = next_time(&rng, time);
			tx = env_random_tx(&rng, time, 200);
			call_all(&m, &tx, &rng);
		}
		m.p->drop(m.h);
		ck_assert_msg(cw_state_account(m.st, m.root->owner).bytes == 0, "%s.%s: %llu bytes are left", m.p->table,
		              m.p->name, (unsigned long long)cw_state_account(m.st, m.root->owner).bytes);
		ck_assert_uint_eq(cw_state_account(m.st, m.root->owner).keys, 0);
		ck_assert_uint_eq(m.root->ref, 0);
		cw_state_close(&m.st);
	}
}
END_TEST

/* A cap far too small must be answered with nil or fewer keys, not with a crash or a byte more. */
START_TEST(lives_within_its_cap)
{
	for (int variant = 0; variant < 2; variant++) {
		struct machine m = { .st = env_state(), .p = cw_primitives[_i] };
		struct cw_err err = { 0 };
		uint64_t rng = 13, cap = 96 << 10;
		int64_t time = 1700000000;
		uint8_t digest[16] = { 1 };

		ck_assert_int_eq(options_for(m.p, variant, m.vals, &err), 0);
		m.root = cw_state_root_open(m.st, "rule/state", digest);
		cw_state_set_cap(m.st, m.root->owner, cap);
		m.h = m.p->open(m.st, m.root, m.vals, &err);
		if (m.h == NULL) {
			ck_assert_int_eq(err.code, CW_ERR_BUSY);
			cw_state_close(&m.st);
			continue;
		}
		for (int i = 0; i < 1000; i++) {
			struct cw_tx tx;

			time = next_time(&rng, time);
			tx = env_random_tx(&rng, time, 2000);
			call_all(&m, &tx, &rng);
			if (i % 20 == 0)
				cw_state_mark(m.st, (uint64_t)i + 2, 0);
		}
		ck_assert_uint_le(cw_state_account(m.st, m.root->owner).bytes, cap);
		machine_end(&m);
	}
}
END_TEST

START_TEST(extreme_transactions_do_no_harm)
{
	static const int64_t times[] = { 0, 1, -1, INT64_MIN, INT64_MAX, 1ll << 32, (1ll << 32) - 1, 1700000000 };
	static const double odd[] = { -1, 0, 1e308, -1e308, INFINITY, -INFINITY, 0.5, 1e18 };

	for (int variant = 0; variant < 3; variant++) {
		struct machine m = machine_new(cw_primitives[_i], variant);
		uint64_t rng = 17;

		for (int i = 0; i < 200; i++) {
			struct cw_tx tx = env_random_tx(&rng, times[env_below(&rng, 8)], 5);

			if (env_below(&rng, 2) == 0)
				memset(tx.value.w, 0xff, sizeof(tx.value.w));
			if (env_below(&rng, 3) == 0)
				tx.nonce = tx.gas = tx.gas_used = tx.block_number = tx.chain_id = INT64_MAX;
			call_all(&m, &tx, &rng);
		}
		for (const struct cw_method *me = m.p->methods; me->name != NULL; me++) {
			struct cw_tx tx = env_random_tx(&rng, 1700000000, 5);

			for (int i = 0; i < 8; i++)
				me->fn(m.h, &tx, odd[i], odd[7 - i]);
		}
		machine_end(&m);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("primitives");
	TCase *tc = tcase_create("all");
	int n = 0;

	while (cw_primitives[n] != NULL)
		n++;
	tcase_set_timeout(tc, 60);
	suite_add_tcase(suite, tc);
	tcase_add_test(tc, names_are_unique);
	tcase_add_loop_test(tc, declarations_make_sense, 0, n);
	tcase_add_loop_test(tc, writes_are_announced, 0, n);
	tcase_add_loop_test(tc, same_stream_gives_same_bytes_and_answers, 0, n);
	tcase_add_loop_test(tc, rewind_leaves_no_trace, 0, n);
	tcase_add_loop_test(tc, attaches_to_its_state, 0, n);
	tcase_add_loop_test(tc, drop_leaves_nothing, 0, n);
	tcase_add_loop_test(tc, lives_within_its_cap, 0, n);
	tcase_add_loop_test(tc, extreme_transactions_do_no_harm, 0, n);
	return env_run(suite);
}
