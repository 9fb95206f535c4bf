/* SPDX-License-Identifier: MIT */
/*
 * daemon.h - going into the background, and telling others when the mount is ready.
 *
 * The fork comes first, before any thread, ring or Lua state exists. The parent stays until the child is ready or has
 * failed, so that its exit status tells; what the child prints until then goes where the parent's output goes.
 */
#ifndef FRACTAL_DAEMON_H
#define FRACTAL_DAEMON_H

struct daemon {
	int ready_fd; /* in the child: where it says that it is ready; -1: in the foreground */
};

/* Forks and returns 0 in the child; the parent exits with the child's status, or 0 once it is ready. -errno: no fork. */
int daemon_start(struct daemon *daemon);

/* In the child: the mount is ready. A session of its own, no terminal, "/" as directory; releases the parent. */
void daemon_ready(struct daemon *daemon);

/* Sends systemd's readiness protocol a state such as "READY=1", where NOTIFY_SOCKET is set. See sd_notify(3). */
void daemon_notify(const char *state);

#endif
