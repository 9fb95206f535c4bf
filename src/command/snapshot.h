/* SPDX-License-Identifier: MIT */
/*
 * snapshot.h - all figures of a mount as lines for a program of the same version to read (fractal-lua top).
 */
#ifndef FRACTAL_SNAPSHOT_H
#define FRACTAL_SNAPSHOT_H
#include "observer.h"

#define SNAPSHOT_TYPE "text/plain; charset=utf-8"

/*
 * Writes one line for each figure, a name and its values:
 *
 *     mountpoint PATH   name NAME   transport uring|dev   workers N   uptime SECONDS
 *     load HELD MOST DEPTH
 *     lua STATES BYTES COLLECTIONS TRACES ABORTS FLUSHES
 *     op NAME REQUESTS ERRORS BYTES_IN BYTES_OUT MAX_NS [BOUND_NS:COUNT …]
 *
 * The buckets that hold anything follow each operation that came.
 */
void snapshot_write(FILE *out, const struct observed *seen, double uptime);

#endif
