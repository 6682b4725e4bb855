#include "app/tally.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/map.h"
#include "base/mem.h"

#define INCIDENTS_MAX 50000
#define FIRST_BUCKET_S 60

struct entity { char rule[65], dedup[CW_VERDICT_DEDUP_MAX + 1]; uint64_t fires, alerts; };
struct incident { char label[32]; bool hit; };

void cw_tally_init(struct cw_tally *t)
{
	*t = (struct cw_tally){ .bucket_s = FIRST_BUCKET_S };
	t->entities = cw_map_new();
	t->incidents = cw_map_new();
}

static void free_values(struct cw_map **map)
{
	const void *key;
	size_t at = 0, len;
	void *value;

	while (*map != NULL && (value = cw_map_next(*map, &at, &key, &len)) != NULL)
		cw_free(value);
	if (*map != NULL)
		cw_map_free(map);
}

void cw_tally_release(struct cw_tally *t)
{
	free_values(&t->entities);
	free_values(&t->incidents);
	cw_free(t->rules);
	t->rules = NULL;
}

void cw_tally_rules(struct cw_tally *t, const char *report_json)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_json_error fault;
	const struct cw_json *json = cw_json_parse(report_json, strlen(report_json), CW_JSON_DEPTH_DEFAULT, arena, &fault);
	const struct cw_json *rules = json != NULL ? cw_json_get(json, "rules") : NULL;
	int n = 0;

	for (const struct cw_json *r = rules != NULL ? rules->first : NULL; r != NULL; r = r->next)
		n++;
	if (t->rules == NULL) {
		t->rules = cw_zalloc((size_t)(n > 0 ? n : 1) * sizeof(*t->rules));
		t->nrules = n;
	}
	if (n == t->nrules && n > 0) {       /* again after an interruption: names only, the counts stay */
		n = 0;
		for (const struct cw_json *r = rules->first; r != NULL; r = r->next, n++) {
			const struct cw_json *id = cw_json_get(r, "id"), *version = cw_json_get(r, "version");

			snprintf(t->rules[n].id, sizeof(t->rules[n].id), "%s", id != NULL && id->text != NULL ? id->text : "");
			snprintf(t->rules[n].version, sizeof(t->rules[n].version), "%s",
			         version != NULL && version->text != NULL ? version->text : "");
		}
	}
	cw_arena_free(&arena);
}

void cw_tally_transaction(struct cw_tally *t, int64_t time_s)
{
	t->transactions++;
	if (t->first_s == 0 || time_s < t->first_s)
		t->first_s = time_s;
	if (time_s > t->last_s)
		t->last_s = time_s;
}

/* Two buckets become one. */
static void widen(struct cw_tally *t)
{
	int64_t begin = t->bucket_at - ((t->bucket_at % (2 * t->bucket_s)) + 2 * t->bucket_s) % (2 * t->bucket_s);
	int shift = begin != t->bucket_at;
	uint64_t merged[CW_TALLY_BUCKETS] = { 0 };

	for (int i = 0; i < CW_TALLY_BUCKETS; i++)
		merged[(i + shift) / 2] += t->bucket[i];
	memcpy(t->bucket, merged, sizeof(merged));
	t->bucket_at = begin;
	t->bucket_s *= 2;
}

static void count_time(struct cw_tally *t, int64_t time_s)
{
	if (t->alerts == 0)
		t->bucket_at = time_s - time_s % t->bucket_s;
	while (time_s < t->bucket_at || time_s - t->bucket_at >= CW_TALLY_BUCKETS * t->bucket_s) {
		if (time_s < t->bucket_at && t->bucket_at - time_s < t->bucket_s * CW_TALLY_BUCKETS / 2 &&
		    t->bucket[CW_TALLY_BUCKETS - 1] == 0) {      /* late events: move instead, where there is room */
			memmove(t->bucket + 1, t->bucket, (CW_TALLY_BUCKETS - 1) * sizeof(t->bucket[0]));
			t->bucket[0] = 0;
			t->bucket_at -= t->bucket_s;
		} else {
			widen(t);
		}
	}
	t->bucket[(time_s - t->bucket_at) / t->bucket_s]++;
}

static size_t make_key(char *out, size_t size, const char *a, const char *b)
{
	int n = snprintf(out, size, "%s%c%s", a, 1, b);

	return n < 0 ? 0 : (size_t)n < size ? (size_t)n : size - 1;
}

