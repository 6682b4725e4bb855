#include "lua/rule.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>
#include <lua.h>
#include <sodium.h>

#include "base/arena.h"
#include "base/assert.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/suggest.h"
#include "detect/lists.h"
#include "lua/load.h"
#include "lua/rule_internal.h"
#include "lua/rulejson.h"
#include "lua/trace.h"
#include "lua/rulestate.h"
#include "pipeline/evaluate.h"
#include "pipeline/living.h"

#define FILE_MAX ((size_t)64 << 10)   /* a rule is a page of Lua */

const struct cw_rules_conf cw_rules_conf_default = {
	.ticks = 1000000,
	.wall_us = 50000,
	.memory_bytes = (size_t)64 << 20,
	.jit = true,
};

/* Loading a file and running its state(p): 50 times what a transaction may take, and one second. */
static struct cw_budget load_budget(const struct cw_rules *rules)
{
	return (struct cw_budget){ .ticks = 50 * rules->conf.ticks, .time_us = 1000000 };
}

int cw_rules_protected(struct cw_rules *rules, lua_CFunction fn, void *job, struct cw_err *err)
{
	lua_State *L = cw_vm_state(rules->vm);
	const struct cw_budget budget = load_budget(rules);

	lua_pushcfunction(L, fn);
	lua_pushlightuserdata(L, job);
	if (cw_vm_call(rules->vm, L, 1, 0, &budget, &rules->report) != 0)
		return cw_err_set(err, CW_ERR_SCRIPT, "%s", rules->report.message);
	return 0;
}

/* --- loading --- */

static int open_protected(lua_State *L)
{
	struct cw_rules *rules = lua_touserdata(L, 1);

	if (rules->trace != NULL)
		cw_trace_open(rules->trace, L);
	cw_rulebind_open(rules, L);
	cw_ruledecl_open(rules, L);
	cw_ruletest_open(rules, L);
	return 0;
}

static void hash_text(const char *text, size_t len, char out[65])
{
	static const char digits[] = "0123456789abcdef";
	uint8_t hash[crypto_hash_sha256_BYTES];

	crypto_hash_sha256(hash, (const uint8_t *)text, len);
	for (size_t i = 0; i < crypto_hash_sha256_BYTES; i++) {
		out[2 * i] = digits[hash[i] >> 4];
		out[2 * i + 1] = digits[hash[i] & 15];
	}
	out[64] = '\0';
}

/* The result of the main function is on top; popped. */
static int check_returned(struct cw_rules *rules, const struct cw_rule *rule, struct cw_err *err)
{
	lua_State *L = cw_vm_state(rules->vm);
	bool is;

	lua_rawgeti(L, LUA_REGISTRYINDEX, rules->refs.token);
	is = lua_rawequal(L, -1, -2) != 0;
	lua_pop(L, 2);
	if (is && rule->id != NULL)
		return 0;
	return cw_err_set(err, CW_ERR_SCRIPT, "%s:1: the file must return rule { ... }", rule->file);
}

bool cw_rule_is_shadow(const struct cw_rule *rule)
{
	return rule->role == CW_RULE_CANDIDATE || rule->status == CW_RULE_SHADOW;
}

static int set_role(struct cw_rule *rule, enum cw_rule_role role, struct cw_err *err)
{
	int n = snprintf(rule->space, sizeof(rule->space), "%s%s", role == CW_RULE_CANDIDATE ? "~" : "", rule->id);

	rule->role = role;
	if (n > 64)                           /* the longest name of a root is 64, a slash, and 30 */
		return cw_err_set(err, CW_ERR_SCRIPT, "%s:%d: the id of a candidate has at most 63 characters", rule->file,
		                  rule->line);
	return 0;
}

/* "candidates/<id>.lua": it was handed in as a candidate of this very rule. */
static int check_file_name(const struct cw_rule *rule, struct cw_err *err)
{
	const char *name = rule->file + strlen(CW_RULE_CANDIDATES);
	size_t len = strlen(name) - strlen(".lua");

	if (strlen(rule->id) == len && strncmp(rule->id, name, len) == 0)
		return 0;
	return cw_err_set(err, CW_ERR_SCRIPT, "%s:%d: the text declares rule \"%s\", not \"%.*s\"", rule->file, rule->line,
	                  rule->id, (int)len, name);
}

