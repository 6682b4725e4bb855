/* fuzz_files.c - files that are read back or handed over: the heads of the audit log, lists, records of transactions (NDJSON,
 * CSV, gzip), the trail of a source, the manifest of a backup, the position of a backtest, what an engine notes of itself, a
 * bundle of rules. First byte: which; the rest is the file. What is taken comes out again as it went in, what is not gives an
 * error that says something. */
#include <fcntl.h>
#include <sodium.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/backup.h"
#include "app/client.h"
#include "app/position.h"
#include "auth/audit_head.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "detect/lists.h"
#include "pipeline/bundle.h"
#include "pipeline/evaluate.h"
#include "source/file.h"
#include "source/trail.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition)
{
	if (!condition)
		abort();
}

static void check_error(const struct cw_err *err)
{
	check(err->code != CW_OK && err->msg[0] != '\0');
}

/* The file of this process, with these bytes. */
static const char *file_with(const char *bytes, size_t len)
{
	static char path[256];
	FILE *f;

	if (path[0] == '\0')
		snprintf(path, sizeof(path), "%s/cw-fuzz-files-%ld", getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp",
		         (long)getpid());
	f = fopen(path, "we");
	check(f != NULL && fwrite(bytes, 1, len, f) == len && fclose(f) == 0);
	return path;
}

/* Lines with an S in front are replaced by a rightly signed head, so that files get beyond the first signature. */
static void put_lines(const struct cw_audit_key *key, const char *text, size_t len, struct cw_buf *out)
{
	struct cw_audit_head head = { 0 };

	for (const char *at = text, *end = text + len; at < end;) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));

		stop = stop != NULL ? stop + 1 : end;
		if (*at == 'S') {
			head.n = at + 1 < stop ? head.n + (at[1] != '!') : head.n + 1;
			head.seq += (int64_t)(stop - at);
			cw_audit_head_sign(&head, key, out);
		} else {
			cw_buf_add(out, at, (size_t)(stop - at));
		}
		at = stop;
	}
}

static void heads(const char *text, size_t len)
{
	static const unsigned char seed[crypto_sign_SEEDBYTES] = "a seed for the heads of fuzzing";
	static struct cw_audit_key key;
	struct cw_audit_head *all, last;
	struct cw_buf file = CW_BUF_INIT;
	struct cw_err err = { 0 };
	const char *path;
	size_t count;

	if (key.secret == NULL) {
		check(sodium_init() >= 0);
		key.secret = sodium_malloc(crypto_sign_SECRETKEYBYTES);
		crypto_sign_seed_keypair(key.public_key, key.secret, seed);
	}
	put_lines(&key, text, len, &file);
	path = file_with(file.data != NULL ? file.data : "", file.len);
	all = cw_audit_heads_read(path, &key, &count, &err);
	if (all == NULL)
		check_error(&err);
	memset(&err, 0, sizeof(err));
	if (cw_audit_heads_last(path, &key, &last, &err) != 0)
		check_error(&err);
	else if (all != NULL && count > 0)
		check(last.n == all[count - 1].n && last.seq == all[count - 1].seq);
	/* What was good stays good when a line is added behind it, whatever a crash left at its end. */
	if (all != NULL) {
		struct cw_buf line = CW_BUF_INIT;
		struct cw_audit_head next = { .n = count > 0 ? all[count - 1].n + 1 : 1, .seq = 1 };
		struct cw_audit_head *again;
		size_t more;

		cw_audit_head_sign(&next, &key, &line);
		check(cw_audit_heads_append(path, line.data, line.len, &err) == 0);
		again = cw_audit_heads_read(path, &key, &more, &err);
		check(again != NULL && more == count + 1);
		cw_free(again);
		cw_buf_release(&line);
	}
	cw_free(all);
	cw_buf_release(&file);
}

static void lists(const char *text, size_t len)
{
	struct cw_lists *l = cw_lists_new();
	struct cw_err err = { 0 };
	int64_t n = cw_lists_add_csv(l, "fuzz", text, len, NULL, &err);

	if (n < 0)
		check_error(&err);
	cw_lists_seal(l);
	check(n < 0 || cw_lists_count(l) <= (size_t)n);
	cw_lists_free(&l);
}

