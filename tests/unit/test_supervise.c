/* The evaluator here is tests/support/c_evaluator.c; every process is real. Takes about ten seconds. */
#include "pipeline/supervise.h"

#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "state/state.h"
#include "support/c_evaluator.h"
#include "support/slow.h"

#define SLOTS 256u
#define EVENTS_MAX 4096

/* Sanitizers would turn signals into exits. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "handle_segv=0:handle_abort=0:abort_on_error=1:detect_stack_use_after_return=0";
}

struct event { enum cw_supervisor_event event; int rule; char reason[512]; uint64_t at; };

/* One supervisor with everything it needs and everything it has said. */
static struct {
	struct cw_loop *loop;
	struct cw_zygote *zygote;
	struct cw_state *st;
	struct cw_supervisor *s;
	struct cw_arena *arena;
	uint64_t expect;               /* seq of the next verdict; 0: any */
	uint64_t nverdicts, nalerts, nfaults;
	char text[128];                /* of the last alert or fault */
	struct event events[EVENTS_MAX];
	int nevents;
	bool loaded, paused;
	struct cw_err load_err;
	struct cw_buf report;
	void (*on_lost)(void);
} t;

static const struct cw_state_conf state_conf = { .max_bytes = 16u << 20, .journal_bytes = 8u << 20 };
static struct cw_supervisor_conf conf;
static struct cw_err err;

