/* SPDX-License-Identifier: MIT */
/*
 * test_watch.c - a descriptor that is served beside the requests: by worker 0, by the session's thread while a handler holds
 * that worker, by both under load, and without a ring.
 */
#include "flatfs.h"
#include <sys/socket.h>

#define PATIENCE 10.0 /* seconds; a call takes half a second at most where a worker is held */
#define PINGS	 5000
#define PAUSE_MS 900 /* long enough for the session's thread to come */

/* What lookups do. */
enum what {
	GO_ON,
	HOLD, /* their worker, until they may go on */
	HELD,
	PAUSE, /* hold their worker for PAUSE_MS now and then */
	STOP,  /* tell the client that it is over */
};

/* A socket that gets bytes, and what is seen of those who take them. */
static struct {
	int ends[2];
	int sent;
	_Atomic int taken;
	_Atomic int by_worker, by_session; /* calls */
	_Atomic bool last;		   /* the next call ends the watch */
	int calls;			   /* not atomic: calls exclude each other */
	_Atomic int lookup;		   /* enum what */
	_Atomic int pauses;
} seen;

/* Takes one byte at most: what is left is told again. */
static int take_byte(struct fractal_session *session, void *user)
{
	struct fractal_worker *w = fractal_worker_current();
	int before = seen.calls++;
	char byte;

	CHECK(user == &seen);
	CHECK(!w || fractal_worker_id(w) == 0);
	atomic_fetch_add(w ? &seen.by_worker : &seen.by_session, 1);
	if (recv(seen.ends[0], &byte, 1, MSG_DONTWAIT) == 1)
		atomic_fetch_add(&seen.taken, 1);
	CHECK_INT(seen.calls, before + 1);
	return atomic_load(&seen.last) ? -1 : 0;
}

static int holding_lookup(struct fractal_request *req, void *user)
{
	static double paused;
	int hold = HOLD;

	if (atomic_compare_exchange_strong(&seen.lookup, &hold, HELD))
		await_int(&seen.lookup, GO_ON, CLIENT_SECONDS);
	if (atomic_load(&seen.lookup) == PAUSE && seconds_now() - paused > 0.3) {
		pause_ms(PAUSE_MS);
		atomic_fetch_add(&seen.pauses, 1);
		paused = seconds_now();
	}
	return atomic_load(&seen.lookup) == STOP ? -EIO : -ENOENT;
}

static const struct fractal_handlers holding = { .lookup = holding_lookup,
						 .getattr = flat_getattr };

static bool begin(struct server *v, struct flatfs *fs, enum fractal_transport transport)
{
	struct fractal_config c = { .handlers = &holding, .transport = transport, .workers = 1 };

	memset(&seen, 0, sizeof(seen));
	if (!CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, seen.ends), 0) ||
	    !start_flat(v, fs, c))
		return false;
	CHECK_INT(fractal_session_watch(v->session, seen.ends[0], take_byte, &seen), 0);
	return true;
}

static void end(struct server *v, struct flatfs *fs)
{
	int calls;

	CHECK_INT(server_stop(v), 0);
	calls = seen.calls;
	CHECK_INT(send(seen.ends[1], "x", 1, MSG_NOSIGNAL), 1);
	pause_ms(20);
	CHECK_INT(seen.calls, calls);
	close(seen.ends[0]);
	close(seen.ends[1]);
	flat_free(fs);
}

/* Sends @burst bytes @times times, each when those before them have been taken. False when they are not. */
static bool ping(int times, int burst)
{
	bool taken = true;

	for (int i = 0; i < times && taken; i++) {
		double deadline = seconds_now() + PATIENCE;

		for (int j = 0; j < burst; j++, seen.sent++)
			CHECK_INT(send(seen.ends[1], "x", 1, MSG_NOSIGNAL), 1);
		while (atomic_load(&seen.taken) < seen.sent && seconds_now() < deadline)
			sched_yield();
		taken = CHECK_INT(seen.taken, seen.sent);
	}
	return taken;
}

static int look_up(const char *mountpoint)
{
	struct stat st;

	return CHECK(stat(in_mount(mountpoint, "none"), &st) < 0) && errno == ENOENT ? 0 : 1;
}

