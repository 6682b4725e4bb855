/* Which alerts live: the cool-down in event time, and that state alone decides it. */
#include "pipeline/living.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "chain/tx.h"
#include "support/rules.h"

#define HOUR 3600

static struct cw_state *st;
static struct cw_living *living;
static struct cw_err err;
static uint64_t seq;

static void open_with(int64_t cooldown_s)
{
	struct cw_state_root *root;
	uint8_t digest[16];

	cw_living_digest(cooldown_s, digest);
	root = cw_state_root_open(st, "x.y/!alerts", digest);
	living = cw_living_open(st, root, cooldown_s, &err);
	ck_assert_msg(living != NULL, "%s", err.msg);
}

static void setup(void)
{
	st = rules_arena();
	living = NULL;
	seq = 0;
	open_with(HOUR);
}

static void teardown(void)
{
	cw_living_close(&living);
	cw_state_close(&st);
}

/* Fires at `at` seconds; the founder of the alert. */
static struct cw_alert fire_on(uint64_t chain, int64_t at, const char *dedup, enum cw_severity severity)
{
	struct cw_alert alert = { .severity = severity, .dedup = dedup };
	struct cw_tx tx = rules_tx(++seq, 1, 2);

	tx.chain_id = chain;
	tx.timestamp = 1700000000 + at;
	cw_living_note(living, &tx, &alert);
	cw_state_mark(st, seq, 0);
	return alert;
}

static uint64_t founder(int64_t at, const char *dedup)
{
	return fire_on(1, at, dedup, CW_SEVERITY_LOW).founder;
}

START_TEST(one_alert_within_the_cool_down)
{
	struct cw_alert last;

	ck_assert_uint_eq(founder(0, "a"), 1);
	ck_assert_uint_eq(founder(10, "a"), 1);
	ck_assert_uint_eq(founder(10 + HOUR - 1, "a"), 1);
	last = fire_on(1, 10 + HOUR, "a", CW_SEVERITY_LOW);
	ck_assert_uint_eq(last.founder, 1);
	ck_assert_uint_eq(last.occurrences, 4);
}
END_TEST

START_TEST(a_quiet_hour_ends_it)
{
	ck_assert_uint_eq(founder(0, "a"), 1);
	ck_assert_uint_eq(founder(HOUR, "a"), 2);
	ck_assert_uint_eq(founder(HOUR + 1, "a"), 2);
}
END_TEST

START_TEST(keys_and_chains_are_apart)
{
	ck_assert_uint_eq(founder(0, "a"), 1);
	ck_assert_uint_eq(founder(1, "b"), 2);
	ck_assert_uint_eq(fire_on(2, 2, "a", CW_SEVERITY_LOW).founder, 3);
	ck_assert_uint_eq(founder(3, "a"), 1);
}
END_TEST

START_TEST(without_key_each_stands_alone)
{
	ck_assert_uint_eq(founder(0, ""), 1);
	ck_assert_uint_eq(founder(1, ""), 2);
	ck_assert_uint_eq(founder(2, NULL), 3);
}
END_TEST

START_TEST(without_cool_down_each_stands_alone)
{
	cw_living_close(&living);
	open_with(0);
	ck_assert_uint_eq(founder(0, "a"), 1);
	ck_assert_uint_eq(founder(0, "a"), 2);
}
END_TEST

START_TEST(an_endless_attack_is_founded_anew_after_a_day)
{
	uint64_t first = 0, founders = 0;

	for (int64_t at = 0; at < 3 * 86400; at += 600) {
		uint64_t f = founder(at, "a");

		founders += f != first;
		first = f;
	}
	ck_assert_uint_eq(founders, 3);
}
END_TEST

START_TEST(late_ones_belong_to_it_but_not_those_of_another_time)
{
	ck_assert_uint_eq(founder(10 * HOUR, "a"), 1);
	ck_assert_uint_eq(founder(10 * HOUR - 60, "a"), 1);
	ck_assert_uint_eq(founder(10 * HOUR + HOUR - 1, "a"), 1);
	ck_assert_uint_eq(founder(0, "a"), 4);
}
END_TEST

