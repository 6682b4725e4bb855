/* Migration files: the folder is read and checked as a whole before anything is run. */
#include "pg/migrate.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"

#define VERSION_DIGITS 14
#define FILE_MAX_BYTES (16L << 20)   /* data belongs into COPY, not into a migration */

struct section {
	char **text;                 /* up or down of the migration */
	int *line;
	bool *transaction;
};

static bool ends_with(const char *text, const char *tail)
{
	size_t n = strlen(text), m = strlen(tail);

	return n > m && strcmp(text + n - m, tail) == 0;
}

/* "20260105090000_nine_tables.sql" -> version and name. */
static int parse_name(struct cw_migration *step, const char *file, struct cw_err *err)
{
	size_t n = strlen(file) - strlen(".sql"), digits = 0;

	while (digits < n && isdigit((unsigned char)file[digits]))
		digits++;
	if (digits != VERSION_DIGITS || file[digits] != '_' || digits + 1 == n)
		return cw_err_set(err, CW_ERR_INVALID, "%s: the name of a migration is YYYYMMDDHHMMSS_name.sql", file);
	if (n - digits - 1 >= sizeof(step->name))
		return cw_err_set(err, CW_ERR_INVALID, "%s: the name is longer than %zu characters", file,
		                  sizeof(step->name) - 1);
	for (size_t i = digits + 1; i < n; i++)
		if (!isalnum((unsigned char)file[i]) && file[i] != '_' && file[i] != '-')
			return cw_err_set(err, CW_ERR_INVALID, "%s: '%c' is not allowed in the name of a migration", file, file[i]);
	memcpy(step->version, file, VERSION_DIGITS);
	step->version[VERSION_DIGITS] = '\0';
	memcpy(step->name, file + digits + 1, n - digits - 1);
	step->name[n - digits - 1] = '\0';
	return 0;
}

