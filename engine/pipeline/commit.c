/* The commit stream: connections in pipeline mode on which group follows group.
 *
 *   BEGIN; INSERT transactions; flush  ->  which are new  ->  evaluator  ->  INSERT predictions, anomalies; COMMIT; sync
 *
 * For large groups two connections take turns: while one commits a group (p->committing), the other has the next one
 * inserted, and the evaluator judges it (p->front). Its verdicts and COMMIT are sent when the commit before it is answered, so groups are
 * committed in the order in which they were judged, and two are on the stream at most. Where the next group is small (it
 * would cost more commits than it saves time) or the pool has only one connection to give, BEGIN and INSERT follow right
 * behind the COMMIT.
 *
 * What fails before it was evaluated goes back to the head of the queue. What was evaluated is kept with its verdicts
 * and sent again, under the identities it had, until it is committed; nothing new is evaluated before. When the answer
 * to a COMMIT was lost, the rows that are there already say so. Errors that data can cause (SQLSTATE classes 22 and 23)
 * are searched for by halves. */
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "loop/loop.h"
#include "pg/result.h"
#include "pipeline/core.h"
#include "store/ingest.h"

#define GROUP_BYTES (8u << 20)       /* call data in one group: bounds the message to PostgreSQL and the memory here */
#define NOT_READY_MS 20              /* between two looks at an evaluator that is not there yet */
#define SUBMIT_CHUNK 256

static void commit_in_turn(struct cw_pipeline *p, struct group *g);
static void send_next(struct cw_pipeline *p);

/* --- groups --- */

struct group *cw_group_new(size_t max)
{
	struct group *g = cw_zalloc(sizeof(*g));

	cw_list_init(&g->link);
	cw_list_init(&g->cursors);
	g->items = cw_alloc(max * sizeof(struct item *));
	g->started_us = cw_clock_mono_us();
	return g;
}

void cw_group_free(struct group **group)
{
	struct group *g = *group;

	*group = NULL;
	if (g == NULL)
		return;
	cw_list_remove(&g->link);
	while (cw_list_take(&g->cursors) != NULL)
		;
	cw_generation_unref(&g->gen);
	cw_keep_unref(&g->keep);
	cw_free(g->items);
	cw_free(g);
}

static void push_cut(struct cw_pipeline *p, size_t n)
{
	if (n == 0)
		return;
	if (p->ncuts == p->cuts_cap) {
		p->cuts_cap = p->cuts_cap * 2 + 8;
		p->cuts = cw_realloc(p->cuts, p->cuts_cap * sizeof(*p->cuts));
	}
	p->cuts[p->ncuts++] = (uint32_t)n;
}

static void requeue_cursors(struct cw_pipeline *p, struct group *g)
{
	while (!cw_list_empty(&g->cursors))
		cw_item_requeue(p, cw_list_entry(g->cursors.prev, struct item, link));
}

static void fail_cursors(struct cw_pipeline *p, struct group *g, const struct cw_err *err)
{
	while (!cw_list_empty(&g->cursors))
		cw_item_fail(p, cw_list_entry(g->cursors.next, struct item, link), err);
}

/* Back to the head of the queue, in order; cursors behind the transactions. Frees the group. */
static void requeue(struct cw_pipeline *p, struct group *g)
{
	requeue_cursors(p, g);
	for (size_t i = g->n; i-- > 0;)
		cw_item_requeue(p, g->items[i]);
	p->stats.retries++;
	cw_group_free(&g);
}

/* Before everything else that is to be sent. */
static void keep_first(struct cw_pipeline *p, struct group *g)
{
	g->state = GROUP_KEPT;
	g->on_stream = false;
	p->stats.retries++;
	cw_list_prepend(&p->kept, &g->link);
}

static void keep_last(struct cw_pipeline *p, struct group *g)
{
	g->state = GROUP_KEPT;
	g->on_stream = false;
	p->stats.retries++;
	cw_list_append(&p->kept, &g->link);
}

static void move_cursors(struct group *to, struct group *from)
{
	struct cw_list *link;

	while ((link = cw_list_take(&from->cursors)) != NULL)
		cw_list_append(&to->cursors, link);
}

