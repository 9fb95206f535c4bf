/* SPDX-License-Identifier: MIT */
/*
 * mount_helper.h - fusermount3(1), the set-user-id program through which ordinary users mount.
 *
 * What it prints is caught, so that it can be part of one sentence instead of a second message.
 */
#ifndef FRACTAL_MOUNT_HELPER_H
#define FRACTAL_MOUNT_HELPER_H
#include <stdbool.h>
#include <stddef.h>

/* What the program said on standard error, its first line. */
struct mount_helper_said {
	char text[256];
};

/*
 * Runs "fusermount3 -o @options -- @mountpoint" and receives its descriptor of /dev/fuse (O_CLOEXEC) in @fd.
 * 0; -ENOENT when there is no such program; -EPERM when it refused and said why; -errno.
 */
int mount_helper_attach(const char *options, const char *mountpoint, int *fd,
			struct mount_helper_said *said);

/* Runs "fusermount3 -u [-z] -- @mountpoint". 0; -EBUSY; -ENOENT when there is no such program; -EPERM, having said why. */
int mount_helper_detach(const char *mountpoint, bool lazy, struct mount_helper_said *said);

#endif
