/* Chains that change their mind: whatever they do, tables and state end as if only the last branch had ever been. */
#include "pipeline/pipeline.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "chain/hex.h"
#include "loop/loop.h"
#include "state/checkpoint.h"
#include "state/state.h"
#include "support/pgtest.h"
#include "support/pipeline_env.h"
#include "support/rules_in_c.h"
#include "support/store_env.h"

#define BLOCKS_MAX 200
#define TXS_MAX 8                 /* of one block */

const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "handle_segv=0:handle_abort=0:abort_on_error=1:detect_stack_use_after_return=0";
}

static struct pgtest *pg;
static char conninfo[512];
static struct cw_err err;

/* One chain as it is seen now. */
struct block { uint64_t branch; int n; uint64_t txs[TXS_MAX]; };
struct chain { uint64_t id; int height; struct block blocks[BLOCKS_MAX]; };

static uint64_t rng, next_tx, next_branch;
static int retractions;
static struct cw_retraction last_retraction;

static uint64_t pick(uint64_t n)
{
	rng = rng * 6364136223846793005u + 1442695040888963407u;
	return (rng >> 33) % n;
}

static void on_retract(void *arg, const struct cw_retraction *r)
{
	(void)arg;
	retractions++;
	last_retraction = *r;
}

static void up(void)
{
	snprintf(conninfo, sizeof(conninfo), "%s", store_env_database(pg));
	cw_log_set_level(NULL, getenv("CW_TEST_LOG") != NULL ? CW_LOG_DEBUG : CW_LOG_OFF);
	env_up(conninfo, "v1");
	cw_pipeline_on_retract(env.p, on_retract, NULL);
	env_until_ready();
	rng = 42;
	next_tx = 1;
	next_branch = 1;
	retractions = 0;
	memset(&err, 0, sizeof(err));
}

static void down(void)
{
	env_down();
}

static void fresh_start(void)
{
	env_down();
	up();
}

static long number(const char *sql)
{
	return store_env_number(pg, sql);
}

static char *text(const char *sql)
{
	return cw_strdup(store_env_value(pg, sql));
}

/* --- following --- */

static struct cw_tx_in tx_at(const struct chain *chain, int height, int i)
{
	const struct block *b = &chain->blocks[height];
	struct cw_tx_in in = store_env_tx(b->txs[i]);

	in.tx.chain_id = chain->id;
	in.tx.nonce = b->txs[i];
	in.tx.gas = b->txs[i] % 3 == 0 ? TOLD_LIVE : b->txs[i] % 11 == 0 ? TOLD_ALERT : TOLD_QUIET;
	in.tx.block_number = (uint64_t)height;
	in.tx.timestamp = 1767225600 + height * 12;
	in.tx.index = (uint32_t)i;
	in.tx.has |= CW_TX_HAS_BLOCK_HASH | CW_TX_HAS_INDEX;
	memset(in.tx.block_hash.b, 0, sizeof(in.tx.block_hash.b));
	memcpy(in.tx.block_hash.b, &b->branch, sizeof(b->branch));
	memcpy(in.tx.block_hash.b + 8, &height, sizeof(height));
	return in;
}

static struct call *send_block(const struct chain *chain, int height)
{
	char name[32], cursor[64];
	struct cw_source source = { .name = name, .cursor = cursor, .provisional = true };
	struct cw_origin origin = { .source = &source };
	size_t n = (size_t)chain->blocks[height].n;
	struct call *call = call_new(n);
	struct cw_tx_in txs[TXS_MAX];

	for (size_t i = 0; i < n; i++)
		txs[i] = tx_at(chain, height, (int)i);
	snprintf(name, sizeof(name), "chain:%llu", (unsigned long long)chain->id);
	snprintf(cursor, sizeof(cursor), "{\"block\":%d}", height);
	call->id = cw_pipeline_submit(env.p, txs, n, &origin, call_answer, call, &err);
	ck_assert_msg(call->id != 0, "%s", err.msg);
	return call;
}

static void follow_one_by_one(const struct chain *chain, int from)
{
	for (int h = from; h < chain->height; h++) {
		struct call *call = send_block(chain, h);

		call_wait(call);
		call_free(&call);
	}
}

