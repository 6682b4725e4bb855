#include "auth/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "auth/role.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "pg/pool.h"
#include "pg/result.h"
#include "store/identity.h"

#define PREFIX "cw_live_"
#define PREFIX_LEN 8
#define RANDOM_LEN 30            /* 178 bits */
#define CHECK_LEN 6
#define REFRESH_MS 1000          /* a revoked key works this long at most */
#define ADMIN_EMAIL "admin@localhost"

typedef void done_fn(void *arg, const struct cw_err *err);

struct entry {
	struct cw_identity identity;
	int64_t expires_us;          /* 0: never */
};

struct cw_keys {
	struct cw_loop *loop;
	struct cw_pool *pool;
	struct cw_timer *timer;
	struct cw_map *entries;      /* SHA-256 -> struct entry */
	uint64_t query, admin_query;
	bool failing;
	done_fn *started, *admin_done;
	void *started_arg, *admin_arg;
};

static const char alphabet[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

static void checksum(const char *random, char out[CHECK_LEN])
{
	unsigned long crc = crc32(0, (const unsigned char *)random, RANDOM_LEN);

	for (int i = CHECK_LEN - 1; i >= 0; i--, crc /= 62)
		out[i] = alphabet[crc % 62];
}

void cw_key_make(char out[CW_KEY_TEXT])
{
	if (sodium_init() < 0)
		cw_log(CW_LOG_ERROR, "auth", "could not start the random number generator", NULL);
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

static void drop_entries(struct cw_map **entries)
{
	struct entry *e;
	size_t at = 0;

	if (*entries == NULL)
		return;
	while ((e = cw_map_next(*entries, &at, NULL, NULL)) != NULL)
		cw_free(e);
	cw_map_free(entries);
}

/* Scopes narrow what the user may do; a key without scopes may do all of it. */
static uint32_t roles_of(const struct cw_result *res, int row)
{
	uint32_t roles, scopes;

	if (!cw_roles_parse_list(cw_result_text(res, row, CW_KEY_ROLES, NULL), &roles))
		return 0;
	roles = cw_roles_expand(roles);
	if (cw_roles_parse_list(cw_result_text(res, row, CW_KEY_SCOPES, NULL), &scopes) && scopes != 0)
		roles &= cw_roles_expand(scopes);
	return roles;
}

static struct cw_map *read_entries(const struct cw_result *res)
{
	struct cw_map *entries = cw_map_new();

	for (int row = 0; row < cw_result_rows(res); row++) {
		struct entry *e = cw_zalloc(sizeof(*e));
		const uint8_t *hash;
		size_t len;

		e->identity.key_id = cw_result_i64(res, row, CW_KEY_ID);
		e->identity.user_id = cw_result_i64(res, row, CW_KEY_USER);
		e->identity.roles = roles_of(res, row);
		if (!cw_result_is_null(res, row, CW_KEY_EXPIRES))
			e->expires_us = cw_result_time(res, row, CW_KEY_EXPIRES);
		hash = cw_result_bytea(res, row, CW_KEY_HASH, &len);
		cw_free(cw_map_put(entries, hash, len, e));
	}
	return entries;
}

static void answer_start(struct cw_keys *keys, const struct cw_err *err)
{
	done_fn *fn = keys->started;

	keys->started = NULL;
	if (fn != NULL)
		fn(keys->started_arg, err);
}

static void on_keys(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct cw_keys *keys = arg;

	keys->query = 0;
	cw_timer_set(keys->timer, REFRESH_MS);
	if (err != NULL) {
		if (!keys->failing)
			cw_log_err(CW_LOG_WARN, "auth", "could not read the API keys, the known ones stay good", err);
		keys->failing = true;
		answer_start(keys, err);
		return;
	}
	if (keys->failing)
		cw_log(CW_LOG_INFO, "auth", "API keys are read again", NULL);
	keys->failing = false;
	drop_entries(&keys->entries);
	keys->entries = read_entries(res);
	answer_start(keys, NULL);
}

static void refresh(void *arg)
{
	struct cw_keys *keys = arg;

	if (keys->query == 0)
		keys->query = cw_identity_keys(keys->pool, on_keys, keys);
}

struct cw_keys *cw_keys_new(struct cw_loop *loop, struct cw_pool *pool)
{
	struct cw_keys *keys = cw_zalloc(sizeof(*keys));

	keys->loop = loop;
	keys->pool = pool;
	keys->timer = cw_timer_new(loop, refresh, keys);
	keys->entries = cw_map_new();
	return keys;
}

void cw_keys_free(struct cw_keys **keys)
{
	struct cw_keys *k = *keys;

	*keys = NULL;
	if (k == NULL)
		return;
	if (k->query != 0)
		cw_pool_cancel(k->pool, k->query);
	if (k->admin_query != 0)
		cw_pool_cancel(k->pool, k->admin_query);
	cw_timer_free(&k->timer);
	drop_entries(&k->entries);
	cw_free(k);
}

void cw_keys_start(struct cw_keys *keys, done_fn *done, void *arg)
{
	keys->started = done;
	keys->started_arg = arg;
	refresh(keys);
}

bool cw_keys_check(const struct cw_keys *keys, const char *token, size_t len, struct cw_identity *out)
{
	unsigned char hash[32];
	const struct entry *e;

	if (!cw_key_well_formed(token, len))
		return false;
	crypto_hash_sha256(hash, (const unsigned char *)token, len);
	e = cw_map_get(keys->entries, hash, sizeof(hash));
	if (e == NULL || (e->expires_us != 0 && e->expires_us <= cw_clock_wall_us()))
		return false;
	*out = e->identity;
	return true;
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
		errno = saved;
	}
	if (n == CW_KEY_TEXT)
		return 0;
	return cw_err_set(err, CW_ERR_INTERNAL, "could not write \"%s\": %s", path, strerror(errno));
}

static int read_key(const char *path, char key[CW_KEY_TEXT], struct cw_err *err)
{
	FILE *f = fopen(path, "re");
	char line[128] = "";

	if (f == NULL)
		return errno == ENOENT ? write_key(path, key, err)
		                       : cw_err_set(err, CW_ERR_INVALID, "could not read \"%s\": %s", path, strerror(errno));
	if (fgets(line, sizeof(line), f) == NULL)
		line[0] = '\0';
	fclose(f);
	line[strcspn(line, "\r\n")] = '\0';
	if (!cw_key_well_formed(line, strlen(line)))
		return cw_err_set(err, CW_ERR_INVALID, "could not use \"%s\": not an API key; delete it to have one made", path);
	memcpy(key, line, CW_KEY_TEXT);
	return 0;
}

static void on_admin(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct cw_keys *keys = arg;

	(void)res;
	keys->admin_query = 0;
	keys->admin_done(keys->admin_arg, err);
}

int cw_keys_admin_file(struct cw_keys *keys, const char *data_dir, done_fn *done, void *arg, struct cw_err *err)
{
	char path[512], key[CW_KEY_TEXT], prefix[17];
	unsigned char hash[32];

	snprintf(path, sizeof(path), "%s/admin.key", data_dir);
	if (read_key(path, key, err) != 0)
		return -1;
	crypto_hash_sha256(hash, (const unsigned char *)key, CW_KEY_TEXT - 1);
	snprintf(prefix, sizeof(prefix), "%.16s", key);
	sodium_memzero(key, sizeof(key));
	keys->admin_done = done;
	keys->admin_arg = arg;
	keys->admin_query = cw_identity_ensure_admin(keys->pool, ADMIN_EMAIL, hash, prefix, on_admin, keys);
	return 0;
}
