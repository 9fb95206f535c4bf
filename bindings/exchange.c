/* SPDX-License-Identifier: MIT */
/* exchange.c - see exchange.h. */
#include "exchange.h"
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

/* One exchange at a time; a report says which step it is about. */
static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	int ticket;
	int pending; /* states that have not reported the step */
	bool failed;
	atomic_bool cancelled;
} steps = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

void fractal_exchange_report(int ticket, bool ok)
{
	pthread_mutex_lock(&steps.lock);
	if (ticket == steps.ticket) {
		steps.pending--;
		steps.failed |= !ok;
		pthread_cond_signal(&steps.changed);
	}
	pthread_mutex_unlock(&steps.lock);
}

void exchange_cancel(void)
{
	pthread_mutex_lock(&steps.lock);
	steps.cancelled = true;
	pthread_cond_signal(&steps.changed);
	pthread_mutex_unlock(&steps.lock);
}

bool fractal_exchange_cancelled(void)
{
	return atomic_load(&steps.cancelled);
}

/* Begins a step for so many states. Returns its ticket. */
static int begin_step(int states)
{
	int ticket;

	pthread_mutex_lock(&steps.lock);
	ticket = ++steps.ticket;
	steps.pending = states;
	steps.failed = false;
	pthread_mutex_unlock(&steps.lock);
	return ticket;
}

static int await_step(void)
{
	int rc;

	pthread_mutex_lock(&steps.lock);
	while (steps.pending > 0 && !steps.cancelled)
		pthread_cond_wait(&steps.changed, &steps.lock);
	rc = steps.cancelled ? -ECANCELED : steps.failed ? -EINVAL : 0;
	pthread_mutex_unlock(&steps.lock);
	return rc;
}

/* Takes every state through a step: with a single one, whatever worker does it does it for all. */
static int run_step(struct host *host, struct host *trial, const char *step,
		    const struct fractal_config *config)
{
	struct fractal_session *session = host_session(host);
	int states = host_states(host, fractal_session_workers(session));
	int ticket = begin_step(states);

	for (int id = 0; id < states; id++)
		if (host_send_step(trial, fractal_session_worker(session, id), step, ticket,
				   config))
			fractal_exchange_report(ticket, false);
	return await_step();
}

int exchange_states(struct host *host, struct host *trial, const struct fractal_config *config)
{
	int rc = host_may_follow(host, trial);

	if (rc)
		return rc;
	rc = run_step(host, trial, "prepare", config);
	if (!rc)
		rc = run_step(host, trial, "enter", config);
	if (rc == -ECANCELED)
		return rc;
	run_step(host, trial, rc ? "undo" : "keep", config);
	return rc;
}
