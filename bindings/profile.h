/* SPDX-License-Identifier: MIT */
/*
 * profile.h - where a Lua state spends its time: its call stack, looked at each time that its workers' threads have used
 * a little more of the processor.
 *
 * LuaJIT's profiler knows one state in a process, so there is one profile. LuaJIT takes its signal to come on the thread that
 * runs the state, and several workers may run one state in turns. So each worker has a timer of its own, which counts
 * that thread's time and signals that thread, and the signal reaches LuaJIT only while the thread is inside the state; what it
 * uses besides (the kernel, the library, waiting for the state's lock) is counted, too, as a frame of its own.
 */
#ifndef FRACTAL_PROFILE_H
#define FRACTAL_PROFILE_H
#include <lua.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Starts to profile this state, before any worker runs it. 0 or -errno; -EBUSY: a state is profiled already. */
int profile_start(lua_State *L);

/* The state is profiled no more, and no worker runs it. What was sampled stays until the next profile_start(). */
void profile_stop(lua_State *L);

/* A worker that runs the state begins and ends, on its thread. 0 or -errno. */
int profile_worker_start(void);
void profile_worker_stop(void);

/* The thread enters (true) or leaves the state. */
void profile_inside(bool now);

/* Writes a line for each stack, outermost frame first: "frame;frame;frame SAMPLES". Any thread. */
void profile_write(FILE *out);

#endif
