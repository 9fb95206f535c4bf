/* SPDX-License-Identifier: MIT */
/*
 * mount.h - attaching a /dev/fuse descriptor to a directory, and taking it off again.
 *
 * Knows nothing of sessions: it gets a logger and strings, and gives back a descriptor.
 */
#ifndef FRACTAL_MOUNT_H
#define FRACTAL_MOUNT_H
#include "fractal.h"

struct log_sink {
	void (*log)(enum fractal_log_level level, const char *text, void *user);
	void *user;
};

struct mount_request {
	const char *mountpoint;
	const char *fsname;  /* source in mountinfo */
	const char *subtype; /* type is fuse.SUBTYPE */
	const char *options; /* comma separated, commas in values escaped by a backslash; or NULL */
	uint32_t max_read;   /* bytes, 0: not given */
	struct log_sink sink;
};

struct mount {
	char *mountpoint; /* absolute, resolved before mounting; NULL when nothing is mounted */
	int fd;		  /* /dev/fuse, O_CLOEXEC, O_NONBLOCK */
	uint32_t dev;	  /* major << 20 | minor, as in mountinfo (0: unknown) */
	uint64_t id; /* the kernel's never reused id of this mount (0: unknown, before Linux 6.8) */
	bool by_helper; /* mounted by fusermount3 */
};

/* Mounts; fills @m. 0 or -errno, with one sentence logged that says what to do. */
int mount_attach(struct mount *m, const struct mount_request *request);

/* Detaches a dead mount ("Transport endpoint is not connected") from @mountpoint. 1: cleared, 0: there was none, or -errno. */
int mount_clear_dead(const char *mountpoint, struct log_sink sink);

/*
 * Fills @dev and @id with what is on top of @m->mountpoint, without a request to a filesystem that may not answer.
 * 0 or -errno.
 */
int mount_identify(struct mount *m);

/* Is this very mount (by device number) still on its mountpoint? */
bool mount_is_attached(const struct mount *m);

/* One unmount attempt, blocking. @lazy: MNT_DETACH / fusermount3 -z. 0, -EBUSY, … ; 0 as well when it is already gone. */
int mount_detach(const struct mount *m, bool lazy);

/* Ends the connection through /sys/fs/fuse/connections where that is there and allowed: every caller gets an error. */
int mount_abort(const struct mount *m);

/* Closes descriptors and frees strings; does not unmount. */
void mount_release(struct mount *m);

#endif
