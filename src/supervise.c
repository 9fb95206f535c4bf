/* SPDX-License-Identifier: MIT */
/*
 * supervise.c - what the session's own thread does while workers serve: it reads what never comes over the ring,
 * and brings the mount to its end.
 *
 * A stop unmounts politely: retried while busy, then lazily, and a lazily detached mount is closed once nothing is
 * under way. After 10 s, or at a second stop, the connection is cut: every caller gets an error, and handlers that
 * did not return are named.
 */
#include "record.h"
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE_NS   10000000000ull
#define LAST_WAIT_NS  2000000000ull /* longer than workers take to drain rings that nobody ends */
#define BUSY_TRIES    20
#define BUSY_PAUSE_US 50000
#define TICK_MS	      100
#define WATCH_MS      500
#define QUIET_TICKS   5

struct supervisor {
	struct fractal_session *s;
	pthread_t unmounter;
	bool unmounting;	/* its thread was started */
	_Atomic bool lazy;	/* the mount was detached while in use */
	_Atomic bool unmounted; /* that thread has done its work */
	bool device_gone;	/* nothing more to read from /dev/fuse */
	uint64_t stops;
	uint64_t deadline_ns;
	uint64_t served; /* requests answered when last looked at */
	int quiet;
};

static uint64_t take_count(int fd)
{
	uint64_t n = 0;

	return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

static bool all_ended(struct fractal_session *s)
{
	for (uint32_t i = 0; i < s->nworkers; i++)
		if (!atomic_load(&s->workers[i].ended))
			return false;
	return true;
}

static uint32_t requests_held(struct fractal_session *s)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < s->nworkers; i++)
		n += atomic_load(&s->workers[i].held);
	return n;
}

/* The connection is over: what handlers and tasks wait for is cancelled. */
static void end_waits(struct fractal_session *s)
{
	atomic_store(&s->gone, true);
	for (uint32_t i = 0; i < s->nworkers; i++)
		fractal_worker_wake(&s->workers[i]);
}

/* ---- /dev/fuse beside the ring ---- */

/* Forgets and early requests go to worker 0; interrupts are marked here, so that even a stuck worker's caller gets through. */
static void read_side(struct supervisor *v)
{
	struct fractal_worker *w = &v->s->workers[0];

	for (;;) {
		struct entry *e = dev_take_entry(w);
		ssize_t n;

		if (!e) {
			usleep(1000);
			return;
		}
		n = dev_read(w, v->s->mnt.fd, e);
		if (n > 0)
			worker_post(w, e, MAIL_REQUEST);
		else if (n == -EAGAIN)
			return;
		else if (n < 0) {
			if (n == -ECONNABORTED)
				atomic_store(&v->s->aborted, true);
			v->device_gone = true;
			end_waits(v->s);
			return;
		}
	}
}

static void wait_for_news(struct supervisor *v, int timeout_ms)
{
	struct fractal_session *s = v->s;
	bool side = atomic_load(&s->transport) == FRACTAL_TRANSPORT_URING && !v->device_gone;
	struct pollfd p[4] = {
		{ .fd = s->control_fd, .events = POLLIN },
		{ .fd = s->done_fd, .events = POLLIN },
		{ .fd = side ? s->mnt.fd : -1, .events = POLLIN },
		{ .fd = watch_session_fd(s), .events = POLLIN },
	};

	poll(p, ARRAY_SIZE(p), watch_patience(s, timeout_ms));
	v->stops += take_count(s->control_fd);
	take_count(s->done_fd);
	if (p[2].revents)
		read_side(v);
}

/* ---- the end ---- */

static void *unmount_main(void *arg)
{
	struct supervisor *v = arg;
	int rc = -EBUSY;

	for (int i = 0; i < BUSY_TRIES && rc == -EBUSY; i++) {
		if (i)
			usleep(BUSY_PAUSE_US);
		rc = mount_detach(&v->s->mnt, false);
	}
	if (rc) {
		session_log(v->s, FRACTAL_LOG_WARN,
			    "%s is busy: detached, it ends when nothing is under way",
			    v->s->mnt.mountpoint);
		mount_detach(&v->s->mnt, true);
		atomic_store(&v->lazy, true);
	}
	atomic_store(&v->unmounted, true);
	session_note(v->s);
	return NULL;
}

static void begin_unmount(struct supervisor *v)
{
	v->deadline_ns = now_ns() + PATIENCE_NS;
	v->unmounting = pthread_create(&v->unmounter, NULL, unmount_main, v) == 0;
	if (!v->unmounting)
		unmount_main(v);
}

/*
 * An unmount drops every cached inode, and a million of them are forgotten one by one: while that goes on, nobody is stuck.
 */
