/* Admission: the bounded queue, transactions that are known already, who waits for what and for how long. */
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "loop/loop.h"
#include "pipeline/core.h"

static const struct cw_err timeout_err = {
	.code = CW_ERR_TIMEOUT,
	.msg = "the transaction was not committed in time; it is still being tried",
};
static const struct cw_err full_err = {
	.code = CW_ERR_FULL, .sqlstate = "53100",
	.msg = "the database has no room on its disk; nothing is taken until it has",
};
static const struct cw_err stopped_err = { .code = CW_ERR_CANCELLED, .msg = "the engine is stopping" };

struct keep *cw_keep_new(void)
{
	struct keep *keep = cw_zalloc(sizeof(*keep));

	keep->refs = 1;
	keep->arena = cw_arena_new();
	return keep;
}

struct keep *cw_keep_ref(struct keep *keep)
{
	keep->refs++;
	return keep;
}

void cw_keep_unref(struct keep **keep)
{
	struct keep *k = *keep;

	*keep = NULL;
	if (k == NULL || --k->refs > 0)
		return;
	cw_arena_free(&k->arena);
	cw_free(k);
}

static void key_of(uint8_t key[ITEM_KEY], const struct cw_tx *tx)
{
	memcpy(key, &tx->chain_id, sizeof(tx->chain_id));
	memcpy(key + sizeof(tx->chain_id), tx->hash.b, sizeof(tx->hash.b));
}

static struct item *item_new(const struct cw_tx_in *in, const uint8_t key[ITEM_KEY], const struct cw_origin *origin)
{
	size_t len = in->input != NULL ? in->input_len : 0;
	size_t room = (len + 7) / 8 * 8;     /* the logs stand behind, aligned */
	struct item *item = cw_alloc(sizeof(*item) + room + in->tx.nlogs * sizeof(*in->tx.logs));

	memset(item, 0, offsetof(struct item, in));
	cw_list_init(&item->link);
	cw_list_init(&item->slots);
	item->refs = 1;
	memcpy(item->key, key, ITEM_KEY);
	if (origin != NULL) {
		item->origin = *origin;
		item->origin.source = NULL;
		item->provisional = origin->source != NULL && origin->source->provisional;
	}
	item->in = *in;
	item->in.tx.seq = 0;
	item->in.input = item->input;
	item->in.input_len = len;
	if (len > 0)
		memcpy(item->input, in->input, len);
	if (in->tx.nlogs > 0)
		item->in.tx.logs = memcpy(item->input + room, in->tx.logs, in->tx.nlogs * sizeof(*in->tx.logs));
	return item;
}

void cw_item_unref(struct item **item)
{
	struct item *i = *item;

	*item = NULL;
	if (--i->refs > 0)
		return;
	cw_keep_unref(&i->keep);
	cw_free(i);
}

/* --- what a submission waits for --- */

static void submission_free(struct cw_pipeline *p, struct submission *sub)
{
	cw_list_remove(&sub->link);
	for (size_t i = 0; i < sub->nslots; i++) {
		struct slot *slot = &sub->slots[i];

		if (!cw_list_empty(&slot->link)) {
			cw_list_remove(&slot->link);
			p->load -= slot->duplicate;
		}
		cw_item_unref(&slot->item);
	}
	cw_free(sub->outcomes);
	cw_free(sub);
}

static void slot_close(struct cw_pipeline *p, struct slot *slot, const struct cw_outcome *outcome)
{
	struct submission *sub = slot->owner;
	struct cw_outcome *out = &sub->outcomes[slot - sub->slots];

	cw_list_remove(&slot->link);
	p->load -= slot->duplicate;
	*out = *outcome;
	out->duplicate |= slot->duplicate;
	if (--sub->open > 0)
		return;
	cw_list_remove(&sub->link);
	cw_list_append(&p->answers, &sub->link);
}

/* Closes what is still open in the submission with this error. */
static void submission_give_up(struct cw_pipeline *p, struct submission *sub, const struct cw_err *err)
{
	for (size_t i = 0; i < sub->nslots; i++) {
		struct slot *slot = &sub->slots[i];
		struct cw_outcome outcome = { .tx = &slot->item->in.tx, .err = err };

		if (!cw_list_empty(&slot->link))
			slot_close(p, slot, &outcome);
	}
}

static void set_deadline(struct cw_pipeline *p)
{
	struct submission *first;
	int64_t left;

	if (cw_list_empty(&p->waiting)) {
		cw_timer_clear(p->deadline);
		return;
	}
	first = cw_list_entry(p->waiting.next, struct submission, link);
	left = first->deadline_us - cw_clock_mono_us();
	cw_timer_set_us(p->deadline, left > 0 ? left : 0);
}

static void on_deadline(void *arg)
{
	struct cw_pipeline *p = CW_CAST(arg, PIPELINE_MAGIC);
	int64_t now = cw_clock_mono_us();

	while (!cw_list_empty(&p->waiting)) {
		struct submission *sub = cw_list_entry(p->waiting.next, struct submission, link);

		if (sub->deadline_us > now)
			break;
		p->stats.timeouts++;
		submission_give_up(p, sub, &timeout_err);
	}
	set_deadline(p);
	cw_admit_answer(p);
}

