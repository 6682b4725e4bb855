/* The arena: settings, allocator, accounts, directory, a second process. */
#include "state/state.h"

#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "state/dict.h"
#include "state/state_internal.h"
#include "support/statework.h"

static const uint8_t digest_a[16] = { 1 }, digest_b[16] = { 2 };
static const struct cw_state_conf conf = { .max_bytes = 16 << 20, .journal_bytes = 4 << 20, .hash_seed = 5 };
static struct cw_state *st;
static struct cw_err err;

static void setup(void)
{
	st = cw_state_new(&conf, &err);
	ck_assert_msg(st != NULL, "%s", err.msg);
}

static void teardown(void)
{
	cw_state_close(&st);
	ck_assert(st == NULL);
}

static bool filled_with(const uint8_t *bytes, size_t size, uint8_t fill)
{
	for (size_t i = 0; i < size; i++)
		if (bytes[i] != fill)
			return false;
	return true;
}

/* ---------------------------------------------------------------- settings */

START_TEST(settings_out_of_range_are_refused)
{
	static const struct { struct cw_state_conf conf; const char *msg; } cases[] = {
		{ { .max_bytes = 1000, .journal_bytes = 1 << 20 }, "state arena of 1000 bytes: must be 256 KiB to 63 GiB" },
		{ { .max_bytes = 64ul << 30, .journal_bytes = 1 << 20 },
		  "state arena of 68719476736 bytes: must be 256 KiB to 63 GiB" },
		{ { .max_bytes = 1 << 20, .journal_bytes = 0 }, "undo log of 0 bytes: must be 16 KiB to 64 GiB" },
		{ { .max_bytes = 1 << 20, .journal_bytes = 65ul << 30 },
		  "undo log of 69793218560 bytes: must be 16 KiB to 64 GiB" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ck_assert(cw_state_new(&cases[i].conf, &err) == NULL);
		ck_assert_int_eq(err.code, CW_ERR_INVALID);
		ck_assert_str_eq(err.msg, cases[i].msg);
	}
}
END_TEST

START_TEST(large_arenas_take_no_memory)
{
	struct cw_state_conf large = { .max_bytes = 63ul << 30, .journal_bytes = 1ul << 30 };
	struct cw_state *big = cw_state_new(&large, &err);
	cw_ref a, b;
	uint8_t *bytes;

	ck_assert_msg(big != NULL, "%s", err.msg);
	a = cw_state_alloc(big, 1, 30ul << 30);
	b = cw_state_alloc(big, 1, 20ul << 30);
	ck_assert_uint_ne(a, 0);
	ck_assert_uint_ne(b, 0);
	ck_assert_uint_eq(cw_state_alloc(big, 1, 20ul << 30), 0);
	bytes = cw_state_ptr(big, b);
	cw_state_touch(big, bytes + (20ul << 30) - 1, 1);
	bytes[(20ul << 30) - 1] = 1;
	ck_assert_uint_eq(bytes[5], 0);
	cw_state_free(big, 1, a, 30ul << 30);
	cw_state_close(&big);
}
END_TEST

/* ---------------------------------------------------------------- allocator */

START_TEST(blocks_are_zeroed_and_aligned)
{
	static const size_t sizes[] = { 0, 1, 16, 17, 33, 49, 64, 65, 129, 200, 257, 320, 321, 1000, 4097, 70000, 1 << 20 };

	for (int round = 0; round < 3; round++) {
		cw_ref refs[sizeof(sizes) / sizeof(sizes[0])];

		for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			uint8_t *bytes;

			refs[i] = cw_state_alloc(st, 3, sizes[i]);
			ck_assert_uint_ne(refs[i], 0);
			bytes = cw_state_ptr(st, refs[i]);
			ck_assert_uint_eq((uintptr_t)bytes % (sizes[i] > 48 ? 64 : 16), 0);
			ck_assert_uint_eq(cw_state_ref(st, bytes), refs[i]);
			ck_assert(filled_with(bytes, sizes[i], 0));
			cw_state_touch(st, bytes, sizes[i]);
			memset(bytes, 0xaa, sizes[i]);
		}
		for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
			cw_state_free(st, 3, refs[i], sizes[i]);
		ck_assert_uint_eq(cw_state_account(st, 3).bytes, 0);
	}
}
END_TEST

