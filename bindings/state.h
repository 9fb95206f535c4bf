/* SPDX-License-Identifier: MIT */
/*
 * state.h - a LuaJIT state with the embedded package and one script, and the lanes in which workers run it.
 *
 * A state may be served by several workers: each has a lane, and a lock is held only while Lua runs. A lane runs the
 * drain loop in a coroutine. A handler that waits leaves its coroutine, loop and all, and the lane goes on with another
 * one from its pool; when what it waited for is done, the first one is resumed, replies, and joins the pool.
 */
#ifndef FRACTAL_STATE_H
#define FRACTAL_STATE_H
#include "fractal.h"
#include "mount.h"
#include <lua.h>
#include <pthread.h>
#include <stdatomic.h>

struct state {
	lua_State *L;
	pthread_mutex_t lock;
	bool shared;		   /* several workers: take the lock */
	struct profiled *profiled; /* its threads are to say when they are inside; NULL: need not */
	int runtime;		   /* registry reference of the module fractal.runtime */
	int waiting; /* registry reference of its table: tag of an operation → coroutine that waits for it */
	struct log_sink sink;
	_Atomic size_t memory; /* bytes, as of one of its last rounds */
};

/* A coroutine at rest in the drain loop. */
struct drain {
	lua_State *co;
	int ref; /* keeps it from the collector */
};

struct lane {
	struct state *state;
	struct fractal_worker *worker;
	struct drain *idle; /* drains to give requests to; the others wait in a handler */
	size_t nidle, capacity;
	unsigned rounds;
};

/* Makes the state, opens the package and runs @script; on trial it has to return within a time. -EINVAL with the error logged. */
int state_open(struct state *state, const char *script, bool trial, struct log_sink sink);
void state_close(struct state *state);

/*
 * Calls fractal.runtime's function @name: its @nargs arguments are on the stack of state->L, its @nresults results are left
 * there. -EINVAL with a traceback logged.
 */
int state_call(struct state *state, const char *name, int nargs, int nresults);

/*
 * The same as a task on @worker's thread, which may wait for operations; runs the ring until the task has ended. Its one
 * result is left on state->L.
 */
int state_call_waiting(struct state *state, const char *name, int nargs,
		       struct fractal_worker *worker);

/* Logs a text of several lines as errors. */
void state_log(struct state *state, const char *text);

void state_enter(struct state *state);
void state_leave(struct state *state);

int lane_open(struct lane *lane, struct state *state, struct fractal_worker *worker);
/* Goes on with what waited and is done, and runs the drain loop until no request waits. */
int lane_run(struct lane *lane);
void lane_close(struct lane *lane);

#endif
