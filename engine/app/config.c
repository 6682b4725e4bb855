#include "app/config.h"

#include <errno.h>
#include <lauxlib.h>
#include <lua.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/data_file.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/suggest.h"
#include "lua/scripts.h"

#define ROUTES_MAX 64

enum kind { TEXT, INTEGER, BOOLEAN };
enum { RELOAD = 0, RESTART = 1, SECRET = 2 };

struct setting {
	const char *section, *key, *env;
	enum kind kind;
	size_t offset;
	const char *def;
	int64_t min, max;
	int flags;
	const char *doc;
};

#define AT(member) offsetof(struct cw_config, member)
#define TXT(s, k, env, member, def, flags, doc) { s, k, env, TEXT, AT(member), def, 0, 0, flags, doc }
#define INT(s, k, member, def, min, max, flags, doc) { s, k, NULL, INTEGER, AT(member), def, min, max, flags, doc }
#define BIT(s, k, member, def, flags, doc) { s, k, NULL, BOOLEAN, AT(member), def, 0, 1, flags, doc }

static const struct setting settings[] = {
	TXT("general", "data_dir", "CHAINWATCH_DATA_DIR", data_dir, "var", RESTART, "private cluster, admin key, checkpoints"),
	INT("general", "chain_id", chain_id, "1", 1, INT64_MAX, RELOAD, "for transactions that name none"),
	BIT("general", "dev", dev, "false", RELOAD, "watch the files of rules and scripts and reload on change"),

	TXT("http", "listen", "CHAINWATCH_LISTEN", listen, "127.0.0.1:8080", RESTART, "address:port, [v6]:port or unix:/path"),
	INT("http", "max_connections", max_connections, "4096", 1, 1000000, RELOAD, "above it: 503 and close"),
	INT("http", "header_bytes", header_bytes, "16384", 1024, 1048576, RELOAD, "all headers of a request; above it: 431"),
	INT("http", "body_bytes", body_bytes, "16777216", 1024, 1073741824, RELOAD, "a request body; above it: 413"),
	INT("http", "head_ms", head_ms, "10000", 100, 600000, RELOAD, "time for the whole head"),
	INT("http", "body_ms", body_ms, "60000", 100, 3600000, RELOAD, "time for the whole body"),
	INT("http", "idle_ms", idle_ms, "60000", 100, 3600000, RELOAD, "between two requests of a connection"),
	INT("http", "write_ms", write_ms, "30000", 100, 3600000, RELOAD, "a client that does not read"),
	INT("http", "reply_ms", reply_ms, "35000", 100, 3600000, RELOAD, "time for an answer; then 503"),
	TXT("http", "tls_cert", NULL, tls_cert, "", RELOAD, "PEM file; empty: no TLS"),
	TXT("http", "tls_key", NULL, tls_key, "", RELOAD, "PEM file"),
	BIT("http", "access_log", access_log, "false", RELOAD, "a line per request"),
	BIT("http", "auth", auth, "true", RELOAD, "ask for an API key (false only behind a proxy that does)"),

	TXT("auth", "registration", NULL, registration, "closed", RELOAD, "who may make an account: closed, invitation or open"),
	INT("auth", "access_s", access_s, "900", 30, 86400, RELOAD, "life of an access token"),
	INT("auth", "session_s", session_s, "1209600", 60, 31622400, RELOAD, "life of a login, refreshed or not"),
	INT("auth", "leeway_s", leeway_s, "5", 0, 300, RELOAD, "for clocks that do not quite agree"),
	TXT("auth", "issuer", NULL, issuer, "chainwatch", RELOAD, "iss of tokens"),
	TXT("auth", "audience", NULL, audience, "chainwatch-api", RELOAD, "aud of tokens"),
	TXT("auth", "token_keys", "CHAINWATCH_TOKEN_KEYS", token_keys, "", RELOAD,
	    "file of keys for tokens; empty: token.keys in $CREDENTIALS_DIRECTORY, else in data_dir"),
	INT("auth", "password_min", password_min, "8", 8, 64, RELOAD, "characters of a new password"),
	INT("auth", "password_queue", password_queue, "32", 1, 1000, RELOAD, "hashes that wait or run; above it: 503"),
	INT("auth", "argon2_memory_kib", argon2_memory_kib, "19456", 8, 4194304, RELOAD, "memory of a password's hash"),
	INT("auth", "argon2_passes", argon2_passes, "2", 1, 100, RELOAD, "passes of a password's hash"),
	INT("auth", "lockout_after", lockout_after, "5", 1, 1000, RELOAD, "failed logins of an account before each doubles the wait"),
	INT("auth", "lockout_max_s", lockout_max_s, "900", 1, 86400, RELOAD, "longest wait"),

	INT("limits", "key_rate", key_rate, "50000", 0, 1000000, RELOAD, "requests a second of an API key; 0: no limit"),
	INT("limits", "key_burst", key_burst, "100000", 1, 10000000, RELOAD, "and so many at once"),
	INT("limits", "user_rate", user_rate, "50000", 0, 1000000, RELOAD, "requests a second of a user, all keys and logins together"),
	INT("limits", "user_burst", user_burst, "100000", 1, 10000000, RELOAD, "and so many at once"),
	INT("limits", "address_rate", address_rate, "0", 0, 1000000, RELOAD, "requests a second of an address"),
	INT("limits", "address_burst", address_burst, "1000", 1, 10000000, RELOAD, "and so many at once"),
	INT("limits", "ingest_rate", ingest_rate, "0", 0, 1000000, RELOAD, "requests a second of a key on routes of role service"),
	INT("limits", "ingest_burst", ingest_burst, "1000", 1, 10000000, RELOAD, "and so many at once"),
	INT("limits", "login_rate", login_rate, "10", 0, 1000000, RELOAD, "logins, refreshes, registrations of an address"),
	INT("limits", "login_burst", login_burst, "200", 1, 10000000, RELOAD, "and so many at once"),
	INT("limits", "failed_rate", failed_rate, "100", 0, 1000000, RELOAD, "requests of an address with a wrong key or token"),
	INT("limits", "failed_burst", failed_burst, "10000", 1, 10000000, RELOAD, "and so many at once"),
	INT("limits", "concurrency", concurrency, "4096", 0, 1000000, RELOAD,
	    "requests of a user under way, but for those of role service; 0: no limit"),
	INT("limits", "address_connections", address_connections, "0", 0, 1000000, RELOAD,
	    "connections of an address; above it: 503 and close; 0: no limit"),

	TXT("audit", "heads", NULL, audit_heads, "", RESTART,
	    "file that signed heads of the audit log are appended to; empty: audit.heads in data_dir"),
	TXT("audit", "key", NULL, audit_key, "", RESTART,
	    "file of the key that signs them; empty: audit.key in $CREDENTIALS_DIRECTORY, else in data_dir"),
	INT("audit", "export_s", audit_export_s, "60", 0, 86400, RELOAD, "so often; 0: never"),
	INT("audit", "export_rows", audit_export_rows, "500", 1, 1000000, RELOAD, "and after so many entries, looked at every 2 s"),

	TXT("database", "url", "DATABASE_URL", database_url, "", RESTART | SECRET,
	    "postgresql:// address; empty: a private PostgreSQL under data_dir"),
	TXT("database", "shared_buffers", NULL, shared_buffers, "256MB", RESTART, "of the private PostgreSQL"),
	TXT("database", "migrations_dir", NULL, migrations_dir, "migrations", RESTART, "SQL files"),
	BIT("database", "migrate", migrate, "true", RESTART, "apply pending migrations at start (else refuse to serve)"),
	INT("database", "pool_size", pool_size, "20", 1, 1000, RELOAD, "connections kept open"),
	INT("database", "pool_overflow", pool_overflow, "10", 0, 1000, RELOAD, "more under load, closed when idle"),
	INT("database", "pool_wait_ms", pool_wait_ms, "30000", 1, 600000, RELOAD, "wait for a connection"),
	INT("database", "pool_recycle_s", pool_recycle_s, "3600", 1, 604800, RELOAD, "age at which a connection is renewed"),
	INT("database", "pool_queue", pool_queue, "1000", 1, 1000000, RELOAD, "waiters; above it: 503 at once"),
	INT("database", "statement_ms", statement_ms, "30000", 0, 3600000, RELOAD, "statement_timeout; 0: none"),
	INT("database", "stats_s", db_stats_s, "15", 0, 3600, RESTART, "how often PostgreSQL's statistics become metrics; 0: never"),
	INT("database", "connect_ms", connect_ms, "5000", 10, 600000, RELOAD, "time to connect"),
	INT("database", "start_wait_s", start_wait_s, "60", 0, 86400, RESTART, "wait for a PostgreSQL that is away at start"),

	INT("pipeline", "queue_limit", queue_limit, "16384", 1000, 10000000, RELOAD, "transactions admitted, not committed yet"),
	INT("pipeline", "group_max", group_max, "1000", 1, 10000, RELOAD, "transactions in one commit"),
	INT("pipeline", "commit_lanes", commit_lanes, "2", 1, 2, RELOAD, "2: a second connection commits in turn while large groups come"),
	INT("pipeline", "commit_linger_us", commit_linger_us, "0", 0, 1000000, RELOAD, "wait for company before a commit"),
	INT("pipeline", "recent_hashes", recent_hashes, "65536", 0, 100000000, RESTART, "known hashes kept in memory"),
	INT("pipeline", "wait_ms", wait_ms, "30000", 1, 600000, RELOAD, "a request waits this long for its commit"),
	INT("pipeline", "ring_slots", ring_slots, "4096", 64, 1048576, RESTART, "transactions on their way to the evaluator"),
	INT("pipeline", "replay_max", replay_max, "200000", 0, 1000000000, RESTART,
	    "newest stored transactions replayed at start when there is no checkpoint"),

	TXT("rules", "dir", NULL, rules_dir, "rules", RELOAD, "folder of rules"),
	TXT("rules", "conf", NULL, rules_conf, "conf/rules.lua", RELOAD, "parameters of rules; may be missing"),
	TXT("rules", "lists", NULL, lists_dir, "conf/lists", RELOAD, "folder of address lists (CSV); may be missing"),
	BIT("rules", "jit", jit, "true", RELOAD, "compile rules"),
	INT("rules", "ticks", ticks, "1000000", 1000, 1000000000000, RELOAD, "budget of one rule call, in guard ticks"),
	INT("rules", "wall_ms", wall_ms, "50", 1, 60000, RELOAD, "wall time of one rule call, behind the ticks"),
	INT("rules", "memory_mb", rule_memory_mb, "64", 4, 4096, RELOAD, "soft memory limit of the rules VM"),
	INT("rules", "quarantine_after", quarantine_after, "100", 0, 1000000000, RESTART, "faults of one rule; 0: never"),
	INT("rules", "hang_ms", hang_ms, "500", 100, 600000, RESTART, "an evaluator without progress is replaced"),
	INT("rules", "load_ms", load_ms, "30000", 100, 600000, RESTART, "time for loading and testing all rules"),
	INT("rules", "state_mb", state_mb, "1024", 16, 1048576, RESTART, "limit of all detector state"),
	INT("rules", "checkpoint_s", checkpoint_s, "300", 0, 86400, RELOAD, "detector state to disk so often; 0: never"),
	INT("rules", "warm_max", warm_max, "1000000", 0, 1000000000000, RELOAD, "history that new state is given, transactions"),
	INT("rules", "warm_hours", warm_hours, "168", 0, 1000000, RELOAD, "and no older than this before the newest; 0: any age"),
	INT("rules", "rate_check_s", rate_check_s, "60", 0, 86400, RELOAD, "look for silent and flooding rules so often; 0: never"),
	INT("rules", "journal_mb", journal_mb, "256", 1, 1048576, RESTART, "undo log of detector state"),

	TXT("scripts", "dir", NULL, scripts_dir, "scripts", RELOAD, "folder with api/, policy/, jobs/, lib/"),
	INT("scripts", "memory_mb", script_memory_mb, "256", 8, 65536, RELOAD, "soft memory limit of the scripts VM"),
	INT("scripts", "turn_ms", turn_ms, "1000", 1, 60000, RELOAD, "CPU time of a handler before it must wait or answer"),

	BIT("admin", "allow_eval", allow_eval, "false", RELOAD, "POST /api/v1/admin/lua runs a text in the sandbox"),

	BIT("backup", "enabled", backup_enabled, "false", RESTART, "archive WAL of the private PostgreSQL, run the schedule"),
	TXT("backup", "repo", NULL, backup_repo, "", RESTART, "folder, or s3://bucket/path; empty: backup/repo in data_dir"),
	TXT("backup", "cipher_pass", NULL, cipher_pass, "", RESTART | SECRET,
	    "encrypts the repository (aes-256); empty: made at first, kept in data_dir/backup/cipher.key"),
	INT("backup", "keep_days", backup_keep_days, "30", 1, 3650, RELOAD, "of full backups and what hangs on them"),
	TXT("backup", "schedule", NULL, backup_schedule, "02:00", RELOAD, "UTC time of the daily backup; empty: none"),
	INT("backup", "full_day", backup_full_day, "0", 0, 6, RELOAD, "day of the weekly full backup, 0: Sunday"),
	INT("backup", "archive_timeout_s", archive_timeout_s, "60", 1, 3600, RESTART, "at most so much is lost with the machine"),
	INT("backup", "dumps", dumps_kept, "7", 0, 1000, RELOAD, "logical dumps kept beside it; 0: none are made"),
	TXT("backup", "dump_dir", NULL, dump_dir, "", RELOAD, "their folder; empty: backup/dumps in data_dir"),
	TXT("backup", "stanza", NULL, stanza, "chainwatch", RESTART, "name of the cluster in the repository"),
	TXT("backup", "pgbackrest_conf", NULL, pgbackrest_conf, "", RESTART,
	    "a pgbackrest.conf of yours, for a PostgreSQL that is not the private one"),
	TXT("backup", "s3_endpoint", NULL, s3_endpoint, "", RESTART, "host[:port]"),
	TXT("backup", "s3_region", NULL, s3_region, "us-east-1", RESTART, "region of the bucket"),
	TXT("backup", "s3_key", NULL, s3_key, "", RESTART | SECRET, "access key"),
	TXT("backup", "s3_key_secret", NULL, s3_key_secret, "", RESTART | SECRET, "its secret"),
	TXT("backup", "s3_uri_style", NULL, s3_uri_style, "host", RESTART, "host or path"),
	BIT("backup", "s3_verify_tls", s3_verify_tls, "true", RESTART, "false only for a server of your own"),

	TXT("log", "level", "CHAINWATCH_LOG", log_level, "info", RELOAD, "debug, info, warn, error or off"),
	TXT("log", "format", NULL, log_format, "logfmt", RELOAD, "logfmt or json"),
};
#define SETTINGS (sizeof(settings) / sizeof(*settings))