START_TEST(blocks_do_not_overlap)
{
	enum { N = 400 };
	static struct { cw_ref ref; size_t size; uint8_t fill; } held[N];
	uint64_t random = 3;

	for (int step = 0; step < 20000; step++) {
		size_t i = statework_random(&random) % N;
		uint8_t *bytes = cw_state_ptr(st, held[i].ref);

		if (bytes != NULL && !filled_with(bytes, held[i].size, held[i].fill))
			ck_abort_msg("block %zu was overwritten before step %d", i, step);
		cw_state_free(st, 1, held[i].ref, held[i].size);
		held[i].size = 1 + statework_random(&random) % (step % 50 == 0 ? 90000 : 900);
		held[i].fill = (uint8_t)(1 + step % 255);
		held[i].ref = cw_state_alloc(st, 1, held[i].size);
		bytes = cw_state_ptr(st, held[i].ref);
		if (bytes == NULL)
			continue;
		cw_state_touch(st, bytes, held[i].size);
		memset(bytes, held[i].fill, held[i].size);
		if (step % 500 == 0)
			cw_state_mark(st, (uint64_t)step, 0);
	}
}
END_TEST

START_TEST(sizes_are_rounded_by_less_than_a_quarter)
{
	for (size_t size = 257; size < (1 << 20); size += size / 7) {
		uint64_t before = cw_state_account(st, 2).bytes, charged;
		cw_ref ref = cw_state_alloc(st, 2, size);

		ck_assert_uint_ne(ref, 0);
		charged = cw_state_account(st, 2).bytes - before;
		ck_assert_uint_ge(charged, size);
		ck_assert_uint_lt(charged, size + size / 4 + 1);
		ck_assert_uint_eq(charged % 64, 0);
		cw_state_free(st, 2, ref, size);
	}
}
END_TEST

START_TEST(the_end_of_the_arena_refuses_and_breaks_larger_blocks)
{
	cw_ref large = cw_state_alloc(st, 1, 4096), ref;
	uint64_t refused;
	int n = 0;

	while (cw_state_alloc(st, 1, 1 << 20) != 0)
		n++;
	ck_assert_int_ge(n, 14);
	refused = cw_state_account(st, 1).refused;
	ck_assert_uint_eq(refused, 1);
	while (cw_state_try_alloc(st, 1, 4096) != 0)
		;
	while (cw_state_try_alloc(st, 1, 64) != 0)
		;
	ck_assert_uint_eq(cw_state_account(st, 1).refused, 1);
	ck_assert_uint_le(cw_state_used(st), conf.max_bytes);
	ck_assert_uint_eq(cw_state_alloc(st, 1, 17u << 20), 0);

	/* 4096 bytes: 16 + 48 are left of the first line of a broken block. */
	cw_state_free(st, 1, large, 4096);
	ref = cw_state_alloc(st, 1, 16);
	ck_assert_uint_ne(ref, 0);
	ck_assert_uint_ne(cw_state_alloc(st, 1, 48), 0);
	n = 0;
	while ((ref = cw_state_alloc(st, 1, 64)) != 0) {
		ck_assert(filled_with(cw_state_ptr(st, ref), 64, 0));
		n++;
	}
	ck_assert_int_eq(n, 63);
}
END_TEST

START_TEST(caps_hold)
{
	cw_ref ref;
	struct cw_state_account account;

	cw_state_set_cap(st, 7, 1000);
	ref = cw_state_alloc(st, 7, 512);
	ck_assert_uint_ne(ref, 0);
	ck_assert_uint_eq(cw_state_alloc(st, 7, 512), 0);
	ck_assert_uint_ne(cw_state_alloc(st, 8, 512), 0);
	ck_assert_uint_ne(cw_state_alloc(st, 7, 448), 0);
	account = cw_state_account(st, 7);
	ck_assert_uint_eq(account.bytes, 960);
	ck_assert_uint_eq(account.cap, 1000);
	ck_assert_uint_eq(account.refused, 1);
	cw_state_free(st, 7, ref, 512);
	ck_assert_uint_ne(cw_state_alloc(st, 7, 512), 0);
	cw_state_set_cap(st, 7, 100);   /* below what is used: nothing more */
	ck_assert_uint_eq(cw_state_alloc(st, 7, 16), 0);
	cw_state_set_cap(st, 7, 0);
	ck_assert_uint_ne(cw_state_alloc(st, 7, 16), 0);
}
END_TEST

