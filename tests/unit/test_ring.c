#include "pipeline/ring.h"

#include <check.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "chain/tx.h"

static struct cw_ring *engine, *evaluator;
static int to_engine, to_evaluator;
static struct cw_buf buf;
static struct cw_err err;

static void setup(void)
{
	engine = cw_ring_new(50, &err);
	ck_assert_msg(engine != NULL, "%s", err.msg);
	evaluator = cw_ring_attach(cw_ring_fd(engine), &err);
	ck_assert_msg(evaluator != NULL, "%s", err.msg);
	to_engine = eventfd(0, EFD_NONBLOCK);
	to_evaluator = eventfd(0, EFD_NONBLOCK);
	cw_ring_set_wake(engine, to_evaluator);
	cw_ring_set_wake(evaluator, to_engine);
	cw_ring_begin(evaluator);
	cw_buf_init(&buf);
}

static void teardown(void)
{
	cw_ring_free(&engine);
	cw_ring_free(&evaluator);
	cw_buf_release(&buf);
	close(to_engine);
	close(to_evaluator);
}

static void put(uint64_t position)
{
	struct cw_tx tx = { .seq = position + 1000, .nonce = position * 3 };

	cw_ring_put(engine, position, &tx);
}

START_TEST(logs_travel_with_their_transaction)
{
	struct cw_tx_log logs[CW_TX_LOGS_MAX] = { { .index = 7 } };
	struct cw_tx tx = { .seq = 1, .nlogs = CW_TX_LOGS_MAX, .logs_total = 99, .logs = logs }, copy;
	const struct cw_tx *seen;

	logs[CW_TX_LOGS_MAX - 1].index = 8;
	for (uint64_t at = 0; at < 200; at += 2) {
		tx.seq = at;
		logs[1].index = (uint32_t)at;
		cw_ring_put(engine, at, &tx);
		put(at + 1);
	}
	for (uint64_t at = 198; at < 200; at++) {
		seen = cw_ring_tx_full(evaluator, at, &copy);
		if (at % 2 == 1) {
			ck_assert_ptr_null(seen->logs);
			continue;
		}
		ck_assert_ptr_eq(seen, &copy);
		ck_assert_uint_eq(seen->seq, at);
		ck_assert_uint_eq(seen->logs_total, 99);
		ck_assert_uint_eq(seen->logs[0].index, 7);
		ck_assert_uint_eq(seen->logs[1].index, at);
		ck_assert_uint_eq(seen->logs[CW_TX_LOGS_MAX - 1].index, 8);
	}
}
END_TEST

static bool rung(int fd)
{
	uint64_t n;

	return read(fd, &n, sizeof(n)) == sizeof(n);
}

START_TEST(slots_are_a_power_of_two)
{
	ck_assert_uint_eq(cw_ring_slots(engine), 64);
	ck_assert_uint_eq(cw_ring_slots(evaluator), 64);
}
END_TEST

START_TEST(too_many_slots_are_refused)
{
	ck_assert_ptr_null(cw_ring_new(UINT32_MAX, &err));
	ck_assert_int_eq(err.code, CW_ERR_INVALID);
}
END_TEST

START_TEST(transactions_arrive_when_published)
{
	for (uint64_t i = 0; i < 200; i++) {
		put(i);
		ck_assert_uint_eq(cw_ring_sent(evaluator), i);
		cw_ring_publish(engine, i + 1);
		ck_assert_uint_eq(cw_ring_sent(evaluator), i + 1);
		ck_assert_uint_eq(cw_ring_tx(evaluator, i)->seq, i + 1000);
		ck_assert_uint_eq(cw_ring_tx(evaluator, i)->nonce, i * 3);
	}
}
END_TEST

START_TEST(verdicts_arrive_when_flushed)
{
	cw_ring_write(evaluator, "one", 3);
	cw_ring_write(evaluator, "two", 3);
	ck_assert_int_eq(cw_ring_take(engine, &buf, &err), 0);
	cw_ring_flush(evaluator);
	ck_assert_int_eq(cw_ring_take(engine, &buf, &err), 6);
	ck_assert_str_eq(buf.data, "onetwo");
	ck_assert_int_eq(cw_ring_take(engine, &buf, &err), 0);
}
END_TEST