static const char *const sections[] = { "general", "http", "auth", "limits", "audit", "database", "pipeline", "rules",
	"scripts", "admin", "backup", "log", NULL };

static void *slot(struct cw_config *config, const struct setting *s)
{
	return (char *)config + s->offset;
}

static const void *peek(const struct cw_config *config, const struct setting *s)
{
	return (const char *)config + s->offset;
}

static const char *peek_text(const struct cw_config *config, const struct setting *s)
{
	return *(const char *const *)peek(config, s);
}

static const struct setting *find(const char *section, const char *key)
{
	for (size_t i = 0; i < SETTINGS; i++)
		if (strcmp(settings[i].section, section) == 0 && strcmp(settings[i].key, key) == 0)
			return &settings[i];
	return NULL;
}

static void store_text(struct cw_config *config, const struct setting *s, const char *text)
{
	*(const char **)slot(config, s) = cw_arena_strndup(config->arena, text, strlen(text));
}

static int set_integer(struct cw_config *config, const struct setting *s, const char *text, struct cw_err *err)
{
	char *end;
	long long n;

	errno = 0;
	n = strtoll(text, &end, 10);
	if (end == text || *end != '\0' || errno != 0)
		return cw_err_set(err, CW_ERR_INVALID, "%s.%s must be a whole number, not \"%s\"", s->section, s->key, text);
	if (n < s->min || n > s->max)
		return cw_err_set(err, CW_ERR_INVALID, "%s.%s must be between %lld and %lld, not %lld", s->section, s->key,
		                  (long long)s->min, (long long)s->max, n);
	*(int64_t *)slot(config, s) = n;
	return 0;
}

