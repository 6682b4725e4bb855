/* The keyed dictionary against a plain list, its evictions against their rule, and its refusals. */
#include "state/dict.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "support/statework.h"

#define OWNER 3

static struct cw_state *st;
static struct cw_dict *dict;
static struct cw_err err;
static cw_ref *root;

static void setup(void)
{
	st = statework_arena(4 << 20);
	root = cw_state_ptr(st, cw_state_alloc(st, 0, 16));
	dict = NULL;
	cw_err_clear(&err);
}

static void teardown(void)
{
	cw_dict_close(&dict);
	cw_state_close(&st);
}

static void open_dict(uint32_t value_size, uint32_t max_keys)
{
	struct cw_dict_conf conf = { .value_size = value_size, .max_keys = max_keys, .owner = OWNER };

	dict = cw_dict_open(st, &conf, root, &err);
	ck_assert_msg(dict != NULL, "%s", err.msg);
}

static struct cw_dict_key key_of(uint64_t n)
{
	struct cw_dict_key key = { { 0 } };

	memcpy(key.b, &n, sizeof(n));
	return key;
}

static uint64_t *put(uint64_t n, int64_t now)
{
	struct cw_dict_key key = key_of(n);
	uint64_t *value = cw_dict_upsert(dict, &key, now, NULL);

	if (value == NULL)
		ck_abort_msg("no room for key %lu", (unsigned long)n);
	return value;
}

static uint64_t *get(uint64_t n)
{
	struct cw_dict_key key = key_of(n);

	return cw_dict_find(dict, &key);
}

START_TEST(an_empty_one_has_nothing)
{
	uint32_t at = 0;
	struct cw_dict_key key = key_of(1);

	open_dict(8, 100);
	ck_assert_uint_ne(*root, 0);
	ck_assert_uint_eq(cw_dict_count(dict), 0);
	ck_assert(get(1) == NULL);
	ck_assert(!cw_dict_remove(dict, &key));
	ck_assert(!cw_dict_evict(dict));
	ck_assert(!cw_dict_next(dict, &at, NULL, NULL, NULL));
	ck_assert(cw_dict_ahead(dict, 7));
	cw_dict_fetch(dict, 7, &key);
	cw_dict_fetch_on(dict, 7, 1);
	cw_dict_fetch_on(dict, 7, 2);
}
END_TEST

/* Fetching stops where nobody looks up what was fetched, and goes on when somebody does. */
START_TEST(fetching_in_vain_stops)
{
	struct cw_dict_key key = key_of(1);
	unsigned slot = 0;

	open_dict(8, 100);
	for (int i = 0; i < 2000; i++)
		(void)cw_dict_ahead(dict, slot++);
	ck_assert(!cw_dict_ahead(dict, slot++));
	for (int i = 0; i < 2000; i++) {
		(void)cw_dict_ahead(dict, slot++);
		ck_assert_int_eq(cw_dict_find(dict, &key) != NULL, 0);
	}
	ck_assert(cw_dict_ahead(dict, slot++));
}
END_TEST

START_TEST(keys_differ_in_any_byte)
{
	open_dict(8, 1000);
	for (int i = 0; i < CW_DICT_KEY; i++) {
		struct cw_dict_key key = { { 0 } };
		uint64_t *value;

		key.b[i] = 1;
		value = cw_dict_upsert(dict, &key, 0, NULL);
		*value = (uint64_t)i;
	}
	ck_assert_uint_eq(cw_dict_count(dict), CW_DICT_KEY);
	for (int i = 0; i < CW_DICT_KEY; i++) {
		struct cw_dict_key key = { { 0 } };

		key.b[i] = 1;
		ck_assert_uint_eq(*(uint64_t *)cw_dict_find(dict, &key), (uint64_t)i);
	}
}
END_TEST

START_TEST(upsert_tells_new_from_old_and_keeps_the_later_time)
{
	struct cw_dict_key key = key_of(5);
	bool created;
	uint64_t *value;

	open_dict(24, 10);
	value = cw_dict_upsert(dict, &key, 100, &created);
	ck_assert(created && value[0] == 0 && value[1] == 0 && value[2] == 0);
	value[2] = 9;
	ck_assert_int_eq(cw_dict_time(value), 100);
	ck_assert(cw_dict_upsert(dict, &key, 90, &created) == value);
	ck_assert(!created);
	ck_assert_int_eq(cw_dict_time(value), 100);
	ck_assert(cw_dict_upsert(dict, &key, 110, NULL) == value);
	ck_assert_int_eq(cw_dict_time(value), 110);
	ck_assert_uint_eq(value[2], 9);
	ck_assert_uint_eq(cw_dict_count(dict), 1);
	ck_assert_uint_eq(cw_state_account(st, OWNER).keys, 1);
}
END_TEST

