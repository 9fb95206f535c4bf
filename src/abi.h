/* SPDX-License-Identifier: MIT */
/*
 * abi.h - the FUSE wire protocol (7.45) as this project speaks it.
 *
 * Every structure and constant stands here once. The text is kept plain (enums and structs, no macros)
 * because LuaJIT's ffi.cdef reads the same lines. Names carry the project's prefix so that a program may
 * include the kernel's <linux/fuse.h> beside it; spec/c/test_abi.c compares the two.
 * Field meaning follows the kernel header of the same structure (struct fractal_X is struct fuse_X);
 * times are split into *_sec (seconds since the epoch, signed) and *_nsec (nanoseconds).
 */
#ifndef FRACTAL_ABI_H
#define FRACTAL_ABI_H
#ifndef FRACTAL_CDEF
#include <stdint.h>
#endif

/* Protocol version this side speaks; the kernel answers with its own. */
enum {
	FRACTAL_KERNEL_VERSION = 7,
	FRACTAL_KERNEL_MINOR = 45,
	FRACTAL_ROOT_ID = 1,
	FRACTAL_MIN_READ_BUFFER = 8192,
	FRACTAL_NAME_MAX = 4096, /* PATH_MAX, the longest name or symlink target with its NUL */
};

/* setattr_in.valid */
enum {
	FRACTAL_SET_MODE = 1 << 0,
	FRACTAL_SET_UID = 1 << 1,
	FRACTAL_SET_GID = 1 << 2,
	FRACTAL_SET_SIZE = 1 << 3,
	FRACTAL_SET_ATIME = 1 << 4,
	FRACTAL_SET_MTIME = 1 << 5,
	FRACTAL_SET_FH = 1 << 6,
	FRACTAL_SET_ATIME_NOW = 1 << 7,
	FRACTAL_SET_MTIME_NOW = 1 << 8,
	FRACTAL_SET_LOCKOWNER = 1 << 9,
	FRACTAL_SET_CTIME = 1 << 10,
	FRACTAL_SET_KILL_SUIDGID = 1 << 11,
};

/* open_out.open_flags */
enum {
	FRACTAL_FOPEN_DIRECT_IO = 1 << 0,
	FRACTAL_FOPEN_KEEP_CACHE = 1 << 1,
	FRACTAL_FOPEN_NONSEEKABLE = 1 << 2,
	FRACTAL_FOPEN_CACHE_DIR = 1 << 3,
	FRACTAL_FOPEN_STREAM = 1 << 4,
	FRACTAL_FOPEN_NOFLUSH = 1 << 5,
	FRACTAL_FOPEN_PARALLEL_DIRECT_WRITES = 1 << 6,
	FRACTAL_FOPEN_PASSTHROUGH = 1 << 7,
};

/* Flags of single requests, each named after the field that carries it. */
enum {
	FRACTAL_GETATTR_FH = 1 << 0,	       /* getattr_in.flags: fh is valid */
	FRACTAL_RELEASE_FLUSH = 1 << 0,	       /* release_in.release_flags */
	FRACTAL_RELEASE_FLOCK_UNLOCK = 1 << 1, /* release_in.release_flags */
	FRACTAL_WRITE_CACHE = 1 << 0,	       /* write_in.write_flags: from the page cache */
	FRACTAL_WRITE_LOCKOWNER = 1 << 1,      /* write_in.write_flags: lock_owner is valid */
	FRACTAL_WRITE_KILL_SUIDGID = 1 << 2,   /* write_in.write_flags */
	FRACTAL_READ_LOCKOWNER = 1 << 1,       /* read_in.read_flags: lock_owner is valid */
	FRACTAL_OPEN_KILL_SUIDGID = 1 << 0,    /* open_in.open_flags, create_in.open_flags */
	FRACTAL_FSYNC_FDATASYNC = 1 << 0,      /* fsync_in.fsync_flags */
	FRACTAL_LK_FLOCK = 1 << 0,	       /* lk_in.lk_flags: a flock(2) lock */
	FRACTAL_SETXATTR_ACL_KILL_SGID = 1 << 0,
	FRACTAL_ATTR_SUBMOUNT = 1 << 0, /* attr.flags */
	FRACTAL_ATTR_DAX = 1 << 1,	/* attr.flags */
	FRACTAL_POLL_SCHEDULE_NOTIFY = 1 << 0,
	FRACTAL_IOCTL_COMPAT = 1 << 0, /* ioctl_in.flags */
	FRACTAL_IOCTL_UNRESTRICTED = 1 << 1,
	FRACTAL_IOCTL_RETRY = 1 << 2,
	FRACTAL_IOCTL_32BIT = 1 << 3,
	FRACTAL_IOCTL_DIR = 1 << 4,
	FRACTAL_EXPIRE_ONLY = 1 << 0, /* notify_inval_entry.flags */
};

