/* The attacks beyond the first six: each is a list of steps, and step k of an incident makes its k-th transaction.
 *
 * Accounts of an incident are made for it (actor 0, 1, ...) unless a step takes a user's or a listed one. Call data is
 * whole, and where a rule reads receipts the step gives logs. To add one: a name in simulate.h, a function here, a row in
 * `plans`. */
#include <string.h>

#include "chain/abi.h"
#include "source/simulate_internal.h"

#define TRANSFER_GAS 21000
#define ZERO_ADDRESS ((struct cw_address){ { 0 } })

/* --- what steps are made of --- */

static struct cw_address actor(const struct cw_sim *sim, const struct incident *a, unsigned i)
{
	return sim_address(sim, FRESH, a->base + i);
}

static void by(struct cw_sim *sim, struct cw_tx_in *out, struct incident *a, unsigned i)
{
	out->tx.from = actor(sim, a, i);
	out->tx.nonce = a->sent[i % ACTORS]++;
	sim_set_price(sim, &out->tx, 1);
}

/* Somebody of the ordinary population. */
static void by_user(struct cw_sim *sim, struct cw_tx_in *out, uint32_t user)
{
	out->tx.from = sim_address(sim, USER, user);
	out->tx.nonce = sim_user_nonce(sim, user);
	sim_set_price(sim, &out->tx, 1);
}

static void by_listed(struct cw_sim *sim, struct cw_tx_in *out, uint32_t listed)
{
	out->tx.from = sim_address(sim, LISTED_ONE, listed);
	out->tx.nonce = sim_trait(sim, LISTED_ONE, listed, 1) % 100 + sim->listed_nonces[listed]++;
	sim_set_price(sim, &out->tx, 1);
}

/* A listed address of the category: sanctioned 0, mixer 1, phishing 2, exploiter 3. */
static uint32_t listed(const struct incident *a, unsigned category)
{
	return (uint32_t)(a->id * 4 % LISTED / 4 * 4 + category);
}

static void pay(struct cw_sim *sim, struct cw_tx_in *out, struct cw_address to, double ether)
{
	sim_plain_transfer(sim, out, to, ether);
}

static void put_word(struct cw_sim *sim, struct cw_tx_in *out, const struct cw_u256 *word)
{
	cw_u256_to_be(word, sim->input + out->input_len);
	out->input_len += 32;
}

static void put_number(struct cw_sim *sim, struct cw_tx_in *out, uint64_t number)
{
	struct cw_u256 word = cw_u256_from_u64(number);

	put_word(sim, out, &word);
}

static void put_address(struct cw_sim *sim, struct cw_tx_in *out, struct cw_address address)
{
	struct cw_u256 word = cw_u256_from_be(address.b, sizeof(address.b));

	put_word(sim, out, &word);
}

static void call(struct cw_sim *sim, struct cw_tx_in *out, struct cw_address to, uint32_t selector)
{
	out->tx.to = to;
	out->tx.has |= CW_TX_HAS_TO;
	for (int i = 0; i < 4; i++)
		sim->input[i] = (uint8_t)(selector >> (24 - 8 * i));
	out->input_len = 4;
}

/* Ends a call: gas that fits its data, and what happened. */
static void done(struct cw_tx_in *out, uint64_t execution, bool ok)
{
	out->tx.gas_used = TRANSFER_GAS + 16 * out->input_len + execution + ((out->tx.has & CW_TX_HAS_TO) == 0 ? 32000 : 0);
	out->tx.gas = out->tx.gas_used + execution / 10;
	out->tx.status = ok;
}

static struct cw_tx_log *add_log(struct cw_sim *sim, struct cw_tx_in *out, enum cw_log_kind kind, struct cw_address address)
{
	struct cw_tx_log *log = &sim->logs[out->tx.nlogs];

	memset(log, 0, sizeof(*log));
	log->kind = (uint8_t)kind;
	log->address = address;
	log->index = out->tx.nlogs++;
	out->tx.logs_total = out->tx.nlogs;
	out->tx.logs = sim->logs;
	out->tx.has |= CW_TX_HAS_LOGS;
	return log;
}

static struct cw_tx_log *log_between(struct cw_sim *sim, struct cw_tx_in *out, enum cw_log_kind kind,
                                     struct cw_address address, struct cw_address from, struct cw_address to)
{
	struct cw_tx_log *log = add_log(sim, out, kind, address);

