#include "support/pipeline_env.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "pg/pool.h"
#include "state/state.h"
#include "support/rules_in_c.h"
#include "support/store_env.h"
#include "support/slow.h"

struct pipeline_env env;

static const struct cw_state_conf state_conf = { .max_bytes = 16u << 20, .journal_bytes = 8u << 20 };

static void make(const char *conninfo, const char *version)
{
	struct cw_pool_conf conf = cw_pool_conf_default;
	struct cw_err err = { 0 };

	env.st = cw_state_new(&state_conf, &err);
	ck_assert_msg(env.st != NULL, "%s", err.msg);
	conf.conninfo = conninfo;
	conf.size = 3;
	conf.wait_ms = 2000;
	env.pool = cw_pool_new(env.loop, &conf, &err);
	ck_assert_msg(env.pool != NULL, "%s", err.msg);
	env.p = cw_pipeline_new(env.loop, env.pool, env.zygote, env.st, &env.conf, &env.supervisor, &err);
	ck_assert_msg(env.p != NULL, "%s", err.msg);
	if (version == NULL)
		return;
	env_load(version);
	ck_assert_msg(env.load_err.code == CW_OK, "%s", env.load_err.msg);
	env_until_ready();
}

void env_up(const char *conninfo, const char *version)
{
	struct cw_err err = { 0 };

	if (env.conf.queue_limit == 0)
		env.conf = cw_pipeline_conf_default;
	env.supervisor = cw_supervisor_conf_default;
	env.supervisor.scratch_bytes = 1u << 20;
	env.supervisor.load_ms *= slow_factor();
	env.zygote = cw_zygote_start(&rules_in_c, &err);
	ck_assert_msg(env.zygote != NULL, "%s", err.msg);
	env.loop = cw_loop_new();
	make(conninfo, version);
}

static void unmake(void)
{
	cw_pipeline_free(&env.p);
	cw_pool_free(&env.pool);
	cw_state_close(&env.st);
}

void env_down(void)
{
	unmake();
	cw_loop_free(&env.loop);
	cw_zygote_stop(&env.zygote);
}

void env_restart(const char *conninfo, const char *version)
{
	unmake();
	make(conninfo, version);
}

static void on_turn(void *arg)
{
	(void)arg;
}

void env_turn(void)
{
	struct cw_timer *timer = cw_timer_new(env.loop, on_turn, NULL);

	cw_timer_set(timer, 5);
	cw_loop_run_once(env.loop);
	cw_timer_free(&timer);
}

void env_until(const bool *flag, int ms)
{
	int64_t end = cw_clock_mono_us() + (int64_t)ms * 3000 * slow_factor();   /* others share the machine */

	while (!*flag) {
		ck_assert_msg(cw_clock_mono_us() < end, "nothing happened for %d ms", ms);
		env_turn();
	}
}

void env_idle(int ms)
{
	int64_t end = cw_clock_mono_us() + (int64_t)ms * 1000;

	while (cw_clock_mono_us() < end)
		env_turn();
}

void env_until_ready(void)
{
	int64_t end = cw_clock_mono_us() + INT64_C(10000000) * slow_factor();

	while (!cw_pipeline_ready(env.p)) {
		ck_assert_msg(cw_clock_mono_us() < end, "not ready");
		env_turn();
	}
}

void env_on_load(void *arg, const char *report, const struct cw_err *err)
{
	(void)arg;
	env.loaded = true;
	snprintf(env.report, sizeof(env.report), "%s", report != NULL ? report : "");
	if (err != NULL)
		env.load_err = *err;
}

void env_load(const char *version)
{
	struct cw_err err = { 0 };

	env.loaded = false;
	env.load_err = (struct cw_err){ .code = CW_OK };
	ck_assert_msg(cw_pipeline_load_rules(env.p, rules_in_c_bundle(version), env_on_load, NULL, &err) == 0, "%s", err.msg);
	env_until(&env.loaded, 10000);
}

/* --- clients --- */

struct call *call_new(size_t n)
{
	struct call *call = cw_zalloc(sizeof(*call));

	call->n = n;
	call->seen = cw_zalloc(n * sizeof(*call->seen));
	return call;
}

static void keep(struct seen *seen, const struct cw_outcome *out)
{
	ck_assert_ptr_nonnull(out->tx);
	if (out->err != NULL) {
		seen->err = *out->err;
		return;
	}
	seen->duplicate = out->duplicate;
	seen->is_anomaly = out->is_anomaly;
	seen->id = out->transaction_id;
	seen->score = out->score;
	seen->severity = out->severity;
	snprintf(seen->ruleset, sizeof(seen->ruleset), "%s", out->ruleset);
	seen->nalerts = out->nalerts;
	for (int i = 0; i < out->nalerts && i < 4; i++) {
		const struct cw_outcome_alert *a = &out->alerts[i];

		seen->alerts[i].id = a->id;
		seen->alerts[i].score = a->score;
		snprintf(seen->alerts[i].rule, sizeof(seen->alerts[i].rule), "%s", a->rule);
		snprintf(seen->alerts[i].version, sizeof(seen->alerts[i].version), "%s", a->version);
		snprintf(seen->alerts[i].title, sizeof(seen->alerts[i].title), "%s", a->title);
		snprintf(seen->alerts[i].features, sizeof(seen->alerts[i].features), "%s", a->features);
		snprintf(seen->alerts[i].explanation, sizeof(seen->alerts[i].explanation), "%s", a->explanation);
	}
}

void call_answer(void *arg, const struct cw_outcome *outcomes, size_t n)
{
	struct call *call = arg;

	ck_assert(!call->done);
	ck_assert_uint_eq(n, call->n);
	for (size_t i = 0; i < n; i++)
		keep(&call->seen[i], &outcomes[i]);
	call->done = true;
}

struct call *call_send(const struct cw_tx_in *txs, size_t n)
{
	struct call *call = call_new(n);
	struct cw_origin origin = { .request_id = "req-1", .start_us = cw_clock_mono_us() };
	struct cw_err err = { 0 };

	call->id = cw_pipeline_submit(env.p, txs, n, &origin, call_answer, call, &err);
	ck_assert_msg(call->id != 0, "%s", err.msg);
	ck_assert(!call->done);
	return call;
}

struct call *call_one(uint64_t n, uint64_t told)
{
	struct cw_tx_in in = store_env_tx(n);

	in.tx.gas = told;
	return call_send(&in, 1);
}

const struct seen *call_wait(struct call *call)
{
	env_until(&call->done, 10000);
	return call->seen;
}

void call_free(struct call **call)
{
	cw_free((*call)->seen);
	cw_free(*call);
	*call = NULL;
}
