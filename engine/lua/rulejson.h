/* rulejson.h - values of rules as JSON: numbers, text, booleans and tables of them, keys sorted, size and depth bounded. */
#ifndef CW_LUA_RULEJSON_H
#define CW_LUA_RULEJSON_H

struct cw_buf;
struct lua_State;

#define CW_RULEJSON_DEPTH 4
#define CW_RULEJSON_KEYS 64           /* of one table */

/* Writes the value at `index`. A table with keys 1 .. n is an array, else an object with text keys; an empty one is an
 * object. Calls no metamethods and raises nothing. Returns NULL, or what is wrong, as "explain.x is a function"
 * (`what` names the root); in a static buffer. */
const char *cw_rulejson_write(struct lua_State *L, int index, const char *what, struct cw_buf *out);

/* Appends "key value, key value" of a flat table for people: numbers with 6 digits, underscores as spaces; tables are
 * left out. The same order of keys. */
void cw_rulejson_sentence(struct lua_State *L, int index, struct cw_buf *out);

#endif
