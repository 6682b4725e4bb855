/* The graph of transfers against references that try everything on small graphs, taint against coins counted one by one,
 * and what happens when it is full, late, or in front of a hub. */
#include "detect/graph.h"
#include "detect/keyed.h"
#include "detect/lists.h"
#include "support/detect_env.h"

#define T0  1700000000ll
#define DAY 86400ll

/* Labels the accounts given (as env_address knows them), ends with -1. */
static void label(const char *category, ...)
{
	struct cw_lists *lists = cw_lists_new(), *old;
	struct cw_err err = { 0 };
	va_list args;

	va_start(args, category);
	for (int n = va_arg(args, int); n >= 0; n = va_arg(args, int)) {
		struct cw_list_entry e = { .address = env_address((uint64_t)n), .category = category, .confidence = 1 };

		ck_assert_int_eq(cw_lists_add(lists, "test", &e, &err), 0);
	}
	va_end(args);
	cw_lists_seal(lists);
	old = (struct cw_lists *)(uintptr_t)cw_lists_use(lists);   /* every test is a process of its own */
	cw_lists_free(&old);
}

static double add(const struct env_handle *e, uint64_t from, uint64_t to, int64_t time, uint64_t value)
{
	struct cw_tx tx = env_tx(from, to, time, value);

	tx.hash.b[0] = (uint8_t)from;
	tx.hash.b[1] = (uint8_t)to;
	memcpy(tx.hash.b + 8, &time, sizeof(time));
	memcpy(tx.hash.b + 16, &value, sizeof(value));
	return env_call(e, "add", &tx);
}

/* A method asked about account `n`, at a time. */
static double ask(const struct env_handle *e, const char *method, uint64_t n, int64_t time)
{
	struct cw_tx tx = env_tx(n, n + 1000000, time, 0);

	return env_call1(e, method, &tx, CW_FIELD_FROM);
}

static double pair(const struct env_handle *e, const char *method, uint64_t from, uint64_t to, int64_t time, uint64_t value)
{
	struct cw_tx tx = env_tx(from, to, time, value);

	return env_call(e, method, &tx);
}

/* ---------------------------------------------------------------- degrees */

START_TEST(counts_counterparties_of_the_window)
{
	struct cw_state *st = env_state();
	struct env_handle e = env_open(st, "graph.transfers", "span=100s;edges=8");

	ck_assert_double_eq(add(&e, 1, 2, T0, 5), 1);
	ck_assert_double_eq(add(&e, 1, 2, T0 + 1, 5), 1);
	ck_assert_double_eq(add(&e, 1, 3, T0 + 50, 5), 2);
	ck_assert_double_eq(add(&e, 4, 3, T0 + 60, 5), 1);
	ck_assert_double_eq(ask(&e, "fan_in", 3, T0 + 60), 2);
	ck_assert_double_eq(ask(&e, "fan_out", 1, T0 + 101), 2);
	ck_assert_double_eq(ask(&e, "fan_out", 1, T0 + 102), 1);   /* the pair's last transfer was at T0 + 1 */
	ck_assert_double_eq(ask(&e, "fan_out", 1, T0 + 151), 0);
	ck_assert_double_eq(ask(&e, "fan_out", 77, T0), 0);
	ck_assert_double_eq(pair(&e, "fan_in", 9, 3, T0 + 60, 1), 2);    /* looks at `to` */
	ck_assert_double_eq(pair(&e, "fan_out", 1, 9, T0 + 60, 1), 2);   /* looks at `from` */
	env_close(&e);
	cw_state_close(&st);
}
END_TEST

START_TEST(what_moves_nothing_is_not_added)
{
	struct cw_state *st = env_state();
	struct env_handle e = env_open(st, "graph.transfers", "min_value=10");
	struct cw_tx tx = env_tx(1, 2, T0, 100);

	tx.has |= CW_TX_HAS_STATUS;
	tx.status = 0;
	ck_assert(isnan(env_call(&e, "add", &tx)));
	tx.status = 1;
	tx.has &= ~(uint32_t)CW_TX_HAS_TO;
	ck_assert(isnan(env_call(&e, "add", &tx)));
	ck_assert(isnan(env_call(&e, "fan_in", &tx)));
	ck_assert(isnan(env_call1(&e, "taint", &tx, CW_FIELD_TO)));
	ck_assert(isnan(env_call1(&e, "hops", &tx, CW_FIELD_VALUE)));
	ck_assert(isnan(add(&e, 1, 2, T0, 9)));
	ck_assert(isnan(add(&e, 1, 1, T0, 100)));
	ck_assert_uint_eq(cw_state_account(st, e.root->owner).keys, 0);
	ck_assert_double_eq(add(&e, 1, 2, T0, 10), 1);
	ck_assert_uint_eq(cw_state_account(st, e.root->owner).keys, 2);
	env_close(&e);
	cw_state_close(&st);
}
END_TEST

START_TEST(chains_are_apart)
{
	struct cw_state *st = env_state();
	struct env_handle e = env_open(st, "graph.transfers", "labels=mixer");
	struct cw_tx tx = env_tx(1, 2, T0, 100);

	label("mixer", 1, -1);
	tx.chain_id = 5;
	ck_assert_double_eq(env_call(&e, "add", &tx), 1);
	ck_assert_double_eq(ask(&e, "taint", 2, T0), 0);
	ck_assert(isinf(ask(&e, "hops", 2, T0)));
	ck_assert_double_eq(env_call1(&e, "hops", &tx, CW_FIELD_TO), 1);
	env_close(&e);
	cw_state_close(&st);
}
END_TEST