/* Of two files with one id, one may be a candidate: that of candidates/, else the one with status "shadow". */
static int take_role(const struct cw_rules *rules, struct cw_rule *rule, struct cw_err *err)
{
	bool given = strncmp(rule->file, CW_RULE_CANDIDATES, strlen(CW_RULE_CANDIDATES)) == 0;

	if (set_role(rule, given ? CW_RULE_CANDIDATE : CW_RULE_LIVE, err) != 0)
		return -1;
	if (given && check_file_name(rule, err) != 0)
		return -1;
	if (strncmp(rule->file, CW_RULE_PROMOTED, strlen(CW_RULE_PROMOTED)) == 0 && rule->status == CW_RULE_SHADOW)
		rule->status = CW_RULE_STABLE;
	for (struct cw_rule *other = rules->rules; other < rule; other++) {
		if (strcmp(other->id, rule->id) != 0 || other->role != rule->role)
			continue;
		if (!given && other->status != CW_RULE_SHADOW && rule->status == CW_RULE_SHADOW)
			return set_role(rule, CW_RULE_CANDIDATE, err);
		if (!given && other->status == CW_RULE_SHADOW && rule->status != CW_RULE_SHADOW)
			return set_role(other, CW_RULE_CANDIDATE, err);
		return cw_err_set(err, CW_ERR_SCRIPT, "%s:%d: rule id \"%s\" is already used in %s", rule->file, rule->line,
		                  rule->id, other->file);
	}
	return 0;
}

/* When all files are read: two candidates of one rule are one too many. */
static int check_candidates(const struct cw_rules *rules, struct cw_err *err)
{
	for (const struct cw_rule *a = rules->rules; a < rules->rules + rules->n; a++)
		for (const struct cw_rule *b = rules->rules; b < a; b++)
			if (a->role == b->role && strcmp(a->id, b->id) == 0)
				return cw_err_set(err, CW_ERR_SCRIPT, "%s:%d: rule \"%s\" has another %s in %s", a->file, a->line, a->id,
				                  a->role == CW_RULE_CANDIDATE ? "candidate" : "version", b->file);
	return 0;
}

/* Errors raised in C, and those that are no text, do not say where. */
int cw_rule_name_file(struct cw_err *err, const struct cw_rule *rule)
{
	if (strncmp(err->msg, rule->file, strlen(rule->file)) != 0)
		cw_err_wrap(err, "%s:%d", rule->file, rule->line);
	return -1;
}

static int load_file(struct cw_rules *rules, const struct cw_bundle_file *file, struct cw_err *err)
{
	lua_State *L = cw_vm_state(rules->vm);
	const struct cw_budget budget = load_budget(rules);
	struct cw_rule *rule = &rules->rules[rules->n];
	int failed;

	*rule = (struct cw_rule){ .index = rules->n, .line = 1, .enabled = true, .evaluate = LUA_NOREF, .state = LUA_NOREF,
		                      .params = LUA_NOREF, .when = LUA_NOREF, .tests = LUA_NOREF,
		                      .cooldown_s = CW_LIVING_DEFAULT_S, .file = cw_strdup(file->name) };
	rules->n++;
	if (file->len > FILE_MAX)
		return cw_err_set(err, CW_ERR_SCRIPT, "%s:1: file has %zu bytes, more than %zu", file->name, file->len, FILE_MAX);
	hash_text(file->text, file->len, rule->sha256);
	if (cw_load(rules->vm, file->name, file->text, file->len, err) != 0)
		return -1;
	rules->loading = rule;
	rules->text = file->text;
	rules->text_len = file->len;
	failed = cw_vm_call(rules->vm, L, 0, 1, &budget, &rules->report);
	rules->loading = NULL;
	rules->text = NULL;
	if (failed) {
		cw_err_set(err, CW_ERR_SCRIPT, "%s", rules->report.message);
		return cw_rule_name_file(err, rule);
	}
	if (check_returned(rules, rule, err) != 0)
		return -1;
	return take_role(rules, rule, err);
}

static const char *unknown_rule(const struct cw_rules *rules, const char *id)
{
	const char **names = cw_zalloc((rules->n + 1) * sizeof(*names));
	const char *hint;

	for (uint32_t i = 0; i < rules->n; i++)
		names[i] = rules->rules[i].id;
	hint = cw_rule_suggest(id, names);
	cw_free(names);
	return hint;
}

static int check_params(const struct cw_rules *rules, const struct cw_json *params, struct cw_err *err)
{
	for (const struct cw_json *m = params->first; m != NULL; m = m->next) {
		bool known = false;

		for (uint32_t i = 0; i < rules->n; i++)
			known = known || strcmp(rules->rules[i].id, m->key) == 0;
		if (!known && rules->conf.loose_params)
			continue;
		if (!known)
			return cw_err_set(err, CW_ERR_INVALID, "parameters are given for rule \"%s\", which does not exist%s", m->key,
			                  unknown_rule(rules, m->key));
		if (m->type != CW_JSON_OBJECT)
			return cw_err_set(err, CW_ERR_INVALID, "parameters of rule \"%s\" must be an object", m->key);
	}
	return 0;
}

