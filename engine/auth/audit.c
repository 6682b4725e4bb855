#include "auth/audit.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "http/request.h"
#include "store/ops.h"

struct cw_audit_writer {
	struct cw_pool *pool;
	struct cw_list entries; /* under way */
};

struct entry {
	struct cw_list link;
	struct cw_call *call;
	cw_audit_fn *fn;
	void *arg;
	char text[400]; /* for the log, if it cannot be written */
};

void cw_audit_actor_of(const struct cw_request *req, struct cw_audit_actor *out)
{
	struct cw_slice agent = cw_request_header(req, "User-Agent");
	size_t len = strcspn(req->remote, "%"); /* a link-local address names its interface, which is no address */

	memset(out, 0, sizeof(*out));
	out->user_id = req->user_id;
	out->key_id = req->key_id;
	if (strpbrk(req->remote, ".:") != NULL && len < sizeof(out->ip))
		memcpy(out->ip, req->remote, len);
	if (agent.len > 0 && cw_utf8_check(agent.p, agent.len) == agent.len)
		memcpy(out->agent, agent.p, cw_utf8_truncate(agent.p, agent.len, sizeof(out->agent) - 1));
	memcpy(out->request_id, req->id, sizeof(out->request_id));
}

struct cw_audit_writer *cw_audit_writer_new(struct cw_pool *pool)
{
	struct cw_audit_writer *w = cw_zalloc(sizeof(*w));

	w->pool = pool;
	cw_list_init(&w->entries);
	return w;
}

void cw_audit_writer_free(struct cw_audit_writer **writer)
{
	struct cw_audit_writer *w = *writer;
	struct cw_list *link;

	*writer = NULL;
	if (w == NULL)
		return;
	while ((link = cw_list_take(&w->entries)) != NULL) {
		struct entry *e = cw_list_entry(link, struct entry, link);

		cw_repo_cancel(&e->call);
		cw_free(e);
	}
	cw_free(w);
}

static void say_lost(const struct entry *e, const struct cw_err *err)
{
	char text[600];

	cw_log(CW_LOG_ERROR, "audit", "could not write an audit entry", "entry=%s error=%s", e->text,
	       cw_log_quote(text, sizeof(text), err->msg));
}

static void on_written(void *arg, const struct cw_rows *rows, const struct cw_err *err)
{
	struct entry *e = arg;

	(void)rows;
	cw_list_remove(&e->link);
	if (err != NULL && e->fn == NULL)
		say_lost(e, err);
	if (e->fn != NULL)
		e->fn(e->arg, err);
	cw_free(e);
}

void cw_audit_write(struct cw_audit_writer *writer, const struct cw_audit_event *event, cw_audit_fn *fn, void *arg)
{
	struct cw_arena *arena = cw_arena_new();
	struct entry *e = cw_zalloc(sizeof(*e));
	struct cw_args args;
	struct cw_err err;
	char text[360];

	e->fn = fn;
	e->arg = arg;
	snprintf(text, sizeof(text), "%s %s %s %s %s", event->type, event->resource != NULL ? event->resource : "",
	         event->action != NULL ? event->action : "", event->status != NULL ? event->status : "",
	         event->details != NULL ? event->details : "");
	cw_log_quote(e->text, sizeof(e->text), text);
	cw_args_init(&args, &cw_audit_logs_append, arena);
	cw_args_text(&args, "event_type", event->type);
	cw_args_text(&args, "resource", event->resource);
	cw_args_text(&args, "action", event->action);
	cw_args_text(&args, "status", event->status);
	cw_args_text(&args, "severity", event->severity);
	cw_args_text(&args, "details", event->details);
	if (event->actor != NULL) {
		const struct cw_audit_actor *a = event->actor;

		if (a->user_id != 0)
			cw_args_int(&args, "user_id", a->user_id);
		if (a->key_id != 0)
			cw_args_int(&args, "api_key_id", a->key_id);
		cw_args_text(&args, "ip_address", a->ip[0] != '\0' ? a->ip : NULL);
		cw_args_text(&args, "user_agent", a->agent[0] != '\0' ? a->agent : NULL);
		cw_args_text(&args, "request_id", a->request_id[0] != '\0' ? a->request_id : NULL);
	}
	e->call = cw_repo_call(writer->pool, &args, on_written, e, &err);
	if (e->call == NULL) {
		say_lost(e, &err);
		cw_free(e);
	} else {
		cw_list_append(&writer->entries, &e->link);
	}
	cw_arena_free(&arena);
}
