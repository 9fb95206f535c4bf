/* SPDX-License-Identifier: MIT */
/*
 * uring.c - FUSE over io_uring: a worker's ring serves the queues of one or several CPUs.
 *
 * Each entry is registered once; a completion brings a request in its header and payload, and COMMIT_AND_FETCH
 * sends the reply and asks for the next. The kernel copies a request in as task work of the thread that submitted
 * the entry, so between two io_uring_enter calls the worker owns the memory of all its entries.
 *
 * The loop submits alone, looks at the completion queue, and only then waits: the commit wakes the caller, and where
 * it shares the core its next request is often there when the call returns.
 */
#include "internal.h"
#include <errno.h>
#include <string.h>

#define DRAIN_MS 500

static void queue_command(struct fractal_worker *w, struct entry *e, uint32_t cmd_op)
{
	struct io_uring_sqe *sqe = ring_sqe(w);
	struct fractal_uring_cmd_req *cmd = (struct fractal_uring_cmd_req *)sqe->cmd;

	sqe->opcode = IORING_OP_URING_CMD;
	sqe->flags = IOSQE_FIXED_FILE;
	sqe->fd = 0;
	sqe->cmd_op = cmd_op;
	sqe->user_data = (uintptr_t)e;
	if (RARELY(cmd_op == FRACTAL_URING_CMD_REGISTER)) {
		sqe->addr = (uintptr_t)e->iov;
		sqe->len = 2;
	}
	cmd->qid = e->qid;
	cmd->commit_id = e->commit_id;
}

/* How many entries of a queue the kernel has refused, and why. */
static uint32_t count_refused(struct fractal_worker *w, uint32_t qid, int *error)
{
	struct io_uring_cqe *cqe;
	unsigned head;
	uint32_t n = 0;

	io_uring_for_each_cqe(&w->ring, head, cqe) {
		const struct entry *e = (const struct entry *)(uintptr_t)cqe->user_data;

		if (ring_is_completion(cqe->user_data) || e->qid != qid)
			continue;
		if (cqe->res < 0 && cqe->res != -ENOTCONN) {
			*error = cqe->res;
			n++;
		}
	}
	return n;
}

/*
 * Offers every entry to the kernel, which refuses at once or not at all. -errno when a queue has no entry left: the kernel
 * never uses the ring then. With fewer entries than offered it does, and so do we.
 */
int uring_register(struct fractal_worker *w)
{
	int rc;

	for (uint32_t i = 0; i < w->ring_entries; i++)
		queue_command(w, &w->entries[i], FRACTAL_URING_CMD_REGISTER);
	w->ring_live = w->ring_entries;
	ring_watch_wake(w);
	rc = io_uring_submit(&w->ring);
	if (rc < 0)
		return rc;
	for (uint32_t q = 0; q < w->queues; q++)
		if (count_refused(w, w->first_queue + q, &rc) == w->s->cfg.queue_depth)
			return rc;
	return 0;
}

/* The last completion of an entry: unmounted, aborted, or its ring is being torn down. */
static void entry_ended(struct fractal_worker *w, struct entry *e, int res)
{
	if (res == -ECONNABORTED)
		atomic_store(&w->s->aborted, true);
	else if (res != -ENOTCONN && res != -ECANCELED)
		session_log(w->s, FRACTAL_LOG_ERROR, "queue %u: the kernel refused an entry: %s",
			    e->qid, strerror(-res));
	if (w->ring_live > 0 && --w->ring_live == 0)
		w->finished = true;
}

static uint32_t count_held(const struct fractal_worker *w)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < w->ring_entries; i++)
		n += atomic_load(&w->entries[i].state) != ENTRY_FREE;
	return n;
}

/*
 * Takes the last completions of a connection that was cut under way, so that the entries' memory can be freed. The kernel
 * does not touch an entry whose request is still held. A request that comes yet has lost its caller.
 */
void uring_drain(struct fractal_worker *w)
{
	uint64_t deadline = now_ns() + DRAIN_MS * 1000000ull;
	int res;

	while (w->have_ring && w->ring_live > count_held(w) && now_ns() < deadline) {
		if (!ring_flush(w))
			ring_wait(w, DRAIN_MS / 10);
		while (w->ring_live > 0 && ring_next(w, &res))
			w->ring_live--;
	}
	if (w->ring_live <= count_held(w))
		w->ring_live = 0;
}

static void send_reply(struct fractal_worker *w, struct entry *e, int error, uint32_t len)
{
	struct fractal_uring_req_header *hdr = &e->area->hdr;
	struct fractal_out_header out = { .len = (uint32_t)sizeof(out) + len,
					  .error = error,
					  .unique = e->req.id };

	memcpy(hdr->in_out, &out, sizeof(out));
	hdr->ring_ent_in_out.payload_sz = len;
	queue_command(w, e, FRACTAL_URING_CMD_COMMIT_AND_FETCH);
}

/* Decodes what was copied into an entry; @in: its header. 0, -ENOSYS or -EPROTO. */
int uring_decode(struct entry *e, struct fractal_in_header *in)
{
	const struct fractal_uring_req_header *hdr = &e->area->hdr;
	uint32_t payload = hdr->ring_ent_in_out.payload_sz, body;

	memcpy(in, hdr->in_out, sizeof(*in));
	body = in->len - (uint32_t)sizeof(*in);
	if (in->len < sizeof(*in) || payload > body || payload > e->iov[1].iov_len)
		return -EPROTO;
	if (payload > e->touched)
		e->touched = payload;
	return request_decode(e, in, hdr->op_in, body - payload, e->payload, payload);
}

/* A request has been copied in. True when it is to be served; a malformed one is answered here. */
static bool arrived(struct fractal_worker *w, struct entry *e)
{
	struct fractal_in_header in;
	int rc = uring_decode(e, &in);

	e->commit_id = e->area->hdr.ring_ent_in_out.commit_id;
	if (RARELY(rc)) {
		if (rc == -EPROTO)
			session_log(w->s, FRACTAL_LOG_ERROR,
				    "malformed %s request of %u bytes refused",
				    fractal_op_name(in.opcode), in.len);
		entry_set_id(e, in.unique);
		send_reply(w, e, rc == -EPROTO ? -EIO : rc, 0);
		return false;
	}
	atomic_store_explicit(&e->state, ENTRY_HELD, memory_order_release);
	return true;
}

static struct entry *uring_next(struct fractal_worker *w)
{
	struct entry *e;
	int res;

	while ((e = ring_next(w, &res))) {
		if (RARELY(res))
			entry_ended(w, e, res);
		else if (arrived(w, e))
			return e;
	}
	return NULL;
}

static void uring_commit(struct fractal_worker *w, struct entry *e)
{
	if (RARELY(e->dev_fd >= 0)) {
		dev_transport.commit(w, e);
		return;
	}
	worker_account(w, e);
	atomic_store_explicit(&e->state, ENTRY_FREE, memory_order_release);
	send_reply(w, e, e->error, e->out_len);
}

const struct transport uring_transport = {
	.id = FRACTAL_TRANSPORT_URING,
	.next = uring_next,
	.commit = uring_commit,
};
