/* SPDX-License-Identifier: MIT */
/*
 * observer.c - see observer.h.
 *
 * All that can happen (a signal, a time, what clients do) is in one epoll(7) descriptor, which the session watches: worker 0
 * goes on with it between two requests, or the session's thread while a handler holds that worker. So there is no thread
 * for it. It only reads counters that may be read at any time, takes no lock of others and enters no Lua state.
 */
#include "observer.h"
#include "http.h"
#include "metrics.h"
#include "publish.h"
#include "report.h"
#include "snapshot.h"
#include "stats.h"
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

/* For how long latencies are measured after somebody looked at the mount's own socket. */
#define LOOK_MS 60000

/* Places of events, behind those of the server. */
enum {
	PLACE_SIGNAL = HTTP_PLACES,
	PLACE_TIMER,
	PLACES,
};

static struct {
	int signal_fd; /* eventfd: a table is asked for */
	int timer_fd;
	int epoll_fd;
	bool started;
	struct observed seen;
	struct listener metrics;
	struct http *http;
	struct stats stats;
	/* Times are ms of the monotonic clock; 0: none. */
	int64_t due;	   /* the next table of --stats=SECONDS */
	int64_t table_at;  /* the table that is asked for */
	int64_t look_ends; /* somebody looks until then */
	bool signalled;	   /* that table is a signal's */
	bool asked;	   /* a signal asked for latencies: measure for good */
} observer = { .signal_fd = -1, .timer_fd = -1, .epoll_fd = -1, .metrics = { .fd = -1 } };

static void on_signal(int number)
{
	int before = errno;
	uint64_t one = 1;

	/* Only a full counter could fail, and then a table is asked for already. */
	if (write(observer.signal_fd, &one, sizeof(one)) < 0)
		errno = before;
}

int observer_open(void)
{
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };

	observer.signal_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (observer.signal_fd < 0)
		return -errno;
	return sigaction(SIGUSR1, &action, NULL) ? -errno : 0;
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Has workers note what figures need. */
static void refresh(void)
{
	host_refresh_figures(observer.seen.host);
}

/* ---- what is told ---- */

static void ask_for_table(void)
{
	if (observer.table_at)
		return;
	refresh();
	observer.table_at = now_ms() + HOST_REFRESH_MS;
}

static void take_signal(void)
{
	uint64_t count;

	if (read(observer.signal_fd, &count, sizeof(count)) < 0)
		return;
	observer.signalled = true;
	ask_for_table();
}

/* At a signal, latencies are measured from then on, for the next table. */
static void write_table(void)
{
	stats_report(&observer.stats, false);
	observer.table_at = 0;
	if (!observer.signalled)
		return;
	observer.signalled = false;
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

static const struct http_site site = {
	.asked = refresh,
	.fetch_ms = HOST_REFRESH_MS,
	.page = write_page,
};

/* ---- events ---- */

static int64_t sooner(int64_t a, int64_t b)
{
	return !a || (b && b < a) ? b : a;
}

/* Milliseconds between two tables. */
static int64_t every(void)
{
	return observer.seen.seconds * 1000ll;
}

/* Does what the time has come for, and sets the timer to the next one. */
static void keep_time(void)
{
	int64_t now = now_ms(), next = http_expire(observer.http);
	struct itimerspec at = { 0 };

	look_away();
	if (observer.table_at && now >= observer.table_at)
		write_table();
	if (observer.due && now >= observer.due) {
		ask_for_table();
		observer.due += (now - observer.due) / every() * every() + every();
	}
	next = sooner(sooner(next, observer.look_ends), sooner(observer.table_at, observer.due));
	at.it_value.tv_sec = next / 1000;
	at.it_value.tv_nsec = next % 1000 * 1000000;
	/* This also takes back that the last one has passed. */
	timerfd_settime(observer.timer_fd, TFD_TIMER_ABSTIME, &at, NULL);
}

static int go_on(struct fractal_session *session, void *user)
{
	struct epoll_event events[PLACES];
	int n = epoll_wait(observer.epoll_fd, events, PLACES, 0);

	(void)session;
	(void)user;
	for (int i = 0; i < n; i++) {
		if (events[i].data.u32 < HTTP_PLACES)
			http_ready(observer.http, events[i].data.u32);
		else if (events[i].data.u32 == PLACE_SIGNAL)
			take_signal();
	}
	keep_time();
	return 0;
}

/* ---- start and end ---- */

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
	int rc = fd < 0 ? fd : http_listen(observer.http, fd);

	if (rc)
		report(FRACTAL_LOG_DEBUG, "fractal-lua top cannot look at this mount: %s",
		       rc == -EPERM ? "its directory for sockets is not this user's alone"
				    : strerror(-rc));
}

static int open_events(void)
{
	struct epoll_event signals = { .events = EPOLLIN, .data.u32 = PLACE_SIGNAL };
	struct epoll_event times = { .events = EPOLLIN, .data.u32 = PLACE_TIMER };

	observer.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	observer.timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (observer.epoll_fd < 0 || observer.timer_fd < 0 ||
	    epoll_ctl(observer.epoll_fd, EPOLL_CTL_ADD, observer.signal_fd, &signals) ||
	    epoll_ctl(observer.epoll_fd, EPOLL_CTL_ADD, observer.timer_fd, &times))
		return -errno;
	return 0;
}

int observer_start(const struct observed *observed)
{
	int rc = open_events();

	observer.seen = *observed;
	observer.http = rc ? NULL : http_new(&site, observer.epoll_fd);
	if (!observer.http)
		return rc ? rc : -ENOMEM;
	if (observer.metrics.fd >= 0)
		rc = http_listen(observer.http, observer.metrics.fd);
	publish();
	stats_begin(&observer.stats, observed->session, observed->host);
	observer.due = observed->seconds ? now_ms() + every() : 0;
	keep_time();
	if (!rc)
		rc = fractal_session_watch(observed->session, observer.epoll_fd, go_on, NULL);
	observer.started = rc == 0;
	return rc;
}

void observer_stop(bool table)
{
	if (observer.started && table)
		stats_report(&observer.stats, true);
	observer.started = false;
}

static void close_one(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void observer_close(void)
{
	http_free(observer.http);
	observer.http = NULL;
	listener_close(&observer.metrics);
	publish_close();
	close_one(&observer.epoll_fd);
	close_one(&observer.timer_fd);
}
