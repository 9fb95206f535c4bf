/* SPDX-License-Identifier: MIT */
/* state.c - see state.h. */
#include "state.h"
#include "figures.h"
#include "package.h"
#include "profile.h"
#include <errno.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#define MEMORY_ROUNDS 16 /* memory of a shared state is noted once in so many rounds */

void state_log(struct state *state, const char *text)
{
	if (state->sink.log)
		state->sink.log(FRACTAL_LOG_ERROR, text, state->sink.user);
}

/* Reports the error value on top of @L and takes it off. */
static void log_error(struct state *state, lua_State *L)
{
	const char *text = lua_tostring(L, -1);

	state_log(state, text ? text : "an error that is no string");
	lua_pop(L, 1);
}

/* Runs protected: everything that may raise while a state is made. */
static int open_package(lua_State *L)
{
	struct state *state = lua_touserdata(L, 1);

	package_open(L);
	figures_watch(L);
	lua_getglobal(L, "require");
	lua_pushliteral(L, "fractal.runtime");
	lua_call(L, 1, 1);
	lua_getfield(L, -1, "waiting");
	state->waiting = luaL_ref(L, LUA_REGISTRYINDEX);
	state->runtime = luaL_ref(L, LUA_REGISTRYINDEX);
	return 0;
}

int state_call(struct state *state, const char *name, int nargs, int nresults)
{
	lua_State *L = state->L;
	int base = lua_gettop(L) - nargs + 1;

	lua_pushcfunction(L, package_traceback);
	lua_insert(L, base);
	lua_rawgeti(L, LUA_REGISTRYINDEX, state->runtime);
	lua_getfield(L, -1, name);
	lua_insert(L, base + 1);
	lua_pop(L, 1);
	if (lua_pcall(L, nargs, nresults, base)) {
		log_error(state, L);
		lua_remove(L, base);
		return -EINVAL;
	}
	lua_remove(L, base);
	return 0;
}

int state_open(struct state *state, const char *script, bool trial, struct log_sink sink)
{
	memset(state, 0, sizeof(*state));
	pthread_mutexattr_t attr;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ADAPTIVE_NP);
	pthread_mutex_init(&state->lock, &attr);
	pthread_mutexattr_destroy(&attr);
	state->sink = sink;
	state->L = luaL_newstate();
	if (!state->L)
		return -ENOMEM;
	if (lua_cpcall(state->L, open_package, state)) {
		log_error(state, state->L);
		return -EINVAL;
	}
	lua_pushstring(state->L, script);
	lua_pushboolean(state->L, trial);
	if (state_call(state, "load", 2, 1))
		return -EINVAL;
	/* A mistake in the script comes back as a sentence, without the library's own traceback. */
	if (!lua_isnil(state->L, -1)) {
		log_error(state, state->L);
		return -EINVAL;
	}
	lua_pop(state->L, 1);
	return 0;
}

void state_close(struct state *state)
{
	if (state->L)
		lua_close(state->L);
	state->L = NULL;
	pthread_mutex_destroy(&state->lock);
}

void state_enter(struct state *state)
{
	if (state->shared)
		pthread_mutex_lock(&state->lock);
	if (state->profiled)
		profile_inside(true);
}

void state_leave(struct state *state)
{
	if (state->profiled)
		profile_inside(false);
	if (state->shared)
		pthread_mutex_unlock(&state->lock);
}

/* ---- lanes ---- */

enum outcome {
	RESTS,
	WAITS,
	ENDED,
	FAILED
};

/*
 * Resumes a coroutine with @nargs arguments on its stack. A drain at rest yields nothing, a waiting one yields true. FAILED leaves
 * the error on top of @co, above the whole call stack.
 */
static enum outcome resume(struct state *state, lua_State *co, int nargs)
{
	int rc = lua_resume(co, nargs);

	if (rc == 0)
		return ENDED;
	if (rc == LUA_YIELD) {
		bool waits = lua_gettop(co) > 0;

		lua_settop(co, 0);
		return waits ? WAITS : RESTS;
	}
	if (rc == LUA_ERRMEM)
		lua_gc(state->L, LUA_GCCOLLECT, 0);
	return FAILED;
}

/* Has the error that ended @co reported: of the request @req, or of @what where that is NULL. */
static int report_error(struct state *state, lua_State *co, struct fractal_request *req,
			const char *what)
{
	lua_State *L = state->L;

	if (req)
		lua_pushlightuserdata(L, req);
	else
		lua_pushnil(L);
	lua_xmove(co, L, 1);
	lua_pushthread(co);
	lua_xmove(co, L, 1);
	lua_pushstring(L, what);
	return state_call(state, "failed", 4, 0);
}

static int rest(struct lane *lane, lua_State *co, int ref)
{
	if (lane->nidle == lane->capacity) {
		size_t more = lane->capacity ? lane->capacity * 2 : 8;
		struct drain *idle = realloc(lane->idle, more * sizeof(*idle));

		if (!idle)
			return -ENOMEM;
		lane->idle = idle;
		lane->capacity = more;
	}
	lane->idle[lane->nidle++] = (struct drain){ co, ref };
	return 0;
}

/* A new coroutine on the stack of state->L that will run the runtime's function @name. */
static lua_State *new_task(struct state *state, const char *name)
{
	lua_State *co = lua_newthread(state->L);

	lua_rawgeti(co, LUA_REGISTRYINDEX, state->runtime);
	lua_getfield(co, -1, name);
	lua_remove(co, -2);
	return co;
}

