/* A node for the benchmark of the follower: answers JSON-RPC from blocks that it made of a file before it began.
 *
 * usage: follow_node IN.ndjson OUT.ndjson PORTFILE [PER_BLOCK]
 *
 * The transactions of IN go into blocks of PER_BLOCK (150), each gets a receipt, calls one log; OUT has the same, one
 * transaction a line, for `chainwatch ingest`. The port is in PORTFILE when it listens. Ends by a signal. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "chain/tx.h"
#include "http/reply.h"
#include "http/request.h"
#include "http/router.h"
#include "http/server.h"
#include "loop/loop.h"
#include "source/file.h"

#define CHAIN_ID "1"

struct block {
	struct cw_buf text, receipts;
	int64_t timestamp;
};

static struct block *blocks;         /* 1 to nblocks */
static uint64_t nblocks;

static struct cw_hash hash_of(uint64_t number)
{
	struct cw_hash hash = { .b = { 0xb1, 0x0c } };

	for (int i = 0; i < 8; i++)
		hash.b[31 - i] = (uint8_t)(number >> (8 * i));
	return hash;
}

static const char *hash_text(uint64_t number)
{
	static char text[CW_HASH_TEXT];
	struct cw_hash hash = hash_of(number);

	return cw_hash_format(&hash, text);
}

static void put_log(struct cw_buf *out, const struct cw_tx *tx)
{
	char from[CW_ADDRESS_TEXT], to[CW_ADDRESS_TEXT];

	cw_buf_printf(out, "[{\"address\":\"%s\",\"logIndex\":\"0x0\",\"topics\":["
	              "\"0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef\",\"0x%024d%s\",\"0x%024d%s\"],"
	              "\"data\":\"0x%064d\"}]", cw_address_format(&tx->to, to), 0, cw_address_format(&tx->from, from) + 2, 0,
	              to + 2, 12345);
}

/* One transaction into its block, and as a line. */
static void add(struct block *block, uint64_t number, uint32_t index, struct cw_tx_in *in, FILE *lines)
{
	struct cw_buf line = CW_BUF_INIT, logs = CW_BUF_INIT;
	char hash[CW_HASH_TEXT];

	in->tx.block_number = number;
	in->tx.block_hash = hash_of(number);
	in->tx.index = index;
	in->tx.has |= CW_TX_HAS_BLOCK_HASH | CW_TX_HAS_INDEX;
	in->tx.has &= ~(uint32_t)(CW_TX_HAS_STATUS | CW_TX_HAS_GAS_USED | CW_TX_HAS_LOGS | CW_TX_HAS_CREATED);
	if (index == 0)
		block->timestamp = in->tx.timestamp;
	in->tx.timestamp = block->timestamp;
	cw_tx_to_json(&line, in);
	if (in->tx.input_size > 0 && (in->tx.has & CW_TX_HAS_TO) != 0)
		put_log(&logs, &in->tx);
	else
		cw_buf_puts(&logs, "[]");
	cw_buf_printf(&block->text, "%s{%s}", index > 0 ? "," : "", line.data);
	cw_buf_printf(&block->receipts, "%s{\"transactionHash\":\"%s\",\"blockHash\":\"%s\",\"blockNumber\":\"0x%" PRIx64 "\","
	              "\"status\":\"0x1\",\"gasUsed\":\"0x5208\",\"contractAddress\":null,\"logs\":%s}", index > 0 ? "," : "",
	              cw_hash_format(&in->tx.hash, hash), hash_text(number), number, logs.data);
	/* The line says what both say. */
	fprintf(lines, "{%s,\"receipt_status\":\"0x1\",\"receipt_gas_used\":\"0x5208\",\"logs\":%s}\n", line.data, logs.data);
	cw_buf_release(&line);
	cw_buf_release(&logs);
}

static void make_blocks(const char *in_path, const char *out_path, uint64_t per_block)
{
	struct cw_err err;
	struct cw_records *records = cw_records_open(in_path, &err);
	FILE *lines = fopen(out_path, "w");
	struct cw_arena *arena = cw_arena_new();
	struct cw_buf text = CW_BUF_INIT;
	uint64_t n = 0;

	blocks = cw_zalloc(sizeof(*blocks));
	while (records != NULL && lines != NULL && cw_records_next(records, &text, &err) > 0) {
		struct cw_tx_faults faults;
		struct cw_tx_in tx;

		cw_arena_clear(arena);
		if (cw_tx_from_json(&tx, cw_json_parse(text.data, text.len, 16, arena, NULL), 1, arena, &faults) != 0)
			continue;
		if (n % per_block == 0) {
			blocks = realloc(blocks, (++nblocks + 1) * sizeof(*blocks));
			cw_buf_init(&blocks[nblocks].text);
			cw_buf_init(&blocks[nblocks].receipts);
		}
		add(&blocks[nblocks], nblocks, (uint32_t)(n % per_block), &tx, lines);
		n++;
	}
	cw_records_close(&records);
	cw_arena_free(&arena);
	cw_buf_release(&text);
	if (lines == NULL || fclose(lines) != 0 || n == 0) {
		fprintf(stderr, "follow_node: could not read %s or write %s\n", in_path, out_path);
		exit(1);
	}
}

