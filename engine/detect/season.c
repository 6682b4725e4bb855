/* season.c - baselines by the clock: a number, or the number of transactions an hour, against the same hour of the day,
 * day of the week or hour of the week before. UTC, event time.
 *
 * Each slot of the clock has an exponentially weighted mean and variance of its own (weights as in moments.c). */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "detect/all.h"
#include "detect/keyed.h"

#define SEASON_MAGIC 0x53454153u
#define Z_MAX        1e6
#define DAY          86400

enum season_opt { OPT_OF = CW_OPT_AT_OWN, OPT_CLOCK, OPT_ALPHA, OPT_WARM };
enum activity_opt { ACT_CLOCK = CW_OPT_AT_OWN, ACT_ALPHA, ACT_WARM };

/* A clock: how long one step is and how many there are. */
static const struct clock {
	const char *name;
	uint32_t step_s, slots;
} clocks[] = { { "hour of day", 3600, 24 }, { "day of week", DAY, 7 }, { "hour of week", 3600, 168 } };

struct season {
	struct cw_keyed k;
	enum cw_field of;
	const struct clock *clock;
	double alpha;
	uint32_t warm;
};

struct slot {
	double mean, var;
	uint32_t n, pad;
};

/* Value of a key. */
struct entry {
	uint32_t step;                /* stat.activity: the running step + 1; 0: none yet */
	uint32_t count;               /* transactions in it */
	struct slot slot[];
};

static uint32_t step_of(const struct season *s, int64_t time)
{
	return cw_time32(time) / s->clock->step_s;
}

static void take(const struct season *s, struct slot *slot, double x)
{
	double delta = x - slot->mean, a;

	cw_state_touch(s->k.st, slot, sizeof(*slot));
	if (slot->n < UINT32_MAX)
		slot->n++;
	a = s->alpha * slot->n < 1 ? 1.0 / slot->n : s->alpha;
	slot->mean += a * delta;
	slot->var = (1 - a) * (slot->var + a * delta * delta);
}

/* `least`: a variance below which none is believed. */
static double z_score(const struct season *s, const struct slot *slot, double x, double least)
{
	double z;

	if (slot->n < s->warm)
		return NAN;
	if (x == slot->mean)
		return 0;
	z = (x - slot->mean) / sqrt(fmax(slot->var, least));
	return z > Z_MAX ? Z_MAX : z < -Z_MAX ? -Z_MAX : z;
}

/* ---------------------------------------------------------------- stat.season */

static double number_of(const struct season *s, const struct cw_tx *tx, double a)
{
	double x = isnan(a) && s->of != CW_FIELD_NONE ? cw_field_number(tx, s->of) : a;

	return isfinite(x) ? x : NAN;
}

static double season_add(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct season *s = CW_CAST(handle, SEASON_MAGIC);
	double x = number_of(s, tx, a), z;
	struct slot *slot;
	struct entry *e;

	(void)b;
	if (isnan(x))
		return NAN;
	e = cw_keyed_upsert(&s->k, tx);
	if (e == NULL)
		return NAN;
	slot = &e->slot[step_of(s, tx->timestamp) % s->clock->slots];
	z = z_score(s, slot, x, 0);
	take(s, slot, x);
	return z;
}

static const struct slot *look(const struct season *s, const struct cw_tx *tx, double field)
{
	const struct entry *e = cw_keyed_find(&s->k, tx, field);

	return e != NULL ? &e->slot[step_of(s, tx->timestamp) % s->clock->slots] : NULL;
}

static double season_score(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct season *s = CW_CAST(handle, SEASON_MAGIC);
	const struct slot *slot = look(s, tx, NAN);
	double x = number_of(s, tx, a);

	(void)b;
	return slot != NULL && !isnan(x) ? z_score(s, slot, x, 0) : NAN;
}

static double season_mean(void *handle, const struct cw_tx *tx, double a, double b)
{
	const struct slot *slot = look(CW_CAST(handle, SEASON_MAGIC), tx, a);

	(void)b;
	return slot != NULL && slot->n > 0 ? slot->mean : NAN;
}

static double season_sd(void *handle, const struct cw_tx *tx, double a, double b)
{
	const struct slot *slot = look(CW_CAST(handle, SEASON_MAGIC), tx, a);

	(void)b;
	return slot != NULL && slot->n > 0 ? sqrt(slot->var) : NAN;
}

