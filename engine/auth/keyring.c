#include "auth/keyring.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"

#define KEYS_MAX       16
#define SECRET_MIN     32 /* RFC 7518 3.2: at least as long as the hash */
#define SECRET_MAX     512
#define LINE_MAX_BYTES 1024
#define BASE64         sodium_base64_VARIANT_URLSAFE_NO_PADDING

struct cw_keyring {
	struct cw_token_key keys[KEYS_MAX];
	int count;
};

struct cw_keyring *cw_keyring_new(void)
{
	cw_assert(sodium_init() >= 0);
	return cw_zalloc(sizeof(struct cw_keyring));
}

void cw_keyring_free(struct cw_keyring **ring)
{
	struct cw_keyring *r = *ring;

	*ring = NULL;
	if (r == NULL)
		return;
	for (int i = 0; i < r->count; i++)
		sodium_free(r->keys[i].bytes);
	cw_free(r);
}

static bool is_kid(const char *kid)
{
	size_t len = strlen(kid);

	return len > 0 && len < CW_TOKEN_KID &&
	       strspn(kid, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_") == len;
}

int cw_keyring_add(struct cw_keyring *ring, const char *kid, enum cw_token_alg alg, const void *key, size_t len,
                   struct cw_err *err)
{
	struct cw_token_key *k = &ring->keys[ring->count];
	unsigned char public_key[crypto_sign_PUBLICKEYBYTES];

	if (ring->count == KEYS_MAX)
		return cw_err_set(err, CW_ERR_INVALID, "more than %d token keys", KEYS_MAX);
	if (!is_kid(kid) || cw_keyring_find(ring, kid) != NULL)
		return cw_err_set(err, CW_ERR_INVALID,
		                  "the name of a token key must be new, of 1 to %d letters, digits, - and _", CW_TOKEN_KID - 1);
	if (alg == CW_TOKEN_HS256 ? len < SECRET_MIN || len > SECRET_MAX : len != crypto_sign_SEEDBYTES)
		return cw_err_set(err, CW_ERR_INVALID, "token key \"%s\": %s", kid,
		                  alg == CW_TOKEN_HS256 ? "an HS256 key has 32 to 512 bytes"
		                                        : "an EdDSA key is a seed of 32 bytes");
	k->len = alg == CW_TOKEN_HS256 ? len : crypto_sign_SECRETKEYBYTES;
	k->bytes = sodium_malloc(k->len);
	if (k->bytes == NULL)
		return cw_err_set(err, CW_ERR_SYSTEM, "could not lock memory for token key \"%s\"", kid);
	if (alg == CW_TOKEN_HS256)
		memcpy(k->bytes, key, len);
	else
		crypto_sign_seed_keypair(public_key, k->bytes, key);
	sodium_mprotect_readonly(k->bytes);
	snprintf(k->kid, sizeof(k->kid), "%s", kid);
	k->alg = alg;
	ring->count++;
	return 0;
}

const struct cw_token_key *cw_keyring_signer(const struct cw_keyring *ring)
{
	return &ring->keys[0];
}

const struct cw_token_key *cw_keyring_find(const struct cw_keyring *ring, const char *kid)
{
	for (int i = 0; i < ring->count; i++)
		if (strcmp(ring->keys[i].kid, kid) == 0)
			return &ring->keys[i];
	return NULL;
}

int cw_keyring_count(const struct cw_keyring *ring)
{
	return ring->count;
}

const char *cw_keyring_kid(const struct cw_keyring *ring, int at, enum cw_token_alg *alg)
{
	*alg = ring->keys[at].alg;
	return ring->keys[at].kid;
}

/* --- the file --- */

static int read_line(struct cw_keyring *ring, const char *path, int number, char *line, struct cw_err *err)
{
	char kid[64], alg[16], text[LINE_MAX_BYTES];
	unsigned char bytes[SECRET_MAX];
	const char *end = NULL;
	size_t len = 0;
	int n, rc;

	line[strcspn(line, "#\r\n")] = '\0';
	n = sscanf(line, "%63s %15s %1023s", kid, alg, text);
	if (n <= 0)
		return 0;
	if (n != 3 || (strcmp(alg, "HS256") != 0 && strcmp(alg, "EdDSA") != 0) ||
	    sodium_base642bin(bytes, sizeof(bytes), text, strlen(text), NULL, &len, &end, BASE64) != 0 || *end != '\0')
		rc =
		    cw_err_set(err, CW_ERR_INVALID, "a line is \"NAME HS256|EdDSA KEY\", the key in base64url without padding");
	else
		rc = cw_keyring_add(ring, kid, alg[0] == 'H' ? CW_TOKEN_HS256 : CW_TOKEN_EDDSA, bytes, len, err);
	sodium_memzero(bytes, sizeof(bytes));
	sodium_memzero(text, sizeof(text));
	return rc == 0 ? 0 : cw_err_wrap(err, "%s:%d", path, number);
}

static FILE *open_private(const char *path, struct cw_err *err)
{
	FILE *f = fopen(path, "re");
	struct stat st;

	if (f == NULL) {
		cw_err_errno(err, errno == ENOENT ? CW_ERR_NOT_FOUND : CW_ERR_INVALID, "could not read \"%s\"", path);
		return NULL;
	}
	if (fstat(fileno(f), &st) != 0) {
		cw_err_errno(err, CW_ERR_INVALID, "could not read \"%s\"", path);
		fclose(f);
		return NULL;
	}
	if (S_ISREG(st.st_mode) && (st.st_mode & 077) == 0)
		return f;
	fclose(f);
	cw_err_set(err, CW_ERR_INVALID, "\"%s\" must be a file that nobody but its owner can read (chmod 600)", path);
	return NULL;
}

struct cw_keyring *cw_keyring_load(const char *path, struct cw_err *err)
{
	struct cw_keyring *ring = cw_keyring_new();
	FILE *f = open_private(path, err);
	char line[LINE_MAX_BYTES + 128];
	int number = 0, rc = 0;

	if (f == NULL) {
		cw_keyring_free(&ring);
		return NULL;
	}
	while (rc == 0 && fgets(line, sizeof(line), f) != NULL)
		rc = read_line(ring, path, ++number, line, err);
	fclose(f);
	sodium_memzero(line, sizeof(line));
	if (rc == 0 && ring->count == 0)
		rc = cw_err_set(err, CW_ERR_INVALID, "\"%s\" has no token key", path);
	if (rc != 0)
		cw_keyring_free(&ring);
	return ring;
}

/* Lines of keys that are there, up to `keep` of them. */
static int keep_lines(const char *path, int keep, struct cw_buf *out, struct cw_err *err)
{
	char line[LINE_MAX_BYTES + 128];
	FILE *f = open_private(path, err);

	if (f == NULL)
		return err->code == CW_ERR_NOT_FOUND ? 0 : -1;
	while (fgets(line, sizeof(line), f) != NULL) {
		bool key = line[strspn(line, " \t")] != '#' && line[strspn(line, " \t\r\n")] != '\0';

		if (!key || keep-- > 0)
			cw_buf_puts(out, line);
	}
	fclose(f);
	sodium_memzero(line, sizeof(line));
	return 0;
}

/* A file of its own that takes the place of the old one, so that there is never half of one. */
static int replace(const char *path, const struct cw_buf *text, struct cw_err *err)
{
	char aside[600];
	int fd, rc = -1, saved;

	snprintf(aside, sizeof(aside), "%s.new", path);
	fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd >= 0) {
		rc = write(fd, text->data, text->len) == (ssize_t)text->len && fsync(fd) == 0 ? 0 : -1;
		saved = errno;
		close(fd);
		errno = saved;
	}
	if (rc == 0 && rename(aside, path) == 0)
		return 0;
	saved = errno;
	unlink(aside);
	errno = saved;
	return cw_err_set(err, CW_ERR_SYSTEM, "could not write \"%s\": %s", path, strerror(errno));
}

int cw_keyring_rotate(const char *path, enum cw_token_alg alg, int keep, char kid[CW_TOKEN_KID], struct cw_err *err)
{
	unsigned char bytes[32];
	struct cw_buf text = CW_BUF_INIT;
	char base64[64];
	int rc;

	cw_assert(sodium_init() >= 0);
	randombytes_buf(bytes, 8);
	sodium_bin2hex(kid, CW_TOKEN_KID, bytes, 8);
	randombytes_buf(bytes, sizeof(bytes));
	sodium_bin2base64(base64, sizeof(base64), bytes, sizeof(bytes), BASE64);
	cw_buf_printf(&text, "%s %s %s\n", kid, alg == CW_TOKEN_HS256 ? "HS256" : "EdDSA", base64);
	rc = keep_lines(path, keep - 1, &text, err);
	if (rc == 0)
		rc = replace(path, &text, err);
	sodium_memzero(bytes, sizeof(bytes));
	sodium_memzero(base64, sizeof(base64));
	if (text.data != NULL)
		sodium_memzero(text.data, text.len);
	cw_buf_release(&text);
	return rc;
}
