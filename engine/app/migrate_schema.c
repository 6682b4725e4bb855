/* migrate_schema.c - chainwatch migrate diff and verify: the schema that the folder of migrations declares, against
 * another one. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "app/bundle.h"
#include "app/cli.h"
#include "app/config.h"
#include "app/migrate_cli.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "pg/migrate.h"
#include "pg/schema.h"
#include "pg/scratch.h"

#define SQL_FILE_MAX (16u << 20)

struct sides {
	struct cw_migrate_cli *w;
	struct cw_cli_database *live;    /* opened when a side asks for it */
	struct cw_scratch *scratch;
	int databases;
	struct cw_err err;
};

static void sides_done(struct sides *s)
{
	cw_scratch_stop(&s->scratch);
	cw_cli_database_done(&s->live);
}

static int fresh_database(struct sides *s, char *conninfo, size_t size)
{
	char name[32];

	if (s->scratch == NULL)
		s->scratch = cw_scratch_start(NULL, &s->err);
	snprintf(name, sizeof(name), "side%d", ++s->databases);
	return s->scratch != NULL ? cw_scratch_database(s->scratch, name, conninfo, size, &s->err) : -1;
}

static int load_declared(struct sides *s, const char *conninfo)
{
	struct cw_migrations m;
	struct cw_migrate_run run = { .conninfo = conninfo };
	int rc;

	if (cw_migrations_load(&m, s->w->config->migrations_dir, &s->err) != 0)
		return -1;
	rc = cw_migrate_up(&m, &run, NULL, &s->err) < 0 ? -1 : 0;
	cw_migrations_release(&m);
	return rc;
}

static int load_file(struct sides *s, const char *path, const char *conninfo)
{
	struct cw_arena *arena = cw_arena_new();
	size_t len;
	const char *text = cw_file_read(path, SQL_FILE_MAX, &len, arena, &s->err);
	int rc = text == NULL ? -1 : cw_pg_exec(conninfo, text, &s->err);

	if (text != NULL && rc != 0)
		cw_err_wrap(&s->err, "\"%s\"", path);
	cw_arena_free(&arena);
	return rc;
}

static bool ends_with_sql(const char *text)
{
	size_t n = strlen(text);

	return n > 4 && strcmp(text + n - 4, ".sql") == 0;
}

/* "live", "declared", a file or a connection string. 0, or the exit code after a message. */
static int read_side(struct sides *s, const char *what, struct cw_schema *schema)
{
	char made[512];
	const char *conninfo = made;
	int rc = 0;

	if (strcmp(what, "live") == 0) {
		if (s->live == NULL && (s->live = cw_cli_database(&s->w->cli, s->w->config)) == NULL)
			return 69;
		conninfo = cw_cli_database_conninfo(s->live);
	} else if (strcmp(what, "declared") == 0) {
		rc = fresh_database(s, made, sizeof(made)) != 0 || load_declared(s, made) != 0;
	} else if (ends_with_sql(what)) {
		rc = fresh_database(s, made, sizeof(made)) != 0 || load_file(s, what, made) != 0;
	} else if (strchr(what, '=') != NULL || strstr(what, "://") != NULL) {
		conninfo = what;
	} else {
		return cw_cli_usage_error(&s->w->cli, "\"%s\" is neither live, declared, a .sql file nor a connection string", what);
	}
	if (rc == 0 && cw_schema_read(schema, conninfo, &s->err) == 0)
		return 0;
	return cw_cli_fail(&s->w->cli, &s->err);
}

static int write_migration(struct cw_migrate_cli *w, const char *up, const char *down)
{
	struct cw_err err;
	char path[4096];

	if (cw_migrate_new(&w->migrations, w->write, up, down, path, sizeof(path), &err) != 0)
		return cw_cli_fail(&w->cli, &err);
	printf("%s\n", path);
	return 1;
}