static void follow(const struct chain *chain, int from)
{
	struct call *calls[BLOCKS_MAX];

	for (int h = from; h < chain->height; h++)
		calls[h] = send_block(chain, h);
	for (int h = from; h < chain->height; h++) {
		const struct seen *seen = call_wait(calls[h]);

		for (size_t i = 0; i < calls[h]->n; i++)
			ck_assert_msg(seen[i].err.code == CW_OK && !seen[i].duplicate, "block %d: %s", h, seen[i].err.msg);
		call_free(&calls[h]);
	}
}

struct rewound { bool done; struct cw_rewound what; struct cw_err err; };

static void on_rewound(void *arg, const struct cw_rewound *what, const struct cw_err *failed)
{
	struct rewound *r = arg;

	r->done = true;
	if (failed != NULL)
		r->err = *failed;
	else
		r->what = *what;
}

static struct cw_rewound take_back(const struct chain *chain, int from)
{
	struct rewound r = { .done = false };
	char name[32], cursor[64];
	const struct cw_reorg reorg = { .chain_id = chain->id, .from_block = (uint64_t)from, .source = name, .cursor = cursor };

	snprintf(name, sizeof(name), "chain:%llu", (unsigned long long)chain->id);
	snprintf(cursor, sizeof(cursor), "{\"block\":%d}", from - 1);
	ck_assert_msg(cw_pipeline_rewind(env.p, &reorg, on_rewound, &r, &err) == 0, "%s", err.msg);
	ck_assert(!r.done);
	env_until(&r.done, 20000);
	ck_assert_msg(r.err.code == CW_OK, "%s", r.err.msg);
	return r.what;
}

static void append_block(struct chain *chain, int n)
{
	struct block *b = &chain->blocks[chain->height++];

	b->branch = next_branch;
	b->n = n;
	for (int i = 0; i < n; i++)
		b->txs[i] = next_tx++;
}

/* The last `depth` blocks are replaced: their transactions come again in another order, later, or not at all. */
static void branch_off(struct chain *chain, int depth)
{
	uint64_t pool[BLOCKS_MAX * TXS_MAX];
	int from = chain->height - depth, n = 0, blocks = depth + (int)pick(3);

	for (int h = from; h < chain->height; h++)
		for (int i = 0; i < chain->blocks[h].n; i++)
			if (pick(4) != 0)
				pool[n++] = chain->blocks[h].txs[i];
	for (int i = n - 1; i > 0; i--) {
		int k = (int)pick((uint64_t)i + 1);
		uint64_t swap = pool[i];

		pool[i] = pool[k];
		pool[k] = swap;
	}
	next_branch++;
	chain->height = from;
	for (int b = 0; b < blocks && chain->height < BLOCKS_MAX; b++) {
		struct block *block;
		int old = n < TXS_MAX / 2 ? n : (int)pick(TXS_MAX / 2 + 1);

		append_block(chain, (int)pick(TXS_MAX / 2 + 1));
		block = &chain->blocks[chain->height - 1];
		for (int i = 0; i < old; i++)
			block->txs[block->n++] = pool[--n];
	}
}

/* --- what there is in the end --- */

struct count { uint64_t n, hash; };

static struct count counted(void)
{
	struct cw_state_root *root = NULL;

	while ((root = cw_state_root_next(env.st, root)) != NULL)
		if (strcmp(root->name, "test/count") == 0)
			return *(const struct count *)cw_state_ptr(env.st, root->ref);
	ck_abort_msg("no state");
}

static char *tables(void)
{
	return text(
	    "SELECT md5(concat((SELECT string_agg(concat_ws(' ', chain_id, encode(hash, 'hex'), block_number,"
	    " encode(block_hash, 'hex'), tx_index), ',' ORDER BY chain_id, block_number, tx_index) FROM transactions"
	    " WHERE canonical), '|', (SELECT string_agg(concat_ws(' ', t.chain_id, encode(t.hash, 'hex'), a.rule_id, a.dedup_key,"
	    " a.severity, a.anomaly_score, a.features_used, a.occurrences, a.last_seen, a.finality, (SELECT string_agg(concat_ws("
	    "'/', encode(x.hash, 'hex'), e.severity, e.anomaly_score), '+' ORDER BY x.hash) FROM anomaly_evidence e"
	    " JOIN transactions x ON x.id = e.transaction_id WHERE e.anomaly_id = a.id AND x.canonical)), ','"
	    " ORDER BY t.chain_id, t.hash, a.rule_id) FROM anomalies a JOIN transactions t ON t.id = a.transaction_id"
	    " WHERE a.finality <> 'retracted'), '|', (SELECT string_agg(concat_ws(' ', name, position), ',' ORDER BY name)"
	    " FROM cursors)))");
}

