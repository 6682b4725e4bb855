/* fuzz_rule.c - any text as a rule file: loaded, or refused with the file's name; what was loaded judges a transaction
 * under its budget and describes itself. Seeds: the rules that are shipped, with small budgets. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "lua/rule.h"
#include "pipeline/evaluate.h"
#include "state/state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition)
{
	if (!condition)
		abort();
}

static void judge(struct cw_rules *rules, struct cw_state *st)
{
	struct cw_tx tx = { .seq = 1, .chain_id = 1, .timestamp = 1700000000, .gas = 21000, .has = CW_TX_HAS_TO };
	struct cw_buf out = CW_BUF_INIT;
	struct cw_rule_result result;
	struct cw_err err = { 0 };

	if (cw_rules_attach(rules, st, &err) == 0) {
		for (int i = 0; i < 3; i++, tx.seq++) {
			cw_rules_set_tx(rules, &tx);
			cw_rule_run(rules, cw_rules_at(rules, 0)->live, &result);
			check(result.kind != CW_RULE_FAILED || strstr(result.fault.message, "rules/x.lua") != NULL);
		}
	}
	cw_rule_describe(rules, cw_rules_at(rules, 0), &out);
	check(out.len > 2 && out.data[out.len - 1] == '}');
	cw_buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct cw_state *st;
	static const struct cw_state_conf arena = { .max_bytes = (size_t)16 << 20, .journal_bytes = (size_t)4 << 20 };
	struct cw_bundle_file file = { "rules/x.lua", (const char *)data, size };
	struct cw_bundle bundle = { .rules = &file, .nrules = 1, .params_json = "{}" };
	struct cw_rules_conf conf = cw_rules_conf_default;
	struct cw_err err = { 0 };
	struct cw_rules *rules;

	if (st == NULL) {
		cw_log_set_level(NULL, CW_LOG_OFF);
		st = cw_state_new(&arena, &err);
		check(st != NULL);
	}
	conf.ticks = 2000;
	conf.memory_bytes = (size_t)16 << 20;
	conf.jit = size % 2 == 0;
	rules = cw_rules_load(&bundle, &conf, &err);
	if (rules == NULL) {
		check(err.code != CW_OK && strstr(err.msg, "rules/x.lua") != NULL);
		return 0;
	}
	judge(rules, st);
	cw_rules_free(&rules);
	cw_state_reset(st);
	return 0;
}
