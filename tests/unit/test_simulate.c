#include "source/simulate.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/map.h"
#include "base/mem.h"
#include "chain/abi.h"
#include "chain/keccak.h"
#include "chain/tx.h"

#define GOLDEN "20e1c286ab63ef586a18b13132fb9c8609be8cdb6392145fad46703cb50b13b9"

static struct cw_sim_conf conf;
static struct cw_sim *sim;
static struct cw_err err;
static struct cw_tx_in in;
static const char *label;

static void setup(void)
{
	cw_sim_conf_init(&conf);
}

static void teardown(void)
{
	cw_sim_free(&sim);
	ck_assert_ptr_null(sim);
}

static void start(void)
{
	cw_sim_free(&sim);
	sim = cw_sim_new(&conf, &err);
	ck_assert_ptr_nonnull(sim);
}

static bool next(void)
{
	return cw_sim_next(sim, &in, &label);
}

static bool labelled(enum cw_sim_scenario scenario)
{
	return label != NULL && strcmp(label, cw_sim_scenario_name(scenario)) == 0;
}

static double ether(void)
{
	return cw_u256_to_double(&in.tx.value) / 1e18;
}

static void *address_key(const struct cw_address *address)
{
	return (void *)(uintptr_t)address->b;
}

/* Counts under an address in a map; the count is kept in the pointer. */
static uintptr_t bump(struct cw_map *map, const struct cw_address *address)
{
	uintptr_t n = (uintptr_t)cw_map_get(map, address_key(address), 20) + 1;

	cw_map_put(map, address_key(address), 20, (void *)n);
	return n;
}

static const char *digest_of_stream(void)
{
	static char text[65];
	struct cw_buf out = CW_BUF_INIT;
	uint8_t hash[32];

	start();
	while (next())
		cw_sim_put_line(&out, &in, label, cw_sim_incident(sim));
	cw_sim_put_list(sim, &out);
	cw_keccak256(out.data, out.len, hash);
	cw_buf_release(&out);
	cw_hex_encode(text, hash, 32);
	return text;
}

START_TEST(same_settings_same_bytes)
{
	char first[65];

	conf.blocks = 300;
	conf.seed = 7;
	strcpy(first, digest_of_stream());
	ck_assert_str_eq(digest_of_stream(), first);
	/* Whoever changes the stream on purpose changes this number; nothing else may. */
	ck_assert_str_eq(first, GOLDEN);
	conf.seed = 8;
	ck_assert_str_ne(digest_of_stream(), first);
	conf.seed = 7;
	conf.attack_rate = 0.02;
	ck_assert_str_ne(digest_of_stream(), first);
}
END_TEST

/* What goes out reads back to the same record, to the last wei. */
START_TEST(lines_read_back)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_buf line = CW_BUF_INIT;

	conf.blocks = 200;
	conf.attack_rate = 0.1;
	start();
	while (next()) {
		struct cw_json_error error;
		const struct cw_json *json;
		struct cw_tx_faults faults;
		struct cw_tx_in back;

		cw_buf_clear(&line);
		cw_sim_put_line(&line, &in, label, cw_sim_incident(sim));
		json = cw_json_parse(line.data, line.len, 4, arena, &error);
		if (json == NULL || line.data[line.len - 1] != '\n')
			ck_abort_msg("%s: %s", error.what, line.data);
		if (cw_tx_from_json(&back, json, 99, arena, &faults) != 0)
			ck_abort_msg("%s %s: %s", faults.list[0].pointer, faults.list[0].what, line.data);
		if (memcmp(&back.tx, &in.tx, sizeof(back.tx)) != 0 || back.input_len != in.input_len ||
		    memcmp(back.input, in.input, in.input_len) != 0)
			ck_abort_msg("%s", line.data);
		if ((cw_json_get(json, "label")->type == CW_JSON_NULL) != (label == NULL) ||
		    (cw_json_get(json, "incident")->type == CW_JSON_NULL) != (cw_sim_incident(sim) == 0))
			ck_abort_msg("%s", line.data);
		cw_arena_clear(arena);
	}
	cw_buf_release(&line);
	cw_arena_free(&arena);
}
END_TEST

