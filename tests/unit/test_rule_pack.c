/* The rules that are shipped, all together, over a simulated stream with every attack in it: each attack raises its rules,
 * every rule is raised by some attack, ordinary traffic stays quiet; and the table in rules/README.md is theirs. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/bundle.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/map.h"
#include "base/mem.h"
#include "lua/evaluator.h"
#include "lua/vm.h"
#include "pipeline/evaluate.h"
#include "source/simulate.h"
#include "state/state.h"

static const struct { enum cw_sim_scenario scenario; const char *rules; } expected[] = {
	{ CW_SIM_VALUE_OUTLIER, "eth.value_outlier" },
	{ CW_SIM_GAS_SPIKE, "eth.gas_spike" },
	{ CW_SIM_FAN_OUT, "eth.fan_out" },
	{ CW_SIM_FAN_IN, "eth.fan_in" },
	{ CW_SIM_NEW_WALLET, "eth.new_wallet" },
	{ CW_SIM_LISTED_ADDRESS, "eth.listed_address" },
	{ CW_SIM_STRUCTURING, "eth.structuring" },
	{ CW_SIM_HIGH_VALUE_BURST, "eth.high_value_burst" },
	{ CW_SIM_REPEATED_AMOUNT, "eth.repeated_amount" },
	{ CW_SIM_ACTIVITY_SPIKE, "eth.activity_spike" },
	{ CW_SIM_OVERPAID_FEE, "eth.overpaid_fee" },
	{ CW_SIM_PASS_THROUGH, "eth.pass_through" },
	{ CW_SIM_COLLECT_AND_SWEEP, "eth.collect_and_sweep eth.short_lived_collector" },
	{ CW_SIM_SCATTER_GATHER, "eth.scatter_gather" },
	{ CW_SIM_PEEL_CHAIN, "eth.peel_chain" },
	{ CW_SIM_CYCLE, "eth.cycle" },
	{ CW_SIM_SYBIL_CLUSTER, "eth.sybil_cluster" },
	{ CW_SIM_MIXER_MONEY, "eth.mixer_deposit eth.mixer_withdrawal eth.cash_out eth.tainted_funds" },
	{ CW_SIM_EXPLOITER_MONEY, "eth.funded_by_malicious eth.cash_out eth.tainted_funds" },
	{ CW_SIM_ACCOMPLICE, "eth.scam_association" },
	{ CW_SIM_CHAIN_HOPPING, "eth.chain_hopping eth.bridge_large_transfer" },
	{ CW_SIM_BRIDGE_DRAIN, "eth.bridge_drain" },
	{ CW_SIM_ADDRESS_POISONING, "eth.poison_zero_value eth.lookalike_address" },
	{ CW_SIM_FAKE_TOKEN, "eth.poison_fake_token" },
	{ CW_SIM_DUSTING, "eth.dusting" },
	{ CW_SIM_APPROVAL_PHISHING, "eth.many_approvals eth.approve_then_pull eth.bulk_pull" },
	{ CW_SIM_NATIVE_PHISHING, "eth.native_phishing" },
	{ CW_SIM_RUG_PULL, "eth.rug_pull" },
	{ CW_SIM_WASH_TRADE, "eth.wash_trade" },
	{ CW_SIM_MULTISEND, "eth.token_multisend" },
	{ CW_SIM_PROTOCOL_ATTACK, "eth.mixer_funded_deployer eth.risky_funding eth.flash_loan eth.flash_loan_profit "
	                          "eth.repeated_payouts eth.attack_stages" },
	{ CW_SIM_UNLIMITED_MINT, "eth.mint_outlier" },
	{ CW_SIM_MINT_SPREE, "eth.mint_spree" },
	{ CW_SIM_NEW_CONTRACT, "eth.approval_to_new_contract eth.young_contract_value" },
	{ CW_SIM_CREATION_BURST, "eth.creation_burst" },
	{ CW_SIM_FAILED_BURST, "eth.failed_burst" },
	{ CW_SIM_TAKEOVER, "eth.ownership_change eth.proxy_upgrade eth.control_takeover eth.emergency_pause eth.kill_call" },
	{ CW_SIM_ADMINISTRATION, "eth.issuer_freeze eth.multisig_change" },
	{ CW_SIM_BLOCK_STUFFING, "eth.block_stuffing" },
	{ CW_SIM_DISPLACEMENT, "eth.displacement" },
	{ CW_SIM_SANDWICH, "eth.sandwich" },
	{ CW_SIM_GAS_WAR, "eth.gas_war" },
	{ CW_SIM_ODD_CALL, "eth.unusual_call eth.gas_outlier" },
	{ CW_SIM_CALL_RUSH, "eth.call_spike" },
	{ CW_SIM_NONCE_REPLACED, "eth.nonce_replaced" },
};
#define EXPECTED (sizeof(expected) / sizeof(expected[0]))

/* These take a day and half a year: a stream of their own. */
static const struct { enum cw_sim_scenario scenario; const char *rule, *file; } slow[] = {
	{ CW_SIM_FLOW_SPIKE, "eth.flow_spike", "rules/flow_spike.lua" },
	{ CW_SIM_DORMANT_ACCOUNT, "eth.dormant_account", "rules/account_dormant.lua" },
};
#define SLOW (sizeof(slow) / sizeof(slow[0]))

