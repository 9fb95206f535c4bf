/* SPDX-License-Identifier: MIT */
/*
 * host.h - a Lua script as a filesystem: what the command needs to load one and to give it to a session.
 *
 * Order of calls: host_load, then host_settings and host_script_options to settle the options, host_set_option for
 * the script's own, host_prepare, then the session runs, host_end, host_free last.
 */
#ifndef FRACTAL_HOST_H
#define FRACTAL_HOST_H
#include "fractal.h"
#include "mount.h"
#include <stdio.h>

struct host;

struct host_word {
	const char *name;
	const char
		*value; /* help text for a script's own option; NULL where a setting has no value */
};

/* Runs the script once, in the first Lua state, and takes its filesystem table. < 0 with the reason logged. */
int host_load(struct host **out, const char *script, struct log_sink sink);

/* The same for a version that is to take the place of one that serves: it has to return within 10 s, or until exchange_cancel(). */
int host_try(struct host **out, const char *script, struct log_sink sink);

/*
 * What the script set in its table, as -o words to be applied before the command line's: fsname=, state=, workers=,
 * queue_depth=, max_write=, attr_ttl=, entry_ttl=, negative_ttl=, every word of `mount` and of capability names.
 */
const struct host_word *host_settings(struct host *host, size_t *count);

/* The script's own -o options: name and help text. */
const struct host_word *host_script_options(struct host *host, size_t *count);

/* Gives a value to one of them (NULL: given without one). -ENOENT: the script knows no such option. */
int host_set_option(struct host *host, const char *name, const char *value);

/* "single" (default) or "per-worker". -EINVAL for anything else; -ENOTSUP, logged, where the script can only be single. */
int host_set_state(struct host *host, const char *state);

/*
 * Fills the hooks init, worker_start, worker_stop and serve, user (@host, which the log and ready hooks are given too) and
 * capability bits of @config.
 */
int host_prepare(struct host *host, struct fractal_config *config);

/* The name to show for the filesystem: the script's `name`, else its file name. */
const char *host_name(const struct host *host);

/* How many Lua states serve with @workers workers. */
int host_states(const struct host *host, int workers);

/* What the Lua states do beside serving. */
struct host_figures {
	int states;
	uint64_t memory;		  /* bytes, as of one of their last rounds */
	uint64_t collections;		  /* cycles of the garbage collector */
	uint64_t traces, aborts, flushes; /* of the compiler: made, given up, all thrown away */
};

/* Any thread, once the mount answers; takes no lock, so a handler that holds a state is no obstacle. */
void host_figures(const struct host *host, struct host_figures *out);
#define HOST_REFRESH_MS 2
/* Has workers note what their states hold: in HOST_REFRESH_MS, if nothing holds them. Any thread. */
void host_refresh_figures(const struct host *host);
/* Capability bits that the script's handlers ask for by being there, into @bits. */
int host_capabilities(struct host *host, uint64_t *bits);

/* What fractal.check finds: a check's name, "ok", "warn" or "fail", a sentence, and what to do ("": nothing). */
typedef void host_found(const char *name, const char *status, const char *text, const char *fix,
			void *user);

/* Has the script looked at, as it would serve with -o state=@state (NULL: not given). < 0 when that failed, with the reason logged. */
int host_check(struct host *host, const char *state, host_found *found, void *user);

/* Has every Lua state profiled, from its init on, when the session runs. 0 or -errno, see profile.h. */
int host_profile(struct host *host);

/* Writes the samples so far as folded stacks. Any thread. */
void host_write_profile(FILE *out);

/* Does host_check() find nothing wrong? -EINVAL with the mistakes logged. */
int host_refuse_mistakes(struct host *host);

/* The session that is served, once its workers have begun. */
struct fractal_session *host_session(const struct host *host);

/* May what @trial has loaded take the place of what serves? -ENOTSUP with the reason logged. */
int host_may_follow(struct host *host, struct host *trial);

/*
 * From @trial, which has loaded what is to come: orders a step of lua/fractal/reload.lua from a worker, with the script's options
 * and the ttls of @config. @ticket: what the step is reported with.
 */
int host_send_step(struct host *trial, struct fractal_worker *worker, const char *step, int ticket,
		   const struct fractal_config *config);

/* Runs the script's destroy, if its init succeeded: after the session has run and before it is freed. */
void host_end(struct host *host);

void host_free(struct host *host);

#endif