	log->from = from;
	log->to = to;
	log->has = CW_LOG_HAS_FROM | CW_LOG_HAS_TO;
	return log;
}

static struct cw_tx_log *log_one(struct cw_sim *sim, struct cw_tx_in *out, enum cw_log_kind kind,
                                 struct cw_address address, uint16_t has)
{
	struct cw_tx_log *log = add_log(sim, out, kind, address);

	log->has = has;
	return log;
}

static void log_transfer(struct cw_sim *sim, struct cw_tx_in *out, struct cw_address token, struct cw_address from,
                         struct cw_address to, uint64_t amount)
{
	struct cw_tx_log *log = log_between(sim, out, CW_LOG_TRANSFER, token, from, to);

	log->amount = cw_u256_from_u64(amount);
	log->has |= CW_LOG_HAS_AMOUNT;
	log->standard = CW_TOKEN_ERC20;
}

static void create(struct cw_sim *sim, struct cw_tx_in *out, struct cw_address created)
{
	call(sim, out, ZERO_ADDRESS, 0x60806040);
	out->tx.to = ZERO_ADDRESS;
	out->tx.has &= ~(uint32_t)CW_TX_HAS_TO;
	while (out->input_len + 32 <= INPUT_MAX)
		put_number(sim, out, sim_random(sim));
	out->tx.created = created;
	out->tx.has |= CW_TX_HAS_CREATED;
	done(out, 1500000, true);
}

/* --- amounts and flows --- */

static void structuring(struct cw_sim *sim, struct cw_tx_in *out, struct incident *a, unsigned k)
{
	by(sim, out, a, 0);
	pay(sim, out, actor(sim, a, 1 + k), sim_between(sim, 8.6, 9.9));
}

static void high_value_burst(struct cw_sim *sim, struct cw_tx_in *out, struct incident *a, unsigned k)
{
	by(sim, out, a, 0);
	pay(sim, out, actor(sim, a, 1 + k), sim_between(sim, 120, 600));
}

static void repeated_amount(struct cw_sim *sim, struct cw_tx_in *out, struct incident *a, unsigned k)
{
	by(sim, out, a, 0);
	pay(sim, out, actor(sim, a, 1 + k), 0.25);
	out->tx.value = cw_u256_from_u64(250000000000000000u);
}

static void activity_spike(struct cw_sim *sim, struct cw_tx_in *out, struct incident *a, unsigned k)
{
	uint32_t user = (uint32_t)(sim_mix(a->id) % (sim->users / 50));   /* one with a past */

	(void)k;
	by_user(sim, out, user);
	pay(sim, out, sim_fresh(sim), sim_between(sim, 0.002, 0.004));
}

static void overpaid_fee(struct cw_sim *sim, struct cw_tx_in *out, struct incident *a, unsigned k)
{
	by(sim, out, a, 0);
	pay(sim, out, actor(sim, a, 1 + k), 0.3);
	out->tx.gas = out->tx.gas_used = TRANSFER_GAS;
	out->tx.gas_price = cw_u256_from_u64(20000000000000u + sim_below(sim, 1000000));
}

static void pass_through(struct cw_sim *sim, struct cw_tx_in *out, struct incident *a, unsigned k)
{
	by(sim, out, a, k % 2 == 0 ? 1 + k : 0);
	pay(sim, out, actor(sim, a, k % 2 == 0 ? 0 : 20 + k), k % 2 == 0 ? 10 + k : 0.97 * (10 + k - 1));
}

static void collect_and_sweep(struct cw_sim *sim, struct cw_tx_in *out, struct incident *a, unsigned k)
{
	if (k < 14) {
		by(sim, out, a, 1 + k);
		pay(sim, out, actor(sim, a, 0), sim_between(sim, 0.4, 0.6));
	} else {
		by(sim, out, a, 0);
		pay(sim, out, actor(sim, a, 40), 6.5);
	}
}

static void scatter_gather(struct cw_sim *sim, struct cw_tx_in *out, struct incident *a, unsigned k)
{
	by(sim, out, a, k < 7 ? 0 : 1 + k - 7);
	pay(sim, out, actor(sim, a, k < 7 ? 1 + k : 40), k < 7 ? 3 : 2.9);
}

