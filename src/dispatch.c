/* SPDX-License-Identifier: MIT */
/*
 * dispatch.c - serves requests from a table of C handlers (struct fractal_handlers).
 *
 * Where an operation has no handler but a plainer one does the same, that one is called: forgets one by one,
 * rename2 without flags as rename, copy_file_range_64 as copy_file_range.
 */
#include "internal.h"
#include <errno.h>
#include <string.h>

static fractal_handler *handler_of(const struct fractal_handlers *h, const struct op_info *op)
{
	fractal_handler *fn;

	memcpy(&fn, (const char *)h + op->handler, sizeof(fn));
	return fn;
}

static int forget_each(struct fractal_request *req, const struct fractal_handlers *h, void *user)
{
	struct fractal_forget_one one;
	union fractal_in arg;
	const union fractal_in *whole = req->arg;
	uint32_t n = req->arg->batch_forget.count;

	if (!h->forget)
		return 0;
	req->arg = &arg;
	for (uint32_t i = 0; i < n; i++) {
		memcpy(&one, req->data + i * sizeof(one), sizeof(one));
		req->nodeid = one.nodeid;
		arg.forget.nlookup = one.nlookup;
		h->forget(req, user);
	}
	req->arg = whole;
	return 0;
}

static int call(struct fractal_request *req, const struct fractal_handlers *h, void *user)
{
	const struct op_info *op = op_lookup(req->opcode);
	fractal_handler *fn = handler_of(h, op);

	if (fn)
		return fn(req, user);
	switch (req->opcode) {
	case FRACTAL_OP_BATCH_FORGET:
		return forget_each(req, h, user);
	case FRACTAL_OP_RENAME2:
		if (!h->rename || req->arg->rename2.flags)
			break;
		return h->rename(req, user);
	case FRACTAL_OP_COPY_FILE_RANGE_64:
		if (!h->copy_file_range)
			break;
		return h->copy_file_range(req, user);
	}
	return -op->err;
}

int dispatch_serve(struct fractal_worker *w, void *user)
{
	const struct fractal_handlers *h = w->s->cfg.handlers;
	struct fractal_request *req;

	while ((req = fractal_next(w))) {
		int result = call(req, h, user);

		if (result != FRACTAL_LATER)
			fractal_reply(req, result);
	}
	return 0;
}
