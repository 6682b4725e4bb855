/* Generations of rules: loaded aside by the supervisor, registered in the database, live from a group boundary on.
 *
 * A group remembers the generation that judged it, so its rows name the right versions whatever becomes live before
 * they are committed. */
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "pg/result.h"
#include "pipeline/bundle.h"
#include "pipeline/core.h"
#include "store/rules.h"

/* One cw_pipeline_load_rules under way. */
struct load {
	struct generation *gen;              /* once the report is in */
	struct cw_arena *arena;              /* the sources, until they are registered */
	struct source { char sha256[65]; const char *text; } *sources;
	int nsources;
	const char *fires;                   /* of the bundle, where it was tested before */
	uint64_t query;
	bool loaded;                         /* the supervisor holds an evaluator that is to be activated or discarded */
	struct stored_lists *lists;          /* that come with it; NULL: those that are there stay */
	struct cw_err err;
	cw_load_fn *fn;
	void *arg;
};

struct generation *cw_generation_ref(struct generation *gen)
{
	gen->refs++;
	return gen;
}

void cw_generation_unref(struct generation **gen)
{
	struct generation *g = *gen;

	*gen = NULL;
	if (g == NULL || --g->refs > 0)
		return;
	cw_arena_free(&g->arena);
	cw_free(g);
}

/* --- reading the report --- */

static const char *text_of(struct cw_arena *arena, const struct cw_json *object, const char *key)
{
	const struct cw_json *value = cw_json_get(object, key);

	if (value == NULL || value->type != CW_JSON_STRING)
		return "";
	return cw_arena_strndup(arena, value->text, value->len);
}

/* The value as text, NULL if there is none. */
static const char *value_of(struct cw_arena *arena, const struct cw_json *value)
{
	struct cw_buf out = CW_BUF_INIT;
	const char *text;

	if (value == NULL)
		return NULL;
	cw_json_put_value(&out, value);
	text = cw_arena_strndup(arena, out.data, out.len);
	cw_buf_release(&out);
	return text;
}

/* All members but the index and what its tests fired on, as they were reported. */
static const char *members_of(struct cw_arena *arena, const struct cw_json *rule)
{
	struct cw_buf out = CW_BUF_INIT;
	const char *text;

	for (const struct cw_json *m = rule->first; m != NULL; m = m->next) {
		if (strcmp(m->key, "index") == 0 || strcmp(m->key, "status") == 0 || strcmp(m->key, "fires") == 0)
			continue;
		if (out.len > 0)
			cw_buf_putc(&out, ',');
		cw_json_put_string(&out, m->key, m->key_len);
		cw_buf_putc(&out, ':');
		cw_json_put_value(&out, m);
	}
	text = cw_arena_strndup(arena, out.data, out.len);
	cw_buf_release(&out);
	return text;
}

static void read_expectation(struct rule_info *info, const struct cw_json *per_day)
{
	const struct cw_json *min = cw_json_get(per_day, "min"), *max = cw_json_get(per_day, "max");

	info->expects = min != NULL && max != NULL && cw_json_to_double(min, &info->expect_min) &&
	                cw_json_to_double(max, &info->expect_max);
}

static int read_rules(struct generation *gen, const struct cw_json *list, struct cw_err *err)
{
	if (list == NULL || list->type != CW_JSON_ARRAY)
		return cw_err_set(err, CW_ERR_INTERNAL, "the report of the rules has no list of rules");
	gen->rules = cw_arena_zalloc(gen->arena, (list->count + 1) * sizeof(*gen->rules));
	for (const struct cw_json *r = list->first; r != NULL; r = r->next) {
		struct rule_info *info = &gen->rules[gen->nrules++];

		info->id = text_of(gen->arena, r, "id");
		info->version = text_of(gen->arena, r, "version");
		info->title = text_of(gen->arena, r, "title");
		info->sha256 = text_of(gen->arena, r, "sha256");
		info->declared = text_of(gen->arena, r, "status");
		info->candidate = strcmp(text_of(gen->arena, r, "role"), "candidate") == 0;
		info->json = members_of(gen->arena, r);
		read_expectation(info, cw_json_get(cw_json_get(r, "expect"), "per_day"));
		info->fires = value_of(gen->arena, cw_json_get(r, "fires"));
		if (info->id[0] == '\0')
			return cw_err_set(err, CW_ERR_INTERNAL, "rule %u of the report has no id", gen->nrules - 1);
	}
	return 0;
}

