/* Steps against all subsequences, repetitions, nonces, sandwiches against all triples. */
#include "support/detect_env.h"

static struct cw_state *st;

static void up(void)
{
	st = env_state();
}

static void down(void)
{
	cw_state_close(&st);
}

START_TEST(steps_in_order_and_time)
{
	struct env_handle e = env_open(st, "sequence.steps", "key=from;steps=3;span=100s");
	struct cw_tx tx = env_tx(1, 2, 1000, 0);

	ck_assert_double_eq(env_call1(&e, "step", &tx, 2), 0);   /* not without the first */
	ck_assert_double_eq(env_call1(&e, "step", &tx, 1), 1);
	ck_assert_double_eq(env_call1(&e, "step", &tx, 3), 0);
	tx.timestamp = 1050;
	ck_assert_double_eq(env_call1(&e, "step", &tx, 2), 2);
	ck_assert_double_eq(env_call(&e, "done", &tx), 2);
	tx.timestamp = 1101;                                     /* the first was 101 s ago */
	ck_assert_double_eq(env_call1(&e, "step", &tx, 3), 0);
	ck_assert_double_eq(env_call(&e, "done", &tx), 0);
	ck_assert(isnan(env_call1(&e, "step", &tx, 4)));
	ck_assert(isnan(env_call1(&e, "step", &tx, 0)));
	ck_assert(isnan(env_call(&e, "step", &tx)));
	env_close(&e);
}
END_TEST

START_TEST(clear_forbids_what_was_begun)
{
	struct env_handle e = env_open(st, "sequence.steps", "key=from;span=100s");
	struct cw_tx tx = env_tx(1, 2, 1000, 0), to = env_tx(2, 1, 1000, 0);

	env_call1(&e, "step", &tx, 1);
	ck_assert_double_eq(env_call1(&e, "clear", &to, CW_FIELD_TO), 1);
	ck_assert_double_eq(env_call1(&e, "step", &tx, 2), 0);
	env_call1(&e, "step", &tx, 1);
	ck_assert_double_eq(env_call1(&e, "step", &tx, 2), 2);
	ck_assert_double_eq(env_call1(&e, "step", &tx, 2), 0);   /* done is done */
	env_close(&e);
}
END_TEST

/* A run of steps 1..n ends at event i if some earlier events, after the last finished run, are steps 1..n-1 in order
 * and within the span. */
START_TEST(steps_find_every_run_there_is)
{
	for (uint64_t seed = 1; seed <= 30; seed++) {
		struct env_handle e = env_open(st, "sequence.steps", "key=from;steps=3;span=20s");
		struct { int step; int64_t time; } events[300];
		uint64_t rng = seed;
		int64_t time = 1000;
		int since = 0;

		for (int i = 0; i < 300; i++) {
			struct cw_tx tx;
			bool found = false;

			events[i].step = 1 + (int)env_below(&rng, 3);
			events[i].time = time += (int64_t)env_below(&rng, 8);
			tx = env_tx(seed + 10, 2, time, 0);
			for (int j = since; events[i].step == 3 && j < i; j++)
				for (int k = j + 1; k < i; k++)
					found |= events[j].step == 1 && events[k].step == 2 && time - events[j].time <= 20;
			ck_assert_int_eq(env_call1(&e, "step", &tx, events[i].step) == 3, found);
			if (found)
				since = i + 1;
		}
		env_close(&e);
	}
}
END_TEST

START_TEST(repeats_count_a_run)
{
	struct env_handle e = env_open(st, "sequence.repeats", "key=from;of=to+selector;span=60s");
	struct cw_tx tx = env_tx(1, 2, 1000, 0), other, plain;

	tx.input_size = tx.input_head_size = 4;
	memcpy(tx.input_head, "\xa9\x05\x9c\xbb", 4);
	other = plain = tx;
	other.input_head[0] = 1;
	plain.input_head_size = 0;
	for (int i = 1; i <= 3; i++, tx.timestamp += 30)
		ck_assert_double_eq(env_call(&e, "add", &tx), i);
	ck_assert_double_eq(env_call(&e, "length", &tx), 60);
	other.timestamp = plain.timestamp = tx.timestamp;
	ck_assert_double_eq(env_call(&e, "add", &other), 1);
	ck_assert_double_eq(env_call(&e, "add", &plain), 1);
	ck_assert_double_eq(env_call(&e, "add", &plain), 2);
	ck_assert_double_eq(env_call(&e, "add", &tx), 1);
	tx.timestamp += 61;
	ck_assert_double_eq(env_call(&e, "count", &tx), 0);
	ck_assert_double_eq(env_call(&e, "add", &tx), 1);
	env_close(&e);
}
END_TEST

static double send_nonce(struct env_handle *e, uint64_t nonce, bool *replaces)
{
	struct cw_tx tx = env_tx(1, 2, 1000, 0);

	tx.nonce = nonce;
	*replaces = env_call(e, "replaces", &tx) != 0;
	return env_call(e, "add", &tx);
}

