/* SPDX-License-Identifier: MIT */
/*
 * recording.c - reads a file that record.c wrote, or that somebody else did: nothing in it is believed before it is checked.
 *
 * What a request says of itself inside is for request_decode() to check, as it does for the kernel's.
 */
#include "record.h"
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

__attribute__((format(printf, 2, 3))) static int wrong(struct recording *r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(r->why, sizeof(r->why), fmt, ap);
	va_end(ap);
	return -EPROTO;
}

/* 1; 0 at the end of the file, before the first byte; -EPROTO inside; -errno. */
static int read_bytes(struct recording *r, void *to, size_t len)
{
	size_t n = fread(to, 1, len, r->file);
	uint64_t end = r->at + n;

	if (n == len)
		return 1;
	if (ferror(r->file)) {
		snprintf(r->why, sizeof(r->why), "cannot be read: %s", strerror(errno));
		return -EIO;
	}
	return n == 0 ? 0
		      : wrong(r, "ends in the middle of a record, at byte %llu",
			      (unsigned long long)end);
}

int recording_open(struct recording *r, FILE *file)
{
	int rc;

	*r = (struct recording){ .file = file };
	rc = read_bytes(r, &r->head, sizeof(r->head));
	if (rc == -EIO)
		return rc;
	if (memcmp(r->head.magic, RECORD_MAGIC, sizeof(r->head.magic)) != 0)
		return wrong(r, "is no recording: it does not begin with FRACTREC");
	if (rc != 1)
		return wrong(r, "is cut off inside its head");
	if (r->head.version != RECORD_VERSION)
		return wrong(r, "is of version %u, and this program reads version %u: record anew",
			     r->head.version, RECORD_VERSION);
	if (r->head.size != sizeof(r->head))
		return wrong(r, "has a head of %u bytes, not %zu", r->head.size, sizeof(r->head));
	if (r->head.page_size == 0 || r->head.payload_cap > RECORD_MAX_BODY / 2)
		return wrong(r, "has a head that makes no sense");
	r->at = sizeof(r->head);
	return 0;
}

static int check_head(struct recording *r, const struct record_head *h)
{
	size_t least = h->type == RECORD_REQUEST ? sizeof(struct fractal_in_header)
						 : sizeof(struct fractal_out_header);

	if (h->type != RECORD_REQUEST && h->type != RECORD_REPLY)
		return wrong(r, "has a record of unknown type %u at byte %llu", h->type,
			     (unsigned long long)r->at);
	if (h->size < sizeof(*h) + least || h->size > sizeof(*h) + RECORD_MAX_BODY ||
	    h->omitted > RECORD_MAX_BODY)
		return wrong(r, "has a record of %u bytes at byte %llu", h->size,
			     (unsigned long long)r->at);
	return 0;
}

static bool request_fits(const struct recorded *d)
{
	const struct op_info *op = op_lookup(d->in.opcode);
	uint64_t whole = sizeof(d->in) + (uint64_t)d->rest_len + d->head.omitted;

	return op && d->in.len == whole && (op->data || !d->head.omitted) &&
	       d->rest_len >= op->in_size + d->in.total_extlen * 8u;
}

static bool reply_fits(const struct recorded *d)
{
	uint64_t whole = sizeof(d->out) + (uint64_t)d->rest_len + d->head.omitted;

	if (d->out.error && whole != sizeof(d->out))
		return false;
	return d->out.len == whole && d->out.error <= 0 && d->out.error >= -FRACTAL_MAX_ERRNO;
}

static int grow(struct recording *r, size_t size)
{
	uint8_t *body;

	if (size <= r->capacity)
		return 0;
	body = realloc(r->body, size);
	if (!body) {
		wrong(r, "has a record of %zu bytes, for which there is no memory", size);
		return -ENOMEM;
	}
	r->body = body;
	r->capacity = size;
	return 0;
}

int recording_next(struct recording *r, struct recorded *d)
{
	size_t body, header;
	int rc = read_bytes(r, &d->head, sizeof(d->head));

	if (rc != 1)
		return rc;
	rc = check_head(r, &d->head);
	body = d->head.size - sizeof(d->head);
	if (!rc)
		rc = grow(r, body);
	if (rc)
		return rc;
	rc = read_bytes(r, r->body, body);
	if (rc == 0)
		return wrong(r, "ends in the middle of a record, behind byte %llu",
			     (unsigned long long)r->at);
	if (rc < 0)
		return rc;
	header = d->head.type == RECORD_REQUEST ? sizeof(d->in) : sizeof(d->out);
	memcpy(&d->in, r->body, header);
	d->rest = r->body + header;
	d->rest_len = (uint32_t)(body - header);
	d->at = r->at;
	r->at += d->head.size;
	if (d->head.type == RECORD_REQUEST ? !request_fits(d) : !reply_fits(d))
		return wrong(r, "has a record that contradicts itself at byte %llu",
			     (unsigned long long)d->at);
	return 1;
}

void recording_close(struct recording *r)
{
	if (r->file)
		fclose(r->file);
	free(r->body);
	*r = (struct recording){ 0 };
}