/* "cooldown" among the overrides means the declaration's, unless the rule has a parameter of that name. The table of
 * overrides is on top. */
static int override_cooldown(const struct cw_rules *rules, struct cw_rule *rule, struct cw_err *err)
{
	lua_State *L = cw_vm_state(rules->vm);
	bool own, good = true;

	lua_rawgeti(L, LUA_REGISTRYINDEX, rule->params);
	lua_pushliteral(L, "cooldown");
	lua_rawget(L, -2);
	own = !lua_isnil(L, -1);
	lua_pop(L, 2);
	lua_pushliteral(L, "cooldown");
	lua_rawget(L, -2);
	if (!own && !lua_isnil(L, -1)) {
		good = cw_rule_read_cooldown(L, lua_gettop(L), &rule->cooldown_s);
		lua_pushliteral(L, "cooldown");
		lua_pushnil(L);
		lua_rawset(L, -4);
	}
	lua_pop(L, 1);
	if (good)
		return 0;
	return cw_err_set(err, CW_ERR_INVALID, "parameter \"cooldown\" of rule \"%s\" must be a duration from \"0s\" to "
	                  "\"30d\", like \"1h\"", rule->id);
}

static int bind_all(struct cw_rules *rules, const struct cw_json *params, struct cw_err *err)
{
	lua_State *L = cw_vm_state(rules->vm);

	for (uint32_t i = 0; i < rules->n; i++) {
		struct cw_rule *rule = &rules->rules[i];
		const struct cw_json *overrides = cw_json_get(params, rule->id);

		if (overrides != NULL)
			cw_lua_push_json(L, overrides);
		else
			lua_pushnil(L);
		if (overrides != NULL && override_cooldown(rules, rule, err) != 0) {
			lua_pop(L, 1);
			return -1;
		}
		rule->live = cw_rule_bind_new(rules, rule, err);
		if (rule->live == NULL)
			return -1;
	}
	return 0;
}

static void take_hints(struct cw_rules *rules)
{
	rules->hints = cw_zalloc(rules->n * sizeof(*rules->hints));
	for (uint32_t i = 0; i < rules->n; i++) {
		const struct cw_when *when = rules->rules[i].live->when;

		if (when == NULL)
			rules->always[i / 64] |= 1ull << (i % 64);
		else
			cw_when_hint(when, &rules->hints[i]);
	}
}

static int load_all(struct cw_rules *rules, const struct cw_bundle *bundle, struct cw_arena *arena, struct cw_err *err)
{
	const char *text = bundle->params_json != NULL ? bundle->params_json : "{}";
	const struct cw_json *params;
	struct cw_json_error fault;

	params = cw_json_parse(text, strlen(text), CW_JSON_DEPTH_DEFAULT, arena, &fault);
	if (params == NULL || params->type != CW_JSON_OBJECT)
		return cw_err_set(err, CW_ERR_INVALID, "parameters of rules are not a JSON object: %s",
		                  params == NULL ? fault.what : "another type");
	if (cw_rules_protected(rules, open_protected, rules, err) != 0)
		return -1;
	if (bundle->nrules > CW_RULES_MAX)
		return cw_err_set(err, CW_ERR_INVALID, "there are %d rules, more than %d", bundle->nrules, CW_RULES_MAX);
	rules->rules = cw_zalloc((size_t)bundle->nrules * sizeof(*rules->rules));
	for (int i = 0; i < bundle->nrules; i++)
		if (load_file(rules, &bundle->rules[i], err) != 0)
			return -1;
	if (check_candidates(rules, err) != 0 || check_params(rules, params, err) != 0)
		return -1;
	if (bind_all(rules, params, err) != 0)
		return -1;
	take_hints(rules);
	return 0;
}

struct cw_rules *cw_rules_load(const struct cw_bundle *bundle, const struct cw_rules_conf *conf, struct cw_err *err)
{
	const struct cw_vm_conf vm = { .world = CW_WORLD_RULES, .soft_bytes = conf->memory_bytes,
		                         .jit = conf->jit && !conf->trace };
	struct cw_rules *rules = cw_zalloc(sizeof(*rules));
	struct cw_arena *arena;
	int failed;

