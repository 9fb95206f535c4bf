/* SPDX-License-Identifier: MIT */
/*
 * flatfs.h - the filesystem of the C tests: one directory of files in memory, which counts what it is asked.
 *
 * A config's user is the struct server of mounted.h; its user is a struct flatfs. Workers share it under a lock.
 */
#ifndef FRACTAL_FLATFS_H
#define FRACTAL_FLATFS_H
#include "mounted.h"
#include <sys/stat.h>

#define FLAT_FILES 64
#define FLAT_SIZE  (1u << 20)
#define FLAT_FIRST 2

struct flat_file {
	char name[64]; /* empty: none */
	uint64_t size;
	long references; /* lookups that the kernel holds */
	uint8_t *data;
	char note[64]; /* value of user.note */
};

struct flatfs {
	pthread_mutex_t lock;
	struct flat_file files[FLAT_FILES];
	_Atomic long references; /* sum over all files */
	_Atomic int asked[FRACTAL_OP_COUNT];
	_Atomic int largest_write;
};

static inline struct flatfs *flat_new(void)
{
	struct flatfs *fs = calloc(1, sizeof(*fs));

	if (!fs)
		abort();
	pthread_mutex_init(&fs->lock, NULL);
	return fs;
}

static inline void flat_free(struct flatfs *fs)
{
	for (int i = 0; i < FLAT_FILES; i++)
		free(fs->files[i].data);
	pthread_mutex_destroy(&fs->lock);
	free(fs);
}

static inline struct flatfs *flat_enter(struct fractal_request *req, void *user)
{
	struct flatfs *fs = ((struct server *)user)->user;

	fs->asked[req->opcode]++;
	pthread_mutex_lock(&fs->lock);
	return fs;
}

static inline int flat_leave(struct flatfs *fs, int result)
{
	pthread_mutex_unlock(&fs->lock);
	return result;
}

static inline struct flat_file *flat_find(struct flatfs *fs, const char *name)
{
	for (int i = 0; i < FLAT_FILES; i++)
		if (fs->files[i].name[0] && strcmp(fs->files[i].name, name) == 0)
			return &fs->files[i];
	return NULL;
}

static inline struct flat_file *flat_inode(struct flatfs *fs, uint64_t ino)
{
	return ino >= FLAT_FIRST && ino < FLAT_FIRST + FLAT_FILES ? &fs->files[ino - FLAT_FIRST]
								  : NULL;
}

static inline void flat_attr(const struct flat_file *f, struct fractal_attr *attr)
{
	attr->mode = f ? S_IFREG | 0644 : S_IFDIR | 0755;
	attr->size = f ? f->size : 0;
}

static inline void flat_refer(struct flatfs *fs, struct flat_file *f, struct fractal_entry_out *out)
{
	f->references++;
	fs->references++;
	out->nodeid = (uint64_t)(f - fs->files) + FLAT_FIRST;
	flat_attr(f, &out->attr);
}

static inline struct flat_file *flat_make(struct flatfs *fs, const char *name)
{
	for (int i = 0; i < FLAT_FILES; i++) {
		struct flat_file *f = &fs->files[i];

		if (f->name[0] || f->references)
			continue;
		if (!f->data)
			f->data = calloc(1, FLAT_SIZE);
		f->size = 0;
		f->note[0] = '\0';
		snprintf(f->name, sizeof(f->name), "%s", name);
		return f->data ? f : NULL;
	}
	return NULL;
}

static inline int flat_lookup(struct fractal_request *req, void *user)
{
	struct flatfs *fs = flat_enter(req, user);
	struct flat_file *f = flat_find(fs, req->name);

	if (f)
		flat_refer(fs, f, &req->out->entry);
	return flat_leave(fs, f ? 0 : -ENOENT);
}

static inline int flat_forget(struct fractal_request *req, void *user)
{
	struct flatfs *fs = flat_enter(req, user);
	struct flat_file *f = flat_inode(fs, req->nodeid);

	if (f) {
		f->references -= (long)req->arg->forget.nlookup;
		fs->references -= (long)req->arg->forget.nlookup;
		CHECK(f->references >= 0);
	}
	return flat_leave(fs, 0);
}

