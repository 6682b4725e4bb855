/* cms.h - how often each of many things was seen: never too few, rarely too many.
 *
 * Count-min sketch (G. Cormode, S. Muthukrishnan, J. Algorithms 55, 2005) with conservative update (C. Estan, G.
 * Varghese, SIGCOMM 2002): only the smallest of a thing's counters grow. The four counters of a thing lie in one cache
 * line, each in its own quarter, so that an update touches one granule of the undo log. Overcount at most
 * e / (cells / 4) of all counts with probability 98 %. Lives in the arena or in plain memory (`st` NULL). */
#ifndef CW_DETECT_CMS_H
#define CW_DETECT_CMS_H

#include <stddef.h>
#include <stdint.h>

struct cw_state;

#define CW_CMS_LINE 16            /* counters a cache line */

struct cw_cms_line { uint32_t n[CW_CMS_LINE]; };

/* `lines` lines of zeros are an empty sketch; a power of two. Counters stop at 2^32 - 1. Returns the new estimate. */
uint32_t cw_cms_add(struct cw_state *st, struct cw_cms_line *s, uint32_t lines, uint64_t hash, uint32_t count);
uint32_t cw_cms_count(const struct cw_cms_line *s, uint32_t lines, uint64_t hash);
/* Sums; both have the same lines. */
void cw_cms_merge(struct cw_state *st, struct cw_cms_line *s, const struct cw_cms_line *from, uint32_t lines);

#endif
