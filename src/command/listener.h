/* SPDX-License-Identifier: MIT */
/*
 * listener.h - a socket to be connected to: HOST:PORT, a port of 127.0.0.1, or unix:PATH.
 */
#ifndef FRACTAL_LISTENER_H
#define FRACTAL_LISTENER_H
#include <stdbool.h>
#include <sys/un.h>

struct listener {
	int fd;		   /* -1: not open */
	const char *where; /* the words, which the caller keeps */
	bool local;
	char host[256]; /* of a TCP socket; IPv6 without brackets */
	char port[6];
	struct sockaddr_un path; /* of a local one, absolute */
};

/* Takes "9100", "localhost:9100", "[::1]:9100" or "unix:/run/x". NULL, or a sentence on what is wrong with it. */
const char *listener_parse(struct listener *listener, const char *where);

/*
 * Binds and listens, without blocking; the socket that a dead process left at a path is taken off first. NULL, or why
 * it cannot be had; the text lives until the next call.
 */
const char *listener_open(struct listener *listener);

/* Closes it and removes its path. */
void listener_close(struct listener *listener);

#endif