/* ---------------------------------------------------------------- stat.activity */

/* Puts the counts of the steps that are over into their slots: the running one and the empty ones after it, of which
 * one round of the clock at most. */
static void close_steps(const struct season *s, struct entry *e, uint32_t now)
{
	uint32_t from = e->step - 1, empty = now - from - 1;

	take(s, &e->slot[from % s->clock->slots], e->count);
	if (empty > s->clock->slots)
		empty = s->clock->slots;
	for (uint32_t i = 0; i < empty; i++)
		take(s, &e->slot[(now - 1 - i) % s->clock->slots], 0);
}

static double activity_add(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct season *s = CW_CAST(handle, SEASON_MAGIC);
	struct entry *e = cw_keyed_upsert(&s->k, tx);
	uint32_t now = step_of(s, tx->timestamp);

	(void)a;
	(void)b;
	if (e == NULL)
		return NAN;
	cw_state_touch(s->k.st, e, offsetof(struct entry, slot));
	if (e->step == 0)
		e->step = now + 1;
	if (now + 1 > e->step) {
		close_steps(s, e, now);
		e->step = now + 1;
		e->count = 0;
	}
	/* late ones count in the running step; its slot is the one that is asked */
	e->count++;
	/* counts vary by chance alone as much as their mean (Poisson) */
	return z_score(s, &e->slot[(e->step - 1) % s->clock->slots], e->count,
	               fmax(e->slot[(e->step - 1) % s->clock->slots].mean, 1));
}

static double activity_count(void *handle, const struct cw_tx *tx, double a, double b)
{
	struct season *s = CW_CAST(handle, SEASON_MAGIC);
	const struct entry *e = cw_keyed_find(&s->k, tx, a);

	(void)b;
	return e != NULL && step_of(s, tx->timestamp) + 1 <= e->step ? e->count : 0;
}

/* ---------------------------------------------------------------- options */

static struct season *open_season(struct cw_state *st, struct cw_state_root *root, const union cw_opt_value *vals,
                                  const char *name, int clock_at, struct cw_err *err)
{
	struct cw_keyed_conf conf = { .magic = SEASON_MAGIC, .handle_size = sizeof(struct season), .touch_parts = true };
	const struct clock *clock = NULL;
	struct season *s;

	for (size_t i = 0; i < sizeof(clocks) / sizeof(clocks[0]); i++)
		if (strcmp(vals[clock_at].text, clocks[i].name) == 0)
			clock = &clocks[i];
	if (clock == NULL) {
		cw_err_set(err, CW_ERR_INVALID, "stat.%s: option \"clock\" must be \"hour of day\", \"day of week\" or "
		           "\"hour of week\", not \"%.40s\"", name, vals[clock_at].text);
		return NULL;
	}
	conf.value_size = sizeof(struct entry) + clock->slots * sizeof(struct slot);
	s = cw_keyed_new(&conf, st, root, vals, err);
	if (s == NULL)
		return NULL;
	s->clock = clock;
	s->alpha = vals[clock_at + 1].number;
	s->warm = (uint32_t)vals[clock_at + 2].number;
	return s;
}

static void *season_open(struct cw_state *st, struct cw_state_root *root, const union cw_opt_value *vals,
                         struct cw_err *err)
{
	struct season *s = open_season(st, root, vals, "season", OPT_CLOCK, err);

	if (s != NULL)
		s->of = vals[OPT_OF].field;
	return s;
}

static void *activity_open(struct cw_state *st, struct cw_state_root *root, const union cw_opt_value *vals,
                           struct cw_err *err)
{
	return open_season(st, root, vals, "activity", ACT_CLOCK, err);
}

#define CLOCK_OPTS(alpha_def, warm_def, warm_doc) \
	{ .name = "clock", .type = CW_OPT_TEXT, .def_text = "hour of day", \
	  .doc = "\"hour of day\", \"day of week\" or \"hour of week\" (UTC)" }, \
	{ .name = "alpha", .type = CW_OPT_NUMBER, .def = (alpha_def), .min = 1e-6, .max = 1, \
	  .doc = "weight of the newest; 1/alpha are remembered in each slot of the clock" }, \
	{ .name = "warm", .type = CW_OPT_COUNT, .def = (warm_def), .min = 1, .max = 1e6, .doc = (warm_doc) }

