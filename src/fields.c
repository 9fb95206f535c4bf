/* SPDX-License-Identifier: MIT */
/* fields.c - see fields.h. One table for each structure; padding has no row. */
#include "fields.h"
#include "text.h"
#include <string.h>

#define ROW(struct_, label, member, kind_, shown_, when_)                                          \
	{                                                                                          \
		.name = label, .offset = offsetof(struct fractal_##struct_, member),               \
		.size = sizeof(((struct fractal_##struct_ *)NULL)->member), .kind = FIELD_##kind_, \
		.shown = shown_, .when = when_                                                     \
	}
/* A field that a trace shows, one that it leaves out, one that counts only with these bits in the first word. */
#define SHOWN(struct_, member, kind)		 ROW(struct_, #member, member, kind, true, 0)
#define QUIET(struct_, member, kind)		 ROW(struct_, #member, member, kind, false, 0)
#define WHEN(struct_, member, kind, when)	 ROW(struct_, #member, member, kind, true, when)
/* The same for a member of a member. */
#define INNER(struct_, part, member, kind)	 ROW(struct_, #member, part.member, kind, true, 0)
#define QUIET_INNER(struct_, part, member, kind) ROW(struct_, #member, part.member, kind, false, 0)

/* ---- in-structures, named as in ops.def ---- */

static const struct field none_fields[] = {};
static const struct field init_fields[] = { SHOWN(init_in, major, NUMBER),
					    SHOWN(init_in, minor, NUMBER) };
static const struct field forget_fields[] = { SHOWN(forget_in, nlookup, NUMBER) };
static const struct field batch_forget_fields[] = { SHOWN(batch_forget_in, count, NUMBER) };
static const struct field getattr_fields[] = {
	QUIET(getattr_in, flags, FLAGS),
	WHEN(getattr_in, fh, FH, FRACTAL_GETATTR_FH),
};
static const struct field setattr_fields[] = {
	SHOWN(setattr_in, valid, FLAGS),
	WHEN(setattr_in, fh, FH, FRACTAL_SET_FH),
	WHEN(setattr_in, size, NUMBER, FRACTAL_SET_SIZE),
	WHEN(setattr_in, mode, OCTAL, FRACTAL_SET_MODE),
	WHEN(setattr_in, uid, NUMBER, FRACTAL_SET_UID),
	WHEN(setattr_in, gid, NUMBER, FRACTAL_SET_GID),
	WHEN(setattr_in, atime_sec, SIGNED, FRACTAL_SET_ATIME),
	WHEN(setattr_in, mtime_sec, SIGNED, FRACTAL_SET_MTIME),
};
static const struct field mknod_fields[] = {
	SHOWN(mknod_in, mode, OCTAL),
	SHOWN(mknod_in, rdev, NUMBER),
	SHOWN(mknod_in, umask, OCTAL),
};
static const struct field mkdir_fields[] = {
	SHOWN(mkdir_in, mode, OCTAL),
	SHOWN(mkdir_in, umask, OCTAL),
};
static const struct field rename_fields[] = { SHOWN(rename_in, newdir, INO) };
static const struct field rename2_fields[] = {
	SHOWN(rename2_in, newdir, INO),
	SHOWN(rename2_in, flags, FLAGS),
};
static const struct field link_fields[] = { SHOWN(link_in, oldnodeid, INO) };
static const struct field open_fields[] = { SHOWN(open_in, flags, FLAGS) };
static const struct field create_fields[] = {
	SHOWN(create_in, flags, FLAGS),
	SHOWN(create_in, mode, OCTAL),
	SHOWN(create_in, umask, OCTAL),
};
static const struct field release_fields[] = {
	SHOWN(release_in, fh, FH),
	SHOWN(release_in, flags, FLAGS),
};
static const struct field flush_fields[] = { SHOWN(flush_in, fh, FH) };
static const struct field read_fields[] = {
	SHOWN(read_in, fh, FH),
	SHOWN(read_in, offset, NUMBER),
	SHOWN(read_in, size, NUMBER),
};
static const struct field write_fields[] = {
	SHOWN(write_in, fh, FH),
	SHOWN(write_in, offset, NUMBER),
	SHOWN(write_in, size, NUMBER),
};
static const struct field fsync_fields[] = {
	SHOWN(fsync_in, fh, FH),
	SHOWN(fsync_in, fsync_flags, FLAGS),
};
static const struct field setxattr_fields[] = {
	SHOWN(setxattr_in, size, NUMBER),
	SHOWN(setxattr_in, flags, FLAGS),
};
static const struct field getxattr_fields[] = { SHOWN(getxattr_in, size, NUMBER) };
static const struct field lk_fields[] = {
	SHOWN(lk_in, fh, FH),
	INNER(lk_in, lk, type, NUMBER),
	INNER(lk_in, lk, start, NUMBER),
	INNER(lk_in, lk, end, NUMBER),
	SHOWN(lk_in, lk_flags, FLAGS),
};
static const struct field access_fields[] = { SHOWN(access_in, mask, FLAGS) };
static const struct field interrupt_fields[] = { SHOWN(interrupt_in, unique, NUMBER) };
static const struct field bmap_fields[] = {
	SHOWN(bmap_in, block, NUMBER),
	SHOWN(bmap_in, blocksize, NUMBER),
};
static const struct field ioctl_fields[] = {
	SHOWN(ioctl_in, fh, FH),
	SHOWN(ioctl_in, cmd, FLAGS),
	SHOWN(ioctl_in, in_size, NUMBER),
	SHOWN(ioctl_in, out_size, NUMBER),
};
static const struct field poll_fields[] = {
	SHOWN(poll_in, fh, FH),
	SHOWN(poll_in, kh, NUMBER),
	SHOWN(poll_in, events, FLAGS),
};
static const struct field fallocate_fields[] = {
	SHOWN(fallocate_in, fh, FH),
	SHOWN(fallocate_in, offset, NUMBER),
	SHOWN(fallocate_in, length, NUMBER),
	SHOWN(fallocate_in, mode, FLAGS),
};
static const struct field lseek_fields[] = {
	SHOWN(lseek_in, fh, FH),
	SHOWN(lseek_in, offset, NUMBER),
	SHOWN(lseek_in, whence, NUMBER),
};
static const struct field copy_file_range_fields[] = {
	SHOWN(copy_file_range_in, fh_in, FH),	    SHOWN(copy_file_range_in, off_in, NUMBER),
	SHOWN(copy_file_range_in, nodeid_out, INO), SHOWN(copy_file_range_in, fh_out, FH),
	SHOWN(copy_file_range_in, off_out, NUMBER), SHOWN(copy_file_range_in, len, NUMBER),
};
static const struct field syncfs_fields[] = {};
/* Its first word is getattr's flags. */
static const struct field statx_fields[] = {
	WHEN(statx_in, fh, FH, FRACTAL_GETATTR_FH),
	SHOWN(statx_in, sx_mask, FLAGS),
};
static const struct field notify_retrieve_fields[] = {
	SHOWN(notify_retrieve_in, offset, NUMBER),
	SHOWN(notify_retrieve_in, size, NUMBER),
};

static const struct field_list requests[FRACTAL_OP_COUNT] = {
#define FRACTAL_OP(NAME, name, opcode, in, names, data, reply, err, minor, doc) \
	[opcode] = { in##_fields, sizeof(in##_fields) / sizeof(in##_fields[0]) },
#include "ops.def"
#undef FRACTAL_OP
};

/* ---- out-structures ---- */

#define ATTR_FIELDS(struct_, part)                                                                \
	INNER(struct_, part, mode, OCTAL), INNER(struct_, part, size, NUMBER),                    \
		QUIET_INNER(struct_, part, ino, VARIES),                                          \
		QUIET_INNER(struct_, part, blocks, NUMBER),                                       \
		QUIET_INNER(struct_, part, atime_sec, VARIES),                                    \
		QUIET_INNER(struct_, part, mtime_sec, VARIES),                                    \
		QUIET_INNER(struct_, part, ctime_sec, VARIES),                                    \
		QUIET_INNER(struct_, part, atime_nsec, VARIES),                                   \
		QUIET_INNER(struct_, part, mtime_nsec, VARIES),                                   \
		QUIET_INNER(struct_, part, ctime_nsec, VARIES),                                   \
		QUIET_INNER(struct_, part, nlink, NUMBER),                                        \
		QUIET_INNER(struct_, part, uid, NUMBER), QUIET_INNER(struct_, part, gid, NUMBER), \
		QUIET_INNER(struct_, part, rdev, NUMBER),                                         \
		QUIET_INNER(struct_, part, blksize, NUMBER),                                      \
		QUIET_INNER(struct_, part, flags, FLAGS)

static const struct field entry_out_fields[] = {
	ROW(entry_out, "ino", nodeid, INO, true, 0), ATTR_FIELDS(entry_out, attr),
	QUIET(entry_out, entry_valid, NUMBER),	     QUIET(entry_out, attr_valid, NUMBER),
	QUIET(entry_out, entry_valid_nsec, NUMBER),  QUIET(entry_out, attr_valid_nsec, NUMBER),
};
static const struct field create_out_fields[] = {
	ROW(create_out, "ino", entry.nodeid, INO, true, 0),
	INNER(create_out, open, fh, FH),
	INNER(create_out, open, open_flags, FLAGS),
	ATTR_FIELDS(create_out, entry.attr),
	QUIET_INNER(create_out, entry, entry_valid, NUMBER),
	QUIET_INNER(create_out, entry, attr_valid, NUMBER),
	QUIET_INNER(create_out, entry, entry_valid_nsec, NUMBER),
	QUIET_INNER(create_out, entry, attr_valid_nsec, NUMBER),
};
static const struct field attr_out_fields[] = {
	ATTR_FIELDS(attr_out, attr),
	QUIET(attr_out, attr_valid, NUMBER),
	QUIET(attr_out, attr_valid_nsec, NUMBER),
};
static const struct field open_out_fields[] = {
	SHOWN(open_out, fh, FH),
	SHOWN(open_out, open_flags, FLAGS),
};
static const struct field write_out_fields[] = { SHOWN(write_out, size, NUMBER) };
static const struct field statfs_fields[] = {
	SHOWN(kstatfs, blocks, NUMBER),	 SHOWN(kstatfs, bfree, VARIES),
	SHOWN(kstatfs, bavail, VARIES),	 SHOWN(kstatfs, files, VARIES),
	SHOWN(kstatfs, ffree, VARIES),	 SHOWN(kstatfs, bsize, NUMBER),
	QUIET(kstatfs, namelen, NUMBER), QUIET(kstatfs, frsize, NUMBER),
};
static const struct field getxattr_out_fields[] = { SHOWN(getxattr_out, size, NUMBER) };
static const struct field lk_out_fields[] = {
	INNER(lk_out, lk, type, NUMBER),
	INNER(lk_out, lk, start, NUMBER),
	INNER(lk_out, lk, end, NUMBER),
	INNER(lk_out, lk, pid, NUMBER),
};
static const struct field bmap_out_fields[] = { SHOWN(bmap_out, block, NUMBER) };
static const struct field ioctl_out_fields[] = {
	SHOWN(ioctl_out, result, SIGNED),
	QUIET(ioctl_out, flags, FLAGS),
};
static const struct field poll_out_fields[] = { SHOWN(poll_out, revents, FLAGS) };
static const struct field lseek_out_fields[] = { SHOWN(lseek_out, offset, NUMBER) };
static const struct field statx_out_fields[] = {
	INNER(statx_out, stat, mode, OCTAL),	   INNER(statx_out, stat, size, NUMBER),
	QUIET_INNER(statx_out, stat, mask, FLAGS), QUIET_INNER(statx_out, stat, nlink, NUMBER),
	QUIET_INNER(statx_out, stat, uid, NUMBER), QUIET_INNER(statx_out, stat, gid, NUMBER),
	QUIET_INNER(statx_out, stat, ino, VARIES), QUIET_INNER(statx_out, stat, blocks, NUMBER),
	QUIET(statx_out, attr_valid, NUMBER),
};
static const struct field copied_fields[] = { SHOWN(copy_file_range_out, bytes_copied, NUMBER) };

#define LIST(fields)                                     \
	{                                                \
		fields, sizeof(fields) / sizeof(*fields) \
	}

static const struct field_list replies[] = {
	[FRACTAL_REPLY_ENTRY] = LIST(entry_out_fields),
	[FRACTAL_REPLY_ATTR] = LIST(attr_out_fields),
	[FRACTAL_REPLY_OPEN] = LIST(open_out_fields),
	[FRACTAL_REPLY_CREATE] = LIST(create_out_fields),
	[FRACTAL_REPLY_WRITE] = LIST(write_out_fields),
	[FRACTAL_REPLY_STATFS] = LIST(statfs_fields),
	[FRACTAL_REPLY_LK] = LIST(lk_out_fields),
	[FRACTAL_REPLY_BMAP] = LIST(bmap_out_fields),
	[FRACTAL_REPLY_IOCTL] = LIST(ioctl_out_fields),
	[FRACTAL_REPLY_POLL] = LIST(poll_out_fields),
	[FRACTAL_REPLY_LSEEK] = LIST(lseek_out_fields),
	[FRACTAL_REPLY_STATX] = LIST(statx_out_fields),
	[FRACTAL_REPLY_COPIED] = LIST(copied_fields),
	[FRACTAL_REPLY_INIT] = { NULL, 0 },
};

/* ---- looking up ---- */

struct field_list fields_of_request(uint32_t opcode)
{
	return opcode < FRACTAL_OP_COUNT ? requests[opcode] : (struct field_list){ 0 };
}

struct field_list fields_of_reply(const struct fractal_request *req)
{
	enum fractal_reply_kind kind = fractal_op_reply_kind(req->opcode);

	if (kind == FRACTAL_REPLY_XATTR && req->arg->getxattr.size == 0)
		return (struct field_list)LIST(getxattr_out_fields);
	return replies[kind];
}

uint64_t field_get(const struct field *field, const void *base)
{
	const char *at = (const char *)base + field->offset;
	uint64_t value = 0;

	/* Little-endian only, as LuaJIT's targets here are: the low bytes come first. */
	memcpy(&value, at, field->size);
	if (field->kind == FIELD_SIGNED && field->size == 4)
		return (uint64_t)(int64_t)(int32_t)value;
	return value;
}

void field_set(const struct field *field, void *base, uint64_t value)
{
	memcpy((char *)base + field->offset, &value, field->size);
}

bool field_applies(const struct field *field, const void *base)
{
	uint32_t first;

	if (!field->when)
		return true;
	memcpy(&first, base, sizeof(first));
	return first & field->when;
}

char *field_put(char *to, const struct field *field, uint64_t value)
{
	to = put_text(put_text(to, field->name), " ");
	switch (field->kind) {
	case FIELD_OCTAL:
		return put_digits(put_text(to, "0"), value, 8, 1);
	case FIELD_FLAGS:
		return put_digits(put_text(to, "0x"), value, 16, 1);
	case FIELD_SIGNED:
		return put_signed(to, (int64_t)value);
	default:
		return put_number(to, value);
	}
}

size_t fractal_request_arguments(const struct fractal_request *req,
				 char text[FRACTAL_ARGUMENTS_MAX])
{
	struct field_list list = fields_of_request(req->opcode);
	char *to = text;

	for (uint32_t i = 0; i < list.count; i++) {
		const struct field *f = &list.fields[i];

		if (!f->shown || !field_applies(f, req->arg))
			continue;
		if (to > text)
			to = put_text(to, ", ");
		to = field_put(to, f, field_get(f, req->arg));
	}
	return (size_t)(to - text);
}
