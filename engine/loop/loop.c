#include "loop/loop.h"

#include <event2/event.h>
#include <signal.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/mem.h"

#define WATCH_AGAIN_MS 100

struct deferred {
	cw_loop_fn *fn;     /* NULL: forgotten */
	void *arg;
};

struct signal_watch {
	struct signal_watch *next;
	struct event *ev;
	cw_signal_fn *fn;
	void *arg;
};

struct cw_loop {
	struct event_base *base;
	struct deferred *calls, *running;   /* two arrays that take turns */
	size_t ncalls, cap, nrunning, running_cap;
	struct signal_watch *signals;
	struct cw_list timers;              /* all there are */
	struct event *clock_ev;             /* NULL: the clock is not watched */
	int clock_fd;
	int64_t clock_us;                   /* libevent's clock when it was looked at last */
	bool stopped;
};

struct cw_timer {
	struct cw_list link;
	int64_t due_us;                     /* by cw_clock_mono_us */
	struct event *ev;
	cw_loop_fn *fn;
	void *arg;
};

struct cw_watch {
	struct cw_loop *loop;
	struct event *ev;
	struct event *again;   /* a timer, once the kernel has refused to watch */
	cw_watch_fn *fn;
	void *arg;
	int fd, flags;
};

static void run_deferred(struct cw_loop *loop)
{
	struct deferred *calls = loop->running;
	size_t cap = loop->running_cap;

	if (loop->ncalls == 0)
		return;
	loop->running = loop->calls;
	loop->running_cap = loop->cap;
	loop->nrunning = loop->ncalls;
	loop->calls = calls;
	loop->cap = cap;
	loop->ncalls = 0;
	for (size_t i = 0; i < loop->nrunning; i++)
		if (loop->running[i].fn != NULL)
			loop->running[i].fn(loop->running[i].arg);
	loop->nrunning = 0;
}

/* Deferred calls are run from here and not as an event of lower priority: libevent does not look at those while
 * anything of higher priority is ready, which under load is always. */
static void turn(struct cw_loop *loop, int flags)
{
	/* NONBLOCK without ONCE would go on for as long as something is ready. */
	event_base_loop(loop->base, loop->ncalls > 0 ? EVLOOP_ONCE | EVLOOP_NONBLOCK : flags);
	run_deferred(loop);
}

struct cw_loop *cw_loop_new(void)
{
	struct cw_loop *loop = cw_zalloc(sizeof(*loop));
	struct event_config *config;

	/* What libevent asks for is small, and half of its callers cannot say no. */
	event_set_mem_functions(cw_alloc, cw_realloc, cw_free);
	config = event_config_new();
	signal(SIGPIPE, SIG_IGN);
	event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
	loop->base = event_base_new_with_config(config);
	event_config_free(config);
	if (loop->base == NULL)
		cw_die("could not make an event loop");
	cw_list_init(&loop->timers);
	loop->clock_fd = -1;
	return loop;
}

void cw_loop_free(struct cw_loop **loop)
{
	struct cw_loop *l = *loop;

	*loop = NULL;
	if (l == NULL)
		return;
	while (l->signals != NULL) {
		struct signal_watch *s = l->signals;

		l->signals = s->next;
		event_free(s->ev);
		cw_free(s);
	}
	if (l->clock_ev != NULL)
		event_free(l->clock_ev);
	if (l->clock_fd >= 0)
		close(l->clock_fd);
	while (cw_list_take(&l->timers) != NULL)   /* whose owners come later */
		;
	event_base_free(l->base);
	cw_free(l->calls);
	cw_free(l->running);
	cw_free(l);
}

void cw_loop_run(struct cw_loop *loop)
{
	loop->stopped = false;
	while (!loop->stopped)
		turn(loop, EVLOOP_ONCE | EVLOOP_NO_EXIT_ON_EMPTY);
}

void cw_loop_run_once(struct cw_loop *loop)
{
	turn(loop, EVLOOP_ONCE);
}

void cw_loop_poll(struct cw_loop *loop)
{
	turn(loop, EVLOOP_ONCE | EVLOOP_NONBLOCK);
}

void cw_loop_stop(struct cw_loop *loop)
{
	loop->stopped = true;
	event_base_loopbreak(loop->base);
}

struct event_base *cw_loop_base(struct cw_loop *loop)
{
	return loop->base;
}

void cw_loop_defer(struct cw_loop *loop, cw_loop_fn *fn, void *arg)
{
	if (loop->ncalls == loop->cap) {
		loop->cap = loop->cap > 0 ? 2 * loop->cap : 64;
		loop->calls = cw_realloc(loop->calls, loop->cap * sizeof(*loop->calls));
	}
	loop->calls[loop->ncalls++] = (struct deferred){ fn, arg };
}

void cw_loop_undefer(struct cw_loop *loop, cw_loop_fn *fn, void *arg)
{
	for (size_t i = 0; i < loop->ncalls; i++)
		if (loop->calls[i].fn == fn && loop->calls[i].arg == arg)
			loop->calls[i].fn = NULL;
	for (size_t i = 0; i < loop->nrunning; i++)
		if (loop->running[i].fn == fn && loop->running[i].arg == arg)
			loop->running[i].fn = NULL;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct cw_timer *timer = arg;

	(void)fd;
	(void)what;
	timer->fn(timer->arg);
}

struct cw_timer *cw_timer_new(struct cw_loop *loop, cw_loop_fn *fn, void *arg)
{
	struct cw_timer *timer = cw_zalloc(sizeof(*timer));

	timer->fn = fn;
	timer->arg = arg;
	cw_list_append(&loop->timers, &timer->link);
	timer->ev = event_new(loop->base, -1, 0, on_timer, timer);
	cw_assert(timer->ev != NULL);
	return timer;
}

