/* SPDX-License-Identifier: MIT */
/*
 * publish.h - the socket at which the user who mounts can look into a running mount (fractal-lua top): named by the mount's
 * device number, MAJOR:MINOR.sock, in $XDG_RUNTIME_DIR/fractal-lua, or in /tmp/fractal-lua-UID where there is no such
 * directory. Only the user may enter it.
 */
#ifndef FRACTAL_PUBLISH_H
#define FRACTAL_PUBLISH_H
#include <stdint.h>

/*
 * Listens for a mount; @device: its number, major << 20 | minor. Takes what dead servers left off the directory. The descriptor, or -errno;
 * -EPERM: the directory is not the user's alone.
 */
int publish_open(uint32_t device);

void publish_close(void);

#endif