/* Check's own assertions cost a system call each, also when they hold. */
#define REQUIRE(condition) \
	do { \
		if (!(condition)) \
			ck_abort_msg("not so: %s", #condition); \
	} while (0)

static void on_verdict(void *arg, uint64_t seq, const void *bytes, size_t len)
{
	struct cw_verdict v;
	size_t consumed;

	(void)arg;
	REQUIRE(cw_verdict_read(&v, bytes, len, &consumed, t.arena, &err) == 0);
	REQUIRE(consumed == len);
	REQUIRE(v.seq == seq);
	REQUIRE(t.expect == 0 || seq == t.expect);
	t.expect += t.expect != 0;
	t.nverdicts++;
	t.nalerts += v.nalerts;
	t.nfaults += v.nfaults;
	if (v.nalerts > 0)
		snprintf(t.text, sizeof(t.text), "%s", v.alerts[0].explanation);
	if (v.nfaults > 0)
		snprintf(t.text, sizeof(t.text), "%s", v.faults[0].message);
	cw_arena_clear(t.arena);
}

static void on_event(void *arg, enum cw_supervisor_event event, int rule, const char *reason)
{
	struct event *e = &t.events[t.nevents++];

	(void)arg;
	ck_assert_int_lt(t.nevents, EVENTS_MAX);
	*e = (struct event){ .event = event, .rule = rule, .at = t.nverdicts };
	snprintf(e->reason, sizeof(e->reason), "%s", reason);
	if (event == CW_STATE_LOST && t.on_lost != NULL)
		t.on_lost();
}

static void on_load(void *arg, const char *report, const struct cw_err *load_err)
{
	(void)arg;
	ck_assert(!t.loaded);
	t.loaded = true;
	cw_buf_clear(&t.report);
	cw_err_clear(&t.load_err);
	if (load_err != NULL)
		t.load_err = *load_err;
	else
		cw_buf_puts(&t.report, report);
}

static void on_pause(void *arg)
{
	(void)arg;
	t.paused = true;
}

static void make_supervisor(void)
{
	t.s = cw_supervisor_new(t.loop, t.zygote, t.st, &conf, on_verdict, on_event, NULL, &err);
	ck_assert_msg(t.s != NULL, "%s", err.msg);
}

static void setup(void)
{
	t.zygote = cw_zygote_start(&c_evaluator, &err);
	ck_assert_msg(t.zygote != NULL, "%s", err.msg);
	cw_log_set_level(NULL, CW_LOG_OFF);
	t.loop = cw_loop_new();
	t.st = cw_state_new(&state_conf, &err);
	ck_assert_msg(t.st != NULL, "%s", err.msg);
	t.arena = cw_arena_new();
	cw_buf_init(&t.report);
	t.expect = 1;
	conf = cw_supervisor_conf_default;
	conf.ring_slots = SLOTS;
	conf.hang_ms = 300 * slow_factor();
	conf.load_ms = 10000 * slow_factor();
	conf.scratch_bytes = 8u << 20;
	make_supervisor();
}

static void teardown(void)
{
	cw_supervisor_free(&t.s);
	cw_state_close(&t.st);
	cw_loop_free(&t.loop);
	cw_zygote_stop(&t.zygote);
	cw_arena_free(&t.arena);
	cw_buf_release(&t.report);
	ck_assert_msg(waitpid(-1, NULL, WNOHANG | __WALL) < 0, "no process is left");
}

static void on_turn(void *arg)
{
	(void)arg;
}

/* One turn of the loop, 20 ms at most. */
static void turn(void)
{
	struct cw_timer *timer = cw_timer_new(t.loop, on_turn, NULL);

	cw_timer_set(timer, 20);
	cw_loop_run_once(t.loop);
	cw_timer_free(&timer);
}

#define WAIT(condition) \
	do { \
		int64_t end_ = cw_clock_mono_us() + INT64_C(20000000) * slow_factor(); \
		while (!(condition)) { \
			if (cw_clock_mono_us() > end_) \
				ck_abort_msg("waited in vain: %s", #condition); \
			turn(); \
		} \
	} while (0)

static int start_load(const char *text)
{
	struct cw_bundle_file rules[] = { { "rules/a.lua", "v1", 2 }, { "rules/b.lua", text, strlen(text) } };
	struct cw_bundle_file list = { "lists/x.csv", "a,b\0c", 5 };
	struct cw_bundle bundle = { .rules = rules, .nrules = 2, .lists = &list, .nlists = 1, .params_json = "{\"a\":1}",
		.options_json = "{}" };

	t.loaded = false;
	return cw_supervisor_load(t.s, &bundle, on_load, NULL, &err);
}

static void load_rules(const char *text)
{
	ck_assert_msg(start_load(text) == 0, "%s", err.msg);
	WAIT(t.loaded);
}

static void activate(const char *text)
{
	load_rules(text);
	ck_assert_msg(t.load_err.code == CW_OK, "%s", t.load_err.msg);
	cw_supervisor_activate(t.s, NULL, 0);
}

static int count_events(enum cw_supervisor_event event);

static void wait_activated(int n)
{
	WAIT(count_events(CW_ACTIVATED) == n);
}

static void submit(uint64_t seq, enum c_command command, uint64_t nonce)
{
	struct cw_tx tx = c_tx(seq, command, nonce);
	const struct cw_tx *list = &tx;

	WAIT(cw_supervisor_room(t.s) > 0);
	cw_supervisor_submit(t.s, &list, 1);
}

/* Quiet ones, as many as fit in one go. */
static uint64_t submit_quiet(uint64_t seq, uint64_t last)
{
	struct cw_tx txs[SLOTS];
	const struct cw_tx *list[SLOTS];
	uint32_t n = 0, room = cw_supervisor_room(t.s);

	for (; n < room && seq <= last; n++, seq++) {
		txs[n] = c_tx(seq, C_QUIET, 0);
		list[n] = &txs[n];
	}
	cw_supervisor_submit(t.s, list, n);
	return seq;
}

static int count_events(enum cw_supervisor_event event)
{
	int n = 0;

	for (int i = 0; i < t.nevents; i++)
		n += t.events[i].event == event;
	return n;
}

static const struct event *find_event(enum cw_supervisor_event event)
{
	for (int i = 0; i < t.nevents; i++)
		if (t.events[i].event == event)
			return &t.events[i];
	ck_abort_msg("event %d was not told", (int)event);
	return NULL;
}

static void assert_contains(const char *text, const char *part)
{
	ck_assert_msg(strstr(text, part) != NULL, "\"%s\" is not in \"%s\"", part, text);
}

static pid_t live_pid(void)
{
	return (pid_t)cw_supervisor_stats(t.s).pid;
}

/* Evaluates 1 to `last` here, without a break, with nothing but counting, and compares every byte. */
static void assert_same_as_unbroken(uint64_t last)
{
	struct cw_state *st = cw_state_new(&state_conf, &err);
	struct cw_bundle bundle = { .params_json = "{}", .tested = true };
	struct cw_buf out = CW_BUF_INIT;
	uint32_t running;
	void *ctx = c_evaluator.load(&bundle, NULL, &out, &err);

	ck_assert_int_eq(c_evaluator.attach(ctx, st, &err), 0);
	for (uint64_t seq = 1; seq <= last; seq++) {
		struct cw_tx tx = c_tx(seq, C_QUIET, 0);

		cw_buf_clear(&out);
		c_evaluator.evaluate(ctx, &tx, &out, &running);
		cw_state_mark(st, seq, tx.block_number);
	}
	ck_assert_uint_eq(cw_state_seq(t.st), last);
	ck_assert_uint_eq(cw_state_used(t.st), cw_state_used(st));
	ck_assert(memcmp(cw_state_base(t.st), cw_state_base(st), cw_state_used(st)) == 0);
	c_evaluator.free(ctx);
	cw_state_close(&st);
	cw_buf_release(&out);
}

/* --- the ordinary way --- */

START_TEST(rules_are_loaded_and_reported)
{
	load_rules("v7");
	ck_assert_int_eq(t.load_err.code, CW_OK);
	ck_assert_str_eq(t.report.data, "{\"digest\":\"v7\",\"rules\":2,\"lists\":1,\"params\":{\"a\":1}}");
	ck_assert_msg(!cw_supervisor_ready(t.s), "not before it is activated");
	cw_supervisor_activate(t.s, NULL, 0);
	wait_activated(1);
	ck_assert(cw_supervisor_ready(t.s));
	ck_assert_int_gt(live_pid(), 0);
}
END_TEST

START_TEST(verdicts_come_in_order)
{
	activate("v1");
	for (uint64_t seq = 1; seq <= 20000;) {
		seq = submit_quiet(seq, 20000);
		turn();
	}
	WAIT(t.nverdicts == 20000);
	ck_assert_uint_eq(cw_supervisor_room(t.s), SLOTS);
	ck_assert_uint_eq(cw_supervisor_stats(t.s).submitted, 20000);
	assert_same_as_unbroken(20000);
	ck_assert_int_eq(t.nevents, 1);
}
END_TEST

START_TEST(what_is_submitted_before_the_rules_waits)
{
	submit(1, C_ALERT, 0);
	turn();
	ck_assert_uint_eq(t.nverdicts, 0);
	activate("v3");
	WAIT(t.nverdicts == 1);
	ck_assert_str_eq(t.text, "v3 #1");
	ck_assert_uint_eq(t.events[0].at, 0);
}
END_TEST

START_TEST(large_verdicts_press_back)
{
	activate("v1");
	for (uint64_t seq = 1; seq <= 16; seq++)
		submit(seq, C_BIG, seq % 2 == 0 ? 60 : 300);   /* just below the limit, and far above */
	WAIT(t.nverdicts == 16);
	ck_assert_uint_eq(t.nalerts, 8 * 60 + 8 * 300);
	ck_assert_uint_eq(cw_supervisor_stats(t.s).replaced, 0);
}
END_TEST

START_TEST(evaluator_keeps_three_descriptors)
{
	char path[64];
	struct dirent *entry;
	DIR *dir;

	activate("v1");
	wait_activated(1);
	snprintf(path, sizeof(path), "/proc/%d/fd", (int)live_pid());
	dir = opendir(path);
	if (dir == NULL)
		return;   /* not dumpable: only root may look */
	while ((entry = readdir(dir)) != NULL)
		ck_assert_msg(entry->d_name[0] == '.' || strchr("234", entry->d_name[0]) != NULL, "fd %s", entry->d_name);
	closedir(dir);
}
END_TEST

START_TEST(terminal_signals_are_the_engines_business)
{
	activate("v1");
	wait_activated(1);
	kill(live_pid(), SIGTERM);
	kill(live_pid(), SIGINT);
	kill(live_pid(), SIGHUP);
	submit(1, C_ALERT, 0);
	WAIT(t.nverdicts == 1);
	ck_assert_uint_eq(cw_supervisor_stats(t.s).replaced, 0);
}
END_TEST

#ifndef __SANITIZE_THREAD__   /* which keeps a stack of calls beside the stack, of bounded depth */
START_TEST(sixty_mebibytes_of_stack)
{
	activate("v1");
	submit(1, C_RECURSE, 60);
	WAIT(t.nverdicts == 1);
	ck_assert_uint_eq(t.nalerts, 1);
	ck_assert_uint_eq(cw_supervisor_stats(t.s).replaced, 0);
}
END_TEST
#endif

START_TEST(memory_and_jit_work_behind_the_filter)
{
	conf.hang_ms = 5000;
	cw_supervisor_reconfigure(t.s, &conf);
	activate("v1");
	submit(1, C_MEMORY, 0);
	WAIT(t.nverdicts == 1);
	ck_assert_msg(t.nalerts == 1, "%s", t.events[t.nevents - 1].reason);
}
END_TEST

/* --- loads that fail --- */

static void assert_load_fails(const char *text, enum cw_code code, const char *part)
{
	load_rules(text);
	ck_assert_int_eq(t.load_err.code, code);
	assert_contains(t.load_err.msg, part);
}

START_TEST(failed_loads_say_why_and_change_nothing)
{
	activate("v1");
	wait_activated(1);
	assert_load_fails("fail", CW_ERR_SCRIPT, "rules/bad.lua:7: this rule does not load");
	assert_load_fails("crash", CW_ERR_SYSTEM, "killed by signal 11 (SIGSEGV)");
	assert_load_fails("big report", CW_ERR_INVALID, "larger than 4194304");
	submit(1, C_ALERT, 0);
	WAIT(t.nverdicts == 1);
	ck_assert_str_eq(t.text, "v1 #1");
	ck_assert_uint_eq(cw_supervisor_stats(t.s).replaced, 0);
	ck_assert_int_eq(t.nevents, 1);
}
END_TEST

START_TEST(load_that_hangs_is_killed)
{
	int64_t start = cw_clock_mono_us();

	conf.load_ms = 200;
	cw_supervisor_reconfigure(t.s, &conf);
	assert_load_fails("hang", CW_ERR_TIMEOUT, "timed out after 200 ms while it loaded and tested the rules");
	ck_assert_int_ge(cw_clock_mono_us() - start, 200000);
	activate("v1");
	submit(1, C_QUIET, 0);
	WAIT(t.nverdicts == 1);
}
END_TEST

START_TEST(one_load_at_a_time)
{
	ck_assert_int_eq(start_load("sleep 50"), 0);
	ck_assert_int_eq(start_load("v2"), -1);
	ck_assert_int_eq(err.code, CW_ERR_BUSY);
	WAIT(t.loaded);
	ck_assert_msg(start_load("v2") == -1, "not while one waits for its activation");
	cw_supervisor_discard(t.s);
	load_rules("v2");
	ck_assert_int_eq(t.load_err.code, CW_OK);
}
END_TEST

START_TEST(discarded_load_is_not_told)
{
	ck_assert_int_eq(start_load("sleep 30"), 0);
	cw_supervisor_discard(t.s);
	for (int i = 0; i < 4; i++)
		turn();
	ck_assert(!t.loaded);
	activate("v1");
	WAIT(count_events(CW_ACTIVATED) == 1);
}
END_TEST

START_TEST(too_many_rules_are_refused)
{
	static struct cw_bundle_file rules[CW_RULES_MAX + 1];
	struct cw_bundle bundle = { .rules = rules, .nrules = CW_RULES_MAX + 1 };

	for (int i = 0; i <= CW_RULES_MAX; i++)
		rules[i] = (struct cw_bundle_file){ "a", "v1", 2 };
	ck_assert_int_eq(cw_supervisor_load(t.s, &bundle, on_load, NULL, &err), -1);
	ck_assert_int_eq(err.code, CW_ERR_INVALID);
}
END_TEST

/* --- reload --- */

/* Before the activation the old rules judge, after it the new, however full the ring is. */
START_TEST(reload_under_load_loses_nothing)
{
	uint64_t seq = 1;

	activate("v1");
	wait_activated(1);
	for (int generation = 2; generation <= 6; generation++) {
		char text[16], want[32];

		snprintf(text, sizeof(text), "v%d", generation);
		ck_assert_int_eq(start_load(text), 0);
		while (!t.loaded) {
			seq = submit_quiet(seq, seq + 99);
			turn();
		}
		WAIT(cw_supervisor_room(t.s) > 100);
		seq = submit_quiet(seq, seq + 49);
		submit(seq, C_ALERT, 0);
		cw_supervisor_activate(t.s, NULL, 0);
		seq = submit_quiet(seq + 1, seq + 50);
		WAIT(t.nverdicts >= seq - 51);
		snprintf(want, sizeof(want), "v%d #%llu", generation - 1, (unsigned long long)seq - 51);
		ck_assert_str_eq(t.text, want);
		submit(seq, C_ALERT, 0);
		WAIT(t.nverdicts == seq);
		snprintf(want, sizeof(want), "v%d #%llu", generation, (unsigned long long)seq);
		ck_assert_str_eq(t.text, want);
		ck_assert_uint_eq(t.events[t.nevents - 1].at, seq - 51);
		seq++;
	}
	ck_assert_int_eq(count_events(CW_ACTIVATED), 6);
	ck_assert_int_eq(t.nevents, 6);
	assert_same_as_unbroken(seq - 1);
}
END_TEST

START_TEST(rules_that_cannot_attach_leave_the_old_ones)
{
	activate("v1");
	wait_activated(1);
	submit(1, C_ALERT, 0);
	activate("attach fails");
	submit(2, C_ALERT, 0);
	WAIT(t.nverdicts == 2);
	assert_contains(find_event(CW_ACTIVATION_FAILED)->reason, "attach was told to fail");
	ck_assert_uint_eq(find_event(CW_ACTIVATION_FAILED)->at, 1);
	ck_assert_str_eq(t.text, "v1 #2");
	ck_assert_int_eq(count_events(CW_STATE_LOST), 0);
	activate("v2");
	submit(3, C_ALERT, 0);
	WAIT(t.nverdicts == 3);
	ck_assert_str_eq(t.text, "v2 #3");
}
END_TEST

START_TEST(rules_that_crash_as_they_attach_cost_the_state)
{
	activate("v1");
	submit(1, C_QUIET, 0);
	WAIT(t.nverdicts == 1);
	activate("attach crashes");
	WAIT(count_events(CW_STATE_LOST) == 1);
	assert_contains(find_event(CW_ACTIVATION_FAILED)->reason, "SIGSEGV");
	t.expect = 1;
	submit(1, C_ALERT, 0);
	WAIT(t.nverdicts == 2);
	ck_assert_str_eq(t.text, "v1 #1");
}
END_TEST

/* Children of this process, by /proc. */
static int children(pid_t *out, int max)
{
	char path[64];
	int n = 0, pid;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)syscall(SYS_gettid));
	f = fopen(path, "r");
	while (f != NULL && n < max && fscanf(f, "%d", &pid) == 1)
		out[n++] = pid;
	if (f != NULL)
		fclose(f);
	return n;
}