static struct cw_arena *arena;
static struct cw_bundle bundle;
static const struct cw_json *rules;       /* of the report of the load */
static void *ctx;
static struct cw_state *st;

/* With `only_slow` no rules but those of `slow`. */
static void load_some(const char *labels, size_t labels_len, bool only_slow)
{
	const struct cw_state_conf conf = { .max_bytes = (size_t)1 << 30, .journal_bytes = (size_t)64 << 20 };
	struct cw_bundle_file list = { "lists/simulated.csv", labels, labels_len };
	struct cw_buf report = CW_BUF_INIT;
	struct cw_json_error fault;
	struct cw_err err;

	arena = cw_arena_new();
	if (cw_bundle_read(&bundle, "rules", "/nowhere", arena, &err) != 0)
		ck_abort_msg("%s", err.msg);
	bundle.tested = true;
	if (only_slow) {
		struct cw_bundle_file *kept = cw_arena_alloc(arena, SLOW * sizeof(*kept));
		int n = 0;

		for (int i = 0; i < bundle.nrules; i++)
			for (size_t k = 0; k < SLOW; k++)
				if (strcmp(bundle.rules[i].name, slow[k].file) == 0)
					kept[n++] = bundle.rules[i];
		ck_assert_int_eq(n, SLOW);
		bundle.rules = kept;
		bundle.nrules = n;
	}
	if (labels != NULL) {
		bundle.lists = &list;
		bundle.nlists = 1;
	}
	st = cw_state_new(&conf, &err);
	ck_assert_ptr_nonnull(st);
	ctx = cw_lua_evaluator.load(&bundle, NULL, &report, &err);
	if (ctx == NULL || cw_lua_evaluator.attach(ctx, st, &err) != 0)
		ck_abort_msg("%s", err.msg);
	rules = cw_json_get(cw_json_parse(cw_arena_strndup(arena, report.data, report.len), report.len, CW_JSON_DEPTH_DEFAULT, arena,
	                                  &fault), "rules");
	ck_assert_ptr_nonnull(rules);
	cw_buf_release(&report);
}

static void load(const char *labels, size_t labels_len)
{
	load_some(labels, labels_len, false);
}

static void unload(void)
{
	cw_lua_evaluator.free(ctx);
	cw_state_close(&st);
	cw_arena_free(&arena);
}

static const struct cw_json *rule_at(uint32_t index)
{
	const struct cw_json *r = rules->first;

	while (index-- > 0)
		r = r->next;
	return r;
}

static const char *text_of(const struct cw_json *rule, const char *key)
{
	return cw_json_get(rule, key)->text;
}

/* Is the word among those of the text? */
static bool named(const char *text, const char *word)
{
	size_t len = strlen(word);

	for (const char *p = strstr(text, word); p != NULL; p = strstr(p + 1, word))
		if ((p == text || p[-1] == ' ') && (p[len] == '\0' || p[len] == ' '))
			return true;
	return false;
}

