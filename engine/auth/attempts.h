/* attempts.h - failed logins by account: after a few of them each further one costs twice the wait of the one before.
 *
 * Counted by the name that was tried, whether there is such an account or not, so that nothing can be learnt from it; by
 * the account and not by the address, so that many addresses do not help. The wait is capped, so that it is no weapon
 * against the account's owner either. Memory is bounded: the entries that were quiet longest make room. What is stored, and
 * shared by engines, is the caller's business (table login_failures): it is merged in before an attempt. */
#ifndef CW_AUTH_ATTEMPTS_H
#define CW_AUTH_ATTEMPTS_H

#include <stddef.h>
#include <stdint.h>

struct cw_attempts;

struct cw_attempts_conf {
	int64_t free;       /* failures without a wait, 5 */
	int64_t max_wait_s; /* 900 */
	int64_t forget_s;   /* without another failure, 3600 */
};
extern const struct cw_attempts_conf cw_attempts_conf_default;

struct cw_attempts *cw_attempts_new(const struct cw_attempts_conf *conf);
void cw_attempts_free(struct cw_attempts **attempts);
void cw_attempts_configure(struct cw_attempts *attempts, const struct cw_attempts_conf *conf);

/* What other engines, or this one before it was started, have counted: `failures`, the last one at last_us. The larger count
 * and the later time hold. */
void cw_attempts_merge(struct cw_attempts *attempts, const char *name, size_t len, int64_t failures, int64_t last_us);
/* Milliseconds until an attempt is allowed; 0: now, and it has begun: end it with one of the two below. While there is a
 * wait between attempts they come one at a time. */
int64_t cw_attempts_begin(struct cw_attempts *attempts, const char *name, size_t len, int64_t now_us);
/* Returns the milliseconds until the next one. */
int64_t cw_attempts_failed(struct cw_attempts *attempts, const char *name, size_t len, int64_t now_us);
void cw_attempts_passed(struct cw_attempts *attempts, const char *name, size_t len);
/* It came to nothing: no word about the password. */
void cw_attempts_dropped(struct cw_attempts *attempts, const char *name, size_t len);

#endif
