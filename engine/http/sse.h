/* sse.h - server-sent events (WHATWG HTML, 9.2): a channel with subscribers, resume by Last-Event-ID, comments as
 * heartbeat. A subscriber that does not read is cut off at its buffer limit; it resumes from ring or database. */
#ifndef CW_HTTP_SSE_H
#define CW_HTTP_SSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cw_loop;
struct cw_request;
struct cw_sse;

#define CW_SSE_BUFFER 262144   /* bytes that may wait for one subscriber */

/* Keeps the last `ring` events (at least 1) for resume. */
struct cw_sse *cw_sse_new(struct cw_loop *loop, int ring, int64_t heartbeat_ms);
/* Ends all streams first. */
void cw_sse_free(struct cw_sse **sse);
/* Before the first publish: events up to `id` exist, but not in this channel (they were published before a restart). */
void cw_sse_seed(struct cw_sse *sse, uint64_t id);
/* The highest id published or seeded. */
uint64_t cw_sse_newest(const struct cw_sse *sse);
/* Whether the ring has all that was published after `last_id`. */
bool cw_sse_holds(const struct cw_sse *sse, uint64_t last_id);
/* `filter` decides for each event whether this subscriber gets it (NULL: all); freed with `free_arg`. */
typedef bool cw_sse_filter_fn(void *arg, const char *event, const char *data, size_t len);
/* Begins the stream, unless cw_sse_replay has, and sends what the ring has after `last_id` (0: nothing of the past).
 * From here on the request is the channel's: it is answered when the client leaves or the channel ends.
 *
 * Returns false, with nothing sent and `arg` still the caller's, if events after last_id have left the ring already or
 * were never in it: the caller then notes cw_sse_newest, sends what the database has after last_id up to there by
 * cw_sse_replay, and subscribes from there; again, should that have taken too long. */
bool cw_sse_subscribe(struct cw_sse *sse, struct cw_request *req, uint64_t last_id, cw_sse_filter_fn *filter,
                      void *arg, void (*free_arg)(void *));
/* To all subscribers. Ids rise; 0 sends the event without one: it does not move a subscriber's Last-Event-ID, and one that
 * resumes may get it twice. Line ends in `data` are kept as line ends (CR LF and CR become LF); `event` is one
 * line, NULL or "" for "message". */
void cw_sse_publish(struct cw_sse *sse, uint64_t id, const char *event, const char *data, size_t len);
/* One event for a request that has not subscribed yet; the first begins the stream. Returns what waits for the client:
 * above CW_SSE_BUFFER go on in cw_reply_on_drain's callback. */
size_t cw_sse_replay(struct cw_request *req, uint64_t id, const char *event, const char *data, size_t len);
/* The id to go on from: the header Last-Event-ID, 0 if there is none or it is not a number. */
uint64_t cw_sse_last_id(const struct cw_request *req);
int cw_sse_subscribers(const struct cw_sse *sse);
/* Ends all streams (drain). Clients come back by themselves and resume. */
void cw_sse_close_all(struct cw_sse *sse);

#endif
