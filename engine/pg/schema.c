#include "pg/schema.h"

#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/embed.h"
#include "base/err.h"
#include "base/mem.h"

CW_EMBED(cw_schema_sql, "engine/pg/schema.sql");

enum { RANK_TABLE = 40 };        /* what stands below may be needed by a column until that column is changed */
#define PART_END '\x1f'

/* ---- reading ---- */

static int fail(PGconn *conn, PGresult *res, struct cw_err *err)
{
	const char *text = res != NULL ? PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY) : NULL;

	if (text == NULL)
		text = PQerrorMessage(conn);
	cw_err_set(err, CW_ERR_DB, "could not read the schema: %.*s", (int)strcspn(text, "\n"), text);
	PQclear(res);
	PQfinish(conn);
	return -1;
}

static const char *keep(struct cw_schema *s, const PGresult *res, int row, int column)
{
	size_t n = (size_t)PQgetlength(res, row, column);
	char *text = cw_arena_strndup(s->arena, PQgetvalue(res, row, column), n);

	while (column >= 6 && n > 0 && strchr("\n\t ;", text[n - 1]) != NULL)
		text[--n] = '\0';
	return text;
}

static void take(struct cw_schema *s, const PGresult *res)
{
	s->arena = cw_arena_new();
	s->count = PQntuples(res);
	s->list = cw_arena_zalloc(s->arena, (size_t)(s->count + 1) * sizeof(*s->list));
	for (int i = 0; i < s->count; i++)
		s->list[i] = (struct cw_object){
			.rank = atoi(PQgetvalue(res, i, 0)), .kind = keep(s, res, i, 1), .key = keep(s, res, i, 2),
			.parent = keep(s, res, i, 3), .part = PQgetvalue(res, i, 4)[0] == 't', .def = keep(s, res, i, 5),
			.make = keep(s, res, i, 6), .undo = keep(s, res, i, 7),
		};
}

int cw_schema_read(struct cw_schema *schema, const char *conninfo, struct cw_err *err)
{
	PGconn *conn = PQconnectdb(conninfo);
	PGresult *res;

	*schema = (struct cw_schema){ .list = NULL };
	if (PQstatus(conn) != CONNECTION_OK)
		return fail(conn, NULL, err);
	/* Names come out qualified only where the search path does not reach. */
	res = PQexec(conn, "SET search_path = ''");
	if (PQresultStatus(res) != PGRES_COMMAND_OK)
		return fail(conn, res, err);
	PQclear(res);
	res = PQexec(conn, cw_schema_sql);
	if (PQresultStatus(res) != PGRES_TUPLES_OK)
		return fail(conn, res, err);
	take(schema, res);
	PQclear(res);
	PQfinish(conn);
	return 0;
}

void cw_schema_release(struct cw_schema *schema)
{
	cw_arena_free(&schema->arena);
	*schema = (struct cw_schema){ .list = NULL };
}

/* ---- comparing ---- */

static bool is(const struct cw_object *o, const char *kind)
{
	return strcmp(o->kind, kind) == 0;
}

static const struct cw_object *find(const struct cw_schema *s, const char *kind, const char *key)
{
	for (int i = 0; i < s->count; i++)
		if (strcmp(s->list[i].key, key) == 0 && is(&s->list[i], kind))
			return &s->list[i];
	return NULL;
}

static bool has_table(const struct cw_schema *s, const char *name)
{
	return find(s, "table", name) != NULL || find(s, "partition", name) != NULL;
}

/* What the n-th part of a definition says, up to PART_END. */
static const char *part(const char *def, int n, int *len)
{
	const char *end;

	for (; n > 0; n--)
		def = strchr(def, PART_END) + 1;
	end = strchr(def, PART_END);
	*len = (int)(end - def);
	return def;
}

static bool part_same(const char *a, const char *b, int n)
{
	int na, nb;
	const char *pa = part(a, n, &na), *pb = part(b, n, &nb);

	return na == nb && memcmp(pa, pb, (size_t)na) == 0;
}

static void say(struct cw_buf *out, const char *sql)
{
	cw_buf_puts(out, sql);
	cw_buf_puts(out, ";\n");
}

/* ---- one object that changed ---- */

enum { COL_TYPE, COL_DEFAULT, COL_NOT_NULL, COL_IDENTITY, COL_GENERATED };

static const char *identity_word(char c)
{
	return c == 'd' ? "BY DEFAULT" : "ALWAYS";
}

static void alter_identity(struct cw_buf *out, const char *head, char from, char to)
{
	if (to == '\0')
		return;
	if (from == '\0')
		cw_buf_printf(out, "%s ADD GENERATED %s AS IDENTITY;\n", head, identity_word(to));
	else
		cw_buf_printf(out, "%s SET GENERATED %s;\n", head, identity_word(to));
}