static struct generation *read_report(const char *report, struct cw_err *err)
{
	struct generation *gen = cw_zalloc(sizeof(*gen));
	struct cw_arena *scratch = cw_arena_new();
	struct cw_json_error fault;
	const struct cw_json *root;

	gen->refs = 1;
	gen->arena = cw_arena_new();
	gen->report = cw_arena_strndup(gen->arena, report, strlen(report));
	root = cw_json_parse(report, strlen(report), CW_JSON_DEPTH_DEFAULT, scratch, &fault);
	if (root == NULL)
		cw_err_set(err, CW_ERR_INTERNAL, "cannot read the report of the rules: %s at byte %zu", fault.what, fault.offset);
	gen->digest = text_of(gen->arena, root, "digest");
	if (root == NULL || read_rules(gen, cw_json_get(root, "rules"), err) != 0)
		cw_generation_unref(&gen);
	cw_arena_free(&scratch);
	return gen;
}

/* --- loading --- */

static void hash_sources(struct load *l, const struct cw_bundle *bundle)
{
	l->nsources = bundle->nrules;
	l->sources = cw_arena_zalloc(l->arena, ((size_t)bundle->nrules + 1) * sizeof(*l->sources));
	for (int i = 0; i < bundle->nrules; i++) {
		const struct cw_bundle_file *file = &bundle->rules[i];
		unsigned char digest[crypto_hash_sha256_BYTES];

		crypto_hash_sha256(digest, (const unsigned char *)file->text, file->len);
		sodium_bin2hex(l->sources[i].sha256, sizeof(l->sources[i].sha256), digest, sizeof(digest));
		l->sources[i].text = cw_arena_strndup(l->arena, file->text, file->len);
	}
}

/* What rules that were not tested now fired on when they were. */
static void recall_fires(struct load *l)
{
	struct cw_json_error fault;
	const struct cw_json *known = l->fires != NULL
		? cw_json_parse(l->fires, strlen(l->fires), CW_JSON_DEPTH_DEFAULT, l->arena, &fault) : NULL;

	for (uint32_t i = 0; i < l->gen->nrules; i++)
		if (l->gen->rules[i].fires == NULL)
			l->gen->rules[i].fires = value_of(l->gen->arena, cw_json_get(known, l->gen->rules[i].sha256));
}

static const char *source_of(const struct load *l, const char *sha256)
{
	for (int i = 0; i < l->nsources; i++)
		if (strcmp(l->sources[i].sha256, sha256) == 0)
			return l->sources[i].text;
	return NULL;
}

static void load_end(struct cw_pipeline *p, const struct cw_err *err)
{
	struct load *l = p->load_job;

	p->load_job = NULL;
	if (err != NULL && l->loaded && p->supervisor != NULL)
		cw_supervisor_discard(p->supervisor);
	if (err == NULL && l->lists != NULL) {
		cw_stored_lists_free(&p->lists);
		p->lists = l->lists;
		l->lists = NULL;
	}
	cw_stored_lists_free(&l->lists);
	if (l->fn != NULL)
		l->fn(l->arg, err == NULL ? l->gen->report : NULL, err);
	cw_generation_unref(&l->gen);
	cw_arena_free(&l->arena);
	cw_free(l);
}

static void disable(struct rule_info *rule, const char *status, const char *reason)
{
	rule->disabled = true;
	rule->quarantined = strcmp(status, "quarantined") == 0;
	snprintf(rule->reason, sizeof(rule->reason), "%s", reason);
}

