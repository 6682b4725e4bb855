/* denials.h - refused requests in the audit log: those of one kind are one entry with a count.
 *
 * A kind is status, route, address, user and key. The first of a kind is written within a second, what follows is counted
 * and written every ten; kinds are bounded, what is beyond them is one entry of its own. So refusals cannot be used to
 * flood the log or the database, and none goes uncounted, at an orderly end neither. While the database is away they wait. */
#ifndef CW_APP_DENIALS_H
#define CW_APP_DENIALS_H

#include <stdbool.h>

struct cw_denials;
struct cw_loop;
struct cw_pool;
struct cw_request;

struct cw_denials *cw_denials_new(struct cw_loop *loop, struct cw_pool *pool);
/* At an orderly end: writes what is counted, then calls `done`. False: there is nothing, and `done` is not called. */
bool cw_denials_finish(struct cw_denials *denials, void (*done)(void *arg), void *arg);
void cw_denials_free(struct cw_denials **denials);
void cw_denials_note(struct cw_denials *denials, int status, const struct cw_request *req);

#endif
