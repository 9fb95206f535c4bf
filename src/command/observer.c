/* SPDX-License-Identifier: MIT */
/*
 * observer.c - see observer.h.
 *
 * The thread only reads counters that others may read at any time, takes no lock of theirs and enters no Lua state. So a
 * handler that holds a worker, and with it the Lua state, does not keep it from answering.
 */
#include "observer.h"
#include "report.h"
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

static struct {
	int wake_fd; /* eventfd: a table is asked for, or the end */
	atomic_bool ended;
	bool started;
	pthread_t thread;
	struct fractal_session *session;
	unsigned seconds;
	struct stats stats;
} observer = { .wake_fd = -1 };

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

/* A table at a signal. Latencies are measured from then on, for the next one. */
static void answer_signal(void)
{
	stats_report(&observer.stats, false);
	if (!fractal_session_measures(observer.session))
		report(FRACTAL_LOG_INFO, "latencies are measured from now on");
	fractal_session_measure(observer.session, true);
}

static void *observer_main(void *arg)
{
	struct pollfd p = { .fd = observer.wake_fd, .events = POLLIN };
	uint64_t every = observer.seconds * 1000ull, due = now_ms() + every, count;

	for (;;) {
		uint64_t t = now_ms();
		int patience = !every ? -1 : due > t ? (int)(due - t) : 0;

		poll(&p, 1, patience);
		if (atomic_load(&observer.ended))
			return NULL;
		if (read(observer.wake_fd, &count, sizeof(count)) > 0)
			answer_signal();
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

int observer_start(struct fractal_session *session, const struct host *host, unsigned seconds)
{
	int rc;

	observer.session = session;
	observer.seconds = seconds;
	stats_begin(&observer.stats, session, host);
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