static const struct cw_opt season_opts[] = {
	CW_KEYED_OPTS,
	{ .name = "of", .type = CW_OPT_FIELD, .doc = "field to take; left out: the number is an argument" },
	CLOCK_OPTS(0.02, 30, "numbers that a slot must know before a score is given"),
	{ .name = NULL },
};
static const struct cw_opt activity_opts[] = {
	CW_KEYED_OPTS,
	CLOCK_OPTS(0.1, 5, "rounds of the clock that must be over before a score is given"),
	{ .name = NULL },
};

static const struct cw_method season_methods[] = {
	{ .name = "add", .fn = season_add, .takes_tx = true, .a = CW_ARG_NUMBER,
	  .doc = "z-score of this number against its slot of the clock, then takes it; nil before `warm` numbers" },
	{ .name = "score", .fn = season_score, .takes_tx = true, .a = CW_ARG_NUMBER, .doc = "the same without taking it" },
	{ .name = "mean", .fn = season_mean, .takes_tx = true, .a = CW_ARG_FIELD,
	  .doc = "mean of this slot of the clock" CW_ARG_LOOKUP_DOC },
	{ .name = "sd", .fn = season_sd, .takes_tx = true, .a = CW_ARG_FIELD,
	  .doc = "standard deviation of this slot of the clock" CW_ARG_LOOKUP_DOC },
	{ .name = NULL },
};
static const struct cw_method activity_methods[] = {
	{ .name = "add", .fn = activity_add, .takes_tx = true,
	  .doc = "counts this transaction; z-score of the running hour's (day's) number so far against its slot of the clock; "
	         "nil before `warm` rounds" },
	{ .name = "count", .fn = activity_count, .takes_tx = true, .a = CW_ARG_FIELD,
	  .doc = "transactions in the running hour (day)" CW_ARG_LOOKUP_DOC },
	{ .name = "mean", .fn = season_mean, .takes_tx = true, .a = CW_ARG_FIELD,
	  .doc = "mean number in this slot of the clock" CW_ARG_LOOKUP_DOC },
	{ .name = "sd", .fn = season_sd, .takes_tx = true, .a = CW_ARG_FIELD,
	  .doc = "standard deviation of the number in this slot of the clock" CW_ARG_LOOKUP_DOC },
	{ .name = NULL },
};

const struct cw_primitive cw_stat_season = {
	.table = "stat", .name = "season", .version = 1,
	.doc = "A number against its usual size at this hour of the day, day of the week or hour of the week.",
	.error = "as stat.ewma, for each slot of the clock",
	.memory = "24 bytes a slot and 48 a key (640 by hour of day, 256 by day, 4.1 KB by hour of week); O(1)",
	.source = "T. Finch, Incremental calculation of weighted mean and variance (2009), section 9",
	.example = "usual = stat.season { of = \"gas_price\", clock = \"hour of week\" }   -- (usual:add(tx) or 0) > 5",
	.opts = season_opts, .methods = season_methods, .open = season_open,
	.close = cw_keyed_close, .drop = cw_keyed_drop, .prefetch = cw_keyed_prefetch,
};
const struct cw_primitive cw_stat_activity = {
	.table = "stat", .name = "activity", .version = 1,
	.doc = "How busy a key is in this hour (or day) against the same hour of earlier days; hours without transactions "
	       "count as zero.",
	.error = "counts are exact; the variance is taken as the mean at least (chance alone); after a silence longer than "
	         "a round of the clock one round of zeros is counted; late transactions count in the running hour",
	.memory = "24 bytes a slot and 48 a key (640 by hour of day, 256 by day, 4.1 KB by hour of week); O(1) a transaction, "
	          "O(slots) at the end of an hour",
	.source = "T. Finch, Incremental calculation of weighted mean and variance (2009), section 9",
	.example = "busy = stat.activity { key = \"to\" }   -- (busy:add(tx) or 0) > 6",
	.opts = activity_opts, .methods = activity_methods, .open = activity_open,
	.close = cw_keyed_close, .drop = cw_keyed_drop, .prefetch = cw_keyed_prefetch,
};
