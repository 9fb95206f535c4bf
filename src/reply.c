/* SPDX-License-Identifier: MIT */
/*
 * reply.c - prepares the place of a reply when its request arrives, and turns a handler's result into payload.
 *
 * Exactly one reply for each request: the entry's state decides, whoever comes second gets -EALREADY. Replies are written and
 * committed on the worker's thread; another thread only posts its result there.
 */
#include "internal.h"
#include <errno.h>
#include <string.h>
#include <time.h>

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint32_t min_u32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}

/* Sets out, reply_data and reply_cap by the operation, with the defaults that fractal.h promises. */
void reply_prepare(struct entry *e, const struct op_info *op)
{
	struct fractal_request *req = &e->req;
	const struct fractal_session *s = req->worker->s;
	const struct reply_defaults *defaults = reply_defaults(s);
	uint32_t used;

	req->out = (union fractal_out *)e->payload;
	req->reply_data = e->payload;
	switch (op->reply) {
	case FRACTAL_REPLY_ENTRY:
		req->out->entry = defaults->entry;
		break;
	case FRACTAL_REPLY_CREATE:
		req->out->create.entry = defaults->entry;
		memset(&req->out->create.open, 0, sizeof(req->out->create.open));
		break;
	case FRACTAL_REPLY_ATTR:
		req->out->attr = defaults->attr;
		break;
	case FRACTAL_REPLY_STATFS:
		memset(&req->out->statfs, 0, sizeof(req->out->statfs));
		req->out->statfs.bsize = req->out->statfs.frsize = 4096;
		req->out->statfs.namelen = 255;
		break;
	case FRACTAL_REPLY_STATX:
		memset(&req->out->statx, 0, sizeof(req->out->statx));
		req->out->statx.attr_valid = defaults->attr.attr_valid;
		req->out->statx.attr_valid_nsec = defaults->attr.attr_valid_nsec;
		req->out->statx.stat.nlink = 1;
		req->out->statx.stat.uid = s->uid;
		req->out->statx.stat.gid = s->gid;
		req->out->statx.stat.blksize = s->page_size;
		req->out->statx.stat.ino = req->nodeid;
		req->out->statx.stat.blocks = (uint64_t)FRACTAL_BLOCKS_UNSET;
		break;
	case FRACTAL_REPLY_LK:
		req->out->lk.lk = req->arg->lk.lk;
		break;
	case FRACTAL_REPLY_DATA:
		req->reply_cap = req->opcode == FRACTAL_OP_READ ? req->arg->read.size
								: s->page_size - 1;
		break;
	case FRACTAL_REPLY_DIRENTS:
		req->reply_cap = req->arg->read.size;
		break;
	case FRACTAL_REPLY_XATTR:
		req->reply_cap = req->arg->getxattr.size;
		break;
	case FRACTAL_REPLY_IOCTL:
		/* The argument fills the payload's front: the reply is gathered behind it. */
		used = (req->arg->ioctl.in_size + 63) & ~63u;
		req->out = (union fractal_out *)e->area->scratch;
		memset(&req->out->ioctl, 0, sizeof(req->out->ioctl));
		req->reply_data = e->payload + used;
		req->reply_cap = req->arg->ioctl.out_size;
		if (used + sizeof(req->out->ioctl) >= s->payload_cap)
			req->reply_cap = 0;
		else
			req->reply_cap = min_u32(req->reply_cap, s->payload_cap - used - 16);
		break;
	case FRACTAL_REPLY_OPEN:
	case FRACTAL_REPLY_BMAP:
	case FRACTAL_REPLY_POLL:
	case FRACTAL_REPLY_LSEEK:
	case FRACTAL_REPLY_COPIED:
		memset(req->out, 0, sizeof(req->out->open));
		break;
	default:
		/* The payload may hold the request's data: WRITE, SETXATTR. */
		break;
	}
	req->reply_cap = min_u32(req->reply_cap, s->payload_cap);
}

static void finish_attr(struct fractal_attr *attr, uint64_t ino)
{
	if (!attr->ino)
		attr->ino = ino;
	if (attr->blocks == (uint64_t)FRACTAL_BLOCKS_UNSET)
		attr->blocks = (attr->size + 511) / 512;
}

/* A name that is not there: remembered by the kernel where the session has a negative_ttl. */
static int finish_negative(struct entry *e, struct fractal_entry_out *out)
{
	double ttl = reply_defaults(e->req.worker->s)->negative_ttl;

	if (e->req.opcode != FRACTAL_OP_LOOKUP || !(ttl > 0))
		return -ENOENT;
	memset(out, 0, sizeof(*out));
	split_ttl(ttl, &out->entry_valid, &out->entry_valid_nsec);
	return sizeof(*out);
}

static int finish_xattr(struct entry *e, uint32_t len)
{
	struct fractal_request *req = &e->req;

	if (req->arg->getxattr.size == 0) {
		req->out->getxattr = (struct fractal_getxattr_out){ .size = len };
		return sizeof(req->out->getxattr);
	}
	return len > req->reply_cap ? -ERANGE : (int)len;
}

static int finish_ioctl(struct entry *e, uint32_t len)
{
	struct fractal_request *req = &e->req;

	if (len > req->reply_cap)
		return -EPROTO;
	memmove(e->payload + sizeof(req->out->ioctl), req->reply_data, len);
	memcpy(e->payload, &req->out->ioctl, sizeof(req->out->ioctl));
	return (int)(sizeof(req->out->ioctl) + len);
}

static int finish_open(struct fractal_request *req, uint64_t nodeid,
		       const struct fractal_open_out *open, size_t size)
{
	int rc = 0;

	if (open->open_flags & FRACTAL_FOPEN_PASSTHROUGH)
		rc = backing_opened(req, nodeid, open);
	return rc ? rc : (int)size;
}

