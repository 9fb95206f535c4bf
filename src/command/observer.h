/* SPDX-License-Identifier: MIT */
/*
 * observer.h - tells what the mount does, whatever its workers are busy with: tables at intervals (--stats=SECONDS) and at
 * SIGUSR1, metrics over HTTP (--metrics), and what fractal-lua top shows.
 */
#ifndef FRACTAL_OBSERVER_H
#define FRACTAL_OBSERVER_H
#include "host.h"
#include "listener.h"

/* What there is to see. All of it lives until observer_stop(). */
struct observed {
	struct fractal_session *session;
	const struct host *host;
	const char *mountpoint;
	unsigned seconds; /* between two tables; 0: only at a signal */
};

/* Catches SIGUSR1, which is answered from observer_start() on. 0 or -errno. */
int observer_open(void);

/* Metrics will be served there. 0, or -EINVAL with the reason reported. */
int observer_listen(const struct listener *metrics);

/* Answers from now on, until the session's run returns. 0 or -errno. */
int observer_start(const struct observed *observed);

/* After that; @table: reports the whole, if the mount was observed. */
void observer_stop(bool table);

/* Closes the sockets. */
void observer_close(void);

#endif
