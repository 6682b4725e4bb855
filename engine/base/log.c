#include "base/log.h"

#include <stdarg.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/utf8.h"

#define LINE_MAX_BYTES 4096
#define TAIL 32   /* kept free at the end of a line for what closes it */
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
static const char *const secret_words[] = { "password", "passwd", "secret", "token", "key", "api_key", "authorization" };

struct line {
	char text[LINE_MAX_BYTES];
	size_t len, limit;
	bool full;   /* something was left out: nothing more goes in but what closes the line */
};

enum escaping {
	PLAIN,       /* a logfmt value without quotes */
	QUOTE,       /* any text that goes between double quotes */
	KEEP,        /* the same, with escapes in it already */
};

/* All or nothing, so that no escape and no character is cut in two. */
static void put(struct line *l, const char *text, size_t len)
{
	if (l->full || l->len + len > l->limit) {
		l->full = true;
		return;
	}
	memcpy(l->text + l->len, text, len);
	l->len += len;
}

static void puts_line(struct line *l, const char *text)
{
	put(l, text, strlen(text));
}

static void put_tail(struct line *l, const char *text)
{
	memcpy(l->text + l->len, text, strlen(text));
	l->len += strlen(text);
}

/* Length of the escape that `p` starts with, one that logfmt and JSON share; 0 if it is none. */
static size_t escape_length(const char *p, size_t len)
{
	if (len < 2 || p[0] != '\\' || p[1] == '\0')
		return 0;
	if (p[1] == 'u')
		return len >= 6 && strspn(p + 2, "0123456789abcdefABCDEF") >= 4 ? 6 : 0;
	return strchr("\"\\/bfnrt", p[1]) != NULL ? 2 : 0;
}

/* One character of `p` with what it needs; returns the bytes taken. */
static size_t put_char(struct line *l, const char *p, size_t len, enum escaping how)
{
	unsigned char c = (unsigned char)*p;
	size_t n = how == KEEP ? escape_length(p, len) : 0;
	char code[8];

	if (n == 0 && c >= 0x80)
		n = cw_utf8_sequence(p, len);
	if (n > 0) {
		put(l, p, n);
		return n;
	}
	if (c == '\n')
		put(l, "\\n", 2);
	else if (c >= 0x80)
		puts_line(l, "\xef\xbf\xbd");
	else if (c < 0x20 || c == 0x7f)
		put(l, code, (size_t)snprintf(code, sizeof(code), "\\u%04x", c));
	else if (how != PLAIN && (c == '"' || c == '\\'))
		put(l, code, (size_t)snprintf(code, sizeof(code), "\\%c", c));
	else
		put(l, p, 1);
	return 1;
}

static void put_text(struct line *l, const char *text, size_t len, enum escaping how)
{
	for (size_t i = 0; i < len && !l->full;)
		i += put_char(l, text + i, len - i, how);
}

static void put_quoted(struct line *l, const char *text, size_t len)
{
	put(l, "\"", 1);
	put_text(l, text, len, QUOTE);
	put_tail(l, "\"");
}

static bool is_secret(const char *key, size_t len)
{
	for (size_t i = 0; i < sizeof(secret_words) / sizeof(*secret_words); i++)
		if (strlen(secret_words[i]) == len && strncasecmp(key, secret_words[i], len) == 0)
			return true;
	return false;
}

/* One `key=value` of logfmt text; returns where the next one starts. A quoted value comes without its quotes. */
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
	*quoted = *p == '"';
	if (!*quoted) {
		*val = p;
		p += strcspn(p, " ");
		*vlen = (size_t)(p - *val);
		return p;
	}
	*val = ++p;
	for (; *p != '\0' && *p != '"'; p++)
		if (*p == '\\' && p[1] != '\0')
			p++;
	*vlen = (size_t)(p - *val);
	return *p == '"' ? p + 1 : p;
}

/* What we hand out ourselves: API keys, refresh tokens, invitations, and access tokens (JWT). Bytes of it behind the
 * prefix; 0: there is none at `text`. */
static size_t own_secret(const char *text, size_t len, size_t *prefix)
{
	static const char *const prefixes[] = { "cw_live_", "cw_ref_", "cw_inv_", "eyJ" };

	for (size_t i = 0; i < sizeof(prefixes) / sizeof(*prefixes); i++) {
		size_t n = strlen(prefixes[i]), end = n;

		if (len <= n || memcmp(text, prefixes[i], n) != 0)
			continue;
		while (end < len && (isalnum((unsigned char)text[end]) || strchr("-_.", text[end]) != NULL) && text[end] != '\0')
			end++;
		*prefix = n;
		return end - n >= 24 ? end - n : 0;
	}
	return 0;
}

