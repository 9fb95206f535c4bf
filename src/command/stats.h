/* SPDX-License-Identifier: MIT */
/*
 * stats.h - what a mount serves, as a table in the log: --stats and SIGUSR1.
 */
#ifndef FRACTAL_STATS_H
#define FRACTAL_STATS_H
#include "host.h"

struct stats {
	const struct fractal_session *session;
	const struct host *host;
	double begun, reported;		   /* when (seconds, monotonic clock) */
	uint64_t counts[FRACTAL_OP_COUNT]; /* requests that the last table had */
};

/* The mount answers from now on. */
void stats_begin(struct stats *stats, const struct fractal_session *session,
		 const struct host *host);

/* Seconds since the mount answers. */
double stats_uptime(const struct stats *stats);

/*
 * Reports each operation that came, the commonest first, and the state of the whole. Rates are those since the last table,
 * or, at the end, since the beginning. One thread at a time.
 */
void stats_report(struct stats *stats, bool at_end);

#endif