static void peel_chain(struct cw_sim *sim, struct cw_tx_in *out, struct incident *a, unsigned k)
{
	double ether = 80;

	for (unsigned i = 0; i < k; i++)
		ether *= 0.93;
	by(sim, out, a, k);
	pay(sim, out, actor(sim, a, k + 1), ether);
}

static void cycle(struct cw_sim *sim, struct cw_tx_in *out, struct incident *a, unsigned k)
{
	by(sim, out, a, k);
	pay(sim, out, actor(sim, a, (k + 1) % 4), 25 - 0.1 * k);
}

static void sybil_cluster(struct cw_sim *sim, struct cw_tx_in *out, struct incident *a, unsigned k)
{
	by(sim, out, a, k < 12 ? 0 : 1 + k - 12);
	if (k < 12) {
		pay(sim, out, actor(sim, a, 1 + k), 0.02);
		return;
	}
	call(sim, out, actor(sim, a, 40), 0x1249c58b);
	done(out, 60000, true);
}

/* --- exposure --- */

static void mixer_money(struct cw_sim *sim, struct cw_tx_in *out, struct incident *a, unsigned k)
{
	uint32_t mixer = listed(a, 1);

	if (k < 2) {              /* in ... */
		by(sim, out, a, 0);
		call(sim, out, sim_address(sim, LISTED_ONE, mixer), 0xb214faa5);
		put_number(sim, out, sim_random(sim));
		out->tx.value = sim_wei(sim, 100, true);
		done(out, 900000, true);
	} else if (k == 2) {      /* ... out to a new account ... */
		by_listed(sim, out, mixer);
		pay(sim, out, actor(sim, a, 1), 100);
	} else {                  /* ... and away */
		by(sim, out, a, 1);
		pay(sim, out, sim_address(sim, EXCHANGE, 0), 99);
	}
}

static void exploiter_money(struct cw_sim *sim, struct cw_tx_in *out, struct incident *a, unsigned k)
{
	if (k == 0) {
		by_listed(sim, out, listed(a, 3));
		pay(sim, out, actor(sim, a, 0), 60);
	} else {
		by(sim, out, a, 0);
		pay(sim, out, k == 1 ? actor(sim, a, 1) : sim_address(sim, EXCHANGE, 1), k == 1 ? 25 : 33);
	}
}

static void accomplice(struct cw_sim *sim, struct cw_tx_in *out, struct incident *a, unsigned k)
{
	by_listed(sim, out, (listed(a, 2) + 4 * k) % LISTED);
	pay(sim, out, actor(sim, a, 0), 2);
}

static void chain_hopping(struct cw_sim *sim, struct cw_tx_in *out, struct incident *a, unsigned k)
{
	by(sim, out, a, 0);
	call(sim, out, sim_address(sim, BRIDGE, k % BRIDGES), 0xd0e30db0);
	out->tx.value = sim_wei(sim, k == 0 ? 260 : 40, true);
	done(out, 90000, true);
}

static void bridge_drain(struct cw_sim *sim, struct cw_tx_in *out, struct incident *a, unsigned k)
{
	uint32_t bridge = (uint32_t)(a->id % BRIDGES);

	out->tx.from = sim_address(sim, BRIDGE, bridge);
	out->tx.nonce = 5000 + sim->bridge_nonces[bridge]++;
	sim_set_price(sim, &out->tx, 1);
	pay(sim, out, actor(sim, a, k), k < 3 ? 4 : 2500);
}

/* --- what is done to people --- */

/* An address that a wallet would show like the other one. */
static struct cw_address imitation(struct cw_address like, uint64_t salt)
{
	for (int i = 3; i < 17; i++)
		like.b[i] = (uint8_t)(sim_mix(salt + (uint64_t)i) >> 8);
	return like;
}

static void address_poisoning(struct cw_sim *sim, struct cw_tx_in *out, struct incident *a, unsigned k)
{
	struct cw_address victim = actor(sim, a, 0), friend = actor(sim, a, 1), token = actor(sim, a, 3);
	struct cw_address mimic = imitation(friend, a->id);
	struct cw_u256 nothing = cw_u256_from_u64(0);

	switch (k) {
	case 0:
	case 3:                   /* first the friend, then whom it takes for him */
		by(sim, out, a, 0);
		pay(sim, out, k == 0 ? friend : mimic, 12);
		break;
	case 1:
		out->tx.from = mimic;
		out->tx.nonce = 0;
		sim_set_price(sim, &out->tx, 1);
		pay(sim, out, victim, 0.00001);
		break;
	default:
		by(sim, out, a, 2);
		out->tx.to = token;
		out->tx.has |= CW_TX_HAS_TO;
		out->input_len = cw_call_encode_transfer_from(sim->input, &victim, &mimic, &nothing);
		done(out, 30000, true);
		log_transfer(sim, out, token, victim, mimic, 0);
		break;
	}
}

