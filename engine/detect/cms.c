/* cms.c - count-min sketch, one cache line a thing. */
#include "detect/cms.h"

#include "detect/keyed.h"

#define ROWS 4

/* Where a thing's counters are in its line: row r has the places 4 r to 4 r + 3. The line comes from the upper half of
 * the hash, the places from its lowest bits. */
static uint32_t place(uint64_t hash, uint32_t row)
{
	return row * ROWS + (uint32_t)(hash >> (2 * row) & 3);
}

static uint32_t line_of(uint64_t hash, uint32_t lines)
{
	return (uint32_t)(hash >> 32) & (lines - 1);
}

uint32_t cw_cms_count(const struct cw_cms_line *s, uint32_t lines, uint64_t hash)
{
	const struct cw_cms_line *line = &s[line_of(hash, lines)];
	uint32_t least = UINT32_MAX;

	for (uint32_t row = 0; row < ROWS; row++) {
		uint32_t n = line->n[place(hash, row)];

		least = n < least ? n : least;
	}
	return least;
}

static uint32_t saturated(uint32_t a, uint32_t b)
{
	return a + b < a ? UINT32_MAX : a + b;
}

uint32_t cw_cms_add(struct cw_state *st, struct cw_cms_line *s, uint32_t lines, uint64_t hash, uint32_t count)
{
	struct cw_cms_line *line = &s[line_of(hash, lines)];
	uint32_t target = saturated(cw_cms_count(s, lines, hash), count);

	cw_detect_touch(st, line, sizeof(*line));
	for (uint32_t row = 0; row < ROWS; row++) {
		uint32_t *n = &line->n[place(hash, row)];

		if (*n < target)
			*n = target;
	}
	return target;
}

void cw_cms_merge(struct cw_state *st, struct cw_cms_line *s, const struct cw_cms_line *from, uint32_t lines)
{
	cw_detect_touch(st, s, lines * sizeof(*s));
	for (uint32_t i = 0; i < lines; i++)
		for (uint32_t j = 0; j < CW_CMS_LINE; j++)
			s[i].n[j] = saturated(s[i].n[j], from[i].n[j]);
}
