/* SPDX-License-Identifier: MIT */
/*
 * test_fallback.c - what happens where the ring cannot be had: the kernel does not offer it, takes the offer back between
 * INIT and registration, or io_uring is forbidden. AUTO goes on over /dev/fuse, URING ends with a sentence.
 */
#include "flatfs.h"

static bool set_switch(const char *value)
{
	int fd = open(URING_SWITCH, O_WRONLY | O_CLOEXEC);
	bool done = fd >= 0 && write(fd, value, 1) == 1;

	if (fd >= 0)
		close(fd);
	return done;
}

static void restore_switch(void)
{
	set_switch("Y");
}

static int switch_off_in_init(struct fractal_session *session, struct fractal_conn *conn,
			      void *user)
{
	return set_switch("N") ? 0 : -EACCES;
}

/* Everything works over /dev/fuse, and the session says why it does. */
static void check_classic(struct server *v, struct flatfs *fs, const char *reason)
{
	CHECK_INT(fractal_session_transport(v->session), FRACTAL_TRANSPORT_DEV);
	CHECK_CONTAINS(fractal_session_transport_reason(v->session), reason);
	CHECK_INT(client_run(v, flat_client), 0);
	CHECK_INT(client_run(v, flat_client), 0);
	CHECK_INT(fs->asked[FRACTAL_OP_CREATE], 2);
	CHECK_INT(server_stop(v), 0);
	CHECK_TEXT(v->log, "");
}

static void check_insisting(const struct fractal_config *config, struct flatfs *fs, int error,
			    const char *sentence)
{
	struct fractal_config c = *config;
	struct server v;

	c.transport = FRACTAL_TRANSPORT_URING;
	CHECK(!server_start(&v, &c, fs));
	CHECK_INT(v.result, error);
	CHECK(!is_mounted(v.mountpoint));
	CHECK_CONTAINS(v.log, sentence);
}

static void auto_follows_a_refused_registration(void)
{
	struct fractal_config c = { .handlers = &flat_handlers, .init = switch_off_in_init };

	/* Whether workers or the session's thread come first is left to chance, so there are several tries. */
	for (int i = 0; i < 10; i++) {
		struct flatfs *fs = flat_new();
		struct server v;
		bool started = server_start(&v, &c, fs);

		set_switch("Y");
		if (CHECK(started))
			check_classic(&v, fs, "the kernel refused to register a ring");
		else
			fprintf(stderr, "  result %d, log:\n%s", v.result, v.log);
		flat_free(fs);
	}
}

static void uring_insists_on_registration(void)
{
	struct fractal_config c = { .handlers = &flat_handlers, .init = switch_off_in_init };
	struct flatfs *fs = flat_new();
	struct holdings before = count_holdings(), after;

	for (int i = 0; i < 5; i++) {
		check_insisting(
			&c, fs, -EOPNOTSUPP,
			"transport=uring cannot be had: the kernel refused to register a ring");
		set_switch("Y");
	}
	after = count_holdings();
	CHECK_INT(after.fds, before.fds);
	CHECK(after.mebibytes <= before.mebibytes + 48);
	flat_free(fs);
}

static void an_offer_not_made_is_not_taken(void)
{
	struct fractal_config c = { .handlers = &flat_handlers };
	struct flatfs *fs = flat_new();
	struct server v;
	bool started;

	set_switch("N");
	started = server_start(&v, &c, fs);
	check_insisting(&c, fs, -EOPNOTSUPP,
			"transport=uring cannot be had: FUSE over io_uring is off");
	set_switch("Y");
	if (CHECK(started)) {
		check_classic(&v, fs, "FUSE over io_uring is off (as root: echo Y > " URING_SWITCH);
	}
	flat_free(fs);
}

static int serve_without_io_uring(void)
{
	struct fractal_config c = { .handlers = &flat_handlers };
	struct flatfs *fs = flat_new();
	struct server v;

	if (!CHECK(forbid_io_uring()))
		return 1;
	check_insisting(&c, fs, -EPERM,
			"transport=uring cannot be had: io_uring is not allowed here");
	if (CHECK(server_start(&v, &c, fs)))
		check_classic(&v, fs, "io_uring is not allowed here");
	flat_free(fs);
	return check_failures ? 1 : 0;
}

static void classic_where_io_uring_is_forbidden(void)
{
	struct server none = { .lock = PTHREAD_MUTEX_INITIALIZER };
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		check_failures = 0;
		_exit(serve_without_io_uring());
	}
	CHECK_INT(client_wait(&none, pid, 2 * CLIENT_SECONDS), 0);
}

static void classic_when_asked_for(void)
{
	struct fractal_config c = { .handlers = &flat_handlers,
				    .transport = FRACTAL_TRANSPORT_DEV };
	struct flatfs *fs = flat_new();
	struct server v;

	if (CHECK(server_start(&v, &c, fs)))
		check_classic(&v, fs, "as asked for");
	flat_free(fs);
}

int main(void)
{
	need_mounts();
	RUN(classic_when_asked_for);
	RUN(classic_where_io_uring_is_forbidden);
	if (!have_uring()) {
		printf("FUSE over io_uring is off: its registration is not tested\n");
		return check_result();
	}
	/* Until the end of this process. */
	lock_switch(LOCK_EX);
	switch_is_mine = true;
	atexit(restore_switch);
	RUN(an_offer_not_made_is_not_taken);
	RUN(auto_follows_a_refused_registration);
	RUN(uring_insists_on_registration);
	return check_result();
}