/* in_header.unique: bit number that marks a request sent again (FUSE_UNIQUE_RESEND is its mask). */
enum {
	FRACTAL_UNIQUE_RESEND = 63,
};

/* Extension types behind a request (ext_header.type); types up to 31 are security contexts. */
enum {
	FRACTAL_EXT_MAX_SECCTX = 31,
	FRACTAL_EXT_GROUPS = 32,
};

/* Notification codes, sent in out_header.error. */
enum {
	FRACTAL_NOTIFY_POLL = 1,
	FRACTAL_NOTIFY_INVAL_INODE = 2,
	FRACTAL_NOTIFY_INVAL_ENTRY = 3,
	FRACTAL_NOTIFY_STORE = 4,
	FRACTAL_NOTIFY_RETRIEVE = 5,
	FRACTAL_NOTIFY_DELETE = 6,
	FRACTAL_NOTIFY_RESEND = 7,
	FRACTAL_NOTIFY_INC_EPOCH = 8,
	FRACTAL_NOTIFY_PRUNE = 9,
};

/* FUSE over io_uring: cmd_op values of IORING_OP_URING_CMD. */
enum {
	FRACTAL_URING_CMD_REGISTER = 1,
	FRACTAL_URING_CMD_COMMIT_AND_FETCH = 2,
};

/* ---- headers ------------------------------------------------------------------------------------- */

struct fractal_in_header {
	uint32_t len;
	uint32_t opcode;
	uint64_t unique;
	uint64_t nodeid;
	uint32_t uid;
	uint32_t gid;
	uint32_t pid;
	uint16_t total_extlen; /* extensions behind the request, in units of 8 bytes */
	uint16_t padding;
};

struct fractal_out_header {
	uint32_t len;
	int32_t error; /* 0 or a negative errno; a positive notification code where unique is 0 */
	uint64_t unique;
};

struct fractal_uring_ent_in_out {
	uint64_t flags;
	uint64_t commit_id;
	uint32_t payload_sz;
	uint32_t padding;
	uint64_t reserved;
};

struct fractal_uring_req_header {
	uint8_t in_out[128];
	uint8_t op_in[128];
	struct fractal_uring_ent_in_out ring_ent_in_out;
};

struct fractal_uring_cmd_req {
	uint64_t flags;
	uint64_t commit_id;
	uint16_t qid;
	uint8_t padding[6];
};

/* ---- parts of several operations ------------------------------------------------------------------ */

struct fractal_attr {
	uint64_t ino;
	uint64_t size;	 /* bytes */
	uint64_t blocks; /* units of 512 bytes */
	int64_t atime_sec;
	int64_t mtime_sec;
	int64_t ctime_sec;
	uint32_t atime_nsec;
	uint32_t mtime_nsec;
	uint32_t ctime_nsec;
	uint32_t mode;
	uint32_t nlink;
	uint32_t uid;
	uint32_t gid;
	uint32_t rdev;
	uint32_t blksize;
	uint32_t flags;
};

struct fractal_sx_time {
	int64_t sec;
	uint32_t nsec;
	int32_t reserved;
};

struct fractal_statx {
	uint32_t mask;
	uint32_t blksize;
	uint64_t attributes;
	uint32_t nlink;
	uint32_t uid;
	uint32_t gid;
	uint16_t mode;
	uint16_t spare0;
	uint64_t ino;
	uint64_t size;
	uint64_t blocks;
	uint64_t attributes_mask;
	struct fractal_sx_time sx_atime;
	struct fractal_sx_time sx_btime;
	struct fractal_sx_time sx_ctime;
	struct fractal_sx_time sx_mtime;
	uint32_t rdev_major;
	uint32_t rdev_minor;
	uint32_t dev_major;
	uint32_t dev_minor;
	uint64_t spare2[14];
};

struct fractal_file_lock {
	uint64_t start;
	uint64_t end; /* last byte, inclusive */
	uint32_t type;
	uint32_t pid;
};

struct fractal_dirent {
	uint64_t ino;
	uint64_t off;
	uint32_t namelen;
	uint32_t type;
};

