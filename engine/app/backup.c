#include "app/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <libpq-fe.h>
#include <pwd.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "app/config.h"
#include "app/restore.h"
#include "base/child.h"
#include "base/embed.h"
#include "base/err.h"
#include "base/mem.h"
#include "pg/cluster.h"
#include "pg/schema.h"
#include "pg/scratch.h"

#define ARGS_MAX 48
#define MARK_TRIES 10            /* to get all writers out for a moment, 2 s each */

/* ---- places ---- */

static int make_folder(const struct cw_backup *b, const char *path, struct cw_err *err)
{
	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		return cw_err_errno(err, CW_ERR_INVALID, "could not make the folder \"%s\"", path);
	if (geteuid() == 0 && chown(path, b->uid, b->gid) != 0)
		return cw_err_errno(err, CW_ERR_INVALID, "could not hand over \"%s\"", path);
	return 0;
}

static int join(char out[PATH_MAX], const char *dir, const char *name, struct cw_err *err)
{
	if (snprintf(out, PATH_MAX, "%s/%s", dir, name) >= PATH_MAX)
		return cw_err_set(err, CW_ERR_INVALID, "path of the data directory is too long");
	return 0;
}

/* Who PostgreSQL is, or will be: as pg/cluster.c chooses. */
static void find_owner(struct cw_backup *b)
{
	char data[PATH_MAX];
	struct stat st;
	struct passwd *pw;

	b->uid = geteuid();
	b->gid = getegid();
	if (b->uid != 0)
		return;
	pw = join(data, b->base, "pg/data", NULL) == 0 && stat(data, &st) == 0 && st.st_uid != 0 ? getpwuid(st.st_uid)
	                                                                                       : getpwnam("postgres");
	if (pw == NULL)
		pw = getpwnam("nobody");
	if (pw != NULL) {
		b->uid = pw->pw_uid;
		b->gid = pw->pw_gid;
	}
}

static int write_private(const struct cw_backup *b, const char *path, const char *text, struct cw_err *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	ssize_t n = fd >= 0 ? write(fd, text, strlen(text)) : -1;

	if (n != (ssize_t)strlen(text) || fsync(fd) != 0 || (geteuid() == 0 && fchown(fd, b->uid, b->gid) != 0))
		cw_err_errno(err, CW_ERR_INVALID, "could not write \"%s\"", path);
	else
		err = NULL;
	if (fd >= 0)
		close(fd);
	return err == NULL ? 0 : -1;
}

/* backup.cipher_pass, or the key that was made at first. Whoever has lost it has lost the backups. */
static int cipher(const struct cw_backup *b, char out[128], struct cw_err *err)
{
	char path[PATH_MAX];
	unsigned char bytes[32];
	FILE *f;

	if (b->config->cipher_pass[0] != '\0') {
		snprintf(out, 128, "%s", b->config->cipher_pass);
		return 0;
	}
	if (join(path, b->dir, "cipher.key", err) != 0)
		return -1;
	f = fopen(path, "re");
	if (f != NULL) {
		bool ok = fgets(out, 128, f) != NULL;

		fclose(f);
		out[strcspn(out, "\n")] = '\0';
		return ok && out[0] != '\0' ? 0 : cw_err_set(err, CW_ERR_INVALID, "\"%s\" is empty", path);
	}
	randombytes_buf(bytes, sizeof(bytes));
	sodium_bin2base64(out, 128, bytes, sizeof(bytes), sodium_base64_VARIANT_URLSAFE_NO_PADDING);
	return write_private(b, path, out, err);
}