START_TEST(rewind_takes_allocations_back)
{
	struct cw_state_mark mark;
	size_t used;
	cw_ref ref;

	cw_state_mark(st, 1, 1);
	used = cw_state_used(st);
	ck_assert(cw_state_find_seq(st, 1, &mark));
	ref = cw_state_alloc(st, 4, 5000);
	cw_state_touch(st, cw_state_ptr(st, ref), 5000);
	memset(cw_state_ptr(st, ref), 1, 5000);
	cw_state_free(st, 4, ref, 5000);
	cw_state_mark(st, 2, 2);
	ck_assert_int_eq(cw_state_rewind(st, &mark, &err), 0);
	ck_assert_uint_eq(cw_state_used(st), used);
	ck_assert_uint_eq(cw_state_account(st, 4).bytes, 0);
	ck_assert_uint_eq(cw_state_alloc(st, 4, 5000), ref);
	ck_assert_uint_eq(*(uint8_t *)cw_state_ptr(st, ref), 0);
}
END_TEST

/* ---------------------------------------------------------------- directory */

static struct cw_state_root *open_root(const char *name, const uint8_t digest[16])
{
	struct cw_state_root *root = cw_state_root_open(st, name, digest);

	ck_assert_msg(root != NULL, "%s", name);
	return root;
}

START_TEST(roots_are_found_again)
{
	struct cw_state_root *a = open_root("rule/seen", digest_a), *b = open_root("rule/seen", digest_b);
	struct cw_state_root *c = open_root("rule/other", digest_a), *d = open_root("rule2/seen", digest_a);

	ck_assert(a != b && a != c && b != c && c != d);
	ck_assert(open_root("rule/seen", digest_a) == a);
	ck_assert(open_root("rule/seen", digest_b) == b);
	ck_assert_uint_eq(a->ref, 0);
	ck_assert_str_eq(a->name, "rule/seen");
	ck_assert_uint_eq(a->owner, 1);
	ck_assert_uint_eq(b->owner, 1);
	ck_assert_uint_eq(c->owner, 1);
	ck_assert_uint_eq(d->owner, 2);
}
END_TEST

START_TEST(names_have_limits)
{
	char name[97];

	memset(name, 'x', 96);
	name[96] = '\0';
	ck_assert(cw_state_root_open(st, name, digest_a) == NULL);
	name[95] = '\0';
	ck_assert(cw_state_root_open(st, name, digest_a) != NULL);
	ck_assert(cw_state_root_open(st, "", digest_a) == NULL);
}
END_TEST

START_TEST(roots_are_walked_and_dropped)
{
	char name[32];
	struct cw_state_root *root = NULL;
	int n = 0;

	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "rule%d/s", i);
		open_root(name, digest_a);
	}
	while ((root = cw_state_root_next(st, root)) != NULL) {
		snprintf(name, sizeof(name), "rule%d/s", n++);
		ck_assert_str_eq(root->name, name);
	}
	ck_assert_int_eq(n, 100);

	cw_state_set_cap(st, open_root("rule40/s", digest_a)->owner, 77);
	cw_state_root_drop(st, open_root("rule40/s", digest_a));
	for (n = 0, root = NULL; (root = cw_state_root_next(st, root)) != NULL; n++)
		ck_assert_str_ne(root->name, "rule40/s");
	ck_assert_int_eq(n, 99);
	/* Its owner number is free again, without the cap. */
	root = open_root("fresh/s", digest_a);
	ck_assert_uint_eq(root->owner, 41);
	ck_assert_uint_eq(cw_state_account(st, 41).cap, 0);
	for (n = 0, root = NULL; (root = cw_state_root_next(st, root)) != NULL;)
		n++;
	ck_assert_int_eq(n, 100);
}
END_TEST

