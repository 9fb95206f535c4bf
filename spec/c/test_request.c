/* SPDX-License-Identifier: MIT */
/*
 * test_request.c - decoding: every operation as it comes over /dev/fuse and as it comes over the ring, and what must be
 * refused because it contradicts itself.
 */
#include "offline.h"
#include <stddef.h>

struct fractal_none_in {
};

#define DATA	   1
#define NONE	   0
#define DATA_BYTES 100

struct row {
	const char *name;
	uint32_t opcode;
	uint32_t in_size;
	int names;
	int data;
	int reply;
};

static const struct row rows[] = {
#define FRACTAL_OP(NAME, name, opcode, in, names, data, reply, err, minor, doc) \
	{ #name, opcode, sizeof(struct fractal_##in##_in), names, data, FRACTAL_REPLY_##reply },
#include "ops.def"
#undef FRACTAL_OP
};

static uint32_t in_size(uint32_t opcode)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].opcode == opcode)
			return rows[i].in_size;
	return 0;
}

/* An in-structure of pattern bytes; what tells the data's length tells the truth, and a reply's size is small. */
static void make_arg(const struct row *row, union fractal_in *arg)
{
	memset(arg, 0, sizeof(*arg));
	for (uint32_t i = 0; i < row->in_size; i++)
		((uint8_t *)arg)[i] = (uint8_t)(i + 1);
	switch (row->opcode) {
	case FRACTAL_OP_WRITE:
		arg->write.size = DATA_BYTES;
		break;
	case FRACTAL_OP_SETXATTR:
		arg->setxattr.size = DATA_BYTES;
		break;
	case FRACTAL_OP_IOCTL:
		arg->ioctl.in_size = DATA_BYTES;
		arg->ioctl.out_size = 64;
		break;
	case FRACTAL_OP_NOTIFY_REPLY:
		arg->notify_retrieve.size = DATA_BYTES;
		break;
	case FRACTAL_OP_BATCH_FORGET:
		arg->batch_forget.count = DATA_BYTES / 16;
		break;
	}
}

static uint32_t data_bytes(const struct row *row)
{
	return row->opcode == FRACTAL_OP_BATCH_FORGET ? DATA_BYTES / 16 * 16 : DATA_BYTES;
}

/* Names, data, and bytes behind them that belong to nobody. Returns the length without the latter. */
static uint32_t make_payload(const struct row *row, uint8_t *payload)
{
	uint32_t len = 0;

	if (row->names > 0)
		len += (uint32_t)sprintf((char *)payload, "first") + 1;
	if (row->names > 1)
		len += (uint32_t)sprintf((char *)payload + len, "the second") + 1;
	for (uint32_t i = 0; row->data && i < data_bytes(row); i++)
		payload[len++] = (uint8_t)(200 - i);
	return len;
}

static void check_request(const struct row *row, const struct fractal_request *req,
			  const union fractal_in *arg)
{
	int before = check_failures;

	CHECK_INT(req->id, offline.unique);
	CHECK_INT(req->nodeid, 42);
	CHECK_INT(req->opcode, row->opcode);
	CHECK_INT(req->uid, 1001);
	CHECK_INT(req->gid, 1002);
	CHECK_INT(req->pid, 1003);
	CHECK(req->user == NULL);
	CHECK_BYTES(req->arg, arg, row->in_size);
	CHECK_INT(req->name_len, row->names > 0 ? 5 : 0);
	CHECK_INT(req->name2_len, row->names > 1 ? 10 : 0);
	if (row->names > 0)
		CHECK_TEXT(req->name, "first");
	else
		CHECK(!req->name);
	if (row->names > 1)
		CHECK_TEXT(req->name2, "the second");
	else
		CHECK(!req->name2);
	CHECK_INT(req->data_len, row->data ? data_bytes(row) : 0);
	for (uint32_t i = 0; i < req->data_len; i++)
		CHECK_INT(req->data[i], (uint8_t)(200 - i));
	CHECK_INT(req->ext_len, 0);
	CHECK(!req->ext);
	CHECK_INT(req->reply_len, 0);
	if (check_failures > before)
		fprintf(stderr, "  in %s\n", row->name);
}

