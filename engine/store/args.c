/* Arguments of an operation: text in, checked values out. */
#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/suggest.h"
#include "base/utf8.h"
#include "chain/hex.h"
#include "chain/u256.h"
#include "store/repo.h"

#define JSON_DEPTH 32
#define TEXT_SHOWN 64                /* of a wrong value, in a message */

void cw_args_init(struct cw_args *args, const struct cw_op *op, struct cw_arena *arena)
{
	cw_assert(op->nargs <= CW_ARGS_MAX);
	memset(args, 0, sizeof(*args));
	args->op = op;
	args->arena = arena;
}

static int find(const struct cw_op *op, const char *name)
{
	for (int i = 0; i < op->nargs; i++)
		if (strcmp(op->args[i].name, name) == 0)
			return i;
	return -1;
}

static int unknown(const struct cw_args *args, const char *name, struct cw_err *err)
{
	const char *names[CW_ARGS_MAX + 1], *near;

	for (int i = 0; i < args->op->nargs; i++)
		names[i] = args->op->args[i].name;
	names[args->op->nargs] = NULL;
	near = cw_suggest(name, names);
	if (near == NULL)
		return cw_err_set(err, CW_ERR_INVALID, "%s.%s has no argument \"%.64s\"", args->op->repo, args->op->name, name);
	return cw_err_set(err, CW_ERR_INVALID, "%s.%s has no argument \"%.64s\"; did you mean \"%s\"?", args->op->repo,
	                  args->op->name, name, near);
}

static int wrong(const struct cw_arg_spec *spec, const char *what, const char *text, size_t len, struct cw_err *err)
{
	int shown = (int)(len < TEXT_SHOWN ? len : TEXT_SHOWN);

	return cw_err_set(err, CW_ERR_INVALID, "\"%s\" must be %s, not \"%.*s\"", spec->name, what, shown, text);
}

static int check_range(const struct cw_arg_spec *spec, double value, struct cw_err *err)
{
	if (spec->min == 0 && spec->max == 0)
		return 0;
	if (value >= spec->min && value <= spec->max)
		return 0;
	return cw_err_set(err, CW_ERR_INVALID, "\"%s\" must be between %g and %g", spec->name, spec->min, spec->max);
}

static int set_int(struct cw_arg *arg, const struct cw_arg_spec *spec, const char *text, size_t len, struct cw_err *err)
{
	size_t digits = len > 0 && text[0] == '-' ? 1 : 0;

	if (digits == len)
		return wrong(spec, "a whole number", text, len, err);
	for (size_t i = digits; i < len; i++)
		if (text[i] < '0' || text[i] > '9')
			return wrong(spec, "a whole number", text, len, err);
	errno = 0;
	arg->integer = strtoll(text, NULL, 10);
	if (errno != 0)
		return wrong(spec, "a whole number below 2^63", text, len, err);
	return check_range(spec, (double)arg->integer, err);
}

static int set_number(struct cw_arg *arg, const struct cw_arg_spec *spec, const char *text, size_t len,
                      struct cw_err *err)
{
	char *end;

	arg->number = strtod(text, &end);
	if (len == 0 || end != text + len || !isfinite(arg->number))
		return wrong(spec, "a number", text, len, err);
	return check_range(spec, arg->number, err);
}

static int set_time(struct cw_arg *arg, const struct cw_arg_spec *spec, const char *text, size_t len, struct cw_err *err)
{
	struct cw_arg_spec any = { .name = spec->name };

	if (cw_time_parse(text, &arg->integer) == 0)
		return 0;
	if (set_int(arg, &any, text, len, NULL) != 0 || arg->integer < 0 || arg->integer > 253402300799)
		return wrong(spec, "a time (RFC 3339, or seconds since 1970)", text, len, err);
	arg->integer *= 1000000;
	return 0;
}

