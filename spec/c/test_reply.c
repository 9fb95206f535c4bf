/* SPDX-License-Identifier: MIT */
/*
 * test_reply.c - replies: what goes to the kernel for each kind of result, and that each request gets exactly one.
 */
#include "offline.h"
#include <math.h>
#include <sys/stat.h>

static struct fractal_request *ask(uint32_t opcode, const void *arg, uint32_t arg_len)
{
	struct question q = { opcode, 42, arg, arg_len, "name\0second", 12, 0 };
	struct fractal_request *req = offline_ask(&q);

	if (!CHECK(req))
		exit(check_result());
	return req;
}

/* Replies with @result; the payload is in offline.answer. Returns the caller's error. */
static int answer(struct fractal_request *req, int result)
{
	CHECK_INT(fractal_reply(req, result), 0);
	return offline_error();
}

#define PAYLOAD(type) ((const struct type *)offline.answer.payload)

/* ---- kinds ---- */

static void replies_of_fixed_size(void)
{
	static const struct {
		uint32_t opcode;
		uint32_t in_size;
		uint32_t out_size;
	} cases[] = {
		{ FRACTAL_OP_GETATTR, sizeof(struct fractal_getattr_in),
		  sizeof(struct fractal_attr_out) },
		{ FRACTAL_OP_SETATTR, sizeof(struct fractal_setattr_in),
		  sizeof(struct fractal_attr_out) },
		{ FRACTAL_OP_OPEN, sizeof(struct fractal_open_in),
		  sizeof(struct fractal_open_out) },
		{ FRACTAL_OP_OPENDIR, sizeof(struct fractal_open_in),
		  sizeof(struct fractal_open_out) },
		{ FRACTAL_OP_STATFS, 0, sizeof(struct fractal_kstatfs) },
		{ FRACTAL_OP_GETLK, sizeof(struct fractal_lk_in), sizeof(struct fractal_lk_out) },
		{ FRACTAL_OP_BMAP, sizeof(struct fractal_bmap_in),
		  sizeof(struct fractal_bmap_out) },
		{ FRACTAL_OP_POLL, sizeof(struct fractal_poll_in),
		  sizeof(struct fractal_poll_out) },
		{ FRACTAL_OP_LSEEK, sizeof(struct fractal_lseek_in),
		  sizeof(struct fractal_lseek_out) },
		{ FRACTAL_OP_STATX, sizeof(struct fractal_statx_in),
		  sizeof(struct fractal_statx_out) },
		{ FRACTAL_OP_COPY_FILE_RANGE_64, sizeof(struct fractal_copy_file_range_in),
		  sizeof(struct fractal_copy_file_range_out) },
		{ FRACTAL_OP_COPY_FILE_RANGE, sizeof(struct fractal_copy_file_range_in),
		  sizeof(struct fractal_write_out) },
		{ FRACTAL_OP_RELEASE, sizeof(struct fractal_release_in), 0 },
		{ FRACTAL_OP_FLUSH, sizeof(struct fractal_flush_in), 0 },
		{ FRACTAL_OP_FSYNC, sizeof(struct fractal_fsync_in), 0 },
		{ FRACTAL_OP_UNLINK, 0, 0 },
		{ FRACTAL_OP_RENAME, sizeof(struct fractal_rename_in), 0 },
		{ FRACTAL_OP_ACCESS, sizeof(struct fractal_access_in), 0 },
		{ FRACTAL_OP_SETLK, sizeof(struct fractal_lk_in), 0 },
		{ FRACTAL_OP_FALLOCATE, sizeof(struct fractal_fallocate_in), 0 },
		{ FRACTAL_OP_SYNCFS, sizeof(struct fractal_syncfs_in), 0 },
		{ FRACTAL_OP_DESTROY, 0, 0 },
	};
	static const uint8_t zeroes[128];

	offline_start(NULL);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CHECK_INT(answer(ask(cases[i].opcode, zeroes, cases[i].in_size), 0), 0);
		if (!CHECK_INT(offline.answer.len, cases[i].out_size))
			fprintf(stderr, "  in %s\n", fractal_op_name(cases[i].opcode));
		/* An error brings no payload. */
		CHECK_INT(answer(ask(cases[i].opcode, zeroes, cases[i].in_size), -EACCES), -EACCES);
		CHECK_INT(offline.answer.len, 0);
	}
	offline_stop();
}

