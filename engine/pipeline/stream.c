/* The connections of the commit stream: leased, lost, rolled back together. What is sent on them is in commit.c. */
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "loop/loop.h"
#include "pipeline/core.h"
#include "store/ingest.h"

#define BACKOFF_FIRST_MS 10
#define BACKOFF_MAX_MS 1000
#define FULL_ATTEMPTS 7              /* about a second: a disk that is full for a moment costs nobody his answer */
#define LEASE_AGAIN_US 1000000       /* for a further lane, when there was none to be had */

/* Known keys are no error (ON CONFLICT), so this is an identity that was given out twice: see cw_ingest_reserve. */
bool cw_is_taken_identity(const struct cw_err *err)
{
	return strcmp(err->sqlstate, "23505") == 0;
}

/* Errors that come of the values in a row: another attempt with the same rows would end the same way. 54: a limit of
 * the server, e.g. an index row too long; P0: raised by a trigger. */
bool cw_is_data_error(const struct cw_err *err)
{
	static const char classes[][3] = { "22", "23", "54", "P0" };

	if (cw_is_taken_identity(err))
		return false;
	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
		if (strncmp(err->sqlstate, classes[i], 2) == 0)
			return true;
	return false;
}

static bool lane_lives(const struct lane *l)
{
	return l->conn != NULL && cw_conn_state(l->conn) == CW_CONN_READY;
}

static bool any_lane(const struct stream *s)
{
	for (int i = 0; i < STREAM_LANES; i++)
		if (s->lanes[i].conn != NULL)
			return true;
	return false;
}

static void lane_drop(struct lane *l)
{
	l->conn = NULL;
	l->open = false;
	if (l->lease != NULL)
		cw_lease_release(&l->lease, 0);
}

struct cw_conn *cw_group_conn(const struct cw_pipeline *p, const struct group *g)
{
	return p->stream.lanes[g->lane].conn;
}

static void on_backoff(void *arg)
{
	struct cw_pipeline *p = CW_CAST(arg, PIPELINE_MAGIC);

	p->stream.state = any_lane(&p->stream) ? STREAM_OPEN : STREAM_DOWN;
	cw_commit_pump(p);
}

static void back_off(struct cw_pipeline *p)
{
	struct stream *s = &p->stream;
	int64_t ms = (int64_t)BACKOFF_FIRST_MS << (s->attempts < 10 ? s->attempts : 10);

	s->state = STREAM_BACKOFF;
	s->attempts++;
	cw_timer_set(s->backoff, ms < BACKOFF_MAX_MS ? ms : BACKOFF_MAX_MS);
}

/* Called after each answer: ends the failing once the last one is in. */
void cw_stream_settle(struct cw_pipeline *p)
{
	struct stream *s = &p->stream;
	bool data, outlived;

	if (s->state != STREAM_FAILING || s->outstanding > 0)
		return;
	data = s->culprit != NULL && cw_is_data_error(&s->err);
	outlived = cw_pool_outlived(p->pool, &s->err);
	for (int i = 0; i < STREAM_LANES; i++) {
		struct lane *l = &s->lanes[i];

		if (l->conn != NULL && (outlived || !lane_lives(l) || (l->open && !l->rolled_back)))
			lane_drop(l);
		l->open = false;
	}
	if (!data && s->attempts == 0 && s->err.code != CW_ERR_CANCELLED)
		cw_log_err(CW_LOG_WARN, "pipeline", "a group could not be committed, trying again", &s->err);
	if (s->err.code == CW_ERR_FULL && s->attempts == FULL_ATTEMPTS)
		cw_log_err(CW_LOG_ERROR, "pipeline", "nothing can be stored", &s->err);
	s->full = s->full || (s->err.code == CW_ERR_FULL && s->attempts >= FULL_ATTEMPTS);
	cw_commit_recover(p);
	if (s->full)
		cw_admit_full(p);
	if (data && any_lane(s)) {
		s->state = STREAM_OPEN;
		cw_commit_kick(p);
		return;
	}
	back_off(p);
}

static void on_rolled_back(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct lane *l = arg;

	(void)res;
	l->p->stream.outstanding--;
	l->rolled_back = err == NULL;
	cw_stream_settle(l->p);
}

/* Both lanes: what the second has is to be committed after what the first has. */
void cw_stream_fail(struct cw_pipeline *p, struct group *culprit, const struct cw_err *err)
{
	struct stream *s = &p->stream;

	if (s->state != STREAM_OPEN)
		return;
	s->state = STREAM_FAILING;
	s->err = *err;
	s->culprit = culprit;
	for (int i = 0; i < STREAM_LANES; i++) {
		struct lane *l = &s->lanes[i];

		l->rolled_back = false;
		if (!l->open || !lane_lives(l))
			continue;
		cw_conn_sync(l->conn, NULL, NULL);
		cw_ingest_rollback(l->conn, on_rolled_back, l);
		cw_conn_sync(l->conn, NULL, NULL);
		s->outstanding++;
	}
}