	rules->magic = CW_RULES_MAGIC;
	rules->conf = *conf;
	rules->conf.jit = vm.jit;
	cw_buf_init(&rules->features);
	cw_buf_init(&rules->explanation);
	cw_buf_init(&rules->labels);
	rules->vm = cw_vm_new(&vm, err);
	if (rules->vm == NULL) {
		cw_rules_free(&rules);
		return NULL;
	}
	cw_vm_set_owner(rules->vm, rules);
	if (conf->trace) {
		rules->trace = cw_trace_new();
		cw_vm_set_trace(rules->vm, rules->trace);
	}
	arena = cw_arena_new();
	failed = load_all(rules, bundle, arena, err);
	cw_arena_free(&arena);
	if (failed)
		cw_rules_free(&rules);
	return rules;
}

static void free_texts(struct cw_rule_texts *texts)
{
	for (int i = 0; i < texts->n; i++)
		cw_free(texts->items[i]);
	cw_free(texts->items);
}

void cw_rules_free(struct cw_rules **rules)
{
	struct cw_rules *r = *rules;

	*rules = NULL;
	if (r == NULL)
		return;
	for (uint32_t i = 0; i < r->n; i++) {
		struct cw_rule *rule = &r->rules[i];

		cw_rule_bind_free(r, &rule->live);
		cw_free(rule->file);
		cw_free(rule->id);
		cw_free(rule->version);
		cw_free(rule->title);
		cw_free(rule->description);
		cw_free(rule->fires);
		free_texts(&rule->references);
		free_texts(&rule->false_positives);
		free_texts(&rule->tags);
	}
	cw_free(r->rules);
	cw_free(r->fetches);
	cw_free(r->hints);
	cw_vm_free(&r->vm);
	cw_trace_free(&r->trace);
	cw_buf_release(&r->features);
	cw_buf_release(&r->explanation);
	cw_buf_release(&r->labels);
	cw_free(r);
}

uint32_t cw_rules_count(const struct cw_rules *rules)
{
	return rules->n;
}

struct cw_rule *cw_rules_at(const struct cw_rules *rules, uint32_t index)
{
	return index < rules->n ? &rules->rules[index] : NULL;
}

struct cw_vm *cw_rules_vm(const struct cw_rules *rules)
{
	return rules->vm;
}

const struct cw_rules_conf *cw_rules_conf(const struct cw_rules *rules)
{
	return &rules->conf;
}

/* In one row, so that prefetching does not walk through bindings, states and primitives. */
static void list_fetches(struct cw_rules *rules)
{
	uint32_t n = 0;

	cw_free(rules->fetches);
	rules->fetches = cw_alloc((size_t)rules->n * CW_RULE_STATES_MAX * sizeof(*rules->fetches));
	for (uint32_t i = 0; i < rules->n; i++) {
		const struct cw_rule_bind *bind = rules->rules[i].live;

		rules->first_fetch[i] = n;
		for (int k = 0; k < bind->nstates; k++)
			if (bind->states[k]->primitive->prefetch != NULL)
				rules->fetches[n++] = (struct cw_rule_fetch){ bind->states[k]->primitive->prefetch, bind->states[k]->handle };
	}
	rules->first_fetch[rules->n] = n;
}

int cw_rules_attach(struct cw_rules *rules, struct cw_state *st, struct cw_err *err)
{
	cw_rulestate_tidy(rules, st);
	for (uint32_t i = 0; i < rules->n; i++)
		if (cw_rulestate_open(rules, &rules->rules[i], st, err) != 0) {
			while (i-- > 0)
				cw_rule_bind_close(rules->rules[i].live);
			return -1;
		}
	list_fetches(rules);
	return 0;
}

struct cw_rule_plan *cw_rules_plan(struct cw_rules *rules, const struct cw_tx *tx)
{
	struct cw_rule_plan *plan = &rules->plans[tx->seq % CW_RULE_PLANS];

	if (plan->seq == tx->seq && plan->view.tx != NULL && memcmp(&plan->hash, &tx->hash, sizeof(plan->hash)) == 0) {
		plan->view.tx = tx;
		return plan;
	}
	plan->seq = tx->seq;
	plan->hash = tx->hash;
	cw_rules_numbers(tx, plan->numbers);
	cw_when_look(&plan->view, tx, plan->numbers);
	memcpy(plan->wanted, rules->always, sizeof(plan->wanted));
	for (uint32_t i = 0; i < rules->n; i++)
		if (cw_when_might(&rules->hints[i], &plan->view) && cw_when_wants(rules->rules[i].live->when, &plan->view))
			plan->wanted[i / 64] |= 1ull << (i % 64);
	return plan;
}

