/* apidoc_db.c - the part of docs/LUA_API.md and of the stubs that comes from the repositories. Apart from apidoc.c, because
 * operations and primitives both have an enum of arguments. */
#include <stdbool.h>
#include <string.h>

#include "base/buf.h"
#include "lua/apidoc.h"
#include "store/repo.h"

static const char *arg_type(const struct cw_arg_spec *arg)
{
	switch (arg->type) {
	case CW_ARG_TEXT:
	case CW_ARG_INET:
	case CW_ARG_HASH:
	case CW_ARG_ADDRESS:
	case CW_ARG_BYTES: return "string";
	case CW_ARG_INT: return "integer";
	case CW_ARG_NUMBER: return "number";
	case CW_ARG_BOOL: return "boolean";
	case CW_ARG_TIME: return "string|number";
	case CW_ARG_JSON: return "any";
	case CW_ARG_AMOUNT: return "string|integer";
	case CW_ARG_TEXTS:
	case CW_ARG_CHOICES: return "string[]";
	case CW_ARG_CHOICE: break;
	}
	return NULL;
}

/* "low|high" as "\"low\"|\"high\"". */
static void put_choices(struct cw_buf *out, const char *choices)
{
	while (*choices != '\0') {
		size_t len = strcspn(choices, "|");

		cw_buf_printf(out, "\"%.*s\"", (int)len, choices);
		choices += len;
		if (*choices == '|') {
			cw_buf_putc(out, '|');
			choices++;
		}
	}
}

static void put_op_args(struct cw_buf *out, const struct cw_op *op)
{
	if (op->nargs == 0)
		return;
	cw_buf_puts(out, "{ ");
	for (int i = 0; i < op->nargs; i++) {
		const struct cw_arg_spec *arg = &op->args[i];
		const char *type = arg_type(arg);

		cw_buf_printf(out, "%s%s%s: ", i > 0 ? ", " : "", arg->name, arg->required ? "" : "?");
		if (type != NULL)
			cw_buf_puts(out, type);
		else
			put_choices(out, arg->choices);
	}
	cw_buf_puts(out, " }");
}

static const char *op_result(const struct cw_op *op)
{
	switch (op->kind) {
	case CW_OP_ONE: return "table?";
	case CW_OP_PAGE: return "cw.Page?";
	case CW_OP_ROWS: return "table[]?";
	case CW_OP_EXEC: return op->ncolumns > 0 ? "table?" : "integer?";
	}
	return "any";
}

static bool first_of_repo(const struct cw_op *const *op)
{
	const struct cw_op *const *o = cw_ops;

	while (*o != NULL && strcmp((*o)->repo, (*op)->repo) != 0)
		o++;
	return o == op;
}

static void put_op_stub(struct cw_buf *out, const struct cw_op *op, bool as_json)
{
	size_t len = strlen(op->summary);

	cw_buf_printf(out, "---%.*s. Waits.\n", (int)(len > 0 && op->summary[len - 1] == '.' ? len - 1 : len), op->summary);
	if (op->nargs > 0) {
		cw_buf_puts(out, "---@param args ");
		put_op_args(out, op);
		cw_buf_putc(out, '\n');
	}
	cw_buf_printf(out, "---@return %s\n---@return cw.Err?\nfunction db.%s:%s%s(%s) end\n\n",
	              as_json ? "string?" : op_result(op), op->repo, op->name, as_json ? "_json" : "",
	              op->nargs > 0 ? "args" : "");
}

void cw_apidoc_db_stub(struct cw_buf *out)
{
	cw_apidoc_stub_head(out, "Repositories, for scripts.");
	cw_buf_puts(out, "---@class cw.Page\n---@field items table[]\n---@field next string # cursor of the next page, or json.null\n\n");
	for (const struct cw_op *const *op = cw_ops; *op != NULL; op++) {
		if (first_of_repo(op))
			cw_buf_printf(out, "db.%s = {}\n\n", (*op)->repo);
		put_op_stub(out, *op, false);
		if ((*op)->ncolumns > 0)
			put_op_stub(out, *op, true);
	}
}

void cw_apidoc_operations(struct cw_buf *out)
{
	for (const struct cw_op *const *op = cw_ops; *op != NULL; op++) {
		if (!first_of_repo(op))
			continue;
		cw_buf_printf(out, "#### db.%s\n\n| operation | gives | |\n| --- | --- | --- |\n", (*op)->repo);
		for (const struct cw_op *const *o = cw_ops; *o != NULL; o++) {
			struct cw_buf args = CW_BUF_INIT;

			if (strcmp((*o)->repo, (*op)->repo) != 0)
				continue;
			put_op_args(&args, *o);
			cw_buf_printf(out, "| `%s`%s", (*o)->name, args.len > 0 ? " `" : "");
			cw_apidoc_cell(out, args.len > 0 ? args.data : "");
			cw_buf_printf(out, "%s | `%s` | ", args.len > 0 ? "`" : "", op_result(*o));
			cw_apidoc_cell(out, (*o)->summary);
			cw_buf_puts(out, " |\n");
			cw_buf_release(&args);
		}
		cw_buf_putc(out, '\n');
	}
}