/* Every size of value, against an array. */
START_TEST(it_holds_what_a_plain_array_holds)
{
	static const uint32_t sizes[] = { 8, 24, 32, 88, 1000, 20000 };
	enum { KEYS = 300 };
	static struct { bool there; uint64_t first, last; uint64_t *place; } plain[KEYS];
	uint32_t size = sizes[_i], words = size / 8, live = 0;
	uint64_t random = 11;

	memset(plain, 0, sizeof(plain));
	open_dict(size, KEYS);
	for (int step = 0; step < 20000; step++) {
		uint64_t n = statework_random(&random) % KEYS, kind = statework_random(&random) % 4;
		struct cw_dict_key key = key_of(n * 77777);
		uint64_t *value;
		bool created;

		if (kind == 0) {
			if (cw_dict_remove(dict, &key) != plain[n].there)
				ck_abort_msg("removed key %lu at step %d", (unsigned long)n, step);
			live -= plain[n].there;
			plain[n].there = false;
		} else if (kind == 1) {
			value = cw_dict_find(dict, &key);
			if ((value != NULL) != plain[n].there || (value != NULL && value != plain[n].place))
				ck_abort_msg("key %lu at step %d", (unsigned long)n, step);
			if (value != NULL && (value[0] != plain[n].first || value[words - 1] != plain[n].last))
				ck_abort_msg("value of key %lu at step %d", (unsigned long)n, step);
		} else {
			value = cw_dict_upsert(dict, &key, step, &created);
			if (value == NULL || created == plain[n].there || (created && (value[0] != 0 || value[words - 1] != 0)))
				ck_abort_msg("insert of key %lu at step %d", (unsigned long)n, step);
			live += created;
			value[0] = statework_random(&random);
			value[words - 1] = statework_random(&random);
			plain[n].there = true;
			plain[n].first = value[0];
			plain[n].last = value[words - 1];
			plain[n].place = value;
		}
		if (cw_dict_count(dict) != live)
			ck_abort_msg("count at step %d", step);
		if (step % 300 == 0)
			cw_state_mark(st, (uint64_t)step, 0);
	}
	ck_assert_uint_eq(cw_state_account(st, OWNER).keys, live);
}
END_TEST

START_TEST(a_walk_meets_each_entry_once)
{
	static bool met[5000];
	uint32_t at = 0, n = 0;
	struct cw_dict_key key;
	void *value;
	int64_t time;

	memset(met, 0, sizeof(met));
	open_dict(16, 5000);
	for (uint64_t i = 0; i < 5000; i++)
		*put(i, (int64_t)i * 2) = i;
	for (uint64_t i = 0; i < 5000; i += 3) {
		key = key_of(i);
		ck_assert(cw_dict_remove(dict, &key));
	}
	while (cw_dict_next(dict, &at, &key, &value, &time)) {
		uint64_t i;

		memcpy(&i, key.b, sizeof(i));
		if (i >= 5000 || i % 3 == 0 || met[i] || *(uint64_t *)value != i || time != (int64_t)i * 2)
			ck_abort_msg("met %lu", (unsigned long)i);
		met[i] = true;
		n++;
	}
	ck_assert_uint_eq(n, cw_dict_count(dict));
}
END_TEST

START_TEST(the_oldest_of_eight_is_evicted)
{
	open_dict(8, 16);
	for (uint64_t i = 0; i < 16; i++)
		put(i, i == 5 ? 1 : i == 11 ? 2 : 50 + (int64_t)i);
	put(100, 200);             /* the hand looks at 0 to 7 */
	ck_assert(get(5) == NULL);
	put(101, 201);             /* 8 to 15 */
	ck_assert(get(11) == NULL);
	put(102, 202);             /* 0 to 7 again: key 100 took the place of 5 */
	ck_assert(get(0) == NULL && get(100) != NULL);
	ck_assert_uint_eq(cw_dict_count(dict), 16);
	ck_assert_uint_eq(cw_state_account(st, OWNER).evictions, 3);
	ck_assert_uint_eq(cw_state_account(st, OWNER).keys, 16);
}
END_TEST

