/* state_inline.h - the hot path of state.h: addresses, touch, prefetch. Included by state.h only. */
#ifndef CW_STATE_STATE_INLINE_H
#define CW_STATE_STATE_INLINE_H

#include "state/state.h"

/* The part of the handle that inline functions read; state_internal.h has the rest behind it. */
struct cw_state_hot {
	uint8_t *base;               /* of the arena */
	uint64_t *dirty;             /* one bit a granule of 64 bytes; shared memory, not journaled */
};

void cw_state_touch_slow(struct cw_state *st, uint64_t granule);

static inline void *cw_state_ptr(const struct cw_state *st, cw_ref ref)
{
	const struct cw_state_hot *hot = (const void *)st;

	return ref != 0 ? hot->base + (size_t)ref * 16 : NULL;
}

static inline cw_ref cw_state_ref(const struct cw_state *st, const void *ptr)
{
	const struct cw_state_hot *hot = (const void *)st;

	return ptr != NULL ? (cw_ref)((size_t)((const uint8_t *)ptr - hot->base) / 16) : 0;
}

static inline void cw_state_touch(struct cw_state *st, void *ptr, size_t len)
{
	const struct cw_state_hot *hot = (const void *)st;
	size_t at = (size_t)((uint8_t *)ptr - hot->base);
	uint64_t g = at >> 6, last = (at + (len > 0 ? len - 1 : 0)) >> 6;

	do {
		if (__builtin_expect((hot->dirty[g >> 6] & (1ull << (g & 63))) == 0, 0))
			cw_state_touch_slow(st, g);
	} while (g++ < last);
}

static inline void cw_state_prefetch(const struct cw_state *st, const void *ptr)
{
	const struct cw_state_hot *hot = (const void *)st;

	__builtin_prefetch(ptr);
	__builtin_prefetch(&hot->dirty[(size_t)((const uint8_t *)ptr - hot->base) >> 12]);
}

#endif
