/* bundle.h - the files of a generation of rules, read into memory.
 *
 * Reads files: at start-up or on a worker thread. Text only: a NUL or a file over the limit is an error. */
#ifndef CW_APP_BUNDLE_H
#define CW_APP_BUNDLE_H

#include <stdbool.h>
#include <stddef.h>

#include "pipeline/evaluate.h"

struct cw_arena;
struct cw_config;
struct cw_err;

#define CW_RULE_FILE_MAX (64u << 10)     /* a longer source was not written by a person */
#define CW_LIST_FILE_MAX (512u << 20)

/* Fills rules and lists from the folders, sorted by name; everything lives in `arena`. A missing folder of rules is an
 * error, a missing folder of lists is none. params_json and options_json are left to the caller. */
int cw_bundle_read(struct cw_bundle *bundle, const char *rules_dir, const char *lists_dir, struct cw_arena *arena,
                   struct cw_err *err);
/* Fills the rules only, from files and folders (their .lua files), sorted by name. */
int cw_bundle_read_paths(struct cw_bundle *bundle, char *const *paths, int n, struct cw_arena *arena,
                         struct cw_err *err);
/* Budgets for the evaluator out of the settings. */
const char *cw_bundle_options(const struct cw_config *config, struct cw_arena *arena);
/* SHA-256 over the names and texts of the .lua files in api/, policy/, jobs/ and lib/ below the folder, and over `more`: the
 * same digest, the same scripts. False where a file cannot be read. */
bool cw_scripts_digest(const char *scripts_dir, const char *more, unsigned char digest[32], struct cw_arena *arena);
/* A whole text file in `arena`, NUL-terminated. */
const char *cw_file_read(const char *path, size_t max, size_t *len, struct cw_arena *arena, struct cw_err *err);

#endif
