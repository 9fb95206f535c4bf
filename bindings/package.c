/* SPDX-License-Identifier: MIT */
/* package.c - see package.h. */
#include "package.h"
#include "embedded.h"
#include <lauxlib.h>
#include <lualib.h>
#include <stdint.h>
#include <string.h>

/* LuaJIT's defaults are too small for a filesystem's many paths. */
static const char jit_options[] = "require('jit.opt').start('maxmcode=8192', 'maxtrace=4000')";

static const struct fractal_embedded *find_module(const char *name)
{
	const struct fractal_embedded *m = fractal_embedded;

	while (m->module && strcmp(m->module, name) != 0)
		m++;
	return m->module ? m : NULL;
}

bool package_has(const char *module)
{
	return find_module(module) != NULL;
}

void package_each(void (*see)(const char *module, void *user), void *user)
{
	for (const struct fractal_embedded *m = fractal_embedded; m->module; m++)
		see(m->module, user);
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

/* fractal.embedded(module) */
static int push_source(lua_State *L)
{
	const struct fractal_embedded *m = find_module(luaL_checkstring(L, 1));

	if (m)
		lua_pushlstring(L, m->source, m->length);
	else
		lua_pushnil(L);
	return 1;
}

void package_open(lua_State *L)
{
	luaL_openlibs(L);
	lua_getglobal(L, "package");
	lua_getfield(L, -1, "preload");
	for (const struct fractal_embedded *m = fractal_embedded; m->module; m++) {
		lua_pushlightuserdata(L, (void *)(uintptr_t)m);
		lua_pushcclosure(L, load_embedded, 1);
		lua_setfield(L, -2, m->module);
	}
	lua_getfield(L, -2, "loaded");
	lua_pushcfunction(L, push_source);
	lua_setfield(L, -2, "fractal.embedded");
	lua_pop(L, 3);
	if (luaL_dostring(L, jit_options))
		lua_error(L);
}

int package_traceback(lua_State *L)
{
	const char *text = lua_tostring(L, 1);

	luaL_traceback(L, L, text ? text : "(an error that is no string)", 1);
	return 1;
}
