/* SPDX-License-Identifier: MIT */
/* sources.c - see sources.h. */
#include "sources.h"
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#define EVENTS (IN_CLOSE_WRITE | IN_MOVED_TO | IN_ONLYDIR)

struct source {
	struct source *next;
	char *name; /* in its directory: part of path */
	int watch;  /* of the directory; -1: none */
	char path[];
};

static struct {
	pthread_mutex_t lock;
	struct source *list;
	int news_fd, events_fd;
} sources = { .lock = PTHREAD_MUTEX_INITIALIZER, .news_fd = -1, .events_fd = -1 };

int sources_open(void)
{
	sources.news_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	sources.events_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	return sources.news_fd < 0 || sources.events_fd < 0 ? -errno : 0;
}

int sources_news_fd(void)
{
	return sources.news_fd;
}

int sources_events_fd(void)
{
	return sources.events_fd;
}

static struct source *new_source(const char *path)
{
	size_t size = strlen(path) + 1;
	struct source *s = malloc(sizeof(*s) + size);

	if (!s)
		return NULL;
	memcpy(s->path, path, size);
	s->name = strrchr(s->path, '/') + 1;
	s->watch = -1;
	return s;
}

void fractal_source_note(const char *path)
{
	struct source *s;
	uint64_t one = 1;

	if (sources.events_fd < 0 || !strchr(path, '/'))
		return;
	pthread_mutex_lock(&sources.lock);
	for (s = sources.list; s && strcmp(s->path, path) != 0; s = s->next)
		;
	if (!s && (s = new_source(path))) {
		s->next = sources.list;
		sources.list = s;
		if (write(sources.news_fd, &one, sizeof(one)) < 0)
			s->watch = -1; /* it is found at the next reload */
	}
	pthread_mutex_unlock(&sources.lock);
}

/* Watches the directory of a file. The kernel gives all files of a directory one number. */
static int watch_directory(struct source *s)
{
	char *dir = strndup(s->path, s->name - s->path > 1 ? (size_t)(s->name - s->path - 1) : 1);
	int rc = 0;

	if (!dir)
		return -ENOMEM;
	s->watch = inotify_add_watch(sources.events_fd, dir, EVENTS);
	if (s->watch < 0)
		rc = -errno;
	free(dir);
	return rc;
}

int sources_watch(void)
{
	uint64_t count;
	int rc = 0;

	if (sources.events_fd < 0)
		return 0;
	while (read(sources.news_fd, &count, sizeof(count)) > 0)
		;
	/* The list only grows, at its head: what is in it stays. */
	pthread_mutex_lock(&sources.lock);
	struct source *first = sources.list;
	pthread_mutex_unlock(&sources.lock);

	for (struct source *s = first; s; s = s->next) {
		int err = s->watch < 0 ? watch_directory(s) : 0;

		rc = err ? err : rc;
	}
	return rc;
}

/* Is this event about one of the files? A directory that is gone is not watched any more. */
static bool concerns(const struct inotify_event *event)
{
	bool found = event->mask & IN_Q_OVERFLOW;

	pthread_mutex_lock(&sources.lock);
	for (struct source *s = sources.list; s; s = s->next) {
		if (s->watch != event->wd)
			continue;
		if (event->mask & IN_IGNORED)
			s->watch = -1;
		else
			found |= event->len > 0 && !strcmp(event->name, s->name);
	}
	pthread_mutex_unlock(&sources.lock);
	return found;
}

bool sources_changed(void)
{
	_Alignas(struct inotify_event) char buffer[4096];
	bool changed = false;
	ssize_t n;

	while ((n = read(sources.events_fd, buffer, sizeof(buffer))) > 0) {
		const struct inotify_event *event;

		for (char *p = buffer; p < buffer + n; p += sizeof(*event) + event->len) {
			event = (const struct inotify_event *)p;
			changed |= concerns(event);
		}
	}
	return changed;
}

void sources_close(void)
{
	if (sources.events_fd < 0)
		return;
	close(sources.events_fd);
	close(sources.news_fd);
	sources.events_fd = sources.news_fd = -1;
	for (struct source *s = sources.list, *next; s; s = next) {
		next = s->next;
		free(s);
	}
	sources.list = NULL;
}
