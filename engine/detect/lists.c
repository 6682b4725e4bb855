/* lists.c - address lists: read, sorted, hashed, looked up.
 *
 * Entries are sorted by address and stand together; an index of twice as many places finds the first of an address, and
 * knows enough of its hash to turn strangers away without looking at an entry.
 * Texts are kept once each: a million labels from one source name that source once. */
#include "detect/lists.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/map.h"
#include "base/mem.h"
#include "detect/lists_match.h"
#include "detect/primitive.h"

#define ENTRIES_MAX ((size_t)1 << 31)
#define COLUMNS_MAX 32

struct place {
	uint32_t row;                 /* the first of an address, + 1; 0: free */
	uint32_t print;               /* upper half of its hash */
};

struct cw_lists {
	uint64_t serial;              /* of this process; never used again, as an address is */
	struct cw_lists_row *rows;
	size_t n, cap;
	struct place *index;          /* NULL before cw_lists_seal */
	size_t mask;
	const char **texts;           /* texts[0] is "" */
	size_t ntexts, texts_cap;
	struct cw_map *numbers;       /* text -> its number + 1 */
	struct cw_lists_doc *docs;
	uint32_t ndocs;
	bool hides;                   /* one of them hides alerts */
};

struct cw_list_hits cw_list_hits;

static const struct cw_lists *current;

struct cw_lists *cw_lists_new(void)
{
	static uint64_t serial;
	struct cw_lists *lists = cw_zalloc(sizeof(*lists));

	lists->serial = ++serial;
	lists->numbers = cw_map_new();
	cw_lists_text_number(lists, "", true);
	return lists;
}

void cw_lists_free(struct cw_lists **lists)
{
	struct cw_lists *l = *lists;

	if (l == NULL)
		return;
	cw_assert(l != current);
	for (size_t i = 0; i < l->ntexts; i++)
		cw_free((void *)(uintptr_t)l->texts[i]);
	cw_map_free(&l->numbers);
	cw_free(l->texts);
	cw_free(l->docs);
	cw_free(l->rows);
	cw_free(l->index);
	cw_free(l);
	*lists = NULL;
}

uint64_t cw_lists_serial(const struct cw_lists *l)
{
	return l != NULL ? l->serial : 0;
}

uint32_t cw_lists_text_number(struct cw_lists *l, const char *text, bool make)
{
	size_t len = strlen(text);
	uintptr_t known = (uintptr_t)cw_map_get(l->numbers, text, len);

	if (known != 0)
		return (uint32_t)(known - 1);
	if (!make)
		return UINT32_MAX;
	if (l->ntexts == l->texts_cap) {
		l->texts_cap = l->texts_cap > 0 ? l->texts_cap * 2 : 64;
		l->texts = cw_realloc(l->texts, l->texts_cap * sizeof(*l->texts));
	}
	l->texts[l->ntexts] = cw_strdup(text);
	cw_map_put(l->numbers, text, len, (void *)(uintptr_t)(l->ntexts + 1));
	return (uint32_t)l->ntexts++;
}

const char *cw_lists_text(const struct cw_lists *l, uint32_t number)
{
	return number < l->ntexts ? l->texts[number] : "";
}

/* ---------------------------------------------------------------- building */

static uint32_t add_doc(struct cw_lists *l, const struct cw_lists_doc *doc)
{
	l->docs = cw_realloc(l->docs, (l->ndocs + 1) * sizeof(*l->docs));
	l->docs[l->ndocs] = *doc;
	l->hides = l->hides || doc->hides;
	return l->ndocs++;
}

const struct cw_lists_doc *cw_lists_doc(const struct cw_lists *l, const struct cw_lists_row *row)
{
	return &l->docs[row->doc];
}

bool cw_lists_hide(const struct cw_lists *l)
{
	return l->hides;
}

