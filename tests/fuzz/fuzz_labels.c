/* fuzz_labels.c - label lists in all formats: what is read can be stored and is within its bounds, what is refused says why
 * and where. First byte: format, and whether bad rows are skipped. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/utf8.h"
#include "source/labels.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition)
{
	if (!condition)
		abort();
}

static void check_text(const char *text, size_t max)
{
	check(text != NULL && strlen(text) <= max && cw_utf8_check(text, strlen(text)) == strlen(text));
}

static void check_rows(const struct cw_labels *labels, struct cw_arena *arena)
{
	struct cw_buf out = CW_BUF_INIT;
	struct cw_json_error fault;
	const struct cw_json *rows;

	for (size_t i = 0; i < labels->n; i++) {
		const struct cw_label *l = &labels->rows[i];

		check_text(l->category, CW_LABEL_CATEGORY_MAX);
		check_text(l->name, CW_LABEL_TEXT_MAX);
		check_text(l->source, CW_LABEL_TEXT_MAX);
		check(isnan(l->confidence) || (l->confidence >= 0 && l->confidence <= 1));
		check(l->first_seen >= 0 && l->last_seen >= 0 && l->expires >= 0 && l->chain_id <= INT64_MAX);
	}
	cw_labels_put_rows(labels, 0, SIZE_MAX, &out);
	rows = cw_json_parse(out.data, out.len, 4, arena, &fault);
	check(rows != NULL && rows->type == CW_JSON_ARRAY && rows->count == labels->n);
	cw_buf_clear(&out);
	cw_buf_putc(&out, '{');
	cw_labels_put_report(labels, &out);
	cw_buf_putc(&out, '}');
	check(cw_json_parse(out.data, out.len, 4, arena, &fault) != NULL);
	cw_buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cw_labels_conf conf = { .file = "f", .confidence = NAN, .chain_id = -1 };
	struct cw_arena *arena = cw_arena_new();
	struct cw_labels labels;
	struct cw_err err = { 0 };

	if (size > 0) {
		conf.format = (enum cw_labels_format)(data[0] % 5);
		conf.skip_bad = (data[0] & 64) != 0;
		if (cw_labels_read(&labels, (const char *)data + 1, size - 1, &conf, arena, &err) == 0)
			check(labels.n > 0);
		else
			check(err.code == CW_ERR_INVALID && strncmp(err.msg, "f:", 2) == 0);
		if (err.code == 0)
			check_rows(&labels, arena);
	}
	cw_arena_free(&arena);
	return 0;
}
