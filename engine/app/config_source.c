#include "app/config_source.h"

#include <inttypes.h>
#include <lauxlib.h>
#include <lua.h>
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/suggest.h"
#include "http/client.h"
#include "source/heads.h"

#define NAME_MAX_BYTES 64

struct number {
	const char *key;
	size_t offset;
	int64_t min, max;
	const char *word;                /* stands for -1 */
	const char *doc;
};

#define AT(member) offsetof(struct cw_follow_conf, member)
static const struct number numbers[] = {
	{ "start", AT(start), 0, INT64_MAX / 2, "latest", "first block, where nothing was read yet; \"latest\": the head" },
	{ "confirmations", AT(confirmations), 0, 1000000, NULL, "blocks to stay behind the head" },
	{ "final_blocks", AT(final_blocks), 0, 1000000, "finalized", "so far behind the head a block is final; \"finalized\": "
	  "as the nodes say" },
	{ "poll_ms", AT(poll_ms), 10, 3600000, NULL, "nodes are asked for their head so often" },
	{ "batch", AT(batch), 1, 64, NULL, "blocks in a call" },
	{ "parallel", AT(parallel), 1, 32, NULL, "calls at a time" },
	{ "window", AT(window), 1, 100000, NULL, "blocks fetched ahead" },
	{ "deadline_ms", AT(deadline_ms), 100, 600000, NULL, "of a call" },
	{ "max_reorg", AT(max_reorg), 1, INT64_MAX / 2, NULL, "a reorg of more blocks stops the source" },
};
#define NUMBERS (sizeof(numbers) / sizeof(*numbers))

static const char *const receipts_names[] = { "auto", "block", "single", "none", NULL };

struct reading {
	lua_State *L;
	struct cw_arena *arena;
	struct cw_err *err;
	int index;                       /* of the source, from 1 */
	const char *name;
	struct cw_buf text;
};

static int fault(const struct reading *r, const char *key, const char *what)
{
	if (r->name != NULL)
		return cw_err_set(r->err, CW_ERR_INVALID, "source \"%s\"%s%s: %s", r->name, key[0] != '\0' ? ", " : "", key, what);
	return cw_err_set(r->err, CW_ERR_INVALID, "source %d%s%s: %s", r->index, key[0] != '\0' ? ", " : "", key, what);
}

static const char *copy_text(struct reading *r, int index)
{
	size_t len;
	const char *text = lua_tolstring(r->L, index, &len);

	cw_buf_printf(&r->text, "=%zu:", len);
	cw_buf_add(&r->text, text, len);
	return cw_arena_strndup(r->arena, text, len);
}

/* On top of the stack. */
static int read_number(struct reading *r, const char *key, double min, double max, int64_t *out)
{
	char what[96];
	double n = lua_tonumber(r->L, -1);

	if (lua_type(r->L, -1) != LUA_TNUMBER || n != floor(n) || n < min || n > max) {
		snprintf(what, sizeof(what), "must be a whole number from %.0f to %.0f", min, max);
		return fault(r, key, what);
	}
	*out = (int64_t)n;
	cw_buf_printf(&r->text, "=%" PRId64 ";", *out);
	return 0;
}

static int read_option(struct reading *r, const struct number *number, struct cw_follow_conf *conf)
{
	int64_t *out = (int64_t *)(void *)((char *)conf + number->offset);

	if (number->word != NULL && lua_type(r->L, -1) == LUA_TSTRING && strcmp(lua_tostring(r->L, -1), number->word) == 0) {
		*out = -1;
		cw_buf_puts(&r->text, "=word;");
		return 0;
	}
	return read_number(r, number->key, (double)number->min, (double)number->max, out);
}

