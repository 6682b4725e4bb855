/* The stream: settings, blocks, the gas market, and when which attack happens. */
#include "source/simulate.h"

#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/suggest.h"
#include "chain/keccak.h"
#include "source/simulate_internal.h"

#define BLOCK_SECONDS 12
#define WARMUP_MAX 300
#define TIME_MAX 253402300799   /* what cw_tx_from_json takes */
#define FAN_MIN 30
#define FAN_MORE 51             /* up to 80 */
#define FAN_MEAN 55

static const char *const scenario_names[CW_SIM_SCENARIOS] = {
	[CW_SIM_VALUE_OUTLIER] = "value_outlier", [CW_SIM_GAS_SPIKE] = "gas_spike", [CW_SIM_FAN_OUT] = "fan_out",
	[CW_SIM_FAN_IN] = "fan_in", [CW_SIM_NEW_WALLET] = "new_wallet", [CW_SIM_LISTED_ADDRESS] = "listed_address",
	[CW_SIM_STRUCTURING] = "structuring",
	[CW_SIM_HIGH_VALUE_BURST] = "high_value_burst",
	[CW_SIM_REPEATED_AMOUNT] = "repeated_amount",
	[CW_SIM_ACTIVITY_SPIKE] = "activity_spike",
	[CW_SIM_OVERPAID_FEE] = "overpaid_fee",
	[CW_SIM_PASS_THROUGH] = "pass_through",
	[CW_SIM_COLLECT_AND_SWEEP] = "collect_and_sweep",
	[CW_SIM_SCATTER_GATHER] = "scatter_gather",
	[CW_SIM_PEEL_CHAIN] = "peel_chain",
	[CW_SIM_CYCLE] = "cycle",
	[CW_SIM_SYBIL_CLUSTER] = "sybil_cluster",
	[CW_SIM_MIXER_MONEY] = "mixer_money",
	[CW_SIM_EXPLOITER_MONEY] = "exploiter_money",
	[CW_SIM_ACCOMPLICE] = "accomplice",
	[CW_SIM_CHAIN_HOPPING] = "chain_hopping",
	[CW_SIM_BRIDGE_DRAIN] = "bridge_drain",
	[CW_SIM_ADDRESS_POISONING] = "address_poisoning",
	[CW_SIM_FAKE_TOKEN] = "fake_token",
	[CW_SIM_DUSTING] = "dusting",
	[CW_SIM_APPROVAL_PHISHING] = "approval_phishing",
	[CW_SIM_NATIVE_PHISHING] = "native_phishing",
	[CW_SIM_RUG_PULL] = "rug_pull",
	[CW_SIM_WASH_TRADE] = "wash_trade",
	[CW_SIM_MULTISEND] = "multisend",
	[CW_SIM_PROTOCOL_ATTACK] = "protocol_attack",
	[CW_SIM_UNLIMITED_MINT] = "unlimited_mint",
	[CW_SIM_MINT_SPREE] = "mint_spree",
	[CW_SIM_NEW_CONTRACT] = "new_contract",
	[CW_SIM_CREATION_BURST] = "creation_burst",
	[CW_SIM_FAILED_BURST] = "failed_burst",
	[CW_SIM_TAKEOVER] = "takeover",
	[CW_SIM_ADMINISTRATION] = "administration",
	[CW_SIM_BLOCK_STUFFING] = "block_stuffing",
	[CW_SIM_DISPLACEMENT] = "displacement",
	[CW_SIM_SANDWICH] = "sandwich",
	[CW_SIM_GAS_WAR] = "gas_war",
	[CW_SIM_ODD_CALL] = "odd_call",
	[CW_SIM_CALL_RUSH] = "call_rush",
	[CW_SIM_NONCE_REPLACED] = "nonce_replaced",
	[CW_SIM_FLOW_SPIKE] = "flow_spike",
	[CW_SIM_DORMANT_ACCOUNT] = "dormant_account",
};

static const char *const categories[] = { "sanctioned", "mixer", "phishing", "exploiter" };

/* Transactions in the hours of a day (UTC), 24.2 in all: quiet when America has gone to bed. */
static const double hours[24] = { 0.95, 0.90, 0.85, 0.80, 0.75, 0.72, 0.72, 0.76, 0.84, 0.93, 1.00, 1.06,
	                              1.12, 1.20, 1.28, 1.33, 1.33, 1.28, 1.20, 1.12, 1.06, 1.02, 1.00, 0.98 };

