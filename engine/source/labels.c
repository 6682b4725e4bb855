/* labels.c - label lists: which format it is, what a row must be, addresses one a line or as a JSON array. */
#include "source/labels.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/map.h"
#include "base/utf8.h"
#include "source/labels_internal.h"

#define LATEST ((int64_t)1 << 40)     /* a time beyond it is none */

static const char *const formats[] = { "auto", "csv", "tagpack", "ofac", "plain" };

const char *cw_labels_format_name(enum cw_labels_format format)
{
	return (unsigned)format <= CW_LABELS_PLAIN ? formats[format] : "auto";
}

bool cw_labels_format_parse(const char *text, enum cw_labels_format *out)
{
	for (unsigned i = 0; i <= CW_LABELS_PLAIN; i++)
		if (strcmp(text, formats[i]) == 0) {
			*out = (enum cw_labels_format)i;
			return true;
		}
	return false;
}

/* --- faults --- */

const char *cw_labels_text(struct labels_reader *r, const char *format, ...)
{
	char text[300];
	va_list args;
	size_t len;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	len = cw_utf8_check(text, strlen(text));   /* a cut may have split a character */
	return cw_arena_strndup(r->arena, text, len);
}

static void note(struct labels_reader *r, uint32_t line, const char *field, const char *what)
{
	struct cw_labels *out = r->out;

	out->skipped++;
	if (out->nfaults == CW_LABEL_FAULTS)
		return;
	out->faults[out->nfaults++] = (struct cw_label_fault){ line, field, cw_arena_strndup(r->arena, what, strlen(what)) };
}

int cw_labels_bad_row(struct labels_reader *r, uint32_t line, const char *field, const char *format, ...)
{
	char what[260];
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	what[cw_utf8_check(what, strlen(what))] = '\0';
	if (r->conf->skip_bad) {
		note(r, line, field, what);
		return 0;
	}
	return cw_err_set(r->err, CW_ERR_INVALID, "%s:%u: %s%s%s", r->conf->file, line, field, field[0] != '\0' ? ": " : "",
	                  what);
}

int cw_labels_bad_text(struct labels_reader *r, uint32_t line, const char *format, ...)
{
	char what[260];
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	what[cw_utf8_check(what, strlen(what))] = '\0';
	return cw_err_set(r->err, CW_ERR_INVALID, "%s:%u: %s", r->conf->file, line, what);
}

/* --- values --- */

const char *cw_labels_address(struct labels_reader *r, const char *text, struct cw_address *out)
{
	switch (cw_address_parse(out, text, strlen(text))) {
	case CW_ADDRESS_OK: return NULL;
	case CW_ADDRESS_CHECKSUM: return cw_labels_text(r, "\"%.60s\" has a wrong checksum", text);
	case CW_ADDRESS_MALFORMED: break;
	}
	return text[0] == '\0' ? "is empty" : cw_labels_text(r, "\"%.60s\" is no address (0x and 40 hex digits)", text);
}

const char *cw_labels_time(struct labels_reader *r, const char *text, int64_t *out)
{
	char day[32], *end;
	long long s = strtoll(text, &end, 10);
	int64_t us;

	if (text[0] == '\0')
		return NULL;
	if (end != text && *end == '\0') {
		if (s < 0 || s >= LATEST)
			return cw_labels_text(r, "\"%.40s\" is no time in seconds since 1970", text);
		*out = s;
		return NULL;
	}
	snprintf(day, sizeof(day), "%.10sT00:00:00Z", text);
	if (cw_time_parse(strlen(text) == 10 ? day : text, &us) != 0 || us < 0)
		return cw_labels_text(r, "\"%.40s\" is neither seconds since 1970 nor RFC 3339 nor a date", text);
	*out = us / 1000000;
	return NULL;
}

const char *cw_labels_share(struct labels_reader *r, const char *text, double *out)
{
	char *end;
	double value = strtod(text, &end);

	if (text[0] == '\0')
		return NULL;
	if (*end != '\0' || !(value >= 0 && value <= 1))
		return cw_labels_text(r, "\"%.40s\" is no number from 0 to 1", text);
	*out = value;
	return NULL;
}

const char *cw_labels_chain(struct labels_reader *r, const char *text, uint64_t *out)
{
	char *end;
	unsigned long long value = strtoull(text, &end, 10);

	if (text[0] == '\0' || strcasecmp(text, "any") == 0)
		return NULL;
	if (!isdigit((unsigned char)text[0]) || *end != '\0' || value > INT64_MAX)
		return cw_labels_text(r, "\"%.40s\" is no chain id", text);
	*out = value;
	return NULL;
}

/* --- rows --- */