static inline int flat_getattr(struct fractal_request *req, void *user)
{
	struct flatfs *fs = flat_enter(req, user);

	flat_attr(flat_inode(fs, req->nodeid), &req->out->attr.attr);
	return flat_leave(fs, 0);
}

static inline int flat_setattr(struct fractal_request *req, void *user)
{
	struct flatfs *fs = flat_enter(req, user);
	struct flat_file *f = flat_inode(fs, req->nodeid);
	uint64_t size = req->arg->setattr.size;

	if (f && req->arg->setattr.valid & FRACTAL_SET_SIZE && size <= FLAT_SIZE) {
		memset(f->data + size, 0, FLAT_SIZE - size);
		f->size = size;
	}
	flat_attr(f, &req->out->attr.attr);
	return flat_leave(fs, 0);
}

static inline int flat_create(struct fractal_request *req, void *user)
{
	struct flatfs *fs = flat_enter(req, user);
	struct flat_file *f = flat_make(fs, req->name);

	if (f)
		flat_refer(fs, f, &req->out->create.entry);
	return flat_leave(fs, f ? 0 : -ENOSPC);
}

static inline int flat_unlink(struct fractal_request *req, void *user)
{
	struct flatfs *fs = flat_enter(req, user);
	struct flat_file *f = flat_find(fs, req->name);

	if (f)
		f->name[0] = '\0';
	return flat_leave(fs, f ? 0 : -ENOENT);
}

static inline int flat_rename(struct fractal_request *req, void *user)
{
	struct flatfs *fs = flat_enter(req, user);
	struct flat_file *f = flat_find(fs, req->name), *old = flat_find(fs, req->name2);

	if (!f)
		return flat_leave(fs, -ENOENT);
	if (old && old != f)
		old->name[0] = '\0';
	snprintf(f->name, sizeof(f->name), "%s", req->name2);
	return flat_leave(fs, 0);
}

static inline int flat_read(struct fractal_request *req, void *user)
{
	struct flatfs *fs = flat_enter(req, user);
	struct flat_file *f = flat_inode(fs, req->nodeid);
	uint64_t at = req->arg->read.offset, n = 0;

	if (f && at < f->size)
		n = f->size - at < req->reply_cap ? f->size - at : req->reply_cap;
	if (n)
		memcpy(req->reply_data, f->data + at, n);
	return flat_leave(fs, (int)n);
}

static inline int flat_write(struct fractal_request *req, void *user)
{
	struct flatfs *fs = flat_enter(req, user);
	struct flat_file *f = flat_inode(fs, req->nodeid);
	uint64_t at = req->arg->write.offset, end = at + req->data_len;

	if (!f || end > FLAT_SIZE)
		return flat_leave(fs, -EFBIG);
	if ((int)req->data_len > fs->largest_write)
		fs->largest_write = (int)req->data_len;
	memcpy(f->data + at, req->data, req->data_len);
	f->size = end > f->size ? end : f->size;
	return flat_leave(fs, (int)req->data_len);
}

static inline int flat_readdir(struct fractal_request *req, void *user)
{
	struct flatfs *fs = flat_enter(req, user);

	for (uint64_t i = req->arg->read.offset; i < FLAT_FILES; i++) {
		const char *name = fs->files[i].name;

		if (name[0] && !fractal_dirents_add(req, name, (uint32_t)strlen(name),
						    i + FLAT_FIRST, S_IFREG, i + 1))
			break;
	}
	return flat_leave(fs, 0);
}

static inline int flat_setxattr(struct fractal_request *req, void *user)
{
	struct flatfs *fs = flat_enter(req, user);
	struct flat_file *f = flat_inode(fs, req->nodeid);

	if (!f || req->data_len >= sizeof(f->note) || strcmp(req->name, "user.note") != 0)
		return flat_leave(fs, -ENOTSUP);
	memcpy(f->note, req->data, req->data_len);
	f->note[req->data_len] = '\0';
	return flat_leave(fs, 0);
}

static inline int flat_getxattr(struct fractal_request *req, void *user)
{
	struct flatfs *fs = flat_enter(req, user);
	struct flat_file *f = flat_inode(fs, req->nodeid);

	if (!f || !f->note[0] || strcmp(req->name, "user.note") != 0)
		return flat_leave(fs, -ENODATA);
	fractal_reply_bytes(req, f->note, (uint32_t)strlen(f->note));
	return flat_leave(fs, FRACTAL_LATER);
}

