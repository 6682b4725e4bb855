/* A block and its receipts as a node may say them: two lines of JSON. What is taken is of the block, and stores and comes
 * back the same. */
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "source/blocks.h"

static void check(int condition)
{
	if (!condition)
		abort();
}

static void check_logs(const struct cw_tx *tx, struct cw_arena *arena)
{
	struct cw_tx again = { .has = 0 };
	struct cw_buf packed = CW_BUF_INIT;

	check(tx->nlogs <= CW_TX_LOGS_MAX && tx->nlogs <= tx->logs_total);
	cw_logs_pack(&packed, tx);
	check(cw_logs_unpack(&again, (const uint8_t *)packed.data, packed.len, arena));
	check(again.nlogs == tx->nlogs && again.logs_total == tx->logs_total);
	check(tx->nlogs == 0 || memcmp(again.logs, tx->logs, tx->nlogs * sizeof(*tx->logs)) == 0);
	cw_buf_release(&packed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *line = memchr(data, '\n', size);
	size_t first = line != NULL ? (size_t)(line - data) : size;
	struct cw_arena *arena = cw_arena_new();
	const struct cw_json *block = cw_json_parse((const char *)data, first, 16, arena, NULL), *receipts = NULL;
	struct cw_block out;
	struct cw_tx tx = { .has = 0 };
	struct cw_err err;

	cw_log_set_level(NULL, CW_LOG_OFF);
	if (line != NULL)
		receipts = cw_json_parse((const char *)line + 1, size - first - 1, 16, arena, NULL);
	if (block != NULL && cw_block_read(&out, 7, 1, block, receipts, arena, &err) == 0) {
		check(out.number == 7);
		for (size_t i = 0; i < out.ntxs; i++) {
			check(out.txs[i].tx.block_number == 7 && out.txs[i].tx.chain_id == 1);
			check(memcmp(&out.txs[i].tx.block_hash, &out.hash, sizeof(out.hash)) == 0);
			check_logs(&out.txs[i].tx, arena);
		}
	}
	/* The stored form, as bytes from anywhere. */
	if (cw_logs_unpack(&tx, data, size, arena))
		check(tx.nlogs <= CW_TX_LOGS_MAX);
	cw_arena_free(&arena);
	return 0;
}
