/* err.h - one error, carried from where it happened to who can answer it.
 *
 * The caller owns the struct (usually on its stack) and passes a pointer as last parameter; NULL is allowed where the
 * reason does not matter. Functions return 0 / -1 or a pointer / NULL. Messages: lower case, no full stop, what was
 * tried and why it failed, the subject in double quotes; never a secret. */
#ifndef CW_BASE_ERR_H
#define CW_BASE_ERR_H

#include <stdarg.h>

enum cw_code {
	CW_OK = 0,
	CW_ERR_INVALID,    /* the input is wrong; names what and where */
	CW_ERR_NOT_FOUND,
	CW_ERR_CONFLICT,   /* exists already, or changed meanwhile */
	CW_ERR_DENIED,
	CW_ERR_BUSY,       /* a queue or limit is full: try again later */
	CW_ERR_TIMEOUT,
	CW_ERR_CANCELLED,
	CW_ERR_DB,         /* PostgreSQL said no or is away; sqlstate tells */
	CW_ERR_FULL,       /* PostgreSQL has no room on its disk: SQLSTATE 53100 */
	CW_ERR_SCRIPT,     /* a Lua script failed */
	CW_ERR_SYSTEM,     /* the system refused memory, a descriptor, room on disk, or a process died: may work later */
	CW_ERR_INTERNAL,
};

struct cw_err {
	enum cw_code code;
	char sqlstate[6];  /* of PostgreSQL, "" if there is none */
	char msg[506];
};

/* Both return -1, so that `return cw_err_set(err, ...)` reads well. */
int cw_err_set(struct cw_err *err, enum cw_code code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* A system call failed: the text, ": " and errno in words. SYSTEM if errno says that it may work later (no memory,
 * descriptors, room, I/O), else `otherwise`. */
int cw_err_errno(struct cw_err *err, enum cw_code otherwise, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Puts "<text>: " in front of the message; code and SQLSTATE stay. */
int cw_err_wrap(struct cw_err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

void cw_err_clear(struct cw_err *err);
const char *cw_code_name(enum cw_code code);   /* "invalid", "not_found", ...: stable, used in the HTTP API */
int cw_code_http_status(enum cw_code code);
/* Process exit code of a CLI verb that ended with this: 1, 2, 69 or 75. */
int cw_code_exit_status(enum cw_code code);

#endif
