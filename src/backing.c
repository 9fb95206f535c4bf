/* SPDX-License-Identifier: MIT */
/*
 * backing.c - kernel passthrough: files that the kernel reads, writes and maps itself in place of asking the server.
 *
 * An open file given to the kernel (FUSE_DEV_IOC_BACKING_OPEN) gets an id, and an open or create reply with that id makes
 * the kernel use it. While an inode is open so, every further open of it must carry the same id. Who opened what is
 * counted here, because the opens and releases of one inode may come to different workers: an id is closed when the last
 * open file it was given to is released.
 */
#include "internal.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#define BACKING_OPEN  _IOW(229, 1, struct fractal_backing_map)
#define BACKING_CLOSE _IOW(229, 2, uint32_t)

/* What the kernel does not take together with a backing file. */
#define EXCLUDED_FLAGS                                                                    \
	(FRACTAL_FOPEN_KEEP_CACHE | FRACTAL_FOPEN_NONSEEKABLE | FRACTAL_FOPEN_CACHE_DIR | \
	 FRACTAL_FOPEN_STREAM)

enum {
	BUCKETS = 1024
};

/* An id that was promised and that no reply has used so far. */
struct claim {
	uint64_t nodeid;
	int32_t id;
};

/* One open file that an id was given to. */
struct backed_open {
	struct backed_open *next;	/* of this nodeid's bucket */
	struct backed_open *next_by_id; /* of this id's */
	uint64_t nodeid, fh;
	int32_t id;
};

struct backing {
	pthread_mutex_t lock;
	_Atomic uint32_t count;		    /* of open files */
	struct backed_open *opens[BUCKETS]; /* by nodeid */
	struct backed_open *by_id[BUCKETS];
	int claimed_count, claimed_room;
	struct claim *claimed;
	bool told[FRACTAL_MAX_ERRNO + 1];
};

int backing_new(struct fractal_session *s)
{
	s->backing = calloc(1, sizeof(*s->backing));
	if (!s->backing)
		return -ENOMEM;
	pthread_mutex_init(&s->backing->lock, NULL);
	return 0;
}

/* The kernel drops its side with the connection. */
void backing_free(struct fractal_session *s)
{
	struct backing *b = s->backing;

	if (!b)
		return;
	for (int i = 0; i < BUCKETS; i++)
		for (struct backed_open *o = b->opens[i], *next; o; o = next) {
			next = o->next;
			free(o);
		}
	free(b->claimed);
	pthread_mutex_destroy(&b->lock);
	free(b);
	s->backing = NULL;
}

/* ---- the device ---- */

static const char *reason(int error)
{
	switch (error) {
	case EOPNOTSUPP:
		return "kernel passthrough is not switched on: ask for it with -o passthrough or conn.passthrough "
		       "(Linux 6.9 or newer, not together with writeback_cache)";
	case EPERM:
		return "kernel passthrough needs CAP_SYS_ADMIN: run as root, or leave the capability out";
	case ELOOP:
		return "the backing file lies on a stacked filesystem: max_stack_depth allows no deeper one";
	case EINVAL:
	case EISDIR:
		return "only regular files can be backing files";
	}
	return strerror(error);
}

/* Says each kind of failure once. Returns -@error. */
static int fail(struct fractal_session *s, int error)
{
	bool told;

	pthread_mutex_lock(&s->backing->lock);
	told = error > FRACTAL_MAX_ERRNO || s->backing->told[error];
	if (!told)
		s->backing->told[error] = true;
	pthread_mutex_unlock(&s->backing->lock);
	if (!told)
		session_log(s, FRACTAL_LOG_WARN, "backing file: %s", reason(error));
	return -error;
}

/* Gives the kernel a file. The id, or -errno. */
static int open_id(const struct fractal_session *s, int fd)
{
	struct fractal_backing_map map = { .fd = fd };
	int id;

	if (!atomic_load(&s->serving))
		return -ENOTCONN;
	if (!(s->conn.wanted & 1ull << FRACTAL_CAP_PASSTHROUGH))
		return -EOPNOTSUPP;
	id = ioctl(s->mnt.fd, BACKING_OPEN, &map);
	return id < 0 ? -errno : id;
}

int fractal_backing_open(struct fractal_session *s, int fd)
{
	int id = open_id(s, fd);

	return id < 0 && id != -ENOTCONN ? fail(s, -id) : id;
}

static int close_id(struct fractal_session *s, int32_t id)
{
	uint32_t arg = (uint32_t)id;

	return ioctl(s->mnt.fd, BACKING_CLOSE, &arg) < 0 ? -errno : 0;
}

/* ---- who uses which id ---- */

static struct backed_open **bucket(struct backing *b, uint64_t nodeid)
{
	return &b->opens[(nodeid ^ nodeid >> 8 ^ nodeid >> 16) % BUCKETS];
}

static struct backed_open **id_bucket(struct backing *b, int32_t id)
{
	return &b->by_id[(uint32_t)id % BUCKETS];
}

/* With the lock held. */
static bool in_use(struct backing *b, int32_t id)
{
	for (int i = 0; i < b->claimed_count; i++)
		if (b->claimed[i].id == id)
			return true;
	for (struct backed_open *o = *id_bucket(b, id); o; o = o->next_by_id)
		if (o->id == id)
			return true;
	return false;
}

/* With the lock held. */
static void remember(struct backing *b, struct backed_open *o)
{
	o->next = *bucket(b, o->nodeid);
	*bucket(b, o->nodeid) = o;
	o->next_by_id = *id_bucket(b, o->id);
	*id_bucket(b, o->id) = o;
	atomic_fetch_add(&b->count, 1);
}

