/* SPDX-License-Identifier: MIT */
/*
 * fuzz_core.h - what the fuzzer and its replay share: one input is one request, however broken, and its reply.
 *
 * An input begins with a struct fuzz_control, then comes a fuse_in_header and what follows it. The request takes one of
 * three ways: through a socket in place of /dev/fuse; into an entry as the ring copies it; or straight into the decoder
 * from memory blocks of exactly its size, where AddressSanitizer sees each byte too far. Whoever gets a request then uses
 * all that it offers, and answers. What goes to the kernel must be well-formed whatever came.
 */
#ifndef FRACTAL_FUZZ_CORE_H
#define FRACTAL_FUZZ_CORE_H
#include "offline.h"
#include <sys/stat.h>

enum fuzz_way {
	FUZZ_SOCKET,
	FUZZ_RING,
	FUZZ_BLOCKS,
	FUZZ_WAYS,
};

struct fuzz_control {
	uint8_t way;
	uint8_t raw;	     /* odd: the header's length is left as it is */
	uint8_t short_xattr; /* odd: SETXATTR_EXT was not negotiated */
	uint8_t bytes;	     /* odd: answered by fractal_reply_bytes() */
	int32_t result;
	uint32_t payload; /* ring: what the kernel says the payload's size is, where it is odd */
};

#define FUZZ_FIXED (sizeof(struct fuzz_control) + sizeof(struct fractal_in_header))

#define EXPECT(condition)              \
	do {                           \
		if (!CHECK(condition)) \
			abort();       \
	} while (0)

static volatile uint8_t fuzz_sink;

static inline void fuzz_touch(const void *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		fuzz_sink = fuzz_sink ^ ((const uint8_t *)bytes)[i];
}

static inline void fuzz_use_names(const struct fractal_request *req)
{
	EXPECT(!req->name ||
	       (strlen(req->name) == req->name_len && req->name_len < FRACTAL_NAME_MAX));
	EXPECT(!req->name2 ||
	       (strlen(req->name2) == req->name2_len && req->name2_len < FRACTAL_NAME_MAX));
	EXPECT(req->name || !req->name2);
	fuzz_touch(req->data, req->data_len);
	fuzz_touch(req->ext, req->ext_len);
}

static inline void fuzz_use_extensions(const struct fractal_request *req)
{
	uint32_t groups[4];
	const uint8_t *value;
	const char *name;
	int len;

	EXPECT(fractal_request_groups(req, groups, 4) >= 0);
	for (int i = 0; i < 40; i++) {
		len = fractal_request_secctx(req, i, &name, &value);
		if (len < 0)
			break;
		EXPECT(name >= (const char *)req->ext && value + len <= req->ext + req->ext_len);
		fuzz_touch(name, strlen(name));
		fuzz_touch(value, (size_t)len);
	}
}

static inline void fuzz_fill_directory(struct fractal_request *req, const uint8_t *bytes,
				       size_t size)
{
	for (size_t i = 0; i < 300; i++) {
		uint32_t len = size ? bytes[i % size] : 3, before = req->reply_len;
		struct fractal_entry_out *out;

		if (len > size)
			len = (uint32_t)size;
		if (req->opcode == FRACTAL_OP_READDIR) {
			if (!fractal_dirents_add(req, (const char *)bytes, len, i + 2, S_IFREG,
						 i + 1))
				break;
			continue;
		}
		out = fractal_dirents_add_plus(req, (const char *)bytes, len, i + 1);
		if (!out)
			break;
		out->nodeid = i + 2;
		fractal_dirents_finish_plus(out);
		if (i % 5 == 4)
			fractal_dirents_undo(req, before);
	}
	EXPECT(req->reply_len <= req->reply_cap);
}

static inline void fuzz_fill_reply(struct fractal_request *req, const uint8_t *bytes, size_t size)
{
	const struct entry *e = (const struct entry *)req;
	const uint8_t *end = e->payload + offline.session->payload_cap;

	if (req->reply_cap)
		EXPECT(req->reply_data >= e->payload && req->reply_data + req->reply_cap <= end);
	switch (fractal_op_reply_kind(req->opcode)) {
	case FRACTAL_REPLY_DIRENTS:
		fuzz_fill_directory(req, bytes, size);
		break;
	case FRACTAL_REPLY_IOCTL:
		memset(&req->out->ioctl, 0x55, sizeof(req->out->ioctl));
		memset(req->reply_data, 0x66, req->reply_cap);
		break;
	case FRACTAL_REPLY_ENTRY:
	case FRACTAL_REPLY_CREATE:
		req->out->entry.nodeid = bytes && size ? bytes[0] : 1;
		break;
	default:
		memset(req->reply_data, 0x66, req->reply_cap);
		break;
	}
}

