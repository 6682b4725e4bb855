/* assert.h - the three kinds of "should not be".
 *
 * Input that is wrong is an error (base/err.h), never an assertion. An invariant broken for all stops the process
 * (cw_assert). An invariant broken in one request is logged and ends that request (cw_bug), and aborts in test builds. */
#ifndef CW_BASE_ASSERT_H
#define CW_BASE_ASSERT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* At start: the system refused what nothing works without. Says so, with errno in words, and exits with 1. */
_Noreturn void cw_die(const char *what);

_Noreturn void cw_assert_fail(const char *what, const char *file, int line);
void cw_bug_at(const char *file, int line, const char *format, ...) __attribute__((format(printf, 3, 4)));

#define cw_assert(condition) ((condition) ? (void)0 : cw_assert_fail(#condition, __FILE__, __LINE__))
#define cw_bug(...) cw_bug_at(__FILE__, __LINE__, __VA_ARGS__)

/* The first member of whatever travels as `void *` is `uint32_t magic`; this checks it on entry. */
static inline void *cw_cast_check(void *ptr, uint32_t magic, const char *file, int line)
{
	if (ptr == NULL || *(const uint32_t *)ptr != magic)
		cw_assert_fail("magic number", file, line);
	return ptr;
}
#define CW_CAST(ptr, magic) cw_cast_check((ptr), (magic), __FILE__, __LINE__)

#endif