static char identity_of(const char *def)
{
	int n;
	const char *p = part(def, COL_IDENTITY, &n);

	return n > 0 ? *p : '\0';
}

static void alter_default(struct cw_buf *out, const char *head, const char *def)
{
	int n;
	const char *p = part(def, COL_DEFAULT, &n);

	if (n > 0)
		cw_buf_printf(out, "%s SET DEFAULT %.*s;\n", head, n, p);
	else
		cw_buf_printf(out, "%s DROP DEFAULT;\n", head);
}

static void alter_type(struct cw_buf *out, const char *head, const char *column, const char *def)
{
	int n, bare;
	const char *type = part(def, COL_TYPE, &n);
	const char *collate = strstr(type, " COLLATE ");

	bare = collate != NULL && collate < type + n ? (int)(collate - type) : n;
	cw_buf_puts(out, "-- rewrites the table, and fails on a value that the new type does not take\n");
	cw_buf_printf(out, "%s TYPE %.*s USING %s::%.*s;\n", head, n, type, column, bare, type);
}

/* The key is schema.table.column, each quoted where needed; the table is the parent. */
static void alter_column(struct cw_buf *out, const struct cw_object *a, const struct cw_object *b)
{
	const char *column = b->key + strlen(b->parent) + 1;
	char head[512];
	bool type = !part_same(a->def, b->def, COL_TYPE), deflt = !part_same(a->def, b->def, COL_DEFAULT);
	int n;

	if (!part_same(a->def, b->def, COL_GENERATED) || (deflt && part(b->def, COL_GENERATED, &n)[0] == 's')) {
		cw_buf_puts(out, "-- loses data: the column is made anew\n");
		say(out, a->undo);
		say(out, b->make);
		return;
	}
	snprintf(head, sizeof(head), "ALTER TABLE %s ALTER COLUMN %s", b->parent, column);
	if (identity_of(b->def) == '\0' && identity_of(a->def) != '\0')
		cw_buf_printf(out, "%s DROP IDENTITY;\n", head);
	part(a->def, COL_DEFAULT, &n);
	if (type && n > 0)
		cw_buf_printf(out, "%s DROP DEFAULT;\n", head);
	if (type)
		alter_type(out, head, column, b->def);
	part(b->def, COL_DEFAULT, &n);
	if (deflt || (type && n > 0))
		alter_default(out, head, b->def);
	if (!part_same(a->def, b->def, COL_NOT_NULL)) {
		bool set = part(b->def, COL_NOT_NULL, &n)[0] == 't';

		if (set)
			cw_buf_puts(out, "-- fails where the column is null\n");
		cw_buf_printf(out, "%s %s NOT NULL;\n", head, set ? "SET" : "DROP");
	}
	if (identity_of(a->def) != identity_of(b->def))
		alter_identity(out, head, identity_of(a->def), identity_of(b->def));
}

/* Whether all labels of `a` stand in `b`, in the same order. */
static bool enum_only_grows(const char *a, const char *b)
{
	while (*a != '\0') {
		size_t n = strcspn(a, "\x1f");

		while (*b != '\0' && (strcspn(b, "\x1f") != n || memcmp(a, b, n) != 0))
			b += strcspn(b, "\x1f") + 1;
		if (*b == '\0')
			return false;
		a += n + 1;
		b += n + 1;
	}
	return true;
}

static bool enum_has(const char *def, const char *label, size_t n)
{
	while (*def != '\0') {
		size_t m = strcspn(def, "\x1f");

		if (m == n && memcmp(def, label, n) == 0)
			return true;
		def += m + 1;
	}
	return false;
}

static void enum_grow(struct cw_buf *out, const struct cw_object *a, const struct cw_object *b)
{
	const char *last = NULL;
	size_t last_n = 0;

	for (const char *p = b->def; *p != '\0';) {
		size_t n = strcspn(p, "\x1f");

		if (!enum_has(a->def, p, n) && last != NULL)
			cw_buf_printf(out, "ALTER TYPE %s ADD VALUE %.*s AFTER %.*s;\n", b->key, (int)n, p, (int)last_n, last);
		else if (!enum_has(a->def, p, n))
			cw_buf_printf(out, "ALTER TYPE %s ADD VALUE %.*s BEFORE %.*s;\n", b->key, (int)n, p,
			              (int)strcspn(a->def, "\x1f"), a->def);
		last = p;
		last_n = n;
		p += n + 1;
	}
}

static void remake_comment(const struct cw_schema *from, const struct cw_schema *to, const struct cw_object *o,
                           struct cw_buf *out);

