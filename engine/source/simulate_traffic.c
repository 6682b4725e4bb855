/* The population of the simulator and its ordinary traffic. */
#include <string.h>

#include "chain/abi.h"
#include "source/simulate_internal.h"

/* Kinds of contracts: so many in a group of ten, beginning at its n-th. */
enum contract_kind { TOKEN = 0, EXCHANGE_POOL, COLLECTIBLE, WRAPPER };
static const struct { uint32_t first, width; } kinds[] = {
	[TOKEN] = { 0, 5 }, [EXCHANGE_POOL] = { 5, 2 }, [COLLECTIBLE] = { 7, 2 }, [WRAPPER] = { 9, 1 },
};

#define TRANSFER_GAS 21000
#define CREATE_GAS 32000

/* --- random numbers --- */

double sim_exp2(double x)
{
	int whole = (int)(x >= 0 ? x + 0.5 : x - 0.5);
	double f = (x - whole) * 0.69314718055994531;
	/* Taylor's series of exp(f) for |f| <= 0.35: right to 1e-7. */
	double sum = 1 + f * (1 + f / 2 * (1 + f / 3 * (1 + f / 4 * (1 + f / 5 * (1 + f / 6)))));
	uint64_t bits = (uint64_t)(1023 + whole) << 52;
	double power;

	memcpy(&power, &bits, sizeof(power));
	return sum * power;
}

/* The sum of eight uniform numbers of 16 bits, scaled: variance of each (2^32 - 1) / 12. */
double sim_normal_of(uint64_t a, uint64_t b)
{
	int64_t sum = 0;

	for (int shift = 0; shift < 64; shift += 16)
		sum += (int64_t)(a >> shift & 0xffff) + (int64_t)(b >> shift & 0xffff);
	return ((double)sum - 8 * 32767.5) / 53509.9;
}

static double unit_of(uint64_t trait)
{
	return (double)(trait >> 11) * 0x1p-53;
}

/* 0 to n - 1, number k with probability about 1 / (k + 1), as in Zipf's law. */
static uint32_t zipf(double unit, uint32_t n)
{
	double octaves = 0;
	uint32_t k;

	while (1u << (unsigned)octaves < n)
		octaves++;
	k = (uint32_t)(sim_exp2(unit * octaves)) - 1;
	return k < n ? k : k % n;
}

/* --- population --- */

struct cw_address sim_address(const struct cw_sim *sim, enum party party, uint64_t index)
{
	struct cw_address address;
	uint64_t words[3];

	for (uint64_t i = 0; i < 3; i++)
		words[i] = sim_trait(sim, party, index, 0xadd0 + i);
	memcpy(address.b, words, sizeof(address.b));
	return address;
}

struct cw_address sim_fresh(struct cw_sim *sim)
{
	return sim_address(sim, FRESH, sim->fresh++);
}

uint32_t sim_active_user(struct cw_sim *sim)
{
	double u = sim_unit(sim);

	/* Density 1 / sqrt: a few hundred are busy, most send now and then. */
	return (uint32_t)(u * u * sim->users);
}

uint64_t sim_user_nonce(struct cw_sim *sim, uint32_t user)
{
	uint64_t trait = sim_trait(sim, USER, user, 1);
	uint64_t before = user < sim->users / 50 ? 200 + trait % 5000 : trait % 40;

	return before + sim->user_nonces[user]++;
}

double sim_user_ether(const struct cw_sim *sim, uint32_t user)
{
	uint64_t trait = sim_trait(sim, USER, user, 2);
	double ether = 0.08 * sim_exp2(1.8 * sim_normal_of(trait, sim_mix(trait)));

	return trait % 200 == 0 ? 500 * ether : ether;   /* the rich */
}

static struct cw_address contact_of(struct cw_sim *sim, uint32_t user)
{
	uint64_t trait = sim_trait(sim, USER, user, 10 + sim_below(sim, 6));

	return sim_address(sim, USER, trait % sim->users);
}

static struct cw_address home_exchange(struct cw_sim *sim, uint32_t user)
{
	return sim_address(sim, EXCHANGE, zipf(unit_of(sim_trait(sim, USER, user, 3)), EXCHANGES));
}

static struct cw_address contract(struct cw_sim *sim, enum contract_kind kind, double unit)
{
	uint32_t k = zipf(unit, CONTRACTS / 10 * kinds[kind].width);

	return sim_address(sim, CONTRACT, k / kinds[kind].width * 10 + kinds[kind].first + k % kinds[kind].width);
}

/* One of three of this kind that the user keeps to. */
static struct cw_address favourite(struct cw_sim *sim, uint32_t user, enum contract_kind kind)
{
	uint64_t thing = 100 + 3 * (uint64_t)kind + sim_below(sim, 3);

