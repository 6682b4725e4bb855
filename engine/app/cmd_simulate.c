/* cmd_simulate.c - chainwatch simulate: a deterministic stream of transactions with labelled attacks, as NDJSON. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/cli.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "chain/tx.h"
#include "source/simulate.h"

#define WRITE_BYTES (1u << 18)   /* lines are gathered up to this size */

struct work {
	struct cw_cli cli;
	struct cw_sim_conf conf;
	const char *out, *labels;
	uint64_t count, per_scenario[CW_SIM_SCENARIOS];
	uint64_t incidents;
};

static int fail(const struct work *w, const char *what, const char *path)
{
	struct cw_err err;

	cw_err_set(&err, CW_ERR_SYSTEM, "could not %s \"%s\": %s", what, path, strerror(errno));
	return cw_cli_fail(&w->cli, &err);
}

static int write_all(const struct work *w, FILE *file, const char *path, struct cw_buf *text)
{
	if (fwrite(text->data, 1, text->len, file) != text->len)
		return fail(w, "write", path);
	cw_buf_clear(text);
	return 0;
}

static void count(struct work *w, const char *label, uint64_t incident)
{
	w->count++;
	if (incident > w->incidents)
		w->incidents = incident;
	for (int i = 0; label != NULL && i < CW_SIM_SCENARIOS; i++)
		if (strcmp(label, cw_sim_scenario_name((enum cw_sim_scenario)i)) == 0)
			w->per_scenario[i]++;
}

static int write_stream(struct work *w, struct cw_sim *sim, FILE *file)
{
	const char *path = strcmp(w->out, "-") == 0 ? "standard output" : w->out;
	struct cw_buf text = CW_BUF_INIT;
	struct cw_tx_in tx;
	const char *label;
	int rc = 0;

	while (rc == 0 && cw_sim_next(sim, &tx, &label)) {
		uint64_t incident = cw_sim_incident(sim);

		count(w, label, incident);
		cw_sim_put_line(&text, &tx, label, incident);
		if (text.len >= WRITE_BYTES)
			rc = write_all(w, file, path, &text);
	}
	if (rc == 0)
		rc = write_all(w, file, path, &text);
	if (rc == 0 && fflush(file) != 0)
		rc = fail(w, "write", path);
	cw_buf_release(&text);
	return rc;
}

static int write_list(const struct work *w, const struct cw_sim *sim)
{
	struct cw_buf text = CW_BUF_INIT;
	FILE *file = fopen(w->labels, "w");
	int rc;

	if (file == NULL)
		return fail(w, "open", w->labels);
	cw_sim_put_list(sim, &text);
	rc = write_all(w, file, w->labels, &text);
	if (fclose(file) != 0 && rc == 0)
		rc = fail(w, "write", w->labels);
	cw_buf_release(&text);
	return rc;
}

/* Goes to stderr where the stream itself goes to stdout. */
static void summary(const struct work *w)
{
	FILE *file = strcmp(w->out, "-") == 0 ? stderr : stdout;
	const char *separator = "";

	if (!w->cli.json) {
		fprintf(file, "%llu transactions, %llu attacks:", (unsigned long long)w->count, (unsigned long long)w->incidents);
		for (int i = 0; i < CW_SIM_SCENARIOS; i++)
			if ((w->conf.scenarios & 1ull << i) != 0)
				fprintf(file, " %s %llu", cw_sim_scenario_name((enum cw_sim_scenario)i),
				        (unsigned long long)w->per_scenario[i]);
		fprintf(file, "\n");
		return;
	}
	fprintf(file, "{\"transactions\":%llu,\"incidents\":%llu,\"labelled\":{", (unsigned long long)w->count,
	        (unsigned long long)w->incidents);
	for (int i = 0; i < CW_SIM_SCENARIOS; i++) {
		fprintf(file, "%s\"%s\":%llu", separator, cw_sim_scenario_name((enum cw_sim_scenario)i),
		        (unsigned long long)w->per_scenario[i]);
		separator = ",";
	}
	fprintf(file, "}}\n");
}

static int run(struct work *w)
{
	struct cw_err err;
	struct cw_sim *sim = cw_sim_new(&w->conf, &err);
	FILE *file = stdout;
	int rc = 0;

	if (sim == NULL)
		return cw_cli_usage_error(&w->cli, "%s", err.msg);
	if (w->labels != NULL)
		rc = write_list(w, sim);
	if (rc == 0 && strcmp(w->out, "-") != 0 && (file = fopen(w->out, "w")) == NULL)
		rc = fail(w, "open", w->out);
	if (rc == 0)
		rc = write_stream(w, sim, file);
	if (file != NULL && file != stdout && fclose(file) != 0 && rc == 0)
		rc = fail(w, "write", w->out);
	if (rc == 0)
		summary(w);
	cw_sim_free(&sim);
	return rc;
}

static bool read_rate(struct work *w, const char *text)
{
	char *end;

	w->conf.attack_rate = strtod(text, &end);
	if (end == text || *end != '\0' || !(w->conf.attack_rate >= 0 && w->conf.attack_rate <= 0.5)) {
		cw_cli_usage_error(&w->cli, "--rate must be a number between 0 and 0.5, not \"%s\"", text);
		return false;
	}
	return true;
}