static int read_receipts(struct reading *r, struct cw_follow_conf *conf)
{
	const char *text = lua_type(r->L, -1) == LUA_TSTRING ? lua_tostring(r->L, -1) : "";

	for (int i = 0; receipts_names[i] != NULL; i++)
		if (strcmp(text, receipts_names[i]) == 0) {
			conf->receipts = (enum cw_receipts)i;
			copy_text(r, -1);
			return 0;
		}
	return fault(r, "receipts", "must be \"auto\", \"block\", \"single\" or \"none\"");
}

static int read_ws(struct reading *r, struct cw_follow_conf *conf)
{
	struct cw_err err;

	if (lua_type(r->L, -1) != LUA_TSTRING)
		return fault(r, "ws", "must be a ws:// or wss:// URL");
	if (cw_heads_check_url(lua_tostring(r->L, -1), &err) != 0)
		return fault(r, "ws", err.msg);
	conf->ws = copy_text(r, -1);
	return 0;
}

/* --- endpoints --- */

static int read_endpoint_key(struct reading *r, const char *key, const char *where, struct cw_rpc_endpoint_conf *e)
{
	static const char *const keys[] = { "url", "name", "header", "weight", NULL };
	bool text = lua_type(r->L, -1) == LUA_TSTRING;
	int64_t weight = 0;

	cw_buf_puts(&r->text, key);
	if (strcmp(key, "weight") == 0) {
		if (read_number(r, where, 1, 1000, &weight) != 0)
			return -1;
		e->weight = (int)weight;
		return 0;
	}
	for (int i = 0; keys[i] != NULL; i++)
		if (strcmp(key, keys[i]) == 0 && !text)
			return fault(r, where, "url, name and header must be texts");
	if (strcmp(key, "url") == 0)
		e->url = copy_text(r, -1);
	else if (strcmp(key, "name") == 0)
		e->name = copy_text(r, -1);
	else if (strcmp(key, "header") == 0)
		e->header = copy_text(r, -1);
	else
		return fault(r, where, "knows url, name, weight and header only");
	return 0;
}

static int read_endpoint(struct reading *r, int i, struct cw_rpc_endpoint_conf *e)
{
	char where[32];
	struct cw_err err;

	snprintf(where, sizeof(where), "endpoint %d", i);
	*e = (struct cw_rpc_endpoint_conf){ .weight = 1 };
	if (lua_type(r->L, -1) == LUA_TSTRING) {
		e->url = copy_text(r, -1);
	} else if (lua_istable(r->L, -1)) {
		lua_pushnil(r->L);
		while (lua_next(r->L, -2) != 0) {
			if (lua_type(r->L, -2) != LUA_TSTRING)
				return fault(r, where, "has a value without a name");
			if (read_endpoint_key(r, lua_tostring(r->L, -2), where, e) != 0)
				return -1;
			lua_pop(r->L, 1);
		}
	}
	if (e->url == NULL)
		return fault(r, where, "must be a URL, or a table with url, name, weight, header");
	if (cw_httpc_check_url(e->url, &err) != 0)
		return fault(r, where, err.msg);
	if (e->header != NULL && (strpbrk(e->header, "\r\n") != NULL || strchr(e->header, ':') == NULL))
		return fault(r, where, "header must be \"Name: value\" in one line");
	return 0;
}

static int read_endpoints(struct reading *r, struct cw_follow_conf *conf)
{
	struct cw_rpc_endpoint_conf *list;
	size_t n = lua_istable(r->L, -1) ? lua_objlen(r->L, -1) : 0;

	if (n < 1 || n > CW_RPC_ENDPOINTS_MAX)
		return fault(r, "endpoints", "must be a list of 1 to 16 URLs");
	list = cw_arena_zalloc(r->arena, n * sizeof(*list));
	for (size_t i = 0; i < n; i++) {
		lua_rawgeti(r->L, -1, (int)i + 1);
		if (read_endpoint(r, (int)i + 1, &list[i]) != 0)
			return -1;
		lua_pop(r->L, 1);
	}
	conf->endpoints = list;
	conf->nendpoints = (int)n;
	return 0;
}

