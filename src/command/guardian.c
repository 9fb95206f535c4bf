/* SPDX-License-Identifier: MIT */
/* guardian.c - the process that outlives a killed server just long enough to unmount. */
#include "guardian.h"
#include "mount.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* What goes through the pipe: which mount to watch, or that there is none to watch any more. */
struct message {
	uint32_t dismissed;
	uint32_t dev;
	uint64_t id;
	char mountpoint[PATH_MAX];
};

/* Reads a whole message. False at the end of the pipe: the server is gone. */
static bool receive(int fd, struct message *message)
{
	size_t have = 0;

	while (have < sizeof(*message)) {
		ssize_t n = read(fd, (char *)message + have, sizeof(*message) - have);

		if (n > 0)
			have += (size_t)n;
		else if (n == 0 || errno != EINTR)
			return false;
	}
	return true;
}

static int send_message(int fd, const struct message *message)
{
	size_t sent = 0;

	while (sent < sizeof(*message)) {
		ssize_t n = write(fd, (const char *)message + sent, sizeof(*message) - sent);

		if (n >= 0)
			sent += (size_t)n;
		else if (errno != EINTR)
			return -errno;
	}
	return 0;
}

/*
 * Lets go of everything that came with the fork: terminal, directory, descriptors (callers wait for the end of the
 * command's output; a connection lives while someone holds its descriptor). Leaves the pipe on descriptor 3.
 */
static void let_go(int pipe_fd)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	setsid();
	if (chdir("/"))
		_exit(1);
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGUSR1, SIG_IGN);
	prctl(PR_SET_NAME, "fractal-guard");
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		dup2(null, fd);
	dup2(pipe_fd, STDERR_FILENO + 1);
	syscall(SYS_close_range, STDERR_FILENO + 2, ~0U, 0);
}

__attribute__((noreturn)) static void guard(int pipe_fd)
{
	struct message message, watched = { .dismissed = 1 };
	struct mount m = { .fd = -1 };

	let_go(pipe_fd);
	while (receive(STDERR_FILENO + 1, &message))
		watched = message;
	if (!watched.dismissed) {
		m.mountpoint = watched.mountpoint;
		m.dev = watched.dev;
		m.id = watched.id;
		mount_detach(&m, true);
	}
	_exit(0);
}

int guardian_start(struct guardian *guardian)
{
	int fds[2], err;

	*guardian = (struct guardian){ .fd = -1 };
	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	guardian->pid = fork();
	if (guardian->pid == 0)
		guard(fds[0]);
	err = guardian->pid < 0 ? -errno : 0;
	close(fds[0]);
	if (err) {
		close(fds[1]);
		guardian->pid = 0;
		return err;
	}
	guardian->fd = fds[1];
	return 0;
}

int guardian_watch(struct guardian *guardian, const char *mountpoint)
{
	struct message message = { 0 };
	struct mount m = { .mountpoint = message.mountpoint };
	int err;

	if (!guardian->pid)
		return 0;
	if (strlen(mountpoint) >= sizeof(message.mountpoint))
		return -ENAMETOOLONG;
	memcpy(message.mountpoint, mountpoint, strlen(mountpoint) + 1);
	err = mount_identify(&m);
	if (err)
		return err;
	message.dev = m.dev;
	message.id = m.id;
	return send_message(guardian->fd, &message);
}

void guardian_dismiss(struct guardian *guardian)
{
	const struct message message = { .dismissed = 1 };

	if (!guardian->pid)
		return;
	send_message(guardian->fd, &message);
	close(guardian->fd);
	while (waitpid(guardian->pid, NULL, 0) < 0 && errno == EINTR)
		;
	*guardian = (struct guardian){ .fd = -1 };
}
