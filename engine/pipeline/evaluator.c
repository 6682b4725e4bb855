#include "pipeline/evaluator.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/wake.h"
#include "pipeline/zygote.h"

#define WORDS_SHOWN 240

struct cw_evaluator {
	pid_t pid;                /* 0: reaped */
	int pidfd, page_fd, words_fd, wake_fd;
	struct cw_page *page;
	char killed_why[160];     /* "": not by us */
};

/* Memory of fixed size: the other side can neither grow nor shrink it. */
static int memory_file(const char *name, size_t size)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd >= 0 && (ftruncate(fd, (off_t)size) != 0 ||
	                fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)) {
		close(fd);
		return -1;
	}
	return fd;
}

static int make_shared(struct cw_evaluator *e, struct cw_err *err)
{
	e->page_fd = memory_file("cw-page", sizeof(*e->page));
	e->words_fd = memory_file("cw-words", CW_WORDS_MAX);
	e->wake_fd = eventfd(0, EFD_CLOEXEC);
	if (e->page_fd >= 0)
		e->page = mmap(NULL, sizeof(*e->page), PROT_READ | PROT_WRITE, MAP_SHARED, e->page_fd, 0);
	if (e->page == MAP_FAILED)
		e->page = NULL;
	if (e->page == NULL || e->words_fd < 0 || e->wake_fd < 0)
		return cw_err_set(err, CW_ERR_SYSTEM, "could not make an evaluator's shared memory: %s", strerror(errno));
	atomic_store(&e->page->limit, UINT64_MAX);
	return 0;
}

static int spawn(struct cw_evaluator *e, const struct cw_evaluator_start *how, struct cw_err *err)
{
	const struct cw_spawn request = {
		.state = *cw_state_conf(how->state),
		.scratch_bytes = how->scratch_bytes,
		.bundle_size = how->bundle_size,
		.tested = how->tested,
	};
	int fds[CW_PASS_COUNT] = {
		[CW_PASS_RING] = how->ring_fd, [CW_PASS_PAGE] = e->page_fd, [CW_PASS_BUNDLE] = how->bundle_fd,
		[CW_PASS_WORDS] = e->words_fd, [CW_PASS_WAKE] = e->wake_fd, [CW_PASS_ENGINE] = how->engine_fd,
	};

	cw_state_fds(how->state, fds + CW_PASS_STATE);
	e->pid = cw_zygote_spawn(how->zygote, &request, fds, err);
	if (e->pid < 0) {
		e->pid = 0;
		return -1;
	}
	/* It is our child and not reaped: the number cannot be another's. */
	e->pidfd = (int)syscall(SYS_pidfd_open, e->pid, 0);
	if (e->pidfd < 0)
		return cw_err_set(err, CW_ERR_SYSTEM, "could not watch the evaluator: %s", strerror(errno));
	fcntl(e->pidfd, F_SETFD, FD_CLOEXEC);
	return 0;
}

struct cw_evaluator *cw_evaluator_start(const struct cw_evaluator_start *how, struct cw_err *err)
{
	struct cw_evaluator *e = cw_zalloc(sizeof(*e));

	e->pidfd = e->page_fd = e->words_fd = e->wake_fd = -1;
	if (make_shared(e, err) == 0 && spawn(e, how, err) == 0)
		return e;
	cw_evaluator_free(&e);
	return NULL;
}

void cw_evaluator_free(struct cw_evaluator **evaluator)
{
	struct cw_evaluator *e = *evaluator;

	*evaluator = NULL;
	if (e == NULL)
		return;
	if (e->pid > 0) {
		kill(e->pid, SIGKILL);
		while (waitpid(e->pid, NULL, __WALL) < 0 && errno == EINTR)
			;
	}
	if (e->page != NULL)
		munmap(e->page, sizeof(*e->page));
	if (e->pidfd >= 0)
		close(e->pidfd);
	if (e->page_fd >= 0)
		close(e->page_fd);
	if (e->words_fd >= 0)
		close(e->words_fd);
	if (e->wake_fd >= 0)
		close(e->wake_fd);
	cw_free(e);
}

pid_t cw_evaluator_pid(const struct cw_evaluator *e)
{
	return e->pid;
}

int cw_evaluator_pidfd(const struct cw_evaluator *e)
{
	return e->pidfd;
}

int cw_evaluator_wake_fd(const struct cw_evaluator *e)
{
	return e->wake_fd;
}

enum cw_phase cw_evaluator_phase(const struct cw_evaluator *e)
{
	uint32_t phase = atomic_load(&e->page->phase);

	return phase <= CW_PHASE_FAILED ? (enum cw_phase)phase : CW_PHASE_FAILED;
}

int64_t cw_evaluator_cpu_us(const struct cw_evaluator *e)
{
	struct timespec used;
	clockid_t clock;

	if (clock_getcpuclockid(e->pid, &clock) != 0 || clock_gettime(clock, &used) != 0)
		return -1;
	return (int64_t)used.tv_sec * 1000000 + used.tv_nsec / 1000;
}

uint64_t cw_evaluator_begun(const struct cw_evaluator *e)
{
	return atomic_load_explicit(&e->page->begun, memory_order_relaxed);
}

