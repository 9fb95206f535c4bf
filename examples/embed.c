/* SPDX-License-Identifier: MIT */
/*
 * embed.c - a small complete filesystem on libfractal: one flat directory of small files kept in memory.
 *     cc embed.c $(pkg-config --cflags --libs fractal) -o embed && ./embed /mnt
 * One worker runs all handlers, so the table needs no lock.
 */
#include <errno.h>
#include <fractal.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define MAX_FILES 64
#define MAX_SIZE  65536
#define FIRST_INO 2
static struct file {
	char name[256]; /* empty: not in the directory (any more) */
	uint64_t size;
	int used; /* a removed file may still be open, so its slot stays */
	char data[MAX_SIZE];
} files[MAX_FILES];
static struct fractal_session *session;

static struct file *by_name(const char *name)
{
	for (struct file *f = files; f < files + MAX_FILES; f++)
		if (*f->name && !strcmp(f->name, name))
			return f;
	return NULL;
}

static struct file *by_ino(uint64_t ino)
{
	return ino >= FIRST_INO && ino < FIRST_INO + MAX_FILES ? &files[ino - FIRST_INO] : NULL;
}

static int fs_getattr(struct fractal_request *req, void *user)
{
	struct file *f = by_ino(req->nodeid);

	req->out->attr.attr.mode = f ? S_IFREG | 0644 : S_IFDIR | 0755;
	req->out->attr.attr.size = f ? f->size : 0;
	return 0;
}

static int enter(struct fractal_request *req, struct file *f)
{
	if (!f)
		return -ENOENT;
	req->out->entry.nodeid = (uint64_t)(f - files) + FIRST_INO;
	req->out->entry.attr.mode = S_IFREG | 0644;
	req->out->entry.attr.size = f->size;
	return 0;
}

static int fs_lookup(struct fractal_request *req, void *user)
{
	return enter(req, by_name(req->name));
}

static int fs_create(struct fractal_request *req, void *user)
{
	for (struct file *f = files; f < files + MAX_FILES && req->name_len < sizeof(f->name); f++)
		if (!f->used) {
			f->used = 1;
			memcpy(f->name, req->name, req->name_len + 1);
			return enter(req, f);
		}
	return -ENOSPC;
}

static int fs_unlink(struct fractal_request *req, void *user)
{
	struct file *f = by_name(req->name);

	return f ? (f->name[0] = 0) : -ENOENT;
}

static int fs_setattr(struct fractal_request *req, void *user)
{
	struct file *f = by_ino(req->nodeid);
	uint64_t size = req->arg->setattr.size;

	if (f && req->arg->setattr.valid & FRACTAL_SET_SIZE && size <= MAX_SIZE) {
		memset(f->data + size, 0, MAX_SIZE - size);
		f->size = size;
	}
	return fs_getattr(req, user);
}

static int fs_read(struct fractal_request *req, void *user)
{
	struct file *f = by_ino(req->nodeid);
	uint64_t at = req->arg->read.offset < f->size ? req->arg->read.offset : f->size;
	return fractal_reply_bytes(req, f->data + at, (uint32_t)(f->size - at)) ?: FRACTAL_LATER;
}

static int fs_write(struct fractal_request *req, void *user)
{
	struct file *f = by_ino(req->nodeid);
	uint64_t at = req->arg->write.offset, end = at + req->data_len;

	if (!f || end > MAX_SIZE)
		return -EFBIG;
	memcpy(f->data + at, req->data, req->data_len);
	f->size = end > f->size ? end : f->size;
	return (int)req->data_len;
}

static int fs_readdir(struct fractal_request *req, void *user)
{
	for (uint64_t i = req->arg->read.offset; i < MAX_FILES; i++) {
		const char *name = files[i].name;

		if (*name && !fractal_dirents_add(req, name, (uint32_t)strlen(name), i + FIRST_INO,
						  S_IFREG, i + 1))
			break;
	}
	return 0;
}

static void print(enum fractal_log_level level, const char *text, void *user)
{
	fprintf(stderr, "embed: %s\n", text);
}

static void stop(int sig)
{
	fractal_session_stop(session);
}

int main(int argc, char **argv)
{
	/* clang-format off */
	static const struct fractal_handlers handlers = {
		.lookup = fs_lookup, .create = fs_create, .unlink = fs_unlink,
		.getattr = fs_getattr, .setattr = fs_setattr,
		.read = fs_read, .write = fs_write, .readdir = fs_readdir,
	};
	/* clang-format on */
	struct fractal_config config = { .handlers = &handlers, .workers = 1, .log = print };
	int rc = fractal_session_new(&session, &config);

	signal(SIGINT, stop);
	rc = rc ?: fractal_session_mount(session, argc > 1 ? argv[1] : "");
	return rc || fractal_session_run(session);
}