/* --- answers --- */

static void put_block(struct cw_buf *out, uint64_t number, bool full)
{
	if (number == 0 || number > nblocks) {
		cw_buf_puts(out, "null");
		return;
	}
	cw_buf_printf(out, "{\"number\":\"0x%" PRIx64 "\",\"hash\":\"%s\",", number, hash_text(number));
	cw_buf_printf(out, "\"parentHash\":\"%s\",\"timestamp\":\"0x%" PRIx64 "\",\"transactions\":[", hash_text(number - 1),
	              (uint64_t)blocks[number].timestamp);
	if (full)
		cw_buf_add(out, blocks[number].text.data, blocks[number].text.len);
	cw_buf_puts(out, "]}");
}

static void put_answer(struct cw_buf *out, const struct cw_json *ask)
{
	const struct cw_json *id = cw_json_get(ask, "id"), *method = cw_json_get(ask, "method");
	const struct cw_json *params = cw_json_get(ask, "params"), *first = params != NULL ? params->first : NULL;
	bool full = first != NULL && first->next != NULL && first->next->type == CW_JSON_TRUE;
	uint64_t number = first != NULL && first->type == CW_JSON_STRING ? strtoull(first->text, NULL, 16) : 0;

	cw_buf_puts(out, "{\"jsonrpc\":\"2.0\",\"id\":");
	cw_json_put_value(out, id);
	cw_buf_puts(out, ",\"result\":");
	if (strcmp(method->text, "eth_chainId") == 0)
		cw_buf_puts(out, "\"" CHAIN_ID "\"");
	else if (strcmp(method->text, "eth_getBlockReceipts") == 0 && number > 0 && number <= nblocks)
		cw_buf_printf(out, "[%s]", blocks[number].receipts.data);
	else
		put_block(out, first != NULL && strcmp(first->text, "latest") == 0 ? nblocks : number, full);
	cw_buf_putc(out, '}');
}

static void answer(void *arg, struct cw_request *req)
{
	struct cw_arena *arena = cw_arena_new();
	const struct cw_json *asks = cw_json_parse(req->body, req->body_len, 8, arena, NULL);
	struct cw_buf out = CW_BUF_INIT;

	(void)arg;
	cw_buf_putc(&out, '[');
	for (const struct cw_json *ask = asks != NULL ? asks->first : NULL; ask != NULL; ask = ask->next) {
		if (out.len > 1)
			cw_buf_putc(&out, ',');
		put_answer(&out, ask);
	}
	cw_buf_putc(&out, ']');
	cw_reply_send(req, 200, "application/json", out.data, out.len);
	cw_buf_release(&out);
	cw_arena_free(&arena);
}

int main(int argc, char **argv)
{
	struct cw_server_conf conf = cw_server_conf_default;
	struct cw_route route = { .method = CW_METHOD_POST, .pattern = "/", .flags = CW_ROUTE_NO_ACCESS_LOG, .fn = answer };
	struct cw_loop *loop = cw_loop_new();
	struct cw_router *router = cw_router_new();
	struct cw_server *server;
	struct cw_err err;
	FILE *port;

	if (argc < 4) {
		fprintf(stderr, "usage: follow_node IN.ndjson OUT.ndjson PORTFILE [PER_BLOCK]\n");
		return 2;
	}
	make_blocks(argv[1], argv[2], argc > 4 ? strtoull(argv[4], NULL, 10) : 150);
	conf.listen = "127.0.0.1:0";
	server = cw_server_new(loop, &conf, &err);
	if (server == NULL || cw_router_add(router, &route, &err) != 0) {
		fprintf(stderr, "follow_node: %s\n", err.msg);
		return 1;
	}
	cw_server_set_router(server, router);
	port = fopen(argv[3], "w");
	if (port == NULL)
		return 1;
	fprintf(port, "%s %" PRIu64 "\n", cw_server_address(server), nblocks);
	fclose(port);
	cw_loop_run(loop);
	return 0;
}