START_TEST(blocks_and_nonces_follow_each_other)
{
	struct cw_map *hashes = cw_map_new(), *nonces = cw_map_new();
	uint64_t block = 0, count = 0;
	int64_t time = 0;
	uint32_t index = 0;

	conf.blocks = 500;
	conf.start_block = 100;
	conf.start_time = 1000000;
	conf.chain_id = 137;
	start();
	while (next()) {
		const struct cw_tx *tx = &in.tx;
		uintptr_t before = (uintptr_t)cw_map_put(nonces, address_key(&tx->from), 20, (void *)(uintptr_t)(tx->nonce + 1));
		int64_t step = tx->timestamp - time;

		bool same = tx->block_number == block && step == 0 && tx->index == index + 1;
		bool following = tx->block_number == block + 1 && (step == 12 || step == 24) && tx->index == 0;

		if (count == 0)
			ck_assert(tx->block_number == 100 && tx->timestamp == 1000000);
		else if (!same && !following)
			ck_abort_msg("block %llu index %u", (unsigned long long)tx->block_number, tx->index);
		if (before != 0 && before != tx->nonce)
			ck_abort_msg("nonce %llu after %llu", (unsigned long long)tx->nonce, (unsigned long long)before - 1);
		if (cw_map_put(hashes, tx->hash.b, 32, hashes) != NULL)
			ck_abort_msg("a hash came twice");
		block = tx->block_number;
		time = tx->timestamp;
		index = tx->index;
		count++;
	}
	ck_assert_uint_eq(in.tx.chain_id, 137);
	ck_assert_uint_eq(block, 599);
	ck_assert_uint_gt(count, 500 * 150 / 2);
	ck_assert_uint_lt(count, 500 * 150 * 2);
	ck_assert(!next());
	cw_map_free(&hashes);
	cw_map_free(&nonces);
}
END_TEST

START_TEST(gas_fits_the_call)
{
	uint64_t calls = 0, failed = 0, creations = 0;

	conf.blocks = 300;
	start();
	while (next()) {
		uint64_t intrinsic = 21000;
		struct cw_call call;

		for (size_t i = 0; i < in.input_len; i++)
			intrinsic += in.input[i] == 0 ? 4 : 16;
		if (in.tx.gas < in.tx.gas_used || in.tx.gas_used < intrinsic || cw_u256_is_zero(&in.tx.gas_price))
			ck_abort_msg("gas %llu used %llu", (unsigned long long)in.tx.gas, (unsigned long long)in.tx.gas_used);
		failed += in.tx.status == 0;
		creations += (in.tx.has & CW_TX_HAS_TO) == 0;
		if (in.input_len == 0 || (in.tx.has & CW_TX_HAS_TO) == 0)
			continue;
		cw_call_decode(&call, in.input, in.input_len, in.tx.input_size);
		if (call.kind <= CW_CALL_UNKNOWN || call.malformed)
			ck_abort_msg("selector %08x", call.selector);
		calls++;
	}
	ck_assert_uint_gt(calls, 10000);
	ck_assert_uint_gt(failed, 100);
	ck_assert_uint_gt(creations, 20);
}
END_TEST

/* --- attacks --- */

struct attack {
	enum cw_sim_scenario scenario;
	struct cw_address from, to;    /* of its first transaction */
	uint32_t count;
	bool one_sender, one_receiver;
	int64_t first, last;
};

#define ATTACKS_MAX 2000
static struct attack attacks[ATTACKS_MAX];

static void note_attack(void)
{
	uint64_t id = cw_sim_incident(sim);
	struct attack *a = &attacks[id];

	ck_assert(id > 0 && id < ATTACKS_MAX);
	if (a->count++ == 0) {
		for (int i = 0; i < CW_SIM_BASIC_SCENARIOS; i++)
			if (labelled((enum cw_sim_scenario)i))
				a->scenario = (enum cw_sim_scenario)i;
		a->from = in.tx.from;
		a->to = in.tx.to;
		a->one_sender = a->one_receiver = true;
		a->first = in.tx.timestamp;
	}
	ck_assert(labelled(a->scenario));
	a->one_sender = a->one_sender && memcmp(&a->from, &in.tx.from, 20) == 0;
	a->one_receiver = a->one_receiver && memcmp(&a->to, &in.tx.to, 20) == 0;
	a->last = in.tx.timestamp;
}