int cw_evaluator_running(const struct cw_evaluator *e)
{
	uint32_t running = e->page->running;

	return running > 0 && running <= CW_RULES_MAX ? (int)running - 1 : -1;
}

void cw_evaluator_report(const struct cw_evaluator *e, struct cw_buf *out)
{
	uint32_t len = *(volatile const uint32_t *)&e->page->report_len;

	cw_buf_add(out, e->page->report, len <= CW_REPORT_MAX ? len : CW_REPORT_MAX);
}

void cw_evaluator_meter(const struct cw_evaluator *e, uint32_t rule, struct cw_rule_meter *out)
{
	*out = *(volatile const struct cw_rule_meter *)&e->page->meters[rule];
}

void cw_evaluator_go(struct cw_evaluator *e, uint64_t start, uint64_t limit)
{
	e->page->start = start;
	atomic_store(&e->page->limit, limit);
	atomic_store(&e->page->go, 1u);
	cw_wake(e->wake_fd);
}

void cw_evaluator_limit(struct cw_evaluator *e, uint64_t limit)
{
	if (atomic_exchange(&e->page->limit, limit) != limit)
		cw_wake(e->wake_fd);
}

void cw_evaluator_switch(struct cw_evaluator *e, uint32_t rule, bool enabled)
{
	atomic_store(&e->page->disabled[rule], (uint8_t)!enabled);
	atomic_fetch_add(&e->page->switches, 1u);
	cw_wake(e->wake_fd);
}

void cw_evaluator_stop_rule(struct cw_evaluator *e)
{
	e->page->stop = 1;
}

void cw_evaluator_kill_stuck(struct cw_evaluator *e, const char *why)
{
	if (e->killed_why[0] != '\0' || e->pid == 0)
		return;
	snprintf(e->killed_why, sizeof(e->killed_why), "%s", why);
	kill(e->pid, SIGKILL);
}

/* What it wrote to stderr, as one line. */
static void last_words(const struct cw_evaluator *e, char *out, size_t size)
{
	ssize_t n = pread(e->words_fd, out, size - 1, 0);
	size_t len = 0;

	for (ssize_t i = 0; i < n && out[i] != '\0'; i++) {
		char c = out[i] >= ' ' && out[i] < 0x7f ? out[i] : ' ';

		if (c != ' ' || (len > 0 && out[len - 1] != ' '))
			out[len++] = c;
	}
	while (len > 0 && out[len - 1] == ' ')
		len--;
	out[len] = '\0';
}

static enum cw_death death_by_signal(int sig)
{
	static const int own_doing[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGSYS, SIGTRAP };

	for (size_t i = 0; i < sizeof(own_doing) / sizeof(own_doing[0]); i++)
		if (sig == own_doing[i])
			return CW_DEATH_CRASHED;
	return CW_DEATH_KILLED;
}

static void copy_error(const struct cw_evaluator *e, struct cw_err *err)
{
	memcpy(err, &e->page->err, sizeof(*err));
	if ((unsigned)err->code == CW_OK || (unsigned)err->code > CW_ERR_INTERNAL)
		err->code = CW_ERR_INTERNAL;
	err->sqlstate[0] = '\0';
	err->msg[sizeof(err->msg) - 1] = '\0';
}

static void describe(const struct cw_evaluator *e, int status, struct cw_obituary *o)
{
	enum cw_phase phase = cw_evaluator_phase(e);
	char words[WORDS_SHOWN];

	/* Ours, unless it was faster and died of something else. */
	if (e->killed_why[0] != '\0' && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
		o->death = CW_DEATH_STUCK;
		cw_err_set(&o->err, CW_ERR_TIMEOUT, "the evaluator %s", e->killed_why);
	} else if (WIFSIGNALED(status)) {
		const char *name = sigabbrev_np(WTERMSIG(status));

		o->death = death_by_signal(WTERMSIG(status));
		cw_err_set(&o->err, CW_ERR_SYSTEM, "the evaluator was killed by signal %d (SIG%s)", WTERMSIG(status),
		           name != NULL ? name : "?");
	} else if (phase == CW_PHASE_FAILED && WEXITSTATUS(status) == 0) {
		o->death = CW_DEATH_FAILED;
		copy_error(e, &o->err);
		return;
	} else if (phase == CW_PHASE_DONE && WEXITSTATUS(status) == 0) {
		o->death = CW_DEATH_DONE;
		return;
	} else {
		o->death = CW_DEATH_EXITED;
		cw_err_set(&o->err, CW_ERR_SYSTEM, "the evaluator ended itself with status %d", WEXITSTATUS(status));
	}
	last_words(e, words, sizeof(words));
	if (words[0] != '\0')
		snprintf(o->err.msg + strlen(o->err.msg), sizeof(o->err.msg) - strlen(o->err.msg), ": %s", words);
}

bool cw_evaluator_reap(struct cw_evaluator *e, struct cw_obituary *obituary)
{
	int status = SIGKILL;   /* should somebody else have reaped it */
	pid_t pid;

	while ((pid = waitpid(e->pid, &status, WNOHANG | __WALL)) < 0 && errno == EINTR)
		;
	if (pid == 0)
		return false;
	e->pid = 0;
	*obituary = (struct cw_obituary){ .rule = cw_evaluator_running(e), .position = cw_evaluator_begun(e) - 1 };
	describe(e, status, obituary);
	return true;
}
