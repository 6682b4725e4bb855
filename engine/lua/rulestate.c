#include "lua/rulestate.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "detect/primitive.h"
#include "lua/rule_internal.h"
#include "pipeline/evaluate.h"
#include "pipeline/living.h"
#include "state/state.h"

#define RECORD_MAGIC 0x6472636575726c31ull
#define RECORD_NAME "="               /* of its root: no state can be called that */
#define RECORDS_MAX 2048              /* live rules, candidates, and those that went */

/* How a state was declared: enough to open it again, and so to drop it, when its rule is long gone. */
struct saved_state {
	char name[CW_RULE_STATE_NAME + 2];
	char table[32], primitive[32];
	uint8_t digest[16];
	uint32_t version, texts;          /* bytes of texts behind this, rounded up to 8 */
	union cw_opt_value vals[CW_PRIMITIVE_OPTS_MAX];
};

struct cw_rule_record {
	uint64_t magic;
	uint64_t seen;
	uint64_t from;                    /* it judges what comes after this seq */
	uint32_t size;                    /* in bytes, of all of it */
	uint32_t nstates;
	uint32_t owner, spare;
	char sha256[72];                  /* of the version that last used it */
	struct saved_state states[];      /* each followed by its texts */
};

/* --- records --- */

static uint32_t texts_of(const struct cw_rule_state *state)
{
	size_t size = 0;

	for (int i = 0; state->primitive->opts[i].name != NULL; i++)
		if (state->primitive->opts[i].type == CW_OPT_TEXT)
			size += strlen(state->vals[i].text) + 1;
	return (uint32_t)((size + 7) & ~(size_t)7);
}

static const struct saved_state *saved_next(const struct saved_state *s)
{
	return (const void *)((const char *)(s + 1) + s->texts);
}

static void save_state(struct saved_state *s, const struct cw_rule_state *state)
{
	char *text = (char *)(s + 1);

	snprintf(s->name, sizeof(s->name), "%s", state->name);
	snprintf(s->table, sizeof(s->table), "%s", state->primitive->table);
	snprintf(s->primitive, sizeof(s->primitive), "%s", state->primitive->name);
	memcpy(s->digest, state->digest, sizeof(s->digest));
	s->version = state->primitive->version;
	s->texts = texts_of(state);
	/* One by one: the bytes of a union that its value does not use are anything. */
	for (int i = 0; state->primitive->opts[i].name != NULL; i++)
		switch (state->primitive->opts[i].type) {
		case CW_OPT_KEY: s->vals[i].key = state->vals[i].key; break;
		case CW_OPT_FIELD: s->vals[i].field = state->vals[i].field; break;
		case CW_OPT_TEXT:
			memcpy(text, state->vals[i].text, strlen(state->vals[i].text) + 1);
			text += strlen(state->vals[i].text) + 1;
			break;
		default: s->vals[i].number = state->vals[i].number;
		}
}

static size_t record_size(const struct cw_rule_bind *bind)
{
	size_t size = sizeof(struct cw_rule_record);

	for (int i = 0; i < bind->nstates; i++)
		size += sizeof(struct saved_state) + texts_of(bind->states[i]);
	return size;
}

/* NULL when there is none, or when it makes no sense. */
static struct cw_rule_record *record_at(struct cw_state *st, const struct cw_state_root *root)
{
	struct cw_rule_record *r;

	if (root->ref == 0 || (size_t)root->ref * 16 + sizeof(*r) > cw_state_used(st))
		return NULL;
	r = cw_state_ptr(st, root->ref);
	if (r->magic != RECORD_MAGIC || (size_t)root->ref * 16 + r->size > cw_state_used(st))
		return NULL;
	return r;
}

static bool is_record(const struct cw_state_root *root)
{
	const char *slash = strchr(root->name, '/');

	return slash != NULL && strcmp(slash + 1, RECORD_NAME) == 0;
}