/* A fresh drain, at rest at the start of its loop. */
static int add_drain(struct lane *lane)
{
	struct state *state = lane->state;
	lua_State *co = new_task(state, "drain");
	int ref = luaL_ref(state->L, LUA_REGISTRYINDEX);

	lua_pushlightuserdata(co, lane->worker);
	if (resume(state, co, 1) == RESTS)
		return rest(lane, co, ref);
	report_error(state, co, NULL, "the library");
	return -EIO;
}

/* Remembers for other threads how much the state holds. With its lock held. */
static void note_memory(struct state *state)
{
	size_t bytes = (size_t)lua_gc(state->L, LUA_GCCOUNT, 0) * 1024 +
		       (size_t)lua_gc(state->L, LUA_GCCOUNTB, 0);

	atomic_store_explicit(&state->memory, bytes, memory_order_relaxed);
}

int lane_open(struct lane *lane, struct state *state, struct fractal_worker *worker)
{
	memset(lane, 0, sizeof(*lane));
	lane->state = state;
	lane->worker = worker;
	note_memory(state);
	return add_drain(lane);
}

/* Takes the coroutine that waits for @io off the runtime's table and anchors it on the stack of state->L. */
static lua_State *take_waiting(struct state *state, const struct fractal_io *io)
{
	lua_State *L = state->L, *co;

	lua_rawgeti(L, LUA_REGISTRYINDEX, state->waiting);
	lua_rawgeti(L, -1, io->tag);
	co = lua_tothread(L, -1);
	lua_pushnil(L);
	lua_rawseti(L, -3, io->tag);
	lua_remove(L, -2);
	return co;
}

/*
 * An error ended a coroutine. Where a request is in hand its handler raised it: the caller gets EIO. Handlers need no protected
 * call of their own for that, which keeps the loop around them compilable.
 */
static void report_failure(struct lane *lane, lua_State *co)
{
	struct fractal_request *req = fractal_worker_in_hand(lane->worker);

	if (report_error(lane->state, co, req, "a task") && req)
		fractal_reply(req, -EIO);
}

/*
 * Goes on with everything that is done. 0 or -ENOMEM; @drained: the last one was a drain that came to rest, so no request is
 * left.
 */
static int resume_done(struct lane *lane, bool *drained)
{
	struct state *state = lane->state;
	struct fractal_io *io;
	int rc = 0;

	*drained = false;
	while (!rc && (io = fractal_io_take(lane->worker))) {
		lua_State *co = take_waiting(state, io);
		enum outcome outcome = co ? resume(state, co, 0) : ENDED;

		*drained = outcome == RESTS;
		if (outcome == FAILED)
			report_failure(lane, co);
		if (outcome == RESTS)
			rc = rest(lane, co, luaL_ref(state->L, LUA_REGISTRYINDEX));
		else
			lua_pop(state->L, 1);
	}
	return rc;
}

/* Gives waiting requests to a drain. 1 when it left the pool (its handler waits, or failed), 0 when no request is left. */
static int run_drain(struct lane *lane)
{
	struct drain d;
	enum outcome outcome;
	int rc = lane->nidle ? 0 : add_drain(lane);

	if (rc)
		return rc;
	d = lane->idle[lane->nidle - 1];
	outcome = resume(lane->state, d.co, 0);
	if (outcome == RESTS)
		return 0;
	if (outcome == FAILED)
		report_failure(lane, d.co);
	/* The table of waiting coroutines keeps a waiting one from now on. */
	lane->nidle--;
	luaL_unref(lane->state->L, LUA_REGISTRYINDEX, d.ref);
	return 1;
}

int lane_run(struct lane *lane)
{
	bool drained;
	int rc;

	state_enter(lane->state);
	do {
		rc = resume_done(lane, &drained);
		if (!rc && !drained)
			rc = run_drain(lane);
	} while (rc > 0);
	/* A worker with a state of its own seldom comes back here while it serves. */
	if (!lane->state->shared || lane->rounds++ % MEMORY_ROUNDS == 0)
		note_memory(lane->state);
	state_leave(lane->state);
	return rc;
}

void lane_close(struct lane *lane)
{
	for (size_t i = 0; i < lane->nidle; i++)
		luaL_unref(lane->state->L, LUA_REGISTRYINDEX, lane->idle[i].ref);
	free(lane->idle);
}

int state_call_waiting(struct state *state, const char *name, int nargs,
		       struct fractal_worker *worker)
{
	struct lane lane = { .state = state, .worker = worker };
	lua_State *L = state->L, *co = new_task(state, name);
	enum outcome outcome;
	bool drained;
	int rc = 0;

	lua_insert(L, -1 - nargs);
	lua_xmove(L, co, nargs);
	outcome = resume(state, co, nargs);
	while (!rc && lua_status(co) == LUA_YIELD) {
		rc = fractal_worker_poll(worker);
		if (!rc && resume_done(&lane, &drained))
			rc = -EINVAL;
	}
	lane_close(&lane);
	if (outcome == FAILED)
		report_error(state, co, NULL, name);
	if (!rc && lua_status(co) != 0)
		rc = -EINVAL;
	if (!rc) {
		lua_settop(co, 1);
		lua_xmove(co, L, 1);
		lua_remove(L, -2);
	} else {
		lua_pop(L, 1);
	}
	return rc;
}