START_TEST(an_owner_lives_as_long_as_one_of_its_roots)
{
	struct cw_state_root *a = open_root("rule/a", digest_a);

	open_root("rule/b", digest_a);
	cw_state_set_cap(st, a->owner, 500);
	cw_state_root_drop(st, a);
	ck_assert_uint_eq(cw_state_account(st, 1).cap, 500);
	ck_assert_uint_eq(open_root("other/a", digest_a)->owner, 2);
	ck_assert_uint_eq(open_root("rule/c", digest_a)->owner, 1);
}
END_TEST

START_TEST(owners_run_out)
{
	char name[32];
	int n = 0;

	for (;; n++) {
		snprintf(name, sizeof(name), "rule%d/s", n);
		if (cw_state_root_open(st, name, digest_a) == NULL)
			break;
	}
	ck_assert_int_eq(n, CW_STATE_OWNERS - 1);
	ck_assert(cw_state_root_open(st, "rule5/more", digest_a) != NULL);
}
END_TEST

START_TEST(a_directory_that_leads_astray_ends)
{
	struct cw_arena_head *arena = cw_arena_head(st);
	struct cw_state_root *root;
	cw_ref ref;
	int n = 0;

	open_root("rule/a", digest_a);
	ref = arena->roots;
	*(cw_ref *)cw_state_ptr(st, ref) = ref;   /* a circle */
	root = cw_state_root_next(st, NULL);
	ck_assert_str_eq(root->name, "rule/a");
	ck_assert(cw_state_root_next(st, root) == NULL);
	*(cw_ref *)cw_state_ptr(st, ref) = ref + 8;   /* a chunk that overlaps */
	*(cw_ref *)cw_state_ptr(st, ref + 8) = ref;
	for (root = NULL; (root = cw_state_root_next(st, root)) != NULL; n++)
		ck_assert_int_lt(n, 40);
	*(cw_ref *)cw_state_ptr(st, ref) = UINT32_MAX;
	ck_assert(cw_state_root_next(st, open_root("rule/a", digest_a)) == NULL);
	arena->roots = UINT32_MAX - 3;
	ck_assert(cw_state_root_next(st, NULL) == NULL);
	arena->brk = UINT64_MAX;
	ck_assert(cw_state_root_next(st, NULL) == NULL);
}
END_TEST

/* ---------------------------------------------------------------- processes */

static void dup_all(int fds[CW_STATE_FDS])
{
	cw_state_fds(st, fds);
	for (int i = 0; i < CW_STATE_FDS; i++) {
		fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 0);
		ck_assert_int_ge(fds[i], 0);
	}
}

START_TEST(another_process_attaches)
{
	int fds[CW_STATE_FDS], status;
	struct cw_state *other;
	struct cw_state_mark mark;
	pid_t pid;

	statework_run(st, 2, 0, 10);
	dup_all(fds);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		other = cw_state_attach(cw_state_conf(st), fds, NULL);
		if (other == NULL || cw_state_base(other) == cw_state_base(st) || cw_state_seq(other) != 10)
			_exit(1);
		statework_run(other, 2, 10, 20);
		cw_state_close(&other);
		_exit(0);
	}
	for (int i = 0; i < CW_STATE_FDS; i++)
		close(fds[i]);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	ck_assert_uint_eq(cw_state_seq(st), 20);
	/* Both processes undo what the other has done. */
	ck_assert(cw_state_find_seq(st, 5, &mark));
	ck_assert_int_eq(cw_state_rewind(st, &mark, &err), 0);
	statework_run(st, 2, 5, 20);
	other = cw_state_new(&conf, &err);
	statework_run(other, 2, 0, 20);
	statework_same(st, other, "two processes and one");
	cw_state_close(&other);
}
END_TEST

START_TEST(the_same_stream_gives_the_same_bytes_in_two_processes)
{
	struct cw_state *mine = cw_state_new(&conf, &err);
	int status;
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		statework_run(st, 4, 0, 200);
		_exit(0);
	}
	statework_run(mine, 4, 0, 200);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	statework_same(st, mine, "child and parent");
	cw_state_close(&mine);
}
END_TEST

