/* SPDX-License-Identifier: MIT */
/* listener.c - see listener.h. */
#include "listener.h"
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BACKLOG 16
#define LOCAL	"unix:"

static const char usage[] = "give HOST:PORT, a port, or unix:PATH";

/* ---- words ---- */

static const char *parse_path(struct listener *l, const char *path)
{
	char *to = l->path.sun_path;
	size_t size = sizeof(l->path.sun_path), dir = 0;

	if (!*path)
		return usage;
	/* The background has another directory. */
	if (*path != '/') {
		if (!getcwd(to, size))
			return "the current directory cannot be told: give an absolute path";
		dir = strlen(to);
		to[dir++] = '/';
	}
	if (dir + strlen(path) >= size)
		return "the path is too long for a socket: choose one below 108 bytes";
	memcpy(to + dir, path, strlen(path) + 1);
	l->path.sun_family = AF_UNIX;
	l->local = true;
	return NULL;
}

static const char *parse_port(struct listener *l, const char *port)
{
	size_t digits = strspn(port, "0123456789");

	if (digits == 0 || port[digits])
		return usage;
	if (digits > 5 || atoi(port) < 1 || atoi(port) > 65535)
		return "a port is 1 to 65535";
	memcpy(l->port, port, digits + 1);
	return NULL;
}

const char *listener_parse(struct listener *l, const char *where)
{
	const char *colon = strrchr(where, ':'), *host = where;
	size_t len;

	*l = (struct listener){ .fd = -1, .where = where, .host = "127.0.0.1" };
	if (strncmp(where, LOCAL, strlen(LOCAL)) == 0)
		return parse_path(l, where + strlen(LOCAL));
	if (!colon)
		return parse_port(l, where);
	len = (size_t)(colon - where);
	if (*where == '[' && len > 2 && colon[-1] == ']') {
		host++;
		len -= 2;
	} else if (memchr(where, ':', len)) {
		return "put an IPv6 address in brackets, as [::1]:9100";
	}
	if (len == 0 || len >= sizeof(l->host))
		return usage;
	memcpy(l->host, host, len);
	l->host[len] = 0;
	return parse_port(l, colon + 1);
}

/* ---- sockets ---- */

/* Whether somebody answers at the path. */
static bool is_alive(const struct listener *l)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool alive = fd >= 0 && (!connect(fd, (const struct sockaddr *)&l->path, sizeof(l->path)) ||
				 errno != ECONNREFUSED);

	if (fd >= 0)
		close(fd);
	return alive;
}

static int try_address(struct listener *l, int family, const struct sockaddr *address, size_t len)
{
	int one = 1, err;

	l->fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (l->fd < 0)
		return errno;
	/* A port whose last connections are still being forgotten is free. */
	setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (!bind(l->fd, address, (socklen_t)len) && !listen(l->fd, BACKLOG))
		return 0;
	err = errno;
	close(l->fd);
	l->fd = -1;
	return err;
}

static const char *reason(int err)
{
	if (err == EADDRINUSE)
		return "it is in use; choose another one";
	return err ? strerror(err) : NULL;
}

static const char *open_path(struct listener *l)
{
	const struct sockaddr *address = (const struct sockaddr *)&l->path;
	int err = try_address(l, AF_UNIX, address, sizeof(l->path));

	if (err == EADDRINUSE && !is_alive(l) && !unlink(l->path.sun_path))
		err = try_address(l, AF_UNIX, address, sizeof(l->path));
	return reason(err);
}

const char *listener_open(struct listener *l)
{
	const struct addrinfo wanted = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE };
	struct addrinfo *found;
	int err;

	if (l->local)
		return open_path(l);
	err = getaddrinfo(l->host, l->port, &wanted, &found);
	if (err)
		return gai_strerror(err);
	for (const struct addrinfo *a = found; a; a = a->ai_next) {
		err = try_address(l, a->ai_family, a->ai_addr, a->ai_addrlen);
		if (!err)
			break;
	}
	freeaddrinfo(found);
	return reason(err);
}

void listener_close(struct listener *l)
{
	if (l->fd < 0)
		return;
	close(l->fd);
	l->fd = -1;
	if (l->local)
		unlink(l->path.sun_path);
}
