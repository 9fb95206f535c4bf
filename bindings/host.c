/* SPDX-License-Identifier: MIT */
/*
 * host.c - see host.h. Owns the Lua states of a mount and is the session's set of hooks.
 *
 * The first state is made while the command still parses options. With per-worker states every other worker makes its
 * own on its thread, when it starts.
 */
#include "host.h"
#include "figures.h"
#include "profile.h"
#include "shared.h"
#include "state.h"
#include <errno.h>
#include <lauxlib.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct host {
	char *script;
	char *name;
	struct log_sink sink;
	struct state first;
	bool per_worker;
	struct host_word *settings, *options, *given;
	size_t nsettings, noptions, ngiven;
	struct lane_slot *slots; /* one for each worker, made at INIT */
	int nslots;
	struct fractal_session *session;
	bool initialised;
	bool profiled;
};

/* How many there are: what their states share goes with the last one. */
static atomic_int hosts;

/* One worker's part: its lane, and its state where states are not shared. */
struct lane_slot {
	struct state own;
	struct lane lane;
	bool open;
};

static void log_text(struct host *host, const char *text)
{
	if (host->sink.log)
		host->sink.log(FRACTAL_LOG_ERROR, text, host->sink.user);
}

/* ---- words ---- */

static void free_words(struct host_word *words, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free((char *)words[i].name);
		free((char *)words[i].value);
	}
	free(words);
}

static int set_word(struct host_word *word, const char *name, const char *value)
{
	word->name = strdup(name);
	word->value = value ? strdup(value) : NULL;
	return word->name && (word->value || !value) ? 0 : -ENOMEM;
}

/* Reads what fractal.runtime's @function returns: a flat list name, value or false, name … */
static int fetch_words(struct host *host, const char *function, struct host_word **words,
		       size_t *count)
{
	lua_State *L = host->first.L;
	size_t n;

	if (state_call(&host->first, function, 0, 1))
		return -EINVAL;
	n = lua_objlen(L, -1) / 2;
	*words = calloc(n + 1, sizeof(**words));
	for (size_t i = 0; *words && i < n; i++) {
		lua_rawgeti(L, -1, (int)(i * 2 + 1));
		lua_rawgeti(L, -2, (int)(i * 2 + 2));
		if (set_word(&(*words)[i], lua_tostring(L, -2),
			     lua_isstring(L, -1) ? lua_tostring(L, -1) : NULL))
			return -ENOMEM;
		lua_pop(L, 2);
		*count = i + 1;
	}
	lua_pop(L, 1);
	return *words ? 0 : -ENOMEM;
}

const struct host_word *host_settings(struct host *host, size_t *count)
{
	*count = host->nsettings;
	return host->settings;
}

const struct host_word *host_script_options(struct host *host, size_t *count)
{
	*count = host->noptions;
	return host->options;
}

static int give_option(struct state *state, const struct host_word *word)
{
	lua_pushstring(state->L, word->name);
	if (word->value)
		lua_pushstring(state->L, word->value);
	else
		lua_pushboolean(state->L, 1);
	return state_call(state, "set_option", 2, 0);
}

int host_set_option(struct host *host, const char *name, const char *value)
{
	for (size_t i = 0; i < host->noptions; i++) {
		struct host_word *more;

		if (strcmp(host->options[i].name, name) != 0)
			continue;
		more = realloc(host->given, (host->ngiven + 1) * sizeof(*more));
		if (!more)
			return -ENOMEM;
		host->given = more;
		if (set_word(&host->given[host->ngiven++], name, value))
			return -ENOMEM;
		return give_option(&host->first, &host->given[host->ngiven - 1]);
	}
	return -ENOENT;
}

/* The script keeps its data in Lua tables, which states of their own would not share. */
static bool single_only(struct host *host)
{
	bool only;

	if (state_call(&host->first, "single_only", 0, 1))
		return false;
	only = lua_toboolean(host->first.L, -1);
	lua_pop(host->first.L, 1);
	return only;
}

int host_set_state(struct host *host, const char *state)
{
	if (strcmp(state, "single") != 0 && strcmp(state, "per-worker") != 0)
		return -EINVAL;
	host->per_worker = !strcmp(state, "per-worker");
	if (host->per_worker && single_only(host)) {
		log_text(
			host,
			"this filesystem keeps its files in Lua tables: leave state=per-worker out");
		return -ENOTSUP;
	}
	return 0;
}

const char *host_name(const struct host *host)
{
	return host->name;
}

int host_states(const struct host *host, int workers)
{
	return host->per_worker ? workers : 1;
}

/* ---- loading ---- */

static char *name_of_script(const char *script)
{
	const char *base = strrchr(script, '/');
	char *name = strdup(base ? base + 1 : script);
	size_t n = name ? strlen(name) : 0;

	if (n > 4 && !strcmp(name + n - 4, ".lua"))
		name[n - 4] = 0;
	return name;
}

