#include "auth/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "base/assert.h"
#include "base/err.h"
#include "pg/pool.h"
#include "store/identity.h"

#define PREFIX      "cw_live_"
#define PREFIX_LEN  8
#define RANDOM_LEN  30 /* 178 bits */
#define CHECK_LEN   6
#define ADMIN_EMAIL "admin@localhost"

static const char alphabet[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

static void checksum(const char *random, char out[CHECK_LEN])
{
	unsigned long crc = crc32(0, (const unsigned char *)random, RANDOM_LEN);

	for (int i = CHECK_LEN - 1; i >= 0; i--, crc /= 62)
		out[i] = alphabet[crc % 62];
}

void cw_key_make(char out[CW_KEY_TEXT])
{
	cw_assert(sodium_init() >= 0);
	memcpy(out, PREFIX, PREFIX_LEN);
	for (int i = 0; i < RANDOM_LEN; i++)
		out[PREFIX_LEN + i] = alphabet[randombytes_uniform(62)];
	checksum(out + PREFIX_LEN, out + PREFIX_LEN + RANDOM_LEN);
	out[CW_KEY_TEXT - 1] = '\0';
}

bool cw_key_well_formed(const char *text, size_t len)
{
	char want[CHECK_LEN];

	if (len != CW_KEY_TEXT - 1 || memcmp(text, PREFIX, PREFIX_LEN) != 0)
		return false;
	for (size_t i = PREFIX_LEN; i < len; i++)
		if (text[i] == '\0' || strchr(alphabet, text[i]) == NULL)
			return false;
	checksum(text + PREFIX_LEN, want);
	return memcmp(want, text + PREFIX_LEN + RANDOM_LEN, CHECK_LEN) == 0;
}

void cw_key_digest(const char *key, unsigned char hash[32])
{
	crypto_hash_sha256(hash, (const unsigned char *)key, strlen(key));
}

void cw_token_make(const char *prefix, char out[CW_OPAQUE_TEXT])
{
	size_t at = strlen(prefix);

	cw_assert(sodium_init() >= 0);
	memcpy(out, prefix, at);
	while (at < CW_OPAQUE_TEXT - 1)
		out[at++] = alphabet[randombytes_uniform(62)];
	out[at] = '\0';
}

/* --- the first admin --- */

static int write_key(const char *path, char key[CW_KEY_TEXT], struct cw_err *err)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), saved;
	ssize_t n = -1;

	cw_key_make(key);
	if (fd >= 0) {
		n = dprintf(fd, "%s\n", key);
		if (n > 0 && fsync(fd) != 0)
			n = -1;
		saved = errno;
		close(fd);
		if (n != CW_KEY_TEXT)
			unlink(path);   /* half of a key would be in the way of the next start */
		errno = saved;
	}
	if (n == CW_KEY_TEXT)
		return 0;
	return cw_err_set(err, CW_ERR_SYSTEM, "could not write \"%s\": %s", path, strerror(errno));
}

static int read_key(const char *path, char key[CW_KEY_TEXT], struct cw_err *err)
{
	FILE *f = fopen(path, "re");
	char line[128] = "";

	if (f == NULL)
		return errno == ENOENT ? write_key(path, key, err)
		                       : cw_err_errno(err, CW_ERR_INVALID, "could not read \"%s\"", path);
	if (fgets(line, sizeof(line), f) == NULL)
		line[0] = '\0';
	fclose(f);
	line[strcspn(line, "\r\n")] = '\0';
	if (!cw_key_well_formed(line, strlen(line)))
		return cw_err_set(err, CW_ERR_INVALID, "could not use \"%s\": not an API key; delete it to have one made",
		                  path);
	memcpy(key, line, CW_KEY_TEXT);
	return 0;
}

uint64_t cw_keys_admin_file(struct cw_pool *pool, const char *data_dir, cw_query_fn *fn, void *arg, struct cw_err *err)
{
	char path[512], key[CW_KEY_TEXT], prefix[CW_KEY_PREFIX + 1];
	unsigned char hash[32];

	snprintf(path, sizeof(path), "%s/admin.key", data_dir);
	if (read_key(path, key, err) != 0)
		return 0;
	cw_key_digest(key, hash);
	snprintf(prefix, sizeof(prefix), "%.*s", CW_KEY_PREFIX, key);
	sodium_memzero(key, sizeof(key));
	return cw_identity_ensure_admin(pool, ADMIN_EMAIL, hash, prefix, fn, arg);
}
