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

/* A structure that is younger than the header: sizes and offsets in bytes. */
#define SIZE(ours, size) check_struct("struct fractal_" #ours, sizeof(struct fractal_##ours), size)
#define AT(ours, field, offset, size)                                                        \
	check_field("struct fractal_" #ours, #field, offsetof(struct fractal_##ours, field), \
		    offset);                                                                 \
	CHECK_INT(SIZEOF_FIELD(struct fractal_##ours, field), size)

static void headers(void)
{
	SAME_SIZE(in_header, in_header);
	FIELD(in_header, len);
	FIELD(in_header, opcode);
	FIELD(in_header, unique);
	FIELD(in_header, nodeid);
	FIELD(in_header, uid);
	FIELD(in_header, gid);
	FIELD(in_header, pid);
	FIELD(in_header, total_extlen);
	FIELD(in_header, padding);

	SAME_SIZE(out_header, out_header);
	FIELD(out_header, len);
	FIELD(out_header, error);
	FIELD(out_header, unique);

	SAME_SIZE(ext_header, ext_header);
	FIELD(ext_header, size);
	FIELD(ext_header, type);
	SAME_SIZE(secctx_header, secctx_header);
	FIELD(secctx_header, size);
	FIELD(secctx_header, nr_secctx);
	SAME_SIZE(secctx, secctx);
	FIELD(secctx, size);
	FIELD(secctx, padding);

	CHECK_INT(sizeof(struct fractal_dirent), offsetof(struct fuse_dirent, name));
	FIELD(dirent, ino);
	FIELD(dirent, off);
	FIELD(dirent, namelen);
	FIELD(dirent, type);
}

static void attributes(void)
{
	SAME_SIZE(attr, attr);
	FIELD(attr, ino);
	FIELD(attr, size);
	FIELD(attr, blocks);
	FIELD_AS(attr, atime_sec, attr, atime);
	FIELD_AS(attr, mtime_sec, attr, mtime);
	FIELD_AS(attr, ctime_sec, attr, ctime);
	FIELD_AS(attr, atime_nsec, attr, atimensec);
	FIELD_AS(attr, mtime_nsec, attr, mtimensec);
	FIELD_AS(attr, ctime_nsec, attr, ctimensec);
	FIELD(attr, mode);
	FIELD(attr, nlink);
	FIELD(attr, uid);
	FIELD(attr, gid);
	FIELD(attr, rdev);
	FIELD(attr, blksize);
	FIELD(attr, flags);

	SAME_SIZE(kstatfs, kstatfs);
	FIELD(kstatfs, blocks);
	FIELD(kstatfs, bfree);
	FIELD(kstatfs, bavail);
	FIELD(kstatfs, files);
	FIELD(kstatfs, ffree);
	FIELD(kstatfs, bsize);
	FIELD(kstatfs, namelen);
	FIELD(kstatfs, frsize);
	FIELD(kstatfs, padding);
	FIELD(kstatfs, spare);

	SAME_SIZE(file_lock, file_lock);
	FIELD(file_lock, start);
	FIELD(file_lock, end);
	FIELD(file_lock, type);
	FIELD(file_lock, pid);
}

static void in_structures_of_names(void)
{
	SAME_SIZE(forget_in, forget_in);
	FIELD(forget_in, nlookup);
	SAME_SIZE(forget_one, forget_one);
	FIELD(forget_one, nodeid);
	FIELD(forget_one, nlookup);
	SAME_SIZE(batch_forget_in, batch_forget_in);
	FIELD(batch_forget_in, count);
	FIELD(batch_forget_in, dummy);
	SAME_SIZE(mknod_in, mknod_in);
	FIELD(mknod_in, mode);
	FIELD(mknod_in, rdev);
	FIELD(mknod_in, umask);
	FIELD(mknod_in, padding);
	SAME_SIZE(mkdir_in, mkdir_in);
	FIELD(mkdir_in, mode);
	FIELD(mkdir_in, umask);
	SAME_SIZE(rename_in, rename_in);
	FIELD(rename_in, newdir);
	SAME_SIZE(rename2_in, rename2_in);
	FIELD(rename2_in, newdir);
	FIELD(rename2_in, flags);
	FIELD(rename2_in, padding);
	SAME_SIZE(link_in, link_in);
	FIELD(link_in, oldnodeid);
	SAME_SIZE(create_in, create_in);
	FIELD(create_in, flags);
	FIELD(create_in, mode);
	FIELD(create_in, umask);
	FIELD(create_in, open_flags);
	SAME_SIZE(setxattr_in, setxattr_in);
	FIELD(setxattr_in, size);
	FIELD(setxattr_in, flags);
	FIELD(setxattr_in, setxattr_flags);
	FIELD(setxattr_in, padding);
	SAME_SIZE(getxattr_in, getxattr_in);
	FIELD(getxattr_in, size);
	FIELD(getxattr_in, padding);
	SAME_SIZE(access_in, access_in);
	FIELD(access_in, mask);
	FIELD(access_in, padding);
}

static void in_structures_of_attributes(void)
{
	SAME_SIZE(getattr_in, getattr_in);
	FIELD_AS(getattr_in, flags, getattr_in, getattr_flags);
	FIELD(getattr_in, dummy);
	FIELD(getattr_in, fh);
	SAME_SIZE(setattr_in, setattr_in);
	FIELD(setattr_in, valid);
	FIELD(setattr_in, padding);
	FIELD(setattr_in, fh);
	FIELD(setattr_in, size);
	FIELD(setattr_in, lock_owner);
	FIELD_AS(setattr_in, atime_sec, setattr_in, atime);
	FIELD_AS(setattr_in, mtime_sec, setattr_in, mtime);
	FIELD_AS(setattr_in, ctime_sec, setattr_in, ctime);
	FIELD_AS(setattr_in, atime_nsec, setattr_in, atimensec);
	FIELD_AS(setattr_in, mtime_nsec, setattr_in, mtimensec);
	FIELD_AS(setattr_in, ctime_nsec, setattr_in, ctimensec);
	FIELD(setattr_in, mode);
	FIELD(setattr_in, unused4);
	FIELD(setattr_in, uid);
	FIELD(setattr_in, gid);
	FIELD(setattr_in, unused5);
	SAME_SIZE(bmap_in, bmap_in);
	FIELD(bmap_in, block);
	FIELD(bmap_in, blocksize);
	FIELD(bmap_in, padding);
	SAME_SIZE(syncfs_in, syncfs_in);
	FIELD(syncfs_in, padding);
	SAME_SIZE(interrupt_in, interrupt_in);
	FIELD(interrupt_in, unique);
}

static void in_structures_of_open_files(void)
{
	SAME_SIZE(open_in, open_in);
	FIELD(open_in, flags);
	FIELD(open_in, open_flags);
	SAME_SIZE(release_in, release_in);
	FIELD(release_in, fh);
	FIELD(release_in, flags);
	FIELD(release_in, release_flags);
	FIELD(release_in, lock_owner);
	SAME_SIZE(flush_in, flush_in);
	FIELD(flush_in, fh);
	FIELD(flush_in, unused);
	FIELD(flush_in, padding);
	FIELD(flush_in, lock_owner);
	SAME_SIZE(read_in, read_in);
	FIELD(read_in, fh);
	FIELD(read_in, offset);
	FIELD(read_in, size);
	FIELD(read_in, read_flags);
	FIELD(read_in, lock_owner);
	FIELD(read_in, flags);
	FIELD(read_in, padding);
	SAME_SIZE(write_in, write_in);
	FIELD(write_in, fh);
	FIELD(write_in, offset);
	FIELD(write_in, size);
	FIELD(write_in, write_flags);
	FIELD(write_in, lock_owner);
	FIELD(write_in, flags);
	FIELD(write_in, padding);
	SAME_SIZE(fsync_in, fsync_in);
	FIELD(fsync_in, fh);
	FIELD(fsync_in, fsync_flags);
	FIELD(fsync_in, padding);
	SAME_SIZE(fallocate_in, fallocate_in);
	FIELD(fallocate_in, fh);
	FIELD(fallocate_in, offset);
	FIELD(fallocate_in, length);
	FIELD(fallocate_in, mode);
	FIELD(fallocate_in, padding);
	SAME_SIZE(lseek_in, lseek_in);
	FIELD(lseek_in, fh);
	FIELD(lseek_in, offset);
	FIELD(lseek_in, whence);
	FIELD(lseek_in, padding);
}

static void in_structures_of_the_rest(void)
{
	SAME_SIZE(lk_in, lk_in);
	FIELD(lk_in, fh);
	FIELD(lk_in, owner);
	FIELD(lk_in, lk);
	FIELD(lk_in, lk_flags);
	FIELD(lk_in, padding);
	SAME_SIZE(ioctl_in, ioctl_in);
	FIELD(ioctl_in, fh);
	FIELD(ioctl_in, flags);
	FIELD(ioctl_in, cmd);
	FIELD(ioctl_in, arg);
	FIELD(ioctl_in, in_size);
	FIELD(ioctl_in, out_size);
	SAME_SIZE(poll_in, poll_in);
	FIELD(poll_in, fh);
	FIELD(poll_in, kh);
	FIELD(poll_in, flags);
	FIELD(poll_in, events);
	SAME_SIZE(copy_file_range_in, copy_file_range_in);
	FIELD(copy_file_range_in, fh_in);
	FIELD(copy_file_range_in, off_in);
	FIELD(copy_file_range_in, nodeid_out);
	FIELD(copy_file_range_in, fh_out);
	FIELD(copy_file_range_in, off_out);
	FIELD(copy_file_range_in, len);
	FIELD(copy_file_range_in, flags);
	SAME_SIZE(init_in, init_in);
	FIELD(init_in, major);
	FIELD(init_in, minor);
	FIELD(init_in, max_readahead);
	FIELD(init_in, flags);
	FIELD(init_in, flags2);
	FIELD(init_in, unused);
	SAME_SIZE(notify_retrieve_in, notify_retrieve_in);
	FIELD(notify_retrieve_in, dummy1);
	FIELD(notify_retrieve_in, offset);
	FIELD(notify_retrieve_in, size);
	FIELD(notify_retrieve_in, dummy2);
	FIELD(notify_retrieve_in, dummy3);
	FIELD(notify_retrieve_in, dummy4);
}

static void out_structures(void)
{
	SAME_SIZE(entry_out, entry_out);
	FIELD(entry_out, nodeid);
	FIELD(entry_out, generation);
	FIELD(entry_out, entry_valid);
	FIELD(entry_out, attr_valid);
	FIELD(entry_out, entry_valid_nsec);
	FIELD(entry_out, attr_valid_nsec);
	FIELD(entry_out, attr);
	SAME_SIZE(attr_out, attr_out);
	FIELD(attr_out, attr_valid);
	FIELD(attr_out, attr_valid_nsec);
	FIELD(attr_out, dummy);
	FIELD(attr_out, attr);
	SAME_SIZE(open_out, open_out);
	FIELD(open_out, fh);
	FIELD(open_out, open_flags);
	AT(open_out, backing_id, 12, 4);
	SIZE(create_out, sizeof(struct fuse_entry_out) + sizeof(struct fuse_open_out));
	AT(create_out, entry, 0, sizeof(struct fuse_entry_out));
	AT(create_out, open, sizeof(struct fuse_entry_out), sizeof(struct fuse_open_out));
	SAME_SIZE(write_out, write_out);
	FIELD(write_out, size);
	FIELD(write_out, padding);
	SAME_SIZE(getxattr_out, getxattr_out);
	FIELD(getxattr_out, size);
	FIELD(getxattr_out, padding);
	SAME_SIZE(lk_out, lk_out);
	FIELD(lk_out, lk);
	SAME_SIZE(bmap_out, bmap_out);
	FIELD(bmap_out, block);
	SAME_SIZE(ioctl_out, ioctl_out);
	FIELD(ioctl_out, result);
	FIELD(ioctl_out, flags);
	FIELD(ioctl_out, in_iovs);
	FIELD(ioctl_out, out_iovs);
	SAME_SIZE(poll_out, poll_out);
	FIELD(poll_out, revents);
	FIELD(poll_out, padding);
	SAME_SIZE(lseek_out, lseek_out);
	FIELD(lseek_out, offset);
}

static void init_reply(void)
{
	SAME_SIZE(init_out, init_out);
	FIELD(init_out, major);
	FIELD(init_out, minor);
	FIELD(init_out, max_readahead);
	FIELD(init_out, flags);
	FIELD(init_out, max_background);
	FIELD(init_out, congestion_threshold);
	FIELD(init_out, max_write);
	FIELD(init_out, time_gran);
	FIELD(init_out, max_pages);
	FIELD(init_out, map_alignment);
	FIELD(init_out, flags2);
	AT(init_out, max_stack_depth, 36, 4);
	AT(init_out, request_timeout, 40, 2);
	AT(init_out, unused, 42, 22);
}

static void notifications(void)
{
	SAME_SIZE(notify_poll_out, notify_poll_wakeup_out);
	FIELD_AS(notify_poll_out, kh, notify_poll_wakeup_out, kh);
	SAME_SIZE(notify_inval_inode_out, notify_inval_inode_out);
	FIELD(notify_inval_inode_out, ino);
	FIELD(notify_inval_inode_out, off);
	FIELD(notify_inval_inode_out, len);
	SAME_SIZE(notify_inval_entry_out, notify_inval_entry_out);
	FIELD(notify_inval_entry_out, parent);
	FIELD(notify_inval_entry_out, namelen);
	FIELD(notify_inval_entry_out, flags);
	SAME_SIZE(notify_delete_out, notify_delete_out);
	FIELD(notify_delete_out, parent);
	FIELD(notify_delete_out, child);
	FIELD(notify_delete_out, namelen);
	FIELD(notify_delete_out, padding);
	SAME_SIZE(notify_store_out, notify_store_out);
	FIELD(notify_store_out, nodeid);
	FIELD(notify_store_out, offset);
	FIELD(notify_store_out, size);
	FIELD(notify_store_out, padding);
	SAME_SIZE(notify_retrieve_out, notify_retrieve_out);
	FIELD(notify_retrieve_out, notify_unique);
	FIELD(notify_retrieve_out, nodeid);
	FIELD(notify_retrieve_out, offset);
	FIELD(notify_retrieve_out, size);
	FIELD(notify_retrieve_out, padding);
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
	VIEW(struct fractal_op_stats, max_ns);
#define WHOLE(type) check_struct(#type, sizeof(type), sizeof(type))
	WHOLE(struct fractal_request);
	WHOLE(struct fractal_conn);
	WHOLE(struct fractal_op_stats);
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
