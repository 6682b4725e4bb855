/* labels_ofac.c - addresses out of OFAC's list of Specially Designated Nationals, in the forms in which it is published:
 * sdn.xml, sdn_advanced.xml and sdn_enhanced.xml; sdn.csv, sdn_comments.csv and the text file, where addresses stand in the
 * remarks ("Digital Currency Address - ETH 0x...;").
 *
 * Addresses of every symbol are looked at: an address with 0x and 40 digits is one of EVM chains whatever token it was
 * listed for; others are counted. The XML reader knows elements, attributes and text, nothing of entities but the five and
 * numbers; it keeps no tree. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/utf8.h"
#include "source/labels_internal.h"

#define MARK "Digital Currency Address"
#define DEPTH_MAX 64
#define NAME_MAX_BYTES 200
#define TYPES_MAX 64                 /* feature types that are digital currency addresses */

/* "Digital Currency Address - ETH", behind the mark: skips " - ". */
static const char *symbol_at(const char *at)
{
	at += strlen(MARK);
	at += strspn(at, " \t\r\n-");
	return at;
}

static int take_address(struct labels_reader *r, const char *symbol, const char *text, const char *name, const char *id,
                        uint32_t line)
{
	struct cw_label l = { .confidence = NAN, .line = line, .category = "sanctioned", .source = "OFAC SDN" };
	const char *what;

	if (strncmp(text, "0x", 2) != 0 && strncmp(text, "0X", 2) != 0 && strncmp(symbol, "ETH", 3) != 0) {
		r->out->foreign++;
		return 0;
	}
	what = cw_labels_address(r, text, &l.address);
	if (what != NULL && strncmp(symbol, "ETH", 3) != 0) {     /* other chains have 0x and more digits */
		r->out->foreign++;
		return 0;
	}
	if (what != NULL)
		return cw_labels_bad_row(r, line, "address", "%s", what);
	l.name = id[0] == '\0' ? cw_labels_text(r, "%.200s", name)
	                       : cw_labels_text(r, "%.200s%s(uid %.20s)", name, name[0] != '\0' ? " " : "", id);
	return cw_labels_take(r, &l);
}

/* --- text: remarks --- */

/* Cell n of a CSV line, as far as it goes; "" where there is none. */
static void cell_of(const char *line, const char *end, int n, char *out, size_t size)
{
	size_t len = 0;
	bool quoted = false;

	for (; line < end && n >= 0; line++) {
		if (*line == '"')
			quoted = !quoted;
		else if (*line == ',' && !quoted)
			n--;
		else if (n == 0 && len + 1 < size)
			out[len++] = *line;
	}
	out[len] = '\0';
	out[cw_utf8_check(out, len)] = '\0';
}

/* Where the entry begins that `at` is in: a line of CSV, or a paragraph of text. */
static const char *entry_of(const char *text, const char *at, bool csv)
{
	while (at > text && !(at[-1] == '\n' && (csv || at[0] == '\n' || at[0] == '\r')))
		at--;
	return at + strspn(at, "\r\n");
}

static void name_of(const char *entry, const char *end, bool csv, char *name, char *id)
{
	id[0] = '\0';
	if (csv) {
		cell_of(entry, end, 0, id, 24);
		cell_of(entry, end, 1, name, NAME_MAX_BYTES);
		if (strstr(name, MARK) != NULL)      /* comments: number, remarks */
			name[0] = '\0';
	} else {
		size_t len = strcspn(entry, "(;\r\n");

		len = len < NAME_MAX_BYTES ? len : NAME_MAX_BYTES - 1;
		memcpy(name, entry, len);
		name[cw_utf8_check(name, len)] = '\0';
		if (strstr(name, MARK) != NULL)
			name[0] = '\0';
	}
}

static bool is_csv(const char *text)
{
	return text[0] == '"' || (isdigit((unsigned char)text[0]) && text[strspn(text, "0123456789")] == ',');
}

