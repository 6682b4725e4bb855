#include "app/label_files.h"

#include <stdio.h>
#include <string.h>

#include "app/config.h"
#include "app/parts.h"
#include "base/arena.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "detect/lists.h"
#include "loop/loop.h"
#include "pg/result.h"
#include "pipeline/evaluate.h"
#include "pipeline/pipeline.h"
#include "store/labels.h"

#define CHECK_MS 2000            /* what was judged before is committed by then */
#define AGAIN_MS 10000           /* the database did not answer */

struct cw_label_files {
	struct cw_engine *e;
	struct cw_timer *timer;
	uint64_t query;
	struct cw_lists *lists;      /* what is in the files */
};

/* --- files that hide alerts --- */

static const char *option(const char *line, const char *key, const char *otherwise, struct cw_arena *arena)
{
	size_t n = strlen(key);

	for (const char *at = line; (at = strstr(at, key)) != NULL; at += n)
		if (at > line && at[-1] == ' ' && at[n] == '=')
			return cw_arena_strndup(arena, at + n + 1, strcspn(at + n + 1, " \t\r\n"));
	return otherwise;
}

/* The declaration in the lines in front of the columns; the evaluator has checked it. */
static bool declares(const struct cw_bundle_file *file, struct cw_label_declaration *d, struct cw_arena *arena)
{
	const char *slash = strrchr(file->name, '/'), *base = slash != NULL ? slash + 1 : file->name;
	bool found = false;

	d->list = cw_arena_strndup(arena, base, strcspn(base, "."));
	for (const char *at = file->text + (strncmp(file->text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0); *at == '#';) {
		const char *word = at + 1 + strspn(at + 1, " \t");
		const char *line = cw_arena_strndup(arena, word, strcspn(word, "\r\n"));

		if (strncmp(line, "list ", 5) == 0)
			d->list = line + 5 + strspn(line + 5, " ");
		if (strncmp(line, "suppress", 8) == 0 && (line[8] == ' ' || line[8] == '\0')) {
			found = true;
			d->side = option(line, "side", "either", arena);
			d->max_severity = option(line, "max_severity", "high", arena);
			d->rules = option(line, "rules", "", arena);
		}
		at += strcspn(at, "\n");
		at += *at == '\n';
	}
	return found;
}

static void on_declared(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	(void)arg;
	(void)res;
	if (err != NULL && err->code != CW_ERR_CANCELLED)
		cw_log_err(CW_LOG_WARN, "labels", "could not note which files hide alerts: they are told", err);
}

static void declare(struct cw_label_files *f, const struct cw_bundle *bundle)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_label_declaration *lists = cw_arena_zalloc(arena, ((size_t)bundle->nlists + 1) * sizeof(*lists));
	size_t n = 0;

	for (int i = 0; i < bundle->nlists; i++)
		n += declares(&bundle->lists[i], &lists[n], arena);
	cw_labels_declare(f->e->pool, lists, n, on_declared, f->e);
	cw_arena_free(&arena);
}

/* --- entries that are gone --- */

static bool has(const struct cw_lists *lists, const struct cw_label_entry *wanted)
{
	struct cw_list_entry entry;
	struct cw_address address;
	const char *list;
	size_t at = 0;

	memcpy(address.b, wanted->address, sizeof(address.b));
	while (cw_lists_next(lists, &address, &at, &list, &entry))
		if (strcmp(list, wanted->list) == 0 && (int64_t)entry.chain_id == wanted->chain_id &&
		    strcmp(entry.category, wanted->category) == 0)
			return true;
	return false;
}

static void on_withdrawn(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct cw_label_files *f = arg;

	f->query = 0;
	if (err != NULL) {
		if (err->code != CW_ERR_CANCELLED)
			cw_log_err(CW_LOG_WARN, "labels", "could not open alerts whose labels left the files", err);
		cw_timer_set(f->timer, AGAIN_MS);
		return;
	}
	cw_log(CW_LOG_INFO, "labels", "labels left the files", "alerts_opened=%lld", (long long)cw_result_i64(res, 0, 0));
}

static void on_used(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct cw_label_files *f = arg;
	struct cw_label_entry *gone;
	struct cw_arena *arena;
	size_t n = 0;

	f->query = 0;
	if (err != NULL) {
		if (err->code != CW_ERR_CANCELLED)
			cw_log_err(CW_LOG_WARN, "labels", "could not read which labels of files alerts rest on", err);
		cw_timer_set(f->timer, AGAIN_MS);
		return;
	}
	arena = cw_arena_new();
	gone = cw_arena_alloc(arena, ((size_t)cw_result_rows(res) + 1) * sizeof(*gone));
	for (int i = 0; i < cw_result_rows(res); i++) {
		size_t len;

		gone[n] = (struct cw_label_entry){ .list = cw_result_text(res, i, 0, NULL), .address = cw_result_bytea(res, i, 1, &len),
			                               .chain_id = cw_result_i64(res, i, 2), .category = cw_result_text(res, i, 3, NULL) };
		n += len == sizeof(struct cw_address) && !has(f->lists, &gone[n]);
	}
	if (n > 0)
		f->query = cw_labels_left_files(f->e->pool, gone, n, f->e->config->deliver.n > 0, on_withdrawn, f);
	cw_arena_free(&arena);
}

static void on_timer(void *arg)
{
	struct cw_label_files *f = arg;

	if (f->query == 0)
		f->query = cw_labels_of_files(f->e->pool, on_used, f);
	else
		cw_timer_set(f->timer, CHECK_MS);
}

/* --- the files --- */

static struct cw_lists *read_files(const struct cw_bundle *bundle, struct cw_err *err)
{
	struct cw_lists *lists = cw_lists_new();

	for (int i = 0; i < bundle->nlists; i++) {
		const struct cw_bundle_file *file = &bundle->lists[i];
		const char *slash = strrchr(file->name, '/'), *base = slash != NULL ? slash + 1 : file->name;
		char name[128];

		if (strncmp(file->name, CW_LISTS_STORED, strlen(CW_LISTS_STORED)) == 0)
			continue;
		snprintf(name, sizeof(name), "%.*s", (int)strcspn(base, "."), base);
		if (cw_lists_add_csv(lists, name, file->text, file->len, NULL, err) < 0) {
			cw_lists_free(&lists);
			return NULL;
		}
	}
	cw_lists_seal(lists);
	return lists;
}

struct cw_label_files *cw_label_files_new(struct cw_engine *e)
{
	struct cw_label_files *f = cw_zalloc(sizeof(*f));

	f->e = e;
	f->timer = cw_timer_new(e->loop, on_timer, f);
	return f;
}

void cw_label_files_free(struct cw_label_files **files)
{
	struct cw_label_files *f = *files;

	*files = NULL;
	if (f == NULL)
		return;
	if (f->query != 0)
		cw_pool_cancel(f->e->pool, f->query);
	cw_timer_free(&f->timer);
	cw_lists_free(&f->lists);
	cw_free(f);
}

void cw_label_files_take(struct cw_label_files *f, const struct cw_bundle *bundle)
{
	struct cw_err err;
	struct cw_lists *lists = read_files(bundle, &err);

	declare(f, bundle);
	if (lists == NULL) {             /* the evaluator took them, so this is no fault of theirs */
		cw_log_err(CW_LOG_WARN, "labels", "could not read the files again", &err);
		return;
	}
	if (f->lists != NULL)
		cw_lists_free(&f->lists);
	f->lists = lists;
	cw_timer_set(f->timer, CHECK_MS);
}
