/* SPDX-License-Identifier: MIT */
/*
 * metrics.h - what a mount does, in Prometheus' text format, version 0.0.4.
 */
#ifndef FRACTAL_METRICS_H
#define FRACTAL_METRICS_H
#include "host.h"

#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* Writes all families, each with HELP and TYPE. Operations that never came are left out. */
void metrics_write(FILE *out, const struct fractal_session *session, const struct host *host,
		   const char *mountpoint);

#endif
