#include "auth/password.h"

#include <crypt.h>
#include <errno.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "loop/work.h"

#define BCRYPT_MAX 72 /* bytes that bcrypt looks at; more would be ignored, so they are refused */

const struct cw_password_conf cw_password_conf_default = {
	.memory_kib = 19456,
	.passes = 2,
	.queue = 32,
	.min_length = 8,
};

struct cw_passwords {
	struct cw_work_pool *work;
	struct cw_password_conf conf;
	int under_way;
	bool closed; /* freed by its owner, waits for the last job */
};

struct cw_password_job {
	struct cw_passwords *passwords;
	cw_password_fn *fn; /* NULL: cancelled */
	void *arg;
	struct cw_password_conf conf;
	bool verify;
	char *text; /* sodium_malloc */
	size_t len;
	char hash[CW_PASSWORD_HASH];
	struct cw_password_result result;
};

static unsigned long long passes_of(const struct cw_password_conf *conf)
{
	return (unsigned long long)conf->passes;
}

static size_t memory_of(const struct cw_password_conf *conf)
{
	return (size_t)conf->memory_kib * 1024;
}

bool cw_password_hash_now(const struct cw_password_conf *conf, const char *text, size_t len,
                          char hash[CW_PASSWORD_HASH])
{
	_Static_assert(CW_PASSWORD_HASH >= crypto_pwhash_STRBYTES, "room for libsodium's text");
	cw_assert(sodium_init() >= 0);
	return crypto_pwhash_str_alg(hash, text, len, passes_of(conf), memory_of(conf), crypto_pwhash_ALG_ARGON2ID13) == 0;
}

/* libxcrypt: $2a$, $2b$, $2y$ as other systems write them. */
static bool verify_bcrypt(const char *text, size_t len, const char *hash)
{
	struct crypt_data *data;
	const char *made;
	bool good;

	if (len > BCRYPT_MAX || memchr(text, '\0', len) != NULL)
		return false;
	data = cw_zalloc(sizeof(*data));
	made = crypt_r(text, hash, data);
	good = made != NULL && strlen(made) == strlen(hash) && sodium_memcmp(made, hash, strlen(hash)) == 0;
	sodium_memzero(data, sizeof(*data));
	cw_free(data);
	return good;
}

/* libsodium's own verification takes having no memory for a wrong password. Made here and with its own parameters, a hash
 * is made again and compared: 1 it is, 0 it is not, -1 with ENOMEM; -2: made elsewhere, with other lengths or threads. */
static int verify_ours(const char *text, size_t len, const char *hash)
{
	unsigned char salt[crypto_pwhash_SALTBYTES], made[32], known[32];
	unsigned long memory, passes, threads;
	size_t salt_len, known_len;
	const char *at, *end;
	int fields = 0, rc;

	if (sscanf(hash, "$argon2id$v=19$m=%lu,t=%lu,p=%lu$%n", &memory, &passes, &threads, &fields) != 3 || fields == 0 ||
	    threads != 1)
		return -2;
	at = hash + fields;
	end = strchr(at, '$');
	if (end == NULL ||
	    sodium_base642bin(salt, sizeof(salt), at, (size_t)(end - at), NULL, &salt_len, NULL,
	                      sodium_base64_VARIANT_ORIGINAL_NO_PADDING) != 0 || salt_len != sizeof(salt) ||
	    sodium_base642bin(known, sizeof(known), end + 1, strlen(end + 1), NULL, &known_len, NULL,
	                      sodium_base64_VARIANT_ORIGINAL_NO_PADDING) != 0 || known_len != sizeof(known))
		return -2;
	errno = 0;
	rc = crypto_pwhash(made, sizeof(made), text, len, salt, passes, (size_t)memory * 1024, crypto_pwhash_ALG_ARGON2ID13);
	if (rc != 0)
		return errno == EINVAL || errno == EFBIG ? -2 : (errno = ENOMEM, -1);
	rc = sodium_memcmp(made, known, sizeof(made)) == 0;
	sodium_memzero(made, sizeof(made));
	return rc;
}

bool cw_password_verify_now(const char *text, size_t len, const char *hash)
{
	int ours;

	cw_assert(sodium_init() >= 0);
	if (strncmp(hash, "$argon2id$", 10) == 0) {
		ours = verify_ours(text, len, hash);
		return ours == -2 ? crypto_pwhash_str_verify(hash, text, len) == 0 : ours == 1;
	}
	if (strncmp(hash, "$2", 2) == 0)
		return verify_bcrypt(text, len, hash);
	return false;
}