static void on_registered(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct cw_pipeline *p = CW_CAST(arg, PIPELINE_MAGIC);
	struct load *l = p->load_job;
	struct generation *gen = l->gen;
	struct cw_err own = { 0 };
	struct cw_rule_row row;

	if (err != NULL) {
		own = *err;
		cw_err_wrap(&own, "could not register the rules");
		load_end(p, &own);
		return;
	}
	if ((uint32_t)cw_result_rows(res) != gen->nrules + 1) {
		cw_err_set(&own, CW_ERR_CONFLICT, "the id of a rule is the name of a model that is no rule");
		load_end(p, &own);
		return;
	}
	cw_rules_row(res, 0, &row);
	gen->version_id = row.version_id;
	for (uint32_t i = 0; i < gen->nrules; i++) {
		cw_rules_row(res, (int)i + 1, &row);
		gen->rules[i].version_id = row.version_id;
		gen->rules[i].version = cw_arena_strndup(gen->arena, row.version, strlen(row.version));
		gen->rules[i].changed_us = row.changed_us;
		if (strcmp(row.status, "enabled") != 0)
			disable(&gen->rules[i], row.status, row.reason);
	}
	p->next_gen = cw_generation_ref(gen);
	cw_commit_kick(p);
}

static void on_loaded(void *arg, const char *report, const struct cw_err *err)
{
	struct cw_pipeline *p = CW_CAST(arg, PIPELINE_MAGIC);
	struct load *l = p->load_job;
	struct cw_rule_version *versions;
	struct cw_err own = { 0 };

	if (err != NULL) {
		load_end(p, err);
		return;
	}
	l->loaded = true;
	l->gen = read_report(report, &own);
	if (l->gen == NULL) {
		load_end(p, &own);
		return;
	}
	recall_fires(l);
	versions = cw_arena_zalloc(l->arena, (l->gen->nrules + 1) * sizeof(*versions));
	for (uint32_t i = 0; i < l->gen->nrules; i++) {
		const struct rule_info *r = &l->gen->rules[i];

		versions[i] = (struct cw_rule_version){ r->id, r->version, r->sha256, r->title, source_of(l, r->sha256),
			                                    r->candidate };
	}
	l->query = cw_rules_register(p->pool, l->gen->digest, versions, l->gen->nrules, on_registered, p);
}

static int load_start(struct cw_pipeline *p, const struct cw_bundle *bundle, struct stored_lists *lists, cw_load_fn *fn,
                      void *arg, struct cw_err *err)
{
	struct load *l = cw_zalloc(sizeof(*l));
	struct cw_bundle joined;

	l->fn = fn;
	l->arg = arg;
	l->arena = cw_arena_new();
	hash_sources(l, bundle);
	if (bundle->fires_json != NULL)
		l->fires = cw_arena_strndup(l->arena, bundle->fires_json, strlen(bundle->fires_json));
	cw_stored_lists_join(&joined, bundle, lists != NULL ? lists : p->lists, l->arena);
	p->load_job = l;
	if (cw_supervisor_load(p->supervisor, &joined, on_loaded, p, err) == 0) {
		l->lists = lists;
		return 0;
	}
	p->load_job = NULL;
	cw_arena_free(&l->arena);
	cw_free(l);
	return -1;
}

int cw_pipeline_load_rules(struct cw_pipeline *pipeline, const struct cw_bundle *bundle, cw_load_fn *fn, void *arg,
                           struct cw_err *err)
{
	struct cw_pipeline *p = CW_CAST(pipeline, PIPELINE_MAGIC);

	if (p->load_job != NULL)
		return cw_err_set(err, CW_ERR_BUSY, "other rules are being loaded");
	return load_start(p, bundle, NULL, fn, arg, err);
}

int cw_pipeline_load_lists(struct cw_pipeline *pipeline, const struct cw_bundle_file *files, int n, cw_load_fn *fn, void *arg,
                           struct cw_err *err)
{
	struct cw_pipeline *p = CW_CAST(pipeline, PIPELINE_MAGIC);
	struct stored_lists *lists;
	struct cw_bundle live;
	void *bytes;
	size_t size;
	int rc;

	if (p->load_job != NULL)
		return cw_err_set(err, CW_ERR_BUSY, "other rules are being loaded");
	if (p->gen == NULL || cw_supervisor_bundle(p->supervisor, &live, &bytes, &size) != 0)
		return cw_err_set(err, CW_ERR_BUSY, "no rules are live yet");
	lists = cw_stored_lists_new(files, n);
	live.tested = true;                  /* the same rules: they have passed their tests */
	rc = load_start(p, &live, lists, fn, arg, err);
	cw_bundle_release(&live);
	munmap(bytes, size);
	if (rc != 0)
		cw_stored_lists_free(&lists);
	return rc;
}

