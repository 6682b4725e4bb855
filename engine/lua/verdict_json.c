#include "lua/verdict_json.h"

#include "base/buf.h"
#include "base/json.h"
#include "pipeline/pipeline.h"

static void put_alert(struct cw_buf *out, const struct cw_outcome_alert *a)
{
	cw_buf_puts(out, "{\"id\":");
	cw_buf_uint(out, (uint64_t)a->id);
	cw_buf_puts(out, a->founded ? ",\"new\":true,\"rule\":" : ",\"new\":false,\"rule\":");
	cw_json_put_cstring(out, a->rule);
	cw_buf_puts(out, ",\"version\":");
	cw_json_put_cstring(out, a->version);
	cw_buf_puts(out, ",\"title\":");
	cw_json_put_cstring(out, a->title);
	cw_buf_puts(out, ",\"severity\":\"");
	cw_buf_puts(out, cw_severity_name(a->severity));
	cw_buf_puts(out, "\",\"score\":");
	cw_json_put_double(out, a->score);
	cw_buf_puts(out, ",\"confidence\":");
	cw_json_put_double(out, a->confidence);
	cw_buf_puts(out, ",\"explanation\":");
	cw_json_put_cstring(out, a->explanation);
	cw_buf_puts(out, ",\"features\":");
	cw_buf_puts(out, a->features);
	cw_buf_printf(out, ",\"role\":\"%s\",\"entity\":", cw_alert_role_name(a->role));
	if (a->entity[0] != '\0')
		cw_json_put_cstring(out, a->entity);
	else
		cw_buf_puts(out, "null");
	cw_buf_puts(out, ",\"labels\":");
	cw_buf_puts(out, a->labels);
	cw_buf_putc(out, '}');
}

void cw_put_verdict(struct cw_buf *out, const struct cw_outcome *o)
{
	char hash[CW_HASH_TEXT];

	cw_buf_puts(out, "{\"hash\":\"");
	cw_buf_puts(out, cw_hash_format(&o->tx->hash, hash));
	cw_buf_puts(out, "\",\"chainId\":\"");
	cw_buf_uint(out, o->tx->chain_id);
	cw_buf_puts(out, "\",\"transaction_id\":");
	cw_buf_uint(out, (uint64_t)o->transaction_id);
	cw_buf_puts(out, o->duplicate ? ",\"duplicate\":true" : ",\"duplicate\":false");
	cw_buf_puts(out, o->is_anomaly ? ",\"is_anomaly\":true,\"anomaly_score\":" : ",\"is_anomaly\":false,\"anomaly_score\":");
	cw_json_put_double(out, o->score);
	cw_buf_puts(out, ",\"confidence\":");
	cw_json_put_double(out, o->confidence);
	cw_buf_puts(out, ",\"severity\":");
	if (o->is_anomaly)
		cw_json_put_cstring(out, cw_severity_name(o->severity));
	else
		cw_buf_puts(out, "null");
	cw_buf_puts(out, ",\"ruleset\":");
	cw_json_put_cstring(out, o->ruleset);
	cw_buf_puts(out, ",\"suppressed\":");
	cw_buf_uint(out, (uint64_t)o->nsuppressed);
	cw_buf_puts(out, ",\"alerts\":[");
	for (int i = 0; i < o->nalerts; i++) {
		if (i > 0)
			cw_buf_putc(out, ',');
		put_alert(out, &o->alerts[i]);
	}
	cw_buf_puts(out, "]}");
}

void cw_put_tx_faults(struct cw_buf *out, const char *prefix, const struct cw_tx_faults *faults, int *count)
{
	for (int i = 0; i < faults->count; i++) {
		struct cw_buf pointer = CW_BUF_INIT;

		cw_buf_puts(out, (*count)++ > 0 ? ",{\"pointer\":" : "{\"pointer\":");
		cw_buf_printf(&pointer, "%s%s", prefix, faults->list[i].pointer);
		cw_json_put_cstring(out, pointer.data);
		cw_buf_puts(out, ",\"detail\":");
		cw_json_put_cstring(out, faults->list[i].what);
		cw_buf_putc(out, '}');
		cw_buf_release(&pointer);
	}
}

void cw_put_json_error(struct cw_buf *out, const struct cw_json_error *error)
{
	cw_buf_printf(out, "line %u, column %u: %s", error->line, error->column, error->what);
}

int cw_json_error_status(const struct cw_json_error *error, const char **code)
{
	*code = error->fault == CW_JSON_SYNTAX ? "json_syntax" : error->fault == CW_JSON_TOO_DEEP ? "json_too_deep" : "json_refused";
	return error->fault == CW_JSON_REFUSED ? 422 : 400;
}
