/* SPDX-License-Identifier: MIT */
/* metrics.c - see metrics.h. */
#include "metrics.h"
#include <stddef.h>

/* Bounds that a histogram has: powers of two of nanoseconds, about 1 us to 17 s. */
#define FIRST_BOUND (1ull << 10)
#define LAST_BOUND  (1ull << 34)

static void begin(FILE *out, const char *name, const char *type, const char *help)
{
	fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void single(FILE *out, const char *name, const char *type, const char *help, uint64_t value)
{
	begin(out, name, type, help);
	fprintf(out, "%s %llu\n", name, (unsigned long long)value);
}

/* One family for each counter of an operation. */
static void write_counters(FILE *out, const struct fractal_session *session)
{
	static const struct {
		const char *name, *help;
		size_t offset;
	} families[] = {
		{ "fractal_requests_total", "Requests answered.",
		  offsetof(struct fractal_op_stats, count) },
		{ "fractal_request_errors_total", "Requests answered with an errno.",
		  offsetof(struct fractal_op_stats, errors) },
		{ "fractal_received_bytes_total", "Bytes of data that came with requests.",
		  offsetof(struct fractal_op_stats, bytes_in) },
		{ "fractal_sent_bytes_total", "Bytes that answers carried.",
		  offsetof(struct fractal_op_stats, bytes_out) },
	};

	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
		begin(out, families[i].name, "counter", families[i].help);
		for (uint32_t op = 0; op < FRACTAL_OP_COUNT; op++) {
			struct fractal_op_stats st;

			fractal_session_stats(session, op, &st);
			if (st.count)
				fprintf(out, "%s{op=\"%s\"} %llu\n", families[i].name,
					fractal_op_name(op),
					(unsigned long long)*(uint64_t *)((char *)&st +
									  families[i].offset));
		}
	}
}

#define DURATION "fractal_request_duration_seconds"

static void write_histogram(FILE *out, const char *op, const struct fractal_latency *l)
{
	uint64_t seen = 0;

	for (uint32_t i = 0; i < FRACTAL_LATENCY_BUCKETS; i++) {
		uint64_t bound = fractal_latency_bound(i);

		seen += l->buckets[i];
		if (bound >= FIRST_BOUND && bound <= LAST_BOUND && !(bound & (bound - 1)))
			fprintf(out, DURATION "_bucket{op=\"%s\",le=\"%.12g\"} %llu\n", op,
				(double)bound / 1e9, (unsigned long long)seen);
	}
	fprintf(out,
		DURATION "_bucket{op=\"%s\",le=\"+Inf\"} %llu\n" DURATION
			 "_sum{op=\"%s\"} %.9f\n" DURATION "_count{op=\"%s\"} %llu\n",
		op, (unsigned long long)l->count, op, (double)l->total_ns / 1e9, op,
		(unsigned long long)l->count);
}

static void write_latencies(FILE *out, const struct fractal_session *session)
{
	struct fractal_latency l;

	begin(out, DURATION, "histogram",
	      "Time from the moment a worker took a request until it was answered.");
	for (uint32_t op = 0; op < FRACTAL_OP_COUNT; op++) {
		fractal_session_latency(session, op, &l);
		if (l.count)
			write_histogram(out, fractal_op_name(op), &l);
	}
}

static void write_load(FILE *out, const struct fractal_session *session)
{
	struct fractal_load load;

	fractal_session_load(session, &load);
	single(out, "fractal_requests_in_hand", "gauge", "Requests taken and not answered yet.",
	       load.held);
	single(out, "fractal_requests_in_hand_max", "gauge",
	       "Most requests that one worker had at one time.", load.most);
	single(out, "fractal_requests_in_hand_limit", "gauge",
	       "Requests that one worker can have at one time.", load.depth);
	single(out, "fractal_workers", "gauge", "Threads that serve.",
	       (uint64_t)fractal_session_workers(session));
}

static void write_lua(FILE *out, const struct host *host)
{
	struct host_figures lua;

	host_figures(host, &lua);
	single(out, "fractal_lua_states", "gauge", "Lua states that serve.", (uint64_t)lua.states);
	single(out, "fractal_lua_memory_bytes", "gauge", "Memory that the Lua states hold.",
	       lua.memory);
	single(out, "fractal_lua_collections_total", "counter",
	       "Cycles of the garbage collectors of the Lua states.", lua.collections);
	single(out, "fractal_jit_traces_total", "counter", "Traces compiled.", lua.traces);
	single(out, "fractal_jit_aborts_total", "counter", "Traces that could not be compiled.",
	       lua.aborts);
	single(out, "fractal_jit_flushes_total", "counter",
	       "How often all compiled traces were thrown away.", lua.flushes);
}

/* A label's value, with what the format gives a meaning escaped. */
static void write_value(FILE *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '\n')
			fputs("\\n", out);
		else
			fprintf(out, "%s%c", *text == '"' || *text == '\\' ? "\\" : "", *text);
	}
}

static void write_info(FILE *out, const struct fractal_session *session, const struct host *host,
		       const char *mountpoint)
{
	bool dev = fractal_session_transport(session) == FRACTAL_TRANSPORT_DEV;

	begin(out, "fractal_mount_info", "gauge", "What is mounted where; the value is 1.");
	fputs("fractal_mount_info{mountpoint=\"", out);
	write_value(out, mountpoint);
	fputs("\",name=\"", out);
	write_value(out, host_name(host));
	fprintf(out, "\",transport=\"%s\",version=\"%s\"} 1\n", dev ? "dev" : "uring",
		fractal_version());
}

void metrics_write(FILE *out, const struct fractal_session *session, const struct host *host,
		   const char *mountpoint)
{
	write_info(out, session, host, mountpoint);
	write_counters(out, session);
	write_latencies(out, session);
	write_load(out, session);
	write_lua(out, host);
}
