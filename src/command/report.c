/* SPDX-License-Identifier: MIT */
/* report.c - the command's messages. */
#include "report.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <syslog.h>
#include <unistd.h>

#define NAME "fractal-lua"

static struct {
	int fd;	      /* standard error or a file */
	int trace_fd; /* -1: with the messages */
	bool syslog;
	bool debug;
} target = { .fd = STDERR_FILENO, .trace_fd = -1 };

const struct log_sink report_sink = { .log = report_hook };

void report_debug(bool on)
{
	target.debug = on;
}

int report_to_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);

	if (fd < 0)
		return -errno;
	target.fd = fd;
	return 0;
}

int report_trace_to_file(const char *path)
{
	target.trace_fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	return target.trace_fd < 0 ? -errno : 0;
}

void report_to_syslog(void)
{
	if (target.fd != STDERR_FILENO)
		return;
	openlog(NAME, LOG_PID, LOG_DAEMON);
	target.syslog = true;
}

/* One write for the whole message, so that those of several threads do not mix. */
static void write_line(int fd, const char *prefix, const char *text)
{
	struct iovec parts[] = {
		{ (char *)prefix, strlen(prefix) },
		{ (char *)text, strlen(text) },
		{ "\n", 1 },
	};

	while (writev(fd, parts, 3) < 0 && errno == EINTR)
		;
}

/* syslog(3) wants one line at a time. */
static void syslog_lines(int priority, const char *text, size_t size)
{
	for (const char *end = text + size; text < end;) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		const char *stop = newline ? newline : end;

		syslog(priority, "%.*s", (int)(stop - text), text);
		text = stop + 1;
	}
}

void report_hook(enum fractal_log_level level, const char *text, void *user)
{
	static const struct {
		int priority;
		const char *prefix;
	} styles[] = {
		[FRACTAL_LOG_ERROR] = { LOG_ERR, NAME ": error: " },
		[FRACTAL_LOG_WARN] = { LOG_WARNING, NAME ": warning: " },
		[FRACTAL_LOG_INFO] = { LOG_INFO, NAME ": " },
		[FRACTAL_LOG_DEBUG] = { LOG_DEBUG, NAME ": " },
		[FRACTAL_LOG_TRACE] = { LOG_DEBUG, NAME ": " },
	};

	if (level == FRACTAL_LOG_DEBUG && !target.debug)
		return;
	if (target.syslog)
		syslog_lines(styles[level].priority, text, strlen(text));
	else
		write_line(target.fd, styles[level].prefix, text);
}

void report(enum fractal_log_level level, const char *fmt, ...)
{
	char *text;
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vasprintf(&text, fmt, ap);
	va_end(ap);
	if (len < 0)
		return;
	report_hook(level, text, NULL);
	free(text);
}

/* Says once that lines are missing. */
static void trace_lost(int error)
{
	static atomic_bool said;

	if (!atomic_exchange(&said, true))
		report(FRACTAL_LOG_ERROR, "the trace is not complete: writing it failed: %s",
		       strerror(error));
}

void report_trace(const char *lines, size_t size, void *user)
{
	int fd = target.trace_fd < 0 ? target.fd : target.trace_fd;

	(void)user;
	if (target.trace_fd < 0 && target.syslog) {
		syslog_lines(LOG_DEBUG, lines, size);
		return;
	}
	while (size > 0) {
		ssize_t n = write(fd, lines, size);

		if (n < 0 && errno != EINTR) {
			trace_lost(errno);
			return;
		}
		lines += n > 0 ? n : 0;
		size -= n > 0 ? (size_t)n : 0;
	}
}

void report_ready(const char *text)
{
	write_line(STDERR_FILENO, "", text);
	if (target.fd != STDERR_FILENO)
		write_line(target.fd, "", text);
}
