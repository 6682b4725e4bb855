#include "app/config_deliver.h"

#include <lauxlib.h>
#include <lua.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/suggest.h"
#include "http/client.h"

#define NAME_MAX_BYTES 64

enum kind { TEXT, TEXTS, NUMBER, FLAG, MAP };

struct key {
	const char *name;
	enum kind kind;
	double min, max;
};

static const struct key keys[] = {
	{ "name", TEXT, 0, 0 }, { "format", TEXT, 0, 0 }, { "url", TEXT, 0, 0 }, { "secrets", TEXTS, 0, 0 },
	{ "headers", MAP, 0, 0 }, { "routing_key", TEXT, 0, 0 }, { "from", TEXT, 0, 0 }, { "to", TEXTS, 0, 0 },
	{ "user", TEXT, 0, 0 }, { "password", TEXT, 0, 0 }, { "min_severity", TEXT, 0, 0 }, { "rules", TEXTS, 0, 0 },
	{ "not_rules", TEXTS, 0, 0 }, { "tags", TEXTS, 0, 0 }, { "labels", TEXTS, 0, 0 }, { "chains", TEXTS, 0, 0 },
	{ "events", TEXTS, 0, 0 },
	{ "per_minute", NUMBER, 1, 100000 }, { "group", NUMBER, 1, 1000 }, { "timeout_ms", NUMBER, 100, 60000 },
	{ "max_attempts", NUMBER, 1, 100 }, { "allow_private", FLAG, 0, 0 },
};
#define KEYS (sizeof(keys) / sizeof(keys[0]))

static const char *const formats[] = { "generic", "cloudevents", "slack", "discord", "pagerduty", "alertmanager", "email", NULL };
static const char *const severities[] = { "low", "medium", "high", "critical", NULL };
static const char *const events[] = { "new", "updated", "retracted", "reborn", "label_withdrawn", NULL };

struct reading {
	lua_State *L;
	struct cw_arena *arena;
	struct cw_err *err;
	struct cw_buf *json;
	int index;                       /* of the target, from 1 */
	const char *name, *format, *url;
};

static int fault(const struct reading *r, const char *key, const char *what)
{
	const char *comma = key[0] != '\0' ? ", " : "";

	if (r->name != NULL)
		return cw_err_set(r->err, CW_ERR_INVALID, "deliver \"%s\"%s%s: %s", r->name, comma, key, what);
	return cw_err_set(r->err, CW_ERR_INVALID, "deliver %d%s%s: %s", r->index, comma, key, what);
}

static bool is_one_of(const char *word, const char *const *names)
{
	while (*names != NULL && strcmp(*names, word) != 0)
		names++;
	return *names != NULL;
}

static int must_be_one_of(const struct reading *r, const char *key, const char *word, const char *const *names)
{
	struct cw_buf what = CW_BUF_INIT;
	int rc;

	if (is_one_of(word, names))
		return 0;
	cw_buf_printf(&what, "\"%.60s\" is none of", word);
	for (int i = 0; names[i] != NULL; i++)
		cw_buf_printf(&what, "%s %s", i > 0 ? "," : "", names[i]);
	rc = fault(r, key, what.data);
	cw_buf_release(&what);
	return rc;
}

/* A text at `index`, checked where its key says what it may be. */
static int check_text(struct reading *r, const char *key, int index)
{
	const char *text = lua_tostring(r->L, index);

	if (text[0] == '\0')
		return fault(r, key, "is empty");
	if (strcmp(key, "name") == 0) {
		if (strlen(text) > NAME_MAX_BYTES || strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") !=
		    strlen(text))
			return fault(r, key, "must be up to 64 letters, digits, and _ . -");
		r->name = cw_arena_strndup(r->arena, text, strlen(text));
	} else if (strcmp(key, "format") == 0) {
		r->format = cw_arena_strndup(r->arena, text, strlen(text));
	} else if (strcmp(key, "url") == 0) {
		r->url = cw_arena_strndup(r->arena, text, strlen(text));
	} else if (strcmp(key, "min_severity") == 0) {
		return must_be_one_of(r, key, text, severities);
	} else if (strcmp(key, "events") == 0) {
		return must_be_one_of(r, key, text, events);
	}
	return 0;
}