START_TEST(loaded_evaluator_that_dies_is_made_again)
{
	pid_t pids[8];
	int n;

	load_rules("v4");
	n = children(pids, 8);
	ck_assert_int_eq(n, 2);
	kill(pids[1], SIGKILL);   /* the zygote is older */
	for (int i = 0; i < 3; i++)
		turn();
	cw_supervisor_activate(t.s, NULL, 0);
	submit(1, C_ALERT, 0);
	WAIT(t.nverdicts == 1);
	ck_assert_str_eq(t.text, "v4 #1");
}
END_TEST

/* --- switches --- */

START_TEST(rules_are_switched_off_and_on)
{
	const uint32_t disabled[] = { 1, 5000 };

	load_rules("v1");
	cw_supervisor_activate(t.s, disabled, 2);
	submit(1, C_ALERT, 0);
	WAIT(t.nverdicts == 1);
	ck_assert_msg(t.nalerts == 0, "starts quarantined");
	cw_supervisor_enable(t.s, 1, true);
	submit(2, C_ALERT, 0);
	WAIT(t.nverdicts == 2);
	ck_assert_uint_eq(t.nalerts, 1);
	cw_supervisor_enable(t.s, 1, false);
	submit(3, C_ALERT, 0);
	WAIT(t.nverdicts == 3);
	ck_assert_uint_eq(t.nalerts, 1);
	kill(live_pid(), SIGKILL);
	submit(4, C_ALERT, 0);
	WAIT(t.nverdicts == 4);
	ck_assert_msg(t.nalerts == 1, "a successor keeps it off");
	cw_supervisor_enable(t.s, CW_RULES_MAX, false);
}
END_TEST