static void assert_same_state(struct count a, struct count b)
{
	ck_assert_uint_eq(a.n, b.n);
	ck_assert_uint_eq(a.hash, b.hash);
}

/* --- tests --- */

START_TEST(cursor_moves_with_the_rows)
{
	static struct chain chain;

	chain = (struct chain){ .id = 7 };
	append_block(&chain, 2);
	append_block(&chain, 0);         /* empty: the cursor alone */
	append_block(&chain, 3);
	follow(&chain, 0);
	ck_assert_int_eq(number("SELECT (position->>'block')::int FROM cursors WHERE name = 'chain:7'"), 2);
	ck_assert_int_eq(number("SELECT count(*) FROM transactions"), 5);
	append_block(&chain, 0);
	follow(&chain, 3);
	ck_assert_int_eq(number("SELECT (position->>'block')::int FROM cursors WHERE name = 'chain:7'"), 3);
}
END_TEST

START_TEST(many_small_groups_keep_the_order_of_cursors)
{
	static struct chain chain;

	env.conf.group_max = 3;
	cw_pipeline_reconfigure(env.p, &env.conf);
	chain = (struct chain){ .id = 7 };
	for (int i = 0; i < 60; i++)
		append_block(&chain, (int)pick(6));
	follow(&chain, 0);
	ck_assert_int_eq(number("SELECT (position->>'block')::int FROM cursors WHERE name = 'chain:7'"), 59);
	env.conf.group_max = cw_pipeline_conf_default.group_max;
	cw_pipeline_reconfigure(env.p, &env.conf);
}
END_TEST

START_TEST(bad_cursor_fails_alone)
{
	struct cw_source source = { .name = "x", .cursor = "{no json" };
	struct cw_origin origin = { .source = &source };
	struct cw_tx_in in = store_env_tx(1);
	struct call *call = call_new(1);

	ck_assert(cw_pipeline_submit(env.p, &in, 1, &origin, call_answer, call, &err) != 0);
	ck_assert_int_eq(call_wait(call)->err.code, CW_OK);
	ck_assert_int_eq(number("SELECT count(*) FROM cursors"), 0);
	ck_assert_int_eq(number("SELECT count(*) FROM transactions"), 1);
	ck_assert(cw_pipeline_submit(env.p, NULL, 0, NULL, call_answer, call, &err) == 0);
	call_free(&call);
}
END_TEST

START_TEST(dropped_blocks_go_with_their_alerts)
{
	static struct chain chain;
	struct cw_rewound what;
	struct count before;

	chain = (struct chain){ .id = 1 };
	append_block(&chain, 2);         /* 1, 2 */
	append_block(&chain, 0);
	follow(&chain, 0);
	before = counted();
	append_block(&chain, 4);         /* 3 (lives), 4, 5, 6 (lives) */
	append_block(&chain, 1);
	follow(&chain, 2);
	ck_assert_int_eq(number("SELECT count(*) FROM anomalies WHERE finality = 'provisional'"), 2);
	what = take_back(&chain, 2);
	ck_assert_uint_eq(what.transactions, 5);
	ck_assert_uint_eq(what.retracted, 2);
	ck_assert_int_eq(retractions, 2);
	ck_assert_int_eq(number("SELECT count(*) FROM transactions WHERE canonical"), 2);
	ck_assert_int_eq(number("SELECT count(*) FROM anomalies WHERE finality = 'retracted' AND reorg_id IS NOT NULL"), 2);
	ck_assert_int_eq(number("SELECT (position->>'block')::int FROM cursors"), 1);
	assert_same_state(counted(), before);
	/* The same transactions in a later block: judged anew, their alerts are there again. */
	next_branch++;
	chain.blocks[3] = chain.blocks[2];
	chain.blocks[2] = (struct block){ .branch = next_branch };
	chain.blocks[3].branch = next_branch;
	chain.height = 4;
	follow(&chain, 2);
	ck_assert_int_eq(number("SELECT count(*) FROM anomalies WHERE finality = 'provisional' AND reborn_of IS NOT NULL"), 2);
	ck_assert_int_eq(number("SELECT count(*) FROM transactions WHERE NOT canonical"), 5);
	ck_assert_int_eq(number("SELECT block_number FROM transactions WHERE canonical ORDER BY id DESC LIMIT 1"), 3);
	cw_pipeline_finalise(env.p, 1, 2);
	env_idle(100);
	ck_assert_int_eq(number("SELECT count(*) FROM anomalies WHERE finality = 'provisional'"), 2);
	cw_pipeline_finalise(env.p, 1, 3);
	for (int i = 0; i < 100 && number("SELECT count(*) FROM anomalies WHERE finality = 'provisional'") > 0; i++)
		env_idle(20);
	ck_assert_int_eq(number("SELECT count(*) FROM anomalies WHERE finality = 'final'"), 2);
}
END_TEST

