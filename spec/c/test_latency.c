/* SPDX-License-Identifier: MIT */
/* test_latency.c - histograms of latencies, and what a worker measures of its requests. */
#include "offline.h"
#include "check.h"
#include <errno.h>

static struct fractal_latency h;

static void clear(void)
{
	memset(&h, 0, sizeof(h));
}

static void buckets_meet_and_grow(void)
{
	uint64_t below = 0;

	for (uint32_t i = 0; i + 1 < FRACTAL_LATENCY_BUCKETS; i++) {
		uint64_t bound = fractal_latency_bound(i);

		CHECK(bound > below);
		CHECK(bound <= 8 || (bound - below) * 8 <= below);
		/* The bound belongs to the bucket, one more to the next. */
		clear();
		fractal_latency_record(&h, bound);
		CHECK_INT(h.buckets[i], 1);
		fractal_latency_record(&h, bound + 1);
		CHECK_INT(h.buckets[i], 1);
		CHECK_INT(h.buckets[i + 1], 1);
		below = bound;
	}
	CHECK(fractal_latency_bound(FRACTAL_LATENCY_BUCKETS - 1) == UINT64_MAX);
	CHECK(fractal_latency_bound(UINT32_MAX) == UINT64_MAX);
	CHECK_INT(fractal_latency_bound(0), 1);
	CHECK_INT(fractal_latency_bound(63), 1024);
}

static void extremes_have_a_place(void)
{
	clear();
	CHECK_INT(fractal_latency_percentile(&h, 50), 0);
	CHECK_INT(fractal_latency_percentile(&h, 100), 0);
	fractal_latency_record(&h, 0);
	CHECK_INT(h.buckets[0], 1);
	CHECK_INT(fractal_latency_percentile(&h, 100), 0);
	fractal_latency_record(&h, UINT64_MAX);
	CHECK_INT(h.buckets[FRACTAL_LATENCY_BUCKETS - 1], 1);
	CHECK(h.max_ns == UINT64_MAX);
	CHECK_INT(fractal_latency_percentile(&h, 50), fractal_latency_bound(0));
	CHECK(fractal_latency_percentile(&h, 51) == UINT64_MAX);
	CHECK(fractal_latency_percentile(&h, 100) == UINT64_MAX);
	CHECK_INT(h.count, 2);
}

/* Value @rank (from 1) of the sequence that record_sequence() records, in order of size. */
static uint64_t nth(uint64_t rank)
{
	return rank * rank * 37;
}

static void record_sequence(struct fractal_latency *l, uint64_t from, uint64_t n, uint64_t step)
{
	for (uint64_t i = from; i <= n; i += step)
		fractal_latency_record(l, nth(i));
}

static void percentiles_are_near(void)
{
	static const double percents[] = { 0.01, 1, 10, 50, 90, 99, 99.9, 99.99 };
	const uint64_t n = 10000;

	clear();
	record_sequence(&h, 1, n, 1);
	for (size_t i = 0; i < ARRAY_SIZE(percents); i++) {
		uint64_t exact = nth((uint64_t)(percents[i] / 100 * (double)n + 0.5));
		uint64_t got = fractal_latency_percentile(&h, percents[i]);

		CHECK(got >= exact);
		CHECK((got - exact) * 8 <= exact);
	}
	CHECK_INT(fractal_latency_percentile(&h, 100), nth(n));
	CHECK_INT(h.max_ns, nth(n));
}

static void merging_is_recording_both(void)
{
	struct fractal_latency odd = { 0 }, even = { 0 }, merged = { 0 };

	clear();
	record_sequence(&h, 1, 1000, 1);
	record_sequence(&odd, 1, 1000, 2);
	record_sequence(&even, 2, 1000, 2);
	fractal_latency_merge(&merged, &odd);
	fractal_latency_merge(&merged, &even);
	CHECK_BYTES(&merged, &h, sizeof(h));
}

/* An interval in ticks lies between two by the clock, one around it and one inside. */
static void ticks_are_nanoseconds(void)
{
	for (int i = 0; i < 5; i++) {
		uint64_t around = now_ns(), began, inside, short_ns, ticks_ns, long_ns;

		ticks_prepare();
		began = ticks_now();
		inside = now_ns();
		usleep(10000);
		short_ns = now_ns() - inside;
		ticks_ns = ticks_since(began);
		long_ns = now_ns() - around;
		CHECK(began != 0);
		CHECK((double)ticks_ns > (double)short_ns * 0.995);
		CHECK((double)ticks_ns < (double)long_ns * 1.005);
	}
	CHECK_INT(ticks_since(UINT64_MAX), 0);
}