static void serve_from_worker(enum fractal_transport transport)
{
	struct flatfs *fs = flat_new();
	struct server v;

	if (!begin(&v, fs, transport))
		return;
	CHECK(ping(100, 1));
	CHECK(ping(1, 100));
	/* Where the worker's thread does not run for a while, the session's may come first. */
	CHECK(seen.by_worker > 150);
	CHECK_INT(client_run(&v, look_up), 0);
	CHECK_INT(fractal_session_watch(v.session, 0, take_byte, NULL), -EBUSY);
	end(&v, fs);
}

static void worker_0_calls(void)
{
	on_both(serve_from_worker);
}

static void serve_while_held(enum fractal_transport transport)
{
	struct flatfs *fs = flat_new();
	struct server v;
	double begun;
	pid_t client;
	int before;

	if (!begin(&v, fs, transport))
		return;
	CHECK(ping(1, 1));
	atomic_store(&seen.lookup, HOLD);
	client = client_start(look_up, v.mountpoint);
	CHECK(await_int(&seen.lookup, HELD, CLIENT_SECONDS));
	before = seen.by_worker;
	CHECK(ping(1, 1));
	/* Those that follow do not take half a second each. */
	begun = seconds_now();
	CHECK(ping(100, 1));
	CHECK(seconds_now() - begun < PATIENCE);
	CHECK_INT(seen.by_worker, before);
	CHECK(seen.by_session >= 101);
	atomic_store(&seen.lookup, GO_ON);
	CHECK_INT(client_wait(&v, client, CLIENT_SECONDS), 0);
	/* The worker takes it back, when its CPU is free. */
	begun = seconds_now();
	do {
		before = seen.by_session;
		pause_ms(5);
	} while (ping(100, 1) && seen.by_session - before > 10 && seconds_now() - begun < PATIENCE);
	CHECK(seen.by_session - before <= 10);
	end(&v, fs);
}

static void the_session_calls_while_a_handler_holds_worker_0(void)
{
	on_both(serve_while_held);
}

/* Looks names up until it is told to stop. */
static int look_up_many(const char *mountpoint)
{
	double stop = seconds_now() + CLIENT_SECONDS;
	struct stat st;

	while (seconds_now() < stop)
		if (stat(in_mount(mountpoint, "none"), &st) < 0 && errno == EIO)
			return 0;
	return 1;
}

static void serve_under_load(enum fractal_transport transport)
{
	struct flatfs *fs = flat_new();
	struct server v;
	pid_t client;

	if (!begin(&v, fs, transport))
		return;
	atomic_store(&seen.lookup, PAUSE);
	client = client_start(look_up_many, v.mountpoint);
	while ((seen.sent < PINGS || seen.pauses < 2) && ping(1, 1 + seen.sent % 3)) {
	}
	atomic_store(&seen.lookup, STOP);
	CHECK_INT(client_wait(&v, client, CLIENT_SECONDS), 0);
	CHECK(seen.by_worker > 0);
	CHECK(seen.by_session > 0);
	end(&v, fs);
}

static void nothing_is_lost_under_load(void)
{
	on_both(serve_under_load);
}

static void serve_until_told(enum fractal_transport transport)
{
	struct flatfs *fs = flat_new();
	struct server v;
	int calls;

	if (!begin(&v, fs, transport))
		return;
	CHECK(ping(1, 1));
	atomic_store(&seen.last, true);
	CHECK(ping(1, 1));
	calls = seen.calls;
	CHECK_INT(send(seen.ends[1], "x", 1, MSG_NOSIGNAL), 1);
	CHECK_INT(client_run(&v, look_up), 0);
	pause_ms(PAUSE_MS);
	CHECK_INT(seen.calls, calls);
	end(&v, fs);
}

static void a_call_may_end_the_watch(void)
{
	on_both(serve_until_told);
}

/* A worker without a ring polls. */
static void serve_without_io_uring(void)
{
	serve_from_worker(FRACTAL_TRANSPORT_AUTO);
	serve_while_held(FRACTAL_TRANSPORT_AUTO);
	serve_under_load(FRACTAL_TRANSPORT_AUTO);
}

int main(void)
{
	need_mounts();
	RUN(worker_0_calls);
	RUN(the_session_calls_while_a_handler_holds_worker_0);
	RUN(nothing_is_lost_under_load);
	RUN(a_call_may_end_the_watch);
	if (CHECK(forbid_io_uring()))
		RUN(serve_without_io_uring);
	return check_result();
}
