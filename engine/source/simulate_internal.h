/* simulate_internal.h - what the files of the simulator share: its random numbers, its population, its state. */
#ifndef CW_SOURCE_SIMULATE_INTERNAL_H
#define CW_SOURCE_SIMULATE_INTERNAL_H

#include "chain/tx.h"
#include "source/simulate.h"

#define EXCHANGES 12
#define BOTS 40
#define CONTRACTS 300
#define SLEEPERS 32      /* wallets that send once at the start and then sleep until an attack wakes one */
#define LISTED 200
#define BRIDGES 4
#define ACTORS 64        /* accounts of one attack, at most, whose nonces are kept */
#define INCIDENTS 128    /* attacks at a time */
#define WAITING_MAX 8    /* of one kind that let blocks pass */
#define INPUT_MAX 260    /* the longest call that is made: a swap with a path of two */
#define GWEI 1e9
#define ETHER 1e18

enum party { USER = 1, EXCHANGE, BOT, CONTRACT, SLEEPER, LISTED_ONE, FRESH, BRIDGE };

struct incident {
	enum cw_sim_scenario scenario;
	uint64_t id;
	uint32_t left;                 /* transactions still to come */
	uint32_t blocks_left;
	uint32_t in_block;             /* still to come in this block */
	struct cw_address center;      /* fan_out, new_wallet: sender; fan_in: receiver */
	uint64_t nonce;                /* of the center */
	double ether;                  /* typical value */
	/* of attacks in simulate_attacks.c */
	uint32_t done;                 /* transactions made */
	uint32_t wait;                 /* blocks still to pass before transaction number plan->gap_at */
	uint64_t base;                 /* first of its accounts, among the fresh ones */
	uint8_t sent[ACTORS];          /* transactions of these accounts */
};

struct cw_sim {
	struct cw_sim_conf conf;
	uint64_t random[4];
	/* population */
	uint32_t users;
	uint32_t *user_nonces;         /* transactions sent in this stream */
	uint64_t exchange_nonces[EXCHANGES], bot_nonces[BOTS], listed_nonces[LISTED];   /* likewise */
	uint64_t bridge_nonces[BRIDGES];
	uint32_t sleepers, woken;
	uint64_t fresh;                /* addresses made up so far */
	/* block */
	uint64_t begun;                /* blocks begun so far */
	int64_t time;                  /* of the last one */
	uint32_t ordinary_left, attacks_left;   /* still to come in it */
	uint32_t index;
	struct cw_hash block_hash;
	double demand;                 /* smoothed, 1 on average */
	double anchor, base;           /* gas price in wei: what it wanders about, what it is */
	uint64_t count;                /* transactions so far */
	/* attacks */
	uint64_t warmup;               /* blocks without attacks */
	double owed;                   /* labelled transactions that the rate asks for and that are not planned yet */
	unsigned turn;                 /* whose turn it is */
	uint64_t incidents;            /* attacks so far */
	uint64_t current;              /* incident of the last transaction */
	struct incident active[INCIDENTS];
	int nactive;
	uint8_t input[INPUT_MAX];
	struct cw_tx_log logs[CW_TX_LOGS_MAX];
};

/* --- random numbers --- */

/* SplitMix64, Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014: also a good hash. */
static inline uint64_t sim_mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

/* xoshiro256**, Blackman and Vigna, "Scrambled linear pseudorandom number generators", 2021. */
static inline uint64_t sim_random(struct cw_sim *sim)
{
	uint64_t *s = sim->random, x = s[1] * 5, result = (x << 7 | x >> 57) * 9, t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = s[3] << 45 | s[3] >> 19;
	return result;
}

/* 0 to n - 1. */
static inline uint32_t sim_below(struct cw_sim *sim, uint32_t n)
{
	return (uint32_t)((sim_random(sim) >> 32) * n >> 32);
}

/* [0, 1) */
static inline double sim_unit(struct cw_sim *sim)
{
	return (double)(sim_random(sim) >> 11) * 0x1p-53;
}

static inline double sim_between(struct cw_sim *sim, double low, double high)
{
	return low + (high - low) * sim_unit(sim);
}

static inline bool sim_chance(struct cw_sim *sim, double probability)
{
	return sim_unit(sim) < probability;
}

double sim_exp2(double x);                            /* by polynomial: libm differs from machine to machine */
double sim_normal_of(uint64_t a, uint64_t b);         /* two random words to a normal deviate, within 4.9 */
static inline double sim_normal(struct cw_sim *sim)
{
	uint64_t a = sim_random(sim);

	return sim_normal_of(a, sim_random(sim));
}

/* --- population --- */

/* A fixed number of the seed for this party, thing and index. */
static inline uint64_t sim_trait(const struct cw_sim *sim, enum party party, uint64_t index, uint64_t thing)
{
	return sim_mix(sim_mix(sim_mix(sim->conf.seed ^ (uint64_t)party << 56) ^ index) ^ thing);
}

struct cw_address sim_address(const struct cw_sim *sim, enum party party, uint64_t index);
struct cw_address sim_fresh(struct cw_sim *sim);      /* one that nobody has seen */
uint32_t sim_active_user(struct cw_sim *sim);         /* busy ones more often */
uint64_t sim_user_nonce(struct cw_sim *sim, uint32_t user);   /* and counts it */
double sim_user_ether(const struct cw_sim *sim, uint32_t user);   /* what it usually sends */

/* --- transactions; block, hash and index are filled in by the stream --- */

struct cw_u256 sim_wei(struct cw_sim *sim, double ether, bool rounded);
void sim_set_price(struct cw_sim *sim, struct cw_tx *tx, double factor);   /* times the base price, and a tip */
void sim_plain_transfer(struct cw_sim *sim, struct cw_tx_in *out, struct cw_address to, double ether);
void sim_contract_call(struct cw_sim *sim, struct cw_tx_in *out, const struct cw_address *to_in_call);
/* --- attacks that are lists of steps (simulate_attacks.c) --- */

struct sim_plan {
	void (*step)(struct cw_sim *sim, struct cw_tx_in *out, struct incident *a, unsigned k);
	uint32_t count;                /* transactions */
	uint32_t blocks;               /* over which they are spread */
	uint32_t gap_at, gap;          /* before transaction gap_at so many blocks pass */
};
const struct sim_plan *sim_plan(enum cw_sim_scenario scenario);   /* NULL: one of the basic ones */

void sim_ordinary(struct cw_sim *sim, struct cw_tx_in *out);

#endif
