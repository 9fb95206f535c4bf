/* SPDX-License-Identifier: MIT */
/*
 * own.c - a handler that asks its own mount by a blocking call waits for itself. This tells so, and ends the wait.
 *
 * A request names the thread that asks. Over /dev/fuse any thread may read it: where it comes from a worker's thread, the
 * answer is EDEADLK. What fractal_io_* do is done by threads of the kernel, which wait for nobody here; and a release is
 * waited for by nobody. Over the ring such a request lies in the queue of the very CPU whose worker waits, where nobody can
 * take it: the watchdog then looks what the worker's system call is about, and cuts the connection.
 */
#define _GNU_SOURCE
#include "internal.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static const struct fractal_worker *worker_of(const struct fractal_session *s, uint32_t tid)
{
	for (uint32_t i = 0; tid && i < s->nworkers; i++)
		if (atomic_load_explicit(&s->workers[i].tid, memory_order_relaxed) == (pid_t)tid)
			return &s->workers[i];
	return NULL;
}

/* Said once for each operation whose handler does it: it will do it again. */
static void tell(struct fractal_session *s, const struct fractal_worker *w,
		 const struct entry *asked)
{
	const struct entry *e = atomic_load_explicit(&w->current, memory_order_acquire);
	bool handler = e && atomic_load_explicit(&e->state, memory_order_acquire) == ENTRY_HELD;
	uint64_t bit = handler ? 1ull << e->req.opcode : 1;

	if (atomic_fetch_or(&s->own_told, bit) & bit)
		return;
	session_log(
		s, FRACTAL_LOG_ERROR,
		"%s%s asks its own mount %s (%s of inode %llu%s%s) and would wait for itself: it got EDEADLK; "
		"use fractal.io, or what the script itself knows of its files",
		handler ? "handler " : "a task", handler ? fractal_op_name(e->req.opcode) : "",
		s->mnt.mountpoint, fractal_op_name(asked->req.opcode),
		(unsigned long long)asked->req.nodeid, asked->req.name ? ", name " : "",
		asked->req.name ? asked->req.name : "");
}

bool own_refuse(struct fractal_session *s, const struct entry *e)
{
	const struct fractal_worker *w;

	if (e->req.opcode == FRACTAL_OP_RELEASE || e->req.opcode == FRACTAL_OP_RELEASEDIR)
		return false;
	w = worker_of(s, e->req.pid);
	if (w)
		tell(s, w, e);
	return w;
}

/* ---- what a thread's system call is about ---- */

enum about {
	ABOUT_NOTHING,
	ABOUT_FD,   /* the first argument is a descriptor */
	ABOUT_PATH, /* … a path */
	ABOUT_AT    /* … a directory's descriptor, the second a path */
};

/* The calls that filesystems are asked by most; others are not looked into. */
static enum about about_of(long number)
{
	switch (number) {
	case SYS_read:
	case SYS_write:
	case SYS_pread64:
	case SYS_pwrite64:
	case SYS_readv:
	case SYS_writev:
	case SYS_fstat:
	case SYS_close:
	case SYS_lseek:
	case SYS_fsync:
	case SYS_fdatasync:
	case SYS_ftruncate:
	case SYS_getdents64:
		return ABOUT_FD;
#ifdef SYS_open
	case SYS_open:
	case SYS_stat:
	case SYS_lstat:
	case SYS_access:
	case SYS_creat:
	case SYS_mkdir:
	case SYS_rmdir:
	case SYS_unlink:
	case SYS_rename:
	case SYS_readlink:
	case SYS_chmod:
	case SYS_chown:
#endif
	case SYS_truncate:
	case SYS_statfs:
	case SYS_chdir:
	case SYS_getxattr:
	case SYS_lgetxattr:
	case SYS_setxattr:
	case SYS_listxattr:
		return ABOUT_PATH;
	case SYS_openat:
	case SYS_newfstatat:
	case SYS_statx:
	case SYS_mkdirat:
	case SYS_unlinkat:
	case SYS_renameat2:
	case SYS_readlinkat:
	case SYS_faccessat:
	case SYS_utimensat:
		return ABOUT_AT;
	default:
		return ABOUT_NOTHING;
	}
}

