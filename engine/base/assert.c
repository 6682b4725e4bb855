#include "base/assert.h"

#include <errno.h>
#include <execinfo.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

static void log_backtrace(void)
{
	void *frames[32];
	int n = backtrace(frames, 32);

	backtrace_symbols_fd(frames, n, 2);
}

_Noreturn void cw_assert_fail(const char *what, const char *file, int line)
{
	cw_log(CW_LOG_ERROR, "base", "invariant broken", "what=\"%s\" at=%s:%d", what, file, line);
	log_backtrace();
	abort();
}

_Noreturn void cw_die(const char *what)
{
	cw_log(CW_LOG_ERROR, "base", "cannot go on", "what=\"%s\" error=\"%s\"", what, strerror(errno));
	exit(1);
}

void cw_bug_at(const char *file, int line, const char *format, ...)
{
	char text[256];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	cw_log(CW_LOG_ERROR, "base", "bug", "what=\"%s\" at=%s:%d", text, file, line);
	if (cw_log_enabled(CW_LOG_ERROR, "base"))
		log_backtrace();
#ifdef CW_TEST_BUILD
	abort();
#endif
}
