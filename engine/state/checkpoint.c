/* Fuzzy copy + undo. Why the copy is right: whatever changed after the mark has its record in the log before it
 * changed, so every byte of the copy that is too new, torn ones included, has a record below the head that is read
 * after the copy. And the mark had no dirty bits, so the oldest record of a granule holds its bytes at the mark. */
#include "state/checkpoint.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "state/state_internal.h"

#define MAGIC       "CWSTATE\n"
#define BYTE_ORDER_MARK 0x01020304u
#define FORMAT      1u
#define HEADER      4096u
#define CHUNK       (1u << 20)    /* a multiple of 32, for the checksum */
#define MAX_PATH    4096u

struct cw_checkpoint {
	uint8_t *bytes;
	size_t mapped, used;
	struct cw_state_mark mark;
};

/* The file's first page. `head_sum` is computed over the page with itself as zero. */
struct header {
	char magic[8];
	uint32_t byte_order, format, layout, header_bytes;
	uint64_t used, seq, block;
	uint64_t body_sum, head_sum;
	uint8_t digest[CW_CHECKPOINT_DIGEST];
	uint8_t zero[HEADER - 96];
};
_Static_assert(sizeof(struct header) == HEADER, "the header is one page");

/* ---------------------------------------------------------------- checksum */

/* XXH64 (Collet, xxHash specification, 2012-2023) without seed, for lengths that are multiples of 32. */
#define PRIME1 0x9e3779b185ebca87ull
#define PRIME2 0xc2b2ae3d27d4eb4full
#define PRIME3 0x165667b19e3779f9ull
#define PRIME4 0x85ebca77c2b2ae63ull

struct sum {
	uint64_t lane[4];
	uint64_t total;
};

static inline uint64_t rotate(uint64_t x, int bits)
{
	return x << bits | x >> (64 - bits);
}

static inline uint64_t sum_round(uint64_t lane, uint64_t word)
{
	return rotate(lane + word * PRIME2, 31) * PRIME1;
}

static void sum_start(struct sum *sum)
{
	*sum = (struct sum){ .lane = { PRIME1 + PRIME2, PRIME2, 0, 0 - PRIME1 } };
}

static void sum_add(struct sum *sum, const void *bytes, size_t len)
{
	const uint8_t *at = bytes;

	for (size_t i = 0; i + 32 <= len; i += 32) {
		uint64_t word[4];

		memcpy(word, at + i, sizeof(word));
		for (int k = 0; k < 4; k++)
			sum->lane[k] = sum_round(sum->lane[k], word[k]);
	}
	sum->total += len;
}

static uint64_t sum_end(const struct sum *sum)
{
	uint64_t h = rotate(sum->lane[0], 1) + rotate(sum->lane[1], 7);

	h += rotate(sum->lane[2], 12) + rotate(sum->lane[3], 18);
	for (int k = 0; k < 4; k++)
		h = (h ^ sum_round(0, sum->lane[k])) * PRIME1 + PRIME4;
	h += sum->total;
	h = (h ^ h >> 33) * PRIME2;
	h = (h ^ h >> 29) * PRIME3;
	return h ^ h >> 32;
}

static uint64_t header_sum(const struct header *header)
{
	struct header copy = *header;
	struct sum sum;

	copy.head_sum = 0;
	sum_start(&sum);
	sum_add(&sum, &copy, sizeof(copy));
	return sum_end(&sum);
}

/* ---------------------------------------------------------------- freeze */

struct cw_checkpoint *cw_checkpoint_new(void)
{
	return cw_zalloc(sizeof(struct cw_checkpoint));
}

void cw_checkpoint_free(struct cw_checkpoint **cp)
{
	struct cw_checkpoint *old = *cp;

	*cp = NULL;
	if (old == NULL)
		return;
	if (old->bytes != NULL)
		munmap(old->bytes, old->mapped);
	cw_free(old);
}