static int add_entry(struct cw_lists *l, const char *name, uint32_t doc, const struct cw_list_entry *e, struct cw_err *err)
{
	struct cw_lists_row *row;

	cw_assert(l->index == NULL);
	if (!(e->confidence >= 0 && e->confidence <= 1))
		return cw_err_set(err, CW_ERR_INVALID, "list \"%s\": confidence must be between 0 and 1", name);
	if (l->n >= ENTRIES_MAX)
		return cw_err_set(err, CW_ERR_INVALID, "list \"%s\": more than %zu entries", name, ENTRIES_MAX);
	if (l->n == l->cap) {
		l->cap = l->cap > 0 ? l->cap * 2 : 256;
		l->rows = cw_realloc(l->rows, l->cap * sizeof(*l->rows));
	}
	row = &l->rows[l->n];
	*row = (struct cw_lists_row){
		.address = e->address,
		.list = cw_lists_text_number(l, name, true),
		.category = cw_lists_text_number(l, e->category != NULL ? e->category : "", true),
		.label = cw_lists_text_number(l, e->label != NULL ? e->label : "", true),
		.source = cw_lists_text_number(l, e->source != NULL ? e->source : "", true),
		.order = (uint32_t)l->n++,
		.confidence = (float)e->confidence,
		.first_seen = e->first_seen,
		.last_seen = e->last_seen,
		.expires = e->expires,
		.doc = doc,
		.chain_id = e->chain_id,
	};
	return 0;
}

int cw_lists_add(struct cw_lists *l, const char *name, const struct cw_list_entry *e, struct cw_err *err)
{
	const struct cw_lists_doc fresh = { .list = cw_lists_text_number(l, name, true) };
	uint32_t doc = 0;

	while (doc < l->ndocs && l->docs[doc].list != fresh.list)
		doc++;
	if (doc == l->ndocs)
		add_doc(l, &fresh);
	return add_entry(l, name, doc, e, err);
}

/* Same addresses together, the surest entry first, then in order of arrival. */
static int compare_rows(const void *pa, const void *pb)
{
	const struct cw_lists_row *a = pa, *b = pb;
	int c = memcmp(a->address.b, b->address.b, sizeof(a->address.b));

	if (c != 0)
		return c;
	if (a->confidence != b->confidence)
		return a->confidence > b->confidence ? -1 : 1;
	return a->order < b->order ? -1 : a->order > b->order;
}

static uint64_t hash_of(const struct cw_address *address)
{
	return cw_hash64(address->b, sizeof(address->b), 0);
}

void cw_lists_seal(struct cw_lists *l)
{
	size_t places = 16;

	if (l->index != NULL)
		return;
	if (l->n > 0)
		qsort(l->rows, l->n, sizeof(*l->rows), compare_rows);
	while (places < 2 * l->n)
		places *= 2;
	l->mask = places - 1;
	l->index = cw_zalloc(places * sizeof(*l->index));
	for (size_t i = 0; i < l->n; i++) {
		uint64_t hash = hash_of(&l->rows[i].address);
		size_t at = hash & l->mask;

		if (i > 0 && memcmp(&l->rows[i].address, &l->rows[i - 1].address, sizeof(l->rows[i].address)) == 0)
			continue;
		while (l->index[at].row != 0)
			at = (at + 1) & l->mask;
		l->index[at] = (struct place){ .row = (uint32_t)i + 1, .print = (uint32_t)(hash >> 32) };
	}
}

/* ---------------------------------------------------------------- looking up */

const struct cw_lists_row *cw_lists_find(const struct cw_lists *l, const struct cw_address *address, size_t *n)
{
	const struct cw_lists_row *row, *end = l->rows + l->n;
	uint64_t hash = hash_of(address);

	*n = 0;
	if (l->index == NULL)
		return NULL;
	for (size_t at = hash & l->mask; l->index[at].row != 0; at = (at + 1) & l->mask) {
		row = &l->rows[l->index[at].row - 1];
		if (l->index[at].print != (uint32_t)(hash >> 32) || memcmp(&row->address, address, sizeof(*address)) != 0)
			continue;
		while (row + *n < end && memcmp(&row[*n].address, address, sizeof(*address)) == 0)
			(*n)++;
		return row;
	}
	return NULL;
}

bool cw_lists_know(const struct cw_lists *l, const struct cw_address *address)
{
	size_t n;

	return cw_lists_find(l, address, &n) != NULL;
}

void cw_lists_prefetch(const struct cw_lists *l, const struct cw_address *address)
{
	if (l->index != NULL)
		__builtin_prefetch(&l->index[hash_of(address) & l->mask]);
}

int cw_lists_next(const struct cw_lists *l, const struct cw_address *address, size_t *at, const char **list,
                  struct cw_list_entry *entry)
{
	size_t n;
	const struct cw_lists_row *row = cw_lists_find(l, address, &n);

