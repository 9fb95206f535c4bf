/* SPDX-License-Identifier: MIT */
/*
 * test_session.c - the life of a session: settings, hooks, both transports, several sessions in one process, and every
 * way to the end.
 */
#include "flatfs.h"

/* ---- settings ---- */

static void check_refused(struct fractal_config config, const char *sentence)
{
	struct server v = { .lock = PTHREAD_MUTEX_INITIALIZER };
	struct fractal_session *session = (struct fractal_session *)&v;

	config.log = server_log;
	config.user = &v;
	CHECK_INT(fractal_session_new(&session, &config), -EINVAL);
	CHECK(session == NULL);
	CHECK_CONTAINS(v.log, sentence);
	fractal_session_free(session);
}

static void settings_out_of_range_are_refused(void)
{
	struct fractal_config c = { .handlers = &flat_handlers };
#define REFUSED(field, value, sentence)          \
	do {                                     \
		struct fractal_config wrong = c; \
		wrong.field = value;             \
		check_refused(wrong, sentence);  \
	} while (0)

	REFUSED(queue_depth, 1025, "queue_depth=1025 is out of range: choose 1 to 1024");
	REFUSED(max_write, 4095, "max_write=4095 is out of range: choose 4096 to ");
	REFUSED(max_write, UINT32_MAX, "max_write=4294967295 is out of range");
	REFUSED(max_background, 65536, "max_background=65536 is out of range: choose 1 to 65535");
	REFUSED(time_gran, 1000000001, "time_gran=1000000001 is out of range");
	REFUSED(request_timeout, 65536, "request_timeout=65536 is out of range");
	REFUSED(handlers, NULL, "neither handlers nor serve");
}

static void settings_have_defaults(void)
{
	struct fractal_config c = { .handlers = &flat_handlers };
	struct fractal_session *s;
	long cpus = sysconf(_SC_NPROCESSORS_CONF);

	if (!CHECK_INT(fractal_session_new(&s, &c), 0))
		return;
	CHECK_INT(s->cfg.queue_depth, 32);
	CHECK_INT(s->cfg.time_gran, 1);
	CHECK_INT(s->cfg.max_background, s->queues * 32);
	CHECK_INT(s->cfg.max_write, 1 << 20);
	CHECK(s->queues >= (uint32_t)cpus);
	CHECK_INT(fractal_session_workers(s), s->queues);
	CHECK(fractal_session_worker(s, 0) != NULL);
	CHECK(!fractal_session_worker(s, fractal_session_workers(s)));
	CHECK(!fractal_session_worker(s, -1));
	CHECK_INT(fractal_session_transport(s), FRACTAL_TRANSPORT_AUTO);
	CHECK_INT(fractal_session_run(s), -ENOTCONN);
	fractal_session_free(s);
	fractal_session_free(NULL);

	/* More workers than queues have nothing to do. */
	c.workers = 10000;
	if (!CHECK_INT(fractal_session_new(&s, &c), 0))
		return;
	CHECK_INT(fractal_session_workers(s), s->queues);
	fractal_session_free(s);
}

/* ---- serving ---- */

static void serve_all(enum fractal_transport transport)
{
	struct flatfs *fs = flat_new();
	struct server v;

	if (start_flat(&v, fs, (struct fractal_config){ .transport = transport })) {
		CHECK_INT(fractal_session_transport(v.session), transport);
		CHECK(fractal_session_transport_reason(v.session)[0] != '\0');
		CHECK_INT(client_run(&v, flat_client), 0);
		CHECK_INT(fs->asked[FRACTAL_OP_CREATE], 1);
		CHECK_INT(fs->asked[FRACTAL_OP_RENAME2] + fs->asked[FRACTAL_OP_RENAME], 1);
		CHECK_INT(server_stop(&v), 0);
		CHECK_TEXT(v.log, "");
	}
	flat_free(fs);
}

static void both_transports_serve(void)
{
	on_both(serve_all);
}

