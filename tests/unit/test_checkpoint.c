/* Checkpoints: frozen beside a running writer, written while killed, and every kind of damage. CW_LONG=1 does more, and
 * flips every byte. */
#include "state/checkpoint.h"

#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "state/state.h"
#include "state/state_internal.h"
#include "support/statework.h"

#define SEED 12

static const uint8_t digest[CW_CHECKPOINT_DIGEST] = { 3, 1, 4, 1, 5 };
static struct cw_state *st, *twin, *loaded;
static struct cw_checkpoint *cp;
static struct cw_err err;
static char dir[] = "/tmp/cw-checkpoint-XXXXXX", path[64];

static void setup(void)
{
	st = statework_arena(4 << 20);
	twin = statework_arena(4 << 20);
	loaded = statework_arena(4 << 20);
	cp = cw_checkpoint_new();
	cw_err_clear(&err);
	strcpy(dir + sizeof(dir) - 7, "XXXXXX");
	ck_assert(mkdtemp(dir) != NULL);
	snprintf(path, sizeof(path), "%s/state", dir);
}

static void teardown(void)
{
	char aside[80];

	cw_state_close(&st);
	cw_state_close(&twin);
	cw_state_close(&loaded);
	cw_checkpoint_free(&cp);
	ck_assert(cp == NULL);
	snprintf(aside, sizeof(aside), "%s.tmp", path);
	unlink(aside);
	unlink(path);
	ck_assert_int_eq(rmdir(dir), 0);
}

static void save(void)
{
	ck_assert_msg(cw_checkpoint_save(cp, st, UINT64_MAX, digest, path, &err) == 0, "%s", err.msg);
}

static void load(void)
{
	ck_assert_msg(cw_checkpoint_load(loaded, path, digest, NULL, &err) == 0, "%s", err.msg);
}

/* ---------------------------------------------------------------- there and back */

START_TEST(a_file_brings_back_every_byte)
{
	struct cw_checkpoint_info info, peeked;

	statework_run(st, SEED, 0, 100);
	save();
	statework_run(loaded, 99, 0, 20);   /* whatever was there before */
	ck_assert_int_eq(cw_checkpoint_load(loaded, path, digest, &info, &err), 0);
	statework_same(st, loaded, "saved and loaded");
	ck_assert(statework_clean(loaded));
	ck_assert_uint_eq(info.seq, 100);
	ck_assert_uint_eq(info.block, 25);
	ck_assert_uint_eq(info.bytes, cw_state_used(st));
	ck_assert_int_eq(memcmp(info.digest, digest, sizeof(digest)), 0);
	ck_assert_int_eq(cw_checkpoint_peek(path, &peeked, &err), 0);
	ck_assert_int_eq(memcmp(&info, &peeked, sizeof(info)), 0);

	/* And it goes on as if nothing had happened. */
	statework_run(st, SEED, 100, 150);
	statework_run(loaded, SEED, 100, 150);
	statework_same(st, loaded, "gone on");
}
END_TEST

START_TEST(an_empty_arena_is_a_state_too)
{
	save();
	load();
	statework_same(st, loaded, "empty");
}
END_TEST

START_TEST(an_older_mark_and_an_open_batch)
{
	struct statework *work;

	statework_run(st, SEED, 0, 60);
	work = statework_open(st);
	statework_part(work, SEED, 61);
	statework_close(&work);
	for (uint64_t seq = 60; seq > 40; seq -= 7) {
		cw_state_reset(twin);
		statework_run(twin, SEED, 0, seq);
		ck_assert_int_eq(cw_checkpoint_freeze(cp, st, seq, &err), 0);
		ck_assert_uint_eq(cw_checkpoint_info(cp).seq, seq);
		ck_assert_int_eq(cw_checkpoint_restore(cp, loaded, &err), 0);
		statework_same(twin, loaded, "frozen at an older mark");
	}
}
END_TEST

START_TEST(a_loaded_arena_has_one_mark)
{
	struct cw_state_mark mark;

	statework_run(st, SEED, 0, 30);
	save();
	load();
	ck_assert(!cw_state_find_seq(loaded, 29, &mark));
	ck_assert(cw_state_find_seq(loaded, 30, &mark));
	statework_run(loaded, SEED, 30, 40);
	ck_assert_int_eq(cw_state_rewind(loaded, &mark, &err), 0);
	statework_same(st, loaded, "loaded, used and rewound");
}
END_TEST