static int set_hex(struct cw_arg *arg, struct cw_arena *arena, const struct cw_arg_spec *spec, const char *text,
                   size_t len, struct cw_err *err)
{
	struct cw_hash hash;
	struct cw_address address;

	switch (spec->type) {
	case CW_ARG_HASH:
		if (!cw_hash_parse(&hash, text, len))
			return wrong(spec, "a hash (0x and 64 hex digits)", text, len, err);
		arg->text = cw_arena_strndup(arena, (const char *)hash.b, arg->len = sizeof(hash.b));
		return 0;
	case CW_ARG_ADDRESS:
		if (cw_address_parse(&address, text, len) == CW_ADDRESS_CHECKSUM)
			return wrong(spec, "an address whose mixed case is its EIP-55 checksum", text, len, err);
		if (cw_address_parse(&address, text, len) != CW_ADDRESS_OK)
			return wrong(spec, "an address (0x and 40 hex digits)", text, len, err);
		arg->text = cw_arena_strndup(arena, (const char *)address.b, arg->len = sizeof(address.b));
		return 0;
	default:
		if (len < 2 || len % 2 != 0 || text[0] != '0' || text[1] != 'x')
			return wrong(spec, "bytes (0x and hex digits)", text, len, err);
		arg->len = len / 2 - 1;
		arg->text = cw_arena_alloc(arena, arg->len + 1);
		if (!cw_hex_decode((uint8_t *)(uintptr_t)arg->text, text + 2, len - 2))
			return wrong(spec, "bytes (0x and hex digits)", text, len, err);
		return 0;
	}
}

static bool is_choice(const char *choices, const char *text, size_t len)
{
	while (*choices != '\0') {
		size_t n = strcspn(choices, "|");

		if (n == len && memcmp(choices, text, n) == 0)
			return true;
		choices += n + (choices[n] == '|');
	}
	return false;
}

static int set_choice(struct cw_arg *arg, struct cw_arena *arena, const struct cw_arg_spec *spec, const char *text,
                      size_t len, struct cw_err *err)
{
	if (!is_choice(spec->choices, text, len))
		return cw_err_set(err, CW_ERR_INVALID, "\"%s\" must be one of %s, not \"%.*s\"", spec->name, spec->choices,
		                  (int)(len < TEXT_SHOWN ? len : TEXT_SHOWN), text);
	arg->text = cw_arena_strndup(arena, text, arg->len = len);
	return 0;
}

static void push(struct cw_arg *arg, struct cw_arena *arena, const char *text, size_t len)
{
	struct cw_arg_text *list = cw_arena_alloc(arena, (arg->nlist + 1) * sizeof(*list));

	if (arg->nlist > 0)
		memcpy(list, arg->list, arg->nlist * sizeof(*list));
	list[arg->nlist++] = (struct cw_arg_text){ cw_arena_strndup(arena, text, len), len };
	arg->list = list;
}

static int set_choices(struct cw_arg *arg, struct cw_arena *arena, const struct cw_arg_spec *spec, const char *text,
                       size_t len, struct cw_err *err)
{
	for (size_t at = 0; at < len;) {
		const char *comma = memchr(text + at, ',', len - at);
		size_t n = comma != NULL ? (size_t)(comma - text) - at : len - at;
		struct cw_arg one = { .set = false };

		if (set_choice(&one, arena, spec, text + at, n, err) != 0)
			return -1;
		push(arg, arena, text + at, n);
		at += n + 1;
	}
	return 0;
}

static int set_json(struct cw_arg *arg, struct cw_arena *arena, const struct cw_arg_spec *spec, const char *text,
                    size_t len, struct cw_err *err)
{
	struct cw_json_error fault;

	if (cw_json_parse(text, len, JSON_DEPTH, arena, &fault) == NULL)
		return cw_err_set(err, CW_ERR_INVALID, "\"%s\" is not JSON: %s at byte %zu", spec->name, fault.what, fault.offset);
	arg->text = cw_arena_strndup(arena, text, arg->len = len);
	return 0;
}

static int set_amount(struct cw_arg *arg, struct cw_arena *arena, const struct cw_arg_spec *spec, const char *text,
                      size_t len, struct cw_err *err)
{
	bool hex = len > 2 && text[0] == '0' && text[1] == 'x';
	struct cw_u256 amount;

	if (hex ? !cw_u256_parse_hex(&amount, text + 2, len - 2) : !cw_u256_parse_decimal(&amount, text, len))
		return wrong(spec, "a whole number below 2^256 in decimal or 0x hex digits", text, len, err);
	arg->text = cw_arena_strndup(arena, (const char *)&amount, arg->len = sizeof(amount));
	return 0;
}