	if (row == NULL || *at >= n)
		return 0;
	row += (*at)++;
	*list = cw_lists_text(l, row->list);
	*entry = (struct cw_list_entry){
		.address = row->address,
		.category = cw_lists_text(l, row->category),
		.label = cw_lists_text(l, row->label),
		.source = cw_lists_text(l, row->source),
		.confidence = (double)row->confidence,
		.first_seen = row->first_seen,
		.last_seen = row->last_seen,
		.expires = row->expires,
		.chain_id = row->chain_id,
	};
	return 1;
}

size_t cw_lists_count(const struct cw_lists *l)
{
	return l->n;
}

size_t cw_lists_bytes(const struct cw_lists *l)
{
	size_t bytes = l->cap * sizeof(*l->rows) + l->texts_cap * sizeof(*l->texts);

	if (l->index != NULL)
		bytes += (l->mask + 1) * sizeof(*l->index);
	for (size_t i = 0; i < l->ntexts; i++)
		bytes += strlen(l->texts[i]) + 1;
	return bytes;
}

const struct cw_lists *cw_lists_use(const struct cw_lists *lists)
{
	const struct cw_lists *old = current;

	current = lists;
	return old;
}

const struct cw_lists *cw_lists_current(void)
{
	return current;
}

/* ---------------------------------------------------------------- CSV */

enum column { COL_OTHER = 0, COL_ADDRESS, COL_CATEGORY, COL_NAME, COL_SOURCE, COL_CONFIDENCE, COL_FIRST, COL_LAST,
              COL_EXPIRES, COL_CHAIN, COL_COUNT };

static const char *const column_names[COL_COUNT] = { "", "address", "category", "name", "source", "confidence",
                                                     "first_seen", "last_seen", "expires", "chain_id" };

struct csv {
	const char *list;
	const char *at, *end;
	int64_t line;                 /* of the record that is being read */
	int64_t next_line;
	struct cw_buf text;           /* the cells of the record, each with a NUL */
	size_t cell_at[COLUMNS_MAX];
	int cells;
	char name[128];               /* of the list, when the text says it */
	struct cw_lists_doc doc;
	uint32_t doc_at;
	struct cw_err *err;
};

static int fault(const struct csv *csv, const char *what)
{
	return cw_err_set(csv->err, CW_ERR_INVALID, "list \"%s\", line %lld: %s", csv->list, (long long)csv->line, what);
}

/* One cell, quoted or not, into csv->text. -1 with a fault. */
static int read_cell(struct csv *csv)
{
	bool quoted = csv->at < csv->end && *csv->at == '"';

	if (csv->cells == COLUMNS_MAX)
		return fault(csv, "more than 32 columns");
	csv->cell_at[csv->cells++] = csv->text.len;
	if (quoted)
		csv->at++;
	for (; csv->at < csv->end; csv->at++) {
		char c = *csv->at;

		if (c == '\0')
			return fault(csv, "a NUL byte");
		if (quoted && c == '"') {
			if (csv->at + 1 == csv->end || csv->at[1] != '"') {
				csv->at++;
				quoted = false;
				break;
			}
			csv->at++;
		} else if (!quoted && (c == ',' || c == '\n' || c == '\r')) {
			break;
		} else if (!quoted && c == '"') {
			return fault(csv, "a quote inside an unquoted cell");
		} else if (c == '\n') {
			csv->next_line++;
		}
		cw_buf_putc(&csv->text, c);
	}
	cw_buf_putc(&csv->text, '\0');
	return quoted ? fault(csv, "a quote that is not closed") : 0;
}

/* 1: a record, 0: the end, -1: a fault. Empty lines are passed over. */
static int read_record(struct csv *csv)
{
	for (; csv->at < csv->end && (*csv->at == '\n' || *csv->at == '\r'); csv->at++)
		csv->next_line += *csv->at == '\n';
	if (csv->at == csv->end)
		return 0;
	csv->line = csv->next_line;
	csv->cells = 0;
	cw_buf_clear(&csv->text);
	for (;;) {
		if (read_cell(csv) != 0)
			return -1;
		if (csv->at == csv->end || *csv->at == '\n' || *csv->at == '\r')
			return 1;
		if (*csv->at != ',')
			return fault(csv, "text after a closing quote");
		csv->at++;
	}
}