static void serve_with_one_worker(enum fractal_transport transport)
{
	struct flatfs *fs = flat_new();
	struct server v;
	struct fractal_config c = { .transport = transport,
				    .workers = 1,
				    .queue_depth = 1,
				    .max_write = 4096,
				    .timing = true };

	if (start_flat(&v, fs, c)) {
		CHECK_INT(client_run(&v, flat_client), 0);
		CHECK(fs->largest_write <= 4096);
		CHECK_INT(server_stop(&v), 0);
	}
	flat_free(fs);
}

/* One worker serves the queues of all CPUs, one request at a time, a page at a time. */
static void the_smallest_session_serves(void)
{
	on_both(serve_with_one_worker);
}

static int expect_one(const char *mountpoint)
{
	for (int i = 0; i < 200; i++)
		expect_motto(mountpoint, "one");
	return 0;
}

static int expect_two(const char *mountpoint)
{
	for (int i = 0; i < 200; i++)
		expect_motto(mountpoint, "two");
	return 0;
}

/* Two sessions in one process, with handlers and transports of their own, at the same time. */
static void sessions_live_side_by_side(void)
{
	struct flatfs *one = flat_new(), *two = flat_new();
	struct server a, b;
	pid_t clients[2];

	put_motto(one, "one");
	put_motto(two, "two");
	if (start_flat(&a, one, (struct fractal_config){ .workers = 1 }) &&
	    start_flat(&b, two, (struct fractal_config){ .transport = FRACTAL_TRANSPORT_DEV })) {
		clients[0] = client_start(expect_one, a.mountpoint);
		clients[1] = client_start(expect_two, b.mountpoint);
		CHECK_INT(client_wait(&a, clients[0], CLIENT_SECONDS), 0);
		CHECK_INT(client_wait(&b, clients[1], CLIENT_SECONDS), 0);
		/* The end of one is not the end of the other. */
		CHECK_INT(server_stop(&a), 0);
		CHECK_INT(client_run(&b, expect_two), 0);
		CHECK_INT(server_stop(&b), 0);
	}
	flat_free(one);
	flat_free(two);
}

static int pull(struct fractal_worker *w, void *user)
{
	struct fractal_request *req;

	while ((req = fractal_next(w))) {
		int result = fractal_op_default(req->opcode);

		if (req->opcode == FRACTAL_OP_GETATTR)
			result = flat_getattr(req, user);
		else if (req->opcode == FRACTAL_OP_LOOKUP)
			result = flat_lookup(req, user);
		else if (req->opcode == FRACTAL_OP_READ)
			result = flat_read(req, user);
		else if (req->opcode == FRACTAL_OP_FORGET)
			result = flat_forget(req, user);
		fractal_reply(req, result);
	}
	return 0;
}

static void serve_by_pulling(enum fractal_transport transport)
{
	struct flatfs *fs = flat_new();
	struct server v;

	put_motto(fs, "one");
	if (start_flat(&v, fs, (struct fractal_config){ .transport = transport, .serve = pull })) {
		CHECK_INT(client_run(&v, expect_one), 0);
		CHECK_INT(server_stop(&v), 0);
	}
	flat_free(fs);
}

static void requests_can_be_pulled(void)
{
	on_both(serve_by_pulling);
}

/* ---- replies from elsewhere ---- */

/* A thread that answers what it is given, in the order given, some time later. */
static struct {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct fractal_request *waiting[256]; /* more than clients */
	unsigned put, taken;
	bool end;
} later = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static void *later_main(void *user)
{
	pthread_mutex_lock(&later.lock);
	while (!later.end || later.taken != later.put) {
		struct fractal_request *req;

		if (later.taken == later.put) {
			pthread_cond_wait(&later.changed, &later.lock);
			continue;
		}
		req = later.waiting[later.taken++ % ARRAY_SIZE(later.waiting)];
		pthread_mutex_unlock(&later.lock);
		fractal_reply(req, flat_read(req, user));
		pthread_mutex_lock(&later.lock);
	}
	pthread_mutex_unlock(&later.lock);
	return NULL;
}

