/* SPDX-License-Identifier: MIT */
/*
 * profiler.h - --profile: writes where the script spends its time, as folded stacks and as a flame graph, at the end of a
 * mount and at intervals.
 */
#ifndef FRACTAL_PROFILER_H
#define FRACTAL_PROFILER_H
#include "host.h"

/*
 * Makes PREFIX.folded (@prefix NULL: named after the filesystem) and profiles @host from now on. 0, or -errno with a
 * sentence reported.
 */
int profiler_open(struct host *host, const char *prefix);

/* Starts a thread that writes both files every @seconds; 0: none. */
int profiler_start(unsigned seconds);

/* Ends it, writes both files and says so. Nothing where profiler_open() was not called. */
void profiler_stop(void);

#endif
