/* Each call to the system, and to libseccomp, that stands between the engine and a verdict is refused once, at each place where
 * it is made: in the engine, in the zygote, in the evaluator. Every time it is told what could not be done, no descriptor and no
 * process is kept, and the next attempt on the same zygote and the same arena succeeds. A call that was interrupted is made
 * again and nobody hears of it.
 *
 * The calls are this program's own functions: a symbol of the program comes before one of a library. */
#include <check.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "loop/loop.h"
#include "pipeline/lockdown.h"
#include "pipeline/trial.h"
#include "state/state.h"
#include "support/c_evaluator.h"
#include "support/slow.h"

/* Sanitizers would turn signals into exits. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "handle_segv=0:handle_abort=0:abort_on_error=1:detect_stack_use_after_return=0";
}

/* --- what is refused --- */

/* Shared with zygote and evaluators. */
static struct refusal {
	char name[32];                   /* "": nothing */
	int error;
	atomic_int skip;                 /* passes before it; below zero: it is over */
	atomic_int fired;
} *order;

static bool refused(const char *name)
{
	if (order == NULL || strcmp(order->name, name) != 0 || atomic_fetch_sub(&order->skip, 1) != 0)
		return false;
	atomic_store(&order->fired, 1);
	errno = order->error;
	return true;
}