struct fractal_ext_header {
	uint32_t size;
	uint32_t type;
};

struct fractal_supp_groups {
	uint32_t nr_groups;
};

struct fractal_secctx_header {
	uint32_t size;
	uint32_t nr_secctx;
};

struct fractal_secctx {
	uint32_t size;
	uint32_t padding;
};

/* ---- in-structures: what the kernel sends before names and data ------------------------------------ */

struct fractal_init_in {
	uint32_t major;
	uint32_t minor;
	uint32_t max_readahead;
	uint32_t flags;
	uint32_t flags2;
	uint32_t unused[11];
};

struct fractal_forget_in {
	uint64_t nlookup;
};

struct fractal_forget_one {
	uint64_t nodeid;
	uint64_t nlookup;
};

struct fractal_batch_forget_in {
	uint32_t count;
	uint32_t dummy;
};

struct fractal_getattr_in {
	uint32_t flags;
	uint32_t dummy;
	uint64_t fh;
};

struct fractal_setattr_in {
	uint32_t valid;
	uint32_t padding;
	uint64_t fh;
	uint64_t size;
	uint64_t lock_owner;
	int64_t atime_sec;
	int64_t mtime_sec;
	int64_t ctime_sec;
	uint32_t atime_nsec;
	uint32_t mtime_nsec;
	uint32_t ctime_nsec;
	uint32_t mode;
	uint32_t unused4;
	uint32_t uid;
	uint32_t gid;
	uint32_t unused5;
};

struct fractal_mknod_in {
	uint32_t mode;
	uint32_t rdev;
	uint32_t umask;
	uint32_t padding;
};

struct fractal_mkdir_in {
	uint32_t mode;
	uint32_t umask;
};

struct fractal_rename_in {
	uint64_t newdir;
};

struct fractal_rename2_in {
	uint64_t newdir;
	uint32_t flags;
	uint32_t padding;
};

struct fractal_link_in {
	uint64_t oldnodeid;
};

struct fractal_open_in {
	uint32_t flags; /* open(2) flags */
	uint32_t open_flags;
};

struct fractal_create_in {
	uint32_t flags; /* open(2) flags */
	uint32_t mode;
	uint32_t umask;
	uint32_t open_flags;
};

struct fractal_release_in {
	uint64_t fh;
	uint32_t flags;
	uint32_t release_flags;
	uint64_t lock_owner;
};

struct fractal_flush_in {
	uint64_t fh;
	uint32_t unused;
	uint32_t padding;
	uint64_t lock_owner;
};

struct fractal_read_in {
	uint64_t fh;
	uint64_t offset;
	uint32_t size;
	uint32_t read_flags;
	uint64_t lock_owner;
	uint32_t flags;
	uint32_t padding;
};

struct fractal_write_in {
	uint64_t fh;
	uint64_t offset;
	uint32_t size;
	uint32_t write_flags;
	uint64_t lock_owner;
	uint32_t flags;
	uint32_t padding;
};

struct fractal_fsync_in {
	uint64_t fh;
	uint32_t fsync_flags;
	uint32_t padding;
};

struct fractal_setxattr_in {
	uint32_t size;
	uint32_t flags;
	uint32_t setxattr_flags; /* sent where SETXATTR_EXT was negotiated */
	uint32_t padding;
};

struct fractal_getxattr_in {
	uint32_t size;
	uint32_t padding;
};

struct fractal_lk_in {
	uint64_t fh;
	uint64_t owner;
	struct fractal_file_lock lk;
	uint32_t lk_flags;
	uint32_t padding;
};

struct fractal_access_in {
	uint32_t mask;
	uint32_t padding;
};

struct fractal_interrupt_in {
	uint64_t unique;
};

struct fractal_bmap_in {
	uint64_t block;
	uint32_t blocksize;
	uint32_t padding;
};

struct fractal_ioctl_in {
	uint64_t fh;
	uint32_t flags;
	uint32_t cmd;
	uint64_t arg;
	uint32_t in_size;
	uint32_t out_size;
};

struct fractal_poll_in {
	uint64_t fh;
	uint64_t kh;
	uint32_t flags;
	uint32_t events;
};

struct fractal_fallocate_in {
	uint64_t fh;
	uint64_t offset;
	uint64_t length;
	uint32_t mode;
	uint32_t padding;
};

struct fractal_lseek_in {
	uint64_t fh;
	uint64_t offset;
	uint32_t whence;
	uint32_t padding;
};

