/* SPDX-License-Identifier: MIT */
/*
 * worker.c - one thread per CPU: its loop and its inbox.
 */
#define _GNU_SOURCE
#include "record.h"
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define SIDE_ENTRIES 64u /* worker 0: forgets and early requests read by the session's thread */

_Thread_local struct fractal_worker *worker_self;

int worker_init(struct fractal_worker *w, struct fractal_session *s, int id)
{
	uint32_t n = s->nworkers, q = s->queues;
	int rc;

	w->s = s;
	w->id = id;
	w->dev_fd = w->ring_event_fd = -1;
	w->ready_tail = &w->ready_head;
	w->done_tail = &w->done_ios;
	w->first_queue = (uint32_t)id * q / n;
	w->queues = ((uint32_t)id + 1) * q / n - w->first_queue;
	w->dev_entries = id == 0 && s->cfg.queue_depth < SIDE_ENTRIES ? SIDE_ENTRIES
								      : s->cfg.queue_depth;
	if (s->cfg.transport != FRACTAL_TRANSPORT_DEV)
		w->ring_entries = w->queues * s->cfg.queue_depth;
	w->tr = &uring_transport;
	w->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->wake_fd < 0)
		return -errno;
	rc = payload_map(w);
	return rc || !s->cfg.trace ? rc : trace_new(w);
}

/* After the thread has ended. Memory that the kernel may still write to is left alone. */
void worker_destroy(struct fractal_worker *w)
{
	struct fractal_retrieved *r, *next;

	for (r = fractal_worker_take_retrieved(w); r; r = next) {
		next = r->next;
		fractal_retrieved_free(r);
	}
	for (struct fractal_mail *m = fractal_worker_receive(w), *rest; m; m = rest) {
		rest = m->next;
		fractal_mail_free(m);
	}
	if (w->wake_fd >= 0)
		close(w->wake_fd);
	if (w->ring_event_fd >= 0)
		close(w->ring_event_fd);
	if (w->dev_fd >= 0)
		close(w->dev_fd);
	io_free_all(w);
	stats_free(w);
	trace_free(w);
	payload_unmap(w);
}

/* ---- requests in and out ---- */

void worker_append_ready(struct fractal_worker *w, struct entry *e)
{
	e->next = NULL;
	*w->ready_tail = e;
	w->ready_tail = &e->next;
}

/* Puts an entry into the inbox of its worker, from any thread. */
void worker_post(struct fractal_worker *w, struct entry *e, enum entry_mail mail)
{
	struct entry *head = atomic_load(&w->inbox);

	atomic_store(&e->mail, (int)mail);
	/* Still there only where a request had two replies: what comes of it is decided when it is taken. */
	if (atomic_exchange(&e->in_mail, true))
		return;
	do {
		e->next = head;
	} while (!atomic_compare_exchange_weak(&w->inbox, &head, e));
	fractal_worker_wake(w);
}

void fractal_worker_wake(struct fractal_worker *w)
{
	uint64_t one = 1;

	if (!atomic_exchange(&w->wake_pending, true) && write(w->wake_fd, &one, sizeof(one)) < 0)
		session_log(w->s, FRACTAL_LOG_ERROR, "waking worker %d: %s", w->id,
			    strerror(errno));
}

/* The wake descriptor is readable: from now on it can be written again. */
void worker_take_wake(struct fractal_worker *w)
{
	uint64_t count;

	w->woken = true;
	if (read(w->wake_fd, &count, sizeof(count)) > 0)
		atomic_store(&w->wake_pending, false);
	watch_arm(w);
}

/* Empties the inbox, oldest first: replies are sent, requests wait on the ready list. */
static void take_mail(struct fractal_worker *w)
{
	struct entry *e, *next, *in_order = NULL;

	if (!RARELY(atomic_load_explicit(&w->inbox, memory_order_relaxed)))
		return;
	for (e = atomic_exchange(&w->inbox, NULL); e; e = next) {
		next = e->next;
		e->next = in_order;
		in_order = e;
	}
	for (e = in_order; e; e = next) {
		next = e->next;
		atomic_store(&e->in_mail, false);
		if (atomic_load(&e->mail) == MAIL_REPLY)
			reply_posted(e);
		else
			worker_append_ready(w, e);
	}
}

static struct entry *take_ready(struct fractal_worker *w)
{
	struct entry *e = w->ready_head;

	if (RARELY(e)) {
		w->ready_head = e->next;
		if (!w->ready_head)
			w->ready_tail = &w->ready_head;
	}
	return e;
}

