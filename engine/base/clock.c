#include "base/clock.h"

#include <ctype.h>
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

static int64_t system_mono(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

static const struct cw_clock system_clock = { system_wall, system_mono };
static const struct cw_clock *now = &system_clock;

int64_t cw_clock_wall_us(void)
{
	return now->wall_us();
}

int64_t cw_clock_mono_us(void)
{
	return now->mono_us();
}

void cw_clock_set(const struct cw_clock *clock)
{
	now = clock != NULL ? clock : &system_clock;
}

char *cw_time_format(int64_t wall_us, char out[32])
{
	int64_t seconds = wall_us / 1000000 - (wall_us % 1000000 < 0);
	int fraction = (int)(wall_us % 1000000 + (wall_us % 1000000 < 0 ? 1000000 : 0));
	time_t t = (time_t)seconds;
	struct tm tm;
	size_t n;

	gmtime_r(&t, &tm);
	n = (size_t)snprintf(out, 16, "%04d", tm.tm_year + 1900);   /* %Y of strftime does not pad */
	n += strftime(out + n, 32 - n, "-%m-%dT%H:%M:%S", &tm);
	if (fraction != 0)
		n += (size_t)snprintf(out + n, 32 - n, ".%06d", fraction);
	snprintf(out + n, 32 - n, "Z");
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
	struct tm tm = { 0 };

	if (digits(&p, 4, &year) != 0 || expect(&p, "-") != 0 || digits(&p, 2, &month) != 0 || expect(&p, "-") != 0 ||
	    digits(&p, 2, &day) != 0 || expect(&p, "Tt ") != 0 || digits(&p, 2, &hour) != 0 || expect(&p, ":") != 0 ||
	    digits(&p, 2, &minute) != 0 || expect(&p, ":") != 0 || digits(&p, 2, &second) != 0)
		return -1;
	if (month < 1 || month > 12 || day < 1 || day > days_in_month(year, month) || hour > 23 || minute > 59 ||
	    second > 59)
		return -1;
	if (parse_fraction(&p, &us) != 0 || parse_offset(&p, &us) != 0 || *p != '\0')
		return -1;
	tm.tm_year = year - 1900;
	tm.tm_mon = month - 1;
	tm.tm_mday = day;
	tm.tm_hour = hour;
	tm.tm_min = minute;
	tm.tm_sec = second;
	*wall_us = (int64_t)timegm(&tm) * 1000000 + us;
	return 0;
}