START_TEST(every_scenario_is_what_it_says)
{
	struct cw_map *senders = cw_map_new();
	uint32_t seen[CW_SIM_SCENARIOS] = { 0 }, labels = 0, slept = 0;

	conf.blocks = 2000;
	conf.attack_rate = 0.02;
	start();
	while (next()) {
		bool attack = label != NULL;
		uintptr_t sent = bump(senders, &in.tx.from);

		if (attack != (cw_sim_incident(sim) != 0))
			ck_abort_msg("label without incident");
		if (!attack)
			continue;
		labels++;
		note_attack();
		if (labelled(CW_SIM_VALUE_OUTLIER))
			ck_assert(ether() >= 299 && sent > 1);
		if (labelled(CW_SIM_NEW_WALLET)) {
			ck_assert(ether() >= 140 && sent <= 3);
			slept += in.tx.nonce >= 3;
		}
	}
	for (int i = 1; i < ATTACKS_MAX && attacks[i].count > 0; i++) {
		const struct attack *a = &attacks[i];

		seen[a->scenario]++;
		ck_assert_int_le(a->last - a->first, 600);
		if (a->scenario == CW_SIM_FAN_OUT)
			ck_assert(a->count >= 30 && a->count <= 80 && a->one_sender && !a->one_receiver);
		else if (a->scenario == CW_SIM_FAN_IN)
			ck_assert(a->count >= 30 && a->count <= 80 && !a->one_sender && a->one_receiver);
		else
			ck_assert(a->count <= 3);
	}
	for (int i = 0; i < CW_SIM_BASIC_SCENARIOS; i++)
		ck_assert_msg(seen[i] >= 20, "%s %u", cw_sim_scenario_name((enum cw_sim_scenario)i), seen[i]);
	ck_assert_uint_gt(slept, 5);
	ck_assert_uint_gt(labels, 3000);
	cw_map_free(&senders);
}
END_TEST

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* No attack before anything is known; a spike stands out of its block, ordinary bids do not. */
START_TEST(gas_spikes_stand_out)
{
	static double prices[20000];
	static bool spikes[20000];
	size_t n = 0;
	uint64_t block = 0, found = 0;
	bool more;

	conf.blocks = 1000;
	conf.attack_rate = 0.01;
	conf.scenarios = 1u << CW_SIM_GAS_SPIKE;
	start();
	do {
		more = next();
		if ((!more || in.tx.block_number != block) && n > 20) {
			static double sorted[20000];
			double median;

			memcpy(sorted, prices, n * sizeof(*sorted));
			qsort(sorted, n, sizeof(*sorted), compare_doubles);
			median = sorted[n / 2];
			for (size_t i = 0; i < n; i++)
				if (spikes[i] != (prices[i] > 12 * median))
					ck_abort_msg("price %g, median %g", prices[i], median);
		}
		if (!more)
			break;
		if (in.tx.block_number != block)
			n = 0;
		block = in.tx.block_number;
		ck_assert(label == NULL || labelled(CW_SIM_GAS_SPIKE));
		ck_assert(label == NULL || block >= conf.start_block + 200);
		found += label != NULL;
		prices[n] = cw_u256_to_double(&in.tx.gas_price);
		spikes[n++] = label != NULL;
	} while (more);
	ck_assert_uint_gt(found, 500);
}
END_TEST

