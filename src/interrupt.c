/* SPDX-License-Identifier: MIT */
/*
 * interrupt.c - FUSE_INTERRUPT: finds the request it names and marks it.
 *
 * The ring and /dev/fuse are two ways with no order between them, so an interrupt may come before its request:
 * it is kept for a while, and each arriving request looks there when the keep is not empty.
 */
#include "internal.h"

#define KEEP_NS 10000000000ull

static bool mark_request(struct fractal_session *s, uint64_t id)
{
	for (uint32_t i = 0; i < s->nworkers; i++) {
		struct fractal_worker *w = &s->workers[i];

		for (uint32_t j = 0; j < w->ring_entries + w->dev_entries; j++) {
			struct entry *e = &w->entries[j];
			uint64_t mark = atomic_load(&e->interrupted);

			if (atomic_load(&e->state) != ENTRY_HELD || entry_id(e) != id)
				continue;
			/* Fails where the entry has a newer request by now, and that is marked. */
			atomic_compare_exchange_strong(&e->interrupted, &mark, id);
			atomic_store(&w->interrupts, true);
			fractal_worker_wake(w);
			return true;
		}
	}
	return false;
}

static void keep_early(struct fractal_session *s, uint64_t id)
{
	uint64_t now = now_ns();
	int n = atomic_load(&s->early_count), kept = 0;

	for (int i = 0; i < n; i++)
		if (now - s->early[i].at_ns < KEEP_NS)
			s->early[kept++] = s->early[i];
	if (kept == EARLY_INTERRUPTS) {
		/* The oldest goes: its request was most likely answered before the interrupt was read. */
		for (int i = 1; i < kept; i++)
			s->early[i - 1] = s->early[i];
		kept--;
	}
	s->early[kept].id = id;
	s->early[kept++].at_ns = now;
	atomic_store(&s->early_count, kept);
}

void interrupt_deliver(struct fractal_session *s, uint64_t id)
{
	if (mark_request(s, id))
		return;
	pthread_mutex_lock(&s->lock);
	keep_early(s, id);
	pthread_mutex_unlock(&s->lock);
	/* It may have arrived between the look and the keep. */
	mark_request(s, id);
}

/* Called when a request has become HELD. */
void interrupt_check_early(struct fractal_session *s, struct entry *e)
{
	if (!RARELY(atomic_load(&s->early_count)))
		return;
	pthread_mutex_lock(&s->lock);
	for (int i = 0, n = atomic_load(&s->early_count); i < n; i++)
		if (s->early[i].id == e->req.id) {
			atomic_store(&e->interrupted, e->req.id);
			s->early[i] = s->early[n - 1];
			atomic_store(&s->early_count, n - 1);
			break;
		}
	pthread_mutex_unlock(&s->lock);
}

bool fractal_interrupted(const struct fractal_request *req)
{
	struct entry *e = (struct entry *)req;
	struct fractal_worker *w = req->worker;

	/* Over /dev/fuse a worker that never returns to its loop has to look for the interrupt itself. */
	if (atomic_load(&e->interrupted) != req->id && worker_self == w &&
	    w->tr->id == FRACTAL_TRANSPORT_DEV)
		dev_look_ahead(w);
	return atomic_load(&e->interrupted) == req->id;
}
