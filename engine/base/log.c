#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"

#define LINE_MAX_BYTES 4096
#define GROUPS 32

static struct {
	char name[16];
	enum cw_log_level level;
} groups[GROUPS];
static int ngroups;
static enum cw_log_level default_level = CW_LOG_INFO;
static enum cw_log_format format_now = CW_LOG_LOGFMT;
static const char *role_now;

static const char *const level_names[] = { "debug", "info", "warn", "error", "off" };
static const char *const secret_words[] = { "password", "secret", "token", "api_key", "authorization", "passwd" };

struct line {
	char text[LINE_MAX_BYTES];
	size_t len;
};

static void put(struct line *l, const char *text, size_t len)
{
	size_t room = sizeof(l->text) - 1 - l->len;

	if (len > room)
		len = room;
	memcpy(l->text + l->len, text, len);
	l->len += len;
}

static void puts_line(struct line *l, const char *text)
{
	put(l, text, strlen(text));
}

/* Escapes for a quoted string; the same escapes serve logfmt and JSON. */
static void put_quoted(struct line *l, const char *text, size_t len)
{
	put(l, "\"", 1);
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];
		char code[8];

		if (c == '"' || c == '\\') {
			char pair[2] = { '\\', (char)c };

			put(l, pair, 2);
		} else if (c == '\n') {
			put(l, "\\n", 2);
		} else if (c < 0x20 || c == 0x7f) {
			snprintf(code, sizeof(code), "\\u%04x", c);
			put(l, code, 6);
		} else {
			put(l, (const char *)&text[i], 1);
		}
	}
	put(l, "\"", 1);
}

static bool is_secret(const char *key, size_t len)
{
	for (size_t i = 0; i < sizeof(secret_words) / sizeof(*secret_words); i++)
		if (strlen(secret_words[i]) == len && strncasecmp(key, secret_words[i], len) == 0)
			return true;
	return false;
}

/* One `key=value` of logfmt text; returns where the next one starts. */
static const char *next_pair(const char *p, const char **key, size_t *klen, const char **val, size_t *vlen, bool *quoted)
{
	while (*p == ' ')
		p++;
	*key = p;
	while (*p != '\0' && *p != '=' && *p != ' ')
		p++;
	*klen = (size_t)(p - *key);
	*val = p;
	*vlen = 0;
	*quoted = false;
	if (*p != '=')
		return p;
	p++;
	*val = p;
	if (*p == '"') {
		*quoted = true;
		for (p++; *p != '\0' && *p != '"'; p++)
			if (*p == '\\' && p[1] != '\0')
				p++;
		if (*p == '"')
			p++;
	} else {
		while (*p != '\0' && *p != ' ')
			p++;
	}
	*vlen = (size_t)(p - *val);
	return p;
}

/* The password inside scheme://user:password@host, if there is one. */
static void put_value(struct line *l, const char *val, size_t len)
{
	const char *scheme = memmem(val, len, "://", 3);
	const char *at = scheme != NULL ? memchr(scheme, '@', len - (size_t)(scheme - val)) : NULL;
	const char *colon = at != NULL ? memchr(scheme + 3, ':', (size_t)(at - scheme - 3)) : NULL;

	if (colon == NULL) {
		put(l, val, len);
		return;
	}
	put(l, val, (size_t)(colon + 1 - val));
	puts_line(l, "***");
	put(l, at, len - (size_t)(at - val));
}

static void put_fields(struct line *l, const char *fields)
{
	const char *key, *val, *p = fields;
	size_t klen, vlen;
	bool quoted;

	while (*p != '\0') {
		p = next_pair(p, &key, &klen, &val, &vlen, &quoted);
		if (klen == 0 && vlen == 0) {
			if (*p == '\0')
				break;
			p++;
			continue;
		}
		if (format_now == CW_LOG_JSON) {
			puts_line(l, ",");
			put_quoted(l, key, klen);
			puts_line(l, ":");
		} else {
			puts_line(l, " ");
			put(l, key, klen);
			puts_line(l, "=");
		}
		if (is_secret(key, klen))
			puts_line(l, format_now == CW_LOG_JSON ? "\"***\"" : "***");
		else if (quoted || format_now == CW_LOG_LOGFMT)
			put_value(l, val, vlen);
		else
			put_quoted(l, val, vlen);
	}
}

