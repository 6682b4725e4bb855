#include "base/suggest.h"

#include <stddef.h>
#include <string.h>

#define LETTERS 63

static int min3(int a, int b, int c)
{
	int m = a < b ? a : b;

	return m < c ? m : c;
}

int cw_edit_distance(const char *a, const char *b)
{
	size_t n = strnlen(a, LETTERS), m = strnlen(b, LETTERS);
	int rows[3][LETTERS + 1];
	int *before = rows[0], *above = rows[1], *row = rows[2];

	for (size_t j = 0; j <= m; j++)
		above[j] = (int)j;
	for (size_t i = 1; i <= n; i++) {
		int *spare = before;

		row[0] = (int)i;
		for (size_t j = 1; j <= m; j++) {
			int change = above[j - 1] + (a[i - 1] != b[j - 1]);

			row[j] = min3(above[j] + 1, row[j - 1] + 1, change);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && before[j - 2] + 1 < row[j])
				row[j] = before[j - 2] + 1;
		}
		before = above;
		above = row;
		row = spare;
	}
	return above[m];
}

const char *cw_suggest(const char *word, const char *const *names)
{
	int limit = 1 + (int)strnlen(word, LETTERS) / 3, best = limit + 1;
	const char *found = NULL;

	for (; *names != NULL; names++) {
		int d = cw_edit_distance(word, *names);

		if (d < best) {
			best = d;
			found = *names;
		}
	}
	return best <= limit ? found : NULL;
}
