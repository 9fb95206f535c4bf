/* SPDX-License-Identifier: MIT */
/*
 * trace.c - one line for each request and one for each reply, for the operations in config.trace.
 *
 *     > 42 lookup i1 "x" uid 0 pid 5874        a request: its number, operation, inode, name, caller
 *     < 42 lookup ok 128 bytes 8 us            its reply: payload, time since it was taken
 *     < 42 lookup ENOENT 5 us
 */
#include "internal.h"
#include <stdio.h>
#include <string.h>

static bool traced(const struct entry *e)
{
	return e->req.worker->s->cfg.trace & 1ull << e->req.opcode;
}

/* What the operation's structure says, where that helps a reader; else nothing. */
static void describe(const struct fractal_request *req, char *text, size_t size)
{
	const union fractal_in *a = req->arg;

	switch (req->opcode) {
	case FRACTAL_OP_READ:
	case FRACTAL_OP_WRITE:
	case FRACTAL_OP_READDIR:
	case FRACTAL_OP_READDIRPLUS:
		snprintf(text, size, " %u bytes at %llu fh %llu", a->read.size,
			 (unsigned long long)a->read.offset, (unsigned long long)a->read.fh);
		break;
	case FRACTAL_OP_SETATTR:
		snprintf(text, size, " valid 0x%x", a->setattr.valid);
		break;
	case FRACTAL_OP_OPEN:
	case FRACTAL_OP_OPENDIR:
		snprintf(text, size, " flags 0x%x", a->open.flags);
		break;
	case FRACTAL_OP_CREATE:
		snprintf(text, size, " mode %o flags 0x%x", a->create.mode, a->create.flags);
		break;
	case FRACTAL_OP_FORGET:
		snprintf(text, size, " nlookup %llu", (unsigned long long)a->forget.nlookup);
		break;
	default:
		text[0] = 0;
	}
}

void trace_request(const struct entry *e)
{
	const struct fractal_request *req = &e->req;
	char what[96];

	if (!traced(e))
		return;
	describe(req, what, sizeof(what));
	session_log(req->worker->s, FRACTAL_LOG_TRACE,
		    "> %llu %s i%llu%s%s%s%s%s%s%s uid %u pid %u", (unsigned long long)req->id,
		    fractal_op_name(req->opcode), (unsigned long long)req->nodeid,
		    req->name ? " \"" : "", req->name ? req->name : "", req->name ? "\"" : "",
		    req->name2 ? " \"" : "", req->name2 ? req->name2 : "", req->name2 ? "\"" : "",
		    what, req->uid, req->pid);
}

void trace_reply(const struct entry *e, uint64_t ns)
{
	const struct fractal_request *req = &e->req;
	char result[32];

	if (!traced(e))
		return;
	if (e->error)
		snprintf(result, sizeof(result), "%s", strerrorname_np(-e->error));
	else
		snprintf(result, sizeof(result), "ok %u bytes", e->out_len);
	session_log(req->worker->s, FRACTAL_LOG_TRACE, "< %llu %s %s %llu us",
		    (unsigned long long)req->id, fractal_op_name(req->opcode), result,
		    (unsigned long long)(ns / 1000));
}
