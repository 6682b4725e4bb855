/* Logs in rules: each field of each kind, as number, text and truth; what a field says where a log has none; what tests may
 * write into logs. All of it with the JIT on and off. */
#include <stdlib.h>

#include "lua/rule.h"
#include "lua/ruletest.h"
#include "lua/vm.h"
#include "support/rules.h"

static struct cw_state *scratch;

static void setup(void)
{
	cw_vm_prepare_process();
	scratch = rules_arena();
}

static void teardown(void)
{
	cw_state_close(&scratch);
}

/* The rule fires when `check`, which sees `log`, the first one, is true; "" or the message. */
static const char *try_logs(const char *logs, const char *check)
{
	static struct cw_err err;
	char text[4096];
	struct cw_bundle_file file = { "rules/x.lua", text, 0 };
	struct cw_bundle bundle = { .rules = &file, .nrules = 1 };

	file.len = (size_t)snprintf(text, sizeof(text), RULES_HEAD "evaluate = function(tx, s, p)\n"
	         "  local log = tx.logs[1]\n"
	         "  if tx.from ~= Z and (%s) then return alert { score = 1 } end end,\n"
	         "tests = { { name = 'it', given = tx { logs = %s }, expect = 'alert' },\n"
	         "  { name = 'quiet', given = tx { from = Z }, expect = 'quiet' } } }", check, logs);
	ck_assert_uint_lt(file.len, sizeof(text));
	return cw_ruletest_bundle(&bundle, &cw_rules_conf_default, scratch, NULL, &err) == 0 ? "" : err.msg;
}

#define WORD "'0x' .. ('ab'):rep(32)"
#define MOST "'115792089237316195423570985008687907853269984665640564039457584007913129639935'"

static const struct { const char *logs, *check; } fields[] = {
	{ "{ { kind = 'transfer', standard = 'erc20', address = Y, from = A, to = B, amount = " MOST " } }",
	  "log.kind == 'transfer' and log.standard == 'erc20' and log.address == Y and log.from == A and log.to == B and "
	  "log.amount_text == " MOST " and log.amount > 1.1e77 and log.operator == nil and log.token_id == nil" },
	{ "{ { kind = 'transfer', standard = 'erc1155', operator = D, token_id = 77, amount = 3 } }",
	  "log.standard == 'erc1155' and log.operator == D and log.token_id == '77' and log.amount == 3 and log.from == nil and "
	  "log.to == nil and log.spender == nil and log.token == nil" },
	{ "{ { kind = 'approval', standard = 'erc721', from = A, spender = C, token_id = '5' } }",
	  "log.standard == 'erc721' and log.spender == C and log.to == C and log.token_id == '5' and log.amount == nil and "
	  "log.amount_text == nil and log.approved == nil" },
	{ "{ { kind = 'approval_for_all', from = A, spender = C, approved = true } }",
	  "log.approved == true and log.spender == C and log.zero_for_one == nil and log.standard == nil" },
	{ "{ { kind = 'approval_for_all', from = A, to = C, approved = false } }", "log.approved == false" },
	{ "{ { kind = 'approval_for_all', from = A, to = C } }", "log.approved == nil" },
	{ "{ { kind = 'swap', amount = 9, amount_out = 4, zero_for_one = true } }",
	  "log.amount == 9 and log.amount_out == 4 and log.amount_out_text == '4' and log.zero_for_one == true and log.fee == nil "
	  "and log.fee_text == nil and log.approved == nil and log.token_id == nil" },
	{ "{ { kind = 'swap', zero_for_one = false } }",
	  "log.amount_out == nil and log.amount_out_text == nil and log.zero_for_one == false" },
	{ "{ { kind = 'flash_loan', token = E, amount = 100, fee = 2 } }",
	  "log.token == E and log.fee == 2 and log.fee_text == '2' and log.operator == nil and log.amount_out == nil and "
	  "log.amount_out_text == nil" },
	{ "{ { kind = 'flash_loan' } }", "log.token == nil and log.fee == nil and log.fee_text == nil" },
	{ "{ { kind = 'role_granted', from = A, to = B, role = " WORD " } }", "log.role == " WORD " and log.token_id == nil" },
	{ "{ { kind = 'role_revoked', role = " WORD " } }", "log.role == " WORD },
	{ "{ { kind = 'role_revoked' } }", "log.role == nil" },
	{ "{ { kind = 'other', topic = " WORD " } }", "log.topic == " WORD " and log.role == nil and log.data_size == 0" },
	{ "{ { kind = 'other' } }", "log.topic == nil and log.index == 0 and log.address ~= nil" },
	{ "{ { kind = 'other' }, { kind = 'paused' } }",
	  "tx.logs[2].index == 1 and tx.logs[2].kind == 'paused' and tx.logs[3] == nil and tx.logs[0] == nil and tx.logs[1.5] == nil "
	  "and tx.nlogs == 2 and tx.logs_total == 2" },
	{ "{}", "log == nil and tx.nlogs == 0" },
	/* a view outlives what it showed: it is then of no log */
	{ "{ { kind = 'transfer', amount = { 1, 2 } } }", "log.amount == 1" },
	{ "{ { kind = { 'paused', 'other' } } }", "log.kind == 'paused'" },
	{ "{ { kind = 'transfer', from = A }, { kind = 'other' }, { kind = 'transfer', from = B } }",
	  "(function() local t = '' for i, l in tx.logs('transfer') do t = t .. i .. l.from:sub(3, 4) end return t end)() == "
	  "'141342'" },
	{ "{ { kind = 'other' }, { kind = 'other' } }",
	  "(function() local n = 0 for i, l in tx.logs() do n = n + i end return n end)() == 3" },
	{ "{ { kind = 'other' } }", "(function() for _ in tx.logs('swap') do return false end return true end)()" },
	{ "{ { kind = 'other' } }", "compare_amounts('10', '9') == 1 and compare_amounts('9', '10') == -1 and "
	  "compare_amounts(" MOST ", " MOST ") == 0" },
};