static int put_repo(const struct cw_backup *b, struct cw_buf *text, struct cw_err *err)
{
	const struct cw_config *c = b->config;
	const char *bucket = c->backup_repo + strlen("s3://");
	size_t n = strcspn(bucket, "/");
	char path[PATH_MAX];

	if (strncmp(c->backup_repo, "s3://", 5) == 0) {
		if (n == 0 || c->s3_endpoint[0] == '\0' || c->s3_key[0] == '\0')
			return cw_err_set(err, CW_ERR_INVALID, "backup.repo \"%s\" needs a bucket, backup.s3_endpoint, backup.s3_key and "
			                  "backup.s3_key_secret", c->backup_repo);
		cw_buf_printf(text, "repo1-type=s3\nrepo1-path=%s\nrepo1-s3-bucket=%.*s\nrepo1-s3-endpoint=%s\nrepo1-s3-region=%s\n"
		              "repo1-s3-key=%s\nrepo1-s3-key-secret=%s\nrepo1-s3-uri-style=%s\nrepo1-storage-verify-tls=%c\n",
		              bucket[n] == '/' && bucket[n + 1] != '\0' ? bucket + n : "/chainwatch", (int)n, bucket, c->s3_endpoint,
		              c->s3_region, c->s3_key, c->s3_key_secret, c->s3_uri_style, c->s3_verify_tls ? 'y' : 'n');
		return 0;
	}
	if (c->backup_repo[0] != '\0' && c->backup_repo[0] != '/')
		return cw_err_set(err, CW_ERR_INVALID, "backup.repo must be an absolute path or s3://bucket/path, not \"%s\"",
		                  c->backup_repo);
	if (c->backup_repo[0] != '\0')
		snprintf(path, sizeof(path), "%s", c->backup_repo);
	else if (join(path, b->dir, "repo", err) != 0)
		return -1;
	cw_buf_printf(text, "repo1-type=posix\nrepo1-path=%s\n", path);
	return make_folder(b, path, err);
}

/* Written at each start: it follows the settings. */
static int write_conf(struct cw_backup *b, struct cw_err *err)
{
	struct cw_buf text = CW_BUF_INIT;
	char pass[128];
	int rc = cipher(b, pass, err);

	if (rc == 0) {
		cw_buf_puts(&text, "# written by chainwatch at each start\n[global]\n");
		rc = put_repo(b, &text, err);
	}
	if (rc == 0) {
		/* Retention by time: a full backup goes when a later one is older than that, with what hangs on it. */
		cw_buf_printf(&text, "repo1-cipher-type=aes-256-cbc\nrepo1-cipher-pass=%s\nrepo1-retention-full-type=time\n"
		              "repo1-retention-full=%lld\nrepo1-bundle=y\ncompress-type=zst\nprocess-max=2\nstart-fast=y\n"
		              "io-timeout=30\narchive-timeout=60\nlog-level-console=warn\nlog-level-file=info\nlog-path=%s/log\n"
		              "lock-path=%s/lock\nspool-path=%s/spool\n\n[%s]\npg1-path=%s/pg/data\npg1-port=5432\n"
		              "pg1-user=chainwatch\npg1-database=chainwatch\n", pass, (long long)b->config->backup_keep_days, b->dir,
		              b->dir, b->dir, b->config->stanza, b->base);
		rc = write_private(b, b->conf, text.data, err);
	}
	sodium_memzero(pass, sizeof(pass));
	cw_buf_release(&text);
	return rc;
}

/* pgBackRest and the archiver run as PostgreSQL's user: they must be able to walk to their folder. */
static int check_reach(const struct cw_backup *b, struct cw_err *err)
{
	const char *argv[] = { "test", "-w", b->dir, NULL };
	struct cw_child child = { .argv = argv, .as_user = true, .uid = b->uid, .gid = b->gid };
	struct passwd *pw;

	if (geteuid() != 0 || cw_child_run(&child, NULL) == 0)
		return 0;
	pw = getpwuid(b->uid);
	return cw_err_set(err, CW_ERR_INVALID, "backup.enabled: user \"%s\", under which PostgreSQL runs, cannot reach \"%s\": a folder "
	                  "above it is closed to it; put general.data_dir elsewhere", pw != NULL ? pw->pw_name : "?", b->dir);
}

static int make_folders(struct cw_backup *b, struct cw_err *err)
{
	static const char *const folders[] = { "log", "lock", "spool" };
	char path[PATH_MAX];

	if (make_folder(b, b->dir, err) != 0)
		return -1;
	for (size_t i = 0; i < sizeof(folders) / sizeof(*folders); i++)
		if (join(path, b->dir, folders[i], err) != 0 || make_folder(b, path, err) != 0)
			return -1;
	return 0;
}

