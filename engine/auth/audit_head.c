#include "auth/audit_head.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/assert.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"

#define BASE64         sodium_base64_VARIANT_URLSAFE_NO_PADDING
#define LINE_MAX_BYTES 2048

void cw_audit_hash(const uint8_t previous[32], const char *const fields[CW_AUDIT_FIELDS], uint8_t hash[32])
{
	crypto_hash_sha256_state state;
	char number[32];

	crypto_hash_sha256_init(&state);
	crypto_hash_sha256_update(&state, previous, 32);
	for (int i = 0; i < CW_AUDIT_FIELDS; i++) {
		size_t len = fields[i] != NULL ? strlen(fields[i]) : 0;

		if (fields[i] != NULL)
			snprintf(number, sizeof(number), "%s%zu:", i > 0 ? "," : "", len);
		else
			snprintf(number, sizeof(number), "%s-", i > 0 ? "," : "");
		crypto_hash_sha256_update(&state, (const unsigned char *)number, strlen(number));
		if (len > 0)
			crypto_hash_sha256_update(&state, (const unsigned char *)fields[i], len);
	}
	crypto_hash_sha256_final(&state, hash);
}

/* --- the key --- */

static void use_seed(struct cw_audit_key *key, const unsigned char seed[crypto_sign_SEEDBYTES])
{
	key->secret = sodium_malloc(crypto_sign_SECRETKEYBYTES);
	if (key->secret != NULL)
		crypto_sign_seed_keypair(key->public_key, key->secret, seed);
}

static int make_file(const char *path, struct cw_err *err)
{
	unsigned char seed[crypto_sign_SEEDBYTES];
	char text[CW_AUDIT_KEY_TEXT + 1];
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), saved, n = -1;

	randombytes_buf(seed, sizeof(seed));
	sodium_bin2base64(text, sizeof(text), seed, sizeof(seed), BASE64);
	if (fd >= 0) {
		n = dprintf(fd, "%s\n", text);
		if (n != CW_AUDIT_KEY_TEXT || fsync(fd) != 0)
			n = -1;
		saved = errno;
		close(fd);
		if (n < 0)
			unlink(path);   /* half of a key would be in the way of the next start */
		errno = saved;
	}
	sodium_memzero(seed, sizeof(seed));
	sodium_memzero(text, sizeof(text));
	return n > 0 ? 0 : cw_err_set(err, CW_ERR_SYSTEM, "could not write \"%s\": %s", path, strerror(errno));
}

int cw_audit_key_load(struct cw_audit_key *key, const char *path, bool make, struct cw_err *err)
{
	unsigned char seed[crypto_sign_SEEDBYTES];
	char line[128] = "";
	const char *end = NULL;
	size_t len = 0;
	struct stat st;
	FILE *f;
	bool good;

	memset(key, 0, sizeof(*key));
	cw_assert(sodium_init() >= 0);
	f = fopen(path, "re");
	if (f == NULL && errno == ENOENT && make) {
		if (make_file(path, err) != 0)
			return -1;
		f = fopen(path, "re");
	}
	if (f == NULL)
		return cw_err_errno(err, errno == ENOENT ? CW_ERR_NOT_FOUND : CW_ERR_INVALID, "could not read \"%s\"", path);
	good = fstat(fileno(f), &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 077) == 0;
	if (good && fgets(line, sizeof(line), f) == NULL)
		line[0] = '\0';
	fclose(f);
	if (!good)
		return cw_err_set(err, CW_ERR_INVALID, "\"%s\" must be a file that nobody but its owner can read (chmod 600)",
		                  path);
	line[strcspn(line, "\r\n")] = '\0';
	good = sodium_base642bin(seed, sizeof(seed), line, strlen(line), NULL, &len, &end, BASE64) == 0 && *end == '\0' &&
	       len == sizeof(seed);
	if (good)
		use_seed(key, seed);
	sodium_memzero(seed, sizeof(seed));
	sodium_memzero(line, sizeof(line));
	return good && key->secret != NULL ? 0
	                                   : cw_err_set(err, CW_ERR_INVALID, "\"%s\" is no key for the audit log", path);
}

int cw_audit_key_parse(struct cw_audit_key *key, const char *public_text, struct cw_err *err)
{
	const char *end = NULL;
	size_t len = 0;

	memset(key, 0, sizeof(*key));
	cw_assert(sodium_init() >= 0);
	if (sodium_base642bin(key->public_key, sizeof(key->public_key), public_text, strlen(public_text), NULL, &len, &end,
	                      BASE64) != 0 ||
	    *end != '\0' || len != sizeof(key->public_key))
		return cw_err_set(err, CW_ERR_INVALID, "a public key is 43 characters of base64 (URL alphabet)");
	return 0;
}

