/* bloom.h - whether a thing was seen before: never a false no, rarely a false yes.
 *
 * Bloom filter (B. H. Bloom, CACM 13, 1970) in blocks: all bits of a thing lie in one cache line (F. Putze, P. Sanders,
 * J. Singler, Cache-, hash- and space-efficient Bloom filters, 2007), so that it costs one miss and one granule of the
 * undo log; the sizes below make up for the unevenness of the blocks. Arena or plain memory (`st` NULL). */
#ifndef CW_DETECT_BLOOM_H
#define CW_DETECT_BLOOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cw_state;

struct cw_bloom_line { uint64_t w[8]; };

/* Lines (of 64 bytes) and bits a thing for `capacity` things at a rate `error` of false yes. 0.0001 <= error <= 0.5. */
struct cw_bloom_conf { uint32_t lines, bits; };
struct cw_bloom_conf cw_bloom_plan(double capacity, double error);

/* Lines of zeros are an empty filter. Returns whether it was (or seemed to be) there before. */
bool cw_bloom_add(struct cw_state *st, struct cw_bloom_line *s, const struct cw_bloom_conf *conf, uint64_t hash);
bool cw_bloom_has(const struct cw_bloom_line *s, const struct cw_bloom_conf *conf, uint64_t hash);
/* The union; both were planned alike. */
void cw_bloom_merge(struct cw_state *st, struct cw_bloom_line *s, const struct cw_bloom_line *from,
                    const struct cw_bloom_conf *conf);

#endif