START_TEST(ties_go_to_the_lower_number)
{
	open_dict(8, 8);
	for (uint64_t i = 0; i < 8; i++)
		put(i, 5);
	put(100, 5);
	ck_assert(get(0) == NULL);
	put(101, 9);               /* number 0 is key 100 now, as old as the others */
	ck_assert(get(100) == NULL && get(1) != NULL);
}
END_TEST

START_TEST(fewer_than_eight_entries)
{
	open_dict(8, 1);
	*put(1, 5) = 7;
	ck_assert_uint_eq(*put(1, 6), 7);
	ck_assert_uint_eq(*put(2, 7), 0);
	ck_assert(get(1) == NULL);
	ck_assert_uint_eq(cw_dict_count(dict), 1);
	cw_dict_close(&dict);
	*root = 0;
	open_dict(8, 3);
	for (uint64_t i = 0; i < 50; i++)
		put(i, (int64_t)i);
	ck_assert_uint_eq(cw_dict_count(dict), 3);
	ck_assert(get(49) != NULL);
}
END_TEST

/* Eviction does not depend on the hash: two seeds, the same keys survive. */
START_TEST(evictions_do_not_depend_on_the_seed)
{
	struct cw_state_conf conf = *cw_state_conf(st);
	struct cw_dict_conf dict_conf = { .value_size = 8, .max_keys = 500, .owner = OWNER };
	struct cw_state *other;
	struct cw_dict *twin;
	cw_ref *other_root;
	uint64_t random = 2;

	conf.hash_seed = 0x123456789abcdefull;
	other = cw_state_new(&conf, &err);
	other_root = cw_state_ptr(other, cw_state_alloc(other, 0, 16));
	twin = cw_dict_open(other, &dict_conf, other_root, &err);
	open_dict(8, 500);
	for (int64_t i = 0; i < 20000; i++) {
		struct cw_dict_key key = key_of(statework_random(&random) % 3000);
		bool a, b;

		cw_dict_upsert(dict, &key, i, &a);
		cw_dict_upsert(twin, &key, i, &b);
		if (a != b)
			ck_abort_msg("step %ld", (long)i);
	}
	for (uint64_t n = 0; n < 3000; n++) {
		struct cw_dict_key key = key_of(n);

		if ((cw_dict_find(dict, &key) == NULL) != (cw_dict_find(twin, &key) == NULL))
			ck_abort_msg("key %lu", (unsigned long)n);
	}
	cw_dict_close(&twin);
	cw_state_close(&other);
}
END_TEST

START_TEST(the_owners_cap_evicts_too)
{
	cw_state_set_cap(st, OWNER, 300 << 10);
	open_dict(200, 1000000);
	for (uint64_t i = 0; i < 20000; i++) {
		*put(i, (int64_t)i) = i;
		if (get(i) == NULL || *get(i) != i)
			ck_abort_msg("key %lu is not there", (unsigned long)i);
	}
	ck_assert_uint_le(cw_state_account(st, OWNER).bytes, 300 << 10);
	ck_assert_uint_gt(cw_dict_count(dict), 900);
	ck_assert_uint_eq(cw_state_account(st, OWNER).refused, 0);
	ck_assert_uint_eq(cw_state_account(st, OWNER).evictions, 20000 - cw_dict_count(dict));
}
END_TEST

START_TEST(no_memory_and_nothing_to_evict)
{
	struct cw_dict_key key = key_of(1);
	struct cw_dict_conf conf = { .value_size = 8, .max_keys = 10, .owner = OWNER };
	bool created;

	open_dict(1000, 100);
	cw_state_set_cap(st, OWNER, cw_state_account(st, OWNER).bytes);
	ck_assert(cw_dict_upsert(dict, &key, 1, &created) == NULL);
	ck_assert(get(1) == NULL);
	cw_dict_close(&dict);
	*root = 0;
	dict = cw_dict_open(st, &conf, root, &err);
	ck_assert(dict == NULL);
	ck_assert_int_eq(err.code, CW_ERR_BUSY);
	ck_assert_str_eq(err.msg, "could not make a dictionary: no memory left for owner 3");
	ck_assert_uint_eq(*root, 0);
}
END_TEST

