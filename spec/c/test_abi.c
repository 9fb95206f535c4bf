/* SPDX-License-Identifier: MIT */
/*
 * test_abi.c - is abi.h the kernel's wire format, and does LuaJIT see the same?
 *
 * Each field is compared with <linux/fuse.h>. What the oldest supported header (7.38) lacks is compared with offsets
 * written down here. Every row is also told to LuaJIT, which compares it with its own reading of the declarations.
 */
#include "check.h"
#include "fractal.h"
#include <libgen.h>
#include <limits.h>
#include <linux/fuse.h>
#include <stddef.h>
#include <sys/wait.h>
#include <unistd.h>

static FILE *lua;

static void check_struct(const char *name, size_t size, size_t want)
{
	if (!check_int((long long)size, (long long)want, __FILE__, __LINE__, name))
		fprintf(stderr, "  as the size of %s\n", name);
	fprintf(lua, "size(%zu, \"%s\")\n", want, name);
}

static void check_field(const char *name, const char *field, size_t at, size_t want)
{
	if (!check_int((long long)at, (long long)want, __FILE__, __LINE__, field))
		fprintf(stderr, "  as the offset in %s\n", name);
	fprintf(lua, "offset(%zu, \"%s\", \"%s\")\n", want, name, field);
}

#define SIZEOF_FIELD(type, field) sizeof(((type *)0)->field)