static char *read_file(const char *dir, const char *file, size_t *len, struct cw_err *err)
{
	char path[4096], *text;
	struct stat st;
	FILE *f;

	if (snprintf(path, sizeof(path), "%s/%s", dir, file) >= (int)sizeof(path) || (f = fopen(path, "re")) == NULL) {
		cw_err_errno(err, CW_ERR_INVALID, "could not read \"%s/%s\"", dir, file);
		return NULL;
	}
	if (fstat(fileno(f), &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > FILE_MAX_BYTES) {
		cw_err_set(err, CW_ERR_INVALID, "%s: not a file of at most %ld MiB", file, FILE_MAX_BYTES >> 20);
		fclose(f);
		return NULL;
	}
	text = cw_alloc((size_t)st.st_size + 1);
	*len = fread(text, 1, (size_t)st.st_size, f);
	text[*len] = '\0';
	fclose(f);
	if (strlen(text) == *len)
		return text;
	cw_err_set(err, CW_ERR_INVALID, "%s: contains a NUL byte at offset %zu", file, strlen(text));
	cw_free(text);
	return NULL;
}

/* The word after "-- migrate:", or NULL if the line is no marker. */
static const char *marker(const char *line)
{
	if (strncmp(line, "--", 2) != 0)
		return NULL;
	line += 2;
	while (*line == ' ' || *line == '\t')
		line++;
	return strncmp(line, "migrate:", 8) == 0 ? line + 8 : NULL;
}

/* `text` is the rest of a marker line behind "up" or "down". */
static int parse_options(const char *text, size_t len, const char *file, int line, bool *transaction,
                         struct cw_err *err)
{
	size_t at = 0;

	*transaction = true;
	while (at < len) {
		size_t n = 0;

		while (at < len && isspace((unsigned char)text[at]))
			at++;
		while (at + n < len && !isspace((unsigned char)text[at + n]))
			n++;
		if (n == 17 && memcmp(text + at, "transaction:false", n) == 0)
			*transaction = false;
		else if (n > 0 && !(n == 16 && memcmp(text + at, "transaction:true", n) == 0))
			return cw_err_set(err, CW_ERR_INVALID, "%s:%d: unknown option \"%.*s\"", file, line, (int)n, text + at);
		at += n;
	}
	return 0;
}

/* Which section a marker line opens; NULL with an error otherwise. */
static const struct section *open_section(const char *word, size_t len, const struct section sections[2],
                                          const char *file, int line, struct cw_err *err)
{
	bool down = strncmp(word, "down", 4) == 0;
	size_t n = down ? 4 : 2;
	const struct section *s = &sections[down];

	if ((!down && strncmp(word, "up", 2) != 0) || (n < len && !isspace((unsigned char)word[n]))) {
		cw_err_set(err, CW_ERR_INVALID, "%s:%d: expected \"-- migrate:up\" or \"-- migrate:down\"", file, line);
		return NULL;
	}
	if (*s->line != 0) {
		cw_err_set(err, CW_ERR_INVALID, "%s:%d: second \"-- migrate:%s\" section, the first is in line %d", file, line,
		           down ? "down" : "up", *s->line - 1);
		return NULL;
	}
	if (parse_options(word + n, len - n, file, line, s->transaction, err) != 0)
		return NULL;
	*s->line = line + 1;
	return s;
}

static bool is_comment_or_blank(const char *line, size_t len)
{
	while (len > 0 && isspace((unsigned char)*line)) {
		line++;
		len--;
	}
	return len == 0 || (len >= 2 && line[0] == '-' && line[1] == '-');
}

static int parse_text(struct cw_migration *step, const char *file, const char *text, struct cw_err *err)
{
	const struct section sections[2] = { { &step->up, &step->up_line, &step->up_transaction },
		                                 { &step->down, &step->down_line, &step->down_transaction } };
	const struct section *now = NULL;
	const char *begin = NULL, *line = text;

	step->up_transaction = step->down_transaction = true;
	for (int n = 1; *line != '\0'; n++) {
		size_t len = strcspn(line, "\n");
		const char *word = marker(line);

		if (word != NULL) {
			if (now != NULL)
				*now->text = strndup(begin, (size_t)(line - begin));
			now = open_section(word, (size_t)(line + len - word), sections, file, n, err);
			if (now == NULL)
				return -1;
			begin = line + len + (line[len] == '\n');
		} else if (now == NULL && !is_comment_or_blank(line, len)) {
			return cw_err_set(err, CW_ERR_INVALID, "%s:%d: statement before \"-- migrate:up\"", file, n);
		}
		line += len + (line[len] == '\n');
	}
	if (now != NULL)
		*now->text = strdup(begin);
	if (step->up == NULL)
		return cw_err_set(err, CW_ERR_INVALID, "%s: no \"-- migrate:up\" section", file);
	if (step->down != NULL && step->down_line < step->up_line)
		return cw_err_set(err, CW_ERR_INVALID, "%s:%d: \"-- migrate:down\" stands before \"-- migrate:up\"", file,
		                  step->down_line - 1);
	return 0;
}

static void release_step(struct cw_migration *step)
{
	free(step->up);              /* strndup */
	free(step->down);
}

static int load_step(struct cw_migration *step, const char *dir, const char *file, struct cw_err *err)
{
	unsigned char digest[SHA256_DIGEST_LENGTH];
	size_t len;
	char *text;
	int rc;

	if (parse_name(step, file, err) != 0 || (text = read_file(dir, file, &len, err)) == NULL)
		return -1;
	SHA256((const unsigned char *)text, len, digest);
	for (int i = 0; i < SHA256_DIGEST_LENGTH; i++)
		snprintf(step->checksum + (ptrdiff_t)2 * i, 3, "%02x", digest[i]);
	rc = parse_text(step, file, text, err);
	cw_free(text);
	return rc;
}

static int only_sql(const struct dirent *e)
{
	return e->d_name[0] != '.' && ends_with(e->d_name, ".sql");
}

int cw_migrations_load(struct cw_migrations *m, const char *dir, struct cw_err *err)
{
	struct dirent **files = NULL;
	int n = scandir(dir, &files, only_sql, alphasort), rc = 0;

	*m = (struct cw_migrations){ .list = NULL };
	if (n < 0)
		return cw_err_errno(err, CW_ERR_INVALID, "could not read the folder of migrations \"%s\"", dir);
	m->dir = cw_strdup(dir);
	m->list = cw_zalloc((size_t)n * sizeof(*m->list));
	for (int i = 0; i < n; i++) {
		struct cw_migration *step = &m->list[m->count];

		if (rc == 0) {
			rc = load_step(step, dir, files[i]->d_name, err);
			m->count++;
		}
		if (rc == 0 && i > 0 && strcmp(step->version, step[-1].version) == 0)
			rc = cw_err_set(err, CW_ERR_INVALID, "%s: version %s is taken by \"%s_%s.sql\"", files[i]->d_name,
			                step->version, step[-1].version, step[-1].name);
	}
	for (int i = 0; i < n; i++)
		free(files[i]);
	free(files);
	if (rc != 0)
		cw_migrations_release(m);
	return rc;
}

/* UTC now; or, where a file is dated later already, a second after the last one. */
static void next_version(const struct cw_migrations *m, char out[16])
{
	time_t now = time(NULL);
	struct tm tm;
	const char *last = m->count > 0 ? m->list[m->count - 1].version : "";

	gmtime_r(&now, &tm);
	strftime(out, 16, "%Y%m%d%H%M%S", &tm);
	if (strcmp(out, last) > 0)
		return;
	memset(&tm, 0, sizeof(tm));
	if (sscanf(last, "%4d%2d%2d%2d%2d%2d", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min,
	           &tm.tm_sec) != 6)
		return;
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	tm.tm_sec += 1;
	timegm(&tm);                 /* carries the second over */
	strftime(out, 16, "%Y%m%d%H%M%S", &tm);
}

int cw_migrate_new(const struct cw_migrations *m, const char *name, const char *up, const char *down, char *path,
                   size_t size, struct cw_err *err)
{
	struct cw_migration step = { .up = NULL };
	char version[16], file[160];
	bool good = true;
	FILE *f;

	next_version(m, version);
	snprintf(file, sizeof(file), "%s_%s.sql", version, name);
	if (parse_name(&step, file, err) != 0)
		return -1;
	if (snprintf(path, size, "%s/%s", m->dir, file) >= (int)size)
		return cw_err_set(err, CW_ERR_INVALID, "path of the folder of migrations is too long");
	f = fopen(path, "wxe");
	if (f != NULL) {
		good = fprintf(f, "-- migrate:up\n\n%s\n-- migrate:down\n\n%s", up != NULL ? up : "", down != NULL ? down : "") >= 0;
		good = fclose(f) == 0 && good;
	}
	if (f != NULL && good)
		return 0;
	cw_err_errno(err, CW_ERR_INVALID, "could not write \"%s\"", path);
	if (f != NULL)
		unlink(path);            /* half of it would be a migration */
	return -1;
}

void cw_migrations_release(struct cw_migrations *m)
{
	for (int i = 0; i < m->count; i++)
		release_step(&m->list[i]);
	cw_free(m->list);
	cw_free(m->dir);
	*m = (struct cw_migrations){ .list = NULL };
}