static void count_entity(struct cw_tally *t, const struct cw_tally_fire *fire)
{
	const char *rule = fire->rule >= 0 && fire->rule < t->nrules ? t->rules[fire->rule].id : "";
	char key[65 + CW_VERDICT_DEDUP_MAX + 2];
	size_t len = make_key(key, sizeof(key), rule, fire->dedup);
	struct entity *e = cw_map_get(t->entities, key, len);

	if (e == NULL && cw_map_count(t->entities) >= CW_TALLY_ENTITIES) {
		t->other_entities += fire->founds;
		return;
	}
	if (e == NULL) {
		e = cw_zalloc(sizeof(*e));
		snprintf(e->rule, sizeof(e->rule), "%s", rule);
		snprintf(e->dedup, sizeof(e->dedup), "%s", fire->dedup);
		cw_map_put(t->entities, key, len, e);
	}
	e->fires++;
	e->alerts += fire->founds;
}

static struct incident *incident_of(struct cw_tally *t, const char *label, uint64_t number)
{
	char key[64], text[24];
	size_t len;
	struct incident *i;

	snprintf(text, sizeof(text), "%" PRIu64, number);
	len = make_key(key, sizeof(key), label, text);
	i = cw_map_get(t->incidents, key, len);
	if (i != NULL || number == 0)
		return i;
	if (cw_map_count(t->incidents) >= INCIDENTS_MAX) {
		t->incidents_lost++;
		return NULL;
	}
	i = cw_zalloc(sizeof(*i));
	snprintf(i->label, sizeof(i->label), "%s", label);
	cw_map_put(t->incidents, key, len, i);
	return i;
}

void cw_tally_label(struct cw_tally *t, const char *label, uint64_t incident)
{
	if (label[0] == '\0')
		return;
	t->labelled_records++;
	(void)incident_of(t, label, incident);
}

void cw_tally_fire(struct cw_tally *t, const struct cw_tally_fire *fire)
{
	struct cw_tally_rule *rule = fire->rule >= 0 && fire->rule < t->nrules ? &t->rules[fire->rule] : NULL;
	struct incident *incident;

	if (fire->founds)
		count_time(t, fire->time_s);
	t->fires++;
	t->shadow += fire->shadow;
	if (fire->founds) {
		t->alerts++;
		t->severity[fire->severity]++;
	}
	if (rule != NULL) {
		rule->fires++;
		rule->alerts += fire->founds;
		rule->reviewed += fire->review != 0;
		rule->false_positives += fire->review == 2;
	}
	count_entity(t, fire);
	t->reviewed += fire->review != 0;
	t->false_positives += fire->review == 2;
	t->address_hits += fire->labelled_address && fire->founds;
	if (fire->label[0] == '\0')
		return;
	t->record_hits += fire->founds;
	t->labelled_fires++;
	incident = incident_of(t, fire->label, fire->incident);
	if (incident != NULL)
		incident->hit = true;
}

/* --- telling --- */

static int compare_entities(const void *a, const void *b)
{
	const struct entity *x = *(struct entity *const *)a, *y = *(struct entity *const *)b;

	if (x->fires != y->fires)
		return x->fires < y->fires ? 1 : -1;
	return strcmp(x->dedup, y->dedup) != 0 ? strcmp(x->dedup, y->dedup) : strcmp(x->rule, y->rule);
}

static int top_entities(const struct cw_tally *t, struct entity ***out)
{
	size_t n = cw_map_count(t->entities), at = 0, len;
	/* NOLINTNEXTLINE(bugprone-sizeof-expression): an array of pointers */
	struct entity **list = cw_zalloc((n + 1) * sizeof(*list)), *e;
	const void *key;
	int count = 0;

	while ((e = cw_map_next(t->entities, &at, &key, &len)) != NULL)
		list[count++] = e;
	/* NOLINTNEXTLINE(bugprone-sizeof-expression) */
	qsort(list, (size_t)count, sizeof(*list), compare_entities);
	*out = list;
	return count < CW_TALLY_TOP ? count : CW_TALLY_TOP;
}

struct label_count { char label[32]; uint64_t incidents, hit; };

/* Incidents by label, sorted; at most `max`. */
static int count_labels(const struct cw_tally *t, struct label_count *out, int max)
{
	const struct incident *i;
	const void *key;
	size_t at = 0, len;
	int n = 0;

	while ((i = cw_map_next(t->incidents, &at, &key, &len)) != NULL) {
		int k = 0;

		while (k < n && strcmp(out[k].label, i->label) < 0)
			k++;
		if (k == n || strcmp(out[k].label, i->label) != 0) {
			if (n == max)
				continue;
			memmove(&out[k + 1], &out[k], (size_t)(n - k) * sizeof(*out));
			out[k] = (struct label_count){ .incidents = 0 };
			snprintf(out[k].label, sizeof(out[k].label), "%s", i->label);
			n++;
		}
		out[k].incidents++;
		out[k].hit += i->hit;
	}
	return n;
}

