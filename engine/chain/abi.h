/* abi.h - standard token calls and events, read from call data and logs. Pure.
 *
 * Words are as in the Solidity ABI specification ("Contract ABI Specification", formal encoding): 32 bytes, big-endian,
 * addresses and booleans padded with zeros, which is checked. Amounts are exact. Nothing here trusts its input. */
#ifndef CW_CHAIN_ABI_H
#define CW_CHAIN_ABI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chain/hex.h"
#include "chain/u256.h"

/* Which members of a call or event were there. */
enum cw_abi_has {
	CW_ABI_HAS_FROM = 1u << 0,
	CW_ABI_HAS_TO = 1u << 1,
	CW_ABI_HAS_AMOUNT = 1u << 2,
	CW_ABI_HAS_TOKEN_ID = 1u << 3,
	CW_ABI_HAS_APPROVED = 1u << 4,
	CW_ABI_HAS_OPERATOR = 1u << 5,
};

/* --- calls --- */

enum cw_call_kind {
	CW_CALL_NONE = 0,                  /* no call data, or less than a selector */
	CW_CALL_UNKNOWN,
	CW_CALL_OTHER,                     /* the name is known, the arguments are not read */
	CW_CALL_TRANSFER,                  /* ERC-20: to, amount */
	CW_CALL_TRANSFER_FROM,             /* from, to, amount; ERC-721 has the same selector, amount is then the token id */
	CW_CALL_APPROVE,                   /* to (the spender), amount; ERC-721 likewise */
	CW_CALL_INCREASE_ALLOWANCE,        /* to (the spender), amount */
	CW_CALL_DECREASE_ALLOWANCE,
	CW_CALL_PERMIT,                    /* ERC-2612: from (the owner), to (the spender), amount */
	CW_CALL_SAFE_TRANSFER_FROM,        /* ERC-721: from, to, token id */
	CW_CALL_SET_APPROVAL_FOR_ALL,      /* ERC-721 and ERC-1155: to (the operator), approved */
	CW_CALL_SAFE_TRANSFER_FROM_1155,   /* from, to, token id, amount: the amount lies behind a cw_tx's input_head */
	CW_CALL_SAFE_BATCH_TRANSFER_FROM,  /* ERC-1155: from, to */
};

struct cw_call {
	enum cw_call_kind kind;
	uint32_t selector;                 /* big-endian: 0xa9059cbb */
	uint32_t has;                      /* enum cw_abi_has */
	bool malformed;                    /* an argument is cut short or is no address or boolean; it and what follows lack */
	const char *name;                  /* "transfer(address,uint256)"; NULL if unknown. Static. */
	struct cw_address from, to;
	struct cw_u256 amount, token_id;
	bool approved;
};

/* `size` is the full length of the call data, `len` how much of it is at hand (cw_tx: input_size and input_head_size):
 * an argument beyond `len` but within `size` is only absent, one beyond `size` is malformed. */
void cw_call_decode(struct cw_call *out, const uint8_t *input, size_t len, size_t size);

/* Signature of a well-known selector, or NULL. */
const char *cw_selector_name(uint32_t selector);
uint32_t cw_selector_of(const char *signature);   /* first four bytes of its keccak */

/* Writes a call head: selector and up to three words, as the simulator and tests need it. Returns the bytes written. */
size_t cw_call_encode_transfer(uint8_t out[68], const struct cw_address *to, const struct cw_u256 *amount);
size_t cw_call_encode_approve(uint8_t out[68], const struct cw_address *spender, const struct cw_u256 *amount);
size_t cw_call_encode_transfer_from(uint8_t out[100], const struct cw_address *from, const struct cw_address *to,
                                    const struct cw_u256 *amount);

/* --- events --- */

enum cw_event_kind {
	CW_EVENT_UNKNOWN = 0,
	CW_EVENT_OTHER,                    /* the name is known, the arguments are not read */
	CW_EVENT_TRANSFER,
	CW_EVENT_APPROVAL,
	CW_EVENT_APPROVAL_FOR_ALL,
	CW_EVENT_TRANSFER_SINGLE,
	CW_EVENT_TRANSFER_BATCH,
};

enum cw_token_standard { CW_TOKEN_UNKNOWN = 0, CW_TOKEN_ERC20, CW_TOKEN_ERC721, CW_TOKEN_ERC1155 };

struct cw_event {
	enum cw_event_kind kind;
	enum cw_token_standard standard;   /* UNKNOWN where ERC-721 and ERC-1155 share the event */
	uint32_t has;                      /* enum cw_abi_has */
	const char *name;                  /* "Transfer(address,address,uint256)"; NULL if unknown. Static. */
	struct cw_address operator;       /* ERC-1155: who moved the tokens */
	struct cw_address from, to;        /* Approval: owner, and spender or operator */
	struct cw_u256 amount, token_id;   /* ERC-721 transfer: amount 1 */
	bool approved;
	uint32_t count;                    /* TransferBatch: number of pairs, see cw_event_pair */
};

/* Reads one log. false if it claims a standard event but is not one (wrong number of topics, data cut, an address that
 * is none): kind and name are then set, the rest is not. A log without topics or with an unknown one is UNKNOWN, true. */
bool cw_event_decode(struct cw_event *out, const struct cw_hash *topics, size_t ntopics, const uint8_t *data,
                     size_t len);

/* Token id and amount number `index` of a TransferBatch that cw_event_decode has read from the same data. */
bool cw_event_pair(const struct cw_event *event, const uint8_t *data, size_t len, uint32_t index,
                   struct cw_u256 *token_id, struct cw_u256 *amount);

/* Signature of a well-known event topic, or NULL. */
const char *cw_topic_name(const struct cw_hash *topic);
struct cw_hash cw_topic_of(const char *signature);   /* its keccak */

#endif
