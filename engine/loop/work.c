#include "loop/work.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/wake.h"
#include "loop/loop.h"

struct work {
	struct cw_list link;
	cw_work_fn *run;
	cw_work_done_fn *done;
	void *arg;
};

struct cw_work_pool {
	pthread_mutex_t lock;
	pthread_cond_t more;
	struct cw_list queued, finished;   /* under the lock */
	int nqueued, limit;
	bool closing;
	pthread_t *threads;
	int nthreads;
	int event_fd;                      /* workers wake the loop through it */
	struct cw_watch *watch;
};

static void *worker(void *arg)
{
	struct cw_work_pool *pool = arg;
	struct cw_list *link;

	pthread_mutex_lock(&pool->lock);
	for (;;) {
		while ((link = cw_list_take(&pool->queued)) == NULL && !pool->closing)
			pthread_cond_wait(&pool->more, &pool->lock);
		if (link == NULL)
			break;
		pool->nqueued--;
		pthread_mutex_unlock(&pool->lock);
		struct work *w = cw_list_entry(link, struct work, link);
		w->run(w->arg);
		pthread_mutex_lock(&pool->lock);
		cw_list_append(&pool->finished, link);
		cw_wake(pool->event_fd);
	}
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

static void answer_finished(struct cw_work_pool *pool)
{
	for (;;) {
		struct cw_list *link;
		struct work *w;

		pthread_mutex_lock(&pool->lock);
		link = cw_list_take(&pool->finished);
		pthread_mutex_unlock(&pool->lock);
		if (link == NULL)
			return;
		w = cw_list_entry(link, struct work, link);
		w->done(w->arg, true);
		cw_free(w);
	}
}

static void on_event(void *arg, int fd, int flags)
{
	uint64_t count;
	ssize_t n = read(fd, &count, sizeof(count));

	(void)n;
	(void)flags;
	answer_finished(arg);
}

struct cw_work_pool *cw_work_pool_new(struct cw_loop *loop, int threads, int queue_limit)
{
	struct cw_work_pool *pool = cw_zalloc(sizeof(*pool));
	sigset_t all, before;

	pthread_mutex_init(&pool->lock, NULL);
	pthread_cond_init(&pool->more, NULL);
	cw_list_init(&pool->queued);
	cw_list_init(&pool->finished);
	pool->limit = queue_limit;
	pool->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (pool->event_fd < 0)
		cw_die("could not make an eventfd for worker threads");
	pool->watch = cw_watch_new(loop, pool->event_fd, on_event, pool);
	cw_watch_set(pool->watch, CW_WATCH_READ);
	pool->threads = cw_zalloc((size_t)threads * sizeof(*pool->threads));
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (; pool->nthreads < threads; pool->nthreads++)
		if ((errno = pthread_create(&pool->threads[pool->nthreads], NULL, worker, pool)) != 0)
			break;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (pool->nthreads == 0)
		cw_die("could not start a worker thread");
	return pool;
}

void cw_work_pool_free(struct cw_work_pool **pool)
{
	struct cw_work_pool *p = *pool;
	struct cw_list dropped, *link;

	*pool = NULL;
	if (p == NULL)
		return;
	cw_list_init(&dropped);
	pthread_mutex_lock(&p->lock);
	p->closing = true;
	while ((link = cw_list_take(&p->queued)) != NULL)
		cw_list_append(&dropped, link);
	pthread_cond_broadcast(&p->more);
	pthread_mutex_unlock(&p->lock);
	for (int i = 0; i < p->nthreads; i++)
		pthread_join(p->threads[i], NULL);
	answer_finished(p);
	while ((link = cw_list_take(&dropped)) != NULL) {
		struct work *w = cw_list_entry(link, struct work, link);

		w->done(w->arg, false);
		cw_free(w);
	}
	cw_watch_free(&p->watch);
	close(p->event_fd);
	pthread_cond_destroy(&p->more);
	pthread_mutex_destroy(&p->lock);
	cw_free(p->threads);
	cw_free(p);
}

int cw_work_submit(struct cw_work_pool *pool, cw_work_fn *run, cw_work_done_fn *done, void *arg)
{
	struct work *w;

	pthread_mutex_lock(&pool->lock);
	if (pool->nqueued >= pool->limit || pool->closing) {
		pthread_mutex_unlock(&pool->lock);
		return -1;
	}
	w = cw_zalloc(sizeof(*w));
	w->run = run;
	w->done = done;
	w->arg = arg;
	cw_list_append(&pool->queued, &w->link);
	pool->nqueued++;
	pthread_cond_signal(&pool->more);
	pthread_mutex_unlock(&pool->lock);
	return 0;
}
