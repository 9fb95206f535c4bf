/* SPDX-License-Identifier: MIT */
/*
 * test_extensions.c - what may stand behind a creating request: the groups of its caller and security contexts, as the
 * kernel lays them out, and broken.
 */
#include "offline.h"

static struct fractal_request *ask_mkdir(const void *ext, uint32_t ext_len)
{
	static uint8_t payload[4096];
	static struct fractal_mkdir_in mk = { .mode = 0755 };
	struct question q = { FRACTAL_OP_MKDIR, 0, &mk, sizeof(mk), payload, 4 + ext_len, ext_len };
	struct fractal_request *req;

	memcpy(payload, "dir", 4);
	if (ext_len)
		memcpy(payload + 4, ext, ext_len);
	CHECK_INT(offline_ask_ring(&q, &req), 0);
	CHECK_TEXT(req->name, "dir");
	CHECK_INT(req->ext_len, ext_len);
	return req;
}

static void groups_are_read(void)
{
	uint32_t ext[] = { 24, FRACTAL_EXT_GROUPS, 3, 100, 200, 300 };
	uint32_t got[8] = { 0 };
	struct fractal_request *req;

	offline_start(NULL);
	req = ask_mkdir(ext, sizeof(ext));
	CHECK_INT(fractal_request_groups(req, got, 8), 3);
	CHECK(got[0] == 100 && got[1] == 200 && got[2] == 300 && got[3] == 0);
	memset(got, 0, sizeof(got));
	CHECK_INT(fractal_request_groups(req, got, 2), 3);
	CHECK(got[0] == 100 && got[1] == 200 && got[2] == 0);
	CHECK_INT(fractal_request_groups(req, NULL, 0), 3);
	ext[2] = UINT32_MAX; /* more than fit */
	CHECK_INT(fractal_request_groups(ask_mkdir(ext, sizeof(ext)), got, 8), 3);
	req = ask_mkdir(NULL, 0);
	CHECK_INT(fractal_request_groups(req, got, 8), 0);
	offline_stop();
}

static void broken_extensions_give_nothing(void)
{
	static const uint32_t broken[][4] = {
		{ 0, FRACTAL_EXT_GROUPS, 1, 100 },	    /* shorter than its own header */
		{ 7, FRACTAL_EXT_GROUPS, 1, 100 },	    /* the same */
		{ 24, FRACTAL_EXT_GROUPS, 1, 100 },	    /* longer than what was sent */
		{ UINT32_MAX, FRACTAL_EXT_GROUPS, 1, 100 }, /* the same */
		{ 8, FRACTAL_EXT_GROUPS, 1, 100 },	    /* without a body */
		{ 8, 77, UINT32_MAX, FRACTAL_EXT_GROUPS },  /* a broken one behind a foreign one */
		{ 16, 0, 0, 0 },			    /* no security context at all */
		{ 16, 1, UINT32_MAX, 0 },		    /* a label longer than what was sent */
		{ 16, 1, 0, 0x6c6c6c6c },		    /* its name does not end */
	};
	struct fractal_mkdir_in mk = { .mode = 0 };
	struct question q = { FRACTAL_OP_MKDIR, 0, &mk, sizeof(mk), "dir\0....", 8, 16 };
	struct fractal_request *req;
	const uint8_t *value;
	const char *name;
	uint32_t got[4];

	offline_start(NULL);
	for (size_t i = 0; i < ARRAY_SIZE(broken); i++) {
		req = ask_mkdir(broken[i], sizeof(broken[i]));
		CHECK_INT(fractal_request_groups(req, got, 4), 0);
		CHECK_INT(fractal_request_secctx(req, 0, &name, &value), -ENODATA);
	}
	/* More extension than payload. */
	CHECK_INT(offline_ask_ring(&q, &req), -EPROTO);
	offline_stop();
}

struct text {
	uint8_t bytes[512];
	uint32_t len;
};

static void put(struct text *t, const void *bytes, uint32_t len)
{
	memcpy(t->bytes + t->len, bytes, len);
	t->len += len;
}

/* One security context as the kernel lays it out: size, padding, name, label, zeroes up to 8 bytes. */
static void put_context(struct text *t, const char *name, const char *label)
{
	uint32_t head[2] = { (uint32_t)strlen(label), 0 };

	put(t, head, sizeof(head));
	put(t, name, (uint32_t)strlen(name) + 1);
	put(t, label, (uint32_t)strlen(label));
	while (t->len % 8)
		put(t, "", 1);
}

static void finish_contexts(struct text *t, uint32_t count)
{
	uint32_t head[2] = { t->len, count };

	memcpy(t->bytes, head, sizeof(head));
}

static void check_context(const struct fractal_request *req, int index, const char *name,
			  const char *label)
{
	const char *got_name = NULL;
	const uint8_t *got = NULL;

	if (!CHECK_INT(fractal_request_secctx(req, index, &got_name, &got), strlen(label)))
		return;
	CHECK_TEXT(got_name, name);
	CHECK_BYTES(got, label, strlen(label));
}

static void security_contexts_are_read(void)
{
	struct text t = { .len = 8 };
	uint32_t groups[] = { 16, FRACTAL_EXT_GROUPS, 1, 100 }, got = 0;
	struct fractal_request *req;
	const uint8_t *value;
	const char *name;

	offline_start(NULL);
	put_context(&t, "security.selinux", "system_u:object_r:tmp_t:s0");
	put_context(&t, "security.smack", "_");
	put_context(&t, "security.empty", "");
	finish_contexts(&t, 3);
	put(&t, groups, sizeof(groups));
	req = ask_mkdir(t.bytes, t.len);
	check_context(req, 0, "security.selinux", "system_u:object_r:tmp_t:s0");
	check_context(req, 1, "security.smack", "_");
	check_context(req, 2, "security.empty", "");
	CHECK_INT(fractal_request_secctx(req, 3, &name, &value), -ENODATA);
	CHECK_INT(fractal_request_secctx(req, -1, &name, &value), -ENODATA);
	/* The groups stand behind the contexts. */
	CHECK_INT(fractal_request_groups(req, &got, 1), 1);
	CHECK_INT(got, 100);

	/* What the count leaves out is not there. */
	((uint32_t *)t.bytes)[1] = 1;
	req = ask_mkdir(t.bytes, t.len);
	check_context(req, 0, "security.selinux", "system_u:object_r:tmp_t:s0");
	CHECK_INT(fractal_request_secctx(req, 1, &name, &value), -ENODATA);
	offline_stop();
}

static void extensions_are_no_data(void)
{
	struct fractal_write_in w = { .size = 8 };
	struct question q = { FRACTAL_OP_WRITE, 0, &w, sizeof(w), "01234567", 8, 8 };
	struct fractal_request *req;

	offline_start(NULL);
	CHECK_INT(offline_ask_ring(&q, &req), -EPROTO);
	w.size = 0;
	CHECK_INT(offline_ask_ring(&q, &req), 0);
	CHECK_INT(req->data_len, 0);
	CHECK_INT(req->ext_len, 8);
	offline_stop();
}

int main(void)
{
	RUN(groups_are_read);
	RUN(broken_extensions_give_nothing);
	RUN(security_contexts_are_read);
	RUN(extensions_are_no_data);
	return check_result();
}
