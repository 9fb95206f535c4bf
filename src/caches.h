/* SPDX-License-Identifier: MIT */
/*
 * caches.h - part of fractal.h: what a filesystem tells the kernel's caches, and files that the kernel reads and writes itself.
 */
#ifndef FRACTAL_CACHES_H
#define FRACTAL_CACHES_H

/* ---- notifications ----------------------------------------------------------------------------------------- */

/*
 * Messages to the kernel's caches. Each call queues a copy and returns at once, from any thread, handlers included; one
 * thread of the session sends them in order. 0; -ENOTCONN before the mount answers and after its end; -ENOBUFS while
 * FRACTAL_NOTIFY_MAX_MESSAGES messages or FRACTAL_NOTIFY_MAX_BYTES bytes wait; -EMSGSIZE for one that never fits;
 * -EOPNOTSUPP where the kernel is too old. That nothing was cached is no error; what the kernel refuses for other reasons is
 * logged, once for each reason.
 */
enum {
	FRACTAL_NOTIFY_MAX_MESSAGES = 16384,
	FRACTAL_NOTIFY_MAX_BYTES = 16 << 20,
};

/**
 * Drops cached attributes of an inode and its cached pages from @offset on, @length bytes (0: to the end). With @offset < 0
 * attributes only.
 */
FRACTAL_API int fractal_notify_inval_inode(struct fractal_session *session, uint64_t nodeid,
					   int64_t offset, int64_t length);

/** Drops a cached name; with FRACTAL_EXPIRE_ONLY in @flags it is only looked up anew before its next use. */
FRACTAL_API int fractal_notify_inval_entry(struct fractal_session *session, uint64_t parent,
					   const char *name, uint32_t flags);

/** Drops the cached name of @child and tells those who watch it (inotify(7)) that it was deleted. */
FRACTAL_API int fractal_notify_delete(struct fractal_session *session, uint64_t parent,
				      uint64_t child, const char *name);

/** Puts bytes into the page cache of a regular file; the file grows where they reach beyond its end. */
FRACTAL_API int fractal_notify_store(struct fractal_session *session, uint64_t nodeid,
				     uint64_t offset, const void *data, uint32_t size);

/** Wakes who waits in poll(2) or select(2): @handle is poll_in.kh of a poll request with FRACTAL_POLL_SCHEDULE_NOTIFY. */
FRACTAL_API int fractal_notify_poll(struct fractal_session *session, uint64_t handle);

/**
 * Classic transport: every request that was read and is not answered comes again, its id with FRACTAL_UNIQUE_RESEND set; the
 * first one's reply then goes nowhere.
 */
FRACTAL_API int fractal_notify_resend(struct fractal_session *session);

/** Every name cached so far is looked up anew before its next use. */
FRACTAL_API int fractal_notify_inc_epoch(struct fractal_session *session);

/** Forgets these inodes where nothing uses them. */
FRACTAL_API int fractal_notify_prune(struct fractal_session *session, const uint64_t *nodeids,
				     uint32_t count);

/* What fractal_worker_retrieve() brought. */
struct fractal_retrieved {
	struct fractal_retrieved *next;
	uint64_t cookie; /* what fractal_worker_retrieve() stored */
	uint64_t nodeid;
	uint64_t offset;
	int32_t error; /* 0 or -errno: -ENOENT where the kernel does not know the inode */
	uint32_t size; /* bytes in data: up to the first page that is not cached */
	uint8_t data[];
};

/**
 * Asks for cached bytes of a regular file; they come to @worker's list. At most max_write less one page is brought.
 * @cookie tells which of several answers it is.
 */
FRACTAL_API int fractal_worker_retrieve(struct fractal_worker *worker, uint64_t nodeid,
					uint64_t offset, uint32_t size, uint64_t *cookie);
/**
 * Where a worker's list begins, at an address that never changes: not NULL when answers wait. For a caller to whom even a call
 * of the next function is too much.
 */
FRACTAL_API struct fractal_retrieved *const volatile *
fractal_worker_retrieved(const struct fractal_worker *worker);
/**
 * Takes all answers, in the order they came, linked by `next`; NULL: there are none. On the worker's thread, behind
 * fractal_next(): config.serve is called again for those that come later.
 */
FRACTAL_API struct fractal_retrieved *fractal_worker_take_retrieved(struct fractal_worker *worker);
FRACTAL_API void fractal_retrieved_free(struct fractal_retrieved *retrieved);

/* ---- kernel passthrough ------------------------------------------------------------------------------------------- */

/**
 * Gives the kernel an open regular file to read and write itself; returns the id for open_out.backing_id (with
 * FRACTAL_FOPEN_PASSTHROUGH in open_flags). @fd may be closed afterwards. -EOPNOTSUPP: passthrough was not negotiated;
 * -EPERM: CAP_SYS_ADMIN is missing; -ELOOP: the file's filesystem is stacked too deep; -EINVAL or -EISDIR: no regular file.
 *
 * All files that are open of one inode at a time must use one id: see fractal_backing_claim(). The id is closed when the
 * last open file it was given to is released; one that was given to none is closed by fractal_backing_close().
 */
FRACTAL_API int fractal_backing_open(struct fractal_session *session, int fd);

/**
 * The id that open files of an inode use, to be given to one more; it stays valid until that reply (or fractal_backing_close(),
 * where none follows). -ENOENT when no file of the inode is open with one.
 */
FRACTAL_API int fractal_backing_claim(struct fractal_session *session, uint64_t nodeid);

/**
 * The same, or a new id for @fd where there is none: several threads that open an inode at the same time get one id. Errors are
 * those of fractal_backing_open().
 */
FRACTAL_API int fractal_backing_share(struct fractal_session *session, uint64_t nodeid, int fd);

/** Closes an id. Files that are open with it go on. -ENOENT: there is no such id. */
FRACTAL_API int fractal_backing_close(struct fractal_session *session, int id);

#endif