static void entries_and_attributes_have_defaults(void)
{
	struct fractal_config config = { .entry_ttl = 1.5, .attr_ttl = 2.25 };
	struct fractal_getattr_in in = { 0 };
	const struct fractal_entry_out *entry = PAYLOAD(fractal_entry_out);
	const struct fractal_attr_out *attr = PAYLOAD(fractal_attr_out);
	struct fractal_request *req;

	offline_start(&config);
	req = ask(FRACTAL_OP_LOOKUP, NULL, 0);
	req->out->entry.nodeid = 7;
	req->out->entry.attr.mode = S_IFREG | 0644;
	req->out->entry.attr.size = 1025;
	CHECK_INT(answer(req, 0), 0);
	CHECK_INT(offline.answer.len, sizeof(*entry));
	CHECK_INT(entry->nodeid, 7);
	CHECK_INT(entry->generation, 0);
	CHECK_INT(entry->entry_valid, 1);
	CHECK_INT(entry->entry_valid_nsec, 500000000);
	CHECK_INT(entry->attr_valid, 2);
	CHECK_INT(entry->attr_valid_nsec, 250000000);
	CHECK_INT(entry->attr.ino, 7);
	CHECK_INT(entry->attr.blocks, 3);
	CHECK_INT(entry->attr.nlink, 1);
	CHECK_INT(entry->attr.uid, getuid());
	CHECK_INT(entry->attr.gid, getgid());
	CHECK_INT(entry->attr.blksize, sysconf(_SC_PAGESIZE));
	CHECK(entry->attr.mtime_sec > 1600000000);

	req = ask(FRACTAL_OP_GETATTR, &in, sizeof(in));
	req->out->attr.attr.blocks = 99; /* a sparse file says so itself */
	req->out->attr.attr.size = 1025;
	req->out->attr.attr.ino = 5;
	CHECK_INT(answer(req, 0), 0);
	CHECK_INT(attr->attr.blocks, 99);
	CHECK_INT(attr->attr.ino, 5);
	CHECK_INT(attr->attr_valid, 2);
	CHECK_INT(attr->dummy, 0);
	CHECK_INT(answer(ask(FRACTAL_OP_GETATTR, &in, sizeof(in)), 0), 0);
	CHECK_INT(attr->attr.blocks, 0);
	CHECK_INT(attr->attr.ino, 42);
	offline_stop();
}

/* Times that no integer holds: for ever is long, and what is no number is none. */
static void caching_times_may_be_endless(void)
{
	struct fractal_config config = { .entry_ttl = INFINITY,
					 .attr_ttl = NAN,
					 .negative_ttl = 1e300 };
	const struct fractal_entry_out *entry = PAYLOAD(fractal_entry_out);
	struct fractal_request *req;

	offline_start(&config);
	req = ask(FRACTAL_OP_LOOKUP, NULL, 0);
	req->out->entry.nodeid = 7;
	CHECK_INT(answer(req, 0), 0);
	CHECK_INT(entry->entry_valid, UINT32_MAX);
	CHECK_INT(entry->entry_valid_nsec, 0);
	CHECK_INT(entry->attr_valid, 0);
	CHECK_INT(answer(ask(FRACTAL_OP_LOOKUP, NULL, 0), -ENOENT), 0);
	CHECK_INT(entry->nodeid, 0);
	CHECK_INT(entry->entry_valid, UINT32_MAX);
	offline_stop();
}

static void statx_and_statfs_have_defaults(void)
{
	struct fractal_statx_in in = { .sx_mask = 0x7ff };
	const struct fractal_statx_out *stx = PAYLOAD(fractal_statx_out);
	const struct fractal_kstatfs *st = PAYLOAD(fractal_kstatfs);
	struct fractal_request *req;

	offline_start(NULL);
	req = ask(FRACTAL_OP_STATX, &in, sizeof(in));
	req->out->statx.stat.size = 512;
	CHECK_INT(answer(req, 0), 0);
	CHECK_INT(stx->stat.ino, 42);
	CHECK_INT(stx->stat.blocks, 1);
	CHECK_INT(stx->stat.nlink, 1);
	CHECK_INT(stx->stat.uid, getuid());
	CHECK_INT(answer(ask(FRACTAL_OP_STATFS, NULL, 0), 0), 0);
	CHECK_INT(st->bsize, 4096);
	CHECK_INT(st->frsize, 4096);
	CHECK_INT(st->namelen, 255);
	CHECK_INT(st->blocks, 0);
	offline_stop();
}