/* --- one source --- */

static int unknown(const struct reading *r, const char *key)
{
	const char *names[NUMBERS + 7] = { "name", "chain_id", "endpoints", "receipts", "kind", "ws" }, *nearest;
	char what[96];

	for (size_t i = 0; i < NUMBERS; i++)
		names[6 + i] = numbers[i].key;
	names[6 + NUMBERS] = NULL;
	nearest = cw_suggest(key, names);
	if (nearest == NULL)
		return fault(r, key, "unknown key");
	snprintf(what, sizeof(what), "unknown key, did you mean \"%s\"?", nearest);
	return fault(r, key, what);
}

static int read_key(struct reading *r, const char *key, struct cw_source_conf *source)
{
	int64_t number = 0;

	cw_buf_puts(&r->text, key);
	if (strcmp(key, "name") == 0 || strcmp(key, "kind") == 0)
		return 0;
	if (strcmp(key, "endpoints") == 0)
		return read_endpoints(r, &source->follow);
	if (strcmp(key, "receipts") == 0)
		return read_receipts(r, &source->follow);
	if (strcmp(key, "ws") == 0)
		return read_ws(r, &source->follow);
	if (strcmp(key, "chain_id") == 0) {
		if (read_number(r, key, 0, 9e15, &number) != 0)
			return -1;
		source->follow.chain_id = (uint64_t)number;
		return 0;
	}
	for (size_t i = 0; i < NUMBERS; i++)
		if (strcmp(key, numbers[i].key) == 0)
			return read_option(r, &numbers[i], &source->follow);
	return unknown(r, key);
}

static int read_name(struct reading *r, struct cw_source_conf *source)
{
	const char *name;

	lua_getfield(r->L, -1, "name");
	name = lua_type(r->L, -1) == LUA_TSTRING ? lua_tostring(r->L, -1) : "";
	if (name[0] == '\0' || strlen(name) > NAME_MAX_BYTES || strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
	                                                               "0123456789_.-") != strlen(name))
		return fault(r, "name", "must be a text of letters, digits, \"_\", \".\" and \"-\"");
	source->name = copy_text(r, -1);
	r->name = source->name;
	lua_pop(r->L, 1);
	return 0;
}

static int read_source(struct reading *r, struct cw_source_conf *source)
{
	bool has_chain = false;

	source->follow = cw_follow_conf_default;
	source->follow.name = source->name;
	lua_pushnil(r->L);
	while (lua_next(r->L, -2) != 0) {
		if (lua_type(r->L, -2) != LUA_TSTRING)
			return fault(r, "", "has a value without a name");
		if (read_key(r, lua_tostring(r->L, -2), source) != 0)
			return -1;
		has_chain = has_chain || strcmp(lua_tostring(r->L, -2), "chain_id") == 0;
		lua_pop(r->L, 1);
	}
	if (!has_chain)
		return fault(r, "chain_id", "is missing");
	if (source->follow.nendpoints == 0)
		return fault(r, "endpoints", "is missing");
	return 0;
}

/* --- a bus --- */

static int read_topics(struct reading *r, struct cw_bus_conf *bus)
{
	size_t n = lua_istable(r->L, -1) ? lua_objlen(r->L, -1) : 0;

	if (n < 1 || n > CW_BUS_TOPICS_MAX)
		return fault(r, "topics", "must be a list of 1 to 16 names");
	for (size_t i = 0; i < n; i++) {
		lua_rawgeti(r->L, -1, (int)i + 1);
		if (lua_type(r->L, -1) != LUA_TSTRING || lua_objlen(r->L, -1) == 0)
			return fault(r, "topics", "must be a list of 1 to 16 names");
		bus->topics[bus->ntopics++] = copy_text(r, -1);
		lua_pop(r->L, 1);
	}
	return 0;
}