static void fake_token(struct cw_sim *sim, struct cw_tx_in *out, struct incident *a, unsigned k)
{
	(void)k;
	by(sim, out, a, 0);
	call(sim, out, actor(sim, a, 1), 0x8d80ff0a);
	done(out, 300000, true);
	for (unsigned i = 0; i < 8; i++)
		log_transfer(sim, out, actor(sim, a, 2), actor(sim, a, 10 + i), actor(sim, a, 20 + i), 16000000000);
}

static void dusting(struct cw_sim *sim, struct cw_tx_in *out, struct incident *a, unsigned k)
{
	(void)k;
	by(sim, out, a, 0);
	pay(sim, out, sim_fresh(sim), 0.00002);
}

static void approval_phishing(struct cw_sim *sim, struct cw_tx_in *out, struct incident *a, unsigned k)
{
	static const struct cw_u256 all = { { UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX } };
	struct cw_address thief = actor(sim, a, 0), token = actor(sim, a, 1), loot = actor(sim, a, 2);
	struct cw_address owner = actor(sim, a, 10 + k % 14);
	struct cw_u256 amount = cw_u256_from_u64(5000000000);

	if (k < 14) {
		by(sim, out, a, 10 + k);
		out->input_len = cw_call_encode_approve(sim->input, &thief, &all);
	} else {
		by(sim, out, a, 0);
		out->input_len = cw_call_encode_transfer_from(sim->input, &owner, &loot, &amount);
	}
	out->tx.to = token;
	out->tx.has |= CW_TX_HAS_TO;
	done(out, 30000, true);
}

static void native_phishing(struct cw_sim *sim, struct cw_tx_in *out, struct incident *a, unsigned k)
{
	by(sim, out, a, 1 + k);
	call(sim, out, actor(sim, a, 0), 0x5fba79f5);
	out->tx.value = sim_wei(sim, sim_between(sim, 0.3, 2), false);
	done(out, 9000, true);
}

static void rug_pull(struct cw_sim *sim, struct cw_tx_in *out, struct incident *a, unsigned k)
{
	by(sim, out, a, 0);
	if (k == 0) {
		create(sim, out, actor(sim, a, 1));
		return;
	}
	call(sim, out, actor(sim, a, 2), k == 1 ? 0xf305d719 : 0x02751cec);
	put_address(sim, out, actor(sim, a, 1));
	put_number(sim, out, 1000000);
	if (k == 1)
		out->tx.value = sim_wei(sim, 20, true);
	done(out, 200000, true);
}

static void wash_trade(struct cw_sim *sim, struct cw_tx_in *out, struct incident *a, unsigned k)
{
	struct cw_tx_log *log;

	by(sim, out, a, k % 2);
	call(sim, out, actor(sim, a, 5), 0xfb0f3ee1);
	out->tx.value = sim_wei(sim, 3 + k, true);
	done(out, 150000, true);
	log = log_between(sim, out, CW_LOG_TRANSFER, actor(sim, a, 6), actor(sim, a, (k + 1) % 2), actor(sim, a, k % 2));
	log->amount = cw_u256_from_u64(1);
	log->extra = cw_u256_from_u64(a->id);
	log->has |= CW_LOG_HAS_AMOUNT | CW_LOG_HAS_EXTRA;
	log->standard = CW_TOKEN_ERC721;
}

static void multisend(struct cw_sim *sim, struct cw_tx_in *out, struct incident *a, unsigned k)
{
	(void)k;
	by(sim, out, a, 0);
	call(sim, out, actor(sim, a, 1), 0xc73a2d60);
	done(out, 900000, true);
	for (unsigned i = 0; i < 40; i++)
		log_transfer(sim, out, actor(sim, a, 2), actor(sim, a, 0), sim_fresh(sim), 5000000);
}

/* --- attacks on protocols --- */

