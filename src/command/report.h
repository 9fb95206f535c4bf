/* SPDX-License-Identifier: MIT */
/*
 * report.h - where the command's messages go: standard error, a file, or syslog once it runs in the background.
 */
#ifndef FRACTAL_REPORT_H
#define FRACTAL_REPORT_H
#include "mount.h"

/* Debug messages too. */
void report_debug(bool on);

/* From now on to this file, appended. 0 or -errno. */
int report_to_file(const char *path);

/* Traces from now on to this file, which begins anew. 0 or -errno. */
int report_trace_to_file(const char *path);

/* From now on to syslog, unless a file is named. */
void report_to_syslog(void);

/* One message, without newline at its end. Any thread. */
void report(enum fractal_log_level level, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* The line for whoever waits for the mount: as it is, on standard error and in the file where one is named. */
void report_ready(const char *text);

/* report() as a hook of the library. */
void report_hook(enum fractal_log_level level, const char *text, void *user);
extern const struct log_sink report_sink;

/* Whole lines of a trace, as a hook of the library. */
void report_trace(const char *lines, size_t size, void *user);

#endif
