/* primitive.c - the list of all primitives, their options as authors write them, the digest of a declaration. */
#include "detect/primitive.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "detect/all.h"

/* Seconds a unit, largest first: the order in which spans are written. */
static const struct {
	char unit;
	double seconds;
} span_units[] = { { 'w', 604800 }, { 'd', 86400 }, { 'h', 3600 }, { 'm', 60 }, { 's', 1 } };

#define SPAN_UNITS (sizeof(span_units) / sizeof(span_units[0]))

const struct cw_primitive *const cw_primitives[] = {
	CW_ALL_PRIMITIVES
	NULL,
};

const struct cw_primitive *cw_primitive_find(const char *table, const char *name)
{
	for (int i = 0; cw_primitives[i] != NULL; i++)
		if (strcmp(cw_primitives[i]->table, table) == 0 && strcmp(cw_primitives[i]->name, name) == 0)
			return cw_primitives[i];
	return NULL;
}

/* Digits with at most one point; false if there are none. Own code: strtod follows the locale. */
static bool parse_decimal(const char **text, double *out)
{
	const char *p = *text;
	double value = 0, scale = 1;
	bool point = false;
	int digits = 0;

	for (; (*p >= '0' && *p <= '9') || (*p == '.' && !point); p++) {
		if (*p == '.') {
			point = true;
			continue;
		}
		if (++digits > 15)
			return false;
		value = value * 10 + (*p - '0');
		if (point)
			scale *= 10;
	}
	*text = p;
	*out = value / scale;
	return digits > 0;
}

bool cw_span_parse(const char *text, double *seconds)
{
	double total = 0, number, last = INFINITY;

	do {
		double unit = 0;

		if (!parse_decimal(&text, &number))
			return false;
		for (size_t i = 0; i < SPAN_UNITS; i++)
			if (*text == span_units[i].unit)
				unit = span_units[i].seconds;
		if (unit == 0) {   /* bare seconds, alone or not at all */
			*seconds = number;
			return *text == '\0' && isinf(last);
		}
		if (unit >= last)
			return false;
		last = unit;
		total += number * unit;
		text++;
	} while (*text != '\0');
	*seconds = total;
	return true;
}

char *cw_span_format(double seconds, char out[CW_SPAN_TEXT])
{
	if (seconds > 0)
		for (size_t i = 0; i < SPAN_UNITS; i++)
			if (fmod(seconds, span_units[i].seconds) == 0 && (span_units[i].unit != 'w' || seconds == 604800)) {
				snprintf(out, CW_SPAN_TEXT, "%.0f%c", seconds / span_units[i].seconds, span_units[i].unit);
				return out;
			}
	snprintf(out, CW_SPAN_TEXT, "%.6gs", seconds);
	return out;
}

/* "window.distinct: option "span" " and then what is wrong with it. */
static int refuse(struct cw_err *err, const struct cw_primitive *p, const struct cw_opt *opt, const char *what)
{
	return cw_err_set(err, CW_ERR_INVALID, "%s.%s: option \"%s\" %s", p->table, p->name, opt->name, what);
}

static int check_range(const struct cw_primitive *p, const struct cw_opt *opt, double value, struct cw_err *err)
{
	char what[160], lo[CW_SPAN_TEXT], hi[CW_SPAN_TEXT];

	if (value >= opt->min && value <= opt->max)
		return 0;
	if (opt->type == CW_OPT_SPAN)
		snprintf(what, sizeof(what), "must be between %s and %s", cw_span_format(opt->min, lo),
		         cw_span_format(opt->max, hi));
	else
		snprintf(what, sizeof(what), "must be between %.15g and %.15g", opt->min, opt->max);
	return refuse(err, p, opt, what);
}

static int read_text(const struct cw_primitive *p, const struct cw_opt *opt, const char *text,
                     union cw_opt_value *val, struct cw_err *err)
{
	char what[200];

	switch (opt->type) {
	case CW_OPT_KEY:
		if (cw_fieldset_parse(text, &val->key) && (val->key != 0 || !opt->required))
			return 0;
		snprintf(what, sizeof(what), "must name up to three fields joined with +, like \"from\" or \"to+selector\", "
		         "not \"%.40s\"", text);
		return refuse(err, p, opt, what);
	case CW_OPT_FIELD:
		val->field = cw_field_parse(text);
		if (cw_field_is_number(val->field))
			return 0;
		snprintf(what, sizeof(what), "must name a field that is a number, like \"value\" or \"gas_price\", "
		         "not \"%.40s\"", text);
		return refuse(err, p, opt, what);
	case CW_OPT_SPAN:
		if (cw_span_parse(text, &val->number))
			return check_range(p, opt, val->number, err);
		snprintf(what, sizeof(what), "must be a duration like \"90s\", \"10m\", \"36h\" or \"7d\", not \"%.40s\"", text);
		return refuse(err, p, opt, what);
	case CW_OPT_TEXT: val->text = text; return 0;
	case CW_OPT_COUNT: return refuse(err, p, opt, "must be a whole number, not text");
	case CW_OPT_NUMBER: return refuse(err, p, opt, "must be a number, not text");
	case CW_OPT_BOOL: return refuse(err, p, opt, "must be true or false, not text");
	}
	return refuse(err, p, opt, "has an unknown type");
}