/* As the follower does before it hands a block over. */
static void list_block(const struct chain *chain, int height)
{
	char sql[256], hash[CW_HASH_TEXT];
	const struct cw_tx_in in = tx_at(chain, height, 0);

	snprintf(sql, sizeof(sql), "INSERT INTO source_blocks VALUES ('chain:%llu', %d, '\\x%s')", (unsigned long long)chain->id,
	         height, cw_hash_format(&in.tx.block_hash, hash) + 2);
	store_env_exec(pg, sql);
}

/* Somebody else tells of blocks at the same heights and above, of a branch that no node has shown. */
START_TEST(only_blocks_of_the_source_are_dropped)
{
	static struct chain chain, told;
	struct count without;
	struct cw_rewound what;

	chain = (struct chain){ .id = 1 };
	append_block(&chain, 2);
	append_block(&chain, 2);
	append_block(&chain, 2);
	told = chain;
	told.height = 0;
	next_branch++;
	for (int h = 0; h < 5; h++)
		append_block(&told, 2);
	follow(&chain, 0);
	follow(&told, 0);
	for (int h = 1; h < 3; h++)
		list_block(&chain, h);
	what = take_back(&chain, 1);
	ck_assert_uint_eq(what.transactions, 4);
	ck_assert_uint_eq(what.judged_again, 10);
	ck_assert_int_eq(number("SELECT count(*) FROM transactions WHERE canonical"), 12);
	ck_assert_int_eq(number("SELECT count(*) FROM source_blocks"), 0);
	without = counted();
	env_down();
	env_up(conninfo, "v1");          /* a replay of what the tables say */
	env_until_ready();
	assert_same_state(counted(), without);
	/* Further back than its list goes, all that names a block is taken to be of the source. */
	list_block(&chain, 2);
	what = take_back(&chain, 0);
	ck_assert_uint_eq(what.transactions, 2 + 4);
	ck_assert_int_eq(number("SELECT count(*) FROM transactions WHERE canonical"), 6);
}
END_TEST

START_TEST(alert_that_keeps_evidence_lives_on)
{
	static struct chain chain;
	char *row;

	chain = (struct chain){ .id = 1, .height = 3 };
	chain.blocks[0] = (struct block){ .branch = 1, .n = 1, .txs = { 3 } };       /* key 3 */
	chain.blocks[1] = (struct block){ .branch = 1, .n = 1, .txs = { 27 } };      /* key 3 again */
	chain.blocks[2] = (struct block){ .branch = 1, .n = 1, .txs = { 390 } };     /* key 2, and 39 below: key 3 */
	chain.blocks[2] = (struct block){ .branch = 1, .n = 2, .txs = { 39, 63 } };
	follow(&chain, 0);
	ck_assert_int_eq(number("SELECT occurrences FROM anomalies"), 4);
	take_back(&chain, 2);
	ck_assert_int_eq(retractions, 0);
	row = text("SELECT concat_ws(' ', occurrences, severity, anomaly_score, features_used->>'nonce', finality,"
	           " extract(epoch FROM last_seen)::bigint - 1767225600) FROM anomalies");
	ck_assert_str_eq(row, "2 high 0.27 27 provisional 12");
	cw_free(row);
}
END_TEST

START_TEST(a_suppressed_or_unknown_block_is_no_matter)
{
	static struct chain chain;
	struct cw_rewound what;

	chain = (struct chain){ .id = 1 };
	append_block(&chain, 2);
	follow(&chain, 0);
	what = take_back(&chain, 50);
	ck_assert_uint_eq(what.transactions + what.retracted + what.judged_again, 0);
	ck_assert_int_eq(number("SELECT count(*) FROM transactions WHERE canonical"), 2);
	ck_assert_int_eq(number("SELECT (position->>'block')::int FROM cursors"), 49);
}
END_TEST