static const char *const severities[] = { "low", "medium", "high", "critical" };

/* "side=either", "max_severity=high", "rules=eth.fan_*,aml.*" */
static int read_suppress(struct cw_lists *l, struct csv *csv, char *words)
{
	struct cw_lists_doc *doc = &csv->doc;
	char *rest, *word, what[160];

	doc->hides = true;
	doc->side = CW_LIST_EITHER;
	doc->max_severity = 2;
	for (word = strtok_r(words, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
		char *value = strchr(word, '='), *more;
		bool good = false;

		if (value != NULL)
			*value++ = '\0';
		if (value != NULL && strcmp(word, "side") == 0) {
			good = strcmp(value, "entity") == 0 || strcmp(value, "counterparty") == 0 || strcmp(value, "either") == 0;
			doc->side = value[0] == 'c' ? CW_LIST_COUNTERPARTY : value[1] == 'n' ? CW_LIST_ENTITY : CW_LIST_EITHER;
		} else if (value != NULL && strcmp(word, "max_severity") == 0) {
			for (int i = 0; i < 4; i++)
				if (strcmp(value, severities[i]) == 0) {
					doc->max_severity = i;
					good = true;
				}
		} else if (value != NULL && strcmp(word, "rules") == 0) {
			good = true;
			for (char *p = strtok_r(value, ",", &more); p != NULL && good; p = strtok_r(NULL, ",", &more)) {
				good = doc->npatterns < CW_LIST_PATTERNS;
				if (good)
					doc->patterns[doc->npatterns++] = cw_lists_text_number(l, p, true);
			}
			good = good && doc->npatterns > 0;
		}
		if (good)
			continue;
		snprintf(what, sizeof(what), "\"%.60s\" in a suppress line: it takes side=entity|counterparty|either, "
		         "max_severity=, rules=", word);
		return fault(csv, what);
	}
	return 0;
}

/* Lines in front of the header. */
static int read_comments(struct cw_lists *l, struct csv *csv)
{
	while (csv->at < csv->end && *csv->at == '#') {
		size_t left = (size_t)(csv->end - csv->at), len;
		const char *stop = memchr(csv->at, '\n', left);
		char line[2048], *at = line + 1, *end;

		len = stop != NULL ? (size_t)(stop - csv->at) : left;
		snprintf(line, sizeof(line), "%.*s", (int)(len < sizeof(line) ? len : sizeof(line) - 1), csv->at);
		csv->line = csv->next_line++;
		csv->at += stop != NULL ? len + 1 : len;
		line[strcspn(line, "\r")] = '\0';
		at += strspn(at, " \t");
		if (strncmp(at, "list ", 5) == 0) {
			snprintf(csv->name, sizeof(csv->name), "%s", at + 5 + strspn(at + 5, " "));
			if (csv->name[0] != '\0')
				csv->list = csv->name;
		} else if (strncmp(at, "version ", 8) == 0) {
			csv->doc.version = strtoll(at + 8, &end, 10);
			if (*end != '\0' || csv->doc.version < 1)
				return fault(csv, "version is no number from 1 on");
		} else if (strncmp(at, "suppress", 8) == 0 && (at[8] == ' ' || at[8] == '\0') &&
		           read_suppress(l, csv, at + 8) != 0) {
			return -1;
		}
	}
	return 0;
}

static int read_header(struct csv *csv, int columns[COLUMNS_MAX])
{
	int got = read_record(csv), address = 0;

	if (got < 0)
		return -1;
	for (int i = 0; got > 0 && i < csv->cells; i++) {
		columns[i] = COL_OTHER;
		for (int c = COL_ADDRESS; c < COL_COUNT; c++)
			if (strcmp(csv->text.data + csv->cell_at[i], column_names[c]) == 0)
				columns[i] = c;
		address += columns[i] == COL_ADDRESS;
	}
	return address == 1 ? csv->cells : fault(csv, "the first line must name one column \"address\"");
}

static int read_time(struct csv *csv, const char *cell, const char *column, int64_t *out)
{
	char what[120], *end;
	int64_t us;
	long long s = strtoll(cell, &end, 10);

	if (cell[0] == '\0') {
		*out = 0;
		return 0;
	}
	if (*end == '\0' && s >= 0 && s < (1ll << 40)) {
		*out = s;
		return 0;
	}
	if (cw_time_parse(cell, &us) == 0 && us >= 0) {
		*out = us / 1000000;
		return 0;
	}
	snprintf(what, sizeof(what), "%s is neither seconds nor RFC 3339: \"%.40s\"", column, cell);
	return fault(csv, what);
}

static int read_confidence(struct csv *csv, const char *cell, double *out)
{
	char what[120], *end;

	if (cell[0] == '\0')
		return 0;
	*out = strtod(cell, &end);
	if (*end == '\0' && *out >= 0 && *out <= 1)
		return 0;
	snprintf(what, sizeof(what), "confidence must be between 0 and 1, not \"%.40s\"", cell);
	return fault(csv, what);
}

static int read_chain(struct csv *csv, const char *cell, uint64_t *out)
{
	char *end;

	if (cell[0] == '\0')
		return 0;
	*out = strtoull(cell, &end, 10);
	return *end == '\0' && cell[0] != '-' ? 0 : fault(csv, "chain_id is no number");
}

static int read_value(struct csv *csv, int column, const char *cell, struct cw_list_entry *e)
{
	char what[120];
	enum cw_address_fault bad;

	switch (column) {
	case COL_ADDRESS:
		bad = cw_address_parse(&e->address, cell, strlen(cell));
		if (bad == CW_ADDRESS_OK)
			return 0;
		snprintf(what, sizeof(what), "%s: \"%.60s\"",
		         bad == CW_ADDRESS_CHECKSUM ? "address with a wrong checksum" : "not an address", cell);
		return fault(csv, what);
	case COL_CATEGORY: e->category = cell; return 0;
	case COL_NAME: e->label = cell; return 0;
	case COL_SOURCE: e->source = cell; return 0;
	case COL_CONFIDENCE: return read_confidence(csv, cell, &e->confidence);
	case COL_FIRST: return read_time(csv, cell, "first_seen", &e->first_seen);
	case COL_LAST: return read_time(csv, cell, "last_seen", &e->last_seen);
	case COL_EXPIRES: return read_time(csv, cell, "expires", &e->expires);
	case COL_CHAIN: return read_chain(csv, cell, &e->chain_id);
	default: return 0;
	}
}

static int add_record(struct cw_lists *l, struct csv *csv, const int columns[COLUMNS_MAX], int ncolumns)
{
	struct cw_list_entry entry = { .confidence = 1 };
	char what[80];

	if (csv->cells != ncolumns) {
		snprintf(what, sizeof(what), "%d cells, the first line has %d", csv->cells, ncolumns);
		return fault(csv, what);
	}
	for (int i = 0; i < ncolumns; i++)
		if (read_value(csv, columns[i], csv->text.data + csv->cell_at[i], &entry) != 0)
			return -1;
	return add_entry(l, csv->list, csv->doc_at, &entry, csv->err);
}

int64_t cw_lists_add_csv(struct cw_lists *l, const char *name, const char *text, size_t len, const char *checksum,
                         struct cw_err *err)
{
	struct csv csv = { .list = name, .at = text, .end = text + len, .line = 1, .next_line = 1, .text = CW_BUF_INIT,
	                   .err = err };
	int columns[COLUMNS_MAX] = { 0 }, ncolumns, got = -1;
	size_t before = l->n;

	cw_assert(l->index == NULL);
	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		csv.at += 3;
	ncolumns = read_comments(l, &csv) == 0 ? read_header(&csv, columns) : -1;
	if (ncolumns > 0) {
		/* known even when it has no entries yet */
		csv.doc.list = cw_lists_text_number(l, csv.list, true);
		if (csv.doc.version == 0 && checksum != NULL)
			snprintf(csv.doc.checksum, sizeof(csv.doc.checksum), "%s", checksum);
		csv.doc_at = add_doc(l, &csv.doc);
		while ((got = read_record(&csv)) > 0)
			if (add_record(l, &csv, columns, ncolumns) != 0) {
				got = -1;
				break;
			}
	}
	cw_buf_release(&csv.text);
	if (got < 0) {
		l->n = before;
		return -1;
	}
	return (int64_t)(l->n - before);
}
