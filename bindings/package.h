/* SPDX-License-Identifier: MIT */
/* package.h - the embedded Lua package in a LuaJIT state. */
#ifndef FRACTAL_PACKAGE_H
#define FRACTAL_PACKAGE_H
#include <lua.h>
#include <stdbool.h>

/* Whether a module of that name ("fractal.lowlevel") is embedded. */
bool package_has(const char *module);

/* Calls @see with the name of each embedded module. */
void package_each(void (*see)(const char *module, void *user), void *user);

/*
 * Opens the standard libraries and makes every embedded module one that `require` finds, and `fractal.embedded` a function
 * that returns a module's source text, or nil. May raise.
 */
void package_open(lua_State *L);

/* A handler for lua_pcall: puts a traceback behind the error's text. */
int package_traceback(lua_State *L);

#endif
