/* SPDX-License-Identifier: MIT */
/*
 * test_end.c - every way in which a session ends: stopped by a handler, under load, with open files or a stuck handler,
 * unmounted or aborted from outside; and that nothing is left then.
 */
#include "flatfs.h"

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

static int hold_a_file(const char *mountpoint)
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
		client = client_start(hold_a_file, v.mountpoint);
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
	need_mounts();
	RUN(a_handler_may_stop_the_session);
	RUN(a_busy_session_can_be_stopped);
	RUN(an_abort_ends_the_session);
	RUN(an_unmount_ends_the_session);
	RUN(an_open_file_does_not_hold_the_session);
	RUN(a_stuck_handler_is_named);
	RUN(nothing_is_left_after_many_cycles);
	RUN(nothing_is_left_after_many_busy_ends);
	return check_result();
}
