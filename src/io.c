/* SPDX-License-Identifier: MIT */
/*
 * io.c - operations that a handler or task waits for: io_uring requests on the worker's own ring, calls on threads of the
 * session's pool where no ring does them, and events that another thread completes.
 *
 * Life: fractal_io_new → fractal_io_start (or nothing, for an event) → fractal_io_wait → … → fractal_io_take gives
 * it back with its result → fractal_io_free. An operation's buffers stay the kernel's until it is taken, also
 * after a cancel. FUSE_INTERRUPT cancels what the interrupted request waits for; the end of the mount cancels all.
 */
#define _GNU_SOURCE
#include "internal.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

/* Tasks may wait this often after the mount's end (to clean up); later waits never return. */
#define LATE_WAITS 1000u
#define DRAIN_MS   500

#define ONCE_NO_RING 63 /* for fractal_session_first(); opcodes lie below */

enum io_state {
	IO_NEW,
	IO_RUNNING, /* in the ring */
	IO_POOLED,  /* the pool's, or posted by it */
	IO_WAITING, /* an event nobody has completed */
	IO_DONE,
};

struct io {
	struct fractal_io pub; /* first: a public pointer is ours */
	struct completion completion;
	struct fractal_worker *w;
	struct io *next, *prev;	     /* among the worker's live operations */
	struct io *next_done;	     /* in the done list or the inbox */
	struct __kernel_timespec ts; /* of the linked timeout, or of a sleep */
	_Atomic int state;
	int32_t posted;		  /* result given by another thread */
	_Atomic int cancel_asked; /* by another thread: the errno to end with */
	int cancel_error;
	bool timed;
	bool is_sleep;
	bool is_close;	/* never cancelled, or its descriptor would be lost */
	struct job job; /* last: filled in where the pool has it */
};

static void push_done(struct io *io, int32_t result)
{
	struct fractal_worker *w = io->w;

	atomic_store(&io->state, IO_DONE);
	io->pub.result = result;
	io->next_done = NULL;
	*w->done_tail = io;
	w->done_tail = &io->next_done;
}

/* A completion on the ring. */
static void io_completed(struct fractal_worker *w, struct completion *c, int res, unsigned flags)
{
	struct io *io = (struct io *)((char *)c - offsetof(struct io, completion));

	(void)flags;
	w->ring_ios--;
	if (io->is_sleep && res == -ETIME)
		res = 0;
	else if (io->cancel_error && (res == -ECANCELED || res == -EINTR))
		res = -io->cancel_error;
	else if (io->timed && (res == -ECANCELED || res == -EINTR))
		res = -ETIMEDOUT;
	push_done(io, res);
}

struct fractal_io *fractal_io_new(struct fractal_worker *w)
{
	struct io *io = w->free_ios;
	struct entry *current = atomic_load_explicit(&w->current, memory_order_relaxed);

	if (io)
		w->free_ios = io->next;
	else
		io = malloc(sizeof(*io));
	if (!io)
		return NULL;
	memset(io, 0, offsetof(struct io, job));
	io->w = w;
	io->completion.fn = io_completed;
	io->pub.req = current ? &current->req : NULL;
	io->next = w->live_ios;
	if (io->next)
		io->next->prev = io;
	w->live_ios = io;
	return &io->pub;
}

void fractal_io_free(struct fractal_io *pub)
{
	struct io *io = (struct io *)pub;
	struct fractal_worker *w = io->w;

	if (io->prev)
		io->prev->next = io->next;
	else
		w->live_ios = io->next;
	if (io->next)
		io->next->prev = io->prev;
	io->next = w->free_ios;
	w->free_ios = io;
}

static void set_ts(struct io *io, double seconds)
{
	io->ts.tv_sec = (int64_t)seconds;
	io->ts.tv_nsec = (int64_t)((seconds - (double)io->ts.tv_sec) * 1e9);
}

static void link_timeout(struct io *io, double seconds)
{
	struct io_uring_sqe *sqe = ring_sqe(io->w);

	io->timed = true;
	set_ts(io, seconds);
	sqe->opcode = IORING_OP_LINK_TIMEOUT;
	sqe->addr = (uintptr_t)&io->ts;
	sqe->len = 1;
	sqe->user_data = RING_NOBODY;
}

static uint64_t nanoseconds(double seconds)
{
	return seconds > 0 ? (uint64_t)(seconds * 1e9) : 0;
}

