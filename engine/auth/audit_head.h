/* audit_head.h - signed heads of the audit chain, and the hash of one entry.
 *
 * Whoever can write the database can write the whole chain anew, hashes and all. So its head is signed (Ed25519) with a
 * key that the database does not have, and appended to a file outside of it: after that, entries up to the head cannot
 * be changed without a trace. The file is one JSON object a line, numbered, and wants to be copied off the machine. */
#ifndef CW_AUTH_AUDIT_HEAD_H
#define CW_AUTH_AUDIT_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cw_buf;
struct cw_err;

#define CW_AUDIT_FIELDS   14 /* of an entry, in the order of the trigger: seq, id, ... details */
#define CW_AUDIT_KEY_TEXT 44 /* a key in base64 (URL alphabet, no padding), with NUL */

/* sha256(previous || canonical text); a NULL field is a null. */
void cw_audit_hash(const uint8_t previous[32], const char *const fields[CW_AUDIT_FIELDS], uint8_t hash[32]);

struct cw_audit_head {
	int64_t n; /* number of the line, from 1 */
	int64_t seq, anchor_seq;
	uint8_t hash[32], anchor_hash[32];
	int64_t time_us;
};

struct cw_audit_key {
	unsigned char *secret, public_key[32];
}; /* secret: sodium_malloc, NULL: only the public one */

/* The file holds the seed in base64, for its owner alone. With `make` it is written if it is not there. */
int cw_audit_key_load(struct cw_audit_key *key, const char *path, bool make, struct cw_err *err);
int cw_audit_key_parse(struct cw_audit_key *key, const char *public_text, struct cw_err *err);
void cw_audit_key_text(const struct cw_audit_key *key, char out[CW_AUDIT_KEY_TEXT]);
void cw_audit_key_release(struct cw_audit_key *key);

/* Appends the line, with its end. */
void cw_audit_head_sign(const struct cw_audit_head *head, const struct cw_audit_key *key, struct cw_buf *out);
/* -1: it is no head (CW_ERR_INVALID), or not signed with this key (CW_ERR_DENIED). */
int cw_audit_head_parse(struct cw_audit_head *head, const char *line, size_t len, const struct cw_audit_key *key,
                        struct cw_err *err);
/* All lines of a file, in its order; numbers must follow each other. A last line without its end was being written when
 * the machine stopped, and does not count. NULL and CW_ERR_NOT_FOUND: there is no such file.
 * Free with cw_free. */
struct cw_audit_head *cw_audit_heads_read(const char *path, const struct cw_audit_key *key, size_t *count,
                                          struct cw_err *err);
/* The last whole line of a file; n 0: it has none, or there is no such file. Cheap however long the file is. */
int cw_audit_heads_last(const char *path, const struct cw_audit_key *key, struct cw_audit_head *head,
                        struct cw_err *err);
/* Appends and syncs; blocks. */
int cw_audit_heads_append(const char *path, const char *line, size_t len, struct cw_err *err);

#endif
