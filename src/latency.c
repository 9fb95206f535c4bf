/* SPDX-License-Identifier: MIT */
/*
 * latency.c - histograms of latencies: fixed memory, and an error that is a part of the value, whatever that is.
 *
 * Buckets are log-linear: one for each nanosecond up to 8, then 8 for each power of two. A bucket holds the latencies
 * above the bound of the one before it, up to its own bound, which is a round number of nanoseconds.
 */
#include "internal.h"

#define SUB_BITS 3 /* 1 << SUB_BITS buckets for each power of two */
#define SUB	 (1u << SUB_BITS)
#define TOP_BIT	 40 /* where the last bucket ends */

_Static_assert(FRACTAL_LATENCY_BUCKETS == (TOP_BIT - SUB_BITS + 1) * SUB, "buckets up to TOP_BIT");

static uint32_t bucket_of(uint64_t ns)
{
	uint64_t below = ns ? ns - 1 : 0;
	uint32_t top;

	if (below < SUB)
		return (uint32_t)below;
	if (below >> TOP_BIT)
		return FRACTAL_LATENCY_BUCKETS - 1;
	top = 63 - (uint32_t)__builtin_clzll(below);
	return (top - SUB_BITS + 1) * SUB + (uint32_t)(below >> (top - SUB_BITS) & (SUB - 1));
}

uint64_t fractal_latency_bound(uint32_t bucket)
{
	uint32_t octave = bucket / SUB;

	if (bucket >= FRACTAL_LATENCY_BUCKETS - 1)
		return UINT64_MAX;
	if (octave == 0)
		return bucket + 1;
	return (uint64_t)(SUB + bucket % SUB + 1) << (octave - 1);
}

void fractal_latency_record(struct fractal_latency *l, uint64_t ns)
{
	uint64_t *bucket = &l->buckets[bucket_of(ns)];

	counter_set(&l->count, l->count + 1);
	counter_set(&l->total_ns, l->total_ns + ns);
	if (ns > l->max_ns)
		counter_set(&l->max_ns, ns);
	counter_set(bucket, *bucket + 1);
}

/* The count is that of the buckets, so that they agree when another thread is just recording. */
void fractal_latency_merge(struct fractal_latency *l, const struct fractal_latency *more)
{
	uint64_t max = counter_get(&more->max_ns);

	for (uint32_t i = 0; i < FRACTAL_LATENCY_BUCKETS; i++) {
		uint64_t n = counter_get(&more->buckets[i]);

		l->buckets[i] += n;
		l->count += n;
	}
	l->total_ns += counter_get(&more->total_ns);
	if (max > l->max_ns)
		l->max_ns = max;
}

uint64_t fractal_latency_percentile(const struct fractal_latency *l, double percent)
{
	double exact = (double)l->count * percent / 100;
	uint64_t rank = (uint64_t)exact, seen = 0;

	rank += (double)rank < exact;
	for (uint32_t i = 0; i < FRACTAL_LATENCY_BUCKETS; i++) {
		seen += l->buckets[i];
		if (seen > 0 && seen >= rank) {
			uint64_t bound = fractal_latency_bound(i);

			return bound < l->max_ns ? bound : l->max_ns;
		}
	}
	return l->max_ns;
}
