/* A checkpoint file from anywhere: nothing may crash, and what is refused leaves an empty arena. First byte:
 *   0  the rest is the file
 *   1  the rest are changes to a good file, each four bytes of place (little-endian, modulo its size) and one of value;
 *      then both checksums are made to fit, so that the checks behind them are reached
 * Seeds: tests/fuzz/corpus/checkpoint. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/err.h"
#include "state/checkpoint.h"
#include "state/dict.h"
#include "state/state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HEADER    4096u
#define BODY_SUM  48u
#define HEAD_SUM  56u
#define MAX_FILE  (256u << 10)

static struct cw_state *st, *empty;
static int fd = -1;
static uint8_t good[MAX_FILE], file[MAX_FILE];
static size_t good_size;

static uint64_t rotate(uint64_t x, int bits)
{
	return x << bits | x >> (64 - bits);
}

/* XXH64 of a multiple of 32 bytes, written down a second time. */
static uint64_t sum_of(const uint8_t *at, size_t size)
{
	const uint64_t p1 = 11400714785074694791u, p2 = 14029467366897019727u, p3 = 1609587929392839161u;
	const uint64_t p4 = 9650029242287828579u;
	uint64_t v[4] = { p1 + p2, p2, 0, 0 - p1 }, h, word;

	for (size_t i = 0; i + 8 <= size; i += 8) {
		memcpy(&word, at + i, 8);
		v[i / 8 % 4] = rotate(v[i / 8 % 4] + word * p2, 31) * p1;
	}
	h = rotate(v[0], 1) + rotate(v[1], 7) + rotate(v[2], 12) + rotate(v[3], 18);
	for (int k = 0; k < 4; k++)
		h = (h ^ rotate(v[k] * p2, 31) * p1) * p1 + p4;
	h += size;
	h = (h ^ h >> 33) * p2;
	h = (h ^ h >> 29) * p3;
	return h ^ h >> 32;
}

static void fix_sums(uint8_t *bytes, size_t size)
{
	uint64_t sum = sum_of(bytes + HEADER, size - HEADER);

	memcpy(bytes + BODY_SUM, &sum, 8);
	memset(bytes + HEAD_SUM, 0, 8);
	sum = sum_of(bytes, HEADER);
	memcpy(bytes + HEAD_SUM, &sum, 8);
}

static void fill_arena(struct cw_state *state)
{
	static const uint8_t digest[16] = { 1 };
	struct cw_state_root *root = cw_state_root_open(state, "rule/seen", digest);
	struct cw_dict_conf conf = { .value_size = 24, .max_keys = 64, .owner = root->owner };
	struct cw_dict *dict = cw_dict_open(state, &conf, &root->ref, NULL);

	for (uint8_t i = 0; i < 100; i++) {
		struct cw_dict_key key = { { i } };

		cw_assert(cw_dict_upsert(dict, &key, i, NULL) != NULL);
	}
	cw_dict_close(&dict);
	for (size_t bytes = 16; bytes < 2000; bytes += bytes / 2)
		cw_state_free(state, 2, cw_state_alloc(state, 2, bytes), bytes);
	cw_state_mark(state, 7, 3);
}

static void prepare(void)
{
	static const uint8_t digest[CW_CHECKPOINT_DIGEST] = { 2 };
	struct cw_state_conf conf = { .max_bytes = 1 << 20, .journal_bytes = 64 << 10 };
	struct cw_checkpoint *cp = cw_checkpoint_new();
	char path[] = "/tmp/cw-fuzz-checkpoint-XXXXXX";
	int from = mkstemp(path);
	ssize_t got;

	st = cw_state_new(&conf, NULL);
	empty = cw_state_new(&conf, NULL);
	fd = memfd_create("checkpoint", MFD_CLOEXEC);
	cw_assert(from >= 0 && st != NULL && empty != NULL && fd >= 0);
	fill_arena(st);
	cw_assert(cw_checkpoint_save(cp, st, UINT64_MAX, digest, path, NULL) == 0);
	close(from);
	cw_assert(cw_checkpoint_load(st, path, digest, NULL, NULL) == 0);
	from = open(path, O_RDONLY);
	got = read(from, good, sizeof(good));
	cw_assert(got > (ssize_t)HEADER && got < (ssize_t)sizeof(good));
	good_size = (size_t)got;
	close(from);
	unlink(path);
	cw_checkpoint_free(&cp);
}

/* Returns the size of the file. */
static size_t change_good(const uint8_t *data, size_t size)
{
	memcpy(file, good, good_size);
	for (size_t i = 0; i + 5 <= size; i += 5) {
		uint32_t place;

		memcpy(&place, data + i, sizeof(place));
		file[place % good_size] = data[i + 4];
	}
	fix_sums(file, good_size);
	return good_size;
}

static void use_arena(void)
{
	struct cw_state_mark mark;
	int roots = 0;

	for (struct cw_state_root *root = NULL; (root = cw_state_root_next(st, root)) != NULL;)
		roots++;
	cw_assert(roots < 1 << 16 && cw_state_used(st) <= 1 << 20);
	cw_assert(cw_state_find_seq(st, UINT64_MAX, &mark) && mark.seq == cw_state_seq(st));
	cw_state_mark(st, mark.seq + 1, mark.block);
	cw_assert(cw_state_rewind(st, &mark, NULL) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cw_checkpoint_info info;
	struct cw_err err;
	size_t length;

	if (fd < 0)
		prepare();
	if (size < 1 || size > sizeof(file))
		return 0;
	if (data[0] % 2 == 0) {
		length = size - 1;
		memcpy(file, data + 1, length);
	} else {
		length = change_good(data + 1, size - 1);
	}
	cw_assert(ftruncate(fd, 0) == 0 && pwrite(fd, file, length, 0) == (ssize_t)length);
	cw_err_clear(&err);
	if (cw_checkpoint_load_fd(st, fd, NULL, &info, &err) == 0) {
		cw_assert(info.seq == cw_state_seq(st) && info.bytes == cw_state_used(st));
		use_arena();
		return 0;
	}
	cw_assert(err.code != CW_OK && err.msg[0] != '\0');
	cw_assert(cw_state_used(st) == cw_state_used(empty));
	cw_assert(memcmp(cw_state_base(st), cw_state_base(empty), cw_state_used(st)) == 0);
	return 0;
}