/* The second half of an evaluated group, as a group of its own; it has the cursors. */
static struct group *split(struct group *g)
{
	struct group *half = cw_group_new(g->n);
	size_t n = g->n / 2;

	half->n = g->n - n;
	memcpy(half->items, g->items + n, half->n * sizeof(struct item *));
	g->n = n;
	half->evaluated = true;
	half->fresh = half->n;
	g->fresh = n;
	half->renumber = g->renumber;
	half->gen = cw_generation_ref(g->gen);
	half->keep = cw_keep_ref(g->keep);
	half->started_us = g->started_us;
	move_cursors(half, g);
	return half;
}

/* --- errors --- */

/* An evaluated group that the database refuses. Cursors apart. One transaction: without what a rule wrote freely, then not at all. */
static void refuse_evaluated(struct cw_pipeline *p, struct group *g, const struct cw_err *err)
{
	struct item *item;

	if (g->n > 0 && !cw_list_empty(&g->cursors)) {
		struct group *cursors = cw_group_new(1);

		cursors->evaluated = true;
		move_cursors(cursors, g);
		keep_first(p, cursors);
		keep_first(p, g);
		return;
	}
	if (g->n > 1) {
		keep_first(p, split(g));
		keep_first(p, g);
		return;
	}
	if (g->n == 0) {
		fail_cursors(p, g, err);
		cw_group_free(&g);
		return;
	}
	item = g->items[0];
	if (!item->plain) {
		item->plain = true;
		keep_first(p, g);
		return;
	}
	cw_log_err(CW_LOG_ERROR, "pipeline", "a judged transaction cannot be stored", err);
	cw_item_fail(p, item, err);
	cw_group_free(&g);
}

static void refuse_new(struct cw_pipeline *p, struct group *g, const struct cw_err *err)
{
	if (g->n > 1) {
		push_cut(p, g->n - g->n / 2);
		push_cut(p, g->n / 2);
		requeue(p, g);
		return;
	}
	if (g->n > 0)
		cw_item_fail(p, g->items[0], err);
	else
		fail_cursors(p, g, err);
	requeue_cursors(p, g);
	cw_group_free(&g);
}

/* The rest of a group whose first transactions are with the evaluator: those of which no answer was had. NULL: none. */
static struct group *tear_off(struct group *g)
{
	struct group *rest;

	if (g->state != GROUP_EVALUATING || g->evaluated || g->fresh == g->n)
		return NULL;
	rest = cw_group_new(g->n - g->fresh);
	rest->n = g->n - g->fresh;
	memcpy(rest->items, g->items + g->fresh, rest->n * sizeof(struct item *));
	g->n = g->fresh;
	move_cursors(rest, g);
	return rest;
}

/* Was not evaluated; `refused`: for its own rows. */
static void give_back(struct cw_pipeline *p, struct group *g, const struct cw_err *refused)
{
	if (refused != NULL) {
		refuse_new(p, g, refused);
		return;
	}
	if (g->cut)
		push_cut(p, g->n);
	requeue(p, g);
}

/* The stream has failed and all its answers are in: what becomes of the groups that were on it. */
void cw_commit_recover(struct cw_pipeline *p)
{
	struct group *front = p->front, *committing = p->committing;
	const struct cw_err *err = &p->stream.err;
	struct group *culprit = cw_is_data_error(err) ? p->stream.culprit : NULL, *rest = NULL;

	p->committing = NULL;
	if (front != NULL && front->state == GROUP_REINSERTING && cw_is_taken_identity(err) && p->stream.culprit == front) {
		cw_log_err(CW_LOG_ERROR, "pipeline", "judged transactions get other identities than they were judged under", err);
		front->renumber = true;
	}
	if (front != NULL && front->on_stream) {
		front->on_stream = false;
		rest = tear_off(front);
		if (rest != NULL)
			give_back(p, rest, front == culprit ? err : NULL);
		if (front->state == GROUP_EVALUATING && front->judged == front->n)
			front->evaluated = true;
		if (front->state == GROUP_EVALUATING && front->judged < front->n) {
			front = NULL;                 /* goes on; kept when its last verdict is in */
		} else {
			p->front = NULL;
			if (front->evaluated && front == culprit && rest == NULL)
				refuse_evaluated(p, front, err);
			else if (front->evaluated)
				keep_first(p, front);
			else
				give_back(p, front, front == culprit ? err : NULL);
		}
	}
	if (committing != NULL && committing == culprit)
		refuse_evaluated(p, committing, err);
	else if (committing != NULL)
		keep_first(p, committing);
	cw_admit_answer(p);
}