static int read_remarks(struct labels_reader *r, const char *text, size_t len)
{
	const char *end = text + len, *counted = text;
	bool csv = is_csv(text);
	uint32_t line = 1;
	size_t found = 0;

	for (const char *at = text; (at = strstr(at, MARK)) != NULL;) {
		char address[120], name[NAME_MAX_BYTES], id[24];
		const char *symbol = symbol_at(at), *from = symbol + strcspn(symbol, " \t\r\n;"), *entry;
		size_t n;

		found++;
		for (; counted < at; counted++)
			line += *counted == '\n';
		from += strspn(from, " \t\r\n");
		n = strcspn(from, " \t\r\n;,\"()");
		snprintf(address, sizeof(address), "%.*s", (int)(n < 100 ? n : 100), from);
		while (address[0] != '\0' && address[strlen(address) - 1] == '.')
			address[strlen(address) - 1] = '\0';
		entry = entry_of(text, at, csv);
		name_of(entry, entry + strcspn(entry, "\n") < end ? entry + strcspn(entry, "\n") : end, csv, name, id);
		at = from;
		if (take_address(r, symbol, address, name, id, line) != 0)
			return -1;
	}
	return found > 0 ? 0 : cw_labels_bad_text(r, 1, "no \"%s\" in it", MARK);
}

/* --- XML --- */

struct element { char name[40]; };

struct xml {
	struct labels_reader *r;
	const char *at, *end, *counted;
	uint32_t line;
	struct element stack[DEPTH_MAX];
	int depth;
	struct cw_buf text;           /* of the innermost element so far */
	/* of the entry at hand */
	char name[NAME_MAX_BYTES], id[24];
	bool name_done;
	/* what is to come: the address behind a type */
	char symbol[24];
	bool pending;
	int pending_depth;            /* of the element in which type and address stand */
	/* of the advanced form: ids of feature types, and the symbol of each */
	struct { char id[16], symbol[24]; } types[TYPES_MAX];
	int ntypes;
	size_t found;
};

static uint32_t line_at(struct xml *x, const char *at)
{
	for (; x->counted < at; x->counted++)
		x->line += *x->counted == '\n';
	return x->line;
}

static bool in(const struct xml *x, const char *name)
{
	return x->depth > 0 && strcmp(x->stack[x->depth - 1].name, name) == 0;
}

static bool under(const struct xml *x, const char *name)
{
	return x->depth > 1 && strcmp(x->stack[x->depth - 2].name, name) == 0;
}

static void copy(char *out, size_t size, const char *text)
{
	size_t len = strlen(text) < size ? strlen(text) : size - 1;

	memcpy(out, text, len);
	out[cw_utf8_check(out, len)] = '\0';
}

/* The value of an attribute of the tag [at, end), "" if it has none. */
static void attribute(const char *at, const char *end, const char *name, char *out, size_t size)
{
	size_t n = strlen(name);

	out[0] = '\0';
	for (; at + n + 2 < end; at++) {
		const char *stop;

		if (!isspace((unsigned char)at[-1]) || memcmp(at, name, n) != 0 || at[n] != '=' || (at[n + 1] != '"' && at[n + 1] != '\''))
			continue;
		stop = memchr(at + n + 2, at[n + 1], (size_t)(end - at - (ptrdiff_t)n - 2));
		if (stop != NULL)
			snprintf(out, size, "%.*s", (int)(stop - at - (ptrdiff_t)n - 2 < 100 ? stop - at - (ptrdiff_t)n - 2 : 100), at + n + 2);
		return;
	}
}

static const struct { const char *name; char c; } entities[] = { { "&amp;", '&' }, { "&lt;", '<' }, { "&gt;", '>' },
	                                                              { "&quot;", '"' }, { "&apos;", '\'' } };

static void add_text(struct xml *x, const char *at, const char *end)
{
	while (at < end && x->text.len < 4096) {
		size_t skip = 0;

		for (size_t i = 0; *at == '&' && i < sizeof(entities) / sizeof(*entities); i++) {
			size_t n = strlen(entities[i].name);

			if ((size_t)(end - at) >= n && memcmp(at, entities[i].name, n) == 0) {
				cw_buf_putc(&x->text, entities[i].c);
				skip = n;
			}
		}
		if (skip == 0 && *at == '&' && end - at > 3 && at[1] == '#') {
			bool hex = at[2] == 'x';
			char *stop, utf8[4];
			unsigned long code = strtoul(at + 2 + hex, &stop, hex ? 16 : 10);

			if (stop < end && *stop == ';' && code >= 0x20 && code <= 0x10ffff && !(code >= 0xd800 && code <= 0xdfff)) {
				cw_buf_add(&x->text, utf8, cw_utf8_encode((uint32_t)code, utf8));
				skip = (size_t)(stop + 1 - at);
			}
		}
		if (skip == 0) {
			cw_buf_putc(&x->text, *at);
			skip = 1;
		}
		at += skip;
	}
}

