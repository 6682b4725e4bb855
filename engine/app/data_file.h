/* data_file.h - a Lua file that is data: run once in a closed environment under a budget, must return a table.
 *
 * What it may use: the language, `env "NAME"` and `file "PATH"`. Serves conf/chainwatch.lua and conf/rules.lua. */
#ifndef CW_APP_DATA_FILE_H
#define CW_APP_DATA_FILE_H

struct cw_buf;
struct cw_err;
struct lua_State;

/* Called with the table on top of the stack. */
typedef int cw_data_file_fn(void *arg, struct lua_State *L, const char *source, struct cw_err *err);

int cw_data_file_run(const char *path, cw_data_file_fn *fn, void *arg, struct cw_err *err);
/* The line on which `key =` stands first after `section =` (NULL: from the top); 1 if there is none. */
int cw_data_file_line(const char *source, const char *section, const char *key);
/* The table as JSON; what has no JSON form (functions, mixed tables, NaN) is an error that names the path. */
int cw_data_file_to_json(const char *path, struct cw_buf *out, struct cw_err *err);

#endif
