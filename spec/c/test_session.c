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

static const enum fractal_transport transports[] = { FRACTAL_TRANSPORT_URING,
						     FRACTAL_TRANSPORT_DEV };

/* Runs @test on each transport that can be had here. */
static void on_both(void (*test)(enum fractal_transport transport))
{
	for (size_t i = 0; i < ARRAY_SIZE(transports); i++) {
		int before = check_failures;

		if (transports[i] == FRACTAL_TRANSPORT_URING && !have_uring())
			continue;
		test(transports[i]);
		if (check_failures != before)
			fprintf(stderr, "  on transport %s\n", transport_name(transports[i]));
	}
}

static bool start_flat(struct server *v, struct flatfs *fs, struct fractal_config config)
{
	if (!config.handlers && !config.serve)
		config.handlers = &flat_handlers;
	if (CHECK(server_start(v, &config, fs)))
		return true;
	fprintf(stderr, "  result %d, log:\n%s", v->result, v->log);
	return false;
}

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

static int expect_motto(const char *mountpoint, const char *want)
{
	char got[64] = "";
	int fd = open(in_mount(mountpoint, "motto"), O_RDONLY);

	CHECK(fd >= 0 && read(fd, got, sizeof(got) - 1) >= 0);
	CHECK_TEXT(got, want);
	return 0;
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

static void put_motto(struct flatfs *fs, const char *text)
{
	struct flat_file *f = flat_make(fs, "motto");

	f->size = strlen(text);
	memcpy(f->data, text, f->size);
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

/* ---- the end ---- */

static int stop_on_read(struct fractal_request *req, void *user)
{
	fractal_session_stop(fractal_worker_session(req->worker));
	return flat_read(req, user);
}

static int read_motto(const char *mountpoint)
{
	return expect_motto(mountpoint, "one");
}

static void stop_from_handler(enum fractal_transport transport)
{
	static const struct fractal_handlers handlers = { .lookup = flat_lookup,
							  .getattr = flat_getattr,
							  .read = stop_on_read };
	struct flatfs *fs = flat_new();
	struct server v;

	put_motto(fs, "one");
	if (start_flat(&v, fs,
		       (struct fractal_config){ .transport = transport, .handlers = &handlers })) {
		CHECK_INT(client_run(&v, read_motto), 0);
		CHECK_INT(server_join(&v), 0);
	}
	flat_free(fs);
}

static void a_handler_may_stop_the_session(void)
{
	on_both(stop_from_handler);
}

/* Works until the mount is gone. A call that fails must fail for that reason. */
static int hammer(const char *mountpoint)
{
	const char *path = in_mount(mountpoint, "load");
	static char page[4096];

	for (;;) {
		int fd = open(path, O_RDWR | O_CREAT, 0644);
		struct stat st;

		if (fd < 0)
			return errno == ENOTCONN || errno == ECONNABORTED || errno == ENOENT ? 0
											     : 1;
		if (pwrite(fd, page, sizeof(page), 0) < 0 || fstat(fd, &st) < 0 ||
		    pread(fd, page, sizeof(page), 0) < 0) {
			close(fd);
			return errno == ENOTCONN || errno == ECONNABORTED ? 0 : 1;
		}
		close(fd);
		/* After the unmount the path leads into the empty directory below it. */
		if (!is_mounted(mountpoint)) {
			unlink(path);
			return 0;
		}
	}
}

static void stop_under_load(enum fractal_transport transport)
{
	struct flatfs *fs = flat_new();
	struct server v;
	pid_t clients[4];

	if (start_flat(&v, fs, (struct fractal_config){ .transport = transport })) {
		double begun;

		for (int i = 0; i < 4; i++)
			clients[i] = client_start(hammer, v.mountpoint);
		pause_ms(300);
		CHECK(fs->asked[FRACTAL_OP_WRITE] > 0);
		begun = seconds_now();
		fractal_session_stop(v.session);
		for (int i = 0; i < 4; i++)
			CHECK_INT(client_wait(&v, clients[i], CLIENT_SECONDS), 0);
		unlink(in_mount(v.mountpoint, "load"));
		CHECK_INT(server_join(&v), 0);
		CHECK(seconds_now() - begun < 9);
	}
	flat_free(fs);
}

static void a_busy_session_can_be_stopped(void)
{
	on_both(stop_under_load);
}

static void abort_outside(enum fractal_transport transport)
{
	struct flatfs *fs = flat_new();
	struct server v;
	pid_t client;

	if (start_flat(&v, fs, (struct fractal_config){ .transport = transport })) {
		client = client_start(hammer, v.mountpoint);
		pause_ms(100);
		CHECK_INT(mount_abort(&v.session->mnt), 0);
		CHECK_INT(client_wait(&v, client, CLIENT_SECONDS), 0);
		unlink(in_mount(v.mountpoint, "load"));
		CHECK_INT(server_join(&v), -ECONNABORTED);
		CHECK_CONTAINS(v.log, "was aborted");
	}
	flat_free(fs);
}

static void an_abort_ends_the_session(void)
{
	on_both(abort_outside);
}

static void umount_outside(enum fractal_transport transport)
{
	struct flatfs *fs = flat_new();
	struct server v;

	if (start_flat(&v, fs, (struct fractal_config){ .transport = transport })) {
		CHECK_INT(umount2(v.mountpoint, 0), 0);
		CHECK_INT(server_join(&v), 0);
		CHECK_TEXT(v.log, "");
	}
	flat_free(fs);
}

static void an_unmount_ends_the_session(void)
{
	on_both(umount_outside);
}

static int hold_for_a_second(const char *mountpoint)
{
	int fd = open(in_mount(mountpoint, "held"), O_RDWR | O_CREAT, 0644);

	CHECK(fd >= 0);
	pause_ms(4000);
	return 0;
}

static void stop_while_open(enum fractal_transport transport)
{
	struct flatfs *fs = flat_new();
	struct server v;
	pid_t client;

	if (start_flat(&v, fs, (struct fractal_config){ .transport = transport })) {
		client = client_start(hold_for_a_second, v.mountpoint);
		while (fs->asked[FRACTAL_OP_CREATE] == 0)
			pause_ms(5);
		fractal_session_stop(v.session);
		CHECK_INT(server_join(&v), 0);
		CHECK_CONTAINS(v.log, "is busy: detached");
		kill(client, SIGKILL);
		waitpid(client, NULL, 0);
	}
	flat_free(fs);
}

/* A file that stays open does not keep the session: the mount is detached, and given up when nothing is under way. */
static void an_open_file_does_not_hold_the_session(void)
{
	on_both(stop_while_open);
}

static int never_return(struct fractal_request *req, void *user)
{
	for (;;)
		pause();
	return 0;
}

static int fail_to_read(const char *mountpoint)
{
	char byte;
	int fd = open(in_mount(mountpoint, "motto"), O_RDONLY);

	CHECK(fd >= 0);
	CHECK(read(fd, &byte, 1) < 0);
	return 0;
}

/* The server part of the next test, in a process that can be left behind with its stuck thread. */
static int serve_stuck(enum fractal_transport transport)
{
	static const struct fractal_handlers handlers = { .lookup = flat_lookup,
							  .getattr = flat_getattr,
							  .read = never_return };
	struct flatfs *fs = flat_new();
	struct server v;
	pid_t client;

	put_motto(fs, "one");
	if (!start_flat(&v, fs,
			(struct fractal_config){ .transport = transport, .handlers = &handlers }))
		return 1;
	client = client_start(fail_to_read, v.mountpoint);
	pause_ms(300);
	fractal_session_stop(v.session);
	pause_ms(300);
	fractal_session_stop(v.session);
	CHECK(await_int(&v.state, 2, 8));
	CHECK_INT(v.result, -ETIMEDOUT);
	CHECK_CONTAINS(v.log, "handler read of inode 2 did not return; its caller gets an error");
	CHECK_INT(client_wait(&v, client, CLIENT_SECONDS), 0);
	CHECK(!is_mounted(v.mountpoint));
	rmdir(v.mountpoint);
	return check_failures ? 1 : 0;
}

static void run_stuck(enum fractal_transport transport)
{
	struct server none = { .lock = PTHREAD_MUTEX_INITIALIZER };
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		check_failures = 0;
		/* Past every exit handler: that threads are left is the point of this test. */
		syscall(SYS_exit_group, serve_stuck(transport));
	}
	CHECK_INT(client_wait(&none, pid, 2 * CLIENT_SECONDS), 0);
}

static void a_stuck_handler_is_named(void)
{
	on_both(run_stuck);
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

/* ---- nothing is left behind ---- */

static void cycle(enum fractal_transport transport)
{
	struct holdings first = { 0 }, last;
	struct flatfs *fs = flat_new();
	struct server v;

	for (int i = 0; i < 21; i++) {
		if (!start_flat(&v, fs, (struct fractal_config){ .transport = transport }))
			break;
		CHECK_INT(client_run(&v, flat_client), 0);
		CHECK_INT(i % 3 ? server_stop(&v) : (umount2(v.mountpoint, 0), server_join(&v)), 0);
		if (i == 0)
			first = count_holdings();
	}
	/* A ring's descriptors are freed by the kernel a moment after they are closed. */
	for (int i = 0; i < 100; i++) {
		last = count_holdings();
		if (last.threads == first.threads && last.mebibytes <= first.mebibytes)
			break;
		pause_ms(20);
	}
	CHECK_INT(last.fds, first.fds);
	CHECK_INT(last.threads, first.threads);
	CHECK_INT(last.mounts, 0);
	/* One session's buffers are larger than this. */
	CHECK(last.mebibytes <= first.mebibytes + 48);
	flat_free(fs);
}

static void nothing_is_left_after_many_cycles(void)
{
	on_both(cycle);
}

/* Stopped sessions that are not idle give their memory back, too. */
static void nothing_is_left_after_many_busy_ends(void)
{
	struct holdings first = { 0 }, last = { 0 };

	for (int i = 0; i < 2; i++) {
		on_both(stop_while_open);
		last = count_holdings();
		if (i == 0)
			first = last;
	}
	CHECK_INT(last.fds, first.fds);
	CHECK(last.mebibytes <= first.mebibytes + 48);
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
	RUN(a_handler_may_stop_the_session);
	RUN(a_busy_session_can_be_stopped);
	RUN(an_abort_ends_the_session);
	RUN(an_unmount_ends_the_session);
	RUN(an_open_file_does_not_hold_the_session);
	RUN(a_stuck_handler_is_named);
	RUN(the_init_hook_changes_the_connection);
	RUN(an_error_of_the_init_hook_ends_the_run);
	RUN(each_worker_starts_and_stops_once);
	RUN(an_error_of_the_serve_hook_ends_the_run);
	RUN(nothing_is_left_after_many_cycles);
	RUN(nothing_is_left_after_many_busy_ends);
	return check_result();
}
