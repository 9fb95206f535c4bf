/* SPDX-License-Identifier: MIT */
/*
 * pool.c - a session's threads for operations that no ring does (calls.c). They begin when they are first needed.
 *
 * Up to POOL_THREADS run calls, the oldest first. One more, the watcher, keeps what waits for a descriptor to become ready or
 * for a time to come, so that neither holds a thread, and ends what is over its time. Everything is under one lock: whoever
 * takes a job off its list ends it. A call that runs is not broken off; only a lookup, which touches no memory but its own, is
 * left behind.
 */
#include "internal.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define POOL_THREADS 4
#define POOL_QUEUE   4096
#define CLOSE_NS     2000000000ull

struct job_list {
	struct job *first, *last;
	uint32_t length;
};

struct pool {
	pthread_mutex_t lock;
	pthread_cond_t work, idle;
	struct job_list queue;	 /* ready to run */
	struct job_list waiting; /* for their descriptor or their time */
	pthread_t threads[POOL_THREADS], watcher;
	uint32_t nthreads, free_threads;
	bool have_watcher, closing;
	uint32_t running;
	int wake_fd; /* the watcher has something new to look at */
	struct pollfd *polled;
	uint32_t polled_size;
};

/* ---- lists ---- */

static void append(struct job_list *list, struct job *job, enum job_place place)
{
	job->place = place;
	job->next = NULL;
	job->prev = list->last;
	if (list->last)
		list->last->next = job;
	else
		list->first = job;
	list->last = job;
	list->length++;
}

static void take_off(struct job_list *list, struct job *job)
{
	if (job->prev)
		job->prev->next = job->next;
	else
		list->first = job->next;
	if (job->next)
		job->next->prev = job->prev;
	else
		list->last = job->prev;
	list->length--;
	job->place = JOB_NOWHERE;
}

static void wake_watcher(struct pool *p)
{
	uint64_t one = 1;

	if (write(p->wake_fd, &one, sizeof(one)) < 0) {
		/* It is full, so the watcher wakes anyway. */
	}
}

/* ---- threads ---- */

static int start_thread(pthread_t *thread, void *(*main)(void *), struct pool *p)
{
	sigset_t all, before;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(thread, NULL, main, p);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -rc;
}

/* Runs a lookup without the lock. Its job may have been withdrawn meanwhile. */
static void run_lookup(struct pool *p, struct job *job)
{
	struct lookup *lookup = job->lookup;
	int result;

	pthread_mutex_unlock(&p->lock);
	result = call_lookup(lookup);
	pthread_mutex_lock(&p->lock);
	if (!lookup->abandoned && !p->closing) {
		if (result > 0)
			memcpy(lookup->out, lookup->found, (size_t)result * sizeof(*lookup->out));
		job->place = JOB_NOWHERE;
		job_done(job, result);
	}
	free(lookup);
}

static void run_call(struct pool *p, struct job *job)
{
	int result;

	pthread_mutex_unlock(&p->lock);
	result = call_run(job);
	pthread_mutex_lock(&p->lock);
	if (p->closing)
		return; /* nobody waits any more; the job's memory may be gone */
	if (result == -EAGAIN && job->events && !job->cancel_error) {
		append(&p->waiting, job, JOB_WAITS);
		wake_watcher(p);
		return;
	}
	job->place = JOB_NOWHERE;
	job_done(job, result == -EAGAIN && job->cancel_error ? -job->cancel_error : result);
}

