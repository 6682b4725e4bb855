/* rules.h - bundles made of texts, and transactions, for tests of rules and of the evaluator. */
#ifndef CW_TESTS_SUPPORT_RULES_H
#define CW_TESTS_SUPPORT_RULES_H

#include <stdio.h>
#include <string.h>

#include <check.h>

#include "base/err.h"
#include "chain/tx.h"
#include "pipeline/evaluate.h"
#include "state/state.h"

static inline struct cw_state *rules_arena(void)
{
	const struct cw_state_conf conf = { .max_bytes = (size_t)512 << 20, .journal_bytes = (size_t)32 << 20 };
	struct cw_err err;
	struct cw_state *st = cw_state_new(&conf, &err);

	ck_assert_msg(st != NULL, "%s", err.msg);
	return st;
}

/* A transfer of one ether, `i` seconds after the start; addresses are one byte repeated. */
static inline struct cw_tx rules_tx(uint64_t i, uint8_t from, uint8_t to)
{
	struct cw_tx tx = { .seq = i, .chain_id = 1, .block_number = 18000000 + i / 12, .timestamp = 1700000000 + (int64_t)i,
		                .gas = 21000, .nonce = 1000 + i, .has = CW_TX_HAS_TO };

	memset(tx.from.b, from, sizeof(tx.from.b));
	memset(tx.to.b, to, sizeof(tx.to.b));
	memcpy(tx.hash.b, &i, sizeof(i));
	tx.value = cw_u256_from_u64(1000000000000000000u);
	tx.gas_price = cw_u256_from_u64(20000000000u);
	return tx;
}

/* A whole rule around the parts that a test is about. */
#define RULES_HEAD "return rule { id = 'x.y', version = '1.0.0', severity = 'low', title = 'Title', description = 'About.',\n"
#define RULES_TESTS "tests = { { name = 'fires', given = tx {}, expect = 'alert' },\n" \
	"  { name = 'quiet', given = tx { from = Z }, expect = 'quiet' } } }\n"
#define RULES_EVALUATE "evaluate = function(tx, s, p) if tx.from == Z then return end return alert { score = 1 } end,\n"

#endif