static void every_operation_over_dev_fuse(void)
{
	uint8_t payload[512];
	union fractal_in arg;

	offline_start(NULL);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct question q = { rows[i].opcode, 0, &arg, rows[i].in_size, payload, 0, 0 };
		struct fractal_request *req;

		make_arg(&rows[i], &arg);
		q.payload_len = make_payload(&rows[i], payload);
		req = offline_ask(&q);
		/* The library keeps these for itself. */
		if (rows[i].opcode == FRACTAL_OP_INTERRUPT ||
		    rows[i].opcode == FRACTAL_OP_NOTIFY_REPLY) {
			CHECK(!req);
			CHECK(!offline_answer());
			continue;
		}
		if (!CHECK(req))
			continue;
		check_request(&rows[i], req, &arg);
		fractal_reply(req, -EACCES);
		if (rows[i].reply == FRACTAL_REPLY_NONE)
			CHECK(!offline_answer());
		else
			CHECK_INT(offline_error(), -EACCES);
	}
	CHECK_INT(offline.logged, 0);
	offline_stop();
}

static void every_operation_over_the_ring(void)
{
	uint8_t payload[512];
	union fractal_in arg;

	offline_start(NULL);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct question q = { rows[i].opcode, 0, &arg, rows[i].in_size, payload, 0, 0 };
		struct fractal_request *req;

		make_arg(&rows[i], &arg);
		q.payload_len = make_payload(&rows[i], payload);
		if (CHECK_INT(offline_ask_ring(&q, &req), 0))
			check_request(&rows[i], req, &arg);
	}
	offline_stop();
}

/* An in-structure that is one byte short, whatever lies behind it. */
static void short_structures_are_refused(void)
{
	uint8_t payload[512];
	union fractal_in arg;

	offline_start(NULL);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct question q = { rows[i].opcode, 0, &arg, rows[i].in_size - 1, payload, 0, 0 };
		struct fractal_request *req;

		if (rows[i].in_size == 0 || rows[i].opcode == FRACTAL_OP_SETXATTR)
			continue;
		make_arg(&rows[i], &arg);
		CHECK_INT(offline_ask_ring(&q, &req), -EPROTO);
		CHECK(!offline_ask(&q));
		if (rows[i].reply == FRACTAL_REPLY_NONE)
			CHECK(!offline_answer());
		else
			CHECK_INT(offline_error(), -EIO);
	}
	CHECK_CONTAINS(offline.log, "malformed copy_file_range_64 request of ");
	offline_stop();
}

static void unknown_opcodes_get_enosys(void)
{
	static const uint32_t unknown[] = { 0, 7, 19, 48, 49, 54, 4096, 0x7fffffff, UINT32_MAX };
	struct fractal_request *req;

	offline_start(NULL);
	for (size_t i = 0; i < ARRAY_SIZE(unknown); i++) {
		struct question q = { .opcode = unknown[i], .payload = "name", .payload_len = 5 };

		CHECK(!offline_ask(&q));
		CHECK_INT(offline_error(), -ENOSYS);
		CHECK_INT(offline_ask_ring(&q, &req), -ENOSYS);
		CHECK_INT(fractal_op_default(unknown[i]), -ENOSYS);
	}
	offline_stop();
}

/* A message whose length is not the one in its header, or shorter than a header, is nobody's request. */
static void wrong_lengths_are_dropped(void)
{
	struct fractal_in_header in = { .len = sizeof(in) + 8,
					.opcode = FRACTAL_OP_STATFS,
					.unique = 2 };

	offline_start(NULL);
	CHECK_INT(send(offline.kernel_fd, &in, sizeof(in), 0), sizeof(in));
	CHECK(!fractal_next(offline.worker));
	CHECK_INT(send(offline.kernel_fd, &in, 10, 0), 10);
	CHECK(!fractal_next(offline.worker));
	CHECK(!offline_answer());
	offline_stop();
}

static int decode_names(uint32_t opcode, const void *bytes, uint32_t len)
{
	static union fractal_in arg;
	struct question q = { opcode, 0, &arg, in_size(opcode), bytes, len, 0 };
	struct fractal_request *req;
	int rc;

	rc = offline_ask_ring(&q, &req);
	req = offline_ask(&q);
	CHECK((req != NULL) == (rc == 0));
	if (req)
		fractal_reply(req, -EPERM);
	CHECK_INT(offline_error(), rc ? -EIO : -EPERM);
	return rc;
}