void cw_rules_prefetch(struct cw_rules *rules, const struct cw_tx *tx, int stage)
{
	const struct cw_rule_plan *plan = cw_rules_plan(rules, tx);

	for (uint32_t w = 0; rules->fetches != NULL && w < (rules->n + 63) / 64; w++)
		for (uint64_t left = plan->wanted[w]; left != 0; left &= left - 1) {
			uint32_t i = w * 64 + (uint32_t)__builtin_ctzll(left);

			for (uint32_t k = rules->first_fetch[i]; k < rules->first_fetch[i + 1]; k++)
				rules->fetches[k].fn(rules->fetches[k].handle, tx, stage);
		}
}

uint64_t cw_rules_wanted(const struct cw_rules *rules, uint32_t word)
{
	return rules->trace != NULL ? UINT64_MAX : rules->plan->wanted[word];
}

/* --- what evaluate returned: read without raising, it is a script's table --- */

const char *const cw_rule_alert_keys[] = { "score", "severity", "confidence", "dedup", "explain", "text", "role", "entity", NULL };

__attribute__((format(printf, 4, 5)))
static void fail(struct cw_rules *rules, const struct cw_rule *rule, struct cw_rule_result *result, const char *format, ...)
{
	va_list args;
	int n = snprintf(rules->message, sizeof(rules->message), "%s:%d: ", rule->file, rule->alert_line);

	va_start(args, format);
	vsnprintf(rules->message + n, sizeof(rules->message) - (size_t)n, format, args);
	va_end(args);
	result->kind = CW_RULE_FAILED;
	result->fault = (struct cw_rule_fault){ .rule = rule->index, .kind = CW_FAULT_ERROR, .message = rules->message };
}

/* Pushes the raw field. */
static int get(lua_State *L, int table, const char *key)
{
	lua_pushstring(L, key);
	lua_rawget(L, table);
	return lua_type(L, -1);
}

/* A number from 0 to 1, clipped; false if it is not there or not a number. */
static bool read_share(lua_State *L, int table, const char *key, double *out)
{
	bool is = get(L, table, key) == LUA_TNUMBER && !isnan(lua_tonumber(L, -1));

	if (is)
		*out = fmin(fmax(lua_tonumber(L, -1), 0), 1);
	lua_pop(L, 1);
	return is;
}

static bool is_absent(lua_State *L, int table, const char *key)
{
	bool absent = get(L, table, key) == LUA_TNIL;

	lua_pop(L, 1);
	return absent;
}

/* Copies text (or a number as text); false if it is something else or too long. */
static bool read_string(lua_State *L, int table, const char *key, char *out, size_t size)
{
	int type = get(L, table, key);
	const char *text = type == LUA_TSTRING || type == LUA_TNUMBER ? lua_tostring(L, -1) : "";
	bool ok = (type == LUA_TNIL || type == LUA_TSTRING || type == LUA_TNUMBER) && strlen(text) < size;

	if (ok)
		memcpy(out, text, strlen(text) + 1);
	lua_pop(L, 1);
	return ok;
}

static bool read_explain(struct cw_rules *rules, const struct cw_rule *rule, int table, struct cw_rule_result *result)
{
	lua_State *L = cw_vm_state(rules->vm);
	int type = get(L, table, "explain");
	const char *fault = NULL;

	if (type == LUA_TNIL) {
		cw_buf_puts(&rules->features, "{}");
	} else if (type != LUA_TTABLE || lua_objlen(L, -1) > 0) {
		fail(rules, rule, result, "alert: \"explain\" must be a table with names, like { receivers = n }");
		return false;
	} else {
		fault = cw_rulejson_write(L, lua_gettop(L), "explain", &rules->features);
	}
	if (fault != NULL)
		fail(rules, rule, result, "alert: %s", fault);
	else if (rules->features.len > CW_VERDICT_FEATURES_MAX)
		fail(rules, rule, result, "alert: \"explain\" has more than %d bytes", CW_VERDICT_FEATURES_MAX);
	return result->kind != CW_RULE_FAILED;
}

/* `text`, or the title and the explained values. `explain` is on top of the stack. */
static bool read_explanation(struct cw_rules *rules, const struct cw_rule *rule, int table,
                             struct cw_rule_result *result)
{
	lua_State *L = cw_vm_state(rules->vm);
	char text[CW_VERDICT_EXPLANATION_MAX + 1] = "";