static void create_answers_entry_and_open(void)
{
	struct fractal_create_in in = { .mode = S_IFREG | 0600 };
	const struct fractal_create_out *out = PAYLOAD(fractal_create_out);
	struct fractal_request *req;

	offline_start(NULL);
	req = ask(FRACTAL_OP_CREATE, &in, sizeof(in));
	CHECK_INT(req->out->create.open.fh, 0);
	req->out->create.entry.nodeid = 9;
	req->out->create.open.fh = 77;
	req->out->create.open.open_flags = FRACTAL_FOPEN_DIRECT_IO;
	CHECK_INT(answer(req, 0), 0);
	CHECK_INT(offline.answer.len, sizeof(*out));
	CHECK_INT(out->entry.nodeid, 9);
	CHECK_INT(out->entry.attr.ino, 9);
	CHECK_INT(out->open.fh, 77);
	CHECK_INT(out->open.open_flags, FRACTAL_FOPEN_DIRECT_IO);
	/* A created file without an inode number cannot be: the caller is told that nothing is there. */
	CHECK_INT(answer(ask(FRACTAL_OP_CREATE, &in, sizeof(in)), 0), -ENOENT);
	CHECK_INT(answer(ask(FRACTAL_OP_TMPFILE, &in, sizeof(in)), 0), -ENOENT);
	offline_stop();
}

static void missing_names_are_remembered_for_their_time(void)
{
	struct fractal_config config = { .negative_ttl = 3.5 };
	const struct fractal_entry_out *entry = PAYLOAD(fractal_entry_out);

	offline_start(NULL);
	CHECK_INT(answer(ask(FRACTAL_OP_LOOKUP, NULL, 0), -ENOENT), -ENOENT);
	CHECK_INT(answer(ask(FRACTAL_OP_LOOKUP, NULL, 0), 0), -ENOENT);
	offline_stop();

	offline_start(&config);
	for (int result = -ENOENT; result <= 0; result += ENOENT) {
		CHECK_INT(answer(ask(FRACTAL_OP_LOOKUP, NULL, 0), result), 0);
		CHECK_INT(offline.answer.len, sizeof(*entry));
		CHECK_INT(entry->nodeid, 0);
		CHECK_INT(entry->entry_valid, 3);
		CHECK_INT(entry->entry_valid_nsec, 500000000);
		CHECK_INT(entry->attr.mode, 0);
	}
	CHECK_INT(answer(ask(FRACTAL_OP_LOOKUP, NULL, 0), -EACCES), -EACCES);
	CHECK_INT(answer(ask(FRACTAL_OP_UNLINK, NULL, 0), -ENOENT), -ENOENT);
	offline_stop();
}

static void reads_answer_bytes(void)
{
	struct fractal_read_in in = { .size = 4096 };
	struct fractal_request *req;
	uint8_t text[5000];

	memset(text, 'r', sizeof(text));
	offline_start(NULL);
	req = ask(FRACTAL_OP_READ, &in, sizeof(in));
	CHECK_INT(req->reply_cap, 4096);
	memset(req->reply_data, 'x', 4096);
	CHECK_INT(answer(req, 4096), 0);
	CHECK_INT(offline.answer.len, 4096);
	CHECK(offline.answer.payload[0] == 'x' && offline.answer.payload[4095] == 'x');
	CHECK_INT(answer(ask(FRACTAL_OP_READ, &in, sizeof(in)), 0), 0);
	CHECK_INT(offline.answer.len, 0);

	/* More bytes than were asked for are cut. */
	CHECK_INT(fractal_reply_bytes(ask(FRACTAL_OP_READ, &in, sizeof(in)), text, 5000), 0);
	CHECK_INT(offline_error(), 0);
	CHECK_INT(offline.answer.len, 4096);
	CHECK_BYTES(offline.answer.payload, text, 4096);

	/* No reply is larger than the payload, whatever the kernel asks. */
	in.size = UINT32_MAX;
	req = ask(FRACTAL_OP_READ, &in, sizeof(in));
	CHECK_INT(req->reply_cap, OFFLINE_MAX_WRITE);
	CHECK_INT(answer(req, (int)OFFLINE_MAX_WRITE), 0);
	CHECK_INT(offline.answer.len, OFFLINE_MAX_WRITE);

	CHECK_INT(fractal_reply_bytes(ask(FRACTAL_OP_READLINK, NULL, 0), "../target", 9), 0);
	CHECK_INT(offline_error(), 0);
	CHECK_INT(offline.answer.len, 9);
	CHECK_BYTES(offline.answer.payload, "../target", 9);
	offline_stop();
}

