#include "base/clock.h"

#include <ctype.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static int64_t read_clock(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static int64_t system_wall(void)
{
	return read_clock(CLOCK_REALTIME);
}

/* Never back, not even where something between us and the kernel (libfaketime) sets this clock back, too. Steps below a
 * second are threads that overtake each other. */
static int64_t system_mono(void)
{
	static _Atomic int64_t newest, lost;
	int64_t us = read_clock(CLOCK_MONOTONIC) + atomic_load_explicit(&lost, memory_order_relaxed);
	int64_t before = atomic_load_explicit(&newest, memory_order_relaxed);

	if (us + 1000000 < before) {
		atomic_fetch_add(&lost, before - us);
		us = before;
	}
	if (us > before)
		atomic_store_explicit(&newest, us, memory_order_relaxed);
	return us;
}

static const struct cw_clock system_clock = { system_wall, system_mono };
static const struct cw_clock *now = &system_clock;

int64_t cw_clock_wall_us(void)
{
	return now->wall_us();
}

int64_t cw_clock_mono_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

int64_t cw_clock_mono_us(void)
{
	return now->mono_us();
}

void cw_clock_set(const struct cw_clock *clock)
{
	now = clock != NULL ? clock : &system_clock;
}

/* Days since 1970-01-01 and back, in the proleptic Gregorian calendar. Our own and not libc's gmtime and timegm: those
 * look for a time zone file at first use, which the evaluator may not. Years are counted from 1 March, so that the leap
 * day is the last of its year; 719468 days lie between 0000-03-01 and the epoch. */
static int64_t days_of(int year, int month, int day)
{
	int64_t y = month > 2 ? year : year - 1;
	int64_t era = (y >= 0 ? y : y - 399) / 400, of_era = y - era * 400;
	int64_t of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static void date_of(int64_t days, int64_t *year, int *month, int *day)
{
	int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097, doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;

	*day = (int)(doy - (153 * mp + 2) / 5 + 1);
	*month = (int)(mp < 10 ? mp + 3 : mp - 9);
	*year = yoe + era * 400 + (*month <= 2);
}

char *cw_time_format(int64_t wall_us, char out[32])
{
	int64_t seconds = wall_us / 1000000 - (wall_us % 1000000 < 0), year;
	int64_t days = seconds / 86400 - (seconds % 86400 < 0);
	int fraction = (int)(wall_us % 1000000 + (wall_us % 1000000 < 0 ? 1000000 : 0)), left = (int)(seconds - days * 86400), month, day, n;

	date_of(days, &year, &month, &day);
	n = snprintf(out, 32, "%04d-%02d-%02dT%02d:%02d:%02d", (int)year, month, day, left / 3600, left / 60 % 60, left % 60);
	if (n > 0 && n < 32 && fraction != 0)
		n += snprintf(out + n, (size_t)(32 - n), ".%06d", fraction);
	if (n > 0 && n < 31)
		snprintf(out + n, (size_t)(32 - n), "Z");
	return out;
}

static int digits(const char **p, int count, int *value)
{
	*value = 0;
	for (int i = 0; i < count; i++, (*p)++) {
		if (!isdigit((unsigned char)**p))
			return -1;
		*value = *value * 10 + (**p - '0');
	}
	return 0;
}

static int expect(const char **p, const char *set)
{
	if (**p == '\0' || strchr(set, **p) == NULL)
		return -1;
	(*p)++;
	return 0;
}

static int parse_fraction(const char **p, int64_t *us)
{
	int64_t scale = 100000;

	if (**p != '.')
		return 0;
	(*p)++;
	if (!isdigit((unsigned char)**p))
		return -1;
	for (; isdigit((unsigned char)**p); (*p)++, scale /= 10)
		*us += (**p - '0') * scale;
	return 0;
}

static int parse_offset(const char **p, int64_t *us)
{
	int hours, minutes;
	char sign = **p;

	if (sign == 'Z' || sign == 'z') {
		(*p)++;
		return 0;
	}
	if (expect(p, "+-") != 0 || digits(p, 2, &hours) != 0 || expect(p, ":") != 0 || digits(p, 2, &minutes) != 0)
		return -1;
	if (hours > 23 || minutes > 59)
		return -1;
	*us -= (sign == '-' ? -1 : 1) * (int64_t)(hours * 3600 + minutes * 60) * 1000000;
	return 0;
}

static int days_in_month(int year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	int leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + (month == 2 ? leap : 0);
}

int cw_time_parse(const char *text, int64_t *wall_us)
{
	int year, month, day, hour, minute, second;
	const char *p = text;
	int64_t us = 0;

	if (digits(&p, 4, &year) != 0 || expect(&p, "-") != 0 || digits(&p, 2, &month) != 0 || expect(&p, "-") != 0 ||
	    digits(&p, 2, &day) != 0 || expect(&p, "Tt ") != 0 || digits(&p, 2, &hour) != 0 || expect(&p, ":") != 0 ||
	    digits(&p, 2, &minute) != 0 || expect(&p, ":") != 0 || digits(&p, 2, &second) != 0)
		return -1;
	if (month < 1 || month > 12 || day < 1 || day > days_in_month(year, month) || hour > 23 || minute > 59 ||
	    second > 59)
		return -1;
	if (parse_fraction(&p, &us) != 0 || parse_offset(&p, &us) != 0 || *p != '\0')
		return -1;
	us += ((days_of(year, month, day) * 24 + hour) * 60 + minute) * 60000000 + (int64_t)second * 1000000;
	*wall_us = us;
	return 0;
}
