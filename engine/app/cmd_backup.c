/* cmd_backup.c - chainwatch backup run|list|verify. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "app/backup.h"
#include "app/bundle.h"
#include "app/cli.h"
#include "app/config.h"
#include "app/restore.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "pg/cluster.h"
#include "pg/scratch.h"

#define MANIFEST_MAX (1u << 20)
#define ARCHIVED_WAIT_S 120

struct work {
	struct cw_cli cli;
	struct cw_config *config;
	struct cw_backup backup;
	const char *conninfo;
	const char *type;                /* full, incr or auto */
	bool physical, logical;
	char started[32];
	int lock_fd;
};

static int fail(struct work *w, const struct cw_err *err)
{
	return cw_cli_fail(&w->cli, err);
}

static void say(const struct work *w, const char *what, const char *name, int64_t from_us)
{
	if (!w->cli.json)
		printf("%-10s %s (%.1f s)\n", what, name, (double)(cw_clock_mono_us() - from_us) / 1e6);
	fflush(stdout);
}

/* One at a time. */
static int take_lock(struct work *w, struct cw_err *err)
{
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/running", w->backup.dir) >= (int)sizeof(path))
		return cw_err_set(err, CW_ERR_INVALID, "path of the data directory is too long");
	if (mkdir(w->backup.dir, 0700) != 0 && errno != EEXIST)
		return cw_err_errno(err, CW_ERR_INVALID, "could not make the folder \"%s\"", w->backup.dir);
	w->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (w->lock_fd >= 0 && flock(w->lock_fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	return cw_err_set(err, errno == EWOULDBLOCK ? CW_ERR_BUSY : CW_ERR_INVALID, errno == EWOULDBLOCK
	                  ? "another backup is running (\"%s\" is locked)" : "could not lock \"%s\"", path);
}

/* ---- run ---- */

static void put_detail(struct cw_buf *out, const char *kind, const char *name, const char *point, const char *manifest)
{
	cw_buf_puts(out, "{\"kind\":");
	cw_json_put_cstring(out, kind);
	cw_buf_puts(out, ",\"backup\":");
	cw_json_put_cstring(out, name);
	if (point != NULL) {
		cw_buf_puts(out, ",\"restore_point\":");
		cw_json_put_cstring(out, point);
	}
	if (manifest != NULL) {
		cw_buf_puts(out, ",\"manifest\":");
		cw_json_put_cstring(out, manifest);
	}
	cw_buf_putc(out, '}');
}

/* Outcome to job_runs; that it could not be noted is the smaller trouble. */
static void record(struct work *w, const char *job, const char *kind, const char *name, const char *point,
                   const char *manifest, const char *error)
{
	struct cw_buf detail = CW_BUF_INIT;
	struct cw_err err;

	put_detail(&detail, kind, name, point, manifest);
	if (cw_backup_record(w->conninfo, job, w->started, detail.data, error, &err) != 0)
		fprintf(stderr, "chainwatch backup: could not note the outcome in job_runs: %s\n", err.msg);
	cw_buf_release(&detail);
}

/* Full on the chosen day, or where there is none to add to. */
static const char *choose_type(struct work *w, const char *newest)
{
	time_t now = time(NULL);
	struct tm tm;

	if (strcmp(w->type, "auto") != 0)
		return w->type;
	gmtime_r(&now, &tm);
	return newest[0] == '\0' || tm.tm_wday == (int)w->config->backup_full_day ? "full" : "incr";
}

/* The WAL up to the restore point is in the repository: only then the backup is worth its name. */
static int await_archived(struct work *w, struct cw_err *err)
{
	int64_t deadline = cw_clock_mono_us() + ARCHIVED_WAIT_S * INT64_C(1000000);
	char segment[64], sql[256], answer[8];

	if (cw_pg_value(w->conninfo, "SELECT pg_walfile_name(pg_switch_wal())", segment, sizeof(segment), err) != 0)
		return -1;
	snprintf(sql, sizeof(sql), "SELECT coalesce(last_archived_wal, '') >= '%s' FROM pg_stat_archiver", segment);
	while (cw_pg_value(w->conninfo, sql, answer, sizeof(answer), err) == 0) {
		if (answer[0] == 't')
			return 0;
		if (cw_clock_mono_us() > deadline)
			return cw_err_set(err, CW_ERR_TIMEOUT, "WAL segment %s was not archived within %d seconds: see postgres.log", segment,
			                  ARCHIVED_WAIT_S);
		usleep(100000);
	}
	return -1;
}

static int run_physical(struct work *w, struct cw_err *err)
{
	int64_t from = cw_clock_mono_us();
	char type[24], label[64] = "", point[64];
	struct cw_buf said = CW_BUF_INIT, manifest = CW_BUF_INIT;
	int rc = cw_backup_stanza(&w->backup, w->conninfo, err);

	if (rc == 0)
		rc = cw_restore_newest(&w->backup, label, sizeof(label), err);
	snprintf(type, sizeof(type), "--type=%s", choose_type(w, label));
	if (rc == 0)
		rc = cw_backup_pgbackrest(&w->backup, w->conninfo, &said, err, "backup", type, (char *)NULL);
	if (rc == 0)
		rc = cw_restore_newest(&w->backup, label, sizeof(label), err);
	snprintf(point, sizeof(point), "cw-%lld", (long long)time(NULL));
	if (rc == 0)
		rc = cw_backup_mark(w->conninfo, point, &manifest, err);
	if (rc == 0)
		rc = await_archived(w, err);
	record(w, "backup.run", "physical", label, rc == 0 ? point : NULL, rc == 0 ? manifest.data : NULL, rc == 0 ? NULL : err->msg);
	if (rc == 0)
		say(w, "physical", label, from);
	cw_buf_release(&said);
	cw_buf_release(&manifest);
	return rc;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int only_dumps(const struct dirent *e)
{
	size_t n = strlen(e->d_name);

	return n > 5 && strcmp(e->d_name + n - 5, ".dump") == 0;
}

static void rotate(const struct work *w)
{
	struct dirent **list = NULL;
	int n = scandir(w->backup.dumps, &list, only_dumps, by_name);
	char path[PATH_MAX];

	for (int i = 0; i < n; i++) {
		if (i < n - (int)w->config->dumps_kept) {
			snprintf(path, sizeof(path), "%.3000s/%s", w->backup.dumps, list[i]->d_name);
			unlink(path);
			strcpy(path + strlen(path) - 5, ".txt");
			unlink(path);
		}
		free(list[i]);
	}
	free(list);
}

static int write_manifest(const char *path, const char *text, struct cw_err *err)
{
	FILE *f = fopen(path, "we");

	if (f == NULL || fputs(text, f) < 0 || fclose(f) != 0)
		return cw_err_errno(err, CW_ERR_INVALID, "could not write \"%s\"", path);
	return 0;
}

/* Dump and manifest of one snapshot; the name is there only when both are whole. */
static int dump(struct work *w, const char *name, struct cw_buf *manifest, struct cw_err *err)
{
	char snapshot[64], part[PATH_MAX], path[PATH_MAX], snapshot_arg[80], file_arg[PATH_MAX + 8];
	struct cw_hold *holder = cw_pg_hold_snapshot(w->conninfo, snapshot, sizeof(snapshot), err);
	int rc = holder != NULL ? 0 : -1;

	snprintf(part, sizeof(part), "%.3000s/%s.part", w->backup.dumps, name);
	snprintf(path, sizeof(path), "%.3000s/%s.txt", w->backup.dumps, name);
	snprintf(snapshot_arg, sizeof(snapshot_arg), "--snapshot=%s", snapshot);
	snprintf(file_arg, sizeof(file_arg), "--file=%s", part);
	if (rc == 0)
		rc = cw_backup_manifest(w->conninfo, snapshot, manifest, err);
	if (rc == 0)
		rc = cw_backup_client(w->conninfo, err, "pg_dump", "--format=custom", "--compress=6", "--no-owner", "--no-privileges",
		                      snapshot_arg, file_arg, (char *)NULL);
	cw_pg_release_snapshot(&holder);
	if (rc == 0)
		rc = write_manifest(path, manifest->data, err);
	snprintf(path, sizeof(path), "%.3000s/%s.dump", w->backup.dumps, name);
	if (rc == 0 && rename(part, path) != 0)
		rc = cw_err_errno(err, CW_ERR_INVALID, "could not rename \"%s\"", part);
	if (rc != 0)
		unlink(part);
	return rc;
}

static int run_logical(struct work *w, struct cw_err *err)
{
	int64_t from = cw_clock_mono_us();
	struct cw_buf manifest = CW_BUF_INIT;
	time_t now = time(NULL);
	char name[64];
	struct tm tm;
	int rc;

	if (mkdir(w->backup.dumps, 0700) != 0 && errno != EEXIST)
		return cw_err_errno(err, CW_ERR_INVALID, "could not make the folder \"%s\"", w->backup.dumps);
	gmtime_r(&now, &tm);
	strftime(name, sizeof(name), "chainwatch-%Y%m%dT%H%M%SZ", &tm);
	rc = dump(w, name, &manifest, err);
	strcat(name, ".dump");
	record(w, "backup.run", "logical", name, NULL, rc == 0 ? manifest.data : NULL, rc == 0 ? NULL : err->msg);
	if (rc == 0) {
		rotate(w);
		say(w, "logical", name, from);
	}
	cw_buf_release(&manifest);
	return rc;
}

static int run(struct work *w)
{
	struct cw_err err;

	if (take_lock(w, &err) != 0 || (w->physical && run_physical(w, &err) != 0) || (w->logical && run_logical(w, &err) != 0))
		return fail(w, &err);
	if (w->cli.json)
		printf("{\"physical\":%s,\"logical\":%s}\n", w->physical ? "true" : "false", w->logical ? "true" : "false");
	return 0;
}

/* ---- list ---- */

static void put_physical(const struct cw_json *backup, struct cw_buf *json, bool as_json)
{
	const struct cw_json *times = cw_json_get(backup, "timestamp"), *info = cw_json_get(backup, "info");
	const struct cw_json *stop = cw_json_get(times, "stop"), *size = cw_json_get(cw_json_get(info, "repository"), "delta");
	int64_t at = 0, bytes = 0;
	char when[32];

	if (stop != NULL)
		cw_json_to_i64(stop, &at);
	if (size != NULL)
		cw_json_to_i64(size, &bytes);
	cw_time_format(at * 1000000, when);
	if (!as_json)
		printf("physical  %-36s %-5s %s %8.1f MB\n", cw_json_get(backup, "label")->text, cw_json_get(backup, "type")->text, when,
		       (double)bytes / 1e6);
	cw_buf_printf(json, "%s{\"kind\":\"physical\",\"backup\":\"%s\",\"type\":\"%s\",\"finished_at\":\"%s\",\"bytes\":%lld}",
	              json->len > 0 ? "," : "", cw_json_get(backup, "label")->text, cw_json_get(backup, "type")->text, when,
	              (long long)bytes);
}

static int list_physical(struct work *w, struct cw_buf *json, struct cw_err *err)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_buf said = CW_BUF_INIT;
	struct cw_json_error bad;
	const struct cw_json *info = NULL, *backups;
	int rc = cw_backup_pgbackrest(&w->backup, NULL, &said, err, "info", "--output=json", (char *)NULL);

	if (rc == 0)
		info = cw_json_parse(said.data, said.len, 16, arena, &bad);
	backups = info != NULL && info->first != NULL ? cw_json_get(info->first, "backup") : NULL;
	for (const struct cw_json *i = backups != NULL ? backups->first : NULL; i != NULL; i = i->next)
		put_physical(i, json, w->cli.json);
	cw_arena_free(&arena);
	cw_buf_release(&said);
	return rc;
}

static void list_dumps(struct work *w, struct cw_buf *json)
{
	struct dirent **list = NULL;
	int n = scandir(w->backup.dumps, &list, only_dumps, by_name);

	for (int i = 0; i < n; i++) {
		char path[PATH_MAX], when[32];
		struct stat st;

		snprintf(path, sizeof(path), "%.3000s/%s", w->backup.dumps, list[i]->d_name);
		if (stat(path, &st) == 0) {
			cw_time_format((int64_t)st.st_mtime * 1000000, when);
			if (!w->cli.json)
				printf("logical   %-36s       %s %8.1f MB\n", list[i]->d_name, when, (double)st.st_size / 1e6);
			cw_buf_printf(json, "%s{\"kind\":\"logical\",\"backup\":\"%s\",\"finished_at\":\"%s\",\"bytes\":%lld}",
			              json->len > 0 ? "," : "", list[i]->d_name, when, (long long)st.st_size);
		}
		free(list[i]);
	}
	free(list);
}

static int list(struct work *w)
{
	struct cw_buf json = CW_BUF_INIT;
	struct cw_err err;
	int rc = 0;

	if (w->backup.conf[0] != '\0' && list_physical(w, &json, &err) != 0)
		rc = fail(w, &err);
	list_dumps(w, &json);
	if (w->cli.json)
		printf("[%s]\n", json.data);
	cw_buf_release(&json);
	return rc;
}

/* ---- verify ---- */

/* pgbackrest verify ends with 0 whatever it finds: what it says decides. */
static int check_repository(struct work *w, struct cw_err *err)
{
	struct cw_buf said = CW_BUF_INIT;
	int rc = cw_backup_pgbackrest(&w->backup, NULL, &said, err, "verify", "--output=text", "--verbose", (char *)NULL);
	const char *status = strstr(said.data, "status: ");

	if (rc == 0 && (status == NULL || strncmp(status, "status: ok", 10) != 0))
		rc = cw_err_set(err, CW_ERR_INTERNAL, "the repository is damaged: %.300s", status != NULL ? status : said.data);
	cw_buf_release(&said);
	return rc;
}

static int compare(const char *wanted, const char *conninfo, struct cw_err *err)
{
	struct cw_buf found = CW_BUF_INIT, words = CW_BUF_INIT;
	int rc = cw_backup_manifest(conninfo, NULL, &found, err);

	if (rc == 0 && cw_backup_compare(wanted, found.data, &words) > 0)
		rc = cw_err_set(err, CW_ERR_INTERNAL, "what was restored is not what was backed up: %.400s", words.data);
	cw_buf_release(&found);
	cw_buf_release(&words);
	return rc;
}

static int restore_and_compare(struct work *w, const char *label, const char *point, const char *manifest,
                               struct cw_err *err)
{
	struct cw_cluster *cluster;
	char dir[PATH_MAX];
	int rc = -1;

	if (snprintf(dir, sizeof(dir), "%s/verify-%ld", w->backup.dir, (long)getpid()) >= (int)sizeof(dir))
		return cw_err_set(err, CW_ERR_INVALID, "path of the data directory is too long");
	/* PostgreSQL's user walks through. */
	chmod(w->backup.dir, 0711);
	cluster = cw_restore_physical(&w->backup, dir, label, "name", point, false, err);
	if (cluster != NULL)
		rc = compare(manifest, cw_cluster_conninfo(cluster), err);
	if (cluster != NULL)
		cw_cluster_stop(&cluster);
	cw_restore_remove(dir);
	return rc;
}

static int verify_physical(struct work *w, char *label, size_t size, struct cw_err *err)
{
	const char *of = " FROM public.job_runs WHERE name = 'backup.run' AND status = 'succeeded' AND detail->>'kind' = 'physical' "
	                 "ORDER BY id DESC LIMIT 1";
	char sql[320], point[64], newest[64], *manifest = cw_alloc(MANIFEST_MAX);
	int rc;

	snprintf(sql, sizeof(sql), "SELECT detail->>'backup'%s", of);
	rc = cw_pg_value(w->conninfo, sql, label, size, err);
	snprintf(sql, sizeof(sql), "SELECT detail->>'restore_point'%s", of);
	if (rc == 0)
		rc = cw_pg_value(w->conninfo, sql, point, sizeof(point), err);
	snprintf(sql, sizeof(sql), "SELECT detail->>'manifest'%s", of);
	if (rc == 0)
		rc = cw_pg_value(w->conninfo, sql, manifest, MANIFEST_MAX, err);
	if (rc == 0)
		rc = cw_restore_newest(&w->backup, newest, sizeof(newest), err);
	if (rc == 0 && (label[0] == '\0' || newest[0] == '\0'))
		rc = cw_err_set(err, CW_ERR_NOT_FOUND, "there is no physical backup yet: chainwatch backup run");
	if (rc == 0)
		rc = check_repository(w, err);
	if (rc == 0)
		rc = restore_and_compare(w, label, point, manifest, err);
	cw_free(manifest);
	return rc;
}

static int verify_dump(struct work *w, char *name, size_t size, struct cw_err *err)
{
	struct cw_scratch *scratch;
	struct cw_arena *arena = cw_arena_new();
	char path[PATH_MAX], conninfo[512];
	const char *manifest;
	size_t len;
	int rc = -1;

	cw_restore_newest_dump(&w->backup, name, size);
	if (name[0] == '\0') {
		cw_arena_free(&arena);
		return cw_err_set(err, CW_ERR_NOT_FOUND, "there is no dump in \"%s\" yet: chainwatch backup run", w->backup.dumps);
	}
	snprintf(path, sizeof(path), "%.3000s/%.*s.txt", w->backup.dumps, (int)(strlen(name) - 5), name);
	manifest = cw_file_read(path, MANIFEST_MAX, &len, arena, err);
	scratch = manifest != NULL ? cw_scratch_start(NULL, err) : NULL;
	snprintf(path, sizeof(path), "%.3000s/%s", w->backup.dumps, name);
	if (scratch != NULL && cw_scratch_database(scratch, "restored", conninfo, sizeof(conninfo), err) == 0 &&
	    cw_restore_dump(path, conninfo, err) == 0)
		rc = compare(manifest, conninfo, err);
	cw_scratch_stop(&scratch);
	cw_arena_free(&arena);
	return rc;
}

static int verify_one(struct work *w, const char *kind, int (*fn)(struct work *w, char *name, size_t size, struct cw_err *err))
{
	int64_t from = cw_clock_mono_us();
	char name[128] = "";
	struct cw_err err;
	int rc;

	cw_time_format(cw_clock_wall_us(), w->started);
	rc = fn(w, name, sizeof(name), &err);
	record(w, "backup.verify", kind, name, NULL, NULL, rc == 0 ? NULL : err.msg);
	if (rc != 0)
		return fail(w, &err);
	say(w, kind, name, from);
	return 0;
}

static int verify(struct work *w)
{
	struct cw_err err;
	int rc = 0, bad;

	if (take_lock(w, &err) != 0)
		return fail(w, &err);
	if (w->physical)
		rc = verify_one(w, "physical", verify_physical);
	if (w->logical) {
		bad = verify_one(w, "logical", verify_dump);
		rc = rc != 0 ? rc : bad;
	}
	if (rc == 0 && w->cli.json)
		puts("{\"verified\":true}");
	return rc;
}

/* ---- the verb ---- */

static const char usage[] =
	"backup run|list|verify [options]\n\n"
	"  run      a physical backup (pgBackRest) where backup.enabled or backup.pgbackrest_conf is set, and a dump\n"
	"  list     what there is\n"
	"  verify   restores the newest ones aside and compares rows, sums, audit chain and schema with what was noted\n"
	"           when they were made; exit 1 if anything differs\n\n"
	"      --type full|incr|auto    auto: full on backup.full_day, else incremental\n"
	"      --physical  --logical    only this kind\n";

/* Both kinds, unless one is asked for. */
static int choose_kinds(struct work *w)
{
	bool both = !w->physical && !w->logical;

	if (w->physical && w->backup.conf[0] == '\0')
		return cw_cli_usage_error(&w->cli, "physical backups need backup.enabled (private PostgreSQL) or backup.pgbackrest_conf");
	if (both) {
		w->physical = w->backup.conf[0] != '\0';
		w->logical = w->config->dumps_kept > 0;
	}
	return 0;
}

static int with_database(struct work *w, int (*fn)(struct work *w))
{
	struct cw_cli_database *db = cw_cli_database(&w->cli, w->config);
	int rc;

	if (db == NULL)
		return 69;
	w->conninfo = cw_cli_database_conninfo(db);
	rc = fn(w);
	cw_cli_database_done(&db);
	return rc;
}

int cw_cmd_backup(int argc, char **argv)
{
	static const struct option own[] = {
		{ "type", required_argument, NULL, 256 }, { "physical", no_argument, NULL, 257 }, { "logical", no_argument, NULL, 258 },
		{ NULL, 0, NULL, 0 },
	};
	struct work w = { .cli = { .verb = "backup", .usage = usage }, .type = "auto", .lock_fd = -1 };
	const char *verb = argc > 1 && argv[1][0] != '-' ? argv[1] : "";
	struct cw_err err;
	int opt, rc;

	if (verb[0] != '\0') {
		argv[1] = argv[0];
		argc--;
		argv++;
	}
	while ((opt = cw_cli_next(&w.cli, argc, argv, own)) != -1) {
		switch (opt) {
		case 256: w.type = optarg; break;
		case 257: w.physical = true; break;
		case 258: w.logical = true; break;
		default: return 2;
		}
	}
	if (w.cli.help)
		return cw_cli_help(&w.cli);
	if (strcmp(verb, "run") != 0 && strcmp(verb, "list") != 0 && strcmp(verb, "verify") != 0)
		return cw_cli_usage_error(&w.cli, "say run, list or verify%s%s%s", verb[0] != '\0' ? ", not \"" : "", verb,
		                          verb[0] != '\0' ? "\"" : "");
	if (strcmp(w.type, "full") != 0 && strcmp(w.type, "incr") != 0 && strcmp(w.type, "auto") != 0)
		return cw_cli_usage_error(&w.cli, "--type is full, incr or auto, not \"%s\"", w.type);
	if (optind < argc)
		return cw_cli_usage_error(&w.cli, "one operand too many: \"%s\"", argv[optind]);
	w.config = cw_cli_config(&w.cli);
	if (w.config == NULL)
		return 2;
	cw_time_format(cw_clock_wall_us(), w.started);
	if (cw_backup_open(&w.backup, w.config, &err) != 0)
		rc = fail(&w, &err);
	else if ((rc = choose_kinds(&w)) == 0)
		rc = strcmp(verb, "list") == 0 ? list(&w) : with_database(&w, strcmp(verb, "run") == 0 ? run : verify);
	if (w.lock_fd >= 0)
		close(w.lock_fd);
	cw_config_free(&w.config);
	return rc;
}