static void writes_answer_counts(void)
{
	struct fractal_write_in in = { .size = 4 };
	struct fractal_copy_file_range_in copy = { .len = 1 << 20 };
	const struct fractal_write_out *out = PAYLOAD(fractal_write_out);
	struct fractal_request *req;

	offline_start(NULL);
	req = ask(FRACTAL_OP_WRITE, &in, sizeof(in));
	CHECK_BYTES(req->data, "name", 4);
	CHECK_INT(answer(req, 4), 0);
	CHECK_INT(out->size, 4);
	CHECK_INT(out->padding, 0);
	CHECK_INT(answer(ask(FRACTAL_OP_WRITE, &in, sizeof(in)), 2), 0);
	CHECK_INT(out->size, 2);
	CHECK_INT(answer(ask(FRACTAL_OP_COPY_FILE_RANGE, &copy, sizeof(copy)), 1 << 20), 0);
	CHECK_INT(out->size, 1 << 20);
	offline_stop();
}

/* The 64-bit form takes its count from the structure, or from the result as its 32-bit sister does. */
static void copies_answer_64_bits(void)
{
	struct fractal_copy_file_range_in in = { .len = 1ull << 40 };
	const struct fractal_copy_file_range_out *out = PAYLOAD(fractal_copy_file_range_out);
	struct fractal_request *req;

	offline_start(NULL);
	req = ask(FRACTAL_OP_COPY_FILE_RANGE_64, &in, sizeof(in));
	req->out->copied.bytes_copied = 1ull << 40;
	CHECK_INT(answer(req, 0), 0);
	CHECK_INT(out->bytes_copied, 1ull << 40);
	CHECK_INT(answer(ask(FRACTAL_OP_COPY_FILE_RANGE_64, &in, sizeof(in)), 12345), 0);
	CHECK_INT(out->bytes_copied, 12345);
	offline_stop();
}

static void xattrs_are_probed_and_bounded(void)
{
	struct fractal_getxattr_in probe = { .size = 0 }, some = { .size = 10 };
	const struct fractal_getxattr_out *out = PAYLOAD(fractal_getxattr_out);
	uint32_t ops[] = { FRACTAL_OP_GETXATTR, FRACTAL_OP_LISTXATTR };

	offline_start(NULL);
	for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
		CHECK_INT(fractal_reply_bytes(ask(ops[i], &probe, sizeof(probe)), "0123456789ab",
					      12),
			  0);
		CHECK_INT(offline_error(), 0);
		CHECK_INT(offline.answer.len, sizeof(*out));
		CHECK_INT(out->size, 12);
		CHECK_INT(answer(ask(ops[i], &probe, sizeof(probe)), 0), 0);
		CHECK_INT(out->size, 0);
		CHECK_INT(fractal_reply_bytes(ask(ops[i], &some, sizeof(some)), "0123456789ab", 12),
			  0);
		CHECK_INT(offline_error(), -ERANGE);
		CHECK_INT(fractal_reply_bytes(ask(ops[i], &some, sizeof(some)), "0123456789", 10),
			  0);
		CHECK_INT(offline_error(), 0);
		CHECK_INT(offline.answer.len, 10);
		CHECK_BYTES(offline.answer.payload, "0123456789", 10);
		CHECK_INT(fractal_reply_bytes(ask(ops[i], &some, sizeof(some)), "", 0), 0);
		CHECK_INT(offline_error(), 0);
		CHECK_INT(offline.answer.len, 0);
	}
	offline_stop();
}

/* ioctl_out comes first; the bytes were gathered behind the argument, which stays readable until the reply. */
static void ioctls_answer_structure_and_bytes(void)
{
	struct fractal_ioctl_in in = { .cmd = 1, .in_size = 5, .out_size = 8 };
	const struct fractal_ioctl_out *out = PAYLOAD(fractal_ioctl_out);
	struct fractal_request *req;

	offline_start(NULL);
	req = ask(FRACTAL_OP_IOCTL, &in, sizeof(in));
	CHECK_INT(req->data_len, 5);
	CHECK_INT(req->reply_cap, 8);
	req->out->ioctl.result = -3;
	memcpy(req->reply_data, "outbytes", 8);
	CHECK_BYTES(req->data, "name", 5);
	CHECK_INT(answer(req, 8), 0);
	CHECK_INT(offline.answer.len, sizeof(*out) + 8);
	CHECK_INT(out->result, -3);
	CHECK_BYTES(out + 1, "outbytes", 8);

	in.in_size = 0;
	req = ask(FRACTAL_OP_IOCTL, &in, sizeof(in));
	CHECK_INT(req->out->ioctl.result, 0);
	CHECK_INT(answer(req, 0), 0);
	CHECK_INT(offline.answer.len, sizeof(*out));

	/* An output that would not fit behind the structure is cut to what fits. */
	in.out_size = UINT32_MAX;
	req = ask(FRACTAL_OP_IOCTL, &in, sizeof(in));
	CHECK_INT(req->reply_cap, OFFLINE_MAX_WRITE - sizeof(*out));
	memset(req->reply_data, 'o', req->reply_cap);
	CHECK_INT(answer(req, (int)(OFFLINE_MAX_WRITE - sizeof(*out))), 0);
	CHECK_INT(offline.answer.len, OFFLINE_MAX_WRITE);
	offline_stop();
}

