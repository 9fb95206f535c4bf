/* SPDX-License-Identifier: MIT */
/*
 * calls.c - what the pool's threads do for operations: system calls that io_uring lacks, and those that a ring would do
 * where there is none, or where this kernel's lacks them.
 */
#include "internal.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* ---- calls by name ---- */

/* The plain ones: their arguments are the system call's. */
static const long numbers[] = {
	[FRACTAL_CALL_GETDENTS] = SYS_getdents64,
	[FRACTAL_CALL_TRUNCATE] = SYS_truncate,
	[FRACTAL_CALL_FCHMOD] = SYS_fchmod,
	[FRACTAL_CALL_FCHMODAT] = SYS_fchmodat,
	[FRACTAL_CALL_FCHOWNAT] = SYS_fchownat,
	[FRACTAL_CALL_UTIMENSAT] = SYS_utimensat,
	[FRACTAL_CALL_READLINKAT] = SYS_readlinkat,
	[FRACTAL_CALL_MKNODAT] = SYS_mknodat,
	[FRACTAL_CALL_SYNCFS] = SYS_syncfs,
	[FRACTAL_CALL_COPY_FILE_RANGE] = SYS_copy_file_range,
	[FRACTAL_CALL_GETXATTR] = SYS_getxattr,
	[FRACTAL_CALL_FGETXATTR] = SYS_fgetxattr,
	[FRACTAL_CALL_SETXATTR] = SYS_setxattr,
	[FRACTAL_CALL_FSETXATTR] = SYS_fsetxattr,
	[FRACTAL_CALL_LISTXATTR] = SYS_listxattr,
	[FRACTAL_CALL_FLISTXATTR] = SYS_flistxattr,
	[FRACTAL_CALL_REMOVEXATTR] = SYS_removexattr,
	[FRACTAL_CALL_FREMOVEXATTR] = SYS_fremovexattr,
};

static int outcome(long rc)
{
	return rc < 0 ? -errno : (int)rc;
}

static void *pointer(int64_t arg)
{
	return (void *)(uintptr_t)arg;
}

/* An offset does not fit a result: it comes back where it was read. */
static int seek(const int64_t *arg)
{
	int64_t *offset = pointer(arg[1]);
	off_t found = lseek((int)arg[0], *offset, (int)arg[2]);

	if (found < 0)
		return -errno;
	*offset = found;
	return 0;
}

static int call_by_name(const struct job *job)
{
	const int64_t *arg = job->arg;

	switch (job->call) {
	case FRACTAL_CALL_LSEEK:
		return seek(arg);
	case FRACTAL_CALL_STATVFS:
		return outcome(statvfs(pointer(arg[0]), pointer(arg[1])));
	case FRACTAL_CALL_FSTATVFS:
		return outcome(fstatvfs((int)arg[0], pointer(arg[1])));
	default:
		return outcome(syscall(numbers[job->call], arg[0], arg[1], arg[2], arg[3], arg[4],
				       arg[5]));
	}
}

bool call_is_known(uint32_t call)
{
	return call == FRACTAL_CALL_LSEEK || call == FRACTAL_CALL_STATVFS ||
	       call == FRACTAL_CALL_FSTATVFS || (call < ARRAY_SIZE(numbers) && numbers[call]);
}

/* ---- what a ring would do ---- */

static int transfer(const struct io_uring_sqe *q, const struct iovec *v, int n)
{
	bool in = q->opcode == IORING_OP_READ || q->opcode == IORING_OP_READV;

	return outcome(in ? preadv2(q->fd, v, n, (off_t)q->off, q->rw_flags)
			  : pwritev2(q->fd, v, n, (off_t)q->off, q->rw_flags));
}

static int splice_between(const struct io_uring_sqe *q)
{
	loff_t from = (loff_t)q->splice_off_in, to = (loff_t)q->off;

	return outcome(splice(q->splice_fd_in, from < 0 ? NULL : &from, q->fd, to < 0 ? NULL : &to,
			      q->len, q->splice_flags));
}