int cw_backup_open(struct cw_backup *b, const struct cw_config *config, struct cw_err *err)
{
	*b = (struct cw_backup){ .config = config, .private_cluster = config->database_url[0] == '\0' };
	if (mkdir(config->data_dir, 0755) != 0 && errno != EEXIST)
		return cw_err_errno(err, CW_ERR_INVALID, "could not make the data directory \"%s\"", config->data_dir);
	if (realpath(config->data_dir, b->base) == NULL)
		return cw_err_errno(err, CW_ERR_INVALID, "could not resolve \"%s\"", config->data_dir);
	if (join(b->dir, b->base, "backup", err) != 0 || (config->dump_dir[0] == '\0' && join(b->dumps, b->dir, "dumps", err) != 0))
		return -1;
	if (config->dump_dir[0] != '\0')
		snprintf(b->dumps, sizeof(b->dumps), "%s", config->dump_dir);
	find_owner(b);
	if (config->pgbackrest_conf[0] != '\0') {
		snprintf(b->conf, sizeof(b->conf), "%s", config->pgbackrest_conf);
		return make_folders(b, err);
	}
	if (!b->private_cluster || !config->backup_enabled)
		return 0;
	if (make_folders(b, err) != 0 || check_reach(b, err) != 0 || join(b->conf, b->dir, "pgbackrest.conf", err) != 0 || write_conf(b, err) != 0)
		return -1;
	snprintf(b->archive_command, sizeof(b->archive_command), "pgbackrest --config=%s --stanza=%s archive-push %%p", b->conf,
	         config->stanza);
	return 0;
}

static int settle(void *arg, struct cw_err *err)
{
	const struct cw_backup *b = arg;

	return cw_restore_settle(b, err);
}

void cw_backup_cluster(struct cw_backup *b, struct cw_cluster_conf *conf)
{
	conf->before_start = settle;
	conf->arg = b;
	if (b->archive_command[0] == '\0')
		return;
	conf->archive_command = b->archive_command;
	conf->archive_timeout_s = (int)b->config->archive_timeout_s;
}

/* ---- programs ---- */

/* The last line with ERROR, or else the last line. */
static void last_words(const struct cw_buf *said, char *out, size_t size)
{
	const char *best = "no message";
	size_t n = strlen(best);

	for (const char *p = said->data; *p != '\0';) {
		size_t len = strcspn(p, "\n");
		const char *error = memmem(p, len, "ERROR:", 6);

		if (error != NULL) {
			best = error;
			n = len - (size_t)(error - p);
		} else if (len > 0 && strncmp(best, "ERROR:", 6) != 0) {
			best = p;
			n = len;
		}
		p += len + (p[len] == '\n');
	}
	snprintf(out, size, "%.*s", (int)(n > 300 ? 300 : n), best);
}

/* The directory of the socket, from a connection string; "" if it says none. */
static void socket_dir(const char *conninfo, char *out, size_t size)
{
	PQconninfoOption *options = PQconninfoParse(conninfo, NULL);

	out[0] = '\0';
	for (const PQconninfoOption *o = options; o != NULL && o->keyword != NULL; o++)
		if (strcmp(o->keyword, "host") == 0 && o->val != NULL && o->val[0] == '/')
			snprintf(out, size, "%s", o->val);
	PQconninfoFree(options);
}

