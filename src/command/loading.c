/* SPDX-License-Identifier: MIT */
/* loading.c - see loading.h. A signal's handler tells, since the only thread runs the script. */
#include "loading.h"
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#define PATIENCE_SECONDS 5

static char line[PATH_MAX + 128];
static int line_len;

static void on_alarm(int number)
{
	int saved = errno;
	ssize_t told = write(STDERR_FILENO, line, (size_t)line_len);

	(void)told;
	errno = saved;
}

int loading_run(struct host **out, const char *script, struct log_sink sink)
{
	struct sigaction action = { .sa_handler = on_alarm, .sa_flags = SA_RESTART }, before;
	int err;

	line_len = snprintf(line, sizeof(line),
			    "fractal-lua: warning: %s has run for %d s and has not returned yet: "
			    "does it loop? Ctrl-C ends it\n",
			    script, PATIENCE_SECONDS);
	sigaction(SIGALRM, &action, &before);
	alarm(PATIENCE_SECONDS);
	err = host_load(out, script, sink);
	alarm(0);
	sigaction(SIGALRM, &before, NULL);
	return err;
}