START_TEST(listed_addresses_appear_in_attacks_only)
{
	struct cw_buf list = CW_BUF_INIT;
	struct cw_map *bad = cw_map_new();
	uint32_t hits = 0, lines = 0;
	char *save = NULL;

	conf.blocks = 500;
	start();
	cw_sim_put_list(sim, &list);
	for (char *line = strtok_r(list.data, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
		struct cw_address address;

		if (lines++ == 0) {
			ck_assert_str_eq(line, "address,category,name,source,confidence");
			continue;
		}
		ck_assert_int_eq(cw_address_parse(&address, line, 42), CW_ADDRESS_OK);
		if (strncmp(line + 42, ",exchange,", 10) != 0 && strncmp(line + 42, ",bridge,", 8) != 0)
			ck_assert_ptr_null(cw_map_put(bad, address_key(&address), 20, bad));
	}
	ck_assert_uint_eq(cw_map_count(bad), 200);
	while (next()) {
		bool touched = cw_map_get(bad, address_key(&in.tx.from), 20) != NULL ||
		               cw_map_get(bad, address_key(&in.tx.to), 20) != NULL;

		if (touched != labelled(CW_SIM_LISTED_ADDRESS))
			ck_abort_msg("label %s", label != NULL ? label : "none");
		hits += touched;
	}
	ck_assert_uint_gt(hits, 3);
	cw_map_free(&bad);
	cw_buf_release(&list);
}
END_TEST

START_TEST(only_what_was_asked_for)
{
	uint64_t set;

	conf.blocks = 300;
	conf.scenarios = 0;
	start();
	while (next())
		if (label != NULL)
			ck_abort_msg("%s", label);
	conf.scenarios = CW_SIM_ALL;
	conf.attack_rate = 0;
	start();
	while (next())
		if (label != NULL)
			ck_abort_msg("%s", label);
	ck_assert_int_eq(cw_sim_scenarios_parse("fan_in,gas_spike", &set, &err), 0);
	ck_assert_uint_eq(set, 1u << CW_SIM_FAN_IN | 1u << CW_SIM_GAS_SPIKE);
	conf.scenarios = set;
	conf.attack_rate = 0.05;
	start();
	while (next())
		if (label != NULL && !labelled(CW_SIM_FAN_IN) && !labelled(CW_SIM_GAS_SPIKE))
			ck_abort_msg("%s", label);
}
END_TEST

START_TEST(short_streams_have_all_scenarios)
{
	for (conf.seed = 1; conf.seed <= 10; conf.seed++) {
		uint32_t set = 0;

		conf.blocks = 120;
		start();
		while (next())
			for (int i = 0; i < CW_SIM_SCENARIOS; i++)
				if (labelled((enum cw_sim_scenario)i))
					set |= 1u << i;
		ck_assert_msg(set == CW_SIM_BASIC, "seed %llu: %x", (unsigned long long)conf.seed, set);
	}
}
END_TEST

/* The attacks that are lists of steps: all there, readable, with gas that fits, and nonces in order but for the one attack
 * that is about them. */
START_TEST(planned_attacks_are_whole)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_map *nonces = cw_map_new();
	struct cw_buf line = CW_BUF_INIT;
	uint64_t set = 0, logs = 0;

	conf.blocks = 900;
	conf.tx_per_block = 80;
	conf.scenarios = CW_SIM_ALL;
	conf.attack_rate = 0.1;
	start();
	while (next()) {
		uintptr_t before = (uintptr_t)cw_map_put(nonces, address_key(&in.tx.from), 20, (void *)(uintptr_t)(in.tx.nonce + 1));
		uint64_t intrinsic = 21000;
		struct cw_json_error error;
		struct cw_tx_faults faults;
		struct cw_tx_in back;

		for (size_t i = 0; i < in.input_len; i++)
			intrinsic += in.input[i] == 0 ? 4 : 16;
		if (before != 0 && before != in.tx.nonce && !labelled(CW_SIM_NONCE_REPLACED))
			ck_abort_msg("%s: nonce %llu after %llu", label, (unsigned long long)in.tx.nonce, (unsigned long long)before - 1);
		if (label == NULL)
			continue;
		for (int i = 0; i < CW_SIM_SCENARIOS; i++)
			if (labelled((enum cw_sim_scenario)i))
				set |= 1ull << i;
		if (in.tx.gas < in.tx.gas_used || in.tx.gas_used < intrinsic)
			ck_abort_msg("%s: gas %llu used %llu", label, (unsigned long long)in.tx.gas, (unsigned long long)in.tx.gas_used);
		cw_buf_clear(&line);
		cw_sim_put_line(&line, &in, label, cw_sim_incident(sim));
		if (cw_tx_from_json(&back, cw_json_parse(line.data, line.len, 6, arena, &error), 1, arena, &faults) != 0)
			ck_abort_msg("%s: %s %s", label, faults.list[0].pointer, faults.list[0].what);
		ck_assert_uint_eq(back.tx.nlogs, in.tx.nlogs);
		if (in.tx.nlogs > 0 && memcmp(back.tx.logs, in.tx.logs, in.tx.nlogs * sizeof(*in.tx.logs)) != 0)
			ck_abort_msg("%s", line.data);
		logs += in.tx.nlogs;
		cw_arena_clear(arena);
	}
	/* Those that take a day and longer do not fit in. */
	set |= 1ull << CW_SIM_FLOW_SPIKE | 1ull << CW_SIM_DORMANT_ACCOUNT;
	ck_assert_msg(set == CW_SIM_ALL, "%llx", (unsigned long long)set);
	ck_assert_uint_gt(logs, 100);
	cw_map_free(&nonces);
	cw_arena_free(&arena);
	cw_buf_release(&line);
}
END_TEST

