/* SPDX-License-Identifier: MIT */
/*
 * fractal.h - libfractal: FUSE over io_uring (and over classic /dev/fuse) for C programs.
 *
 * A program fills a struct fractal_config and a struct fractal_handlers, then calls
 *
 *     fractal_session_new(&session, &config);
 *     fractal_session_mount(session, "/mnt");
 *     fractal_session_run(session);       // returns when the filesystem is unmounted
 *     fractal_session_free(session);
 *
 * One worker thread for each CPU takes requests and calls the handler of their operation. A handler reads
 * req->arg, req->name, req->data, fills *req->out or req->reply_data, and returns a result: 0, a byte count,
 * or -errno. It may return FRACTAL_LATER instead and call fractal_reply() afterwards, from any thread.
 * A program that would rather pull requests sets config.serve and calls fractal_next() itself.
 *
 * Functions return 0 (or a count) on success and -errno on failure, never print, never exit; messages go
 * to config.log. Several sessions can live in one process. LuaJIT's ffi.cdef reads this file too, with
 * FRACTAL_CDEF defined.
 */
#ifndef FRACTAL_H
#define FRACTAL_H

#ifndef FRACTAL_CDEF
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>
#define FRACTAL_API __attribute__((visibility("default")))
#else
#define FRACTAL_API
#endif
#include "abi.h"