START_TEST(severity_rises_once_a_step)
{
	ck_assert_uint_eq(fire_on(1, 0, "a", CW_SEVERITY_LOW).flags, 0);
	ck_assert_uint_eq(fire_on(1, 1, "a", CW_SEVERITY_LOW).flags, 0);
	ck_assert_uint_eq(fire_on(1, 2, "a", CW_SEVERITY_CRITICAL).flags, CW_ALERT_ROSE);
	ck_assert_uint_eq(fire_on(1, 3, "a", CW_SEVERITY_CRITICAL).flags, 0);
	ck_assert_uint_eq(fire_on(1, 4, "a", CW_SEVERITY_HIGH).flags, 0);
}
END_TEST

/* The longest quiet one is forgotten, whatever comes in. */
START_TEST(keys_are_bounded)
{
	char dedup[32];

	for (int i = 0; i < CW_LIVING_KEYS + 100; i++) {
		snprintf(dedup, sizeof(dedup), "%d", i);
		ck_assert_uint_eq(founder(i / 100, dedup), (uint64_t)i + 1);
	}
	ck_assert_uint_eq(founder(700, dedup), CW_LIVING_KEYS + 100);
	ck_assert_uint_le(cw_state_account(st, 1).keys, CW_LIVING_KEYS);
}
END_TEST

static uint64_t step(uint64_t *rng, struct cw_alert *out)
{
	static const char *const keys[] = { "a", "b", "c", "d", "" };
	uint64_t x = *rng = *rng * 6364136223846793005u + 1442695040888963407u;

	*out = fire_on(1 + (x >> 60) % 2, (int64_t)(seq * 97) + (int64_t)(x >> 33) % 4000, keys[(x >> 40) % 5],
	               (enum cw_severity)((x >> 50) % 4));
	return x;
}

/* Rewound anywhere and fed the same again, it says the same and its bytes are the same. */
START_TEST(rewind_and_replay_agree)
{
	static struct cw_alert said[400];
	uint8_t *after = malloc(cw_state_used(st) + (1u << 20));

	for (int round = 0; round < 40; round++) {
		uint64_t rng = (uint64_t)round * 77 + 1, from, resume = 0;
		struct cw_state_mark mark;
		size_t used;

		cw_living_close(&living);
		cw_state_reset(st);
		open_with(HOUR);
		seq = 0;
		from = 50 + (uint64_t)round * 7;
		for (uint64_t i = 0; i < 400; i++) {
			if (i == from)
				resume = rng;
			step(&rng, &said[i]);
		}
		used = cw_state_used(st);
		memcpy(after, cw_state_base(st), used);
		ck_assert(cw_state_find_seq(st, from, &mark) && mark.seq == from);
		cw_living_close(&living);
		ck_assert_int_eq(cw_state_rewind(st, &mark, &err), 0);
		open_with(HOUR);
		seq = from;
		for (uint64_t i = from; i < 400; i++) {
			struct cw_alert again;

			step(&resume, &again);
			ck_assert_uint_eq(again.founder, said[i].founder);
			ck_assert_uint_eq(again.occurrences, said[i].occurrences);
			ck_assert_uint_eq(again.flags, said[i].flags);
		}
		ck_assert_uint_eq(cw_state_used(st), used);
		ck_assert_int_eq(memcmp(after, cw_state_base(st), used), 0);
	}
	free(after);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("living");
	TCase *tc = tcase_create("living");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, one_alert_within_the_cool_down);
	tcase_add_test(tc, a_quiet_hour_ends_it);
	tcase_add_test(tc, keys_and_chains_are_apart);
	tcase_add_test(tc, without_key_each_stands_alone);
	tcase_add_test(tc, without_cool_down_each_stands_alone);
	tcase_add_test(tc, an_endless_attack_is_founded_anew_after_a_day);
	tcase_add_test(tc, late_ones_belong_to_it_but_not_those_of_another_time);
	tcase_add_test(tc, severity_rises_once_a_step);
	tcase_add_test(tc, keys_are_bounded);
	tcase_add_test(tc, rewind_and_replay_agree);
	suite_add_tcase(s, tc);
	runner = srunner_create(s);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
