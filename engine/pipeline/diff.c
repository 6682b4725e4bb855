#include "pipeline/diff.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"

static int by_seq(const void *a, const void *b)
{
	const struct cw_diff_alert *x = a, *y = b;

	if (x->seq != y->seq)
		return x->seq < y->seq ? -1 : 1;
	return (int)x->candidate - (int)y->candidate;
}

/* --- by entity --- */

struct entity {
	const char *name;
	size_t live, candidate, added, removed;
};

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct entity *)a)->name, ((const struct entity *)b)->name);
}

static int by_difference(const void *a, const void *b)
{
	const struct entity *x = a, *y = b;
	size_t dx = x->added + x->removed, dy = y->added + y->removed;

	if (dx != dy)
		return dx > dy ? -1 : 1;
	return strcmp(x->name, y->name);
}

static void put_entities(struct entity *list, size_t n, size_t listed, struct cw_buf *out)
{
	size_t kept = 0;

	qsort(list, n, sizeof(*list), by_name);
	for (size_t i = 0; i < n; i++) {
		if (kept > 0 && strcmp(list[kept - 1].name, list[i].name) == 0) {
			list[kept - 1].live += list[i].live;
			list[kept - 1].candidate += list[i].candidate;
			list[kept - 1].added += list[i].added;
			list[kept - 1].removed += list[i].removed;
		} else {
			list[kept++] = list[i];
		}
	}
	qsort(list, kept, sizeof(*list), by_difference);
	cw_buf_puts(out, ",\"entities\":[");
	for (size_t i = 0; i < kept && i < listed; i++) {
		cw_buf_puts(out, i > 0 ? ",{\"entity\":" : "{\"entity\":");
		cw_json_put_cstring(out, list[i].name);
		cw_buf_printf(out, ",\"live\":%zu,\"candidate\":%zu,\"added\":%zu,\"removed\":%zu}", list[i].live,
		              list[i].candidate, list[i].added, list[i].removed);
	}
	cw_buf_putc(out, ']');
}

/* --- one by one --- */

/* Alone with its transaction: the other version has none there. */
static bool is_alone(const struct cw_diff_alert *alerts, size_t n, size_t i)
{
	for (size_t k = i; k-- > 0 && alerts[k].seq == alerts[i].seq;)
		if (alerts[k].candidate != alerts[i].candidate)
			return false;
	for (size_t k = i + 1; k < n && alerts[k].seq == alerts[i].seq; k++)
		if (alerts[k].candidate != alerts[i].candidate)
			return false;
	return true;
}

static void put_alerts(const struct cw_diff_alert *alerts, size_t n, bool candidate, size_t listed, struct cw_buf *out)
{
	size_t put = 0;

	for (size_t i = 0; i < n && put < listed; i++) {
		if (alerts[i].candidate != candidate || !is_alone(alerts, n, i))
			continue;
		cw_buf_puts(out, put++ > 0 ? ",{\"hash\":" : "{\"hash\":");
		cw_json_put_cstring(out, alerts[i].hash);
		cw_buf_puts(out, ",\"entity\":");
		cw_json_put_cstring(out, alerts[i].entity);
		cw_buf_puts(out, ",\"severity\":");
		cw_json_put_cstring(out, alerts[i].severity);
		cw_buf_puts(out, ",\"score\":");
		cw_json_put_double(out, alerts[i].score);
		cw_buf_puts(out, ",\"explanation\":");
		cw_json_put_cstring(out, alerts[i].explanation);
		cw_buf_putc(out, '}');
	}
}

struct cw_diff_counts cw_diff_alerts(struct cw_diff_alert *alerts, size_t n, size_t listed, struct cw_buf *out)
{
	struct entity *entities = cw_zalloc((n + 1) * sizeof(*entities));
	struct cw_diff_counts c = { 0 };

	qsort(alerts, n, sizeof(*alerts), by_seq);
	for (size_t i = 0; i < n; i++) {
		const struct cw_diff_alert *a = &alerts[i];
		bool alone = is_alone(alerts, n, i);

		c.live += !a->candidate;
		c.candidate += a->candidate;
		c.added += a->candidate && alone;
		c.removed += !a->candidate && alone;
		c.common += a->candidate && !alone;
		c.severity_changed += a->candidate && !alone && i > 0 && alerts[i - 1].seq == a->seq &&
		                      !alerts[i - 1].candidate && strcmp(alerts[i - 1].severity, a->severity) != 0;
		entities[i] = (struct entity){ .name = a->entity, .live = !a->candidate, .candidate = a->candidate,
			                           .added = a->candidate && alone, .removed = !a->candidate && alone };
	}
	cw_buf_printf(out, "\"live\":%zu,\"candidate\":%zu,\"common\":%zu,\"added\":%zu,\"removed\":%zu,"
	              "\"severity_changed\":%zu", c.live, c.candidate, c.common, c.added, c.removed, c.severity_changed);
	put_entities(entities, n, listed, out);
	cw_buf_puts(out, ",\"alerts\":{\"added\":[");
	put_alerts(alerts, n, true, listed, out);
	cw_buf_puts(out, "],\"removed\":[");
	put_alerts(alerts, n, false, listed, out);
	cw_buf_puts(out, "]}");
	cw_free(entities);
	return c;
}
