/* SPDX-License-Identifier: MIT */
/*
 * request.c - decodes a request by its row in ops.def, strictly inside the bytes that the kernel named.
 *
 * The kernel clears neither the in-structure's area nor the payload: what lies behind the sent length is
 * some earlier request's. Names are copied out, so that the reply may be written over them.
 */
#include "internal.h"
#include <errno.h>
#include <string.h>

#define NONE 0
#define DATA 1
struct fractal_none_in {
};

static const struct op_info ops[FRACTAL_OP_COUNT] = {
#define FRACTAL_OP(NAME, op, opcode, in, nnames, with_data, kind, errno_, minor, doc) \
	[opcode] = {                                                                  \
		.name = #op,                                                          \
		.in_size = sizeof(struct fractal_##in##_in),                          \
		.names = nnames,                                                      \
		.data = with_data,                                                    \
		.reply = FRACTAL_REPLY_##kind,                                        \
		.err = errno_,                                                        \
		.handler = offsetof(struct fractal_handlers, op),                     \
	},
#include "ops.def"
#undef FRACTAL_OP
};

const struct op_info *op_lookup(uint32_t opcode)
{
	if (opcode >= FRACTAL_OP_COUNT || !ops[opcode].name)
		return NULL;
	return &ops[opcode];
}

const char *fractal_op_name(uint32_t opcode)
{
	const struct op_info *op = op_lookup(opcode);

	return op ? op->name : "unknown";
}

enum fractal_reply_kind fractal_op_reply_kind(uint32_t opcode)
{
	const struct op_info *op = op_lookup(opcode);

	return op ? (enum fractal_reply_kind)op->reply : FRACTAL_REPLY_STATUS;
}

int fractal_op_default(uint32_t opcode)
{
	const struct op_info *op = op_lookup(opcode);

	return op ? -op->err : -ENOSYS;
}

/* Copies one name out of the payload. Returns the bytes it took with its NUL, or -EPROTO. */
static int take_name(char *to, const uint8_t *from, uint32_t len, const char **name,
		     uint32_t *name_len)
{
	const uint8_t *end = memchr(from, 0, len < FRACTAL_NAME_MAX ? len : FRACTAL_NAME_MAX);

	if (!end)
		return -EPROTO;
	*name_len = (uint32_t)(end - from);
	memcpy(to, from, *name_len + 1);
	*name = to;
	return (int)*name_len + 1;
}

/* Are the data as long as the in-structure says? Cuts data_len down to that. */
static int check_data(struct fractal_request *req)
{
	uint64_t want;

	switch (req->opcode) {
	case FRACTAL_OP_WRITE:
		want = req->arg->write.size;
		break;
	case FRACTAL_OP_SETXATTR:
		want = req->arg->setxattr.size;
		break;
	case FRACTAL_OP_IOCTL:
		want = req->arg->ioctl.in_size;
		break;
	case FRACTAL_OP_NOTIFY_REPLY:
		want = req->arg->notify_retrieve.size;
		break;
	case FRACTAL_OP_BATCH_FORGET:
		want = (uint64_t)req->arg->batch_forget.count * sizeof(struct fractal_forget_one);
		break;
	default:
		return 0;
	}
	if (want > req->data_len)
		return -EPROTO;
	req->data_len = (uint32_t)want;
	return 0;
}

static int take_names_and_data(struct entry *e, const struct op_info *op, uint8_t *p, uint32_t len)
{
	struct fractal_request *req = &e->req;
	int n;

	if (op->names > 0) {
		n = take_name(e->area->names[0], p, len, &req->name, &req->name_len);
		if (n < 0)
			return n;
		p += n;
		len -= (uint32_t)n;
	}
	if (op->names > 1) {
		n = take_name(e->area->names[1], p, len, &req->name2, &req->name2_len);
		if (n < 0)
			return n;
		p += n;
		len -= (uint32_t)n;
	}
	if (!op->data)
		return 0;
	req->data = p;
	req->data_len = len;
	return check_data(req);
}

/* Takes the extensions out of the way of the reply, which is prepared at the payload's front. */
static int move_extensions(struct entry *e)
{
	struct fractal_request *req = &e->req;
	uint32_t at = (uint32_t)sizeof(union fractal_out);

	if (req->ext_len > req->worker->s->payload_cap - at)
		return -EPROTO;
	memmove(e->payload + at, req->ext, req->ext_len);
	req->ext = e->payload + at;
	if (at + req->ext_len > e->touched)
		e->touched = at + req->ext_len;
	return 0;
}

static void clear_request(struct fractal_request *req)
{
	req->name = req->name2 = NULL;
	req->data = NULL;
	req->ext = NULL;
	req->name_len = req->name2_len = req->data_len = req->ext_len = 0;
	req->reply_cap = req->reply_len = 0;
	req->user = NULL;
}

/*
 * Fills e->req. @op_in may already lie in e->area->hdr.op_in. 0; -ENOSYS for an unknown opcode; -EPROTO for
 * a request that contradicts itself.
 */
int request_decode(struct entry *e, const struct fractal_in_header *in, const void *op_in,
		   uint32_t op_in_len, uint8_t *payload, uint32_t payload_len)
{
	const struct op_info *op = op_lookup(in->opcode);
	struct fractal_request *req = &e->req;
	uint8_t *arg = e->area->hdr.op_in;
	uint32_t ext = in->total_extlen * 8u;
	int rc;

	clear_request(req);
	entry_set_id(e, in->unique);
	req->nodeid = in->nodeid;
	req->opcode = in->opcode;
	req->uid = in->uid;
	req->gid = in->gid;
	req->pid = in->pid;
	req->epoch++;
	e->used = true;
	if (!op)
		return -ENOSYS;
	if (op_in_len > sizeof(e->area->hdr.op_in))
		return -EPROTO;
	if (op_in != arg)
		memcpy(arg, op_in, op_in_len);
	if (RARELY(in->opcode == FRACTAL_OP_NOTIFY_REPLY) && op_in_len == 0 &&
	    payload_len >= op->in_size) {
		/* Over the ring this one's structure lies before its data. */
		op_in = payload;
		op_in_len = op->in_size;
		payload += op_in_len;
		payload_len -= op_in_len;
		memcpy(arg, op_in, op_in_len);
	}
	if (RARELY(op_in_len < op->in_size)) {
		/* The one structure that grew while its users stayed: setxattr_in. */
		if (in->opcode != FRACTAL_OP_SETXATTR || op_in_len < 8)
			return -EPROTO;
		memset(arg + op_in_len, 0, op->in_size - op_in_len);
	}
	if (ext > payload_len)
		return -EPROTO;
	payload_len -= ext;
	if (RARELY(ext)) {
		req->ext = payload + payload_len;
		req->ext_len = ext;
	}
	rc = take_names_and_data(e, op, payload, payload_len);
	if (!rc && ext && !op->data)
		rc = move_extensions(e);
	if (rc)
		return rc;
	/* Its argument would have to be fetched from the caller's memory; only character devices (CUSE) bring this. */
	if (in->opcode == FRACTAL_OP_IOCTL && req->arg->ioctl.flags & FRACTAL_IOCTL_UNRESTRICTED)
		return -EOPNOTSUPP;
	reply_prepare(e, op);
	return 0;
}

/* Walks the extensions; returns the first of @type (any security context for 0) with its body's length, or NULL. */
static const uint8_t *find_ext(const struct fractal_request *req, uint32_t type, uint32_t *len)
{
	uint32_t at = 0;

	while (req->ext_len - at >= sizeof(struct fractal_ext_header)) {
		struct fractal_ext_header h;

		memcpy(&h, req->ext + at, sizeof(h));
		if (h.size < sizeof(h) || h.size > req->ext_len - at)
			return NULL;
		if (type ? h.type == type : h.type <= FRACTAL_EXT_MAX_SECCTX) {
			*len = h.size - (uint32_t)sizeof(h);
			return req->ext + at + sizeof(h);
		}
		at += (h.size + 7) & ~7u;
		if (at > req->ext_len)
			return NULL;
	}
	return NULL;
}

int fractal_request_groups(const struct fractal_request *req, uint32_t *groups, int max)
{
	uint32_t len, n;
	const uint8_t *p = find_ext(req, FRACTAL_EXT_GROUPS, &len);

	if (!p || len < 4)
		return 0;
	memcpy(&n, p, 4);
	if (n > (len - 4) / 4)
		n = (len - 4) / 4;
	for (uint32_t i = 0; i < n && (int)i < max; i++)
		memcpy(&groups[i], p + 4 + (size_t)i * 4, 4);
	return (int)n;
}

/*
 * The security extension carries its own header in place of ext_header: {size, nr_secctx}, whose count lies
 * where the type would be and is at most FRACTAL_EXT_MAX_SECCTX. Each context is padded to 8 bytes.
 */
int fractal_request_secctx(const struct fractal_request *req, int index, const char **name,
			   const uint8_t **value)
{
	uint32_t left, count;
	const uint8_t *p = find_ext(req, 0, &left);
	struct fractal_secctx ctx;

	if (!p)
		return -ENODATA;
	memcpy(&count, p - sizeof(count), sizeof(count));
	for (uint32_t i = 0; i < count && left > sizeof(ctx); i++) {
		const uint8_t *nul = memchr(p + sizeof(ctx), 0, left - sizeof(ctx));
		uint32_t used;

		memcpy(&ctx, p, sizeof(ctx));
		used = nul ? (uint32_t)(nul + 1 - p) : left;
		if (!nul || ctx.size > left - used)
			break;
		if ((int)i == index) {
			*name = (const char *)p + sizeof(ctx);
			*value = nul + 1;
			return (int)ctx.size;
		}
		used = (used + ctx.size + 7) & ~7u;
		if (used > left)
			break;
		p += used;
		left -= used;
	}
	return -ENODATA;
}
