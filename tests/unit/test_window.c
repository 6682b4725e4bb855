/* Sliding windows against an exact list of events, over random streams with late ones. */
#include "support/detect_env.h"

#define EVENTS 6000

struct event {
	int64_t time;
	double x;
	uint64_t what;
};

/* Events of one key. A window that ends at `now` must hold all of [now - span, now] and may hold what is younger than
 * now - span * (1 + 1/buckets). `now` is the latest time of the key so far. */
struct past {
	struct event events[EVENTS];
	int n;
	int64_t now;
};

static int between(const struct past *p, int64_t from, int64_t now, const struct event **out)
{
	int n = 0;

	for (int i = 0; i < p->n; i++)
		if (p->events[i].time >= from && p->events[i].time <= now)
			out[n++] = &p->events[i];
	return n;
}

static int count_distinct(const struct event *const *e, int n)
{
	int distinct = 0;

	for (int i = 0; i < n; i++) {
		int j = 0;

		while (j < i && e[j]->what != e[i]->what)
			j++;
		distinct += j == i;
	}
	return distinct;
}

enum what { COUNT, SUM, MAX, MIN, RATE, DISTINCT };

static double exact(enum what what, const struct past *p, int64_t from, int64_t now)
{
	static const struct event *seen[EVENTS];
	int n = between(p, from, now, seen);
	double value = what == MAX || what == MIN ? NAN : 0;

	if (what == DISTINCT)
		return count_distinct(seen, n);
	for (int i = 0; i < n; i++)
		switch (what) {
		case COUNT:
		case RATE: value++; break;
		case SUM: value += seen[i]->x; break;
		case MAX: value = isnan(value) || seen[i]->x > value ? seen[i]->x : value; break;
		case MIN: value = isnan(value) || seen[i]->x < value ? seen[i]->x : value; break;
		case DISTINCT: break;
		}
	return value;
}

/* `got` must lie between the values of the shortest and the longest window that are allowed. */
static void check_value(enum what what, const struct past *p, int64_t now, int64_t span, double width, double got)
{
	double in = exact(what, p, now - span, now), out = exact(what, p, now - span - (int64_t)ceil(width) + 1, now);
	double lo = fmin(in, out), hi = fmax(in, out);

	if (what == RATE) {
		lo *= 60.0 / (double)span;
		hi *= 60.0 / (double)span;
	}
	if (isnan(in)) {   /* nothing inside: nil, or something from the first bucket */
		ck_assert(isnan(got) || got >= lo || got <= hi);
		return;
	}
	ck_assert_msg(got >= lo - 1e-6 * fabs(lo) && got <= hi + 1e-6 * fabs(hi), "kind %d: %.17g not in [%.17g, %.17g]", what,
	              got, lo, hi);
}

static void against_exact(enum what what, const char *name, const char *options, int64_t span, int buckets,
                          uint64_t seed)
{
	static struct past past[3];
	struct cw_state *st = env_state();
	struct env_handle e = env_open(st, name, options);
	double width = (double)span / buckets < 1 ? 1 : (double)span / buckets;
	int64_t time = 1600000000 + (int64_t)env_below(&seed, 1000);

	memset(past, 0, sizeof(past));
	for (int i = 0; i < 2500; i++) {
		uint64_t key = env_below(&seed, 3);
		struct past *p = &past[key];
		struct cw_tx tx;
		int64_t t;

		time += (int64_t)env_below(&seed, 2 + (uint64_t)span / 40);
		if (env_below(&seed, 300) == 0)
			time += span * (int64_t)env_below(&seed, 3);
		t = env_below(&seed, 10) == 0 ? time - (int64_t)env_below(&seed, (uint64_t)span / 2 + 1) : time;
		tx = env_tx(key, 100 + env_below(&seed, 40), t, 1 + env_below(&seed, 1000000));
		if (env_below(&seed, 4) == 0) {
			int64_t now = t > p->now ? t : p->now;

			if (p->n > 0)
				check_value(what, p, now, span, width, env_call(&e, "get", &tx));
			continue;
		}
		p->events[p->n++] = (struct event){ t, cw_field_number(&tx, CW_FIELD_VALUE), tx.to.b[0] * 256u + tx.to.b[1] };
		p->now = t > p->now ? t : p->now;
		check_value(what, p, p->now, span, width, env_call(&e, "add", &tx));
	}
	env_close(&e);
	cw_state_close(&st);
}

static const struct {
	int64_t span;
	int buckets;
} shapes[] = { { 600, 16 }, { 601, 7 }, { 10, 16 }, { 1, 16 }, { 86400, 24 }, { 100, 1 }, { 3600, 60 } };

