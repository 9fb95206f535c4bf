/* SPDX-License-Identifier: MIT */
/* http.c - see http.h. */
#define _GNU_SOURCE
#include "http.h"
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define HEAD_MAX   4096
#define REQUEST_MS 3000	 /* for the request to come */
#define REPLY_MS   10000 /* for the reply to be taken */
#define LINGER_MS  1000	 /* for the client to close, once it has its reply */
#define PAUSE_MS   1000	 /* without accepting, when descriptors are short */

enum client_state {
	CLIENT_NONE,
	CLIENT_ASKS,
	CLIENT_WAITS, /* its request is here */
	CLIENT_READS,
	CLIENT_LINGERS
};

struct client {
	struct http *http;
	enum client_state state;
	int fd;
	int listener; /* the socket it came to */
	int64_t deadline_ms;
	char head[HEAD_MAX + 1];
	size_t head_len;
	char *reply;
	size_t reply_len, sent;
};

struct http {
	const struct http_site *site;
	int epoll_fd;
	int listeners[HTTP_LISTENERS];
	int count;
	bool accepting; /* the listeners are waited for */
	int64_t paused_until_ms;
	struct client clients[HTTP_CLIENTS];
};

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

struct http *http_new(const struct http_site *site, int epoll_fd)
{
	struct http *http = calloc(1, sizeof(*http));

	if (!http)
		return NULL;
	http->site = site;
	http->epoll_fd = epoll_fd;
	http->accepting = true;
	for (int i = 0; i < HTTP_CLIENTS; i++)
		http->clients[i].http = http;
	return http;
}

/* A socket is known to epoll by its place: the listeners', then the clients'. */
static int await(struct http *http, int operation, int fd, int place, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.u32 = (uint32_t)place };

	return epoll_ctl(http->epoll_fd, operation, fd, &event) ? -errno : 0;
}

int http_listen(struct http *http, int fd)
{
	int rc = await(http, EPOLL_CTL_ADD, fd, http->count, EPOLLIN);

	if (!rc)
		http->listeners[http->count++] = fd;
	return rc;
}

static void close_client(struct client *c)
{
	close(c->fd);
	free(c->reply);
	c->reply = NULL;
	c->state = CLIENT_NONE;
}

void http_free(struct http *http)
{
	for (int i = 0; http && i < HTTP_CLIENTS; i++)
		if (http->clients[i].state != CLIENT_NONE)
			close_client(&http->clients[i]);
	free(http);
}

/* ---- replies ---- */

/* A client that epoll does not take is left to its deadline. */
static void enter(struct client *c, enum client_state state, int patience_ms)
{
	static const uint32_t events[] = {
		[CLIENT_ASKS] = EPOLLIN,
		[CLIENT_READS] = EPOLLOUT,
		[CLIENT_LINGERS] = EPOLLIN,
	};
	int operation = c->state == CLIENT_NONE ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;

	await(c->http, operation, c->fd, HTTP_LISTENERS + (int)(c - c->http->clients),
	      events[state]);
	c->state = state;
	c->deadline_ms = now_ms() + patience_ms;
}

/* Sends what the socket takes. Behind the last byte it stays open for a moment: closing one with unread bytes would cut the reply. */
static void send_more(struct client *c)
{
	char rest[512];
	ssize_t n;

	while (c->state == CLIENT_READS && c->sent < c->reply_len) {
		n = send(c->fd, c->reply + c->sent, c->reply_len - c->sent, MSG_NOSIGNAL);
		if (n > 0)
			c->sent += (size_t)n;
		else if (errno == EAGAIN)
			return;
		else if (errno != EINTR)
			return close_client(c);
	}
	if (c->state == CLIENT_READS) {
		shutdown(c->fd, SHUT_WR);
		enter(c, CLIENT_LINGERS, LINGER_MS);
	}
	n = recv(c->fd, rest, sizeof(rest), MSG_DONTWAIT);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
		close_client(c);
}

/* Answers with these bytes as the body; only its length is told where the client asked for no more (HEAD). */
static void reply(struct client *c, const char *status, const char *type, const char *body,
		  size_t len, bool head_only)
{
	FILE *out = open_memstream(&c->reply, &c->reply_len);

	if (!out)
		return close_client(c);
	fprintf(out,
		"HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
		"Connection: close\r\n%s\r\n",
		status, type, len, strncmp(status, "405", 3) ? "" : "Allow: GET, HEAD\r\n");
	if (!head_only)
		fwrite(body, 1, len, out);
	if (fclose(out))
		return close_client(c);
	c->sent = 0;
	enter(c, CLIENT_READS, REPLY_MS);
	send_more(c);
}