/* Sets from text: environment, command line, defaults. */
static int set_text(struct cw_config *config, const struct setting *s, const char *text, struct cw_err *err)
{
	switch (s->kind) {
	case TEXT:
		store_text(config, s, text);
		return 0;
	case BOOLEAN:
		if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
			return cw_err_set(err, CW_ERR_INVALID, "%s.%s must be true or false, not \"%s\"", s->section, s->key, text);
		*(bool *)slot(config, s) = strcmp(text, "true") == 0;
		return 0;
	case INTEGER:
		return set_integer(config, s, text, err);
	}
	return 0;
}

struct reading {
	struct cw_config *config;
	const char *source;
	lua_State *L;
	struct cw_err *err;
};

static int fault(const struct reading *r, const char *section, const char *key, const char *what)
{
	return cw_err_set(r->err, CW_ERR_INVALID, "%s:%d: %s%s%s: %s", r->config->path,
	                  cw_data_file_line(r->source, section, key), section != NULL ? section : "",
	                  section != NULL ? "." : "", key, what);
}

static int unknown(const struct reading *r, const char *section, const char *key)
{
	const char *names[SETTINGS + 1], *nearest;
	char text[160];
	size_t n = 0;

	for (size_t i = 0; i < SETTINGS; i++)
		if (section != NULL && strcmp(settings[i].section, section) == 0)
			names[n++] = settings[i].key;
	names[n] = NULL;
	nearest = cw_suggest(key, section != NULL ? names : sections);
	if (nearest != NULL)
		snprintf(text, sizeof(text), "unknown key, did you mean \"%s\"?", nearest);
	else
		snprintf(text, sizeof(text), "unknown key");
	return fault(r, section, key, text);
}