/* Grows by a quarter at a time, so that a growing state does not map anew each time. */
static int make_room(struct cw_checkpoint *cp, size_t size, struct cw_err *err)
{
	size_t want = (size + size / 4 + CHUNK - 1) / CHUNK * CHUNK;
	uint8_t *at;

	if (size <= cp->mapped)
		return 0;
	if (cp->bytes != NULL)
		munmap(cp->bytes, cp->mapped);
	cp->bytes = NULL;
	cp->mapped = cp->used = 0;
	at = mmap(NULL, want, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (at == MAP_FAILED) {
		cw_err_set(err, CW_ERR_BUSY, "could not map %zu bytes for a checkpoint: %s", want, strerror(errno));
		return -1;
	}
	(void)madvise(at, want, MADV_HUGEPAGE);   /* fewer faults; nothing depends on it */
	cp->bytes = at;
	cp->mapped = want;
	return 0;
}

static int read_all(int fd, uint8_t *to, size_t size, off_t offset, struct cw_err *err)
{
	for (size_t done = 0; done < size;) {
		size_t left = size - done;
		ssize_t got = pread(fd, to + done, left < CHUNK ? left : CHUNK, offset + (off_t)done);

		if (got > 0)
			done += (size_t)got;
		else if (got == 0)
			return cw_err_set(err, CW_ERR_INVALID, "truncated after %" PRIu64 " bytes", (uint64_t)offset + done);
		else if (errno != EINTR)
			return cw_err_set(err, CW_ERR_SYSTEM, "could not read: %s", strerror(errno));
	}
	return 0;
}

/* Applies the records of [from, head) to the copy of the first `size` bytes, newest first. */
static int undo_copy(uint8_t *copy, size_t size, const struct cw_state *st, uint64_t from, uint64_t head,
                     struct cw_err *err)
{
	if (head % sizeof(struct cw_record) != 0 || !cw_position_reachable(st, from, head))
		return cw_err_set(err, CW_ERR_CONFLICT, "the writer has run around the undo log meanwhile");
	for (uint64_t at = head; at > from; at -= sizeof(struct cw_record)) {
		const struct cw_record *record = cw_record_at(st, at - sizeof(struct cw_record));
		uint64_t granule = __atomic_load_n(&record->granule, __ATOMIC_RELAXED);

		/* What was allocated after the copy began is not part of it. */
		if (granule < size / CW_GRANULE)
			memcpy(copy + granule * CW_GRANULE, record->old, CW_GRANULE);
	}
	return 0;
}

static int check_copy(const struct cw_checkpoint *cp, size_t size, struct cw_err *err)
{
	const struct cw_arena_head *arena = (const void *)cp->bytes;

	if (arena->magic == CW_ARENA_MAGIC && arena->layout == CW_ARENA_LAYOUT && arena->seq == cp->mark.seq &&
	    arena->block == cp->mark.block && arena->brk <= size && arena->brk >= sizeof(*arena) &&
	    arena->brk % CW_GRANULE == 0)
		return 0;
	return cw_err_set(err, CW_ERR_INTERNAL, "arena is damaged: undone to seq %" PRIu64 " it says seq %" PRIu64,
	                  cp->mark.seq, arena->seq);
}

int cw_checkpoint_freeze(struct cw_checkpoint *cp, const struct cw_state *st, uint64_t seq, struct cw_err *err)
{
	const struct cw_control *control = st->control;
	uint64_t rewinds = atomic_load_explicit(&control->rewinds, memory_order_acquire);
	uint64_t head;
	size_t size;

	cp->used = 0;
	if (rewinds % 2 != 0)
		return cw_err_set(err, CW_ERR_CONFLICT, "the arena is being rewound");
	if (!cw_state_find_seq(st, seq, &cp->mark))
		return cw_err_set(err, CW_ERR_NOT_FOUND, "no mark up to seq %" PRIu64 " within reach of the undo log", seq);
	size = cw_state_used(st);
	if (size > st->max_bytes || size < sizeof(struct cw_arena_head))
		return cw_err_set(err, CW_ERR_INTERNAL, "arena is damaged: it says that %zu bytes are used", size);
	if (make_room(cp, size, err) != 0 || read_all(st->fds[0], cp->bytes, size, 0, err) != 0)
		return -1;

	atomic_thread_fence(memory_order_seq_cst);   /* data first, then the head */
	head = atomic_load_explicit(&control->head, memory_order_acquire);
	if (undo_copy(cp->bytes, size, st, cp->mark.position, head, err) != 0)
		return -1;

	atomic_thread_fence(memory_order_acquire);
	head = atomic_load_explicit(&control->head, memory_order_acquire);
	if (!cw_position_reachable(st, cp->mark.position, head))
		return cw_err_set(err, CW_ERR_CONFLICT, "the writer has run around the undo log meanwhile");
	if (atomic_load_explicit(&control->rewinds, memory_order_acquire) != rewinds)
		return cw_err_set(err, CW_ERR_CONFLICT, "the arena was rewound meanwhile");
	if (check_copy(cp, size, err) != 0)
		return -1;
	cp->used = ((const struct cw_arena_head *)(const void *)cp->bytes)->brk;
	return 0;
}

struct cw_checkpoint_info cw_checkpoint_info(const struct cw_checkpoint *cp)
{
	if (cp->used == 0)
		return (struct cw_checkpoint_info){ 0 };
	return (struct cw_checkpoint_info){ .seq = cp->mark.seq, .block = cp->mark.block, .bytes = cp->used };
}

/* ---------------------------------------------------------------- write */

static int write_all(int fd, const void *bytes, size_t size)
{
	const uint8_t *at = bytes;

	for (size_t done = 0; done < size;) {
		size_t left = size - done;
		ssize_t put = write(fd, at + done, left < CHUNK ? left : CHUNK);

		if (put >= 0)
			done += (size_t)put;
		else if (errno != EINTR)
			return -1;
	}
	return 0;
}

static int sync_folder(const char *path)
{
	char folder[MAX_PATH];
	const char *slash = strrchr(path, '/');
	size_t len = slash == NULL ? 0 : slash == path ? 1 : (size_t)(slash - path);
	int fd, result;

	if (len > 0)
		memcpy(folder, path, len);
	else
		folder[len++] = '.';
	folder[len] = '\0';
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	result = fsync(fd);
	close(fd);
	return result;
}

static void fill_header(struct header *header, const struct cw_checkpoint *cp, const uint8_t *digest)
{
	struct sum sum;

	memset(header, 0, sizeof(*header));
	memcpy(header->magic, MAGIC, sizeof(header->magic));
	header->byte_order = BYTE_ORDER_MARK;
	header->format = FORMAT;
	header->layout = CW_ARENA_LAYOUT;
	header->header_bytes = HEADER;
	header->used = cp->used;
	header->seq = cp->mark.seq;
	header->block = cp->mark.block;
	memcpy(header->digest, digest, sizeof(header->digest));
	sum_start(&sum);
	sum_add(&sum, cp->bytes, cp->used);
	header->body_sum = sum_end(&sum);
	header->head_sum = header_sum(header);
}

int cw_checkpoint_write(const struct cw_checkpoint *cp, const uint8_t digest[CW_CHECKPOINT_DIGEST], const char *path,
                        struct cw_err *err)
{
	struct header header;
	char aside[MAX_PATH];
	int fd, saved;

	if (cp->used == 0)
		return cw_err_set(err, CW_ERR_INVALID, "cannot write checkpoint \"%s\": nothing was frozen", path);
	if ((size_t)snprintf(aside, sizeof(aside), "%s.tmp", path) >= sizeof(aside))
		return cw_err_set(err, CW_ERR_INVALID, "cannot write checkpoint: the path has more than %zu bytes",
		                  sizeof(aside) - 5);
	fill_header(&header, cp, digest);
	fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return cw_err_set(err, CW_ERR_SYSTEM, "could not create \"%s\": %s", aside, strerror(errno));
	if (write_all(fd, &header, sizeof(header)) != 0 || write_all(fd, cp->bytes, cp->used) != 0 || fdatasync(fd) != 0) {
		saved = errno;
		close(fd);
		goto undo;
	}
	if (close(fd) == 0 && rename(aside, path) == 0) {
		if (sync_folder(path) == 0)
			return 0;
		return cw_err_set(err, CW_ERR_SYSTEM, "could not flush the folder of \"%s\": %s", path, strerror(errno));
	}
	saved = errno;
undo:
	unlink(aside);
	return cw_err_set(err, CW_ERR_SYSTEM, "could not write checkpoint \"%s\": %s", path, strerror(saved));
}

int cw_checkpoint_save(struct cw_checkpoint *cp, const struct cw_state *st, uint64_t seq,
                       const uint8_t digest[CW_CHECKPOINT_DIGEST], const char *path, struct cw_err *err)
{
	if (cw_checkpoint_freeze(cp, st, seq, err) != 0)
		return -1;
	return cw_checkpoint_write(cp, digest, path, err);
}

/* ---------------------------------------------------------------- load */

int cw_checkpoint_restore(const struct cw_checkpoint *cp, struct cw_state *st, struct cw_err *err)
{
	if (cp->used == 0)
		return cw_err_set(err, CW_ERR_INVALID, "cannot restore: nothing was frozen");
	if (cp->used > st->max_bytes)
		return cw_err_set(err, CW_ERR_INVALID, "state of %zu bytes does not fit into an arena of %zu", cp->used,
		                  st->max_bytes);
	cw_arena_wipe(st);
	memcpy(st->hot.base, cp->bytes, cp->used);
	cw_journal_restart(st, cp->mark.seq, cp->mark.block);
	return 0;
}

static int check_header(const struct header *header, struct cw_err *err)
{
	if (memcmp(header->magic, MAGIC, sizeof(header->magic)) != 0)
		return cw_err_set(err, CW_ERR_INVALID, "it is no checkpoint of this engine");
	if (header->byte_order == __builtin_bswap32(BYTE_ORDER_MARK))
		return cw_err_set(err, CW_ERR_INVALID, "it was written by a machine of other byte order");
	if (header->byte_order != BYTE_ORDER_MARK)
		return cw_err_set(err, CW_ERR_INVALID, "its header is damaged");
	if (header->format != FORMAT || header->header_bytes != HEADER)
		return cw_err_set(err, CW_ERR_INVALID, "it has format %" PRIu32 ", this engine reads %u", header->format,
		                  FORMAT);
	if (header->head_sum != header_sum(header))
		return cw_err_set(err, CW_ERR_INVALID, "its header is damaged: the checksum differs");
	if (header->layout != CW_ARENA_LAYOUT)
		return cw_err_set(err, CW_ERR_INVALID, "its state has layout %" PRIu32 ", this engine has %u", header->layout,
		                  CW_ARENA_LAYOUT);
	return 0;
}

static int read_header(int fd, struct header *header, struct cw_err *err)
{
	struct stat info;

	if (fstat(fd, &info) != 0)
		return cw_err_set(err, CW_ERR_SYSTEM, "could not read: %s", strerror(errno));
	if (!S_ISREG(info.st_mode))
		return cw_err_set(err, CW_ERR_INVALID, "it is no regular file");
	if ((size_t)info.st_size < HEADER)
		return cw_err_set(err, CW_ERR_INVALID, "it has %" PRIu64 " bytes, less than a header", (uint64_t)info.st_size);
	if (read_all(fd, (uint8_t *)header, sizeof(*header), 0, err) != 0 || check_header(header, err) != 0)
		return -1;
	if ((uint64_t)info.st_size - HEADER != header->used)
		return cw_err_set(err, CW_ERR_INVALID, "it has %" PRIu64 " bytes of state, its header says %" PRIu64,
		                  (uint64_t)info.st_size - HEADER, header->used);
	return 0;
}

static void to_info(const struct header *header, struct cw_checkpoint_info *info)
{
	*info = (struct cw_checkpoint_info){ .seq = header->seq, .block = header->block, .bytes = header->used };
	memcpy(info->digest, header->digest, sizeof(info->digest));
}

/* The checksum is computed over what stands in the arena in the end, so a file that changes meanwhile is noticed. */
static int read_body(struct cw_state *st, int fd, const struct header *header, struct cw_err *err)
{
	const struct cw_arena_head *arena = cw_arena_head(st);
	struct sum sum;

	if (read_all(fd, st->hot.base, header->used, HEADER, err) != 0)
		return -1;
	sum_start(&sum);
	sum_add(&sum, st->hot.base, header->used);
	if (sum_end(&sum) != header->body_sum)
		return cw_err_set(err, CW_ERR_INVALID, "its state is damaged: the checksum differs");
	if (arena->seq != header->seq || arena->block != header->block || arena->brk != header->used)
		return cw_err_set(err, CW_ERR_INVALID, "its state does not belong to its header");
	return cw_arena_check(st, err);
}

static int load_open(struct cw_state *st, int fd, const uint8_t *digest, struct cw_checkpoint_info *info,
                     struct cw_err *err)
{
	struct header header = { 0 };

	if (read_header(fd, &header, err) != 0)
		return -1;
	if (digest != NULL && memcmp(digest, header.digest, sizeof(header.digest)) != 0)
		return cw_err_set(err, CW_ERR_CONFLICT, "it was made for other declarations");
	if (header.used > st->max_bytes || header.used < sizeof(struct cw_arena_head) || header.used % CW_GRANULE != 0)
		return cw_err_set(err, CW_ERR_INVALID, "its state of %" PRIu64 " bytes does not fit into an arena of %zu",
		                  header.used, st->max_bytes);
	cw_arena_wipe(st);
	cw_arena_back(st, header.used);
	if (read_body(st, fd, &header, err) != 0)
		return -1;
	cw_journal_restart(st, header.seq, header.block);
	if (info != NULL)
		to_info(&header, info);
	return 0;
}

int cw_checkpoint_load_fd(struct cw_state *st, int fd, const uint8_t *digest, struct cw_checkpoint_info *info,
                          struct cw_err *err)
{
	if (load_open(st, fd, digest, info, err) == 0)
		return 0;
	cw_state_reset(st);
	return cw_err_wrap(err, "cannot load the checkpoint");
}

static int open_file(const char *path, struct cw_err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);   /* a pipe of that name must not hold us up */

	if (fd < 0)
		return cw_err_set(err, errno == ENOENT ? CW_ERR_NOT_FOUND : CW_ERR_SYSTEM,
		                  "could not open checkpoint \"%s\": %s", path, strerror(errno));
	return fd;
}

int cw_checkpoint_load(struct cw_state *st, const char *path, const uint8_t *digest, struct cw_checkpoint_info *info,
                       struct cw_err *err)
{
	int fd = open_file(path, err), result;

	if (fd < 0) {
		cw_state_reset(st);
		return -1;
	}
	result = load_open(st, fd, digest, info, err);
	close(fd);
	if (result == 0)
		return 0;
	cw_state_reset(st);
	return cw_err_wrap(err, "cannot load checkpoint \"%s\"", path);
}

int cw_checkpoint_peek(const char *path, struct cw_checkpoint_info *info, struct cw_err *err)
{
	int fd = open_file(path, err), result;
	struct header header;

	if (fd < 0)
		return -1;
	result = read_header(fd, &header, err);
	close(fd);
	if (result != 0)
		return cw_err_wrap(err, "cannot load checkpoint \"%s\"", path);
	to_info(&header, info);
	return 0;
}