const char *cw_sim_scenario_name(enum cw_sim_scenario scenario)
{
	return scenario_names[scenario];
}

static int scenario_parse(const char *text, size_t len)
{
	for (int i = 0; i < CW_SIM_SCENARIOS; i++)
		if (strlen(scenario_names[i]) == len && memcmp(scenario_names[i], text, len) == 0)
			return i;
	return -1;
}

static const char *near_scenario(const char *text, size_t len)
{
	const char *names[CW_SIM_SCENARIOS + 1], *near;
	static char out[64];
	char word[41];

	snprintf(word, sizeof(word), "%.*s", (int)(len < 40 ? len : 40), text);
	memcpy(names, scenario_names, sizeof(scenario_names));
	names[CW_SIM_SCENARIOS] = NULL;
	near = cw_suggest(word, names);
	out[0] = '\0';
	if (near != NULL)
		snprintf(out, sizeof(out), " (did you mean \"%s\"?)", near);
	return out;
}

int cw_sim_scenarios_parse(const char *text, uint64_t *set, struct cw_err *err)
{
	uint64_t bits = 0;

	if (strcmp(text, "all") == 0 || strcmp(text, "none") == 0) {
		*set = text[0] == 'a' ? CW_SIM_ALL : 0;
		return 0;
	}
	if (strcmp(text, "basic") == 0) {
		*set = CW_SIM_BASIC;
		return 0;
	}
	for (const char *p = text;; p++) {
		size_t len = strcspn(p, ",");
		int scenario = scenario_parse(p, len);

		if (scenario < 0)
			return cw_err_set(err, CW_ERR_INVALID, "unknown scenario \"%.*s\"%s; \"chainwatch simulate --help\" names them",
			                  (int)(len < 40 ? len : 40), p, near_scenario(p, len));
		bits |= 1ull << scenario;
		p += len;
		if (*p == '\0')
			break;
	}
	*set = bits;
	return 0;
}

void cw_sim_conf_init(struct cw_sim_conf *conf)
{
	*conf = (struct cw_sim_conf){ .seed = 1, .chain_id = 1, .start_block = 20000000, .blocks = 1000,
		                          .start_time = 1767225600, .tx_per_block = 150, .scenarios = CW_SIM_BASIC,
		                          .attack_rate = 0.01 };
}

static int check_conf(const struct cw_sim_conf *conf, struct cw_err *err)
{
	if (conf->blocks < 1 || conf->blocks > 1000000000)
		return cw_err_set(err, CW_ERR_INVALID, "blocks must be between 1 and 1000000000");
	if (conf->tx_per_block < 1 || conf->tx_per_block > 10000)
		return cw_err_set(err, CW_ERR_INVALID, "transactions per block must be between 1 and 10000");
	if (!(conf->attack_rate >= 0 && conf->attack_rate <= 0.5))
		return cw_err_set(err, CW_ERR_INVALID, "the attack rate must be between 0 and 0.5");
	if ((conf->scenarios & ~CW_SIM_ALL) != 0)
		return cw_err_set(err, CW_ERR_INVALID, "unknown scenario");
	if (conf->chain_id > INT64_MAX)
		return cw_err_set(err, CW_ERR_INVALID, "the chain id must be below 2^63");
	if (conf->start_block > INT64_MAX - conf->blocks)
		return cw_err_set(err, CW_ERR_INVALID, "the last block must be below 2^63");
	if (conf->start_time < 0 || conf->start_time > TIME_MAX - 2 * BLOCK_SECONDS * (int64_t)conf->blocks)
		return cw_err_set(err, CW_ERR_INVALID, "the stream must lie between 1970 and the year 10000");
	return 0;
}

static double price_of(enum cw_sim_scenario scenario)
{
	if (sim_plan(scenario) != NULL)
		return sim_plan(scenario)->count;
	if (scenario == CW_SIM_FAN_OUT || scenario == CW_SIM_FAN_IN)
		return FAN_MEAN;
	return scenario == CW_SIM_GAS_SPIKE ? 2 : 1;
}

