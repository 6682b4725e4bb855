/* audit.h - who does something, and from where, as the audit log keeps it; and entries that C writes.
 *
 * What changes the database is audited in the transaction of the change (db.audit_logs:append in scripts). Here are the
 * acts that are no change of it: refusals, reloads. */
#ifndef CW_AUTH_AUDIT_H
#define CW_AUTH_AUDIT_H

#include <stdint.h>

struct cw_audit_writer;
struct cw_err;
struct cw_pool;
struct cw_request;

struct cw_audit_actor {
	int64_t user_id, key_id; /* 0: nobody, or no key */
	char ip[64];             /* "": no address (a unix socket) */
	char agent[256];         /* User-Agent, cut off; "": none, or no text */
	char request_id[65];
};

/* Who makes this request, as far as the gate has found out. */
void cw_audit_actor_of(const struct cw_request *req, struct cw_audit_actor *out);

struct cw_audit_event {
	const char *type;                                  /* "config.reload" */
	const char *resource, *action, *status, *severity; /* NULL: as the table has it */
	const char *details;                               /* JSON text, or NULL */
	const struct cw_audit_actor *actor;                /* NULL: the engine itself */
};

/* One after another; `fn` may be NULL. An entry that could not be written is logged, with all of it. */
typedef void cw_audit_fn(void *arg, const struct cw_err *err);
struct cw_audit_writer *cw_audit_writer_new(struct cw_pool *pool);
/* Before the pool; `fn` of what is under way is not called. */
void cw_audit_writer_free(struct cw_audit_writer **writer);
void cw_audit_write(struct cw_audit_writer *writer, const struct cw_audit_event *event, cw_audit_fn *fn, void *arg);

#endif
