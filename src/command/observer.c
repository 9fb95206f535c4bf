/* SPDX-License-Identifier: MIT */
/*
 * observer.c - see observer.h.
 *
 * The thread only reads counters that others may read at any time, takes no lock of theirs and enters no Lua state. So a
 * handler that holds a worker, and with it the Lua state, does not keep it from answering.
 */
#include "observer.h"
#include "http.h"
#include "metrics.h"
#include "publish.h"
#include "report.h"
#include "snapshot.h"
#include "stats.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* For how long latencies are measured after somebody looked at the mount's own socket. */
#define LOOK_MS 60000

static struct {
	int wake_fd; /* eventfd: a table is asked for, or the end */
	atomic_bool ended;
	bool started;
	pthread_t thread;
	struct observed seen;
	struct listener metrics;
	struct http *http;
	struct stats stats;
	uint64_t look_ends; /* ms; 0: nobody looks */
	bool asked;	    /* a signal asked for latencies: measure for good */
} observer = { .wake_fd = -1, .metrics = { .fd = -1 } };

static void wake(void)
{
	uint64_t one = 1;

	/* Only a full counter could fail, and then a wake is pending already. */
	if (write(observer.wake_fd, &one, sizeof(one)) < 0)
		return;
}

static void on_signal(int number)
{
	int before = errno;

	wake();
	errno = before;
}

int observer_open(void)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };

	observer.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (observer.wake_fd < 0)
		return -errno;
	return sigaction(SIGUSR1, &action, NULL) ? -errno : 0;
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- what is told ---- */

/* A table at a signal. Latencies are measured from then on, for the next one. */
static void answer_signal(void)
{
	stats_report(&observer.stats, false);
	if (!fractal_session_measures(observer.seen.session))
		report(FRACTAL_LOG_INFO, "latencies are measured from now on");
	observer.asked = true;
	fractal_session_measure(observer.seen.session, true);
}

/* Somebody looks, or nobody does any more: measuring costs nothing in between. */
static void look(void)
{
	observer.look_ends = now_ms() + LOOK_MS;
	fractal_session_measure(observer.seen.session, true);
}

static void look_away(void)
{
	if (!observer.look_ends || now_ms() < observer.look_ends)
		return;
	observer.look_ends = 0;
	fractal_session_measure(observer.seen.session, observer.asked);
}

static const char *write_page(const char *path, int listener, FILE *out)
{
	const struct observed *seen = &observer.seen;
	bool own = listener != observer.metrics.fd;

	if (own)
		look();
	if (strcmp(path, "/metrics") == 0) {
		metrics_write(out, seen->session, seen->host, seen->mountpoint);
		return METRICS_TYPE;
	}
	if (own && strcmp(path, "/snapshot") == 0) {
		snapshot_write(out, seen, stats_uptime(&observer.stats));
		return SNAPSHOT_TYPE;
	}
	return NULL;
}

/* ---- the thread ---- */

/* The lesser of two times to wait, where -1 means for ever. */
static int sooner(int a, int b)
{
	return a < 0 || (b >= 0 && b < a) ? b : a;
}

/* From now until then; -1 where there is no such time. */
static int until(uint64_t when)
{
	uint64_t t = now_ms();

	return !when ? -1 : when > t ? (int)(when - t) : 0;
}

static void *observer_main(void *arg)
{
	struct pollfd fds[1 + HTTP_FDS] = { { .fd = observer.wake_fd, .events = POLLIN } };
	uint64_t every = observer.seen.seconds * 1000ull, due = every ? now_ms() + every : 0, count;

	for (;;) {
		int patience = sooner(until(due), until(observer.look_ends));

		patience = sooner(patience, http_prepare(observer.http, fds + 1));
		if (poll(fds, 1 + HTTP_FDS, patience) < 0)
			continue;
		if (atomic_load(&observer.ended))
			return NULL;
		if (read(observer.wake_fd, &count, sizeof(count)) > 0)
			answer_signal();
		http_go(observer.http, fds + 1);
		look_away();
		if (every && now_ms() >= due) {
			stats_report(&observer.stats, false);
			due += every;
		}
	}
}

/* The thread takes no signals: the command's own does. */
static int start_thread(void)
{
	sigset_t all, before;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&observer.thread, NULL, observer_main, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -rc;
}

int observer_listen(const struct listener *metrics)
{
	const char *why;

	observer.metrics = *metrics;
	why = listener_open(&observer.metrics);
	if (!why)
		return 0;
	report(FRACTAL_LOG_ERROR, "--metrics=%s cannot be had: %s", metrics->where, why);
	return -EINVAL;
}

/* The mount can do without its socket. */
static void publish(void)
{
	uint32_t device = fractal_session_device(observer.seen.session);
	int fd = device ? publish_open(device) : -ENODEV;

	if (fd >= 0)
		http_listen(observer.http, fd);
	else
		report(FRACTAL_LOG_DEBUG, "fractal-lua top cannot look at this mount: %s",
		       fd == -EPERM ? "its directory for sockets is not this user's alone"
				    : strerror(-fd));
}

int observer_start(const struct observed *observed)
{
	int rc;

	observer.seen = *observed;
	observer.http = http_new(write_page);
	if (!observer.http)
		return -ENOMEM;
	if (observer.metrics.fd >= 0)
		http_listen(observer.http, observer.metrics.fd);
	publish();
	stats_begin(&observer.stats, observed->session, observed->host);
	rc = start_thread();
	observer.started = rc == 0;
	return rc;
}

void observer_stop(bool table)
{
	if (!observer.started)
		return;
	observer.started = false;
	atomic_store(&observer.ended, true);
	wake();
	pthread_join(observer.thread, NULL);
	if (table)
		stats_report(&observer.stats, true);
}

void observer_close(void)
{
	http_free(observer.http);
	observer.http = NULL;
	listener_close(&observer.metrics);
	publish_close();
}
