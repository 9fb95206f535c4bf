/* SPDX-License-Identifier: MIT */
/*
 * http.h - a small HTTP/1.1 server for the thread of the observer: GET and HEAD of a few pages, one request for each connection,
 * a few connections at a time. Whatever a client does, nothing here waits for it, and what it may send is bounded.
 */
#ifndef FRACTAL_HTTP_H
#define FRACTAL_HTTP_H
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>

enum {
	HTTP_LISTENERS = 2,
	HTTP_CLIENTS = 8, /* at a time; more wait to be accepted */
	HTTP_FDS = HTTP_LISTENERS + HTTP_CLIENTS,
};

/* Writes the page @path of the socket @listener to @out and returns its media type; NULL: there is no such page. */
typedef const char *http_page(const char *path, int listener, FILE *out);

struct http;

/* A server without sockets; NULL: out of memory. */
struct http *http_new(http_page *page);
/* Serves what connects to @fd, too, which stays the caller's. */
void http_listen(struct http *http, int fd);

/* Puts what the server waits for into @fds (HTTP_FDS of them); returns for how long at most, in milliseconds, or -1. */
int http_prepare(struct http *http, struct pollfd *fds);
/* Goes on after poll(2). */
void http_go(struct http *http, const struct pollfd *fds);

void http_free(struct http *http);

#endif