#define FLAT_HANDLERS                                                                           \
	.lookup = flat_lookup, .forget = flat_forget, .getattr = flat_getattr,                  \
	.setattr = flat_setattr, .create = flat_create, .unlink = flat_unlink,                  \
	.rename = flat_rename, .read = flat_read, .write = flat_write, .readdir = flat_readdir, \
	.setxattr = flat_setxattr, .getxattr = flat_getxattr

static const struct fractal_handlers flat_handlers = { FLAT_HANDLERS };

/* ---- a client that uses all of it ---- */

static inline int flat_client(const char *mountpoint)
{
	static char wrote[300000], got[300000];
	const char *path = in_mount(mountpoint, "file"), *other = in_mount(mountpoint, "other");
	char note[16] = "";
	struct stat st;
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0644), entries = 0;
	DIR *dir;

	for (size_t i = 0; i < sizeof(wrote); i++)
		wrote[i] = (char)(i * 31 + i / 1000);
	if (!CHECK(fd >= 0))
		return 1;
	CHECK_INT(write(fd, wrote, sizeof(wrote)), sizeof(wrote));
	CHECK_INT(fstat(fd, &st), 0);
	CHECK_INT(st.st_size, sizeof(wrote));
	CHECK_INT(pread(fd, got, sizeof(got), 0), sizeof(got));
	CHECK_BYTES(got, wrote, sizeof(got));
	CHECK_INT(syscall(SYS_fsetxattr, fd, "user.note", "remember", 8, 0), 0);
	CHECK_INT(syscall(SYS_fgetxattr, fd, "user.note", NULL, 0), 8);
	CHECK_INT(syscall(SYS_fgetxattr, fd, "user.note", note, sizeof(note)), 8);
	CHECK_TEXT(note, "remember");
	CHECK(syscall(SYS_fgetxattr, fd, "user.note", note, 3) < 0 && errno == ERANGE);
	CHECK_INT(ftruncate(fd, 1000), 0);
	CHECK_INT(close(fd), 0);
	CHECK_INT(rename(path, other), 0);
	CHECK(stat(path, &st) < 0 && errno == ENOENT);
	CHECK_INT(stat(other, &st), 0);
	CHECK_INT(st.st_size, 1000);
	dir = opendir(mountpoint);
	for (struct dirent *d; dir && (d = readdir(dir));)
		entries += strcmp(d->d_name, "other") == 0;
	CHECK_INT(entries, 1);
	CHECK_INT(dir ? closedir(dir) : -1, 0);
	CHECK_INT(unlink(other), 0);
	CHECK(stat(other, &st) < 0 && errno == ENOENT);
	CHECK(mkdir(path, 0755) < 0 && errno == ENOSYS);
	return 0;
}

/* ---- starting it ---- */

/* Runs @test on each transport that can be had here. */
static inline void on_both(void (*test)(enum fractal_transport transport))
{
	static const enum fractal_transport transports[] = { FRACTAL_TRANSPORT_URING,
							     FRACTAL_TRANSPORT_DEV };

	for (size_t i = 0; i < ARRAY_SIZE(transports); i++) {
		int before = check_failures;

		if (transports[i] == FRACTAL_TRANSPORT_URING && !have_uring())
			continue;
		test(transports[i]);
		if (check_failures != before)
			fprintf(stderr, "  on transport %s\n", transport_name(transports[i]));
	}
}

static inline bool start_flat(struct server *v, struct flatfs *fs, struct fractal_config config)
{
	if (!config.handlers && !config.serve)
		config.handlers = &flat_handlers;
	if (CHECK(server_start(v, &config, fs)))
		return true;
	fprintf(stderr, "  result %d, log:\n%s", v->result, v->log);
	return false;
}

static inline int expect_motto(const char *mountpoint, const char *want)
{
	char got[64] = "";
	int fd = open(in_mount(mountpoint, "motto"), O_RDONLY);

	CHECK(fd >= 0 && read(fd, got, sizeof(got) - 1) >= 0);
	CHECK_TEXT(got, want);
	return 0;
}

static inline void put_motto(struct flatfs *fs, const char *text)
{
	struct flat_file *f = flat_make(fs, "motto");

	f->size = strlen(text);
	memcpy(f->data, text, f->size);
}

#endif