static int read_number(const struct cw_primitive *p, const struct cw_opt *opt, double number,
                       union cw_opt_value *val, struct cw_err *err)
{
	switch (opt->type) {
	case CW_OPT_SPAN:
	case CW_OPT_NUMBER:
		if (!isfinite(number))
			return refuse(err, p, opt, "must be a finite number");
		break;
	case CW_OPT_COUNT:
		if (!isfinite(number) || number != floor(number))
			return refuse(err, p, opt, "must be a whole number");
		break;
	case CW_OPT_BOOL: return refuse(err, p, opt, "must be true or false, not a number");
	case CW_OPT_KEY:
	case CW_OPT_FIELD: return refuse(err, p, opt, "must name a field, not be a number");
	case CW_OPT_TEXT: return refuse(err, p, opt, "must be text, not a number");
	}
	val->number = number;
	return check_range(p, opt, number, err);
}

static int read_option(const struct cw_primitive *p, const struct cw_opt *opt, const struct cw_raw_opt *raw,
                       union cw_opt_value *val, struct cw_err *err)
{
	switch (raw->type) {
	case CW_RAW_TEXT: return read_text(p, opt, raw->text, val, err);
	case CW_RAW_NUMBER: return read_number(p, opt, raw->number, val, err);
	case CW_RAW_BOOL:
		if (opt->type != CW_OPT_BOOL)
			return refuse(err, p, opt, "must not be true or false");
		val->number = raw->number != 0;
		return 0;
	case CW_RAW_NIL: break;
	}
	return refuse(err, p, opt, "has no value");
}

static void set_default(const struct cw_opt *opt, union cw_opt_value *val)
{
	const char *text = opt->def_text != NULL ? opt->def_text : "";

	memset(val, 0, sizeof(*val));
	switch (opt->type) {
	case CW_OPT_KEY: cw_fieldset_parse(text, &val->key); break;
	case CW_OPT_FIELD: val->field = cw_field_parse(text); break;
	case CW_OPT_TEXT: val->text = text; break;
	default: val->number = opt->def; break;
	}
}

static const struct cw_opt *find_option(const struct cw_primitive *p, const char *name)
{
	for (const struct cw_opt *opt = p->opts; opt->name != NULL; opt++)
		if (strcmp(opt->name, name) == 0)
			return opt;
	return NULL;
}

static int refuse_unknown(const struct cw_primitive *p, const char *name, struct cw_err *err)
{
	char known[256] = "";
	size_t len = 0;

	for (const struct cw_opt *opt = p->opts; opt->name != NULL && len < sizeof(known); opt++)
		len += (size_t)snprintf(known + len, sizeof(known) - len, "%s%s", len > 0 ? ", " : "", opt->name);
	return cw_err_set(err, CW_ERR_INVALID, "%s.%s: unknown option \"%.60s\"; it takes %s", p->table, p->name, name,
	                  known);
}

int cw_primitive_read_options(const struct cw_primitive *p, const struct cw_raw_opt *raw, size_t nraw,
                              union cw_opt_value *vals, struct cw_err *err)
{
	uint32_t given = 0;
	int at = 0;

	for (const struct cw_opt *opt = p->opts; opt->name != NULL; opt++)
		set_default(opt, &vals[at++]);
	for (size_t i = 0; i < nraw; i++) {
		const struct cw_opt *opt = find_option(p, raw[i].name);

		if (opt == NULL)
			return refuse_unknown(p, raw[i].name, err);
		if (raw[i].type == CW_RAW_NIL)
			continue;
		at = (int)(opt - p->opts);
		if ((given & (1u << at)) != 0)
			return refuse(err, p, opt, "is given twice");
		given |= 1u << at;
		if (read_option(p, opt, &raw[i], &vals[at], err) != 0)
			return -1;
	}
	for (const struct cw_opt *opt = p->opts; opt->name != NULL; opt++)
		if (opt->required && (given & (1u << (opt - p->opts))) == 0)
			return refuse(err, p, opt, "is missing");
	return 0;
}

void cw_primitive_digest(const struct cw_primitive *p, const union cw_opt_value *vals, uint8_t out[16])
{
	uint64_t lo = 1, hi = 2;
	int at = 0;

#define MIX(ptr, len) (lo = cw_hash64((ptr), (len), lo), hi = cw_hash64((ptr), (len), hi))
	MIX(p->table, strlen(p->table));
	MIX(p->name, strlen(p->name));
	MIX(&p->version, sizeof(p->version));
	for (const struct cw_opt *opt = p->opts; opt->name != NULL; opt++, at++) {
		uint32_t field = vals[at].field;

		MIX(opt->name, strlen(opt->name));
		switch (opt->type) {
		case CW_OPT_KEY: MIX(&vals[at].key, sizeof(vals[at].key)); break;
		case CW_OPT_FIELD: MIX(&field, sizeof(field)); break;
		case CW_OPT_TEXT: MIX(vals[at].text, strlen(vals[at].text)); break;
		default: MIX(&vals[at].number, sizeof(vals[at].number)); break;
		}
	}
#undef MIX
	memcpy(out, &lo, 8);
	memcpy(out + 8, &hi, 8);
}
