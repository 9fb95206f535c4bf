/* SPDX-License-Identifier: MIT */
/* tool.c - see tool.h. Runs functions of the module fractal.tool in a LuaJIT state of their own, without a mount. */
#include "tool.h"
#include "nearest.h"
#include "package.h"
#include <lauxlib.h>
#include <string.h>

#define PREFIX "fractal.command."

/* A call of a function of fractal.tool, made protected. */
struct call {
	const char *function;
	int argc;
	char **argv;
	FILE *out;  /* gets the result where it is text */
	int status; /* the result where it is a number */
};

static int run_call(lua_State *L)
{
	struct call *call = lua_touserdata(L, 1);

	package_open(L);
	lua_getglobal(L, "require");
	lua_pushliteral(L, "fractal.tool");
	lua_call(L, 1, 1);
	lua_getfield(L, -1, call->function);
	luaL_checkstack(L, call->argc, "too many words");
	for (int i = 0; i < call->argc; i++)
		lua_pushstring(L, call->argv[i]);
	lua_call(L, call->argc, 1);
	if (lua_type(L, -1) == LUA_TNUMBER)
		call->status = (int)lua_tointeger(L, -1);
	else
		fputs(luaL_checkstring(L, -1), call->out);
	return 0;
}

/* 0, or 1 with the error and its traceback on standard error. */
static int make_call(struct call *call)
{
	lua_State *L = luaL_newstate();
	int failed;

	if (!L) {
		fputs("fractal-lua: error: out of memory\n", stderr);
		return 1;
	}
	lua_pushcfunction(L, package_traceback);
	lua_pushcfunction(L, run_call);
	lua_pushlightuserdata(L, call);
	failed = lua_pcall(L, 1, 0, 1);
	if (failed)
		fprintf(stderr, "fractal-lua: error: %s\n", lua_tostring(L, -1));
	lua_close(L);
	return failed ? 1 : 0;
}

bool tool_exists(const char *word)
{
	char module[128];

	snprintf(module, sizeof(module), PREFIX "%s", word);
	return !strpbrk(word, "./") && package_has(module);
}

static void consider_module(const char *module, void *nearest)
{
	if (strncmp(module, PREFIX, strlen(PREFIX)) == 0)
		nearest_consider(nearest, module + strlen(PREFIX));
}

const char *tool_guess(const char *word)
{
	struct nearest nearest = nearest_to(word);

	package_each(consider_module, &nearest);
	return nearest.best;
}

int tool_run(int argc, char *argv[])
{
	struct call call = { .function = "main", .argc = argc, .argv = argv, .out = stdout };

	return make_call(&call) ? 1 : call.status;
}

int tool_list(FILE *out)
{
	struct call call = { .function = "list", .out = out };

	return make_call(&call);
}