START_TEST(options_are_checked)
{
	struct cw_state *st = env_state();
	const struct cw_primitive *p = cw_primitive_find("graph", "transfers");
	struct cw_raw_opt raw = { "method", CW_RAW_TEXT, 0, "lifo" };
	union cw_opt_value vals[CW_PRIMITIVE_OPTS_MAX];
	struct cw_err err = { 0 };
	uint8_t digest[16] = { 1 };
	struct cw_state_root *root = cw_state_root_open(st, "test/graph", digest);
	char many[256] = "a";

	ck_assert_int_eq(cw_primitive_read_options(p, &raw, 1, vals, &err), 0);
	ck_assert_ptr_null(p->open(st, root, vals, &err));
	ck_assert_str_eq(err.msg, "graph.transfers: option \"method\" must be haircut, poison or fifo, not \"lifo\"");
	for (int i = 0; i < 32; i++)
		strcat(many, ",b");
	raw = (struct cw_raw_opt){ "labels", CW_RAW_TEXT, 0, many };
	ck_assert_int_eq(cw_primitive_read_options(p, &raw, 1, vals, &err), 0);
	ck_assert_ptr_null(p->open(st, root, vals, &err));
	ck_assert_str_eq(err.msg, "graph.transfers: option \"labels\" must name 32 at most");
	raw = (struct cw_raw_opt){ "edges", CW_RAW_NUMBER, 5000, NULL };
	ck_assert_int_eq(cw_primitive_read_options(p, &raw, 1, vals, &err), -1);
	ck_assert_uint_eq(cw_state_account(st, root->owner).bytes, 0);
	ck_assert_uint_eq(root->ref, 0);
	cw_state_close(&st);
}
END_TEST

/* ---------------------------------------------------------------- paths, against trying everything */

#define ACCOUNTS 12

/* What the graph may know of a pair: its first and its last transfer. */
struct ref_pair { int n; int64_t first, last; double largest; };
struct ref_graph {
	struct ref_pair p[ACCOUNTS][ACCOUNTS];
	bool labelled[ACCOUNTS], hub[ACCOUNTS], skip[ACCOUNTS];
	int64_t since, now;
	double least;
};

static void ref_add(struct ref_graph *r, int from, int to, int64_t time, double value)
{
	struct ref_pair *p = &r->p[from][to];

	p->first = p->n == 0 || time < p->first ? time : p->first;
	p->last = p->n == 0 || time > p->last ? time : p->last;
	p->largest = fmax(p->largest, value);
	p->n++;
}

static void ref_hubs(struct ref_graph *r, int limit)
{
	for (int i = 0; i < ACCOUNTS; i++) {
		int out = 0, in = 0;

		for (int j = 0; j < ACCOUNTS; j++) {
			out += r->p[i][j].n > 0;
			in += r->p[j][i].n > 0;
		}
		r->hub[i] = limit > 0 && (out > limit || in > limit);
	}
}

/* Every path in time order, every choice of first or last: least number of transfers from `at` to a goal, or 99. */
static int ref_walk(const struct ref_graph *r, int at, int64_t bound, int way, int left, bool start, const bool *goal)
{
	int best = 99;

	if (!start && goal[at])
		return 0;
	if (left == 0 || (!start && r->hub[at]))
		return 99;
	for (int to = 0; to < ACCOUNTS; to++) {
		const struct ref_pair *p = way > 0 ? &r->p[at][to] : &r->p[to][at];

		if (p->n == 0 || r->skip[to] || p->largest < r->least)
			continue;
		for (int k = 0; k < 2; k++) {
			int64_t t = k == 0 ? p->first : p->last;
			int n;

			if (t < r->since || t > r->now || (way > 0 ? t < bound : t > bound))
				continue;
			n = 1 + ref_walk(r, to, t, way, left - 1, false, goal);
			best = n < best ? n : best;
		}
	}
	return best;
}

static int ref_cycle(struct ref_graph *r, int from, int to, double least)
{
	bool goal[ACCOUNTS] = { false };
	int n;

	goal[from] = true;
	r->least = least;
	n = ref_walk(r, to, r->since, 1, 5, true, goal);
	r->least = 0;
	return n <= 5 ? n + 1 : 0;
}

static int ref_common(struct ref_graph *r, int from, int to, int hops)
{
	int best = 99;

	r->skip[from] = r->skip[to] = true;
	for (int x = 0; x < ACCOUNTS; x++) {
		bool goal[ACCOUNTS] = { false };
		int a, b;

		if (r->hub[x] || r->skip[x])
			continue;
		goal[x] = true;
		a = ref_walk(r, from, r->now, -1, hops, true, goal);
		b = ref_walk(r, to, r->now, -1, hops, true, goal);
		best = (a > b ? a : b) < best ? (a > b ? a : b) : best;
	}
	r->skip[from] = r->skip[to] = false;
	return best;
}