/* --- first half: which of them are new --- */

/* Alerts that this transaction founded go on under its new identity. */
static void renumber(struct group *g, uint64_t old, uint64_t now)
{
	for (size_t i = 0; i < g->n; i++)
		for (uint32_t k = 0; k < g->items[i]->verdict.nalerts; k++)
			if (g->items[i]->verdict.alerts[k].founder == old)
				g->items[i]->verdict.alerts[k].founder = now;
}

/* Takes the known ones of the first chunk that was not answered yet out of the group; their verdicts are asked for. */
static bool sort_out(struct cw_pipeline *p, struct group *g, const struct cw_result *res)
{
	size_t end = g->n - g->fresh > g->chunk ? g->fresh + g->chunk : g->n;
	size_t fresh = g->fresh;
	int row = 0;

	for (size_t i = g->fresh; i < end; i++) {
		struct item *item = g->items[i];
		int64_t id = cw_ingest_match(res, row, &item->in.tx);

		if (id != 0) {
			if (g->evaluated && (uint64_t)id != item->in.tx.seq)
				renumber(g, item->in.tx.seq, (uint64_t)id);
			item->in.tx.seq = (uint64_t)id;
			g->items[fresh++] = item;
			row++;
		} else {
			item->stored = g->evaluated;
			cw_known_ask(p, item);
		}
	}
	if (fresh < end)
		memmove(g->items + fresh, g->items + end, (g->n - end) * sizeof(struct item *));
	g->n -= end - fresh;
	g->fresh = fresh;
	return row == cw_result_rows(res);
}

/* Rolls back a group that was sent and must not be committed; its transactions go back to the queue. */
static void abort_front(struct cw_pipeline *p, const char *why)
{
	struct cw_err err = { 0 };

	cw_err_set(&err, CW_ERR_CANCELLED, "%s", why);
	cw_stream_fail(p, NULL, &err);
	cw_stream_settle(p);
}

static void on_inserted(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct cw_pipeline *p = CW_CAST(arg, PIPELINE_MAGIC);
	struct group *g = p->front;

	if (!cw_stream_answered(p, g, err))
		return;
	if (!sort_out(p, g, res)) {
		struct cw_err odd = { 0 };

		cw_err_set(&odd, CW_ERR_INTERNAL, "the database answered rows that were not sent");
		cw_log_err(CW_LOG_ERROR, "pipeline", "a group is out of step", &odd);
		cw_stream_fail(p, NULL, &odd);
		cw_stream_settle(p);
		return;
	}
	if (g->judged == g->n)               /* nothing is left to be judged, or it was before */
		g->evaluated = true;
	if (g->evaluated) {
		commit_in_turn(p, g);
		return;
	}
	if (g->fresh == 0)
		return;
	if (g->state == GROUP_INSERTING)
		g->state = GROUP_READY;
	if (p->replay_needed)
		abort_front(p, "history is replayed first");
	else
		cw_commit_evaluate(p);
}

static void on_begun(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct cw_pipeline *p = CW_CAST(arg, PIPELINE_MAGIC);

	(void)res;
	cw_stream_answered(p, NULL, err);
}

/* One INSERT after the other: while PostgreSQL is at the second, what was new of the first is judged. */
static void send_chunks(struct cw_pipeline *p, struct group *g, struct cw_conn *conn, bool keep_ids)
{
	size_t max = p->conf.insert_rows > 0 ? p->conf.insert_rows : cw_pipeline_conf_default.insert_rows, at = 0;

	g->chunk = g->evaluated || g->cut || g->n <= max ? g->n : max;
	g->fresh = 0;
	do {
		size_t n = g->n - at > g->chunk ? g->chunk : g->n - at;
		const struct cw_tx_in **txs = cw_arena_alloc(p->scratch, n * sizeof(const struct cw_tx_in *));

		for (size_t i = 0; i < n; i++)
			txs[i] = &g->items[at + i]->in;
		p->stream.outstanding++;
		cw_ingest_transactions(conn, txs, n, keep_ids, p->scratch, on_inserted, p);
		cw_conn_flush(conn);
		cw_arena_clear(p->scratch);
		at += n;
	} while (at < g->n);
}

