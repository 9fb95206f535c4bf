/* SPDX-License-Identifier: MIT */
/*
 * figures.h - what the Lua states of the process do beside running the script: collections of garbage and the compiler's
 * traces, counted as they happen. Nothing here is on a request's way.
 */
#ifndef FRACTAL_FIGURES_H
#define FRACTAL_FIGURES_H
#include <lua.h>
#include <stdatomic.h>
#include <stdint.h>

/* Over all states since the start. Any thread may read. */
struct figures {
	_Atomic uint64_t collections; /* cycles of the garbage collector */
	_Atomic uint64_t traces;      /* compiled */
	_Atomic uint64_t aborts;      /* traces that could not be compiled */
	_Atomic uint64_t flushes;     /* when all traces are thrown away */
};

extern struct figures figures;

/*
 * Counts from now on what this state does; may raise an error. A script that attaches a reporter of its own to the compiler
 * (jit.v) ends the counting of traces, since there is one place for them.
 */
void figures_watch(lua_State *L);

#endif