	return contract(sim, kind, unit_of(sim_trait(sim, USER, user, thing)));
}

/* --- amounts, prices, gas --- */

struct cw_u256 sim_wei(struct cw_sim *sim, double ether, bool rounded)
{
	unsigned __int128 wei = (unsigned __int128)(ether * ETHER), unit = 1;

	if (rounded) {   /* to two digits, as people do */
		while (wei / unit >= 100)
			unit *= 10;
		wei = wei / unit * unit;
	} else {
		wei += sim_below(sim, 100000);   /* digits below what a double holds */
	}
	return (struct cw_u256){ { (uint64_t)wei, (uint64_t)(wei >> 64), 0, 0 } };
}

void sim_set_price(struct cw_sim *sim, struct cw_tx *tx, double factor)
{
	double tip = 0.4 * GWEI * sim_exp2(1.2 * sim_normal(sim));
	double price = sim->base * factor + tip;
	uint64_t wei = (uint64_t)price;

	if (factor < 2 && sim_chance(sim, 0.2))   /* wallets that offer whole gwei */
		wei = (uint64_t)(price * sim_between(sim, 1, 1.25) / GWEI + 1) * (uint64_t)GWEI;
	tx->gas_price = cw_u256_from_u64(wei);
}

/* What the protocol charges before the first instruction (EIP-2028). */
static uint64_t intrinsic_gas(const struct cw_tx_in *in)
{
	uint64_t gas = TRANSFER_GAS + (in->tx.has & CW_TX_HAS_TO ? 0 : CREATE_GAS);

	for (size_t i = 0; i < in->input_len; i++)
		gas += in->input[i] == 0 ? 4 : 16;
	return gas;
}

static uint64_t round_up(uint64_t value, uint64_t unit)
{
	return (value + unit - 1) / unit * unit;
}

/* Limit, use and outcome of a call that needs `execution` gas beyond what is charged for its data. */
static void set_call_gas(struct cw_sim *sim, struct cw_tx_in *out, double execution)
{
	uint64_t intrinsic = intrinsic_gas(out), used = intrinsic + (uint64_t)execution;
	double how = sim_unit(sim);

	if (how < 0.5)
		out->tx.gas = (uint64_t)((double)used * sim_between(sim, 1, 1.5));
	else if (how < 0.8)
		out->tx.gas = round_up(used, 10000);
	else
		out->tx.gas = round_up(used, 100000);
	how = sim_unit(sim);
	out->tx.status = how >= 0.02;
	if (how < 0.003) {          /* out of gas: all of it is gone */
		out->tx.gas = intrinsic + (uint64_t)(execution * sim_between(sim, 0.5, 0.95));
		used = out->tx.gas;
	} else if (how < 0.02) {    /* reverted early */
		used = intrinsic + (uint64_t)(execution * sim_between(sim, 0.1, 0.9));
	}
	out->tx.gas_used = used;
}

void sim_plain_transfer(struct cw_sim *sim, struct cw_tx_in *out, struct cw_address to, double ether)
{
	static const uint64_t limits[] = { 31500, 42000, 90000, 100000, 210000 };

	out->tx.to = to;
	out->tx.has |= CW_TX_HAS_TO;
	out->tx.value = sim_wei(sim, ether, sim_chance(sim, 0.4));
	out->tx.gas = sim_chance(sim, 0.75) ? TRANSFER_GAS : limits[sim_below(sim, 5)];
	out->tx.gas_used = TRANSFER_GAS;
	out->tx.status = 1;
}

/* --- call data --- */

static void put_selector(struct cw_tx_in *out, uint8_t *input, uint32_t selector)
{
	for (int i = 0; i < 4; i++)
		input[i] = (uint8_t)(selector >> (24 - 8 * i));
	out->input_len = 4;
}

static void put_word(struct cw_tx_in *out, uint8_t *input, const struct cw_u256 *word)
{
	cw_u256_to_be(word, input + out->input_len);
	out->input_len += 32;
}

static void put_number(struct cw_tx_in *out, uint8_t *input, uint64_t number)
{
	struct cw_u256 word = cw_u256_from_u64(number);

	put_word(out, input, &word);
}

static void put_address(struct cw_tx_in *out, uint8_t *input, const struct cw_address *address)
{
	struct cw_u256 word = cw_u256_from_be(address->b, sizeof(address->b));

	put_word(out, input, &word);
}

/* An amount of tokens with 6 or 18 decimals. */
static struct cw_u256 token_amount(struct cw_sim *sim)
{
	double tokens = 100 * sim_exp2(3 * sim_normal(sim));
	bool rounded = sim_chance(sim, 0.5);   /* the order of arguments is the compiler's choice: one draw at a time */

	return sim_wei(sim, sim_chance(sim, 0.5) ? tokens : tokens * 1e-12, rounded);
}