static bool has_control(const char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			return true;
	return false;
}

/* A text that is given but of blanks only counts as not given. */
static const char *or_else(const char *text, const char *otherwise)
{
	if (text != NULL && text[strspn(text, " \t\r\n")] != '\0')
		return text;
	return otherwise != NULL ? otherwise : "";
}

/* Line breaks and tabs of YAML blocks and CSV cells become spaces; what is around it goes. */
static const char *tidy(struct labels_reader *r, const char *text)
{
	size_t len = strlen(text);
	char *out;

	if (len == 0 || (!has_control(text) && text[0] != ' ' && text[len - 1] != ' '))
		return text;
	while (len > 0 && isspace((unsigned char)text[len - 1]))
		len--;
	while (len > 0 && isspace((unsigned char)*text)) {
		text++;
		len--;
	}
	out = cw_arena_strndup(r->arena, text, len);
	for (char *c = out; *c != '\0'; c++)
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = ' ';
	return out;
}

static int check_texts(struct labels_reader *r, struct cw_label *l, bool *good)
{
	*good = false;
	if (strlen(l->category) > CW_LABEL_CATEGORY_MAX)
		return cw_labels_bad_row(r, l->line, "category", "has more than %d bytes", CW_LABEL_CATEGORY_MAX);
	if (strchr(l->category, ',') != NULL)
		return cw_labels_bad_row(r, l->line, "category", "\"%.60s\" has a comma, which separates categories in rules",
		                         l->category);
	if (strlen(l->name) > CW_LABEL_TEXT_MAX)
		return cw_labels_bad_row(r, l->line, "name", "has more than %d bytes", CW_LABEL_TEXT_MAX);
	if (strlen(l->source) > CW_LABEL_TEXT_MAX)
		return cw_labels_bad_row(r, l->line, "source", "has more than %d bytes", CW_LABEL_TEXT_MAX);
	if (l->last_seen != 0 && l->first_seen > l->last_seen)
		return cw_labels_bad_row(r, l->line, "last_seen", "is before first_seen");
	*good = true;
	return 0;
}

static double sureness(const struct cw_label *l)
{
	return isnan(l->confidence) ? 1 : l->confidence;
}

int cw_labels_take(struct labels_reader *r, const struct cw_label *label)
{
	struct cw_labels *out = r->out;
	struct cw_label l = *label;
	uint8_t key[20 + 8 + CW_LABEL_CATEGORY_MAX];
	uintptr_t known;
	size_t len;
	bool good;

	l.category = tidy(r, or_else(l.category, r->conf->category));
	l.name = tidy(r, or_else(l.name, NULL));
	l.source = tidy(r, or_else(l.source, r->conf->source));
	if (isnan(l.confidence))
		l.confidence = r->conf->confidence;
	if (r->conf->chain_id >= 0)
		l.chain_id = (uint64_t)r->conf->chain_id;
	if (check_texts(r, &l, &good) != 0)
		return -1;
	if (!good)
		return 0;
	memcpy(key, l.address.b, 20);
	memcpy(key + 20, &l.chain_id, 8);
	len = strlen(l.category);
	memcpy(key + 28, l.category, len);
	known = (uintptr_t)cw_map_get(r->seen, key, 28 + len);
	if (known != 0) {
		out->repeated++;
		if (sureness(&l) > sureness(&out->rows[known - 1]))
			out->rows[known - 1] = l;
		return 0;
	}
	if (out->n == CW_LABELS_MAX)
		return cw_labels_bad_text(r, l.line, "more than %zu rows", CW_LABELS_MAX);
	if (out->n == r->cap) {
		struct cw_label *rows;

		r->cap = r->cap > 0 ? r->cap * 2 : 256;
		rows = cw_arena_alloc(r->arena, r->cap * sizeof(*rows));
		if (out->n > 0)
			memcpy(rows, out->rows, out->n * sizeof(*rows));
		out->rows = rows;
	}
	out->rows[out->n++] = l;
	cw_map_put(r->seen, key, 28 + len, (void *)(uintptr_t)out->n);
	return 0;
}

/* --- one address a line, or a JSON array --- */

static int take_plain(struct labels_reader *r, const char *text, uint32_t line)
{
	struct cw_label l = { .confidence = NAN, .line = line };
	const char *what = cw_labels_address(r, text, &l.address);

	return what != NULL ? cw_labels_bad_row(r, line, "address", "%s", what) : cw_labels_take(r, &l);
}

/* Strings, or objects with an address and the columns of a CSV. */
static const char *member(const struct cw_json *object, const char *key)
{
	const struct cw_json *value = cw_json_get(object, key);

	return value != NULL && (value->type == CW_JSON_STRING || value->type == CW_JSON_NUMBER) ? value->text : "";
}