static void put_head(struct line *l, enum cw_log_level level, const char *group, const char *msg)
{
	int64_t now_us = cw_clock_wall_us();
	time_t seconds = (time_t)(now_us / 1000000);
	struct tm tm;
	char stamp[48];
	size_t n;
	bool json = format_now == CW_LOG_JSON;

	gmtime_r(&seconds, &tm);
	n = strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(stamp + n, sizeof(stamp) - n, ".%03dZ", (int)(now_us / 1000 % 1000));
	puts_line(l, json ? "{\"ts\":\"" : "ts=");
	puts_line(l, stamp);
	puts_line(l, json ? "\",\"level\":\"" : " level=");
	puts_line(l, level_names[level]);
	puts_line(l, json ? "\",\"group\":\"" : " group=");
	puts_line(l, group);
	puts_line(l, json ? "\"" : "");
	if (role_now != NULL) {
		puts_line(l, json ? ",\"role\":\"" : " role=");
		puts_line(l, role_now);
		puts_line(l, json ? "\"" : "");
	}
	puts_line(l, json ? ",\"msg\":" : " msg=");
	put_quoted(l, msg, strlen(msg));
}

static void finish(struct line *l)
{
	ssize_t written;

	if (format_now == CW_LOG_JSON)
		puts_line(l, "}");
	l->text[l->len++] = '\n';
	written = write(2, l->text, l->len);
	(void)written;
}

static enum cw_log_level level_of(const char *group)
{
	for (int i = 0; i < ngroups; i++)
		if (strcmp(groups[i].name, group) == 0)
			return groups[i].level;
	return default_level;
}

bool cw_log_enabled(enum cw_log_level level, const char *group)
{
	return level >= level_of(group) && level < CW_LOG_OFF;
}

void cw_log(enum cw_log_level level, const char *group, const char *msg, const char *fields, ...)
{
	struct line l = { .len = 0 };
	char text[LINE_MAX_BYTES - 256];
	va_list args;

	if (!cw_log_enabled(level, group))
		return;
	put_head(&l, level, group, msg);
	if (fields != NULL) {
		va_start(args, fields);
		vsnprintf(text, sizeof(text), fields, args);
		va_end(args);
		put_fields(&l, text);
	}
	finish(&l);
}

void cw_log_err(enum cw_log_level level, const char *group, const char *msg, const struct cw_err *err)
{
	char quoted[2 * sizeof(err->msg)];

	cw_log_quote(quoted, sizeof(quoted), err->msg);
	if (err->sqlstate[0] != '\0')
		cw_log(level, group, msg, "code=%s sqlstate=%s error=%s", cw_code_name(err->code), err->sqlstate, quoted);
	else
		cw_log(level, group, msg, "code=%s error=%s", cw_code_name(err->code), quoted);
}

void cw_log_set_level(const char *group, enum cw_log_level level)
{
	if (group == NULL) {
		default_level = level;
		return;
	}
	for (int i = 0; i < ngroups; i++)
		if (strcmp(groups[i].name, group) == 0) {
			groups[i].level = level;
			return;
		}
	if (ngroups == GROUPS || strlen(group) >= sizeof(groups[0].name))
		return;
	strcpy(groups[ngroups].name, group);
	groups[ngroups++].level = level;
}

void cw_log_clear_levels(void)
{
	ngroups = 0;
	default_level = CW_LOG_INFO;
}

void cw_log_set_format(enum cw_log_format format)
{
	format_now = format;
}

void cw_log_set_role(const char *role)
{
	role_now = role;
}

bool cw_log_level_parse(const char *text, enum cw_log_level *level)
{
	for (int i = 0; i <= CW_LOG_OFF; i++)
		if (strcmp(text, level_names[i]) == 0) {
			*level = (enum cw_log_level)i;
			return true;
		}
	return false;
}

const char *cw_log_quote(char *out, unsigned long size, const char *text)
{
	struct line l = { .len = 0 };
	size_t n;

	put_quoted(&l, text, strlen(text));
	n = l.len < size ? l.len : size - 1;
	memcpy(out, l.text, n);
	out[n] = '\0';
	if (n != l.len && n > 0)
		out[n - 1] = '"';
	return out;
}
