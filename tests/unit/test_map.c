#include "base/map.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct cw_map *map;
static int values[4];

static void setup(void)
{
	map = cw_map_new();
}

static void teardown(void)
{
	cw_map_free(&map);
	ck_assert_ptr_null(map);
	cw_map_free(&map);
}

START_TEST(put_get_take)
{
	ck_assert_ptr_null(cw_map_get(map, "a", 1));
	ck_assert_ptr_null(cw_map_put(map, "a", 1, &values[0]));
	ck_assert_ptr_eq(cw_map_get(map, "a", 1), &values[0]);
	ck_assert_ptr_eq(cw_map_put(map, "a", 1, &values[1]), &values[0]);
	ck_assert_uint_eq(cw_map_count(map), 1);
	ck_assert_ptr_eq(cw_map_take(map, "a", 1), &values[1]);
	ck_assert_ptr_null(cw_map_take(map, "a", 1));
	ck_assert_uint_eq(cw_map_count(map), 0);
}
END_TEST

START_TEST(keys_are_bytes_and_copied)
{
	char key[3] = { 'a', '\0', 'b' };

	cw_map_put(map, key, 3, &values[0]);
	cw_map_put(map, key, 2, &values[1]);
	cw_map_put(map, "", 0, &values[2]);
	key[0] = 'z';
	ck_assert_ptr_eq(cw_map_get(map, "a\0b", 3), &values[0]);
	ck_assert_ptr_eq(cw_map_get(map, "a\0", 2), &values[1]);
	ck_assert_ptr_eq(cw_map_get(map, "", 0), &values[2]);
	ck_assert_ptr_null(cw_map_get(map, "a\0c", 3));
}
END_TEST

/* Against an array: random puts and takes over a small key space, so that gaps are closed all the time. */
START_TEST(behaves_like_an_array)
{
	enum { KEYS = 500 };
	static void *want[KEYS];
	static int payload[KEYS];
	unsigned state = 7;
	size_t count = 0;

	for (int i = 0; i < 200000; i++) {
		unsigned key, full_phase = (unsigned)(i / 20000) % 2;

		state = state * 1103515245 + 12345;
		key = (state >> 16) % KEYS;
		if ((state >> 8) % 4 < (full_phase ? 3u : 1u)) {
			if (cw_map_put(map, &key, sizeof(key), &payload[key]) != want[key])
				ck_abort_msg("put %d", i);
			count += want[key] == NULL;
			want[key] = &payload[key];
		} else {
			if (cw_map_take(map, &key, sizeof(key)) != want[key])
				ck_abort_msg("take %d", i);
			count -= want[key] != NULL;
			want[key] = NULL;
		}
		if (i % 1000 == 0)
			for (unsigned k = 0; k < KEYS; k++)
				if (cw_map_get(map, &k, sizeof(k)) != want[k])
					ck_abort_msg("get %u after %d", k, i);
		if (cw_map_count(map) != count)
			ck_abort_msg("count after %d", i);
	}
}
END_TEST

START_TEST(walk_sees_each_once)
{
	static int payload[100];
	size_t at = 0, len;
	const void *key;
	int *value, seen = 0;

	for (int i = 0; i < 100; i++)
		cw_map_put(map, &i, sizeof(i), &payload[i]);
	while ((value = cw_map_next(map, &at, &key, &len)) != NULL) {
		int k;

		ck_assert_uint_eq(len, sizeof(k));
		memcpy(&k, key, sizeof(k));
		ck_assert_ptr_eq(value, &payload[k]);
		ck_assert_int_eq(payload[k]++, 0);
		seen++;
	}
	ck_assert_int_eq(seen, 100);
	at = 0;
	ck_assert_ptr_nonnull(cw_map_next(map, &at, NULL, NULL));
}
END_TEST

/* SipHash-1-3, key 00 01 .. 0f, input 00 01 ..: vectors as implementations publish them (cROUNDS 1,
 * dROUNDS 3). */
START_TEST(siphash_reference)
{
	static const uint64_t key[2] = { 0x0706050403020100u, 0x0f0e0d0c0b0a0908u };
	static const struct { size_t len; uint64_t want; } cases[] = {
		{ 0, 0xabac0158050fc4dcu }, { 1, 0xc9f49bf37d57ca93u }, { 7, 0xd3927d989bb11140u }, { 8, 0x369095118d299a8eu },
		{ 15, 0xd320d86d2a519956u },
	};
	uint8_t bytes[16];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)i;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		ck_assert_msg(cw_siphash(bytes, cases[i].len, key) == cases[i].want, "%zu: %016llx", cases[i].len,
		              (unsigned long long)cw_siphash(bytes, cases[i].len, key));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("map");
	TCase *t = tcase_create("map");

	tcase_set_timeout(t, 30);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, put_get_take);
	tcase_add_test(t, keys_are_bytes_and_copied);
	tcase_add_test(t, behaves_like_an_array);
	tcase_add_test(t, walk_sees_each_once);
	tcase_add_test(t, siphash_reference);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	SRunner *runner = srunner_create(suite());
	int failed;

	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