/* An element has ended; its text is in x->text. */
static int take_text(struct xml *x)
{
	const char *text = x->text.len > 0 ? x->text.data : "";

	text += strspn(text, " \t\r\n");
	if (text[0] == '\0')
		return 0;
	if (in(x, "FeatureType") && strncmp(text, MARK, strlen(MARK)) == 0) {
		if (x->ntypes > 0)
			copy(x->types[x->ntypes - 1].symbol, sizeof(x->types[0].symbol), symbol_at(text));
	} else if (strncmp(text, MARK, strlen(MARK)) == 0) {
		copy(x->symbol, sizeof(x->symbol), symbol_at(text));
		x->pending = true;
		x->pending_depth = x->depth - 1;
	} else if (x->pending && (in(x, "idNumber") || in(x, "value") || in(x, "VersionDetail"))) {
		char address[120];

		snprintf(address, sizeof(address), "%.*s", (int)(strcspn(text, " \t\r\n") < 100 ? strcspn(text, " \t\r\n") : 100), text);
		x->pending = false;
		x->found++;
		return take_address(x->r, x->symbol, address, x->name, x->id, line_at(x, x->at));
	} else if (in(x, "uid") && under(x, "sdnEntry")) {
		copy(x->id, sizeof(x->id), text);
	} else if (in(x, "lastName") && under(x, "sdnEntry")) {
		const char *first = cw_labels_text(x->r, "%s", x->name);

		snprintf(x->name, sizeof(x->name), "%s%s%s", text, first[0] != '\0' ? ", " : "", first);
		x->name[cw_utf8_check(x->name, strlen(x->name))] = '\0';
	} else if (in(x, "formattedFullName") && x->name[0] == '\0') {
		copy(x->name, sizeof(x->name), text);
	} else if (in(x, "firstName") && under(x, "sdnEntry")) {
		copy(x->name, sizeof(x->name), text);
	} else if (in(x, "NamePartValue") && !x->name_done) {
		size_t len = strlen(x->name);

		snprintf(x->name + len, sizeof(x->name) - len, "%s%s", len > 0 ? " " : "", text);
		x->name[cw_utf8_check(x->name, strlen(x->name))] = '\0';
	}
	return 0;
}

static int end_element(struct xml *x)
{
	int rc;

	if (x->depth == 0)
		return cw_labels_bad_text(x->r, line_at(x, x->at), "an element ends that has not begun: no XML");
	rc = take_text(x);
	if (in(x, "DocumentedName"))
		x->name_done = true;
	x->depth--;
	if (x->pending && x->depth < x->pending_depth)
		x->pending = false;
	cw_buf_clear(&x->text);
	return rc;
}

/* The tag [from, end) without its brackets. */
static int begin_element(struct xml *x, const char *from, const char *end)
{
	size_t len = strcspn(from, " \t\r\n/>");
	const char *colon = memchr(from, ':', len);
	struct element *e;
	char id[24];

	if (x->depth == DEPTH_MAX)
		return cw_labels_bad_text(x->r, line_at(x, from), "elements nested deeper than %d", DEPTH_MAX);
	if (colon != NULL) {
		len -= (size_t)(colon + 1 - from);
		from = colon + 1;
	}
	e = &x->stack[x->depth++];
	snprintf(e->name, sizeof(e->name), "%.*s", (int)(len < 39 ? len : 39), from);
	cw_buf_clear(&x->text);
	if (in(x, "sdnEntry") || in(x, "DistinctParty") || in(x, "entity")) {
		x->name[0] = x->id[0] = '\0';
		x->name_done = false;
		attribute(from, end, in(x, "entity") ? "id" : "FixedRef", x->id, sizeof(x->id));
	} else if (in(x, "FeatureType") && x->ntypes < TYPES_MAX) {
		attribute(from, end, "ID", id, sizeof(id));
		copy(x->types[x->ntypes].id, sizeof(x->types[0].id), id);
		x->types[x->ntypes++].symbol[0] = '\0';
		/* the place of one that turned out to be something else is used again */
		if (x->ntypes > 1 && x->types[x->ntypes - 2].symbol[0] == '\0') {
			x->types[x->ntypes - 2] = x->types[x->ntypes - 1];
			x->ntypes--;
		}
	} else if (in(x, "Feature")) {
		attribute(from, end, "FeatureTypeID", id, sizeof(id));
		for (int i = 0; i < x->ntypes; i++)
			if (x->types[i].symbol[0] != '\0' && id[0] != '\0' && strcmp(x->types[i].id, id) == 0) {
				copy(x->symbol, sizeof(x->symbol), x->types[i].symbol);
				x->pending = true;
				x->pending_depth = x->depth;
			}
	}
	return 0;
}