START_TEST(no_verdict_is_split_at_the_seam)
{
	static char record[5000];
	uint64_t total = 0;

	for (unsigned i = 0; total < 3ull * CW_RING_BYTES; i++) {
		size_t n = 1 + i * 7919u % sizeof(record);

		memset(record, (int)('a' + i % 26), n);
		cw_ring_write(evaluator, record, n);
		cw_ring_flush(evaluator);
		cw_buf_clear(&buf);
		ck_assert_int_eq(cw_ring_take(engine, &buf, &err), (int64_t)n);
		ck_assert(memcmp(buf.data, record, n) == 0);
		total += n;
	}
}
END_TEST

START_TEST(room_comes_back_when_taken)
{
	static char block[1u << 20];

	for (size_t left = CW_RING_BYTES; left > 0; left -= sizeof(block)) {
		ck_assert_uint_eq(cw_ring_room(evaluator), left);
		cw_ring_write(evaluator, block, sizeof(block));
	}
	ck_assert_uint_eq(cw_ring_room(evaluator), 0);
	cw_ring_flush(evaluator);
	cw_ring_evaluator_waits(evaluator, CW_RING_FOR_ROOM);
	put(0);
	cw_ring_publish(engine, 1);
	ck_assert_msg(!rung(to_evaluator), "transactions do not help who waits for room");
	ck_assert_int_eq(cw_ring_waiting(engine), CW_RING_FOR_ROOM);
	ck_assert_int_eq(cw_ring_take(engine, &buf, &err), CW_RING_BYTES);
	ck_assert(rung(to_evaluator));
	ck_assert_int_eq(cw_ring_waiting(engine), CW_RING_AWAKE);
	ck_assert_uint_eq(cw_ring_room(evaluator), CW_RING_BYTES);
}
END_TEST

START_TEST(bells_ring_only_for_sleepers)
{
	put(0);
	cw_ring_publish(engine, 1);
	ck_assert(!rung(to_evaluator));
	cw_ring_evaluator_waits(evaluator, CW_RING_FOR_TX);
	cw_ring_publish(engine, 2);
	ck_assert(rung(to_evaluator));
	cw_ring_publish(engine, 3);
	ck_assert_msg(!rung(to_evaluator), "once a sleep");

	cw_ring_write(evaluator, "x", 1);
	cw_ring_flush(evaluator);
	ck_assert(!rung(to_engine));
	cw_ring_engine_sleeps(engine);
	cw_ring_write(evaluator, "x", 1);
	cw_ring_flush(evaluator);
	ck_assert(rung(to_engine));
	cw_ring_flush(evaluator);
	ck_assert(!rung(to_engine));
}
END_TEST

START_TEST(a_successor_goes_on_where_the_engine_is)
{
	cw_ring_write(evaluator, "taken", 5);
	cw_ring_flush(evaluator);
	cw_ring_take(engine, &buf, &err);
	cw_ring_write(evaluator, "lost", 4);
	cw_ring_flush(evaluator);
	cw_ring_evaluator_waits(evaluator, CW_RING_FOR_TX);
	cw_ring_free(&evaluator);

	evaluator = cw_ring_attach(cw_ring_fd(engine), &err);
	cw_ring_reset(engine);
	cw_ring_begin(evaluator);
	ck_assert_int_eq(cw_ring_waiting(engine), CW_RING_AWAKE);
	ck_assert_uint_eq(cw_ring_room(evaluator), CW_RING_BYTES);
	cw_ring_write(evaluator, "again", 5);
	cw_ring_flush(evaluator);
	cw_buf_clear(&buf);
	ck_assert_int_eq(cw_ring_take(engine, &buf, &err), 5);
	ck_assert_str_eq(buf.data, "again");
}
END_TEST

/* The evaluator's words are at offsets of the first page; a hostile one writes what it likes there. */
START_TEST(nonsense_from_the_evaluator_is_refused)
{
	uint64_t *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, cw_ring_fd(engine), 0);

	memset(page, 0xee, 4096);
	ck_assert_int_eq(cw_ring_take(engine, &buf, &err), -1);
	ck_assert_int_eq(err.code, CW_ERR_INTERNAL);
	ck_assert_ptr_null(cw_ring_attach(cw_ring_fd(engine), &err));
	cw_ring_reset(engine);
	cw_ring_publish(engine, 0);
	ck_assert_int_eq(cw_ring_take(engine, &buf, &err), 0);
	cw_ring_free(&evaluator);
	evaluator = cw_ring_attach(cw_ring_fd(engine), &err);
	ck_assert_msg(evaluator != NULL, "%s", err.msg);
	munmap(page, 4096);
}
END_TEST

