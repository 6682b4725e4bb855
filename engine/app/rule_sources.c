#include "app/rule_sources.h"

#include <sodium.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "pg/result.h"
#include "pipeline/evaluate.h"
#include "store/rules.h"

#define CANDIDATES "candidates/"
#define PROMOTED "promoted/"

static const char *copy(struct cw_arena *arena, const char *text)
{
	return cw_arena_strndup(arena, text, strlen(text));
}

static const char *sha256_of(struct cw_arena *arena, const char *text, size_t len)
{
	unsigned char digest[crypto_hash_sha256_BYTES];
	char hex[65];

	crypto_hash_sha256(digest, (const unsigned char *)text, len);
	sodium_bin2hex(hex, sizeof(hex), digest, sizeof(digest));
	return copy(arena, hex);
}

void cw_rule_sources_read(struct cw_rule_sources *sources, const struct cw_result *res, struct cw_arena *arena)
{
	sources->n = cw_result_rows(res);
	sources->list = cw_arena_zalloc(arena, ((size_t)sources->n + 1) * sizeof(*sources->list));
	for (int i = 0; i < sources->n; i++)
		sources->list[i] = (struct cw_rule_source){
			.id = copy(arena, cw_result_text(res, i, 0, NULL)),
			.promoted = strcmp(cw_result_text(res, i, 1, NULL), "promoted") == 0,
			.sha256 = copy(arena, cw_result_text(res, i, 2, NULL)),
			.source = copy(arena, cw_result_text(res, i, 3, NULL)),
			.replaces = copy(arena, cw_result_text(res, i, 4, NULL)),
		};
}

/* --- the change --- */

static struct cw_rule_source *find(const struct cw_rule_sources *sources, const char *id, bool promoted)
{
	for (int i = 0; i < sources->n; i++)
		if (sources->list[i].promoted == promoted && strcmp(sources->list[i].id, id) == 0)
			return &sources->list[i];
	return NULL;
}

static void take_out(struct cw_rule_sources *sources, const char *id, bool promoted)
{
	struct cw_rule_source *row = find(sources, id, promoted);

	if (row != NULL)
		*row = sources->list[--sources->n];
}

static void put_in(struct cw_rule_sources *sources, const struct cw_rule_source *row, struct cw_arena *arena)
{
	struct cw_rule_source *list = cw_arena_zalloc(arena, ((size_t)sources->n + 1) * sizeof(*list));

	if (sources->n > 0)
		memcpy(list, sources->list, (size_t)sources->n * sizeof(*list));
	list[sources->n++] = *row;
	sources->list = list;
}

static int promote(struct cw_rule_sources *sources, struct cw_rule_change *change, const struct cw_bundle *bundle,
                   const char *const *sha, struct cw_arena *arena, struct cw_err *err)
{
	const struct cw_rule_source *before = find(sources, change->id, true), *row = find(sources, change->id, false);

	change->source = NULL;
	if (row != NULL && strcmp(row->sha256, change->sha256) == 0)
		change->source = row->source;
	for (int i = 0; i < bundle->nrules && change->source == NULL; i++)
		if (strcmp(sha[i], change->sha256) == 0)
			change->source = bundle->rules[i].text;
	if (change->source == NULL)
		return cw_err_set(err, CW_ERR_CONFLICT, "the candidate of rule \"%s\" has changed meanwhile", change->id);
	if (before != NULL)
		change->replaces = before->replaces;
	take_out(sources, change->id, false);
	take_out(sources, change->id, true);
	put_in(sources, &(struct cw_rule_source){ .id = change->id, .sha256 = change->sha256, .source = change->source,
	                                          .replaces = change->replaces, .promoted = true }, arena);
	return 0;
}

static int make_change(struct cw_rule_sources *sources, struct cw_rule_change *change, const struct cw_bundle *bundle,
                       const char *const *sha, struct cw_arena *arena, struct cw_err *err)
{
	switch (change->kind) {
	case CW_CHANGE_NONE:
		break;
	case CW_CHANGE_SUBMIT:
		take_out(sources, change->id, false);
		change->sha256 = sha256_of(arena, change->source, strlen(change->source));
		put_in(sources, &(struct cw_rule_source){ .id = change->id, .sha256 = change->sha256, .source = change->source,
		                                          .replaces = "" }, arena);
		break;
	case CW_CHANGE_WITHDRAW:
		if (find(sources, change->id, false) == NULL)
			return cw_err_set(err, CW_ERR_CONFLICT, "the candidate of rule \"%s\" is a file of the folder of rules: take it "
			                  "away and reload", change->id);
		take_out(sources, change->id, false);
		break;
	case CW_CHANGE_PROMOTE:
		return promote(sources, change, bundle, sha, arena, err);
	}
	return 0;
}

/* --- the bundle --- */

static bool is_quote(char c)
{
	return c == '"' || c == '\'';
}

/* Does the text have `id = "<id>"`? Before the file is run nobody knows for sure; a comment that looks so costs nothing
 * but a promotion that ends early. */
static bool names_id(const char *text, const char *id)
{
	size_t len = strlen(id);

	for (const char *at = strstr(text, id); at != NULL; at = strstr(at + 1, id)) {
		const char *p = at - 1;

		if (p <= text || !is_quote(*p) || at[len] != *p)
			continue;
		while (--p > text && (*p == ' ' || *p == '\t'))
			;
		if (*p != '=')
			continue;
		while (--p > text && (*p == ' ' || *p == '\t'))
			;
		if (p > text && p[0] == 'd' && p[-1] == 'i')
			return true;
	}
	return false;
}

static bool says_shadow(const char *text)
{
	return strstr(text, "\"shadow\"") != NULL || strstr(text, "'shadow'") != NULL;
}

