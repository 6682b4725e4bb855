/* password.h - password hashes (Argon2id, and bcrypt of old) on worker threads, and what a password must be.
 *
 * A hash takes tens of milliseconds and megabytes, so at most `queue` of them wait or run; more are refused with
 * CW_ERR_BUSY. An unknown account is verified against a hash that nobody has the password of, so that it takes as long
 * as a known one. Copies of passwords live in locked memory that is left out of core files, and are wiped. */
#ifndef CW_AUTH_PASSWORD_H
#define CW_AUTH_PASSWORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cw_err;
struct cw_passwords;
struct cw_password_job;
struct cw_work_pool;

#define CW_PASSWORD_HASH 128  /* bytes of a hash with its NUL: PHC form, or $2b$ */
#define CW_PASSWORD_MAX  1024 /* bytes; longer ones are refused */

struct cw_password_conf {
	int64_t memory_kib, passes; /* Argon2id, parallelism 1 */
	int64_t queue;              /* hashes that wait or run */
	int64_t min_length;         /* characters */
};
/* 19456 KiB, 2 passes (OWASP), 32, 8. */
extern const struct cw_password_conf cw_password_conf_default;

struct cw_passwords *cw_passwords_new(struct cw_work_pool *work, const struct cw_password_conf *conf);
void cw_passwords_configure(struct cw_passwords *passwords, const struct cw_password_conf *conf);
/* Before the work pool is freed: what is under way is answered by nobody. */
void cw_passwords_free(struct cw_passwords **passwords);

struct cw_password_result {
	bool good;                   /* verify: it is the password. hash: a hash was made */
	bool unknown;                /* there was no memory to tell; it is neither the password nor not */
	char hash[CW_PASSWORD_HASH]; /* hash: the new one; verify: a better one to be stored in place of an outdated one */
};
typedef void cw_password_fn(void *arg, const struct cw_password_result *result);

/* `hash` NULL or "": an account without password, or none at all. `fn` once, later, from the loop. NULL and
 * CW_ERR_BUSY: too many at once. */
struct cw_password_job *cw_password_verify(struct cw_passwords *passwords, const char *text, size_t len,
                                           const char *hash, cw_password_fn *fn, void *arg, struct cw_err *err);
struct cw_password_job *cw_password_hash(struct cw_passwords *passwords, const char *text, size_t len,
                                         cw_password_fn *fn, void *arg, struct cw_err *err);
/* `fn` will not be called. */
void cw_password_cancel(struct cw_password_job *job);
/* At once, on this thread: for the command line. */
bool cw_password_hash_now(const struct cw_password_conf *conf, const char *text, size_t len,
                          char hash[CW_PASSWORD_HASH]);
bool cw_password_verify_now(const char *text, size_t len, const char *hash);
/* Made with fewer resources than these settings ask for, or not with Argon2id. */
bool cw_password_outdated(const struct cw_password_conf *conf, const char *hash);

/* What is wrong with a new password, NULL if nothing is: length, text, commonness, closeness to the account's e-mail
 * address. No rules of composition. Counts characters, not bytes. */
const char *cw_password_fault(const struct cw_password_conf *conf, const char *text, size_t len, const char *email);

#endif
