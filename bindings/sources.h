/* SPDX-License-Identifier: MIT */
/*
 * sources.h - the files that the script consists of, itself and its own modules, as the Lua states load them; and whether
 * somebody has changed them.
 *
 * Directories are watched, since editors put a new file in the place of the old one. They are looked up by the thread
 * that calls sources_watch(), never by a worker, which would wait for itself where they lie in its own mount.
 */
#ifndef FRACTAL_SOURCES_H
#define FRACTAL_SOURCES_H
#include "fractal.h"

/* Begins to note files: before any is loaded. 0 or -errno. */
int sources_open(void);

/* Readable when sources_watch() or sources_changed() has something to do; -1 each where nothing is noted. */
int sources_news_fd(void);
int sources_events_fd(void);

/* Watches what was noted meanwhile. 0; -ENOENT: a directory is not there (any more), try again; -errno. */
int sources_watch(void);

/* Was one of the files written, or another one put in its place, since the last call? */
bool sources_changed(void);

void sources_close(void);

/* A state loads this file. Any thread; does not touch the file. */
FRACTAL_API void fractal_source_note(const char *path);

#endif