void cw_timer_set_us(struct cw_timer *timer, int64_t after_us)
{
	struct timeval tv;

	if (after_us < 0)
		after_us = 0;
	timer->due_us = cw_clock_mono_us() + after_us;
	tv.tv_sec = (time_t)(after_us / 1000000);
	tv.tv_usec = (suseconds_t)(after_us % 1000000);
	event_add(timer->ev, &tv);
}

void cw_timer_set(struct cw_timer *timer, int64_t after_ms)
{
	cw_timer_set_us(timer, after_ms * 1000);
}

void cw_timer_clear(struct cw_timer *timer)
{
	event_del(timer->ev);
}

bool cw_timer_pending(const struct cw_timer *timer)
{
	return event_pending(timer->ev, EV_TIMEOUT, NULL) != 0;
}

void cw_timer_free(struct cw_timer **timer)
{
	struct cw_timer *t = *timer;

	*timer = NULL;
	if (t == NULL)
		return;
	cw_list_remove(&t->link);
	event_free(t->ev);
	cw_free(t);
}

static void on_watch(evutil_socket_t fd, short what, void *arg)
{
	struct cw_watch *watch = arg;
	int flags = ((what & EV_READ) ? CW_WATCH_READ : 0) | ((what & EV_WRITE) ? CW_WATCH_WRITE : 0);

	watch->fn(watch->arg, (int)fd, flags);
}

struct cw_watch *cw_watch_new(struct cw_loop *loop, int fd, cw_watch_fn *fn, void *arg)
{
	struct cw_watch *watch = cw_zalloc(sizeof(*watch));

	watch->loop = loop;
	watch->fd = fd;
	watch->fn = fn;
	watch->arg = arg;
	watch->ev = event_new(loop->base, fd, EV_READ | EV_PERSIST, on_watch, watch);
	cw_assert(watch->ev != NULL);
	return watch;
}

static void add_watch(struct cw_watch *watch);

static void on_again(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	add_watch(arg);
}

/* What is refused for want of memory is often given the next time. */
static bool add_event(struct event *ev)
{
	for (int tries = 0; tries < 2; tries++)
		if (event_add(ev, NULL) == 0)
			return true;
	return false;
}

/* The kernel may have no memory for one more. Whoever waits for this descriptor would wait for ever, so it is tried again,
 * at once and then from time to time. */
static void add_watch(struct cw_watch *watch)
{
	static const struct timeval soon = { .tv_usec = WATCH_AGAIN_MS * 1000 };

	if (add_event(watch->ev))
		return;
	if (watch->again == NULL)
		watch->again = event_new(watch->loop->base, -1, 0, on_again, watch);
	event_add(watch->again, &soon);
}

void cw_watch_set(struct cw_watch *watch, int flags)
{
	short what = EV_PERSIST;

	if (flags == watch->flags)
		return;
	if (watch->flags != 0)
		event_del(watch->ev);
	if (watch->again != NULL)
		event_del(watch->again);
	watch->flags = flags;
	if (flags == 0)
		return;
	if (flags & CW_WATCH_READ)
		what |= EV_READ;
	if (flags & CW_WATCH_WRITE)
		what |= EV_WRITE;
	event_assign(watch->ev, watch->loop->base, watch->fd, what, on_watch, watch);
	add_watch(watch);
}

void cw_watch_free(struct cw_watch **watch)
{
	struct cw_watch *w = *watch;

	*watch = NULL;
	if (w == NULL)
		return;
	event_free(w->ev);
	if (w->again != NULL)
		event_free(w->again);
	cw_free(w);
}

static void on_signal(evutil_socket_t fd, short what, void *arg)
{
	struct signal_watch *s = arg;

	(void)what;
	s->fn(s->arg, (int)fd);
}

void cw_loop_on_signal(struct cw_loop *loop, int signal, cw_signal_fn *fn, void *arg)
{
	struct signal_watch *s = cw_zalloc(sizeof(*s));

	s->fn = fn;
	s->arg = arg;
	s->ev = evsignal_new(loop->base, signal, on_signal, s);
	if (s->ev == NULL || !add_event(s->ev))
		cw_die("could not watch for signals");
	s->next = loop->signals;
	loop->signals = s;
}

/* ---- a clock that goes back ---- */

#define CLOCK_LOOK_MS 250

static int64_t event_clock_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
	struct cw_loop *loop = arg;
	int64_t now_us = event_clock_us(), mono_us;
	struct cw_list *link, *tmp;
	uint64_t times;
	bool back = now_us < loop->clock_us;

	(void)what;
	if (read((int)fd, &times, sizeof(times)) < 0)
		return;
	loop->clock_us = now_us;
	if (!back)
		return;
	mono_us = cw_clock_mono_us();
	cw_list_each(link, tmp, &loop->timers) {
		struct cw_timer *timer = cw_list_entry(link, struct cw_timer, link);

		if (cw_timer_pending(timer))
			cw_timer_set_us(timer, timer->due_us - mono_us);
	}
}

void cw_loop_watch_clock(struct cw_loop *loop)
{
	const struct itimerspec every = { { 0, CLOCK_LOOK_MS * 1000000L }, { 0, CLOCK_LOOK_MS * 1000000L } };

	loop->clock_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (loop->clock_fd < 0 || timerfd_settime(loop->clock_fd, 0, &every, NULL) != 0)
		return;
	loop->clock_us = event_clock_us();
	loop->clock_ev = event_new(loop->base, loop->clock_fd, EV_READ | EV_PERSIST, on_look, loop);
	if (loop->clock_ev != NULL)
		event_add(loop->clock_ev, NULL);
}