void cw_audit_key_text(const struct cw_audit_key *key, char out[CW_AUDIT_KEY_TEXT])
{
	sodium_bin2base64(out, CW_AUDIT_KEY_TEXT, key->public_key, sizeof(key->public_key), BASE64);
}

void cw_audit_key_release(struct cw_audit_key *key)
{
	if (key->secret != NULL)
		sodium_free(key->secret);
	key->secret = NULL;
}

/* --- a head --- */

static void put_signed_text(const struct cw_audit_head *head, struct cw_buf *out)
{
	char hash[65], anchor[65];

	sodium_bin2hex(hash, sizeof(hash), head->hash, 32);
	sodium_bin2hex(anchor, sizeof(anchor), head->anchor_hash, 32);
	cw_buf_printf(out, "chainwatch audit head 1\n%" PRId64 "\n%" PRId64 "\n%s\n%" PRId64 "\n%s\n%" PRId64 "\n", head->n,
	              head->seq, hash, head->anchor_seq, anchor, head->time_us);
}

void cw_audit_head_sign(const struct cw_audit_head *head, const struct cw_audit_key *key, struct cw_buf *out)
{
	unsigned char signature[crypto_sign_BYTES];
	char text[2 * crypto_sign_BYTES], public_text[CW_AUDIT_KEY_TEXT], hash[65], anchor[65], at[32];
	struct cw_buf payload = CW_BUF_INIT;

	put_signed_text(head, &payload);
	crypto_sign_detached(signature, NULL, (const unsigned char *)payload.data, payload.len, key->secret);
	cw_buf_release(&payload);
	sodium_bin2base64(text, sizeof(text), signature, sizeof(signature), BASE64);
	cw_audit_key_text(key, public_text);
	sodium_bin2hex(hash, sizeof(hash), head->hash, 32);
	sodium_bin2hex(anchor, sizeof(anchor), head->anchor_hash, 32);
	cw_buf_printf(out,
	              "{\"n\":%" PRId64 ",\"time\":\"%s\",\"seq\":%" PRId64 ",\"hash\":\"%s\",\"anchor_seq\":%" PRId64
	              ",\"anchor_hash\":\"%s\",\"key\":\"%s\",\"signature\":\"%s\"}\n",
	              head->n, cw_time_format(head->time_us, at), head->seq, hash, head->anchor_seq, anchor, public_text,
	              text);
}

static bool read_hash(const struct cw_json *object, const char *name, uint8_t out[32])
{
	const struct cw_json *v = cw_json_get(object, name);
	size_t len = 0;

	return v != NULL && v->type == CW_JSON_STRING && v->len == 64 &&
	       sodium_hex2bin(out, 32, v->text, v->len, NULL, &len, NULL) == 0 && len == 32;
}

static bool read_number(const struct cw_json *object, const char *name, int64_t *out)
{
	const struct cw_json *v = cw_json_get(object, name);

	return v != NULL && cw_json_is_integer(v) && cw_json_to_i64(v, out) && *out >= 0;
}

int cw_audit_head_parse(struct cw_audit_head *head, const char *line, size_t len, const struct cw_audit_key *key,
                        struct cw_err *err)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_json_error error;
	const struct cw_json *v = cw_json_parse(line, len, 2, arena, &error), *at, *text;
	unsigned char signature[crypto_sign_BYTES];
	struct cw_buf payload = CW_BUF_INIT;
	size_t size = 0;
	int rc = -1;

	at = cw_json_get(v != NULL ? v : &(struct cw_json){ 0 }, "time");
	text = cw_json_get(v != NULL ? v : &(struct cw_json){ 0 }, "signature");
	if (v == NULL || v->type != CW_JSON_OBJECT || !read_number(v, "n", &head->n) ||
	    !read_number(v, "seq", &head->seq) || !read_number(v, "anchor_seq", &head->anchor_seq) ||
	    !read_hash(v, "hash", head->hash) || !read_hash(v, "anchor_hash", head->anchor_hash) || at == NULL ||
	    at->type != CW_JSON_STRING || cw_time_parse(at->text, &head->time_us) != 0 || text == NULL ||
	    text->type != CW_JSON_STRING ||
	    sodium_base642bin(signature, sizeof(signature), text->text, text->len, NULL, &size, NULL, BASE64) != 0 ||
	    size != sizeof(signature)) {
		cw_err_set(err, CW_ERR_INVALID, "not a signed head of an audit log");
	} else {
		put_signed_text(head, &payload);
		rc = crypto_sign_verify_detached(signature, (const unsigned char *)payload.data, payload.len, key->public_key);
		if (rc != 0)
			cw_err_set(err, CW_ERR_DENIED, "the signature is not that of the key");
	}
	cw_buf_release(&payload);
	cw_arena_free(&arena);
	return rc;
}