START_TEST(settings_are_checked)
{
	static const struct cw_dict_conf wrong[] = {
		{ .value_size = 8, .max_keys = 0 },
		{ .value_size = 8, .max_keys = (1u << 30) + 1 },
		{ .value_size = (1u << 20) + 1, .max_keys = 1 },
		{ .value_size = 8, .max_keys = 1, .owner = CW_STATE_OWNERS },
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		ck_assert(cw_dict_open(st, &wrong[i], root, &err) == NULL);
		ck_assert_int_eq(err.code, CW_ERR_INVALID);
	}
	ck_assert_uint_eq(*root, 0);
}
END_TEST

START_TEST(another_handle_finds_the_same)
{
	struct cw_dict_conf conf = { .value_size = 24, .max_keys = 50, .owner = OWNER };
	struct cw_dict *other;
	struct cw_dict_key key = key_of(3);

	open_dict(24, 50);
	*put(3, 1) = 33;
	other = cw_dict_open(st, &conf, root, &err);
	ck_assert(other != NULL);
	ck_assert_uint_eq(*(uint64_t *)cw_dict_find(other, &key), 33);
	cw_dict_close(&other);
	conf.max_keys = 51;
	ck_assert(cw_dict_open(st, &conf, root, &err) == NULL);
	ck_assert_str_eq(err.msg, "dictionary was made with value_size 24, max_keys 50, owner 3, not 24, 51, 3");
}
END_TEST

START_TEST(a_root_that_leads_astray_is_refused)
{
	struct cw_dict_conf conf = { .value_size = 24, .max_keys = 50, .owner = OWNER };
	cw_ref wrong[] = { 1, 4, 5, UINT32_MAX, UINT32_MAX - 3 };

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		ck_assert(cw_dict_open(st, &conf, &wrong[i], &err) == NULL);
		ck_assert_int_eq(err.code, CW_ERR_INTERNAL);
	}
}
END_TEST

static int evicted;

static void count_evicted(struct cw_state *state, uint32_t owner, void *value, void *arg)
{
	ck_assert(state == st);
	ck_assert_uint_eq(owner, OWNER);
	ck_assert_ptr_eq(arg, &evicted);
	ck_assert_uint_eq(*(uint64_t *)value, 4711);
	evicted++;
}

START_TEST(every_value_that_goes_is_told)
{
	struct cw_dict_conf conf = { .value_size = 8, .max_keys = 20, .owner = OWNER, .evict = count_evicted,
		.evict_arg = &evicted };
	struct cw_dict_key key = key_of(29);

	dict = cw_dict_open(st, &conf, root, &err);
	evicted = 0;
	for (uint64_t i = 0; i < 30; i++)
		*put(i, (int64_t)i) = 4711;
	ck_assert_int_eq(evicted, 10);
	ck_assert(cw_dict_remove(dict, &key));
	ck_assert_int_eq(evicted, 11);
	ck_assert(cw_dict_evict(dict));
	ck_assert_int_eq(evicted, 12);
	ck_assert_uint_eq(cw_dict_count(dict), 18);
	cw_dict_drop(&dict, root);
	ck_assert_int_eq(evicted, 30);
	ck_assert(dict == NULL);
	ck_assert_uint_eq(*root, 0);
	ck_assert_uint_eq(cw_state_account(st, OWNER).bytes, 0);
	ck_assert_uint_eq(cw_state_account(st, OWNER).keys, 0);
}
END_TEST

START_TEST(drop_gives_everything_back)
{
	size_t used = 0;

	for (int round = 0; round < 5; round++) {
		open_dict(24, 30000);
		for (uint64_t i = 0; i < 30000; i++)
			put(i, (int64_t)i);
		cw_dict_drop(&dict, root);
		ck_assert_uint_eq(cw_state_account(st, OWNER).bytes, 0);
		if (round == 0)
			used = cw_state_used(st);
		ck_assert_uint_eq(cw_state_used(st), used);
	}
}
END_TEST

