/* fuzz_migration.c - any text as a migration file: it is taken apart or refused by name; what was taken can be written as
 * SQL, up and down. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "pg/migrate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition)
{
	if (!condition)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char dir[64], path[128];
	struct cw_migrations m = { 0 };
	struct cw_err err = { 0 };
	struct cw_buf sql = CW_BUF_INIT;
	int fd;

	if (dir[0] == '\0') {
		snprintf(dir, sizeof(dir), "/dev/shm/cw-fuzz-migration-%d", (int)getpid());
		check(mkdir(dir, 0700) == 0);
		snprintf(path, sizeof(path), "%s/20260101000000_any.sql", dir);
	}
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	check(fd >= 0 && write(fd, data, size) == (ssize_t)size && close(fd) == 0);
	if (cw_migrations_load(&m, dir, &err) != 0) {
		check(err.code != CW_OK && strstr(err.msg, "20260101000000") != NULL);
	} else {
		check(m.count == 1);
		cw_migrate_sql(&m, NULL, NULL, &sql);
		cw_migrate_sql(&m, "20260101000000", "0", &sql);
		cw_migrations_release(&m);
	}
	cw_buf_release(&sql);
	unlink(path);
	return 0;
}