static bool is_alerts(const struct cw_state_root *root)
{
	const char *slash = strchr(root->name, '/');

	return slash != NULL && strcmp(slash + 1, CW_LIVING_ROOT) == 0;
}

static bool in_space(const struct cw_state_root *root, const char *space)
{
	size_t len = strlen(space);

	return strncmp(root->name, space, len) == 0 && root->name[len] == '/';
}

static struct cw_state_root *find_root(struct cw_state *st, const char *space, const char *name, const uint8_t *digest)
{
	struct cw_state_root *root = NULL;
	size_t len = strlen(space);

	while ((root = cw_state_root_next(st, root)) != NULL)
		if (in_space(root, space) && strcmp(root->name + len + 1, name) == 0 &&
		    (digest == NULL || memcmp(root->digest, digest, sizeof(root->digest)) == 0))
			return root;
	return NULL;
}

static struct cw_rule_record *find_record(struct cw_state *st, const char *space, struct cw_state_root **root)
{
	*root = find_root(st, space, RECORD_NAME, NULL);
	return *root != NULL ? record_at(st, *root) : NULL;
}

/* --- dropping --- */

/* Opened once more, as it was declared, to give its memory back. State of a primitive that this program lays out in
 * another way cannot be: its memory stays taken until the arena is made anew. */
static void drop_state(struct cw_state *st, const char *space, const struct saved_state *saved)
{
	const struct cw_primitive *p = cw_primitive_find(saved->table, saved->primitive);
	struct cw_state_root *root = find_root(st, space, saved->name, saved->digest);
	union cw_opt_value vals[CW_PRIMITIVE_OPTS_MAX];
	const char *text = (const char *)(saved + 1);
	struct cw_err err;
	void *handle = NULL;

	if (root == NULL)
		return;
	memcpy(vals, saved->vals, sizeof(vals));
	for (int i = 0; p != NULL && p->opts[i].name != NULL; i++)
		if (p->opts[i].type == CW_OPT_TEXT) {
			vals[i].text = text;
			text += strlen(text) + 1;
		}
	if (root->ref != 0 && p != NULL && p->version == saved->version)
		handle = p->open(st, root, vals, &err);
	if (handle != NULL)
		p->drop(handle);
	cw_state_root_drop(st, root);
}

static bool declares(const struct cw_rule *rule, const struct saved_state *saved)
{
	for (int i = 0; rule != NULL && i < rule->live->nstates; i++)
		if (strcmp(rule->live->states[i]->name, saved->name) == 0 &&
		    memcmp(rule->live->states[i]->digest, saved->digest, sizeof(saved->digest)) == 0)
			return true;
	return false;
}

/* What `keeper` (or nobody, NULL) does not declare, and the record. */
static void drop_record(struct cw_state *st, struct cw_state_root *root, const char *space, const struct cw_rule *keeper)
{
	struct cw_rule_record *record = record_at(st, root);
	const struct saved_state *saved;
	uint32_t owner = root->owner;
	cw_ref ref = root->ref;

	if (record != NULL) {
		saved = record->states;
		for (uint32_t i = 0; i < record->nstates; i++, saved = saved_next(saved))
			if (!declares(keeper, saved))
				drop_state(st, space, saved);
		cw_state_free(st, owner, ref, record->size);
	}
	cw_state_root_drop(st, root);
}

/* All that the rule declares is in this space. */
static bool is_complete(struct cw_state *st, const char *space, const struct cw_rule *rule)
{
	for (int i = 0; i < rule->live->nstates; i++) {
		const struct cw_state_root *root = find_root(st, space, rule->live->states[i]->name, rule->live->states[i]->digest);

		if (root == NULL)
			return false;
	}
	return rule->live->nstates > 0 || space[0] == '~';
}

/* Address lists are declared like state and keep nothing in the arena. */
static bool keeps_something(struct cw_state *st, const struct cw_rule *rule)
{
	for (int i = 0; i < rule->live->nstates; i++) {
		const struct cw_state_root *root = find_root(st, rule->space, rule->live->states[i]->name,
		                                             rule->live->states[i]->digest);

		if (root != NULL && root->ref != 0)
			return true;
	}
	return false;
}

