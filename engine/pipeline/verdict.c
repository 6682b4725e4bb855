#include "pipeline/verdict.h"

#include <math.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/utf8.h"

/* On the wire: a head, then items until END. Item sizes include their own header and are multiples of 8; text ends in
 * a NUL that its length does not count. Nothing is patched afterwards, so writing needs no memory of where it began. */
#define HEAD_MAGIC 0x31767763u   /* "cwv1" */
#define FEATURES_DEPTH 16u

enum { ITEM_END = 1, ITEM_ALERT, ITEM_FAULT, ITEM_NOTE };

struct head {
	uint32_t magic, zero;
	uint64_t seq;
};

struct item {
	uint32_t kind, size;
};

struct alert_item {
	struct item item;
	uint32_t rule, flags, severity;
	uint32_t dedup_len, features_len, explanation_len;
	double score, confidence;
	uint64_t founder;
	uint32_t occurrences, role;
	uint32_t labels_len, hidden_len;
	struct cw_address entity;
	uint32_t zero;
};

struct fault_item {
	struct item item;
	uint32_t rule, kind, message_len, zero;
};

struct note_item {
	struct item item;
	uint32_t len, zero;
};

static const char *const severities[] = { "low", "medium", "high", "critical" };
static const char *const roles[] = { "unknown", "actor", "victim", "counterparty" };
static const char *const fault_kinds[] = { "unknown", "error", "ticks", "time", "memory", "stack" };
static const char cut_features[] = "{\"truncated\":true}";

const char *cw_severity_name(enum cw_severity severity)
{
	return (unsigned)severity <= CW_SEVERITY_CRITICAL ? severities[severity] : "unknown";
}

bool cw_severity_parse(const char *text, enum cw_severity *out)
{
	for (unsigned i = 0; i <= CW_SEVERITY_CRITICAL; i++)
		if (strcmp(text, severities[i]) == 0) {
			*out = (enum cw_severity)i;
			return true;
		}
	return false;
}

const char *cw_alert_role_name(enum cw_alert_role role)
{
	return roles[(unsigned)role <= CW_ALERT_COUNTERPARTY ? (unsigned)role : 0];
}

bool cw_alert_role_parse(const char *text, enum cw_alert_role *out)
{
	for (unsigned i = 0; i <= CW_ALERT_COUNTERPARTY; i++)
		if (strcmp(text, roles[i]) == 0) {
			*out = (enum cw_alert_role)i;
			return true;
		}
	return false;
}

const char *cw_rule_fault_name(enum cw_rule_fault_kind kind)
{
	return fault_kinds[(unsigned)kind <= CW_FAULT_STACK ? (unsigned)kind : 0];
}

/* Whether `text` has `len` bytes of UTF-8 without NUL, and a NUL behind them. */
static bool is_text(const char *text, size_t len)
{
	return memchr(text, '\0', len + 1) == text + len && cw_utf8_check(text, len) == len;
}

/* Appends text and NUL; returns the length without it. */
static uint32_t put_text(struct cw_buf *out, const char *text, size_t max)
{
	size_t start = out->len, left;

	if (text == NULL)
		text = "";
	left = strlen(text);
	while (left > 0) {
		size_t n = cw_utf8_sequence(text, left), put = n > 0 ? n : 3;

		if (out->len - start + put > max)
			break;
		cw_buf_add(out, n > 0 ? text : "\xef\xbf\xbd", put);
		n = n > 0 ? n : 1;
		text += n;
		left -= n;
	}
	cw_buf_putc(out, '\0');
	return (uint32_t)(out->len - start - 1);
}

/* Pads the item that began at `start` and returns its size. */
static uint32_t pad_item(struct cw_buf *out, size_t start)
{
	while ((out->len - start) % 8 != 0)
		cw_buf_putc(out, '\0');
	return (uint32_t)(out->len - start);
}

static double unit(double x)
{
	return x > 0 ? fmin(x, 1) : 0;   /* NaN gives 0 */
}

void cw_verdict_begin(struct cw_buf *out, uint64_t seq)
{
	struct head head = { .magic = HEAD_MAGIC, .seq = seq };

	cw_buf_add(out, &head, sizeof(head));
}