START_TEST(rules_that_fail_too_often_are_quarantined)
{
	conf.quarantine_after = 3;
	cw_supervisor_reconfigure(t.s, &conf);
	activate("v1");
	for (uint64_t seq = 1; seq <= 5; seq++) {
		submit(seq, C_FAULT, 0);
		WAIT(t.nverdicts == seq);
	}
	ck_assert_uint_eq(t.nfaults, 3);
	ck_assert_int_eq(find_event(CW_RULE_QUARANTINED)->rule, 1);
	ck_assert_str_eq(find_event(CW_RULE_QUARANTINED)->reason, "3 faults, the last one: told to");
	cw_supervisor_enable(t.s, 1, true);
	submit(6, C_FAULT, 0);
	WAIT(t.nverdicts == 6);
	ck_assert_uint_eq(t.nfaults, 4);
	ck_assert_msg(count_events(CW_RULE_QUARANTINED) == 1, "counts anew");
}
END_TEST

START_TEST(slow_rule_is_told_to_stop)
{
	conf.hang_ms = 5000;
	cw_supervisor_reconfigure(t.s, &conf);
	activate("v1");
	submit(1, C_LOOP, 0);
	submit(2, C_ALERT, 0);
	WAIT(t.nverdicts == 2);
	ck_assert_uint_eq(t.nfaults, 1);
	ck_assert_uint_eq(t.nalerts, 1);
	ck_assert_uint_eq(cw_supervisor_stats(t.s).stops, 1);
	ck_assert_uint_eq(cw_supervisor_stats(t.s).replaced, 0);
}
END_TEST