static void *pool_main(void *arg)
{
	struct pool *p = arg;

	pthread_setname_np(pthread_self(), "fractal/pool");
	pthread_mutex_lock(&p->lock);
	while (!p->closing) {
		struct job *job = p->queue.first;

		if (!job) {
			p->free_threads++;
			pthread_cond_wait(&p->work, &p->lock);
			p->free_threads--;
			continue;
		}
		take_off(&p->queue, job);
		job->place = JOB_RUNS;
		p->running++;
		if (job->lookup)
			run_lookup(p, job);
		else
			run_call(p, job);
		if (--p->running == 0)
			pthread_cond_broadcast(&p->idle);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

/* Makes a job ready to run. */
static void enqueue(struct pool *p, struct job *job)
{
	append(&p->queue, job, JOB_QUEUED);
	if (p->queue.length > p->free_threads && p->nthreads < POOL_THREADS &&
	    start_thread(&p->threads[p->nthreads], pool_main, p) == 0)
		p->nthreads++;
	pthread_cond_signal(&p->work);
}

/* ---- the watcher ---- */

/* Ends what of a list is over its time: -ETIMEDOUT, a sleep 0. Returns the next deadline, 0 for none. */
static uint64_t end_overdue(struct job_list *list, uint64_t now)
{
	struct job *job, *next;
	uint64_t soonest = 0;

	for (job = list->first; job; job = next) {
		next = job->next;
		if (!job->deadline_ns)
			continue;
		if (job->deadline_ns <= now) {
			take_off(list, job);
			free(job->lookup);
			job_done(job, job->is_sleep ? 0 : -ETIMEDOUT);
		} else if (!soonest || job->deadline_ns < soonest) {
			soonest = job->deadline_ns;
		}
	}
	return soonest;
}

/* Fills p->polled: the wake descriptor, then one for each job that waits for a descriptor. Returns how many. */
static uint32_t fill_polled(struct pool *p)
{
	uint32_t n = 1, most = p->waiting.length + 1;

	if (most > p->polled_size) {
		struct pollfd *larger = realloc(p->polled, most * 2 * sizeof(*larger));

		if (larger) {
			p->polled = larger;
			p->polled_size = most * 2;
		}
	}
	p->polled[0] = (struct pollfd){ .fd = p->wake_fd, .events = POLLIN };
	for (struct job *job = p->waiting.first; job && n < p->polled_size; job = job->next)
		if (job->events)
			p->polled[n++] = (struct pollfd){ .fd = job->fd, .events = job->events };
	return n;
}

/* What was polled and is ready goes on. Jobs may have left meanwhile, and others come, so a descriptor's job is looked for. */
static void go_on_with_ready(struct pool *p, uint32_t n)
{
	struct job *job = p->waiting.first, *next;

	for (uint32_t i = 1; i < n; i++) {
		const struct pollfd *polled = &p->polled[i];

		while (job &&
		       (!job->events || job->fd != polled->fd || job->events != polled->events))
			job = job->next;
		if (!job)
			return;
		next = job->next;
		if (polled->revents) {
			take_off(&p->waiting, job);
			if (job->is_poll)
				job_done(job,
					 polled->revents & POLLNVAL ? -EBADF : polled->revents);
			else
				enqueue(p, job);
		}
		job = next;
	}
}

static int milliseconds_until(uint64_t deadline, uint64_t now)
{
	uint64_t ms = (deadline - now + 999999) / 1000000;

	return deadline == 0 ? -1 : ms > 60000 ? 60000 : (int)ms;
}

static uint64_t sooner(uint64_t a, uint64_t b)
{
	return !a || (b && b < a) ? b : a;
}

static void *watcher_main(void *arg)
{
	struct pool *p = arg;

	pthread_setname_np(pthread_self(), "fractal/watch");
	pthread_mutex_lock(&p->lock);
	while (!p->closing) {
		uint64_t now = now_ns(), count;
		uint64_t soonest =
			sooner(end_overdue(&p->waiting, now), end_overdue(&p->queue, now));
		uint32_t n = fill_polled(p);
		int ready;

		pthread_mutex_unlock(&p->lock);
		ready = poll(p->polled, n, milliseconds_until(soonest, now));
		pthread_mutex_lock(&p->lock);
		if (ready > 0 && p->polled[0].revents &&
		    read(p->wake_fd, &count, sizeof(count)) < 0)
			continue;
		if (ready > 0)
			go_on_with_ready(p, n);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

/* With the lock held. */
static int need_watcher(struct pool *p)
{
	int rc = 0;

	if (!p->polled) {
		p->polled_size = 64;
		p->polled = malloc(p->polled_size * sizeof(*p->polled));
		if (!p->polled)
			return -ENOMEM;
	}
	if (!p->have_watcher)
		rc = start_thread(&p->watcher, watcher_main, p);
	if (rc)
		return rc;
	p->have_watcher = true;
	wake_watcher(p);
	return 0;
}

/* ---- for io.c ---- */

static struct pool *make_pool(void)
{
	struct pool *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (p->wake_fd < 0) {
		free(p);
		return NULL;
	}
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->work, NULL);
	pthread_cond_init(&p->idle, NULL);
	return p;
}

static struct pool *pool_of(struct fractal_session *s)
{
	pthread_mutex_lock(&s->lock);
	if (!s->pool)
		s->pool = make_pool();
	pthread_mutex_unlock(&s->lock);
	return s->pool;
}

static bool must_wait(const struct job *job)
{
	struct pollfd polled = { .fd = job->fd, .events = job->events };

	return job->is_sleep || job->is_poll || (job->events && poll(&polled, 1, 0) == 0);
}

/*
 * Takes a job, whose end job_done() tells, perhaps before this returns. 0; -EAGAIN when too many are queued; -ENOMEM.
 */
int pool_submit(struct fractal_session *s, struct job *job)
{
	struct pool *p = pool_of(s);
	bool waits = must_wait(job);
	int rc = 0;

	if (!p)
		return -ENOMEM;
	pthread_mutex_lock(&p->lock);
	if (!job->is_close && p->queue.length >= POOL_QUEUE)
		rc = -EAGAIN;
	else if (waits || job->deadline_ns)
		rc = need_watcher(p);
	if (!rc && waits)
		append(&p->waiting, job, JOB_WAITS);
	else if (!rc)
		enqueue(p, job);
	if (!rc && p->nthreads == 0 && job->place == JOB_QUEUED) {
		take_off(&p->queue, job);
		rc = -EAGAIN; /* no thread could be made */
	}
	pthread_mutex_unlock(&p->lock);
	return rc;
}

/*
 * Takes a job back. False when it runs, or has ended: then job_done() tells, with -@error where it would have to wait again.
 */
bool pool_withdraw(struct fractal_session *s, struct job *job, int error)
{
	struct pool *p = s->pool;
	bool was_here = true;

	pthread_mutex_lock(&p->lock);
	if (job->place == JOB_WAITS) {
		take_off(&p->waiting, job);
	} else if (job->place == JOB_QUEUED) {
		take_off(&p->queue, job);
		free(job->lookup);
	} else if (job->place == JOB_RUNS && job->lookup) {
		job->lookup->abandoned = true;
		job->place = JOB_NOWHERE;
	} else {
		job->cancel_error = error;
		was_here = false;
	}
	pthread_mutex_unlock(&p->lock);
	return was_here;
}

static bool await_idle(struct pool *p)
{
	uint64_t deadline = now_ns() + CLOSE_NS;
	struct timespec at;

	clock_gettime(CLOCK_REALTIME, &at);
	at.tv_sec += (time_t)(CLOSE_NS / 1000000000u);
	while (p->running > 0 && now_ns() < deadline)
		pthread_cond_timedwait(&p->idle, &p->lock, &at);
	return p->running == 0;
}

/* At the end of the session. A call that does not return keeps its thread, and the pool its memory. */
void pool_close(struct fractal_session *s)
{
	struct pool *p = s->pool;
	bool idle;

	if (!p)
		return;
	s->pool = NULL;
	pthread_mutex_lock(&p->lock);
	p->closing = true;
	wake_watcher(p);
	pthread_cond_broadcast(&p->work);
	idle = await_idle(p);
	pthread_mutex_unlock(&p->lock);
	if (p->have_watcher)
		pthread_join(p->watcher, NULL);
	for (uint32_t i = 0; i < p->nthreads; i++)
		if (idle)
			pthread_join(p->threads[i], NULL);
		else
			pthread_detach(p->threads[i]);
	if (!idle)
		return;
	pthread_mutex_destroy(&p->lock);
	pthread_cond_destroy(&p->work);
	pthread_cond_destroy(&p->idle);
	close(p->wake_fd);
	free(p->polled);
	free(p);
}