static void protocol_attack(struct cw_sim *sim, struct cw_tx_in *out, struct incident *a, unsigned k)
{
	struct cw_address thief = actor(sim, a, 0), tool = actor(sim, a, 1), lender = actor(sim, a, 2), coin = actor(sim, a, 3);
	struct cw_tx_log *loan;

	if (k == 0) {
		by_listed(sim, out, listed(a, 1));
		pay(sim, out, thief, 10);
		return;
	}
	by(sim, out, a, 0);
	if (k == 1) {
		create(sim, out, tool);
	} else if (k == 2) {
		call(sim, out, tool, 0x0f59f83a);
		done(out, 4000000, true);
		log_transfer(sim, out, coin, lender, tool, 1000000000000);
		for (int i = 0; i < 7; i++)
			log_transfer(sim, out, coin, actor(sim, a, 4), tool, 90000000000);
		log_transfer(sim, out, coin, tool, lender, 1000900000000);
		loan = log_between(sim, out, CW_LOG_FLASH_LOAN, lender, tool, tool);
		loan->third = coin;
		loan->amount = cw_u256_from_u64(1000000000000);
		loan->has |= CW_LOG_HAS_THIRD | CW_LOG_HAS_AMOUNT;
	} else {
		call(sim, out, sim_address(sim, LISTED_ONE, listed(a, 1)), 0xb214faa5);
		put_number(sim, out, sim_random(sim));
		out->tx.value = sim_wei(sim, 100, true);
		done(out, 900000, true);
	}
}

static void unlimited_mint(struct cw_sim *sim, struct cw_tx_in *out, struct incident *a, unsigned k)
{
	struct cw_address minter = actor(sim, a, k < 35 ? 1 + k : 0);

	by(sim, out, a, k < 35 ? 1 + k : 0);
	call(sim, out, actor(sim, a, 50), 0x40c10f19);
	put_address(sim, out, minter);
	put_number(sim, out, 1000);
	done(out, 60000, true);
	log_transfer(sim, out, actor(sim, a, 50), ZERO_ADDRESS, minter, k < 35 ? 1000 + sim_below(sim, 3000) : 1000000000000000000u);
}

static void mint_spree(struct cw_sim *sim, struct cw_tx_in *out, struct incident *a, unsigned k)
{
	(void)k;
	by(sim, out, a, 0);
	call(sim, out, actor(sim, a, 1), 0x1249c58b);
	done(out, 80000, true);
}

static void new_contract(struct cw_sim *sim, struct cw_tx_in *out, struct incident *a, unsigned k)
{
	static const struct cw_u256 all = { { UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX } };
	struct cw_address made = actor(sim, a, 1);

	by(sim, out, a, k == 0 ? 0 : 2 + k);
	if (k == 0) {
		create(sim, out, made);
	} else if (k == 1) {
		out->input_len = cw_call_encode_approve(sim->input, &made, &all);
		out->tx.to = actor(sim, a, 2);
		out->tx.has |= CW_TX_HAS_TO;
		done(out, 30000, true);
	} else {
		call(sim, out, made, 0xd0e30db0);
		out->tx.value = sim_wei(sim, 55, true);
		done(out, 50000, true);
	}
}

static void creation_burst(struct cw_sim *sim, struct cw_tx_in *out, struct incident *a, unsigned k)
{
	by(sim, out, a, 0);
	create(sim, out, actor(sim, a, 1 + k));
}

static void failed_burst(struct cw_sim *sim, struct cw_tx_in *out, struct incident *a, unsigned k)
{
	by(sim, out, a, 1 + k);
	call(sim, out, actor(sim, a, 0), 0x38ed1739);
	done(out, 40000, false);
}

static void takeover(struct cw_sim *sim, struct cw_tx_in *out, struct incident *a, unsigned k)
{
	static const uint32_t selectors[] = { 0xf2fde38b, 0x3659cfe6, 0x8456cb59, 0x41c0e1b5 };
	struct cw_address thief = actor(sim, a, 0), contract = actor(sim, a, 1);

	by(sim, out, a, 0);
	call(sim, out, contract, selectors[k]);
	if (k < 2)
		put_address(sim, out, k == 0 ? thief : actor(sim, a, 2));
	done(out, 40000, true);
	if (k == 0)
		log_between(sim, out, CW_LOG_OWNERSHIP_TRANSFERRED, contract, actor(sim, a, 3), thief);
	else if (k == 1)
		log_one(sim, out, CW_LOG_UPGRADED, contract, CW_LOG_HAS_TO)->to = actor(sim, a, 2);
	else if (k == 2)
		log_one(sim, out, CW_LOG_PAUSED, contract, CW_LOG_HAS_FROM)->from = thief;
}

