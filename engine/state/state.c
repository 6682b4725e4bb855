/* The mapping, the allocator, accounts and the directory.
 *
 * Everything the allocator knows stands in the arena's header and is touched like any other state, so a rewind takes
 * allocations back too. From `brk` on the arena is zero: writers announce their writes, so a rewind restores the zeros
 * with the rest, and fresh memory need be neither cleared nor logged. */
#include "state/state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "state/state_internal.h"

#define PAGE          4096u
#define HUGE_PAGE     ((size_t)2 << 20)
#define MIN_MAX_BYTES (256ul << 10)   /* the header takes 66 KiB */
#define MAX_MAX_BYTES (63ul << 30)    /* a cw_ref reaches 64 GiB; less, so that rounding cannot pass it */
#define MIN_JOURNAL   (16ul << 10)
#define MAX_JOURNAL   (64ul << 30)

#ifndef MADV_COLLAPSE                 /* Linux 6.1; headers of Debian 12's C library do not know it */
#define MADV_COLLAPSE 25
#endif

enum { FD_ARENA = 0, FD_RING, FD_CONTROL };

/* ---------------------------------------------------------------- mapping */

static size_t power_of_two(size_t n)
{
	return (size_t)1 << (64 - __builtin_clzl(n - 1));
}

/* Sizes that follow from the settings, the same in every process. */
static int plan(struct cw_state *st, const struct cw_state_conf *conf, struct cw_err *err)
{
	if (conf->max_bytes < MIN_MAX_BYTES || conf->max_bytes > MAX_MAX_BYTES)
		return cw_err_set(err, CW_ERR_INVALID, "state arena of %zu bytes: must be 256 KiB to 63 GiB", conf->max_bytes);
	if (conf->journal_bytes < MIN_JOURNAL || conf->journal_bytes > MAX_JOURNAL)
		return cw_err_set(err, CW_ERR_INVALID, "undo log of %zu bytes: must be 16 KiB to 64 GiB", conf->journal_bytes);
	st->conf = *conf;
	st->max_bytes = (conf->max_bytes + PAGE - 1) / PAGE * PAGE;
	st->journal_bytes = power_of_two(conf->journal_bytes);
	st->granules = st->max_bytes / CW_GRANULE;
	/* A batch of one transaction logs about 1.2 kB, so the log ends before the marks do. */
	st->nslots = power_of_two(st->journal_bytes / 1024 < 1024 ? 1024 : st->journal_bytes / 1024);
	st->control_bytes = CW_CONTROL_BYTES + st->nslots * sizeof(struct cw_mark_slot);
	st->control_bytes += (st->granules / 8 + PAGE - 1) / PAGE * PAGE;
	return 0;
}

static size_t file_size(const struct cw_state *st, int which)
{
	return which == FD_ARENA ? st->max_bytes : which == FD_RING ? st->journal_bytes : st->control_bytes;
}

/* Sealed: nobody who holds a descriptor can shrink it under the other's feet. */
static int make_file(const char *name, size_t size, struct cw_err *err)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return cw_err_set(err, CW_ERR_SYSTEM, "could not create memory file \"%s\": %s", name, strerror(errno));
	if (ftruncate(fd, (off_t)size) == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
		return fd;
	cw_err_set(err, CW_ERR_SYSTEM, "could not size memory file \"%s\" to %zu bytes: %s", name, size, strerror(errno));
	close(fd);
	return -1;
}

static void *map_file(int fd, size_t size)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);

	return at != MAP_FAILED ? at : NULL;
}