START_TEST(what_cannot_be_frozen_is_told)
{
	struct cw_state_conf conf = { .max_bytes = 16 << 20, .journal_bytes = 16 << 10 };
	cw_ref ref;

	ck_assert_int_eq(cw_checkpoint_write(cp, digest, path, &err), -1);
	ck_assert_int_eq(err.code, CW_ERR_INVALID);
	ck_assert_int_eq(cw_checkpoint_restore(cp, loaded, &err), -1);
	ck_assert_int_eq(err.code, CW_ERR_INVALID);
	cw_state_close(&st);
	st = cw_state_new(&conf, &err);
	ref = cw_state_alloc(st, 1, 100000);
	cw_state_mark(st, 5, 5);
	cw_state_touch(st, cw_state_ptr(st, ref), 100000);   /* more than the log holds */
	ck_assert_int_eq(cw_checkpoint_freeze(cp, st, UINT64_MAX, &err), -1);
	ck_assert_int_eq(err.code, CW_ERR_NOT_FOUND);
	ck_assert_uint_eq(cw_checkpoint_info(cp).bytes, 0);
	cw_state_mark(st, 6, 6);
	ck_assert_int_eq(cw_checkpoint_freeze(cp, st, 5, &err), -1);
	ck_assert_int_eq(err.code, CW_ERR_NOT_FOUND);
	ck_assert_int_eq(cw_checkpoint_freeze(cp, st, 6, &err), 0);
}
END_TEST

START_TEST(a_smaller_arena_refuses)
{
	struct cw_state_conf conf = { .max_bytes = 256 << 10, .journal_bytes = 1 << 20 };
	struct cw_state *small = cw_state_new(&conf, &err);

	statework_run(st, SEED, 0, 50);
	save();
	ck_assert_int_eq(cw_checkpoint_load(small, path, NULL, NULL, &err), -1);
	ck_assert_int_eq(err.code, CW_ERR_INVALID);
	ck_assert_msg(strstr(err.msg, "does not fit into an arena of 262144") != NULL, "%s", err.msg);
	ck_assert_int_eq(cw_checkpoint_restore(cp, small, &err), -1);
	ck_assert_int_eq(err.code, CW_ERR_INVALID);
	ck_assert_uint_eq(cw_state_seq(small), 0);
	cw_state_close(&small);
}
END_TEST

/* ---------------------------------------------------------------- beside a running writer */