START_TEST(events_are_left_for_receivers)
{
	static struct chain chain;
	char *kinds;

	cw_pipeline_want_events(env.p, true);
	chain = (struct chain){ .id = 1, .height = 3 };
	chain.blocks[0] = (struct block){ .branch = 1, .n = 1, .txs = { 6 } };       /* key 2, high */
	chain.blocks[1] = (struct block){ .branch = 1, .n = 1, .txs = { 90 } };      /* key 2, critical */
	chain.blocks[2] = (struct block){ .branch = 1, .n = 1, .txs = { 18 } };      /* key 2: nothing to tell */
	follow_one_by_one(&chain, 0);
	take_back(&chain, 0);
	follow_one_by_one(&chain, 0);
	kinds = text("SELECT string_agg(kind, ' ' ORDER BY id) FROM outbox");
	ck_assert_str_eq(kinds, "new updated retracted reborn updated");
	cw_free(kinds);
	ck_assert_int_eq(number("SELECT count(DISTINCT event_id) FROM outbox"), 5);
	cw_pipeline_want_events(env.p, false);
	chain.blocks[3] = (struct block){ .branch = 1, .n = 1, .txs = { 9 } };
	chain.height = 4;
	follow(&chain, 3);
	ck_assert_int_eq(number("SELECT count(*) FROM outbox"), 5);
}
END_TEST

/* Deeper than the undo log: no checkpoint is at hand, so all of history is judged again. */
static bool discard(void *arg, uint64_t seq)
{
	*(uint64_t *)arg = seq;
	return true;
}

START_TEST(deeper_than_the_undo_log)
{
	static struct chain chain;
	struct count before;
	struct cw_rewound what;
	uint64_t discarded = 0;

	cw_pipeline_on_discard(env.p, discard, &discarded);
	chain = (struct chain){ .id = 1 };
	for (int i = 0; i < 3; i++)
		append_block(&chain, 4);
	follow(&chain, 0);
	before = counted();
	append_block(&chain, 4);
	follow(&chain, 3);
	/* Everything the log had is overwritten by what another source brings. */
	env_restart(conninfo, "v1");
	cw_pipeline_on_discard(env.p, discard, &discarded);
	env_until_ready();
	cw_state_reset(env.st);
	ck_assert_uint_eq(cw_state_seq(env.st), 0);
	what = take_back(&chain, 3);
	ck_assert_uint_eq(what.transactions, 4);
	ck_assert_uint_eq(what.judged_again, 12);
	ck_assert_uint_eq(discarded, 13);
	assert_same_state(counted(), before);
}
END_TEST

static void random_chain(struct chain *chain, uint64_t seed, int steps, bool others)
{
	rng = seed;
	*chain = (struct chain){ .id = 1 };
	for (int i = 0; i < steps && chain->height < BLOCKS_MAX - 20; i++) {
		if (pick(3) > 0 || chain->height == 0) {
			int from = chain->height, n = 1 + (int)pick(3);

			for (int k = 0; k < n; k++)
				append_block(chain, (int)pick(TXS_MAX / 2 + 1));
			follow(chain, from);
		} else {
			int depth = 1 + (int)pick(chain->height < 8 ? (uint64_t)chain->height : 8), from = chain->height - depth;

			take_back(chain, from);
			branch_off(chain, depth);
			follow(chain, from);
		}
		if (others && pick(2) == 0) {
			struct call *call = call_one(1000000 + next_tx++, pick(4) == 0 ? TOLD_ALERT : TOLD_QUIET);

			ck_assert_int_eq(call_wait(call)->err.code, CW_OK);
			call_free(&call);
		}
	}
}

/* The sequence of reorgs and the final chain followed straight end in the same tables and the same state. */
START_TEST(reorgs_end_as_the_final_chain)
{
	static struct chain chain;
	struct count state;
	char *end, *straight;

	random_chain(&chain, (uint64_t)_i * 7919 + 1, 40, false);
	state = counted();
	end = tables();
	fresh_start();
	follow(&chain, 0);
	straight = tables();
	ck_assert_str_eq(end, straight);
	assert_same_state(counted(), state);
	cw_free(end);
	cw_free(straight);
}
END_TEST

