/* SPDX-License-Identifier: MIT */
/* snapshot.c - see snapshot.h. */
#include "snapshot.h"

static void write_operation(FILE *out, const struct fractal_session *session, uint32_t opcode)
{
	struct fractal_op_stats st;
	struct fractal_latency l;

	fractal_session_stats(session, opcode, &st);
	if (!st.count)
		return;
	fractal_session_latency(session, opcode, &l);
	fprintf(out, "op %s %llu %llu %llu %llu %llu", fractal_op_name(opcode),
		(unsigned long long)st.count, (unsigned long long)st.errors,
		(unsigned long long)st.bytes_in, (unsigned long long)st.bytes_out,
		(unsigned long long)l.max_ns);
	for (uint32_t i = 0; i < FRACTAL_LATENCY_BUCKETS; i++)
		if (l.buckets[i])
			fprintf(out, " %llu:%llu", (unsigned long long)fractal_latency_bound(i),
				(unsigned long long)l.buckets[i]);
	fputc('\n', out);
}

/* A text is one line, whatever is in it. */
static void write_text(FILE *out, const char *key, const char *text)
{
	fprintf(out, "%s ", key);
	for (; *text; text++)
		fputc(*text == '\n' ? '?' : *text, out);
	fputc('\n', out);
}

void snapshot_write(FILE *out, const struct observed *seen, double uptime)
{
	bool dev = fractal_session_transport(seen->session) == FRACTAL_TRANSPORT_DEV;
	struct fractal_load load;
	struct host_figures lua;

	fractal_session_load(seen->session, &load);
	host_figures(seen->host, &lua);
	write_text(out, "mountpoint", seen->mountpoint);
	write_text(out, "name", host_name(seen->host));
	fprintf(out, "transport %s\nworkers %d\nuptime %.3f\n", dev ? "dev" : "uring",
		fractal_session_workers(seen->session), uptime);
	fprintf(out, "load %u %u %u\n", load.held, load.most, load.depth);
	fprintf(out, "lua %d %llu %llu %llu %llu %llu\n", lua.states,
		(unsigned long long)lua.memory, (unsigned long long)lua.collections,
		(unsigned long long)lua.traces, (unsigned long long)lua.aborts,
		(unsigned long long)lua.flushes);
	for (uint32_t op = 0; op < FRACTAL_OP_COUNT; op++)
		write_operation(out, seen->session, op);
}