/* Indexes and constraints that name the type stand in the way of its change; those that change or go are gone already. */
static void enum_users(struct cw_buf *out, const struct cw_schema *from, const struct cw_schema *to, const char *type,
                       bool make)
{
	for (int i = 0; i < from->count; i++) {
		const struct cw_object *o = &from->list[make ? i : from->count - 1 - i], *same;

		if ((!is(o, "index") && !is(o, "constraint")) || strstr(o->def, type) == NULL || o->part)
			continue;
		same = find(to, o->kind, o->key);
		if (same == NULL || strcmp(same->def, o->def) != 0)
			continue;
		say(out, make ? o->make : o->undo);
		if (make)
			remake_comment(from, to, o, out);
	}
}

/* Labels went or moved: a new type takes the place of the old one in each column. */
static void enum_replace(struct cw_buf *out, const struct cw_schema *from, const struct cw_schema *to,
                         const struct cw_object *a, const struct cw_object *b)
{
	const char *name = strrchr(a->key, '.') + 1;
	bool quoted = name[0] == '"';

	enum_users(out, from, to, a->key, false);
	cw_buf_puts(out, "-- rewrites the tables, and fails on a value that the new type does not have\n");
	cw_buf_printf(out, "ALTER TYPE %s RENAME TO %.*s_old%s;\n", a->key, (int)(strlen(name) - quoted), name,
	              quoted ? "\"" : "");
	say(out, b->make);
	for (int i = 0; i < from->count; i++) {
		const struct cw_object *o = &from->list[i];
		int n, nd;
		const char *type, *deflt;

		if (!is(o, "column"))
			continue;
		type = part(o->def, COL_TYPE, &n);
		deflt = part(o->def, COL_DEFAULT, &nd);
		if (n != (int)strlen(a->key) || memcmp(type, a->key, (size_t)n) != 0)
			continue;
		const char *column = o->key + strlen(o->parent) + 1;

		if (nd > 0)
			cw_buf_printf(out, "ALTER TABLE %s ALTER COLUMN %s DROP DEFAULT;\n", o->parent, column);
		cw_buf_printf(out, "ALTER TABLE %s ALTER COLUMN %s TYPE %s USING %s::text::%s;\n", o->parent, column, b->key,
		              column, b->key);
		if (nd > 0)
			cw_buf_printf(out, "ALTER TABLE %s ALTER COLUMN %s SET DEFAULT %.*s;\n", o->parent, column, nd, deflt);
	}
	cw_buf_printf(out, "DROP TYPE %.*s%.*s_old%s;\n", (int)(name - a->key), a->key, (int)(strlen(name) - quoted), name,
	              quoted ? "\"" : "");
	enum_users(out, from, to, a->key, true);
}

/* Kinds that have no ALTER worth the name: dropped before everything, made again in their turn. */
static bool is_replaced(const struct cw_object *o)
{
	return is(o, "constraint") || is(o, "fk") || is(o, "index") || is(o, "view") || is(o, "trigger") || is(o, "owner");
}

static void change(struct cw_buf *out, const struct cw_schema *from, const struct cw_schema *to,
                   const struct cw_object *a, const struct cw_object *b)
{
	if (is(b, "column")) {
		alter_column(out, a, b);
	} else if (is(b, "enum")) {
		if (enum_only_grows(a->def, b->def))
			enum_grow(out, a, b);
		else
			enum_replace(out, from, to, a, b);
	} else if (is(b, "partition") || is(b, "domain") || is(b, "sequence")) {
		say(out, a->undo);
		say(out, b->make);
	} else {
		say(out, b->make);
	}
}

/* ---- the whole ---- */

/* On both sides, but made in another way: one goes with all that hangs on it, the other comes. */
static bool is_remade(const struct cw_schema *from, const struct cw_schema *to, const char *table)
{
	const struct cw_object *a = find(from, "table", table), *b = find(to, "table", table);

	return a != NULL && b != NULL && strcmp(a->def, b->def) != 0;
}

/* The same object on the other side. */
static const struct cw_object *peer(const struct cw_object *o, const struct cw_schema *other,
                                    const struct cw_schema *from, const struct cw_schema *to)
{
	if (is_remade(from, to, is(o, "table") ? o->key : o->parent))
		return NULL;
	return find(other, o->kind, o->key);
}

/* A partition, or something of one, where the partitioned table is on both sides: made at run time. */
static bool at_run_time(const struct cw_object *o, const struct cw_schema *from, const struct cw_schema *to)
{
	const struct cw_object *p = o;

	if (!o->part)
		return false;
	if (!is(o, "partition"))
		p = find(from, "partition", o->parent) != NULL ? find(from, "partition", o->parent)
		                                               : find(to, "partition", o->parent);
	return p == NULL || (has_table(from, p->parent) && has_table(to, p->parent) && !is_remade(from, to, p->parent));
}

