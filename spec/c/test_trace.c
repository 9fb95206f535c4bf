/* SPDX-License-Identifier: MIT */
/* test_trace.c - lines of a trace as a C program gets them: one by one in its log, or many at once by config.trace_write. */
#include "offline.h"
#include <sys/stat.h>

static char written[8192];
static size_t written_len;

static void take_lines(const char *lines, size_t size, void *user)
{
	if (!CHECK(written_len + size < sizeof(written)))
		return;
	memcpy(written + written_len, lines, size);
	written_len += size;
	written[written_len] = '\0';
}

static void begin(struct fractal_config config)
{
	written_len = 0;
	written[0] = '\0';
	config.timing = true;
	offline_start(&config);
}

static struct fractal_request *look_up(uint64_t parent, const char *name)
{
	struct question q = { .opcode = FRACTAL_OP_LOOKUP,
			      .nodeid = parent,
			      .payload = name,
			      .payload_len = (uint32_t)strlen(name) + 1 };
	struct fractal_request *req = offline_ask(&q);

	if (!CHECK(req))
		exit(check_result());
	return req;
}

static void lines_in_the_log(void)
{
	begin((struct fractal_config){ .trace = ~0ull });
	CHECK_INT(fractal_reply(look_up(1, "x\n"), -ENOENT), 0);
	CHECK_INT(offline.logged, 0);
	trace_rest(offline.worker, true);
	CHECK_INT(offline.logged, 1);
	CHECK_CONTAINS(offline.log, " lookup ino 1 \"x\\x0a\" = ENOENT, ");
	CHECK_CONTAINS(offline.log, " us, uid 1001 pid 1003");
	offline_stop();
}

static void lines_by_the_hook(void)
{
	begin((struct fractal_config){
		.trace = ~0ull, .trace_json = true, .trace_write = take_lines });
	fractal_reply(look_up(1, "a"), -ENOENT);
	fractal_reply(look_up(1, "\xff"), -ENOENT);
	trace_rest(offline.worker, true);
	CHECK_INT(offline.logged, 0);
	CHECK_CONTAINS(written, "\"op\":\"lookup\",\"ino\":1,\"name\":\"a\",\"uid\":1001,");
	CHECK_CONTAINS(written, "\"name\":\"\\udcff\"");
	CHECK_CONTAINS(written, "\"error\":\"ENOENT\",\"us\":");
	CHECK_INT(written[written_len - 1], '\n');
	offline_stop();
}

static void only_what_is_asked_for(void)
{
	begin((struct fractal_config){ .trace = 1ull << FRACTAL_OP_GETATTR,
				       .trace_write = take_lines });
	fractal_reply(look_up(1, "a"), -ENOENT);
	trace_rest(offline.worker, true);
	CHECK_INT(written_len, 0);
	offline_stop();
}

static void paths_where_they_are_known(void)
{
	struct fractal_path_ref ref;
	struct fractal_request *req;

	begin((struct fractal_config){ .trace = ~0ull, .trace_write = take_lines });
	CHECK_INT(fractal_paths_ref(fractal_session_paths(offline.session), FRACTAL_ROOT_ID, "dir",
				    3, S_IFDIR, &ref),
		  0);
	req = look_up(ref.id, "new");
	req->out->entry.nodeid = 9;
	req->out->entry.attr.mode = S_IFREG | 0644;
	fractal_reply(req, 0);
	trace_rest(offline.worker, true);
	CHECK_CONTAINS(written, " lookup \"/dir/new\" = ino 9 mode 0100644 size 0, ");
	offline_stop();
}

/* The session's thread tells it once, and the answer follows. */
static void a_request_that_waits(void)
{
	struct fractal_request *req;

	begin((struct fractal_config){ .trace = ~0ull, .trace_write = take_lines });
	req = look_up(1, "slow");
	trace_look(offline.session);
	CHECK_INT(written_len, 0);
	((struct entry *)req)->arrived_ns -= 2000000000u;
	trace_look(offline.session);
	CHECK_CONTAINS(written, " lookup ino 1 \"slow\" = pending, 200");
	written_len = 0;
	trace_look(offline.session);
	CHECK_INT(written_len, 0);
	fractal_reply(req, -ENOENT);
	trace_look(offline.session);
	CHECK_CONTAINS(written, " lookup ino 1 \"slow\" = ENOENT, ");
	offline_stop();
}

/* More than the buffer holds: it is handed on when it is full, and no line is cut. */
static void many_lines(void)
{
	int lines = 0;

	begin((struct fractal_config){ .trace = ~0ull });
	for (int i = 0; i < 2000; i++) {
		fractal_reply(look_up(1, "name"), -ENOENT);
		offline_answer();
	}
	trace_rest(offline.worker, true);
	CHECK_INT(offline.logged, 2000);
	for (const char *p = offline.log; (p = strstr(p, "lookup")); p++)
		lines++;
	CHECK_INT(lines, 1);
	offline_stop();
}

int main(void)
{
	RUN(lines_in_the_log);
	RUN(lines_by_the_hook);
	RUN(only_what_is_asked_for);
	RUN(paths_where_they_are_known);
	RUN(a_request_that_waits);
	RUN(many_lines);
	return check_result();
}