/* With transactions of others in between: state is what a replay of the tables gives. */
START_TEST(state_is_what_a_replay_gives)
{
	static struct chain chain;
	struct count state;

	random_chain(&chain, (uint64_t)_i * 104729 + 5, 30, true);
	state = counted();
	ck_assert_int_eq(number("SELECT count(*) FROM transactions WHERE canonical"), (long)state.n);
	env_restart(conninfo, "v1");
	env_until_ready();
	assert_same_state(counted(), state);
}
END_TEST

START_TEST(odd_reorgs_are_refused)
{
	static struct chain chain;
	struct rewound r = { .done = false };
	struct cw_reorg reorg = { .chain_id = 7, .from_block = 0, .source = "chain:7", .cursor = "{\"block\":0}" };

	chain = (struct chain){ .id = 7 };
	append_block(&chain, 2);
	follow(&chain, 0);
	reorg.chain_id = UINT64_MAX;
	ck_assert_int_eq(cw_pipeline_rewind(env.p, &reorg, on_rewound, &r, &err), -1);
	ck_assert_int_eq(err.code, CW_ERR_INVALID);
	reorg.chain_id = 7;
	reorg.from_block = UINT64_MAX;
	ck_assert_int_eq(cw_pipeline_rewind(env.p, &reorg, on_rewound, &r, &err), -1);
	ck_assert_str_eq(err.msg, "chain or block number is out of range");
	reorg.from_block = 0;
	ck_assert_int_eq(cw_pipeline_rewind(env.p, &reorg, on_rewound, &r, &err), 0);
	ck_assert_int_eq(cw_pipeline_rewind(env.p, &reorg, on_rewound, &r, &err), -1);
	ck_assert_int_eq(err.code, CW_ERR_BUSY);
	ck_assert_str_eq(err.msg, "another chain takes blocks back");
	env_until(&r.done, 20000);
	ck_assert_int_eq(r.err.code, CW_OK);
	ck_assert_int_eq(number("SELECT count(*) FROM transactions WHERE canonical"), 0);
}
END_TEST

/* Each table that a reorg reads or writes is away for a while: it asks again, and then has done what it had to, once. */
START_TEST(a_reorg_waits_for_the_database)
{
	static const char *const tables[] = { "transactions", "anomalies", "outbox" };
	static struct chain chain;
	struct rewound r = { .done = false };
	const struct cw_reorg reorg = { .chain_id = 7, .from_block = 2, .source = "chain:7", .cursor = "{\"block\":1}" };
	struct count before;
	char sql[128];

	chain = (struct chain){ .id = 7 };
	append_block(&chain, 3);
	append_block(&chain, 3);
	follow(&chain, 0);
	before = counted();
	append_block(&chain, 4);
	follow(&chain, 2);
	snprintf(sql, sizeof(sql), "ALTER TABLE %s RENAME TO hidden", tables[_i]);
	store_env_exec(pg, sql);
	ck_assert_int_eq(cw_pipeline_rewind(env.p, &reorg, on_rewound, &r, &err), 0);
	env_idle(400);
	ck_assert(!r.done);
	snprintf(sql, sizeof(sql), "ALTER TABLE hidden RENAME TO %s", tables[_i]);
	store_env_exec(pg, sql);
	env_until(&r.done, 20000);
	ck_assert_int_eq(r.err.code, CW_OK);
	ck_assert_uint_eq(r.what.transactions, 4);
	ck_assert_int_eq(number("SELECT count(*) FROM transactions WHERE NOT canonical"), 4);
	assert_same_state(counted(), before);
	ck_assert_int_eq(number("SELECT (position->>'block')::int FROM cursors WHERE name = 'chain:7'"), 1);
}
END_TEST

START_TEST(shutdown_in_the_middle_is_told)
{
	static struct chain chain;
	struct rewound r = { .done = false };
	const struct cw_reorg reorg = { .chain_id = 1, .from_block = 0 };

	chain = (struct chain){ .id = 1 };
	append_block(&chain, 3);
	follow(&chain, 0);
	ck_assert_int_eq(cw_pipeline_rewind(env.p, &reorg, on_rewound, &r, &err), 0);
	ck_assert_int_eq(cw_pipeline_rewind(env.p, &reorg, on_rewound, &r, &err), -1);
	ck_assert_int_eq(err.code, CW_ERR_BUSY);
	env_turn();
	env_restart(conninfo, "v1");
	ck_assert(r.done);
	ck_assert_int_eq(r.err.code, CW_ERR_CANCELLED);
	env_until_ready();
	take_back(&chain, 0);
	ck_assert_int_eq(number("SELECT count(*) FROM transactions WHERE canonical"), 0);
}
END_TEST

