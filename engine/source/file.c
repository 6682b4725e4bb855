#include "source/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"

#define CHUNK (256u << 10)
#define COLUMNS 128

struct cw_records {
	gzFile file;
	char *path;
	uint64_t size;               /* of the file on disk; 0: unknown */
	char *chunk;
	size_t at, end;
	bool eof, csv, failed;
	uint64_t line, record_line;
	struct cw_buf raw;           /* one line, or one CSV record with its line breaks */
	char *columns[COLUMNS];
	int ncolumns;
};

/* 1: a chunk is there, 0: end, -1: error */
static int fill(struct cw_records *r, struct cw_err *err)
{
	int n, code;

	if (r->at < r->end)
		return 1;
	if (r->eof)
		return 0;
	n = gzread(r->file, r->chunk, CHUNK);
	if (n < 0) {
		r->failed = true;
		return cw_err_set(err, CW_ERR_INVALID, "could not read \"%s\": %s", r->path, gzerror(r->file, &code));
	}
	r->at = 0;
	r->end = (size_t)n;
	r->eof = n == 0;
	if (r->eof) {
		gzerror(r->file, &code);
		if (code == Z_BUF_ERROR) {
			r->failed = true;
			return cw_err_set(err, CW_ERR_INVALID, "could not read \"%s\": the gzip stream is cut short", r->path);
		}
	}
	return n > 0;
}

static void keep(struct cw_records *r, const char *from, size_t len)
{
	if (r->raw.len <= CW_RECORD_MAX)
		cw_buf_add(&r->raw, from, len);
}

/* Reads up to the end of a line, without it. In CSV a line break inside quotes belongs to the record. */
static int read_raw(struct cw_records *r, struct cw_err *err)
{
	bool quoted = false, any = false;
	int rc;

	cw_buf_clear(&r->raw);
	r->record_line = r->line + 1;
	while ((rc = fill(r, err)) > 0) {
		const char *from = r->chunk + r->at;
		const char *eol = memchr(from, '\n', r->end - r->at);
		size_t len = eol != NULL ? (size_t)(eol - from) : r->end - r->at;

		any = true;
		if (r->csv)
			for (size_t i = 0; i < len; i++)
				quoted ^= from[i] == '"';
		keep(r, from, len);
		r->at += len + (eol != NULL);
		if (eol == NULL)
			continue;
		r->line++;
		if (!quoted)
			break;
		keep(r, "\n", 1);
	}
	if (rc < 0 || !any)
		return rc;
	if (r->raw.len > 0 && r->raw.data[r->raw.len - 1] == '\r')
		r->raw.data[--r->raw.len] = '\0';
	if (r->raw.len > CW_RECORD_MAX)
		return cw_err_set(err, CW_ERR_INVALID, "%s:%llu: record longer than %u bytes", r->path,
		                  (unsigned long long)r->record_line, CW_RECORD_MAX);
	if (quoted)
		return cw_err_set(err, CW_ERR_INVALID, "%s:%llu: quote without an end", r->path,
		                  (unsigned long long)r->record_line);
	if (r->csv && memchr(r->raw.data, '\0', r->raw.len) != NULL)
		return cw_err_set(err, CW_ERR_INVALID, "%s:%llu: NUL byte", r->path, (unsigned long long)r->record_line);
	return 1;
}

/* Next cell of the raw record into `cell`; returns where the one after it starts, NULL at the end of the record. */
static const char *next_cell(const char *p, struct cw_buf *cell)
{
	cw_buf_clear(cell);
	if (*p == '"') {
		for (p++; *p != '\0'; p++) {
			if (*p == '"' && p[1] == '"')
				p++;
			else if (*p == '"')
				break;
			cw_buf_putc(cell, *p);
		}
		if (*p == '"')
			p++;
	}
	for (; *p != '\0' && *p != ','; p++)
		cw_buf_putc(cell, *p);
	return *p == ',' ? p + 1 : NULL;
}

static int read_header(struct cw_records *r, struct cw_err *err)
{
	struct cw_buf cell = CW_BUF_INIT;
	int rc = read_raw(r, err);

	if (rc <= 0)
		return rc;
	for (const char *p = r->raw.data; p != NULL && r->ncolumns < COLUMNS;) {
		p = next_cell(p, &cell);
		r->columns[r->ncolumns++] = cw_strdup(strcmp(cell.data, "block_timestamp") == 0 ? "timestamp" : cell.data);
	}
	cw_buf_release(&cell);
	return 1;
}