/* Open, and its connections live. A lease does not tell when they die: this looks before anything is sent. */
bool cw_stream_alive(struct cw_pipeline *p)
{
	struct stream *s = &p->stream;
	static const struct cw_err lost = { .code = CW_ERR_DB, .msg = "the connection was lost" };
	bool lives = false, cut = false;

	if (s->state != STREAM_OPEN)
		return false;
	for (int i = 0; i < STREAM_LANES; i++) {
		struct lane *l = &s->lanes[i];

		lives = lives || lane_lives(l);
		if (l->conn == NULL || lane_lives(l))
			continue;
		cut = cut || l->open;
		if (!l->open)
			lane_drop(l);
	}
	if (lives && !cut)
		return true;
	cw_stream_fail(p, NULL, &lost);
	cw_stream_settle(p);
	return false;
}

/* Counts an answer; true if the stream goes on with it. */
bool cw_stream_answered(struct cw_pipeline *p, struct group *g, const struct cw_err *err)
{
	p->stream.outstanding--;
	if (err != NULL)
		cw_stream_fail(p, g, err);
	if (p->stream.state == STREAM_OPEN)
		return true;
	cw_stream_settle(p);
	return false;
}

/* --- opening --- */

static void on_lease(void *arg, struct cw_lease *lease, const struct cw_err *err)
{
	struct lane *l = arg;
	struct cw_pipeline *p = l->p;
	struct stream *s = &p->stream;

	l->request = 0;
	l->lease = lease;
	l->conn = lease != NULL ? cw_lease_conn(lease) : NULL;
	if (err == NULL && lane_lives(l)) {
		if (s->state == STREAM_LEASING)
			s->state = STREAM_OPEN;
		cw_commit_pump(p);
		return;
	}
	lane_drop(l);
	l->again_us = cw_clock_mono_us() + LEASE_AGAIN_US;
	if (s->state != STREAM_LEASING)
		return;
	if (s->attempts == 0 && err != NULL)
		cw_log_err(CW_LOG_WARN, "pipeline", "no connection for the commit stream, trying again", err);
	back_off(p);
}

static void lease(struct cw_pipeline *p, struct lane *l)
{
	if (l->conn == NULL && l->request == 0)
		l->request = cw_pool_lease(p->pool, on_lease, l);
}

/* The first lane opens the stream; the second is good to have, once there are large groups. */
void cw_stream_open(struct cw_pipeline *p)
{
	struct stream *s = &p->stream;

	if (s->state == STREAM_DOWN && any_lane(s))
		s->state = STREAM_OPEN;
	if (s->state == STREAM_DOWN) {
		s->state = STREAM_LEASING;
		lease(p, &s->lanes[0]);
	}
	for (uint32_t i = 0; i < STREAM_LANES && s->state == STREAM_OPEN && (i == 0 || cw_stream_turns(p)); i++)
		if (s->lanes[i].again_us <= cw_clock_mono_us())
			lease(p, &s->lanes[i]);
}

bool cw_stream_turns(const struct cw_pipeline *p)
{
	return p->conf.commit_lanes > 1 && p->queued >= p->conf.lane_rows;
}

/* A large group: one that has no transaction open. Else, or where there is no other, behind the COMMIT that is on its way. */
int cw_stream_lane(const struct cw_pipeline *p, size_t n)
{
	const struct stream *s = &p->stream;
	int busy = 0;

	if (p->committing != NULL && (p->conf.commit_lanes < 2 || n < p->conf.lane_rows) && lane_lives(&s->lanes[p->committing->lane]))
		return p->committing->lane;

	for (int i = 0; i < STREAM_LANES; i++) {
		if (!lane_lives(&s->lanes[i]))
			continue;
		if (!s->lanes[i].open)
			return i;
		busy = i;
	}
	return busy;
}

void cw_stream_init(struct cw_pipeline *p)
{
	for (int i = 0; i < STREAM_LANES; i++)
		p->stream.lanes[i].p = p;
	p->stream.backoff = cw_timer_new(p->loop, on_backoff, p);
}

void cw_stream_release(struct cw_pipeline *p)
{
	struct stream *s = &p->stream;

	for (int i = 0; i < STREAM_LANES; i++) {
		struct lane *l = &s->lanes[i];

		if (l->request != 0)
			cw_pool_cancel(p->pool, l->request);
		if (l->conn != NULL) {
			cw_conn_forget(l->conn, p);
			cw_conn_forget(l->conn, l);
		}
		lane_drop(l);
	}
	cw_timer_free(&s->backoff);
}