static int read_later(struct fractal_request *req, void *user)
{
	pthread_mutex_lock(&later.lock);
	later.waiting[later.put++ % ARRAY_SIZE(later.waiting)] = req;
	pthread_cond_signal(&later.changed);
	pthread_mutex_unlock(&later.lock);
	return FRACTAL_LATER;
}

static int open_direct(struct fractal_request *req, void *user)
{
	req->out->open.open_flags = FRACTAL_FOPEN_DIRECT_IO;
	return 0;
}

static const struct fractal_handlers later_handlers = { .lookup = flat_lookup,
							.forget = flat_forget,
							.getattr = flat_getattr,
							.open = open_direct,
							.read = read_later };

static void serve_later(enum fractal_transport transport)
{
	struct flatfs *fs = flat_new();
	struct server v;
	pid_t clients[4];

	put_motto(fs, "one");
	later.end = false;
	if (start_flat(&v, fs,
		       (struct fractal_config){ .transport = transport,
						.handlers = &later_handlers })) {
		CHECK_INT(pthread_create(&later.thread, NULL, later_main, &v), 0);
		for (int i = 0; i < 4; i++)
			clients[i] = client_start(expect_one, v.mountpoint);
		for (int i = 0; i < 4; i++)
			CHECK_INT(client_wait(&v, clients[i], CLIENT_SECONDS), 0);
		CHECK(fs->asked[FRACTAL_OP_READ] >= 800);
		pthread_mutex_lock(&later.lock);
		later.end = true;
		pthread_cond_signal(&later.changed);
		pthread_mutex_unlock(&later.lock);
		pthread_join(later.thread, NULL);
		CHECK_INT(server_stop(&v), 0);
		CHECK_TEXT(v.log, "");
	}
	flat_free(fs);
}

static void replies_may_come_later_from_another_thread(void)
{
	on_both(serve_later);
}

/* ---- hooks ---- */

static int shrink(struct fractal_session *session, struct fractal_conn *conn, void *user)
{
	CHECK_INT(conn->proto_major, 7);
	CHECK(conn->offered & 1ull << FRACTAL_CAP_MAX_PAGES);
	CHECK(conn->wanted & 1ull << FRACTAL_CAP_ASYNC_READ);
	CHECK((conn->wanted & ~conn->offered) == 0);
	CHECK(strncmp(fractal_session_transport_reason(session), "", 1) != 0);
	conn->max_write = 8192;
	conn->wanted &= ~(1ull << FRACTAL_CAP_ASYNC_READ);
	conn->wanted |= 1ull << FRACTAL_CAP_ATOMIC_O_TRUNC |
			1ull << 62; /* nobody offers the last */
	return 0;
}

static void run_with_small_writes(enum fractal_transport transport)
{
	struct flatfs *fs = flat_new();
	struct server v;

	if (start_flat(&v, fs, (struct fractal_config){ .transport = transport, .init = shrink })) {
		const struct fractal_conn *conn = fractal_session_conn(v.session);

		CHECK_INT(conn->max_write, 8192);
		CHECK_INT(conn->max_pages, 8192 / sysconf(_SC_PAGESIZE));
		CHECK(!(conn->wanted & 1ull << FRACTAL_CAP_ASYNC_READ));
		CHECK(conn->wanted & 1ull << FRACTAL_CAP_ATOMIC_O_TRUNC);
		CHECK(!(conn->wanted & 1ull << 62));
		CHECK_INT(!!(conn->wanted & 1ull << FRACTAL_CAP_OVER_IO_URING),
			  transport == FRACTAL_TRANSPORT_URING);
		CHECK_INT(client_run(&v, flat_client), 0);
		CHECK(fs->largest_write <= 8192);
		CHECK_INT(server_stop(&v), 0);
	}
	flat_free(fs);
}