static int row_to_json(struct cw_records *r, struct cw_buf *out, struct cw_err *err)
{
	struct cw_buf cell = CW_BUF_INIT;
	const char *p = r->raw.data;
	int n = 0;

	cw_buf_putc(out, '{');
	for (; p != NULL && n < r->ncolumns; n++) {
		p = next_cell(p, &cell);
		if (cell.len == 0)
			continue;
		if (out->len > 1)
			cw_buf_putc(out, ',');
		cw_json_put_cstring(out, r->columns[n]);
		cw_buf_putc(out, ':');
		cw_json_put_string(out, cell.data, cell.len);
	}
	cw_buf_putc(out, '}');
	cw_buf_release(&cell);
	if (p != NULL || n != r->ncolumns)
		return cw_err_set(err, CW_ERR_INVALID, "%s:%llu: %s cells than the header has (%d)", r->path,
		                  (unsigned long long)r->record_line, p != NULL ? "more" : "fewer", r->ncolumns);
	return 1;
}

int cw_records_next(struct cw_records *r, struct cw_buf *out, struct cw_err *err)
{
	int rc;

	if (r->failed)
		return cw_err_set(err, CW_ERR_INVALID, "could not read \"%s\" any further", r->path);
	do {
		rc = read_raw(r, err);
		if (rc <= 0)
			return rc;
	} while (strspn(r->raw.data, " \t") == r->raw.len);   /* blank lines are no records */
	cw_buf_clear(out);
	if (r->csv)
		return row_to_json(r, out, err);
	cw_buf_add(out, r->raw.data, r->raw.len);
	return 1;
}

/* Skips a byte order mark; NDJSON begins with a brace, everything else is taken for CSV. */
static int sniff(struct cw_records *r, struct cw_err *err)
{
	int rc = fill(r, err);
	size_t i;

	if (rc <= 0)
		return rc;
	if (r->end - r->at >= 3 && memcmp(r->chunk + r->at, "\xef\xbb\xbf", 3) == 0)
		r->at += 3;
	for (i = r->at; i < r->end && strchr(" \t\r\n", r->chunk[i]) != NULL; i++)
		;
	if (i < r->end && r->chunk[i] == '[')
		return cw_err_set(err, CW_ERR_INVALID, "\"%s\" is a JSON array; NDJSON has one object a line, and nothing around "
		                  "them", r->path);
	r->csv = i < r->end && r->chunk[i] != '{';
	return r->csv ? read_header(r, err) : 1;
}

struct cw_records *cw_records_open(const char *path, struct cw_err *err)
{
	struct cw_records *r = cw_zalloc(sizeof(*r));
	bool standard = strcmp(path, "-") == 0;
	int fd = standard ? dup(0) : open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	r->path = cw_strdup(standard ? "standard input" : path);
	cw_buf_init(&r->raw);
	r->chunk = cw_alloc(CHUNK);
	errno = fd < 0 ? errno : 0;
	if (fd < 0 || fstat(fd, &st) != 0 || S_ISDIR(st.st_mode)) {
		if (fd >= 0 && errno == 0)
			cw_err_set(err, CW_ERR_INVALID, "could not open \"%s\": it is a folder", r->path);
		else
			cw_err_errno(err, CW_ERR_INVALID, "could not open \"%s\"", r->path);
		if (fd >= 0)
			close(fd);
		goto fail;
	}
	r->size = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
	r->file = gzdopen(fd, "rb");
	if (r->file == NULL) {
		close(fd);
		cw_err_set(err, CW_ERR_SYSTEM, "could not open \"%s\": out of memory", r->path);
		goto fail;
	}
	gzbuffer(r->file, CHUNK);
	if (sniff(r, err) >= 0)
		return r;
fail:
	cw_records_close(&r);
	return NULL;
}

void cw_records_close(struct cw_records **records)
{
	struct cw_records *r = *records;

	*records = NULL;
	if (r == NULL)
		return;
	if (r->file != NULL)
		gzclose(r->file);
	for (int i = 0; i < r->ncolumns; i++)
		cw_free(r->columns[i]);
	cw_buf_release(&r->raw);
	cw_free(r->chunk);
	cw_free(r->path);
	cw_free(r);
}

uint64_t cw_records_line(const struct cw_records *records)
{
	return records->record_line;
}

double cw_records_progress(const struct cw_records *records)
{
	if (records->size == 0)
		return -1;
	return (double)gzoffset(records->file) / (double)records->size;
}
