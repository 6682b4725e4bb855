#include "app/try_rules.h"

#include <stdbool.h>

#include "app/config.h"
#include "app/reload.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "loop/loop.h"
#include "pipeline/supervise.h"
#include "state/state.h"

struct trial {
	struct cw_buf *report;
	struct cw_err *err;
	int rc;
	bool done;
};

static void on_loaded(void *arg, const char *report, const struct cw_err *err)
{
	struct trial *t = arg;

	t->done = true;
	if (err != NULL) {
		*t->err = *err;
		t->rc = -1;
	} else {
		cw_buf_puts(t->report, report);
	}
}

static void on_verdict(void *arg, uint64_t seq, const void *bytes, size_t len)
{
	(void)arg;
	(void)seq;
	(void)bytes;
	(void)len;
}

static void on_event(void *arg, enum cw_supervisor_event event, int rule, const char *reason)
{
	(void)arg;
	(void)event;
	(void)rule;
	(void)reason;
}

static int load(struct trial *t, struct cw_loop *loop, const struct cw_config *config, struct cw_zygote *zygote,
                struct cw_state *st)
{
	struct cw_supervisor_conf conf = cw_supervisor_conf_default;
	struct cw_arena *arena = cw_arena_new();
	struct cw_bundle bundle = { 0 };
	struct cw_supervisor *s = NULL;
	int rc = -1;

	conf.load_ms = config->load_ms;
	if (cw_reload_read_bundle(config, &bundle, arena, t->err) == 0)
		s = cw_supervisor_new(loop, zygote, st, &conf, on_verdict, on_event, t, t->err);
	if (s != NULL)
		rc = cw_supervisor_load(s, &bundle, on_loaded, t, t->err);
	while (rc == 0 && !t->done)
		cw_loop_run_once(loop);
	cw_supervisor_free(&s);
	cw_arena_free(&arena);
	return rc == 0 ? t->rc : -1;
}

int cw_try_rules(const struct cw_config *config, struct cw_zygote *zygote, struct cw_buf *report, struct cw_err *err)
{
	static const struct cw_state_conf state = { .max_bytes = 64u << 20, .journal_bytes = 16u << 20 };
	struct trial t = { .report = report, .err = err };
	struct cw_state *st = cw_state_new(&state, err);
	struct cw_loop *loop = cw_loop_new();
	int rc = st != NULL ? load(&t, loop, config, zygote, st) : -1;

	cw_state_close(&st);
	cw_loop_free(&loop);
	return rc;
}
