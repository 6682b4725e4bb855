#include "app/restore.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/backup.h"
#include "app/config.h"
#include "base/arena.h"
#include "base/child.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/log.h"
#include "pg/cluster.h"
#include "pg/scratch.h"

#define RECOVERY_WAIT_S 86400    /* a day of WAL takes its time */

void cw_restore_remove(const char *path)
{
	const char *argv[] = { "rm", "-rf", "--", path, NULL };
	struct cw_child child = { .argv = argv };

	cw_child_run(&child, NULL);
}

/* In pg.swap/data while the exchange is still to come; it goes to pg/data with it. */
#define MARK "chainwatch.restored"

static int path_of(char out[PATH_MAX], const char *base, const char *name, struct cw_err *err)
{
	if (snprintf(out, PATH_MAX, "%s/%s", base, name) >= PATH_MAX)
		return cw_err_set(err, CW_ERR_INVALID, "path of the data directory is too long");
	return 0;
}

int cw_restore_prepare(const struct cw_backup *b, const char *name, struct cw_err *err)
{
	char from[PATH_MAX], to[PATH_MAX], mark[PATH_MAX];
	int fd;

	if (path_of(from, b->base, name, err) != 0 || path_of(to, b->base, "pg.swap", err) != 0 ||
	    path_of(mark, from, "data/" MARK, err) != 0)
		return -1;
	fd = open(mark, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || fsync(fd) != 0 || rename(from, to) != 0)
		cw_err_set(err, CW_ERR_SYSTEM, "could not put \"%s\" in waiting: %s", from, strerror(errno));
	else
		err = NULL;
	if (fd >= 0)
		close(fd);
	return err == NULL ? 0 : -1;
}

int cw_restore_settle(const struct cw_backup *b, struct cw_err *err)
{
	char swap[PATH_MAX], waiting[PATH_MAX], mark[PATH_MAX], living[PATH_MAX], old[PATH_MAX];
	int fd;

	if (path_of(swap, b->base, "pg.swap", err) != 0)
		return -1;
	if (access(swap, F_OK) != 0)
		return 0;
	if (path_of(waiting, b->base, "pg.swap/data", err) != 0 || path_of(mark, waiting, MARK, err) != 0 ||
	    path_of(living, b->base, "pg/data", err) != 0 || path_of(old, b->base, "pg.old", err) != 0)
		return -1;
	if (access(mark, F_OK) == 0 && renameat2(AT_FDCWD, living, AT_FDCWD, waiting, RENAME_EXCHANGE) != 0)
		return cw_err_set(err, CW_ERR_SYSTEM, "could not exchange \"%s\" and \"%s\": %s", living, waiting, strerror(errno));
	fd = open(b->base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		syncfs(fd);
		close(fd);
	}
	if (path_of(mark, living, MARK, err) != 0 || rename(swap, old) != 0)
		return cw_err_set(err, CW_ERR_SYSTEM, "could not rename \"%s\": %s", swap, strerror(errno));
	unlink(mark);
	cw_log(CW_LOG_INFO, "backup", "the restored data directory is the living one", "old=%s", old);
	return 0;
}

static int fetch(const struct cw_backup *b, const char *data, const char *label, const char *type, const char *target,
                 struct cw_err *err)
{
	char path[PATH_MAX + 16], set[80], type_arg[40], target_arg[160];
	struct cw_buf said = CW_BUF_INIT;
	const char *args[5] = { path, type_arg };
	int n = 2, rc;

	snprintf(path, sizeof(path), "--pg1-path=%s", data);
	snprintf(type_arg, sizeof(type_arg), "--type=%s", type);
	if (label != NULL) {
		snprintf(set, sizeof(set), "--set=%s", label);
		args[n++] = set;
	}
	if (target != NULL) {
		snprintf(target_arg, sizeof(target_arg), "--target=%s", target);
		args[n++] = target_arg;
	}
	if (strcmp(type, "default") != 0)
		args[n++] = "--target-action=promote";
	rc = cw_backup_pgbackrest(b, NULL, &said, err, "restore", args[0], args[1], n > 2 ? args[2] : NULL,
	                          n > 3 ? args[3] : NULL, n > 4 ? args[4] : NULL, (char *)NULL);
	cw_buf_release(&said);
	return rc;
}

/* The server takes connections long before it has replayed all: only when it has been promoted the restore is done. */
static int await_promoted(const struct cw_cluster *cluster, struct cw_err *err)
{
	int64_t deadline = cw_clock_mono_us() + RECOVERY_WAIT_S * INT64_C(1000000);
	char answer[8];

	while (cw_pg_value(cw_cluster_conninfo(cluster), "SELECT pg_is_in_recovery()", answer, sizeof(answer), err) == 0) {
		if (answer[0] == 'f')
			return 0;
		if (cw_clock_mono_us() > deadline)
			return cw_err_set(err, CW_ERR_TIMEOUT, "the recovery has not ended after %d seconds", RECOVERY_WAIT_S);
		usleep(20000);
	}
	return -1;
}