static int read_texts(struct reading *r, const char *key)
{
	lua_State *L = r->L;
	int n;

	if (lua_type(L, -1) == LUA_TSTRING) {
		lua_newtable(L);
		lua_insert(L, -2);
		lua_rawseti(L, -2, 1);
	}
	if (!lua_istable(L, -1))
		return fault(r, key, "must be a list of texts");
	n = (int)lua_objlen(L, -1);
	cw_buf_putc(r->json, '[');
	for (int i = 1; i <= n; i++) {
		lua_rawgeti(L, -1, i);
		if (lua_type(L, -1) != LUA_TSTRING && lua_type(L, -1) != LUA_TNUMBER)
			return fault(r, key, "must be a list of texts");
		lua_pushstring(L, lua_tostring(L, -1));
		lua_replace(L, -2);
		if (check_text(r, key, lua_gettop(L)) != 0)
			return -1;
		if (i > 1)
			cw_buf_putc(r->json, ',');
		cw_json_put_cstring(r->json, lua_tostring(L, -1));
		lua_pop(L, 1);
	}
	cw_buf_putc(r->json, ']');
	return n > 0 ? 0 : fault(r, key, "is an empty list");
}

static int read_map(struct reading *r, const char *key)
{
	lua_State *L = r->L;
	const char *comma = "";

	if (!lua_istable(L, -1))
		return fault(r, key, "must be a table of texts");
	cw_buf_putc(r->json, '{');
	lua_pushnil(L);
	while (lua_next(L, -2) != 0) {
		if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING)
			return fault(r, key, "must be a table of texts");
		if (strpbrk(lua_tostring(L, -1), "\r\n") != NULL || strpbrk(lua_tostring(L, -2), "\r\n: ") != NULL)
			return fault(r, key, "has a header that is none");
		cw_buf_puts(r->json, comma);
		cw_json_put_cstring(r->json, lua_tostring(L, -2));
		cw_buf_putc(r->json, ':');
		cw_json_put_cstring(r->json, lua_tostring(L, -1));
		comma = ",";
		lua_pop(L, 1);
	}
	cw_buf_putc(r->json, '}');
	return 0;
}

/* The value is on top. */
static int read_value(struct reading *r, const struct key *key)
{
	lua_State *L = r->L;
	char what[80];

	cw_buf_printf(r->json, "%s\"%s\":", r->json->data[r->json->len - 1] == '{' ? "" : ",", key->name);
	switch (key->kind) {
	case TEXT:
		if (lua_type(L, -1) != LUA_TSTRING)
			return fault(r, key->name, "must be text");
		if (check_text(r, key->name, lua_gettop(L)) != 0)
			return -1;
		cw_json_put_cstring(r->json, lua_tostring(L, -1));
		return 0;
	case TEXTS: return read_texts(r, key->name);
	case MAP: return read_map(r, key->name);
	case NUMBER:
		if (lua_type(L, -1) != LUA_TNUMBER || lua_tonumber(L, -1) != floor(lua_tonumber(L, -1)) ||
		    lua_tonumber(L, -1) < key->min || lua_tonumber(L, -1) > key->max) {
			snprintf(what, sizeof(what), "must be a whole number from %.0f to %.0f", key->min, key->max);
			return fault(r, key->name, what);
		}
		cw_buf_printf(r->json, "%.0f", lua_tonumber(L, -1));
		return 0;
	case FLAG:
		if (!lua_isboolean(L, -1))
			return fault(r, key->name, "must be true or false");
		cw_buf_puts(r->json, lua_toboolean(L, -1) ? "true" : "false");
		return 0;
	}
	return 0;
}

static int unknown(const struct reading *r, const char *key)
{
	const char *names[KEYS + 1] = { NULL };
	char what[128];

	for (size_t i = 0; i < KEYS; i++)
		names[i] = keys[i].name;
	snprintf(what, sizeof(what), "is not known%s%s%s", cw_suggest(key, names) != NULL ? ", did you mean \"" : "",
	         cw_suggest(key, names) != NULL ? cw_suggest(key, names) : "", cw_suggest(key, names) != NULL ? "\"?" : "");
	return fault(r, key, what);
}

static int check_whole(struct reading *r)
{
	struct cw_err err;

	if (r->name == NULL)
		return fault(r, "name", "is missing");
	if (must_be_one_of(r, "format", r->format != NULL ? r->format : "generic", formats) != 0)
		return -1;
	if (r->url == NULL)
		return fault(r, "url", "is missing");
	if (r->format != NULL && strcmp(r->format, "email") == 0) {
		if (strncmp(r->url, "smtp://", 7) != 0 && strncmp(r->url, "smtps://", 8) != 0)
			return fault(r, "url", "must begin with smtp:// or smtps:// for e-mail");
		return 0;
	}
	return cw_httpc_check_url(r->url, &err) == 0 ? 0 : fault(r, "url", err.msg);
}

