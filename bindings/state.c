/* SPDX-License-Identifier: MIT */
/* state.c - see state.h. */
#include "state.h"
#include "embedded.h"
#include <errno.h>
#include <lauxlib.h>
#include <luajit.h>
#include <lualib.h>
#include <string.h>

#define LOG_LINE 900

static void log_lines(struct state *state, const char *text)
{
	char line[LOG_LINE];

	while (*text) {
		size_t n = strcspn(text, "\n");
		size_t take = n < sizeof(line) - 1 ? n : sizeof(line) - 1;

		memcpy(line, text, take);
		line[take] = 0;
		if (state->sink.log)
			state->sink.log(FRACTAL_LOG_ERROR, line, state->sink.user);
		text += n + (text[n] == '\n');
	}
}

/* Reports the error value on top of @L and takes it off. */
static void log_error(struct state *state, lua_State *L)
{
	const char *text = lua_tostring(L, -1);

	log_lines(state, text ? text : "an error that is no string");
	lua_pop(L, 1);
}

static int traceback(lua_State *L)
{
	const char *text = lua_tostring(L, 1);

	luaL_traceback(L, L, text ? text : "(an error that is no string)", 1);
	return 1;
}

/* A package.preload function: compiles its embedded module at the first require. */
static int load_embedded(lua_State *L)
{
	const struct fractal_embedded *m = lua_touserdata(L, lua_upvalueindex(1));

	if (luaL_loadbuffer(L, m->source, m->length, m->chunkname))
		return lua_error(L);
	lua_pushstring(L, m->module);
	lua_call(L, 1, 1);
	return 1;
}

static void preload_package(lua_State *L)
{
	lua_getglobal(L, "package");
	lua_getfield(L, -1, "preload");
	for (const struct fractal_embedded *m = fractal_embedded; m->module; m++) {
		lua_pushlightuserdata(L, (void *)(uintptr_t)m);
		lua_pushcclosure(L, load_embedded, 1);
		lua_setfield(L, -2, m->module);
	}
	lua_pop(L, 2);
}

/* LuaJIT's defaults are too small for a filesystem's many paths. */
static const char jit_options[] = "require('jit.opt').start('maxmcode=8192', 'maxtrace=4000')";

/* Runs protected: everything that may raise while a state is made. */
static int open_package(lua_State *L)
{
	struct state *state = lua_touserdata(L, 1);

	luaL_openlibs(L);
	preload_package(L);
	if (luaL_dostring(L, jit_options))
		return lua_error(L);
	lua_getglobal(L, "require");
	lua_pushliteral(L, "fractal.runtime");
	lua_call(L, 1, 1);
	state->runtime = luaL_ref(L, LUA_REGISTRYINDEX);
	return 0;
}

int state_call(struct state *state, const char *name, int nargs, int nresults)
{
	lua_State *L = state->L;
	int base = lua_gettop(L) - nargs + 1;

	lua_pushcfunction(L, traceback);
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

int state_open(struct state *state, const char *script, struct log_sink sink)
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
	if (state_call(state, "load", 1, 1))
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
}

void state_leave(struct state *state)
{
	if (state->shared)
		pthread_mutex_unlock(&state->lock);
}

/* A fresh coroutine at the start of the drain loop. */
static int start_drain(struct lane *lane, struct fractal_worker *worker)
{
	lua_State *L = lane->state->L;

	lane->co = lua_newthread(L);
	lane->ref = luaL_ref(L, LUA_REGISTRYINDEX);
	lua_rawgeti(lane->co, LUA_REGISTRYINDEX, lane->state->runtime);
	lua_getfield(lane->co, -1, "drain");
	lua_remove(lane->co, -2);
	lua_pushlightuserdata(lane->co, worker);
	if (lua_resume(lane->co, 1) == LUA_YIELD)
		return 0;
	log_error(lane->state, lane->co);
	return -EINVAL;
}

int lane_open(struct lane *lane, struct state *state, struct fractal_worker *worker)
{
	lane->state = state;
	return start_drain(lane, worker);
}

int lane_run(struct lane *lane)
{
	int rc;

	state_enter(lane->state);
	rc = lua_resume(lane->co, 0);
	if (rc != LUA_YIELD) {
		/* Handlers run protected, so this is the loop's own failure (out of memory): the mount ends. */
		luaL_traceback(lane->state->L, lane->co, lua_tostring(lane->co, -1), 0);
		log_error(lane->state, lane->state->L);
	}
	state_leave(lane->state);
	return rc == LUA_YIELD ? 0 : -EIO;
}

void lane_close(struct lane *lane)
{
	luaL_unref(lane->state->L, LUA_REGISTRYINDEX, lane->ref);
}
