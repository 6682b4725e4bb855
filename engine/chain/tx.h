/* tx.h - one transaction of an EVM chain.
 *
 * struct cw_tx is a flat record: it travels through shared memory to the evaluator as it is, its logs beside it
 * (pipeline/ring.h). The full call data stays with the engine (`struct cw_tx_in`); the record holds its size and its
 * beginning, which is all that a rule may see, so that live, replay and backtest see the same. Pure: no I/O, no clock. */
#ifndef CW_CHAIN_TX_H
#define CW_CHAIN_TX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chain/hex.h"
#include "chain/logs.h"
#include "chain/u256.h"

struct cw_arena;
struct cw_buf;
struct cw_json;

enum cw_tx_has {
	CW_TX_HAS_TO = 1u << 0,          /* else: a contract creation */
	CW_TX_HAS_GAS_USED = 1u << 1,
	CW_TX_HAS_STATUS = 1u << 2,
	CW_TX_HAS_BLOCK_HASH = 1u << 3,
	CW_TX_HAS_INDEX = 1u << 4,       /* position in the block */
	CW_TX_HAS_INPUT = 1u << 5,       /* call data was given at all, perhaps empty */
	CW_TX_HAS_CREATED = 1u << 6,     /* the address of the contract it made is known */
	CW_TX_HAS_LOGS = 1u << 7,        /* its logs were given, perhaps none */
};

#define CW_TX_INPUT_HEAD 100         /* selector and three words: transferFrom(address,address,uint256) */

struct cw_tx {
	uint64_t seq;                    /* evaluation order; 0: not yet admitted */
	uint64_t chain_id;
	uint64_t block_number;           /* all integers here are at most 2^63 - 1: they are bigint in SQL */
	int64_t timestamp;               /* block time, seconds since 1970 */
	uint64_t gas, gas_used, nonce;
	struct cw_u256 value;            /* wei */
	struct cw_u256 gas_price;        /* wei; the effective price where the source gives one */
	struct cw_hash hash;
	struct cw_hash block_hash;
	struct cw_address from;
	struct cw_address to;
	struct cw_address created;       /* contractAddress of the receipt */
	uint32_t has;                    /* enum cw_tx_has */
	uint32_t index;
	uint32_t status;                 /* 0 failed, 1 ok */
	uint32_t input_size;             /* of the full call data, bytes */
	uint32_t input_head_size;
	uint8_t input_head[CW_TX_INPUT_HEAD];
	uint32_t nlogs, logs_total;      /* at hand, and how many there were */
	uint32_t log_at;                 /* 1 to nlogs: the log that a rule's loop has reached; 0 wherever else */
	uint32_t reserved;               /* 0 */
	const struct cw_tx_log *logs;    /* `nlogs` of them, NULL for none; memory of whoever made this record */
};

/* The same with its call data in full, as it came in. `input` belongs to whoever made this. */
struct cw_tx_in {
	struct cw_tx tx;
	const uint8_t *input;
	size_t input_len;                /* bytes present; may be less than tx.input_size when the source cut it */
};

/* One fault of the input: where and what. */
struct cw_tx_fault {
	char pointer[96];                /* JSON pointer below the transaction, e.g. "/gasPrice" */
	char what[160];
};

#define CW_TX_FAULTS_MAX 16

struct cw_tx_faults {
	int count;
	struct cw_tx_fault list[CW_TX_FAULTS_MAX];
};

void cw_tx_fault_add(struct cw_tx_faults *faults, const char *pointer, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* A JSON integer, a decimal string or 0x hex, below 2^256. */
bool cw_json_quantity(const struct cw_json *json, struct cw_u256 *out);

/* Reads the JSON-RPC names (hash blockNumber blockHash transactionIndex timestamp from to value gas gasPrice gasUsed
 * nonce input chainId status contractAddress logs transactionHash) or the snake_case ones (block_number block_hash transaction_index
 * from_address to_address gas_price gas_used input_data chain_id contract_address, and ethereum-etl's block_timestamp
 * and receipt_gas_used receipt_status receipt_contract_address receipt_effective_gas_price); call data also as `data`,
 * logs as chain/logs.h says. Quantities are JSON integers, decimal strings or 0x
 * hex; value and gas price are wei and below 2^256, the others below 2^63, index and sizes below 2^31. `timestamp` is
 * seconds or RFC 3339, before the year 10000 (which tells milliseconds from seconds). `status` may be a boolean. null
 * counts as absent. Required: hash blockNumber timestamp from value gas gasPrice nonce. `to` absent: contract creation.
 * `effectiveGasPrice` stands in for a missing gasPrice. `inputBytes` / `input_bytes` is the full size where `input`
 * holds only its beginning. Unknown fields are ignored; the same field given under two names is a fault unless the
 * values agree. Missing chainId: `default_chain_id`. Call data and logs are decoded into `arena`. Returns 0, or -1 with every
 * fault in `faults` (the first CW_TX_FAULTS_MAX); `out` then means nothing. */
int cw_tx_from_json(struct cw_tx_in *out, const struct cw_json *object, uint64_t default_chain_id,
                    struct cw_arena *arena, struct cw_tx_faults *faults);

/* The same from several objects that say parts of it, as a node does: a transaction of eth_getBlockByNumber and its receipt.
 * What two of them say must agree, but `effectiveGasPrice` is taken for the gas price before `gasPrice`. `block_number`
 * and `timestamp` are the block's. It happened, so less is asked for: a price that is missing is maxFeePerGas or 0; gas and
 * nonce are 0; no checksum of an address is looked at; "", "0x" and "0x0" are no address, nor is 0x00...00 a contract that
 * was created. */
int cw_tx_from_rpc(struct cw_tx_in *out, const struct cw_json *const *objects, int n, uint64_t block_number,
                   int64_t timestamp, uint64_t chain_id, struct cw_arena *arena, struct cw_tx_faults *faults);

/* Appends the JSON form that goes out: JSON-RPC names, every quantity (timestamp, status and index too) as a decimal
 * string, null for what is not there; contractAddress, logs and logsTotal only if they are. No surrounding braces, so that
 * a caller can add members. cw_tx_from_json reads
 * it back to the same record. */
void cw_tx_to_json(struct cw_buf *out, const struct cw_tx_in *in);

#endif
