/* SPDX-License-Identifier: MIT */
/*
 * init.c - FUSE_INIT: what the kernel offers, what is asked for, and why.
 *
 * Only offered bits go into the reply, since the kernel does not mask it. FUSE_OVER_IO_URING goes in only when all
 * rings stand: from that reply on the kernel holds requests back until every queue has an entry.
 */
#include "record.h"
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define CAP_BIT(name) (1ull << FRACTAL_CAP_##name)
#define OLDEST_MINOR  31 /* Linux 5.4 */

/* Waits for the first request, which is INIT. -ECANCELED when a stop comes first. */
int init_read(struct fractal_session *s)
{
	struct {
		struct fractal_in_header in;
		uint8_t body[FRACTAL_MIN_READ_BUFFER];
	} buf;
	struct pollfd p[2] = { { .fd = s->mnt.fd, .events = POLLIN },
			       { .fd = s->control_fd, .events = POLLIN } };
	ssize_t n;

	do {
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return -errno;
		if (p[1].revents)
			return -ECANCELED;
		n = read(s->mnt.fd, &buf, sizeof(buf));
	} while (n < 0 && (errno == EINTR || errno == EAGAIN || errno == ENOENT));
	if (n < 0)
		return -errno;
	if ((size_t)n < sizeof(buf.in) + 16 || buf.in.opcode != FRACTAL_OP_INIT) {
		session_log(s, FRACTAL_LOG_ERROR, "the kernel's first request is not INIT");
		return -EPROTO;
	}
	s->init_unique = buf.in.unique;
	memset(&s->init_in, 0, sizeof(s->init_in));
	n -= (ssize_t)sizeof(buf.in);
	memcpy(&s->init_in, buf.body,
	       (size_t)n < sizeof(s->init_in) ? (size_t)n : sizeof(s->init_in));
	if (s->init_in.major != FRACTAL_KERNEL_VERSION || s->init_in.minor < OLDEST_MINOR) {
		session_log(s, FRACTAL_LOG_ERROR,
			    "the kernel speaks FUSE %u.%u; 7.%d (Linux 5.4) or newer is needed",
			    s->init_in.major, s->init_in.minor, OLDEST_MINOR);
		return -EPROTONOSUPPORT;
	}
	return 0;
}

/* Fills s->conn from the kernel's offer and the configuration; hooks may change it before init_reply(). */
void init_negotiate(struct fractal_session *s)
{
	const struct fractal_init_in *in = &s->init_in;
	struct fractal_conn *c = &s->conn;
	uint32_t readahead = s->cfg.max_readahead;

	c->proto_major = in->major;
	c->proto_minor = in->minor;
	c->offered = in->flags;
	if (c->offered & CAP_BIT(INIT_EXT))
		c->offered |= (uint64_t)in->flags2 << 32;
	c->wanted = caps_wanted(s, c->offered);
	c->max_readahead = readahead && readahead < in->max_readahead ? readahead
								      : in->max_readahead;
	c->max_background = s->cfg.max_background;
	c->congestion_threshold = s->cfg.max_background - s->cfg.max_background / 4;
	c->max_write = s->cfg.max_write;
	c->max_pages = (s->cfg.max_write + s->page_size - 1) / s->page_size;
	c->time_gran = s->cfg.time_gran;
	c->max_stack_depth = s->cfg.max_stack_depth;
	c->request_timeout = s->cfg.request_timeout;
	c->entry_ttl = s->cfg.entry_ttl;
	c->attr_ttl = s->cfg.attr_ttl;
	c->negative_ttl = s->cfg.negative_ttl;
}

/* Keeps what a hook changed within what the rings and the kernel can do. */
static void clamp_conn(struct fractal_session *s)
{
	struct fractal_conn *c = &s->conn;

	if (c->max_write > s->cfg.max_write)
		c->max_write = s->cfg.max_write;
	if (c->max_write < 4096)
		c->max_write = 4096;
	c->max_pages = (c->max_write + s->page_size - 1) / s->page_size;
	if (c->max_background > UINT16_MAX)
		c->max_background = UINT16_MAX;
	if (c->congestion_threshold > c->max_background)
		c->congestion_threshold = c->max_background;
}

/* Settles what the connection is to be and puts it into @out. */
static int settle(struct fractal_session *s, bool over_uring, struct fractal_init_out *out)
{
	struct fractal_conn *c = &s->conn;
	uint64_t flags;
	int rc;

	clamp_conn(s);
	fractal_session_set_ttls(s, c->entry_ttl, c->attr_ttl, c->negative_ttl);
	rc = caps_settle(s);
	if (rc)
		return rc;
	flags = c->wanted;
	if (over_uring)
		flags |= CAP_BIT(OVER_IO_URING);
	s->setxattr_ext = flags & CAP_BIT(SETXATTR_EXT);
	c->wanted = flags;
	*out = (struct fractal_init_out){
		.major = FRACTAL_KERNEL_VERSION,
		.minor = FRACTAL_KERNEL_MINOR,
		.max_readahead = c->max_readahead,
		.flags = (uint32_t)flags,
		.flags2 = (uint32_t)(flags >> 32),
		.max_background = (uint16_t)c->max_background,
		.congestion_threshold = (uint16_t)c->congestion_threshold,
		.max_write = c->max_write,
		.time_gran = c->time_gran,
		.max_pages = (uint16_t)c->max_pages,
		.max_stack_depth = flags & CAP_BIT(PASSTHROUGH) ? c->max_stack_depth : 0,
		.request_timeout = flags & CAP_BIT(REQUEST_TIMEOUT) ? (uint16_t)c->request_timeout
								    : 0,
	};
	return 0;
}

int init_reply(struct fractal_session *s, bool over_uring)
{
	struct {
		struct fractal_out_header h;
		struct fractal_init_out o;
	} reply = { .h = { .len = sizeof(reply), .unique = s->init_unique } };
	int rc = settle(s, over_uring, &reply.o);

	if (rc)
		return rc;
	if (s->recorder)
		record_init(s, &reply.o);
	/* A recording has nobody to answer. */
	if (!s->replay && write(s->mnt.fd, &reply, sizeof(reply)) < 0)
		return -errno;
	return 0;
}