static int scenario_of(const char *label)
{
	for (int i = 0; label != NULL && i < CW_SIM_SCENARIOS; i++)
		if (strcmp(label, cw_sim_scenario_name((enum cw_sim_scenario)i)) == 0)
			return i;
	return -1;
}

START_TEST(every_attack_raises_its_rules)
{
	static uint32_t raised[CW_SIM_SCENARIOS][128];
	struct cw_map *cases = cw_map_new();
	struct cw_buf labels = CW_BUF_INIT, out = CW_BUF_INIT;
	struct cw_arena *line = cw_arena_new();
	uint64_t ordinary = 0, quiet_cases = 0, loud_cases = 0, seq = 0;
	volatile uint32_t running = 0;
	struct cw_sim_conf conf;
	struct cw_verdict v;
	struct cw_sim *sim;
	struct cw_tx_in in;
	const char *label;
	struct cw_err err;
	size_t used;

	cw_sim_conf_init(&conf);
	conf.seed = 7;
	conf.blocks = 1500;
	conf.tx_per_block = 60;
	conf.scenarios = CW_SIM_ALL;
	conf.attack_rate = 0.05;
	sim = cw_sim_new(&conf, &err);
	cw_sim_put_list(sim, &labels);
	load(labels.data, labels.len);
	while (cw_sim_next(sim, &in, &label)) {
		int scenario = scenario_of(label);

		in.tx.seq = ++seq;
		cw_buf_clear(&out);
		cw_lua_evaluator.evaluate(ctx, &in.tx, &out, &running);
		if (seq % 128 == 0)
			cw_state_mark(st, seq, in.tx.block_number);
		ordinary += scenario < 0;
		ck_assert_int_eq(cw_verdict_read(&v, out.data, out.len, &used, line, &err), 0);
		if (v.nfaults > 0)
			ck_abort_msg("%s", v.faults[0].message);
		for (uint32_t i = 0; i < v.nalerts; i++) {
			char id[400];
			int n;

			if (scenario >= 0) {
				raised[scenario][v.alerts[i].rule]++;
				continue;
			}
			n = snprintf(id, sizeof(id), "%u %s", v.alerts[i].rule, v.alerts[i].dedup);
			if (cw_map_put(cases, id, (size_t)n, cases) != NULL)
				continue;
			quiet_cases++;
			loud_cases += v.alerts[i].severity >= CW_SEVERITY_HIGH;
		}
		cw_arena_clear(line);
	}
	for (size_t e = 0; e < EXPECTED; e++)
		for (uint32_t r = 0; r < rules->count; r++)
			if (named(expected[e].rules, text_of(rule_at(r), "id")) && raised[expected[e].scenario][r] == 0)
				ck_abort_msg("%s did not raise %s", cw_sim_scenario_name(expected[e].scenario), text_of(rule_at(r), "id"));
	/* As on real blocks: at most 300 loud ones and 2,000 in all for each million. */
	ck_assert_uint_gt(ordinary, 60000);
	ck_assert_msg(loud_cases * 1000000 <= 300 * ordinary, "%llu loud cases in %llu", (unsigned long long)loud_cases,
	              (unsigned long long)ordinary);
	ck_assert_msg(quiet_cases * 1000000 <= 2000 * ordinary, "%llu cases in %llu", (unsigned long long)quiet_cases,
	              (unsigned long long)ordinary);
	cw_sim_free(&sim);
	unload();
	cw_map_free(&cases);
	cw_arena_free(&line);
	cw_buf_release(&labels);
	cw_buf_release(&out);
}
END_TEST