static bool read_time(struct work *w, const char *text)
{
	int64_t us;

	if (cw_time_parse(text, &us) != 0 || us < 0) {
		cw_cli_usage_error(&w->cli, "--start-time must be an RFC 3339 time, not \"%s\"", text);
		return false;
	}
	w->conf.start_time = us / 1000000;
	return true;
}

/* False after a message. */
static bool read_option(struct work *w, int opt, const char *text)
{
	struct cw_err err;
	long long number = 0;

	switch (opt) {
	case 256:
		if (!cw_cli_number(&w->cli, "--seed", text, 0, INT64_MAX, &number))
			return false;
		w->conf.seed = (uint64_t)number;
		return true;
	case 257:
		if (!cw_cli_number(&w->cli, "--blocks", text, 1, 1000000000, &number))
			return false;
		w->conf.blocks = (uint64_t)number;
		return true;
	case 258:
		if (!cw_cli_number(&w->cli, "--tx-per-block", text, 1, 10000, &number))
			return false;
		w->conf.tx_per_block = (uint32_t)number;
		return true;
	case 259:
		if (cw_sim_scenarios_parse(text, &w->conf.scenarios, &err) == 0)
			return true;
		cw_cli_usage_error(&w->cli, "%s", err.msg);
		return false;
	case 260:
		return read_rate(w, text);
	case 261:
		return read_time(w, text);
	case 262:
		if (!cw_cli_number(&w->cli, "--start-block", text, 0, INT64_MAX, &number))
			return false;
		w->conf.start_block = (uint64_t)number;
		return true;
	case 263:
		if (!cw_cli_number(&w->cli, "--chain-id", text, 0, INT64_MAX, &number))
			return false;
		w->conf.chain_id = (uint64_t)number;
		return true;
	case 264:
		w->out = text;
		return true;
	case 265:
		w->labels = text;
		return true;
	default:
		return false;
	}
}

int cw_cmd_simulate(int argc, char **argv)
{
	static const struct option own[] = {
		{ "seed", required_argument, NULL, 256 },         { "blocks", required_argument, NULL, 257 },
		{ "tx-per-block", required_argument, NULL, 258 }, { "scenario", required_argument, NULL, 259 },
		{ "rate", required_argument, NULL, 260 },         { "start-time", required_argument, NULL, 261 },
		{ "start-block", required_argument, NULL, 262 },  { "chain-id", required_argument, NULL, 263 },
		{ "out", required_argument, NULL, 264 },          { "labels", required_argument, NULL, 265 },
		{ NULL, 0, NULL, 0 },
	};
	struct work w = {
		.cli = { .verb = "simulate",
		         .usage = "simulate [options]\n\n"
		                  "Writes a stream of transactions as NDJSON, the same for the same options on every machine, with\n"
		                  "attacks in it; \"label\" names the scenario of those that belong to one, \"incident\" counts them.\n\n"
		                  "      --seed N             another stream (1)\n"
		                  "      --blocks N           of 12 s (1000)\n"
		                  "      --tx-per-block N     mean over a day (150)\n"
		                  "      --scenario LIST      names separated by commas (below); basic, all, none (basic)\n"
		                  "      --rate R             share of transactions that are attacks, 0 to 0.5 (0.01)\n"
		                  "      --start-time TIME    of the first block, RFC 3339 (2026-01-01T00:00:00Z)\n"
		                  "      --start-block N      (20000000)\n"
		                  "      --chain-id N         (1)\n"
		                  "      --out FILE           \"-\" for standard output (-)\n"
		                  "      --labels FILE        write the address list that attacks use, as CSV\n\n"
		                  "Scenarios: value_outlier gas_spike fan_out fan_in new_wallet listed_address (these are basic) structuring\n"
		                  "high_value_burst repeated_amount activity_spike overpaid_fee pass_through collect_and_sweep scatter_gather\n"
		                  "peel_chain cycle sybil_cluster mixer_money exploiter_money accomplice chain_hopping bridge_drain\n"
		                  "address_poisoning fake_token dusting approval_phishing native_phishing rug_pull wash_trade multisend\n"
		                  "protocol_attack unlimited_mint mint_spree new_contract creation_burst failed_burst takeover administration\n"
		                  "block_stuffing displacement sandwich gas_war odd_call call_rush nonce_replaced\n"
		                  "flow_spike (takes a day: 8000 blocks) dormant_account (half a year: 1310000)\n" },
		.out = "-",
	};
	int opt;

	cw_sim_conf_init(&w.conf);
	while ((opt = cw_cli_next(&w.cli, argc, argv, own)) != -1)
		if (!read_option(&w, opt, optarg))
			return 2;
	if (w.cli.help)
		return cw_cli_help(&w.cli);
	if (optind < argc)
		return cw_cli_usage_error(&w.cli, "unexpected \"%s\"", argv[optind]);
	return run(&w);
}
