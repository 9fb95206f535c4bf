/* SPDX-License-Identifier: MIT */
/*
 * devfuse.c - the classic transport: requests are read from /dev/fuse and replies written back to it.
 *
 * Each worker has a descriptor of its own, cloned where the device may be opened (FUSE_DEV_IOC_CLONE), else the
 * session's; a reply goes to the descriptor its request came from. While the ring runs, the session's thread
 * still reads what never comes over it (forgets, interrupts, early requests) with the same functions.
 *
 * A request is read so that the data of a WRITE begin on the payload's first byte: header (40) and write_in (40)
 * lie just before it.
 */
#include "record.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#define LEAD		   (sizeof(struct fractal_in_header) + sizeof(struct fractal_write_in))
#define FUSE_DEV_IOC_CLONE _IOR(229, 0, uint32_t)
#define ROUND		   64 /* requests */

/* The worker's own descriptor. Without permission to open the device again all share the session's. */
int dev_open_clone(struct fractal_worker *w)
{
	uint32_t master = (uint32_t)w->s->mnt.fd;
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (fd >= 0 && ioctl(fd, FUSE_DEV_IOC_CLONE, &master) == 0) {
		w->dev_fd = fd;
		return 0;
	}
	if (fd >= 0)
		close(fd);
	w->dev_fd = fcntl(w->s->mnt.fd, F_DUPFD_CLOEXEC, 0);
	return w->dev_fd < 0 ? -errno : 0;
}

/* A FREE entry to read into, HELD from now on. Where all workers are stuck the session's thread takes some, too. */
struct entry *dev_take_entry(struct fractal_worker *w)
{
	for (uint32_t i = w->ring_entries; i < w->ring_entries + w->dev_entries; i++) {
		_Atomic int *state = &w->entries[i].state;
		int expected = ENTRY_FREE;

		if (atomic_load_explicit(state, memory_order_relaxed) == ENTRY_FREE &&
		    atomic_compare_exchange_strong(state, &expected, ENTRY_HELD))
			return &w->entries[i];
	}
	return NULL;
}

static void answer_at_once(int fd, uint64_t unique, int error)
{
	struct fractal_out_header out = { .len = sizeof(out), .error = error, .unique = unique };

	if (write(fd, &out, sizeof(out)) < 0) {
		/* The request may be gone already (interrupted, aborted): nobody waits then. */
	}
}

/* How many bytes of in-structure an opcode brings on this connection. */
static uint32_t in_struct_size(const struct fractal_session *s, uint32_t opcode, uint32_t rest)
{
	const struct op_info *op = op_lookup(opcode);
	uint32_t size = op ? op->in_size : 0;

	if (opcode == FRACTAL_OP_SETXATTR && !s->setxattr_ext)
		size = 8;
	return size < rest ? size : rest;
}

/* Where a request's first byte goes, so that a WRITE's data begin on the payload's. */
uint8_t *dev_raw(const struct entry *e)
{
	return e->payload - LEAD;
}

/* How long a request may be. */
size_t dev_room(const struct fractal_session *s)
{
	return LEAD + s->payload_cap;
}

/* An INTERRUPT was decoded. It is recorded first: the answer that it brings about has to stand behind it. */
static void interrupted(struct fractal_worker *w, struct entry *e)
{
	if (w->s->recorder)
		record_request(w->s, e);
	interrupt_deliver(w->s, e->req.arg->interrupt.unique);
	if (w->trace)
		trace_unanswered(e);
}

/*
 * Decodes the request of @n bytes that lies at dev_raw() of an entry. False when it was dealt with here (an interrupt, a malformed
 * request).
 */
bool dev_decode(struct fractal_worker *w, int fd, struct entry *e, size_t n)
{
	uint8_t *raw = dev_raw(e);
	struct fractal_in_header in;
	uint32_t in_size, rest;
	int rc;

	memcpy(&in, raw, n < sizeof(in) ? n : sizeof(in));
	if (n < sizeof(in) || in.len != n)
		return false;
	rest = (uint32_t)(n - sizeof(in));
	in_size = in_struct_size(w->s, in.opcode, rest);
	if (n > LEAD)
		e->touched = e->touched > n - LEAD ? e->touched : (uint32_t)(n - LEAD);
	rc = request_decode(e, &in, raw + sizeof(in), in_size, raw + sizeof(in) + in_size,
			    rest - in_size);
	if (in.opcode == FRACTAL_OP_INTERRUPT) {
		if (rc == 0)
			interrupted(w, e);
		return false;
	}
	if (rc) {
		if (rc == -EPROTO)
			session_log(w->s, FRACTAL_LOG_ERROR,
				    "malformed %s request of %zu bytes refused",
				    fractal_op_name(in.opcode), n);
		if (fractal_op_reply_kind(in.opcode) != FRACTAL_REPLY_NONE)
			answer_at_once(fd, in.unique, rc == -EPROTO ? -EIO : rc);
		return false;
	}
	e->dev_fd = fd;
	return true;
}