/* What is in groups and in the queue stays, and is tried until there is room. */
void cw_admit_full(struct cw_pipeline *p)
{
	while (!cw_list_empty(&p->waiting))
		submission_give_up(p, cw_list_entry(p->waiting.next, struct submission, link), &full_err);
	set_deadline(p);
	cw_admit_answer(p);
}

static void tell_drained(void *arg)
{
	struct cw_pipeline *p = CW_CAST(arg, PIPELINE_MAGIC);
	void (*fn)(void *) = p->drained;

	p->drained = NULL;
	if (fn != NULL)
		fn(p->drained_arg);
}

/* Everything is committed; or nobody waits any more, and the database is away: nothing was promised then. */
static void tell_if_drained(struct cw_pipeline *p)
{
	bool hopeless = cw_list_empty(&p->waiting) && p->stream.state != STREAM_OPEN;

	if (!p->draining || p->drained == NULL || !cw_list_empty(&p->status_writes) || (p->load > 0 && !hopeless))
		return;
	cw_loop_undefer(p->loop, tell_drained, p);
	cw_loop_defer(p->loop, tell_drained, p);
}

void cw_admit_answer(struct cw_pipeline *p)
{
	struct cw_list *link;

	if (p->answering)
		return;
	p->answering = true;
	while ((link = cw_list_take(&p->answers)) != NULL) {
		struct submission *sub = cw_list_entry(link, struct submission, link);

		sub->fn(sub->arg, sub->outcomes, sub->n);
		submission_free(p, sub);
	}
	p->answering = false;
	tell_if_drained(p);
}

/* --- items --- */

void cw_item_done(struct cw_pipeline *p, struct item *item)
{
	struct cw_list *link, *tmp;

	item->place = ITEM_DONE;
	cw_list_remove(&item->link);
	cw_map_take(p->in_flight, item->key, ITEM_KEY);
	if (item->outcome.err == NULL && !item->is_cursor)
		cw_recent_add(p->recent, item->key);
	p->load--;
	item->outcome.tx = &item->in.tx;
	cw_list_each(link, tmp, &item->slots)
		slot_close(p, cw_list_entry(link, struct slot, link), &item->outcome);
	cw_item_unref(&item);
}

void cw_item_fail(struct cw_pipeline *p, struct item *item, const struct cw_err *err)
{
	p->stats.failed++;
	cw_metric_add(p->metrics.failed, 1);
	item->err = *err;
	item->outcome = (struct cw_outcome){ .err = &item->err };
	cw_item_done(p, item);
}

void cw_item_requeue(struct cw_pipeline *p, struct item *item)
{
	item->place = ITEM_QUEUED;
	item->in.tx.seq = 0;
	cw_keep_unref(&item->keep);
	cw_list_remove(&item->link);
	cw_list_prepend(&p->queue, &item->link);
	p->queued++;
}

/* --- the public half --- */

static void slot_attach(struct cw_pipeline *p, struct slot *slot, struct item *item, bool duplicate)
{
	slot->item = item;
	slot->duplicate = duplicate;
	item->refs++;
	cw_list_append(&item->slots, &slot->link);
	p->load += duplicate;
}

static void admit(struct cw_pipeline *p, struct slot *slot, const struct cw_tx_in *in, const struct cw_origin *origin)
{
	uint8_t key[ITEM_KEY];
	struct item *item;

	key_of(key, &in->tx);
	item = cw_map_get(p->in_flight, key, ITEM_KEY);
	if (item != NULL) {
		slot_attach(p, slot, item, true);
		return;
	}
	item = item_new(in, key, origin);
	cw_map_put(p->in_flight, key, ITEM_KEY, item);
	p->load++;
	slot_attach(p, slot, item, false);
	if (cw_recent_has(p->recent, key)) {
		cw_known_ask(p, item);
		return;
	}
	cw_list_append(&p->queue, &item->link);
	p->queued++;
}

/* Behind the transactions of its submission; they are stored when its turn comes, or were before. */
static void admit_cursor(struct cw_pipeline *p, struct slot *slot, const struct cw_source *source)
{
	size_t name = strlen(source->name) + 1, position = strlen(source->cursor) + 1;
	struct item *item = cw_zalloc(sizeof(*item) + name + position);

	cw_list_init(&item->link);
	cw_list_init(&item->slots);
	item->refs = 1;
	item->is_cursor = true;
	memset(item->key, 0xff, sizeof(uint64_t));
	p->last_cursor++;
	memcpy(item->key + sizeof(uint64_t), &p->last_cursor, sizeof(p->last_cursor));
	memcpy(item->input, source->name, name);
	memcpy(item->input + name, source->cursor, position);
	cw_map_put(p->in_flight, item->key, ITEM_KEY, item);
	p->load++;
	slot_attach(p, slot, item, false);
	cw_list_append(&p->queue, &item->link);
	p->queued++;
}