START_TEST(attaching_with_other_settings_or_files_is_refused)
{
	struct cw_state_conf other = conf;
	int fds[CW_STATE_FDS];

	other.max_bytes *= 2;
	dup_all(fds);
	ck_assert(cw_state_attach(&other, fds, &err) == NULL);
	ck_assert_str_eq(err.msg, "cannot attach to the state arena: file 0 is not of 33554432 bytes");
	ck_assert_int_eq(fcntl(fds[0], F_GETFD), -1);   /* closed */

	dup_all(fds);
	st->control->magic = 0;
	ck_assert(cw_state_attach(&conf, fds, &err) == NULL);
	ck_assert_str_eq(err.msg, "cannot attach to the state arena: it was made by another version or settings");

	fds[0] = fds[1] = fds[2] = -1;
	ck_assert(cw_state_attach(&conf, fds, &err) == NULL);
}
END_TEST

START_TEST(nobody_can_shrink_the_files)
{
	int fds[CW_STATE_FDS];

	cw_state_fds(st, fds);
	for (int i = 0; i < CW_STATE_FDS; i++)
		ck_assert_int_eq(ftruncate(fds[i], 0), -1);
}
END_TEST

START_TEST(reset_gives_an_empty_arena)
{
	struct cw_state *fresh = cw_state_new(&conf, &err);
	struct cw_state_mark mark;

	statework_run(st, 6, 0, 30);
	ck_assert(cw_state_find_seq(st, 20, &mark));
	memset(cw_state_ptr(st, 1), 0xff, 3000);   /* the header is gone */
	cw_state_reset(st);
	statework_same(st, fresh, "reset and new");
	ck_assert(statework_clean(st));
	ck_assert_uint_eq(cw_state_hash_seed(st), 5);
	ck_assert_int_eq(cw_state_rewind(st, &mark, &err), -1);
	statework_run(st, 6, 0, 30);
	statework_run(fresh, 6, 0, 30);
	statework_same(st, fresh, "reset and new, used");
	cw_state_close(&fresh);
}
END_TEST

/* Writes `value` over `size` bytes at `at`, attaches, and puts the old bytes back. */
static void refused_with(void *at, uint64_t value, size_t size)
{
	static const char refusal[] = "cannot attach to the state arena: it was made by another version or settings";
	uint64_t before = 0;
	int fds[CW_STATE_FDS];

	memcpy(&before, at, size);
	memcpy(at, &value, size);
	dup_all(fds);
	ck_assert(cw_state_attach(&conf, fds, &err) == NULL);
	ck_assert_int_eq(err.code, CW_ERR_INVALID);
	ck_assert_str_eq(err.msg, refusal);
	memcpy(at, &before, size);
}

START_TEST(attaching_reads_what_the_files_say_of_themselves)
{
	struct cw_control *control = st->control;
	struct cw_arena_head *arena = cw_arena_head(st);
	struct cw_state *other;
	int fds[CW_STATE_FDS];

	refused_with(&control->max_bytes, conf.max_bytes * 2, sizeof(control->max_bytes));
	refused_with(&control->journal_bytes, conf.journal_bytes / 2, sizeof(control->journal_bytes));
	refused_with(&control->nslots, 7, sizeof(control->nslots));
	refused_with(&arena->magic, 1, sizeof(arena->magic));
	refused_with(&arena->layout, CW_ARENA_LAYOUT + 1, sizeof(arena->layout));
	dup_all(fds);
	other = cw_state_attach(&conf, fds, &err);
	ck_assert_msg(other != NULL, "%s", err.msg);
	cw_state_close(&other);
}
END_TEST

static void limit(int resource, rlim_t value)
{
	struct rlimit now;

	ck_assert_int_eq(getrlimit((__rlimit_resource_t)resource, &now), 0);
	now.rlim_cur = value;
	ck_assert_int_eq(setrlimit((__rlimit_resource_t)resource, &now), 0);
}

