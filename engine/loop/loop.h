/* loop.h - the event loop: timers, signals, deferral, descriptors.
 *
 * A thin layer over libevent, single-threaded: everything here is called from the loop's thread. Two promises hold
 * for all that is built on it: a callback never runs before the call that asked for it has returned, and never after
 * its cancel has returned. Knows nothing of sockets' meaning, PostgreSQL or HTTP. */
#ifndef CW_LOOP_LOOP_H
#define CW_LOOP_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct cw_loop;
struct cw_timer;
struct cw_watch;
struct event_base;

typedef void cw_loop_fn(void *arg);
typedef void cw_signal_fn(void *arg, int signal);

struct cw_loop *cw_loop_new(void);
/* Deferred calls that have not run are dropped. Sets *loop to NULL. */
void cw_loop_free(struct cw_loop **loop);
void cw_loop_run(struct cw_loop *loop);        /* until cw_loop_stop */
void cw_loop_run_once(struct cw_loop *loop);   /* one turn, waits for at least one event */
void cw_loop_poll(struct cw_loop *loop);       /* one turn, does not wait */
void cw_loop_stop(struct cw_loop *loop);
struct event_base *cw_loop_base(struct cw_loop *loop);

/* Calls fn(arg) at the end of this turn, in the order of the calls. What is deferred meanwhile runs a turn later. */
void cw_loop_defer(struct cw_loop *loop, cw_loop_fn *fn, void *arg);
/* Forgets all deferred calls with this fn and arg. */
void cw_loop_undefer(struct cw_loop *loop, cw_loop_fn *fn, void *arg);

/* One-shot timer; set again to move it, after 0 ms at the earliest in the next turn. */
struct cw_timer *cw_timer_new(struct cw_loop *loop, cw_loop_fn *fn, void *arg);
void cw_timer_set_us(struct cw_timer *timer, int64_t after_us);
void cw_timer_set(struct cw_timer *timer, int64_t after_ms);
void cw_timer_clear(struct cw_timer *timer);
bool cw_timer_pending(const struct cw_timer *timer);
void cw_timer_free(struct cw_timer **timer);

enum cw_watch_flags { CW_WATCH_READ = 1, CW_WATCH_WRITE = 2 };
typedef void cw_watch_fn(void *arg, int fd, int flags);

/* Level-triggered and persistent. flags 0: registered, but asleep. */
struct cw_watch *cw_watch_new(struct cw_loop *loop, int fd, cw_watch_fn *fn, void *arg);
void cw_watch_set(struct cw_watch *watch, int flags);
void cw_watch_free(struct cw_watch **watch);   /* does not close fd */

/* Timers go on where the monotonic clock is set back (libfaketime does that to its programs): looked at four times a second,
 * by a clock that nobody between us and the kernel turns. */
void cw_loop_watch_clock(struct cw_loop *loop);

/* For the life of the loop. */
void cw_loop_on_signal(struct cw_loop *loop, int signal, cw_signal_fn *fn, void *arg);

#endif
