/* Any bytes into the JSON reader. What it accepts goes through the writer and back and must stay what it was. */
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition)
{
	if (!condition)
		abort();
}

static void check_double(const struct cw_json *v, struct cw_arena *arena)
{
	struct cw_buf text = CW_BUF_INIT;
	const struct cw_json *back;
	double want, got;

	if (cw_json_to_double(v, &want)) {
		cw_json_put_double(&text, want);
		back = cw_json_parse(text.data, text.len, 1, arena, NULL);
		check(back != NULL && cw_json_to_double(back, &got) && memcmp(&want, &got, sizeof(want)) == 0);
	}
	cw_buf_release(&text);
}

static void check_tree(const struct cw_json *v, unsigned depth, struct cw_arena *arena)
{
	uint32_t count = 0;

	check(depth <= CW_JSON_DEPTH_DEFAULT + 1);
	if (v->type == CW_JSON_NUMBER || v->type == CW_JSON_STRING)
		check(v->text[v->len] == '\0' && strlen(v->text) == v->len);
	if (v->type == CW_JSON_NUMBER)
		check_double(v, arena);
	for (const struct cw_json *m = v->first; m != NULL; m = m->next, count++) {
		check((m->key != NULL) == (v->type == CW_JSON_OBJECT));
		check(m->key == NULL || cw_json_get(v, m->key) == m);
		check_tree(m, depth + 1, arena);
	}
	check(count == v->count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_buf once = CW_BUF_INIT, twice = CW_BUF_INIT;
	struct cw_json_error error;
	const struct cw_json *v = cw_json_parse((const char *)data, size, CW_JSON_DEPTH_DEFAULT, arena, &error);

	check((v == NULL) == (error.fault != CW_JSON_OK));
	if (v == NULL) {
		check(error.offset <= size && error.line >= 1 && error.column >= 1 && error.what[0] != '\0');
	} else {
		check_tree(v, 1, arena);
		cw_json_put_value(&once, v);
		v = cw_json_parse(once.data, once.len, CW_JSON_DEPTH_DEFAULT, arena, &error);
		check(v != NULL);
		cw_json_put_value(&twice, v);
		check(once.len == twice.len && memcmp(once.data, twice.data, once.len) == 0);
	}
	cw_buf_clear(&once);
	cw_json_put_string(&once, (const char *)data, size);   /* any bytes make a valid string, but for NUL */
	v = cw_json_parse(once.data, once.len, 1, arena, &error);
	check(v != NULL || (error.fault == CW_JSON_REFUSED && memchr(data, 0, size) != NULL));
	cw_buf_release(&once);
	cw_buf_release(&twice);
	cw_arena_free(&arena);
	return 0;
}