static int take_object(struct labels_reader *r, const struct cw_json *o, uint32_t nth)
{
	struct cw_label l = { .confidence = NAN, .line = nth, .category = member(o, "category"), .name = member(o, "name"),
		                  .source = member(o, "source") };
	const char *field = "address", *what = cw_labels_address(r, member(o, "address"), &l.address);

	if (what == NULL)
		what = cw_labels_share(r, member(o, field = "confidence"), &l.confidence);
	if (what == NULL)
		what = cw_labels_time(r, member(o, field = "first_seen"), &l.first_seen);
	if (what == NULL)
		what = cw_labels_time(r, member(o, field = "last_seen"), &l.last_seen);
	if (what == NULL)
		what = cw_labels_time(r, member(o, field = "expires"), &l.expires);
	if (what == NULL)
		what = cw_labels_chain(r, member(o, field = "chain_id"), &l.chain_id);
	return what != NULL ? cw_labels_bad_row(r, nth, field, "%s", what) : cw_labels_take(r, &l);
}

static int read_json(struct labels_reader *r, const char *text, size_t len)
{
	struct cw_json_error fault;
	const struct cw_json *list = cw_json_parse(text, len, 8, r->arena, &fault);
	uint32_t nth = 0;

	if (list == NULL)
		return cw_labels_bad_text(r, fault.line, "%s", fault.what);
	for (const struct cw_json *v = list->first; v != NULL; v = v->next) {
		int rc;

		nth++;
		if (v->type == CW_JSON_STRING)
			rc = take_plain(r, v->text, nth);
		else if (v->type == CW_JSON_OBJECT)
			rc = take_object(r, v, nth);
		else
			rc = cw_labels_bad_row(r, nth, "", "element %u is neither text nor an object", nth);
		if (rc != 0)
			return -1;
	}
	return 0;
}

int cw_labels_read_plain(struct labels_reader *r, const char *text, size_t len)
{
	const char *at = text, *end = text + len;
	uint32_t line = 0;

	if (text[strspn(text, " \t\r\n")] == '[')
		return read_json(r, text, len);
	while (at < end) {
		const char *stop = memchr(at, '\n', (size_t)(end - at)), *from = at, *to;
		char cell[120];

		stop = stop != NULL ? stop : end;
		line++;
		to = memchr(at, '#', (size_t)(stop - at));
		to = to != NULL ? to : stop;
		while (from < to && isspace((unsigned char)*from))
			from++;
		while (to > from && isspace((unsigned char)to[-1]))
			to--;
		at = stop + 1;
		if (from == to)
			continue;
		snprintf(cell, sizeof(cell), "%.*s", (int)(to - from < 100 ? to - from : 100), from);
		if (take_plain(r, cell, line) != 0)
			return -1;
	}
	return 0;
}

/* --- which format --- */

static bool has_word(const char *text, size_t len, const char *word)
{
	return memmem(text, len, word, strlen(word)) != NULL;
}

static bool begins_with_address(const char *text)
{
	struct cw_address address;

	return strlen(text) >= 42 && cw_address_parse(&address, text, 42) != CW_ADDRESS_MALFORMED;
}

/* By what it begins with: a few thousand bytes tell. */
static enum cw_labels_format guess(const char *text, size_t len)
{
	size_t head = len < 65536 ? len : 65536, line;
	const char *at = text;

	do {                              /* comments and blank lines tell nothing */
		at += strspn(at, " \t\r\n");
		if (*at != '#')
			break;
		at += strcspn(at, "\n");
	} while (*at != '\0');
	line = strcspn(at, "\r\n");
	if (*at == '<')
		return CW_LABELS_OFAC;
	if (*at == '[')
		return CW_LABELS_PLAIN;
	if (begins_with_address(at) && memchr(at, ',', line) == NULL)
		return CW_LABELS_PLAIN;
	if (memchr(at, ',', line) != NULL || memchr(at, ';', line) != NULL || memchr(at, '\t', line) != NULL) {
		char lower[256];

		snprintf(lower, sizeof(lower), "%.*s", (int)(line < 255 ? line : 255), at);
		for (char *c = lower; *c != '\0'; c++)
			*c = (char)tolower((unsigned char)*c);
		if (strstr(lower, "address") != NULL && strstr(lower, "digital currency") == NULL)
			return CW_LABELS_CSV;
	}
	if (has_word(text, len, "Digital Currency Address"))
		return CW_LABELS_OFAC;
	if (has_word(text, head, "tags:"))
		return CW_LABELS_TAGPACK;
	return strncasecmp(at, "address", 7) == 0 ? CW_LABELS_CSV : CW_LABELS_AUTO;
}

