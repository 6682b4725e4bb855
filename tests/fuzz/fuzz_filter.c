/* fuzz_filter.c - arguments of the repositories as text, and page cursors: every operation takes what is valid or says
 * which argument is wrong, and writes a statement whose parameters are all there; a cursor that is taken is the one that
 * its keys make. First byte: the operation; then lines "name=value". */
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/err.h"
#include "store/build.h"
#include "store/cursor.h"
#include "store/repo.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool condition)
{
	if (!condition)
		abort();
}

static const struct cw_op *op_at(uint8_t n)
{
	int count = 0;

	while (cw_ops[count] != NULL)
		count++;
	return cw_ops[n % count];
}

static void check_cursor(const char *owner, const char *text, size_t len)
{
	struct cw_cursor cursor;
	char again[CW_CURSOR_TEXT];

	if (!cw_cursor_parse(&cursor, owner, text, len))
		return;
	check(cursor.count >= 1 && cursor.count <= CW_CURSOR_KEYS);
	cw_cursor_format(&cursor, owner, again);
	check(strlen(again) == len && memcmp(again, text, len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_args *args = cw_arena_alloc(arena, sizeof(*args));
	const struct cw_op *op = op_at(size > 0 ? data[0] : 0);
	const char *at = (const char *)data + (size > 0), *end = (const char *)data + size;

	cw_args_init(args, op, arena);
	while (at < end) {
		const char *stop = memchr(at, '\n', (size_t)(end - at)), *equals;
		struct cw_err err = { 0 };

		stop = stop != NULL ? stop : end;
		equals = memchr(at, '=', (size_t)(stop - at));
		if (equals != NULL) {
			char *name = cw_arena_strndup(arena, at, (size_t)(equals - at));

			check(cw_args_set(args, name, equals + 1, (size_t)(stop - equals - 1), &err) == 0 ||
			      (err.code == CW_ERR_INVALID && err.msg[0] != '\0'));
			check_cursor(op->name, equals + 1, (size_t)(stop - equals - 1));
		}
		at = stop + 1;
	}
	cw_arena_free(&arena);
	return 0;
}
