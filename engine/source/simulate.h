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
	CW_SIM_SCENARIOS
};
#define CW_SIM_ALL ((1u << CW_SIM_SCENARIOS) - 1)

const char *cw_sim_scenario_name(enum cw_sim_scenario scenario);   /* "fan_out": also the label */
/* "fan_out,gas_spike", "all" or "none" to a set of bits. -1 with the name that is unknown. */
int cw_sim_scenarios_parse(const char *text, uint32_t *set, struct cw_err *err);

struct cw_sim_conf {
	uint64_t seed;
	uint64_t chain_id;
	uint64_t start_block;
	uint64_t blocks;           /* at least 1 */
	int64_t start_time;        /* of the first block, seconds since 1970; a block is 12 s, now and then 24 s */
	uint32_t tx_per_block;     /* mean over a day, 1 to 10000 */
	uint32_t scenarios;        /* bits 1 << enum cw_sim_scenario */
	double attack_rate;        /* share of all transactions that belong to attacks, 0 to 0.5 */
};

/* Seed 1, chain 1, block 20,000,000, 1000 blocks of 150, 2026-01-01T00:00:00Z, all scenarios, rate 0.01. The rate holds
 * over the long run, up to about 100 attacking transactions a block. Attacks begin after a fifth of the blocks, at most
 * 300, so that there is something to compare them with, and take turns; one round of all scenarios is about 115
 * transactions, and the first one is not held back by the rate, so that a short stream has them all. */
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
 * addresses of CW_SIM_LISTED_ADDRESS, and the exchanges of the ordinary traffic (category "exchange"). */
void cw_sim_put_list(const struct cw_sim *sim, struct cw_buf *out);

#endif
