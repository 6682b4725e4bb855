#include "app/denials.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "auth/audit.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"
#include "http/request.h"
#include "http/router.h"
#include "loop/loop.h"

#define KINDS    256
#define FIRST_MS 500
#define NEXT_MS  10000

struct kind {
	int status;
	char method[8], route[128];
	struct cw_audit_actor actor;
	uint64_t count;
};

struct cw_denials {
	struct cw_pool *pool;
	struct cw_timer *timer;
	struct cw_audit_writer *writer;
	struct kind kinds[KINDS];
	int nkinds;
	struct kind others; /* beyond KINDS */
	struct kind writing;
	bool busy;
	void (*done)(void *arg); /* at the end */
	void *done_arg;
};

static void write_next(struct cw_denials *d);

static void on_written(void *arg, const struct cw_err *err)
{
	struct cw_denials *d = arg;

	d->busy = false;
	if (err == NULL) {
		write_next(d);
		if (!d->busy && d->done != NULL)
			d->done(d->done_arg);
		return;
	}
	/* Back to the others of its kind, or to those beyond. */
	if (d->nkinds < KINDS)
		d->kinds[d->nkinds++] = d->writing;
	else
		d->others.count += d->writing.count;
	if (d->done != NULL)
		d->done(d->done_arg); /* the writer has logged what it could not write */
	else
		cw_timer_set(d->timer, NEXT_MS);
}

static void write_kind(struct cw_denials *d, const struct kind *k)
{
	struct cw_buf details = CW_BUF_INIT;
	struct cw_audit_event event = {
		.type = k->status == 403 ? "access.denied" : "access.unauthenticated",
		.resource = k->route,
		.action = k->method,
		.status = "denied",
		.severity = k->status == 403 ? "warning" : "info",
		.actor = &k->actor,
	};

	cw_buf_printf(&details, "{\"status\":%d,\"count\":%" PRIu64 "}", k->status, k->count);
	event.details = details.data;
	d->writing = *k;
	d->busy = true;
	cw_audit_write(d->writer, &event, on_written, d);
	cw_buf_release(&details);
}

static void write_next(struct cw_denials *d)
{
	struct kind k;

	if (d->busy)
		return;
	if (d->nkinds > 0) {
		k = d->kinds[--d->nkinds];
		write_kind(d, &k);
	} else if (d->others.count > 0) {
		k = d->others;
		memset(&d->others, 0, sizeof(d->others));
		k.status = 401;
		snprintf(k.route, sizeof(k.route), "others");
		write_kind(d, &k);
	}
}

static void flush(void *arg)
{
	write_next(arg);
}

struct cw_denials *cw_denials_new(struct cw_loop *loop, struct cw_pool *pool)
{
	struct cw_denials *d = cw_zalloc(sizeof(*d));

	d->pool = pool;
	d->timer = cw_timer_new(loop, flush, d);
	d->writer = cw_audit_writer_new(pool);
	return d;
}

bool cw_denials_finish(struct cw_denials *denials, void (*done)(void *arg), void *arg)
{
	struct cw_denials *d = denials;

	if (d == NULL || d->done != NULL)
		return false;
	cw_timer_clear(d->timer);
	write_next(d);
	if (!d->busy)
		return false;
	d->done = done;
	d->done_arg = arg;
	return true;
}

void cw_denials_free(struct cw_denials **denials)
{
	struct cw_denials *d = *denials;

	*denials = NULL;
	if (d == NULL)
		return;
	cw_timer_free(&d->timer);
	cw_audit_writer_free(&d->writer);
	cw_free(d);
}

void cw_denials_note(struct cw_denials *denials, int status, const struct cw_request *req)
{
	struct cw_denials *d = denials;
	struct kind *k;

	if (d == NULL)
		return;
	for (int i = 0; i < d->nkinds; i++) {
		k = &d->kinds[i];
		if (k->status == status && k->actor.user_id == req->user_id && k->actor.key_id == req->key_id &&
		    strcmp(k->route, req->route->pattern) == 0 && strcmp(k->method, cw_method_name(req->head->method)) == 0 &&
		    strncmp(k->actor.ip, req->remote, strlen(k->actor.ip)) == 0) {
			k->count++;
			return;
		}
	}
	if (!cw_timer_pending(d->timer))
		cw_timer_set(d->timer, d->nkinds == 0 ? FIRST_MS : NEXT_MS);
	if (d->nkinds == KINDS) {
		d->others.count++;
		return;
	}
	k = &d->kinds[d->nkinds++];
	memset(k, 0, sizeof(*k));
	k->status = status;
	k->count = 1;
	snprintf(k->route, sizeof(k->route), "%s", req->route->pattern);
	snprintf(k->method, sizeof(k->method), "%s", cw_method_name(req->head->method));
	cw_audit_actor_of(req, &k->actor);
}
