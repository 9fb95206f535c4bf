/* SPDX-License-Identifier: MIT */
/*
 * profile.h - where Lua states spend their time: their call stacks, looked at each time that their workers' threads have used
 * a little more of the processor (a tick).
 *
 * Each worker has a timer of its own, which counts that thread's time and signals that thread. LuaJIT takes its signal to come
 * on the thread that runs the state, and several workers may run one state in turns. So a tick reaches LuaJIT only while its
 * thread is inside the state; what the thread uses besides (the kernel, the library, waiting for the state's lock) is counted,
 * too, as a frame of its own.
 *
 * LuaJIT's profiler knows one state in a process. Where there are several they have it in turns. A state whose turn it is not
 * counts its ticks; in its next turns samples stand for those as well. So each state's samples come to the time it used.
 * A turn begins and ends on the thread of the state that passes the profiler on, between two requests. It ends only when
 * another state has missed something, so a state that is busy alone keeps the profiler.
 */
#ifndef FRACTAL_PROFILE_H
#define FRACTAL_PROFILE_H
#include "fractal.h"
#include <lua.h>
#include <stdbool.h>
#include <stdio.h>

/* A state that is profiled. */
struct profiled;

/* Begins a profile, before there are workers. 0 or -errno; -EBUSY: there is one already. */
int profile_open(void);

/* Ends it and forgets what was sampled. Its states have been removed and its workers have ended. */
void profile_close(void);

/*
 * Profiles a state from now on: before anything but @worker runs it, on @worker's thread, which is woken when another
 * state wants its turn. NULL: out of memory.
 */
struct profiled *profile_add(lua_State *L, struct fractal_worker *worker);

/* The state is profiled no more; what was sampled stays. On the thread that has run it, or when none does any longer. */
void profile_remove(struct profiled *state);

/* Passes LuaJIT's profiler on where it is another state's turn. On the thread of the state's worker, outside of the state. */
void profile_pass_on(struct profiled *state);

/* A worker that runs the state begins and ends, on its thread. 0 or -errno. */
int profile_worker_start(struct profiled *state);
void profile_worker_stop(void);

/* The thread enters (true) or leaves the state. */
void profile_inside(bool now);

/*
 * Writes a line for each stack, outermost frame first: "frame;frame;frame SAMPLES". Where there are several states the
 * outermost frame names the worker. Any thread.
 */
void profile_write(FILE *out);

#endif