/* With room for 0, 1 and 2 more descriptors. */
START_TEST(descriptors_run_out)
{
	static const char *const names[CW_STATE_FDS] = { "cw-state", "cw-journal", "cw-control" };
	int free_fd = open("/dev/null", O_RDONLY);

	close(free_fd);
	for (int room = 0; room < CW_STATE_FDS; room++) {
		limit(RLIMIT_NOFILE, (rlim_t)(free_fd + room));
		ck_assert(cw_state_new(&conf, &err) == NULL);
		ck_assert_int_eq(err.code, CW_ERR_SYSTEM);
		ck_assert_msg(strstr(err.msg, names[room]) != NULL, "%s", err.msg);
		ck_assert_msg(strstr(err.msg, "Too many open files") != NULL, "%s", err.msg);
		ck_assert_int_eq(open("/dev/null", O_RDONLY), room > 0 ? free_fd : -1);   /* what was made is closed */
		close(free_fd);
	}
}
END_TEST

#ifndef __SANITIZE_ADDRESS__   /* which has terabytes of address space */
START_TEST(address_space_runs_out)
{
	static const size_t rooms[] = { 1 << 20, 18 << 20, (24 << 20) + (64 << 10) };   /* for none, the arena, all but the control file */

	for (size_t i = 0; i < sizeof(rooms) / sizeof(rooms[0]); i++) {
		unsigned long pages = 0;
		FILE *f = fopen("/proc/self/statm", "r");

		ck_assert_int_eq(fscanf(f, "%lu", &pages), 1);
		fclose(f);
		limit(RLIMIT_AS, pages * 4096 + rooms[i]);
		ck_assert(cw_state_new(&conf, &err) == NULL);
		limit(RLIMIT_AS, RLIM_INFINITY);
		ck_assert_int_eq(err.code, CW_ERR_SYSTEM);
		ck_assert_str_eq(err.msg, "could not map the state arena: Cannot allocate memory");
	}
	limit(RLIMIT_FSIZE, 1 << 20);
	signal(SIGXFSZ, SIG_IGN);
	ck_assert(cw_state_new(&conf, &err) == NULL);
	ck_assert_str_eq(err.msg, "could not size memory file \"cw-state\" to 16777216 bytes: File too large");
}
END_TEST
#endif

START_TEST(a_log_can_be_populated)
{
	struct cw_state_conf full = conf;
	struct cw_state *other;

	full.populate = true;
	other = cw_state_new(&full, &err);
	ck_assert_msg(other != NULL, "%s", err.msg);
	statework_run(st, 3, 0, 20);
	statework_run(other, 3, 0, 20);
	statework_same(st, other, "populated and not");
	cw_state_close(&other);
	cw_state_close(&other);   /* of nothing: nothing */
}
END_TEST

/* What an arena that came from a file may not say. Each is written, told, and taken back. */
START_TEST(an_arena_that_makes_no_sense_is_told)
{
	struct cw_arena_head *arena = cw_arena_head(st);
	cw_ref first = cw_state_alloc(st, 1, 64), second = cw_state_alloc(st, 1, 64), chunk;
	static const char header[] = "the arena's header makes no sense", list[] = "the arena's free list 3 makes no sense",
	                  directory[] = "the arena's directory makes no sense";

	open_root("rule/a", digest_a);
	cw_state_free(st, 1, first, 64);
	cw_state_free(st, 1, second, 64);
	chunk = arena->roots;
	ck_assert_int_eq(cw_arena_check(st, &err), 0);
	const struct { void *at; uint64_t value; size_t size; const char *msg; } cases[] = {
		{ &arena->magic, 0, 8, header },
		{ &arena->layout, 1, 4, header },
		{ &arena->brk, conf.max_bytes + 64, 8, header },
		{ &arena->brk, 64, 8, header },
		{ &arena->brk, arena->brk + 1, 8, header },
		{ &arena->free[3], 1, 4, list },                       /* in the header */
		{ &arena->free[3], UINT32_MAX, 4, list },              /* beyond the end */
		{ &arena->free[3], first + 1, 4, list },               /* not on a line */
		{ cw_state_ptr(st, first), second, 4, list },          /* a circle */
		{ &arena->roots, UINT32_MAX, 4, directory },
		{ &arena->roots, chunk + 1, 4, directory },
		{ cw_state_ptr(st, chunk), chunk, 4, directory },      /* a circle */
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t before = 0;

		memcpy(&before, cases[i].at, cases[i].size);
		memcpy(cases[i].at, &cases[i].value, cases[i].size);
		ck_assert_msg(cw_arena_check(st, &err) == -1, "case %zu", i);
		ck_assert_int_eq(err.code, CW_ERR_INVALID);
		ck_assert_msg(strcmp(err.msg, cases[i].msg) == 0, "case %zu: %s", i, err.msg);
		memcpy(cases[i].at, &before, cases[i].size);
	}
	ck_assert_int_eq(cw_arena_check(st, &err), 0);
}
END_TEST