/* The path a descriptor was opened by; AT_FDCWD: the working directory. The filesystem is not asked. */
static bool path_of_fd(int fd, char path[PATH_MAX])
{
	char link[64];
	ssize_t n;

	snprintf(link, sizeof(link), fd == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", fd);
	n = readlink(link, path, PATH_MAX - 1);
	if (n > 0)
		path[n] = 0;
	return n > 0;
}

/* A string of this process, which may end or change while it is read. */
static bool copy_string(uint64_t address, char text[PATH_MAX])
{
	struct iovec to = { text, PATH_MAX - 1 };
	struct iovec from = { (void *)(uintptr_t)address, PATH_MAX - 1 };
	ssize_t n = process_vm_readv(getpid(), &to, 1, &from, 1, 0);

	if (n <= 0)
		return false;
	text[n] = 0;
	return text[0];
}

/* "path" as seen from the directory @fd. */
static bool path_at(int fd, uint64_t address, char path[PATH_MAX])
{
	char name[PATH_MAX];
	size_t len;

	if (!copy_string(address, name))
		return false;
	if (name[0] == '/')
		return memccpy(path, name, 0, PATH_MAX);
	if (!path_of_fd(fd, path))
		return false;
	len = strlen(path);
	return snprintf(path + len, PATH_MAX - len, "/%s", name) < (int)(PATH_MAX - len);
}

/* The path that the system call of a thread of this process is about, if it is in one that tells. */
static bool path_of_call(pid_t tid, char path[PATH_MAX])
{
	char name[64];
	uint64_t first, second;
	long number;
	FILE *file;
	int n;

	snprintf(name, sizeof(name), "/proc/self/task/%d/syscall", tid);
	file = fopen(name, "re");
	if (!file)
		return false;
	n = fscanf(file, "%ld %" SCNx64 " %" SCNx64, &number, &first, &second);
	fclose(file);
	if (n != 3)
		return false;
	switch (about_of(number)) {
	case ABOUT_FD:
		return path_of_fd((int)first, path);
	case ABOUT_PATH:
		return path_at(AT_FDCWD, first, path);
	case ABOUT_AT:
		return path_at((int)first, second, path);
	default:
		return false;
	}
}

static bool lies_in(const char *path, const char *directory)
{
	size_t len = strlen(directory);

	return !strncmp(path, directory, len) && (path[len] == '/' || !path[len]) &&
	       !strstr(path, "/..");
}

/* Is the thread where the kernel waits for the answer of a FUSE filesystem, this one or another? */
static bool waits_for_fuse(pid_t tid)
{
	char name[64], place[64] = "";
	FILE *file;

	snprintf(name, sizeof(name), "/proc/self/task/%d/wchan", tid);
	file = fopen(name, "re");
	if (!file)
		return false;
	if (!fgets(place, sizeof(place), file))
		place[0] = 0;
	fclose(file);
	return !strcmp(place, "request_wait_answer");
}

bool own_may_wait(const struct fractal_session *s)
{
	char path[PATH_MAX];

	for (uint32_t i = 0; i < s->nworkers; i++)
		if (waits_for_fuse(atomic_load(&s->workers[i].tid)) ||
		    own_waits(&s->workers[i], path))
			return true;
	return false;
}

bool own_waits(const struct fractal_worker *w, char path[PATH_MAX])
{
	pid_t tid = atomic_load_explicit(&w->tid, memory_order_relaxed);

	return w->s->mnt.mountpoint && tid && path_of_call(tid, path) &&
	       lies_in(path, w->s->mnt.mountpoint);
}
