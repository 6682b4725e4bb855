/* apidoc.h - what apidoc.c and apidoc_db.c share. */
#ifndef CW_LUA_APIDOC_H
#define CW_LUA_APIDOC_H

struct cw_buf;

void cw_apidoc_stub_head(struct cw_buf *out, const char *what);
void cw_apidoc_cell(struct cw_buf *out, const char *text);     /* text in a cell of a table */
void cw_apidoc_db_stub(struct cw_buf *out);                    /* scripts/meta/db.lua */
void cw_apidoc_operations(struct cw_buf *out);                 /* the tables of docs/LUA_API.md */

#endif
