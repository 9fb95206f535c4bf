/* SPDX-License-Identifier: MIT */
/*
 * stats.c - what workers count of each operation, and measure while that is switched on.
 *
 * Each worker has counters and histograms of its own and is their only writer: nothing on a request's way is locked or
 * shared. Readers add up.
 */
#include "internal.h"
#include <stdlib.h>

/* ---- on the worker's thread ---- */

/* How many requests the worker has: those in hand, and those that wait in its ring. */
static uint32_t busy(const struct fractal_worker *w)
{
	uint32_t held = atomic_load_explicit(&w->held, memory_order_relaxed);

	return w->tr == &uring_transport && w->have_ring ? held + io_uring_cq_ready(&w->ring)
							 : held;
}

/* A request was taken while measuring. */
void stats_taken(struct fractal_worker *w, struct entry *e)
{
	uint32_t n = busy(w);

	if (n > atomic_load_explicit(&w->most_held, memory_order_relaxed))
		atomic_store_explicit(&w->most_held, n, memory_order_relaxed);
	if (w->trace) {
		e->arrived_ns = now_ns();
		trace_request(e);
	}
	e->arrived = ticks_now();
}

/* Histograms are made for operations that come, since few do. */
static struct fractal_latency *latency_of(struct fractal_worker *w, uint32_t opcode)
{
	struct fractal_latency *l =
		atomic_load_explicit(&w->latencies[opcode], memory_order_relaxed);

	if (!l) {
		l = calloc(1, sizeof(*l));
		atomic_store_explicit(&w->latencies[opcode], l, memory_order_release);
	}
	return l;
}

static void measured(struct fractal_worker *w, struct entry *e)
{
	uint64_t ns = ticks_since(e->arrived);
	struct fractal_latency *l = latency_of(w, e->req.opcode);

	if (l)
		fractal_latency_record(l, ns);
	if (w->trace)
		trace_reply(e, ns);
	e->arrived = 0;
}

/* An answer goes out now. */
void stats_answered(struct fractal_worker *w, struct entry *e)
{
	struct fractal_op_stats *st = &w->stats[e->req.opcode];

	counter_set(&st->count, st->count + 1);
	if (RARELY(e->error))
		counter_set(&st->errors, st->errors + 1);
	if (e->req.data_len)
		counter_set(&st->bytes_in, st->bytes_in + e->req.data_len);
	if (e->out_len)
		counter_set(&st->bytes_out, st->bytes_out + e->out_len);
	if (RARELY(e->arrived))
		measured(w, e);
}

void stats_free(struct fractal_worker *w)
{
	for (uint32_t op = 0; op < FRACTAL_OP_COUNT; op++)
		free(atomic_load(&w->latencies[op]));
}

/* ---- on any thread ---- */

const struct fractal_op_stats *fractal_worker_stats(const struct fractal_worker *w, uint32_t opcode)
{
	return opcode < FRACTAL_OP_COUNT ? &w->stats[opcode] : NULL;
}

void fractal_session_stats(const struct fractal_session *s, uint32_t opcode,
			   struct fractal_op_stats *sum)
{
	*sum = (struct fractal_op_stats){ 0 };
	for (uint32_t i = 0; i < s->nworkers; i++) {
		const struct fractal_op_stats *st = fractal_worker_stats(&s->workers[i], opcode);

		if (!st)
			return;
		sum->count += counter_get(&st->count);
		sum->errors += counter_get(&st->errors);
		sum->bytes_in += counter_get(&st->bytes_in);
		sum->bytes_out += counter_get(&st->bytes_out);
	}
}

void fractal_session_measure(struct fractal_session *s, bool on)
{
	on = on || s->cfg.timing;
	if (on)
		ticks_prepare();
	atomic_store(&s->measuring, on);
}

bool fractal_session_measures(const struct fractal_session *s)
{
	return atomic_load_explicit(&s->measuring, memory_order_relaxed);
}

void fractal_session_latency(const struct fractal_session *s, uint32_t opcode,
			     struct fractal_latency *sum)
{
	*sum = (struct fractal_latency){ 0 };
	for (uint32_t i = 0; i < s->nworkers && opcode < FRACTAL_OP_COUNT; i++) {
		const struct fractal_latency *l = atomic_load_explicit(
			&s->workers[i].latencies[opcode], memory_order_acquire);

		if (l)
			fractal_latency_merge(sum, l);
	}
}

void fractal_session_load(const struct fractal_session *s, struct fractal_load *load)
{
	*load = (struct fractal_load){ 0 };
	for (uint32_t i = 0; i < s->nworkers; i++) {
		const struct fractal_worker *w = &s->workers[i];
		uint32_t most = atomic_load_explicit(&w->most_held, memory_order_relaxed);
		uint32_t depth = atomic_load(&s->transport) == FRACTAL_TRANSPORT_DEV
					 ? w->dev_entries
					 : w->ring_entries;

		load->held += atomic_load_explicit(&w->held, memory_order_relaxed);
		if (most > load->most)
			load->most = most;
		if (depth > load->depth)
			load->depth = depth;
	}
}
