#include "app/explain_text.h"

#include <stdbool.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"

static const char *text_of(const struct cw_json *object, const char *name)
{
	const struct cw_json *value = object != NULL ? cw_json_get(object, name) : NULL;

	return value != NULL && value->text != NULL ? value->text : "";
}

static bool flag_of(const struct cw_json *object, const char *name)
{
	const struct cw_json *value = object != NULL ? cw_json_get(object, name) : NULL;

	return value != NULL && value->type == CW_JSON_TRUE;
}

/* A value in one line. */
static void put_value(const struct cw_json *v, struct cw_buf *out)
{
	const char *comma = "";

	switch (v != NULL ? v->type : CW_JSON_NULL) {
	case CW_JSON_NULL: cw_buf_puts(out, "nil"); break;
	case CW_JSON_TRUE: cw_buf_puts(out, "true"); break;
	case CW_JSON_FALSE: cw_buf_puts(out, "false"); break;
	case CW_JSON_NUMBER: cw_buf_puts(out, v->text); break;
	case CW_JSON_STRING: cw_buf_printf(out, "\"%s\"", v->text); break;
	case CW_JSON_ARRAY:
		cw_buf_putc(out, '[');
		for (const struct cw_json *e = v->first; e != NULL; e = e->next) {
			cw_buf_puts(out, comma);
			put_value(e, out);
			comma = ", ";
		}
		cw_buf_putc(out, ']');
		break;
	case CW_JSON_OBJECT:
		cw_buf_putc(out, '{');
		for (const struct cw_json *m = v->first; m != NULL; m = m->next) {
			cw_buf_printf(out, "%s %s = ", comma, m->key);
			put_value(m, out);
			comma = ",";
		}
		cw_buf_puts(out, " }");
		break;
	}
}

static void put_comparison(const struct cw_json *c, struct cw_buf *out)
{
	cw_buf_printf(out, "%s: ", text_of(c, "source"));
	put_value(cw_json_get(c, "left"), out);
	cw_buf_printf(out, " %s ", text_of(c, "operator"));
	put_value(cw_json_get(c, "right"), out);
	cw_buf_printf(out, " is %s", flag_of(c, "result") ? "true" : "false");
}

static void put_call(const struct cw_json *s, struct cw_buf *out)
{
	const struct cw_json *arguments = cw_json_get(s, "arguments"), *contents = cw_json_get(s, "contents");
	const char *comma = "";

	cw_buf_printf(out, "%s:%s(tx", text_of(s, "state"), text_of(s, "method"));
	for (const struct cw_json *a = arguments != NULL ? arguments->first : NULL; a != NULL; a = a->next) {
		cw_buf_puts(out, ", ");
		put_value(a, out);
	}
	cw_buf_puts(out, ") = ");
	put_value(cw_json_get(s, "result"), out);
	cw_buf_printf(out, "   %s", text_of(s, "primitive"));
	for (const struct cw_json *m = contents != NULL ? contents->first : NULL; m != NULL; m = m->next) {
		cw_buf_printf(out, "%s %s ", comma, m->key);
		put_value(m, out);
		comma = ",";
	}
}

static void put_step(const struct cw_json *s, const char *indent, struct cw_buf *out)
{
	const char *kind = text_of(s, "kind");

	cw_buf_printf(out, "%s  %4s  ", indent, text_of(s, "line"));
	if (strcmp(kind, "call") == 0) {
		put_call(s, out);
	} else if (strcmp(kind, "comparison") == 0) {
		put_comparison(s, out);
	} else if (strcmp(kind, "condition") == 0) {
		cw_buf_printf(out, "if %s: %s", text_of(s, "source"), flag_of(s, "result") ? "yes" : "no");
	} else {
		cw_buf_puts(out, text_of(s, "source"));
	}
	cw_buf_putc(out, '\n');
}

static void put_when(const struct cw_json *when, const char *indent, struct cw_buf *out)
{
	for (const struct cw_json *list = when != NULL ? when->first : NULL; list != NULL; list = list->next)
		for (const struct cw_json *c = list->first; c != NULL; c = c->next) {
			cw_buf_printf(out, "%swhen %s %s:", indent, text_of(c, "condition"), flag_of(c, "holds") ? "holds" :
			              "does not hold");
			for (const struct cw_json *m = c->first; m != NULL; m = m->next)
				if (strcmp(m->key, "condition") != 0 && strcmp(m->key, "holds") != 0 && m->type != CW_JSON_NULL) {
					cw_buf_printf(out, " %s ", m->key);
					put_value(m, out);
				}
			cw_buf_putc(out, '\n');
		}
}

static void put_decision(const struct cw_json *rule, const char *indent, struct cw_buf *out)
{
	const struct cw_json *d = cw_json_get(rule, "decision"), *list;

	if (d == NULL || d->type != CW_JSON_OBJECT)
		return;
	list = cw_json_get(d, "comparisons");
	cw_buf_printf(out, "%sdecided in line %s: %s is %s\n", indent, text_of(d, "line"), text_of(d, "source"),
	              flag_of(d, "result") ? "true" : "false");
	for (const struct cw_json *c = list != NULL ? list->first : NULL; c != NULL; c = c->next) {
		cw_buf_printf(out, "%s  because ", indent);
		put_comparison(c, out);
		cw_buf_putc(out, '\n');
	}
}

void cw_explain_put_text(const struct cw_json *rule, const char *indent, struct cw_buf *out)
{
	const struct cw_json *steps = cw_json_get(rule, "steps"), *params = cw_json_get(rule, "params");

	put_decision(rule, indent, out);
	put_when(cw_json_get(rule, "when"), indent, out);
	if (params != NULL && params->first != NULL) {
		cw_buf_printf(out, "%sparams", indent);
		put_value(params, out);
		cw_buf_putc(out, '\n');
	}
	if (steps == NULL || steps->first == NULL)
		return;
	cw_buf_printf(out, "%sstep by step:\n", indent);
	for (const struct cw_json *s = steps->first; s != NULL; s = s->next)
		put_step(s, indent, out);
	if (strcmp(text_of(rule, "steps_left_out"), "0") != 0)
		cw_buf_printf(out, "%s  (%s steps in the middle are left out)\n", indent, text_of(rule, "steps_left_out"));
	if (!flag_of(rule, "comparisons"))
		cw_buf_printf(out, "%s  (comparisons are not shown: the rule is too large to be traced)\n", indent);
}
