/* denials.h - refused requests in the audit log: those of one kind are one entry with a count.
 *
 * A kind is status, route, address, user and key. The first of a kind is written within a second, what follows is counted
 * and written every ten; kinds are bounded, what is beyond them is one entry of its own. So refusals cannot be used to
 * flood the log or the database, and none goes uncounted while the engine runs. While the database is away they wait. */
#ifndef CW_APP_DENIALS_H
#define CW_APP_DENIALS_H

struct cw_denials;
struct cw_loop;
struct cw_pool;
struct cw_request;

struct cw_denials *cw_denials_new(struct cw_loop *loop, struct cw_pool *pool);
void cw_denials_free(struct cw_denials **denials);
void cw_denials_note(struct cw_denials *denials, int status, const struct cw_request *req);

#endif