struct fractal_copy_file_range_in {
	uint64_t fh_in;
	uint64_t off_in;
	uint64_t nodeid_out;
	uint64_t fh_out;
	uint64_t off_out;
	uint64_t len;
	uint64_t flags;
};

struct fractal_syncfs_in {
	uint64_t padding;
};

struct fractal_statx_in {
	uint32_t getattr_flags;
	uint32_t reserved;
	uint64_t fh;
	uint32_t sx_flags;
	uint32_t sx_mask;
};

struct fractal_notify_retrieve_in {
	uint64_t dummy1;
	uint64_t offset;
	uint32_t size;
	uint32_t dummy2;
	uint64_t dummy3;
	uint64_t dummy4;
};

/* ---- out-structures: what the reply's payload starts with ------------------------------------------ */

struct fractal_init_out {
	uint32_t major;
	uint32_t minor;
	uint32_t max_readahead;
	uint32_t flags;
	uint16_t max_background;
	uint16_t congestion_threshold;
	uint32_t max_write;
	uint32_t time_gran; /* nanoseconds */
	uint16_t max_pages;
	uint16_t map_alignment;
	uint32_t flags2;
	uint32_t max_stack_depth;
	uint16_t request_timeout; /* seconds */
	uint16_t unused[11];
};

struct fractal_entry_out {
	uint64_t nodeid;     /* 0: a negative entry, cached for entry_valid */
	uint64_t generation; /* nodeid and generation are unique together */
	uint64_t entry_valid;
	uint64_t attr_valid;
	uint32_t entry_valid_nsec;
	uint32_t attr_valid_nsec;
	struct fractal_attr attr;
};

struct fractal_attr_out {
	uint64_t attr_valid;
	uint32_t attr_valid_nsec;
	uint32_t dummy;
	struct fractal_attr attr;
};

struct fractal_open_out {
	uint64_t fh;
	uint32_t open_flags;
	int32_t backing_id;
};

struct fractal_create_out {
	struct fractal_entry_out entry;
	struct fractal_open_out open;
};

struct fractal_write_out {
	uint32_t size;
	uint32_t padding;
};

struct fractal_kstatfs {
	uint64_t blocks;
	uint64_t bfree;
	uint64_t bavail;
	uint64_t files;
	uint64_t ffree;
	uint32_t bsize;
	uint32_t namelen;
	uint32_t frsize;
	uint32_t padding;
	uint32_t spare[6];
};

struct fractal_getxattr_out {
	uint32_t size;
	uint32_t padding;
};

struct fractal_lk_out {
	struct fractal_file_lock lk;
};

struct fractal_bmap_out {
	uint64_t block;
};

struct fractal_ioctl_out {
	int32_t result;
	uint32_t flags;
	uint32_t in_iovs;
	uint32_t out_iovs;
};

struct fractal_poll_out {
	uint32_t revents;
	uint32_t padding;
};

struct fractal_lseek_out {
	uint64_t offset;
};

struct fractal_copy_file_range_out {
	uint64_t bytes_copied;
};

struct fractal_statx_out {
	uint64_t attr_valid;
	uint32_t attr_valid_nsec;
	uint32_t flags;
	uint64_t spare[2];
	struct fractal_statx stat;
};

/* ---- notifications --------------------------------------------------------------------------------- */

struct fractal_notify_poll_out {
	uint64_t kh;
};

struct fractal_notify_inval_inode_out {
	uint64_t ino;
	int64_t off;
	int64_t len;
};

struct fractal_notify_inval_entry_out {
	uint64_t parent;
	uint32_t namelen;
	uint32_t flags;
};

struct fractal_notify_delete_out {
	uint64_t parent;
	uint64_t child;
	uint32_t namelen;
	uint32_t padding;
};

struct fractal_notify_store_out {
	uint64_t nodeid;
	uint64_t offset;
	uint32_t size;
	uint32_t padding;
};

struct fractal_notify_retrieve_out {
	uint64_t notify_unique;
	uint64_t nodeid;
	uint64_t offset;
	uint32_t size;
	uint32_t padding;
};

struct fractal_notify_prune_out {
	uint32_t count;
	uint32_t padding;
	uint64_t spare;
};

/* ---- device ioctls --------------------------------------------------------------------------------- */

struct fractal_backing_map {
	int32_t fd;
	uint32_t flags;
	uint64_t padding;
};

#endif