static void same_hops(double got, int want, int hops, const char *what, int graph)
{
	if (want <= hops)
		ck_assert_msg(got == want, "%s of graph %d: %g, not %d", what, graph, got, want);
	else
		ck_assert_msg(isinf(got), "%s of graph %d: %g, there is none", what, graph, got);
}

START_TEST(walks_find_what_trying_everything_finds)
{
	uint64_t rng = 4711 + (uint64_t)_i;
	int found = 0, cycles = 0, common = 0;

	label("mixer", 0, 1, -1);
	for (int graph = 0; graph < 150; graph++) {
		struct cw_state *st = env_state();
		int hub = graph % 3 == 2 ? 3 : 0, transfers = 6 + (int)env_below(&rng, 22);
		struct ref_graph r = { .labelled = { true, true } };
		struct env_handle e = env_open(st, "graph.transfers", hub > 0 ? "span=1000s;labels=mixer;hub=3;hops=4;work=100000"
		                                                             : "span=1000s;labels=mixer;hops=4;work=100000");

		for (int i = 0; i < transfers; i++) {
			int from = (int)env_below(&rng, ACCOUNTS), to = (int)env_below(&rng, ACCOUNTS);
			/* some too old, some later than the question, some at the same time */
			int64_t time = T0 - 1200 + 50 * (int64_t)env_below(&rng, 26);
			uint64_t value = 1 + env_below(&rng, 10);

			if (from == to)
				continue;
			add(&e, (uint64_t)from, (uint64_t)to, time, value);
			ref_add(&r, from, to, time, (double)value);
		}
		r.now = T0;
		r.since = T0 - 1000;
		ref_hubs(&r, hub);
		for (int a = 0; a < ACCOUNTS; a++) {
			int in = r.labelled[a] ? 0 : ref_walk(&r, a, r.now, -1, 4, true, r.labelled);
			int out = r.labelled[a] ? 0 : ref_walk(&r, a, r.since, 1, 4, true, r.labelled);

			same_hops(ask(&e, "hops", (uint64_t)a, T0), in, 4, "hops", graph);
			same_hops(ask(&e, "hops_out", (uint64_t)a, T0), out, 4, "hops_out", graph);
			ck_assert_double_eq(ask(&e, "proximity", (uint64_t)a, T0), in <= 4 ? pow(0.5, in) : 0);
			ck_assert_int_eq(isnan(ask(&e, "category", (uint64_t)a, T0)), in > 4);
			found += in > 0 && in <= 4;
			for (int b = 0; b < ACCOUNTS; b++) {
				double got;
				int want;

				if (a == b)
					continue;
				got = pair(&e, "cycle", (uint64_t)a, (uint64_t)b, T0, 8);
				want = ref_cycle(&r, a, b, 4);
				ck_assert_msg(got == want, "cycle of graph %d from %d to %d: %g, not %d", graph, a, b, got, want);
				cycles += want > 0;
				want = ref_common(&r, a, b, 4);
				same_hops(pair(&e, "common_funder", (uint64_t)a, (uint64_t)b, T0, 8), want, 4, "common funder", graph);
				common += want <= 4;
			}
		}
		env_close(&e);
		cw_state_close(&st);
	}
	ck_assert_msg(found > 100 && cycles > 100 && common > 100, "too little was there to be found: %d %d %d", found, cycles,
	              common);
}
END_TEST

START_TEST(cycles_of_every_length_up_to_six)
{
	for (uint64_t n = 2; n <= 8; n++) {
		struct cw_state *st = env_state();
		struct env_handle e = env_open(st, "graph.transfers", "");

		for (uint64_t i = 0; i + 1 < n; i++)
			add(&e, i, i + 1, T0 + (int64_t)i, 100);
		add(&e, n - 1, 0, T0 + 100, 100);
		ck_assert_double_eq(pair(&e, "cycle", n - 1, 0, T0 + 100, 100), n <= 6 ? (double)n : 0);
		/* the money has to be there: twice of what was passed on is enough at keep 0.5, more is not */
		ck_assert_double_eq(pair(&e, "cycle", n - 1, 0, T0 + 100, 200), n <= 6 ? (double)n : 0);
		ck_assert_double_eq(pair(&e, "cycle", n - 1, 0, T0 + 100, 201), 0);
		/* against the order of time */
		ck_assert_double_eq(pair(&e, "cycle", n - 1, 0, T0 - 1, 100), 0);
		env_close(&e);
		cw_state_close(&st);
	}
}
END_TEST

START_TEST(money_does_not_travel_back_in_time)
{
	struct cw_state *st = env_state();
	struct env_handle e = env_open(st, "graph.transfers", "labels=mixer");

	label("mixer", 1, -1);
	add(&e, 2, 3, T0, 5);
	add(&e, 1, 2, T0 + 10, 5);
	ck_assert(isinf(ask(&e, "hops", 3, T0 + 20)));
	ck_assert_double_eq(ask(&e, "hops", 2, T0 + 20), 1);
	add(&e, 2, 3, T0 + 15, 5);
	ck_assert_double_eq(ask(&e, "hops", 3, T0 + 20), 2);
	ck_assert(isinf(ask(&e, "hops", 3, T0 + 9)));       /* as of then */
	ck_assert_str_eq(e.p->text(e.h, (int)ask(&e, "category", 3, T0 + 20)), "mixer");
	env_close(&e);
	cw_state_close(&st);
}
END_TEST

