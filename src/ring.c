/* SPDX-License-Identifier: MIT */
/*
 * ring.c - a worker's io_uring: made on its own thread, shared by FUSE requests (uring.c) and by operations that
 * handlers wait for (io.c).
 *
 * user_data is an entry's address, or a struct completion's with the lowest bit set.
 */
#include "internal.h"
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define TAG_COMPLETION 1u
#define SPARE_SQES     64u

uint64_t ring_tag(struct completion *c)
{
	return (uintptr_t)c | TAG_COMPLETION;
}

bool ring_is_completion(uint64_t user_data)
{
	return user_data & TAG_COMPLETION;
}

/* A zeroed submission entry; hands over what is queued when there is no room. */
struct io_uring_sqe *ring_sqe(struct fractal_worker *w)
{
	struct io_uring_sqe *sqe;

	while (!(sqe = io_uring_get_sqe(&w->ring)))
		io_uring_submit(&w->ring);
	memset(sqe, 0, 128);
	return sqe;
}

/* Lets wake-ups from other threads end a wait on the ring. */
void ring_watch_wake(struct fractal_worker *w)
{
	struct io_uring_sqe *sqe = ring_sqe(w);

	io_uring_prep_poll_multishot(sqe, w->wake_fd, POLLIN);
	sqe->user_data = ring_tag(&w->wake_done);
}

static void woken(struct fractal_worker *w, struct completion *c, int res, unsigned flags)
{
	(void)c;
	(void)res;
	worker_take_wake(w);
	if (!(flags & IORING_CQE_F_MORE) && !w->finished)
		ring_watch_wake(w);
}

/* Which operations this kernel has; the pool does the others. */
static uint64_t supported_operations(struct io_uring *ring)
{
	struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
	uint64_t bits = 0;

	for (int op = 0; probe && op < 64; op++)
		if (io_uring_opcode_supported(probe, op))
			bits |= 1ull << op;
	io_uring_free_probe(probe);
	return bits;
}

/* Makes the ring on the worker's own thread (SINGLE_ISSUER). Nothing is promised to the kernel yet. */
int ring_setup(struct fractal_worker *w)
{
	uint32_t n = w->ring_entries + SPARE_SQES;
	struct io_uring_params p = {
		.flags = IORING_SETUP_SQE128 | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE |
			 IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
			 IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_CLAMP,
		.cq_entries = n * 2,
	};
	int rc = io_uring_queue_init_params(n, &w->ring, &p);

	if (rc)
		return rc;
	/* A forked child must not keep the connection alive through this ring. */
	io_uring_ring_dontfork(&w->ring);
	rc = io_uring_register_files(&w->ring, &w->s->mnt.fd, 1);
	if (rc) {
		io_uring_queue_exit(&w->ring);
		return rc;
	}
	io_uring_register_ring_fd(&w->ring);
	w->wake_done.fn = woken;
	w->ring_ops = supported_operations(&w->ring);
	w->have_ring = true;
	return 0;
}

/*
 * Makes completions readable on a descriptor, for a loop that polls. (poll(2) of a ring with deferred task work wakes nobody;
 * its eventfd is signalled.)
 */
int ring_signal_completions(struct fractal_worker *w)
{
	w->ring_event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->ring_event_fd < 0)
		return -errno;
	return io_uring_register_eventfd(&w->ring, w->ring_event_fd);
}

void ring_teardown(struct fractal_worker *w)
{
	if (!w->have_ring)
		return;
	io_uring_queue_exit(&w->ring);
	w->have_ring = false;
}

static struct io_uring_cqe *first_completion(struct fractal_worker *w)
{
	struct io_uring_cqe *cqe;
	unsigned head;

	io_uring_for_each_cqe(&w->ring, head, cqe) {
		return cqe;
	}
	return NULL;
}

/* Takes an operation's completion off the queue and runs its function. */
static void run_completion(struct fractal_worker *w, const struct io_uring_cqe *cqe)
{
	struct completion *c =
		(struct completion *)(uintptr_t)(cqe->user_data & ~(uint64_t)TAG_COMPLETION);
	int res = cqe->res;
	unsigned flags = cqe->flags;

	io_uring_cq_advance(&w->ring, 1);
	if (c)
		c->fn(w, c, res, flags);
}

/* Takes the completions of operations that lie before the next entry's, which is returned if it is there. */
static const struct io_uring_cqe *reap(struct fractal_worker *w)
{
	const struct io_uring_cqe *cqe;

	while ((cqe = first_completion(w)) && RARELY(ring_is_completion(cqe->user_data)))
		run_completion(w, cqe);
	return cqe;
}

void ring_reap(struct fractal_worker *w)
{
	reap(w);
}

/* Waits for completions, at most so long. False on time-out. */
bool ring_wait_for(struct fractal_worker *w, int timeout_ms)
{
	struct __kernel_timespec ts = { .tv_sec = timeout_ms / 1000,
					.tv_nsec = timeout_ms % 1000 * 1000000LL };
	struct io_uring_cqe *cqe;

	io_uring_submit_and_wait_timeout(&w->ring, &cqe, 1, &ts, NULL);
	return io_uring_cq_ready(&w->ring) != 0;
}

/* Takes the next completion of an entry, which is returned with its result, and those of operations before it. */
struct entry *ring_next(struct fractal_worker *w, int *res)
{
	const struct io_uring_cqe *cqe = reap(w);
	struct entry *e;

	if (!cqe)
		return NULL;
	e = (struct entry *)(uintptr_t)cqe->user_data;
	*res = cqe->res;
	io_uring_cq_advance(&w->ring, 1);
	return e;
}

/*
 * Marks the entries whose requests lie in the completion queue, not yet taken, as used. False when the ring still holds more
 * than can be seen: replies not handed over, completions that found no room.
 */
bool ring_mark_arrived(struct fractal_worker *w)
{
	struct io_uring_cqe *cqe;
	unsigned head;

	if (io_uring_sq_ready(&w->ring) || io_uring_cq_has_overflow(&w->ring))
		return false;
	io_uring_for_each_cqe(&w->ring, head, cqe) {
		if (!ring_is_completion(cqe->user_data))
			((struct entry *)(uintptr_t)cqe->user_data)->used = true;
	}
	return true;
}
