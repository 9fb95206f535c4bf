/* SPDX-License-Identifier: MIT */
/*
 * stats.h - what a mount served: the table that --stats prints once it has ended.
 */
#ifndef FRACTAL_STATS_H
#define FRACTAL_STATS_H
#include "fractal.h"

/* Reports requests, errors and latencies (microseconds) of each operation that came, the commonest first. */
void stats_report(const struct fractal_session *session);

#endif