/* --- a candidate's state goes to the live rule --- */

static const struct cw_rule *rule_in(const struct cw_rules *rules, const char *space)
{
	for (uint32_t i = 0; i < rules->n; i++)
		if (strcmp(rules->rules[i].space, space) == 0)
			return &rules->rules[i];
	return NULL;
}

static void rename_all(struct cw_state *st, const char *from, const char *to)
{
	struct cw_state_root *root = NULL;
	char name[sizeof(root->name)];

	while ((root = cw_state_root_next(st, root)) != NULL) {
		/* The alerts of a candidate were told to nobody: those that live are the live rule's own. */
		if (!in_space(root, from) || is_alerts(root) || snprintf(name, sizeof(name), "%s%s", to, root->name + strlen(from)) < 0)
			continue;
		cw_state_touch(st, root, sizeof(*root));
		memset(root->name, 0, sizeof(root->name));
		memcpy(root->name, name, strlen(name));
	}
}

static void adopt(const struct cw_rules *rules, struct cw_state *st, const struct cw_rule *rule)
{
	struct cw_state_root *root, *mine;
	const struct cw_rule_record *record, *old;
	char space[sizeof(rule->space)];

	if (rule->role != CW_RULE_LIVE || snprintf(space, sizeof(space), "~%s", rule->id) > 64)
		return;
	record = find_record(st, space, &root);
	if (record == NULL || strcmp(record->sha256, rule->sha256) != 0 || rule_in(rules, space) != NULL ||
	    !is_complete(st, space, rule))
		return;
	old = find_record(st, rule->space, &mine);
	if (old != NULL && strcmp(old->sha256, rule->sha256) == 0)
		return;
	if (mine != NULL)
		drop_record(st, mine, rule->space, NULL);
	rename_all(st, space, rule->space);
}

/* --- public --- */

/* Alerts of rules that went, and of rules that declare another cool-down now. */
static void tidy_alerts(const struct cw_rules *rules, struct cw_state *st)
{
	struct cw_state_root *roots[RECORDS_MAX], *root = NULL;
	int n = 0;

	while ((root = cw_state_root_next(st, root)) != NULL)
		if (is_alerts(root) && n < RECORDS_MAX)
			roots[n++] = root;
	for (int i = 0; i < n; i++) {
		char space[sizeof(root->name)];
		const struct cw_rule *rule;
		uint8_t digest[16] = { 0 };

		snprintf(space, sizeof(space), "%.*s", (int)strcspn(roots[i]->name, "/"), roots[i]->name);
		rule = rule_in(rules, space);
		if (rule != NULL)
			cw_living_digest(rule->cooldown_s, digest);
		if (rule == NULL || memcmp(digest, roots[i]->digest, sizeof(digest)) != 0)
			cw_living_drop(st, roots[i]);
	}
}

void cw_rulestate_tidy(struct cw_rules *rules, struct cw_state *st)
{
	struct cw_state_root *records[RECORDS_MAX], *root = NULL;
	int n = 0;

	for (uint32_t i = 0; i < rules->n; i++)
		adopt(rules, st, &rules->rules[i]);
	while ((root = cw_state_root_next(st, root)) != NULL)
		if (is_record(root) && n < RECORDS_MAX)
			records[n++] = root;
	for (int i = 0; i < n; i++) {
		char space[sizeof(root->name)];
		const struct cw_rule *rule;

		snprintf(space, sizeof(space), "%.*s", (int)strcspn(records[i]->name, "/"), records[i]->name);
		rule = rule_in(rules, space);
		if (rule == NULL || !is_complete(st, space, rule))
			drop_record(st, records[i], space, NULL);
	}
	tidy_alerts(rules, st);
}