START_TEST(peel_chains_are_measured)
{
	struct cw_state *st = env_state();
	struct env_handle e = env_open(st, "graph.transfers", "keep=0.8");
	uint64_t left = 100000;

	/* 0 gets 100000; each passes on 90 % and peels the rest off to somebody new, before or after */
	add(&e, 900, 0, T0, left);
	for (uint64_t i = 0; i < 10; i++) {
		int64_t t = T0 + 10 * (int64_t)i;

		ck_assert_double_eq(pair(&e, "peel", i, i + 1, t + 1, left * 9 / 10), (double)i + 1);
		if (i % 2 == 0)
			add(&e, i, 100 + i, t + 1, left / 10);
		add(&e, i, i + 1, t + 2, left * 9 / 10);
		if (i % 2 == 1)
			add(&e, i, 100 + i, t + 3, left / 10);
		left = left * 9 / 10;
	}
	ck_assert_double_eq(pair(&e, "peel", 10, 50, T0 + 200, left / 2), 0);       /* too little goes on */
	ck_assert_double_eq(pair(&e, "peel", 10, 50, T0 + 200, left * 2), 0);       /* more than it got */
	ck_assert_double_eq(pair(&e, "peel", 10, 50, T0 + 200, left), 11);
	ck_assert_double_eq(pair(&e, "peel", 900, 50, T0 + 200, left), 0);          /* nobody paid it */
	add(&e, 901, 5, T0 + 51, 7);                                                /* a second payer ends the chain there */
	ck_assert_double_eq(pair(&e, "peel", 10, 50, T0 + 200, left), 5);
	env_close(&e);
	cw_state_close(&st);
}
END_TEST

START_TEST(passing_on_alone_is_no_peel)
{
	struct cw_state *st = env_state();
	struct env_handle e = env_open(st, "graph.transfers", "");

	for (uint64_t i = 0; i < 5; i++)
		add(&e, i, i + 1, T0 + (int64_t)i, 1000);
	ck_assert_double_eq(pair(&e, "peel", 5, 6, T0 + 9, 1000), 1);
	env_close(&e);
	cw_state_close(&st);
}
END_TEST

/* ---------------------------------------------------------------- taint */

/* The policies where they differ: a balance of 2 tainted and 3 clean, in this order, pays 1, then 3, then what is left.
 * Möser, Böhme, Breuker (2014): poison taints every output whole, haircut in the proportion of the inputs, 2/5. FIFO
 * spends the tainted money first. */
START_TEST(policies_differ_as_defined)
{
	static const struct { const char *method; double share[3], held[3]; } want[] = {
		{ "method=haircut;labels=mixer", { 0.4, 0.4, 0.4 }, { 0.4, 1.2, 0.4 } },
		{ "method=poison;labels=mixer", { 1, 1, 1 }, { 1, 3, 1 } },
		{ "method=fifo;labels=mixer", { 1, 1.0 / 3, 0 }, { 1, 1, 0 } },
	};
	static const uint64_t pay[] = { 1, 3, 1 };
	struct cw_state *st = env_state();

	label("mixer", 1, -1);
	for (int m = 0; m < 3; m++) {
		struct env_handle e = env_open(st, "graph.transfers", want[m].method);
		struct cw_graph_totals t;

		ck_assert_double_eq(add(&e, 1, 3, T0, 2), 1);
		ck_assert_double_eq(add(&e, 2, 3, T0 + 1, 3), 1);
		ck_assert_double_eq(ask(&e, "taint", 1, T0), 1);   /* labelled itself */
		ck_assert_double_eq(ask(&e, "taint", 2, T0), 0);
		ck_assert_double_eq_tol(ask(&e, "taint", 3, T0), m == 1 ? 1 : 0.4, 1e-12);
		for (uint64_t i = 0; i < 3; i++) {
			struct cw_tx tx = env_tx(3, 10 + i, T0 + 2 + (int64_t)i, pay[i]);

			tx.hash.b[0] = (uint8_t)(i + 1);
			ck_assert_double_eq_tol(env_call(&e, "taint", &tx), want[m].share[i], 1e-12);   /* before ... */
			env_call(&e, "add", &tx);
			ck_assert_double_eq_tol(env_call(&e, "taint", &tx), want[m].share[i], 1e-12);   /* ... and after */
			ck_assert_double_eq_tol(ask(&e, "tainted", 10 + i, T0), want[m].held[i], 1e-12);
			ck_assert_double_eq_tol(ask(&e, "taint", 10 + i, T0), want[m].share[i], 1e-12);
		}
		ck_assert_double_eq_tol(ask(&e, "tainted", 3, T0), 0, 1e-12);   /* all spent: clean again, under poison too */
		add(&e, 2, 3, T0 + 9, 8);
		ck_assert_double_eq(ask(&e, "taint", 3, T0 + 9), 0);
		t = cw_graph_totals(e.h);
		ck_assert_double_eq(t.emitted, 2);
		env_close(&e);
	}
	cw_state_close(&st);
}
END_TEST