static void call_token(struct cw_sim *sim, struct cw_tx_in *out, const struct cw_address *to)
{
	static const struct cw_u256 all = { { UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX } };
	struct cw_u256 amount = token_amount(sim);
	struct cw_address spender = contract(sim, EXCHANGE_POOL, sim_unit(sim));
	double how = sim_unit(sim);

	if (how < 0.7) {
		out->input_len = cw_call_encode_transfer(sim->input, to, &amount);
		set_call_gas(sim, out, sim_between(sim, 8000, 34000));
	} else if (how < 0.9) {
		out->input_len = cw_call_encode_approve(sim->input, &spender, sim_chance(sim, 0.6) ? &all : &amount);
		set_call_gas(sim, out, sim_between(sim, 3000, 25000));
	} else {
		out->input_len = cw_call_encode_transfer_from(sim->input, &out->tx.from, to, &amount);
		set_call_gas(sim, out, sim_between(sim, 12000, 40000));
	}
}

static void call_swap(struct cw_sim *sim, struct cw_tx_in *out, bool ether)
{
	struct cw_u256 least = token_amount(sim), given = token_amount(sim);
	struct cw_address first = contract(sim, TOKEN, sim_unit(sim)), second = contract(sim, TOKEN, sim_unit(sim));

	put_selector(out, sim->input, ether ? 0x7ff36ab5 : 0x38ed1739);
	if (!ether)
		put_word(out, sim->input, &given);
	put_word(out, sim->input, &least);
	put_number(out, sim->input, ether ? 128 : 160);   /* where the path begins */
	put_address(out, sim->input, &out->tx.from);
	put_number(out, sim->input, (uint64_t)sim->time + 1200);
	put_number(out, sim->input, 2);
	put_address(out, sim->input, &first);
	put_address(out, sim->input, &second);
	set_call_gas(sim, out, sim_between(sim, 70000, 160000));
}

static void call_collectible(struct cw_sim *sim, struct cw_tx_in *out, const struct cw_address *to)
{
	double how = sim_unit(sim);

	if (how < 0.4) {   /* safeTransferFrom(from, to, id) */
		put_selector(out, sim->input, 0x42842e0e);
		put_address(out, sim->input, &out->tx.from);
		put_address(out, sim->input, to);
		put_number(out, sim->input, sim_below(sim, 10000));
		set_call_gas(sim, out, sim_between(sim, 30000, 70000));
	} else if (how < 0.7) {   /* mint(to, amount) */
		put_selector(out, sim->input, 0x40c10f19);
		put_address(out, sim->input, &out->tx.from);
		put_number(out, sim->input, 1 + sim_below(sim, 5));
		set_call_gas(sim, out, sim_between(sim, 60000, 140000));
	} else {   /* setApprovalForAll(operator, true) */
		struct cw_address operator = contract(sim, EXCHANGE_POOL, sim_unit(sim));

		put_selector(out, sim->input, 0xa22cb465);
		put_address(out, sim->input, &operator);
		put_number(out, sim->input, 1);
		set_call_gas(sim, out, sim_between(sim, 20000, 27000));
	}
}

static void call_wrapper(struct cw_sim *sim, struct cw_tx_in *out, double ether)
{
	struct cw_u256 amount = sim_wei(sim, ether, true);

	if (sim_chance(sim, 0.5)) {   /* deposit() */
		put_selector(out, sim->input, 0xd0e30db0);
		out->tx.value = amount;
	} else {   /* withdraw(amount) */
		put_selector(out, sim->input, 0x2e1a7d4d);
		put_word(out, sim->input, &amount);
	}
	set_call_gas(sim, out, sim_between(sim, 6000, 25000));
}

static void create_contract(struct cw_sim *sim, struct cw_tx_in *out)
{
	put_selector(out, sim->input, 0x60806040);   /* how compiled code begins */
	while (out->input_len + 32 <= INPUT_MAX) {
		struct cw_u256 word;

		for (int i = 0; i < 4; i++)
			word.w[i] = sim_random(sim);
		put_word(out, sim->input, &word);
	}
	set_call_gas(sim, out, sim_between(sim, 300000, 3000000));
}

/* --- who does what --- */

/* The value of one transfer of somebody who usually sends `ether`: now and then a good deal more. */
static double value_about(struct cw_sim *sim, double ether)
{
	double value = ether * sim_exp2(sim_normal(sim));

	return sim_chance(sim, 0.004) ? value * sim_exp2(sim_between(sim, 2, 6)) : value;
}

void sim_contract_call(struct cw_sim *sim, struct cw_tx_in *out, const struct cw_address *to_in_call)
{
	out->tx.to = contract(sim, TOKEN, sim_unit(sim));
	out->tx.has |= CW_TX_HAS_TO;
	call_token(sim, out, to_in_call);
}