START_TEST(a_full_arena_opens_no_root)
{
	char name[32];
	int n = 0;

	while (cw_state_try_alloc(st, 1, 2048) != 0)
		;
	while (snprintf(name, sizeof(name), "rule/%d", n), cw_state_root_open(st, name, digest_a) != NULL)
		n++;
	ck_assert_int_eq(n, 0);
	ck_assert_uint_eq(cw_state_account(st, 0).refused, 1);
	ck_assert(cw_state_root_next(st, NULL) == NULL);
}
END_TEST

/* Names and owners that were never written so are no roots: not shown, not found. */
START_TEST(roots_that_make_no_sense_are_passed_by)
{
	struct cw_state_root *a = open_root("rule/a", digest_a), *b = open_root("rule/b", digest_a);

	memset(a->name, 'x', sizeof(a->name));
	ck_assert(cw_state_root_next(st, NULL) == b);
	b->owner = CW_STATE_OWNERS;
	ck_assert(cw_state_root_next(st, NULL) == NULL);
	b->owner = 1;
	ck_assert(cw_state_root_next(st, NULL) == b);
}
END_TEST

START_TEST(an_owner_that_cannot_be_is_a_bug)
{
	cw_state_account(st, CW_STATE_OWNERS);
}
END_TEST

START_TEST(a_block_that_was_never_given_is_a_bug)
{
	cw_state_alloc(st, 1, 64);
	cw_state_free(st, 2, 10000, 64);
}
END_TEST

/* ---------------------------------------------------------------- debug aid */

START_TEST(open_batch_is_measured)
{
	uint8_t *bytes = cw_state_ptr(st, cw_state_alloc(st, 1, 640));
	uint64_t before;

	cw_state_mark(st, 1, 1);
	ck_assert_uint_eq(cw_state_open_bytes(st), 0);
	cw_state_touch(st, bytes, 640);
	before = cw_state_open_bytes(st);
	ck_assert_uint_ge(before, 640);
	cw_state_touch(st, bytes, 640);
	ck_assert_uint_eq(cw_state_open_bytes(st), before);
	cw_state_mark(st, 2, 1);
	ck_assert_uint_eq(cw_state_open_bytes(st), 0);
}
END_TEST

START_TEST(off_limits_is_out_of_reach)
{
	uint8_t *bytes = cw_state_ptr(st, cw_state_alloc(st, 1, 64));
	int status;
	pid_t pid;

	cw_state_mark(st, 1, 1);
	pid = fork();
	if (pid == 0) {
		signal(SIGSEGV, SIG_DFL);
		if (cw_state_protect(st, true, &err) != 0)
			_exit(1);
		*(volatile uint8_t *)bytes = 1;
		_exit(2);
	}
	waitpid(pid, &status, 0);
	ck_assert_msg(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV, "status %x", (unsigned)status);
	ck_assert_int_eq(cw_state_protect(st, true, &err), 0);
	ck_assert_int_eq(cw_state_protect(st, false, &err), 0);
	ck_assert_uint_eq(bytes[0], 0);
}
END_TEST