/* Payload length of a successful reply, an -errno for the caller, or -EPROTO when the result makes no sense. */
static int finish(struct entry *e, uint32_t result)
{
	struct fractal_request *req = &e->req;
	union fractal_out *out = req->out;

	switch (fractal_op_reply_kind(req->opcode)) {
	case FRACTAL_REPLY_ENTRY:
	case FRACTAL_REPLY_CREATE:
		if (!out->entry.nodeid)
			return finish_negative(e, &out->entry);
		finish_attr(&out->entry.attr, out->entry.nodeid);
		if (fractal_op_reply_kind(req->opcode) == FRACTAL_REPLY_ENTRY)
			return sizeof(out->entry);
		return finish_open(req, out->entry.nodeid, &out->create.open, sizeof(out->create));
	case FRACTAL_REPLY_ATTR:
		finish_attr(&out->attr.attr, req->nodeid);
		return sizeof(out->attr);
	case FRACTAL_REPLY_OPEN:
		return finish_open(req, req->nodeid, &out->open, sizeof(out->open));
	case FRACTAL_REPLY_DATA:
		return result > req->reply_cap ? -EPROTO : (int)result;
	case FRACTAL_REPLY_DIRENTS:
		return (int)req->reply_len;
	case FRACTAL_REPLY_WRITE:
		out->write = (struct fractal_write_out){ .size = result };
		return sizeof(out->write);
	case FRACTAL_REPLY_STATFS:
		return sizeof(out->statfs);
	case FRACTAL_REPLY_XATTR:
		return finish_xattr(e, result);
	case FRACTAL_REPLY_LK:
		return sizeof(out->lk);
	case FRACTAL_REPLY_BMAP:
		return sizeof(out->bmap);
	case FRACTAL_REPLY_IOCTL:
		return finish_ioctl(e, result);
	case FRACTAL_REPLY_POLL:
		return sizeof(out->poll);
	case FRACTAL_REPLY_LSEEK:
		return sizeof(out->lseek);
	case FRACTAL_REPLY_STATX:
		if (out->statx.stat.blocks == (uint64_t)FRACTAL_BLOCKS_UNSET)
			out->statx.stat.blocks = (out->statx.stat.size + 511) / 512;
		return sizeof(out->statx);
	case FRACTAL_REPLY_COPIED:
		if (result)
			out->copied.bytes_copied = result;
		return sizeof(out->copied);
	default:
		return 0;
	}
}

/* Writes a count too large for the operation's caller as -EPROTO. */
static int check_result(const struct fractal_request *req, int result)
{
	if (result < -FRACTAL_MAX_ERRNO)
		return -EPROTO;
	if (req->opcode == FRACTAL_OP_WRITE && result > 0 &&
	    (uint32_t)result > req->arg->write.size)
		return -EPROTO;
	return result;
}

/* Writes the reply and sends it. On the worker's thread. 0, or -EINVAL for a result that makes no sense. */
static int answer(struct entry *e, int result)
{
	struct fractal_request *req = &e->req;
	struct fractal_worker *w = req->worker;
	int rc = 0, len;

	req->epoch++;
	len = check_result(req, result);
	if (len == -ENOENT && req->opcode == FRACTAL_OP_LOOKUP)
		len = finish_negative(e, &req->out->entry);
	else if (len >= 0)
		len = finish(e, (uint32_t)len);
	if (RARELY(len == -EPROTO && result != -EPROTO)) {
		session_log(
			w->s, FRACTAL_LOG_ERROR,
			"%s of inode %llu: result %d does not fit the request; the caller gets EIO",
			fractal_op_name(req->opcode), (unsigned long long)req->nodeid, result);
		rc = -EINVAL;
		len = -EIO;
	}
	if (req->opcode == FRACTAL_OP_RELEASE)
		backing_released(req);
	e->error = len < 0 ? len : 0;
	e->out_len = len < 0 ? 0 : (uint32_t)len;
	w->tr->commit(w, e);
	return rc;
}

/* Another thread's result has come to the worker. Where the worker's own thread was quicker it is dropped. */
void reply_posted(struct entry *e)
{
	if (atomic_load_explicit(&e->state, memory_order_acquire) == ENTRY_ANSWERED)
		answer(e, atomic_load_explicit(&e->posted_result, memory_order_relaxed));
}

static int answer_elsewhere(struct entry *e, int result)
{
	int expected = ENTRY_HELD;

	if (!atomic_compare_exchange_strong(&e->state, &expected, ENTRY_ANSWERED))
		return -EALREADY;
	atomic_store_explicit(&e->posted_result, result, memory_order_relaxed);
	worker_post(e->req.worker, e, MAIL_REPLY);
	return 0;
}

/*
 * The worker's own thread, the only one that commits, needs no locked instruction: that would wait until all bytes of the reply
 * have left the store buffer.
 */
int fractal_reply(struct fractal_request *req, int result)
{
	struct entry *e = (struct entry *)req;

	if (worker_self != req->worker)
		return answer_elsewhere(e, result);
	if (atomic_load_explicit(&e->state, memory_order_relaxed) != ENTRY_HELD)
		return -EALREADY;
	return answer(e, result);
}

int fractal_reply_bytes(struct fractal_request *req, const void *bytes, uint32_t len)
{
	const struct entry *e = (const struct entry *)req;

	if (atomic_load_explicit(&e->state, memory_order_relaxed) != ENTRY_HELD)
		return -EALREADY;
	if (fractal_op_reply_kind(req->opcode) != FRACTAL_REPLY_XATTR && len > req->reply_cap)
		len = req->reply_cap;
	if (len <= req->reply_cap)
		memcpy(req->reply_data, bytes, len);
	return fractal_reply(req, (int)len);
}