/* A new table brings its columns; a partition brings what its parent has. */
static bool made_with_parent(const struct cw_object *o, const struct cw_schema *from, const struct cw_schema *to)
{
	return is(o, "column") && (!has_table(from, o->parent) || is_remade(from, to, o->parent));
}

static bool gone_with_parent(const struct cw_object *o, const struct cw_schema *from, const struct cw_schema *to)
{
	return o->parent[0] != '\0' && !is(o, "fk") && (!has_table(to, o->parent) || is_remade(from, to, o->parent));
}

static void drop(struct cw_buf *out, const struct cw_object *o)
{
	if (is(o, "table") || is(o, "partition") || is(o, "column"))
		cw_buf_puts(out, "-- loses data\n");
	say(out, o->undo);
}

/* Objects of [low, high] that go, last ones first; with those that are replaced. */
static void drops(const struct cw_schema *from, const struct cw_schema *to, int low, int high, struct cw_buf *out)
{
	for (int i = from->count - 1; i >= 0; i--) {
		const struct cw_object *a = &from->list[i], *b;

		if (a->rank < low || a->rank > high || at_run_time(a, from, to))
			continue;
		b = peer(a, to, from, to);
		if (b == NULL && !gone_with_parent(a, from, to))
			drop(out, a);
		else if (b != NULL && is_replaced(a) && strcmp(a->def, b->def) != 0)
			say(out, a->undo);
	}
}

/* What is made anew has lost its comment, also where that has not changed. */
static void remake_comment(const struct cw_schema *from, const struct cw_schema *to, const struct cw_object *o,
                           struct cw_buf *out)
{
	const char *words[] = { "CONSTRAINT", "INDEX", "VIEW", "MATERIALIZED VIEW", "TRIGGER", "COLUMN", "TYPE" };
	char key[1024];

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		const struct cw_object *a, *b;

		snprintf(key, sizeof(key), "%s %s", words[i], o->key);
		a = find(from, "comment", key);
		b = find(to, "comment", key);
		if (a != NULL && b != NULL && strcmp(a->def, b->def) == 0)
			say(out, b->make);
	}
}

static void makes(const struct cw_schema *from, const struct cw_schema *to, struct cw_buf *out)
{
	for (int i = 0; i < to->count; i++) {
		const struct cw_object *b = &to->list[i], *a;
		bool same;

		if (at_run_time(b, from, to))
			continue;
		a = peer(b, from, from, to);
		same = a != NULL && strcmp(a->def, b->def) == 0;
		if (a == NULL && !made_with_parent(b, from, to))
			say(out, b->make);
		else if (a != NULL && !same && is_replaced(a))
			say(out, b->make);
		else if (a != NULL && !same)
			change(out, from, to, a, b);
		if (a != NULL && !same && (is_replaced(a) || is(a, "column") || is(a, "enum")))
			remake_comment(from, to, b, out);
	}
}

static int differing(const struct cw_schema *from, const struct cw_schema *to, bool parts, struct cw_buf *out)
{
	int n = 0;

	for (int i = 0; i < from->count; i++) {
		const struct cw_object *a = &from->list[i], *b = find(to, a->kind, a->key);

		if ((b != NULL && strcmp(a->def, b->def) == 0) || (!parts && at_run_time(a, from, to)))
			continue;
		if (out != NULL)
			cw_buf_printf(out, "%c %s %s\n", b == NULL ? '-' : '~', a->kind, a->key);
		n++;
	}
	for (int i = 0; i < to->count; i++) {
		const struct cw_object *b = &to->list[i];

		if (find(from, b->kind, b->key) != NULL || (!parts && at_run_time(b, from, to)))
			continue;
		if (out != NULL)
			cw_buf_printf(out, "+ %s %s\n", b->kind, b->key);
		n++;
	}
	return n;
}

static bool makes_functions(const struct cw_schema *from, const struct cw_schema *to)
{
	for (int i = 0; i < to->count; i++) {
		const struct cw_object *b = &to->list[i], *a = is(b, "function") ? find(from, b->kind, b->key) : b;

		if (a == NULL || strcmp(a->def, b->def) != 0)
			return true;
	}
	return false;
}

int cw_schema_diff(const struct cw_schema *from, const struct cw_schema *to, struct cw_buf *out)
{
	bool functions = makes_functions(from, to);

	drops(from, to, RANK_TABLE, 999, out);
	/* A function comes before the tables that its body names: columns may need it. */
	if (functions)
		cw_buf_puts(out, "SET check_function_bodies = off;\n");
	makes(from, to, out);
	if (functions)
		cw_buf_puts(out, "RESET check_function_bodies;\n");
	drops(from, to, 0, RANK_TABLE - 1, out);
	return differing(from, to, false, NULL);
}

int cw_schema_compare(const struct cw_schema *from, const struct cw_schema *to, struct cw_buf *out)
{
	return differing(from, to, true, out);
}