bool cw_password_outdated(const struct cw_password_conf *conf, const char *hash)
{
	return strncmp(hash, "$argon2id$", 10) != 0 ||
	       crypto_pwhash_str_needs_rehash(hash, passes_of(conf), memory_of(conf)) != 0;
}

static void run(void *arg)
{
	struct cw_password_job *job = arg;
	char unused[CW_PASSWORD_HASH];

	if (!job->verify) {
		job->result.good = cw_password_hash_now(&job->conf, job->text, job->len, job->result.hash);
	} else if (job->hash[0] == '\0') {
		/* As much work as a verification is, and no way to be right. */
		job->result.unknown = !cw_password_hash_now(&job->conf, job->text, job->len, unused);
	} else {
		errno = 0;
		job->result.good = cw_password_verify_now(job->text, job->len, job->hash);
		job->result.unknown = !job->result.good && errno == ENOMEM;
		if (job->result.good && cw_password_outdated(&job->conf, job->hash))
			(void)cw_password_hash_now(&job->conf, job->text, job->len, job->result.hash);
	}
}

static void done(void *arg, bool ran)
{
	struct cw_password_job *job = arg;
	struct cw_passwords *p = job->passwords;

	p->under_way--;
	if (job->fn != NULL && ran && !p->closed)
		job->fn(job->arg, &job->result);
	sodium_free(job->text);
	sodium_memzero(job, sizeof(*job));
	cw_free(job);
	if (p->closed && p->under_way == 0)
		cw_free(p);
}

static struct cw_password_job *submit(struct cw_passwords *p, const char *text, size_t len, const char *hash,
                                      bool verify, cw_password_fn *fn, void *arg, struct cw_err *err)
{
	struct cw_password_job *job;

	if (p->under_way >= p->conf.queue || len > CW_PASSWORD_MAX) {
		cw_err_set(err, len > CW_PASSWORD_MAX ? CW_ERR_INVALID : CW_ERR_BUSY,
		           len > CW_PASSWORD_MAX ? "a password has at most %d bytes"
		                                 : "%d passwords are being checked, try again later",
		           len > CW_PASSWORD_MAX ? CW_PASSWORD_MAX : p->under_way);
		return NULL;
	}
	job = cw_zalloc(sizeof(*job));
	*job =
	    (struct cw_password_job){ .passwords = p, .fn = fn, .arg = arg, .conf = p->conf, .verify = verify, .len = len };
	if (hash != NULL)
		snprintf(job->hash, sizeof(job->hash), "%s", hash);
	cw_assert(sodium_init() >= 0);
	job->text = sodium_malloc(len + 1);
	if (job->text != NULL) {
		memcpy(job->text, text, len);
		job->text[len] = '\0';
		if (cw_work_submit(p->work, run, done, job) == 0) {
			p->under_way++;
			return job;
		}
		sodium_free(job->text);
	}
	cw_free(job);
	cw_err_set(err, CW_ERR_BUSY, "too many passwords are being checked, try again later");
	return NULL;
}

struct cw_password_job *cw_password_verify(struct cw_passwords *passwords, const char *text, size_t len,
                                           const char *hash, cw_password_fn *fn, void *arg, struct cw_err *err)
{
	return submit(passwords, text, len, hash, true, fn, arg, err);
}

struct cw_password_job *cw_password_hash(struct cw_passwords *passwords, const char *text, size_t len,
                                         cw_password_fn *fn, void *arg, struct cw_err *err)
{
	return submit(passwords, text, len, NULL, false, fn, arg, err);
}

void cw_password_cancel(struct cw_password_job *job)
{
	job->fn = NULL;
}

struct cw_passwords *cw_passwords_new(struct cw_work_pool *work, const struct cw_password_conf *conf)
{
	struct cw_passwords *p = cw_zalloc(sizeof(*p));

	p->work = work;
	p->conf = *conf;
	return p;
}

void cw_passwords_configure(struct cw_passwords *passwords, const struct cw_password_conf *conf)
{
	passwords->conf = *conf;
}

void cw_passwords_free(struct cw_passwords **passwords)
{
	struct cw_passwords *p = *passwords;

	*passwords = NULL;
	if (p == NULL)
		return;
	p->closed = true;
	if (p->under_way == 0)
		cw_free(p);
}