static void send_group(struct cw_pipeline *p, struct group *g)
{
	struct stream *s = &p->stream;
	struct lane *lane = &s->lanes[cw_stream_lane(p, g->n)];
	bool keep_ids = g->evaluated && !g->renumber;

	g->on_stream = lane->open = true;
	g->lane = (int)(lane - s->lanes);
	p->front = g;
	s->outstanding++;
	cw_ingest_begin(lane->conn, on_begun, p);
	if (keep_ids && g->n > 0) {
		s->outstanding++;
		cw_ingest_reserve(lane->conn, (int64_t)g->items[g->n - 1]->in.tx.seq, p->scratch, on_begun, p);
	}
	send_chunks(p, g, lane->conn, keep_ids);
}

static void send_kept(struct cw_pipeline *p)
{
	struct group *g = cw_list_entry(cw_list_take(&p->kept), struct group, link);

	g->state = GROUP_REINSERTING;
	send_group(p, g);
}

/* Cursors that stand at the head of the queue: all before them is in this group or in those before it. */
static void take_cursors(struct cw_pipeline *p, struct group *g)
{
	while (!cw_list_empty(&p->queue)) {
		struct item *item = cw_list_entry(p->queue.next, struct item, link);

		if (!item->is_cursor)
			return;
		cw_list_remove(&item->link);
		cw_list_append(&g->cursors, &item->link);
		item->place = ITEM_GROUPED;
		p->queued--;
	}
}

static void send_queued(struct cw_pipeline *p)
{
	bool cut = p->ncuts > 0;
	size_t max = cut ? p->cuts[--p->ncuts] : p->conf.group_max, bytes = 0;
	struct group *g = cw_group_new(max < p->queued ? max : p->queued);

	g->cut = cut;
	for (take_cursors(p, g); g->n < max && !cw_list_empty(&p->queue); take_cursors(p, g)) {
		struct item *item = cw_list_entry(p->queue.next, struct item, link);

		if (g->n > 0 && bytes + item->in.input_len > GROUP_BYTES)
			break;
		bytes += item->in.input_len;
		cw_list_remove(&item->link);
		item->place = ITEM_GROUPED;
		p->queued--;
		g->items[g->n++] = item;
	}
	p->lingered = false;
	cw_timer_clear(p->again);
	send_group(p, g);
}

/* --- evaluation --- */

void cw_commit_evaluate(struct cw_pipeline *p)
{
	struct group *g = p->front;

	if (g == NULL || (g->state != GROUP_READY && g->state != GROUP_EVALUATING))
		return;
	if (g->state == GROUP_READY) {
		cw_rules_boundary(p);
		if (p->activating)               /* comes back when the new rules are at work */
			return;
		g->gen = cw_generation_ref(p->gen);
		g->keep = cw_keep_new();
		g->state = GROUP_EVALUATING;
	}
	while (g->submitted < g->fresh) {
		const struct cw_tx *txs[SUBMIT_CHUNK];
		uint32_t room = cw_supervisor_room(p->supervisor), n = 0;

		while (n < room && n < SUBMIT_CHUNK && g->submitted < g->fresh)
			txs[n++] = &g->items[g->submitted++]->in.tx;
		if (n == 0)
			break;
		cw_supervisor_submit(p->supervisor, txs, n);
	}
}

static void evaluated(struct cw_pipeline *p, struct group *g)
{
	g->evaluated = true;
	if (g->on_stream) {
		if (cw_stream_alive(p))             /* else cw_commit_recover() keeps it */
			commit_in_turn(p, g);
		return;
	}
	p->front = NULL;
	keep_last(p, g);
	cw_commit_kick(p);
}

