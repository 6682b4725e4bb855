#include "base/err.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *name;
	int http, exit;
} codes[] = {
	[CW_OK] = { "ok", 200, 0 },
	[CW_ERR_INVALID] = { "invalid", 400, 2 },
	[CW_ERR_NOT_FOUND] = { "not_found", 404, 1 },
	[CW_ERR_CONFLICT] = { "conflict", 409, 1 },
	[CW_ERR_DENIED] = { "denied", 403, 1 },
	[CW_ERR_BUSY] = { "busy", 503, 75 },
	[CW_ERR_TIMEOUT] = { "timeout", 503, 75 },
	[CW_ERR_CANCELLED] = { "cancelled", 503, 75 },
	[CW_ERR_DB] = { "database", 503, 69 },
	[CW_ERR_FULL] = { "storage_full", 507, 75 },
	[CW_ERR_SCRIPT] = { "script", 500, 1 },
	[CW_ERR_SYSTEM] = { "system", 503, 1 },
	[CW_ERR_INTERNAL] = { "internal", 500, 1 },
};

int cw_err_set(struct cw_err *err, enum cw_code code, const char *format, ...)
{
	va_list args;

	if (err == NULL)
		return -1;
	err->code = code;
	err->sqlstate[0] = '\0';
	va_start(args, format);
	vsnprintf(err->msg, sizeof(err->msg), format, args);
	va_end(args);
	return -1;
}

static bool may_work_later(int error)
{
	switch (error) {
	case ENOMEM: case ENOBUFS: case EAGAIN: case EINTR: case EMFILE: case ENFILE: case EIO: case ENOSPC: case EDQUOT:
		return true;
	default:
		return false;
	}
}

int cw_err_errno(struct cw_err *err, enum cw_code otherwise, const char *format, ...)
{
	int error = errno;
	char text[sizeof(((struct cw_err *)0)->msg)];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return cw_err_set(err, may_work_later(error) ? CW_ERR_SYSTEM : otherwise, "%.400s: %s", text, strerror(error));
}

int cw_err_wrap(struct cw_err *err, const char *format, ...)
{
	char old[sizeof(err->msg)];
	va_list args;
	int n;

	if (err == NULL)
		return -1;
	memcpy(old, err->msg, sizeof(old));
	va_start(args, format);
	n = vsnprintf(err->msg, sizeof(err->msg), format, args);
	va_end(args);
	if (n >= 0 && (size_t)n + 2 < sizeof(err->msg)) {
		size_t room = sizeof(err->msg) - (size_t)n;

		snprintf(err->msg + n, room, ": %.*s", (int)room - 3, old);
	}
	return -1;
}

void cw_err_clear(struct cw_err *err)
{
	if (err != NULL)
		*err = (struct cw_err){ .code = CW_OK };
}

const char *cw_code_name(enum cw_code code)
{
	return codes[code].name;
}

int cw_code_http_status(enum cw_code code)
{
	return codes[code].http;
}

int cw_code_exit_status(enum cw_code code)
{
	return codes[code].exit;
}