static void names_end_inside_the_payload(void)
{
	static char longest[2 * FRACTAL_NAME_MAX];

	offline_start(NULL);
	memset(longest, 'n', sizeof(longest));
	CHECK_INT(decode_names(FRACTAL_OP_LOOKUP, "name", 5), 0);
	CHECK_INT(decode_names(FRACTAL_OP_LOOKUP, "name", 4), -EPROTO);
	CHECK_INT(decode_names(FRACTAL_OP_LOOKUP, "", 0), -EPROTO);
	CHECK_INT(decode_names(FRACTAL_OP_LOOKUP, "", 1), 0);
	CHECK_INT(decode_names(FRACTAL_OP_RENAME, "old\0new", 8), 0);
	CHECK_INT(decode_names(FRACTAL_OP_RENAME, "old\0new", 7), -EPROTO);
	CHECK_INT(decode_names(FRACTAL_OP_RENAME2, "old\0new", 4), -EPROTO);
	CHECK_INT(decode_names(FRACTAL_OP_SYMLINK, "name\0target", 12), 0);
	CHECK_INT(decode_names(FRACTAL_OP_SYMLINK, "name\0target", 11), -EPROTO);
	CHECK_INT(decode_names(FRACTAL_OP_SETXATTR, "user.x", 6), -EPROTO);

	CHECK_INT(decode_names(FRACTAL_OP_LOOKUP, longest, sizeof(longest)), -EPROTO);
	longest[FRACTAL_NAME_MAX] = '\0';
	CHECK_INT(decode_names(FRACTAL_OP_LOOKUP, longest, FRACTAL_NAME_MAX + 1), -EPROTO);
	longest[FRACTAL_NAME_MAX - 1] = '\0';
	CHECK_INT(decode_names(FRACTAL_OP_LOOKUP, longest, FRACTAL_NAME_MAX), 0);
	longest[sizeof(longest) - 1] = '\0';
	CHECK_INT(decode_names(FRACTAL_OP_SYMLINK, longest, sizeof(longest)), 0);
	offline_stop();
}

/* Data longer than the request says are cut; shorter ones make no request. */
static void data_are_as_long_as_promised(void)
{
	static const struct {
		uint32_t opcode;
		uint32_t size_at; /* offset of the length in the in-structure */
	} cases[] = {
		{ FRACTAL_OP_WRITE, offsetof(struct fractal_write_in, size) },
		{ FRACTAL_OP_SETXATTR, offsetof(struct fractal_setxattr_in, size) },
		{ FRACTAL_OP_IOCTL, offsetof(struct fractal_ioctl_in, in_size) },
		{ FRACTAL_OP_NOTIFY_REPLY, offsetof(struct fractal_notify_retrieve_in, size) },
	};
	static const uint32_t wrong[] = { 11, 4096, 0x7fffffff, 0x80000000u, UINT32_MAX };
	struct fractal_request *req;

	offline_start(NULL);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		uint32_t size = 7;
		union fractal_in arg = { 0 };
		struct question q = { cases[i].opcode,
				      0,
				      &arg,
				      in_size(cases[i].opcode),
				      "x\0"
				      "0123456789",
				      12,
				      0 };

		/* Only setxattr has a name before its data. */
		if (q.opcode != FRACTAL_OP_SETXATTR) {
			q.payload = "0123456789";
			q.payload_len = 10;
		}
		memcpy((uint8_t *)&arg + cases[i].size_at, &size, 4);
		if (CHECK_INT(offline_ask_ring(&q, &req), 0)) {
			CHECK_INT(req->data_len, 7);
			CHECK_BYTES(req->data, "0123456", 7);
		}
		for (size_t j = 0; j < ARRAY_SIZE(wrong); j++) {
			memcpy((uint8_t *)&arg + cases[i].size_at, &wrong[j], 4);
			CHECK_INT(offline_ask_ring(&q, &req), -EPROTO);
		}
	}
	offline_stop();
}

static void batches_of_forgets_are_counted(void)
{
	/* The third wraps around at 32 bits: 16 times that is 16. */
	static const uint32_t wrong[] = { 4, 1000, 0x10000001u, UINT32_MAX };
	struct fractal_forget_one ones[3] = { { 10, 1 }, { 11, 2 }, { 12, 1ull << 40 } };
	struct fractal_batch_forget_in in = { .count = 3 };
	struct question q = { FRACTAL_OP_BATCH_FORGET, 0, &in, sizeof(in), ones, sizeof(ones), 0 };
	struct fractal_request *req;

	offline_start(NULL);
	CHECK_INT(offline_ask_ring(&q, &req), 0);
	CHECK_INT(req->data_len, sizeof(ones));
	CHECK_BYTES(req->data, ones, sizeof(ones));
	in.count = 0;
	CHECK_INT(offline_ask_ring(&q, &req), 0);
	CHECK_INT(req->data_len, 0);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		in.count = wrong[i];
		CHECK_INT(offline_ask_ring(&q, &req), -EPROTO);
	}
	offline_stop();
}

