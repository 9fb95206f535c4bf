/* SPDX-License-Identifier: MIT */
/*
 * reload.h - another version of the script while it is mounted: loaded and looked at in a Lua state of its own, on a thread
 * of its own; if nothing is wrong with it, it takes the place of the one that serves.
 */
#ifndef FRACTAL_RELOAD_H
#define FRACTAL_RELOAD_H
#include "cli.h"

/* The mount that serves. All of it lives until reload_stop(). */
struct reload_target {
	const struct cli *cli;
	const char *script;
	struct host *host;
	const struct options *options; /* those of the mount */
};

/* Before signals are caught: makes what reload_ask() writes to, and watches what the script has loaded. 0 or -errno. */
int reload_prepare(void);

/* Asks for a reload; what is asked before reload_start() is done then. Async-signal-safe. */
void reload_ask(void);

/* The mount answers: reloads from now on when asked to. 0 or -errno. */
int reload_start(const struct reload_target *target);

/* The mount has ended. False: a script on trial does not return, and only the end of the process ends its thread. */
bool reload_stop(void);

#endif
