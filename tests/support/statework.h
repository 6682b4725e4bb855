/* statework.h - work on a state arena that depends on a seed and a number only, for comparing arenas byte by byte.
 *
 * A batch mixes dictionaries (evicting at their limit, at their owner's cap, and with values that own blocks), raw
 * blocks of all sizes, and roots that come and go. The same batches in the same order give the same bytes. */
#ifndef CW_TESTS_STATEWORK_H
#define CW_TESTS_STATEWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cw_state;
struct statework;

/* An arena of 16 MiB; stops the test when it cannot be made. */
struct cw_state *statework_arena(size_t journal_bytes);

/* Opens the roots, making what is missing. Open again after every rewind. */
struct statework *statework_open(struct cw_state *st);
void statework_close(struct statework **work);
/* Does batch `number` of the stream `seed` without a mark. */
void statework_batch(struct statework *work, uint64_t seed, uint64_t number);
/* Half of it, as if it had been cut off. */
void statework_part(struct statework *work, uint64_t seed, uint64_t number);
/* Opens, does the batches (from, to], marks each with its number as seq and number / 4 as block, closes. */
void statework_run(struct cw_state *st, uint64_t seed, uint64_t from, uint64_t to);

/* Stops the test with the first difference. `what` names the case. */
void statework_same(const struct cw_state *a, const struct cw_state *b, const char *what);
bool statework_equal(const struct cw_state *a, const struct cw_state *b);
/* No granule is marked as saved, and all beyond the used bytes is zero. */
bool statework_clean(const struct cw_state *st);

/* splitmix64 (Steele, Lea, Flood 2014) */
uint64_t statework_random(uint64_t *seed);
/* CW_LONG=1 in the environment: `many`, else `few`. */
unsigned statework_rounds(unsigned few, unsigned many);

#endif
