/* SPDX-License-Identifier: MIT */
/* loading.h - loads a script, and tells whoever waits for one that does not return. */
#ifndef FRACTAL_LOADING_H
#define FRACTAL_LOADING_H
#include "host.h"

/* host_load(), with a line on standard error when that takes more than a few seconds. */
int loading_run(struct host **out, const char *script, struct log_sink sink);

#endif
