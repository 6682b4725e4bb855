/* docs/DETECTORS.md holds what the registry says. `CHAINWATCH_UPDATE_DOCS=1 build/unit/test_detectors_doc` writes its
 * generated part anew; what stands above the mark is written by hand. Run from the top of the repository. */
#include "support/detect_env.h"

#include "base/buf.h"
#include "base/mem.h"

#define DOC  "docs/DETECTORS.md"
#define MARK "<!-- from here on: generated from the registry by tests/unit/test_detectors_doc.c -->\n"

static const struct {
	const char *table, *title;
} tables[] = {
	{ "window", "window: the recent past" },
	{ "stat", "stat: how unusual a number is" },
	{ "key", "key: what is known of a key" },
	{ "sequence", "sequence: order" },
	{ "drift", "drift: change" },
	{ "sketch", "sketch: large sets in little memory" },
	{ "graph", "graph: who paid whom" },
	{ "series", "series: one metric in time" },
	{ "outlier", "outlier: rows of fields" },
	{ "list", "list: addresses of others" },
};

#define TABLES ((int)(sizeof(tables) / sizeof(tables[0])))

/* A bar would end the cell. */
static void put_cell(struct cw_buf *out, const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text == '|')
			cw_buf_putc(out, '\\');
		cw_buf_putc(out, *text);
	}
}

static void put_number(struct cw_buf *out, double x)
{
	cw_buf_printf(out, x != 0 && (fabs(x) >= 1e10 || fabs(x) < 1e-4) ? "%g" : "%.10g", x);
}

static void put_default(struct cw_buf *out, const struct cw_opt *o)
{
	char span[CW_SPAN_TEXT];

	if (o->required) {
		cw_buf_puts(out, "required");
		return;
	}
	switch (o->type) {
	case CW_OPT_KEY:
	case CW_OPT_FIELD:
	case CW_OPT_TEXT:
		if (o->def_text != NULL && o->def_text[0] != '\0')
			cw_buf_printf(out, "\"%s\"", o->def_text);
		break;
	case CW_OPT_SPAN:
		if (o->def > 0)
			cw_buf_printf(out, "\"%s\"", cw_span_format(o->def, span));
		break;
	case CW_OPT_BOOL: cw_buf_puts(out, o->def != 0 ? "true" : "false"); break;
	case CW_OPT_COUNT:
	case CW_OPT_NUMBER: put_number(out, o->def); break;
	}
}

static void put_range(struct cw_buf *out, const struct cw_opt *o)
{
	char lo[CW_SPAN_TEXT], hi[CW_SPAN_TEXT];

	switch (o->type) {
	case CW_OPT_SPAN:
		cw_buf_printf(out, "%s to %s", cw_span_format(o->min, lo), cw_span_format(o->max, hi));
		break;
	case CW_OPT_COUNT:
	case CW_OPT_NUMBER:
		if (fabs(o->min) >= 1e300)
			cw_buf_puts(out, "any number");
		else if (o->max >= 1e300) {
			cw_buf_puts(out, "from ");
			put_number(out, o->min);
		} else {
			put_number(out, o->min);
			cw_buf_puts(out, " to ");
			put_number(out, o->max);
		}
		break;
	case CW_OPT_BOOL: cw_buf_puts(out, "true, false"); break;
	case CW_OPT_KEY: cw_buf_puts(out, "fields"); break;
	case CW_OPT_FIELD: cw_buf_puts(out, "a field"); break;
	case CW_OPT_TEXT: cw_buf_puts(out, "text"); break;
	}
}

static void put_method(struct cw_buf *out, const struct cw_method *m)
{
	static const char *const args[] = { [CW_ARG_NONE] = "", [CW_ARG_NUMBER] = "number", [CW_ARG_FIELD] = "field" };

	cw_buf_printf(out, "| `%s(%s", m->name, m->takes_tx ? "tx" : "");
	if (m->a != CW_ARG_NONE)
		cw_buf_printf(out, "[, %s%s", args[m->a], m->b == CW_ARG_NONE ? "]" : "");
	if (m->b != CW_ARG_NONE)
		cw_buf_printf(out, "[, %s]]", args[m->b]);
	cw_buf_printf(out, ")` | %s | ",
	              m->result == CW_RESULT_BOOL ? "boolean" : m->result == CW_RESULT_TEXT ? "text" : "number");
	put_cell(out, m->doc);
	cw_buf_puts(out, " |\n");
}