static bool is_ready(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	return poll(&p, 1, 0) != 0;
}

/* Connecting does not hold a thread: the first pass begins it, and the second, once the socket is writable, ends it. */
static int connect_to(struct job *job)
{
	const struct io_uring_sqe *q = &job->sqe;
	int flags = fcntl(q->fd, F_GETFL), error = 0;
	socklen_t len = sizeof(error);

	if (flags < 0)
		return -errno;
	if (!job->begun) {
		job->begun = true;
		if (!(flags & O_NONBLOCK) && fcntl(q->fd, F_SETFL, flags | O_NONBLOCK))
			return -errno;
		error = connect(q->fd, pointer((int64_t)q->addr), (socklen_t)q->off) ? errno : 0;
		if (error == EINPROGRESS)
			return -EAGAIN;
	} else if (getsockopt(q->fd, SOL_SOCKET, SO_ERROR, &error, &len)) {
		return -errno;
	}
	if (fcntl(q->fd, F_SETFL, flags & ~O_NONBLOCK))
		return -errno;
	return -error;
}

static int call_on_socket(struct job *job)
{
	const struct io_uring_sqe *q = &job->sqe;
	void *addr = pointer((int64_t)q->addr);
	int flags = (int)q->msg_flags | MSG_DONTWAIT;

	switch (q->opcode) {
	case IORING_OP_SOCKET:
		return outcome(socket(q->fd, (int)q->off, (int)q->len));
	case IORING_OP_CONNECT:
		return connect_to(job);
	case IORING_OP_ACCEPT:
		if (!is_ready(q->fd, POLLIN))
			return -EAGAIN;
		return outcome(
			accept4(q->fd, addr, pointer((int64_t)q->addr2), (int)q->accept_flags));
	case IORING_OP_SEND:
		return outcome(send(q->fd, addr, q->len, flags));
	case IORING_OP_RECV:
		return outcome(recv(q->fd, addr, q->len, flags));
	case IORING_OP_SHUTDOWN:
		return outcome(shutdown(q->fd, (int)q->len));
	default:
		return -EINVAL;
	}
}

static int call_on_name(const struct io_uring_sqe *q)
{
	const char *name = pointer((int64_t)q->addr);
	void *second = pointer((int64_t)q->addr2);

	switch (q->opcode) {
	case IORING_OP_OPENAT:
		return outcome(openat(q->fd, name, (int)q->open_flags, q->len));
	case IORING_OP_OPENAT2:
		return outcome(syscall(SYS_openat2, q->fd, name, second, (size_t)q->len));
	case IORING_OP_STATX:
		return outcome(statx(q->fd, name, (int)q->statx_flags, q->len, second));
	case IORING_OP_UNLINKAT:
		return outcome(unlinkat(q->fd, name, (int)q->unlink_flags));
	case IORING_OP_RENAMEAT:
		return outcome(
			syscall(SYS_renameat2, q->fd, name, (int)q->len, second, q->rename_flags));
	case IORING_OP_MKDIRAT:
		return outcome(mkdirat(q->fd, name, q->len));
	case IORING_OP_SYMLINKAT:
		return outcome(symlinkat(name, q->fd, second));
	case IORING_OP_LINKAT:
		return outcome(linkat(q->fd, name, (int)q->len, second, (int)q->hardlink_flags));
	default:
		return -EINVAL;
	}
}