static int read_script(struct host *host, bool trial)
{
	int rc = state_open(&host->first, host->script, trial, host->sink);

	if (!rc)
		rc = fetch_words(host, "settings", &host->settings, &host->nsettings);
	if (!rc)
		rc = fetch_words(host, "options", &host->options, &host->noptions);
	for (size_t i = 0; !rc && i < host->nsettings; i++)
		if (!strcmp(host->settings[i].name, "fsname")) {
			free(host->name);
			host->name = strdup(host->settings[i].value);
		}
	return rc;
}

static int load(struct host **out, const char *script, bool trial, struct log_sink sink)
{
	struct host *host = calloc(1, sizeof(*host));
	int rc;

	*out = NULL;
	if (!host)
		return -ENOMEM;
	atomic_fetch_add(&hosts, 1);
	host->sink = sink;
	host->script = strdup(script);
	host->name = name_of_script(script);
	rc = host->script && host->name ? read_script(host, trial) : -ENOMEM;
	if (rc) {
		host_free(host);
		return rc;
	}
	*out = host;
	return 0;
}

int host_load(struct host **out, const char *script, struct log_sink sink)
{
	return load(out, script, false, sink);
}

int host_try(struct host **out, const char *script, struct log_sink sink)
{
	return load(out, script, true, sink);
}

void host_end(struct host *host)
{
	if (host->first.profiled)
		profile_remove(host->first.profiled);
	if (host->profiled)
		profile_close();
	if (host->initialised)
		state_call(&host->first, "destroy", 0, 0);
	host->initialised = false;
}

void host_free(struct host *host)
{
	if (!host)
		return;
	state_close(&host->first);
	if (atomic_fetch_sub(&hosts, 1) == 1)
		shared_close();
	free_words(host->settings, host->nsettings);
	free_words(host->options, host->noptions);
	free_words(host->given, host->ngiven);
	free(host->slots);
	free(host->script);
	free(host->name);
	free(host);
}

int host_check(struct host *host, const char *state, host_found *found, void *user)
{
	lua_State *L = host->first.L;
	const char *words[4];

	lua_pushstring(L, state);
	if (state_call(&host->first, "check", 1, 1))
		return -EINVAL;
	for (int i = 1; i + 3 <= (int)lua_objlen(L, -1); i += 4) {
		for (int j = 0; j < 4; j++) {
			lua_rawgeti(L, -1 - j, i + j);
			words[j] = lua_tostring(L, -1);
		}
		found(words[0], words[1], words[2], words[3], user);
		lua_pop(L, 4);
	}
	lua_pop(L, 1);
	return 0;
}

/* A worker that only serves does not note how much its state holds until it is woken. */
void host_refresh_figures(const struct host *host)
{
	for (int i = 0; i < host->nslots; i++)
		fractal_worker_wake(fractal_session_worker(host->session, i));
}

void host_figures(const struct host *host, struct host_figures *out)
{
	*out = (struct host_figures){
		.states = host_states(host, host->nslots),
		.memory = atomic_load_explicit(&host->first.memory, memory_order_relaxed),
		.collections = atomic_load(&figures.collections),
		.traces = atomic_load(&figures.traces),
		.aborts = atomic_load(&figures.aborts),
		.flushes = atomic_load(&figures.flushes),
	};
	for (int i = 0; i < host->nslots; i++)
		out->memory +=
			atomic_load_explicit(&host->slots[i].own.memory, memory_order_relaxed);
}

int host_profile(struct host *host)
{
	int rc = profile_open();

	host->profiled = !rc;
	return rc;
}

/* Has a state profiled where that was asked for, before @worker's thread runs it. */
static int profile_state(const struct host *host, struct state *state,
			 struct fractal_worker *worker)
{
	if (host->profiled)
		state->profiled = profile_add(state->L, worker);
	return host->profiled && !state->profiled ? -ENOMEM : 0;
}

void host_write_profile(FILE *out)
{
	profile_write(out);
}

int host_refuse_mistakes(struct host *host)
{
	lua_State *L = host->first.L;
	int rc = state_call(&host->first, "mistakes", 0, 1);

	if (rc)
		return rc;
	if (!lua_isnil(L, -1)) {
		state_log(&host->first, lua_tostring(L, -1));
		rc = -EINVAL;
	}
	lua_pop(L, 1);
	return rc;
}

/* ---- another version of the script ---- */

struct fractal_session *host_session(const struct host *host)
{
	return host->session;
}

int host_may_follow(struct host *host, struct host *trial)
{
	if (!host->per_worker || !single_only(trial))
		return 0;
	log_text(
		host,
		"this filesystem keeps its files in Lua tables, and the mount has several states: that needs a remount");
	return -ENOTSUP;
}

int host_send_step(struct host *trial, struct fractal_worker *worker, const char *step, int ticket,
		   const struct fractal_config *config)
{
	lua_State *L = trial->first.L;

	lua_pushlightuserdata(L, worker);
	lua_pushstring(L, step);
	lua_pushinteger(L, ticket);
	lua_pushboolean(L, fractal_worker_id(worker) == 0);
	lua_pushnumber(L, config->entry_ttl);
	lua_pushnumber(L, config->attr_ttl);
	lua_pushnumber(L, config->negative_ttl);
	return state_call(&trial->first, "send_step", 7, 0);
}