#define REAL(name) \
	static __typeof__(name) *real; \
	if (real == NULL) { \
		void *found = dlsym(RTLD_NEXT, #name); \
		memcpy(&real, &found, sizeof(real)); \
	}
#define CALL(type, name, params, args, answer) \
	type name params \
	{ \
		REAL(name) \
		return refused(#name) ? (answer) : real args; \
	}

CALL(int, memfd_create, (const char *name, unsigned flags), (name, flags), -1)
CALL(int, ftruncate, (int fd, off_t len), (fd, len), -1)
CALL(int, eventfd, (unsigned n, int flags), (n, flags), -1)
CALL(void *, mmap, (void *at, size_t len, int prot, int flags, int fd, off_t off), (at, len, prot, flags, fd, off), MAP_FAILED)
CALL(int, mprotect, (void *at, size_t len, int prot), (at, len, prot), -1)
CALL(int, fstat, (int fd, struct stat *st), (fd, st), -1)
CALL(ssize_t, write, (int fd, const void *data, size_t len), (fd, data, len), -1)
CALL(ssize_t, read, (int fd, void *data, size_t len), (fd, data, len), -1)
CALL(int, socketpair, (int domain, int type, int protocol, int fds[2]), (domain, type, protocol, fds), -1)
CALL(ssize_t, sendmsg, (int fd, const struct msghdr *m, int flags), (fd, m, flags), -1)
CALL(ssize_t, recvmsg, (int fd, struct msghdr *m, int flags), (fd, m, flags), -1)
CALL(ssize_t, send, (int fd, const void *data, size_t len, int flags), (fd, data, len, flags), -1)
CALL(ssize_t, recv, (int fd, void *data, size_t len, int flags), (fd, data, len, flags), -1)
CALL(pid_t, fork, (void), (), -1)
CALL(pid_t, waitpid, (pid_t pid, int *status, int flags), (pid, status, flags), -1)
CALL(pid_t, getppid, (void), (), 1)
CALL(int, dup2, (int fd, int to), (fd, to), -1)
CALL(int, close_range, (unsigned first, unsigned last, int flags), (first, last, flags), -1)
CALL(int, getrlimit, (__rlimit_resource_t what, struct rlimit *limit), (what, limit), -1)
CALL(int, setrlimit, (__rlimit_resource_t what, const struct rlimit *limit), (what, limit), -1)
CALL(scmp_filter_ctx, seccomp_init, (uint32_t action), (action), NULL)
CALL(int, seccomp_attr_set, (scmp_filter_ctx ctx, enum scmp_filter_attr attr, uint32_t value), (ctx, attr, value), -order->error)
CALL(int, seccomp_rule_add_array, (scmp_filter_ctx ctx, uint32_t action, int call, unsigned n, const struct scmp_arg_cmp *args),
     (ctx, action, call, n, args), -order->error)
CALL(int, seccomp_load, (scmp_filter_ctx ctx), (ctx), -order->error)

/* Only the one without conditions. */
int seccomp_rule_add(scmp_filter_ctx ctx, uint32_t action, int call, unsigned n, ...)
{
	REAL(seccomp_rule_add)
	return refused("seccomp_rule_add") ? -order->error : real(ctx, action, call, n);
}

int fcntl(int fd, int cmd, ...)
{
	REAL(fcntl)
	va_list args;
	long arg;

	va_start(args, cmd);
	arg = va_arg(args, long);
	va_end(args);
	return refused("fcntl") ? -1 : real(fd, cmd, arg);
}

int open(const char *path, int flags, ...)
{
	REAL(open)
	va_list args;
	mode_t mode;

	va_start(args, flags);
	mode = (flags & O_CREAT) != 0 ? va_arg(args, mode_t) : 0;
	va_end(args);
	return refused("open") ? -1 : real(path, flags, mode);
}

int prctl(int option, ...)
{
	REAL(prctl)
	va_list args;
	unsigned long arg;

	va_start(args, option);
	arg = va_arg(args, unsigned long);
	va_end(args);
	return refused("prctl") ? -1 : real(option, arg, 0, 0, 0);
}

long syscall(long nr, ...)
{
	REAL(syscall)
	va_list args;
	long a[6];

	va_start(args, nr);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(args, long);
	va_end(args);
	return refused("syscall") ? -1 : real(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static void refuse(const char *name, int skip, int error)
{
	order->error = error;
	atomic_store(&order->skip, skip);
	atomic_store(&order->fired, 0);
	snprintf(order->name, sizeof(order->name), "%s", name);
}

static bool no_more(void)
{
	order->name[0] = '\0';
	return atomic_load(&order->fired) != 0;
}

/* --- what is tried --- */

static const struct cw_state_conf state_conf = { .max_bytes = 16u << 20, .journal_bytes = 8u << 20 };
static struct cw_loop *loop;
static struct cw_zygote *zygote;
static struct cw_state *st;
static struct cw_err err;
static bool loaded, activated, failed;
static int verdicts;

static void on_turn(void *arg)
{
	(void)arg;
}

static void turn(void)
{
	struct cw_timer *timer = cw_timer_new(loop, on_turn, NULL);

	cw_timer_set(timer, 20);
	cw_loop_run_once(loop);
	cw_timer_free(&timer);
}

#define WAIT(condition) \
	do { \
		int64_t end_ = cw_clock_mono_us() + 20000000 * (int64_t)slow_factor(); \
		while (!(condition)) { \
			if (cw_clock_mono_us() > end_) \
				ck_abort_msg("waited in vain: %s, \"%s\" refused", #condition, order->name); \
			turn(); \
		} \
	} while (0)

static struct cw_supervisor_conf supervisor_conf(void)
{
	struct cw_supervisor_conf conf = { .ring_slots = 64, .scratch_bytes = 8u << 20 };

	conf.hang_ms = 5000 * slow_factor();
	conf.load_ms = 10000 * slow_factor();
	return conf;
}

static const struct cw_bundle *bundle_of(const char *text)
{
	static struct cw_bundle_file rules;
	static struct cw_bundle bundle;

	rules = (struct cw_bundle_file){ "rules/a.lua", text, strlen(text) };
	bundle = (struct cw_bundle){ .rules = &rules, .nrules = 1, .params_json = "{}", .options_json = "{}" };
	return &bundle;
}

static void on_verdict(void *arg, uint64_t seq, const void *bytes, size_t len)
{
	(void)arg;
	(void)seq;
	(void)bytes;
	(void)len;
	verdicts++;
}

static void on_event(void *arg, enum cw_supervisor_event event, int rule, const char *reason)
{
	(void)arg;
	(void)rule;
	activated = activated || event == CW_ACTIVATED;
	if (event != CW_ACTIVATION_FAILED)
		return;
	failed = true;
	cw_err_set(&err, CW_ERR_SYSTEM, "%s", reason);
}

static void on_load(void *arg, const char *report, const struct cw_err *load_err)
{
	(void)arg;
	(void)report;
	loaded = true;
	failed = load_err != NULL;
	if (failed)
		err = *load_err;
}

static void hear_nothing(void)
{
	cw_err_clear(&err);
	loaded = activated = failed = false;
	verdicts = 0;
}

/* From nothing to a verdict. */
static bool supervised(struct cw_supervisor *s, const char *text, enum c_command command, uint64_t nonce)
{
	struct cw_tx tx = c_tx(1, command, nonce);
	const struct cw_tx *list = &tx;

	if (cw_supervisor_load(s, bundle_of(text), on_load, NULL, &err) != 0)
		return false;
	WAIT(loaded);
	if (failed)
		return false;
	cw_supervisor_activate(s, NULL, 0);
	WAIT(activated || failed);
	if (failed)
		return false;
	cw_supervisor_submit(s, &list, 1);
	WAIT(verdicts == 1);
	return true;
}

static bool try_rules(void)
{
	const struct cw_supervisor_conf conf = supervisor_conf();
	struct cw_supervisor *s = cw_supervisor_new(loop, zygote, st, &conf, on_verdict, on_event, NULL, &err);
	bool worked = s != NULL && supervised(s, "v1", C_ALERT, 0);

	cw_supervisor_free(&s);
	cw_state_reset(st);
	return worked;
}

static bool try_zygote(void)
{
	cw_zygote_stop(&zygote);
	zygote = cw_zygote_start(&c_evaluator, &err);
	if (zygote == NULL)
		return false;
	cw_zygote_keep_program(zygote);
	return true;
}

static int children(pid_t *pids, int max)
{
	char path[64];
	int n = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", (int)getpid());
	f = fopen(path, "r");
	ck_assert_ptr_nonnull(f);
	while (n < max && fscanf(f, "%d", &pids[n]) == 1)
		n++;
	fclose(f);
	return n;
}

/* A zygote that died is started again from the program, see main(). */
static bool try_dead_zygote(void)
{
	pid_t pid;

	siginfo_t dead;

	if (children(&pid, 1) == 1) {
		kill(pid, SIGKILL);
		waitid(P_PID, (id_t)pid, &dead, WEXITED | WNOWAIT);
	}
	return try_rules();
}

static void on_ready(void *arg, const char *report)
{
	(void)arg;
	(void)report;
	loaded = true;
}

static void on_trial_verdict(void *arg, const struct cw_tx *tx, const struct cw_verdict *v, const void *bytes, size_t len)
{
	(void)arg;
	(void)tx;
	(void)v;
	(void)bytes;
	(void)len;
	verdicts++;
}

static void on_failed(void *arg, const struct cw_err *why)
{
	(void)arg;
	failed = true;
	err = *why;
}

static bool tried(struct cw_trial *t)
{
	struct cw_tx tx = c_tx(1, C_ALERT, 0);
	const struct cw_tx *list = &tx;

	if (cw_trial_load(t, bundle_of("v1"), &err) != 0)
		return false;
	WAIT(loaded || failed);
	if (!failed)
		cw_trial_go(t, NULL, 0);
	WAIT(cw_trial_active(t) || failed);
	if (failed)
		return false;
	cw_trial_submit(t, &list, 1);
	WAIT(verdicts == 1 || failed);
	return !failed;
}

static bool try_trial(void)
{
	static const struct cw_trial_fns fns = { .ready = on_ready, .verdict = on_trial_verdict, .failed = on_failed };
	const struct cw_trial_conf conf = { .state_bytes = 16u << 20, .journal_bytes = 8u << 20, .supervisor = supervisor_conf() };
	struct cw_trial *t = cw_trial_new(loop, zygote, &conf, &fns, NULL, &err);
	bool worked = t != NULL && tried(t);

	cw_trial_free(&t);
	return worked;
}

/* --- */

static int descriptors(void)
{
	int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void setup(void)
{
	order = mmap(NULL, sizeof(*order), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert(order != MAP_FAILED);
	ck_assert_msg(try_zygote(), "%s", err.msg);
	cw_log_set_level(NULL, CW_LOG_OFF);
	loop = cw_loop_new();
	st = cw_state_new(&state_conf, &err);
	ck_assert_msg(st != NULL, "%s", err.msg);
}

static void teardown(void)
{
	pid_t pids[8];

	cw_state_close(&st);
	cw_loop_free(&loop);
	cw_zygote_stop(&zygote);
	/* The zygote could not tell of an evaluator that it had made. */
	for (int n = children(pids, 8); n-- > 0;) {
		kill(pids[n], SIGKILL);
		waitpid(pids[n], NULL, __WALL);
	}
	ck_assert_msg(waitpid(-1, NULL, WNOHANG | __WALL) < 0, "no process is left");
}

/* `least` places at which it must be told when the call is refused; the others can do without. What is told says one of `says`. */
static const struct {
	bool (*attempt)(void);
	const char *name;
	int error, least;
	const char *says;
} refusals[] = {
	{ try_zygote, "socketpair", EMFILE, 1, "could not start the zygote: Too many open files" },
	{ try_zygote, "fork", EAGAIN, 1, "could not start the zygote: Resource temporarily unavailable" },
	{ try_zygote, "open", EMFILE, 1, "could not start the zygote: Too many open files" },
	{ try_zygote, "fcntl", EMFILE, 1, "could not start the zygote: Too many open files" },
	{ try_zygote, "prctl", EPERM, 2, "could not lock the evaluator in: PR_SET_" },
	{ try_zygote, "getppid", 0, 1, "the zygote is gone" },
	{ try_zygote, "getrlimit", EPERM, 1, "could not lock the evaluator in: RLIMIT_STACK: Operation not permitted" },
	{ try_zygote, "send", EPIPE, 1, "the zygote is gone" },
	{ try_zygote, "recv", EIO, 1, "the zygote is gone" },
	{ try_rules, "memfd_create", EMFILE, 4, "could not" },
	{ try_rules, "ftruncate", ENOSPC, 3, "could not" },
	{ try_rules, "eventfd", EMFILE, 2, "could not" },
	{ try_rules, "mmap", ENOMEM, 9, "could not|the evaluator ended itself with status 1" },
	{ try_rules, "mprotect", ENOMEM, 2, "could not" },
	{ try_rules, "fcntl", EMFILE, 5, "could not" },
	{ try_rules, "fstat", EIO, 2, "cannot attach to the state arena|could not attach ring" },
	{ try_rules, "write", ENOSPC, 1, "could not keep the rules' sources: No space left on device" },
	{ try_rules, "sendmsg", ENOBUFS, 1, "could not reach the zygote: No buffer space available" },
	{ try_rules, "recvmsg", EIO, 0, "the zygote is gone" },
	{ try_rules, "send", EPIPE, 0, "the zygote is gone" },
	{ try_rules, "recv", EIO, 1, "the zygote is gone" },
	{ try_rules, "syscall", EAGAIN, 2, "could not" },
	{ try_rules, "dup2", EBUSY, 3, "could not arrange descriptors: Device or resource busy" },
	{ try_rules, "close_range", EINVAL, 2, "could not arrange descriptors: Invalid argument" },
	{ try_rules, "prctl", EPERM, 2, "could not lock the evaluator in: " },
	{ try_rules, "getppid", 0, 1, "the evaluator ended itself with status 0" },
	{ try_rules, "getrlimit", EPERM, 1, "could not lock the evaluator in: RLIMIT_STACK: Operation not permitted" },
	{ try_rules, "seccomp_init", ENOMEM, 1, "could not lock the evaluator in: seccomp: Cannot allocate memory" },
	{ try_rules, "seccomp_attr_set", EINVAL, 1, "could not lock the evaluator in: seccomp: Invalid argument" },
	{ try_rules, "seccomp_rule_add", ENOMEM, 10, "could not lock the evaluator in: seccomp: Cannot allocate memory" },
	{ try_rules, "seccomp_rule_add_array", ENOMEM, 11, "could not lock the evaluator in: seccomp: Cannot allocate memory" },
	{ try_rules, "seccomp_load", EPERM, 1, "could not lock the evaluator in: seccomp: Operation not permitted" },
	{ try_dead_zygote, "socketpair", EMFILE, 1, "could not start the zygote again: Too many open files" },
	{ try_dead_zygote, "fork", EAGAIN, 1, "could not start the zygote again: Resource temporarily unavailable" },
	{ try_dead_zygote, "recv", EIO, 1, "the zygote is gone" },
	{ try_trial, "memfd_create", EMFILE, 6, "could not" },
	{ try_trial, "mmap", ENOMEM, 10, "could not|the evaluator ended itself with status 1" },
	{ try_trial, "mprotect", ENOMEM, 2, "could not" },
	{ try_trial, "eventfd", EMFILE, 2, "could not" },
};

static bool says(const char *msg, const char *list)
{
	char one[128];

	for (size_t len; *list != '\0'; list += len + (list[len] == '|')) {
		len = strcspn(list, "|");
		snprintf(one, sizeof(one), "%.*s", (int)len, list);
		if (strstr(msg, one) != NULL)
			return true;
	}
	return false;
}

START_TEST(a_refused_call_is_told_and_the_next_attempt_succeeds)
{
	int before = descriptors(), told = 0;
	bool fired = true;

	for (int skip = 0; fired; skip++) {
		bool worked;

		hear_nothing();
		refuse(refusals[_i].name, skip, refusals[_i].error);
		worked = refusals[_i].attempt();
		fired = no_more();
		ck_assert_msg(worked || fired, "%s", err.msg);
		if (!worked) {
			told++;
			ck_assert_int_ne(err.code, CW_OK);
			ck_assert_msg(says(err.msg, refusals[_i].says), "%s, pass %d: \"%s\"", refusals[_i].name, skip, err.msg);
			hear_nothing();
			ck_assert_msg(refusals[_i].attempt(), "after %s, pass %d: %s", refusals[_i].name, skip, err.msg);
		}
		ck_assert_msg(descriptors() <= before, "after %s, pass %d: a descriptor is left", refusals[_i].name, skip);
	}
	ck_assert_msg(told >= refusals[_i].least, "%s: %d", refusals[_i].name, told);
}
END_TEST

/* A signal came in between. */
static const char *const interrupted[] = { "recv", "recvmsg", "waitpid", "write", "read" };

START_TEST(an_interrupted_call_is_made_again)
{
	bool fired = true;

	for (int skip = 0; fired; skip++) {
		hear_nothing();
		refuse(interrupted[_i], skip, EINTR);
		ck_assert_msg(try_rules(), "%s, pass %d: %s", interrupted[_i], skip, err.msg);
		fired = no_more();
		ck_assert(fired || skip > 0);
	}
	hear_nothing();
	refuse(interrupted[_i], 0, EINTR);
	ck_assert_msg(try_zygote(), "%s", err.msg);
	no_more();
}
END_TEST

/* Whatever the limit of the stack is that the engine was started with, a rule has 60 MiB. */
START_TEST(the_stack_is_as_large_as_it_must_be)
{
	static const struct rlimit limits[] = {
		{ 1 << 20, 8 << 20 }, { 8 << 20, RLIM_INFINITY }, { RLIM_INFINITY, RLIM_INFINITY }, { 128 << 20, 256 << 20 },
	};
	const struct cw_supervisor_conf conf = supervisor_conf();
	struct cw_supervisor *s;

	setrlimit(RLIMIT_STACK, &limits[_i]);
	if (!try_zygote()) {             /* to have more than the hard limit takes privileges */
		ck_assert_int_eq(_i, 0);
		ck_assert_str_eq(err.msg, "could not lock the evaluator in: a stack of 64 MiB (ulimit -H -s): Operation not permitted");
		return;
	}
	s = cw_supervisor_new(loop, zygote, st, &conf, on_verdict, on_event, NULL, &err);
	ck_assert_msg(s != NULL, "%s", err.msg);
	ck_assert_msg(supervised(s, "v1", C_RECURSE, 60), "%s", err.msg);
	ck_assert_uint_eq(cw_supervisor_stats(s).replaced, 0);
	cw_supervisor_free(&s);
}
END_TEST

START_TEST(a_stack_that_cannot_be_had_is_told)
{
	const struct rlimit limit = { 1 << 20, RLIM_INFINITY };

	setrlimit(RLIMIT_STACK, &limit);
	hear_nothing();
	refuse("setrlimit", 1, EPERM);           /* the first one is about core files */
	ck_assert(!try_zygote());
	ck_assert(no_more());
	ck_assert_str_eq(err.msg, "could not lock the evaluator in: a stack of 64 MiB (ulimit -H -s): Operation not permitted");
	ck_assert_msg(try_zygote(), "%s", err.msg);
}
END_TEST

/* A preloaded library may look for its settings whenever it likes: where there is one, it may not open files but lives. */
START_TEST(a_preloaded_library_may_ask_for_files)
{
	const struct cw_supervisor_conf conf = supervisor_conf();
	struct cw_supervisor *s;

	setenv("LD_PRELOAD", "", 1);
	ck_assert_msg(try_zygote(), "%s", err.msg);
	s = cw_supervisor_new(loop, zygote, st, &conf, on_verdict, on_event, NULL, &err);
	ck_assert_msg(s != NULL, "%s", err.msg);
	ck_assert_msg(supervised(s, "v1", C_SYSCALL, SYS_openat), "%s", err.msg);
	ck_assert_uint_eq(cw_supervisor_stats(s).replaced, 0);
	cw_supervisor_free(&s);
}
END_TEST

START_TEST(rules_that_refuse_without_a_word_are_told_so)
{
	const struct cw_supervisor_conf conf = supervisor_conf();
	struct cw_supervisor *s = cw_supervisor_new(loop, zygote, st, &conf, on_verdict, on_event, NULL, &err);

	ck_assert_msg(s != NULL, "%s", err.msg);
	hear_nothing();
	ck_assert(!supervised(s, "fail silently", C_QUIET, 0));
	ck_assert_str_eq(err.msg, "the rules did not load, without a reason");
	hear_nothing();
	ck_assert_msg(supervised(s, "v1", C_ALERT, 0), "%s", err.msg);
	cw_supervisor_free(&s);
}
END_TEST

int main(int argc, char **argv)
{
	Suite *suite;
	TCase *tc;
	SRunner *runner;
	int nfailed;

	if (argc == 3 && strcmp(argv[1], CW_ZYGOTE_OPTION) == 0)
		cw_zygote_main((int)strtol(argv[2], NULL, 10), &c_evaluator);
	suite = suite_create("refused");
	tc = tcase_create("refused");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 60 * slow_factor());
	tcase_add_loop_test(tc, a_refused_call_is_told_and_the_next_attempt_succeeds, 0,
	                    (int)(sizeof(refusals) / sizeof(refusals[0])));
	tcase_add_loop_test(tc, an_interrupted_call_is_made_again, 0, (int)(sizeof(interrupted) / sizeof(interrupted[0])));
	tcase_add_loop_test(tc, the_stack_is_as_large_as_it_must_be, 0, 4);
	tcase_add_test(tc, a_stack_that_cannot_be_had_is_told);
	tcase_add_test(tc, a_preloaded_library_may_ask_for_files);
	tcase_add_test(tc, rules_that_refuse_without_a_word_are_told_so);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	nfailed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return nfailed != 0;
}