/* The arena was filled from a checkpoint, so the undo log begins there: what is dropped lies before. The owner may have an older
 * checkpoint, none, or one that should be gone. */
static char older[] = "/tmp/cw-reorg-XXXXXX", newer[] = "/tmp/cw-reorg-XXXXXX";

static void save(char *path)
{
	struct cw_checkpoint *copy = cw_checkpoint_new();

	ck_assert_int_ge(mkstemp(path), 0);
	ck_assert_msg(cw_checkpoint_save(copy, env.st, cw_state_seq(env.st), (const uint8_t[32]){ 0 }, path, &err) == 0, "%s",
	              err.msg);
	cw_checkpoint_free(&copy);
}

static void restore(void *arg, struct cw_state *st)
{
	ck_assert_msg(cw_checkpoint_load(st, arg, NULL, NULL, &err) == 0, "%s", err.msg);
}

START_TEST(deeper_than_a_checkpoint)
{
	static const int judged_again[] = { 8, 4, 8 };
	static struct chain chain;
	struct cw_rewound what;
	struct count before;

	chain = (struct chain){ .id = 1 };
	append_block(&chain, 4);
	follow(&chain, 0);
	save(older);
	append_block(&chain, 4);
	follow(&chain, 1);
	before = counted();
	append_block(&chain, 4);
	follow(&chain, 2);
	save(newer);
	env_restart(conninfo, NULL);
	restore(newer, env.st);
	if (_i > 0)
		cw_pipeline_on_state_lost(env.p, restore, _i == 1 ? older : newer);
	env_load("v1");
	env_until_ready();
	ck_assert_uint_eq(cw_pipeline_stats(env.p).replayed, 0);
	what = take_back(&chain, 2);
	ck_assert_uint_eq(what.transactions, 4);
	ck_assert_uint_eq(what.judged_again, (uint64_t)judged_again[_i]);
	assert_same_state(counted(), before);
	unlink(older);
	unlink(newer);
}
END_TEST

static bool not_yet(void *arg, uint64_t seq)
{
	(void)seq;
	return ++*(int *)arg >= 3;
}

/* Groups are under way and a checkpoint is being written: both end first. Nobody wants to hear of it. */
START_TEST(a_reorg_waits_for_what_is_under_way)
{
	static struct chain chain;
	const struct cw_reorg reorg = { .chain_id = 1, .from_block = 1, .source = "chain:1", .cursor = "{\"block\":0}" };
	struct cw_tx_in txs[200];
	struct call *call;
	bool done = false;
	int asked = 0;

	cw_pipeline_on_discard(env.p, not_yet, &asked);
	chain = (struct chain){ .id = 1 };
	append_block(&chain, 4);
	append_block(&chain, 4);
	follow(&chain, 0);
	for (uint64_t i = 0; i < 200; i++) {
		txs[i] = store_env_tx(5000 + i);
		txs[i].tx.gas = TOLD_SPIN;
		txs[i].tx.nonce = 500;
	}
	call = call_send(txs, 200);
	env_turn();
	ck_assert_int_eq(cw_pipeline_rewind(env.p, &reorg, NULL, NULL, &err), 0);
	ck_assert_int_eq(call_wait(call)->err.code, CW_OK);
	call_free(&call);
	for (int i = 0; i < 2000 && !done; i++) {
		env_turn();
		done = cw_pipeline_stats(env.p).reorgs == 1;
	}
	ck_assert(done);
	ck_assert_int_eq(asked, 3);
	ck_assert_uint_eq(counted().n, 204);
	ck_assert_int_eq(number("SELECT count(*) FROM transactions WHERE canonical"), 204);
}
END_TEST