static uint32_t line_of(const char *text, size_t at)
{
	uint32_t line = 1;

	for (size_t i = 0; i < at; i++)
		line += text[i] == '\n';
	return line;
}

static int read_as(struct labels_reader *r, const char *text, size_t len)
{
	switch (r->out->format) {
	case CW_LABELS_CSV: return cw_labels_read_csv(r, text, len);
	case CW_LABELS_TAGPACK: return cw_labels_read_tagpack(r, text, len);
	case CW_LABELS_OFAC: return cw_labels_read_ofac(r, text, len);
	case CW_LABELS_PLAIN: return cw_labels_read_plain(r, text, len);
	case CW_LABELS_AUTO: break;
	}
	return cw_labels_bad_text(r, 1, "cannot tell what this is: say the format (csv, tagpack, ofac or plain)");
}

int cw_labels_read(struct cw_labels *out, const char *text, size_t len, const struct cw_labels_conf *conf,
                   struct cw_arena *arena, struct cw_err *err)
{
	struct labels_reader r = { .out = out, .conf = conf, .arena = arena, .err = err };
	const char *nul = memchr(text, '\0', len);
	size_t good;
	int rc;

	memset(out, 0, sizeof(*out));
	if (nul != NULL)
		return cw_labels_bad_text(&r, line_of(text, (size_t)(nul - text)), "a NUL byte: this is no text");
	good = cw_utf8_check(text, len);
	if (good < len)
		return cw_labels_bad_text(&r, line_of(text, good), "a byte that is not UTF-8");
	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
		text += 3;
		len -= 3;
	}
	text = cw_arena_strndup(arena, text, len);         /* ends with a NUL from here on */
	out->format = conf->format != CW_LABELS_AUTO ? conf->format : guess(text, len);
	r.seen = cw_map_new();
	rc = read_as(&r, text, len);
	cw_map_free(&r.seen);
	if (rc == 0 && out->n == 0)
		return cw_err_set(err, CW_ERR_INVALID, "%s: %s", conf->file,
		                  out->skipped > 0 ? "no row is good" : out->foreign > 0 ? "no address of an EVM chain in it"
		                                                                          : "no label in it");
	return rc;
}

/* --- out --- */

static void put_number(struct cw_buf *out, const char *key, int64_t value)
{
	if (value != 0)
		cw_buf_printf(out, ",\"%s\":%lld", key, (long long)value);
}

static void put_text(struct cw_buf *out, const char *key, const char *text)
{
	if (text[0] == '\0')
		return;
	cw_buf_printf(out, ",\"%s\":", key);
	cw_json_put_cstring(out, text);
}

size_t cw_labels_put_rows(const struct cw_labels *labels, size_t first, size_t bytes, struct cw_buf *out)
{
	size_t i = first, from = out->len;

	cw_buf_putc(out, '[');
	for (; i < labels->n && out->len - from < bytes; i++) {
		const struct cw_label *l = &labels->rows[i];
		char address[CW_ADDRESS_TEXT];

		cw_buf_puts(out, i > first ? ",{\"address\":\"" : "{\"address\":\"");
		cw_buf_puts(out, cw_address_format(&l->address, address));
		cw_buf_putc(out, '"');
		put_number(out, "chain_id", (int64_t)l->chain_id);
		put_text(out, "category", l->category);
		put_text(out, "label", l->name);
		put_text(out, "source", l->source);
		if (!isnan(l->confidence)) {
			cw_buf_puts(out, ",\"confidence\":");
			cw_json_put_double(out, l->confidence);
		}
		put_number(out, "first_seen", l->first_seen);
		put_number(out, "last_seen", l->last_seen);
		put_number(out, "expires_at", l->expires);
		cw_buf_putc(out, '}');
	}
	cw_buf_putc(out, ']');
	return i;
}

void cw_labels_put_report(const struct cw_labels *labels, struct cw_buf *out)
{
	cw_buf_printf(out, "\"format\":\"%s\",\"rows\":%zu,\"skipped\":%zu,\"repeated\":%zu,\"foreign\":%zu,\"faults\":[",
	              cw_labels_format_name(labels->format), labels->n, labels->skipped, labels->repeated, labels->foreign);
	for (int i = 0; i < labels->nfaults; i++) {
		cw_buf_printf(out, "%s{\"line\":%u,\"field\":", i > 0 ? "," : "", labels->faults[i].line);
		cw_json_put_cstring(out, labels->faults[i].field);
		cw_buf_puts(out, ",\"what\":");
		cw_json_put_cstring(out, labels->faults[i].what);
		cw_buf_putc(out, '}');
	}
	cw_buf_putc(out, ']');
}