/* Hands io->job to the pool, its call filled in. */
static int start_in_pool(struct io *io, double timeout)
{
	struct fractal_worker *w = io->w;
	int rc;

	if (w->ios_closed && !io->is_close)
		return 0; /* the wait ends at once */
	io->job.is_close = io->is_close;
	if (timeout >= 0)
		io->job.deadline_ns = now_ns() + nanoseconds(timeout);
	atomic_store(&io->state, IO_POOLED);
	w->pool_ios++;
	rc = pool_submit(w->s, &io->job);
	if (rc) {
		w->pool_ios--;
		atomic_store(&io->state, IO_NEW);
	}
	return rc;
}

/* What the ring would do, by the pool. */
static int start_ringless(struct io *io, const struct io_uring_sqe *wanted, double timeout)
{
	struct job *job = &io->job;

	if (!io->w->have_ring && fractal_session_first(io->w->s, ONCE_NO_RING))
		session_log(
			io->w->s, FRACTAL_LOG_WARN,
			"io_uring is not allowed here: what handlers wait for runs on threads, which is slower "
			"(sysctl kernel.io_uring_disabled=0 allows it)");
	memset(job, 0, sizeof(*job));
	memcpy(&job->sqe, wanted, offsetof(struct io_uring_sqe, cmd));
	job->call = FRACTAL_CALL_OF_RING;
	job->fd = wanted->fd;
	job->events = call_events(job);
	job->is_poll = wanted->opcode == IORING_OP_POLL_ADD;
	job->is_sleep = io->is_sleep;
	if (io->is_sleep)
		timeout = (double)io->ts.tv_sec + (double)io->ts.tv_nsec / 1e9;
	return start_in_pool(io, timeout);
}

static bool ring_does(const struct fractal_worker *w, uint8_t opcode)
{
	return w->have_ring && opcode < 64 && (w->ring_ops >> opcode & 1);
}

/* Queues an entry. */
static int start(struct io *io, const struct io_uring_sqe *wanted, double timeout)
{
	struct fractal_worker *w = io->w;
	struct io_uring_sqe *sqe;

	io->is_close = wanted->opcode == IORING_OP_CLOSE;
	if (!ring_does(w, wanted->opcode))
		return start_ringless(io, wanted, timeout);
	if (w->ios_closed && !io->is_close)
		return 0; /* the wait ends at once */
	/* A timeout is linked to the entry before it: both go in one submission. */
	if (io_uring_sq_space_left(&w->ring) < 2)
		io_uring_submit(&w->ring);
	sqe = ring_sqe(w);
	memcpy(sqe, wanted, offsetof(struct io_uring_sqe, cmd));
	sqe->user_data = ring_tag(&io->completion);
	if (timeout >= 0) {
		sqe->flags |= IOSQE_IO_LINK;
		link_timeout(io, timeout);
	}
	atomic_store(&io->state, IO_RUNNING);
	w->ring_ios++;
	return 0;
}

int fractal_io_start(struct fractal_io *pub, uint8_t opcode, int fd, const void *addr, uint32_t len,
		     uint64_t off, uint32_t flags, double timeout)
{
	struct io_uring_sqe sqe = { .opcode = opcode, .fd = fd, .len = len };

	sqe.addr = (uintptr_t)addr;
	sqe.off = off;
	sqe.rw_flags = (int)flags;
	return start((struct io *)pub, &sqe, timeout);
}

int fractal_io_read_cached(int fd, void *buffer, uint32_t len, uint64_t offset, bool buffered)
{
	struct iovec v = { buffer, len };
	int flags = buffered ? 0 : fcntl(fd, F_GETFL);
	ssize_t n;

	if (flags < 0 || flags & O_DIRECT)
		return -EAGAIN;
	n = preadv2(fd, &v, 1, (off_t)offset, RWF_NOWAIT);
	/* Less may be the end of the file, or of what is cached. */
	return n == (ssize_t)len ? (int)n : -EAGAIN;
}

int fractal_io_splice(struct fractal_io *pub, int from, int64_t from_off, int to, int64_t to_off,
		      uint32_t len, uint32_t flags, double timeout)
{
	struct io_uring_sqe sqe = { .opcode = IORING_OP_SPLICE, .fd = to, .len = len };

	sqe.off = (uint64_t)to_off;
	sqe.splice_fd_in = from;
	sqe.splice_off_in = (uint64_t)from_off;
	sqe.splice_flags = flags;
	return start((struct io *)pub, &sqe, timeout);
}