/* Everything that went to the kernel: at most one message, of a kernel's liking. */
static inline void fuzz_check_answer(const struct fractal_request *req, uint64_t unique)
{
	struct answer *a = &offline.answer;
	struct iovec v[2] = { { &a->h, sizeof(a->h) }, { a->payload, sizeof(a->payload) } };
	struct msghdr m = { .msg_iov = v, .msg_iovlen = 2 };
	ssize_t n = recvmsg(offline.kernel_fd, &m, MSG_DONTWAIT);

	if (n < 0) {
		EXPECT(!req || fractal_op_reply_kind(req->opcode) == FRACTAL_REPLY_NONE ||
		       req->opcode == FRACTAL_OP_NOTIFY_REPLY);
		return;
	}
	EXPECT(n >= (ssize_t)sizeof(a->h) && a->h.len == (uint32_t)n);
	EXPECT(a->h.len <= sizeof(a->h) + offline.session->payload_cap);
	EXPECT(a->h.error <= 0 && a->h.error >= -FRACTAL_MAX_ERRNO);
	EXPECT(a->h.unique == unique);
	EXPECT(recvmsg(offline.kernel_fd, &m, MSG_DONTWAIT) < 0);
}

static inline void fuzz_serve(struct fractal_request *req, const struct fuzz_control *c,
			      const uint8_t *bytes, size_t size)
{
	uint64_t unique = req->id;
	uint32_t epoch = req->epoch;

	fuzz_use_names(req);
	fuzz_use_extensions(req);
	fuzz_fill_reply(req, bytes, size);
	if (c->bytes & 1)
		fractal_reply_bytes(req, bytes, (uint32_t)size);
	else
		fractal_reply(req, c->result);
	EXPECT(req->epoch != epoch);
	EXPECT(fractal_reply(req, 0) == -EALREADY);
	fuzz_check_answer(req, unique);
}

/* ---- the three ways ---- */

static inline void fuzz_by_socket(const struct fuzz_control *c, const uint8_t *message, size_t size)
{
	struct fractal_in_header in;
	struct fractal_request *req;

	memcpy(&in, message, sizeof(in));
	EXPECT(send(offline.kernel_fd, message, size, 0) == (ssize_t)size);
	req = fractal_next(offline.worker);
	if (req)
		fuzz_serve(req, c, message + sizeof(in), size - sizeof(in));
	else
		fuzz_check_answer(NULL, in.unique);
	EXPECT(!fractal_next(offline.worker));
}

/* What fractal_next() does with an entry that was decoded. */
static inline void fuzz_hold(struct entry *e)
{
	e->dev_fd = offline.worker->dev_fd;
	offline.worker->held++;
	atomic_store(&e->state, ENTRY_HELD);
}

static inline void fuzz_by_ring(const struct fuzz_control *c, const uint8_t *message, size_t size)
{
	struct entry *e = &offline.worker->entries[1];
	struct fractal_uring_req_header *hdr = &e->area->hdr;
	const struct op_info *op;
	struct fractal_in_header in;
	uint32_t rest = (uint32_t)(size - sizeof(in)), op_in;

	memcpy(&in, message, sizeof(in));
	op = op_lookup(in.opcode);
	op_in = op && op->in_size < rest ? op->in_size : op ? rest : 0;
	memset(hdr, 0xa5, sizeof(*hdr));
	memcpy(hdr->in_out, message, sizeof(in));
	memcpy(hdr->op_in, message + sizeof(in), op_in);
	memset(e->payload, 0xa5, rest + 64);
	memcpy(e->payload, message + sizeof(in) + op_in, rest - op_in);
	hdr->ring_ent_in_out.payload_sz = c->payload & 1 ? c->payload : rest - op_in;
	if (uring_decode(e, &in))
		return;
	fuzz_hold(e);
	fuzz_serve(&e->req, c, message + sizeof(in), rest);
}

static inline void fuzz_by_blocks(const struct fuzz_control *c, const uint8_t *message, size_t size)
{
	struct entry *e = &offline.worker->entries[2];
	struct fractal_in_header in;
	const struct op_info *op;
	uint32_t rest = (uint32_t)(size - sizeof(in)), op_in;
	uint8_t *blocks[2];

	memcpy(&in, message, sizeof(in));
	op = op_lookup(in.opcode);
	op_in = op && op->in_size < rest ? op->in_size : op ? rest : 0;
	/* Each ends where its block ends; the byte in front makes a block of nothing possible. */
	blocks[0] = malloc(op_in + 1);
	blocks[1] = malloc(rest - op_in + 1);
	EXPECT(blocks[0] && blocks[1]);
	memcpy(blocks[0] + 1, message + sizeof(in), op_in);
	memcpy(blocks[1] + 1, message + sizeof(in) + op_in, rest - op_in);
	if (request_decode(e, &in, blocks[0] + 1, op_in, blocks[1] + 1, rest - op_in) == 0) {
		fuzz_hold(e);
		fuzz_serve(&e->req, c, message + sizeof(in), rest);
	}
	free(blocks[0]);
	free(blocks[1]);
}