/* Behind comments, instructions, document types. NULL: they have no end. */
static const char *skip_special(const char *at)
{
	const char *stop;

	if (strncmp(at, "<!--", 4) == 0) {
		stop = strstr(at + 4, "-->");
		return stop != NULL ? stop + 3 : NULL;
	}
	stop = strchr(at, '>');
	return stop != NULL ? stop + 1 : NULL;
}

/* The '>' of a tag, past quoted attributes. */
static const char *end_of_tag(const char *at)
{
	char quote = 0;

	for (; *at != '\0'; at++) {
		if (quote != 0)
			quote = *at == quote ? 0 : quote;
		else if (*at == '"' || *at == '\'')
			quote = *at;
		else if (*at == '>')
			return at;
	}
	return NULL;
}

static int read_tag(struct xml *x)
{
	const char *from = x->at + 1, *stop;

	if (*from == '!' && strncmp(from, "![CDATA[", 8) == 0) {
		stop = strstr(from, "]]>");
		if (stop == NULL)
			return cw_labels_bad_text(x->r, line_at(x, x->at), "CDATA without an end");
		cw_buf_add(&x->text, from + 8, (size_t)(stop - from - 8) < 4096 ? (size_t)(stop - from - 8) : 4096);
		x->at = stop + 3;
		return 0;
	}
	if (*from == '!' || *from == '?') {
		stop = skip_special(x->at);
		if (stop == NULL)
			return cw_labels_bad_text(x->r, line_at(x, x->at), "a comment or instruction without an end");
		x->at = stop;
		return 0;
	}
	stop = end_of_tag(from);
	if (stop == NULL)
		return cw_labels_bad_text(x->r, line_at(x, x->at), "a tag without an end");
	x->at = stop + 1;
	if (*from == '/')
		return end_element(x);
	if (begin_element(x, from, stop) != 0)
		return -1;
	return stop > from && stop[-1] == '/' ? end_element(x) : 0;
}

static int read_xml(struct labels_reader *r, const char *text, size_t len)
{
	struct xml *x = cw_arena_zalloc(r->arena, sizeof(*x));
	int rc = 0;

	*x = (struct xml){ .r = r, .at = text, .counted = text, .end = text + len, .line = 1, .text = CW_BUF_INIT };
	while (rc == 0 && x->at < x->end) {
		const char *stop = memchr(x->at, '<', (size_t)(x->end - x->at));

		stop = stop != NULL ? stop : x->end;
		add_text(x, x->at, stop);
		x->at = stop;
		if (stop < x->end)
			rc = read_tag(x);
	}
	if (rc == 0 && x->depth > 0)
		rc = cw_labels_bad_text(r, line_at(x, x->end), "element \"%s\" does not end: the file is cut short",
		                        x->stack[x->depth - 1].name);
	if (rc == 0 && x->found == 0)
		rc = cw_labels_bad_text(r, 1, "no \"%s\" in it", MARK);
	cw_buf_release(&x->text);
	return rc;
}

/* Lists that others have derived from it: one address a line, or a JSON array. */
static int read_derived(struct labels_reader *r, const char *text, size_t len)
{
	const struct cw_labels_conf *conf = r->conf;
	struct cw_labels_conf derived = *conf;
	int rc;

	derived.category = conf->category != NULL ? conf->category : "sanctioned";
	derived.source = conf->source != NULL ? conf->source : "OFAC SDN";
	r->conf = &derived;
	rc = cw_labels_read_plain(r, text, len);
	r->conf = conf;
	return rc;
}

int cw_labels_read_ofac(struct labels_reader *r, const char *text, size_t len)
{
	if (text[strspn(text, " \t\r\n")] == '<')
		return read_xml(r, text, len);
	if (strstr(text, MARK) != NULL)
		return read_remarks(r, text, len);
	return read_derived(r, text, len);
}