struct cw_audit_head *cw_audit_heads_read(const char *path, const struct cw_audit_key *key, size_t *count,
                                          struct cw_err *err)
{
	struct cw_audit_head *heads = NULL;
	char line[LINE_MAX_BYTES];
	size_t room = 0, n = 0;
	FILE *f = fopen(path, "re");
	int rc = 0;

	*count = 0;
	if (f == NULL) {
		cw_err_errno(err, errno == ENOENT ? CW_ERR_NOT_FOUND : CW_ERR_INVALID, "could not read \"%s\"", path);
		return NULL;
	}
	heads = cw_zalloc(sizeof(*heads));
	while (rc == 0 && fgets(line, sizeof(line), f) != NULL) {
		if (strchr(line, '\n') == NULL && feof(f))
			break;
		if (n == room) {
			room = room == 0 ? 64 : 2 * room;
			heads = cw_realloc(heads, room * sizeof(*heads));
		}
		rc = cw_audit_head_parse(&heads[n], line, strcspn(line, "\n"), key, err);
		if (rc == 0 && n > 0 && heads[n].n != heads[n - 1].n + 1)
			rc = cw_err_set(err, CW_ERR_INVALID, "line %" PRId64 " follows line %" PRId64 ": lines are missing",
			                heads[n].n, heads[n - 1].n);
		n++;
	}
	if (rc == 0 && ferror(f)) {
		n++;
		rc = cw_err_set(err, CW_ERR_INVALID, "%s", strerror(errno));
	}
	fclose(f);
	if (rc != 0) {
		cw_err_wrap(err, "%s:%zu", path, n);
		cw_free(heads);
		return NULL;
	}
	*count = n;
	return heads;
}

int cw_audit_heads_last(const char *path, const struct cw_audit_key *key, struct cw_audit_head *head,
                        struct cw_err *err)
{
	char tail[2 * LINE_MAX_BYTES + 1], *line, *end;
	FILE *f = fopen(path, "re");
	long size = -1;
	size_t n = 0;

	memset(head, 0, sizeof(*head));
	if (f == NULL && errno == ENOENT)
		return 0;
	if (f != NULL && fseek(f, 0, SEEK_END) == 0 && (size = ftell(f)) >= 0 &&
	    fseek(f, size > (long)sizeof(tail) - 1 ? size - (long)sizeof(tail) + 1 : 0, SEEK_SET) == 0)
		n = fread(tail, 1, sizeof(tail) - 1, f);
	if (f == NULL || size < 0 || ferror(f)) {
		cw_err_set(err, CW_ERR_INVALID, "could not read \"%s\": %s", path, strerror(errno));
		if (f != NULL)
			fclose(f);
		return -1;
	}
	fclose(f);
	tail[n] = '\0';
	end = memrchr(tail, '\n', n); /* behind it: what a crash left of a line */
	if (end == NULL)
		return size > (long)n ? cw_err_set(err, CW_ERR_INVALID, "\"%s\" does not end in a signed head", path) : 0;
	line = memrchr(tail, '\n', (size_t)(end - tail));
	line = line != NULL ? line + 1 : tail;
	if (cw_audit_head_parse(head, line, (size_t)(end - line), key, err) == 0)
		return 0;
	return cw_err_wrap(err, "the last line of \"%s\"", path);
}

/* What a crash left of a line was never complete, and would spoil the next one. */
static int cut_torn_line(int fd)
{
	char last;
	off_t end = lseek(fd, 0, SEEK_END);

	while (end > 0) {
		if (pread(fd, &last, 1, end - 1) != 1)
			return -1;
		if (last == '\n')
			break;
		end--;
	}
	return end < lseek(fd, 0, SEEK_END) ? ftruncate(fd, end) : 0;
}

int cw_audit_heads_append(const char *path, const char *line, size_t len, struct cw_err *err)
{
	int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644), saved;
	bool good = fd >= 0 && cut_torn_line(fd) == 0 && write(fd, line, len) == (ssize_t)len && fdatasync(fd) == 0;

	saved = errno;
	if (fd >= 0)
		close(fd);
	return good ? 0 : cw_err_set(err, CW_ERR_SYSTEM, "could not append to \"%s\": %s", path, strerror(saved));
}