START_TEST(the_rate_holds)
{
	static const double rates[] = { 0.005, 0.05, 0.3 };

	for (size_t i = 0; i < sizeof(rates) / sizeof(*rates); i++) {
		double all = 0, attacking = 0, share;

		conf.blocks = 4000;
		conf.tx_per_block = 75;
		conf.attack_rate = rates[i];
		start();
		while (next()) {
			if (in.tx.block_number < conf.start_block + 400)
				continue;
			all++;
			attacking += label != NULL;
		}
		share = attacking / all;
		ck_assert_msg(share > 0.8 * rates[i] && share < 1.25 * rates[i], "%g instead of %g", share, rates[i]);
	}
}
END_TEST

/* --- shape of the ordinary traffic --- */

START_TEST(values_and_activity_have_heavy_tails)
{
	struct cw_map *senders = cw_map_new();
	double *values = cw_alloc(400000 * sizeof(*values)), *counts;
	size_t n = 0, zero = 0, all = 0, at = 0, busy = 0;
	const void *key;
	void *count;

	conf.blocks = 2000;
	conf.scenarios = 0;
	start();
	for (; next(); all++) {
		bump(senders, &in.tx.from);
		if (cw_u256_is_zero(&in.tx.value))
			zero++;
		else
			values[n++] = ether();
	}
	qsort(values, n, sizeof(*values), compare_doubles);
	ck_assert(zero > all / 5 && zero < all * 3 / 5);
	ck_assert(values[n / 2] > 0.01 && values[n / 2] < 1);
	ck_assert(values[n * 999 / 1000] > 100 * values[n / 2]);
	ck_assert(values[n - 1] > 1000 * values[n / 2]);
	counts = cw_alloc(cw_map_count(senders) * sizeof(*counts));
	n = 0;
	while ((count = cw_map_next(senders, &at, &key, NULL)) != NULL)
		counts[n++] = (double)(uintptr_t)count;
	qsort(counts, n, sizeof(*counts), compare_doubles);
	for (size_t i = n - n / 100; i < n; i++)
		busy += (size_t)counts[i];
	ck_assert(n > 5000 && busy > all / 5);      /* one in a hundred sends a fifth of all */
	ck_assert(counts[n / 2] <= 5);              /* half of them hardly at all */
	cw_free(values);
	cw_free(counts);
	cw_map_free(&senders);
}
END_TEST