static void tell_end(void *arg)
{
	struct cw_pipeline *p = CW_CAST(arg, PIPELINE_MAGIC);

	load_end(p, p->load_job->err.code != CW_OK ? &p->load_job->err : NULL);
}

/* Counts go on where the same rule stays; what is told of a version, where the same version does. */
static void carry_over(struct generation *gen, const struct generation *old)
{
	for (uint32_t i = 0; i < gen->nrules; i++)
		for (uint32_t k = 0; k < old->nrules; k++) {
			struct rule_info *to = &gen->rules[i];
			const struct rule_info *from = &old->rules[k];

			if (strcmp(to->id, from->id) != 0 || to->candidate != from->candidate)
				continue;
			to->before = from->before;
			to->alarm = from->alarm;
			if (strcmp(to->sha256, from->sha256) != 0)
				continue;
			to->alerts = from->alerts;
			to->faults = from->faults;
			to->logged = from->logged;
			to->since_us = from->since_us;
			if (to->fires == NULL && from->fires != NULL)   /* not tested again */
				to->fires = cw_arena_strndup(gen->arena, from->fires, strlen(from->fires));
		}
}

void cw_rules_boundary(struct cw_pipeline *p)
{
	struct generation *gen = p->next_gen;
	uint32_t disabled[CW_RULES_MAX];
	int n = 0;

	if (gen == NULL || p->activating || cw_pipeline_judging(p) || cw_reorg_holds(p))
		return;
	for (uint32_t i = 0; i < gen->nrules && i < CW_RULES_MAX; i++)
		if (gen->rules[i].disabled)
			disabled[n++] = i;
	/* Nothing is in its hands: these are the last counts of the old generation's evaluators. */
	for (uint32_t i = 0; p->gen != NULL && i < p->gen->nrules; i++)
		cw_rule_meter_of(p, i, &p->gen->rules[i].before);
	p->activating = true;
	cw_supervisor_activate(p->supervisor, disabled, n);
}

/* The old generation goes on: what `before` took over is counted by the supervisor still. */
static void forget_counted(struct cw_pipeline *p, uint32_t rule)
{
	struct cw_rule_meter *before = &p->gen->rules[rule].before, now;

	cw_supervisor_meter(p->supervisor, rule, &now);
	cw_meter_subtract(before, &now);
}

void cw_rules_activated(struct cw_pipeline *p, bool ok, const char *reason)
{
	struct load *l = p->load_job;
	struct generation *old = p->gen;

	if (!p->activating)
		return;
	p->activating = false;
	l->loaded = false;
	if (!ok) {
		for (uint32_t i = 0; p->gen != NULL && i < p->gen->nrules; i++)
			forget_counted(p, i);
		cw_generation_unref(&p->next_gen);
		cw_err_set(&l->err, CW_ERR_INTERNAL, "the rules could not be attached to the state: %s",
		           reason != NULL ? reason : "no reason given");
		cw_loop_defer(p->loop, tell_end, p);
		return;
	}
	p->gen = p->next_gen;
	p->next_gen = NULL;
	p->gen->since_us = cw_clock_wall_us();
	for (uint32_t i = 0; i < p->gen->nrules; i++)
		p->gen->rules[i].since_us = p->gen->since_us;
	cw_rules_note_changes(p, old);
	if (old != NULL)
		carry_over(p->gen, old);
	else
		p->replay_needed = true;         /* the first rules: history comes before anything new */
	cw_log(CW_LOG_INFO, "pipeline", "rules are live", "digest=%.12s rules=%u", p->gen->digest, p->gen->nrules);
	cw_generation_unref(&old);
	cw_loop_defer(p->loop, tell_end, p);
}

/* --- faults and switches --- */

/* A status on its way to the database; a drain waits for it. */
struct status_write {
	struct cw_list link;             /* p->status_writes */
	struct cw_pipeline *p;           /* NULL: it is gone */
};