/* Finds the first secret inside a value: the password of scheme://user:password@host, what follows "password=" in a
 * connection string, or a key or token of ours. */
static bool find_secret(const char *val, size_t len, size_t *start, size_t *end)
{
	for (size_t i = 0; i < len; i++) {
		size_t stop, colon = 0, at = 0, prefix = 0, own;

		own = val[i] == 'c' || val[i] == 'e' ? own_secret(val + i, len - i, &prefix) : 0;
		if (own > 0) {
			*start = i + prefix;
			*end = *start + own;
			return true;
		}
		if (len - i > 9 && strncasecmp(val + i, "password=", 9) == 0) {
			char quote = val[i + 9] == '\'' ? '\'' : ' ';

			*start = i + 9;
			for (stop = *start + 1; stop < len && val[stop] != quote && (quote != ' ' || val[stop] != '&'); stop++)
				;
			*end = quote == '\'' && stop < len ? stop + 1 : stop;
			return true;
		}
		if (len - i <= 3 || memcmp(val + i, "://", 3) != 0)
			continue;
		for (stop = i + 3; stop < len && val[stop] != ' '; stop++) {
			if (val[stop] == ':' && colon == 0)
				colon = stop;
			if (val[stop] == '@' && colon > 0)
				at = stop;   /* the last one: a password may hold an @ */
		}
		if (at > 0) {
			*start = colon + 1;
			*end = at;
			return true;
		}
	}
	return false;
}

static void put_value(struct line *l, const char *val, size_t len, enum escaping how)
{
	size_t start, end;

	while (find_secret(val, len, &start, &end)) {
		put_text(l, val, start, how);
		puts_line(l, "***");
		val += end;
		len -= end;
	}
	put_text(l, val, len, how);
}

static void put_pair(struct line *l, const char *key, size_t klen, const char *val, size_t vlen, bool quoted)
{
	bool json = format_now == CW_LOG_JSON, quotes = json || quoted;

	if (l->len + 6 * klen + 16 > l->limit) {   /* no room for the name, all escaped, and a little more */
		l->full = true;
		return;
	}
	if (json) {
		put(l, ",", 1);
		put_quoted(l, key, klen);
	} else {
		put(l, " ", 1);
		put_text(l, key, klen, PLAIN);
	}
	puts_line(l, json ? ":" : "=");
	if (quotes)
		put(l, "\"", 1);
	if (is_secret(key, klen))
		puts_line(l, "***");
	else
		put_value(l, val, vlen, quoted ? KEEP : json ? QUOTE : PLAIN);
	if (quotes)
		put_tail(l, "\"");
}

static void put_fields(struct line *l, const char *fields)
{
	const char *key, *val, *p = fields;
	size_t klen, vlen;
	bool quoted;

	while (*p != '\0' && !l->full) {
		p = next_pair(p, &key, &klen, &val, &vlen, &quoted);
		if (klen > 0)
			put_pair(l, key, klen, val, vlen, quoted);
		else if (*p != '\0' && vlen == 0)
			p++;
	}
}

static void put_head(struct line *l, enum cw_log_level level, const char *group, const char *msg)
{
	int64_t now_us = cw_clock_wall_us();
	char stamp[48];
	bool json = format_now == CW_LOG_JSON;

	cw_time_format(now_us, stamp);
	snprintf(stamp + 19, sizeof(stamp) - 19, ".%03dZ", (int)(now_us / 1000 % 1000));
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

	if (l->full)
		put_tail(l, format_now == CW_LOG_JSON ? ",\"cut\":\"true\"" : " cut=true");
	put_tail(l, format_now == CW_LOG_JSON ? "}\n" : "\n");
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
	struct line l;
	char text[LINE_MAX_BYTES];
	va_list args;

	if (!cw_log_enabled(level, group))
		return;
	l.len = 0;
	l.limit = sizeof(l.text) - TAIL;
	l.full = false;
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

	if (size < 3) {   /* no room for two quotes */
		if (size > 0)
			out[0] = '\0';
		return out;
	}
	l.limit = (size < sizeof(l.text) ? size : sizeof(l.text)) - 2;
	put_quoted(&l, text, strlen(text));
	memcpy(out, l.text, l.len);
	out[l.len] = '\0';
	return out;
}