	if (!read_string(L, table, "text", text, sizeof(text))) {
		fail(rules, rule, result, "alert: \"text\" must be text of at most %d bytes", CW_VERDICT_EXPLANATION_MAX);
		return false;
	}
	cw_buf_puts(&rules->explanation, text[0] != '\0' ? text : rule->title);
	if (text[0] == '\0' && lua_istable(L, -1)) {
		size_t before = rules->explanation.len;

		cw_buf_puts(&rules->explanation, ": ");
		cw_rulejson_sentence(L, lua_gettop(L), &rules->explanation);
		if (rules->explanation.len == before + 2)
			rules->explanation.data[rules->explanation.len = before] = '\0';
	}
	return true;
}

/* `entity`, or the address that the dedup key begins with, or the sender. */
static bool read_entity(lua_State *L, int table, const struct cw_tx *tx, struct cw_alert *alert)
{
	char text[CW_ADDRESS_TEXT] = "";

	alert->flags |= CW_ALERT_HAS_ENTITY;
	if (!is_absent(L, table, "entity"))
		return read_string(L, table, "entity", text, sizeof(text)) &&
		       cw_address_parse(&alert->entity, text, strlen(text)) == CW_ADDRESS_OK;
	if (strlen(alert->dedup) < 42 || cw_address_parse(&alert->entity, alert->dedup, 42) != CW_ADDRESS_OK)
		alert->entity = tx->from;
	return true;
}

static bool read_role(lua_State *L, int table, const struct cw_rule *rule, const struct cw_tx *tx, struct cw_alert *alert)
{
	char text[16] = "";

	if (!is_absent(L, table, "role"))
		return read_string(L, table, "role", text, sizeof(text)) && cw_alert_role_parse(text, &alert->role);
	if (rule->has_role)
		alert->role = rule->default_role;
	else if (memcmp(&alert->entity, &tx->from, sizeof(tx->from)) == 0)
		alert->role = CW_ALERT_ACTOR;
	else if ((tx->has & CW_TX_HAS_TO) != 0 && memcmp(&alert->entity, &tx->to, sizeof(tx->to)) == 0)
		alert->role = CW_ALERT_COUNTERPARTY;
	return true;
}

/* What the alert rests on: entries that evaluate found on lists; where it looked into none, those that `when` found, or the
 * labelled address that a graph leads back to. */
static void note_labels(struct cw_rules *rules, const struct cw_rule_bind *bind, struct cw_alert *alert)
{
	const struct cw_rule *rule = bind->rule;
	const struct cw_list_alert seen = { .rule = rule->id, .tags = (const char *const *)rule->tags.items,
		                                .ntags = rule->tags.n, .severity = (int)alert->severity, .entity = &alert->entity };

	if (cw_lists_current() == NULL)
		return;
	if (!cw_lists_any_hits() && bind->when != NULL)
		cw_when_wants(bind->when, &rules->view);
	for (int i = 0; i < bind->nstates && !cw_lists_any_hits(); i++) {
		const struct cw_rule_state *state = bind->states[i];

		for (const struct cw_method *m = state->primitive->methods; m->name != NULL && state->handle != NULL; m++)
			if (strcmp(state->primitive->table, "graph") == 0 && strcmp(m->name, "category") == 0)
				m->fn(state->handle, &rules->tx, NAN, NAN);
	}
	cw_buf_clear(&rules->labels);
	alert->hidden_by = cw_lists_put_hits(cw_lists_current(), &rules->tx, &seen, &rules->labels);
	alert->labels = rules->labels.data;
}

/* The marked table is at `table`. */
static void read_alert(struct cw_rules *rules, const struct cw_rule *rule, int table, struct cw_rule_result *result)
{
	lua_State *L = cw_vm_state(rules->vm);
	struct cw_alert *alert = &result->alert;
	struct cw_rule_bad_key bad;
	char severity[16] = "";

	if (cw_rule_find_bad_key(L, table, cw_rule_alert_keys, &bad)) {
		fail(rules, rule, result, "alert: %s", bad.what);
		return;
	}
	*alert = (struct cw_alert){ .rule = rule->index, .severity = rule->severity,
		                        .flags = cw_rule_is_shadow(rule) ? CW_ALERT_SHADOW : 0 };
	if (!read_share(L, table, "score", &alert->score)) {
		fail(rules, rule, result, "alert: \"score\" must be a number from 0 to 1");
		return;
	}
	if (!is_absent(L, table, "confidence") && !read_share(L, table, "confidence", &alert->confidence)) {
		fail(rules, rule, result, "alert: \"confidence\" must be a number from 0 to 1");
		return;
	}
	if (is_absent(L, table, "confidence"))
		alert->confidence = alert->score;
	if (!is_absent(L, table, "severity") && (!read_string(L, table, "severity", severity, sizeof(severity)) ||
	                                         !cw_severity_parse(severity, &alert->severity))) {
		fail(rules, rule, result, "alert: \"severity\" must be low, medium, high or critical");
		return;
	}
	rules->dedup[0] = '\0';
	if (!read_string(L, table, "dedup", rules->dedup, sizeof(rules->dedup))) {
		fail(rules, rule, result, "alert: \"dedup\" must be text of at most %d bytes", CW_VERDICT_DEDUP_MAX);
		return;
	}
	alert->dedup = rules->dedup;
	if (!read_entity(L, table, &rules->tx, alert)) {
		fail(rules, rule, result, "alert: \"entity\" must be an address");
		return;
	}
	if (!read_role(L, table, rule, &rules->tx, alert)) {
		fail(rules, rule, result, "alert: \"role\" must be actor, victim, counterparty or unknown");
		return;
	}
	if (!read_explain(rules, rule, table, result) || !read_explanation(rules, rule, table, result))
		return;
	alert->features = rules->features.data;
	alert->explanation = rules->explanation.data;
	result->kind = CW_RULE_ALERTED;
}

