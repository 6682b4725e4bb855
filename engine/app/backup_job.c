#include "app/backup_job.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "app/config.h"
#include "app/parts.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "loop/loop.h"
#include "pg/pool.h"
#include "pg/result.h"
#include "store/backups.h"

#define LOOK_MS 15000            /* at clock and table; a minute's schedule is met within it */

enum step { IDLE, RUN, VERIFY };

struct cw_backup_job {
	struct cw_engine *engine;
	struct cw_timer *timer;
	enum step step;
	pid_t pid;
	int64_t last_day;            /* since 1970, on which it was begun; so once a day */
	bool asked, closing;
};

static void on_last(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	static const char *const names[][2] = {
		{ "chainwatch_backup_last_success_timestamp_seconds", "When the database was last backed up." },
		{ "chainwatch_backup_last_verified_timestamp_seconds", "When a backup was last restored aside and found right." },
		{ "chainwatch_backup_last_failure_timestamp_seconds", "When a backup or its verification last failed." },
	};
	struct cw_backup_job *job = arg;

	job->asked = false;
	if (job->closing) {
		cw_free(job);
		return;
	}
	for (int i = 0; err == NULL && i < 3; i++)
		cw_metric_set(cw_gauge(names[i][0], names[i][1], NULL), cw_result_is_null(res, 0, i) ? 0 : cw_result_f64(res, 0, i));
}

/* "02:00" is minute 120; -1: no schedule. */
static int minute_of(const char *text)
{
	int hour, minute, n = 0;

	if (sscanf(text, "%2d:%2d%n", &hour, &minute, &n) != 2 || text[n] != '\0' || hour < 0 || hour > 23 || minute < 0 || minute > 59)
		return -1;
	return hour * 60 + minute;
}

static _Noreturn void become(const struct cw_engine *e, const char *verb, pid_t parent)
{
	const char *argv[80] = { "chainwatch", "backup", verb };
	int n = 3, null_fd = open("/dev/null", O_RDWR);
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (int s = 1; s < NSIG; s++)
		signal(s, SIG_DFL);
	dup2(null_fd, 0);
	dup2(2, 1);                      /* results too belong into the log here */
	close_range(3, ~0U, 0);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(126);
	if (e->config->path != NULL) {
		argv[n++] = "-c";
		argv[n++] = e->config->path;
	}
	for (int i = 0; i < e->nsets && n < 76; i++) {
		argv[n++] = "--set";
		argv[n++] = e->sets[i];
	}
	argv[n] = NULL;
	execv("/proc/self/exe", (char *const *)argv);
	_exit(127);
}

static void begin(struct cw_backup_job *job, enum step step)
{
	const char *verb = step == RUN ? "run" : "verify";
	pid_t parent = getpid();

	job->pid = fork();
	if (job->pid == 0)
		become(job->engine, verb, parent);
	if (job->pid < 0) {
		cw_log(CW_LOG_ERROR, "backup", "could not fork", "errno=%d", errno);
		job->pid = 0;
		job->step = IDLE;
		return;
	}
	job->step = step;
	cw_log(CW_LOG_INFO, "backup", "begun", "step=%s pid=%d", verb, (int)job->pid);
}

static void look_after(struct cw_backup_job *job)
{
	int status;
	pid_t got = waitpid(job->pid, &status, WNOHANG);
	const char *verb = job->step == RUN ? "run" : "verify";
	int code;

	if (got == 0)
		return;
	job->pid = 0;
	code = got > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : 255;
	cw_log(code == 0 ? CW_LOG_INFO : CW_LOG_ERROR, "backup", code == 0 ? "done" : "failed", "step=%s exit=%d", verb, code);
	if (job->step == RUN && code == 0)
		begin(job, VERIFY);
	else
		job->step = IDLE;
}

static void on_timer(void *arg)
{
	struct cw_backup_job *job = arg;
	const struct cw_config *c = job->engine->config;
	int64_t now_s = cw_clock_wall_us() / 1000000, day = now_s / 86400;
	int minute = c->backup_enabled ? minute_of(c->backup_schedule) : -1, since = (int)(now_s % 86400 / 60) - minute;

	if (job->pid > 0)
		look_after(job);
	/* Missed by more than an hour (the engine was down): the next day's does. */
	if (job->pid == 0 && minute >= 0 && since >= 0 && since < 60 && job->last_day != day) {
		job->last_day = day;
		begin(job, RUN);
	}
	if (!job->asked) {
		job->asked = true;
		cw_backups_last(job->engine->pool, on_last, job);
	}
	cw_timer_set(job->timer, LOOK_MS);
}

struct cw_backup_job *cw_backup_job_start(struct cw_engine *engine)
{
	struct cw_backup_job *job = cw_zalloc(sizeof(*job));
	int64_t now_s = cw_clock_wall_us() / 1000000;
	int minute = minute_of(engine->config->backup_schedule);

	job->engine = engine;
	/* Started within the hour behind its time: it may have been done before the start. */
	if (minute >= 0 && now_s % 86400 / 60 > minute)
		job->last_day = now_s / 86400;
	if (engine->config->backup_enabled && engine->config->backup_schedule[0] != '\0' && minute < 0)
		cw_log(CW_LOG_ERROR, "backup", "backup.schedule is no time of day (HH:MM), so there are no backups", NULL);
	job->timer = cw_timer_new(engine->loop, on_timer, job);
	cw_timer_set(job->timer, 1);
	return job;
}

void cw_backup_job_stop(struct cw_backup_job **job)
{
	struct cw_backup_job *j = *job;

	*job = NULL;
	if (j == NULL)
		return;
	cw_timer_free(&j->timer);
	if (j->pid > 0) {
		kill(j->pid, SIGTERM);
		while (waitpid(j->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	/* The pool answers what is open when it goes, which is after us. */
	j->closing = j->asked;
	if (!j->closing)
		cw_free(j);
}