/* An argument that fills the payload leaves no room for output, and is answered all the same. */
static void ioctls_with_full_payload(void)
{
	static uint8_t bytes[OFFLINE_MAX_WRITE];
	struct fractal_ioctl_in in = { .in_size = sizeof(bytes), .out_size = 100 };
	struct question q = { FRACTAL_OP_IOCTL, 0, &in, sizeof(in), bytes, sizeof(bytes), 0 };
	struct fractal_request *req;

	offline_start(NULL);
	for (uint32_t less = 0; less < 200; less += 9) {
		in.in_size = q.payload_len = (uint32_t)sizeof(bytes) - less;
		req = offline_ask(&q);
		if (!CHECK(req))
			break;
		CHECK(req->reply_cap <= 100);
		CHECK(req->reply_data + req->reply_cap <=
		      offline.worker->entries[req->slot].payload + OFFLINE_MAX_WRITE);
		CHECK_INT(answer(req, (int)req->reply_cap), 0);
	}
	offline_stop();
}

static void locks_answer_what_was_asked(void)
{
	struct fractal_lk_in in = { .lk = { .start = 10, .end = 20, .type = 1, .pid = 99 } };
	const struct fractal_lk_out *out = PAYLOAD(fractal_lk_out);

	offline_start(NULL);
	CHECK_INT(answer(ask(FRACTAL_OP_GETLK, &in, sizeof(in)), 0), 0);
	CHECK_BYTES(&out->lk, &in.lk, sizeof(in.lk));
	offline_stop();
}

/* ---- exactly one, and a sensible one ---- */

static void a_second_reply_is_refused(void)
{
	struct fractal_getattr_in in = { 0 };
	struct fractal_request *req;

	offline_start(NULL);
	req = ask(FRACTAL_OP_GETATTR, &in, sizeof(in));
	CHECK_INT(answer(req, 0), 0);
	CHECK_INT(fractal_reply(req, 0), -EALREADY);
	CHECK_INT(fractal_reply(req, -EIO), -EALREADY);
	CHECK_INT(fractal_reply_bytes(req, "x", 1), -EALREADY);
	CHECK(!offline_answer());
	/* Nor is there one without a request. */
	CHECK_INT(fractal_reply(fractal_worker_request(offline.worker, 3), 0), -EALREADY);
	CHECK(!offline_answer());
	offline_stop();
}

static void senseless_results_become_eio(void)
{
	struct fractal_read_in r = { .size = 10 };
	struct fractal_write_in w = { .size = 4 };
	struct fractal_ioctl_in ioc = { .out_size = 8 };
	const struct {
		uint32_t opcode;
		const void *in;
		uint32_t in_size;
		int result;
	} cases[] = {
		{ FRACTAL_OP_UNLINK, NULL, 0, -512 },
		{ FRACTAL_OP_UNLINK, NULL, 0, INT32_MIN },
		{ FRACTAL_OP_UNLINK, NULL, 0, FRACTAL_LATER },
		{ FRACTAL_OP_READ, &r, sizeof(r), 11 },
		{ FRACTAL_OP_READ, &r, sizeof(r), INT32_MAX },
		{ FRACTAL_OP_WRITE, &w, sizeof(w), 5 },
		{ FRACTAL_OP_IOCTL, &ioc, sizeof(ioc), 9 },
		{ FRACTAL_OP_READLINK, NULL, 0, 4096 },
	};

	offline_start(NULL);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fractal_request *req = ask(cases[i].opcode, cases[i].in, cases[i].in_size);
		char sentence[128];

		snprintf(sentence, sizeof(sentence), "%s of inode 42: result %d does not fit",
			 fractal_op_name(cases[i].opcode), cases[i].result);
		offline.logged = 0;
		CHECK_INT(fractal_reply(req, cases[i].result), -EINVAL);
		CHECK_INT(offline_error(), -EIO);
		CHECK_INT(offline.answer.len, 0);
		CHECK_INT(offline.logged, 1);
		CHECK_CONTAINS(offline.log, sentence);
	}
	/* The largest errno, and the one that the library itself uses inside, pass. */
	offline.logged = 0;
	CHECK_INT(answer(ask(FRACTAL_OP_UNLINK, NULL, 0), -511), -511);
	CHECK_INT(answer(ask(FRACTAL_OP_UNLINK, NULL, 0), -EPROTO), -EPROTO);
	CHECK_INT(answer(ask(FRACTAL_OP_UNLINK, NULL, 0), -1), -1);
	CHECK_INT(offline.logged, 0);
	offline_stop();
}