START_TEST(slow_attacks_raise_their_rules)
{
	struct cw_arena *line = cw_arena_new();
	struct cw_buf out = CW_BUF_INIT;
	uint32_t raised[SLOW] = { 0 }, elsewhere = 0;
	volatile uint32_t running = 0;
	struct cw_sim_conf conf;
	struct cw_verdict v;
	struct cw_sim *sim;
	struct cw_tx_in in;
	const char *label;
	struct cw_err err;
	uint64_t seq = 0;
	size_t used;

	cw_sim_conf_init(&conf);
	conf.blocks = 182 * 7200;
	conf.tx_per_block = 1;
	conf.attack_rate = 0.0001;
	conf.scenarios = 0;
	for (size_t k = 0; k < SLOW; k++)
		conf.scenarios |= 1ull << slow[k].scenario;
	sim = cw_sim_new(&conf, &err);
	ck_assert_ptr_nonnull(sim);
	load_some(NULL, 0, true);
	while (cw_sim_next(sim, &in, &label)) {
		int scenario = scenario_of(label);

		in.tx.seq = ++seq;
		cw_buf_clear(&out);
		cw_lua_evaluator.evaluate(ctx, &in.tx, &out, &running);
		if (seq % 128 == 0)
			cw_state_mark(st, seq, in.tx.block_number);
		if (scenario < 0)
			continue;
		ck_assert_int_eq(cw_verdict_read(&v, out.data, out.len, &used, line, &err), 0);
		for (uint32_t i = 0; i < v.nalerts; i++) {
			const char *id = text_of(rule_at(v.alerts[i].rule), "id");
			bool own = false;

			for (size_t k = 0; k < SLOW; k++)
				if (slow[k].scenario == (enum cw_sim_scenario)scenario && strcmp(slow[k].rule, id) == 0) {
					raised[k]++;
					own = true;
				}
			elsewhere += !own;
		}
		cw_arena_clear(line);
	}
	for (size_t k = 0; k < SLOW; k++)
		ck_assert_msg(raised[k] > 0, "%s did not raise %s", cw_sim_scenario_name(slow[k].scenario), slow[k].rule);
	ck_assert_uint_eq(elsewhere, 0);
	cw_sim_free(&sim);
	unload();
	cw_arena_free(&line);
	cw_buf_release(&out);
}
END_TEST

START_TEST(every_rule_has_an_attack_and_every_attack_rules)
{
	bool seen[CW_SIM_SCENARIOS] = { false };

	load(NULL, 0);
	ck_assert_uint_ge(rules->count, 40);
	for (uint32_t r = 0; r < rules->count; r++) {
		const char *id = text_of(rule_at(r), "id");
		bool found = false;

		for (size_t k = 0; k < SLOW; k++)
			found = found || strcmp(slow[k].rule, id) == 0;
		for (size_t e = 0; e < EXPECTED; e++)
			found = found || named(expected[e].rules, id);
		ck_assert_msg(found, "no scenario raises %s", id);
	}
	for (size_t e = 0; e < EXPECTED; e++)
		seen[expected[e].scenario] = true;
	for (size_t k = 0; k < SLOW; k++)
		seen[slow[k].scenario] = true;
	for (int i = 0; i < CW_SIM_SCENARIOS; i++)
		ck_assert_msg(seen[i], "no rule is expected for %s", cw_sim_scenario_name((enum cw_sim_scenario)i));
	unload();
}
END_TEST

/* A page an analyst wants to read has all of its parts. */
START_TEST(every_rule_says_where_it_comes_from)
{
	static const char *const lists[] = { "references", "false_positives", "tags" };

	load(NULL, 0);
	for (uint32_t r = 0; r < rules->count; r++) {
		const struct cw_json *rule = rule_at(r);

		for (size_t i = 0; i < 3; i++)
			ck_assert_msg(cw_json_get(rule, lists[i])->count > 0, "%s has no %s", text_of(rule, "id"), lists[i]);
		ck_assert_msg(strlen(text_of(rule, "description")) > 80, "%s: description", text_of(rule, "id"));
	}
	unload();
}
END_TEST

/* --- the table in rules/README.md --- */

#define BEGIN "<!-- from here on: generated from the files by tests/unit/test_rule_pack.c -->\n"

static const char *source_of(const char *file)
{
	for (int i = 0; i < bundle.nrules; i++)
		if (strcmp(bundle.rules[i].name, file) == 0)
			return bundle.rules[i].text;
	ck_abort_msg("no file %s", file);
	return "";
}