static int show_diff(struct cw_migrate_cli *w, const struct cw_schema *from, const struct cw_schema *to)
{
	struct cw_buf up = CW_BUF_INIT, down = CW_BUF_INIT, json = CW_BUF_INIT;
	int n = cw_schema_diff(from, to, &up), rc = n > 0;

	cw_schema_diff(to, from, &down);
	if (w->cli.json) {
		cw_buf_printf(&json, "{\"differences\":%d,\"up\":", n);
		cw_json_put_string(&json, up.data, up.len);
		cw_buf_puts(&json, ",\"down\":");
		cw_json_put_string(&json, down.data, down.len);
		printf("%s}\n", json.data);
	} else if (n > 0 && w->write == NULL) {
		printf("-- migrate:up\n\n%s\n-- migrate:down\n\n%s", up.data, down.data);
	} else if (n == 0) {
		fprintf(stderr, "no difference\n");
	}
	if (n > 0 && w->write != NULL)
		rc = write_migration(w, up.data, down.data);
	cw_buf_release(&up);
	cw_buf_release(&down);
	cw_buf_release(&json);
	return rc;
}

int cw_migrate_cli_diff(struct cw_migrate_cli *w)
{
	struct sides s = { .w = w };
	struct cw_schema from = { .list = NULL }, to = { .list = NULL };
	int rc;

	if (w->capture && (w->from != NULL || w->to != NULL))
		return cw_cli_usage_error(&w->cli, "--capture says both sides: leave out --from and --to");
	rc = read_side(&s, w->capture ? "declared" : w->from != NULL ? w->from : "live", &from);
	if (rc == 0)
		rc = read_side(&s, w->capture ? "live" : w->to != NULL ? w->to : "declared", &to);
	if (rc == 0)
		rc = show_diff(w, &from, &to);
	cw_schema_release(&from);
	cw_schema_release(&to);
	sides_done(&s);
	return rc;
}

/* ---- verify ---- */

static int say(int bad, const char *what, const char *good, const char *wrong)
{
	printf("%-8s %s: %s\n", bad ? "WRONG" : "ok", what, bad ? wrong : good);
	return bad;
}

static int check_applied(struct cw_migrate_cli *w, const char *conninfo)
{
	struct cw_buf words = CW_BUF_INIT;
	struct cw_err err;
	int pending = 0, bad;

	if (cw_migrations_status(&w->migrations, conninfo, &err) != 0)
		return cw_cli_fail(&w->cli, &err);
	for (int i = 0; i < w->migrations.count; i++) {
		const struct cw_migration *m = &w->migrations.list[i];

		if (m->missing)
			cw_buf_printf(&words, " %s_%s is applied, but its file is missing;", m->version, m->name);
		else if (m->drifted)
			cw_buf_printf(&words, " %s_%s.sql has changed since it was applied;", m->version, m->name);
		else if (!m->applied)
			pending++;
	}
	bad = say(words.len > 0, "files against what was applied", "the same", words.len > 0 ? words.data + 1 : "");
	if (pending > 0)
		say(1, "pending", "", "not every migration is applied: chainwatch migrate up");
	cw_buf_release(&words);
	return bad || pending > 0;
}

static int differs(struct sides *s, const struct cw_schema *wanted, const char *conninfo, const char *file,
                   const char *when)
{
	struct cw_buf words = CW_BUF_INIT;
	struct cw_schema now;
	int n;

	if (cw_schema_read(&now, conninfo, &s->err) != 0)
		return -1;
	n = cw_schema_compare(wanted, &now, &words);
	if (n > 0)
		printf("WRONG    %s: %s, the schema is not what it was:\n%s", file, when, words.data);
	cw_schema_release(&now);
	cw_buf_release(&words);
	return n;
}