/* By deadline: at the end, unless the time to wait has been made shorter. */
static void wait_in_order(struct cw_pipeline *p, struct submission *sub)
{
	struct cw_list *before = p->waiting.prev;

	while (before != &p->waiting && cw_list_entry(before, struct submission, link)->deadline_us > sub->deadline_us)
		before = before->prev;
	cw_list_prepend(before, &sub->link);
	if (before == &p->waiting)
		set_deadline(p);
}

static struct submission *submission_new(size_t n)
{
	struct submission *sub = cw_alloc(sizeof(*sub) + n * sizeof(sub->slots[0]));

	cw_list_init(&sub->link);
	sub->nslots = sub->open = n;
	sub->outcomes = cw_zalloc(n * sizeof(*sub->outcomes));
	return sub;
}

uint64_t cw_pipeline_submit(struct cw_pipeline *pipeline, const struct cw_tx_in *txs, size_t n,
                            const struct cw_origin *origin, cw_outcomes_fn *fn, void *arg, struct cw_err *err)
{
	struct cw_pipeline *p = CW_CAST(pipeline, PIPELINE_MAGIC);
	const struct cw_source *source = origin != NULL ? origin->source : NULL;
	size_t slots = n + (source != NULL && source->name != NULL && source->cursor != NULL);
	struct submission *sub;

	if (slots == 0)
		return cw_err_set(err, CW_ERR_INVALID, "there is no transaction to take"), 0u;
	if (slots > p->conf.queue_limit)
		return cw_err_set(err, CW_ERR_INVALID, "%zu transactions at once are more than the queue holds (%u)", n,
		                  p->conf.queue_limit), 0u;
	if (slots > cw_pipeline_room(p)) {
		p->stats.refused++;
		return cw_err_set(err, CW_ERR_BUSY, p->draining ? "the engine is stopping" : "the queue is full"), 0u;
	}
	/* As long as something is there that is tried again: else this one finds out. Sources wait in their queues. */
	if (p->stream.full && p->load > 0 && source == NULL) {
		p->stats.refused++;
		*err = full_err;
		return 0;
	}
	sub = submission_new(slots);
	sub->n = n;
	sub->id = ++p->last_id;
	sub->fn = fn;
	sub->arg = arg;
	sub->deadline_us = cw_clock_mono_us() + p->conf.wait_ms * 1000;
	wait_in_order(p, sub);
	for (size_t i = 0; i < slots; i++) {
		sub->slots[i].owner = sub;
		cw_list_init(&sub->slots[i].link);
		if (i < n)
			admit(p, &sub->slots[i], &txs[i], origin);
		else
			admit_cursor(p, &sub->slots[i], source);
	}
	cw_commit_kick(p);
	return sub->id;
}

static struct submission *find(struct cw_list *list, uint64_t id)
{
	struct cw_list *link, *tmp;

	cw_list_each(link, tmp, list) {
		struct submission *sub = cw_list_entry(link, struct submission, link);

		if (sub->id == id)
			return sub;
	}
	return NULL;
}

/* Clients that leave are few beside those that stay, so a walk will do. */
void cw_pipeline_cancel(struct cw_pipeline *pipeline, uint64_t submission)
{
	struct cw_pipeline *p = CW_CAST(pipeline, PIPELINE_MAGIC);
	struct submission *sub = find(&p->waiting, submission);

	if (sub == NULL)
		sub = find(&p->answers, submission);
	if (sub != NULL)
		submission_free(p, sub);
}

uint32_t cw_pipeline_room(const struct cw_pipeline *pipeline)
{
	if (pipeline->draining || pipeline->load >= pipeline->conf.queue_limit)
		return 0;
	return pipeline->conf.queue_limit - pipeline->load;
}

void cw_pipeline_drain(struct cw_pipeline *pipeline, void (*fn)(void *arg), void *arg)
{
	struct cw_pipeline *p = CW_CAST(pipeline, PIPELINE_MAGIC);

	p->draining = true;
	p->drained = fn;
	p->drained_arg = arg;
	tell_if_drained(p);
}

void cw_admit_init(struct cw_pipeline *p)
{
	p->in_flight = cw_map_new();
	p->recent = cw_recent_new(p->conf.recent_hashes);
	cw_list_init(&p->queue);
	cw_list_init(&p->waiting);
	cw_list_init(&p->answers);
	cw_list_init(&p->status_writes);
	p->deadline = cw_timer_new(p->loop, on_deadline, p);
}

void cw_admit_release(struct cw_pipeline *p)
{
	size_t at = 0;
	struct item *item;

	p->draining = true;
	p->drained = NULL;
	cw_rules_forget_writes(p);
	while (!cw_list_empty(&p->waiting))
		submission_give_up(p, cw_list_entry(p->waiting.next, struct submission, link), &stopped_err);
	cw_admit_answer(p);
	cw_loop_undefer(p->loop, tell_drained, p);
	while ((item = cw_map_next(p->in_flight, &at, NULL, NULL)) != NULL)
		cw_item_unref(&item);
	cw_map_free(&p->in_flight);
	cw_recent_free(&p->recent);
	cw_timer_free(&p->deadline);
}