START_TEST(nonces_tell_gaps_late_ones_and_replacements)
{
	struct env_handle e = env_open(st, "sequence.nonce", "");
	struct cw_tx tx = env_tx(1, 2, 1000, 0);
	bool again;

	ck_assert(isnan(send_nonce(&e, 7, &again)));
	ck_assert(!again);
	ck_assert_double_eq(send_nonce(&e, 8, &again), 0);
	ck_assert_double_eq(send_nonce(&e, 12, &again), 3);
	ck_assert_double_eq(env_call(&e, "missing", &tx), 3);
	ck_assert_double_eq(send_nonce(&e, 10, &again), -3);
	ck_assert(!again);
	ck_assert_double_eq(env_call(&e, "missing", &tx), 2);
	ck_assert_double_eq(send_nonce(&e, 10, &again), -3);
	ck_assert(again);
	ck_assert_double_eq(send_nonce(&e, 12, &again), -1);
	ck_assert(again);
	ck_assert_double_eq(send_nonce(&e, 12 + 64, &again), 63);
	ck_assert_double_eq(env_call(&e, "missing", &tx), 0);
	ck_assert_double_eq(send_nonce(&e, 12, &again), -65);
	ck_assert(!again);                             /* too far back to know */
	ck_assert_double_eq(send_nonce(&e, INT64_MAX, &again), (double)INT64_MAX - 77);
	env_close(&e);
}
END_TEST

struct trade { uint64_t sender; uint32_t index; uint64_t price; };

/* Others between the sender's last trade before this one and this one. */
static int victims(const struct trade *t, int n, const struct trade *last, bool priced)
{
	const struct trade *front = NULL;
	uint64_t dearest = 0;
	int between = 0;

	for (int i = 0; i < n; i++)
		if (t[i].sender == last->sender && t[i].index < last->index && (front == NULL || t[i].index > front->index))
			front = &t[i];
	for (int i = 0; front != NULL && i < n; i++)
		if (t[i].sender != last->sender && t[i].index > front->index && t[i].index < last->index) {
			between++;
			dearest = t[i].price > dearest ? t[i].price : dearest;
		}
	return priced && between > 0 && front->price < dearest ? 0 : between;
}

START_TEST(sandwiches_are_all_found)
{
	struct env_handle e[2] = { env_open(st, "sequence.sandwich", ""), env_open(st, "sequence.sandwich", "priced=true") };
	uint64_t rng = 3;
	int found = 0;

	for (int block = 1; block < 300; block++) {
		struct trade t[16];
		int n = 2 + (int)env_below(&rng, 14);

		for (int i = 0; i < n; i++) {
			t[i] = (struct trade){ 1 + env_below(&rng, 4), (uint32_t)i, 1 + env_below(&rng, 5) };
			if (i > 0 && env_below(&rng, 5) == 0) {   /* two arrive in the wrong order */
				t[i].index--;
				t[i - 1].index++;
			}
		}
		for (int i = 0; i < n; i++) {
			struct cw_tx tx = env_tx(t[i].sender, 99, 10000 + block * 12, 0);

			tx.block_number = (uint64_t)block;
			tx.has |= CW_TX_HAS_INDEX;
			tx.index = t[i].index;
			tx.gas_price = cw_u256_from_u64(t[i].price);
			for (int priced = 0; priced < 2; priced++) {
				int want = victims(t, i, &t[i], priced);

				ck_assert_double_eq(env_call(&e[priced], "add", &tx), want);
				found += want > 0;
			}
		}
	}
	ck_assert_int_gt(found, 300);
	env_close(&e[0]);
	env_close(&e[1]);
}
END_TEST

START_TEST(sandwich_needs_one_block_and_one_place)
{
	struct env_handle e = env_open(st, "sequence.sandwich", "");
	struct cw_tx a = env_tx(1, 9, 1200, 0), b = env_tx(2, 9, 1200, 0), elsewhere = env_tx(1, 8, 1200, 0);

	env_call(&e, "add", &a);
	env_call(&e, "add", &b);
	ck_assert_double_eq(env_call(&e, "add", &elsewhere), 0);
	a.block_number++;
	ck_assert_double_eq(env_call(&e, "add", &a), 0);
	ck_assert_double_eq(env_call(&e, "count", &a), 1);
	ck_assert_double_eq(env_call(&e, "add", &b), 0);   /* of the block before: forgotten */
	ck_assert_double_eq(env_call(&e, "count", &a), 1);
	env_close(&e);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sequence");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, up, down);
	tcase_set_timeout(tc, 30);
	suite_add_tcase(suite, tc);
	tcase_add_test(tc, steps_in_order_and_time);
	tcase_add_test(tc, clear_forbids_what_was_begun);
	tcase_add_test(tc, steps_find_every_run_there_is);
	tcase_add_test(tc, repeats_count_a_run);
	tcase_add_test(tc, nonces_tell_gaps_late_ones_and_replacements);
	tcase_add_test(tc, sandwiches_are_all_found);
	tcase_add_test(tc, sandwich_needs_one_block_and_one_place);
	return env_run(suite);
}