START_TEST(small_ones_are_small)
{
	open_dict(24, 1);
	put(1, 1);
	ck_assert_uint_le(cw_state_account(st, OWNER).bytes, 256);
	cw_dict_drop(&dict, root);
	open_dict(4096, 1000);
	put(1, 1);
	ck_assert_uint_le(cw_state_account(st, OWNER).bytes, 72 << 10);
}
END_TEST

START_TEST(a_million_keys_take_less_than_70_mib)
{
	struct cw_state_conf conf = { .max_bytes = 256 << 20, .journal_bytes = 1 << 20 };

	cw_state_close(&st);
	st = cw_state_new(&conf, &err);
	root = cw_state_ptr(st, cw_state_alloc(st, 0, 16));
	open_dict(24, 1000000);
	for (uint64_t i = 0; i < 1000000; i++) {
		put(i, (int64_t)i);
		if (i % 1000 == 0)
			cw_state_mark(st, i, i);
	}
	ck_assert_uint_eq(cw_dict_count(dict), 1000000);
	ck_assert_uint_le(cw_state_used(st), 70 << 20);
	for (uint64_t i = 0; i < 1000000; i += 997)
		ck_assert(get(i) != NULL);
}
END_TEST

/* No insert may touch much: growth is spread over all of them. */
START_TEST(growth_never_stalls)
{
	uint64_t largest = 0, before = 0;

	open_dict(24, 100000);
	for (uint64_t i = 0; i < 100000; i++) {
		uint64_t depth;

		cw_state_mark(st, i + 1, i);
		before = cw_state_journal_depth(st);
		put(i, (int64_t)i);
		depth = cw_state_journal_depth(st);
		if (depth > before && depth - before > largest)
			largest = depth - before;
	}
	/* About ten granules, and the directory once it doubles: nothing like a table of 100000 buckets. */
	ck_assert_uint_lt(largest, 2000);
}
END_TEST

START_TEST(old_values_are_touched_as_asked)
{
	struct cw_dict_conf conf = { .value_size = 640, .max_keys = 10, .owner = OWNER };
	struct cw_dict_key key = key_of(1);
	uint64_t before;

	open_dict(640, 10);
	put(1, 1);
	cw_state_mark(st, 1, 1);
	before = cw_state_journal_depth(st);
	put(1, 2);
	ck_assert_uint_eq(cw_state_journal_depth(st) - before, 11 * 72);
	cw_dict_close(&dict);

	conf.touch_parts = true;
	dict = cw_dict_open(st, &conf, root, &err);
	cw_state_mark(st, 2, 2);
	before = cw_state_journal_depth(st);
	ck_assert(cw_dict_upsert(dict, &key, 2, NULL) != NULL);
	ck_assert_uint_eq(cw_state_journal_depth(st) - before, 0);
	ck_assert(cw_dict_upsert(dict, &key, 3, NULL) != NULL);
	ck_assert_uint_eq(cw_state_journal_depth(st) - before, 72);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("dict");
	TCase *tc = tcase_create("dict");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, an_empty_one_has_nothing);
	tcase_add_test(tc, fetching_in_vain_stops);
	tcase_add_test(tc, keys_differ_in_any_byte);
	tcase_add_test(tc, upsert_tells_new_from_old_and_keeps_the_later_time);
	tcase_add_loop_test(tc, it_holds_what_a_plain_array_holds, 0, 6);
	tcase_add_test(tc, a_walk_meets_each_entry_once);
	tcase_add_test(tc, the_oldest_of_eight_is_evicted);
	tcase_add_test(tc, ties_go_to_the_lower_number);
	tcase_add_test(tc, fewer_than_eight_entries);
	tcase_add_test(tc, evictions_do_not_depend_on_the_seed);
	tcase_add_test(tc, the_owners_cap_evicts_too);
	tcase_add_test(tc, no_memory_and_nothing_to_evict);
	tcase_add_test(tc, settings_are_checked);
	tcase_add_test(tc, another_handle_finds_the_same);
	tcase_add_test(tc, a_root_that_leads_astray_is_refused);
	tcase_add_test(tc, every_value_that_goes_is_told);
	tcase_add_test(tc, drop_gives_everything_back);
	tcase_add_test(tc, small_ones_are_small);
	tcase_add_test(tc, a_million_keys_take_less_than_70_mib);
	tcase_add_test(tc, growth_never_stalls);
	tcase_add_test(tc, old_values_are_touched_as_asked);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
