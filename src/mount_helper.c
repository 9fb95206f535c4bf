/* SPDX-License-Identifier: MIT */
/* mount_helper.c - runs fusermount3 and takes the descriptor that it sends over a socket. */
#include "mount_helper.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROGRAM "fusermount3"

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* Default signals, none blocked, and a process group that the terminal's Ctrl-C does not reach. */
static int init_attributes(posix_spawnattr_t *attr)
{
	sigset_t all, none;
	int err = posix_spawnattr_init(attr);

	if (err)
		return -err;
	sigfillset(&all);
	sigemptyset(&none);
	posix_spawnattr_setsigdefault(attr, &all);
	posix_spawnattr_setsigmask(attr, &none);
	posix_spawnattr_setpgroup(attr, 0);
	posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK |
					       POSIX_SPAWN_SETPGROUP);
	return 0;
}

/* Starts the program with its standard error on @err_fd and, where it is not -1, @comm_fd as its socket. */
static int start(char *const argv[], int err_fd, int comm_fd, pid_t *pid)
{
	char comm[32];
	char *env[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", NULL, NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	int err = init_attributes(&attr);

	if (err)
		return err;
	err = -posix_spawn_file_actions_init(&actions);
	if (err)
		goto free_attributes;
	if (comm_fd >= 0) {
		snprintf(comm, sizeof(comm), "_FUSE_COMMFD=%d", comm_fd);
		env[2] = comm;
		/* Duplicating a descriptor onto itself is how spawn clears its close-on-exec flag. */
		err = -posix_spawn_file_actions_adddup2(&actions, comm_fd, comm_fd);
	}
	if (!err)
		err = -posix_spawn_file_actions_adddup2(&actions, err_fd, STDERR_FILENO);
	if (!err)
		err = -posix_spawnp(pid, PROGRAM, &actions, &attr, argv, env);
	posix_spawn_file_actions_destroy(&actions);
free_attributes:
	posix_spawnattr_destroy(&attr);
	return err;
}

/* Waits for the program's end. Its exit status, or -errno (-ECHILD where SIGCHLD is ignored). */
static int wait_for(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : -EINTR;
}

/* Reads up to the end of @fd and keeps the first line, without the program's name. */
static void read_said(int fd, struct mount_helper_said *said)
{
	char text[1024];
	size_t have = 0;
	const char *line = text;
	ssize_t n;

	while (have < sizeof(text) - 1 &&
	       (n = read(fd, text + have, sizeof(text) - 1 - have)) != 0) {
		if (n > 0)
			have += (size_t)n;
		else if (errno != EINTR)
			break;
	}
	text[have] = '\0';
	text[strcspn(text, "\n")] = '\0';
	if (strncmp(line, PROGRAM ": ", strlen(PROGRAM ": ")) == 0)
		line += strlen(PROGRAM ": ");
	snprintf(said->text, sizeof(said->text), "%.*s", (int)sizeof(said->text) - 1, line);
}

/* Receives one descriptor. -EPERM at the end of the stream: the program gave up. */
static int receive_fd(int socket_fd, int *fd)
{
	char byte;
	union {
		struct cmsghdr header;
		char space[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { &byte, 1 };
	struct msghdr message = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *header;
	ssize_t n;

	do {
		n = recvmsg(socket_fd, &message, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	header = CMSG_FIRSTHDR(&message);
	if (n == 0 || !header || header->cmsg_type != SCM_RIGHTS)
		return -EPERM;
	memcpy(fd, CMSG_DATA(header), sizeof(*fd));
	return 0;
}

int mount_helper_attach(const char *options, const char *mountpoint, int *fd,
			struct mount_helper_said *said)
{
	char *argv[] = { PROGRAM, "-o", (char *)options, "--", (char *)mountpoint, NULL };
	int pair[2] = { -1, -1 }, errors[2] = { -1, -1 };
	pid_t pid = -1;
	int err = 0;

	*fd = -1;
	said->text[0] = '\0';
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) || pipe2(errors, O_CLOEXEC))
		err = -errno;
	else
		err = start(argv, errors[1], pair[1], &pid);
	close_fd(&pair[1]);
	close_fd(&errors[1]);
	if (!err) {
		err = receive_fd(pair[0], fd);
		if (err)
			read_said(errors[0], said);
		wait_for(pid);
	}
	close_fd(&pair[0]);
	close_fd(&errors[0]);
	return err;
}

int mount_helper_detach(const char *mountpoint, bool lazy, struct mount_helper_said *said)
{
	char *polite[] = { PROGRAM, "-u", "--", (char *)mountpoint, NULL };
	char *detach[] = { PROGRAM, "-u", "-z", "--", (char *)mountpoint, NULL };
	int errors[2];
	pid_t pid;
	int err;

	said->text[0] = '\0';
	if (pipe2(errors, O_CLOEXEC))
		return -errno;
	err = start(lazy ? detach : polite, errors[1], -1, &pid);
	close_fd(&errors[1]);
	if (!err) {
		read_said(errors[0], said);
		err = wait_for(pid);
		if (err > 0)
			err = strstr(said->text, strerrordesc_np(EBUSY)) ? -EBUSY : -EPERM;
	}
	close_fd(&errors[0]);
	return err;
}
