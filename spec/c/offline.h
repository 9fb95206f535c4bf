/* SPDX-License-Identifier: MIT */
/*
 * offline.h - a worker without a kernel: a socket stands in for /dev/fuse, and the test plays the kernel on its other end.
 *
 * The worker is a real one on the classic transport and runs on the test's thread. offline_ask() sends a request and
 * takes it from fractal_next(); after fractal_reply() the bytes that the kernel would get are read by offline_answer().
 * offline_ask_ring() puts a request into an entry as the ring does: headers and payload in two places, neither cleared.
 */
#ifndef FRACTAL_OFFLINE_H
#define FRACTAL_OFFLINE_H
#include "check.h"
#include "internal.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#define OFFLINE_MAX_WRITE 65536u
#define OFFLINE_UNIQUE	  1000

/* A request as the kernel would send it: in-structure, then names and data, then extensions. */
struct question {
	uint32_t opcode;
	uint64_t nodeid;
	const void *arg;
	uint32_t arg_len;
	const void *payload;
	uint32_t payload_len; /* with the extensions */
	uint32_t ext_len;     /* bytes of them, a multiple of 8 */
};

struct answer {
	struct fractal_out_header h;
	uint8_t payload[OFFLINE_MAX_WRITE * 2];
	uint32_t len; /* bytes of payload */
};

static struct {
	struct fractal_session *session;
	struct fractal_worker *worker;
	int kernel_fd; /* the test's end of the socket */
	int logged;    /* lines */
	char log[1024];
	uint64_t unique;
	struct answer answer;
} offline;

static inline void offline_log(enum fractal_log_level level, const char *text, void *user)
{
	offline.logged++;
	snprintf(offline.log, sizeof(offline.log), "%s", text);
}

static inline int offline_handler(struct fractal_request *req, void *user)
{
	return -ENOSYS;
}

/* @config: ttls and such, or NULL for defaults. */
static inline void offline_start(const struct fractal_config *config)
{
	static const struct fractal_handlers handlers = { .getattr = offline_handler };
	struct fractal_config c = config ? *config : (struct fractal_config){ 0 };
	int pair[2], size = 1 << 20;

	if (!c.handlers)
		c.handlers = &handlers;
	c.log = offline_log;
	c.transport = FRACTAL_TRANSPORT_DEV;
	c.workers = 1;
	c.max_write = OFFLINE_MAX_WRITE;
	if (!CHECK_INT(fractal_session_new(&offline.session, &c), 0))
		exit(check_result());
	if (!CHECK_INT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, pair), 0))
		exit(check_result());
	setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	offline.kernel_fd = pair[1];
	offline.unique = OFFLINE_UNIQUE;
	offline.logged = 0;
	offline.worker = fractal_session_worker(offline.session, 0);
	offline.worker->dev_fd = pair[0];
	offline.worker->tr = &dev_transport;
	offline.session->setxattr_ext = true;
	atomic_store(&offline.session->transport, FRACTAL_TRANSPORT_DEV);
	worker_self = offline.worker;
}

static inline void offline_stop(void)
{
	worker_self = NULL;
	fractal_session_free(offline.session);
	close(offline.kernel_fd);
	offline.session = NULL;
}

static inline struct fractal_in_header offline_header(const struct question *q)
{
	struct fractal_in_header in = {
		.len = (uint32_t)sizeof(in) + q->arg_len + q->payload_len,
		.opcode = q->opcode,
		.unique = offline.unique += 2,
		.nodeid = q->nodeid ? q->nodeid : 42,
		.uid = 1001,
		.gid = 1002,
		.pid = 1003,
		.total_extlen = (uint16_t)(q->ext_len / 8),
	};
	return in;
}

/* Sends a request the classic way. */
static inline void offline_send(const struct question *q)
{
	struct fractal_in_header in = offline_header(q);
	struct iovec v[3] = { { &in, sizeof(in) },
			      { (void *)q->arg, q->arg_len },
			      { (void *)q->payload, q->payload_len } };
	struct msghdr m = { .msg_iov = v, .msg_iovlen = 3 };

	CHECK_INT(sendmsg(offline.kernel_fd, &m, 0), in.len);
}

/* Sends a request and takes it; NULL where the library dealt with it. */
static inline struct fractal_request *offline_ask(const struct question *q)
{
	struct fractal_request *req;

	offline_send(q);
	req = fractal_next(offline.worker);
	/* Now and then a worker takes nothing, for the sake of its other work. */
	return req ? req : fractal_next(offline.worker);
}

/* Reads what went to the kernel. False when nothing did. */
static inline bool offline_answer(void)
{
	struct answer *a = &offline.answer;
	struct iovec v[2] = { { &a->h, sizeof(a->h) }, { a->payload, sizeof(a->payload) } };
	struct msghdr m = { .msg_iov = v, .msg_iovlen = 2 };
	ssize_t n = recvmsg(offline.kernel_fd, &m, MSG_DONTWAIT);

	memset(a->payload + (n > 16 ? n - 16 : 0), 0xee, 512);
	a->len = n > 16 ? (uint32_t)n - 16 : 0;
	if (n < 0)
		return false;
	CHECK_INT(a->h.len, n);
	CHECK_INT(a->h.unique, offline.unique);
	return true;
}

/* The one reply that the request in hand got, its error; CHECKs that there is exactly one. */
static inline int offline_error(void)
{
	struct fractal_out_header extra;

	if (!CHECK(offline_answer()))
		return INT32_MIN;
	CHECK(recv(offline.kernel_fd, &extra, sizeof(extra), MSG_DONTWAIT) < 0);
	return offline.answer.h.error;
}

/*
 * Puts a request into entry 0 as the ring does, over memory full of an earlier request's bytes, and decodes it. 0 or
 * -errno, as request_decode() says.
 */
static inline int offline_ask_ring(const struct question *q, struct fractal_request **req)
{
	struct entry *e = &offline.worker->entries[0];
	struct fractal_in_header in = offline_header(q);
	int rc;

	memset(&e->area->hdr, 'S', sizeof(e->area->hdr));
	memset(e->payload, 'S', offline.session->payload_cap);
	if (q->arg_len)
		memcpy(e->area->hdr.op_in, q->arg, q->arg_len);
	if (q->payload_len)
		memcpy(e->payload, q->payload, q->payload_len);
	rc = request_decode(e, &in, e->area->hdr.op_in, q->arg_len, e->payload, q->payload_len);
	*req = &e->req;
	return rc;
}

#endif
