/* simulate.h - a stream of transactions that looks like a chain's, with labelled attacks in it.
 *
 * A pure function of its settings: the same settings give the same bytes on every x86-64 machine (own generator, no
 * libm, no clock). Ordinary traffic has what detectors trip over in practice: values and activity with heavy tails,
 * exchanges that pay thousands and collect from them, bots that outbid, a daily rhythm, a gas price that wanders with
 * demand, token and swap calls with real selectors and consistent gas, failed calls, consecutive nonces. Attacks are
 * mixed in one after the other, and each of their transactions carries the name of its scenario.
 * Memory is fixed after cw_sim_new (4 bytes an account); pure, knows nothing above chain. */
#ifndef CW_SOURCE_SIMULATE_H
#define CW_SOURCE_SIMULATE_H

#include <stdbool.h>
#include <stdint.h>

struct cw_buf;
struct cw_err;
struct cw_sim;
struct cw_tx_in;

enum cw_sim_scenario {
	CW_SIM_VALUE_OUTLIER = 0,  /* an active account sends a thousand times what it usually sends */
	CW_SIM_GAS_SPIKE,          /* 30 to 120 times the going gas price */
	CW_SIM_FAN_OUT,            /* one new address pays 30 to 80 new ones within minutes */
	CW_SIM_FAN_IN,             /* 30 to 80 addresses pay one new one within minutes */
	CW_SIM_NEW_WALLET,         /* an address that is new, or has slept since the start, moves hundreds of ether */
	CW_SIM_LISTED_ADDRESS,     /* money to or from an address of the list that cw_sim_put_list writes */
	CW_SIM_BASIC_SCENARIOS,    /* so many are above; those below are steps in source/simulate_attacks.c */
	CW_SIM_FIRST_PLANNED = CW_SIM_BASIC_SCENARIOS,
	CW_SIM_STRUCTURING = CW_SIM_FIRST_PLANNED,           /* six transfers just below ten ether */
	CW_SIM_HIGH_VALUE_BURST,      /* seven of hundreds of ether from a new address */
	CW_SIM_REPEATED_AMOUNT,       /* the same amount to fifty receivers */
	CW_SIM_ACTIVITY_SPIKE,        /* a quiet user sends ninety transactions */
	CW_SIM_OVERPAID_FEE,          /* a transfer that pays more for gas than it moves */
	CW_SIM_PASS_THROUGH,          /* in and out of one address within minutes, five times */
	CW_SIM_COLLECT_AND_SWEEP,     /* fourteen pay one, which sends all of it on */
	CW_SIM_SCATTER_GATHER,        /* one pays seven, which pay one */
	CW_SIM_PEEL_CHAIN,            /* eight hops, a slice lost at each */
	CW_SIM_CYCLE,                 /* round through four */
	CW_SIM_SYBIL_CLUSTER,         /* twelve new accounts of one funder call the same */
	CW_SIM_MIXER_MONEY,           /* into a mixer, out of it, into an exchange */
	CW_SIM_EXPLOITER_MONEY,       /* a listed exploiter's, by way of a new address, into an exchange */
	CW_SIM_ACCOMPLICE,            /* three listed phishers pay one address */
	CW_SIM_CHAIN_HOPPING,         /* three bridges within minutes */
	CW_SIM_BRIDGE_DRAIN,          /* a bridge pays a thousand times what it did */
	CW_SIM_ADDRESS_POISONING,     /* bait from a lookalike, which the victim pays */
	CW_SIM_FAKE_TOKEN,            /* transfers of a counterfeit token in the name of eight */
	CW_SIM_DUSTING,               /* dust to sixty */
	CW_SIM_APPROVAL_PHISHING,     /* fourteen approve a thief, who takes */
	CW_SIM_NATIVE_PHISHING,       /* six pay a call named SecurityUpdate() */
	CW_SIM_RUG_PULL,              /* token, market, and the market is taken away */
	CW_SIM_WASH_TRADE,            /* a collectible goes back and forth */
	CW_SIM_MULTISEND,             /* one transaction pays forty in tokens */
	CW_SIM_PROTOCOL_ATTACK,       /* mixer, contract, flash loan, mixer */
	CW_SIM_UNLIMITED_MINT,        /* a mint beyond all earlier ones */
	CW_SIM_MINT_SPREE,            /* one sender mints 36 times */
	CW_SIM_NEW_CONTRACT,          /* approval and value for a contract of this hour */
	CW_SIM_CREATION_BURST,        /* twelve contracts from one account */
	CW_SIM_FAILED_BURST,          /* 24 senders fail at one contract */
	CW_SIM_TAKEOVER,              /* owner, code, pause, end of a contract */
	CW_SIM_ADMINISTRATION,        /* an issuer freezes, a multisig changes itself */
	CW_SIM_BLOCK_STUFFING,        /* heavy calls fill blocks */
	CW_SIM_DISPLACEMENT,          /* outbids by a wei */
	CW_SIM_SANDWICH,              /* before and after a victim */
	CW_SIM_GAS_WAR,               /* fourteen bid for one call */
	CW_SIM_ODD_CALL,              /* a function and an amount of gas never seen at a contract */
	CW_SIM_CALL_RUSH,             /* a run on a contract */
	CW_SIM_NONCE_REPLACED,        /* a payment is replaced by one to another */
	CW_SIM_FLOW_SPIKE,            /* an address takes in twenty times what it took in the day before; takes a day */
	CW_SIM_DORMANT_ACCOUNT,       /* an account pays for the first time in half a year; takes that long */
	CW_SIM_SCENARIOS
};
#define CW_SIM_BASIC ((1ull << CW_SIM_BASIC_SCENARIOS) - 1)
#define CW_SIM_ALL ((1ull << CW_SIM_SCENARIOS) - 1)