/* From an address on which a huge page may stand. */
static uint8_t *map_aligned(int fd, size_t size)
{
	const size_t span = size + HUGE_PAGE;
	uint8_t *at = mmap(NULL, span, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	size_t before = at != MAP_FAILED ? (HUGE_PAGE - (uintptr_t)at % HUGE_PAGE) % HUGE_PAGE : 0;

	if (at == MAP_FAILED)
		return NULL;
	if (mmap(at + before, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, fd, 0) == MAP_FAILED) {
		munmap(at, span);
		return NULL;
	}
	if (before > 0)
		munmap(at, before);
	munmap(at + before + size, span - before - size);
	return at + before;
}

static uint8_t *map_twice(int fd, size_t size)
{
	uint8_t *at = mmap(NULL, 2 * size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	int flags = MAP_SHARED | MAP_FIXED | MAP_NORESERVE;

	if (at == MAP_FAILED)
		return NULL;
	if (mmap(at, size, PROT_READ | PROT_WRITE, flags, fd, 0) != MAP_FAILED &&
	    mmap(at + size, size, PROT_READ | PROT_WRITE, flags, fd, 0) != MAP_FAILED)
		return at;
	munmap(at, 2 * size);
	return NULL;
}

static int map_all(struct cw_state *st, struct cw_err *err)
{
	uint8_t *control;

	st->hot.base = map_aligned(st->fds[FD_ARENA], st->max_bytes);
	st->ring = map_twice(st->fds[FD_RING], st->journal_bytes);
	control = map_file(st->fds[FD_CONTROL], st->control_bytes);
	st->control = (struct cw_control *)(void *)control;
	if (st->hot.base == NULL || st->ring == NULL || control == NULL)
		return cw_err_set(err, CW_ERR_SYSTEM, "could not map the state arena: %s", strerror(errno));
	st->slots = (struct cw_mark_slot *)(void *)(control + CW_CONTROL_BYTES);
	st->hot.dirty = (uint64_t *)(void *)(control + CW_CONTROL_BYTES + st->nslots * sizeof(struct cw_mark_slot));
	return 0;
}

struct cw_state *cw_state_new(const struct cw_state_conf *conf, struct cw_err *err)
{
	static const char *const names[CW_STATE_FDS] = { "cw-state", "cw-journal", "cw-control" };
	struct cw_state *st = cw_zalloc(sizeof(*st));

	for (int i = 0; i < CW_STATE_FDS; i++)
		st->fds[i] = -1;
	if (plan(st, conf, err) != 0)
		goto fail;
	for (int i = 0; i < CW_STATE_FDS; i++)
		if ((st->fds[i] = make_file(names[i], file_size(st, i), err)) < 0)
			goto fail;
	if (map_all(st, err) != 0)
		goto fail;
	st->control->magic = CW_CONTROL_MAGIC;
	st->control->max_bytes = st->max_bytes;
	st->control->journal_bytes = st->journal_bytes;
	st->control->nslots = st->nslots;
	st->control->hash_seed = conf->hash_seed;
	if (conf->populate)
		(void)madvise(st->ring, st->journal_bytes, MADV_POPULATE_WRITE);   /* a hint: older kernels do without */
	cw_state_reset(st);
	return st;
fail:
	cw_state_close(&st);
	return NULL;
}

void cw_state_fds(const struct cw_state *st, int fds[CW_STATE_FDS])
{
	memcpy(fds, st->fds, sizeof(st->fds));
}

int cw_state_protect(struct cw_state *st, bool off_limits, struct cw_err *err)
{
	int prot = off_limits ? PROT_NONE : PROT_READ | PROT_WRITE;

	if (mprotect(st->hot.base, st->max_bytes, prot) == 0 && mprotect(st->ring, 2 * st->journal_bytes, prot) == 0 &&
	    mprotect(st->control, st->control_bytes, prot) == 0)
		return 0;
	return cw_err_set(err, CW_ERR_SYSTEM, "could not protect the state arena: %s", strerror(errno));
}

static int check_files(const struct cw_state *st, struct cw_err *err)
{
	struct stat info;

	for (int i = 0; i < CW_STATE_FDS; i++) {
		if (fstat(st->fds[i], &info) != 0)
			return cw_err_set(err, CW_ERR_SYSTEM, "cannot attach to the state arena: file %d: %s", i, strerror(errno));
		if ((size_t)info.st_size != file_size(st, i))
			return cw_err_set(err, CW_ERR_INVALID, "cannot attach to the state arena: file %d is not of %zu bytes", i,
			                  file_size(st, i));
	}
	return 0;
}

struct cw_state *cw_state_attach(const struct cw_state_conf *conf, const int fds[CW_STATE_FDS], struct cw_err *err)
{
	struct cw_state *st = cw_zalloc(sizeof(*st));
	const struct cw_control *control;

	memcpy(st->fds, fds, sizeof(st->fds));
	if (plan(st, conf, err) != 0 || check_files(st, err) != 0 || map_all(st, err) != 0)
		goto fail;
	control = st->control;
	if (control->magic != CW_CONTROL_MAGIC || control->max_bytes != st->max_bytes ||
	    control->journal_bytes != st->journal_bytes || control->nslots != st->nslots ||
	    cw_arena_head(st)->magic != CW_ARENA_MAGIC || cw_arena_head(st)->layout != CW_ARENA_LAYOUT) {
		cw_err_set(err, CW_ERR_INVALID, "cannot attach to the state arena: it was made by another version or settings");
		goto fail;
	}
	st->backed = cw_state_used(st);
	return st;
fail:
	cw_state_close(&st);
	return NULL;
}

void cw_state_close(struct cw_state **st)
{
	struct cw_state *old = *st;

	*st = NULL;
	if (old == NULL)
		return;
	if (old->hot.base != NULL)
		munmap(old->hot.base, old->max_bytes);
	if (old->ring != NULL)
		munmap(old->ring, 2 * old->journal_bytes);
	if (old->control != NULL)
		munmap(old->control, old->control_bytes);
	for (int i = 0; i < CW_STATE_FDS; i++)
		if (old->fds[i] >= 0)
			close(old->fds[i]);
	cw_free(old);
}

const struct cw_state_conf *cw_state_conf(const struct cw_state *st)
{
	return &st->conf;
}

/* Punches a hole, which is cheap where little was used. Only madvise: it works behind the evaluator's locks too. */
static void zero_pages(void *at, size_t size)
{
	if (madvise(at, size, MADV_REMOVE) != 0)
		memset(at, 0, size);
}

/* An access to a large arena misses the TLB nearly always, and the walk through the page tables costs as much as the
 * memory itself: with huge pages it is half. Filling one at once also costs less than 512 faults. MADV_COLLAPSE works
 * for shared memory whatever /sys/kernel/mm/transparent_hugepage/shmem_enabled says, and where it does not, or where
 * there is no memory in one piece, small pages serve as well. An arena below 2 MiB keeps small ones. */
void cw_arena_back(struct cw_state *st, size_t used)
{
	if (used <= HUGE_PAGE)
		return;
	st->backed = (st->backed + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
	while (st->backed < used && st->max_bytes - st->backed >= HUGE_PAGE) {
		(void)*(volatile uint8_t *)(st->hot.base + st->backed);   /* one with no page at all is refused */
		(void)madvise(st->hot.base + st->backed, HUGE_PAGE, MADV_COLLAPSE);
		st->backed += HUGE_PAGE;
	}
}

void cw_arena_wipe(struct cw_state *st)
{
	st->backed = 0;
	cw_rewind_begin(st);
	zero_pages(st->hot.base, st->max_bytes);
	zero_pages(st->hot.dirty, (st->granules / 8 + PAGE - 1) / PAGE * PAGE);
}

void cw_state_reset(struct cw_state *st)
{
	struct cw_arena_head *arena = cw_arena_head(st);

	cw_arena_wipe(st);
	arena->magic = CW_ARENA_MAGIC;
	arena->layout = CW_ARENA_LAYOUT;
	arena->brk = (sizeof(*arena) + CW_GRANULE - 1) / CW_GRANULE * CW_GRANULE;
	arena->hash_seed = st->control->hash_seed;
	cw_journal_restart(st, 0, 0);
}

const void *cw_state_base(const struct cw_state *st)
{
	return st->hot.base;
}

size_t cw_state_used(const struct cw_state *st)
{
	return __atomic_load_n(&cw_arena_head(st)->brk, __ATOMIC_RELAXED);
}

uint64_t cw_state_hash_seed(const struct cw_state *st)
{
	return cw_arena_head(st)->hash_seed;
}

/* ---------------------------------------------------------------- size classes */

/* 16 32 48 64, 128 192 256, then four to each doubling; from 64 on multiples of 64, so blocks can be aligned to it. */
static unsigned class_of(size_t size)
{
	unsigned top, quarter;

	if (size <= 64)
		return size > 0 ? (unsigned)(size + 15) / 16 - 1 : 0;
	if (size <= 256)
		return (unsigned)(size + 63) / 64 + 2;
	top = 63u - (unsigned)__builtin_clzl(size - 1);
	quarter = (unsigned)((size - 1) >> (top - 2)) & 3;
	return 7 + (top - 8) * 4 + quarter;
}

static size_t class_size(unsigned class)
{
	size_t quarter;

	if (class < 4)
		return (class + 1) * 16;
	if (class < 7)
		return (class - 2) * 64;
	quarter = (size_t)1 << (6 + (class - 7) / 4);
	return quarter * (5 + (class - 7) % 4);
}

/* ---------------------------------------------------------------- allocator */

static void push_free(struct cw_state *st, unsigned class, cw_ref ref)
{
	cw_ref *head = &cw_arena_head(st)->free[class], *link = cw_state_ptr(st, ref);

	cw_state_touch(st, head, sizeof(*head));
	cw_state_touch(st, link, sizeof(*link));
	*link = *head;
	*head = ref;
}

static cw_ref pop_free(struct cw_state *st, unsigned class)
{
	cw_ref *head = &cw_arena_head(st)->free[class], ref = *head;
	size_t size = class_size(class);
	cw_ref *link;

	if (ref == 0)
		return 0;
	cw_assert((size_t)ref * 16 + size <= cw_state_used(st));
	link = cw_state_ptr(st, ref);
	cw_state_touch(st, head, sizeof(*head));
	*head = *link;
	cw_state_touch(st, link, size);
	memset(link, 0, size);
	return ref;
}

/* Cuts [at, at + size) into free blocks: small ones up to the next line, then the largest that fit. */
static void give_back(struct cw_state *st, size_t at, size_t size)
{
	while (size > 0) {
		size_t room = at % 64 != 0 ? 64 - at % 64 : size;
		unsigned class = class_of(room < size ? room : size);

		if (class > 0 && class_size(class) > size)
			class--;
		push_free(st, class, (cw_ref)(at / 16));
		at += class_size(class);
		size -= class_size(class);
	}
}

static cw_ref take_fresh(struct cw_state *st, size_t size)
{
	struct cw_arena_head *arena = cw_arena_head(st);
	size_t at = arena->brk, line = (size + 63) / 64 * 64;

	if (line > st->max_bytes - at)
		return 0;
	if (line > HUGE_PAGE)             /* much of it may never be used */
		st->backed = at + line;
	else if (at + line > st->backed)
		cw_arena_back(st, at + line);
	cw_state_touch(st, arena, CW_GRANULE);
	arena->brk = at + line;
	give_back(st, at + size, line - size);
	return (cw_ref)(at / 16);
}

/* At the arena's end: breaks the smallest larger block. */
static cw_ref take_larger(struct cw_state *st, unsigned class)
{
	for (unsigned larger = class + 1; larger < CW_CLASSES; larger++) {
		cw_ref ref = pop_free(st, larger);

		if (ref == 0)
			continue;
		give_back(st, (size_t)ref * 16 + class_size(class), class_size(larger) - class_size(class));
		return ref;
	}
	return 0;
}

static struct cw_state_account *account_of(const struct cw_state *st, uint32_t owner)
{
	cw_assert(owner < CW_STATE_OWNERS);
	return &cw_arena_head(st)->accounts[owner].account;
}

cw_ref cw_state_try_alloc(struct cw_state *st, uint32_t owner, size_t size)
{
	struct cw_state_account *account = account_of(st, owner);
	unsigned class;
	cw_ref ref;

	if (size > st->max_bytes)
		return 0;
	class = class_of(size);
	size = class_size(class);
	if (account->cap != 0 && (account->bytes > account->cap || size > account->cap - account->bytes))
		return 0;
	ref = pop_free(st, class);
	if (ref == 0)
		ref = take_fresh(st, size);
	if (ref == 0)
		ref = take_larger(st, class);
	if (ref == 0)
		return 0;
	cw_state_touch(st, account, sizeof(*account));
	account->bytes += size;
	return ref;
}

cw_ref cw_state_alloc(struct cw_state *st, uint32_t owner, size_t size)
{
	struct cw_state_account *account = account_of(st, owner);
	cw_ref ref = cw_state_try_alloc(st, owner, size);

	if (ref != 0)
		return ref;
	cw_state_touch(st, account, sizeof(*account));
	account->refused++;
	return 0;
}

void cw_state_free(struct cw_state *st, uint32_t owner, cw_ref ref, size_t size)
{
	struct cw_state_account *account = account_of(st, owner);
	unsigned class = class_of(size);

	if (ref == 0)
		return;
	size = class_size(class);
	cw_assert((size_t)ref * 16 + size <= cw_state_used(st) && account->bytes >= size);
	push_free(st, class, ref);
	cw_state_touch(st, account, sizeof(*account));
	account->bytes -= size;
}

/* ---------------------------------------------------------------- accounts */

void cw_state_set_cap(struct cw_state *st, uint32_t owner, uint64_t cap_bytes)
{
	struct cw_state_account *account = account_of(st, owner);

	if (account->cap == cap_bytes)
		return;
	cw_state_touch(st, account, sizeof(*account));
	account->cap = cap_bytes;
}

struct cw_state_account cw_state_account(const struct cw_state *st, uint32_t owner)
{
	return *account_of(st, owner);
}

void cw_state_count(struct cw_state *st, uint32_t owner, int64_t keys, uint64_t evictions)
{
	struct cw_state_account *account = account_of(st, owner);

	cw_state_touch(st, account, sizeof(*account));
	account->keys += (uint64_t)keys;
	account->evictions += evictions;
}

/* ---------------------------------------------------------------- directory */

/* Chunks of 15 roots; an empty name is a free place. */
#define CHUNK_ROOTS 15
#define MAX_CHUNKS  1024   /* more is a circle */
struct root_place {
	struct cw_state_root root;
	uint8_t spare[8];
};
struct root_chunk {
	cw_ref next;
	uint8_t spare[124];
	struct root_place places[CHUNK_ROOTS];
};
_Static_assert(sizeof(struct root_chunk) == 2048, "a chunk is a block");

/* NULL at the end, or where the reference leads out of the arena (the engine reads what an evaluator wrote). */
static struct root_chunk *chunk_at(const struct cw_state *st, cw_ref ref)
{
	size_t used = cw_state_used(st);

	if (ref == 0 || ref % 4 != 0 || used > st->max_bytes || (size_t)ref * 16 + sizeof(struct root_chunk) > used)
		return NULL;
	return cw_state_ptr(st, ref);
}

static bool root_valid(const struct cw_state_root *root)
{
	return root->name[0] != '\0' && memchr(root->name, '\0', sizeof(root->name)) != NULL &&
	       root->owner < CW_STATE_OWNERS;
}

/* In order of address, so that a walk ends whatever the chunks look like. */
struct cw_state_root *cw_state_root_next(struct cw_state *st, const struct cw_state_root *after)
{
	struct root_chunk *chunk = chunk_at(st, cw_arena_head(st)->roots);
	struct cw_state_root *next = NULL;

	/* Directories are walked often, at each change of rules: most chunks are passed by at a glance. */
	for (int left = MAX_CHUNKS; chunk != NULL && left > 0; chunk = chunk_at(st, chunk->next), left--) {
		if ((after != NULL && &chunk->places[CHUNK_ROOTS - 1].root <= after) ||
		    (next != NULL && &chunk->places[0].root >= next))
			continue;
		for (int i = 0; i < CHUNK_ROOTS; i++) {
			struct cw_state_root *root = &chunk->places[i].root;

			if ((after != NULL && root <= after) || !root_valid(root))
				continue;
			if (next == NULL || root < next)
				next = root;
			break;
		}
	}
	return next;
}

static bool same_rule(const char *a, const char *b)
{
	size_t len = strcspn(a, "/");

	return strcspn(b, "/") == len && memcmp(a, b, len) == 0;
}

/* The rule's owner, or the lowest free number; 0 when there is none. */
static uint32_t pick_owner(struct cw_state *st, const char *name)
{
	bool taken[CW_STATE_OWNERS] = { true };

	for (struct cw_state_root *root = NULL; (root = cw_state_root_next(st, root)) != NULL;) {
		if (same_rule(root->name, name))
			return root->owner;
		taken[root->owner] = true;
	}
	for (uint32_t owner = 1; owner < CW_STATE_OWNERS; owner++)
		if (!taken[owner])
			return owner;
	return 0;
}

/* A free place, in a new chunk when all are full. */
static struct cw_state_root *free_place(struct cw_state *st)
{
	cw_ref *link = &cw_arena_head(st)->roots;
	struct root_chunk *chunk;
	int left = MAX_CHUNKS;

	for (; (chunk = chunk_at(st, *link)) != NULL; link = &chunk->next, left--)
		for (int i = 0; i < CHUNK_ROOTS; i++)
			if (chunk->places[i].root.name[0] == '\0')
				return &chunk->places[i].root;
	if (left <= 0)
		return NULL;
	cw_ref ref = cw_state_alloc(st, 0, sizeof(struct root_chunk));
	if (ref == 0)
		return NULL;
	cw_state_touch(st, link, sizeof(*link));
	*link = ref;
	chunk = cw_state_ptr(st, ref);
	return &chunk->places[0].root;
}

struct cw_state_root *cw_state_root_open(struct cw_state *st, const char *name, const uint8_t digest[16])
{
	size_t len = strlen(name);
	struct cw_state_root *root = NULL;
	uint32_t owner;

	if (len == 0 || len >= sizeof(root->name))
		return NULL;
	while ((root = cw_state_root_next(st, root)) != NULL)
		if (strcmp(root->name, name) == 0 && memcmp(root->digest, digest, sizeof(root->digest)) == 0)
			return root;
	owner = pick_owner(st, name);
	if (owner == 0 || (root = free_place(st)) == NULL)
		return NULL;
	cw_state_touch(st, root, sizeof(*root));
	memset(root, 0, sizeof(*root));
	memcpy(root->name, name, len);
	memcpy(root->digest, digest, sizeof(root->digest));
	root->owner = owner;
	return root;
}

void cw_state_root_drop(struct cw_state *st, struct cw_state_root *root)
{
	uint32_t owner = root->owner;
	struct cw_state_root *other = NULL;
	struct cw_state_account *account = account_of(st, owner);

	cw_state_touch(st, root, sizeof(*root));
	memset(root, 0, sizeof(*root));
	while ((other = cw_state_root_next(st, other)) != NULL)
		if (other->owner == owner)
			return;
	/* The number goes to another rule some day, which starts with a clean account. Bytes that were not freed stay
	 * charged: they are still taken. */
	cw_state_touch(st, account, sizeof(*account));
	*account = (struct cw_state_account){ .bytes = account->bytes };
}

/* ---------------------------------------------------------------- checks */

static bool check_free_list(const struct cw_state *st, unsigned class, uint64_t *left)
{
	const struct cw_arena_head *arena = cw_arena_head(st);
	size_t size = class_size(class);

	for (cw_ref ref = arena->free[class]; ref != 0; ref = *(const cw_ref *)cw_state_ptr(st, ref)) {
		size_t at = (size_t)ref * 16;

		if (at < sizeof(*arena) || at + size > arena->brk || (size >= 64 && at % 64 != 0) || *left == 0)
			return false;
		--*left;
	}
	return true;
}

int cw_arena_check(const struct cw_state *st, struct cw_err *err)
{
	const struct cw_arena_head *arena = cw_arena_head(st);
	uint64_t left = st->max_bytes / 16;   /* more free blocks than that is a circle */
	int chunks = MAX_CHUNKS;

	if (arena->magic != CW_ARENA_MAGIC || arena->layout != CW_ARENA_LAYOUT || arena->brk > st->max_bytes ||
	    arena->brk < sizeof(*arena) || arena->brk % CW_GRANULE != 0)
		return cw_err_set(err, CW_ERR_INVALID, "the arena's header makes no sense");
	for (unsigned class = 0; class < CW_CLASSES; class++)
		if (!check_free_list(st, class, &left))
			return cw_err_set(err, CW_ERR_INVALID, "the arena's free list %u makes no sense", class);
	for (cw_ref ref = arena->roots; ref != 0; ref = chunk_at(st, ref)->next)
		if (chunk_at(st, ref) == NULL || chunks-- == 0)
			return cw_err_set(err, CW_ERR_INVALID, "the arena's directory makes no sense");
	return 0;
}

void cw_state_shadow_take(struct cw_state_shadow *shadow, const struct cw_state *st)
{
	shadow->used = cw_state_used(st);
	shadow->bytes = cw_realloc(shadow->bytes, shadow->used);
	memcpy(shadow->bytes, st->hot.base, shadow->used);
}

void cw_state_shadow_release(struct cw_state_shadow *shadow)
{
	cw_free(shadow->bytes);
	*shadow = (struct cw_state_shadow){ 0 };
}

int64_t cw_state_check(const struct cw_state *st, const struct cw_state_shadow *shadow)
{
	static const uint8_t zeros[CW_GRANULE];
	size_t used = cw_state_used(st);

	for (uint64_t g = 0; g < used / CW_GRANULE; g++) {
		const uint8_t *now = st->hot.base + g * CW_GRANULE;
		const uint8_t *then = (g + 1) * CW_GRANULE <= shadow->used ? shadow->bytes + g * CW_GRANULE : zeros;

		if ((st->hot.dirty[g >> 6] & (1ull << (g & 63))) != 0 || memcmp(now, then, CW_GRANULE) == 0)
			continue;
		for (unsigned i = 0;; i++)
			if (now[i] != then[i])
				return (int64_t)(g * CW_GRANULE + i);
	}
	return -1;
}
