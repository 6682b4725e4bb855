#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/core.h"

static void key_of(uint8_t key[ITEM_KEY], unsigned n)
{
	memset(key, 0, ITEM_KEY);
	memcpy(key + 8, &n, sizeof(n));
}

/* Against the plain definition: the newest `limit` that were added and not removed. */
START_TEST(holds_the_newest)
{
	enum { LIMIT = 100, KEYS = 400 };
	struct recent *r = cw_recent_new(LIMIT);
	unsigned ring[LIMIT], head = 0, n = 0;
	bool used[LIMIT] = { false };
	uint8_t key[ITEM_KEY];

	srandom(11);
	for (int step = 0; step < 40000; step++) {
		unsigned k = (unsigned)random() % KEYS, at = 0;

		for (at = 0; at < LIMIT && !(used[at] && ring[at] == k); at++)
			;
		key_of(key, k);
		ck_assert_msg(cw_recent_has(r, key) == (at < LIMIT), "key %u at step %d", k, step);
		if (random() % 5 == 0) {
			cw_recent_remove(r, key);
			if (at < LIMIT)
				used[at] = false;
		} else {
			cw_recent_add(r, key);
			if (at == LIMIT) {
				ring[head] = k;
				used[head] = true;
				head = (head + 1) % LIMIT;
				n++;
			}
		}
	}
	ck_assert_uint_gt(n, 1000);
	cw_recent_free(&r);
	ck_assert_ptr_null(r);
}
END_TEST

START_TEST(chain_and_hash_both_count)
{
	struct recent *r = cw_recent_new(10);
	uint8_t key[ITEM_KEY];

	key_of(key, 1);
	cw_recent_add(r, key);
	key[0] = 1;
	ck_assert(!cw_recent_has(r, key));
	key[0] = 0;
	key[ITEM_KEY - 1] = 1;
	ck_assert(!cw_recent_has(r, key));
	key[ITEM_KEY - 1] = 0;
	ck_assert(cw_recent_has(r, key));
	cw_recent_free(&r);
}
END_TEST

START_TEST(none_and_one)
{
	struct recent *r = cw_recent_new(0);
	uint8_t key[ITEM_KEY], other[ITEM_KEY];

	key_of(key, 1);
	key_of(other, 2);
	cw_recent_add(r, key);
	ck_assert(!cw_recent_has(r, key));
	cw_recent_remove(r, key);
	cw_recent_resize(r, 1);
	cw_recent_add(r, key);
	cw_recent_add(r, key);
	ck_assert(cw_recent_has(r, key));
	cw_recent_add(r, other);
	ck_assert(!cw_recent_has(r, key) && cw_recent_has(r, other));
	cw_recent_free(&r);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("recent");
	TCase *tc = tcase_create("recent");
	SRunner *runner = srunner_create(s);
	int failed;

	tcase_add_test(tc, holds_the_newest);
	tcase_add_test(tc, chain_and_hash_both_count);
	tcase_add_test(tc, none_and_one);
	suite_add_tcase(s, tc);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