/* --- death --- */

START_TEST(nothing_is_lost_or_done_twice_over_kills)
{
	const uint64_t last = 400000;
	uint64_t seq = 1, before;
	int kills = 0;

	srand(4);
	activate("v1");
	wait_activated(1);
	while (kills < 300 || t.nverdicts < seq - 1) {
		int64_t until = cw_clock_mono_us() + rand() % 1500;

		while (cw_clock_mono_us() < until) {
			seq = submit_quiet(seq, kills < 300 ? last : seq - 1);
			cw_loop_poll(t.loop);
		}
		if (kills < 300 && live_pid() > 0) {
			kill(live_pid(), SIGKILL);
			kills++;
			WAIT(count_events(CW_EVALUATOR_REPLACED) == kills);
			/* Many in a row without a verdict between them would make the supervisor wait. */
			before = t.nverdicts;
			if (kills % 3 == 0)
				WAIT(t.nverdicts > before || t.nverdicts == seq - 1);
		}
	}
	ck_assert_uint_eq(cw_supervisor_stats(t.s).replaced, 300);
	ck_assert_int_eq(count_events(CW_STATE_LOST) + count_events(CW_RULE_QUARANTINED), 0);
	ck_assert_uint_gt(seq, 10000);
	assert_same_as_unbroken(seq - 1);
	assert_contains(find_event(CW_EVALUATOR_REPLACED)->reason, "killed by signal 9 (SIGKILL)");
}
END_TEST

START_TEST(hanging_rule_is_killed_and_quarantined)
{
	char reason[128];
	int64_t start, took;

	activate("v1");
	submit(1, C_QUIET, 0);
	WAIT(t.nverdicts == 1);
	start = cw_clock_mono_us();
	submit(2, C_HANG, 0);
	submit(3, C_ALERT, 0);
	WAIT(count_events(CW_RULE_QUARANTINED) == 1);
	took = cw_clock_mono_us() - start;
	ck_assert_int_ge(took, 300000);
	ck_assert_msg(took < 2000000 * slow_factor(), "took %lld us", (long long)took);   /* 400 ms on an idle machine */
	WAIT(t.nverdicts == 3);
	ck_assert_msg(t.nalerts == 0, "the rule is off");
	ck_assert_int_eq(find_event(CW_RULE_QUARANTINED)->rule, 1);
	snprintf(reason, sizeof(reason), "made no progress for %d ms, while the rule worked on transaction 2", 300 * slow_factor());
	assert_contains(find_event(CW_RULE_QUARANTINED)->reason, reason);
	ck_assert_int_eq(count_events(CW_STATE_LOST), 0);
	ck_assert_uint_eq(cw_supervisor_stats(t.s).hangs, 1);
	assert_same_as_unbroken(3);
}
END_TEST

START_TEST(rule_that_ends_the_process_is_quarantined)
{
	activate("v1");
	submit(1, C_EXIT, 3);
	WAIT(t.nverdicts == 1);
	assert_contains(find_event(CW_RULE_QUARANTINED)->reason, "ended itself with status 3");
	ck_assert_int_eq(count_events(CW_STATE_LOST), 0);
	assert_same_as_unbroken(1);
}
END_TEST

/* What an owner does: history again, then what has no verdict. */
static void replay(void)
{
	t.expect = 1;
	for (uint64_t seq = 1; seq <= 5; seq++) {
		struct cw_tx tx = c_tx(seq, C_QUIET, 0);
		const struct cw_tx *list = &tx;

		cw_supervisor_submit(t.s, &list, 1);
	}
}

static void crash_with(enum c_command command, uint64_t nonce, const char *reason)
{
	t.on_lost = replay;
	activate("v1");
	for (uint64_t seq = 1; seq <= 4; seq++)
		submit(seq, C_QUIET, 0);
	WAIT(t.nverdicts == 4);
	submit(5, command, nonce);
	WAIT(t.nverdicts == 9);
	assert_contains(find_event(CW_STATE_LOST)->reason, reason);
	ck_assert_int_eq(count_events(CW_STATE_LOST), 1);
	ck_assert_uint_eq(cw_supervisor_stats(t.s).lost, 1);
	assert_contains(find_event(CW_EVALUATOR_REPLACED)->reason, reason);
	assert_same_as_unbroken(5);
}

static void assert_culprit(void)
{
	ck_assert_int_eq(find_event(CW_RULE_QUARANTINED)->rule, 1);
	ck_assert_int_eq(count_events(CW_RULE_QUARANTINED), 1);
}

START_TEST(segfault_costs_the_state)
{
	crash_with(C_SEGV, 0, "killed by signal 11 (SIGSEGV)");
	assert_culprit();
}
END_TEST

START_TEST(abort_costs_the_state_and_its_words_are_heard)
{
	crash_with(C_ABORT, 0, "killed by signal 6 (SIGABRT): told to abort");
	assert_culprit();
}
END_TEST

START_TEST(forbidden_system_calls_kill)
{
	crash_with(C_SYSCALL, SYS_getppid, "killed by signal 31 (SIGSYS)");
	assert_culprit();
}
END_TEST

START_TEST(writable_code_kills)
{
	crash_with(C_WRITE_CODE, 0, "killed by signal 31 (SIGSYS)");
	assert_culprit();
}
END_TEST

START_TEST(nonsense_is_a_crash)
{
	crash_with(C_NONSENSE, 0, "the evaluator sent nonsense: cannot read verdict");
	ck_assert_msg(count_events(CW_RULE_QUARANTINED) == 0, "no rule was running");
}
END_TEST