void cw_commit_verdict(struct cw_pipeline *p, uint64_t seq, const void *bytes, size_t len)
{
	struct group *g = p->front;
	struct item *item;

	if (g == NULL || g->state != GROUP_EVALUATING || g->judged >= g->submitted ||
	    g->items[g->judged]->in.tx.seq != seq) {
		cw_bug("verdict %llu belongs to no transaction that was submitted", (unsigned long long)seq);
		return;
	}
	item = g->items[g->judged++];
	item->keep = cw_keep_ref(g->keep);
	cw_verdict_take(p, g->gen, item, bytes, len);
	if (g->judged == g->n)
		evaluated(p, g);
	else if (g->submitted < g->fresh)
		cw_commit_evaluate(p);
}

void cw_commit_state_lost(struct cw_pipeline *p)
{
	struct group *g = p->front;

	p->replay_needed = true;
	if (g == NULL || g->evaluated || (g->state != GROUP_READY && g->state != GROUP_EVALUATING)) {
		cw_commit_kick(p);
		return;
	}
	g->state = GROUP_READY;
	g->submitted = g->judged = 0;
	cw_generation_unref(&g->gen);
	for (size_t i = 0; i < g->n; i++)
		cw_keep_unref(&g->items[i]->keep);
	if (g->on_stream) {
		abort_front(p, "the state was lost");
		return;
	}
	p->front = NULL;
	requeue(p, g);
	cw_commit_kick(p);
}

/* --- second half: verdicts and COMMIT --- */

static void send_verdicts(struct cw_pipeline *p, struct group *g);

static void note_commit(struct stream *s, const struct group *g)
{
	int64_t us = cw_clock_mono_us() - s->commit_sent_us;

	s->attempts = 0;
	s->full = false;
	s->cohort = g->n;
	s->commit_us += (us - s->commit_us) / 8;
}

static void on_committed(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct cw_pipeline *p = CW_CAST(arg, PIPELINE_MAGIC);
	struct group *g = p->committing;
	static const struct cw_err lost = { .code = CW_ERR_DB, .msg = "the answer was lost" };

	(void)res;
	if (err == NULL && CW_FAULT("pipeline.commit_answer"))
		err = &lost;
	if (err != NULL) {
		cw_stream_answered(p, g, err);
		return;
	}
	/* Committed is committed, whatever has become of the stream meanwhile. */
	p->stream.outstanding--;
	p->committing = NULL;
	p->stream.lanes[g->lane].open = p->front != NULL && p->front->on_stream && p->front->lane == g->lane;
	note_commit(&p->stream, g);
	cw_publish_group(p, &g);
	cw_stream_settle(p);
	if (p->front != NULL && p->front->state == GROUP_JUDGED && cw_stream_alive(p))
		send_verdicts(p, p->front);
	cw_commit_pump(p);
}

static void on_alerts(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct cw_pipeline *p = CW_CAST(arg, PIPELINE_MAGIC);
	struct group *g = p->committing;

	if (err == NULL)                 /* even if the other lane has failed: its COMMIT may have been sent */
		cw_verdict_take_stored(g, res);
	cw_stream_answered(p, g, err);
}

static void on_predictions(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct cw_pipeline *p = CW_CAST(arg, PIPELINE_MAGIC);

	(void)res;
	cw_stream_answered(p, p->committing, err);
}

/* The last of each name. */
static bool send_cursors(struct cw_pipeline *p, struct group *g)
{
	struct cw_new_cursor *rows;
	struct cw_list *link, *tmp;
	size_t n = 0, k;

	cw_list_each(link, tmp, &g->cursors)
		n++;
	if (n == 0)
		return false;
	rows = cw_arena_alloc(p->scratch, n * sizeof(*rows));
	n = 0;
	cw_list_each(link, tmp, &g->cursors) {
		const char *name = (const char *)cw_list_entry(link, struct item, link)->input;

		for (k = 0; k < n && strcmp(rows[k].name, name) != 0; k++)
			;
		rows[k] = (struct cw_new_cursor){ name, name + strlen(name) + 1 };
		n += k == n;
	}
	cw_ingest_cursors(cw_group_conn(p, g), rows, n, p->scratch, on_predictions, p);
	cw_arena_clear(p->scratch);
	return true;
}