int fractal_io_sleep(struct fractal_io *pub, double seconds)
{
	struct io *io = (struct io *)pub;

	set_ts(io, seconds > 0 ? seconds : 0);
	io->is_sleep = true;
	return fractal_io_start(pub, IORING_OP_TIMEOUT, -1, &io->ts, 1, 0, 0, -1);
}

int fractal_io_call(struct fractal_io *pub, enum fractal_call call, const int64_t arg[6],
		    double timeout)
{
	struct io *io = (struct io *)pub;

	if (!call_is_known(call))
		return -EINVAL;
	memset(&io->job, 0, sizeof(io->job));
	io->job.call = call;
	memcpy(io->job.arg, arg, sizeof(io->job.arg));
	return start_in_pool(io, timeout);
}

int fractal_io_resolve(struct fractal_io *pub, const char *host, struct fractal_address *out,
		       double timeout)
{
	struct io *io = (struct io *)pub;
	size_t size = strlen(host) + 1;
	struct lookup *lookup = calloc(1, sizeof(*lookup) + size);
	int rc;

	if (!lookup)
		return -ENOMEM;
	memcpy(lookup->host, host, size);
	lookup->out = out;
	memset(&io->job, 0, sizeof(io->job));
	io->job.lookup = lookup;
	rc = start_in_pool(io, timeout);
	if (rc || atomic_load(&io->state) == IO_NEW)
		free(lookup);
	return rc;
}

void fractal_io_cancel(struct fractal_io *pub, int error)
{
	struct io *io = (struct io *)pub;
	int waiting = IO_WAITING;

	if (worker_self != io->w) {
		/* The ring is its own thread's: that one looks for it. */
		atomic_store(&io->cancel_asked, error);
		atomic_store(&io->w->interrupts, true);
		fractal_worker_wake(io->w);
		return;
	}
	if (io->cancel_error || io->is_close)
		return;
	if (atomic_load(&io->state) == IO_RUNNING) {
		struct io_uring_sqe *sqe = ring_sqe(io->w);

		io->cancel_error = error;
		sqe->opcode = IORING_OP_ASYNC_CANCEL;
		sqe->fd = -1;
		sqe->addr = ring_tag(&io->completion);
		sqe->user_data = RING_NOBODY;
	} else if (atomic_load(&io->state) == IO_POOLED) {
		if (!pool_withdraw(io->w->s, &io->job, error))
			return;
		io->w->pool_ios--;
		push_done(io, -error);
	} else if (atomic_compare_exchange_strong(&io->state, &waiting, IO_DONE)) {
		io->cancel_error = error;
		push_done(io, -error);
	}
}

void fractal_io_wait(struct fractal_io *pub)
{
	struct io *io = (struct io *)pub;
	struct fractal_worker *w = io->w;
	int new = IO_NEW;

	/* Its handler leaves the worker now. */
	atomic_store_explicit(&w->current, NULL, memory_order_relaxed);
	atomic_compare_exchange_strong(&io->state, &new, IO_WAITING);
	if (w->ios_closed && w->late_waits++ < LATE_WAITS)
		fractal_io_cancel(pub, ECANCELED);
	else if (pub->req && fractal_interrupted(pub->req))
		fractal_io_cancel(pub, EINTR);
}

/* Gives a result to the operation's worker. Any thread. */
static void post(struct io *io, int result)
{
	struct fractal_worker *w = io->w;
	struct io *head = atomic_load(&w->io_inbox);

	io->posted = result;
	do {
		io->next_done = head;
	} while (!atomic_compare_exchange_weak(&w->io_inbox, &head, io));
	fractal_worker_wake(w);
}

bool fractal_io_complete(struct fractal_io *pub, int result)
{
	struct io *io = (struct io *)pub;
	struct fractal_worker *w = io->w;
	int expected = IO_WAITING;

	if (!atomic_compare_exchange_strong(&io->state, &expected, IO_DONE)) {
		expected = IO_NEW;
		if (!atomic_compare_exchange_strong(&io->state, &expected, IO_DONE))
			return false;
	}
	if (worker_self == w) {
		push_done(io, result);
		return true;
	}
	post(io, result);
	return true;
}