static void reply_status(struct client *c, const char *status, bool head_only)
{
	char text[64];
	int len = snprintf(text, sizeof(text), "%s\n", status);

	reply(c, status, "text/plain; charset=utf-8", text, (size_t)len, head_only);
}

static void reply_page(struct client *c, const char *path, bool head_only)
{
	const char *type = NULL;
	char *body = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&body, &len);

	if (out) {
		type = c->http->site->page(path, c->listener, out);
		if (fclose(out))
			type = NULL;
	}
	if (type)
		reply(c, "200 OK", type, body, len, head_only);
	else
		reply_status(c, out ? "404 Not Found" : "503 Service Unavailable", head_only);
	free(body);
}

/* ---- requests ---- */

/* Answers a whole head: "GET /path HTTP/1.1", then lines that mean nothing here. */
static void answer(struct client *c)
{
	char *line = c->head, *end = strpbrk(line, "\r\n"), *path, *version;
	bool head_only;

	if (strlen(c->head) != c->head_len)
		return reply_status(c, "400 Bad Request", false);
	*end = 0;
	path = strchr(line, ' ');
	version = path ? strchr(path + 1, ' ') : NULL;
	if (!version || path == line || path[1] != '/' || strncmp(version + 1, "HTTP/1.", 7) != 0 ||
	    (strcmp(version + 8, "0") != 0 && strcmp(version + 8, "1") != 0))
		return reply_status(c, "400 Bad Request", false);
	*path++ = *version = 0;
	head_only = strcmp(line, "HEAD") == 0;
	if (!head_only && strcmp(line, "GET") != 0)
		return reply_status(c, "405 Method Not Allowed", false);
	path[strcspn(path, "?")] = 0;
	reply_page(c, path, head_only);
}

static void read_head(struct client *c)
{
	ssize_t n = recv(c->fd, c->head + c->head_len, HEAD_MAX - c->head_len, 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
		return close_client(c);
	c->head_len += (size_t)n;
	c->head[c->head_len] = 0;
	if (memmem(c->head, c->head_len, "\r\n\r\n", 4) ||
	    memmem(c->head, c->head_len, "\n\n", 2)) {
		c->http->site->asked();
		enter(c, CLIENT_WAITS, c->http->site->fetch_ms);
	} else if (c->head_len == HEAD_MAX) {
		reply_status(c, "431 Request Header Fields Too Large", false);
	}
}

static void expire(struct client *c)
{
	if (c->state == CLIENT_ASKS)
		reply_status(c, "408 Request Timeout", false);
	else if (c->state == CLIENT_WAITS)
		answer(c);
	else
		close_client(c);
}

static struct client *free_client(struct http *http)
{
	for (int i = 0; i < HTTP_CLIENTS; i++)
		if (http->clients[i].state == CLIENT_NONE)
			return &http->clients[i];
	return NULL;
}

static void accept_clients(struct http *http, int listener)
{
	struct client *c;

	while ((c = free_client(http))) {
		c->fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		if (c->fd < 0) {
			if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR)
				http->paused_until_ms = now_ms() + PAUSE_MS;
			return;
		}
		c->listener = listener;
		c->head_len = 0;
		enter(c, CLIENT_ASKS, REQUEST_MS);
	}
}

/* ---- for the loop ---- */

void http_ready(struct http *http, uint32_t place)
{
	struct client *c;

	if (place < HTTP_LISTENERS)
		return accept_clients(http, http->listeners[place]);
	c = &http->clients[place - HTTP_LISTENERS];
	if (c->state == CLIENT_ASKS)
		read_head(c);
	else if (c->state == CLIENT_WAITS)
		close_client(c); /* nothing is waited for but its end */
	else if (c->state != CLIENT_NONE)
		send_more(c);
}

/* Lets clients come, or wait outside. */
static void accept_if(struct http *http, bool accepting)
{
	if (accepting == http->accepting)
		return;
	http->accepting = accepting;
	for (int i = 0; i < http->count; i++)
		await(http, EPOLL_CTL_MOD, http->listeners[i], i, accepting ? EPOLLIN : 0);
}

int64_t http_expire(struct http *http)
{
	int64_t now = now_ms(), first = http->paused_until_ms > now ? http->paused_until_ms : 0;

	for (int i = 0; i < HTTP_CLIENTS; i++) {
		struct client *c = &http->clients[i];

		if (c->state != CLIENT_NONE && now >= c->deadline_ms)
			expire(c);
		if (c->state != CLIENT_NONE && (!first || c->deadline_ms < first))
			first = c->deadline_ms;
	}
	accept_if(http, free_client(http) && http->paused_until_ms <= now);
	return first;
}
