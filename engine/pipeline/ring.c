#include "pipeline/ring.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/wake.h"
#include "chain/tx.h"

#define RING_MAGIC 0x676e6972u
#define PAGE 4096u
#define SLOTS_MAX (1u << 20)

_Static_assert((CW_RING_BYTES & (CW_RING_BYTES - 1)) == 0 && CW_RING_BYTES % PAGE == 0, "whole pages, power of two");

/* The first page of the shared memory; one cache line for each word that is written on the way. */
struct control {
	uint32_t magic, slots;                                  /* fixed */
	_Alignas(64) _Atomic uint64_t sent;                     /* engine */
	_Alignas(64) _Atomic uint64_t taken;                    /* engine: verdict bytes */
	_Alignas(64) _Atomic uint64_t written;                  /* evaluator: verdict bytes */
	_Alignas(64) _Atomic uint32_t evaluator_waits;          /* enum cw_ring_wait; set by one, cleared by both */
	_Alignas(64) _Atomic uint32_t engine_waits;
};

struct cw_ring {
	struct control *control;
	struct cw_tx *slots;
	struct cw_tx_log *logs;   /* CW_TX_LOGS_MAX for each slot, behind the slots */
	uint8_t *bytes;           /* twice */
	uint32_t nslots;
	uint64_t position;        /* private: taken (engine) or written (evaluator) */
	int fd, wake_fd;
};

#define LOGS_SIZE (CW_TX_LOGS_MAX * sizeof(struct cw_tx_log))   /* of one slot */
_Static_assert(LOGS_SIZE % PAGE == 0, "a slot's logs begin on a page: few logs touch one");

static size_t records_size(uint32_t nslots)
{
	return (nslots * sizeof(struct cw_tx) + PAGE - 1) / PAGE * PAGE;
}

static size_t slots_size(uint32_t nslots)
{
	return records_size(nslots) + nslots * LOGS_SIZE;
}

static void *map(int fd, size_t at, size_t size, int prot)
{
	void *ptr = mmap(NULL, size, prot, MAP_SHARED, fd, (off_t)at);

	return ptr != MAP_FAILED ? ptr : NULL;
}

