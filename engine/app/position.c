#include "app/position.h"

#include <inttypes.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"

#define WHOLE_MAX (INT64_C(1) << 53)
#define FIELDS 9

static const struct field { const char *name; size_t at; int64_t min; } fields[FIELDS] = {
	{ "seq", offsetof(struct cw_position, seq), 1 },
	{ "alerts_bytes", offsetof(struct cw_position, alerts_bytes), 0 },
	{ "transactions", offsetof(struct cw_position, transactions), 0 },
	{ "warmed", offsetof(struct cw_position, warmed), 0 },
	{ "faults", offsetof(struct cw_position, faults), 0 },
	{ "first", offsetof(struct cw_position, first_s), -WHOLE_MAX },
	{ "last", offsetof(struct cw_position, last_s), -WHOLE_MAX },
	{ "cpu_us", offsetof(struct cw_position, cpu_us), 0 },
	{ "wall_us", offsetof(struct cw_position, wall_us), 0 },
};

static int64_t *member(const struct cw_position *position, const struct field *f)
{
	return (int64_t *)((uintptr_t)position + f->at);
}

void cw_position_put(const struct cw_position *position, struct cw_buf *out)
{
	for (int i = 0; i < FIELDS; i++)
		cw_buf_printf(out, "%s\"%s\":%" PRId64, i == 0 ? "{" : ",", fields[i].name, *member(position, &fields[i]));
	cw_buf_puts(out, "}\n");
}

int cw_position_read(struct cw_position *position, const char *text, size_t len, struct cw_arena *arena,
                     struct cw_err *err)
{
	struct cw_json_error fault;
	const struct cw_json *json = cw_json_parse(text, len, 2, arena, &fault);

	if (json == NULL)
		return cw_err_set(err, CW_ERR_INVALID, "line %u: %s", fault.line, fault.what);
	if (json->type != CW_JSON_OBJECT)
		return cw_err_set(err, CW_ERR_INVALID, "it is not a JSON object");
	for (int i = 0; i < FIELDS; i++) {
		const struct cw_json *v = cw_json_get(json, fields[i].name);
		int64_t *number = member(position, &fields[i]);

		if (v == NULL || !cw_json_to_i64(v, number) || *number < fields[i].min || *number > WHOLE_MAX)
			return cw_err_set(err, CW_ERR_INVALID, "\"%s\" is not a whole number that it can have", fields[i].name);
	}
	return 0;
}
