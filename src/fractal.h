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
/** The same, but returns the request's slot, or -1 when none is waiting. It may block: see the next function. */
FRACTAL_API int fractal_next_slot(struct fractal_worker *worker);
/**
 * Lets fractal_next_slot() hand over the replies and wait for the next request itself, in place of a return from config.serve and
 * a new call. It still returns -1 for what else there is to do. For a caller that holds no lock meanwhile. From config.worker_start.
 */
FRACTAL_API void fractal_worker_stay(struct fractal_worker *worker, bool may_stay);

/**
 * Answers a request: exactly once, from any thread.
 * @result 0, a byte count (kinds DATA, WRITE, XATTR, IOCTL), or -errno (1..511).
 * Returns 0; -EALREADY when it has been answered; -EINVAL when the result does not fit the operation
 * (the caller then gets EIO, and the log says so; threads other than the worker's learn of it only there).
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

#include "waiting.h"
#include "tables.h"
#include "caches.h"

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

/*
 * Called while a watched descriptor is readable, until nothing is left in it. Not to block. A negative result ends the watch.
 */
typedef int fractal_watcher(struct fractal_session *session, void *user);

/**
 * Watches one descriptor beside the requests, such as a control socket, a timerfd, or several in one epoll(7) descriptor: @fn is
 * called while it is readable (POLLIN), by worker 0 between two requests, or, where a handler holds that worker, by the
 * thread of fractal_session_run(): the first time after half a second, then within milliseconds. One call at a time, from the
 * moment the mount answers until fractal_session_run() returns. Any thread. 0; -EBUSY: this session watches one already;
 * -ENOMEM.
 */
FRACTAL_API int fractal_session_watch(struct fractal_session *session, int fd, fractal_watcher *fn,
				      void *user);

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