START_TEST(a_day_has_a_rhythm)
{
	double hours[24] = { 0 }, prices[24] = { 0 }, most = 0, least = 1e9, all = 0;

	conf.blocks = 7200;
	conf.tx_per_block = 20;
	conf.scenarios = 0;
	start();
	for (; next(); all++) {
		hours[in.tx.timestamp % 86400 / 3600]++;
		prices[in.tx.timestamp % 86400 / 3600] += cw_u256_to_double(&in.tx.gas_price);
	}
	for (int i = 0; i < 24; i++) {
		most = hours[i] > most ? hours[i] : most;
		least = hours[i] < least ? hours[i] : least;
		prices[i] /= hours[i] * 1e9;
		ck_assert(prices[i] > 0.5 && prices[i] < 500);
	}
	ck_assert(most > 1.5 * least);
	ck_assert(all > 7000 * 20 && all < 7400 * 20);   /* the mean over a day is what was asked for */
}
END_TEST

START_TEST(smallest_streams)
{
	for (conf.blocks = 1; conf.blocks <= 12; conf.blocks++)
		for (conf.tx_per_block = 1; conf.tx_per_block < 40; conf.tx_per_block += 13) {
			uint64_t n = 0;

			start();
			while (next())
				n++;
			ck_assert_uint_lt(n, conf.blocks * conf.tx_per_block * 3 + 10);
		}
}
END_TEST

static void refuse(const char *message)
{
	ck_assert_ptr_null(cw_sim_new(&conf, &err));
	ck_assert_int_eq(err.code, CW_ERR_INVALID);
	ck_assert_str_eq(err.msg, message);
	cw_sim_conf_init(&conf);
}

START_TEST(settings_that_make_no_sense)
{
	uint64_t set = 7;

	conf.blocks = 0;
	refuse("blocks must be between 1 and 1000000000");
	conf.tx_per_block = 10001;
	refuse("transactions per block must be between 1 and 10000");
	conf.attack_rate = 0.51;
	refuse("the attack rate must be between 0 and 0.5");
	conf.attack_rate = -0.0 / 0.0;
	refuse("the attack rate must be between 0 and 0.5");
	conf.scenarios = 1ull << CW_SIM_SCENARIOS;
	refuse("unknown scenario");
	conf.chain_id = UINT64_MAX;
	refuse("the chain id must be below 2^63");
	conf.start_block = INT64_MAX;
	refuse("the last block must be below 2^63");
	conf.start_time = -1;
	refuse("the stream must lie between 1970 and the year 10000");
	conf.start_time = 253402300799;
	refuse("the stream must lie between 1970 and the year 10000");
	ck_assert_int_eq(cw_sim_scenarios_parse("fan_in,fanout", &set, &err), -1);
	ck_assert_ptr_nonnull(strstr(err.msg, "\"fanout\""));
	ck_assert_int_eq(cw_sim_scenarios_parse("", &set, &err), -1);
	ck_assert_int_eq(cw_sim_scenarios_parse("fan_in,", &set, &err), -1);
	ck_assert_uint_eq(set, 7);
	ck_assert_int_eq(cw_sim_scenarios_parse("none", &set, &err), 0);
	ck_assert_uint_eq(set, 0);
	ck_assert_int_eq(cw_sim_scenarios_parse("all", &set, &err), 0);
	ck_assert_uint_eq(set, CW_SIM_ALL);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("simulate");
	TCase *t = tcase_create("simulate");

	tcase_set_timeout(t, 120);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, same_settings_same_bytes);
	tcase_add_test(t, lines_read_back);
	tcase_add_test(t, blocks_and_nonces_follow_each_other);
	tcase_add_test(t, gas_fits_the_call);
	tcase_add_test(t, every_scenario_is_what_it_says);
	tcase_add_test(t, gas_spikes_stand_out);
	tcase_add_test(t, listed_addresses_appear_in_attacks_only);
	tcase_add_test(t, only_what_was_asked_for);
	tcase_add_test(t, short_streams_have_all_scenarios);
	tcase_add_test(t, planned_attacks_are_whole);
	tcase_add_test(t, the_rate_holds);
	tcase_add_test(t, values_and_activity_have_heavy_tails);
	tcase_add_test(t, a_day_has_a_rhythm);
	tcase_add_test(t, smallest_streams);
	tcase_add_test(t, settings_that_make_no_sense);
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