static pid_t spawn(void (*body)(uint64_t arg), uint64_t arg)
{
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	body(arg);
	_exit(0);
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

static void nap_us(uint64_t us)
{
	struct timespec span = { .tv_sec = 0, .tv_nsec = (long)us * 1000 };

	nanosleep(&span, NULL);
}

/* How far the writer may go, so that the replay beside it keeps up. */
static volatile uint64_t *allowed;

static void write_along(uint64_t seq)
{
	struct statework *work = statework_open(st);

	for (;; seq++) {
		while (seq >= *allowed)
			nap_us(20);
		statework_batch(work, SEED, seq + 1);
		cw_state_mark(st, seq + 1, (seq + 1) / 4);
	}
}

START_TEST(a_running_writer_is_frozen_exactly)
{
	unsigned rounds = statework_rounds(1000, 20000), done, moved = 0, conflicts = 0;
	int64_t limit = cw_clock_mono_us() + (int64_t)statework_rounds(4, 600) * 1000000;
	uint64_t random = 3, at = 0;
	pid_t writer;

	statework_run(st, SEED, 0, 20);
	allowed = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert(allowed != MAP_FAILED);
	writer = spawn(write_along, 20);
	/* On a busy machine the writer may not run beside the first ones. */
	for (done = 0; (done < rounds || moved == 0) && cw_clock_mono_us() < limit; done++) {
		uint64_t back = statework_random(&random) % 6, seq;

		*allowed = cw_state_seq(st) + 25;
		nap_us(statework_random(&random) % 300);
		seq = cw_state_seq(st);
		if (cw_checkpoint_freeze(cp, st, back < seq ? seq - back : seq, &err) != 0) {
			ck_assert_msg(err.code == CW_ERR_CONFLICT, "%s", err.msg);
			conflicts++;
			continue;
		}
		moved += cw_state_seq(st) != seq;
		seq = cw_checkpoint_info(cp).seq;
		if (seq < at) {
			cw_state_reset(twin);
			at = 0;
		}
		statework_run(twin, SEED, at, seq);
		at = seq;
		ck_assert_int_eq(cw_checkpoint_restore(cp, loaded, &err), 0);
		statework_same(twin, loaded, "frozen beside a writer");
	}
	end(writer);
	printf("%u checkpoints, %u with the writer past them at the end, %u void, up to seq %lu\n", done, moved, conflicts,
	       (unsigned long)at);
	ck_assert_uint_lt(conflicts, done / 2 + 1);
}
END_TEST

/* Works and rewinds a few batches, again and again. */
static void write_and_rewind(uint64_t seq)
{
	uint64_t random = 8;

	for (;;) {
		uint64_t to = seq + 1 + statework_random(&random) % 4, back = statework_random(&random) % 5;
		struct cw_state_mark mark;

		statework_run(st, SEED, seq, to);
		if (!cw_state_find_seq(st, to - back, &mark) || cw_state_rewind(st, &mark, NULL) != 0)
			_exit(1);
		seq = to - back;
	}
}

START_TEST(a_rewind_meanwhile_makes_it_void)
{
	unsigned rounds = statework_rounds(400, 4000), done, conflicts = 0;
	int64_t limit = cw_clock_mono_us() + (int64_t)statework_rounds(3, 600) * 1000000;
	pid_t writer;

	statework_run(st, SEED, 0, 20);
	writer = spawn(write_and_rewind, 20);
	for (done = 0; (done < rounds || conflicts == 0) && cw_clock_mono_us() < limit; done++) {
		uint64_t seq;

		if (cw_checkpoint_freeze(cp, st, UINT64_MAX, &err) != 0) {
			/* NOT_FOUND: the marks were just taken back. */
			ck_assert_msg(err.code == CW_ERR_CONFLICT || err.code == CW_ERR_NOT_FOUND, "%s", err.msg);
			conflicts++;
			continue;
		}
		seq = cw_checkpoint_info(cp).seq;
		if (seq < cw_state_seq(twin))
			cw_state_reset(twin);
		statework_run(twin, SEED, cw_state_seq(twin), seq);
		ck_assert_int_eq(cw_checkpoint_restore(cp, loaded, &err), 0);
		statework_same(twin, loaded, "frozen beside rewinds");
	}
	end(writer);
	printf("%u checkpoints beside rewinds, %u void\n", done, conflicts);
	ck_assert_uint_lt(conflicts, done);
}
END_TEST

static void save_forever(uint64_t seq)
{
	for (;; seq++) {
		if (cw_checkpoint_save(cp, st, UINT64_MAX, digest, path, NULL) != 0)
			_exit(1);
		statework_run(st, SEED, seq, seq + 1);
	}
}

START_TEST(killed_while_it_writes)
{
	unsigned rounds = statework_rounds(60, 2000);
	uint64_t random = 4;

	statework_run(st, SEED, 0, 5);
	save();
	for (unsigned i = 0; i < rounds; i++) {
		uint64_t seq = cw_state_seq(st);
		pid_t pid = spawn(save_forever, seq);
		struct cw_state_mark mark;

		nap_us(statework_random(&random) % 8000);
		end(pid);
		ck_assert(cw_state_find_seq(st, UINT64_MAX, &mark));
		ck_assert_int_eq(cw_state_rewind(st, &mark, &err), 0);
		load();
		ck_assert_uint_le(cw_state_seq(loaded), cw_state_seq(st));
		ck_assert_uint_ge(cw_state_seq(loaded) + 1, cw_state_seq(st));
		statework_run(loaded, SEED, cw_state_seq(loaded), cw_state_seq(st));
		statework_same(st, loaded, "loaded after a kill");
	}
}
END_TEST

/* ---------------------------------------------------------------- damage */

static uint8_t *file;
static size_t file_size;

static void read_file(void)
{
	int fd = open(path, O_RDONLY);
	struct stat info;

	ck_assert_int_eq(fstat(fd, &info), 0);
	file_size = (size_t)info.st_size;
	file = cw_alloc(file_size);
	ck_assert_int_eq(read(fd, file, file_size), (ssize_t)file_size);
	close(fd);
}

static void write_file(const void *bytes, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	ck_assert_int_eq(write(fd, bytes, size), (ssize_t)size);
	close(fd);
}

static void set_u32(size_t at, uint32_t value)
{
	memcpy(file + at, &value, sizeof(value));
}

static void refused(const char *reason)
{
	static struct cw_state *empty;
	char expected[200];

	if (empty == NULL)
		empty = statework_arena(1 << 20);
	snprintf(expected, sizeof(expected), "cannot load checkpoint \"%s\": %s", path, reason);
	ck_assert_int_eq(cw_checkpoint_load(loaded, path, digest, NULL, &err), -1);
	ck_assert_int_eq(err.code, CW_ERR_INVALID);
	ck_assert_msg(strncmp(err.msg, expected, strlen(expected)) == 0, "\"%s\" instead of \"%s\"", err.msg, expected);
	statework_same(loaded, empty, "refused");
}

START_TEST(damage_is_named)
{
	static const uint8_t other[CW_CHECKPOINT_DIGEST] = { 9 };
	struct cw_checkpoint_info info;

	statework_run(st, SEED, 0, 20);
	ck_assert_int_eq(cw_checkpoint_load(loaded, path, digest, NULL, &err), -1);
	ck_assert_int_eq(err.code, CW_ERR_NOT_FOUND);
	save();
	statework_run(loaded, SEED, 0, 10);
	ck_assert_int_eq(cw_checkpoint_load(loaded, path, other, NULL, &err), -1);
	ck_assert_int_eq(err.code, CW_ERR_CONFLICT);
	ck_assert_uint_eq(cw_state_seq(loaded), 0);
	ck_assert_int_eq(cw_checkpoint_load(loaded, path, NULL, NULL, &err), 0);

	read_file();
	write_file("", 0);
	refused("it has 0 bytes, less than a header");
	write_file(file, 4095);
	refused("it has 4095 bytes, less than a header");
	write_file(file, file_size - 1);
	refused("it has ");
	ck_assert_int_eq(cw_checkpoint_peek(path, &info, &err), -1);
	write_file(file, 4096);
	refused("it has 0 bytes of state, its header says ");

	file[file_size - 1] ^= 1;
	write_file(file, file_size);
	refused("its state is damaged: the checksum differs");
	file[file_size - 1] ^= 1;
	file[100] ^= 1;
	write_file(file, file_size);
	refused("its header is damaged: the checksum differs");
	file[100] ^= 1;
	set_u32(8, __builtin_bswap32(0x01020304));
	write_file(file, file_size);
	refused("it was written by a machine of other byte order");
	set_u32(8, 0x01020304);
	set_u32(12, 2);
	write_file(file, file_size);
	refused("it has format 2, this engine reads 1");
	set_u32(12, 1);
	memcpy(file, "#!/bin/s", 8);
	write_file(file, file_size);
	refused("it is no checkpoint of this engine");
	cw_free(file);

	unlink(path);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	refused("it is no regular file");
}
END_TEST

/* XXH64 as its specification has it, seed 0, for whole stripes: so that a file can be forged that only its content gives away. */
static uint64_t rotl(uint64_t x, int n)
{
	return x << n | x >> (64 - n);
}

static uint64_t xxh64(const uint8_t *p, size_t len)
{
	const uint64_t p1 = 11400714785074694791u, p2 = 14029467366897019727u, p3 = 1609587929392839161u, p4 = 9650029242287828579u;
	uint64_t v[4] = { p1 + p2, p2, 0, 0 - p1 }, h;

	for (size_t i = 0; i < len; i += 32)
		for (int k = 0; k < 4; k++) {
			uint64_t word;

			memcpy(&word, p + i + 8 * (size_t)k, sizeof(word));
			v[k] = rotl(v[k] + word * p2, 31) * p1;
		}
	h = rotl(v[0], 1) + rotl(v[1], 7) + rotl(v[2], 12) + rotl(v[3], 18);
	for (int k = 0; k < 4; k++)
		h = (h ^ rotl(v[k] * p2, 31) * p1) * p1 + p4;
	h += len;
	h = (h ^ h >> 33) * p2;
	h = (h ^ h >> 29) * p3;
	return h ^ h >> 32;
}

/* Offsets of the header: layout 16, used 24, seq 32, sums of body and head 48 and 56. */
static void forge(void)
{
	uint64_t sum = xxh64(file + 4096, file_size - 4096);

	memcpy(file + 48, &sum, sizeof(sum));
	memset(file + 56, 0, 8);
	sum = xxh64(file, 4096);
	memcpy(file + 56, &sum, sizeof(sum));
	write_file(file, file_size);
}

START_TEST(right_sums_do_not_make_it_right)
{
	struct cw_arena_head *arena;
	struct cw_checkpoint_info info;
	uint64_t seq, used;

	statework_run(st, SEED, 0, 20);
	save();
	read_file();
	arena = (struct cw_arena_head *)(void *)(file + 4096);
	forge();
	load();                                        /* the sums are the file's own */

	set_u32(16, 77);
	forge();
	refused("its state has layout 77, this engine has 2");
	set_u32(16, CW_ARENA_LAYOUT);
	memcpy(&seq, file + 32, sizeof(seq));
	seq++;
	memcpy(file + 32, &seq, sizeof(seq));
	forge();
	refused("its state does not belong to its header");
	ck_assert_int_eq(cw_checkpoint_peek(path, &info, &err), 0);
	ck_assert_uint_eq(info.seq, seq);              /* a look at the header alone sees no state */
	seq--;
	memcpy(file + 32, &seq, sizeof(seq));
	arena->block++;
	forge();
	refused("its state does not belong to its header");
	arena->block--;
	arena->magic++;
	forge();
	refused("the arena's header makes no sense");
	arena->magic--;
	arena->free[5] = UINT32_MAX;
	forge();
	refused("the arena's free list 5 makes no sense");
	arena->free[5] = 0;
	arena->roots = UINT32_MAX;
	forge();
	refused("the arena's directory makes no sense");

	used = 4096;                                   /* less than the arena's header */
	memcpy(file + 24, &used, sizeof(used));
	file_size = 8192;
	forge();
	refused("its state of 4096 bytes does not fit into an arena of ");
	used = 4096 + 32;
	memcpy(file + 24, &used, sizeof(used));
	file_size = 8192 + 32;
	forge();
	refused("its state of 4128 bytes does not fit into an arena of ");
	cw_free(file);
}
END_TEST

/* What an evaluator that has gone wrong may leave in the arena: it is not frozen, and the reason says so. */
START_TEST(a_damaged_arena_is_not_frozen)
{
	struct cw_arena_head *arena = cw_arena_head(st);
	uint64_t seq, head;

	statework_run(st, SEED, 0, 20);
	const struct { uint64_t *at, value; const char *reason; } cases[] = {
		{ &arena->brk, UINT64_MAX, "arena is damaged: it says that 18446744073709551615 bytes are used" },
		{ &arena->brk, 64, "arena is damaged: it says that 64 bytes are used" },
		{ &arena->brk, arena->brk - 1, "arena is damaged: undone to seq 20 it says seq 20" },
		{ &arena->magic, 0, "arena is damaged: undone to seq 20 it says seq 20" },
		{ &arena->block, 99, "arena is damaged: undone to seq 20 it says seq 20" },
		{ &arena->seq, 19, "arena is damaged: undone to seq 20 it says seq 19" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t before = *cases[i].at;

		*cases[i].at = cases[i].value;
		ck_assert_int_eq(cw_checkpoint_freeze(cp, st, UINT64_MAX, &err), -1);
		ck_assert_int_eq(err.code, CW_ERR_INTERNAL);
		ck_assert_str_eq(err.msg, cases[i].reason);
		ck_assert_uint_eq(cw_checkpoint_info(cp).bytes, 0);
		ck_assert_int_eq(cw_checkpoint_save(cp, st, UINT64_MAX, digest, path, &err), -1);
		ck_assert_int_eq(access(path, F_OK), -1);
		*cases[i].at = before;
	}
	seq = cw_state_seq(st);
	head = st->control->head;
	st->control->head = head + 1;                  /* no whole record */
	ck_assert_int_eq(cw_checkpoint_freeze(cp, st, seq, &err), -1);
	ck_assert_int_eq(err.code, CW_ERR_CONFLICT);
	st->control->head = head;
	ck_assert_int_eq(cw_checkpoint_freeze(cp, st, seq, &err), 0);
}
END_TEST

START_TEST(places_that_cannot_be_written)
{
	char name[5000], here[200];

	statework_run(st, SEED, 0, 5);
	ck_assert_int_eq(mkdir(path, 0700), 0);        /* a folder of that name */
	ck_assert_int_eq(cw_checkpoint_save(cp, st, UINT64_MAX, digest, path, &err), -1);
	ck_assert_msg(strstr(err.msg, "could not write checkpoint") != NULL, "%s", err.msg);
	ck_assert_int_eq(rmdir(path), 0);
	memset(name, 'x', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	ck_assert_int_eq(cw_checkpoint_write(cp, digest, name, &err), -1);
	ck_assert_str_eq(err.msg, "cannot write checkpoint: the path has more than 4091 bytes");

	ck_assert(getcwd(here, sizeof(here)) != NULL);
	ck_assert_int_eq(chdir(dir), 0);               /* a name without a folder */
	ck_assert_int_eq(cw_checkpoint_write(cp, digest, "state", &err), 0);
	ck_assert_int_eq(cw_checkpoint_load(loaded, "state", digest, NULL, &err), 0);
	ck_assert_int_eq(chdir(here), 0);
	statework_same(st, loaded, "written by its bare name");
	ck_assert_int_eq(cw_checkpoint_peek("nowhere/at/all", &(struct cw_checkpoint_info){ 0 }, &err), -1);
	ck_assert_int_eq(err.code, CW_ERR_NOT_FOUND);
}
END_TEST

#ifndef __SANITIZE_ADDRESS__   /* which has terabytes of address space */
START_TEST(no_memory_for_a_copy_is_told)
{
	struct rlimit limit = { .rlim_cur = 0 };
	unsigned long pages = 0;
	FILE *f;

	statework_run(st, SEED, 0, 5);
	f = fopen("/proc/self/statm", "r");
	ck_assert_int_eq(fscanf(f, "%lu", &pages), 1);
	fclose(f);
	limit.rlim_cur = pages * 4096;
	limit.rlim_max = RLIM_INFINITY;
	ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
	ck_assert_int_eq(cw_checkpoint_freeze(cp, st, UINT64_MAX, &err), -1);
	limit.rlim_cur = RLIM_INFINITY;
	ck_assert_int_eq(setrlimit(RLIMIT_AS, &limit), 0);
	ck_assert_int_eq(err.code, CW_ERR_BUSY);
	ck_assert_msg(strstr(err.msg, "for a checkpoint: Cannot allocate memory") != NULL, "%s", err.msg);
	ck_assert_int_eq(cw_checkpoint_freeze(cp, st, UINT64_MAX, &err), 0);
}
END_TEST
#endif

START_TEST(every_flipped_byte_is_noticed)
{
	uint64_t random = 1;
	bool all = statework_rounds(0, 1) == 1;
	int fd;

	statework_run(st, SEED, 0, 4);
	save();
	read_file();
	fd = open(path, O_RDWR);
	for (size_t i = 0; i < (all ? file_size : 4096 + 1500); i++) {
		size_t at = all || i < 4096 ? i : 4096 + statework_random(&random) % (file_size - 4096);
		uint8_t flipped = file[at] ^ (uint8_t)(1 + statework_random(&random) % 255);

		if (pwrite(fd, &flipped, 1, (off_t)at) != 1 || cw_checkpoint_load_fd(loaded, fd, NULL, NULL, &err) == 0)
			ck_abort_msg("byte %zu was not noticed", at);
		if (cw_state_seq(loaded) != 0 || cw_state_root_next(loaded, NULL) != NULL)
			ck_abort_msg("not empty after byte %zu", at);
		if (pwrite(fd, &file[at], 1, (off_t)at) != 1)
			ck_abort_msg("could not restore byte %zu", at);
	}
	ck_assert_int_eq(cw_checkpoint_load_fd(loaded, fd, digest, NULL, &err), 0);
	statework_same(st, loaded, "all bytes restored");
	close(fd);
	cw_free(file);
}
END_TEST

START_TEST(every_other_length_is_noticed)
{
	uint64_t random = 1;

	statework_run(st, SEED, 0, 4);
	save();
	read_file();
	for (int i = 0; i < 400; i++) {
		size_t size = statework_random(&random) % file_size;

		ck_assert_int_eq(truncate(path, (off_t)size), 0);
		if (cw_checkpoint_load(loaded, path, NULL, NULL, &err) == 0)
			ck_abort_msg("%zu of %zu bytes were enough", size, file_size);
		write_file(file, file_size);
	}
	ck_assert_int_eq(truncate(path, (off_t)file_size + 1), 0);
	ck_assert_int_eq(cw_checkpoint_load(loaded, path, NULL, NULL, &err), -1);
	cw_free(file);
}
END_TEST

START_TEST(a_full_disk_leaves_the_old_file)
{
	struct rlimit limit;
	char wrong[80];

	signal(SIGXFSZ, SIG_IGN);
	statework_run(st, SEED, 0, 10);
	save();
	statework_run(st, SEED, 10, 30);
	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = 50000;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	ck_assert_int_eq(cw_checkpoint_save(cp, st, UINT64_MAX, digest, path, &err), -1);
	ck_assert_int_eq(err.code, CW_ERR_SYSTEM);
	ck_assert_msg(strstr(err.msg, "could not write checkpoint") != NULL, "%s", err.msg);
	limit.rlim_cur = limit.rlim_max;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
	snprintf(wrong, sizeof(wrong), "%s.tmp", path);
	ck_assert_int_eq(access(wrong, F_OK), -1);
	load();
	ck_assert_uint_eq(cw_state_seq(loaded), 10);
	save();
	load();
	ck_assert_uint_eq(cw_state_seq(loaded), 30);

	snprintf(wrong, sizeof(wrong), "%s/nowhere/state", dir);
	ck_assert_int_eq(cw_checkpoint_write(cp, digest, wrong, &err), -1);
	ck_assert_msg(strstr(err.msg, "could not create") != NULL, "%s", err.msg);
}
END_TEST

/* The sums of body and header. A change of layout, size classes, hash or format changes them and must raise a version
 * number; only a change of statework.c alone may not. */
START_TEST(the_format_is_what_it_was)
{
	uint64_t sums[2];

	statework_run(st, SEED, 0, 25);
	save();
	read_file();
	memcpy(sums, file + 48, sizeof(sums));
	cw_free(file);
	ck_assert_msg(sums[0] == 0x6b98526b18e87ebb && sums[1] == 0xf6821474af9c15ce, "0x%016lx 0x%016lx",
	              (unsigned long)sums[0], (unsigned long)sums[1]);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("checkpoint");
	TCase *tc = tcase_create("checkpoint");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 900);
	tcase_add_test(tc, a_file_brings_back_every_byte);
	tcase_add_test(tc, an_empty_arena_is_a_state_too);
	tcase_add_test(tc, an_older_mark_and_an_open_batch);
	tcase_add_test(tc, a_loaded_arena_has_one_mark);
	tcase_add_test(tc, what_cannot_be_frozen_is_told);
	tcase_add_test(tc, a_smaller_arena_refuses);
	tcase_add_test(tc, a_running_writer_is_frozen_exactly);
	tcase_add_test(tc, a_rewind_meanwhile_makes_it_void);
	tcase_add_test(tc, killed_while_it_writes);
	tcase_add_test(tc, damage_is_named);
	tcase_add_test(tc, right_sums_do_not_make_it_right);
	tcase_add_test(tc, a_damaged_arena_is_not_frozen);
	tcase_add_test(tc, places_that_cannot_be_written);
#ifndef __SANITIZE_ADDRESS__
	tcase_add_test(tc, no_memory_for_a_copy_is_told);
#endif
	tcase_add_test(tc, every_flipped_byte_is_noticed);
	tcase_add_test(tc, every_other_length_is_noticed);
	tcase_add_test(tc, a_full_disk_leaves_the_old_file);
	tcase_add_test(tc, the_format_is_what_it_was);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