/* With the lock held: takes the record of one open file out, or returns NULL. */
static struct backed_open *forget(struct backing *b, uint64_t nodeid, uint64_t fh)
{
	struct backed_open **at, **by_id, *o;

	for (at = bucket(b, nodeid); (o = *at); at = &o->next)
		if (o->nodeid == nodeid && o->fh == fh)
			break;
	if (!o)
		return NULL;
	*at = o->next;
	for (by_id = id_bucket(b, o->id); *by_id != o; by_id = &(*by_id)->next_by_id)
		;
	*by_id = o->next_by_id;
	atomic_fetch_sub(&b->count, 1);
	return o;
}

/* With the lock held: takes one promise of @id back. */
static void unclaim(struct backing *b, int32_t id)
{
	for (int i = 0; i < b->claimed_count; i++)
		if (b->claimed[i].id == id) {
			b->claimed[i] = b->claimed[--b->claimed_count];
			return;
		}
}

/* With the lock held: promises an id to one more open file of the inode. @id or -ENOMEM. */
static int claim(struct backing *b, uint64_t nodeid, int32_t id)
{
	if (b->claimed_count == b->claimed_room) {
		int room = b->claimed_room ? b->claimed_room * 2 : 16;
		struct claim *more = reallocarray(b->claimed, (size_t)room, sizeof(*more));

		if (!more)
			return -ENOMEM;
		b->claimed = more;
		b->claimed_room = room;
	}
	b->claimed[b->claimed_count++] = (struct claim){ nodeid, id };
	return id;
}

/* With the lock held: the id that files of the inode are open with, or are about to be; or -ENOENT. */
static int32_t id_of(struct backing *b, uint64_t nodeid)
{
	for (struct backed_open *o = *bucket(b, nodeid); o; o = o->next)
		if (o->nodeid == nodeid)
			return o->id;
	for (int i = 0; i < b->claimed_count; i++)
		if (b->claimed[i].nodeid == nodeid)
			return b->claimed[i].id;
	return -ENOENT;
}

int fractal_backing_claim(struct fractal_session *s, uint64_t nodeid)
{
	struct backing *b = s->backing;
	int id;

	pthread_mutex_lock(&b->lock);
	id = id_of(b, nodeid);
	if (id > 0)
		id = claim(b, nodeid, id);
	pthread_mutex_unlock(&b->lock);
	return id;
}

int fractal_backing_share(struct fractal_session *s, uint64_t nodeid, int fd)
{
	struct backing *b = s->backing;
	int id, claimed;

	pthread_mutex_lock(&b->lock);
	id = id_of(b, nodeid);
	if (id == -ENOENT)
		id = open_id(s, fd);
	claimed = id > 0 ? claim(b, nodeid, id) : id;
	if (id > 0 && claimed < 0 && !in_use(b, id))
		close_id(s, id);
	pthread_mutex_unlock(&b->lock);
	return claimed < 0 && claimed != -ENOTCONN ? fail(s, -claimed) : claimed;
}

int fractal_backing_close(struct fractal_session *s, int id)
{
	struct backing *b = s->backing;

	if (id <= 0)
		return -EINVAL;
	pthread_mutex_lock(&b->lock);
	unclaim(b, id);
	pthread_mutex_unlock(&b->lock);
	return close_id(s, id);
}

/* ---- replies ---- */

/* Why the kernel would refuse this reply, or NULL. */
static const char *refusal(const struct fractal_request *req, const struct fractal_open_out *open)
{
	const struct fractal_session *s = req->worker->s;

	if (req->opcode == FRACTAL_OP_OPENDIR)
		return "a directory has no backing file";
	if (!(s->conn.wanted & 1ull << FRACTAL_CAP_PASSTHROUGH))
		return "kernel passthrough is not switched on (-o passthrough)";
	if (open->backing_id <= 0)
		return "the backing id is not one that was opened";
	if (open->open_flags & EXCLUDED_FLAGS)
		return "keep_cache, nonseekable, cache_dir and stream do not go with it";
	return NULL;
}

/* An open or create reply with a backing id goes out: remembers it. -EIO, explained, where the kernel would refuse it. */
int backing_opened(struct fractal_request *req, uint64_t nodeid,
		   const struct fractal_open_out *open)
{
	struct fractal_session *s = req->worker->s;
	struct backing *b = s->backing;
	const char *why = refusal(req, open);
	struct backed_open *o = why ? NULL : malloc(sizeof(*o));

	if (!o) {
		session_log(s, FRACTAL_LOG_ERROR,
			    "%s of inode %llu with backing id %d: %s; the caller gets EIO",
			    fractal_op_name(req->opcode), (unsigned long long)nodeid,
			    open->backing_id, why ? why : "out of memory");
		return -EIO;
	}
	*o = (struct backed_open){ .nodeid = nodeid, .fh = open->fh, .id = open->backing_id };
	pthread_mutex_lock(&b->lock);
	unclaim(b, o->id);
	remember(b, o);
	pthread_mutex_unlock(&b->lock);
	return 0;
}

/* An open file was released: closes its id if it was the last one. */
void backing_released(struct fractal_request *req)
{
	struct fractal_session *s = req->worker->s;
	struct backing *b = s->backing;
	struct backed_open *o;
	bool last;

	if (!atomic_load(&b->count))
		return;
	pthread_mutex_lock(&b->lock);
	o = forget(b, req->nodeid, req->arg->release.fh);
	last = o && !in_use(b, o->id);
	pthread_mutex_unlock(&b->lock);
	/* The script may have closed it before: then there is nothing left to close. */
	if (last)
		close_id(s, o->id);
	free(o);
}