/* ---- of a worker ---- */

static struct fractal_latency measured(uint32_t opcode)
{
	struct fractal_latency l;

	fractal_session_latency(offline.session, opcode, &l);
	return l;
}

static struct fractal_op_stats counted(uint32_t opcode)
{
	struct fractal_op_stats st;

	fractal_session_stats(offline.session, opcode, &st);
	return st;
}

static struct fractal_request *unlink_request(void)
{
	return offline_ask(&(struct question){
		.opcode = FRACTAL_OP_UNLINK, .payload = "x", .payload_len = 2 });
}

static void answer(struct fractal_request *req, int result)
{
	CHECK_INT(fractal_reply(req, result), 0);
	CHECK(offline_answer());
}

static void requests_are_measured_while_it_is_on(void)
{
	struct fractal_request *req;
	struct fractal_latency l;

	offline_start(NULL);
	CHECK(!fractal_session_measures(offline.session));
	answer(unlink_request(), 0);
	CHECK_INT(measured(FRACTAL_OP_UNLINK).count, 0);
	req = unlink_request();
	fractal_session_measure(offline.session, true);
	CHECK(fractal_session_measures(offline.session));
	answer(req, 0); /* taken before it was on */
	CHECK_INT(measured(FRACTAL_OP_UNLINK).count, 0);
	answer(unlink_request(), -EPERM);
	req = unlink_request();
	fractal_session_measure(offline.session, false);
	answer(req, 0); /* taken while it was on */
	answer(unlink_request(), 0);
	l = measured(FRACTAL_OP_UNLINK);
	CHECK_INT(l.count, 2);
	CHECK(l.max_ns > 0 && l.max_ns < l.total_ns);
	CHECK_INT(counted(FRACTAL_OP_UNLINK).count, 5);
	CHECK_INT(counted(FRACTAL_OP_UNLINK).errors, 1);
	CHECK_INT(measured(FRACTAL_OP_READ).count, 0);
	CHECK_INT(measured(UINT32_MAX).count, 0);
	offline_stop();
}

static void timing_keeps_it_on(void)
{
	offline_start(&(struct fractal_config){ .timing = true });
	fractal_session_measure(offline.session, false);
	CHECK(fractal_session_measures(offline.session));
	answer(unlink_request(), 0);
	CHECK_INT(measured(FRACTAL_OP_UNLINK).count, 1);
	offline_stop();
}

static void bytes_are_counted(void)
{
	const struct fractal_write_in write = { .size = 100 };
	const struct fractal_read_in read = { .size = 4096 };
	char payload[100] = "";

	offline_start(NULL);
	answer(offline_ask(&(struct question){ .opcode = FRACTAL_OP_WRITE,
					       .arg = &write,
					       .arg_len = sizeof(write),
					       .payload = payload,
					       .payload_len = sizeof(payload) }),
	       100);
	answer(offline_ask(&(struct question){
		       .opcode = FRACTAL_OP_READ, .arg = &read, .arg_len = sizeof(read) }),
	       1000);
	CHECK_INT(counted(FRACTAL_OP_WRITE).bytes_in, 100);
	CHECK_INT(counted(FRACTAL_OP_WRITE).bytes_out, sizeof(struct fractal_write_out));
	CHECK_INT(counted(FRACTAL_OP_READ).bytes_in, 0);
	CHECK_INT(counted(FRACTAL_OP_READ).bytes_out, 1000);
	offline_stop();
}

static void load_tells_held_and_most(void)
{
	struct fractal_request *a, *b;
	struct fractal_load load;

	offline_start(&(struct fractal_config){ .timing = true });
	a = unlink_request();
	b = unlink_request();
	fractal_session_load(offline.session, &load);
	CHECK_INT(load.held, 2);
	fractal_reply(a, 0);
	fractal_reply(b, 0);
	fractal_session_load(offline.session, &load);
	CHECK_INT(load.held, 0);
	CHECK_INT(load.most, 2);
	CHECK_INT(load.depth, offline.worker->dev_entries);
	offline_stop();
}

int main(void)
{
	RUN(buckets_meet_and_grow);
	RUN(extremes_have_a_place);
	RUN(percentiles_are_near);
	RUN(merging_is_recording_both);
	RUN(ticks_are_nanoseconds);
	RUN(requests_are_measured_while_it_is_on);
	RUN(timing_keeps_it_on);
	RUN(bytes_are_counted);
	RUN(load_tells_held_and_most);
	return check_result();
}
