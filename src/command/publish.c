/* SPDX-License-Identifier: MIT */
/*
 * publish.c - see publish.h.
 *
 * A socket is bound and listens under a name of its process before it gets its own name by rename(2). So whoever finds one
 * that refuses may take it off, and a mount whose device number was another one's just before gets its name in any case.
 */
#include "publish.h"
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 16
#define SUFFIX	".sock"

static struct {
	int fd;
	ino_t ino;
	struct sockaddr_un name;
} published = { .fd = -1 };

/* ---- the directory ---- */

static bool is_own_directory(const char *path, mode_t forbidden)
{
	struct stat st;

	return !lstat(path, &st) && S_ISDIR(st.st_mode) && st.st_uid == geteuid() &&
	       !(st.st_mode & forbidden);
}

/* Makes the directory where it is missing. 0 or -errno. */
static int enter_directory(char *path, size_t size)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");

	/* After su(1) it may be another user's. */
	if (runtime && *runtime == '/' && is_own_directory(runtime, 0))
		snprintf(path, size, "%s/fractal-lua", runtime);
	else
		snprintf(path, size, "/tmp/fractal-lua-%u", (unsigned)geteuid());
	if (mkdir(path, 0700) && errno != EEXIST)
		return -errno;
	return is_own_directory(path, 077) ? 0 : -EPERM;
}

static int set_name(struct sockaddr_un *name, const char *dir, const char *file)
{
	int n;

	name->sun_family = AF_UNIX;
	n = snprintf(name->sun_path, sizeof(name->sun_path), "%s/%s", dir, file);
	return n < (int)sizeof(name->sun_path) ? 0 : -ENAMETOOLONG;
}

/* Whether nobody listens at a socket any more. */
static bool is_dead(const struct sockaddr_un *name)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool dead = fd >= 0 && connect(fd, (const struct sockaddr *)name, sizeof(*name)) &&
		    errno == ECONNREFUSED;

	if (fd >= 0)
		close(fd);
	return dead;
}

static void remove_dead(const char *dir)
{
	DIR *entries = opendir(dir);
	const struct dirent *e;
	struct sockaddr_un name;

	while (entries && (e = readdir(entries))) {
		size_t len = strlen(e->d_name);

		if (len > strlen(SUFFIX) && strcmp(e->d_name + len - strlen(SUFFIX), SUFFIX) == 0 &&
		    !set_name(&name, dir, e->d_name) && is_dead(&name))
			unlink(name.sun_path);
	}
	if (entries)
		closedir(entries);
}

/* ---- the socket ---- */

static int listen_at(const struct sockaddr_un *name)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), err;

	if (fd < 0)
		return -errno;
	unlink(name->sun_path);
	if (!bind(fd, (const struct sockaddr *)name, sizeof(*name)) && !listen(fd, BACKLOG))
		return fd;
	err = -errno;
	close(fd);
	return err;
}

int publish_open(uint32_t device)
{
	char dir[sizeof(published.name.sun_path)], file[64];
	struct sockaddr_un first;
	struct stat st;
	int rc = enter_directory(dir, sizeof(dir));

	if (rc)
		return rc;
	remove_dead(dir);
	snprintf(file, sizeof(file), "%u:%u" SUFFIX, device >> 20, device & 0xfffff);
	rc = set_name(&published.name, dir, file);
	snprintf(file, sizeof(file), "%d.new", (int)getpid());
	if (!rc)
		rc = set_name(&first, dir, file);
	if (rc)
		return rc;
	rc = listen_at(&first);
	if (rc < 0)
		return rc;
	if (stat(first.sun_path, &st) || rename(first.sun_path, published.name.sun_path)) {
		int err = -errno;

		close(rc);
		unlink(first.sun_path);
		return err;
	}
	published.ino = st.st_ino;
	published.fd = rc;
	return rc;
}

/* The name may be another mount's by now, which got the same device number. */
void publish_close(void)
{
	struct stat st;

	if (published.fd < 0)
		return;
	close(published.fd);
	published.fd = -1;
	if (!lstat(published.name.sun_path, &st) && st.st_ino == published.ino)
		unlink(published.name.sun_path);
}
