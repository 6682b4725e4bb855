/* ring.h - shared memory between engine and evaluator: transactions over, verdicts back.
 *
 * One writer and one reader each way, and the readers change when an evaluator is replaced. Transactions lie in fixed
 * slots, which stay until their verdicts have been received: a successor takes them again from any position. Verdicts
 * are bytes in a ring that is mapped twice back to back, so that none is split. The logs of a transaction have a place of
 * their own beside its slot; the memory of one that is never needed is never touched. Positions only ever rise: transactions
 * are counted, verdicts measured in bytes.
 *
 * The engine believes no word that the evaluator can write: its own positions are private, and it takes a copy of the
 * bytes before it reads them. The evaluator cannot write the slots.
 *
 * Who is about to sleep says so in a flag, looks again, and only then reads its eventfd; who has published looks at the
 * flag and writes the eventfd only if it is set (Dekker's rule: both sides store, then load, sequentially consistent). */
#ifndef CW_PIPELINE_RING_H
#define CW_PIPELINE_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cw_buf;
struct cw_err;
struct cw_ring;
struct cw_tx;

#define CW_RING_BYTES (4u << 20)       /* for verdicts that wait to be read; a power of two */

/* Engine: `slots` is rounded up to a power of two. */
struct cw_ring *cw_ring_new(uint32_t slots, struct cw_err *err);
/* Evaluator: maps what cw_ring_fd() of the engine's ring gave; `fd` may be closed afterwards. */
struct cw_ring *cw_ring_attach(int fd, struct cw_err *err);
void cw_ring_free(struct cw_ring **ring);
int cw_ring_fd(const struct cw_ring *ring);          /* stays the ring's */
uint32_t cw_ring_slots(const struct cw_ring *ring);
/* The eventfd to write when the other side sleeps. Not owned. */
void cw_ring_set_wake(struct cw_ring *ring, int fd);
/* The engine, when no evaluator lives: verdicts it has not taken are gone, and what the evaluator may have spoilt is as it
 * should be (publish again, too). */
void cw_ring_reset(struct cw_ring *ring);

/* --- engine --- */

/* Copies record and logs into the slot at `position` (the caller keeps count and knows it is free); visible after cw_ring_publish. */
void cw_ring_put(struct cw_ring *ring, uint64_t position, const struct cw_tx *tx);
void cw_ring_publish(struct cw_ring *ring, uint64_t sent);        /* everything below; wakes the evaluator */
/* Appends all verdict bytes that were published and frees their room. Returns how many bytes, or -1 and
 * CW_ERR_INTERNAL if the evaluator's position makes no sense. */
int64_t cw_ring_take(struct cw_ring *ring, struct cw_buf *out, struct cw_err *err);
/* Says that the engine will wait for its eventfd. Take again after it. */
void cw_ring_engine_sleeps(struct cw_ring *ring);

/* --- evaluator --- */

enum cw_ring_wait { CW_RING_AWAKE = 0, CW_RING_FOR_TX, CW_RING_FOR_ROOM };

/* Once, when this evaluator's turn has come and the last one is dead: goes on writing where the engine has read to. */
void cw_ring_begin(struct cw_ring *ring);
uint64_t cw_ring_sent(const struct cw_ring *ring);
/* In read-only memory; its `logs` mean nothing. */
const struct cw_tx *cw_ring_tx(const struct cw_ring *ring, uint64_t position);
/* The same with its logs: in `copy`, where it has some. */
const struct cw_tx *cw_ring_tx_full(const struct cw_ring *ring, uint64_t position, struct cw_tx *copy);
size_t cw_ring_room(const struct cw_ring *ring);                  /* bytes for verdicts */
void cw_ring_write(struct cw_ring *ring, const void *bytes, size_t len);         /* len <= room */
void cw_ring_flush(struct cw_ring *ring);                         /* publishes what was written; wakes the engine */
/* Before the last look and the read of the eventfd, and after it. */
void cw_ring_evaluator_waits(struct cw_ring *ring, enum cw_ring_wait why);
/* What the evaluator waits for, as it says; for the engine's watchdog. */
enum cw_ring_wait cw_ring_waiting(const struct cw_ring *ring);

#endif