static void records(const char *text, size_t len)
{
	struct cw_err err = { 0 };
	struct cw_records *r = cw_records_open(file_with(text, len), &err);
	struct cw_buf out = CW_BUF_INIT;
	int rc = 1;

	if (r == NULL) {
		check_error(&err);
		return;
	}
	for (int i = 0; i < 1000 && rc != 0; i++) {
		uint64_t line = cw_records_line(r);

		memset(&err, 0, sizeof(err));
		rc = cw_records_next(r, &out, &err);
		check(rc >= -1 && rc <= 1 && cw_records_line(r) >= line);
		if (rc == -1)
			check_error(&err);
	}
	cw_records_close(&r);
	cw_buf_release(&out);
}

static void trail(const char *text, size_t len)
{
	struct cw_trail *a = cw_trail_new(), *b = cw_trail_new();
	struct cw_buf first = CW_BUF_INIT, second = CW_BUF_INIT;
	struct cw_err err = { 0 };

	if (cw_trail_from_json(a, 1, text, len, &err) != 0) {
		check_error(&err);
	} else if (!cw_trail_empty(a)) {
		cw_trail_to_json(a, 1, UINT64_MAX, &first);
		check(cw_trail_from_json(b, 1, first.data, first.len, &err) == 0);
		cw_trail_to_json(b, 1, UINT64_MAX, &second);
		check(second.len == first.len && memcmp(first.data, second.data, first.len) == 0);
	}
	cw_trail_free(&a);
	cw_trail_free(&b);
	cw_buf_release(&first);
	cw_buf_release(&second);
}

static void manifest(const char *text, size_t len)
{
	char *copy = strndup(text, len), *other = strchr(copy, '\x01');
	struct cw_buf out = CW_BUF_INIT;

	if (other != NULL)
		*other++ = '\0';
	check(cw_backup_compare(copy, other != NULL ? other : copy, &out) >= 0);
	free(copy);
	cw_buf_release(&out);
}

static void position(const char *text, size_t len)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_position first = { 0 }, second = { 0 };
	struct cw_buf out = CW_BUF_INIT;
	struct cw_err err = { 0 };

	if (cw_position_read(&first, text, len, arena, &err) != 0) {
		check_error(&err);
	} else {
		cw_position_put(&first, &out);
		check(cw_position_read(&second, out.data, out.len, arena, &err) == 0 && first.alerts_bytes >= 0);
		check(memcmp(&first, &second, sizeof(first)) == 0);
	}
	cw_buf_release(&out);
	cw_arena_free(&arena);
}

static void noted(const char *text, size_t len)
{
	static char dir[256];
	char path[300], address[256];
	pid_t pid;
	int fd;

	if (dir[0] == '\0') {
		snprintf(dir, sizeof(dir), "%s/cw-fuzz-noted-%ld", getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp", (long)getpid());
		check(mkdir(dir, 0700) == 0);
	}
	snprintf(path, sizeof(path), "%s/engine.pid", dir);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	check(fd >= 0 && write(fd, text, len) == (ssize_t)len);
	check(!cw_engine_running(dir, address, sizeof(address), &pid) && pid == 0 && address[0] == '\0');
	check(flock(fd, LOCK_EX) == 0);
	check(cw_engine_running(dir, address, sizeof(address), &pid));
	check(pid == 0 ? address[0] == '\0' : pid > 1 && address[0] != '\0' && strpbrk(address, " \r\n") == NULL);
	close(fd);
}

static void bundle(const char *text, size_t len)
{
	struct cw_bundle a, b;
	struct cw_err err = { 0 };
	size_t size = 0;
	void *bytes;
	int fd;

	if (cw_bundle_unpack(&a, text, len) != 0)
		return;
	fd = cw_bundle_pack(&a, &size, &err);
	if (fd < 0) {
		check_error(&err);
	} else {
		bytes = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
		check(bytes != MAP_FAILED && cw_bundle_unpack(&b, bytes, size) == 0);
		check(a.nrules == b.nrules && a.nlists == b.nlists && strcmp(a.params_json, b.params_json) == 0);
		for (int i = 0; i < a.nrules; i++)
			check(strcmp(a.rules[i].name, b.rules[i].name) == 0 && a.rules[i].len == b.rules[i].len);
		cw_bundle_release(&b);
		munmap(bytes, size);
		close(fd);
	}
	cw_bundle_release(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const readers[])(const char *, size_t) = { heads, lists, records, trail, manifest, position, noted, bundle };
	char *text;

	if (size == 0)
		return 0;
	text = malloc(size > 1 ? size - 1 : 1); /* a copy without a byte behind it */
	check(text != NULL);
	memcpy(text, data + 1, size - 1);
	readers[(size_t)data[0] % (sizeof(readers) / sizeof(*readers))](text, size - 1); /* '0' is the first */
	free(text);
	return 0;
}
