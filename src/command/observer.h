/* SPDX-License-Identifier: MIT */
/*
 * observer.h - a thread of the command that tells what the mount does, whatever its workers are busy with: tables at
 * intervals (--stats=SECONDS) and at SIGUSR1.
 */
#ifndef FRACTAL_OBSERVER_H
#define FRACTAL_OBSERVER_H
#include "host.h"

/* Catches SIGUSR1, which is answered once the thread runs. 0 or -errno. */
int observer_open(void);

/* Starts the thread: a table every @seconds (0: none) and at each signal. 0 or -errno. */
int observer_start(struct fractal_session *session, const struct host *host, unsigned seconds);

/* Ends the thread, if it runs; then @table reports the whole. The session is there until then. */
void observer_stop(bool table);

#endif