static int read_integer(const struct reading *r, const struct setting *s)
{
	double n = lua_tonumber(r->L, -1);
	char text[80];

	if (lua_type(r->L, -1) != LUA_TNUMBER || n != floor(n))
		return fault(r, s->section, s->key, "must be a whole number");
	if (n < (double)s->min || n > (double)s->max) {
		snprintf(text, sizeof(text), "must be between %lld and %lld", (long long)s->min, (long long)s->max);
		return fault(r, s->section, s->key, text);
	}
	*(int64_t *)slot(r->config, s) = (int64_t)n;
	return 0;
}

/* The value is on top of the stack. */
static int read_value(const struct reading *r, const struct setting *s)
{
	switch (s->kind) {
	case TEXT:
		if (lua_type(r->L, -1) != LUA_TSTRING)
			return fault(r, s->section, s->key, "must be a string");
		store_text(r->config, s, lua_tostring(r->L, -1));
		return 0;
	case BOOLEAN:
		if (lua_type(r->L, -1) != LUA_TBOOLEAN)
			return fault(r, s->section, s->key, "must be true or false");
		*(bool *)slot(r->config, s) = lua_toboolean(r->L, -1);
		return 0;
	case INTEGER:
		return read_integer(r, s);
	}
	return 0;
}

/* log.groups = { pg = "debug" }; on top of the stack. */
static int read_groups(const struct reading *r)
{
	struct cw_config *c = r->config;
	lua_State *L = r->L;
	enum cw_log_level level;

	if (!lua_istable(L, -1))
		return fault(r, "log", "groups", "must be a table of group = level");
	lua_pushnil(L);
	while (lua_next(L, -2) != 0) {
		struct cw_log_group *group = &c->log_groups[c->nlog_groups];

		if (lua_type(L, -2) != LUA_TSTRING || lua_type(L, -1) != LUA_TSTRING ||
		    !cw_log_level_parse(lua_tostring(L, -1), &level))
			return fault(r, "log", "groups", "must be a table of group = level (debug, info, warn, error, off)");
		if (c->nlog_groups == (int)(sizeof(c->log_groups) / sizeof(*c->log_groups)))
			return fault(r, "log", "groups", "too many groups");
		group->name = cw_arena_strndup(c->arena, lua_tostring(L, -2), lua_objlen(L, -2));
		group->level = cw_arena_strndup(c->arena, lua_tostring(L, -1), lua_objlen(L, -1));
		c->nlog_groups++;
		lua_pop(L, 1);
	}
	return 0;
}

