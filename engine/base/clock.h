/* clock.h - time behind one pointer, so that tests can turn it.
 *
 * Wall time is for what is written down, monotonic time for time-outs. Detectors use neither: they get event time. */
#ifndef CW_BASE_CLOCK_H
#define CW_BASE_CLOCK_H

#include <stdint.h>

struct cw_clock {
	int64_t (*wall_us)(void);  /* microseconds since 1970, UTC */
	int64_t (*mono_us)(void);  /* microseconds since some fixed point */
};

int64_t cw_clock_wall_us(void);
int64_t cw_clock_mono_us(void);
int64_t cw_clock_mono_ns(void);    /* the system's, whatever clock is set: for measurements */
/* NULL restores the system's clock. Not copied. */
void cw_clock_set(const struct cw_clock *clock);

/* Writes "2026-01-31T23:59:59.123456Z" (fraction left out when it is 0); needs 32 bytes. Returns `out`. */
char *cw_time_format(int64_t wall_us, char out[32]);
/* RFC 3339 with Z or offset; returns 0, or -1 if it is not one. */
int cw_time_parse(const char *text, int64_t *wall_us);

#endif