static bool forgetting(struct supervisor *v)
{
	struct fractal_op_stats sum;
	uint64_t served = 0;
	bool progress;

	for (uint32_t op = 0; op < FRACTAL_OP_COUNT; op++) {
		fractal_session_stats(v->s, op, &sum);
		served += sum.count;
	}
	progress = served != v->served;
	v->served = served;
	return progress && !atomic_load(&v->unmounted);
}

/* Says what keeps workers from their end. */
static void name_stuck_handlers(struct fractal_session *s)
{
	for (uint32_t i = 0; i < s->nworkers; i++) {
		struct fractal_worker *w = &s->workers[i];
		struct entry *e = atomic_load(&w->current);

		if (atomic_load(&w->ended))
			continue;
		if (!e) {
			session_log(
				s, FRACTAL_LOG_ERROR,
				"worker %u did not end in time: a task or hook holds it, or its CPU is taken",
				i);
			continue;
		}
		session_log(
			s, FRACTAL_LOG_ERROR,
			"worker %u: handler %s of inode %llu%s%s did not return; its caller gets an error",
			i, fractal_op_name(e->req.opcode), (unsigned long long)e->req.nodeid,
			e->req.name ? ", name " : "", e->req.name ? e->req.name : "");
	}
}

/* The end of a connection that was cut. */
static int tell_what_was_cut(struct fractal_session *s, uint32_t requests)
{
	if (requests == 0)
		return 0;
	session_log(s, FRACTAL_LOG_ERROR, "requests under way: %u; their callers got an error",
		    requests);
	return -ECONNABORTED;
}

static void dismiss(struct fractal_session *s)
{
	atomic_store(&s->quit, true);
	for (uint32_t i = 0; i < s->nworkers; i++)
		fractal_worker_wake(&s->workers[i]);
}

static void await_workers(struct supervisor *v, uint64_t deadline)
{
	while (!all_ended(v->s) && now_ns() < deadline)
		wait_for_news(v, TICK_MS);
}

/* Cuts the connection. -ETIMEDOUT when a worker's thread cannot be brought back. */
static int give_up(struct supervisor *v)
{
	struct fractal_session *s = v->s;
	uint64_t deadline = now_ns() + LAST_WAIT_NS;
	uint32_t held = requests_held(s);

	/* In this order: once detached, the connection's number may be another mount's. */
	mount_abort(&s->mnt);
	mount_detach(&s->mnt, true);
	/* Handlers that wait see ECANCELED and may clean up; then the others are left behind. */
	end_waits(s);
	await_workers(v, deadline - LAST_WAIT_NS / 2);
	dismiss(s);
	await_workers(v, deadline);
	if (all_ended(s))
		return tell_what_was_cut(s, held);
	name_stuck_handlers(s);
	if (v->unmounting)
		pthread_detach(v->unmounter);
	return -ETIMEDOUT;
}

/* A detached mount that nobody has a request in: the last holders only have files open. */
static bool gone_quiet(struct supervisor *v)
{
	if (!atomic_load(&v->lazy))
		return false;
	v->quiet = requests_held(v->s) ? 0 : v->quiet + 1;
	return v->quiet >= QUIET_TICKS;
}

static int supervise(struct supervisor *v)
{
	struct fractal_session *s = v->s;

	while (!all_ended(s)) {
		wait_for_news(v, v->stops || s->cfg.trace ? TICK_MS : WATCH_MS);
		watchdog_look(s);
		watch_look(s);
		/* The handler that all wait for may wait for a request that only this thread is left to read. */
		if (atomic_load(&s->transport) == FRACTAL_TRANSPORT_DEV && !v->device_gone &&
		    watchdog_all_held(s) && own_may_wait(s))
			read_side(v);
		if (s->cfg.trace)
			trace_look(s);
		if (s->recorder)
			record_flush(s);
		if (!v->stops)
			continue;
		if (!v->deadline_ns)
			begin_unmount(v);
		if (forgetting(v))
			v->deadline_ns = now_ns() + PATIENCE_NS;
		if (v->stops > 1 || now_ns() > v->deadline_ns || gone_quiet(v))
			return give_up(v);
	}
	/* An unmount takes the mount away; an abort leaves it behind, answering nobody. */
	if (!v->stops && (s->aborted || mount_is_attached(&s->mnt))) {
		session_log(s, FRACTAL_LOG_ERROR, "the connection of %s was aborted",
			    s->mnt.mountpoint);
		return -ECONNABORTED;
	}
	return 0;
}

int session_supervise(struct fractal_session *s)
{
	struct supervisor v = { .s = s };
	int rc = supervise(&v);

	if (rc != -ETIMEDOUT && v.unmounting)
		pthread_join(v.unmounter, NULL);
	return rc;
}