static inline void fuzz_one(const uint8_t *data, size_t size)
{
	static uint8_t message[OFFLINE_MAX_WRITE];
	struct fractal_in_header in;
	struct fuzz_control c;

	if (size < FUZZ_FIXED || size - sizeof(c) > sizeof(message))
		return;
	memcpy(&c, data, sizeof(c));
	size -= sizeof(c);
	memcpy(message, data + sizeof(c), size);
	if (!(c.raw & 1)) {
		memcpy(&in, message, sizeof(in));
		in.len = (uint32_t)size;
		memcpy(message, &in, sizeof(in));
	}
	offline.session->setxattr_ext = !(c.short_xattr & 1);
	if (c.way % FUZZ_WAYS == FUZZ_SOCKET)
		fuzz_by_socket(&c, message, size);
	else if (c.way % FUZZ_WAYS == FUZZ_RING)
		fuzz_by_ring(&c, message, size);
	else
		fuzz_by_blocks(&c, message, size);
	EXPECT(atomic_load(&offline.worker->held) == 0);
}

/* ---- well-formed inputs to start from ---- */

#define FUZZ_LARGEST 12288

static inline uint32_t fuzz_put(uint8_t *to, uint32_t at, const void *bytes, uint32_t len)
{
	memcpy(to + at, bytes, len);
	return at + len;
}

/* Extensions as the kernel sends them: one security context, then one group. */
static inline uint32_t fuzz_put_extensions(uint8_t *to, uint32_t at)
{
	static const struct {
		uint32_t size, count, label, padding;
		char name_and_label[24];
		uint32_t group_size, type, groups, group;
	} ext = { 40, 1, 6, 0, "security.smack\0System", 16, FRACTAL_EXT_GROUPS, 1, 100 };

	return fuzz_put(to, at, &ext, sizeof(ext));
}

/* Sizes inside the in-structure that fit the ten bytes of data. */
static inline void fuzz_set_sizes(uint32_t opcode, union fractal_in *arg)
{
	switch (opcode) {
	case FRACTAL_OP_WRITE:
		arg->write.size = 10;
		break;
	case FRACTAL_OP_READ:
	case FRACTAL_OP_READDIR:
	case FRACTAL_OP_READDIRPLUS:
		arg->read.size = 4096;
		break;
	case FRACTAL_OP_SETXATTR:
		arg->setxattr.size = 10;
		break;
	case FRACTAL_OP_GETXATTR:
	case FRACTAL_OP_LISTXATTR:
		arg->getxattr.size = 100;
		break;
	case FRACTAL_OP_IOCTL:
		arg->ioctl.in_size = 10;
		arg->ioctl.out_size = 64;
		break;
	case FRACTAL_OP_NOTIFY_REPLY:
		arg->notify_retrieve.size = 10;
		break;
	}
}

/* The input for an opcode on one of the ways; @name_len: bytes of its names. Returns its length, 0 for unknown opcodes. */
static inline size_t fuzz_seed(uint8_t *to, uint32_t opcode, enum fuzz_way way, uint32_t name_len)
{
	const struct op_info *op = op_lookup(opcode);
	struct fuzz_control c = { .way = (uint8_t)way };
	struct fractal_in_header in = { .opcode = opcode, .unique = 1000, .nodeid = 1 };
	union fractal_in arg = { 0 };
	bool creating;
	uint32_t at;

	if (!op)
		return 0;
	creating = op->reply == FRACTAL_REPLY_ENTRY || op->reply == FRACTAL_REPLY_CREATE;
	in.total_extlen = creating && opcode != FRACTAL_OP_LOOKUP ? 7 : 0;
	fuzz_set_sizes(opcode, &arg);
	at = fuzz_put(to, 0, &c, sizeof(c));
	at = fuzz_put(to, at, &in, sizeof(in));
	at = fuzz_put(to, at, &arg, op->in_size);
	for (int i = 0; i < op->names; i++) {
		memset(to + at, 'a' + i, name_len);
		at += name_len;
		to[at++] = '\0';
	}
	if (op->data)
		at = fuzz_put(to, at, "0123456789", 10);
	return in.total_extlen ? fuzz_put_extensions(to, at) : at;
}

#endif