START_TEST(field_is_what_the_log_says)
{
	const char *got = try_logs(fields[_i].logs, fields[_i].check);

	ck_assert_msg(got[0] == '\0', "%s\n%s\n%s", fields[_i].logs, fields[_i].check, got);
}
END_TEST

/* Messages as the end of what is said. */
static const struct { const char *logs, *check, *message; } refusals[] = {
	{ "3", "true", "\"logs\" must be a list of logs, like { { kind = \"transfer\", from = A, to = B } }" },
	{ "{ 3 }", "true", "a log must be a table, like { kind = \"transfer\", from = A, to = B }" },
	{ "{ {} }", "true", "a log needs a kind" },
	{ "{ { kind = 3 } }", "true", "\"kind\" of a log must be text" },
	{ "{ { kind = 'tansfer' } }", "true", "there is no kind of logs \"tansfer\"" },
	{ "{ { kind = 'other', form = A } }", "true", "log: unknown key \"form\" (did you mean \"from\"?)" },
	{ "{ { kind = 'transfer', standard = 'erc777' } }", "true", "\"standard\" of a log must be erc20, erc721 or erc1155" },
	{ "{ { kind = 'transfer', standard = 20 } }", "true", "\"standard\" of a log must be text" },
	{ "{ { kind = 'transfer', from = 'A' } }", "true", "\"from\" must be an address, A to Z, or each" },
	{ "{ { kind = 'transfer', amount = -1 } }", "true", "\"amount\" must be an amount: a number or decimal text" },
	{ "{ { kind = 'transfer', amount = 1e78 } }", "true", "\"amount\" must be an amount: a number or decimal text" },
	{ "{ { kind = 'transfer', token_id = 'x' } }", "true", "\"token_id\" must be an amount: a number or decimal text" },
	{ "{ { kind = 'role_granted', role = '0xab' } }", "true", "\"role\" of a log must be 0x and 64 hex digits" },
	{ "{ { kind = 'other', topic = 5 } }", "true", "\"topic\" of a log must be text" },
	{ "{ { kind = 'transfer', from = {} } }", "true", "\"from\" is an empty list" },
	{ "{ { kind = 'other' } }", "log.knid == 3", "rules/x.lua:4: a log has no field \"knid\" (did you mean \"kind\"?)" },
	{ "{ { kind = 'other' } }", "log[3] == 3", "rules/x.lua:4: a log has no field that is a number" },
	{ "{ { kind = 'other' } }", "tx.logs.first", "tx.logs has no key that is a string, only places from 1 to tx.nlogs" },
	{ "{ { kind = 'other' } }", "tx.logs('tansfer')", "tx.logs(kind): there is no kind \"tansfer\" (did you mean \"transfer\"?)" },
	{ "{ { kind = 'other' } }", "tx.logs(3)", "tx.logs(kind): there is no kind that is a number" },
	{ "{ { kind = 'other' } }", "(function() log.kind = 'swap' end)()", "cannot change a read-only table (field \"kind\")" },
	{ "{ { kind = 'other' } }", "(function() tx.logs[1] = nil end)()", "cannot change a read-only table (field number)" },
	{ "{ { kind = 'other' } }", "compare_amounts('1', 1) == 0",
	  "bad argument #2 to 'compare_amounts' (decimal text of an amount expected)" },
	{ "{ { kind = 'other' } }", "compare_amounts('x', '1') == 0",
	  "bad argument #1 to 'compare_amounts' (decimal text of an amount expected)" },
	{ "{ { kind = 'other' } }", "compare_amounts('1') == 0",
	  "bad argument #2 to 'compare_amounts' (string expected, got no value)" },
};