/* Why a server died that was up already: its log goes with the directory. */
static int tell_why(const char *dir, struct cw_err *err)
{
	char path[PATH_MAX], line[1024], best[400] = "";
	FILE *f = snprintf(path, sizeof(path), "%s/postgres.log", dir) < (int)sizeof(path) ? fopen(path, "re") : NULL;

	while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
		const char *fatal = strstr(line, "FATAL:");

		if (fatal != NULL && strstr(fatal, "starting up") == NULL && strstr(fatal, "shutting down") == NULL)
			snprintf(best, sizeof(best), "%.*s", (int)strcspn(fatal, "\n"), fatal);
	}
	if (f != NULL)
		fclose(f);
	if (best[0] == '\0')
		return cw_err_wrap(err, "the recovery failed");
	return cw_err_set(err, CW_ERR_DB, "the recovery failed: %s", best);
}

/* What pgBackRest wrote for the recovery would stand in the way of the next one. */
static int forget_recovery(const struct cw_cluster *cluster, struct cw_err *err)
{
	static const char *const names[] = { "restore_command", "recovery_target", "recovery_target_name", "recovery_target_time",
		                                 "recovery_target_action", "recovery_target_timeline", "recovery_target_inclusive",
		                                 "recovery_target_lsn", "recovery_target_xid", "archive_mode" };
	char sql[80];

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		snprintf(sql, sizeof(sql), "ALTER SYSTEM RESET %s", names[i]);
		if (cw_pg_exec(cw_cluster_conninfo(cluster), sql, err) != 0)
			return -1;
	}
	return 0;
}

struct cw_cluster *cw_restore_physical(const struct cw_backup *b, const char *dir, const char *label, const char *type,
                                       const char *target, bool keep_wal, struct cw_err *err)
{
	struct cw_cluster_conf conf = { .dir = dir, .shared_buffers = b->config->shared_buffers, .ready_wait_s = RECOVERY_WAIT_S,
		                            .scratch = !keep_wal, .archive_timeout_s = 60 };
	struct cw_cluster *cluster;
	char data[PATH_MAX];

	if (mkdir(dir, 0711) != 0 || chmod(dir, 0711) != 0) {
		cw_err_errno(err, CW_ERR_INVALID, "could not make \"%s\"", dir);
		return NULL;
	}
	if (snprintf(data, sizeof(data), "%s/data", dir) >= (int)sizeof(data) || mkdir(data, 0700) != 0 ||
	    (geteuid() == 0 && chown(data, b->uid, b->gid) != 0)) {
		cw_err_errno(err, CW_ERR_INVALID, "could not make \"%s/data\"", dir);
		return NULL;
	}
	if (fetch(b, data, label, type, target, err) != 0)
		return NULL;
	if (keep_wal)
		conf.archive_command = "";
	cluster = cw_cluster_start(&conf, err);
	if (cluster != NULL && (await_promoted(cluster, err) != 0 ? tell_why(dir, err) : forget_recovery(cluster, err)) != 0)
		cw_cluster_stop(&cluster);
	return cluster;
}

int cw_restore_dump(const char *path, const char *conninfo, struct cw_err *err)
{
	return cw_backup_client(conninfo, err, "pg_restore", "--exit-on-error", "--no-owner", "--jobs=2", path, (char *)NULL);
}

int cw_restore_newest(const struct cw_backup *b, char *label, size_t size, struct cw_err *err)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_buf said = CW_BUF_INIT;
	struct cw_json_error bad;
	const struct cw_json *info, *backups;
	int rc = cw_backup_pgbackrest(b, NULL, &said, err, "info", "--output=json", (char *)NULL);

	label[0] = '\0';
	info = rc == 0 ? cw_json_parse(said.data, said.len, 16, arena, &bad) : NULL;
	if (rc == 0 && info == NULL)
		rc = cw_err_set(err, CW_ERR_INTERNAL, "pgbackrest info did not answer with JSON");
	backups = info != NULL && info->first != NULL ? cw_json_get(info->first, "backup") : NULL;
	for (const struct cw_json *i = backups != NULL ? backups->first : NULL; i != NULL; i = i->next)
		if (cw_json_get(i, "label") != NULL)
			snprintf(label, size, "%s", cw_json_get(i, "label")->text);
	cw_arena_free(&arena);
	cw_buf_release(&said);
	return rc;
}

void cw_restore_newest_dump(const struct cw_backup *b, char *name, size_t size)
{
	DIR *d = opendir(b->dumps);
	struct dirent *e;

	name[0] = '\0';
	while (d != NULL && (e = readdir(d)) != NULL) {
		size_t n = strlen(e->d_name);

		if (n > 5 && n < size && strcmp(e->d_name + n - 5, ".dump") == 0 && strcmp(e->d_name, name) > 0)
			snprintf(name, size, "%s", e->d_name);
	}
	if (d != NULL)
		closedir(d);
}