/* Only the worker's thread writes it, so nothing has to be locked. */
static void change_held(struct fractal_worker *w, int by)
{
	uint32_t held = atomic_load_explicit(&w->held, memory_order_relaxed);

	atomic_store_explicit(&w->held, held + (uint32_t)by, memory_order_relaxed);
}

struct fractal_request *fractal_next(struct fractal_worker *w)
{
	struct entry *e;

again:
	take_mail(w);
	e = take_ready(w);
	if (!e)
		e = w->tr->next(w);
	if (!e)
		return NULL;
	change_held(w, 1);
	worker_moves(w);
	atomic_store_explicit(&w->current, e, memory_order_release);
	if (RARELY(atomic_load_explicit(&w->s->measuring, memory_order_acquire)))
		stats_taken(w, e);
	if (RARELY(e->req.opcode == FRACTAL_OP_NOTIFY_REPLY)) {
		notify_retrieved(e);
		goto again;
	}
	if (RARELY(w->s->recorder))
		record_request(w->s, e);
	interrupt_check_early(w->s, e);
	return &e->req;
}

/* Book-keeping of a reply that goes out now. On the worker's thread. */
void worker_account(struct fractal_worker *w, struct entry *e)
{
	change_held(w, -1);
	if (atomic_load_explicit(&w->current, memory_order_relaxed) == e)
		atomic_store_explicit(&w->current, NULL, memory_order_relaxed);
	payload_account(w, e);
	stats_answered(w, e);
	if (RARELY(w->s->recorder) && e->req.opcode != FRACTAL_OP_NOTIFY_REPLY)
		record_reply(w->s, e);
}

/* ---- the thread ---- */