static void put_primitive(struct cw_buf *out, const struct cw_primitive *p)
{
	cw_buf_printf(out, "### %s.%s\n\n%s\n\n```lua\n%s\n```\n\n", p->table, p->name, p->doc, p->example);
	cw_buf_puts(out, "| option | default | range | meaning |\n| --- | --- | --- | --- |\n");
	for (const struct cw_opt *o = p->opts; o->name != NULL; o++) {
		cw_buf_printf(out, "| `%s` | ", o->name);
		put_default(out, o);
		cw_buf_puts(out, " | ");
		put_range(out, o);
		cw_buf_puts(out, " | ");
		put_cell(out, o->doc);
		cw_buf_puts(out, " |\n");
	}
	cw_buf_puts(out, "\n| method | gives | |\n| --- | --- | --- |\n");
	for (const struct cw_method *m = p->methods; m->name != NULL; m++)
		put_method(out, m);
	cw_buf_printf(out, "\n*Exactness:* %s.\n*Memory and cost:* %s.\n", p->error, p->memory);
	if (p->source[0] != '\0')
		cw_buf_printf(out, "*Source:* %s.\n", p->source);
	cw_buf_putc(out, '\n');
}

static const char *title_of(const char *table)
{
	for (int t = 0; t < TABLES; t++)
		if (strcmp(tables[t].table, table) == 0)
			return tables[t].title;
	return NULL;
}

static void put_table(struct cw_buf *out, const char *table, const char *title)
{
	cw_buf_printf(out, "\n## %s\n\n", title);
	for (int i = 0; cw_primitives[i] != NULL; i++)
		if (strcmp(cw_primitives[i]->table, table) == 0)
			put_primitive(out, cw_primitives[i]);
}

/* Tables in the order above, then those that have no title yet, each where its first primitive is. */
static void generate(struct cw_buf *out)
{
	for (int t = 0; t < TABLES; t++)
		put_table(out, tables[t].table, tables[t].title);
	for (int i = 0; cw_primitives[i] != NULL; i++) {
		const char *table = cw_primitives[i]->table;
		int first = 0;

		while (strcmp(cw_primitives[first]->table, table) != 0)
			first++;
		if (first == i && title_of(table) == NULL)
			put_table(out, table, table);
	}
	while (out->len > 1 && out->data[out->len - 1] == '\n' && out->data[out->len - 2] == '\n')
		out->data[--out->len] = '\0';
}

static char *read_file(const char *path)
{
	struct cw_buf text = CW_BUF_INIT;
	char part[4096];
	size_t n;
	FILE *f = fopen(path, "r");

	env_check(f != NULL, "cannot read %s: run from the top of the repository", path);
	while ((n = fread(part, 1, sizeof(part), f)) > 0)
		cw_buf_add(&text, part, n);
	fclose(f);
	return cw_buf_take(&text, &n);
}

/* Where two texts part, for a message. */
static int line_of_difference(const char *a, const char *b)
{
	int line = 1;

	for (; *a == *b && *a != '\0'; a++, b++)
		line += *a == '\n';
	return line;
}

START_TEST(reference_is_what_the_registry_says)
{
	struct cw_buf want = CW_BUF_INIT;
	char *doc = read_file(DOC), *part = strstr(doc, MARK);

	ck_assert_msg(part != NULL, "no mark in " DOC);
	part += strlen(MARK);
	generate(&want);
	if (getenv("CHAINWATCH_UPDATE_DOCS") != NULL && strcmp(part, want.data) != 0) {
		FILE *f = fopen(DOC, "w");

		ck_assert_ptr_nonnull(f);
		ck_assert_uint_eq(fwrite(doc, 1, (size_t)(part - doc), f), (size_t)(part - doc));
		ck_assert_uint_eq(fwrite(want.data, 1, want.len, f), want.len);
		ck_assert_int_eq(fclose(f), 0);
	} else {
		ck_assert_msg(strcmp(part, want.data) == 0,
		              DOC " is old from line %d behind the mark on: CHAINWATCH_UPDATE_DOCS=1 build/unit/test_detectors_doc",
		              line_of_difference(part, want.data));
	}
	cw_free(doc);
	cw_buf_release(&want);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("detectors_doc");
	TCase *tc = tcase_create("all");

	suite_add_tcase(suite, tc);
	tcase_add_test(tc, reference_is_what_the_registry_says);
	return env_run(suite);
}
