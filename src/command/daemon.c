/* SPDX-License-Identifier: MIT */
/* daemon.c - the background. */
#include "daemon.h"
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* The parent: waits for a byte (ready) or the end of the pipe (the child has ended), and exits. */
__attribute__((noreturn)) static void await_child(pid_t pid, int fd)
{
	int status;
	ssize_t n;
	char byte;

	do {
		n = read(fd, &byte, 1);
	} while (n < 0 && errno == EINTR);
	if (n == 1)
		_exit(0);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFSIGNALED(status))
		dprintf(STDERR_FILENO,
			"fractal-lua: error: killed by signal %d (%s) before the mount was ready\n",
			WTERMSIG(status), strsignal(WTERMSIG(status)));
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

int daemon_start(struct daemon *daemon)
{
	int fds[2], err;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	pid = fork();
	if (pid < 0) {
		err = -errno;
		close(fds[0]);
		close(fds[1]);
		return err;
	}
	if (pid > 0) {
		close(fds[1]);
		await_child(pid, fds[0]);
	}
	close(fds[0]);
	daemon->ready_fd = fds[1];
	return 0;
}

void daemon_ready(struct daemon *daemon)
{
	const char byte = 1;
	int null;

	if (daemon->ready_fd < 0)
		return;
	setsid();
	if (chdir("/"))
		perror("fractal-lua: warning: /");
	fflush(NULL);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int fd = STDIN_FILENO; null >= 0 && fd <= STDERR_FILENO; fd++)
		dup2(null, fd);
	close(null);
	while (write(daemon->ready_fd, &byte, 1) < 0 && errno == EINTR)
		;
	close(daemon->ready_fd);
	daemon->ready_fd = -1;
}

void daemon_notify(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t len = path ? strlen(path) : 0;
	int fd;

	if (len == 0 || len >= sizeof(address.sun_path))
		return;
	memcpy(address.sun_path, path, len);
	if (path[0] == '@')
		address.sun_path[0] = '\0'; /* an abstract address */
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address,
	       (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
	close(fd);
}