static int read_bus_options(struct reading *r, struct cw_bus_conf *bus)
{
	if (!lua_istable(r->L, -1))
		return fault(r, "options", "must be a table of librdkafka's options and their values as texts");
	lua_pushnil(r->L);
	while (lua_next(r->L, -2) != 0) {
		struct cw_bus_option *option = &bus->options[bus->noptions];

		if (lua_type(r->L, -2) != LUA_TSTRING || lua_type(r->L, -1) != LUA_TSTRING)
			return fault(r, "options", "must be a table of librdkafka's options and their values as texts");
		if (bus->noptions == CW_BUS_OPTIONS_MAX)
			return fault(r, "options", "has more than 32 options");
		option->name = copy_text(r, -2);
		option->value = copy_text(r, -1);
		bus->noptions++;
		lua_pop(r->L, 1);
	}
	return 0;
}

static int read_bus_key(struct reading *r, const char *key, struct cw_bus_conf *bus)
{
	static const char *const keys[] = { "name", "kind", "brokers", "group", "topics", "chain_id", "options", NULL };
	const char *nearest;
	char what[96] = "unknown key";
	int64_t number = 0;

	cw_buf_puts(&r->text, key);
	if (strcmp(key, "name") == 0 || strcmp(key, "kind") == 0)
		return 0;
	if (strcmp(key, "topics") == 0)
		return read_topics(r, bus);
	if (strcmp(key, "options") == 0)
		return read_bus_options(r, bus);
	if (strcmp(key, "chain_id") == 0) {
		if (read_number(r, key, 0, 9e15, &number) != 0)
			return -1;
		bus->chain_id = (uint64_t)number;
		return 0;
	}
	if (strcmp(key, "brokers") == 0 || strcmp(key, "group") == 0) {
		if (lua_type(r->L, -1) != LUA_TSTRING || lua_objlen(r->L, -1) == 0)
			return fault(r, key, "must be a text");
		*(key[0] == 'b' ? &bus->brokers : &bus->group) = copy_text(r, -1);
		return 0;
	}
	nearest = cw_suggest(key, keys);
	if (nearest != NULL)
		snprintf(what, sizeof(what), "unknown key, did you mean \"%s\"?", nearest);
	return fault(r, key, what);
}

static int read_bus(struct reading *r, struct cw_source_conf *source)
{
	struct cw_bus_conf *bus = &source->bus;

	source->kind = CW_SOURCE_KAFKA;
	*bus = (struct cw_bus_conf){ .name = source->name, .chain_id = 1 };
	lua_pushnil(r->L);
	while (lua_next(r->L, -2) != 0) {
		if (lua_type(r->L, -2) != LUA_TSTRING)
			return fault(r, "", "has a value without a name");
		if (read_bus_key(r, lua_tostring(r->L, -2), bus) != 0)
			return -1;
		lua_pop(r->L, 1);
	}
	if (bus->brokers == NULL || bus->group == NULL || bus->ntopics == 0)
		return fault(r, bus->brokers == NULL ? "brokers" : bus->group == NULL ? "group" : "topics", "is missing");
	return 0;
}

/* 1: a bus, 0: a chain. */
static int read_kind(struct reading *r)
{
	const char *kind;
	int rc;

	lua_getfield(r->L, -1, "kind");
	kind = lua_type(r->L, -1) == LUA_TSTRING ? lua_tostring(r->L, -1) : lua_isnil(r->L, -1) ? "chain" : "";
	rc = strcmp(kind, "kafka") == 0 ? 1 : strcmp(kind, "chain") == 0 ? 0 : fault(r, "kind", "must be \"chain\" or \"kafka\"");
	lua_pop(r->L, 1);
	return rc;
}

static int read_one(struct reading *r, struct cw_source_conf *source)
{
	int kind;

	if (!lua_istable(r->L, -1))
		return fault(r, "", "must be a table");
	if (read_name(r, source) != 0)
		return -1;
	kind = read_kind(r);
	return kind < 0 ? -1 : kind == 1 ? read_bus(r, source) : read_source(r, source);
}