static struct cw_bundle_file file_of(const struct cw_rule_source *row, const char *folder, struct cw_arena *arena)
{
	struct cw_buf name = CW_BUF_INIT;
	struct cw_bundle_file file = { .text = row->source, .len = strlen(row->source) };

	cw_buf_printf(&name, "%s%s.lua", folder, row->id);
	file.name = cw_arena_strndup(arena, name.data, name.len);
	cw_buf_release(&name);
	return file;
}

/* The files and what is made of them. */
struct merge {
	struct cw_bundle_file *files;
	const char **sha;             /* of each; NULL: it is left out */
	int n;
	struct cw_arena *arena;
};

static int with_sha(const struct merge *m, const char *sha)
{
	for (int i = 0; i < m->n; i++)
		if (m->sha[i] != NULL && strcmp(m->sha[i], sha) == 0)
			return i;
	return -1;
}

static bool any_names(const struct merge *m, const char *id)
{
	for (int i = 0; i < m->n; i++)
		if (m->sha[i] != NULL && names_id(m->files[i].text, id))
			return true;
	return false;
}

static void add(struct merge *m, const struct cw_rule_source *row, const char *folder)
{
	m->files[m->n] = file_of(row, folder, m->arena);
	m->sha[m->n++] = row->sha256;
}

static void merge_promoted(struct merge *m, struct cw_rule_source *row)
{
	int stands_for = row->replaces[0] != '\0' ? with_sha(m, row->replaces) : -1, same = with_sha(m, row->sha256);

	if (stands_for >= 0) {
		if (same >= 0)
			m->sha[same] = NULL;
		m->files[stands_for] = file_of(row, PROMOTED, m->arena);
		m->sha[stands_for] = row->sha256;
	} else if (same >= 0 && says_shadow(row->source)) {
		m->files[same] = file_of(row, PROMOTED, m->arena);
	} else if (same >= 0) {
		row->over = "its file has it now";
	} else if (any_names(m, row->id)) {
		row->over = "its file has changed";
	} else if (row->replaces[0] != '\0') {
		row->over = "its file is gone";
	} else {
		add(m, row, PROMOTED);
	}
}

int cw_rule_sources_merge(struct cw_rule_sources *sources, struct cw_rule_change *change, struct cw_bundle *bundle,
                          struct cw_arena *arena, struct cw_err *err)
{
	size_t room = (size_t)bundle->nrules + (size_t)sources->n + 2;
	struct merge m = { .arena = arena, .n = bundle->nrules };
	int kept = 0;

	m.files = cw_arena_zalloc(arena, room * sizeof(*m.files));
	m.sha = cw_arena_zalloc(arena, room * sizeof(*m.sha));
	for (int i = 0; i < m.n; i++) {
		m.files[i] = bundle->rules[i];
		m.sha[i] = sha256_of(arena, m.files[i].text, m.files[i].len);
	}
	if (make_change(sources, change, bundle, m.sha, arena, err) != 0)
		return -1;
	for (int i = 0; i < sources->n; i++)
		if (sources->list[i].promoted)
			merge_promoted(&m, &sources->list[i]);
	for (int i = 0; i < sources->n; i++) {
		struct cw_rule_source *row = &sources->list[i];

		if (row->promoted)
			continue;
		if (with_sha(&m, row->sha256) >= 0 && change->kind == CW_CHANGE_SUBMIT && strcmp(row->id, change->id) == 0)
			return cw_err_set(err, CW_ERR_CONFLICT, "this very version of rule \"%s\" is there already", row->id);
		if (with_sha(&m, row->sha256) >= 0)
			row->over = "its version is there as a file";
		else
			add(&m, row, CANDIDATES);
	}
	for (int i = 0; i < m.n; i++)
		if (m.sha[i] != NULL)
			m.files[kept++] = m.files[i];
	bundle->rules = m.files;
	bundle->nrules = kept;
	return 0;
}

bool cw_rule_sources_leave_out(const struct cw_rule_sources *sources, struct cw_bundle *bundle, const struct cw_err *err,
                               struct cw_buf *notes)
{
	(void)sources;
	if (strncmp(err->msg, CANDIDATES, strlen(CANDIDATES)) != 0)
		return false;
	for (int i = 0; i < bundle->nrules; i++) {
		const char *name = bundle->rules[i].name;
		size_t len = strlen(name);

		if (strncmp(err->msg, name, len) != 0 || strncmp(name, CANDIDATES, strlen(CANDIDATES)) != 0)
			continue;
		cw_log_err(CW_LOG_WARN, "reload", "a candidate does not load any more and is left out", err);
		cw_buf_printf(notes, "%sleft out: %.300s", notes->len > 0 ? "\n" : "", err->msg);
		memmove(&bundle->rules[i], &bundle->rules[i + 1], (size_t)(bundle->nrules - i - 1) * sizeof(bundle->rules[0]));
		bundle->nrules--;
		return true;
	}
	return false;
}

static void on_forgotten(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	(void)arg;
	(void)res;
	if (err != NULL)
		cw_log_err(CW_LOG_WARN, "reload", "a row of rule_sources that is over could not be deleted", err);
}

void cw_rule_sources_forget_over(struct cw_pool *pool, const struct cw_rule_sources *sources)
{
	for (int i = 0; i < sources->n; i++) {
		const struct cw_rule_source *row = &sources->list[i];

		if (row->over == NULL)
			continue;
		cw_log(CW_LOG_INFO, "reload", row->promoted ? "a promotion has ended" : "a trial has ended",
		       "rule=%s sha256=%.12s reason=\"%s\"", row->id, row->sha256, row->over);
		cw_rule_sources_forget(pool, row->id, row->promoted ? "promoted" : "candidate", row->sha256, on_forgotten, NULL);
	}
}