/* limits.routes = { ["POST /api/v1/predict"] = { rate = 100, burst = 200, body_bytes = 65536, timeout_ms = 5000 } }; on
 * top of the stack. */
static int read_route(const struct reading *r, const char *route, struct cw_route_limit *out)
{
	static const char *const keys[] = { "rate", "burst", "body_bytes", "timeout_ms" };
	int64_t *const slots[] = { &out->rate, &out->burst, &out->body_bytes, &out->timeout_ms };
	lua_State *L = r->L;
	int at;

	if (!lua_istable(L, -1) || strchr(route, ' ') == NULL || strchr(route, '/') == NULL)
		return fault(r, "limits", "routes", "must be a table of [\"METHOD /path\"] = { rate, burst, body_bytes, timeout_ms }");
	out->route = cw_arena_strndup(r->config->arena, route, strlen(route));
	lua_pushnil(L);
	while (lua_next(L, -2) != 0) {
		const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
		double n = lua_tonumber(L, -1);

		for (at = 0; at < 4 && strcmp(key, keys[at]) != 0; at++)
			;
		if (at == 4)
			return fault(r, "limits", "routes", "a route has rate, burst, body_bytes and timeout_ms");
		if (lua_type(L, -1) != LUA_TNUMBER || n != floor(n) || n < 1 || n > 9e15)
			return fault(r, "limits", "routes", "the limits of a route must be whole numbers above 0");
		*slots[at] = (int64_t)n;
		lua_pop(L, 1);
	}
	return 0;
}