/* What evaluate returned is on top; popped. */
static void read_result(struct cw_rules *rules, const struct cw_rule *rule, struct cw_rule_result *result)
{
	lua_State *L = cw_vm_state(rules->vm);
	int at = lua_gettop(L);
	bool marked = false;

	if (lua_isnil(L, -1)) {
		lua_pop(L, 1);
		return;
	}
	if (lua_istable(L, -1) && lua_getmetatable(L, -1) != 0) {
		lua_rawgeti(L, LUA_REGISTRYINDEX, rules->refs.alert);
		marked = lua_rawequal(L, -1, -2) != 0;
	}
	cw_buf_clear(&rules->features);
	cw_buf_clear(&rules->explanation);
	if (marked)
		read_alert(rules, rule, at, result);
	else if (lua_istable(L, at))
		fail(rules, rule, result, "evaluate returned a plain table; write return alert { ... }");
	else
		fail(rules, rule, result, "evaluate returned a %s; it must return nothing or alert { ... }", luaL_typename(L, at));
	lua_settop(L, at - 1);
}

static enum cw_rule_fault_kind fault_kind(enum cw_stop stop)
{
	switch (stop) {
	case CW_STOP_NONE: break;
	case CW_STOP_TICKS: return CW_FAULT_TICKS;
	case CW_STOP_TIME: return CW_FAULT_TIME;
	case CW_STOP_MEMORY: return CW_FAULT_MEMORY;
	case CW_STOP_STACK: return CW_FAULT_STACK;
	}
	return CW_FAULT_ERROR;
}

/* An error raised by a function that was called as `return f(x)` has no place: then the rule's is given. */
static void read_failure(struct cw_rules *rules, const struct cw_rule *rule, struct cw_rule_result *result)
{
	size_t len = strlen(rule->file);
	const char *message = rules->report.message;

	if (strncmp(message, rule->file, len) == 0 && message[len] == ':')
		snprintf(rules->message, sizeof(rules->message), "%s", message);
	else
		snprintf(rules->message, sizeof(rules->message), "%s:%d: %s", rule->file, rule->line, message);
	result->kind = CW_RULE_FAILED;
	result->fault = (struct cw_rule_fault){ .rule = rule->index, .kind = fault_kind(rules->report.stop),
		                                    .message = rules->message };
}

void cw_rule_run(struct cw_rules *rules, struct cw_rule_bind *bind, struct cw_rule_result *result)
{
	const struct cw_budget budget = { .ticks = rules->conf.ticks, .time_us = rules->conf.wall_us };

	result->kind = CW_RULE_QUIET;
	result->ticks = 0;
	result->skipped = bind == bind->rule->live ? !cw_rule_plan_wants(rules->plan, bind->rule->index)
	                                            : !cw_when_wants(bind->when, &rules->view);
	if (result->skipped)
		return;
	cw_rule_bind_push(rules, bind);
	cw_lists_forget_hits();
	if (rules->trace != NULL)
		cw_trace_begin(rules->trace);
	if (cw_vm_call(rules->vm, cw_vm_state(rules->vm), 3, 1, &budget, &rules->report) == 0) {
		read_result(rules, bind->rule, result);
		if (result->kind == CW_RULE_ALERTED)
			note_labels(rules, bind, &result->alert);
		if (result->kind == CW_RULE_ALERTED && bind->living != NULL)
			cw_living_note(bind->living, &rules->tx, &result->alert);
	} else {
		read_failure(rules, bind->rule, result);
	}
	if (rules->trace != NULL)
		cw_trace_end(rules->trace);
	result->ticks = rules->report.ticks;
}

