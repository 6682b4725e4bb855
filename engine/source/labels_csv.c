/* labels_csv.c - label lists as CSV (RFC 4180): the first line names the columns, in any order. */
#include <ctype.h>
#include <math.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/suggest.h"
#include "source/labels_internal.h"

#define COLUMNS_MAX 64
#define CELL_MAX 8192

enum column { COL_OTHER = 0, COL_ADDRESS, COL_CATEGORY, COL_NAME, COL_SOURCE, COL_CONFIDENCE, COL_FIRST, COL_LAST,
	          COL_EXPIRES, COL_CHAIN, COL_COUNT };

static const struct { const char *name; enum column column; } names[] = {
	{ "address", COL_ADDRESS }, { "category", COL_CATEGORY }, { "name", COL_NAME }, { "label", COL_NAME },
	{ "source", COL_SOURCE }, { "confidence", COL_CONFIDENCE }, { "first_seen", COL_FIRST }, { "last_seen", COL_LAST },
	{ "expires", COL_EXPIRES }, { "expires_at", COL_EXPIRES }, { "chain_id", COL_CHAIN }, { "chain", COL_CHAIN },
};
static const char *const suggestions[] = { "address", "category", "name", "source", "confidence", "first_seen", "last_seen",
	                                        "expires", "chain_id", NULL };

struct csv {
	struct labels_reader *r;
	const char *at, *end;
	char comma;
	uint32_t line, next_line;     /* of the record at hand, and where the next begins */
	struct cw_buf text;           /* its cells, each with a NUL */
	size_t cell_at[COLUMNS_MAX];
	int cells;
	enum column columns[COLUMNS_MAX];
	int ncolumns;
};

/* The end of one cell's text, without what blanks stand around it. */
static void end_cell(struct csv *c, bool quoted)
{
	size_t from = c->cell_at[c->cells - 1];

	while (!quoted && c->text.len > from && (c->text.data[c->text.len - 1] == ' ' || c->text.data[c->text.len - 1] == '\t'))
		c->text.len--;
	cw_buf_putc(&c->text, '\0');
}

/* What is wrong with it, or NULL. */
static const char *read_cell(struct csv *c)
{
	bool quoted, open;

	if (c->cells == COLUMNS_MAX)
		return "has more than 64 cells";
	while (c->at < c->end && (*c->at == ' ' || (*c->at == '\t' && c->comma != '\t')))
		c->at++;
	open = quoted = c->at < c->end && *c->at == '"';
	c->at += quoted;
	c->cell_at[c->cells++] = c->text.len;
	for (; c->at < c->end; c->at++) {
		char ch = *c->at;

		if (open && ch == '"') {
			if (c->at + 1 < c->end && c->at[1] == '"') {
				c->at++;
			} else {
				c->at++;
				open = false;
				break;
			}
		} else if (!open && (ch == c->comma || ch == '\n' || ch == '\r')) {
			break;
		} else if (!open && ch == '"') {
			return "has a quote inside a cell that does not begin with one";
		}
		c->next_line += ch == '\n';
		if (c->text.len - c->cell_at[c->cells - 1] < CELL_MAX)
			cw_buf_putc(&c->text, ch);
	}
	end_cell(c, quoted);
	if (open)
		return "has a quote that is not closed";
	while (quoted && c->at < c->end && (*c->at == ' ' || (*c->at == '\t' && c->comma != '\t')))
		c->at++;
	if (c->at < c->end && *c->at != c->comma && *c->at != '\n' && *c->at != '\r')
		return "has text after a closing quote";
	return NULL;
}

/* To the next line, after a record that cannot be read. */
static void skip_line(struct csv *c)
{
	while (c->at < c->end && *c->at != '\n')
		c->at++;
}

/* 1: a record (*what: its fault, or NULL), 0: the end. Empty lines and comments between records are passed over. */
static int read_record(struct csv *c, const char **what)
{
	for (; c->at < c->end && (*c->at == '\n' || *c->at == '\r' || *c->at == '#'); c->at++) {
		if (*c->at == '#')
			skip_line(c);
		c->next_line += c->at < c->end && *c->at == '\n';
		if (c->at == c->end)
			break;
	}
	if (c->at >= c->end)
		return 0;
	c->line = c->next_line;
	c->cells = 0;
	cw_buf_clear(&c->text);
	for (;;) {
		*what = read_cell(c);
		if (*what != NULL) {
			skip_line(c);
			return 1;
		}
		if (c->at == c->end || *c->at != c->comma)
			return 1;
		c->at++;
	}
}