static void administration(struct cw_sim *sim, struct cw_tx_in *out, struct incident *a, unsigned k)
{
	struct cw_address safe = actor(sim, a, 1);

	by(sim, out, a, 0);
	call(sim, out, k == 0 ? actor(sim, a, 2) : safe, k == 0 ? 0xf9f92be4 : 0x6a761202);
	put_address(sim, out, k == 0 ? actor(sim, a, 3) : safe);
	if (k > 0)
		put_number(sim, out, 0);
	done(out, 60000, true);
}

/* --- order and gas --- */

static void block_stuffing(struct cw_sim *sim, struct cw_tx_in *out, struct incident *a, unsigned k)
{
	by(sim, out, a, 1 + k);
	call(sim, out, actor(sim, a, 0), 0x2de9c013);
	put_number(sim, out, k);
	done(out, 2500000, true);
}

static void displacement(struct cw_sim *sim, struct cw_tx_in *out, struct incident *a, unsigned k)
{
	(void)k;
	by(sim, out, a, 0);
	call(sim, out, actor(sim, a, 1), 0xab5898e8);
	for (int i = 0; i < 5; i++)
		put_number(sim, out, sim_random(sim));
	done(out, 300000, true);
	out->tx.gas_price = cw_u256_from_u64(((uint64_t)(sim->base / GWEI) + 2) * 1000000000 + 1);
}

static void sandwich(struct cw_sim *sim, struct cw_tx_in *out, struct incident *a, unsigned k)
{
	by(sim, out, a, k == 1 ? 1 : 0);
	sim_set_price(sim, &out->tx, k == 0 ? 1.9 : 1);
	call(sim, out, actor(sim, a, 2), 0x38ed1739);
	for (int i = 0; i < 5; i++)
		put_number(sim, out, sim_random(sim) >> 20);
	done(out, 130000, true);
}

static void gas_war(struct cw_sim *sim, struct cw_tx_in *out, struct incident *a, unsigned k)
{
	by(sim, out, a, 1 + k);
	sim_set_price(sim, &out->tx, 7);
	call(sim, out, actor(sim, a, 0), 0x1249c58b);
	done(out, 90000, true);
}

/* A contract whose calls are known, and then one that is not like them. */
static void odd_call(struct cw_sim *sim, struct cw_tx_in *out, struct incident *a, unsigned k)
{
	by(sim, out, a, 1 + k % 60);
	call(sim, out, actor(sim, a, 0), k == 130 ? 0xdeadbeef : 0xa694fc3a);
	put_number(sim, out, sim_random(sim));
	if (k == 130)
		out->tx.value = sim_wei(sim, 40, true);
	done(out, k == 131 ? 12000000 : 90000 + sim_below(sim, 9000), true);
}

static void call_rush(struct cw_sim *sim, struct cw_tx_in *out, struct incident *a, unsigned k)
{
	by(sim, out, a, 1 + k % 60);
	call(sim, out, actor(sim, a, 0), 0xdb2e21bc);
	done(out, 50000, true);
}

static void replaced(struct cw_sim *sim, struct cw_tx_in *out, struct incident *a, unsigned k)
{
	by(sim, out, a, 0);
	pay(sim, out, actor(sim, a, 1 + k), 30);
	if (k == 1) {
		out->tx.nonce--;
		a->sent[0]--;
	}
}

/* Small payments on one day, large ones a day later. Days of the rule begin at midnight: the gap is a day. */
static void flow_spike(struct cw_sim *sim, struct cw_tx_in *out, struct incident *a, unsigned k)
{
	by(sim, out, a, 1 + k);
	pay(sim, out, actor(sim, a, 0), k < 6 ? 5 : sim_between(sim, 80, 100));
}

static void dormant_account(struct cw_sim *sim, struct cw_tx_in *out, struct incident *a, unsigned k)
{
	by(sim, out, a, 0);
	pay(sim, out, actor(sim, a, 1 + k), k == 0 ? 3 : sim_between(sim, 20, 60));
}

/* --- when --- */

#define BLOCKS_A_DAY 7200