void job_done(struct job *job, int result)
{
	post((struct io *)((char *)job - offsetof(struct io, job)), result);
}

/* Results that other threads have posted, oldest first. */
static void take_posted(struct fractal_worker *w)
{
	struct io *io, *next, *in_order = NULL;

	for (io = atomic_exchange(&w->io_inbox, NULL); io; io = next) {
		next = io->next_done;
		io->next_done = in_order;
		in_order = io;
	}
	for (io = in_order; io; io = next) {
		next = io->next_done;
		if (atomic_load(&io->state) == IO_POOLED)
			w->pool_ios--;
		push_done(io, io->posted);
	}
}

struct fractal_io *fractal_io_take(struct fractal_worker *w)
{
	struct io *io;

	if (atomic_load_explicit(&w->io_inbox, memory_order_relaxed))
		take_posted(w);
	if (!w->done_ios && w->ring_ios > 0)
		ring_reap(w);
	io = w->done_ios;
	worker_moves(w);
	atomic_store_explicit(&w->in_task, io && !io->pub.req, memory_order_relaxed);
	if (!io)
		return NULL;
	w->done_ios = io->next_done;
	if (!w->done_ios)
		w->done_tail = &w->done_ios;
	/* What it goes on with is this request again. */
	atomic_store_explicit(&w->current, (struct entry *)io->pub.req, memory_order_relaxed);
	return &io->pub;
}

/* Cancels what interrupted requests wait for, and what other threads want cancelled. */
void io_cancel_interrupted(struct fractal_worker *w)
{
	struct io *io, *next;

	if (!atomic_load_explicit(&w->interrupts, memory_order_relaxed))
		return;
	atomic_store(&w->interrupts, false);
	for (io = w->live_ios; io; io = next) {
		int asked = atomic_load(&io->cancel_asked);

		next = io->next;
		if (asked)
			fractal_io_cancel(&io->pub, asked);
		else if (io->pub.req && fractal_interrupted(io->pub.req))
			fractal_io_cancel(&io->pub, EINTR);
	}
}

/* The mount has ended: every wait ends with ECANCELED. */
void io_close_all(struct fractal_worker *w)
{
	struct io *io, *next;

	if (w->ios_closed)
		return;
	w->ios_closed = true;
	for (io = w->live_ios; io; io = next) {
		next = io->next;
		fractal_io_cancel(&io->pub, ECANCELED);
	}
}

/* Is anything left that will still come back? */
bool io_pending(const struct fractal_worker *w)
{
	return w->ring_ios > 0 || w->pool_ios > 0 || w->done_ios || atomic_load(&w->io_inbox);
}

static void await_ring(struct fractal_worker *w)
{
	struct __kernel_timespec pause = { .tv_nsec = DRAIN_MS / 10 * 1000000LL };
	struct io_uring_cqe *cqe;
	int res;

	if (!ring_flush(w))
		io_uring_submit_and_wait_timeout(&w->ring, &cqe, 1, &pause, NULL);
	while (w->ring_ios > 0 && ring_next(w, &res))
		if (w->ring_live > 0)
			w->ring_live--;
}

/* Waits for a wake-up by another thread, such as one that has posted a result. */
void io_await_posted(struct fractal_worker *w, int timeout_ms)
{
	struct pollfd p = { .fd = w->wake_fd, .events = POLLIN };

	if (!atomic_load(&w->io_inbox) && poll(&p, 1, timeout_ms) > 0)
		worker_take_wake(w);
}

/* The last completions of operations whose worker is leaving: until then the kernel may use their buffers. */
void io_drain(struct fractal_worker *w)
{
	uint64_t deadline = now_ns() + DRAIN_MS * 1000000ull;

	io_close_all(w);
	while ((w->ring_ios > 0 || w->pool_ios > 0) && now_ns() < deadline) {
		if (w->ring_ios > 0)
			await_ring(w);
		else
			io_await_posted(w, DRAIN_MS / 10);
		take_posted(w);
	}
}

void io_free_all(struct fractal_worker *w)
{
	struct io *io, *next;

	for (io = w->live_ios; io; io = next) {
		next = io->next;
		free(io);
	}
	for (io = w->free_ios; io; io = next) {
		next = io->next;
		free(io);
	}
	w->live_ios = w->free_ios = NULL;
}