START_TEST(verdict_out_of_turn_is_a_crash)
{
	crash_with(C_WRONG_SEQ, 0, "the evaluator sent nonsense: verdict for 6 comes out of turn");
}
END_TEST

static const long forbidden[] = { SYS_open, SYS_openat, SYS_socket, SYS_fork, SYS_clone, SYS_execve, SYS_prctl,
	SYS_ptrace, SYS_process_vm_readv, SYS_kill, SYS_memfd_create, SYS_dup, SYS_ioctl, SYS_bpf, SYS_io_uring_setup };

START_TEST(each_of_these_is_forbidden)
{
	activate("v1");
	t.expect = 0;
	submit(1, C_SYSCALL, (uint64_t)forbidden[_i]);
	WAIT(count_events(CW_STATE_LOST) == 1);
	assert_contains(find_event(CW_STATE_LOST)->reason, "(SIGSYS)");
}
END_TEST

static void wait_ms(int64_t ms)
{
	int64_t until = cw_clock_mono_us() + ms * 1000;

	while (cw_clock_mono_us() < until)
		turn();
}

START_TEST(foreign_kill_is_blamed_on_no_rule_the_first_time)
{
	conf.hang_ms = 20000;
	cw_supervisor_reconfigure(t.s, &conf);
	activate("v1");
	wait_activated(1);
	submit(1, C_SPIN, 10000000);
	for (int i = 0; i < 2; i++) {
		wait_ms(100);
		ck_assert_int_eq(count_events(CW_RULE_QUARANTINED), 0);
		kill(live_pid(), SIGKILL);
		WAIT(count_events(CW_EVALUATOR_REPLACED) == i + 1);
	}
	ck_assert_msg(count_events(CW_RULE_QUARANTINED) == 1, "but the second time on the same transaction");
	ck_assert_int_eq(find_event(CW_RULE_QUARANTINED)->rule, 1);
	WAIT(t.nverdicts == 1);
	assert_same_as_unbroken(1);
}
END_TEST

START_TEST(kills_on_different_transactions_are_nobodys_fault)
{
	activate("v1");
	wait_activated(1);
	for (uint64_t i = 0; i < 3; i++) {
		submit(i + 1, C_SPIN, 100000);
		wait_ms(50);
		kill(live_pid(), SIGKILL);
		WAIT(t.nverdicts == i + 1);
	}
	ck_assert_int_eq(count_events(CW_RULE_QUARANTINED), 0);
	ck_assert_int_eq(count_events(CW_EVALUATOR_REPLACED), 3);
}
END_TEST

START_TEST(old_rules_that_die_on_the_way_out_finish_first)
{
	activate("v1");
	wait_activated(1);
	load_rules("v2");
	submit(1, C_EXIT, 1);
	submit(2, C_QUIET, 0);
	cw_supervisor_activate(t.s, NULL, 0);
	submit(3, C_ALERT, 0);
	WAIT(t.nverdicts == 3);
	ck_assert_str_eq(t.text, "v2 #3");
	ck_assert_int_eq(t.events[t.nevents - 1].event, CW_ACTIVATED);
	ck_assert_uint_eq(t.events[t.nevents - 1].at, 2);
	assert_same_as_unbroken(3);
}
END_TEST

/* --- pause --- */

START_TEST(pause_gives_the_arena_to_the_owner)
{
	struct cw_state_mark mark;
	pid_t pid;

	activate("v1");
	for (uint64_t seq = 1; seq <= 100;)
		seq = submit_quiet(seq, 100);
	cw_supervisor_pause(t.s, on_pause, NULL);
	ck_assert_msg(!t.paused, "never from within the call");
	pid = live_pid();
	WAIT(t.paused);
	ck_assert_uint_eq(t.nverdicts, 100);
	ck_assert_int_eq(live_pid(), 0);
	ck_assert_msg(pid == 0 || kill(pid, 0) != 0, "no evaluator lives");
	ck_assert(!cw_supervisor_ready(t.s));

	/* A reorg: block 1 (50 to 99) is the last that stays. The ring takes what comes after meanwhile. */
	ck_assert(cw_state_find_block(t.st, 1, &mark));
	ck_assert_uint_eq(mark.seq, 99);
	ck_assert_int_eq(cw_state_rewind(t.st, &mark, &err), 0);
	t.expect = 100;
	submit_quiet(100, 150);
	for (int i = 0; i < 3; i++)
		turn();
	ck_assert_uint_eq(t.nverdicts, 100);
	cw_supervisor_resume(t.s);
	WAIT(t.nverdicts == 151);
	assert_same_as_unbroken(150);
}
END_TEST

START_TEST(pause_without_rules_comes_at_once)
{
	cw_supervisor_pause(t.s, on_pause, NULL);
	WAIT(t.paused);
	load_rules("v1");
	cw_supervisor_activate(t.s, NULL, 0);
	submit(1, C_ALERT, 0);
	for (int i = 0; i < 3; i++)
		turn();
	ck_assert_uint_eq(t.nverdicts, 0);
	cw_supervisor_resume(t.s);
	WAIT(t.nverdicts == 1);
}
END_TEST

static void pause_when_lost(void)
{
	cw_supervisor_pause(t.s, on_pause, NULL);
}

START_TEST(recovery_may_take_its_time)
{
	t.on_lost = pause_when_lost;
	activate("v1");
	submit(1, C_SEGV, 0);
	WAIT(t.paused);
	ck_assert_uint_eq(cw_state_seq(t.st), 0);
	t.expect = 1;
	submit(1, C_QUIET, 0);
	cw_supervisor_resume(t.s);
	WAIT(t.nverdicts == 1);
	assert_same_as_unbroken(1);
}
END_TEST

