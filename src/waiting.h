/* SPDX-License-Identifier: MIT */
/*
 * waiting.h - part of fractal.h: operations that a handler or task waits for, and messages to workers.
 */
#ifndef FRACTAL_WAITING_H
#define FRACTAL_WAITING_H

/* ---- waiting: operations on the worker's ring, or on threads -------------------------------------- */

/* System calls that io_uring lacks. Their arguments are the man page's, if nothing else is said. */
enum fractal_call {
	FRACTAL_CALL_GETDENTS, /* getdents64(2) */
	FRACTAL_CALL_TRUNCATE,
	FRACTAL_CALL_FCHMOD,
	FRACTAL_CALL_FCHMODAT,
	FRACTAL_CALL_FCHOWNAT,
	FRACTAL_CALL_UTIMENSAT,
	FRACTAL_CALL_READLINKAT,
	FRACTAL_CALL_MKNODAT,
	FRACTAL_CALL_SYNCFS,
	FRACTAL_CALL_COPY_FILE_RANGE,
	FRACTAL_CALL_GETXATTR,
	FRACTAL_CALL_FGETXATTR,
	FRACTAL_CALL_SETXATTR,
	FRACTAL_CALL_FSETXATTR,
	FRACTAL_CALL_LISTXATTR,
	FRACTAL_CALL_FLISTXATTR,
	FRACTAL_CALL_REMOVEXATTR,
	FRACTAL_CALL_FREMOVEXATTR,
	FRACTAL_CALL_LSEEK,   /* fd, int64_t *offset, whence: the offset found is left in *offset */
	FRACTAL_CALL_STATVFS, /* path, struct statvfs * */
	FRACTAL_CALL_FSTATVFS, /* fd, struct statvfs * */
	FRACTAL_CALL_COUNT,
};

enum {
	FRACTAL_ADDRESSES = 16
};

/* One address of a host. */
struct fractal_address {
	uint16_t family;  /* AF_INET, AF_INET6 */
	uint8_t addr[16]; /* in network order; of IPv4 the first 4 bytes */
	uint32_t scope;	  /* of IPv6 link-local addresses: the interface */
};

/*
 * An operation that a handler or task waits for. The fields are the owner's to read; all calls but fractal_io_complete()
 * and fractal_io_cancel() belong to the worker's thread.
 */
struct fractal_io {
	int32_t result; /* once taken: what io_uring gave, or what completed it; -errno on failure */
	int32_t tag;	/* the owner's */
	void *task;	/* the owner's: what goes on when it is done */
	struct fractal_request
		*req; /* the request on whose behalf it was made, or NULL; its interrupt cancels */
};

/** A new operation of the request in hand. NULL: out of memory. */
FRACTAL_API struct fractal_io *fractal_io_new(struct fractal_worker *worker);
/**
 * Queues it as io_uring request @opcode (IORING_OP_X) with the fields of io_uring_enter(2)'s submission entry; @flags goes into
 * rw_flags. @timeout: seconds after which it ends with -ETIMEDOUT, negative for none. Buffers must live until it is taken.
 * Where the worker has no ring, or its kernel's lacks the operation, it runs as fractal_io_call() does. -EAGAIN: too many do.
 */
FRACTAL_API int fractal_io_start(struct fractal_io *io, uint8_t opcode, int fd, const void *addr,
				 uint32_t len, uint64_t off, uint32_t flags, double timeout);
/**
 * Reads at once what lies in the page cache, preadv2(2) with RWF_NOWAIT: @len; or -EAGAIN where that is not all of it, or the file
 * does not tell, and the ring has to read. @buffered: it is known not to be open with O_DIRECT, where such a read would wait for
 * the device.
 */
FRACTAL_API int fractal_io_read_cached(int fd, void *buffer, uint32_t len, uint64_t offset,
				       bool buffered);
/** Queues a splice(2); an offset of -1 means the file's own. */
FRACTAL_API int fractal_io_splice(struct fractal_io *io, int from, int64_t from_off, int to,
				  int64_t to_off, uint32_t len, uint32_t flags, double timeout);
/**
 * Queues system call @call for one of a few threads of the session; @timeout ends it while it waits for one, not when it runs.
 * -EAGAIN: too many wait.
 */
FRACTAL_API int fractal_io_call(struct fractal_io *io, enum fractal_call call, const int64_t arg[6],
				double timeout);
/**
 * Looks the addresses of a host up on such a thread, into @out[FRACTAL_ADDRESSES], as getaddrinfo(3) does. The result is how many
 * there are, -ENOENT for none, -EAGAIN where no name server answers. A time-out or cancel does not wait for the answer.
 */
FRACTAL_API int fractal_io_resolve(struct fractal_io *io, const char *host,
				   struct fractal_address *out, double timeout);
/** Queues a sleep; its result is 0. */
FRACTAL_API int fractal_io_sleep(struct fractal_io *io, double seconds);
/** The owner waits from now on. Ends at once (-EINTR, -ECANCELED) for an interrupted request and when the mount has ended. */
FRACTAL_API void fractal_io_wait(struct fractal_io *io);
/** Ends the wait for an operation that was not started. Any thread. True when this call did it, false when it had ended. */
FRACTAL_API bool fractal_io_complete(struct fractal_io *io, int result);
/**
 * Cancels it; it is still to be taken, with -@error if it had not ended by then. A close is never cancelled. Any thread, as long
 * as the operation cannot be freed meanwhile.
 */
FRACTAL_API void fractal_io_cancel(struct fractal_io *io, int error);
/** The next operation that is done, or NULL. */
FRACTAL_API struct fractal_io *fractal_io_take(struct fractal_worker *worker);
FRACTAL_API void fractal_io_free(struct fractal_io *io);
/** For hooks that wait before the mount serves: runs the ring, or waits a moment, until something is done. */
FRACTAL_API int fractal_worker_poll(struct fractal_worker *worker);

/* ---- messages to workers ---------------------------------------------------------------------------- */

struct fractal_mail {
	struct fractal_mail *next;
	uint32_t len;
	uint8_t data[];
};

/** Sends a copy of bytes to a worker, which is woken for them. 0 or -ENOMEM. Any thread. */
FRACTAL_API int fractal_worker_send(struct fractal_worker *to, const void *data, uint32_t len);
/** Where a worker's messages begin: *fractal_worker_mail(w) is not NULL when one waits. The address never changes. */
FRACTAL_API struct fractal_mail *const volatile *
fractal_worker_mail(const struct fractal_worker *worker);
/** Takes all messages, oldest first, linked by `next`. On the worker's thread. */
FRACTAL_API struct fractal_mail *fractal_worker_receive(struct fractal_worker *worker);
FRACTAL_API void fractal_mail_free(struct fractal_mail *mail);

#endif