void cw_verdict_alert(struct cw_buf *out, const struct cw_alert *alert)
{
	const char *features = alert->features != NULL ? alert->features : "{}";
	const char *labels = alert->labels != NULL ? alert->labels : "[]";
	struct alert_item a = {
		.item = { .kind = ITEM_ALERT },
		.rule = alert->rule,
		.flags = alert->flags,
		.severity = (uint32_t)alert->severity,
		.score = unit(alert->score),
		.confidence = unit(alert->confidence),
		.founder = alert->founder,
		.occurrences = alert->occurrences,
		.role = (uint32_t)alert->role,
		.entity = alert->entity,
	};
	size_t start = out->len;

	if (strlen(features) > CW_VERDICT_FEATURES_MAX)
		features = cut_features;
	if (strlen(labels) > CW_VERDICT_LABELS_MAX)
		labels = "[]";
	cw_buf_add(out, &a, sizeof(a));
	a.dedup_len = put_text(out, alert->dedup, CW_VERDICT_DEDUP_MAX);
	/* Replacement characters may make it longer than it came in, hence no limit here. */
	a.features_len = put_text(out, features, SIZE_MAX);
	a.explanation_len = put_text(out, alert->explanation, CW_VERDICT_EXPLANATION_MAX);
	a.labels_len = put_text(out, labels, SIZE_MAX);
	a.hidden_len = put_text(out, alert->hidden_by, CW_VERDICT_LIST_MAX);
	a.item.size = pad_item(out, start);
	memcpy(out->data + start, &a, sizeof(a));
}

void cw_verdict_fault(struct cw_buf *out, const struct cw_rule_fault *fault)
{
	struct fault_item f = {
		.item = { .kind = ITEM_FAULT },
		.rule = fault->rule,
		.kind = (uint32_t)fault->kind,
	};
	size_t start = out->len;

	cw_buf_add(out, &f, sizeof(f));
	f.message_len = put_text(out, fault->message, CW_VERDICT_MESSAGE_MAX);
	f.item.size = pad_item(out, start);
	memcpy(out->data + start, &f, sizeof(f));
}

void cw_verdict_note(struct cw_buf *out, const char *json)
{
	struct note_item n = { .item = { .kind = ITEM_NOTE } };
	size_t start = out->len;

	if (strlen(json) > CW_VERDICT_NOTE_MAX)
		return;
	cw_buf_add(out, &n, sizeof(n));
	n.len = put_text(out, json, SIZE_MAX);
	n.item.size = pad_item(out, start);
	memcpy(out->data + start, &n, sizeof(n));
}

void cw_verdict_end(struct cw_buf *out)
{
	struct item end = { .kind = ITEM_END, .size = sizeof(end) };

	cw_buf_add(out, &end, sizeof(end));
}

void cw_verdict_shrink(struct cw_buf *out)
{
	const size_t room = CW_VERDICT_MAX - sizeof(struct item);
	struct cw_buf small = CW_BUF_INIT;
	struct item item;

	if (out->len <= CW_VERDICT_MAX)
		return;
	cw_buf_add(&small, out->data, sizeof(struct head));
	for (size_t at = sizeof(struct head); at + sizeof(item) <= out->len; at += item.size) {
		size_t before = small.len;

		memcpy(&item, out->data + at, sizeof(item));
		if (item.kind == ITEM_END)
			break;
		if (item.kind == ITEM_NOTE)
			continue;
		if (item.kind == ITEM_ALERT) {
			const char *text = out->data + at + sizeof(struct alert_item);
			struct alert_item a;

			memcpy(&a, out->data + at, sizeof(a));
			cw_verdict_alert(&small, &(struct cw_alert){
				.rule = a.rule, .flags = a.flags, .severity = (enum cw_severity)a.severity,
				.score = a.score, .confidence = a.confidence, .dedup = text, .features = cut_features,
				.founder = a.founder, .occurrences = a.occurrences, .role = (enum cw_alert_role)a.role, .entity = a.entity,
				.explanation = text + a.dedup_len + 1 + a.features_len + 1,
				.labels = text + a.dedup_len + 1 + a.features_len + 1 + a.explanation_len + 1,
				.hidden_by = text + a.dedup_len + 1 + a.features_len + 1 + a.explanation_len + 1 + a.labels_len + 1 });
		} else {
			cw_buf_add(&small, out->data + at, item.size);
		}
		if (small.len > room) {
			small.len = before;
			break;
		}
	}
	cw_verdict_end(&small);
	cw_buf_release(out);
	*out = small;
}

static int nonsense(struct cw_err *err, const char *what, size_t at)
{
	return cw_err_set(err, CW_ERR_INTERNAL, "cannot read verdict: %s at byte %zu", what, at);
}

