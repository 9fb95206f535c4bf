/* SPDX-License-Identifier: MIT */
/* stats.c - see stats.h. */
#include "stats.h"
#include "report.h"
#include <stdlib.h>

struct row {
	const char *name;
	struct fractal_op_stats counts;
};

static int by_count(const void *a, const void *b)
{
	uint64_t left = ((const struct row *)a)->counts.count;
	uint64_t right = ((const struct row *)b)->counts.count;

	return (left < right) - (left > right);
}

static void report_row(const struct row *row)
{
	const struct fractal_op_stats *c = &row->counts;

	report(FRACTAL_LOG_INFO, "%-18s %10llu %8llu %10.1f %10.1f", row->name,
	       (unsigned long long)c->count, (unsigned long long)c->errors,
	       c->count ? (double)c->total_ns / (double)c->count / 1e3 : 0.0,
	       (double)c->max_ns / 1e3);
}

void stats_report(const struct fractal_session *session)
{
	struct row rows[FRACTAL_OP_COUNT + 1], all = { .name = "all" };
	size_t used = 0;

	for (uint32_t opcode = 0; opcode < FRACTAL_OP_COUNT; opcode++) {
		struct row *row = &rows[used];

		fractal_session_stats(session, opcode, &row->counts);
		if (!row->counts.count)
			continue;
		row->name = fractal_op_name(opcode);
		all.counts.count += row->counts.count;
		all.counts.errors += row->counts.errors;
		all.counts.total_ns += row->counts.total_ns;
		if (row->counts.max_ns > all.counts.max_ns)
			all.counts.max_ns = row->counts.max_ns;
		used++;
	}
	qsort(rows, used, sizeof(rows[0]), by_count);
	report(FRACTAL_LOG_INFO, "%-18s %10s %8s %10s %10s", "operation", "requests", "errors",
	       "mean us", "max us");
	for (size_t i = 0; i < used; i++)
		report_row(&rows[i]);
	report_row(&all);
}
