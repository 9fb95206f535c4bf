/* SPDX-License-Identifier: MIT */
/* dirents.c - directory entries, written one behind the other into a readdir or readdirplus reply. */
#include "internal.h"
#include <string.h>
#include <sys/stat.h>

#define PLUS_SIZE	((uint32_t)sizeof(struct fractal_entry_out))
#define DIRENT_ALIGN(n) (((n) + 7u) & ~(uint64_t)7)

/* Writes the fuse_dirent at @p; the name is padded with zeroes to 8 bytes. */
static void put_dirent(uint8_t *p, uint64_t ino, uint64_t next, uint32_t type, const char *name,
		       uint32_t name_len)
{
	struct fractal_dirent d = { .ino = ino, .off = next, .namelen = name_len, .type = type };
	uint32_t end = (uint32_t)sizeof(d) + name_len;

	memcpy(p, &d, sizeof(d));
	memcpy(p + sizeof(d), name, name_len);
	memset(p + end, 0, DIRENT_ALIGN(end) - end);
}

/* Room for @size more bytes of the reply, or NULL. */
static uint8_t *take_room(struct fractal_request *req, uint64_t size)
{
	uint8_t *p = req->reply_data + req->reply_len;

	if (size > req->reply_cap - req->reply_len)
		return NULL;
	req->reply_len += (uint32_t)size;
	return p;
}

int fractal_dirents_add(struct fractal_request *req, const char *name, uint32_t name_len,
			uint64_t ino, uint32_t mode, uint64_t next)
{
	uint8_t *p =
		take_room(req, DIRENT_ALIGN(sizeof(struct fractal_dirent) + (uint64_t)name_len));

	if (!p)
		return 0;
	put_dirent(p, ino, next, (mode & S_IFMT) >> 12, name, name_len);
	return 1;
}

struct fractal_entry_out *fractal_dirents_add_plus(struct fractal_request *req, const char *name,
						   uint32_t name_len, uint64_t next)
{
	uint8_t *p = take_room(
		req, PLUS_SIZE + DIRENT_ALIGN(sizeof(struct fractal_dirent) + (uint64_t)name_len));

	if (!p)
		return NULL;
	*(struct fractal_entry_out *)p = reply_defaults(req->worker->s)->entry;
	put_dirent(p + PLUS_SIZE, 0, next, 0, name, name_len);
	return (struct fractal_entry_out *)p;
}

void fractal_dirents_finish_plus(struct fractal_entry_out *out)
{
	struct fractal_dirent *d = (struct fractal_dirent *)(out + 1);

	if (out->attr.blocks == (uint64_t)FRACTAL_BLOCKS_UNSET)
		out->attr.blocks = (out->attr.size + 511) / 512;
	if (!out->attr.ino)
		out->attr.ino = out->nodeid;
	d->ino = out->attr.ino;
	d->type = (out->attr.mode & S_IFMT) >> 12;
}

void fractal_dirents_undo(struct fractal_request *req, uint32_t reply_len)
{
	if (reply_len < req->reply_len)
		req->reply_len = reply_len;
}
