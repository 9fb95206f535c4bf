/* SPDX-License-Identifier: MIT */
/*
 * state.h - a LuaJIT state with the embedded package and one script, and the lanes in which workers run it.
 *
 * A state may be served by several workers: each has a lane, a Lua coroutine with the drain loop, and a lock that is
 * held only while Lua runs.
 */
#ifndef FRACTAL_STATE_H
#define FRACTAL_STATE_H
#include "fractal.h"
#include "mount.h"
#include <lua.h>
#include <pthread.h>

struct state {
	lua_State *L;
	pthread_mutex_t lock;
	bool shared; /* several workers: take the lock */
	int runtime; /* registry reference of the module fractal.runtime */
	struct log_sink sink;
};

struct lane {
	struct state *state;
	lua_State *co; /* runs the drain loop */
	int ref;       /* keeps it from the collector */
};

/* Makes the state, opens the package and runs @script. -EINVAL with the error logged. */
int state_open(struct state *state, const char *script, struct log_sink sink);
void state_close(struct state *state);

/*
 * Calls fractal.runtime's function @name: its @nargs arguments are on the stack of state->L, its @nresults results are left
 * there. -EINVAL with a traceback logged.
 */
int state_call(struct state *state, const char *name, int nargs, int nresults);

void state_enter(struct state *state);
void state_leave(struct state *state);

int lane_open(struct lane *lane, struct state *state, struct fractal_worker *worker);
/* Runs the drain loop until no request waits. */
int lane_run(struct lane *lane);
void lane_close(struct lane *lane);

#endif
