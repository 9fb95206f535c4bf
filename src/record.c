/* SPDX-License-Identifier: MIT */
/*
 * record.c - writes what a session is asked and answers to a file; record.h has its format.
 *
 * All workers write into one buffer under one lock. A request is recorded when it is taken, a reply before it is sent, so that the
 * file's order is one that the requests can be asked in again.
 */
#include "record.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BUFFER_SIZE (256u << 10)

struct recorder {
	pthread_mutex_t lock;
	int fd;
	bool with_data;
	uint64_t start_ns; /* monotonic */
	uint8_t *buffer;
	size_t used;
	int error; /* of the first write that failed; nothing is written from then on */
};

int fractal_session_record(struct fractal_session *s, int fd, bool with_data)
{
	struct recorder *r = calloc(1, sizeof(*r));

	if (!r)
		return -ENOMEM;
	pthread_mutex_init(&r->lock, NULL);
	r->fd = fd;
	r->with_data = with_data;
	r->buffer = malloc(BUFFER_SIZE);
	s->recorder = r;
	return r->buffer ? 0 : -ENOMEM;
}

void record_free(struct fractal_session *s)
{
	struct recorder *r = s->recorder;

	if (!r)
		return;
	pthread_mutex_destroy(&r->lock);
	free(r->buffer);
	free(r);
	s->recorder = NULL;
}

/* ---- the buffer; all of it under the lock ---- */

static void write_out(struct fractal_session *s, const uint8_t *bytes, size_t len)
{
	struct recorder *r = s->recorder;

	while (len > 0 && !r->error) {
		ssize_t n = write(r->fd, bytes, len);

		if (n < 0 && errno != EINTR) {
			r->error = errno;
			session_log(s, FRACTAL_LOG_ERROR,
				    "the recording ends here: writing it failed: %s",
				    strerror(r->error));
		}
		bytes += n > 0 ? n : 0;
		len -= n > 0 ? (size_t)n : 0;
	}
}

static void empty(struct fractal_session *s)
{
	write_out(s, s->recorder->buffer, s->recorder->used);
	s->recorder->used = 0;
}

static void put(struct fractal_session *s, const void *bytes, size_t len)
{
	struct recorder *r = s->recorder;

	if (!len)
		return;
	if (len > BUFFER_SIZE - r->used)
		empty(s);
	if (len > BUFFER_SIZE) {
		write_out(s, bytes, len);
		return;
	}
	memcpy(r->buffer + r->used, bytes, len);
	r->used += len;
}

void record_flush(struct fractal_session *s)
{
	pthread_mutex_lock(&s->recorder->lock);
	empty(s);
	pthread_mutex_unlock(&s->recorder->lock);
}

/* ---- records ---- */

void record_init(struct fractal_session *s, const struct fractal_init_out *out)
{
	struct recorder *r = s->recorder;
	struct record_file head = {
		.magic = RECORD_MAGIC,
		.version = RECORD_VERSION,
		.size = sizeof(head),
		.flags = r->with_data ? 0 : RECORD_WITHOUT_DATA,
		.payload_cap = s->payload_cap,
		.workers = s->nworkers,
		.page_size = s->page_size,
		.init_in = s->init_in,
		.init_out = *out,
	};
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	head.start_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	r->start_ns = now_ns();
	pthread_mutex_lock(&r->lock);
	put(s, &head, sizeof(head));
	pthread_mutex_unlock(&r->lock);
}

static void put_head(struct fractal_session *s, const struct entry *e, int type, uint32_t body,
		     uint32_t omitted)
{
	struct record_head head = {
		.size = (uint32_t)sizeof(head) + body,
		.type = (uint16_t)type,
		.worker = (uint16_t)e->req.worker->id,
		.time_ns = now_ns() - s->recorder->start_ns,
		.omitted = omitted,
	};

	put(s, &head, sizeof(head));
}

/* The data of a request that are not needed to ask it again. */
static uint32_t spare_data(const struct fractal_request *req)
{
	return req->opcode == FRACTAL_OP_BATCH_FORGET ? 0 : req->data_len;
}

void record_request(struct fractal_session *s, const struct entry *e)
{
	const struct fractal_request *req = &e->req;
	const struct op_info *op = op_lookup(req->opcode);
	uint32_t name = req->name ? req->name_len + 1 : 0,
		 name2 = req->name2 ? req->name2_len + 1 : 0;
	uint32_t omitted = s->recorder->with_data ? 0 : spare_data(req);
	struct fractal_in_header in = {
		.len = (uint32_t)sizeof(in) + op->in_size + name + name2 + req->data_len +
		       req->ext_len,
		.opcode = req->opcode,
		.unique = req->id,
		.nodeid = req->nodeid,
		.uid = req->uid,
		.gid = req->gid,
		.pid = req->pid,
		.total_extlen = (uint16_t)(req->ext_len / 8),
	};

	pthread_mutex_lock(&s->recorder->lock);
	put_head(s, e, RECORD_REQUEST, in.len - omitted, omitted);
	put(s, &in, sizeof(in));
	put(s, req->arg, op->in_size);
	put(s, req->name, name);
	put(s, req->name2, name2);
	put(s, req->data, req->data_len - omitted);
	put(s, req->ext, req->ext_len);
	pthread_mutex_unlock(&s->recorder->lock);
}

/* Bytes at the end of a reply that are contents of a file or of an extended attribute. */
static uint32_t spare_reply(const struct entry *e)
{
	uint32_t head = (uint32_t)sizeof(struct fractal_ioctl_out);

	switch (e->req.opcode) {
	case FRACTAL_OP_READ:
		return e->out_len;
	case FRACTAL_OP_GETXATTR:
		return e->req.arg->getxattr.size ? e->out_len : 0;
	case FRACTAL_OP_IOCTL:
		return e->out_len > head ? e->out_len - head : 0;
	default:
		return 0;
	}
}

void record_reply(struct fractal_session *s, const struct entry *e)
{
	uint32_t omitted = s->recorder->with_data ? 0 : spare_reply(e);
	struct fractal_out_header out = {
		.len = (uint32_t)sizeof(out) + e->out_len,
		.error = e->error,
		.unique = e->req.id,
	};

	if (op_lookup(e->req.opcode)->reply == FRACTAL_REPLY_NONE)
		return;
	pthread_mutex_lock(&s->recorder->lock);
	put_head(s, e, RECORD_REPLY, out.len - omitted, omitted);
	put(s, &out, sizeof(out));
	put(s, e->payload, e->out_len - omitted);
	pthread_mutex_unlock(&s->recorder->lock);
}