/* First pass: the frame. Counts the items and finds the end. */
static int walk(struct cw_verdict *v, const char *bytes, size_t len, size_t *consumed, struct cw_err *err)
{
	size_t at = sizeof(struct head);
	struct head head;
	struct item item;

	if (len < sizeof(head))
		return nonsense(err, "too short", len);
	memcpy(&head, bytes, sizeof(head));
	if (head.magic != HEAD_MAGIC || head.zero != 0)
		return nonsense(err, "no head", 0);
	*v = (struct cw_verdict){ .seq = head.seq };
	if (len > CW_VERDICT_MAX)
		len = CW_VERDICT_MAX;
	for (;; at += item.size) {
		if (len - at < sizeof(item))
			return nonsense(err, "no end", at);
		memcpy(&item, bytes + at, sizeof(item));
		if (item.size > len - at || item.size % 8 != 0)
			return nonsense(err, "bad item size", at);
		if (item.kind == ITEM_END && item.size == sizeof(item))
			break;
		if (item.kind == ITEM_ALERT && item.size > sizeof(struct alert_item))
			v->nalerts++;
		else if (item.kind == ITEM_FAULT && item.size > sizeof(struct fault_item))
			v->nfaults++;
		else if (item.kind == ITEM_NOTE && item.size > sizeof(struct note_item))
			continue;
		else
			return nonsense(err, "bad item", at);
	}
	*consumed = at + sizeof(item);
	return 0;
}

/* Takes one text of `len` bytes off the front of the item's rest. */
static const char *take_text(const char **rest, size_t *left, size_t len, size_t max, struct cw_arena *arena)
{
	const char *text = *rest;

	if (len > max || len >= *left || !is_text(text, len))
		return NULL;
	*rest += len + 1;
	*left -= len + 1;
	return cw_arena_strndup(arena, text, len);
}

static bool is_object(const char *text, struct cw_arena *arena)
{
	struct cw_json_error error;
	const struct cw_json *value;

	if (strcmp(text, "{}") == 0 || strcmp(text, cut_features) == 0)
		return true;
	value = cw_json_parse(text, strlen(text), FEATURES_DEPTH, arena, &error);
	return value != NULL && value->type == CW_JSON_OBJECT;
}

static bool is_name(const struct cw_json *object, const char *key)
{
	const struct cw_json *value = cw_json_get(object, key);

	return value != NULL && value->type == CW_JSON_STRING;
}

static bool is_count(const struct cw_json *object, const char *key)
{
	const struct cw_json *value = cw_json_get(object, key);
	int64_t number;

	return value != NULL && cw_json_to_i64(value, &number) && number >= 0;
}

/* What the store makes rows of. */
static bool are_labels(const char *text, struct cw_arena *arena)
{
	struct cw_json_error error;
	const struct cw_json *list;

	if (strcmp(text, "[]") == 0)
		return true;
	list = cw_json_parse(text, strlen(text), 4, arena, &error);
	if (list == NULL || list->type != CW_JSON_ARRAY)
		return false;
	for (const struct cw_json *l = list->first; l != NULL; l = l->next) {
		const struct cw_json *address = cw_json_get(l, "address"), *use = cw_json_get(l, "use");
		const struct cw_json *sure = cw_json_get(l, "confidence");
		struct cw_address parsed;

		if (!is_name(l, "list") || !is_name(l, "file") || !is_name(l, "category") || !is_name(l, "name") ||
		    !is_name(l, "source") || !is_count(l, "version") || !is_count(l, "chain") || address == NULL ||
		    address->type != CW_JSON_STRING || cw_address_parse(&parsed, address->text, address->len) != CW_ADDRESS_OK ||
		    use == NULL || use->type != CW_JSON_STRING || sure == NULL || sure->type != CW_JSON_NUMBER ||
		    (strcmp(use->text, "evidence") != 0 && strcmp(use->text, "suppression") != 0))
			return false;
	}
	return true;
}

static bool in_unit(double x)
{
	return x >= 0 && x <= 1;
}

static int read_alert(struct cw_alert *out, const char *bytes, size_t at, uint64_t seq, struct cw_arena *arena,
                      struct cw_err *err)
{
	const char *rest = bytes + at + sizeof(struct alert_item);
	struct alert_item a;
	size_t left;