static double share(uint64_t part, uint64_t whole)
{
	return whole > 0 ? (double)part / (double)whole : 0;
}

static void put_time(struct cw_buf *out, int64_t time_s)
{
	time_t at = (time_t)time_s;
	struct tm tm;
	char text[32];

	gmtime_r(&at, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	cw_buf_puts(out, text);
}

static void put_entities_json(const struct cw_tally *t, struct cw_buf *out)
{
	struct entity **list;
	int n = top_entities(t, &list);

	cw_buf_puts(out, ",\"entities\":[");
	for (int i = 0; i < n; i++) {
		cw_buf_printf(out, "%s{\"rule\":", i > 0 ? "," : "");
		cw_json_put_cstring(out, list[i]->rule);
		cw_buf_puts(out, ",\"dedup\":");
		cw_json_put_cstring(out, list[i]->dedup);
		cw_buf_printf(out, ",\"alerts\":%" PRIu64 ",\"fires\":%" PRIu64 "}", list[i]->alerts, list[i]->fires);
	}
	cw_buf_printf(out, "],\"entities_total\":%zu", cw_map_count(t->entities));
	cw_free(list);
}

static void put_truth_json(const struct cw_tally *t, struct cw_buf *out)
{
	struct label_count labels[32];
	int n = count_labels(t, labels, 32);

	cw_buf_printf(out, ",\"reviews\":{\"reviewed\":%" PRIu64 ",\"false_positives\":%" PRIu64 ",\"precision\":", t->reviewed,
	              t->false_positives);
	if (t->reviewed > 0)
		cw_json_put_double(out, 1 - share(t->false_positives, t->reviewed));
	else
		cw_buf_puts(out, "null");
	cw_buf_printf(out, "},\"labels\":{\"addresses\":%" PRIu64 ",\"alerts_on_labelled\":%" PRIu64 ",\"precision\":",
	              t->labelled_addresses, t->address_hits);
	if (t->labelled_addresses > 0 && t->alerts > 0)
		cw_json_put_double(out, share(t->address_hits, t->alerts));
	else
		cw_buf_puts(out, "null");
	cw_buf_puts(out, "},\"incidents\":");
	if (t->labelled_records == 0) {
		cw_buf_puts(out, "null");
		return;
	}
	cw_buf_printf(out, "{\"labelled_transactions\":%" PRIu64 ",\"alerts_on_labelled\":%" PRIu64 ",\"precision\":",
	              t->labelled_records, t->record_hits);
	cw_json_put_double(out, share(t->record_hits, t->alerts));
	cw_buf_puts(out, ",\"by_label\":[");
	for (int i = 0; i < n; i++) {
		cw_buf_printf(out, "%s{\"label\":", i > 0 ? "," : "");
		cw_json_put_cstring(out, labels[i].label);
		cw_buf_printf(out, ",\"incidents\":%" PRIu64 ",\"found\":%" PRIu64 "}", labels[i].incidents, labels[i].hit);
	}
	cw_buf_puts(out, "]}");
}

void cw_tally_put_json(const struct cw_tally *t, struct cw_buf *out)
{
	const char *comma = "";

	cw_buf_printf(out, "\"transactions\":%" PRIu64 ",\"warmed_with\":%" PRIu64 ",\"alerts\":%" PRIu64 ",\"fires\":%" PRIu64
	              ",\"shadow_fires\":%" PRIu64 ",\"faults\":%" PRIu64, t->transactions, t->warmed, t->alerts, t->fires,
	              t->shadow, t->faults);
	cw_buf_puts(out, ",\"first\":");
	cw_buf_puts(out, t->first_s > 0 ? "\"" : "null");
	if (t->first_s > 0) {
		put_time(out, t->first_s);
		cw_buf_puts(out, "\",\"last\":\"");
		put_time(out, t->last_s);
		cw_buf_putc(out, '"');
	} else {
		cw_buf_puts(out, ",\"last\":null");
	}
	cw_buf_puts(out, ",\"by_severity\":{");
	for (int i = CW_SEVERITY_LOW; i <= CW_SEVERITY_CRITICAL; i++)
		cw_buf_printf(out, "%s\"%s\":%" PRIu64, i > 0 ? "," : "", cw_severity_name((enum cw_severity)i), t->severity[i]);
	cw_buf_printf(out, "},\"over_time\":{\"bucket_seconds\":%" PRId64 ",\"buckets\":[", t->bucket_s);
	for (int i = 0; i < CW_TALLY_BUCKETS; i++) {
		if (t->bucket[i] == 0)
			continue;
		cw_buf_printf(out, "%s[\"", comma);
		put_time(out, t->bucket_at + i * t->bucket_s);
		cw_buf_printf(out, "\",%" PRIu64 "]", t->bucket[i]);
		comma = ",";
	}
	cw_buf_puts(out, "]}");
	put_entities_json(t, out);
	put_truth_json(t, out);
}

static void put_bars(const struct cw_tally *t, struct cw_buf *out)
{
	int first = CW_TALLY_BUCKETS, last = -1, step;
	uint64_t most = 1;

	for (int i = 0; i < CW_TALLY_BUCKETS; i++)
		if (t->bucket[i] > 0) {
			first = i < first ? i : first;
			last = i;
		}
	if (last < 0)
		return;
	step = (last - first) / 24 + 1;
	for (int i = first; i <= last; i += step) {
		uint64_t n = 0;

		for (int k = i; k < i + step && k < CW_TALLY_BUCKETS; k++)
			n += t->bucket[k];
		most = n > most ? n : most;
	}
	cw_buf_printf(out, "\nover time (%" PRId64 " min a line)\n", step * t->bucket_s / 60);
	for (int i = first; i <= last; i += step) {
		uint64_t n = 0;

		for (int k = i; k < i + step && k < CW_TALLY_BUCKETS; k++)
			n += t->bucket[k];
		cw_buf_puts(out, "  ");
		put_time(out, t->bucket_at + i * t->bucket_s);
		cw_buf_printf(out, " %6" PRIu64 "  ", n);
		for (uint64_t k = 0; k < (40 * n + most - 1) / most; k++)
			cw_buf_putc(out, '#');
		cw_buf_putc(out, '\n');
	}
}

void cw_tally_put_text(const struct cw_tally *t, struct cw_buf *out)
{
	struct label_count labels[32];
	struct entity **list;
	int n;

	cw_buf_printf(out, "%" PRIu64 " transactions", t->transactions);
	if (t->first_s > 0) {
		cw_buf_puts(out, " from ");
		put_time(out, t->first_s);
		cw_buf_puts(out, " to ");
		put_time(out, t->last_s);
	}
	cw_buf_printf(out, ", after %" PRIu64 " of warm-up\n%" PRIu64 " alerts (%" PRIu64 " fires)", t->warmed, t->alerts,
	              t->fires);
	for (int i = CW_SEVERITY_CRITICAL; i >= CW_SEVERITY_LOW; i--)
		cw_buf_printf(out, "%s%" PRIu64 " %s", i == CW_SEVERITY_CRITICAL ? ": " : ", ", t->severity[i],
		              cw_severity_name((enum cw_severity)i));
	cw_buf_printf(out, "; %" PRIu64 " faults\n", t->faults);
	put_bars(t, out);
	n = top_entities(t, &list);
	if (n > 0)
		cw_buf_puts(out, "\nentities with the most fires\n");
	for (int i = 0; i < n && i < 10; i++)
		cw_buf_printf(out, "  %6" PRIu64 " fires %4" PRIu64 " alerts  %s  %s\n", list[i]->fires, list[i]->alerts, list[i]->rule,
		              list[i]->dedup[0] != '\0' ? list[i]->dedup : "(no dedup)");
	cw_free(list);
	if (t->reviewed > 0)
		cw_buf_printf(out, "\nagainst reviews: %" PRIu64 " fires reviewed, %" PRIu64 " false positives, precision %.2f\n",
		              t->reviewed, t->false_positives, 1 - share(t->false_positives, t->reviewed));
	if (t->labelled_addresses > 0)
		cw_buf_printf(out, "\nagainst labels: %" PRIu64 " of %" PRIu64 " alerts touch one of %" PRIu64 " labelled addresses\n",
		              t->address_hits, t->alerts, t->labelled_addresses);
	if (t->labelled_records == 0)
		return;
	cw_buf_printf(out, "\nagainst the labels of the records: %" PRIu64 " of %" PRIu64 " alerts on labelled transactions "
	              "(precision %.2f)\n", t->record_hits, t->alerts, share(t->record_hits, t->alerts));
	n = count_labels(t, labels, 32);
	for (int i = 0; i < n; i++)
		cw_buf_printf(out, "  %-24s %" PRIu64 " of %" PRIu64 " incidents found\n", labels[i].label, labels[i].hit,
		              labels[i].incidents);
}
