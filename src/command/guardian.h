/* SPDX-License-Identifier: MIT */
/*
 * guardian.h - a small process that unmounts when the server dies without having done so (SIGKILL, a crash), so that
 * nobody meets "Transport endpoint is not connected".
 *
 * It is forked before /dev/fuse is open and before threads exist, holds one end of a pipe and nothing else, and knows
 * the one mount it may take off by device number and mount id.
 */
#ifndef FRACTAL_GUARDIAN_H
#define FRACTAL_GUARDIAN_H
#include <sys/types.h>

struct guardian {
	pid_t pid; /* 0: none */
	int fd;	   /* the pipe's writing end, O_CLOEXEC */
};

/* Forks it. 0 or -errno. */
int guardian_start(struct guardian *guardian);

/* Tells it what has been mounted on @mountpoint (an absolute path). 0 or -errno. */
int guardian_watch(struct guardian *guardian, const char *mountpoint);

/* The mount is off (or never came): the guardian goes, and is reaped. */
void guardian_dismiss(struct guardian *guardian);

#endif