static void user_call(struct cw_sim *sim, struct cw_tx_in *out, uint32_t user, enum contract_kind kind)
{
	struct cw_address contact = contact_of(sim, user);

	out->tx.to = favourite(sim, user, kind);
	out->tx.has |= CW_TX_HAS_TO;
	switch (kind) {
	case TOKEN:
		call_token(sim, out, &contact);
		break;
	case EXCHANGE_POOL:
		if (sim_chance(sim, 0.4)) {
			out->tx.value = sim_wei(sim, value_about(sim, sim_user_ether(sim, user)), true);
			call_swap(sim, out, true);
		} else {
			call_swap(sim, out, false);
		}
		break;
	case COLLECTIBLE:
		call_collectible(sim, out, &contact);
		break;
	case WRAPPER:
		call_wrapper(sim, out, value_about(sim, sim_user_ether(sim, user)));
		break;
	}
}

static void user_sends(struct cw_sim *sim, struct cw_tx_in *out)
{
	uint32_t user = sim_active_user(sim);
	double ether = value_about(sim, sim_user_ether(sim, user)), how = sim_unit(sim);

	out->tx.from = sim_address(sim, USER, user);
	out->tx.nonce = sim_user_nonce(sim, user);
	sim_set_price(sim, &out->tx, 1);
	if (how < 0.25)
		sim_plain_transfer(sim, out, contact_of(sim, user), ether);
	else if (how < 0.47)
		sim_plain_transfer(sim, out, home_exchange(sim, user), ether);
	else if (how < 0.52)
		sim_plain_transfer(sim, out, sim_fresh(sim), ether);
	else if (how < 0.80)
		user_call(sim, out, user, TOKEN);
	else if (how < 0.90)
		user_call(sim, out, user, EXCHANGE_POOL);
	else if (how < 0.95)
		user_call(sim, out, user, COLLECTIBLE);
	else if (how < 0.995)
		user_call(sim, out, user, WRAPPER);
	else
		create_contract(sim, out);
}

static void exchange_pays(struct cw_sim *sim, struct cw_tx_in *out)
{
	uint32_t exchange = zipf(sim_unit(sim), EXCHANGES);
	uint64_t trait = sim_trait(sim, EXCHANGE, exchange, 1);
	struct cw_address to = sim_chance(sim, 0.25) ? sim_fresh(sim) : sim_address(sim, USER, sim_below(sim, sim->users));

	out->tx.from = sim_address(sim, EXCHANGE, exchange);
	out->tx.nonce = 1000000 + trait % 9000000 + sim->exchange_nonces[exchange]++;
	sim_set_price(sim, &out->tx, 1.1);
	sim_plain_transfer(sim, out, to, value_about(sim, 0.12 * sim_exp2(2.2 * sim_normal(sim))));
	out->tx.gas = trait % 3 == 0 ? TRANSFER_GAS : trait % 3 == 1 ? 100000 : 210000;
}

static void bot_trades(struct cw_sim *sim, struct cw_tx_in *out)
{
	uint32_t bot = zipf(sim_unit(sim), BOTS);
	double bid = sim_chance(sim, 0.03) ? sim_between(sim, 2, 6) : sim_between(sim, 1, 1.6);

	out->tx.from = sim_address(sim, BOT, bot);
	out->tx.nonce = 50000 + sim_trait(sim, BOT, bot, 1) % 500000 + sim->bot_nonces[bot]++;
	sim_set_price(sim, &out->tx, bid);
	out->tx.to = contract(sim, EXCHANGE_POOL, unit_of(sim_trait(sim, BOT, bot, 2 + sim_below(sim, 3))));
	out->tx.has |= CW_TX_HAS_TO;
	call_swap(sim, out, false);
}

/* A sleeper's one small sign of life. */
static void sleeper_sends(struct cw_sim *sim, struct cw_tx_in *out)
{
	uint32_t sleeper = sim->sleepers++;

	out->tx.from = sim_address(sim, SLEEPER, sleeper);
	out->tx.nonce = 2 + sim_trait(sim, SLEEPER, sleeper, 1) % 30;
	sim_set_price(sim, &out->tx, 1);
	sim_plain_transfer(sim, out, sim_fresh(sim), 0.05 * sim_exp2(sim_normal(sim)));
}

void sim_ordinary(struct cw_sim *sim, struct cw_tx_in *out)
{
	double how = sim_unit(sim);

	if (sim->sleepers < SLEEPERS && sim->begun <= sim->warmup &&
	    sim_chance(sim, 2.0 * SLEEPERS / ((double)sim->warmup * sim->conf.tx_per_block)))
		sleeper_sends(sim, out);
	else if (how < 0.12)
		exchange_pays(sim, out);
	else if (how < 0.20)
		bot_trades(sim, out);
	else
		user_sends(sim, out);
}