/* Bitcoin Redux, section on FIFO: what goes in first comes out first, over several hops and in parts. */
START_TEST(fifo_keeps_the_order)
{
	struct cw_state *st = env_state();
	struct env_handle e = env_open(st, "graph.transfers", "method=fifo;labels=mixer");

	label("mixer", 1, -1);
	add(&e, 2, 3, T0, 7);        /* 3: 7 clean */
	add(&e, 1, 3, T0, 3);        /*    3 tainted */
	add(&e, 2, 3, T0, 5);        /*    5 clean */
	add(&e, 3, 4, T0, 8);        /* 4: 7 clean, 1 tainted */
	ck_assert_double_eq(ask(&e, "tainted", 4, T0), 1);
	add(&e, 4, 5, T0, 7);        /* 5: 7 clean */
	ck_assert_double_eq(ask(&e, "tainted", 5, T0), 0);
	add(&e, 3, 4, T0, 4);        /* 4: 1 tainted, then 2 tainted, 2 clean */
	ck_assert_double_eq(ask(&e, "tainted", 4, T0), 3);
	ck_assert_double_eq(pair(&e, "taint", 4, 6, T0, 4), 0.75);
	ck_assert_double_eq(pair(&e, "taint", 4, 6, T0, 3), 1);
	ck_assert_double_eq(pair(&e, "taint", 4, 6, T0, 30), 0.1);   /* the rest is of unknown origin */
	add(&e, 4, 1, T0, 2);        /* back to the mixer: out of the game */
	ck_assert_double_eq(cw_graph_totals(e.h).absorbed, 2);
	ck_assert_double_eq(cw_graph_totals(e.h).held, 1);
	env_close(&e);
	cw_state_close(&st);
}
END_TEST

#define COINS 4000

/* Coins one by one: each is tainted or it is not. */
struct ref_purse { bool coin[COINS]; int head, tail; };

START_TEST(fifo_agrees_with_coins_one_by_one)
{
	static struct ref_purse purse[8];
	uint64_t rng = 5 + (uint64_t)_i;
	int compared = 0;

	label("mixer", 0, -1);
	for (int round = 0; round < 40; round++) {
		struct cw_state *st = env_state();
		struct env_handle e = env_open(st, "graph.transfers", "method=fifo;labels=mixer");

		memset(purse, 0, sizeof(purse));
		for (int i = 0; i < 60; i++) {
			int from = (int)env_below(&rng, 8), to = 1 + (int)env_below(&rng, 7), value = 1 + (int)env_below(&rng, 12);
			struct cw_tx tx = env_tx((uint64_t)from, (uint64_t)to, T0 + i, (uint64_t)value);
			struct ref_purse *p = &purse[from], *q = &purse[to];
			int tainted = 0;

			if (from == to)
				continue;
			tx.hash.b[0] = (uint8_t)i;
			env_call(&e, "add", &tx);
			for (int k = 0; k < value; k++) {
				bool coin = from == 0 || (p->head < p->tail && p->coin[p->head]);

				if (from != 0 && p->head < p->tail)
					p->head++;
				q->coin[q->tail++] = coin;
				tainted += coin;
			}
			ck_assert_double_eq(env_call(&e, "taint", &tx), (double)tainted / value);
			for (int a = 1; a < 8; a++) {
				int held = 0;

				for (int k = purse[a].head; k < purse[a].tail; k++)
					held += purse[a].coin[k];
				ck_assert_double_eq(ask(&e, "tainted", (uint64_t)a, T0 + i), held);
				compared += held > 0;
			}
		}
		env_close(&e);
		cw_state_close(&st);
	}
	ck_assert_int_gt(compared, 1000);
}
END_TEST

START_TEST(haircut_agrees_with_two_columns)
{
	uint64_t rng = 77;
	double known[20] = { 0 }, tainted[20] = { 0 };
	struct cw_state *st = env_state();
	struct env_handle e = env_open(st, "graph.transfers", "labels=mixer");

	label("mixer", 0, -1);
	for (int i = 0; i < 5000; i++) {
		int from = (int)env_below(&rng, 20), to = (int)env_below(&rng, 20);
		double value = (double)(1 + env_below(&rng, 1000000)), share;

		if (from == to)
			continue;
		share = from == 0 ? 1 : known[from] > 0 ? tainted[from] / fmax(known[from], value) : 0;
		add(&e, (uint64_t)from, (uint64_t)to, T0 + i, (uint64_t)value);
		if (from != 0) {
			tainted[from] = value >= known[from] ? 0 : tainted[from] - share * value;
			known[from] = value >= known[from] ? 0 : known[from] - value;
		}
		if (to != 0) {
			tainted[to] += share * value;
			known[to] += value;
		}
		for (int a = 1; a < 20; a++)
			ck_assert_double_eq_tol(ask(&e, "tainted", (uint64_t)a, T0 + i), tainted[a], 1e-4);
	}
	env_close(&e);
	cw_state_close(&st);
}
END_TEST