/* Enough for one attack of each kind at once, so that a short stream has them all; at most a tenth of it. */
static double first_credit(const struct cw_sim_conf *conf)
{
	double credit = 0, most = 0.1 * (double)(conf->blocks * conf->tx_per_block);

	for (int i = 0; i < CW_SIM_SCENARIOS && conf->attack_rate > 0; i++)
		if ((conf->scenarios & 1ull << i) != 0)
			credit += price_of((enum cw_sim_scenario)i);
	return credit < most ? credit : most;
}

struct cw_sim *cw_sim_new(const struct cw_sim_conf *conf, struct cw_err *err)
{
	struct cw_sim *sim;
	uint64_t total;

	if (check_conf(conf, err) != 0)
		return NULL;
	sim = cw_zalloc(sizeof(*sim));
	sim->conf = *conf;
	for (uint64_t i = 0; i < 4; i++)
		sim->random[i] = sim_mix(conf->seed + i * 0x9e3779b97f4a7c15u);
	/* Enough of them that the busiest is no exchange: a tenth of all transactions, 300 for each one of a block. */
	total = conf->blocks * conf->tx_per_block / 10;
	total = total < 1000000 ? total : 1000000;
	total = total > 300 * (uint64_t)conf->tx_per_block ? total : 300 * (uint64_t)conf->tx_per_block;
	sim->users = (uint32_t)(total > 20000 ? total : 20000);
	sim->user_nonces = cw_zalloc(sim->users * sizeof(*sim->user_nonces));
	sim->demand = 1;
	sim->anchor = sim_between(sim, 8, 40) * GWEI;
	sim->base = sim->anchor;
	sim->warmup = conf->blocks / 5 < WARMUP_MAX ? conf->blocks / 5 : WARMUP_MAX;
	sim->turn = sim_below(sim, CW_SIM_BASIC_SCENARIOS);
	sim->time = conf->start_time;
	sim->owed = first_credit(conf);
	return sim;
}

void cw_sim_free(struct cw_sim **sim)
{
	struct cw_sim *s = *sim;

	*sim = NULL;
	if (s == NULL)
		return;
	cw_free(s->user_nonces);
	cw_free(s);
}

uint64_t cw_sim_incident(const struct cw_sim *sim)
{
	return sim->current;
}

/* --- attacks --- */

static struct incident *start_attack(struct cw_sim *sim, enum cw_sim_scenario scenario, uint32_t blocks)
{
	struct incident *a = &sim->active[sim->nactive++];

	const struct sim_plan *plan = sim_plan(scenario);

	*a = (struct incident){ .scenario = scenario, .id = ++sim->incidents, .left = 1, .blocks_left = blocks };
	if (plan != NULL) {
		a->left = plan->count;
		a->wait = plan->gap;
		a->base = sim->fresh;
		sim->fresh += ACTORS;
		return a;
	}
	switch (scenario) {
	case CW_SIM_FAN_OUT:
	case CW_SIM_FAN_IN:
		a->left = FAN_MIN + sim_below(sim, FAN_MORE);
		a->center = sim_fresh(sim);
		a->ether = sim_between(sim, 0.3, 5);
		break;
	case CW_SIM_GAS_SPIKE:
		a->left = 1 + sim_below(sim, 3);
		break;
	case CW_SIM_NEW_WALLET:
		a->left = 1 + sim_below(sim, 2);
		a->ether = sim_between(sim, 150, 2000);
		if (sim->woken < sim->sleepers && sim_chance(sim, 0.5)) {
			a->center = sim_address(sim, SLEEPER, sim->woken);
			a->nonce = 3 + sim_trait(sim, SLEEPER, sim->woken, 1) % 30;
			sim->woken++;
		} else {
			a->center = sim_fresh(sim);
		}
		break;
	default:
		break;
	}
	return a;
}

/* Attacks that take days must not take the room of the others. */
static bool enough_wait(const struct cw_sim *sim, enum cw_sim_scenario scenario)
{
	int waiting = 0;

	for (int i = 0; i < sim->nactive; i++)
		waiting += sim->active[i].scenario == scenario && sim->active[i].wait > 0;
	return waiting >= WAITING_MAX;
}

