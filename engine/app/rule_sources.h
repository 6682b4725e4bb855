/* rule_sources.h - rules whose text is not that of a file: candidates that came in over HTTP, and promoted versions.
 *
 * They are rows of rule_sources, merged with the files of rules/ into the bundle of a generation. A promoted version
 * stands in for the file that it replaced, until that file changes (it has caught up, or somebody went another way) or is
 * gone. docs/decisions/ says why the store and not the folder is where a promotion goes. */
#ifndef CW_APP_RULE_SOURCES_H
#define CW_APP_RULE_SOURCES_H

#include <stdbool.h>

struct cw_arena;
struct cw_buf;
struct cw_bundle;
struct cw_err;
struct cw_pool;
struct cw_result;

struct cw_rule_source {
	const char *id, *sha256, *source, *replaces;
	bool promoted;                /* else a candidate */
	const char *over;             /* why the row is of no use any more; NULL: it is in the bundle */
};
struct cw_rule_sources { struct cw_rule_source *list; int n; };

enum cw_rule_change_kind { CW_CHANGE_NONE = 0, CW_CHANGE_SUBMIT, CW_CHANGE_WITHDRAW, CW_CHANGE_PROMOTE };
/* What is to be otherwise than the rows say; whoever asked for it writes the rows when it has worked. */
struct cw_rule_change {
	enum cw_rule_change_kind kind;
	const char *id;
	const char *source;           /* SUBMIT: given; PROMOTE: filled in */
	const char *sha256;           /* PROMOTE: of the candidate, given; SUBMIT: filled in */
	const char *replaces;         /* PROMOTE: given as SHA-256 of the live version, "" if there is none; filled in anew */
};

/* Rows of cw_rule_sources_all, copied to the arena. */
void cw_rule_sources_read(struct cw_rule_sources *sources, const struct cw_result *res, struct cw_arena *arena);
/* Puts them, with the change, into a bundle that was read from files. Any thread. -1: the change is not possible. */
int cw_rule_sources_merge(struct cw_rule_sources *sources, struct cw_rule_change *change, struct cw_bundle *bundle,
                          struct cw_arena *arena, struct cw_err *err);
/* After a refused load: if it was a candidate from the store that is to blame, takes it out of the bundle, says so in
 * `notes` and returns true: a candidate must not keep everything else from loading. */
bool cw_rule_sources_leave_out(const struct cw_rule_sources *sources, struct cw_bundle *bundle, const struct cw_err *err,
                               struct cw_buf *notes);
/* Deletes the rows that are over, and logs why. */
void cw_rule_sources_forget_over(struct cw_pool *pool, const struct cw_rule_sources *sources);

#endif
