/* directory.h - who may enter now: API keys, active users, what was signed out, all in memory.
 *
 * Read again when something has changed (one small query a second tells), so a revocation holds within a second on every
 * engine, a check costs one hash, and a database that is away locks nobody out. What this engine changes itself holds
 * when cw_directory_refresh answers. When keys were last used is written back now and then, not a write a request. */
#ifndef CW_AUTH_DIRECTORY_H
#define CW_AUTH_DIRECTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cw_claims;
struct cw_directory;
struct cw_err;
struct cw_loop;
struct cw_pool;

struct cw_identity {
	int64_t user_id, key_id, session_id; /* one of the last two is 0 */
	uint32_t roles;                      /* expanded; a key with scopes has the common part of both */
};

typedef void cw_directory_fn(void *arg, const struct cw_err *err);

struct cw_directory *cw_directory_new(struct cw_loop *loop, struct cw_pool *pool);
/* Before the pool. Who waits is not answered. */
void cw_directory_free(struct cw_directory **directory);
/* Reads all and goes on reading; `done` once, after the first reading (err NULL) or its failure. */
void cw_directory_start(struct cw_directory *directory, cw_directory_fn *done, void *arg);

bool cw_directory_key(struct cw_directory *directory, const char *token, size_t len, struct cw_identity *out);
/* The bearer of an access token with these claims; roles are those that the user has now. False: its user, its session or
 * itself has been signed out, or they are newer than what has been read. */
bool cw_directory_session(const struct cw_directory *directory, const struct cw_claims *claims, struct cw_identity *out);

/* `fn` when everything that is committed by now has been read; with an error if it could not be. */
void cw_directory_refresh(struct cw_directory *directory, cw_directory_fn *fn, void *arg);
/* The same, ten times a second at most, and not for more than 256 at once (false: not now): for strangers, who may be
 * new. */
bool cw_directory_look_again(struct cw_directory *directory, cw_directory_fn *fn, void *arg);
/* Every wait with this `arg` is forgotten. */
void cw_directory_forget(struct cw_directory *directory, const void *arg);

#endif