static const char *cell(const struct csv *c, int i)
{
	return c->text.data + c->cell_at[i];
}

static int read_header(struct csv *c)
{
	bool have[COL_COUNT] = { false };
	const char *what = NULL;

	if (read_record(c, &what) == 0)
		return cw_labels_bad_text(c->r, 1, "is empty: the first line names the columns");
	if (what != NULL)
		return cw_labels_bad_text(c->r, c->line, "the line of column names %s", what);
	for (int i = 0; i < c->cells; i++) {
		char *name = c->text.data + c->cell_at[i];
		const char *near;

		for (char *ch = name; *ch != '\0'; ch++)
			*ch = (char)tolower((unsigned char)(*ch == ' ' ? '_' : *ch));
		c->columns[i] = COL_OTHER;
		for (size_t k = 0; k < sizeof(names) / sizeof(*names); k++)
			if (strcmp(name, names[k].name) == 0)
				c->columns[i] = names[k].column;
		near = c->columns[i] == COL_OTHER ? cw_suggest(name, suggestions) : NULL;
		if (near != NULL)
			return cw_labels_bad_text(c->r, c->line, "column \"%.40s\" is not known (did you mean \"%s\"?)", name, near);
		if (c->columns[i] != COL_OTHER && have[c->columns[i]])
			return cw_labels_bad_text(c->r, c->line, "column \"%.40s\" is there twice", name);
		have[c->columns[i]] = true;
	}
	c->ncolumns = c->cells;
	if (!have[COL_ADDRESS])
		return cw_labels_bad_text(c->r, c->line, "the first line must name the columns, \"address\" among them");
	return 0;
}

static const char *read_value(struct csv *c, enum column column, const char *text, struct cw_label *l)
{
	struct labels_reader *r = c->r;

	switch (column) {
	case COL_ADDRESS: return cw_labels_address(r, text, &l->address);
	case COL_CONFIDENCE: return cw_labels_share(r, text, &l->confidence);
	case COL_FIRST: return cw_labels_time(r, text, &l->first_seen);
	case COL_LAST: return cw_labels_time(r, text, &l->last_seen);
	case COL_EXPIRES: return cw_labels_time(r, text, &l->expires);
	case COL_CHAIN: return cw_labels_chain(r, text, &l->chain_id);
	case COL_CATEGORY: l->category = cw_arena_strndup(r->arena, text, strlen(text)); break;
	case COL_NAME: l->name = cw_arena_strndup(r->arena, text, strlen(text)); break;
	case COL_SOURCE: l->source = cw_arena_strndup(r->arena, text, strlen(text)); break;
	case COL_OTHER: case COL_COUNT: break;
	}
	return NULL;
}

static int take_record(struct csv *c, const char *what)
{
	struct cw_label l = { .confidence = NAN, .line = c->line };

	if (what != NULL)
		return cw_labels_bad_row(c->r, c->line, "", "the row %s", what);
	if (c->cells != c->ncolumns)
		return cw_labels_bad_row(c->r, c->line, "", "the row has %d cells, the first line has %d", c->cells, c->ncolumns);
	for (int i = 0; i < c->ncolumns; i++) {
		what = read_value(c, c->columns[i], cell(c, i), &l);
		if (what != NULL)
			return cw_labels_bad_row(c->r, c->line, suggestions[c->columns[i] - 1], "%s", what);
	}
	return cw_labels_take(c->r, &l);
}

int cw_labels_read_csv(struct labels_reader *r, const char *text, size_t len)
{
	struct csv c = { .r = r, .at = text, .end = text + len, .comma = ',', .line = 1, .next_line = 1, .text = CW_BUF_INIT };
	const char *what = NULL, *first = text;
	int rc;

	while (*first == '#')             /* comments in front, as "chainwatch labels export" writes them */
		first += strcspn(first, "\n") + (first[strcspn(first, "\n")] == '\n');
	if (memchr(first, ',', strcspn(first, "\r\n")) == NULL) {
		if (memchr(first, ';', strcspn(first, "\r\n")) != NULL)
			c.comma = ';';
		else if (memchr(first, '\t', strcspn(first, "\r\n")) != NULL)
			c.comma = '\t';
	}
	rc = read_header(&c);
	while (rc == 0 && read_record(&c, &what) > 0)
		rc = take_record(&c, what);
	cw_buf_release(&c.text);
	return rc;
}