/* Pins the thread to the CPUs whose queues it serves; where that is not allowed it floats. */
static void pin(struct fractal_worker *w)
{
	cpu_set_t set;
	char name[16];

	snprintf(name, sizeof(name), "fractal/%d", w->id);
	pthread_setname_np(pthread_self(), name);
	if (w->s->cfg.no_pin)
		return;
	CPU_ZERO(&set);
	for (uint32_t q = 0; q < w->queues; q++)
		CPU_SET(w->first_queue + q, &set);
	pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

/* What the session settled on: a refused registration has made the kernel use /dev/fuse, and so do we. */
static int follow_transport(struct fractal_worker *w)
{
	int rc;

	if (atomic_load(&w->s->transport) != FRACTAL_TRANSPORT_DEV)
		return 0;
	w->tr = w->s->replay ? &replay_transport : &dev_transport;
	rc = w->s->replay ? 0 : dev_open_clone(w);
	return rc || !w->have_ring ? rc : ring_signal_completions(w);
}

static bool over(struct fractal_worker *w)
{
	if (RARELY(w->finished || atomic_load(&w->s->gone)))
		io_close_all(w);
	return atomic_load(&w->s->quit) || (w->finished && w->held == 0 && !io_pending(w));
}

static bool has_work(const struct fractal_worker *w)
{
	return atomic_load(&w->inbox) || atomic_load(&w->io_inbox) || w->done_ios || w->ready_head;
}

int fractal_worker_poll(struct fractal_worker *w)
{
	/* Before the mount serves, wake-ups by other threads do not end a wait on the ring. */
	struct __kernel_timespec tick = { .tv_nsec = w->pool_ios ? 1000000LL : 100000000LL };
	struct pollfd stop = { .fd = w->s->control_fd, .events = POLLIN };
	struct io_uring_cqe *cqe;
	int res;

	if (!w->have_ring)
		io_await_posted(w, has_work(w) ? 0 : 100);
	else if (!ring_flush(w) && !has_work(w))
		io_uring_submit_and_wait_timeout(&w->ring, &cqe, 1, &tick, NULL);
	/* Nothing is registered yet, so only operations complete. */
	if (w->have_ring)
		ring_next(w, &res);
	/* A stop ends the waits of a hook that nobody else can reach. */
	if (poll(&stop, 1, 0) > 0)
		io_close_all(w);
	return atomic_load(&w->s->quit) ? -ECANCELED : 0;
}

/*
 * Hands over what is queued, and waits when that brings nothing. Few functions lie between here and the system calls: after one
 * the processor has forgotten where its callers return to.
 */
static inline __attribute__((always_inline)) void turn(struct fractal_worker *w)
{
	bool came;

	io_cancel_interrupted(w);
	payload_arm_trim(w);
	came = w->have_ring && ring_flush(w);
	if (RARELY(w->trim_due))
		payload_trim(w);
	if (came || has_work(w))
		return;
	if (RARELY(w->trace))
		trace_rest(w, false);
	if (!(w->tr->wait ? w->tr->wait(w, payload_patience(w))
			  : ring_wait(w, payload_patience(w))))
		w->trim_due = true;
}

/* Is there anything to do but requests, for which the serve hook has to return? */
static bool has_other_work(struct fractal_worker *w)
{
	return w->woken || has_work(w) || atomic_load(&w->mail) || atomic_load(&w->retrieved) ||
	       over(w);
}

int fractal_next_slot(struct fractal_worker *w)
{
	const struct fractal_request *req = fractal_next(w);

	while (!req && w->may_stay && !has_other_work(w)) {
		atomic_store_explicit(&w->serving, false, memory_order_relaxed);
		worker_moves(w);
		turn(w);
		atomic_store_explicit(&w->serving, true, memory_order_relaxed);
		req = fractal_next(w);
	}
	return req ? (int)req->slot : -1;
}

void fractal_worker_stay(struct fractal_worker *w, bool may_stay)
{
	w->may_stay = may_stay;
}

static int serve(struct fractal_worker *w)
{
	const struct fractal_config *cfg = &w->s->cfg;
	int rc;

	while (!over(w)) {
		turn(w);
		w->woken = false;
		atomic_store_explicit(&w->serving, true, memory_order_relaxed);
		rc = cfg->serve ? cfg->serve(w, cfg->user) : dispatch_serve(w, cfg->user);
		atomic_store_explicit(&w->serving, false, memory_order_relaxed);
		worker_moves(w);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int run_hook(struct fractal_worker *w, enum session_phase phase)
{
	const struct fractal_config *cfg = &w->s->cfg;

	if (phase == PHASE_INIT)
		return w->id == 0 && cfg->init ? cfg->init(w->s, &w->s->conn, cfg->user) : 0;
	return cfg->worker_start ? cfg->worker_start(w, cfg->user) : 0;
}

void *worker_main(void *arg)
{
	struct fractal_worker *w = arg;
	struct fractal_session *s = w->s;
	enum session_phase phase;
	bool started = false;
	int rc;

	worker_self = w;
	atomic_store(&w->tid, gettid());
	pin(w);
	w->start_error = ring_setup(w);
	phase = session_arrive(s, PHASE_SETUP, 0);
	while (phase == PHASE_INIT || phase == PHASE_START) {
		started |= phase == PHASE_START;
		phase = session_arrive(s, phase, run_hook(w, phase));
	}
	if (phase == PHASE_REGISTER) {
		w->start_error = s->transport == FRACTAL_TRANSPORT_URING ? uring_register(w) : 0;
		phase = session_arrive(s, phase, 0);
	}
	if (phase == PHASE_SERVE) {
		rc = follow_transport(w);
		if (!rc)
			rc = serve(w);
		if (rc < 0) {
			session_log(s, FRACTAL_LOG_ERROR, "worker %d: %s", w->id, strerror(-rc));
			session_fail(s, rc);
		}
	}
	/* First, since the hook may free what operations still read or write. */
	io_drain(w);
	if (started && s->cfg.worker_stop)
		s->cfg.worker_stop(w, s->cfg.user);
	uring_drain(w);
	ring_teardown(w);
	if (w->trace)
		trace_rest(w, true);
	atomic_store(&w->ended, true);
	session_note(s);
	return NULL;
}

/* ---- for embedders ---- */

struct fractal_request *fractal_worker_in_hand(const struct fractal_worker *w)
{
	struct entry *e = atomic_load_explicit(&w->current, memory_order_relaxed);

	return e ? &e->req : NULL;
}

struct fractal_worker *fractal_worker_current(void)
{
	return worker_self;
}

int fractal_worker_id(const struct fractal_worker *w)
{
	return w->id;
}

struct fractal_session *fractal_worker_session(const struct fractal_worker *w)
{
	return w->s;
}

void *fractal_worker_user(const struct fractal_worker *w)
{
	return w->user;
}

void fractal_worker_set_user(struct fractal_worker *w, void *user)
{
	w->user = user;
}

int fractal_worker_slots(const struct fractal_worker *w)
{
	return (int)(w->ring_entries + w->dev_entries);
}

struct fractal_request *fractal_worker_request(const struct fractal_worker *w, int slot)
{
	return &w->entries[slot].req;
}
