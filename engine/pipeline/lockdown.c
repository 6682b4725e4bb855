#include "pipeline/lockdown.h"

#include <errno.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED
#include <sanitizer/common_interface_defs.h>
#endif

#include "base/err.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* brk, futex, mremap and restart_syscall are for other builds of libc; the clocks for machines where the vDSO falls
 * back; getrandom is how LuaJIT seeds a new state; close is for the scratch arena, whose descriptors are closed long
 * since; sysinfo is how qsort decides whether to sort in place; the last three are what abort() needs besides tgkill. */
static const int always[] = {
	SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(brk), SCMP_SYS(futex),
	SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(rt_sigreturn), SCMP_SYS(restart_syscall),
	SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday), SCMP_SYS(getrandom),
	SCMP_SYS(close), SCMP_SYS(sysinfo), SCMP_SYS(rt_sigprocmask), SCMP_SYS(getpid), SCMP_SYS(gettid),
#ifdef SANITIZED
	SCMP_SYS(sigaltstack), SCMP_SYS(sched_yield), SCMP_SYS(rt_sigaction), SCMP_SYS(getrlimit), SCMP_SYS(prlimit64),
#endif
};

static const int ignored_signals[] = {
	SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGPIPE, SIGTSTP, SIGTTIN, SIGTTOU, SIGWINCH,
};

static int failed(struct cw_err *err, const char *what, int error)
{
	return cw_err_set(err, CW_ERR_SYSTEM, "could not lock the evaluator in: %s: %s", what, strerror(error));
}

int cw_lockdown_begin(const char *name, int64_t parent, struct cw_err *err)
{
	struct rlimit limit = { 0, 0 };
	sigset_t none;

	prctl(PR_SET_NAME, name);
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
		return failed(err, "PR_SET_PDEATHSIG", errno);
	if (getppid() != (pid_t)parent)   /* it died before the call above: nobody would ever tell */
		_exit(0);
	if (prctl(PR_SET_DUMPABLE, 0) != 0)
		return failed(err, "PR_SET_DUMPABLE", errno);
	setrlimit(RLIMIT_CORE, &limit);
	if (getrlimit(RLIMIT_STACK, &limit) != 0)
		return failed(err, "RLIMIT_STACK", errno);
	if (limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < CW_STACK_BYTES) {
		limit.rlim_cur = CW_STACK_BYTES;
		if (limit.rlim_max != RLIM_INFINITY && limit.rlim_max < CW_STACK_BYTES)
			limit.rlim_max = CW_STACK_BYTES;
		if (setrlimit(RLIMIT_STACK, &limit) != 0)
			return failed(err, "a stack of 64 MiB (ulimit -H -s)", errno);
	}
	for (size_t i = 0; i < COUNT(ignored_signals); i++)
		signal(ignored_signals[i], SIG_IGN);
	signal(SIGCHLD, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	return 0;
}

static struct scmp_arg_cmp is(unsigned arg, uint64_t value)
{
	return (struct scmp_arg_cmp){ .arg = arg, .op = SCMP_CMP_EQ, .datum_a = value, .datum_b = 0 };
}

static struct scmp_arg_cmp has_bits(unsigned arg, uint64_t mask, uint64_t value)
{
	return (struct scmp_arg_cmp){ .arg = arg, .op = SCMP_CMP_MASKED_EQ, .datum_a = mask, .datum_b = value };
}

/* mmap: private, anonymous, without descriptor; mmap and mprotect: never writable and executable at once. The JIT makes
 * its pages writable, then executable. */
static int allow_memory(scmp_filter_ctx ctx)
{
	static const uint64_t allowed[] = { 0, PROT_WRITE, PROT_EXEC };
	const uint64_t both = PROT_WRITE | PROT_EXEC, kind = MAP_PRIVATE | MAP_SHARED | MAP_ANONYMOUS;
	int rc = 0;

	for (size_t i = 0; i < COUNT(allowed) && rc == 0; i++) {
		const struct scmp_arg_cmp map[] = {
			has_bits(2, both, allowed[i]),
			has_bits(3, kind, MAP_PRIVATE | MAP_ANONYMOUS),
			has_bits(4, UINT32_MAX, UINT32_MAX),
		};

		rc = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), COUNT(map), map);
		if (rc == 0)
			rc = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, map);
	}
	return rc;
}

static int allow_descriptors(scmp_filter_ctx ctx)
{
	const struct { int call; int fd; } allowed[] = {
		{ SCMP_SYS(read), CW_FD_WAKE },
		{ SCMP_SYS(write), CW_FD_ENGINE },
		{ SCMP_SYS(write), CW_FD_WORDS },
		{ SCMP_SYS(writev), CW_FD_WORDS },
	};
	/* abort(): only itself, only this signal. */
	const struct scmp_arg_cmp abort_itself[] = { is(0, (uint64_t)getpid()), is(2, SIGABRT) };
	int rc = 0;

	for (size_t i = 0; i < COUNT(allowed) && rc == 0; i++) {
		const struct scmp_arg_cmp on = is(0, (uint64_t)allowed[i].fd);

		rc = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, allowed[i].call, 1, &on);
	}
	if (rc == 0)
		rc = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), COUNT(abort_itself), abort_itself);
	return rc;
}

int cw_lockdown_finish(struct cw_err *err)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int rc = ctx != NULL ? 0 : -ENOMEM;

#ifdef SANITIZED
	__sanitizer_set_report_path("stderr");   /* it may not open a file */
#endif
	if (rc == 0)
		rc = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	for (size_t i = 0; i < COUNT(always) && rc == 0; i++)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, always[i], 0);
	if (rc == 0)
		rc = allow_memory(ctx);
	if (rc == 0)
		rc = allow_descriptors(ctx);
	/* libfaketime and its like look for their settings in each call: refused, not killed, where they were asked for. */
	if (rc == 0 && getenv("LD_PRELOAD") != NULL)
		rc = seccomp_rule_add(ctx, SCMP_ACT_ERRNO(EACCES), SCMP_SYS(openat), 0);
	if (rc == 0)
		rc = seccomp_load(ctx);
	if (ctx != NULL)
		seccomp_release(ctx);
	return rc == 0 ? 0 : failed(err, "seccomp", -rc);
}