int cw_backup_pgbackrest(const struct cw_backup *b, const char *conninfo, struct cw_buf *said, struct cw_err *err,
                         const char *command, ...)
{
	char conf[PATH_MAX + 16], stanza[160], sockets[PATH_MAX + 32], dir[PATH_MAX] = "", words[320];
	const char *argv[ARGS_MAX] = { "pgbackrest", conf, stanza };
	struct cw_child child = { .argv = argv, .as_user = true, .uid = b->uid, .gid = b->gid, .out = said, .err = said };
	const char *arg;
	int n = 3, rc;
	va_list args;

	snprintf(conf, sizeof(conf), "--config=%s", b->conf);
	snprintf(stanza, sizeof(stanza), "--stanza=%s", b->config->stanza);
	if (conninfo != NULL && b->config->pgbackrest_conf[0] == '\0') {
		socket_dir(conninfo, dir, sizeof(dir));
		snprintf(sockets, sizeof(sockets), "--pg1-socket-path=%s", dir);
		if (dir[0] != '\0')
			argv[n++] = sockets;
	}
	argv[n++] = command;
	va_start(args, command);
	while ((arg = va_arg(args, const char *)) != NULL && n < ARGS_MAX - 1)
		argv[n++] = arg;
	va_end(args);
	argv[n] = NULL;
	rc = cw_child_run(&child, err);
	if (rc == 0)
		return 0;
	if (rc > 0) {
		last_words(said, words, sizeof(words));
		cw_err_set(err, rc == 127 ? CW_ERR_NOT_FOUND : CW_ERR_INTERNAL, "pgbackrest %s failed: %s", command, words);
	}
	return -1;
}

/* Splits the password off, which must not stand in the list of processes. */
static void split_password(const char *conninfo, char *bare, size_t size, char *password, size_t password_size)
{
	PQconninfoOption *options = PQconninfoParse(conninfo, NULL);
	size_t n = 0;

	bare[0] = password[0] = '\0';
	for (const PQconninfoOption *o = options; o != NULL && o->keyword != NULL; o++) {
		if (o->val == NULL)
			continue;
		if (strcmp(o->keyword, "password") == 0) {
			snprintf(password, password_size, "PGPASSWORD=%s", o->val);
			continue;
		}
		n += (size_t)snprintf(bare + n, size - n, "%s%s='", n > 0 ? " " : "", o->keyword);
		for (const char *p = o->val; *p != '\0' && n + 3 < size; p++) {
			if (*p == '\'' || *p == '\\')
				bare[n++] = '\\';
			bare[n++] = *p;
		}
		if (n + 2 < size)
			n += (size_t)snprintf(bare + n, size - n, "'");
	}
	PQconninfoFree(options);
}

int cw_backup_client(const char *conninfo, struct cw_err *err, const char *program, ...)
{
	char bare[2048], password[512], words[320];
	const char *argv[ARGS_MAX] = { program, "-d", bare };
	const char *env[] = { password, NULL };
	struct cw_buf said = CW_BUF_INIT;
	struct cw_child child = { .argv = argv, .out = &said, .err = &said };
	const char *arg;
	int n = 3, rc;
	va_list args;

	split_password(conninfo, bare, sizeof(bare), password, sizeof(password));
	if (password[0] != '\0')
		child.env = env;
	va_start(args, program);
	while ((arg = va_arg(args, const char *)) != NULL && n < ARGS_MAX - 1)
		argv[n++] = arg;
	va_end(args);
	argv[n] = NULL;
	rc = cw_child_run(&child, err);
	if (rc > 0) {
		last_words(&said, words, sizeof(words));
		cw_err_set(err, rc == 127 ? CW_ERR_NOT_FOUND : CW_ERR_DB, "%s failed: %s", program, words);
	}
	sodium_memzero(password, sizeof(password));
	cw_buf_release(&said);
	return rc == 0 ? 0 : -1;
}

/* ---- manifests ---- */

CW_EMBED(cw_facts_sql, "scripts/ops/facts.sql");

static int db_fail(PGconn *conn, PGresult *res, const char *what, struct cw_err *err)
{
	const char *text = res != NULL ? PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY) : NULL;
	const char *state = res != NULL ? PQresultErrorField(res, PG_DIAG_SQLSTATE) : NULL;

	if (text == NULL)
		text = PQerrorMessage(conn);
	cw_err_set(err, CW_ERR_DB, "%s: %.*s", what, (int)strcspn(text, "\n"), text);
	if (err != NULL && state != NULL)
		snprintf(err->sqlstate, sizeof(err->sqlstate), "%s", state);
	PQclear(res);
	return -1;
}

