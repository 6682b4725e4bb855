#include "http/sse.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/list.h"
#include "base/mem.h"
#include "http/reply.h"
#include "http/request.h"
#include "loop/loop.h"

#define RETRY_MS "2000"   /* a browser waits this long before it comes back; its own default is some seconds */

struct event {
	uint64_t id;             /* unnumbered: of the event before it */
	bool unnumbered;
	char *name, *data;       /* for filters */
	size_t len;
	char *frame;             /* as it goes out */
	size_t frame_len;
};

struct subscriber {
	struct cw_list link;
	struct cw_sse *sse;
	struct cw_request *req;
	cw_sse_filter_fn *filter;
	void *arg;
	void (*free_arg)(void *arg);
	size_t limit;            /* bytes that may wait for it: more at first, when it got the past at once */
};

struct cw_sse {
	struct cw_loop *loop;
	struct cw_timer *heartbeat;
	int64_t heartbeat_ms;
	struct cw_list subscribers;
	int nsubscribers;
	struct event *ring;
	int size, first, count;
	uint64_t last_lost;      /* highest id that has left the ring */
	uint64_t last_id;        /* highest id published */
};

/* ---- frames (WHATWG HTML, 9.2.6) ---- */

/* Each line of the data becomes a `data:` line; the end of lines is LF, CR LF or CR there. */
static void put_frame(struct cw_buf *out, uint64_t id, const char *event, const char *data, size_t len)
{
	const char *at = data, *end = len > 0 ? data + len : data;

	if (id != 0) {
		cw_buf_puts(out, "id: ");
		cw_buf_uint(out, id);
		cw_buf_putc(out, '\n');
	}
	if (event != NULL && event[0] != '\0') {
		cw_buf_puts(out, "event: ");
		cw_buf_add(out, event, strcspn(event, "\r\n"));
		cw_buf_putc(out, '\n');
	}
	for (;;) {
		const char *stop = at;

		while (stop < end && *stop != '\n' && *stop != '\r')
			stop++;
		cw_buf_puts(out, "data: ");
		cw_buf_add(out, at, (size_t)(stop - at));
		cw_buf_putc(out, '\n');
		if (stop == end)
			break;
		at = stop + (*stop == '\r' && stop + 1 < end && stop[1] == '\n' ? 2 : 1);
	}
	cw_buf_putc(out, '\n');
}

static void begin(struct cw_request *req)
{
	if (cw_reply_begun(req))
		return;
	cw_reply_header(req, "X-Accel-Buffering", "no");   /* nginx in front would keep events back */
	cw_reply_begin(req, 200, "text/event-stream");
	cw_reply_piece(req, "retry: " RETRY_MS "\n\n", sizeof("retry: " RETRY_MS "\n\n") - 1);
}

uint64_t cw_sse_last_id(const struct cw_request *req)
{
	struct cw_slice id = cw_request_header(req, "last-event-id");
	uint64_t n = 0;

	if (id.len == 0 || id.len > 18)
		return 0;
	for (size_t i = 0; i < id.len; i++) {
		if (id.p[i] < '0' || id.p[i] > '9')
			return 0;
		n = n * 10 + (uint64_t)(id.p[i] - '0');
	}
	return n;
}

size_t cw_sse_replay(struct cw_request *req, uint64_t id, const char *event, const char *data, size_t len)
{
	struct cw_buf frame = CW_BUF_INIT;
	size_t pending;

	begin(req);
	put_frame(&frame, id, event, data, len);
	pending = cw_reply_piece(req, frame.data, frame.len);
	cw_buf_release(&frame);
	return pending;
}

/* ---- subscribers ---- */

static void forget(struct subscriber *s)
{
	cw_list_remove(&s->link);
	s->sse->nsubscribers--;
	if (s->free_arg != NULL)
		s->free_arg(s->arg);
	cw_free(s);
}

static void on_abort(void *arg, struct cw_request *req)
{
	forget(arg);
	cw_reply_end(req);
}

/* A subscriber that does not read is cut off: it would otherwise believe that it has seen everything. */
static void send_to(struct subscriber *s, const char *bytes, size_t len)
{
	struct cw_request *req = s->req;
	size_t pending = cw_reply_piece(req, bytes, len);

	if (pending <= CW_SSE_BUFFER)
		s->limit = CW_SSE_BUFFER;
	if (pending <= s->limit)
		return;
	forget(s);
	cw_reply_cut(req);
}

static bool wants(const struct subscriber *s, const struct event *e)
{
	return s->filter == NULL || s->filter(s->arg, e->name, e->data, e->len);
}

static void on_heartbeat(void *arg)
{
	struct cw_sse *sse = arg;
	struct cw_list *link, *tmp;

	cw_list_each(link, tmp, &sse->subscribers)
		send_to(cw_list_entry(link, struct subscriber, link), ": \n\n", 4);
	cw_timer_set(sse->heartbeat, sse->heartbeat_ms);
}

