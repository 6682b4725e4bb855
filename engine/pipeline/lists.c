/* Address lists that are no files: they come from the database, join each bundle, and are swapped without a reload of the
 * rules. The rules' sources and the lists that are files are those of the live generation, so a file that somebody is
 * editing does not go live with a label. */
#include <string.h>
#include <sys/mman.h>

#include "base/arena.h"
#include "base/mem.h"
#include "pipeline/bundle.h"
#include "pipeline/core.h"

struct stored_lists *cw_stored_lists_new(const struct cw_bundle_file *files, int n)
{
	struct stored_lists *lists = cw_zalloc(sizeof(*lists));

	lists->arena = cw_arena_new();
	lists->n = n;
	lists->files = cw_arena_zalloc(lists->arena, ((size_t)n + 1) * sizeof(*lists->files));
	for (int i = 0; i < n; i++)
		lists->files[i] = (struct cw_bundle_file){
			.name = cw_arena_strndup(lists->arena, files[i].name, strlen(files[i].name)),
			.text = cw_arena_strndup(lists->arena, files[i].text, files[i].len),
			.len = files[i].len,
		};
	return lists;
}

void cw_stored_lists_free(struct stored_lists **lists)
{
	if (*lists != NULL)
		cw_arena_free(&(*lists)->arena);
	cw_free(*lists);
	*lists = NULL;
}

static bool is_stored(const struct cw_bundle_file *file)
{
	return strncmp(file->name, CW_LISTS_STORED, strlen(CW_LISTS_STORED)) == 0;
}

void cw_stored_lists_join(struct cw_bundle *out, const struct cw_bundle *from, const struct stored_lists *lists,
                          struct cw_arena *arena)
{
	int more = lists != NULL ? lists->n : 0, n = 0;

	*out = *from;
	out->lists = cw_arena_zalloc(arena, ((size_t)from->nlists + (size_t)more + 1) * sizeof(*out->lists));
	for (int i = 0; i < from->nlists; i++)
		if (!is_stored(&from->lists[i]))
			out->lists[n++] = from->lists[i];
	for (int i = 0; i < more; i++)
		out->lists[n++] = lists->files[i];
	out->nlists = n;
}

void cw_pipeline_set_lists(struct cw_pipeline *pipeline, const struct cw_bundle_file *lists, int n)
{
	struct cw_pipeline *p = CW_CAST(pipeline, PIPELINE_MAGIC);

	cw_stored_lists_free(&p->lists);
	p->lists = cw_stored_lists_new(lists, n);
}

void cw_pipeline_join_lists(const struct cw_pipeline *pipeline, struct cw_bundle *bundle, struct cw_arena *arena)
{
	const struct stored_lists *lists = pipeline->lists;
	struct stored_lists copies = { .arena = arena };

	if (lists == NULL || lists->n == 0)
		return;
	copies.files = cw_arena_zalloc(arena, (size_t)lists->n * sizeof(*copies.files));
	copies.n = lists->n;
	for (int i = 0; i < lists->n; i++)
		copies.files[i] = (struct cw_bundle_file){
			.name = cw_arena_strndup(arena, lists->files[i].name, strlen(lists->files[i].name)),
			.text = cw_arena_strndup(arena, lists->files[i].text, lists->files[i].len),
			.len = lists->files[i].len,
		};
	cw_stored_lists_join(bundle, &(const struct cw_bundle){ .rules = bundle->rules, .nrules = bundle->nrules,
		                                                     .lists = bundle->lists, .nlists = bundle->nlists,
		                                                     .params_json = bundle->params_json,
		                                                     .options_json = bundle->options_json, .tested = bundle->tested },
	                     &copies, arena);
}