/* No tainted wei is made or lost, with evictions, unknown balances, late transfers and labels on both sides. */
START_TEST(tainted_money_is_conserved)
{
	static const char *const options[] = { "labels=mixer;max_addresses=50", "labels=mixer;method=fifo;max_addresses=50",
	                                       "labels=mixer;method=fifo", "labels=mixer" };
	struct cw_state *st = env_state();
	struct env_handle e = env_open(st, "graph.transfers", options[_i]);
	uint64_t rng = 99 + (uint64_t)_i;

	label("mixer", 0, 7, 13, -1);
	for (int i = 0; i < 20000; i++) {
		uint64_t value = (uint64_t)exp(env_uniform(&rng) * 42);
		struct cw_graph_totals t;

		add(&e, env_below(&rng, 120), env_below(&rng, 120), T0 + i - (int64_t)env_below(&rng, 50), value);
		if (i % 500 != 499)
			continue;
		t = cw_graph_totals(e.h);
		ck_assert_msg(fabs(t.emitted - t.absorbed - t.lost - t.held) <= 1e-9 * t.emitted,
		              "%s: %.17g paid, %.17g taken, %.17g evicted, %.17g held", options[_i], t.emitted, t.absorbed, t.lost,
		              t.held);
		ck_assert_int_eq(t.lost > 0, _i < 2);
	}
	for (uint64_t a = 0; a < 120; a++) {
		double share = ask(&e, "taint", a, T0);

		ck_assert(share >= 0 && share <= 1);
	}
	env_close(&e);
	cw_state_close(&st);
}
END_TEST

START_TEST(labels_change_and_expire)
{
	struct cw_state *st = env_state();
	struct env_handle e = env_open(st, "graph.transfers", "labels=mixer, sanctioned");
	struct cw_lists *lists = cw_lists_new(), *old;
	struct cw_list_entry entry = { .address = env_address(4), .category = "sanctioned", .confidence = 1,
		                           .expires = T0 + 10 };
	struct cw_err err = { 0 };

	add(&e, 1, 2, T0, 5);
	ck_assert_double_eq(ask(&e, "taint", 2, T0), 0);
	ck_assert(isinf(ask(&e, "hops", 2, T0)));                /* no lists at all */
	label("exchange", 1, -1);
	ck_assert(isinf(ask(&e, "hops", 2, T0)));                /* another category */
	label("mixer", 1, -1);
	ck_assert_double_eq(ask(&e, "hops", 2, T0), 1);          /* paths know new labels at once, taint from now on */
	ck_assert_double_eq(ask(&e, "taint", 2, T0), 0);
	ck_assert_int_eq(cw_lists_add(lists, "test", &entry, &err), 0);
	cw_lists_seal(lists);
	old = (struct cw_lists *)(uintptr_t)cw_lists_use(lists);
	cw_lists_free(&old);
	add(&e, 4, 5, T0 + 9, 8);
	ck_assert_double_eq(ask(&e, "taint", 5, T0 + 9), 1);
	add(&e, 4, 6, T0 + 10, 8);
	ck_assert_double_eq(ask(&e, "taint", 6, T0 + 10), 0);    /* past its expiry */
	ck_assert(isinf(ask(&e, "hops", 6, T0 + 10)));
	env_close(&e);
	cw_state_close(&st);
}
END_TEST

/* ---------------------------------------------------------------- limits */

START_TEST(newest_counterparties_are_kept)
{
	struct cw_state *st = env_state();
	struct env_handle e = env_open(st, "graph.transfers", "edges=10;labels=mixer");

	label("mixer", 500, 509, 510, 600, 700, -1);
	for (uint64_t i = 0; i < 20; i++)
		add(&e, 1, 500 + i, T0 + 100 * (int64_t)i, 5);
	ck_assert_double_eq(ask(&e, "fan_out", 1, T0 + 2000), 10);
	/* the one at T0 + 900 went, that at T0 + 1000 is the oldest left */
	ck_assert_double_eq(ask(&e, "hops_out", 1, T0 + 2000), 1);
	add(&e, 1, 510, T0 + 2000, 5);                           /* known: only its time changes */
	add(&e, 1, 511, T0 + 2000, 5);
	add(&e, 1, 800, T0 + 2001, 5);                           /* takes the place of 512 */
	ck_assert_double_eq(ask(&e, "hops_out", 1, T0 + 2100), 1);
	for (uint64_t i = 0; i < 7; i++)
		add(&e, 1, 801 + i, T0 + 2002, 5);                   /* and these those of 513 to 519 */
	ck_assert_double_eq(ask(&e, "hops_out", 1, T0 + 2100), 1);
	add(&e, 1, 810, T0 + 2003, 5);                           /* now 510 goes */
	add(&e, 1, 811, T0 + 2003, 5);
	ck_assert(isinf(ask(&e, "hops_out", 1, T0 + 2100)));
	add(&e, 1, 600, T0 + 1500, 5);                           /* late, and older than all that are kept */
	ck_assert(isinf(ask(&e, "hops_out", 1, T0 + 2100)));
	add(&e, 1, 700, T0 + 2002, 5);                           /* late, but not the oldest */
	ck_assert_double_eq(ask(&e, "hops_out", 1, T0 + 2100), 1);
	ck_assert_double_eq(ask(&e, "fan_out", 1, T0 + 2100), 10);
	env_close(&e);
	cw_state_close(&st);
}
END_TEST