bool cw_sse_subscribe(struct cw_sse *sse, struct cw_request *req, uint64_t last_id, cw_sse_filter_fn *filter,
                      void *arg, void (*free_arg)(void *))
{
	struct subscriber *s;
	size_t pending = 0;

	if (last_id != 0 && last_id < sse->last_lost)
		return false;
	begin(req);
	if (req->head->method == CW_METHOD_HEAD) {
		if (free_arg != NULL)
			free_arg(arg);
		cw_reply_end(req);
		return true;
	}
	s = cw_zalloc(sizeof(*s));
	*s = (struct subscriber){ .sse = sse, .req = req, .filter = filter, .arg = arg, .free_arg = free_arg };
	cw_list_init(&s->link);
	cw_list_append(&sse->subscribers, &s->link);
	sse->nsubscribers++;
	cw_reply_on_drain(req, NULL, NULL);
	cw_request_on_abort(req, on_abort, s);
	for (int i = 0; last_id != 0 && i < sse->count; i++) {
		const struct event *e = &sse->ring[(sse->first + i) % sse->size];

		/* Whoever has seen up to last_id may have missed what followed it without a number. */
		if ((e->id > last_id || (e->unnumbered && e->id == last_id)) && wants(s, e))
			pending = cw_reply_piece(req, e->frame, e->frame_len);
	}
	s->limit = pending + CW_SSE_BUFFER;
	return true;
}

void cw_sse_seed(struct cw_sse *sse, uint64_t id)
{
	sse->last_lost = sse->last_id = id;
}

bool cw_sse_holds(const struct cw_sse *sse, uint64_t last_id)
{
	return last_id == 0 || last_id >= sse->last_lost;
}

uint64_t cw_sse_newest(const struct cw_sse *sse)
{
	return sse->last_id;
}

int cw_sse_subscribers(const struct cw_sse *sse)
{
	return sse->nsubscribers;
}

/* ---- publishing ---- */

static void clear_event(struct event *e)
{
	cw_free(e->name);
	cw_free(e->data);
	cw_free(e->frame);
	*e = (struct event){ 0 };
}

static struct event *push(struct cw_sse *sse)
{
	struct event *e = &sse->ring[(sse->first + sse->count) % sse->size];

	if (sse->count == sse->size) {
		e = &sse->ring[sse->first];
		sse->last_lost = e->id;
		clear_event(e);
		sse->first = (sse->first + 1) % sse->size;
	} else {
		sse->count++;
	}
	return e;
}

void cw_sse_publish(struct cw_sse *sse, uint64_t id, const char *event, const char *data, size_t len)
{
	struct cw_buf frame = CW_BUF_INIT;
	struct cw_list *link, *tmp;
	struct event *e;

	if (id != 0 && id <= sse->last_id) {
		cw_bug("event %llu after event %llu", (unsigned long long)id, (unsigned long long)sse->last_id);
		return;
	}
	put_frame(&frame, id, event, data, len);
	e = push(sse);
	e->unnumbered = id == 0;
	if (id != 0)
		sse->last_id = id;
	e->id = sse->last_id;
	e->name = cw_strdup(event != NULL ? event : "");
	e->data = cw_alloc(len + 1);
	if (len > 0)
		memcpy(e->data, data, len);
	e->data[len] = '\0';
	e->len = len;
	e->frame = cw_buf_take(&frame, &e->frame_len);
	cw_list_each(link, tmp, &sse->subscribers) {
		struct subscriber *s = cw_list_entry(link, struct subscriber, link);

		if (wants(s, e))
			send_to(s, e->frame, e->frame_len);
	}
}

/* ---- life ---- */

struct cw_sse *cw_sse_new(struct cw_loop *loop, int ring, int64_t heartbeat_ms)
{
	struct cw_sse *sse = cw_zalloc(sizeof(*sse));

	cw_assert(ring >= 1 && heartbeat_ms > 0);
	sse->loop = loop;
	sse->size = ring;
	sse->ring = cw_zalloc((size_t)ring * sizeof(*sse->ring));
	sse->heartbeat_ms = heartbeat_ms;
	cw_list_init(&sse->subscribers);
	sse->heartbeat = cw_timer_new(loop, on_heartbeat, sse);
	cw_timer_set(sse->heartbeat, heartbeat_ms);
	return sse;
}

void cw_sse_close_all(struct cw_sse *sse)
{
	while (!cw_list_empty(&sse->subscribers)) {
		struct subscriber *s = cw_list_entry(sse->subscribers.next, struct subscriber, link);
		struct cw_request *req = s->req;

		forget(s);
		cw_request_on_abort(req, NULL, NULL);
		cw_reply_end(req);
	}
}

void cw_sse_free(struct cw_sse **sse)
{
	struct cw_sse *s = *sse;

	*sse = NULL;
	if (s == NULL)
		return;
	cw_sse_close_all(s);
	cw_timer_free(&s->heartbeat);
	for (int i = 0; i < s->size; i++)
		clear_event(&s->ring[i]);
	cw_free(s->ring);
	cw_free(s);
}