static int read_routes(const struct reading *r)
{
	struct cw_config *c = r->config;
	lua_State *L = r->L;

	if (!lua_istable(L, -1))
		return fault(r, "limits", "routes", "must be a table");
	c->routes = cw_arena_zalloc(c->arena, ROUTES_MAX * sizeof(*c->routes));
	lua_pushnil(L);
	while (lua_next(L, -2) != 0) {
		if (c->nroutes == ROUTES_MAX)
			return fault(r, "limits", "routes", "too many routes");
		if (lua_type(L, -2) != LUA_TSTRING || read_route(r, lua_tostring(L, -2), &c->routes[c->nroutes++]) != 0)
			return lua_type(L, -2) == LUA_TSTRING ? -1 : fault(r, "limits", "routes", "a route is named by its method and path");
		lua_pop(L, 1);
	}
	return 0;
}

static int read_section(const struct reading *r, const char *section)
{
	lua_State *L = r->L;

	if (!lua_istable(L, -1))
		return fault(r, NULL, section, "must be a table");
	lua_pushnil(L);
	while (lua_next(L, -2) != 0) {
		const struct setting *s;
		const char *key;

		if (lua_type(L, -2) != LUA_TSTRING)
			return fault(r, NULL, section, "has a value without a name");
		key = lua_tostring(L, -2);
		s = find(section, key);
		if (strcmp(section, "log") == 0 && strcmp(key, "groups") == 0) {
			if (read_groups(r) != 0)
				return -1;
		} else if (strcmp(section, "limits") == 0 && strcmp(key, "routes") == 0) {
			if (read_routes(r) != 0)
				return -1;
		} else if (s == NULL) {
			return unknown(r, section, key);
		} else if (read_value(r, s) != 0) {
			return -1;
		}
		lua_pop(L, 1);
	}
	return 0;
}

static int read_sources(const struct reading *r)
{
	if (cw_config_read_sources(&r->config->sources, r->L, r->config->arena, r->err) == 0)
		return 0;
	return cw_err_wrap(r->err, "%s:%d", r->config->path, cw_data_file_line(r->source, NULL, "source"));
}

static int read_deliver(const struct reading *r)
{
	if (cw_config_read_deliver(&r->config->deliver, r->L, r->config->arena, r->err) == 0)
		return 0;
	return cw_err_wrap(r->err, "%s:%d", r->config->path, cw_data_file_line(r->source, NULL, "deliver"));
}

static bool is_section(const char *name)
{
	for (int i = 0; sections[i] != NULL; i++)
		if (strcmp(name, sections[i]) == 0)
			return true;
	return false;
}