#define SHAPES ((int)(sizeof(shapes) / sizeof(shapes[0])))

static void for_shape(enum what what, const char *name, const char *extra, int shape)
{
	int64_t span = shapes[shape].span;
	int buckets = shapes[shape].buckets;
	char options[128];

	snprintf(options, sizeof(options), "key=from;span=%llds;buckets=%d%s", (long long)span, buckets, extra);
	against_exact(what, name, options, span, buckets < span ? buckets : (int)span, 17 + (uint64_t)shape);
}

START_TEST(count_is_between_exact_windows)
{
	for_shape(COUNT, "window.count", "", _i);
}
END_TEST

START_TEST(rate_is_between_exact_windows)
{
	for_shape(RATE, "window.rate", "", _i);
}
END_TEST

START_TEST(sum_is_between_exact_windows)
{
	for_shape(SUM, "window.sum", ";of=value", _i);
}
END_TEST

START_TEST(extremes_are_between_exact_windows)
{
	for_shape(MAX, "window.max", ";of=value", _i);
	for_shape(MIN, "window.min", ";of=value", _i);
}
END_TEST

START_TEST(distinct_is_between_exact_windows)
{
	for_shape(DISTINCT, "window.distinct", ";of=to", _i);
}
END_TEST

START_TEST(one_second_buckets_are_exact)
{
	struct cw_state *st = env_state();
	struct env_handle e = env_open(st, "window.count", "key=from;span=10s");
	static const int64_t at[] = { 1000, 1000, 1004, 1010, 1011, 1025 };
	static const double want[] = { 1, 2, 3, 4, 3, 1 };

	for (int i = 0; i < 6; i++) {
		struct cw_tx tx = env_tx(1, 2, at[i], 0);

		ck_assert_double_eq(env_call(&e, "add", &tx), want[i]);
	}
	env_close(&e);
	cw_state_close(&st);
}
END_TEST

START_TEST(late_events_count_in_their_time)
{
	struct cw_state *st = env_state();
	struct env_handle e = env_open(st, "window.count", "key=from;span=10s");
	struct cw_tx now = env_tx(1, 2, 2000, 0), late = env_tx(1, 2, 1995, 0), old = env_tx(1, 2, 1900, 0);
	struct cw_tx after = env_tx(1, 2, 2006, 0);

	ck_assert_double_eq(env_call(&e, "add", &now), 1);
	ck_assert_double_eq(env_call(&e, "add", &late), 2);
	ck_assert_double_eq(env_call(&e, "add", &old), 2);
	ck_assert_double_eq(env_call(&e, "get", &after), 1);   /* the late one has left, the first has not */
	env_close(&e);
	cw_state_close(&st);
}
END_TEST

START_TEST(keys_and_chains_are_apart)
{
	struct cw_state *st = env_state();
	struct env_handle e = env_open(st, "window.count", "key=from;span=10m");
	struct cw_tx a = env_tx(1, 2, 2000, 0), b = env_tx(2, 1, 2000, 0), c = a, creation = a;

	c.chain_id = 137;
	creation.has = 0;
	env_call(&e, "add", &a);
	ck_assert_double_eq(env_call(&e, "add", &a), 2);
	ck_assert_double_eq(env_call(&e, "add", &b), 1);
	ck_assert_double_eq(env_call(&e, "add", &c), 1);
	/* the receiver's own entry as a sender */
	ck_assert_double_eq(env_call1(&e, "get", &b, CW_FIELD_TO), 2);
	ck_assert_double_eq(env_call1(&e, "get", &creation, CW_FIELD_TO), 0);
	ck_assert_double_eq(env_call1(&e, "get", &a, 99), 0);
	env_close(&e);
	cw_state_close(&st);
}
END_TEST

START_TEST(a_missing_field_is_nil)
{
	struct cw_state *st = env_state();
	struct env_handle e = env_open(st, "window.sum", "key=from;of=gas_used;span=10m");
	struct env_handle to = env_open(st, "window.count", "key=to;span=10m");
	struct cw_tx tx = env_tx(1, 2, 2000, 0);

	ck_assert(isnan(env_call(&e, "add", &tx)));
	ck_assert_double_eq(env_call(&e, "get", &tx), 0);
	ck_assert_double_eq(env_call1(&e, "add", &tx, 5), 5);   /* a number given replaces the field */
	tx.has &= ~(uint32_t)CW_TX_HAS_TO;
	ck_assert(isnan(env_call(&to, "add", &tx)));
	env_close(&e);
	env_close(&to);
	cw_state_close(&st);
}
END_TEST

