/* SPDX-License-Identifier: MIT */
/*
 * fuzz_recording.h - what the fuzzer of recordings and its replay share: one input is a file, however broken, whose requests are
 * asked and answered until it ends.
 *
 * Requests are used and replies filled as fuzz_core.h does it, with results that the input chooses.
 */
#ifndef FRACTAL_FUZZ_RECORDING_H
#define FRACTAL_FUZZ_RECORDING_H
#include "fuzz_core.h"
#include "record.h"
#include <sys/mman.h>

static struct {
	int fd; /* the file, in memory */
	uint64_t requests, differences, asked;
	char last[1024]; /* difference */
} fuzzed = { .fd = -1 };

static inline void recording_differs(const char *text, void *user)
{
	fuzzed.differences++;
	snprintf(fuzzed.last, sizeof(fuzzed.last), "%s", text);
}

static inline void recording_asks(const char *operation, uint64_t nodeid, void *user)
{
	fuzzed.asked++;
}

static inline bool write_recording(const uint8_t *data, size_t size)
{
	if (fuzzed.fd < 0)
		fuzzed.fd = memfd_create("recording", MFD_CLOEXEC);
	return ftruncate(fuzzed.fd, 0) == 0 && pwrite(fuzzed.fd, data, size, 0) == (ssize_t)size;
}

/* Answers everything with @result, or with what the input's bytes say where it is INT32_MIN. */
static inline void answer_all(const uint8_t *data, size_t size, int32_t result)
{
	struct fractal_request *req;

	while ((req = fractal_next(offline.worker))) {
		int32_t chosen = result;

		if (result == INT32_MIN)
			chosen = data[fuzzed.requests % size] & 1
					 ? -(int32_t)data[fuzzed.requests % size]
					 : (int32_t)data[fuzzed.requests % size];
		fuzzed.requests++;
		fuzz_use_names(req);
		fuzz_use_extensions(req);
		fuzz_fill_reply(req, data, size);
		fractal_reply(req, chosen);
	}
}

/* Replays the file. How recording it was opened: 0 or -errno. */
static inline int replay_bytes(const uint8_t *data, size_t size, int32_t result)
{
	struct fractal_replay replay = { .difference = recording_differs,
					 .before = recording_asks };
	struct fractal_worker *w = offline.worker;
	char path[64];
	int rc;

	if (!size || !write_recording(data, size))
		return -EINVAL;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fuzzed.fd);
	replay.path = path;
	fuzzed.requests = fuzzed.differences = fuzzed.asked = 0;
	fuzzed.last[0] = '\0';
	rc = fractal_session_replay(offline.session, &replay);
	w->tr = &replay_transport;
	if (!rc)
		answer_all(data, size, result);
	EXPECT(atomic_load(&w->held) == 0);
	replay_free(offline.session);
	w->tr = &dev_transport;
	w->finished = false;
	atomic_store(&offline.session->gone, false);
	return rc;
}

/* ---- a well-formed recording ---- */

#define RECORDING_LARGEST 65536u /* bytes of the largest seed */

static inline uint32_t put_record(uint8_t *to, uint32_t at, int type, const void *body,
				  uint32_t len)
{
	struct record_head head = {
		.size = (uint32_t)sizeof(head) + len,
		.type = (uint16_t)type,
		.time_ns = at,
	};

	at = fuzz_put(to, at, &head, sizeof(head));
	return fuzz_put(to, at, body, len);
}

/* Entries of a directory: "a", "bb", "ccc" …, each a lookup with readdirplus. */
static inline uint32_t put_entries(uint8_t *to, uint32_t at, bool plus)
{
	static const struct fractal_entry_out found = { .nodeid = 7, .generation = 1 };
	static const char names[] = "abbcccdddd";

	for (uint32_t len = 1; len <= 4; len++) {
		struct fractal_dirent d = { .ino = 7, .off = len, .namelen = len, .type = 8 };

		if (plus)
			at = fuzz_put(to, at, &found, sizeof(found));
		at = fuzz_put(to, at, &d, sizeof(d));
		memset(to + at, 0, 8);
		fuzz_put(to, at, names + len * (len - 1) / 2, len);
		at += 8;
	}
	return at;
}

/* A reply without error, with a payload of what the operation may answer. */
static inline uint32_t put_success(uint8_t *to, uint32_t at, uint32_t opcode)
{
	static uint8_t body[1024];
	struct fractal_out_header out = { .unique = opcode };
	uint32_t len = sizeof(out);

	if (opcode == FRACTAL_OP_READDIR || opcode == FRACTAL_OP_READDIRPLUS) {
		len = put_entries(body, len, opcode == FRACTAL_OP_READDIRPLUS);
	} else if (fractal_op_reply_kind(opcode) != FRACTAL_REPLY_STATUS) {
		memset(body + len, 1, 320);
		len += 320;
	}
	out.len = len;
	memcpy(body, &out, sizeof(out));
	return put_record(to, at, RECORD_REPLY, body, len);
}

/* Every operation once, each answered with an error, or with something. */
static inline uint32_t seed_recording(uint8_t *to, bool success)
{
	static uint8_t request[FUZZ_LARGEST];
	struct record_file file = {
		.magic = RECORD_MAGIC,
		.version = RECORD_VERSION,
		.size = sizeof(file),
		.payload_cap = OFFLINE_MAX_WRITE,
		.workers = 1,
		.page_size = 4096,
	};
	uint32_t at = fuzz_put(to, 0, &file, sizeof(file));

	for (uint32_t opcode = 0; opcode < FRACTAL_OP_COUNT; opcode++) {
		size_t len = fuzz_seed(request, opcode, FUZZ_SOCKET, 5);
		struct fractal_out_header out = { .len = sizeof(out), .unique = opcode };
		struct fractal_in_header in;

		if (!len || opcode == FRACTAL_OP_INIT || opcode == FRACTAL_OP_NOTIFY_REPLY)
			continue;
		len -= sizeof(struct fuzz_control);
		memcpy(&in, request + sizeof(struct fuzz_control), sizeof(in));
		in.len = (uint32_t)len;
		in.unique = opcode;
		memcpy(request + sizeof(struct fuzz_control), &in, sizeof(in));
		at = put_record(to, at, RECORD_REQUEST, request + sizeof(struct fuzz_control),
				(uint32_t)len);
		out.error = -5;
		if (fractal_op_reply_kind(opcode) == FRACTAL_REPLY_NONE)
			continue;
		if (success)
			at = put_success(to, at, opcode);
		else
			at = put_record(to, at, RECORD_REPLY, &out, sizeof(out));
	}
	return at;
}

#endif