START_TEST(addresses_are_bounded_and_the_oldest_go)
{
	struct cw_state *st = env_state();
	struct env_handle e = env_open(st, "graph.transfers", "max_addresses=100;edges=8;labels=mixer");
	uint64_t most;

	label("mixer", 1, -1);
	add(&e, 1, 2, T0, 5);
	ck_assert_double_eq(ask(&e, "hops", 2, T0), 1);
	for (uint64_t i = 0; i < 2000; i++) {
		add(&e, 1000 + i, 5000 + i, T0 + 1 + (int64_t)i, 5);
		ck_assert_uint_le(cw_state_account(st, e.root->owner).keys, 100);
	}
	most = cw_state_account(st, e.root->owner).bytes;
	ck_assert(isinf(ask(&e, "hops", 2, T0 + 5)));
	ck_assert_double_eq(ask(&e, "fan_in", 2, T0 + 5), 0);
	ck_assert_double_eq(ask(&e, "fan_in", 5000 + 1999, T0 + 2001), 1);
	for (uint64_t i = 0; i < 20000; i++)
		add(&e, 1000 + i, 90000 + i, T0 + 3000 + (int64_t)i, 5);
	/* nothing leaks: as many bytes as before, but for lists in wait */
	ck_assert_uint_le(cw_state_account(st, e.root->owner).bytes, most + most / 4);
	env_close(&e);
	cw_state_close(&st);
}
END_TEST

/* An address that was evicted and comes back must not take over the edges it had. */
START_TEST(edges_to_evicted_addresses_are_dead)
{
	struct cw_state *st = env_state();
	struct env_handle e = env_open(st, "graph.transfers", "max_addresses=4;labels=mixer;span=400d");

	label("mixer", 1, -1);
	add(&e, 1, 2, T0, 5);
	add(&e, 2, 3, T0 + 1, 5);
	ck_assert_double_eq(ask(&e, "hops", 3, T0 + 1), 2);
	/* 2 is the oldest but one and goes; its places are taken by others */
	add(&e, 10, 11, T0 + 2, 5);
	add(&e, 1, 3, T0 + 2 - 5, 5);
	add(&e, 12, 3, T0 + 3, 5);
	for (int round = 0; round < 50; round++) {
		add(&e, 20 + (uint64_t)round, 3, T0 + 10 + round, 5);
		add(&e, 3, 2, T0 + 10 + round, 5);
	}
	ck_assert_double_eq(ask(&e, "fan_in", 3, T0 + 60) > 3, 1);   /* who paid is still counted */
	ck_assert(isinf(ask(&e, "hops", 2, T0 + 60)));
	env_close(&e);
	cw_state_close(&st);
}
END_TEST

/* A hub with 100,000 counterparties, and a thousand hubs behind it: every walk ends within the budget. */
START_TEST(hubs_stay_within_the_work)
{
	static const char *const methods[] = { "hops", "hops_out", "proximity", "cycle", "peel", "common_funder", "category" };
	struct cw_state *st = env_state();
	struct env_handle e = env_open(st, "graph.transfers", "edges=1024;labels=mixer;work=5000;hops=8;max_addresses=300000");
	uint64_t rng = 3;
	int cut = 0;

	label("mixer", 7777777, -1);
	for (uint64_t i = 0; i < 100000; i++) {
		add(&e, 1000 + i, 0, T0 + (int64_t)i / 100, 1000);
		add(&e, 0, 1000 + i, T0 + (int64_t)i / 100, 1000);
	}
	for (uint64_t i = 0; i < 100000; i++)
		add(&e, 1000 + env_below(&rng, 1000) * 100 + 99, 1000 + env_below(&rng, 100000), T0 + 1000, 1000);
	ck_assert_double_eq(ask(&e, "fan_in", 0, T0 + 1000), 1024);
	ck_assert_double_eq(ask(&e, "fan_out", 0, T0 + 1000), 1024);
	for (int i = 0; i < 200; i++)
		for (size_t m = 0; m < sizeof(methods) / sizeof(methods[0]); m++) {
			uint64_t to = 1000 + env_below(&rng, 100000);
			struct cw_tx tx = i % 2 == 0 ? env_tx(0, to, T0 + 1000, 1000) : env_tx(to, 0, T0 + 1000, 1000);
			double got = env_call(&e, methods[m], &tx);

			ck_assert_uint_le(cw_graph_work_done(e.h), 5000);
			if (isnan(got)) {
				cut++;
				ck_assert(strcmp(methods[m], "category") == 0 || cw_graph_work_done(e.h) == 5000);
			}
		}
	ck_assert_int_gt(cut, 100);
	env_close(&e);
	cw_state_close(&st);
}
END_TEST

START_TEST(services_are_not_walked_through)
{
	struct cw_state *st = env_state();
	struct env_handle e = env_open(st, "graph.transfers", "hub=5;labels=mixer;span=7d");

	label("mixer", 1, -1);
	add(&e, 1, 2, T0, 5);                 /* mixer -> exchange -> customer */
	for (uint64_t i = 0; i < 10; i++)
		add(&e, 100 + i, 2, T0, 5);
	add(&e, 2, 3, T0 + 1, 5);
	ck_assert(isinf(ask(&e, "hops", 3, T0 + 1)));
	ck_assert_double_eq(ask(&e, "hops", 2, T0 + 1), 1);      /* the exchange itself has it */
	add(&e, 2, 4, T0 + 1, 5);
	ck_assert(isinf(pair(&e, "common_funder", 3, 4, T0 + 2, 1)));
	add(&e, 3, 100, T0 + 2, 5);           /* customer -> another one, who paid the exchange before */
	add(&e, 100, 2, T0 + 3, 5);
	ck_assert_double_eq(pair(&e, "cycle", 2, 3, T0 + 4, 5), 3);   /* the ends may be services */
	add(&e, 4, 3, T0 + 5, 5);
	ck_assert_double_eq(pair(&e, "cycle", 3, 4, T0 + 6, 5), 2);
	env_close(&e);
	cw_state_close(&st);
}
END_TEST