/* dev_read() without the entry's state. */
static ssize_t read_request(struct fractal_worker *w, int fd, struct entry *e)
{
	ssize_t n;

	do {
		n = read(fd, dev_raw(e), dev_room(w->s));
	} while (n < 0 && (errno == EINTR || errno == ENOENT));
	if (n < 0)
		return -errno;
	if (!dev_decode(w, fd, e, (size_t)n))
		return 0;
	if (own_refuse(w->s, e)) {
		answer_at_once(fd, e->req.id, -EDEADLK);
		return 0;
	}
	return n;
}

/*
 * Reads one request into an entry that was taken, and decodes it. Returns its length; 0 when it was dealt with here (an
 * interrupt, a malformed request); -EAGAIN when none waits; -ENODEV or -ECONNABORTED at the end. The entry is FREE again
 * where there is no request in it.
 */
ssize_t dev_read(struct fractal_worker *w, int fd, struct entry *e)
{
	ssize_t n = read_request(w, fd, e);

	if (n <= 0)
		atomic_store_explicit(&e->state, ENTRY_FREE, memory_order_release);
	return n;
}

static void connection_ended(struct fractal_worker *w, int error)
{
	w->finished = true;
	if (error == -ECONNABORTED)
		atomic_store(&w->s->aborted, true);
	else if (error != -ENODEV)
		session_log(w->s, FRACTAL_LOG_ERROR, "reading /dev/fuse: %s", strerror(-error));
}

static struct entry *dev_next(struct fractal_worker *w)
{
	int res;

	/* However many requests come, what else waits for this worker has its turn. */
	if (w->dev_round++ == ROUND) {
		w->dev_round = 0;
		return NULL;
	}
	/* Entries in the ring are what was left of a refused registration. */
	if (w->have_ring && ring_next(w, &res) && w->ring_live > 0)
		w->ring_live--;
	while (!w->finished) {
		struct entry *e = dev_take_entry(w);
		ssize_t n;

		if (!e)
			return NULL;
		n = dev_read(w, w->dev_fd, e);
		if (n > 0)
			return e;
		if (n == -EAGAIN)
			break;
		if (n < 0)
			connection_ended(w, (int)n);
	}
	w->dev_round = 0;
	return NULL;
}

/* Reads one thing ahead while a handler runs: an interrupt is marked, a request waits on the ready list. */
void dev_look_ahead(struct fractal_worker *w)
{
	struct entry *e = w->finished ? NULL : dev_take_entry(w);

	if (e && dev_read(w, w->dev_fd, e) > 0)
		worker_append_ready(w, e);
}

static void dev_commit(struct fractal_worker *w, struct entry *e)
{
	struct fractal_out_header out = {
		.len = (uint32_t)sizeof(out) + e->out_len,
		.error = e->error,
		.unique = e->req.id,
	};
	struct iovec v[2] = { { &out, sizeof(out) }, { e->payload, e->out_len } };

	worker_account(w, e);
	if (fractal_op_reply_kind(e->req.opcode) != FRACTAL_REPLY_NONE &&
	    e->req.opcode != FRACTAL_OP_NOTIFY_REPLY &&
	    writev(e->dev_fd, v, e->out_len ? 2 : 1) < 0 && errno != ENOENT && errno != ENODEV &&
	    errno != ECONNABORTED)
		session_log(w->s, FRACTAL_LOG_ERROR,
			    "reply to %s of inode %llu refused by the kernel: %s",
			    fractal_op_name(e->req.opcode), (unsigned long long)e->req.nodeid,
			    strerror(errno));
	atomic_store_explicit(&e->state, ENTRY_FREE, memory_order_release);
}

static bool dev_wait(struct fractal_worker *w, int timeout_ms)
{
	struct pollfd p[4] = {
		{ .fd = w->wake_fd, .events = POLLIN },
		{ .fd = w->ring_event_fd, .events = POLLIN },
		{ .fd = w->finished ? -1 : w->dev_fd, .events = POLLIN },
		{ .fd = watch_fd(w), .events = POLLIN },
	};
	uint64_t count;
	int n = poll(p, ARRAY_SIZE(p), timeout_ms);

	if (p[0].revents)
		worker_take_wake(w);
	if (p[1].revents && read(w->ring_event_fd, &count, sizeof(count)) > 0)
		io_uring_get_events(&w->ring);
	if (p[3].revents)
		watch_reached(w);
	return n != 0;
}

const struct transport dev_transport = {
	.id = FRACTAL_TRANSPORT_DEV,
	.next = dev_next,
	.commit = dev_commit,
	.wait = dev_wait,
};
