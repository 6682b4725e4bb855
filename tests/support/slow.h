/* slow.h - limits of time in tests: CHAINWATCH_TEST_SLOW says how much slower than usual everything is, under a sanitizer. */
#ifndef CW_TESTS_SUPPORT_SLOW_H
#define CW_TESTS_SUPPORT_SLOW_H

#include <stdlib.h>

static inline int slow_factor(void)
{
	const char *text = getenv("CHAINWATCH_TEST_SLOW");
	int factor = text != NULL ? atoi(text) : 1;

	return factor > 0 ? factor : 1;
}

#endif