/* Far more values than the capacity: the estimate's error must be that of the sample. */
START_TEST(distinct_beyond_capacity_is_estimated)
{
	double worst = 0, squares = 0;
	int n = 0;

	for (uint64_t seed = 1; seed <= 30; seed++) {
		struct cw_state *st = env_state();
		struct env_handle e = env_open(st, "window.distinct", "key=from;of=to;span=1h;capacity=256");
		double got = 0;

		for (uint64_t i = 0; i < 20000; i++) {
			struct cw_tx tx = env_tx(1, seed << 32 | i / 2, 1600000000 + (int64_t)(i / 10), 0);

			got = env_call(&e, "add", &tx);
			if (i / 2 < 250)
				ck_assert_double_eq(got, (double)(i / 2 + 1));
		}
		squares += (got / 10000 - 1) * (got / 10000 - 1);
		worst = fmax(worst, fabs(got / 10000 - 1));
		n++;
		env_close(&e);
		cw_state_close(&st);
	}
	/* 1.2 / sqrt(256) = 7.5 %; 30 runs estimate it within a third */
	ck_assert_msg(sqrt(squares / n) < 0.10, "r.m.s. error %.3f", sqrt(squares / n));
	ck_assert_msg(worst < 0.30, "worst error %.3f", worst);
}
END_TEST

START_TEST(distinct_is_exact_again_after_the_crowd)
{
	struct cw_state *st = env_state();
	struct env_handle e = env_open(st, "window.distinct", "key=from;of=to;span=160s;capacity=64");
	double got = 0;

	for (uint64_t i = 0; i < 3000; i++) {
		struct cw_tx tx = env_tx(1, i, 1600000000 + (int64_t)i / 30, 0);

		got = env_call(&e, "add", &tx);
	}
	ck_assert_msg(got > 1800 && got < 4500, "%g of 3000", got);
	for (uint64_t i = 0; i < 400; i++) {
		struct cw_tx tx = env_tx(1, 5000 + i % 7, 1600000100 + (int64_t)i * 5, 0);

		got = env_call(&e, "add", &tx);
	}
	ck_assert_double_eq(got, 7);
	env_close(&e);
	cw_state_close(&st);
}
END_TEST

START_TEST(last_keeps_the_newest)
{
	struct cw_state *st = env_state();
	struct env_handle e = env_open(st, "window.last", "key=from;of=value;n=3");

	for (uint64_t i = 1; i <= 5; i++) {
		struct cw_tx tx = env_tx(1, 2, 1000 + (int64_t)i * 10, i * 100);

		ck_assert_double_eq(env_call(&e, "add", &tx), i < 3 ? (double)i : 3);
	}
	struct cw_tx tx = env_tx(1, 2, 1100, 400);

	ck_assert_double_eq(env_call(&e, "at", &tx), 500);
	ck_assert_double_eq(env_call1(&e, "at", &tx, 3), 300);
	ck_assert(isnan(env_call1(&e, "at", &tx, 4)));
	ck_assert(isnan(env_call1(&e, "at", &tx, 0)));
	ck_assert_double_eq(env_call1(&e, "age", &tx, 2), 60);
	ck_assert_double_eq(env_call(&e, "mean", &tx), 400);
	ck_assert_double_eq(env_call(&e, "equal", &tx), 1);
	ck_assert_double_eq(env_call(&e, "count", &tx), 3);
	tx = env_tx(2, 1, 1100, 0);
	ck_assert(isnan(env_call(&e, "mean", &tx)));
	ck_assert_double_eq(env_call1(&e, "count", &tx, CW_FIELD_TO), 3);
	env_close(&e);
	cw_state_close(&st);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("window");
	TCase *tc = tcase_create("all");

	tcase_set_timeout(tc, 30);
	suite_add_tcase(suite, tc);
	tcase_add_loop_test(tc, count_is_between_exact_windows, 0, SHAPES);
	tcase_add_loop_test(tc, rate_is_between_exact_windows, 0, SHAPES);
	tcase_add_loop_test(tc, sum_is_between_exact_windows, 0, SHAPES);
	tcase_add_loop_test(tc, extremes_are_between_exact_windows, 0, SHAPES);
	tcase_add_loop_test(tc, distinct_is_between_exact_windows, 0, SHAPES);
	tcase_add_test(tc, one_second_buckets_are_exact);
	tcase_add_test(tc, late_events_count_in_their_time);
	tcase_add_test(tc, keys_and_chains_are_apart);
	tcase_add_test(tc, a_missing_field_is_nil);
	tcase_add_test(tc, distinct_beyond_capacity_is_estimated);
	tcase_add_test(tc, distinct_is_exact_again_after_the_crowd);
	tcase_add_test(tc, last_keeps_the_newest);
	return env_run(suite);
}