static int set_inet(struct cw_arg *arg, const struct cw_arg_spec *spec, const char *text, size_t len, struct cw_err *err)
{
	struct in6_addr address;

	if (inet_pton(AF_INET, text, &address) != 1 && inet_pton(AF_INET6, text, &address) != 1)
		return wrong(spec, "an IPv4 or IPv6 address", text, len, err);
	arg->text = text;
	arg->len = len;
	return 0;
}

static int set_value(struct cw_args *args, struct cw_arg *arg, const struct cw_arg_spec *spec, const char *text,
                     size_t len, struct cw_err *err)
{
	bool is_true = strcmp(text, "true") == 0 || strcmp(text, "1") == 0;

	switch (spec->type) {
	case CW_ARG_TEXT:
		arg->text = text;
		arg->len = len;
		return 0;
	case CW_ARG_INT: return set_int(arg, spec, text, len, err);
	case CW_ARG_NUMBER: return set_number(arg, spec, text, len, err);
	case CW_ARG_BOOL:
		if (!is_true && strcmp(text, "false") != 0 && strcmp(text, "0") != 0)
			return wrong(spec, "true or false", text, len, err);
		arg->flag = is_true;
		return 0;
	case CW_ARG_TIME: return set_time(arg, spec, text, len, err);
	case CW_ARG_HASH:
	case CW_ARG_ADDRESS:
	case CW_ARG_BYTES: return set_hex(arg, args->arena, spec, text, len, err);
	case CW_ARG_JSON: return set_json(arg, args->arena, spec, text, len, err);
	case CW_ARG_CHOICE: return set_choice(arg, args->arena, spec, text, len, err);
	case CW_ARG_TEXTS: push(arg, args->arena, text, len); return 0;
	case CW_ARG_CHOICES: return set_choices(arg, args->arena, spec, text, len, err);
	case CW_ARG_INET: return set_inet(arg, spec, text, len, err);
	case CW_ARG_AMOUNT: return set_amount(arg, args->arena, spec, text, len, err);
	}
	return -1;
}

int cw_args_set(struct cw_args *args, const char *name, const char *text, size_t len, struct cw_err *err)
{
	int i = find(args->op, name);
	const char *copy;

	if (i < 0)
		return unknown(args, name, err);
	if (cw_utf8_check(text, len) != len || memchr(text, '\0', len) != NULL)
		return cw_err_set(err, CW_ERR_INVALID, "\"%s\" must be UTF-8 text without NUL", name);
	copy = cw_arena_strndup(args->arena, text, len);
	if (set_value(args, &args->values[i], &args->op->args[i], copy, len, err) != 0)
		return -1;
	args->values[i].set = true;
	return 0;
}

int cw_args_type(const struct cw_args *args, const char *name)
{
	int i = find(args->op, name);

	return i >= 0 ? (int)args->op->args[i].type : -1;
}

/* --- from C --- */

static struct cw_arg *value_of(struct cw_args *args, const char *name)
{
	static struct cw_arg nowhere;
	int i = find(args->op, name);

	if (i < 0) {
		cw_bug("%s.%s has no argument \"%s\"", args->op->repo, args->op->name, name);
		return &nowhere;
	}
	args->values[i].set = true;
	return &args->values[i];
}

void cw_args_text(struct cw_args *args, const char *name, const char *text)
{
	struct cw_err err = { 0 };

	if (text != NULL && cw_args_set(args, name, text, strlen(text), &err) != 0)
		cw_bug("%s", err.msg);
}

void cw_args_int(struct cw_args *args, const char *name, int64_t value)
{
	value_of(args, name)->integer = value;
}

void cw_args_number(struct cw_args *args, const char *name, double value)
{
	value_of(args, name)->number = value;
}

void cw_args_bool(struct cw_args *args, const char *name, bool value)
{
	value_of(args, name)->flag = value;
}

void cw_args_time(struct cw_args *args, const char *name, int64_t wall_us)
{
	value_of(args, name)->integer = wall_us;
}

void cw_args_bytes(struct cw_args *args, const char *name, const void *bytes, size_t len)
{
	struct cw_arg *arg = value_of(args, name);

	arg->text = cw_arena_strndup(args->arena, bytes, len);
	arg->len = len;
}