#if defined(__cplusplus) && !defined(FRACTAL_CDEF)
extern "C" {
#endif

/* Opcodes: FRACTAL_OP_LOOKUP … */
enum fractal_op {
#define FRACTAL_OP(NAME, name, opcode, in, names, data, reply, err, minor, doc) \
	FRACTAL_OP_##NAME = opcode,
#include "ops.def"
#undef FRACTAL_OP
	FRACTAL_OP_COUNT = 54, /* one more than the highest */
};

/* Capability bit numbers: FRACTAL_CAP_ASYNC_READ … */
enum fractal_cap {
#define FRACTAL_CAP(NAME, option, bit, def, doc) FRACTAL_CAP_##NAME = bit,
#include "caps.def"
#undef FRACTAL_CAP
};

/* What an operation's reply consists of. */
enum fractal_reply_kind {
	FRACTAL_REPLY_NONE,    /* no reply at all (forget, interrupt) */
	FRACTAL_REPLY_STATUS,  /* 0 or -errno */
	FRACTAL_REPLY_ENTRY,   /* out->entry */
	FRACTAL_REPLY_ATTR,    /* out->attr */
	FRACTAL_REPLY_OPEN,    /* out->open */
	FRACTAL_REPLY_CREATE,  /* out->create */
	FRACTAL_REPLY_DATA,    /* result = bytes in reply_data */
	FRACTAL_REPLY_DIRENTS, /* bytes that fractal_dirents_add() wrote; result 0 */
	FRACTAL_REPLY_WRITE,   /* result = bytes written or copied */
	FRACTAL_REPLY_STATFS,  /* out->statfs */
	FRACTAL_REPLY_XATTR, /* result = the value's length; the value in reply_data where it fits */
	FRACTAL_REPLY_LK,    /* out->lk */
	FRACTAL_REPLY_BMAP,  /* out->bmap */
	FRACTAL_REPLY_IOCTL,	 /* out->ioctl; result = bytes in reply_data */
	FRACTAL_REPLY_POLL,	 /* out->poll */
	FRACTAL_REPLY_LSEEK,	 /* out->lseek */
	FRACTAL_REPLY_STATX,	 /* out->statx */
	FRACTAL_REPLY_COPIED,	 /* out->copied */
	FRACTAL_REPLY_RETRIEVED, /* page cache data: committed empty */
	FRACTAL_REPLY_INIT,	 /* answered by the library */
};

enum {
	FRACTAL_LATER = -10000,	   /* handler result: fractal_reply() follows */
	FRACTAL_MAX_ERRNO = 511,   /* the kernel refuses larger ones in a reply */
	FRACTAL_BLOCKS_UNSET = -1, /* attr.blocks: the library computes it from size */
};

/* A decoded in-structure; the member is named like the row's `in` in ops.def. */
union fractal_in {
	struct fractal_forget_in forget;
	struct fractal_batch_forget_in batch_forget;
	struct fractal_getattr_in getattr;
	struct fractal_setattr_in setattr;
	struct fractal_mknod_in mknod;
	struct fractal_mkdir_in mkdir;
	struct fractal_rename_in rename;
	struct fractal_rename2_in rename2;
	struct fractal_link_in link;
	struct fractal_open_in open;
	struct fractal_create_in create;
	struct fractal_release_in release;
	struct fractal_flush_in flush;
	struct fractal_read_in read;
	struct fractal_write_in write;
	struct fractal_fsync_in fsync;
	struct fractal_setxattr_in setxattr;
	struct fractal_getxattr_in getxattr;
	struct fractal_lk_in lk;
	struct fractal_access_in access;
	struct fractal_init_in init;
	struct fractal_interrupt_in interrupt;
	struct fractal_bmap_in bmap;
	struct fractal_ioctl_in ioctl;
	struct fractal_poll_in poll;
	struct fractal_fallocate_in fallocate;
	struct fractal_lseek_in lseek;
	struct fractal_copy_file_range_in copy_file_range;
	struct fractal_syncfs_in syncfs;
	struct fractal_statx_in statx;
	struct fractal_notify_retrieve_in notify_retrieve;
};

/* Where a reply of fixed size is written; it lies in the reply's payload. */
union fractal_out {
	struct fractal_entry_out entry;
	struct fractal_attr_out attr;
	struct fractal_open_out open;
	struct fractal_create_out create;
	struct fractal_write_out write;
	struct fractal_kstatfs statfs;
	struct fractal_getxattr_out getxattr;
	struct fractal_lk_out lk;
	struct fractal_bmap_out bmap;
	struct fractal_ioctl_out ioctl;
	struct fractal_poll_out poll;
	struct fractal_lseek_out lseek;
	struct fractal_statx_out statx;
	struct fractal_copy_file_range_out copied;
};

struct fractal_session;
struct fractal_worker;

/*
 * A request, from fractal_next() or the handler's call until fractal_reply(). Its memory belongs to the
 * library; nothing in it is valid after the reply. Names end in NUL and never alias the reply. `out`
 * starts with defaults: entry and attr carry nlink 1, the mount owner's uid and gid, the mount's time,
 * st_blocks computed from size, the session's ttls; everything else is zero.
 */
struct fractal_request {
	uint64_t id;	 /* fuse_in_header.unique */
	uint64_t nodeid; /* the inode asked about; the parent where a name follows */
	uint32_t opcode;
	uint32_t uid;
	uint32_t gid;
	uint32_t pid;	/* 0 where the caller is in another pid namespace */
	uint32_t epoch; /* changes with each request and each reply of this slot */
	uint32_t slot;	/* index among the worker's requests, from 0 */
	const union fractal_in *arg;
	union fractal_out *out;
	const char *name;    /* first name, or NULL */
	const char *name2;   /* second name (rename: the new one; symlink: the target), or NULL */
	uint8_t *data;	     /* bytes sent with the request; not to be written */
	uint8_t *reply_data; /* where bytes of the reply go */
	const uint8_t *ext;  /* extensions: supplementary groups, security context */
	uint32_t name_len;   /* bytes, without the NUL */
	uint32_t name2_len;
	uint32_t data_len;
	uint32_t reply_cap; /* bytes that the caller asked for and reply_data holds */
	uint32_t reply_len; /* bytes of reply_data filled so far (directory entries) */
	uint32_t ext_len;
	struct fractal_worker *worker;
	void *user; /* the handler's own; NULL when the request arrives */
};

/* The connection as INIT negotiated it. */
struct fractal_conn {
	uint32_t proto_major; /* the kernel's */
	uint32_t proto_minor;
	uint64_t offered; /* capability bits the kernel offers: 1 << FRACTAL_CAP_X */
	uint64_t
		wanted; /* what the reply will ask for; an init hook may change it within `offered` */
	uint32_t max_readahead;	 /* bytes */
	uint32_t max_background; /* requests the kernel has under way for nobody in particular */
	uint32_t congestion_threshold; /* requests */
	uint32_t max_write;	       /* bytes */
	uint32_t max_pages;	       /* pages in one request */
	uint32_t time_gran;	       /* nanoseconds */
	uint32_t max_stack_depth;      /* kernel passthrough: filesystems that may be stacked */
	uint32_t request_timeout;      /* seconds, 0: none */
	double entry_ttl;	       /* defaults of replies, in seconds: see fractal_config */
	double attr_ttl;
	double negative_ttl;
};

enum fractal_transport {
	FRACTAL_TRANSPORT_AUTO, /* io_uring where it can be had, else /dev/fuse */
	FRACTAL_TRANSPORT_URING,
	FRACTAL_TRANSPORT_DEV,
};

enum fractal_log_level {
	FRACTAL_LOG_ERROR,
	FRACTAL_LOG_WARN,
	FRACTAL_LOG_INFO,
	FRACTAL_LOG_DEBUG,
	FRACTAL_LOG_TRACE, /* requests and replies of config.trace */
};

/* Counts of one operation. */
struct fractal_op_stats {
	uint64_t count;	 /* requests answered */
	uint64_t errors; /* … with an errno */
	uint64_t
		bytes_in; /* data that came with them: of write, setxattr, ioctl, batches of forgets */
	uint64_t bytes_out; /* that the answers had behind their header */
};

enum {
	FRACTAL_LATENCY_BUCKETS = 304
};

/*
 * Latencies of one operation: nanoseconds from the moment a worker took a request until its answer went out. Each power of
 * two is divided into 8 buckets, so that what is computed from them is at most an eighth too high. The last bucket ends
 * at 2^40 ns (18 minutes) and holds all that is longer, too.
 */
struct fractal_latency {
	uint64_t count;
	uint64_t total_ns;
	uint64_t max_ns;
	uint64_t buckets[FRACTAL_LATENCY_BUCKETS];
};

/* How busy a session's workers are. */
struct fractal_load {
	uint32_t held; /* requests taken and not answered yet, over all workers */
	uint32_t
		most; /* that one worker had at one time while it measured, with those that waited in its ring */
	uint32_t depth; /* that one worker can have at one time */
};

/* ---- workers and requests --------------------------------------------------------------------------- */

/**
 * The next request of this worker, or NULL when none is waiting. Never blocks.
 * Call it on the worker's own thread only, from config.serve.
 */
FRACTAL_API struct fractal_request *fractal_next(struct fractal_worker *worker);
/** The same, but returns the request's slot, or -1 when none is waiting. */
FRACTAL_API int fractal_next_slot(struct fractal_worker *worker);

/**
 * Answers a request: exactly once, from any thread.
 * @result 0, a byte count (kinds DATA, WRITE, XATTR, IOCTL), or -errno (1..511).
 * Returns 0; -EALREADY when it has been answered; -EINVAL when the result does not fit the operation
 * (the caller then gets EIO).
 */
FRACTAL_API int fractal_reply(struct fractal_request *req, int result);

/** Copies @len bytes to reply_data and replies with them; -ERANGE goes out where a getxattr's buffer is too small. */
FRACTAL_API int fractal_reply_bytes(struct fractal_request *req, const void *bytes, uint32_t len);

/**
 * Adds a directory entry to the reply of readdir. @type: S_IFMT bits of a mode, or 0 for unknown; @next: the offset that
 * continues behind this entry, never 0. Returns 1, or 0 when the buffer is full (the entry is not in it).
 */
FRACTAL_API int fractal_dirents_add(struct fractal_request *req, const char *name,
				    uint32_t name_len, uint64_t ino, uint32_t mode, uint64_t next);

/**
 * Room for an entry of readdirplus: returns its entry_out with defaults, to be filled, or NULL when full. With nodeid 0 the
 * kernel takes no reference and looks the name up later. Each other entry counts as one lookup.
 */
FRACTAL_API struct fractal_entry_out *fractal_dirents_add_plus(struct fractal_request *req,
							       const char *name, uint32_t name_len,
							       uint64_t next);

/** Derives the directory entry's inode and type, and st_blocks, from a filled entry_out. */
FRACTAL_API void fractal_dirents_finish_plus(struct fractal_entry_out *out);

/** Cuts the reply back to @reply_len, taking back the entry added last (readdirplus, when filling it failed). */
FRACTAL_API void fractal_dirents_undo(struct fractal_request *req, uint32_t reply_len);

/** True once the caller of @req got a signal (FUSE_INTERRUPT); answer -EINTR then. Any thread. */
FRACTAL_API bool fractal_interrupted(const struct fractal_request *req);

/**
 * Supplementary groups sent with a creating request (fuse_supp_groups).
 * Returns how many there are and stores at most @max of them in @groups.
 */
FRACTAL_API int fractal_request_groups(const struct fractal_request *req, uint32_t *groups,
				       int max);

/**
 * Security context number @index sent with a creating request (fuse_secctx). Returns the value's length with *name and *value
 * set, or -ENODATA.
 */
FRACTAL_API int fractal_request_secctx(const struct fractal_request *req, int index,
				       const char **name, const uint8_t **value);

/** The handler name of an opcode ("lookup"), or "unknown". */
FRACTAL_API const char *fractal_op_name(uint32_t opcode);
/** What kind of reply an opcode has. */
FRACTAL_API enum fractal_reply_kind fractal_op_reply_kind(uint32_t opcode);
enum {
	FRACTAL_ARGUMENTS_MAX = 512, /* bytes of fractal_request_arguments() */
};
/**
 * Writes what a request asks for beside its names and inode, as "mode 0644, umask 022", for messages. The length, without a
 * NUL behind it.
 */
FRACTAL_API size_t fractal_request_arguments(const struct fractal_request *req,
					     char text[FRACTAL_ARGUMENTS_MAX]);
/** The answer to an operation without a handler: 0 or -errno. */
FRACTAL_API int fractal_op_default(uint32_t opcode);

/** The worker whose thread this is, or NULL. */
FRACTAL_API struct fractal_worker *fractal_worker_current(void);
/** The request this worker took last, or went on with last, while it is unanswered; else NULL. The worker's thread only. */
FRACTAL_API struct fractal_request *fractal_worker_in_hand(const struct fractal_worker *worker);
/** Index of a worker, from 0. */
FRACTAL_API int fractal_worker_id(const struct fractal_worker *worker);
FRACTAL_API struct fractal_session *fractal_worker_session(const struct fractal_worker *worker);
/** What config.user_worker hooks stored for this worker. */
FRACTAL_API void *fractal_worker_user(const struct fractal_worker *worker);
FRACTAL_API void fractal_worker_set_user(struct fractal_worker *worker, void *user);
/** How many requests a worker can hold at a time; request slots are below it. */
FRACTAL_API int fractal_worker_slots(const struct fractal_worker *worker);
/** The request of slot @slot, whether in use or not. */
FRACTAL_API struct fractal_request *fractal_worker_request(const struct fractal_worker *worker,
							   int slot);
/** Makes the worker call config.serve soon. Any thread. */
FRACTAL_API void fractal_worker_wake(struct fractal_worker *worker);
/** Counts of operation @opcode on this worker; approximate while it runs. */
FRACTAL_API const struct fractal_op_stats *fractal_worker_stats(const struct fractal_worker *worker,
								uint32_t opcode);

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
 * does not tell, and the ring has to read.
 */
FRACTAL_API int fractal_io_read_cached(int fd, void *buffer, uint32_t len, uint64_t offset);
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

/* ---- inode tables ------------------------------------------------------------------------------------ */

/* Inodes by a key of two numbers, with lookup counts, shared by all workers and Lua states of a session. */
struct fractal_inodes;

struct fractal_inode_ref {
	uint64_t id; /* the nodeid to give the kernel */
	uint64_t generation;
	int64_t value; /* the node's: that of the call that made it */
	bool fresh;    /* made by this call */
};

/**
 * The session's table of that name, made at the first call. With @values_are_fds the value of a node is a descriptor, closed when
 * the node goes. NULL: out of memory. The node that is entered first gets FRACTAL_ROOT_ID: make it the root.
 */
FRACTAL_API struct fractal_inodes *fractal_session_inodes(struct fractal_session *session,
							  const char *name, bool values_are_fds);
/** Finds the node of key (@a, @b), or makes it with @value, and counts one lookup. 0 or -ENOMEM. */
FRACTAL_API int fractal_inodes_ref(struct fractal_inodes *table, uint64_t a, uint64_t b,
				   int64_t value, struct fractal_inode_ref *ref);
/** The value of a node that the kernel knows, or -1 for an unknown id. Takes no lock. */
FRACTAL_API int64_t fractal_inodes_value(const struct fractal_inodes *table, uint64_t id);
/** The kernel forgets @nlookup lookups. 1 when the node is gone, with its value in *value; 0; -ENOENT for an unknown id. */
FRACTAL_API int fractal_inodes_forget(struct fractal_inodes *table, uint64_t id, uint64_t nlookup,
				      int64_t *value);
/**
 * Ids of up to @max nodes into @ids, from *@cursor (0 at first) on, which moves; begins anew behind the last. Returns how many.
 * Other threads may add and forget nodes meanwhile.
 */
FRACTAL_API uint32_t fractal_inodes_list(struct fractal_inodes *table, uint64_t *cursor,
					 uint64_t *ids, uint32_t max);
/** How many nodes there are. */
FRACTAL_API uint64_t fractal_inodes_count(struct fractal_inodes *table);

/* ---- paths --------------------------------------------------------------------------------------------- */

/* A session's inodes by path: a tree of names with lookup counts, shared by all workers and Lua states. Any thread. */
struct fractal_paths;

struct fractal_path_ref {
	uint64_t id; /* the nodeid to give the kernel */
	uint64_t generation;
	uint32_t opens; /* how often the node is open */
	uint32_t names; /* how many names it has */
};

/* A path as it was when it was asked for. Begins as zeroes; fractal_path_free() frees its bytes. */
struct fractal_path {
	double stamp; /* while fractal_paths_stamp() is the same, the path is */
	char *bytes;  /* "/" or "/a/b"; no NUL behind it */
	uint32_t length, capacity;
	uint32_t kind; /* S_IFMT bits, 0: unknown */
	bool hidden;   /* as fractal_paths_hide() set it */
	bool removed;  /* the node has no name any more; this was its last one */
	bool replaced; /* … and a rename gave that name to another file */
};

/** The session's table, made at the first call; it ends with the session. NULL: out of memory. */
FRACTAL_API struct fractal_paths *fractal_session_paths(struct fractal_session *session);
/** A table of its own. NULL: out of memory. */
FRACTAL_API struct fractal_paths *fractal_paths_new(void);
FRACTAL_API void fractal_paths_free(struct fractal_paths *paths);
/**
 * The node of a name in the directory @parent, made where there is none, and counts one lookup. @kind: S_IFMT bits of its mode; a
 * node that was of another kind loses the name to a new one. 0, -ENOMEM, or -ESTALE for an unknown parent.
 */
FRACTAL_API int fractal_paths_ref(struct fractal_paths *paths, uint64_t parent, const char *name,
				  uint32_t len, uint32_t kind, struct fractal_path_ref *ref);
/** The same for a name that is known, without counting. -ENOENT where it is not. */
FRACTAL_API int fractal_paths_find(struct fractal_paths *paths, uint64_t parent, const char *name,
				   uint32_t len, struct fractal_path_ref *ref);
/** One more name for a node, and one lookup. 0, -ENOMEM, -ESTALE. */
FRACTAL_API int fractal_paths_link(struct fractal_paths *paths, uint64_t id, uint64_t parent,
				   const char *name, uint32_t len, struct fractal_path_ref *ref);
/** The name is removed; a node in use keeps the path of its last name. */
FRACTAL_API void fractal_paths_unlink(struct fractal_paths *paths, uint64_t parent,
				      const char *name, uint32_t len);
/** The name moves, and what lies below it; @swap: the two names change places (renameat2(2) RENAME_EXCHANGE). */
FRACTAL_API int fractal_paths_rename(struct fractal_paths *paths, uint64_t parent, const char *name,
				     uint32_t len, uint64_t newparent, const char *newname,
				     uint32_t newlen, bool swap);
/** The kernel forgets @nlookup lookups. 0; 1: nobody can reach a hidden node any more, which stays until it is hidden no more; -ENOENT. */
FRACTAL_API int fractal_paths_forget(struct fractal_paths *paths, uint64_t id, uint64_t nlookup);
/** A file or directory is opened; until it is released its node stays. */
FRACTAL_API void fractal_paths_open(struct fractal_paths *paths, uint64_t id);
/** It is released. True: nobody can reach a hidden node any more. */
FRACTAL_API bool fractal_paths_release(struct fractal_paths *paths, uint64_t id);
/** Marks a node as one whose file is removed once it is closed and forgotten. */
FRACTAL_API void fractal_paths_hide(struct fractal_paths *paths, uint64_t id, bool hidden);
/** Changes whenever the node's path does. Takes no lock. */
FRACTAL_API double fractal_paths_stamp(const struct fractal_paths *paths, uint64_t id);
/** The node's path. 0, -ENOMEM, -ENAMETOOLONG, -ESTALE. */
FRACTAL_API int fractal_paths_path(struct fractal_paths *paths, uint64_t id,
				   struct fractal_path *path);
FRACTAL_API void fractal_path_free(struct fractal_path *path);
/** How many nodes there are, the root included. */
FRACTAL_API uint64_t fractal_paths_count(struct fractal_paths *paths);

/* A snapshot of the names of an open directory. Not to be used by two threads at a time. */
struct fractal_listing {
	double fh;	/* the owner's */
	uint32_t count; /* entries in it */
	bool filled;	/* the owner's; false after fractal_listing_clear() */
};

/** NULL: out of memory. */
FRACTAL_API struct fractal_listing *fractal_listing_new(void);
FRACTAL_API void fractal_listing_clear(struct fractal_listing *listing);
/** @kind: S_IFMT bits, 0: unknown. 0 or -ENOMEM. */
FRACTAL_API int fractal_listing_add(struct fractal_listing *listing, const char *name, uint32_t len,
				    uint32_t kind);
/** The name (without a NUL) at @index, from 0, or NULL behind the last one. */
FRACTAL_API const char *fractal_listing_name(const struct fractal_listing *listing, uint32_t index,
					     uint32_t *len, uint32_t *kind);
FRACTAL_API void fractal_listing_free(struct fractal_listing *listing);

/* ---- sessions ----------------------------------------------------------------------------------------- */

FRACTAL_API int fractal_session_workers(const struct fractal_session *session);
FRACTAL_API struct fractal_worker *fractal_session_worker(const struct fractal_session *session,
							  int id);
/** Counts of operation @opcode over all workers, into @sum. Any thread. */
FRACTAL_API void fractal_session_stats(const struct fractal_session *session, uint32_t opcode,
				       struct fractal_op_stats *sum);
/**
 * Switches measuring (latencies, fractal_load.most) on or off; config.timing and config.trace keep it on. Off, it costs
 * nothing; on, two looks at the clock for each request. What was measured stays. Any thread.
 */
FRACTAL_API void fractal_session_measure(struct fractal_session *session, bool on);
/** Whether latencies are measured now. */
FRACTAL_API bool fractal_session_measures(const struct fractal_session *session);
/** What was measured of operation @opcode over all workers, into @sum. Any thread; approximate while workers run. */
FRACTAL_API void fractal_session_latency(const struct fractal_session *session, uint32_t opcode,
					 struct fractal_latency *sum);
/** How busy the workers are. Any thread. */
FRACTAL_API void fractal_session_load(const struct fractal_session *session,
				      struct fractal_load *load);
/** The negotiated connection; valid after INIT. */
FRACTAL_API const struct fractal_conn *fractal_session_conn(const struct fractal_session *session);
/** The transport that runs: URING or DEV; AUTO before INIT. */
FRACTAL_API enum fractal_transport fractal_session_transport(const struct fractal_session *session);
/** The mount's device number, major << 20 | minor, as in mountinfo; 0: not known. */
FRACTAL_API uint32_t fractal_session_device(const struct fractal_session *session);
/** The directory that is mounted on, absolute and without symbolic links; NULL: none. */
FRACTAL_API const char *fractal_session_mountpoint(const struct fractal_session *session);
/** One sentence on why this transport runs. */
FRACTAL_API const char *fractal_session_transport_reason(const struct fractal_session *session);
/** True the first time it is asked about this opcode: for what is to be said once in a session. Any thread. */
FRACTAL_API bool fractal_session_first(struct fractal_session *session, uint32_t opcode);
/**
 * How long the kernel may cache names, attributes and that a name does not exist, in seconds, from the next reply on that does
 * not say it itself. Not by two threads at a time.
 */
FRACTAL_API void fractal_session_set_ttls(struct fractal_session *session, double entry,
					  double attr, double negative);
/** Sends a message, one line or several with newlines between them, to the session's log. Any thread. */
FRACTAL_API void fractal_session_log(const struct fractal_session *session,
				     enum fractal_log_level level, const char *text);
/** Asks for the end of the mount, as SIGTERM does: unmount politely, lazily if busy. Async-signal-safe, any thread. */
FRACTAL_API void fractal_session_stop(struct fractal_session *session);

/* ---- latencies ---------------------------------------------------------------------------------------------- */

/** Adds one latency. One thread at a time; others may read meanwhile. */
FRACTAL_API void fractal_latency_record(struct fractal_latency *latency, uint64_t ns);
/** Adds all that @more holds to @latency. */
FRACTAL_API void fractal_latency_merge(struct fractal_latency *latency,
				       const struct fractal_latency *more);
/**
 * The latency (ns) that @percent of all do not exceed: 50 for the median, 100 for the highest. At most an eighth too high,
 * never too low. 0 when there is none.
 */
FRACTAL_API uint64_t fractal_latency_percentile(const struct fractal_latency *latency,
						double percent);
/** The highest latency (ns) that bucket @bucket (from 0) holds; UINT64_MAX: the last one, or there is no such bucket. */
FRACTAL_API uint64_t fractal_latency_bound(uint32_t bucket);

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

#ifndef FRACTAL_CDEF

/*
 * Handlers, one for each row of ops.def. @req: the request; its answer is the result (see fractal_reply) or FRACTAL_LATER.
 * @user: config.user. A NULL handler answers with fractal_op_default(). batch_forget without a handler becomes calls of
 * forget; rename2 without flags becomes rename; copy_file_range_64 becomes copy_file_range.
 */
typedef int fractal_handler(struct fractal_request *req, void *user);

struct fractal_handlers {
#define FRACTAL_OP(NAME, name, opcode, in, names, data, reply, err, minor, doc) \
	fractal_handler *name;
#include "ops.def"
#undef FRACTAL_OP
};

/* Zero is the default of each field. Strings are copied. */
struct fractal_config {
	const struct fractal_handlers *handlers; /* or serve below */
	void *user;				 /* given to handlers and hooks */

	const char *fsname;  /* source shown in mount(8); default: subtype */
	const char *subtype; /* type is fuse.SUBTYPE; default "fractal" */
	const char *
		mount_options; /* comma separated: allow_other, default_permissions, ro, max_read=N … */

	enum fractal_transport transport;
	uint32_t workers;     /* threads; default: one for each possible CPU */
	uint32_t queue_depth; /* requests in flight for each CPU's queue; default 32 */
	uint32_t max_write;   /* bytes of payload, 4096 … max_pages_limit pages; default 1 MiB */
	uint32_t max_readahead;	 /* bytes; default: what the kernel offers */
	uint32_t max_background; /* default: queues * queue_depth */
	uint32_t time_gran;	 /* nanoseconds of file times; default 1 */
	uint32_t
		request_timeout; /* seconds after which the kernel gives the connection up; default none */
	uint32_t max_stack_depth; /* with passthrough: 1 or 2; default 1 */
	bool no_pin;		  /* leave workers to the scheduler */
	uint64_t trace;		  /* operations to trace: bit 1 << opcode of each, all: ~0 */
	bool trace_json;	  /* … as lines of JSON; docs/tracing.md has the keys */
	bool timing;	   /* measure latencies from the start, see fractal_session_latency() */
	uint64_t caps_on;  /* capability bits to ask for beyond the defaults */
	uint64_t caps_off; /* … and to leave out */
	double entry_ttl;  /* seconds the kernel may cache names; default of entry replies */
	double attr_ttl;   /* seconds the kernel may cache attributes */
	double negative_ttl; /* seconds the kernel may cache that a name does not exist; 0: not at all */

	/** Messages; default: dropped. @text has no newline at its end; reports of errors in Lua have several lines. */
	void (*log)(enum fractal_log_level level, const char *text, void *user);
	/** Takes whole lines of the trace; default: each goes to log, as FRACTAL_LOG_TRACE. On any thread of the library. */
	void (*trace_write)(const char *lines, size_t size, void *user);
	/** INIT arrived: adjust @conn. On worker 0's thread, before anything is served. < 0 ends the session with that errno. */
	int (*init)(struct fractal_session *session, struct fractal_conn *conn, void *user);
	/** A worker thread starts (its rings and buffers stand, nothing is served yet) and ends. */
	int (*worker_start)(struct fractal_worker *worker, void *user);
	void (*worker_stop)(struct fractal_worker *worker, void *user);
	/** Pull mode: called on the worker's thread when requests may wait; calls fractal_next() until NULL. < 0 ends the session. */
	int (*serve)(struct fractal_worker *worker, void *user);
	/** The mount answers requests now. On the thread of fractal_session_run(). */
	void (*ready)(struct fractal_session *session, void *user);
};

/** Makes a session. -EINVAL: a setting is out of range (logged). */
FRACTAL_API int fractal_session_new(struct fractal_session **session,
				    const struct fractal_config *config);

/**
 * Mounts on an existing directory: mount(2) as root, fusermount3(1) otherwise; clears a dead mount found there.
 * -ENOENT, -ENOTDIR, -EACCES, -EPERM …: logged with what to do.
 */
FRACTAL_API int fractal_session_mount(struct fractal_session *session, const char *mountpoint);

/**
 * Before fractal_session_run(): writes what is asked and answered to an open file, which stays the caller's; see docs/tracing.md.
 * @with_data: contents of files and extended attributes, too. 0 or -ENOMEM.
 */
FRACTAL_API int fractal_session_record(struct fractal_session *session, int fd, bool with_data);

struct fractal_replay {
	const char *path; /* of a recording */
	bool real_speed;  /* each request at its time, in place of as fast as can be */
	/** Before each request; default: nothing. On the worker's thread. */
	void (*before)(const char *operation, uint64_t nodeid, void *user);
	/** A reply is not what was recorded: one sentence. On the worker's thread. */
	void (*difference)(const char *text, void *user);
	void *user;
};

/* What a replay came to. */
struct fractal_replayed {
	uint64_t requests; /* asked again */
	uint64_t differ;   /* answered in another way */
	uint64_t total_ns; /* from the first request to the last answer */
};

/**
 * In place of fractal_session_mount(): fractal_session_run() then takes its requests from a recording, and returns at its end.
 * The session is one of config.transport DEV and of one worker. 0; -EINVAL for another one; -EPROTO or -errno, logged,
 * where the file cannot be used.
 */
FRACTAL_API int fractal_session_replay(struct fractal_session *session,
				       const struct fractal_replay *replay);
/** The replay's figures, after fractal_session_run(). */
FRACTAL_API const struct fractal_replayed *
fractal_session_replayed(const struct fractal_session *session);

/**
 * Serves until unmounted or stopped; starts the worker threads and joins them. Returns 0 after a clean end;
 * -ECONNABORTED when the connection was aborted from outside; -ETIMEDOUT when a handler did not return within 10 s after
 * fractal_session_stop() or a second stop came: its thread is still there, and only the end of the process helps.
 */
FRACTAL_API int fractal_session_run(struct fractal_session *session);

/** Frees a session that is not running; unmounts if still mounted. NULL is fine. Not after -ETIMEDOUT. */
FRACTAL_API void fractal_session_free(struct fractal_session *session);

/* Called with what fractal_notify_retrieve() brought, on a thread of the library; not to be freed, not to block. */
typedef void fractal_retrieve_done(const struct fractal_retrieved *retrieved, void *user);

/** As fractal_worker_retrieve(), but @done is called: exactly once after a return of 0, at the latest by fractal_session_free(). */
FRACTAL_API int fractal_notify_retrieve(struct fractal_session *session, uint64_t nodeid,
					uint64_t offset, uint32_t size, fractal_retrieve_done *done,
					void *user);

/** Name and bit of a capability, by option name ("writeback_cache"); -ENOENT where there is none. */
FRACTAL_API int fractal_cap_by_name(const char *option);

/** Version of the library, "MAJOR.MINOR.PATCH". */
FRACTAL_API const char *fractal_version(void);

#endif

#if defined(__cplusplus) && !defined(FRACTAL_CDEF)
}
#endif
#endif