START_TEST(refusal_names_what_is_wrong)
{
	const char *got = try_logs(refusals[_i].logs, refusals[_i].check), *want = refusals[_i].message;
	size_t len = strlen(got), want_len = strlen(want);

	ck_assert_msg(len >= want_len && strcmp(got + len - want_len, want) == 0, "%s\n%s\nis   %s\nwant %s", refusals[_i].logs,
	              refusals[_i].check, got, want);
}
END_TEST

/* A log that is kept for later shows the log of that place in the transaction at hand, or nothing. */
START_TEST(a_kept_log_is_of_the_transaction_at_hand)
{
	static const char text[] = RULES_HEAD
		"state = function(p) return { n = window.count { key = 'chain', span = '1h' } } end,\n"
		"evaluate = (function() local kept = {} return function(tx, s, p)\n"
		"  if s.n:add(tx) == 1 then kept.log = tx.logs[2] return end\n"
		"  local log = kept.log\n"
		"  if log and log.amount == nil and log.kind == nil and log.address == nil then return alert { score = 1 } end\n"
		"end end)(),\n"
		"tests = { { name = 'it', given = { tx { logs = { { kind = 'other' }, { kind = 'transfer', amount = 5 } } },\n"
		"  tx { logs = { { kind = 'other' } } } }, expect = { alerts = 1, first = 2 } },\n"
		"  { name = 'quiet', given = tx { logs = { { kind = 'other' }, { kind = 'transfer', amount = 5 } } }, expect = 'quiet' } } }";
	struct cw_bundle_file file = { "rules/x.lua", text, sizeof(text) - 1 };
	struct cw_bundle bundle = { .rules = &file, .nrules = 1 };
	struct cw_err err = { .msg = "" };

	ck_assert_msg(cw_ruletest_bundle(&bundle, &cw_rules_conf_default, scratch, NULL, &err) == 0, "%s", err.msg);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("rule_logs");
	TCase *tc = tcase_create("rule_logs");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 20);
	tcase_add_loop_test(tc, field_is_what_the_log_says, 0, (int)(sizeof(fields) / sizeof(fields[0])));
	tcase_add_loop_test(tc, refusal_names_what_is_wrong, 0, (int)(sizeof(refusals) / sizeof(refusals[0])));
	tcase_add_test(tc, a_kept_log_is_of_the_transaction_at_hand);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