/* One step up, down, up: the two middles and the two ends must be equal. */
static int check_step(struct sides *s, struct cw_migrations *m, int i, const char *conninfo)
{
	struct cw_migrate_run run = { .conninfo = conninfo };
	struct cw_schema before, after = { .list = NULL };
	char file[128];
	int bad = -1;

	snprintf(file, sizeof(file), "%s_%s.sql", m->list[i].version, m->list[i].name);
	if (cw_schema_read(&before, conninfo, &s->err) != 0)
		return -1;
	if (cw_migrate_up(m, &run, m->list[i].version, &s->err) == 1 && cw_schema_read(&after, conninfo, &s->err) == 0 &&
	    cw_migrate_down(m, &run, 1, NULL, &s->err) == 1) {
		bad = differs(s, &before, conninfo, file, "after up and down");
		if (bad == 0 && cw_migrate_up(m, &run, m->list[i].version, &s->err) == 1)
			bad = differs(s, &after, conninfo, file, "after up, down and up");
		else if (bad == 0)
			bad = -1;
	}
	cw_schema_release(&before);
	cw_schema_release(&after);
	return bad;
}

static int check_steps(struct sides *s)
{
	struct cw_migrations m;
	struct cw_migrate_run run = { .conninfo = NULL };
	char conninfo[512];
	struct cw_schema whole = { .list = NULL }, empty = { .list = NULL };
	int bad = 0;

	if (fresh_database(s, conninfo, sizeof(conninfo)) != 0 ||
	    cw_migrations_load(&m, s->w->config->migrations_dir, &s->err) != 0)
		return cw_cli_fail(&s->w->cli, &s->err);
	run.conninfo = conninfo;
	bad = cw_schema_read(&empty, conninfo, &s->err);
	for (int i = 0; i < m.count && bad == 0; i++)
		bad = check_step(s, &m, i, conninfo);
	if (bad == 0 && cw_schema_read(&whole, conninfo, &s->err) == 0 &&
	    cw_migrate_down(&m, &run, 0, "0", &s->err) == m.count) {
		bad = differs(s, &empty, conninfo, "the folder", "down to zero");
		if (bad == 0 && cw_migrate_up(&m, &run, NULL, &s->err) == m.count)
			bad = differs(s, &whole, conninfo, "the folder", "down to zero and up again");
		else if (bad == 0)
			bad = -1;
	} else if (bad == 0) {
		bad = -1;
	}
	cw_schema_release(&whole);
	cw_schema_release(&empty);
	cw_migrations_release(&m);
	if (bad < 0)
		return cw_cli_fail(&s->w->cli, &s->err);
	return bad > 0 ? 1 : say(0, "each step up, down and up again, and all to zero and back", "the same schema", "");
}

static int check_live(struct sides *s)
{
	struct cw_schema live = { .list = NULL }, declared = { .list = NULL };
	struct cw_buf sql = CW_BUF_INIT, words = CW_BUF_INIT;
	int rc = read_side(s, "live", &live), n = 0;

	if (rc == 0)
		rc = read_side(s, "declared", &declared);
	if (rc == 0)
		n = cw_schema_diff(&live, &declared, &sql);
	if (rc == 0)
		rc = say(n > 0, "live schema against the declared one", "the same", "they differ (\"migrate diff\" tells how):");
	if (n > 0) {
		cw_schema_compare(&live, &declared, &words);
		fputs(words.data, stdout);
	}
	cw_schema_release(&live);
	cw_schema_release(&declared);
	cw_buf_release(&sql);
	cw_buf_release(&words);
	return rc;
}

int cw_migrate_cli_verify(struct cw_migrate_cli *w)
{
	struct sides s = { .w = w };
	int bad = 0, rc;

	if (!w->offline) {
		s.live = cw_cli_database(&w->cli, w->config);
		if (s.live == NULL)
			return 69;
		bad = check_applied(w, cw_cli_database_conninfo(s.live));
	}
	rc = check_steps(&s);
	bad = rc > bad ? rc : bad;
	if (!w->offline) {
		rc = check_live(&s);
		bad = rc > bad ? rc : bad;
	}
	sides_done(&s);
	return bad;
}