static int read_table(void *arg, struct lua_State *L, const char *source, struct cw_err *err)
{
	struct reading r = { .config = arg, .source = source, .L = L, .err = err };

	lua_pushnil(L);
	while (lua_next(L, -2) != 0) {
		const char *section = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : NULL;

		if (section == NULL)
			return cw_err_set(err, CW_ERR_INVALID, "%s:1: a value without a name", r.config->path);
		if (strcmp(section, "source") == 0 || strcmp(section, "deliver") == 0) {
			if ((section[0] == 's' ? read_sources(&r) : read_deliver(&r)) != 0)
				return -1;
			lua_pop(L, 1);
			continue;
		}
		if (!is_section(section))
			return unknown(&r, NULL, section);
		if (read_section(&r, section) != 0)
			return -1;
		lua_pop(L, 1);
	}
	return 0;
}

static int read_environment(struct cw_config *config, struct cw_err *err)
{
	for (size_t i = 0; i < SETTINGS; i++) {
		const char *value = settings[i].env != NULL ? getenv(settings[i].env) : NULL;

		if (value != NULL && value[0] != '\0' && set_text(config, &settings[i], value, err) != 0)
			return cw_err_wrap(err, "environment variable %s", settings[i].env);
	}
	return 0;
}

struct cw_config *cw_config_load(const char *path, struct cw_err *err)
{
	struct cw_config *config = cw_zalloc(sizeof(*config));
	const char *named = path != NULL ? path : getenv("CHAINWATCH_CONFIG");

	config->arena = cw_arena_new();
	for (size_t i = 0; i < SETTINGS; i++)
		set_text(config, &settings[i], settings[i].def, NULL);
	if (named == NULL || named[0] == '\0')
		named = access("conf/chainwatch.lua", R_OK) == 0 ? "conf/chainwatch.lua" : NULL;
	if (named != NULL) {
		config->path = cw_arena_strndup(config->arena, named, strlen(named));
		if (cw_data_file_run(named, read_table, config, err) != 0)
			goto fail;
	}
	if (read_environment(config, err) != 0)
		goto fail;
	return config;
fail:
	cw_config_free(&config);
	return NULL;
}

void cw_config_free(struct cw_config **config)
{
	struct cw_config *c = *config;

	*config = NULL;
	if (c == NULL)
		return;
	cw_arena_free(&c->arena);
	cw_free(c);
}

int cw_config_set(struct cw_config *config, const char *key, const char *value, struct cw_err *err)
{
	const char *dot = strchr(key, '.');
	const struct setting *s = NULL;
	char section[32];

	if (dot != NULL && (size_t)(dot - key) < sizeof(section)) {
		snprintf(section, sizeof(section), "%.*s", (int)(dot - key), key);
		s = find(section, dot + 1);
	}
	if (s == NULL)
		return cw_err_set(err, CW_ERR_INVALID, "unknown setting \"%s\"", key);
	return set_text(config, s, value, err);
}

int cw_config_apply_log(const struct cw_config *config, struct cw_err *err)
{
	enum cw_log_level level, group_level;
	bool json = strcmp(config->log_format, "json") == 0;

	if (!cw_log_level_parse(config->log_level, &level))
		return cw_err_set(err, CW_ERR_INVALID, "log.level must be debug, info, warn, error or off, not \"%s\"",
		                  config->log_level);
	if (!json && strcmp(config->log_format, "logfmt") != 0)
		return cw_err_set(err, CW_ERR_INVALID, "log.format must be logfmt or json, not \"%s\"", config->log_format);
	cw_log_clear_levels();
	cw_log_set_level(NULL, level);
	cw_log_set_format(json ? CW_LOG_JSON : CW_LOG_LOGFMT);
	for (int i = 0; i < config->nlog_groups; i++)
		if (cw_log_level_parse(config->log_groups[i].level, &group_level))
			cw_log_set_level(config->log_groups[i].name, group_level);
	return 0;
}

static void put_value(struct cw_buf *out, const struct cw_config *config, const struct setting *s)
{
	const char *text;

	switch (s->kind) {
	case TEXT:
		text = peek_text(config, s);
		cw_json_put_cstring(out, (s->flags & SECRET) && text[0] != '\0' ? "***" : text);
		return;
	case BOOLEAN:
		cw_buf_puts(out, *(const bool *)peek(config, s) ? "true" : "false");
		return;
	case INTEGER:
		cw_buf_printf(out, "%lld", (long long)*(const int64_t *)peek(config, s));
		return;
	}
}