static int read_list(struct reading *r, struct cw_source_list *out)
{
	size_t n = lua_istable(r->L, -1) ? lua_objlen(r->L, -1) : 0;

	if (!lua_istable(r->L, -1) || n > CW_SOURCES_MAX)
		return cw_err_set(r->err, CW_ERR_INVALID, "source must be a list of at most %d tables", CW_SOURCES_MAX);
	lua_pushnil(r->L);
	while (lua_next(r->L, -2) != 0) {
		if (lua_type(r->L, -2) != LUA_TNUMBER)
			return cw_err_set(r->err, CW_ERR_INVALID, "source must be a list: source = { { name = ... } }");
		lua_pop(r->L, 1);
	}
	out->list = cw_arena_zalloc(r->arena, (n + 1) * sizeof(*out->list));
	for (size_t i = 0; i < n; i++) {
		struct cw_source_conf *source = &out->list[out->n];

		r->index = (int)i + 1;
		r->name = NULL;
		cw_buf_clear(&r->text);
		lua_rawgeti(r->L, -1, (int)i + 1);
		if (read_one(r, source) != 0)
			return -1;
		lua_pop(r->L, 1);
		for (int k = 0; k < out->n; k++)
			if (strcmp(out->list[k].name, source->name) == 0)
				return fault(r, "name", "is there twice");
		source->text = cw_arena_strndup(r->arena, r->text.data, r->text.len);
		out->n++;
	}
	return 0;
}

int cw_config_read_sources(struct cw_source_list *out, struct lua_State *L, struct cw_arena *arena, struct cw_err *err)
{
	struct reading r = { .L = L, .arena = arena, .err = err, .text = CW_BUF_INIT };
	int rc;

	out->n = 0;
	rc = read_list(&r, out);
	cw_buf_release(&r.text);
	return rc;
}

void cw_config_write_source(struct cw_buf *out)
{
	cw_buf_puts(out, "\t-- Chains to follow, by the JSON-RPC of their nodes.\n"
	                 "\t-- source = {\n"
	                 "\t--   { name = \"mainnet\", chain_id = 1,         -- the name is that of its cursor: keep it\n"
	                 "\t--     endpoints = { \"http://127.0.0.1:8545\",\n"
	                 "\t--       { url = env \"NODE_URL\", name = \"backup\", weight = 1, header = env \"NODE_AUTH\" } },\n");
	for (size_t i = 0; i < NUMBERS; i++) {
		size_t from = out->len;
		int64_t value = *(const int64_t *)(const void *)((const char *)&cw_follow_conf_default + numbers[i].offset);

		if (value < 0)
			cw_buf_printf(out, "\t--     %s = \"%s\",", numbers[i].key, numbers[i].word);
		else
			cw_buf_printf(out, "\t--     %s = %" PRId64 ",", numbers[i].key, value);
		while (out->len - from < 40)
			cw_buf_putc(out, ' ');
		cw_buf_printf(out, "-- %s\n", numbers[i].doc);
	}
	cw_buf_puts(out, "\t--     ws = \"ws://127.0.0.1:8546\",      -- where new blocks are announced: asks sooner than poll_ms\n");
	cw_buf_puts(out, "\t--     receipts = \"auto\",                -- auto, block, single (one by one) or none\n"
	                 "\t--   },\n"
	                 "\t--   -- Transactions from Kafka, one JSON object a message; options are librdkafka's.\n"
	                 "\t--   { name = \"bus\", kind = \"kafka\", brokers = \"127.0.0.1:9092\", group = \"chainwatch\", topics = { \"transactions\" },\n"
	                 "\t--     chain_id = 1, options = { [\"security.protocol\"] = \"plaintext\" } },\n"
	                 "\t-- },\n");
}
