/* schema.h - the schema of a database as a list of objects, and the statements that turn one schema into another.
 *
 * Read from the catalogue (schema.sql): schemas, extensions, enums, domains, sequences, functions, tables with columns,
 * storage parameters, constraints and indexes, partitions, views, triggers, comments, grants. Order of columns, owners,
 * privileges of the owner, policies, rules, aggregates and event triggers are not compared. The schema "legacy" and the
 * table of migrations are left out. Synchronous, like migrate.h. */
#ifndef CW_PG_SCHEMA_H
#define CW_PG_SCHEMA_H

#include <stdbool.h>

struct cw_arena;
struct cw_buf;
struct cw_err;

struct cw_object {
	int rank;                    /* objects can be made in this order */
	const char *kind, *key;      /* "column", "public.users.email": together the identity */
	const char *parent;          /* table that it goes with; "" */
	bool part;                   /* of a partition: made at run time, so not part of what is declared */
	const char *def;             /* equal means the same */
	const char *make, *undo;     /* SQL without the last semicolon */
};

struct cw_schema { struct cw_arena *arena; struct cw_object *list; int count; };

int cw_schema_read(struct cw_schema *schema, const char *conninfo, struct cw_err *err);
void cw_schema_release(struct cw_schema *schema);

/* Appends the statements that turn `from` into `to`; what loses data or can fail on rows has a comment above it.
 * Partitions count only with a table that is new. Returns how many objects differ. */
int cw_schema_diff(const struct cw_schema *from, const struct cw_schema *to, struct cw_buf *out);
/* One line for each object that differs, partitions included: "+ kind key", "- kind key", "~ kind key". Returns how
 * many. */
int cw_schema_compare(const struct cw_schema *from, const struct cw_schema *to, struct cw_buf *out);

#endif