/* The tables have it, but what it did cannot be read: it is, later, and is told once. */
START_TEST(what_was_dropped_is_told_when_it_can_be_read)
{
	static struct chain chain;
	struct rewound r = { .done = false };
	const struct cw_reorg reorg = { .chain_id = 1, .from_block = 1, .source = "chain:1", .cursor = "{\"block\":0}" };

	chain = (struct chain){ .id = 1 };
	append_block(&chain, 4);
	append_block(&chain, 4);
	follow(&chain, 0);
	ck_assert_int_eq(cw_pipeline_rewind(env.p, &reorg, on_rewound, &r, &err), 0);
	for (int i = 0; i < 2000 && number("SELECT count(*) FROM reorgs") == 0; i++)
		env_turn();
	store_env_exec(pg, "ALTER TABLE reorgs RENAME TO hidden");
	env_idle(300);
	ck_assert(!r.done);
	store_env_exec(pg, "ALTER TABLE hidden RENAME TO reorgs");
	env_until(&r.done, 20000);
	ck_assert_uint_eq(r.what.transactions, 4);
	ck_assert_uint_eq(r.what.judged_again, 0);
	ck_assert_uint_eq(cw_pipeline_stats(env.p).reorgs, 1);
}
END_TEST

static void on_drained(void *arg)
{
	*(bool *)arg = true;
}

START_TEST(no_reorg_begins_at_the_end)
{
	const struct cw_reorg reorg = { .chain_id = 1, .from_block = 0 };
	bool drained = false;

	cw_pipeline_drain(env.p, on_drained, &drained);
	ck_assert_int_eq(cw_pipeline_rewind(env.p, &reorg, NULL, NULL, &err), -1);
	ck_assert_int_eq(err.code, CW_ERR_BUSY);
	ck_assert_str_eq(err.msg, "the engine is stopping");
	env_until(&drained, 10000);
}
END_TEST

/* A head that could not be noted is made good by the next one. */
START_TEST(alerts_become_final_with_the_next_head)
{
	static struct chain chain;
	bool done = false;

	chain = (struct chain){ .id = 1 };
	append_block(&chain, 4);
	follow(&chain, 0);
	ck_assert_int_gt(number("SELECT count(*) FROM anomalies WHERE finality = 'provisional'"), 0);
	store_env_exec(pg, "ALTER TABLE anomalies RENAME TO hidden");
	cw_pipeline_finalise(env.p, 1, 5);
	env_idle(200);
	store_env_exec(pg, "ALTER TABLE hidden RENAME TO anomalies");
	cw_pipeline_finalise(env.p, 1, 5);
	for (int i = 0; i < 1000 && !done; i++) {
		env_turn();
		done = number("SELECT count(*) FROM anomalies WHERE finality = 'provisional'") == 0;
	}
	ck_assert(done);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("reorg");
	TCase *tc = tcase_create("reorg");
	SRunner *runner = srunner_create(s);
	int failed;

	tcase_add_checked_fixture(tc, up, down);
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, cursor_moves_with_the_rows);
	tcase_add_test(tc, many_small_groups_keep_the_order_of_cursors);
	tcase_add_test(tc, bad_cursor_fails_alone);
	tcase_add_test(tc, dropped_blocks_go_with_their_alerts);
	tcase_add_test(tc, only_blocks_of_the_source_are_dropped);
	tcase_add_test(tc, alert_that_keeps_evidence_lives_on);
	tcase_add_test(tc, a_suppressed_or_unknown_block_is_no_matter);
	tcase_add_test(tc, events_are_left_for_receivers);
	tcase_add_test(tc, deeper_than_the_undo_log);
	tcase_add_loop_test(tc, reorgs_end_as_the_final_chain, 0, 6);
	tcase_add_loop_test(tc, state_is_what_a_replay_gives, 0, 3);
	tcase_add_test(tc, odd_reorgs_are_refused);
	tcase_add_loop_test(tc, a_reorg_waits_for_the_database, 0, 3);
	tcase_add_test(tc, shutdown_in_the_middle_is_told);
	tcase_add_loop_test(tc, deeper_than_a_checkpoint, 0, 3);
	tcase_add_test(tc, a_reorg_waits_for_what_is_under_way);
	tcase_add_test(tc, what_was_dropped_is_told_when_it_can_be_read);
	tcase_add_test(tc, no_reorg_begins_at_the_end);
	tcase_add_test(tc, alerts_become_final_with_the_next_head);
	suite_add_tcase(s, tc);
	pg = store_env_start();
	env.conf = cw_pipeline_conf_default;
	env.conf.commit_lanes = 2;
	env.conf.insert_rows = 2;
	env.conf.lane_rows = 1;
	srunner_run_all(runner, CK_NORMAL);
	pgtest_stop(&pg);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