/* Under a cap that leaves room for a few addresses, what is there stays right. */
START_TEST(a_cap_makes_it_smaller_not_wrong)
{
	struct cw_state *st = env_state();
	struct env_handle e = env_open(st, "graph.transfers", "method=fifo;labels=mixer;edges=256");
	uint64_t rng = 1;

	label("mixer", 0, 1, 2, -1);
	cw_state_set_cap(st, e.root->owner, 128 << 10);
	for (int i = 0; i < 20000; i++) {
		struct cw_graph_totals t;

		add(&e, env_below(&rng, 500), env_below(&rng, 500), T0 + i, 1 + env_below(&rng, 1000));
		ck_assert_uint_le(cw_state_account(st, e.root->owner).bytes, 128 << 10);
		if (i % 1000 != 0)
			continue;
		t = cw_graph_totals(e.h);
		ck_assert_double_eq_tol(t.emitted, t.absorbed + t.lost + t.held, 1e-6 * t.emitted + 1e-6);
	}
	ck_assert_uint_gt(cw_state_account(st, e.root->owner).evictions, 100);
	e.p->drop(e.h);
	ck_assert_uint_eq(cw_state_account(st, e.root->owner).bytes, 0);
	cw_state_close(&st);
}
END_TEST

/* FIFO queues are the part of the state that the streams of the generic test do not reach: they have no labels. */
START_TEST(tainted_queues_rewind)
{
	struct cw_state *st = env_state();
	struct env_handle e = env_open(st, "graph.transfers", "method=fifo;labels=mixer;max_addresses=60;edges=6");
	uint64_t rng = 21, seq = 1;
	struct cw_state_shadow shadow = { 0 };

	label("mixer", 0, 1, -1);
	for (int round = 0; round < 10; round++) {
		size_t used;
		uint8_t *before;
		struct cw_state_mark mark;
		struct cw_err err = { 0 };

		cw_state_mark(st, ++seq, 0);
		used = cw_state_used(st);
		before = malloc(used);
		memcpy(before, cw_state_base(st), used);
		for (int i = 0; i < 300; i++) {
			cw_state_shadow_take(&shadow, st);
			add(&e, env_below(&rng, 90), env_below(&rng, 90), T0 + round * 1000 + i, 1 + env_below(&rng, 1000));
			ck_assert_int_eq(cw_state_check(st, &shadow), -1);
			if (i % 10 == 0 || i == 150)
				cw_state_mark(st, seq + 1 + (uint64_t)i, 0);
		}
		ck_assert(cw_state_find_seq(st, seq, &mark));
		ck_assert_msg(cw_state_rewind(st, &mark, &err) == 0, "%s", err.msg);
		ck_assert_int_eq(memcmp(cw_state_base(st), before, used), 0);
		free(before);
		for (int i = 0; i < 50; i++)
			add(&e, env_below(&rng, 90), env_below(&rng, 90), T0 + round * 1000 + i, 1 + env_below(&rng, 1000));
	}
	cw_state_shadow_release(&shadow);
	env_close(&e);
	cw_state_close(&st);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("graph");
	TCase *tc = tcase_create("all");

	tcase_set_timeout(tc, 60);
	suite_add_tcase(suite, tc);
	tcase_add_test(tc, counts_counterparties_of_the_window);
	tcase_add_test(tc, what_moves_nothing_is_not_added);
	tcase_add_test(tc, chains_are_apart);
	tcase_add_test(tc, options_are_checked);
	tcase_add_loop_test(tc, walks_find_what_trying_everything_finds, 0, 3);
	tcase_add_test(tc, cycles_of_every_length_up_to_six);
	tcase_add_test(tc, money_does_not_travel_back_in_time);
	tcase_add_test(tc, peel_chains_are_measured);
	tcase_add_test(tc, passing_on_alone_is_no_peel);
	tcase_add_test(tc, policies_differ_as_defined);
	tcase_add_test(tc, fifo_keeps_the_order);
	tcase_add_loop_test(tc, fifo_agrees_with_coins_one_by_one, 0, 3);
	tcase_add_test(tc, haircut_agrees_with_two_columns);
	tcase_add_loop_test(tc, tainted_money_is_conserved, 0, 4);
	tcase_add_test(tc, labels_change_and_expire);
	tcase_add_test(tc, newest_counterparties_are_kept);
	tcase_add_test(tc, addresses_are_bounded_and_the_oldest_go);
	tcase_add_test(tc, edges_to_evicted_addresses_are_dead);
	tcase_add_test(tc, hubs_stay_within_the_work);
	tcase_add_test(tc, services_are_not_walked_through);
	tcase_add_test(tc, a_cap_makes_it_smaller_not_wrong);
	tcase_add_test(tc, tainted_queues_rewind);
	return env_run(suite);
}