START_TEST(freed_supervisor_leaves_the_arena_at_the_last_verdict)
{
	activate("v1");
	submit_quiet(1, 100);
	WAIT(t.nverdicts == 100);
	submit(101, C_HANG, 0);
	for (int i = 0; i < 3; i++)
		turn();
	cw_supervisor_free(&t.s);
	assert_same_as_unbroken(100);
	make_supervisor();
	activate("v2");
	submit(101, C_ALERT, 0);
	WAIT(t.nverdicts == 101);
	ck_assert_str_eq(t.text, "v2 #101");
}
END_TEST

/* --- the zygote --- */

START_TEST(without_a_zygote_requests_wait)
{
	pid_t pids[8];

	activate("v1");
	wait_activated(1);
	ck_assert_int_eq(children(pids, 8), 2);
	kill(pids[0] == live_pid() ? pids[1] : pids[0], SIGKILL);
	kill(live_pid(), SIGKILL);
	submit(1, C_QUIET, 0);
	WAIT(!cw_supervisor_ready(t.s));
	ck_assert_uint_eq(t.nverdicts, 0);
	ck_assert_int_eq(start_load("v2"), -1);
	assert_contains(err.msg, "zygote");
}
END_TEST

/* With room for no, one, two ... more descriptors: each time something else cannot be had. It says what, keeps nothing, and works
 * when there is room again. */
START_TEST(descriptors_run_out)
{
	struct rlimit limit, before;
	int first, refused = 0, last;

	cw_supervisor_free(&t.s);
	first = open("/dev/null", O_RDONLY);
	close(first);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	limit = before;
	for (int room = 0; room < 16; room++) {
		limit.rlim_cur = (rlim_t)(first + room);
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
		t.s = cw_supervisor_new(t.loop, t.zygote, t.st, &conf, on_verdict, on_event, NULL, &err);
		if (t.s == NULL) {
			refused++;
			ck_assert_int_eq(err.code, CW_ERR_SYSTEM);
			ck_assert_msg(strstr(err.msg, "could not") != NULL, "%s", err.msg);
		} else if (start_load("v1") != 0) {
			refused++;
			ck_assert_int_eq(err.code, CW_ERR_SYSTEM);
			ck_assert_msg(strstr(err.msg, "could not") != NULL, "%s", err.msg);
			cw_supervisor_free(&t.s);
		} else {
			WAIT(t.loaded);
			cw_supervisor_free(&t.s);
		}
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
		last = open("/dev/null", O_RDONLY);
		ck_assert_int_eq(last, first);           /* nothing is kept */
		close(last);
	}
	ck_assert_int_ge(refused, 5);
	make_supervisor();
	activate("v2");
	submit(1, C_ALERT, 0);
	WAIT(t.nverdicts == 1);
}
END_TEST

START_TEST(no_zygote_without_descriptors)
{
	struct rlimit limit, before;
	int first = open("/dev/null", O_RDONLY);
	struct cw_zygote *zygote;

	close(first);
	ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
	limit = before;
	for (int room = 0; room < 3; room++) {
		limit.rlim_cur = (rlim_t)(first + room);   /* with two, the child has no number above 100 for its socket */
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
		zygote = cw_zygote_start(&c_evaluator, &err);
		ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
		ck_assert(zygote == NULL);
		assert_contains(err.msg, "could not start the zygote: ");
	}
}
END_TEST

/* A zygote that died is started again from the program that runs, which this test's main knows what to do with. */
START_TEST(a_dead_zygote_is_started_again)
{
	pid_t pids[8];

	cw_zygote_keep_program(t.zygote);
	activate("v1");
	wait_activated(1);
	for (int round = 0; round < 2; round++) {
		pid_t old = live_pid();

		ck_assert_int_eq(children(pids, 8), 2);
		kill(pids[0] == live_pid() ? pids[1] : pids[0], SIGKILL);
		kill(live_pid(), SIGKILL);
		submit((uint64_t)round + 1, C_ALERT, 0);
		WAIT(t.nverdicts == (uint64_t)round + 1);
		ck_assert_int_ne(live_pid(), old);
	}
	load_rules("v2");
	ck_assert_int_eq(t.load_err.code, CW_OK);
}
END_TEST

/* Alive, and as dead: the request that was not answered in time fails, the next one is answered. */
START_TEST(a_zygote_that_does_not_answer_is_told)
{
	pid_t pids[8], zygote;

	activate("v1");
	wait_activated(1);
	ck_assert_int_eq(children(pids, 8), 2);
	zygote = pids[0] == live_pid() ? pids[1] : pids[0];
	kill(zygote, SIGSTOP);
	ck_assert_int_eq(start_load("v2"), -1);
	assert_contains(err.msg, "the zygote ");   /* does not answer, or was stopped by a signal: whichever is seen first */
	kill(zygote, SIGCONT);
	load_rules("v3");                         /* the late answer is not taken for this one's */
	ck_assert_int_eq(t.load_err.code, CW_OK);
	WAIT(children(pids, 8) == 3);             /* zygote, live, loaded: the unknown one was ended */
}
END_TEST

