/* Any JSON into the transaction reader. What it accepts is written and read again, to the same record bit by bit; its
 * call data goes through the decoder of token calls. */
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"
#include "chain/abi.h"
#include "chain/tx.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition)
{
	if (!condition)
		abort();
}

static void check_faults(const struct cw_tx_faults *faults)
{
	check(faults->count >= 1 && faults->count <= CW_TX_FAULTS_MAX);
	for (int i = 0; i < faults->count; i++) {
		check(faults->list[i].pointer[0] == '/' || faults->list[i].pointer[0] == '\0');
		check(faults->list[i].what[0] != '\0');
	}
}

static void check_ranges(const struct cw_tx_in *in)
{
	const struct cw_tx *tx = &in->tx;

	check(tx->chain_id <= INT64_MAX && tx->block_number <= INT64_MAX && tx->gas <= INT64_MAX);
	check(tx->gas_used <= INT64_MAX && tx->nonce <= INT64_MAX && tx->timestamp >= 0 && tx->status <= 1);
	check(tx->input_head_size <= CW_TX_INPUT_HEAD && tx->input_head_size <= in->input_len);
	check(in->input_len <= tx->input_size);
}

static void check_accepted(struct cw_tx_in *in, struct cw_arena *arena)
{
	struct cw_buf text = CW_BUF_INIT;
	struct cw_tx before = in->tx;
	struct cw_tx_faults faults;
	struct cw_call call;

	check_ranges(in);
	cw_call_decode(&call, in->input, in->input_len, in->tx.input_size);
	cw_call_decode(&call, in->tx.input_head, in->tx.input_head_size, in->tx.input_size);
	cw_buf_putc(&text, '{');
	cw_tx_to_json(&text, in);
	cw_buf_putc(&text, '}');
	check(cw_tx_from_json(in, cw_json_parse(text.data, text.len, 3, arena, NULL), 5, arena, &faults) == 0);
	check(in->tx.nlogs == before.nlogs);
	check(before.nlogs == 0 || memcmp(before.logs, in->tx.logs, before.nlogs * sizeof(*before.logs)) == 0);
	before.logs = in->tx.logs;
	check(memcmp(&before, &in->tx, sizeof(before)) == 0);
	cw_buf_release(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cw_arena *arena = cw_arena_new();
	const struct cw_json *json = cw_json_parse((const char *)data, size, CW_JSON_DEPTH_DEFAULT, arena, NULL);
	struct cw_tx_faults faults;
	struct cw_tx_in in;

	if (json != NULL) {
		if (cw_tx_from_json(&in, json, 1, arena, &faults) == 0)
			check_accepted(&in, arena);
		else
			check_faults(&faults);
	}
	cw_arena_free(&arena);
	return 0;
}
