/* SPDX-License-Identifier: MIT */
/* test_dirents.c - directory entries, plain and with attributes, as they go to the kernel. */
#include "offline.h"
#include <sys/stat.h>

static struct fractal_request *ask_readdir(uint32_t opcode, uint32_t size)
{
	struct fractal_read_in in = { .size = size };
	struct question q = { opcode, 42, &in, sizeof(in), NULL, 0, 0 };
	struct fractal_request *req = offline_ask(&q);

	if (!CHECK(req))
		exit(check_result());
	return req;
}

static void send_reply(struct fractal_request *req)
{
	CHECK_INT(fractal_reply(req, 0), 0);
	CHECK_INT(offline_error(), 0);
}

static void directory_entries_are_padded(void)
{
	const uint8_t *p = offline.answer.payload;
	struct fractal_request *req;
	struct fractal_dirent d;
	uint32_t at = 0;

	offline_start(NULL);
	req = ask_readdir(FRACTAL_OP_READDIR, 4096);
	memset(req->reply_data, 0xff, 4096);
	for (uint32_t n = 1; n <= 17; n++)
		CHECK_INT(fractal_dirents_add(req, "abcdefghijklmnopq", n, 100 + n, S_IFDIR | 0755,
					      n),
			  1);
	send_reply(req);
	for (uint32_t n = 1; n <= 17; n++) {
		memcpy(&d, p + at, sizeof(d));
		CHECK_INT(d.ino, 100 + n);
		CHECK_INT(d.off, n);
		CHECK_INT(d.namelen, n);
		CHECK_INT(d.type, 4 /* DT_DIR */);
		CHECK_BYTES(p + at + sizeof(d), "abcdefghijklmnopq", n);
		at += (uint32_t)sizeof(d) + n;
		for (; at % 8; at++)
			CHECK_INT(p[at], 0);
	}
	CHECK_INT(offline.answer.len, at);
	offline_stop();
}

static void directory_replies_end_at_their_size(void)
{
	struct fractal_request *req;
	char name[300];
	int n = 0;

	memset(name, 'n', sizeof(name));
	offline_start(NULL);
	req = ask_readdir(FRACTAL_OP_READDIR, 64);
	CHECK_INT(fractal_dirents_add(req, name, 9, 1, 0, 1), 1); /* 24 + 16 */
	CHECK_INT(fractal_dirents_add(req, name, 1, 1, 0, 2), 0); /* 32 do not fit into 24 */
	CHECK_INT(fractal_dirents_add(req, name, UINT32_MAX, 1, 0, 2), 0);
	CHECK_INT(fractal_dirents_add(req, name, UINT32_MAX - 30, 1, 0, 2), 0);
	send_reply(req);
	CHECK_INT(offline.answer.len, 40);

	req = ask_readdir(FRACTAL_OP_READDIR, 0);
	CHECK_INT(fractal_dirents_add(req, name, 1, 1, 0, 1), 0);
	send_reply(req);
	CHECK_INT(offline.answer.len, 0);

	req = ask_readdir(FRACTAL_OP_READDIR, 4096);
	while (fractal_dirents_add(req, name, 255, 1, 0, (uint64_t)n + 1))
		n++;
	CHECK_INT(n, 4096 / 280);
	send_reply(req);
	CHECK_INT(offline.answer.len, n * 280);
	offline_stop();
}

static void directory_entries_with_attributes(void)
{
	const uint8_t *p = offline.answer.payload;
	struct fractal_config config = { .entry_ttl = 4, .attr_ttl = 5 };
	struct fractal_request *req;
	struct fractal_entry_out *e, got;
	struct fractal_dirent d;

	offline_start(&config);
	req = ask_readdir(FRACTAL_OP_READDIRPLUS, 2 * 160 + 100);
	e = fractal_dirents_add_plus(req, "first", 5, 1);
	if (!CHECK(e))
		return;
	e->nodeid = 50;
	e->attr.mode = S_IFLNK | 0777;
	e->attr.size = 513;
	fractal_dirents_finish_plus(e);
	e = fractal_dirents_add_plus(req, ".", 1, 2);
	if (!CHECK(e))
		return;
	e->attr.ino = 1;
	e->attr.mode = S_IFDIR;
	fractal_dirents_finish_plus(e);
	CHECK(!fractal_dirents_add_plus(req, "third", 5, 3));
	CHECK(!fractal_dirents_add_plus(req, "third", UINT32_MAX - 100, 3));
	send_reply(req);
	CHECK_INT(offline.answer.len, 2 * 160);

	memcpy(&got, p, sizeof(got));
	memcpy(&d, p + sizeof(got), sizeof(d));
	CHECK_INT(got.nodeid, 50);
	CHECK_INT(got.entry_valid, 4);
	CHECK_INT(got.attr_valid, 5);
	CHECK_INT(got.attr.ino, 50);
	CHECK_INT(got.attr.blocks, 2);
	CHECK_INT(d.ino, 50);
	CHECK_INT(d.type, 10 /* DT_LNK */);
	CHECK_INT(d.off, 1);
	CHECK_BYTES(p + sizeof(got) + sizeof(d), "first\0\0\0", 8);
	memcpy(&got, p + 160, sizeof(got));
	memcpy(&d, p + 160 + sizeof(got), sizeof(d));
	CHECK_INT(got.nodeid, 0);
	CHECK_INT(d.ino, 1);
	CHECK_INT(d.type, 4);
	offline_stop();
}

static void directory_entries_can_be_taken_back(void)
{
	struct fractal_request *req;
	uint32_t before;

	offline_start(NULL);
	req = ask_readdir(FRACTAL_OP_READDIRPLUS, 1000);
	CHECK(fractal_dirents_add_plus(req, "keep", 4, 1));
	before = req->reply_len;
	CHECK(fractal_dirents_add_plus(req, "drop", 4, 2));
	fractal_dirents_undo(req, before);
	CHECK_INT(req->reply_len, before);
	fractal_dirents_undo(req, before + 1); /* never forwards */
	CHECK_INT(req->reply_len, before);
	send_reply(req);
	CHECK_INT(offline.answer.len, before);
	CHECK_BYTES(offline.answer.payload + 128 + 24, "keep", 4);
	offline_stop();
}

int main(void)
{
	RUN(directory_entries_are_padded);
	RUN(directory_replies_end_at_their_size);
	RUN(directory_entries_with_attributes);
	RUN(directory_entries_can_be_taken_back);
	return check_result();
}