/* Starts what the rate asks for, scenario after scenario, so that each comes equally often. */
static void plan_attacks(struct cw_sim *sim)
{
	uint64_t blocks_left = sim->conf.blocks - sim->begun + 1;

	if (sim->begun <= sim->warmup || sim->conf.scenarios == 0)
		return;
	while (sim->nactive < INCIDENTS && (sim->owed > 3 * FAN_MEAN || sim_chance(sim, 0.3))) {
		const struct sim_plan *plan;
		bool fan;
		uint32_t blocks, wait = 0;

		while ((sim->conf.scenarios & 1ull << sim->turn) == 0)
			sim->turn = (sim->turn + 1) % CW_SIM_SCENARIOS;
		if (sim->owed < price_of(sim->turn))
			return;
		/* 2 to 8 minutes for a fan, up to 3 blocks for the others. */
		fan = sim->turn == CW_SIM_FAN_OUT || sim->turn == CW_SIM_FAN_IN;
		plan = sim_plan(sim->turn);
		if (plan != NULL) {
			blocks = plan->blocks;
			wait = plan->gap;
		} else {
			blocks = fan ? 10 + sim_below(sim, 30) : 1 + sim_below(sim, 3);
		}
		if (blocks + wait <= blocks_left && !enough_wait(sim, sim->turn))
			sim->owed -= start_attack(sim, sim->turn, blocks)->left;
		sim->turn = (sim->turn + 1) % CW_SIM_SCENARIOS;
		if (blocks + wait > blocks_left && plan == NULL)
			return;
	}
}

/* An attack with a gap: what comes before it comes at once, then blocks pass. Sets in_block. */
static bool pauses(struct cw_sim *sim, struct incident *a)
{
	const struct sim_plan *plan = sim_plan(a->scenario);

	if (a->wait == 0)
		return false;
	a->in_block = a->done < plan->gap_at ? plan->gap_at - a->done : 0;
	sim->attacks_left += a->in_block;
	a->wait -= a->in_block == 0;
	return true;
}

/* How many of each attack come in the block that begins; what has ended makes room. */
static void spread_attacks(struct cw_sim *sim)
{
	int kept = 0;

	sim->attacks_left = 0;
	for (int i = 0; i < sim->nactive; i++) {
		struct incident *a = &sim->active[i];
		double share;

		if (a->left == 0)
			continue;
		if (sim_plan(a->scenario) != NULL && pauses(sim, a)) {
			sim->active[kept++] = *a;
			continue;
		}
		share = (double)a->left / a->blocks_left;
		a->in_block = (uint32_t)(share + sim_unit(sim));
		if (a->in_block > a->left || a->blocks_left == 1)
			a->in_block = a->left;
		a->blocks_left--;
		sim->attacks_left += a->in_block;
		sim->active[kept++] = *a;
	}
	sim->nactive = kept;
}

static void from_user(struct cw_sim *sim, struct cw_tx_in *out, uint32_t user)
{
	out->tx.from = sim_address(sim, USER, user);
	out->tx.nonce = sim_user_nonce(sim, user);
}

/* A busy user who has sent something in this stream before. */
static uint32_t known_user(struct cw_sim *sim)
{
	uint32_t best = 0;

	for (int i = 0; i < 64; i++) {
		uint32_t user = sim_active_user(sim);

		if (sim->user_nonces[user] >= 20)
			return user;
		if (sim->user_nonces[user] > sim->user_nonces[best])
			best = user;
	}
	return best;
}

static void value_outlier(struct cw_sim *sim, struct cw_tx_in *out)
{
	uint32_t user = known_user(sim);
	double ether = 1000 * sim_user_ether(sim, user);

	from_user(sim, out, user);
	sim_set_price(sim, &out->tx, 1);
	sim_plain_transfer(sim, out, sim_fresh(sim), (ether > 300 ? ether : 300) * sim_exp2(sim_between(sim, 0, 2)));
}

static void gas_spike(struct cw_sim *sim, struct cw_tx_in *out)
{
	uint32_t user = sim_active_user(sim);
	struct cw_address other = sim_address(sim, USER, sim_below(sim, sim->users));

	from_user(sim, out, user);
	if (sim_chance(sim, 0.5))
		sim_contract_call(sim, out, &other);
	else
		sim_plain_transfer(sim, out, other, sim_user_ether(sim, user));
	sim_set_price(sim, &out->tx, sim_between(sim, 30, 120));
}

static void fan_in(struct cw_sim *sim, struct cw_tx_in *out, struct incident *a)
{
	if (sim_chance(sim, 0.5))
		from_user(sim, out, sim_below(sim, sim->users));
	else
		out->tx.from = sim_fresh(sim);
	sim_set_price(sim, &out->tx, 1);
	sim_plain_transfer(sim, out, a->center, a->ether * sim_between(sim, 0.8, 1.2));
}