static void on_status_kept(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct status_write *w = arg;

	(void)res;
	if (err != NULL)
		cw_log_err(CW_LOG_ERROR, "pipeline", "the status of a rule could not be stored", err);
	cw_list_remove(&w->link);
	if (w->p != NULL)
		cw_admit_answer(w->p);
	cw_free(w);
}

static void keep_quarantine(struct cw_pipeline *p, const struct rule_info *rule)
{
	const struct cw_rule_version version = { .id = rule->id, .version = rule->version, .sha256 = rule->sha256,
		                                     .candidate = rule->candidate };
	struct status_write *w = cw_zalloc(sizeof(*w));

	w->p = p;
	cw_list_append(&p->status_writes, &w->link);
	cw_rules_quarantine(p->pool, &version, rule->reason, rule->faults, on_status_kept, w);
}

void cw_rules_forget_writes(struct cw_pipeline *p)
{
	struct cw_list *link;

	while ((link = cw_list_take(&p->status_writes)) != NULL)
		cw_list_entry(link, struct status_write, link)->p = NULL;
}

void cw_rules_faults(struct cw_pipeline *p, struct generation *gen, const struct cw_verdict *v)
{
	(void)p;
	for (uint32_t i = 0; i < v->nfaults; i++) {
		const struct cw_rule_fault *fault = &v->faults[i];
		struct rule_info *rule;
		char quoted[512];

		if (fault->rule >= gen->nrules)
			continue;
		rule = &gen->rules[fault->rule];
		rule->faults++;
		if ((rule->logged & (1u << fault->kind)) != 0)
			continue;
		rule->logged |= 1u << fault->kind;
		cw_log(CW_LOG_WARN, "rules", "a rule failed; further ones of this kind are counted only",
		       "rule=%s version=%s kind=%s error=%s", rule->id, rule->version, cw_rule_fault_name(fault->kind),
		       cw_log_quote(quoted, sizeof(quoted), fault->message));
	}
}

void cw_rules_quarantined(struct cw_pipeline *p, int rule, const char *reason)
{
	struct rule_info *info;
	char quoted[512];

	if (p->gen == NULL || rule < 0 || (uint32_t)rule >= p->gen->nrules)
		return;
	info = &p->gen->rules[rule];
	disable(info, "quarantined", reason != NULL ? reason : "");
	cw_log(CW_LOG_ERROR, "rules", "a rule was quarantined", "rule=%s version=%s reason=%s", info->id, info->version,
	       cw_log_quote(quoted, sizeof(quoted), info->reason));
	info->changed_us = cw_clock_wall_us();
	keep_quarantine(p, info);
}

const char *cw_pipeline_rule_fires(struct cw_pipeline *pipeline)
{
	struct cw_pipeline *p = CW_CAST(pipeline, PIPELINE_MAGIC);
	struct cw_buf *out = &p->ruleset;
	bool any = false;

	cw_buf_clear(out);
	cw_buf_putc(out, '{');
	for (uint32_t i = 0; p->gen != NULL && i < p->gen->nrules; i++) {
		if (p->gen->rules[i].fires == NULL || p->gen->rules[i].candidate)
			continue;
		if (any)
			cw_buf_putc(out, ',');
		any = true;
		cw_json_put_cstring(out, p->gen->rules[i].id);
		cw_buf_printf(out, ":%s", p->gen->rules[i].fires);
	}
	cw_buf_putc(out, '}');
	return out->data;
}

void cw_rules_release(struct cw_pipeline *p)
{
	static const struct cw_err stopped = { .code = CW_ERR_CANCELLED, .msg = "the engine is stopping" };

	cw_loop_undefer(p->loop, tell_end, p);
	if (p->load_job != NULL) {
		if (p->load_job->query != 0)
			cw_pool_cancel(p->pool, p->load_job->query);
		load_end(p, &stopped);
	}
	cw_generation_unref(&p->gen);
	cw_generation_unref(&p->next_gen);
	cw_buf_release(&p->ruleset);
	cw_buf_release(&p->changes);
	cw_stored_lists_free(&p->lists);
}