START_TEST(the_evaluator_cannot_write_transactions)
{
	pid_t pid;
	int status;

	put(0);
	cw_ring_publish(engine, 1);
	pid = fork();
	if (pid == 0) {
		signal(SIGSEGV, SIG_DFL);
		*(volatile uint64_t *)(uintptr_t)&cw_ring_tx(evaluator, 0)->seq = 7;
		_exit(0);
	}
	waitpid(pid, &status, 0);
	ck_assert_msg(!WIFEXITED(status) || WEXITSTATUS(status) != 0, "the write must not succeed");
	ck_assert_uint_eq(cw_ring_tx(evaluator, 0)->seq, 1000);
}
END_TEST

START_TEST(attach_refuses_other_descriptors)
{
	int fd = memfd_create("other", 0);

	ck_assert_int_eq(ftruncate(fd, 4096), 0);
	ck_assert_ptr_null(cw_ring_attach(fd, &err));
	ck_assert_int_eq(err.code, CW_ERR_SYSTEM);
	ck_assert_ptr_null(cw_ring_attach(-1, &err));
	close(fd);
}
END_TEST

/* --- both sides at full speed, sleeping whenever they can: nothing is lost, nobody sleeps for ever --- */

#define STRESS 300000u

static void sleep_on(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint64_t n;

	if (poll(&p, 1, 5000) == 1)
		ck_assert_int_eq(read(fd, &n, sizeof(n)), sizeof(n));
	else
		ck_abort_msg("slept for 5 s: a wake-up was lost");
}

static void *run_evaluator(void *arg)
{
	uint64_t at = 0;

	(void)arg;
	while (at < STRESS) {
		uint64_t sent = cw_ring_sent(evaluator);

		if (sent == at) {
			cw_ring_evaluator_waits(evaluator, CW_RING_FOR_TX);
			if (cw_ring_sent(evaluator) == at)
				sleep_on(to_evaluator);
			cw_ring_evaluator_waits(evaluator, CW_RING_AWAKE);
			continue;
		}
		for (; at < sent; at++)
			cw_ring_write(evaluator, &cw_ring_tx(evaluator, at)->seq, 8);
		cw_ring_flush(evaluator);
	}
	return NULL;
}

START_TEST(no_wake_up_is_lost)
{
	uint64_t sent = 0, got = 0;
	pthread_t thread;

	srand(3);
	pthread_create(&thread, NULL, run_evaluator, NULL);
	while (got < STRESS) {
		for (int n = rand() % 20; n > 0 && sent < STRESS && sent - got < cw_ring_slots(engine); n--)
			put(sent++);
		cw_ring_publish(engine, sent);
		cw_ring_engine_sleeps(engine);
		cw_buf_clear(&buf);
		if (cw_ring_take(engine, &buf, &err) == 0 && sent > got)
			sleep_on(to_engine);
		for (size_t i = 0; i < buf.len; i += 8, got++)
			ck_assert_uint_eq(*(uint64_t *)(void *)(buf.data + i), got + 1000);
	}
	pthread_join(thread, NULL);
	ck_assert_uint_eq(got, STRESS);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ring");
	TCase *tc = tcase_create("ring");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60);
	tcase_add_test(tc, logs_travel_with_their_transaction);
	tcase_add_test(tc, slots_are_a_power_of_two);
	tcase_add_test(tc, too_many_slots_are_refused);
	tcase_add_test(tc, transactions_arrive_when_published);
	tcase_add_test(tc, verdicts_arrive_when_flushed);
	tcase_add_test(tc, no_verdict_is_split_at_the_seam);
	tcase_add_test(tc, room_comes_back_when_taken);
	tcase_add_test(tc, bells_ring_only_for_sleepers);
	tcase_add_test(tc, a_successor_goes_on_where_the_engine_is);
	tcase_add_test(tc, nonsense_from_the_evaluator_is_refused);
	tcase_add_test(tc, the_evaluator_cannot_write_transactions);
	tcase_add_test(tc, attach_refuses_other_descriptors);
	tcase_add_test(tc, no_wake_up_is_lost);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