static const struct sim_plan plans[CW_SIM_SCENARIOS] = {
	[CW_SIM_STRUCTURING] = { structuring, 6, 12, 0, 0 },
	[CW_SIM_HIGH_VALUE_BURST] = { high_value_burst, 7, 12, 0, 0 },
	[CW_SIM_REPEATED_AMOUNT] = { repeated_amount, 50, 20, 0, 0 },
	[CW_SIM_ACTIVITY_SPIKE] = { activity_spike, 90, 30, 0, 0 },
	[CW_SIM_OVERPAID_FEE] = { overpaid_fee, 1, 1, 0, 0 },
	[CW_SIM_PASS_THROUGH] = { pass_through, 10, 12, 0, 0 },
	[CW_SIM_COLLECT_AND_SWEEP] = { collect_and_sweep, 15, 15, 0, 0 },
	[CW_SIM_SCATTER_GATHER] = { scatter_gather, 14, 14, 0, 0 },
	[CW_SIM_PEEL_CHAIN] = { peel_chain, 8, 16, 0, 0 },
	[CW_SIM_CYCLE] = { cycle, 4, 8, 0, 0 },
	[CW_SIM_SYBIL_CLUSTER] = { sybil_cluster, 24, 14, 0, 0 },
	[CW_SIM_MIXER_MONEY] = { mixer_money, 4, 8, 0, 0 },
	[CW_SIM_EXPLOITER_MONEY] = { exploiter_money, 3, 6, 0, 0 },
	[CW_SIM_ACCOMPLICE] = { accomplice, 3, 6, 0, 0 },
	[CW_SIM_CHAIN_HOPPING] = { chain_hopping, 3, 6, 0, 0 },
	[CW_SIM_BRIDGE_DRAIN] = { bridge_drain, 4, 10, 3, 300 },
	[CW_SIM_ADDRESS_POISONING] = { address_poisoning, 4, 8, 0, 0 },
	[CW_SIM_FAKE_TOKEN] = { fake_token, 1, 1, 0, 0 },
	[CW_SIM_DUSTING] = { dusting, 60, 20, 0, 0 },
	[CW_SIM_APPROVAL_PHISHING] = { approval_phishing, 24, 14, 0, 0 },
	[CW_SIM_NATIVE_PHISHING] = { native_phishing, 6, 10, 0, 0 },
	[CW_SIM_RUG_PULL] = { rug_pull, 3, 8, 0, 0 },
	[CW_SIM_WASH_TRADE] = { wash_trade, 8, 12, 0, 0 },
	[CW_SIM_MULTISEND] = { multisend, 1, 1, 0, 0 },
	[CW_SIM_PROTOCOL_ATTACK] = { protocol_attack, 4, 8, 0, 0 },
	[CW_SIM_UNLIMITED_MINT] = { unlimited_mint, 36, 14, 0, 0 },
	[CW_SIM_MINT_SPREE] = { mint_spree, 36, 10, 0, 0 },
	[CW_SIM_NEW_CONTRACT] = { new_contract, 3, 6, 0, 0 },
	[CW_SIM_CREATION_BURST] = { creation_burst, 12, 10, 0, 0 },
	[CW_SIM_FAILED_BURST] = { failed_burst, 24, 10, 0, 0 },
	[CW_SIM_TAKEOVER] = { takeover, 4, 8, 0, 0 },
	[CW_SIM_ADMINISTRATION] = { administration, 3, 6, 0, 0 },
	[CW_SIM_BLOCK_STUFFING] = { block_stuffing, 5, 3, 0, 0 },
	[CW_SIM_DISPLACEMENT] = { displacement, 2, 2, 0, 0 },
	[CW_SIM_SANDWICH] = { sandwich, 3, 1, 0, 0 },
	[CW_SIM_GAS_WAR] = { gas_war, 14, 1, 0, 0 },
	[CW_SIM_ODD_CALL] = { odd_call, 132, 14, 0, 0 },
	[CW_SIM_CALL_RUSH] = { call_rush, 190, 40, 5, 300 },
	[CW_SIM_NONCE_REPLACED] = { replaced, 2, 2, 0, 0 },
	[CW_SIM_FLOW_SPIKE] = { flow_spike, 13, 5, 6, BLOCKS_A_DAY },
	[CW_SIM_DORMANT_ACCOUNT] = { dormant_account, 2, 1, 1, 181 * BLOCKS_A_DAY },
};

const struct sim_plan *sim_plan(enum cw_sim_scenario scenario)
{
	return plans[scenario].step != NULL ? &plans[scenario] : NULL;
}