/* Without SETXATTR_EXT the structure has 8 bytes; the flags that are not sent are zero, not some earlier bytes. */
static void setxattr_has_a_short_form(void)
{
	struct fractal_setxattr_in in = { .size = 5, .flags = 2 };
	struct question q = { FRACTAL_OP_SETXATTR, 0, &in, 8, "user.a\0value", 12, 0 };
	struct fractal_request *req;

	offline_start(NULL);
	CHECK_INT(offline_ask_ring(&q, &req), 0);
	CHECK_INT(req->arg->setxattr.size, 5);
	CHECK_INT(req->arg->setxattr.flags, 2);
	CHECK_INT(req->arg->setxattr.setxattr_flags, 0);
	CHECK_TEXT(req->name, "user.a");
	q.arg_len = 7;
	CHECK_INT(offline_ask_ring(&q, &req), -EPROTO);

	q.arg_len = 8;
	offline.session->setxattr_ext = false;
	memset(offline.worker->entries[0].area->hdr.op_in, 'S', 128);
	req = offline_ask(&q);
	if (CHECK(req)) {
		CHECK_INT(req->arg->setxattr.flags, 2);
		CHECK_INT(req->arg->setxattr.setxattr_flags, 0);
		CHECK_TEXT(req->name, "user.a");
		CHECK_INT(req->data_len, 5);
		CHECK_BYTES(req->data, "value", 5);
		fractal_reply(req, 0);
		CHECK_INT(offline_error(), 0);
	}
	/* A message that ends inside the structure. */
	q.arg_len = 6;
	q.payload_len = 0;
	CHECK(!offline_ask(&q));
	CHECK_INT(offline_error(), -EIO);
	offline_stop();
}

/* A short request after a long one in the same entry shows nothing of it. */
static void stale_bytes_stay_hidden(void)
{
	struct fractal_write_in w = { .size = 3 };
	struct fractal_mkdir_in mk = { .mode = 0755 };
	struct question write = { FRACTAL_OP_WRITE, 0, &w, sizeof(w), "abc", 3, 0 };
	struct question mkdir = { FRACTAL_OP_MKDIR, 0, &mk, sizeof(mk), "d", 2, 0 };
	struct question statfs = { .opcode = FRACTAL_OP_STATFS };
	struct question unterminated = { FRACTAL_OP_UNLINK, 0, NULL, 0, "name", 4, 0 };
	struct fractal_request *req;

	offline_start(NULL);
	CHECK_INT(offline_ask_ring(&write, &req), 0);
	CHECK_INT(req->data_len, 3);
	CHECK_INT(offline_ask_ring(&mkdir, &req), 0);
	CHECK_TEXT(req->name, "d");
	CHECK(!req->data);
	CHECK_INT(req->data_len, 0);
	CHECK(!req->ext);
	CHECK_INT(offline_ask_ring(&statfs, &req), 0);
	CHECK(!req->name);
	CHECK_INT(req->name_len, 0);
	/* The memory behind the name has a NUL somewhere, but not inside the request. */
	CHECK_INT(offline_ask_ring(&unterminated, &req), -EPROTO);
	w.size = 4;
	CHECK_INT(offline_ask_ring(&write, &req), -EPROTO);
	offline_stop();
}

static void each_request_has_an_epoch_of_its_own(void)
{
	struct question q = { .opcode = FRACTAL_OP_STATFS };
	struct fractal_request *req;
	uint32_t epoch;

	offline_start(NULL);
	for (int i = 0; i < 3; i++) {
		req = offline_ask(&q);
		if (!CHECK(req))
			break;
		epoch = req->epoch;
		CHECK_INT(fractal_reply(req, 0), 0);
		CHECK(req->epoch != epoch);
		CHECK_INT(offline_error(), 0);
	}
	offline_stop();
}

int main(void)
{
	RUN(every_operation_over_dev_fuse);
	RUN(every_operation_over_the_ring);
	RUN(short_structures_are_refused);
	RUN(unknown_opcodes_get_enosys);
	RUN(wrong_lengths_are_dropped);
	RUN(names_end_inside_the_payload);
	RUN(data_are_as_long_as_promised);
	RUN(batches_of_forgets_are_counted);
	RUN(setxattr_has_a_short_form);
	RUN(stale_bytes_stay_hidden);
	RUN(each_request_has_an_epoch_of_its_own);
	return check_result();
}
