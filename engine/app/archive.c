#include "app/archive.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#include "app/config.h"
#include "app/parts.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "http/client.h"
#include "loop/loop.h"
#include "loop/work.h"

#define PUT_MS 120000                  /* of an object of some megabytes over a slow line */

struct put {
	struct cw_engine *engine;
	char *to, *key, *text, *path;      /* path: of the file; NULL: S3 */
	uint8_t *gz;
	size_t len;
	cw_archive_fn *fn;
	void *arg;
	struct cw_httpc *client;
	struct cw_err err;
	bool failed;
};

static void put_free(struct put *p)
{
	cw_httpc_free(&p->client);
	cw_free(p->to);
	cw_free(p->key);
	cw_free(p->text);
	cw_free(p->path);
	cw_free(p->gz);
	cw_free(p);
}

static void answer(void *arg)
{
	struct put *p = arg;
	char json[400];

	snprintf(json, sizeof(json), "{\"key\":\"%.200s\",\"bytes\":%zu}", p->key, p->len);
	p->fn(p->arg, json, p->failed ? &p->err : NULL);
	put_free(p);
}

/* --- on the worker --- */

static int compress_text(struct put *p)
{
	z_stream z = { 0 };
	size_t in = strlen(p->text);

	if (deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return cw_err_set(&p->err, CW_ERR_INTERNAL, "could not compress");
	p->len = deflateBound(&z, in);
	p->gz = cw_alloc(p->len);
	z.next_in = (Bytef *)p->text;
	z.avail_in = (uInt)in;
	z.next_out = p->gz;
	z.avail_out = (uInt)p->len;
	deflate(&z, Z_FINISH);
	p->len = z.total_out;
	deflateEnd(&z);
	return 0;
}

/* Each folder on the way. */
static int make_folders(char *path, struct cw_err *err)
{
	for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(path, 0750) != 0 && errno != EEXIST)
			return cw_err_set(err, CW_ERR_SYSTEM, "could not make the folder \"%s\": %s", path, strerror(errno));
		*slash = '/';
	}
	return 0;
}

static int sync_folder_of(const char *path)
{
	char dir[1024];
	int fd, rc;

	snprintf(dir, sizeof(dir), "%s", path);
	*strrchr(dir, '/') = '\0';
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	rc = fsync(fd);
	close(fd);
	return rc;
}

/* Under another name until it is whole and on disk. */
static int write_file(struct put *p)
{
	char temp[1100];
	size_t done = 0;
	int fd;

	if (make_folders(p->path, &p->err) != 0)
		return -1;
	snprintf(temp, sizeof(temp), "%s.part", p->path);
	fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
	while (fd >= 0 && done < p->len) {
		ssize_t n = write(fd, p->gz + done, p->len - done);

		if (n < 0 && errno != EINTR)
			break;
		done += n > 0 ? (size_t)n : 0;
	}
	if (fd < 0 || done < p->len || fsync(fd) != 0 || rename(temp, p->path) != 0 || sync_folder_of(p->path) != 0) {
		cw_err_set(&p->err, CW_ERR_SYSTEM, "could not write \"%s\": %s", p->path, strerror(errno));
		if (fd >= 0)
			close(fd);
		unlink(temp);
		return -1;
	}
	close(fd);
	return 0;
}

static void work(void *arg)
{
	struct put *p = arg;

	p->failed = compress_text(p) != 0 || (p->path != NULL && write_file(p) != 0);
}

/* --- S3 --- */

static void hex(char *out, const uint8_t *bytes, size_t len)
{
	sodium_bin2hex(out, 2 * len + 1, bytes, len);
}

static void hmac(uint8_t out[32], const uint8_t *key, size_t key_len, const char *text)
{
	crypto_auth_hmacsha256_state state;

	crypto_auth_hmacsha256_init(&state, key, key_len);
	crypto_auth_hmacsha256_update(&state, (const uint8_t *)text, strlen(text));
	crypto_auth_hmacsha256_final(&state, out);
}

static void hash_hex(char out[65], const void *bytes, size_t len)
{
	uint8_t hash[32];

	crypto_hash_sha256(hash, bytes, len);
	hex(out, hash, sizeof(hash));
}

void cw_s3_sign(const struct cw_s3_request *r, char sha256[100], char date[40], char authorization[400])
{
	time_t seconds = (time_t)(r->wall_us / 1000000);
	char body[65], stamp[20], day[9], scope[100], canonical[2048], text[300], seed[128], hashed[65], signature[65];
	uint8_t key[32];
	struct tm tm;

	gmtime_r(&seconds, &tm);
	strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", &tm);
	snprintf(day, sizeof(day), "%.8s", stamp);
	hash_hex(body, r->body, r->len);
	snprintf(canonical, sizeof(canonical), "PUT\n%s\n\nhost:%s\nx-amz-content-sha256:%s\nx-amz-date:%s\n\n"
	         "host;x-amz-content-sha256;x-amz-date\n%s", r->path, r->host, body, stamp, body);
	hash_hex(hashed, canonical, strlen(canonical));
	snprintf(scope, sizeof(scope), "%s/%.40s/s3/aws4_request", day, r->region);
	snprintf(text, sizeof(text), "AWS4-HMAC-SHA256\n%s\n%s\n%s", stamp, scope, hashed);
	snprintf(seed, sizeof(seed), "AWS4%.120s", r->secret);
	hmac(key, (const uint8_t *)seed, strlen(seed), day);
	hmac(key, key, sizeof(key), r->region);
	hmac(key, key, sizeof(key), "s3");
	hmac(key, key, sizeof(key), "aws4_request");
	hmac(key, key, sizeof(key), text);
	hex(signature, key, sizeof(key));
	sodium_memzero(seed, sizeof(seed));
	snprintf(sha256, 100, "x-amz-content-sha256: %s", body);
	snprintf(date, 40, "x-amz-date: %s", stamp);
	snprintf(authorization, 400, "Authorization: AWS4-HMAC-SHA256 Credential=%.128s/%s, "
	         "SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=%s", r->key_id, scope, signature);
}