static int call_on_file(const struct io_uring_sqe *q)
{
	struct iovec one = { pointer((int64_t)q->addr), q->len };

	switch (q->opcode) {
	case IORING_OP_READ:
	case IORING_OP_WRITE:
		return transfer(q, &one, 1);
	case IORING_OP_READV:
	case IORING_OP_WRITEV:
		return transfer(q, pointer((int64_t)q->addr), (int)q->len);
	case IORING_OP_CLOSE:
		return outcome(close(q->fd));
	case IORING_OP_FSYNC:
		return outcome(q->fsync_flags & IORING_FSYNC_DATASYNC ? fdatasync(q->fd)
								      : fsync(q->fd));
	case IORING_OP_FALLOCATE:
		return outcome(fallocate(q->fd, (int)q->len, (off_t)q->off, (off_t)q->addr));
	case IORING_OP_SYNC_FILE_RANGE:
		return outcome(sync_file_range(q->fd, (off_t)q->off, q->len, q->sync_range_flags));
	case RING_OP_FTRUNCATE:
		return outcome(ftruncate(q->fd, (off_t)q->off));
	case IORING_OP_SPLICE:
		return splice_between(q);
	default:
		return -EINVAL;
	}
}

/* Runs it, on a thread of the pool. The result, or -EAGAIN: wait for job->events once more, where it has any. */
int call_run(struct job *job)
{
	if (job->call != FRACTAL_CALL_OF_RING)
		return call_by_name(job);
	switch (job->sqe.opcode) {
	case IORING_OP_SOCKET:
	case IORING_OP_CONNECT:
	case IORING_OP_ACCEPT:
	case IORING_OP_SEND:
	case IORING_OP_RECV:
	case IORING_OP_SHUTDOWN:
		return call_on_socket(job);
	case IORING_OP_OPENAT:
	case IORING_OP_OPENAT2:
	case IORING_OP_STATX:
	case IORING_OP_UNLINKAT:
	case IORING_OP_RENAMEAT:
	case IORING_OP_MKDIRAT:
	case IORING_OP_SYMLINKAT:
	case IORING_OP_LINKAT:
		return call_on_name(&job->sqe);
	default:
		return call_on_file(&job->sqe);
	}
}

/* What the descriptor must be ready for before it runs, so that it holds no thread: poll(2) events, or 0. */
short call_events(const struct job *job)
{
	if (job->call != FRACTAL_CALL_OF_RING)
		return 0;
	switch (job->sqe.opcode) {
	case IORING_OP_READ:
	case IORING_OP_READV:
	case IORING_OP_RECV:
	case IORING_OP_ACCEPT:
		return POLLIN;
	case IORING_OP_WRITE:
	case IORING_OP_WRITEV:
	case IORING_OP_SEND:
	case IORING_OP_CONNECT:
		return POLLOUT;
	case IORING_OP_POLL_ADD:
		return (short)job->sqe.poll32_events;
	default:
		return 0;
	}
}

/* ---- names of hosts ---- */

static int lookup_error(int rc)
{
	switch (rc) {
	case EAI_AGAIN:
		return -EAGAIN;
	case EAI_MEMORY:
		return -ENOMEM;
	case EAI_SYSTEM:
		return -errno;
	default:
		return -ENOENT;
	}
}

static void copy_address(struct fractal_address *to, const struct sockaddr *from)
{
	memset(to, 0, sizeof(*to));
	to->family = from->sa_family;
	if (from->sa_family == AF_INET) {
		memcpy(to->addr, &((const struct sockaddr_in *)from)->sin_addr, 4);
	} else {
		const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)from;

		memcpy(to->addr, &v6->sin6_addr, sizeof(to->addr));
		to->scope = v6->sin6_scope_id;
	}
}

/* Resolves lookup->host. The number of addresses, or -ENOENT (there is none), -EAGAIN (no answer). */
int call_lookup(struct lookup *lookup)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *list, *a;
	int rc = getaddrinfo(lookup->host, NULL, &hints, &list), n = 0;

	if (rc)
		return lookup_error(rc);
	for (a = list; a && n < LOOKUP_MAX; a = a->ai_next)
		if (a->ai_family == AF_INET || a->ai_family == AF_INET6)
			copy_address(&lookup->found[n++], a->ai_addr);
	freeaddrinfo(list);
	return n ? n : -ENOENT;
}
