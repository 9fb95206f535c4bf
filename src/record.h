/* SPDX-License-Identifier: MIT */
/*
 * record.h - the file that a recorded session is kept in, its writer and its reader. docs/tracing.md describes it, too.
 *
 * A struct record_file, then records to the end of the file: a struct record_head, and behind it the request as /dev/fuse
 * brings it (struct fractal_in_header, in-structure, names, data, extensions) or its reply (struct fractal_out_header,
 * payload). Numbers are little-endian. Records stand in the order in which requests were taken and answered: a request behind a
 * reply may have been asked because of it.
 */
#ifndef FRACTAL_RECORD_H
#define FRACTAL_RECORD_H
#include "internal.h"
#include <stdio.h>

#define RECORD_MAGIC "FRACTREC"

enum {
	RECORD_VERSION = 1,
	RECORD_WITHOUT_DATA = 1 << 0, /* record_file.flags: contents of files were left out */
	RECORD_REQUEST = 1,	      /* record_head.type */
	RECORD_REPLY = 2,
	RECORD_MAX_BODY = 32 << 20, /* bytes; a recorded message is smaller */
};

struct record_file {
	char magic[8];
	uint32_t version;
	uint32_t size; /* of this structure: where the first record is */
	uint32_t flags;
	uint32_t payload_cap; /* bytes of the largest payload */
	uint32_t workers;
	uint32_t page_size;
	uint64_t start_ns; /* time of day, nanoseconds since the epoch */
	struct fractal_init_in init_in;
	struct fractal_init_out init_out;
};

struct record_head {
	uint32_t size; /* of the record, with this head */
	uint16_t type;
	uint16_t worker;
	uint64_t time_ns; /* since the start */
	uint32_t
		omitted; /* bytes of data left out: before a request's extensions, at a reply's end */
	uint32_t padding;
};

/* ---- writing (record.c) ---- */

/* The answer to INIT is settled: writes the file's head. */
void record_init(struct fractal_session *s, const struct fractal_init_out *out);
void record_request(struct fractal_session *s, const struct entry *e);
void record_reply(struct fractal_session *s, const struct entry *e);
/* Writes what is buffered. */
void record_flush(struct fractal_session *s);
void record_free(struct fractal_session *s);

/* ---- reading (recording.c): of bytes that anybody may have written ---- */

struct recorded {
	struct record_head head;
	union {
		struct fractal_in_header in;
		struct fractal_out_header out;
	};
	const uint8_t *rest; /* behind that header; valid until the next record is read */
	uint32_t rest_len;
	uint64_t at; /* where the record is in the file */
};

struct recording {
	FILE *file;
	struct record_file head;
	uint8_t *body;
	size_t capacity;
	uint64_t at;
	char why[160]; /* what is wrong with it */
};

/* Takes an open file, whose it is from now on. 0; -EPROTO or -errno with a sentence's end in @why. */
int recording_open(struct recording *r, FILE *file);
/* 1 with the next record; 0 at the end; -EPROTO or -errno as before. */
int recording_next(struct recording *r, struct recorded *record);
void recording_close(struct recording *r);

#endif