static void on_stored(void *arg, const struct cw_httpc_answer *res, const struct cw_err *err)
{
	struct put *p = arg;

	if (err != NULL) {
		p->failed = true;
		p->err = *err;
		cw_err_wrap(&p->err, "could not store \"%s\"", p->key);
	} else if (res->status < 200 || res->status > 299) {
		p->failed = true;
		cw_err_set(&p->err, CW_ERR_INTERNAL, "the bucket answered %d to \"%s\": %.200s", res->status, p->key, res->body);
	}
	cw_loop_defer(p->engine->loop, answer, p);
}

static const char *env(const char *name, const char *otherwise)
{
	const char *value = getenv(name);

	return value != NULL && value[0] != '\0' ? value : otherwise;
}

/* Path and what else needs it, percent-encoded as the signature wants it. */
static void put_path(struct cw_buf *out, const char *text)
{
	for (const char *c = text; *c != '\0'; c++) {
		if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~/", *c) != NULL)
			cw_buf_putc(out, *c);
		else
			cw_buf_printf(out, "%%%02X", (unsigned char)*c);
	}
}

static int send_object(struct put *p)
{
	const char *region = env("AWS_REGION", "us-east-1"), *endpoint = env("AWS_ENDPOINT_URL", NULL);
	struct cw_s3_request sign = { .region = region, .key_id = env("AWS_ACCESS_KEY_ID", NULL),
		                          .secret = env("AWS_SECRET_ACCESS_KEY", NULL), .body = p->gz, .len = p->len,
		                          .wall_us = cw_clock_wall_us() };
	char base[300], sha256[100], date[40], authorization[400], url[1500], host[256];
	const char *headers[] = { sha256, date, authorization, "Content-Type: application/gzip" };
	struct cw_buf path = CW_BUF_INIT;
	struct cw_httpc_request request = { .method = "PUT", .url = url, .headers = headers, .nheaders = 4, .body = p->gz,
		                                .len = p->len, .deadline_ms = PUT_MS };
	int rc;

	if (sign.key_id == NULL || sign.secret == NULL)
		return cw_err_set(&p->err, CW_ERR_INVALID, "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set");
	if (endpoint == NULL)
		snprintf(base, sizeof(base), "https://s3.%.40s.amazonaws.com", region);
	else
		snprintf(base, sizeof(base), "%.*s", (int)(strlen(endpoint) - (endpoint[strlen(endpoint) - 1] == '/')), endpoint);
	if (strstr(base, "://") == NULL)
		return cw_err_set(&p->err, CW_ERR_INVALID, "AWS_ENDPOINT_URL is no URL");
	snprintf(host, sizeof(host), "%s", strstr(base, "://") + 3);
	host[strcspn(host, "/")] = '\0';
	cw_buf_putc(&path, '/');
	put_path(&path, p->to + strlen("s3://"));
	cw_buf_puts(&path, p->to[strlen(p->to) - 1] == '/' ? "" : "/");
	put_path(&path, p->key);
	sign.host = host;
	sign.path = path.data;
	cw_s3_sign(&sign, sha256, date, authorization);
	snprintf(url, sizeof(url), "%s%s", base, path.data);
	cw_buf_release(&path);
	p->client = cw_httpc_new(p->engine->loop, NULL);
	rc = cw_httpc_start(p->client, &request, on_stored, p, &p->err) != NULL ? 0 : -1;
	return rc;
}

/* --- on the loop again --- */

static void on_worked(void *arg, bool ran)
{
	struct put *p = arg;

	if (!ran) {
		p->failed = true;
		cw_err_set(&p->err, CW_ERR_CANCELLED, "the engine is stopping");
	}
	if (!p->failed && p->path == NULL) {
		if (send_object(p) == 0)
			return;
		p->failed = true;
	}
	answer(p);
}

void cw_archive_put(struct cw_engine *e, const char *to, const char *key, const char *text, cw_archive_fn *fn, void *arg)
{
	struct put *p = cw_zalloc(sizeof(*p));
	char path[1024];

	p->engine = e;
	p->to = cw_strdup(to);
	p->key = cw_strdup(key);
	p->text = cw_strdup(text);
	p->fn = fn;
	p->arg = arg;
	if (strncmp(to, "s3://", 5) != 0) {
		snprintf(path, sizeof(path), "%s%s%s/%s", to[0] == '/' ? "" : e->config->data_dir, to[0] == '/' ? "" : "/", to, key);
		p->path = cw_strdup(path);
	}
	if (to[0] == '\0' || strstr(to, "..") != NULL || strstr(key, "..") != NULL || key[0] == '/') {
		p->failed = true;
		cw_err_set(&p->err, CW_ERR_INVALID, "\"%.100s\" is no place for an archive", to);
	} else if (cw_work_submit(e->work, work, on_worked, p) != 0) {
		p->failed = true;
		cw_err_set(&p->err, CW_ERR_BUSY, "too much work is waiting for a thread");
	} else {
		return;
	}
	cw_loop_defer(e->loop, answer, p);
}