void cw_rules_on_call(struct cw_rules *rules, cw_rule_call_fn *fn, void *arg)
{
	rules->on_call = fn;
	rules->call_arg = arg;
}

static void put_states(const struct cw_rule_bind *bind, struct cw_buf *out)
{
	cw_buf_puts(out, ",\"states\":[");
	for (int i = 0; i < bind->nstates; i++) {
		const struct cw_rule_state *state = bind->states[i];

		cw_buf_printf(out, "%s{\"name\":\"%s\",\"primitive\":\"%s.%s\",\"options\":{", i > 0 ? "," : "", state->name,
		              state->primitive->table, state->primitive->name);
		cw_primitive_put_options(state->primitive, state->vals, out);
		cw_buf_puts(out, "}}");
	}
	cw_buf_putc(out, ']');
}

void cw_rule_explain(struct cw_rules *rules, struct cw_rule_bind *bind, const struct cw_rule_result *result,
                     struct cw_buf *out)
{
	lua_State *L = cw_vm_state(rules->vm);
	const struct cw_rule *rule = bind->rule;

	cw_buf_puts(out, "{\"rule\":");
	cw_json_put_cstring(out, rule->id);
	cw_buf_puts(out, ",\"version\":");
	cw_json_put_cstring(out, rule->version);
	cw_buf_printf(out, ",\"index\":%u,\"sha256\":\"%s\",\"file\":", rule->index, rule->sha256);
	cw_json_put_cstring(out, rule->file);
	cw_buf_printf(out, ",\"outcome\":\"%s\",\"ticks\":%lld,\"params\":", result->skipped ? "skipped" :
	              result->kind == CW_RULE_ALERTED ? "alert" : result->kind == CW_RULE_FAILED ? "fault" : "quiet",
	              (long long)result->ticks);
	lua_rawgeti(L, LUA_REGISTRYINDEX, bind->params);
	cw_rulejson_write(L, lua_gettop(L), "params", out);
	lua_pop(L, 1);
	put_states(bind, out);
	if (bind->when != NULL) {
		cw_buf_puts(out, ",\"when\":");
		cw_when_explain(bind->when, &rules->view, out);
	}
	if (!result->skipped && rules->trace != NULL) {
		cw_buf_putc(out, ',');
		cw_trace_put_json(rules->trace, out);
	}
	cw_buf_putc(out, '}');
}

/* --- the report --- */

static void put_text(struct cw_buf *out, const char *key, const char *text)
{
	cw_buf_printf(out, ",\"%s\":", key);
	cw_json_put_cstring(out, text);
}

static void put_texts(struct cw_buf *out, const char *key, const struct cw_rule_texts *texts)
{
	cw_buf_printf(out, ",\"%s\":[", key);
	for (int i = 0; i < texts->n; i++) {
		if (i > 0)
			cw_buf_putc(out, ',');
		cw_json_put_cstring(out, texts->items[i]);
	}
	cw_buf_putc(out, ']');
}

void cw_rule_describe(struct cw_rules *rules, const struct cw_rule *rule, struct cw_buf *out)
{
	cw_buf_printf(out, "{\"index\":%u", rule->index);
	put_text(out, "id", rule->id);
	put_text(out, "version", rule->version);
	put_text(out, "sha256", rule->sha256);
	put_text(out, "severity", cw_severity_name(rule->severity));
	put_text(out, "status", cw_rule_status_name(rule->status));
	put_text(out, "role", rule->role == CW_RULE_CANDIDATE ? "candidate" : "live");
	put_text(out, "title", rule->title);
	put_text(out, "description", rule->description);
	put_texts(out, "references", &rule->references);
	put_texts(out, "false_positives", &rule->false_positives);
	put_texts(out, "tags", &rule->tags);
	put_text(out, "file", rule->file);
	if (rule->expects)
		cw_buf_printf(out, ",\"expect\":{\"per_day\":{\"min\":%g,\"max\":%g}}", rule->expect_min, rule->expect_max);
	if (rule->has_role)
		put_text(out, "alert_role", cw_alert_role_name(rule->default_role));
	cw_buf_printf(out, ",\"cooldown_s\":%lld,\"tests\":%d,\"investigates\":%s,", (long long)rule->cooldown_s, rule->ntests,
	              rule->investigates ? "true" : "false");
	cw_rule_bind_describe(rules, rule->live, out);
	if (rule->fires != NULL)
		cw_buf_printf(out, ",\"fires\":[%s]", rule->fires);
	cw_buf_putc(out, '}');
}