START_TEST(writes_that_were_not_announced_are_found)
{
	struct cw_state_shadow shadow = { 0 };
	cw_ref ref = cw_state_alloc(st, 1, 4096), more;
	uint8_t *bytes = cw_state_ptr(st, ref);

	cw_state_mark(st, 1, 1);
	cw_state_shadow_take(&shadow, st);
	ck_assert_int_eq(cw_state_check(st, &shadow), -1);
	cw_state_touch(st, bytes + 100, 8);
	memset(bytes + 100, 1, 8);
	ck_assert_int_eq(cw_state_check(st, &shadow), -1);
	bytes[1000] = 1;
	ck_assert_int_eq(cw_state_check(st, &shadow), (int64_t)ref * 16 + 1000);
	bytes[1000] = 0;
	cw_state_touch(st, bytes + 200, 8);
	bytes[256] = 1;                              /* just behind what was touched */
	ck_assert_int_eq(cw_state_check(st, &shadow), (int64_t)ref * 16 + 256);
	bytes[256] = 0;
	more = cw_state_alloc(st, 1, 100000);        /* beyond the copy */
	bytes = cw_state_ptr(st, more);
	ck_assert_int_eq(cw_state_check(st, &shadow), -1);
	bytes[99999] = 1;
	ck_assert_int_eq(cw_state_check(st, &shadow), (int64_t)more * 16 + 99999);
	cw_state_shadow_release(&shadow);
}
END_TEST

START_TEST(the_layer_announces_its_own_writes)
{
	struct cw_state_shadow shadow = { 0 };

	for (uint64_t n = 0; n < statework_rounds(150, 3000); n++) {
		struct statework *work;

		cw_state_shadow_take(&shadow, st);
		work = statework_open(st);
		statework_batch(work, 8, n);
		statework_close(&work);
		ck_assert_int_eq(cw_state_check(st, &shadow), -1);
		cw_state_mark(st, n + 1, n);
	}
	cw_state_shadow_release(&shadow);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("state");
	TCase *tc = tcase_create("state");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, settings_out_of_range_are_refused);
	tcase_add_test(tc, large_arenas_take_no_memory);
	tcase_add_test(tc, blocks_are_zeroed_and_aligned);
	tcase_add_test(tc, blocks_do_not_overlap);
	tcase_add_test(tc, sizes_are_rounded_by_less_than_a_quarter);
	tcase_add_test(tc, the_end_of_the_arena_refuses_and_breaks_larger_blocks);
	tcase_add_test(tc, caps_hold);
	tcase_add_test(tc, rewind_takes_allocations_back);
	tcase_add_test(tc, roots_are_found_again);
	tcase_add_test(tc, names_have_limits);
	tcase_add_test(tc, roots_are_walked_and_dropped);
	tcase_add_test(tc, an_owner_lives_as_long_as_one_of_its_roots);
	tcase_add_test(tc, owners_run_out);
	tcase_add_test(tc, a_directory_that_leads_astray_ends);
	tcase_add_test(tc, another_process_attaches);
	tcase_add_test(tc, the_same_stream_gives_the_same_bytes_in_two_processes);
	tcase_add_test(tc, attaching_with_other_settings_or_files_is_refused);
	tcase_add_test(tc, attaching_reads_what_the_files_say_of_themselves);
	tcase_add_test(tc, descriptors_run_out);
#ifndef __SANITIZE_ADDRESS__
	tcase_add_test(tc, address_space_runs_out);
#endif
	tcase_add_test(tc, a_log_can_be_populated);
	tcase_add_test(tc, an_arena_that_makes_no_sense_is_told);
	tcase_add_test(tc, a_full_arena_opens_no_root);
	tcase_add_test(tc, roots_that_make_no_sense_are_passed_by);
	tcase_add_test_raise_signal(tc, an_owner_that_cannot_be_is_a_bug, SIGABRT);
	tcase_add_test_raise_signal(tc, a_block_that_was_never_given_is_a_bug, SIGABRT);
	tcase_add_test(tc, nobody_can_shrink_the_files);
	tcase_add_test(tc, reset_gives_an_empty_arena);
	tcase_add_test(tc, open_batch_is_measured);
	tcase_add_test(tc, off_limits_is_out_of_reach);
	tcase_add_test(tc, writes_that_were_not_announced_are_found);
	tcase_add_test(tc, the_layer_announces_its_own_writes);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