/* ---- hooks ---- */

/* Runs fs.init(conn) in a state, on a worker's thread. */
static int init_state(struct host *host, struct state *state, struct fractal_session *session,
		      struct fractal_conn *conn)
{
	int rc;

	state_enter(state);
	lua_pushlightuserdata(state->L, session);
	lua_pushlightuserdata(state->L, conn);
	lua_pushboolean(state->L, host->per_worker);
	rc = state_call_waiting(state, "init", 3, fractal_worker_current());
	if (!rc) {
		rc = lua_isnumber(state->L, -1) ? -(int)lua_tointeger(state->L, -1) : 0;
		lua_pop(state->L, 1);
	}
	state_leave(state);
	return rc;
}

static int hook_init(struct fractal_session *session, struct fractal_conn *conn, void *user)
{
	struct host *host = user;
	int rc, workers = fractal_session_workers(session);

	host->slots = calloc((size_t)workers, sizeof(*host->slots));
	if (!host->slots)
		return -ENOMEM;
	host->nslots = workers;
	host->session = session;
	host->first.shared = !host->per_worker && workers > 1;
	rc = profile_state(host, &host->first, fractal_worker_current());
	if (!rc)
		rc = init_state(host, &host->first, session, conn);
	host->initialised = !rc;
	return rc;
}

/* The state a worker runs in; its own one is loaded and initialised here. */
static int open_state(struct host *host, struct lane_slot *slot, struct fractal_worker *worker)
{
	struct fractal_session *session = fractal_worker_session(worker);
	struct fractal_conn conn = *fractal_session_conn(session);
	int rc = state_open(&slot->own, host->script, false, host->sink);

	for (size_t i = 0; !rc && i < host->ngiven; i++)
		rc = give_option(&slot->own, &host->given[i]);
	if (!rc)
		rc = profile_state(host, &slot->own, worker);
	return rc ? rc : init_state(host, &slot->own, session, &conn);
}

static int hook_worker_start(struct fractal_worker *worker, void *user)
{
	struct host *host = user;
	struct lane_slot *slot = &host->slots[fractal_worker_id(worker)];
	struct state *state = &host->first;
	int rc = 0;

	if (host->per_worker && fractal_worker_id(worker) > 0) {
		state = &slot->own;
		rc = open_state(host, slot, worker);
	}
	if (rc)
		return rc;
	state_enter(state);
	rc = lane_open(&slot->lane, state, worker);
	state_leave(state);
	slot->open = !rc;
	/* A shared state is let go while its worker waits, and a profile shows that wait as outside of it. */
	fractal_worker_stay(worker, !state->shared && !state->profiled);
	if (!rc && state->profiled)
		rc = profile_worker_start(state->profiled);
	fractal_worker_set_user(worker, &slot->lane);
	return rc;
}

static void hook_worker_stop(struct fractal_worker *worker, void *user)
{
	struct host *host = user;
	struct lane_slot *slot = &host->slots[fractal_worker_id(worker)];

	profile_worker_stop();
	if (slot->open) {
		state_enter(slot->lane.state);
		lane_close(&slot->lane);
		state_leave(slot->lane.state);
	}
	if (slot->own.profiled)
		profile_remove(slot->own.profiled);
	if (slot->own.L) {
		state_call(&slot->own, "destroy", 0, 0);
		state_close(&slot->own);
	}
}

static int hook_serve(struct fractal_worker *worker, void *user)
{
	struct lane *lane = fractal_worker_user(worker);

	(void)user;
	if (lane->state->profiled)
		profile_pass_on(lane->state->profiled);
	return lane_run(lane);
}

/* Runs fs.prepare(): what the script has to do before anything is mounted. */
static int prepare_script(struct host *host)
{
	lua_State *L = host->first.L;
	int rc = state_call(&host->first, "prepare", 0, 1);

	if (rc)
		return rc;
	if (!lua_isnil(L, -1)) {
		log_text(host, lua_tostring(L, -1));
		rc = -EINVAL;
	}
	lua_pop(L, 1);
	return rc;
}

int host_capabilities(struct host *host, uint64_t *bits)
{
	lua_State *L = host->first.L;

	if (state_call(&host->first, "capabilities", 0, 1))
		return -EINVAL;
	for (size_t i = 1; i <= lua_objlen(L, -1); i++) {
		lua_rawgeti(L, -1, (int)i);
		*bits |= 1ull << lua_tointeger(L, -1);
		lua_pop(L, 1);
	}
	lua_pop(L, 1);
	return 0;
}

int host_prepare(struct host *host, struct fractal_config *config)
{
	if (prepare_script(host) || host_capabilities(host, &config->caps_on))
		return -EINVAL;
	config->user = host;
	config->init = hook_init;
	config->worker_start = hook_worker_start;
	config->worker_stop = hook_worker_stop;
	config->serve = hook_serve;
	return 0;
}