/* The table of one target is on top. */
static int read_target(struct reading *r)
{
	lua_State *L = r->L;

	if (!lua_istable(L, -1))
		return fault(r, "", "must be a table");
	lua_getfield(L, -1, "name");
	if (lua_type(L, -1) == LUA_TSTRING && check_text(r, "name", lua_gettop(L)) != 0)
		return -1;
	lua_pop(L, 1);
	cw_buf_putc(r->json, '{');
	for (size_t i = 0; i < KEYS; i++) {
		lua_getfield(L, -1, keys[i].name);
		if (!lua_isnil(L, -1) && read_value(r, &keys[i]) != 0)
			return -1;
		lua_pop(L, 1);
	}
	cw_buf_putc(r->json, '}');
	lua_pushnil(L);
	while (lua_next(L, -2) != 0) {
		const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
		bool known = false;

		for (size_t i = 0; i < KEYS; i++)
			known = known || strcmp(keys[i].name, key) == 0;
		if (!known)
			return unknown(r, key);
		lua_pop(L, 1);
	}
	return check_whole(r);
}

int cw_config_read_deliver(struct cw_deliver_list *out, struct lua_State *L, struct cw_arena *arena, struct cw_err *err)
{
	const char *names[CW_TARGETS_MAX];
	struct cw_buf json = CW_BUF_INIT;
	int rc = 0, n;

	if (!lua_istable(L, -1))
		return cw_err_set(err, CW_ERR_INVALID, "deliver must be a list of targets");
	n = (int)lua_objlen(L, -1);
	if (n > CW_TARGETS_MAX)
		return cw_err_set(err, CW_ERR_INVALID, "deliver has more than %d targets", CW_TARGETS_MAX);
	cw_buf_putc(&json, '[');
	for (int i = 1; i <= n && rc == 0; i++) {
		struct reading r = { .L = L, .arena = arena, .err = err, .json = &json, .index = i };

		if (i > 1)
			cw_buf_putc(&json, ',');
		lua_rawgeti(L, -1, i);
		rc = read_target(&r);
		lua_pop(L, 1);
		for (int k = 0; k < i - 1 && rc == 0; k++)
			if (strcmp(names[k], r.name) == 0)
				rc = fault(&r, "name", "is used twice");
		names[i - 1] = r.name;
	}
	cw_buf_putc(&json, ']');
	out->n = n;
	out->json = rc == 0 && n > 0 ? cw_arena_strndup(arena, json.data, json.len) : NULL;
	cw_buf_release(&json);
	return rc;
}

void cw_config_write_deliver(struct cw_buf *out)
{
	cw_buf_puts(out,
		"\t-- Receivers of alerts, each with at-least-once delivery: docs/OPERATIONS.md.\n"
		"\t-- deliver = {\n"
		"\t--   { name = \"ops\",                       -- letters, digits, _ . -; stays the same: deliveries name it\n"
		"\t--     format = \"generic\",                 -- generic, cloudevents, slack, discord, pagerduty, alertmanager, email\n"
		"\t--     url = \"https://example.org/hook\",   -- smtp:// or smtps:// for e-mail\n"
		"\t--     secrets = { file(\"hook.secret\") },  -- \"whsec_...\"; each signs (two while one is replaced)\n"
		"\t--     headers = { Authorization = env(\"HOOK_TOKEN\") },\n"
		"\t--     routing_key = env(\"PAGERDUTY_KEY\"), -- pagerduty\n"
		"\t--     from = \"cw@example.org\", to = { \"soc@example.org\" }, user = \"\", password = \"\",   -- email\n"
		"\t--     min_severity = \"high\",              -- this or above\n"
		"\t--     rules = { \"eth.*\" }, not_rules = {}, tags = { \"aml.*\" }, chains = { 1 },   -- all that are given must fit\n"
		"\t--     labels = { \"sanctioned\" },         -- rests on an entry of such a list or category\n"
		"\t--     events = { \"new\", \"updated\", \"retracted\", \"reborn\", \"label_withdrawn\" },\n"
		"\t--     per_minute = 60,                    -- messages; more wait\n"
		"\t--     group = 20,                         -- up to so many alerts in one message when they queue up\n"
		"\t--     timeout_ms = 10000, max_attempts = 12,   -- then it is given up, until an operator retries it\n"
		"\t--     allow_private = false },            -- may resolve to a private, loopback or link-local address\n"
		"\t-- },\n");
}