static bool same(const struct cw_config *a, const struct cw_config *b, const struct setting *s)
{
	switch (s->kind) {
	case TEXT: return strcmp(peek_text(a, s), peek_text(b, s)) == 0;
	case BOOLEAN: return *(const bool *)peek(a, s) == *(const bool *)peek(b, s);
	case INTEGER: return *(const int64_t *)peek(a, s) == *(const int64_t *)peek(b, s);
	}
	return true;
}

void cw_config_restart_needed(const struct cw_config *old, const struct cw_config *fresh, struct cw_buf *out)
{
	for (size_t i = 0; i < SETTINGS; i++) {
		const struct setting *s = &settings[i];

		if ((s->flags & RESTART) && !same(old, fresh, s))
			cw_buf_printf(out, "%s%s.%s", out->len > 0 ? ", " : "", s->section, s->key);
	}
}

void cw_config_changes(const struct cw_config *old, const struct cw_config *fresh, struct cw_buf *out)
{
	bool first = true;

	for (size_t i = 0; i < SETTINGS; i++) {
		const struct setting *s = &settings[i];

		if (same(old, fresh, s))
			continue;
		cw_buf_printf(out, "%s\"%s.%s\"", first ? "" : ",", s->section, s->key);
		first = false;
	}
}

void cw_config_to_json(const struct cw_config *config, struct cw_buf *out)
{
	cw_buf_putc(out, '{');
	for (int n = 0; sections[n] != NULL; n++) {
		bool first = true;

		cw_buf_printf(out, "%s\"%s\":{", n > 0 ? "," : "", sections[n]);
		for (size_t i = 0; i < SETTINGS; i++) {
			if (strcmp(settings[i].section, sections[n]) != 0)
				continue;
			cw_buf_printf(out, "%s\"%s\":", first ? "" : ",", settings[i].key);
			put_value(out, config, &settings[i]);
			first = false;
		}
		cw_buf_putc(out, '}');
	}
	cw_buf_putc(out, '}');
}

static void write_setting(struct cw_buf *out, const struct setting *s)
{
	size_t from = out->len;

	cw_buf_printf(out, s->kind == TEXT ? "\t\t-- %s = \"%s\"," : "\t\t-- %s = %s,", s->key, s->def);
	while (out->len - from < 44)
		cw_buf_putc(out, ' ');
	cw_buf_printf(out, " -- %s%s", s->doc, (s->flags & RESTART) ? " (restart)" : "");
	if (s->env != NULL)
		cw_buf_printf(out, "; $%s", s->env);
	cw_buf_putc(out, '\n');
}

void cw_config_write_default(struct cw_buf *out)
{
	cw_buf_puts(out, "-- chainwatch settings. Every key is shown with its default; take away the dashes to change one.\n"
	                 "-- Order: built-in < this file < environment < command line. `chainwatch check` looks it over.\n"
	                 "-- A reload (SIGHUP, `chainwatch reload`) takes every key but those marked (restart).\n"
	                 "-- env(\"NAME\"), file(\"PATH\"), credential(\"NAME\") read a secret: environment, a file, systemd's "
	                 "LoadCredential=.\n"
	                 "return {\n");
	for (int n = 0; sections[n] != NULL; n++) {
		cw_buf_printf(out, "\t%s = {\n", sections[n]);
		for (size_t i = 0; i < SETTINGS; i++)
			if (strcmp(settings[i].section, sections[n]) == 0)
				write_setting(out, &settings[i]);
		if (strcmp(sections[n], "log") == 0)
			cw_buf_puts(out, "\t\t-- groups = { pg = \"debug\" },\n");
		if (strcmp(sections[n], "limits") == 0)
			cw_buf_puts(out, "\t\t-- routes = { [\"POST /api/v1/predict\"] = { rate = 100, burst = 200, body_bytes = 65536, "
			            "timeout_ms = 5000 } },\n");
		cw_buf_puts(out, "\t},\n");
	}
	cw_config_write_source(out);
	cw_config_write_deliver(out);
	cw_buf_puts(out, "}\n");
}
