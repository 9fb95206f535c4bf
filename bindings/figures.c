/* SPDX-License-Identifier: MIT */
/* figures.c - see figures.h. */
#include "figures.h"
#include <lauxlib.h>
#include <string.h>

struct figures figures;

/* A userdata that nothing refers to is finalized in each cycle of the collector; then the next one is put out. */
static int put_out_marker(lua_State *L)
{
	lua_newuserdata(L, 0);
	luaL_getmetatable(L, "fractal.marker");
	lua_setmetatable(L, -2);
	return 0;
}

static int marker_collected(lua_State *L)
{
	atomic_fetch_add(&figures.collections, 1);
	return put_out_marker(L);
}

/* jit.attach: what happened to a trace is the first argument. */
static int trace_event(lua_State *L)
{
	const char *event = luaL_checkstring(L, 1);

	if (!strcmp(event, "stop"))
		atomic_fetch_add(&figures.traces, 1);
	else if (!strcmp(event, "abort"))
		atomic_fetch_add(&figures.aborts, 1);
	else if (!strcmp(event, "flush"))
		atomic_fetch_add(&figures.flushes, 1);
	return 0;
}

void figures_watch(lua_State *L)
{
	luaL_newmetatable(L, "fractal.marker");
	lua_pushcfunction(L, marker_collected);
	lua_setfield(L, -2, "__gc");
	lua_pop(L, 1);
	put_out_marker(L);
	lua_pop(L, 1);
	lua_getglobal(L, "jit");
	lua_getfield(L, -1, "attach");
	lua_pushcfunction(L, trace_event);
	lua_pushliteral(L, "trace");
	lua_call(L, 2, 0);
	lua_pop(L, 1);
}
