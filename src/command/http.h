/* SPDX-License-Identifier: MIT */
/*
 * http.h - a small HTTP/1.1 server beside other work: GET and HEAD of a few pages, one request for each connection, a few
 * connections at a time. Whatever a client does, nothing here waits for it, and what it may send is bounded.
 */
#ifndef FRACTAL_HTTP_H
#define FRACTAL_HTTP_H
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum {
	HTTP_LISTENERS = 2,
	HTTP_CLIENTS = 8, /* at a time; more wait to be accepted */
	HTTP_PLACES = HTTP_LISTENERS + HTTP_CLIENTS,
};

struct http_site {
	/* A page will be asked for, @fetch_ms (milliseconds) later: what it tells can be fetched meanwhile. */
	void (*asked)(void);
	int fetch_ms;
	/* Writes the page @path of the socket @listener to @out and returns its media type; NULL: there is no such page. */
	const char *(*page)(const char *path, int listener, FILE *out);
};

struct http;

/* A server without sockets, which has its events told by an epoll(7) descriptor; NULL: out of memory. */
struct http *http_new(const struct http_site *site, int epoll_fd);
/* Serves what connects to @fd, too, which stays the caller's. 0 or -errno. */
int http_listen(struct http *http, int fd);

/* Goes on with an event whose data.u32 is @place, below HTTP_PLACES. */
void http_ready(struct http *http, uint32_t place);
/* Does what its time has come for. Returns when to do so again, in milliseconds of the monotonic clock, or 0. After all events. */
int64_t http_expire(struct http *http);

void http_free(struct http *http);

#endif
