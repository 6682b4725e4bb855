/* limit.h - token buckets: so many requests a second, and a burst on top.
 *
 * Kept as one number each (the time at which the bucket is full again), in a table of fixed size: when its places are
 * taken the fullest bucket of a set makes room, which forgets least. */
#ifndef CW_AUTH_LIMIT_H
#define CW_AUTH_LIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cw_limits;

struct cw_rate {
	int64_t per_s, burst;
}; /* per_s 0: no limit */

struct cw_limit_state {
	int64_t limit, remaining; /* burst, and what is left of it */
	int64_t reset_s;          /* until it is full again, rounded up */
	int64_t retry_s;          /* refused: until the next one is allowed, at least 1 */
};

struct cw_limits *cw_limits_new(void);
void cw_limits_free(struct cw_limits **limits);
/* One from the bucket `kind`, `name`. False: it is empty. */
bool cw_limits_take(struct cw_limits *limits, char kind, const void *name, size_t len, const struct cw_rate *rate,
                    int64_t now_us, struct cw_limit_state *state);
/* Whether there is one, without taking it. */
bool cw_limits_peek(struct cw_limits *limits, char kind, const void *name, size_t len, const struct cw_rate *rate,
                    int64_t now_us, struct cw_limit_state *state);

#endif