/* Reserves twice the room and puts the same pages into both halves. */
static uint8_t *map_twice(int fd, size_t at, size_t size, int prot)
{
	uint8_t *base = mmap(NULL, 2 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (base == MAP_FAILED)
		return NULL;
	for (int i = 0; i < 2; i++)
		if (mmap(base + (size_t)i * size, size, prot, MAP_SHARED | MAP_FIXED, fd, (off_t)at) == MAP_FAILED) {
			munmap(base, 2 * size);
			return NULL;
		}
	return base;
}

static int map_all(struct cw_ring *ring, int fd, int slots_prot, int bytes_prot, struct cw_err *err)
{
	size_t slots = slots_size(ring->nslots);

	ring->control = map(fd, 0, PAGE, PROT_READ | PROT_WRITE);
	ring->slots = map(fd, PAGE, slots, slots_prot);
	ring->bytes = map_twice(fd, PAGE + slots, CW_RING_BYTES, bytes_prot);
	if (ring->control == NULL || ring->slots == NULL || ring->bytes == NULL)
		return cw_err_set(err, CW_ERR_SYSTEM, "could not map ring: %s", strerror(errno));
	ring->logs = (struct cw_tx_log *)(void *)((char *)ring->slots + records_size(ring->nslots));
	return 0;
}

struct cw_ring *cw_ring_new(uint32_t slots, struct cw_err *err)
{
	struct cw_ring *ring;
	uint32_t n = 16;

	if (slots > SLOTS_MAX) {
		cw_err_set(err, CW_ERR_INVALID, "ring of %u slots is too large, the limit is %u", slots, SLOTS_MAX);
		return NULL;
	}
	while (n < slots)
		n *= 2;
	ring = cw_zalloc(sizeof(*ring));
	ring->nslots = n;
	ring->wake_fd = -1;
	ring->fd = memfd_create("cw-ring", MFD_CLOEXEC);
	if (ring->fd < 0 || ftruncate(ring->fd, (off_t)(PAGE + slots_size(n) + CW_RING_BYTES)) != 0) {
		cw_err_set(err, CW_ERR_SYSTEM, "could not create ring: %s", strerror(errno));
		cw_ring_free(&ring);
		return NULL;
	}
	if (map_all(ring, ring->fd, PROT_READ | PROT_WRITE, PROT_READ, err) != 0) {
		cw_ring_free(&ring);
		return NULL;
	}
	cw_ring_reset(ring);
	return ring;
}

struct cw_ring *cw_ring_attach(int fd, struct cw_err *err)
{
	struct cw_ring *ring = cw_zalloc(sizeof(*ring));
	struct control *control = map(fd, 0, PAGE, PROT_READ);
	struct stat st;

	ring->fd = ring->wake_fd = -1;
	if (control != NULL) {
		if (control->magic == RING_MAGIC && control->slots <= SLOTS_MAX)
			ring->nslots = control->slots;
		munmap(control, PAGE);
	}
	if (ring->nslots == 0 || fstat(fd, &st) != 0 ||
	    st.st_size != (off_t)(PAGE + slots_size(ring->nslots) + CW_RING_BYTES)) {
		cw_err_set(err, CW_ERR_SYSTEM, "could not attach ring: the descriptor is none");
		cw_ring_free(&ring);
		return NULL;
	}
	if (map_all(ring, fd, PROT_READ, PROT_READ | PROT_WRITE, err) != 0) {
		cw_ring_free(&ring);
		return NULL;
	}
	return ring;
}

void cw_ring_free(struct cw_ring **ring)
{
	struct cw_ring *r = *ring;

	*ring = NULL;
	if (r == NULL)
		return;
	if (r->control != NULL)
		munmap(r->control, PAGE);
	if (r->slots != NULL)
		munmap(r->slots, slots_size(r->nslots));
	if (r->bytes != NULL)
		munmap(r->bytes, 2 * (size_t)CW_RING_BYTES);
	if (r->fd >= 0)
		close(r->fd);
	cw_free(r);
}

int cw_ring_fd(const struct cw_ring *ring)
{
	return ring->fd;
}

uint32_t cw_ring_slots(const struct cw_ring *ring)
{
	return ring->nslots;
}

void cw_ring_set_wake(struct cw_ring *ring, int fd)
{
	ring->wake_fd = fd;
}

void cw_ring_reset(struct cw_ring *ring)
{
	ring->control->magic = RING_MAGIC;
	ring->control->slots = ring->nslots;
	atomic_store(&ring->control->written, ring->position);
	atomic_store(&ring->control->taken, ring->position);
	atomic_store(&ring->control->evaluator_waits, CW_RING_AWAKE);
}

static void wake(const struct cw_ring *ring)
{
	if (ring->wake_fd >= 0)
		cw_wake(ring->wake_fd);
}

static void wake_evaluator(struct cw_ring *ring, enum cw_ring_wait if_it_waits)
{
	uint32_t expected = (uint32_t)if_it_waits;

	if (atomic_load(&ring->control->evaluator_waits) == expected &&
	    atomic_compare_exchange_strong(&ring->control->evaluator_waits, &expected, (uint32_t)CW_RING_AWAKE))
		wake(ring);
}

void cw_ring_put(struct cw_ring *ring, uint64_t position, const struct cw_tx *tx)
{
	size_t slot = position & (ring->nslots - 1);

	ring->slots[slot] = *tx;
	ring->slots[slot].logs = NULL;
	cw_assert(tx->nlogs <= CW_TX_LOGS_MAX);
	if (tx->nlogs > 0)
		memcpy(ring->logs + slot * CW_TX_LOGS_MAX, tx->logs, tx->nlogs * sizeof(*tx->logs));
}

void cw_ring_publish(struct cw_ring *ring, uint64_t sent)
{
	atomic_store(&ring->control->sent, sent);
	wake_evaluator(ring, CW_RING_FOR_TX);
}

int64_t cw_ring_take(struct cw_ring *ring, struct cw_buf *out, struct cw_err *err)
{
	uint64_t written = atomic_load(&ring->control->written);
	uint64_t n = written - ring->position;

	if (n == 0)
		return 0;
	if (n > CW_RING_BYTES)
		return cw_err_set(err, CW_ERR_INTERNAL, "the evaluator's place in the ring makes no sense: %llu bytes ahead",
		                  (unsigned long long)n);
	cw_buf_add(out, ring->bytes + (ring->position & (CW_RING_BYTES - 1)), n);
	ring->position = written;
	atomic_store(&ring->control->taken, written);
	wake_evaluator(ring, CW_RING_FOR_ROOM);
	return (int64_t)n;
}

void cw_ring_engine_sleeps(struct cw_ring *ring)
{
	atomic_store(&ring->control->engine_waits, 1u);
}

void cw_ring_begin(struct cw_ring *ring)
{
	ring->position = atomic_load(&ring->control->written);
}

uint64_t cw_ring_sent(const struct cw_ring *ring)
{
	return atomic_load(&ring->control->sent);
}

const struct cw_tx *cw_ring_tx(const struct cw_ring *ring, uint64_t position)
{
	return &ring->slots[position & (ring->nslots - 1)];
}

const struct cw_tx *cw_ring_tx_full(const struct cw_ring *ring, uint64_t position, struct cw_tx *copy)
{
	size_t slot = position & (ring->nslots - 1);

	if (ring->slots[slot].nlogs == 0)
		return &ring->slots[slot];
	*copy = ring->slots[slot];
	copy->logs = ring->logs + slot * CW_TX_LOGS_MAX;
	return copy;
}

size_t cw_ring_room(const struct cw_ring *ring)
{
	return CW_RING_BYTES - (size_t)(ring->position - atomic_load(&ring->control->taken));
}

void cw_ring_write(struct cw_ring *ring, const void *bytes, size_t len)
{
	cw_assert(len <= cw_ring_room(ring));
	memcpy(ring->bytes + (ring->position & (CW_RING_BYTES - 1)), bytes, len);
	ring->position += len;
}

void cw_ring_flush(struct cw_ring *ring)
{
	atomic_store(&ring->control->written, ring->position);
	if (atomic_exchange(&ring->control->engine_waits, 0u) != 0)
		wake(ring);
}

void cw_ring_evaluator_waits(struct cw_ring *ring, enum cw_ring_wait why)
{
	atomic_store(&ring->control->evaluator_waits, (uint32_t)why);
}

enum cw_ring_wait cw_ring_waiting(const struct cw_ring *ring)
{
	return (enum cw_ring_wait)atomic_load(&ring->control->evaluator_waits);
}