	memcpy(&a, bytes + at, sizeof(a));
	left = a.item.size - sizeof(a);
	if (a.rule >= CW_RULES_MAX)
		return nonsense(err, "rule index out of range", at);
	if (a.severity > CW_SEVERITY_CRITICAL || (a.flags & ~(uint32_t)(CW_ALERT_SHADOW | CW_ALERT_ROSE | CW_ALERT_HAS_ENTITY)) != 0)
		return nonsense(err, "bad severity or flags", at);
	if (a.role > CW_ALERT_COUNTERPARTY)
		return nonsense(err, "bad role", at);
	if (a.founder > seq)
		return nonsense(err, "alert founded by a later transaction", at);
	if (!in_unit(a.score) || !in_unit(a.confidence))
		return nonsense(err, "score or confidence out of range", at);
	*out = (struct cw_alert){
		.rule = a.rule,
		.flags = a.flags,
		.severity = (enum cw_severity)a.severity,
		.score = a.score,
		.confidence = a.confidence,
		.founder = a.founder != 0 ? a.founder : seq,
		.occurrences = a.occurrences > 0 ? a.occurrences : 1,
		.role = (enum cw_alert_role)a.role,
		.entity = a.entity,
		.dedup = take_text(&rest, &left, a.dedup_len, CW_VERDICT_DEDUP_MAX, arena),
	};
	if (out->dedup == NULL)
		return nonsense(err, "bad dedup", at);
	out->features = take_text(&rest, &left, a.features_len, 3 * CW_VERDICT_FEATURES_MAX, arena);
	if (out->features == NULL || !is_object(out->features, arena))
		return nonsense(err, "bad features", at);
	out->explanation = take_text(&rest, &left, a.explanation_len, CW_VERDICT_EXPLANATION_MAX, arena);
	if (out->explanation == NULL)
		return nonsense(err, "bad explanation", at);
	out->labels = take_text(&rest, &left, a.labels_len, 3 * CW_VERDICT_LABELS_MAX, arena);
	if (out->labels == NULL || !are_labels(out->labels, arena))
		return nonsense(err, "bad labels", at);
	out->hidden_by = take_text(&rest, &left, a.hidden_len, CW_VERDICT_LIST_MAX, arena);
	if (out->hidden_by == NULL || left >= 8)
		return nonsense(err, "bad list", at);
	return 0;
}

static int read_fault(struct cw_rule_fault *out, const char *bytes, size_t at, struct cw_arena *arena,
                      struct cw_err *err)
{
	const char *rest = bytes + at + sizeof(struct fault_item);
	struct fault_item f;
	size_t left;

	memcpy(&f, bytes + at, sizeof(f));
	left = f.item.size - sizeof(f);
	if (f.rule >= CW_RULES_MAX)
		return nonsense(err, "rule index out of range", at);
	if (f.kind < CW_FAULT_ERROR || f.kind > CW_FAULT_STACK)
		return nonsense(err, "bad fault", at);
	*out = (struct cw_rule_fault){
		.rule = f.rule,
		.kind = (enum cw_rule_fault_kind)f.kind,
		.message = take_text(&rest, &left, f.message_len, CW_VERDICT_MESSAGE_MAX, arena),
	};
	if (out->message == NULL || left >= 8)
		return nonsense(err, "bad message", at);
	return 0;
}

static int read_note(struct cw_verdict *v, const char *bytes, size_t at, struct cw_arena *arena, struct cw_err *err)
{
	const char *rest = bytes + at + sizeof(struct note_item);
	struct note_item n;
	size_t left;

	memcpy(&n, bytes + at, sizeof(n));
	left = n.item.size - sizeof(n);
	v->note = take_text(&rest, &left, n.len, 3 * CW_VERDICT_NOTE_MAX, arena);
	return v->note != NULL && is_object(v->note, arena) ? 0 : nonsense(err, "bad note", at);
}

static void add_score(struct cw_verdict *v, const struct cw_alert *alert)
{
	if ((alert->flags & CW_ALERT_SHADOW) != 0 || alert->score < v->score)
		return;
	if (alert->score > v->score || alert->confidence > v->confidence)
		v->confidence = alert->confidence;
	v->score = alert->score;
}

int cw_verdict_read(struct cw_verdict *v, const void *bytes, size_t len, size_t *consumed, struct cw_arena *arena,
                    struct cw_err *err)
{
	uint32_t nalerts = 0, nfaults = 0;
	struct item item;

	if (walk(v, bytes, len, consumed, err) != 0)
		return -1;
	if (v->nalerts > 0)
		v->alerts = cw_arena_zalloc(arena, v->nalerts * sizeof(*v->alerts));
	if (v->nfaults > 0)
		v->faults = cw_arena_zalloc(arena, v->nfaults * sizeof(*v->faults));
	for (size_t at = sizeof(struct head); at + sizeof(item) < *consumed; at += item.size) {
		memcpy(&item, (const char *)bytes + at, sizeof(item));
		if (item.kind == ITEM_NOTE) {
			if (read_note(v, bytes, at, arena, err) != 0)
				return -1;
			continue;
		}
		if (item.kind == ITEM_FAULT) {
			if (read_fault(&v->faults[nfaults++], bytes, at, arena, err) != 0)
				return -1;
			continue;
		}
		if (read_alert(&v->alerts[nalerts], bytes, at, v->seq, arena, err) != 0)
			return -1;
		add_score(v, &v->alerts[nalerts++]);
	}
	return 0;
}
