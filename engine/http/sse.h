/* sse.h - server-sent events (WHATWG HTML, 9.2): a channel with subscribers, resume by Last-Event-ID, comments as
 * heartbeat. A subscriber that does not read is dropped at its buffer limit; it resumes from the ring or the database. */
#ifndef CW_HTTP_SSE_H
#define CW_HTTP_SSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cw_loop;
struct cw_request;
struct cw_sse;

/* Keeps the last `ring` events for resume. */
struct cw_sse *cw_sse_new(struct cw_loop *loop, int ring, int64_t heartbeat_ms);
void cw_sse_free(struct cw_sse **sse);
/* `filter` decides for each event whether this subscriber gets it (NULL: all); freed with `free_arg`. */
typedef bool cw_sse_filter_fn(void *arg, const char *event, const char *data, size_t len);
/* Begins the stream and sends what the ring has after `last_id` (0: nothing of the past). Returns false, without an
 * answer sent, if events after last_id have left the ring already: the caller then sends those from the database by
 * cw_sse_replay and subscribes from there. */
bool cw_sse_subscribe(struct cw_sse *sse, struct cw_request *req, uint64_t last_id, cw_sse_filter_fn *filter,
                      void *arg, void (*free_arg)(void *));
void cw_sse_publish(struct cw_sse *sse, uint64_t id, const char *event, const char *data, size_t len);
int cw_sse_subscribers(const struct cw_sse *sse);
/* Ends all streams (drain). */
void cw_sse_close_all(struct cw_sse *sse);

#endif