static void *reply_elsewhere(void *arg)
{
	CHECK_INT(fractal_reply(arg, -EXDEV), 0);
	CHECK_INT(fractal_reply(arg, 0), -EALREADY);
	return NULL;
}

static void *reply_at_once(void *arg)
{
	fractal_reply(arg, -EXDEV);
	return NULL;
}

/* Where two threads answer the same request at the same time one answer goes out, and the next request is served. */
static void of_two_threads_that_answer_one_does(void)
{
	enum {
		TURNS = 300
	};

	offline_start(NULL);
	for (int i = 0; i < TURNS; i++) {
		struct fractal_request *req = ask(FRACTAL_OP_UNLINK, NULL, 0);
		uint64_t answered = offline.worker->stats[FRACTAL_OP_UNLINK].count;
		pthread_t thread;

		CHECK_INT(pthread_create(&thread, NULL, reply_at_once, req), 0);
		fractal_reply(req, 0);
		pthread_join(thread, NULL);
		CHECK(!fractal_next(offline.worker));
		CHECK_INT(offline.worker->stats[FRACTAL_OP_UNLINK].count, answered + 1);
		CHECK_INT(atomic_load(&offline.worker->held), 0);
		CHECK(offline_answer());
		CHECK(!offline_answer());
	}
	offline_stop();
}

/* A reply from another thread goes out when the worker comes by. */
static void replies_from_other_threads_wait_for_the_worker(void)
{
	struct fractal_request *req;
	pthread_t thread;

	offline_start(NULL);
	req = ask(FRACTAL_OP_UNLINK, NULL, 0);
	CHECK_INT(pthread_create(&thread, NULL, reply_elsewhere, req), 0);
	pthread_join(thread, NULL);
	CHECK(!offline_answer());
	CHECK_INT(atomic_load(&offline.worker->held), 1);
	CHECK(!fractal_next(offline.worker));
	CHECK_INT(offline_error(), -EXDEV);
	CHECK_INT(atomic_load(&offline.worker->held), 0);
	offline_stop();
}

/* Statistics count what was answered and what failed. */
static void replies_are_counted(void)
{
	const struct fractal_op_stats *stats;

	offline_start(NULL);
	stats = fractal_worker_stats(offline.worker, FRACTAL_OP_UNLINK);
	answer(ask(FRACTAL_OP_UNLINK, NULL, 0), 0);
	answer(ask(FRACTAL_OP_UNLINK, NULL, 0), -EPERM);
	answer(ask(FRACTAL_OP_UNLINK, NULL, 0), -EPERM);
	CHECK_INT(stats->count, 3);
	CHECK_INT(stats->errors, 2);
	CHECK(!fractal_worker_stats(offline.worker, FRACTAL_OP_COUNT));
	offline_stop();
}

int main(void)
{
	RUN(replies_of_fixed_size);
	RUN(entries_and_attributes_have_defaults);
	RUN(caching_times_may_be_endless);
	RUN(statx_and_statfs_have_defaults);
	RUN(create_answers_entry_and_open);
	RUN(missing_names_are_remembered_for_their_time);
	RUN(reads_answer_bytes);
	RUN(writes_answer_counts);
	RUN(copies_answer_64_bits);
	RUN(xattrs_are_probed_and_bounded);
	RUN(ioctls_answer_structure_and_bytes);
	RUN(ioctls_with_full_payload);
	RUN(locks_answer_what_was_asked);
	RUN(a_second_reply_is_refused);
	RUN(senseless_results_become_eio);
	RUN(replies_from_other_threads_wait_for_the_worker);
	RUN(of_two_threads_that_answer_one_does);
	RUN(replies_are_counted);
	return check_result();
}