/* The center sends: to a new address, or (new_wallet) to an exchange as well. */
static void center_sends(struct cw_sim *sim, struct cw_tx_in *out, struct incident *a)
{
	bool cash_out = a->scenario == CW_SIM_NEW_WALLET && sim_chance(sim, 0.5);
	struct cw_address to = cash_out ? sim_address(sim, EXCHANGE, sim_below(sim, EXCHANGES)) : sim_fresh(sim);

	out->tx.from = a->center;
	out->tx.nonce = a->nonce++;
	sim_set_price(sim, &out->tx, 1);
	sim_plain_transfer(sim, out, to, a->ether * sim_between(sim, 0.97, 1.03));
}

static void listed_address(struct cw_sim *sim, struct cw_tx_in *out)
{
	uint32_t listed = sim_below(sim, LISTED), user = sim_active_user(sim);
	struct cw_address address = sim_address(sim, LISTED_ONE, listed);
	struct cw_address exchange = sim_address(sim, EXCHANGE, sim_below(sim, EXCHANGES));
	double ether = sim_user_ether(sim, user) * sim_exp2(sim_normal(sim));

	if (sim_chance(sim, 0.6)) {
		from_user(sim, out, user);
		sim_set_price(sim, &out->tx, 1);
		sim_plain_transfer(sim, out, address, ether);
		return;
	}
	out->tx.from = address;
	out->tx.nonce = sim_trait(sim, LISTED_ONE, listed, 1) % 100 + sim->listed_nonces[listed]++;
	sim_set_price(sim, &out->tx, 1);
	sim_plain_transfer(sim, out, sim_chance(sim, 0.5) ? exchange : sim_address(sim, USER, user), ether);
}

static void attack(struct cw_sim *sim, struct cw_tx_in *out, struct incident *a)
{
	a->in_block--;
	a->left--;
	sim->attacks_left--;
	sim->current = a->id;
	if (sim_plan(a->scenario) != NULL) {
		sim_plan(a->scenario)->step(sim, out, a, a->done++);
		return;
	}
	switch (a->scenario) {
	case CW_SIM_VALUE_OUTLIER:
		value_outlier(sim, out);
		break;
	case CW_SIM_GAS_SPIKE:
		gas_spike(sim, out);
		break;
	case CW_SIM_FAN_OUT:
	case CW_SIM_NEW_WALLET:
		center_sends(sim, out, a);
		break;
	case CW_SIM_FAN_IN:
		fan_in(sim, out, a);
		break;
	case CW_SIM_LISTED_ADDRESS:
	default:
		listed_address(sim, out);
		break;
	}
}

/* --- blocks --- */

static struct cw_hash hash_of(const struct cw_sim *sim, uint64_t what, uint64_t number)
{
	uint64_t words[3] = { sim->conf.seed, what, number };
	struct cw_hash hash;

	cw_keccak256(words, sizeof(words), hash.b);
	return hash;
}

/* Between the hours the rhythm goes in straight lines. */
static double rhythm(int64_t time)
{
	int64_t second = time % 86400, hour = second / 3600;
	double into = (double)(second % 3600) / 3600;

	return (hours[hour] * (1 - into) + hours[(hour + 1) % 24] * into) * (24 / 24.2);
}

/* The base price follows demand, after some minutes, about an anchor that wanders over hours. */
static void move_market(struct cw_sim *sim, double demand_now)
{
	sim->demand += (demand_now - sim->demand) * 0.05;
	sim->anchor *= 1 + 0.004 * sim_normal(sim);
	sim->anchor += (20 * GWEI - sim->anchor) * 0.0005;
	if (sim->anchor < GWEI)
		sim->anchor = GWEI;
	sim->base += (sim->anchor * sim->demand * sim->demand - sim->base) * 0.05;
}