static void the_init_hook_changes_the_connection(void)
{
	on_both(run_with_small_writes);
}

static _Atomic int hooks_started, hooks_stopped;

static int refuse_init(struct fractal_session *session, struct fractal_conn *conn, void *user)
{
	return -EUCLEAN;
}

static int count_start(struct fractal_worker *worker, void *user)
{
	hooks_started++;
	return 0;
}

static int refuse_start(struct fractal_worker *worker, void *user)
{
	hooks_started++;
	return fractal_worker_id(worker) == 0 ? -ENODATA : 0;
}

static void count_stop(struct fractal_worker *worker, void *user)
{
	hooks_stopped++;
}

static void end_in_init(enum fractal_transport transport)
{
	struct flatfs *fs = flat_new();
	struct server v;
	struct fractal_config c = { .transport = transport,
				    .handlers = &flat_handlers,
				    .init = refuse_init,
				    .worker_start = count_start,
				    .worker_stop = count_stop };

	hooks_started = hooks_stopped = 0;
	CHECK(!server_start(&v, &c, fs));
	CHECK_INT(v.result, -EUCLEAN);
	CHECK(!is_mounted(v.mountpoint));
	CHECK_INT(hooks_started, 0);
	CHECK_INT(hooks_stopped, 0);
	flat_free(fs);
}

static void an_error_of_the_init_hook_ends_the_run(void)
{
	on_both(end_in_init);
}

static void end_in_start(enum fractal_transport transport)
{
	struct flatfs *fs = flat_new();
	struct server v;
	struct fractal_config c = { .transport = transport,
				    .handlers = &flat_handlers,
				    .worker_start = refuse_start,
				    .worker_stop = count_stop };

	hooks_started = hooks_stopped = 0;
	CHECK(!server_start(&v, &c, fs));
	CHECK_INT(v.result, -ENODATA);
	CHECK_INT(hooks_stopped, hooks_started);
	c.worker_start = count_start;
	hooks_started = hooks_stopped = 0;
	if (start_flat(&v, fs, c)) {
		CHECK_INT(hooks_started, fractal_session_workers(v.session));
		CHECK_INT(hooks_stopped, 0);
		CHECK_INT(server_stop(&v), 0);
		CHECK_INT(hooks_stopped, hooks_started);
	}
	flat_free(fs);
}

static void each_worker_starts_and_stops_once(void)
{
	on_both(end_in_start);
}

static int refuse_serve(struct fractal_worker *worker, void *user)
{
	return fractal_next(worker) ? -EBADMSG : 0;
}

static int touch_once(const char *mountpoint)
{
	struct stat st;

	return stat(in_mount(mountpoint, "x"), &st) < 0 ? 0 : 1;
}

static void end_in_serve(enum fractal_transport transport)
{
	struct server v;
	pid_t client;

	if (start_flat(&v, NULL,
		       (struct fractal_config){ .transport = transport, .serve = refuse_serve })) {
		client = client_start(touch_once, v.mountpoint);
		CHECK_INT(server_join(&v), -EBADMSG);
		CHECK_INT(client_wait(&v, client, CLIENT_SECONDS), 0);
	}
}

static void an_error_of_the_serve_hook_ends_the_run(void)
{
	on_both(end_in_serve);
}

int main(void)
{
	RUN(settings_out_of_range_are_refused);
	RUN(settings_have_defaults);
	need_mounts();
	RUN(both_transports_serve);
	RUN(the_smallest_session_serves);
	RUN(sessions_live_side_by_side);
	RUN(requests_can_be_pulled);
	RUN(replies_may_come_later_from_another_thread);
	RUN(the_init_hook_changes_the_connection);
	RUN(an_error_of_the_init_hook_ends_the_run);
	RUN(each_worker_starts_and_stops_once);
	RUN(an_error_of_the_serve_hook_ends_the_run);
	return check_result();
}