/* What a rule looks at, as far as its text tells. */
static void put_inputs(struct cw_buf *out, const char *source)
{
	static const struct { const char *what, *words[4]; } inputs[] = {
		{ "logs", { "tx.logs(", "logs = \"", NULL } },
		{ "receipt", { "tx.status", "tx.gas_used", "created", NULL } },
		{ "call data", { "tx.selector", "selector = ", "tx.arg", NULL } },
		{ "lists", { "list.contains", "_listed", NULL } },
		{ "history", { "window.", "key.", "stat.", NULL } },
		{ "order", { "sequence.", NULL } },
		{ "graph", { "graph.", NULL } },
	};
	/* Tests come last and would name everything. */
	size_t len = (size_t)(strstr(source, "\n  tests = ") - source);
	char *text = cw_alloc(len + 1);
	const char *separator = "";

	memcpy(text, source, len);
	text[len] = '\0';
	for (size_t i = 0; i < sizeof(inputs) / sizeof(inputs[0]); i++)
		for (int w = 0; inputs[i].words[w] != NULL; w++)
			if (strstr(text, inputs[i].words[w]) != NULL) {
				cw_buf_printf(out, "%s%s", separator, inputs[i].what);
				separator = ", ";
				break;
			}
	if (separator[0] == '\0')
		cw_buf_puts(out, "transaction");
	cw_free(text);
}

static void put_table(struct cw_buf *out)
{
	cw_buf_puts(out, "\n| file | rule | severity | finds | looks at | after |\n| --- | --- | --- | --- | --- | --- |\n");
	for (uint32_t r = 0; r < rules->count; r++) {
		const struct cw_json *rule = rule_at(r);
		const char *file = text_of(rule, "file");
		const char *base = strrchr(file, '/') != NULL ? strrchr(file, '/') + 1 : file;

		cw_buf_printf(out, "| `%s` | `%s` | %s | %s | ", base, text_of(rule, "id"), text_of(rule, "severity"),
		              text_of(rule, "title"));
		put_inputs(out, source_of(file));
		cw_buf_printf(out, " | %s |\n", cw_json_get(rule, "references")->first->text);
	}
}

static char *read_readme(void)
{
	FILE *file = fopen("rules/README.md", "r");
	char *text = cw_zalloc(1 << 18);

	ck_assert_ptr_nonnull(file);
	ck_assert_uint_gt(fread(text, 1, (1 << 18) - 1, file), 0);
	fclose(file);
	return text;
}

START_TEST(the_table_is_of_the_files)
{
	struct cw_buf table = CW_BUF_INIT;
	char *text = read_readme(), *at = strstr(text, BEGIN);

	ck_assert_msg(at != NULL, "rules/README.md has lost its mark");
	load(NULL, 0);
	put_table(&table);
	unload();
	at += sizeof(BEGIN) - 1;
	if (getenv("CHAINWATCH_UPDATE_DOCS") != NULL) {
		FILE *file = fopen("rules/README.md", "w");

		*at = '\0';
		fprintf(file, "%s%s", text, table.data);
		fclose(file);
	} else {
		ck_assert_msg(strcmp(at, table.data) == 0,
		              "rules/README.md is not of the files: CHAINWATCH_UPDATE_DOCS=1 build/unit/test_rule_pack");
	}
	cw_buf_release(&table);
	cw_free(text);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("rule_pack");
	TCase *tc = tcase_create("all");
	SRunner *runner;
	int failed;

	cw_vm_prepare_process();
	tcase_set_timeout(tc, 300);
	suite_add_tcase(suite, tc);
	tcase_add_test(tc, every_attack_raises_its_rules);
	tcase_add_test(tc, slow_attacks_raise_their_rules);
	tcase_add_test(tc, every_rule_has_an_attack_and_every_attack_rules);
	tcase_add_test(tc, every_rule_says_where_it_comes_from);
	tcase_add_test(tc, the_table_is_of_the_files);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