static void begin_block(struct cw_sim *sim)
{
	double mean = sim->conf.tx_per_block;
	double count;

	if (sim->begun > 0)
		sim->time += sim_chance(sim, 0.01) ? 2 * BLOCK_SECONDS : BLOCK_SECONDS;   /* now and then nobody proposes */
	sim->begun++;
	sim->index = 0;
	sim->block_hash = hash_of(sim, 2, sim->begun);
	count = mean * rhythm(sim->time) * (1 + 0.25 * sim_normal(sim));
	sim->ordinary_left = count > 0 ? (uint32_t)(count + sim_unit(sim)) : 0;
	move_market(sim, sim->ordinary_left / mean);
	if (sim->begun > sim->warmup)
		sim->owed += sim->ordinary_left * sim->conf.attack_rate / (1 - sim->conf.attack_rate);
	plan_attacks(sim);
	spread_attacks(sim);
}

/* What is left of the block is ordinary and attacks in random order. */
static struct incident *choose(struct cw_sim *sim)
{
	uint32_t at = sim_below(sim, sim->ordinary_left + sim->attacks_left);

	if (at < sim->ordinary_left)
		return NULL;
	at -= sim->ordinary_left;
	for (int i = 0; i < sim->nactive; i++) {
		if (at < sim->active[i].in_block)
			return &sim->active[i];
		at -= sim->active[i].in_block;
	}
	return NULL;
}

static void fill(struct cw_sim *sim, struct cw_tx_in *out)
{
	struct cw_tx *tx = &out->tx;

	tx->chain_id = sim->conf.chain_id;
	tx->block_number = sim->conf.start_block + sim->begun - 1;
	tx->timestamp = sim->time;
	tx->block_hash = sim->block_hash;
	tx->hash = hash_of(sim, 1, sim->count++);
	tx->index = sim->index++;
	tx->has |= CW_TX_HAS_GAS_USED | CW_TX_HAS_STATUS | CW_TX_HAS_BLOCK_HASH | CW_TX_HAS_INDEX | CW_TX_HAS_INPUT;
	tx->input_size = (uint32_t)out->input_len;
	tx->input_head_size = tx->input_size < CW_TX_INPUT_HEAD ? tx->input_size : CW_TX_INPUT_HEAD;
	memcpy(tx->input_head, sim->input, tx->input_head_size);
}

bool cw_sim_next(struct cw_sim *sim, struct cw_tx_in *out, const char **label)
{
	struct incident *a;

	while (sim->ordinary_left + sim->attacks_left == 0) {
		if (sim->begun == sim->conf.blocks)
			return false;
		begin_block(sim);
	}
	memset(out, 0, sizeof(*out));
	out->input = sim->input;
	sim->current = 0;
	a = choose(sim);
	if (a != NULL) {
		attack(sim, out, a);
	} else {
		sim->ordinary_left--;
		sim_ordinary(sim, out);
	}
	fill(sim, out);
	*label = a != NULL ? scenario_names[a->scenario] : NULL;
	return true;
}

/* --- output --- */

void cw_sim_put_line(struct cw_buf *out, const struct cw_tx_in *in, const char *label, uint64_t incident)
{
	cw_buf_putc(out, '{');
	cw_tx_to_json(out, in);
	cw_buf_puts(out, ",\"label\":");
	if (label != NULL)
		cw_json_put_cstring(out, label);
	else
		cw_buf_puts(out, "null");
	cw_buf_puts(out, ",\"incident\":");
	if (incident != 0)
		cw_buf_uint(out, incident);
	else
		cw_buf_puts(out, "null");
	cw_buf_puts(out, "}\n");
}

void cw_sim_put_list(const struct cw_sim *sim, struct cw_buf *out)
{
	struct cw_address address;
	char text[CW_ADDRESS_TEXT];

	cw_buf_puts(out, "address,category,name,source,confidence\n");
	for (uint32_t i = 0; i < LISTED; i++) {
		const char *category = categories[i % 4];

		address = sim_address(sim, LISTED_ONE, i);
		cw_buf_printf(out, "%s,%s,%s %u,simulator,1\n", cw_address_format(&address, text), category, category, i);
	}
	for (uint32_t i = 0; i < EXCHANGES; i++) {
		address = sim_address(sim, EXCHANGE, i);
		cw_buf_printf(out, "%s,exchange,exchange %u,simulator,1\n", cw_address_format(&address, text), i);
	}
	for (uint32_t i = 0; i < BRIDGES; i++) {
		address = sim_address(sim, BRIDGE, i);
		cw_buf_printf(out, "%s,bridge,bridge %u,simulator,1\n", cw_address_format(&address, text), i);
	}
}
