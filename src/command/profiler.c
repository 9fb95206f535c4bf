/* SPDX-License-Identifier: MIT */
/* profiler.c - see profiler.h. A thread of its own, since drawing takes a while; it enters no Lua state of the mount. */
#include "profiler.h"
#include "report.h"
#include "tool.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static struct {
	char *folded, *drawn; /* paths; NULL: nothing is profiled */
	const char *name;     /* of the filesystem */
	int end_fd;	      /* eventfd: the thread is to end; -1: there is none */
	unsigned seconds;
	pthread_t thread;
} profiler = { .end_fd = -1 };

static int complain(const char *what, const char *path, int error)
{
	report(FRACTAL_LOG_ERROR, "%s %s: %s", what, path, strerror(error));
	return -error;
}

static int write_folded(void)
{
	FILE *file = fopen(profiler.folded, "we");

	if (!file)
		return complain("the profile cannot be written to", profiler.folded, errno);
	host_write_profile(file);
	return fclose(file) ? complain("the profile cannot be written to", profiler.folded, errno)
			    : 0;
}

/* Both files. The drawing is the tool's work, which says itself what went wrong. */
static int write_files(void)
{
	char *words[] = { "flamegraph",	  profiler.folded, "--output",
			  profiler.drawn, "--title",	   (char *)profiler.name };

	return write_folded() || tool_run(sizeof(words) / sizeof(*words), words) ? -EIO : 0;
}

/* The absolute path of @prefix with @ending behind it: the daemon's directory is another one. */
static char *path_of(const char *prefix, const char *ending)
{
	char here[PATH_MAX] = "", *path;

	if (*prefix != '/' && !getcwd(here, sizeof(here)))
		return NULL;
	return asprintf(&path, "%s%s%s%s", here, *here ? "/" : "", prefix, ending) < 0 ? NULL
										       : path;
}

int profiler_open(struct host *host, const char *prefix)
{
	int fd, err;

	profiler.name = host_name(host);
	profiler.folded = path_of(prefix ? prefix : profiler.name, ".folded");
	profiler.drawn = path_of(prefix ? prefix : profiler.name, ".svg");
	if (!profiler.folded || !profiler.drawn)
		return complain("no place for the profile", prefix ? prefix : profiler.name,
				ENOMEM);
	fd = open(profiler.folded, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return complain("the profile cannot be written to", profiler.folded, errno);
	close(fd);
	err = host_profile(host);
	return err ? complain("profiling", profiler.name, -err) : 0;
}

static void *profiler_main(void *arg)
{
	struct pollfd p = { .fd = profiler.end_fd, .events = POLLIN };
	int rc;

	(void)arg;
	while ((rc = poll(&p, 1, (int)profiler.seconds * 1000)) <= 0)
		if (rc == 0)
			write_files();
	return NULL;
}

/* The thread takes no signals: the command's own does. */
int profiler_start(unsigned seconds)
{
	sigset_t all, before;
	int rc;

	if (!profiler.folded || !seconds)
		return 0;
	profiler.seconds = seconds;
	profiler.end_fd = eventfd(0, EFD_CLOEXEC);
	if (profiler.end_fd < 0)
		return -errno;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&profiler.thread, NULL, profiler_main, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc) {
		close(profiler.end_fd);
		profiler.end_fd = -1;
	}
	return -rc;
}

static void end_thread(void)
{
	uint64_t one = 1;

	if (profiler.end_fd < 0)
		return;
	/* A counter that is 0 takes a 1. */
	if (write(profiler.end_fd, &one, sizeof(one)) == sizeof(one))
		pthread_join(profiler.thread, NULL);
	close(profiler.end_fd);
	profiler.end_fd = -1;
}

void profiler_stop(void)
{
	end_thread();
	if (profiler.folded && !write_files())
		report(FRACTAL_LOG_INFO, "profile: %s, %s", profiler.drawn, profiler.folded);
	free(profiler.folded);
	free(profiler.drawn);
	profiler.folded = profiler.drawn = NULL;
}
