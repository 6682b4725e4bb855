/* describe.c - what a state holds for a transaction, for people: its key, its options, and what the primitive adds. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "detect/primitive.h"

/* "from=0x..., selector=0xa9059cbb"; the chain is always part of a key. */
static void put_key(struct cw_buf *out, const struct cw_tx *tx, cw_fieldset fields)
{
	struct cw_dict_key key;
	const char *comma = "";

	if (!cw_fieldset_key(tx, fields, &key)) {
		cw_buf_puts(out, "none: the transaction lacks it");
		return;
	}
	if (fields == 0)
		cw_buf_printf(out, "chain=%llu", (unsigned long long)tx->chain_id);
	for (; fields != 0; fields >>= 8) {
		enum cw_field f = (enum cw_field)(fields & 0xff);
		const struct cw_address *address = cw_field_address(tx, f);
		char hash[CW_HASH_TEXT], text[CW_ADDRESS_TEXT];

		cw_buf_printf(out, "%s%s=", comma, cw_field_name(f));
		comma = ", ";
		if (address != NULL)
			cw_buf_puts(out, cw_address_format(address, text));
		else if (f == CW_FIELD_HASH)
			cw_buf_puts(out, cw_hash_format(&tx->hash, hash));
		else if (f == CW_FIELD_SELECTOR)
			cw_buf_printf(out, "0x%02x%02x%02x%02x", tx->input_head[0], tx->input_head[1], tx->input_head[2],
			              tx->input_head[3]);
		else if (f == CW_FIELD_CHAIN)
			cw_buf_printf(out, "%llu", (unsigned long long)tx->chain_id);
		else
			cw_buf_printf(out, "%.15g", cw_field_number(tx, f));
	}
}

static void put_option(const struct cw_opt *opt, const union cw_opt_value *val, struct cw_buf *out)
{
	char text[CW_FIELDSET_TEXT];

	switch (opt->type) {
	case CW_OPT_KEY: cw_json_put_cstring(out, cw_fieldset_format(val->key, text)); break;
	case CW_OPT_FIELD: cw_json_put_cstring(out, cw_field_name(val->field)); break;
	case CW_OPT_TEXT: cw_json_put_cstring(out, val->text); break;
	case CW_OPT_BOOL: cw_buf_puts(out, val->number != 0 ? "true" : "false"); break;
	case CW_OPT_SPAN: case CW_OPT_COUNT: case CW_OPT_NUMBER:
		if (isfinite(val->number))
			cw_json_put_double(out, val->number);
		else
			cw_buf_puts(out, "null");
		break;
	}
}

void cw_primitive_put_options(const struct cw_primitive *p, const union cw_opt_value *vals, struct cw_buf *out)
{
	for (int i = 0; p->opts[i].name != NULL; i++) {
		cw_buf_printf(out, "%s\"%s\":", i > 0 ? "," : "", p->opts[i].name);
		put_option(&p->opts[i], &vals[i], out);
	}
}

static bool changes_state(const struct cw_method *m)
{
	return strcmp(m->name, "add") == 0 || strcmp(m->name, "clear") == 0;
}

static void put_readings(const struct cw_primitive *p, void *handle, const struct cw_tx *tx, double field,
                         struct cw_buf *out)
{
	for (const struct cw_method *m = p->methods; m->name != NULL; m++) {
		const char *text;
		double x;

		if (changes_state(m) || !m->takes_tx)
			continue;
		x = m->fn(handle, tx, m->a == CW_ARG_FIELD ? field : NAN, m->b == CW_ARG_FIELD ? field : NAN);
		if (isnan(x))
			continue;
		cw_buf_printf(out, ",\"%s\":", m->name);
		if (m->result == CW_RESULT_BOOL)
			cw_buf_puts(out, x != 0 ? "true" : "false");
		else if (m->result == CW_RESULT_TEXT && p->text != NULL && (text = p->text(handle, (int)x)) != NULL)
			cw_json_put_cstring(out, text);
		else if (isfinite(x))
			cw_json_put_double(out, x);
		else
			cw_buf_puts(out, x > 0 ? "\"inf\"" : "\"-inf\"");
	}
}

void cw_primitive_describe(const struct cw_primitive *p, const union cw_opt_value *vals, void *handle,
                           const struct cw_tx *tx, double field, struct cw_buf *out)
{
	cw_fieldset fields = 0;

	for (int i = 0; p->opts[i].name != NULL; i++)
		if (p->opts[i].type == CW_OPT_KEY && strcmp(p->opts[i].name, "key") == 0)
			fields = vals[i].key;
	if (field > CW_FIELD_NONE && field < CW_FIELD_COUNT)
		fields = (cw_fieldset)field;
	cw_buf_puts(out, "\"key\":\"");
	put_key(out, tx, fields);
	cw_buf_putc(out, '"');
	put_readings(p, handle, tx, field, out);
	if (p->describe != NULL)
		p->describe(handle, tx, field, out);
}