/* Writes a record in place of the one that is there. */
static int write_record(struct cw_rule *rule, struct cw_state *st, uint64_t seen, struct cw_err *err)
{
	static const uint8_t none[16];
	const struct cw_rule_bind *bind = rule->live;
	size_t size = record_size(bind);
	char name[96];
	struct cw_state_root *root = find_root(st, rule->space, RECORD_NAME, NULL);
	struct cw_rule_record *r;
	struct saved_state *saved;
	cw_ref ref;

	if (root != NULL)
		drop_record(st, root, rule->space, rule);
	snprintf(name, sizeof(name), "%s/" RECORD_NAME, rule->space);
	root = cw_state_root_open(st, name, none);
	ref = root != NULL ? cw_state_alloc(st, root->owner, size) : 0;
	if (ref == 0)
		return cw_err_set(err, CW_ERR_BUSY, "%s: no room for the record of its state in the arena", rule->file);
	cw_state_touch(st, root, sizeof(*root));
	root->ref = ref;
	r = cw_state_ptr(st, ref);
	*r = (struct cw_rule_record){ .magic = RECORD_MAGIC, .seen = seen, .from = cw_state_seq(st), .size = (uint32_t)size, .owner = root->owner,
		                          .nstates = (uint32_t)bind->nstates };
	memcpy(r->sha256, rule->sha256, sizeof(rule->sha256));
	saved = r->states;
	for (int i = 0; i < bind->nstates; i++) {
		save_state(saved, bind->states[i]);
		saved = (struct saved_state *)(uintptr_t)saved_next(saved);
	}
	rule->record = r;
	return 0;
}

static bool is_same(const struct cw_rule_record *r, const struct cw_rule *rule)
{
	const struct saved_state *saved = r->states;

	if (strcmp(r->sha256, rule->sha256) != 0 || r->nstates != (uint32_t)rule->live->nstates)
		return false;
	for (uint32_t i = 0; i < r->nstates; i++, saved = saved_next(saved))
		if (!declares(rule, saved))
			return false;
	return true;
}

int cw_rulestate_open(struct cw_rules *rules, struct cw_rule *rule, struct cw_state *st, struct cw_err *err)
{
	bool found = is_complete(st, rule->space, rule);
	struct cw_state_root *root;
	struct cw_rule_record *record = find_record(st, rule->space, &root);
	uint64_t seen = CW_RULESTATE_COMPLETE;

	rule->record = NULL;
	rule->warming = false;
	if (cw_rule_bind_open(rules, rule->live, st, err) != 0)
		return -1;
	if (rule->live->nstates == 0 && rule->role != CW_RULE_CANDIDATE)
		return 0;
	if (record != NULL)
		seen = record->seen;
	else if (!found && cw_state_seq(st) > 0 && keeps_something(st, rule))
		seen = 0;
	if (record != NULL && is_same(record, rule))
		rule->record = record;
	else if (write_record(rule, st, seen, err) != 0) {
		cw_rule_bind_close(rule->live);
		return -1;
	}
	rule->warming = seen != CW_RULESTATE_COMPLETE;
	return 0;
}

uint64_t cw_rulestate_seen(const struct cw_rule *rule)
{
	return rule->record != NULL ? rule->record->seen : CW_RULESTATE_COMPLETE;
}

void cw_rulestate_set_seen(struct cw_rule *rule, struct cw_state *st, uint64_t seq)
{
	if (rule->record == NULL)
		return;
	cw_state_touch(st, &rule->record->seen, sizeof(rule->record->seen));
	rule->record->seen = seq;
	rule->warming = seq != CW_RULESTATE_COMPLETE;
}

void cw_rulestate_set_from(struct cw_rule *rule, struct cw_state *st, uint64_t seq)
{
	if (rule->record == NULL)
		return;
	cw_state_touch(st, &rule->record->from, sizeof(rule->record->from));
	rule->record->from = seq;
}

uint64_t cw_rulestate_from(const struct cw_rule *rule)
{
	return rule->record != NULL ? rule->record->from : 0;
}

uint32_t cw_rulestate_owner(const struct cw_rule *rule)
{
	return rule->record != NULL ? rule->record->owner : 0;
}
