/* SPDX-License-Identifier: MIT */
/*
 * watch.c - a descriptor of the embedder's that is served beside the requests: see fractal_session_watch().
 *
 * Worker 0 is told of it by one poll on its ring, queued anew after each call, or, without a ring, by the poll(2) in which it
 * waits. Both tell what there is, not what is new. So nothing is lost when somebody else has taken a part of it, or when a
 * call leaves something.
 *
 * The session's thread looks at the descriptor now and then. Where it stays readable and worker 0 does not come to it (a
 * handler holds it, it waits for a lock, its CPU is taken, it has ended), that thread calls. From then on it polls, too, but
 * leaves worker 0 a moment to be the first, until that has been so for a few times.
 *
 * Only one of them calls at a time, and the other one goes on without waiting: worker 0 then has no poll, which would tell it
 * again and again, until the session's thread wakes it after the call.
 */
#include "internal.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <time.h>

/* For how long worker 0 may leave it readable: as a rule, and when the session's thread has called before. */
#define DOUBT_MS 50
#define GRACE_MS 1
#define FIRST	 4 /* times that worker 0 comes first, and is left alone again */

struct watch {
	int fd;
	fractal_watcher *fn;
	void *user;
	pthread_mutex_t calling;
	_Atomic bool over;	  /* it is not called any more */
	_Atomic uint32_t reached; /* how often worker 0 came to it */
	/* Worker 0's: */
	struct completion told;
	bool armed; /* the ring, or dev_wait(), polls */
	/* The session's thread's: */
	uint32_t seen;	   /* what `reached` was */
	uint32_t first;	   /* how often worker 0 has come since this thread called */
	uint64_t since_ns; /* it is readable and left to worker 0; 0: it is not */
	bool taken_over;
};

static struct watch *watch_of(const struct fractal_session *s)
{
	struct watch *watch = atomic_load_explicit(&s->watch, memory_order_acquire);

	return watch && !atomic_load_explicit(&watch->over, memory_order_relaxed) ? watch : NULL;
}

/* False: somebody else calls at the moment. */
static bool call(struct fractal_session *s, struct watch *watch)
{
	if (pthread_mutex_trylock(&watch->calling))
		return false;
	if (!atomic_load(&watch->over) && watch->fn(s, watch->user) < 0)
		atomic_store(&watch->over, true);
	pthread_mutex_unlock(&watch->calling);
	return true;
}

/* ---- worker 0 ---- */

/* A poll that the ring refuses leaves the descriptor to the session's thread. */
static void told(struct fractal_worker *w, struct completion *c, int res, unsigned flags)
{
	(void)c;
	(void)flags;
	if (res >= 0)
		watch_reached(w);
}

/* Polls from now on, if there is something to poll. On a worker's thread, while it serves. */
void watch_arm(struct fractal_worker *w)
{
	struct watch *watch = watch_of(w->s);
	struct io_uring_sqe *sqe;

	if (!watch || w->id != 0 || watch->armed)
		return;
	watch->armed = true;
	if (!w->have_ring)
		return;
	watch->told.fn = told;
	sqe = ring_sqe(w);
	io_uring_prep_poll_add(sqe, watch->fd, POLLIN);
	sqe->user_data = ring_tag(&watch->told);
}

/* What a worker without a ring has to poll, or -1. */
int watch_fd(const struct fractal_worker *w)
{
	const struct watch *watch = w->have_ring || w->id != 0 ? NULL : watch_of(w->s);

	return watch && watch->armed ? watch->fd : -1;
}

/* Worker 0 has come to it. */
void watch_reached(struct fractal_worker *w)
{
	struct watch *watch = atomic_load(&w->s->watch);

	watch->armed = false;
	atomic_fetch_add(&watch->reached, 1);
	if (call(w->s, watch))
		watch_arm(w);
}

/* ---- the session's thread ---- */

/* What the session's thread has to poll, or -1. */
int watch_session_fd(const struct fractal_session *s)
{
	const struct watch *watch = watch_of(s);

	return watch && watch->taken_over && !watch->since_ns ? watch->fd : -1;
}

static int doubt_ms(const struct watch *watch)
{
	return watch->taken_over ? GRACE_MS : DOUBT_MS;
}

/* For how long (ms) it may wait where it would wait for @ms. */
int watch_patience(const struct fractal_session *s, int ms)
{
	const struct watch *watch = watch_of(s);

	return watch && watch->since_ns && ms > doubt_ms(watch) ? doubt_ms(watch) : ms;
}

static bool is_readable(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

/* Has worker 0 come to it since the last look? */
static bool was_reached(struct watch *watch)
{
	uint32_t reached = atomic_load(&watch->reached), times = reached - watch->seen;

	watch->seen = reached;
	watch->first += times;
	if (watch->first >= FIRST)
		watch->taken_over = false;
	return times > 0;
}

/* Does what worker 0 does not come to. */
void watch_look(struct fractal_session *s)
{
	struct watch *watch = watch_of(s);

	if (!watch)
		return;
	if (was_reached(watch))
		watch->since_ns = 0;
	if (!is_readable(watch->fd)) {
		watch->since_ns = 0;
		return;
	}
	if (!watch->since_ns)
		watch->since_ns = now_ns();
	if (now_ns() - watch->since_ns < (uint64_t)doubt_ms(watch) * 1000000)
		return;
	watch->since_ns = 0;
	watch->first = 0;
	watch->taken_over = call(s, watch);
	if (watch->taken_over)
		fractal_worker_wake(&s->workers[0]);
}

/* Nobody calls any more. A call that goes on is waited for, but not for ever. */
void watch_end(struct fractal_session *s)
{
	struct watch *watch = watch_of(s);
	struct timespec deadline;

	if (!watch)
		return;
	atomic_store(&watch->over, true);
	clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_sec++;
	if (!pthread_mutex_timedlock(&watch->calling, &deadline))
		pthread_mutex_unlock(&watch->calling);
}

void watch_free(struct fractal_session *s)
{
	struct watch *watch = atomic_load(&s->watch);

	if (!watch)
		return;
	pthread_mutex_destroy(&watch->calling);
	free(watch);
}

/* ---- for embedders ---- */

int fractal_session_watch(struct fractal_session *s, int fd, fractal_watcher *fn, void *user)
{
	struct watch *watch = calloc(1, sizeof(*watch)), *none = NULL;

	if (!watch)
		return -ENOMEM;
	*watch = (struct watch){ .fd = fd, .fn = fn, .user = user };
	pthread_mutex_init(&watch->calling, NULL);
	if (!atomic_compare_exchange_strong(&s->watch, &none, watch)) {
		pthread_mutex_destroy(&watch->calling);
		free(watch);
		return -EBUSY;
	}
	/* Worker 0 begins to poll when it takes this. */
	fractal_worker_wake(&s->workers[0]);
	return 0;
}
