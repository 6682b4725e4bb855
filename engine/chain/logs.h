/* logs.h - the logs of a transaction, decoded to the standard events: what a receipt says happened. Pure.
 *
 * A list is bounded (CW_TX_LOGS_MAX) and says how many there were. When it is full an event with a meaning takes the place
 * of the last one without (CW_LOG_OTHER), so that a change of ownership is seen behind a hundred unknown logs. One log
 * gives one entry, but a TransferBatch one a token id and a flash loan of two tokens two; they share its index. */
#ifndef CW_CHAIN_LOGS_H
#define CW_CHAIN_LOGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chain/hex.h"
#include "chain/u256.h"

struct cw_arena;
struct cw_buf;
struct cw_json;
struct cw_tx;
struct cw_tx_faults;

#define CW_TX_LOGS_MAX 64              /* entries that are kept of one transaction */

/* Stored by number: new ones at the end. */
enum cw_log_kind {
	CW_LOG_OTHER = 0,                  /* anything else: address and topic only */
	CW_LOG_TRANSFER,                   /* from, to; amount (ERC-20, ERC-1155) or token id (ERC-721: amount 1) */
	CW_LOG_APPROVAL,                   /* from (the owner), to (the spender); amount or token id */
	CW_LOG_APPROVAL_FOR_ALL,           /* from (the owner), to (the operator), flag: approved */
	CW_LOG_SWAP,                       /* from (the sender), to; amount in, extra out, flag: token0 for token1 */
	CW_LOG_DEPOSIT,                    /* wrapped ether: to, amount */
	CW_LOG_WITHDRAWAL,                 /* from, amount */
	CW_LOG_FLASH_LOAN,                 /* from (the initiator), to (the receiver), third (the token), amount, extra (fee) */
	CW_LOG_OWNERSHIP_TRANSFERRED,      /* from (the last owner), to */
	CW_LOG_UPGRADED,                   /* to (the implementation, or the beacon) */
	CW_LOG_ADMIN_CHANGED,              /* from, to */
	CW_LOG_ROLE_GRANTED,               /* extra (the role), to (the account), from (who did it) */
	CW_LOG_ROLE_REVOKED,
	CW_LOG_PAUSED,                     /* from (who did it) */
	CW_LOG_UNPAUSED,
	CW_LOG_KINDS
};

enum cw_log_has {
	CW_LOG_HAS_FROM = 1u << 0,
	CW_LOG_HAS_TO = 1u << 1,
	CW_LOG_HAS_THIRD = 1u << 2,
	CW_LOG_HAS_AMOUNT = 1u << 3,
	CW_LOG_HAS_EXTRA = 1u << 4,
	CW_LOG_HAS_FLAG = 1u << 5,         /* `flag` means something */
	CW_LOG_HAS_TOPIC = 1u << 6,        /* else: a log without topics */
	CW_LOG_FLAG = 1u << 7,             /* its value */
	CW_LOG_HAS_MASK = (1u << 8) - 1,
};

/* Two entries lie in six cache lines. No padding: the record goes through shared memory byte by byte. */
struct cw_tx_log {
	struct cw_u256 amount;
	struct cw_u256 extra;              /* token id, amount out, fee or role, by kind */
	struct cw_hash topic;              /* the first one */
	struct cw_address address;         /* the contract that emitted it */
	struct cw_address from, to, third; /* third: ERC-1155 operator, or the token of a flash loan */
	uint32_t index;                    /* logIndex as given, else the place in the list */
	uint8_t kind;                      /* enum cw_log_kind */
	uint8_t standard;                  /* enum cw_token_standard (chain/abi.h) */
	uint16_t has;                      /* enum cw_log_has */
	uint32_t data_size;                /* bytes of the log's data */
	uint32_t reserved;                 /* 0 */
};

const char *cw_log_kind_name(enum cw_log_kind kind);                 /* "transfer", "role_granted", ... */
bool cw_log_kind_parse(enum cw_log_kind *out, const char *text, size_t len);
const char *cw_log_standard_name(uint8_t standard);                  /* "erc20", ...; NULL: unknown */
/* What the third address and the extra amount of a kind are called: "operator", "token"; "tokenId", "amountOut", "fee",
 * "role". NULL: the kind has none. */
const char *cw_log_third_name(enum cw_log_kind kind);
const char *cw_log_extra_name(enum cw_log_kind kind);

/* A list that is being filled; `list` has room for CW_TX_LOGS_MAX. */
struct cw_logs {
	struct cw_tx_log *list;
	uint32_t n, total;                 /* kept, and how many entries there were */
};

struct cw_raw_log {
	struct cw_address address;
	const struct cw_hash *topics;
	size_t ntopics;
	const uint8_t *data;
	size_t len;
	uint32_t index;
};

void cw_logs_add(struct cw_logs *logs, const struct cw_tx_log *log);
/* Decodes one log and adds what it says. What claims to be a standard event and is not one is OTHER. */
void cw_logs_add_raw(struct cw_logs *logs, const struct cw_raw_log *raw);

/* The compact form in which they are stored; nothing is lost but what the bound has left out. */
void cw_logs_pack(struct cw_buf *out, const struct cw_tx *tx);
/* Into tx->logs, nlogs, logs_total and has; memory of the arena. false: the bytes make no sense, tx is unchanged. */
bool cw_logs_unpack(struct cw_tx *tx, const uint8_t *bytes, size_t len, struct cw_arena *arena);

/* The list, as objects with address, kind and the members of the kind, quantities as decimal strings; behind it
 * `,"logsTotal":"70"` if some were left out. */
void cw_logs_put_json(struct cw_buf *out, const struct cw_tx *tx);
/* Reads a list: of logs as in eth_getTransactionReceipt (address, topics, data, logIndex), or as they are written (with
 * `kind`); names in snake_case too. Faults are added with pointers like "/logs/3/topics/0". Returns 0 or -1. */
int cw_logs_from_json(struct cw_tx *tx, const struct cw_json *list, struct cw_arena *arena, struct cw_tx_faults *faults);

#endif