/* A structure of <linux/fuse.h>; FIELD compares a member of it with the header's member. */
#define SAME_SIZE(ours, theirs)                                              \
	check_struct("struct fractal_" #ours, sizeof(struct fractal_##ours), \
		     sizeof(struct fuse_##theirs))
#define FIELD_AS(ours, field, theirs, their_field)                                           \
	check_field("struct fractal_" #ours, #field, offsetof(struct fractal_##ours, field), \
		    offsetof(struct fuse_##theirs, their_field));                            \
	CHECK_INT(SIZEOF_FIELD(struct fractal_##ours, field),                                \
		  SIZEOF_FIELD(struct fuse_##theirs, their_field))
#define FIELD(name, field) FIELD_AS(name, field, name, field)

/* FIELDS(name, a, b, …) is FIELD(name, a); FIELD(name, b); … for up to eleven of them. */
#define FIELDS(name, ...) \
	COUNTED(__VA_ARGS__, F11, F10, F9, F8, F7, F6, F5, F4, F3, F2, F1)(name, __VA_ARGS__)
#define COUNTED(a, b, c, d, e, f, g, h, i, j, k, chosen, ...) chosen
#define F1(name, field)					      FIELD(name, field)
#define F2(name, field, ...) \
	FIELD(name, field);  \
	F1(name, __VA_ARGS__)
#define F3(name, field, ...) \
	FIELD(name, field);  \
	F2(name, __VA_ARGS__)
#define F4(name, field, ...) \
	FIELD(name, field);  \
	F3(name, __VA_ARGS__)
#define F5(name, field, ...) \
	FIELD(name, field);  \
	F4(name, __VA_ARGS__)
#define F6(name, field, ...) \
	FIELD(name, field);  \
	F5(name, __VA_ARGS__)
#define F7(name, field, ...) \
	FIELD(name, field);  \
	F6(name, __VA_ARGS__)
#define F8(name, field, ...) \
	FIELD(name, field);  \
	F7(name, __VA_ARGS__)
#define F9(name, field, ...) \
	FIELD(name, field);  \
	F8(name, __VA_ARGS__)
#define F10(name, field, ...) \
	FIELD(name, field);   \
	F9(name, __VA_ARGS__)
#define F11(name, field, ...) \
	FIELD(name, field);   \
	F10(name, __VA_ARGS__)

/* A structure that is younger than the header: sizes and offsets in bytes. */
#define SIZE(ours, size) check_struct("struct fractal_" #ours, sizeof(struct fractal_##ours), size)
#define AT(ours, field, offset, size)                                                        \
	check_field("struct fractal_" #ours, #field, offsetof(struct fractal_##ours, field), \
		    offset);                                                                 \
	CHECK_INT(SIZEOF_FIELD(struct fractal_##ours, field), size)

static void headers(void)
{
	SAME_SIZE(in_header, in_header);
	FIELDS(in_header, len, opcode, unique, nodeid, uid, gid, pid, total_extlen, padding);

	SAME_SIZE(out_header, out_header);
	FIELDS(out_header, len, error, unique);

	SAME_SIZE(ext_header, ext_header);
	FIELDS(ext_header, size, type);
	SAME_SIZE(secctx_header, secctx_header);
	FIELDS(secctx_header, size, nr_secctx);
	SAME_SIZE(secctx, secctx);
	FIELDS(secctx, size, padding);

	CHECK_INT(sizeof(struct fractal_dirent), offsetof(struct fuse_dirent, name));
	FIELDS(dirent, ino, off, namelen, type);
}

static void attributes(void)
{
	SAME_SIZE(attr, attr);
	FIELDS(attr, ino, size, blocks);
	FIELD_AS(attr, atime_sec, attr, atime);
	FIELD_AS(attr, mtime_sec, attr, mtime);
	FIELD_AS(attr, ctime_sec, attr, ctime);
	FIELD_AS(attr, atime_nsec, attr, atimensec);
	FIELD_AS(attr, mtime_nsec, attr, mtimensec);
	FIELD_AS(attr, ctime_nsec, attr, ctimensec);
	FIELDS(attr, mode, nlink, uid, gid, rdev, blksize, flags);

	SAME_SIZE(kstatfs, kstatfs);
	FIELDS(kstatfs, blocks, bfree, bavail, files, ffree, bsize, namelen, frsize, padding,
	       spare);

	SAME_SIZE(file_lock, file_lock);
	FIELDS(file_lock, start, end, type, pid);
}

static void in_structures_of_names(void)
{
	SAME_SIZE(forget_in, forget_in);
	FIELDS(forget_in, nlookup);
	SAME_SIZE(forget_one, forget_one);
	FIELDS(forget_one, nodeid, nlookup);
	SAME_SIZE(batch_forget_in, batch_forget_in);
	FIELDS(batch_forget_in, count, dummy);
	SAME_SIZE(mknod_in, mknod_in);
	FIELDS(mknod_in, mode, rdev, umask, padding);
	SAME_SIZE(mkdir_in, mkdir_in);
	FIELDS(mkdir_in, mode, umask);
	SAME_SIZE(rename_in, rename_in);
	FIELDS(rename_in, newdir);
	SAME_SIZE(rename2_in, rename2_in);
	FIELDS(rename2_in, newdir, flags, padding);
	SAME_SIZE(link_in, link_in);
	FIELDS(link_in, oldnodeid);
	SAME_SIZE(create_in, create_in);
	FIELDS(create_in, flags, mode, umask, open_flags);
	SAME_SIZE(setxattr_in, setxattr_in);
	FIELDS(setxattr_in, size, flags, setxattr_flags, padding);
	SAME_SIZE(getxattr_in, getxattr_in);
	FIELDS(getxattr_in, size, padding);
	SAME_SIZE(access_in, access_in);
	FIELDS(access_in, mask, padding);
}

static void in_structures_of_attributes(void)
{
	SAME_SIZE(getattr_in, getattr_in);
	FIELD_AS(getattr_in, flags, getattr_in, getattr_flags);
	FIELDS(getattr_in, dummy, fh);
	SAME_SIZE(setattr_in, setattr_in);
	FIELDS(setattr_in, valid, padding, fh, size, lock_owner);
	FIELD_AS(setattr_in, atime_sec, setattr_in, atime);
	FIELD_AS(setattr_in, mtime_sec, setattr_in, mtime);
	FIELD_AS(setattr_in, ctime_sec, setattr_in, ctime);
	FIELD_AS(setattr_in, atime_nsec, setattr_in, atimensec);
	FIELD_AS(setattr_in, mtime_nsec, setattr_in, mtimensec);
	FIELD_AS(setattr_in, ctime_nsec, setattr_in, ctimensec);
	FIELDS(setattr_in, mode, unused4, uid, gid, unused5);
	SAME_SIZE(bmap_in, bmap_in);
	FIELDS(bmap_in, block, blocksize, padding);
	SAME_SIZE(syncfs_in, syncfs_in);
	FIELDS(syncfs_in, padding);
	SAME_SIZE(interrupt_in, interrupt_in);
	FIELDS(interrupt_in, unique);
}

static void in_structures_of_open_files(void)
{
	SAME_SIZE(open_in, open_in);
	FIELDS(open_in, flags, open_flags);
	SAME_SIZE(release_in, release_in);
	FIELDS(release_in, fh, flags, release_flags, lock_owner);
	SAME_SIZE(flush_in, flush_in);
	FIELDS(flush_in, fh, unused, padding, lock_owner);
	SAME_SIZE(read_in, read_in);
	FIELDS(read_in, fh, offset, size, read_flags, lock_owner, flags, padding);
	SAME_SIZE(write_in, write_in);
	FIELDS(write_in, fh, offset, size, write_flags, lock_owner, flags, padding);
	SAME_SIZE(fsync_in, fsync_in);
	FIELDS(fsync_in, fh, fsync_flags, padding);
	SAME_SIZE(fallocate_in, fallocate_in);
	FIELDS(fallocate_in, fh, offset, length, mode, padding);
	SAME_SIZE(lseek_in, lseek_in);
	FIELDS(lseek_in, fh, offset, whence, padding);
}

static void in_structures_of_the_rest(void)
{
	SAME_SIZE(lk_in, lk_in);
	FIELDS(lk_in, fh, owner, lk, lk_flags, padding);
	SAME_SIZE(ioctl_in, ioctl_in);
	FIELDS(ioctl_in, fh, flags, cmd, arg, in_size, out_size);
	SAME_SIZE(poll_in, poll_in);
	FIELDS(poll_in, fh, kh, flags, events);
	SAME_SIZE(copy_file_range_in, copy_file_range_in);
	FIELDS(copy_file_range_in, fh_in, off_in, nodeid_out, fh_out, off_out, len, flags);
	SAME_SIZE(init_in, init_in);
	FIELDS(init_in, major, minor, max_readahead, flags, flags2, unused);
	SAME_SIZE(notify_retrieve_in, notify_retrieve_in);
	FIELDS(notify_retrieve_in, dummy1, offset, size, dummy2, dummy3, dummy4);
}

static void out_structures(void)
{
	SAME_SIZE(entry_out, entry_out);
	FIELDS(entry_out, nodeid, generation, entry_valid, attr_valid, entry_valid_nsec,
	       attr_valid_nsec, attr);
	SAME_SIZE(attr_out, attr_out);
	FIELDS(attr_out, attr_valid, attr_valid_nsec, dummy, attr);
	SAME_SIZE(open_out, open_out);
	FIELDS(open_out, fh, open_flags);
	AT(open_out, backing_id, 12, 4);
	SIZE(create_out, sizeof(struct fuse_entry_out) + sizeof(struct fuse_open_out));
	AT(create_out, entry, 0, sizeof(struct fuse_entry_out));
	AT(create_out, open, sizeof(struct fuse_entry_out), sizeof(struct fuse_open_out));
	SAME_SIZE(write_out, write_out);
	FIELDS(write_out, size, padding);
	SAME_SIZE(getxattr_out, getxattr_out);
	FIELDS(getxattr_out, size, padding);
	SAME_SIZE(lk_out, lk_out);
	FIELDS(lk_out, lk);
	SAME_SIZE(bmap_out, bmap_out);
	FIELDS(bmap_out, block);
	SAME_SIZE(ioctl_out, ioctl_out);
	FIELDS(ioctl_out, result, flags, in_iovs, out_iovs);
	SAME_SIZE(poll_out, poll_out);
	FIELDS(poll_out, revents, padding);
	SAME_SIZE(lseek_out, lseek_out);
	FIELDS(lseek_out, offset);
}

static void init_reply(void)
{
	SAME_SIZE(init_out, init_out);
	FIELDS(init_out, major, minor, max_readahead, flags, max_background, congestion_threshold,
	       max_write, time_gran, max_pages, map_alignment, flags2);
	AT(init_out, max_stack_depth, 36, 4);
	AT(init_out, request_timeout, 40, 2);
	AT(init_out, unused, 42, 22);
}

static void notifications(void)
{
	SAME_SIZE(notify_poll_out, notify_poll_wakeup_out);
	FIELD_AS(notify_poll_out, kh, notify_poll_wakeup_out, kh);
	SAME_SIZE(notify_inval_inode_out, notify_inval_inode_out);
	FIELDS(notify_inval_inode_out, ino, off, len);
	SAME_SIZE(notify_inval_entry_out, notify_inval_entry_out);
	FIELDS(notify_inval_entry_out, parent, namelen, flags);
	SAME_SIZE(notify_delete_out, notify_delete_out);
	FIELDS(notify_delete_out, parent, child, namelen, padding);
	SAME_SIZE(notify_store_out, notify_store_out);
	FIELDS(notify_store_out, nodeid, offset, size, padding);
	SAME_SIZE(notify_retrieve_out, notify_retrieve_out);
	FIELDS(notify_retrieve_out, notify_unique, nodeid, offset, size, padding);
	SIZE(notify_prune_out, 16);
	AT(notify_prune_out, count, 0, 4);
	AT(notify_prune_out, padding, 4, 4);
	AT(notify_prune_out, spare, 8, 8);
}

static void ring_structures(void)
{
	SIZE(uring_req_header, 288);
	AT(uring_req_header, in_out, 0, 128);
	AT(uring_req_header, op_in, 128, 128);
	AT(uring_req_header, ring_ent_in_out, 256, 32);
	SIZE(uring_ent_in_out, 32);
	AT(uring_ent_in_out, flags, 0, 8);
	AT(uring_ent_in_out, commit_id, 8, 8);
	AT(uring_ent_in_out, payload_sz, 16, 4);
	AT(uring_ent_in_out, padding, 20, 4);
	AT(uring_ent_in_out, reserved, 24, 8);
	SIZE(uring_cmd_req, 24);
	AT(uring_cmd_req, flags, 0, 8);
	AT(uring_cmd_req, commit_id, 8, 8);
	AT(uring_cmd_req, qid, 16, 2);
	AT(uring_cmd_req, padding, 18, 6);
	CHECK_INT(FRACTAL_URING_CMD_REGISTER, 1);
	CHECK_INT(FRACTAL_URING_CMD_COMMIT_AND_FETCH, 2);
}

static void young_structures(void)
{
	SIZE(supp_groups, 4);
	AT(supp_groups, nr_groups, 0, 4);
	SIZE(sx_time, 16);
	AT(sx_time, sec, 0, 8);
	AT(sx_time, nsec, 8, 4);
	AT(sx_time, reserved, 12, 4);
	SIZE(statx, 256);
	AT(statx, mask, 0, 4);
	AT(statx, blksize, 4, 4);
	AT(statx, attributes, 8, 8);
	AT(statx, nlink, 16, 4);
	AT(statx, uid, 20, 4);
	AT(statx, gid, 24, 4);
	AT(statx, mode, 28, 2);
	AT(statx, spare0, 30, 2);
	AT(statx, ino, 32, 8);
	AT(statx, size, 40, 8);
	AT(statx, blocks, 48, 8);
	AT(statx, attributes_mask, 56, 8);
	AT(statx, sx_atime, 64, 16);
	AT(statx, sx_btime, 80, 16);
	AT(statx, sx_ctime, 96, 16);
	AT(statx, sx_mtime, 112, 16);
	AT(statx, rdev_major, 128, 4);
	AT(statx, rdev_minor, 132, 4);
	AT(statx, dev_major, 136, 4);
	AT(statx, dev_minor, 140, 4);
	AT(statx, spare2, 144, 112);
	SIZE(statx_in, 24);
	AT(statx_in, getattr_flags, 0, 4);
	AT(statx_in, reserved, 4, 4);
	AT(statx_in, fh, 8, 8);
	AT(statx_in, sx_flags, 16, 4);
	AT(statx_in, sx_mask, 20, 4);
	SIZE(statx_out, 288);
	AT(statx_out, attr_valid, 0, 8);
	AT(statx_out, attr_valid_nsec, 8, 4);
	AT(statx_out, flags, 12, 4);
	AT(statx_out, spare, 16, 16);
	AT(statx_out, stat, 32, 256);
	SIZE(copy_file_range_out, 8);
	AT(copy_file_range_out, bytes_copied, 0, 8);
	SIZE(backing_map, 16);
	AT(backing_map, fd, 0, 4);
	AT(backing_map, flags, 4, 4);
	AT(backing_map, padding, 8, 8);
}

static void constants(void)
{
#define SAME_VALUE(ours, theirs) CHECK_INT(FRACTAL_##ours, theirs)
	SAME_VALUE(KERNEL_VERSION, FUSE_KERNEL_VERSION);
	SAME_VALUE(ROOT_ID, FUSE_ROOT_ID);
	SAME_VALUE(MIN_READ_BUFFER, FUSE_MIN_READ_BUFFER);
	CHECK_INT(FRACTAL_KERNEL_MINOR, 45);
	SAME_VALUE(SET_MODE, FATTR_MODE);
	SAME_VALUE(SET_UID, FATTR_UID);
	SAME_VALUE(SET_GID, FATTR_GID);
	SAME_VALUE(SET_SIZE, FATTR_SIZE);
	SAME_VALUE(SET_ATIME, FATTR_ATIME);
	SAME_VALUE(SET_MTIME, FATTR_MTIME);
	SAME_VALUE(SET_FH, FATTR_FH);
	SAME_VALUE(SET_ATIME_NOW, FATTR_ATIME_NOW);
	SAME_VALUE(SET_MTIME_NOW, FATTR_MTIME_NOW);
	SAME_VALUE(SET_LOCKOWNER, FATTR_LOCKOWNER);
	SAME_VALUE(SET_CTIME, FATTR_CTIME);
	SAME_VALUE(SET_KILL_SUIDGID, FATTR_KILL_SUIDGID);
	SAME_VALUE(FOPEN_DIRECT_IO, FOPEN_DIRECT_IO);
	SAME_VALUE(FOPEN_KEEP_CACHE, FOPEN_KEEP_CACHE);
	SAME_VALUE(FOPEN_NONSEEKABLE, FOPEN_NONSEEKABLE);
	SAME_VALUE(FOPEN_CACHE_DIR, FOPEN_CACHE_DIR);
	SAME_VALUE(FOPEN_STREAM, FOPEN_STREAM);
	SAME_VALUE(FOPEN_NOFLUSH, FOPEN_NOFLUSH);
	SAME_VALUE(FOPEN_PARALLEL_DIRECT_WRITES, FOPEN_PARALLEL_DIRECT_WRITES);
	CHECK_INT(FRACTAL_FOPEN_PASSTHROUGH, 1 << 7);
	SAME_VALUE(GETATTR_FH, FUSE_GETATTR_FH);
	SAME_VALUE(RELEASE_FLUSH, FUSE_RELEASE_FLUSH);
	SAME_VALUE(RELEASE_FLOCK_UNLOCK, FUSE_RELEASE_FLOCK_UNLOCK);
	SAME_VALUE(WRITE_CACHE, FUSE_WRITE_CACHE);
	SAME_VALUE(WRITE_LOCKOWNER, FUSE_WRITE_LOCKOWNER);
	SAME_VALUE(WRITE_KILL_SUIDGID, FUSE_WRITE_KILL_SUIDGID);
	SAME_VALUE(READ_LOCKOWNER, FUSE_READ_LOCKOWNER);
	SAME_VALUE(OPEN_KILL_SUIDGID, FUSE_OPEN_KILL_SUIDGID);
	SAME_VALUE(FSYNC_FDATASYNC, FUSE_FSYNC_FDATASYNC);
	SAME_VALUE(LK_FLOCK, FUSE_LK_FLOCK);
	SAME_VALUE(SETXATTR_ACL_KILL_SGID, FUSE_SETXATTR_ACL_KILL_SGID);
	SAME_VALUE(ATTR_SUBMOUNT, FUSE_ATTR_SUBMOUNT);
	SAME_VALUE(ATTR_DAX, FUSE_ATTR_DAX);
	SAME_VALUE(POLL_SCHEDULE_NOTIFY, FUSE_POLL_SCHEDULE_NOTIFY);
	SAME_VALUE(IOCTL_COMPAT, FUSE_IOCTL_COMPAT);
	SAME_VALUE(IOCTL_UNRESTRICTED, FUSE_IOCTL_UNRESTRICTED);
	SAME_VALUE(IOCTL_RETRY, FUSE_IOCTL_RETRY);
	SAME_VALUE(IOCTL_32BIT, FUSE_IOCTL_32BIT);
	SAME_VALUE(IOCTL_DIR, FUSE_IOCTL_DIR);
	SAME_VALUE(EXPIRE_ONLY, FUSE_EXPIRE_ONLY);
	SAME_VALUE(EXT_MAX_SECCTX, FUSE_MAX_NR_SECCTX);
	CHECK_INT(FRACTAL_EXT_GROUPS, 32);
	SAME_VALUE(NOTIFY_POLL, FUSE_NOTIFY_POLL);
	SAME_VALUE(NOTIFY_INVAL_INODE, FUSE_NOTIFY_INVAL_INODE);
	SAME_VALUE(NOTIFY_INVAL_ENTRY, FUSE_NOTIFY_INVAL_ENTRY);
	SAME_VALUE(NOTIFY_STORE, FUSE_NOTIFY_STORE);
	SAME_VALUE(NOTIFY_RETRIEVE, FUSE_NOTIFY_RETRIEVE);
	SAME_VALUE(NOTIFY_DELETE, FUSE_NOTIFY_DELETE);
	CHECK_INT(FRACTAL_NOTIFY_RESEND, 7);
	CHECK_INT(FRACTAL_NOTIFY_INC_EPOCH, 8);
	CHECK_INT(FRACTAL_NOTIFY_PRUNE, 9);
}

/* Opcodes and capability bits by their row's name; the youngest ones by number. */
#define FUSE_STATX		52
#define FUSE_COPY_FILE_RANGE_64 53

static void opcodes(void)
{
	int rows = 0;

#define FRACTAL_OP(NAME, name, opcode, in, names, data, reply, err, minor, doc) \
	CHECK_INT(opcode, FUSE_##NAME);                                         \
	CHECK(opcode < FRACTAL_OP_COUNT);                                       \
	CHECK_TEXT(fractal_op_name(opcode), #name);                             \
	CHECK_INT(fractal_op_reply_kind(opcode), FRACTAL_REPLY_##reply);        \
	fprintf(lua, "constant(%d, \"FRACTAL_OP_%s\")\n", FUSE_##NAME, #NAME);  \
	rows++;
#include "ops.def"
#undef FRACTAL_OP
	CHECK_INT(rows, 49);
	CHECK_TEXT(fractal_op_name(FUSE_SETUPMAPPING), "unknown");
	CHECK_TEXT(fractal_op_name(7), "unknown");
	CHECK_TEXT(fractal_op_name(UINT32_MAX), "unknown");
}

#define FUSE_CREATE_SUPP_GROUP	  (1ULL << 34)
#define FUSE_DIRECT_IO_ALLOW_MMAP (1ULL << 36)
#define FUSE_PASSTHROUGH	  (1ULL << 37)
#define FUSE_NO_EXPORT_SUPPORT	  (1ULL << 38)
#define FUSE_HAS_RESEND		  (1ULL << 39)
#define FUSE_ALLOW_IDMAP	  (1ULL << 40)
#define FUSE_OVER_IO_URING	  (1ULL << 41)
#define FUSE_REQUEST_TIMEOUT	  (1ULL << 42)

static void capabilities(void)
{
	int next = 0;

	/* One row for each bit, in order; bit 31 is reserved. */
#define FRACTAL_CAP(NAME, option, bit, def, doc)      \
	next += next == 31;                           \
	CHECK_INT(bit, next++);                       \
	CHECK_INT(1ULL << (bit), FUSE_##NAME);        \
	CHECK_INT(fractal_cap_by_name(#option), bit); \
	fprintf(lua, "constant(%d, \"FRACTAL_CAP_%s\")\n", bit, #NAME);
#include "caps.def"
#undef FRACTAL_CAP
	CHECK_INT(next, 43);
	CHECK(fractal_cap_by_name("writeback") < 0);
}

static void public_structures(void)
{
#define VIEW(type, field) check_field(#type, #field, offsetof(type, field), offsetof(type, field))
	VIEW(struct fractal_request, id);
	VIEW(struct fractal_request, nodeid);
	VIEW(struct fractal_request, opcode);
	VIEW(struct fractal_request, pid);
	VIEW(struct fractal_request, epoch);
	VIEW(struct fractal_request, slot);
	VIEW(struct fractal_request, arg);
	VIEW(struct fractal_request, out);
	VIEW(struct fractal_request, name);
	VIEW(struct fractal_request, name2);
	VIEW(struct fractal_request, data);
	VIEW(struct fractal_request, reply_data);
	VIEW(struct fractal_request, ext);
	VIEW(struct fractal_request, name_len);
	VIEW(struct fractal_request, data_len);
	VIEW(struct fractal_request, reply_cap);
	VIEW(struct fractal_request, reply_len);
	VIEW(struct fractal_request, ext_len);
	VIEW(struct fractal_request, worker);
	VIEW(struct fractal_request, user);
	VIEW(struct fractal_conn, offered);
	VIEW(struct fractal_conn, wanted);
	VIEW(struct fractal_conn, max_write);
	VIEW(struct fractal_conn, request_timeout);
	VIEW(struct fractal_op_stats, bytes_out);
	VIEW(struct fractal_latency, buckets);
	VIEW(struct fractal_load, depth);
#define WHOLE(type) check_struct(#type, sizeof(type), sizeof(type))
	WHOLE(struct fractal_request);
	WHOLE(struct fractal_conn);
	WHOLE(struct fractal_op_stats);
	WHOLE(struct fractal_latency);
	WHOLE(struct fractal_load);
	WHOLE(union fractal_in);
	WHOLE(union fractal_out);
}

static const char prelude[] =
	"local ffi, wrong = require('ffi'), 0\n"
	"local function compare(got, want, what)\n"
	"  if got ~= want then\n"
	"    print(('LuaJIT: %s is %s, not %s'):format(what, tostring(got), want))\n"
	"    wrong = wrong + 1\n"
	"  end\n"
	"end\n"
	"local function size(want, name) compare(ffi.sizeof(name), want, name) end\n"
	"local function offset(want, name, field)\n"
	"  compare(ffi.offsetof(name, field), want, name .. '.' .. field)\n"
	"end\n"
	"local function constant(want, name) compare(ffi.C[name], want, name) end\n";

/* The build directory is where this program lies; the generated modules are below it. */
static void start_lua(char *script, size_t size)
{
	char self[PATH_MAX] = "";
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n < 0)
		SKIP("/proc is not mounted");
	snprintf(script, size, "/tmp/fractal-abi-%d.lua", (int)getpid());
	lua = fopen(script, "we");
	if (!lua)
		SKIP("/tmp cannot be written to");
	fprintf(lua, "dofile('%s/generated/lua/fractal/cdef.lua')\n%s", dirname(self), prelude);
}

static void lua_agrees(const char *script)
{
	char command[PATH_MAX];
	int status;

	fprintf(lua, "os.exit(wrong == 0 and 0 or 1)\n");
	CHECK_INT(fclose(lua), 0);
	snprintf(command, sizeof(command), "luajit %s", script);
	status = system(command);
	unlink(script);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		SKIP("luajit is not installed");
	CHECK_INT(status, 0);
}

int main(void)
{
	char script[64];

	start_lua(script, sizeof(script));
	RUN(headers);
	RUN(attributes);
	RUN(in_structures_of_names);
	RUN(in_structures_of_attributes);
	RUN(in_structures_of_open_files);
	RUN(in_structures_of_the_rest);
	RUN(out_structures);
	RUN(init_reply);
	RUN(notifications);
	RUN(ring_structures);
	RUN(young_structures);
	RUN(constants);
	RUN(opcodes);
	RUN(capabilities);
	RUN(public_structures);
	lua_agrees(script);
	return check_result();
}