/* An engine in a process of its own: this one inherits its orphans. */
START_TEST(death_of_the_engine_ends_all)
{
	int pipe_fds[2], status, seen = 0;
	pid_t engine, pid;
	char byte;

	teardown();
	ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	ck_assert_int_eq(pipe(pipe_fds), 0);
	engine = fork();
	if (engine == 0) {
		setup();
		t.events[0].event = CW_STATE_LOST;
		activate("v1");
		wait_activated(1);
		if (start_load("v2") != 0)
			_exit(1);
		submit(1, C_SPIN, 200000);   /* one is busy, one sleeps, one is the zygote */
		WAIT(t.loaded);
		if (write(pipe_fds[1], "x", 1) == 1)
			raise(SIGKILL);
		_exit(1);
	}
	ck_assert_int_eq(read(pipe_fds[0], &byte, 1), 1);
	for (int64_t end = cw_clock_mono_us() + INT64_C(5000000) * slow_factor(); seen < 4 && cw_clock_mono_us() < end;
	     usleep(1000))
		while ((pid = waitpid(-1, &status, WNOHANG | __WALL)) > 0) {
			/* The zygote may see the end of its socket before its signal. */
			ck_assert_msg(status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL), "%d of %d", status,
			              (int)pid);
			seen++;
		}
	ck_assert_msg(seen == 4, "engine, zygote and two evaluators: %d ended", seen);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
	setup();
}
END_TEST

START_TEST(nothing_leaks)
{
	int before = 0, after = 0;

	for (int i = 0; i < 3; i++) {
		char text[] = "v1";

		cw_supervisor_free(&t.s);
		cw_state_reset(t.st);
		make_supervisor();
		t.expect = 1;
		activate(text);
		submit(1, C_EXIT, 1);
		WAIT(count_events(CW_EVALUATOR_REPLACED) == i + 1);
		load_rules(text);
		after = dup(0);
		close(after);
		before = i == 0 ? after : before;
	}
	ck_assert_msg(after == before, "lowest free descriptor was %d, is %d", before, after);
}
END_TEST

static TCase *new_case(Suite *suite, const char *name)
{
	TCase *tc = tcase_create(name);

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 90);
	suite_add_tcase(suite, tc);
	return tc;
}

int main(int argc, char **argv)
{
	Suite *suite;
	TCase *tc;
	SRunner *runner;
	int failed;

	if (argc == 3 && strcmp(argv[1], CW_ZYGOTE_OPTION) == 0)
		cw_zygote_main((int)strtol(argv[2], NULL, 10), &c_evaluator);
	suite = suite_create("supervise");
	tc = new_case(suite, "work");

	tcase_add_test(tc, rules_are_loaded_and_reported);
	tcase_add_test(tc, verdicts_come_in_order);
	tcase_add_test(tc, what_is_submitted_before_the_rules_waits);
	tcase_add_test(tc, large_verdicts_press_back);
	tcase_add_test(tc, evaluator_keeps_three_descriptors);
	tcase_add_test(tc, terminal_signals_are_the_engines_business);
#ifndef __SANITIZE_THREAD__
	tcase_add_test(tc, sixty_mebibytes_of_stack);
#endif
	tcase_add_test(tc, memory_and_jit_work_behind_the_filter);

	tc = new_case(suite, "load");
	tcase_add_test(tc, failed_loads_say_why_and_change_nothing);
	tcase_add_test(tc, load_that_hangs_is_killed);
	tcase_add_test(tc, one_load_at_a_time);
	tcase_add_test(tc, discarded_load_is_not_told);
	tcase_add_test(tc, too_many_rules_are_refused);
	tcase_add_test(tc, reload_under_load_loses_nothing);
	tcase_add_test(tc, rules_that_cannot_attach_leave_the_old_ones);
	tcase_add_test(tc, rules_that_crash_as_they_attach_cost_the_state);
	tcase_add_test(tc, loaded_evaluator_that_dies_is_made_again);
	tcase_add_test(tc, rules_are_switched_off_and_on);
	tcase_add_test(tc, rules_that_fail_too_often_are_quarantined);
	tcase_add_test(tc, slow_rule_is_told_to_stop);

	tc = new_case(suite, "death");
	tcase_add_test(tc, nothing_is_lost_or_done_twice_over_kills);
	tcase_add_test(tc, hanging_rule_is_killed_and_quarantined);
	tcase_add_test(tc, rule_that_ends_the_process_is_quarantined);
	tcase_add_test(tc, segfault_costs_the_state);
	tcase_add_test(tc, abort_costs_the_state_and_its_words_are_heard);
	tcase_add_test(tc, forbidden_system_calls_kill);
	tcase_add_test(tc, writable_code_kills);
	tcase_add_test(tc, nonsense_is_a_crash);
	tcase_add_test(tc, verdict_out_of_turn_is_a_crash);
	tcase_add_loop_test(tc, each_of_these_is_forbidden, 0, (int)(sizeof(forbidden) / sizeof(forbidden[0])));
	tcase_add_test(tc, foreign_kill_is_blamed_on_no_rule_the_first_time);
	tcase_add_test(tc, kills_on_different_transactions_are_nobodys_fault);
	tcase_add_test(tc, old_rules_that_die_on_the_way_out_finish_first);

	tc = new_case(suite, "pause");
	tcase_add_test(tc, pause_gives_the_arena_to_the_owner);
	tcase_add_test(tc, pause_without_rules_comes_at_once);
	tcase_add_test(tc, recovery_may_take_its_time);
	tcase_add_test(tc, freed_supervisor_leaves_the_arena_at_the_last_verdict);

	tc = new_case(suite, "zygote");
	tcase_add_test(tc, without_a_zygote_requests_wait);
	tcase_add_test(tc, descriptors_run_out);
	tcase_add_test(tc, no_zygote_without_descriptors);
	tcase_add_test(tc, a_dead_zygote_is_started_again);
	tcase_add_test(tc, a_zygote_that_does_not_answer_is_told);
	tcase_add_test(tc, death_of_the_engine_ends_all);
	tcase_add_test(tc, nothing_leaks);

	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