const char *cw_sim_scenario_name(enum cw_sim_scenario scenario);   /* "fan_out": also the label */
/* "fan_out,gas_spike", "basic", "all" or "none" to a set of bits. -1 with the name that is unknown. */
int cw_sim_scenarios_parse(const char *text, uint64_t *set, struct cw_err *err);

struct cw_sim_conf {
	uint64_t seed;
	uint64_t chain_id;
	uint64_t start_block;
	uint64_t blocks;           /* at least 1 */
	int64_t start_time;        /* of the first block, seconds since 1970; a block is 12 s, now and then 24 s */
	uint32_t tx_per_block;     /* mean over a day, 1 to 10000 */
	uint64_t scenarios;        /* bits 1 << enum cw_sim_scenario */
	double attack_rate;        /* share of all transactions that belong to attacks, 0 to 0.5 */
};

/* Seed 1, chain 1, block 20,000,000, 1000 blocks of 150, 2026-01-01T00:00:00Z, the basic scenarios, rate 0.01. The rate holds
 * over the long run, up to about 100 attacking transactions a block. Attacks begin after a fifth of the blocks, at most
 * 300, so that there is something to compare them with, and take turns; one round of all scenarios is about 115
 * transactions, and the first one is not held back by the rate, so that a short stream has them all. Attacks that take
 * longer than the rest of the stream are left out. */
void cw_sim_conf_init(struct cw_sim_conf *conf);

/* NULL, CW_ERR_INVALID and the setting that is wrong. */
struct cw_sim *cw_sim_new(const struct cw_sim_conf *conf, struct cw_err *err);
void cw_sim_free(struct cw_sim **sim);

/* The next transaction in chain order, with receipt; false at the end. Its call data lives until the next call.
 * `label` is the scenario's name, or NULL for ordinary traffic. */
bool cw_sim_next(struct cw_sim *sim, struct cw_tx_in *out, const char **label);
/* Number of the attack, from 1, that the last transaction belongs to; 0: none. */
uint64_t cw_sim_incident(const struct cw_sim *sim);

/* Appends one line: the transaction as cw_tx_to_json writes it, "label" and "incident" (null for none), newline. */
void cw_sim_put_line(struct cw_buf *out, const struct cw_tx_in *in, const char *label, uint64_t incident);

/* Appends an address list as CSV (address,category,name,source,confidence): the sanctioned, mixer, phishing and exploit
 * addresses that attacks use, and the exchanges of the ordinary traffic (category "exchange") and the bridges. */
void cw_sim_put_list(const struct cw_sim *sim, struct cw_buf *out);

#endif