static void send_verdicts(struct cw_pipeline *p, struct group *g)
{
	struct stream *s = &p->stream;

	p->front = NULL;
	p->committing = g;
	g->state = GROUP_COMMITTING;
	if (g->n > 0) {
		s->outstanding++;
		cw_verdict_send_predictions(p, g, on_predictions);
		if (cw_verdict_send_alerts(p, g, on_alerts))
			s->outstanding++;
	}
	if (send_cursors(p, g))
		s->outstanding++;
	s->outstanding++;
	s->commit_sent_us = cw_clock_mono_us();
	cw_ingest_commit(cw_group_conn(p, g), on_committed, p);
	cw_conn_sync(cw_group_conn(p, g), NULL, NULL);
	send_next(p);
}

/* Groups are committed in the order in which they were judged. */
static void commit_in_turn(struct cw_pipeline *p, struct group *g)
{
	if (p->committing == NULL)
		send_verdicts(p, g);
	else
		g->state = GROUP_JUDGED;
}

/* --- what to do next --- */

static bool lingers(struct cw_pipeline *p)
{
	if (p->conf.commit_linger_us == 0 || p->lingered || p->ncuts > 0 || p->queued >= p->conf.group_max)
		return false;
	if (!cw_timer_pending(p->again))
		cw_timer_set_us(p->again, p->conf.commit_linger_us);
	return true;
}

/* While a group is committed the next one gathers: until as many have come as that one had, or half of the time that a
 * commit takes is over. It is then inserted on the other lane meanwhile, and judged, and ready when its turn comes. */
static bool gathers(struct cw_pipeline *p)
{
	struct stream *s = &p->stream;
	int64_t left;

	if (p->committing == NULL || !cw_stream_turns(p) || p->ncuts > 0 || p->queued >= p->conf.group_max || p->queued >= s->cohort)
		return false;
	left = s->commit_sent_us + s->commit_us / 2 - cw_clock_mono_us();
	if (left <= 0)
		return false;
	cw_timer_set_us(p->again, left);
	return true;
}

/* Sends the next group, if there is one and the stream has room for it. */
static void send_next(struct cw_pipeline *p)
{
	if (p->front != NULL || !cw_stream_alive(p))
		return;
	if (!cw_list_empty(&p->kept)) {
		send_kept(p);
		return;
	}
	if (p->queued == 0 || p->replay_needed || p->replay != NULL || p->reorg != NULL || cw_warm_holds(p))
		return;
	if (p->gen == NULL || !cw_supervisor_ready(p->supervisor)) {
		cw_timer_set(p->again, NOT_READY_MS);
		return;
	}
	if (!lingers(p) && !gathers(p))
		send_queued(p);
}

void cw_commit_pump(struct cw_pipeline *p)
{
	cw_stream_open(p);
	cw_rules_boundary(p);
	if (p->replay_needed && p->front == NULL && p->committing == NULL && cw_list_empty(&p->kept) && !cw_reorg_holds(p))
		cw_replay_start(p);
	if (p->committing == NULL || cw_stream_turns(p))
		send_next(p);
	cw_reorg_step(p);
	cw_warm_step(p);
}

static void on_kick(void *arg)
{
	struct cw_pipeline *p = CW_CAST(arg, PIPELINE_MAGIC);

	p->kicked = false;
	cw_commit_pump(p);
}

void cw_commit_kick(struct cw_pipeline *p)
{
	if (p->kicked)
		return;
	p->kicked = true;
	cw_loop_defer(p->loop, on_kick, p);
}

static void on_again(void *arg)
{
	struct cw_pipeline *p = CW_CAST(arg, PIPELINE_MAGIC);

	p->lingered = true;
	cw_commit_pump(p);
}

void cw_commit_init(struct cw_pipeline *p)
{
	cw_list_init(&p->kept);
	p->scratch = cw_arena_new();
	p->again = cw_timer_new(p->loop, on_again, p);
	cw_stream_init(p);
	cw_commit_kick(p);
}

void cw_commit_release(struct cw_pipeline *p)
{
	struct cw_list *link, *tmp;

	cw_loop_undefer(p->loop, on_kick, p);
	cw_stream_release(p);
	cw_group_free(&p->front);
	cw_group_free(&p->committing);
	cw_list_each(link, tmp, &p->kept) {
		struct group *g = cw_list_entry(link, struct group, link);

		cw_group_free(&g);
	}
	cw_timer_free(&p->again);
	cw_arena_free(&p->scratch);
	cw_free(p->cuts);
}
