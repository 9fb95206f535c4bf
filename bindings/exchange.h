/* SPDX-License-Identifier: MIT */
/*
 * exchange.h - gives a running mount another version of its script.
 *
 * The new version has been loaded and looked at in a host of its own, the trial. Each Lua state that serves is then taken
 * through the steps of lua/fractal/reload.lua: all states do a step before the next one is ordered, and if one fails all
 * go back. The orders come as mail to workers, which do them between two requests; what came of it is reported here.
 */
#ifndef FRACTAL_EXCHANGE_H
#define FRACTAL_EXCHANGE_H
#include "host.h"

/*
 * Exchanges what @host serves for what @trial has loaded, with the trial's options and the ttls of @config. Blocks until it is
 * done. 0; -EINVAL with the reason logged: the old version goes on; -ECANCELED: the mount ended meanwhile.
 */
int exchange_states(struct host *host, struct host *trial, const struct fractal_config *config);

/* The mount ends: a call of exchange_states() returns, on whatever thread it is, and later ones do nothing. */
void exchange_cancel(void);

/* Was that called? Any thread. */
FRACTAL_API bool fractal_exchange_cancelled(void);

/* A state has done, or failed to do, the step of that ticket. Any thread. */
FRACTAL_API void fractal_exchange_report(int ticket, bool ok);

#endif