static int ask(PGconn *conn, const char *sql, struct cw_buf *out, const char *what, struct cw_err *err)
{
	PGresult *res = PQstatus(conn) == CONNECTION_OK ? PQexec(conn, sql) : NULL;
	ExecStatusType status = PQresultStatus(res);

	if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
		return db_fail(conn, res, what, err);
	if (out != NULL && PQntuples(res) > 0)
		cw_buf_puts(out, PQgetvalue(res, 0, 0));
	PQclear(res);
	return 0;
}

static int begin_at(PGconn *conn, const char *snapshot, struct cw_err *err)
{
	char sql[160];

	if (ask(conn, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", NULL, "could not begin", err) != 0)
		return -1;
	if (snapshot == NULL)
		return 0;
	snprintf(sql, sizeof(sql), "SET TRANSACTION SNAPSHOT '%.60s'", snapshot);
	return ask(conn, sql, NULL, "could not take over a snapshot", err);
}

/* A digest of the whole catalogue, so that a table without rows counts too. */
static int schema_fact(const char *conninfo, struct cw_buf *out, struct cw_err *err)
{
	crypto_hash_sha256_state state;
	unsigned char digest[crypto_hash_sha256_BYTES];
	char hex[sizeof(digest) * 2 + 1];
	struct cw_schema s;

	if (cw_schema_read(&s, conninfo, err) != 0)
		return -1;
	crypto_hash_sha256_init(&state);
	for (int i = 0; i < s.count; i++) {
		crypto_hash_sha256_update(&state, (const unsigned char *)s.list[i].key, strlen(s.list[i].key) + 1);
		crypto_hash_sha256_update(&state, (const unsigned char *)s.list[i].def, strlen(s.list[i].def) + 1);
	}
	crypto_hash_sha256_final(&state, digest);
	sodium_bin2hex(hex, sizeof(hex), digest, sizeof(digest));
	cw_buf_printf(out, "\nschema=%s\n", hex);
	cw_schema_release(&s);
	return 0;
}

static int facts(PGconn *conn, const char *conninfo, struct cw_buf *out, struct cw_err *err)
{
	if (ask(conn, "SET search_path = pg_catalog", NULL, "could not set the search path", err) != 0 ||
	    ask(conn, cw_facts_sql, out, "could not count", err) != 0)
		return -1;
	return schema_fact(conninfo, out, err);
}

int cw_backup_manifest(const char *conninfo, const char *snapshot, struct cw_buf *out, struct cw_err *err)
{
	PGconn *conn = PQconnectdb(conninfo);
	int rc = begin_at(conn, snapshot, err);

	if (rc == 0)
		rc = facts(conn, conninfo, out, err);
	PQfinish(conn);
	return rc;
}

struct cw_hold { PGconn *conn; };

struct cw_hold *cw_pg_hold_snapshot(const char *conninfo, char *snapshot, size_t size, struct cw_err *err)
{
	struct cw_hold *hold = cw_zalloc(sizeof(*hold));
	struct cw_buf text = CW_BUF_INIT;

	hold->conn = PQconnectdb(conninfo);
	if (begin_at(hold->conn, NULL, err) != 0 ||
	    ask(hold->conn, "SELECT pg_export_snapshot()", &text, "could not export a snapshot", err) != 0)
		cw_pg_release_snapshot(&hold);
	snprintf(snapshot, size, "%s", text.data);
	cw_buf_release(&text);
	return hold;
}

void cw_pg_release_snapshot(struct cw_hold **hold)
{
	if (*hold != NULL)
		PQfinish((*hold)->conn);
	cw_free(*hold);
	*hold = NULL;
}

/* All writers out, then restore point and snapshot: nothing can commit between the two. */
static int hold_and_mark(PGconn *conn, const char *name, struct cw_buf *snapshot, struct cw_err *err)
{
	char sql[200];

	snprintf(sql, sizeof(sql), "SELECT pg_export_snapshot() FROM pg_create_restore_point('%.60s')", name);
	if (ask(conn, "BEGIN ISOLATION LEVEL REPEATABLE READ", NULL, "could not begin", err) == 0 &&
	    ask(conn, "SET LOCAL lock_timeout = '2s'", NULL, "could not set lock_timeout", err) == 0 &&
	    ask(conn, "DO $$ DECLARE t text; BEGIN FOR t IN SELECT format('%I.%I', nspname, relname) FROM pg_class c JOIN "
	              "pg_namespace n ON n.oid = relnamespace WHERE relkind IN ('r', 'p') AND NOT relispartition AND nspname !~ '^pg_' "
	              "AND nspname <> 'information_schema' ORDER BY 1 LOOP EXECUTE 'LOCK TABLE ' || t || ' IN SHARE MODE'; END LOOP; "
	              "END $$", NULL, "could not hold the writers", err) == 0 &&
	    ask(conn, sql, snapshot, "could not make a restore point", err) == 0)
		return 0;
	PQclear(PQexec(conn, "ROLLBACK"));
	return -1;
}

int cw_backup_mark(const char *conninfo, const char *name, struct cw_buf *out, struct cw_err *err)
{
	PGconn *holder = PQconnectdb(conninfo), *counter = PQconnectdb(conninfo);
	struct cw_buf snapshot = CW_BUF_INIT;
	int rc = -1;

	for (int i = 0; i < MARK_TRIES && rc != 0; i++) {
		rc = hold_and_mark(holder, name, &snapshot, err);
		if (rc != 0 && (PQstatus(holder) != CONNECTION_OK || err == NULL || strcmp(err->sqlstate, "55P03") != 0))
			break;
	}
	if (rc == 0)
		rc = begin_at(counter, snapshot.data, err);
	PQfinish(holder);            /* writers go on */
	if (rc == 0)
		rc = facts(counter, conninfo, out, err);
	PQfinish(counter);
	cw_buf_release(&snapshot);
	return rc;
}

/* The value of a fact; NULL if there is none. */
static const char *value_of(const char *text, const char *fact, size_t n, size_t *len)
{
	for (const char *p = text; *p != '\0';) {
		size_t m = strcspn(p, "\n");

		if (m > n && strncmp(p, fact, n) == 0 && p[n] == '=') {
			*len = m - n - 1;
			return p + n + 1;
		}
		p += m + (p[m] == '\n');
	}
	return NULL;
}

int cw_backup_compare(const char *wanted, const char *found, struct cw_buf *out)
{
	int bad = 0;

	for (const char *p = wanted; *p != '\0';) {
		size_t m = strcspn(p, "\n"), n = strcspn(p, "="), len = 0;
		const char *v = n < m ? value_of(found, p, n, &len) : NULL;

		if (n < m && (v == NULL || len != m - n - 1 || memcmp(v, p + n + 1, len) != 0)) {
			cw_buf_printf(out, "%.*s: %.*s expected, %.*s found\n", (int)n, p, (int)(m - n - 1), p + n + 1,
			              v != NULL ? (int)len : 7, v != NULL ? v : "nothing");
			bad++;
		}
		p += m + (p[m] == '\n');
	}
	return bad;
}

int cw_backup_record(const char *conninfo, const char *job, const char *started, const char *detail, const char *error,
                     struct cw_err *err)
{
	const char *values[] = { job, error == NULL ? "succeeded" : "failed", started, detail, error };

	return cw_pg_run(conninfo, "INSERT INTO public.job_runs (name, status, started_at, finished_at, detail, error) VALUES "
	                           "($1, $2, $3::timestamptz, clock_timestamp(), $4::jsonb, $5)", values, 5, err);
}

int cw_backup_stanza(const struct cw_backup *b, const char *conninfo, struct cw_err *err)
{
	struct cw_buf said = CW_BUF_INIT;
	int rc = cw_backup_pgbackrest(b, conninfo, &said, err, "stanza-create", (char *)NULL);

	cw_buf_release(&said);
	return rc;
}
