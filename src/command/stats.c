/* SPDX-License-Identifier: MIT */
/* stats.c - see stats.h. */
#include "stats.h"
#include "report.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CELL 16

struct row {
	const char *name;
	struct fractal_op_stats counts;
	struct fractal_latency latency;
	double rate; /* a second */
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

void stats_begin(struct stats *stats, const struct fractal_session *session,
		 const struct host *host)
{
	*stats = (struct stats){ .session = session, .host = host };
	stats->begun = stats->reported = now();
}

double stats_uptime(const struct stats *stats)
{
	return now() - stats->begun;
}

/* ---- cells ---- */

/* Three figures and a unit: each is @step times the one before it. */
static const char *scaled(char *cell, double value, double step, const char *const *units)
{
	while (value >= step * 0.9995 && units[1]) {
		value /= step;
		units++;
	}
	snprintf(cell, CELL, "%.*f%s", value < 9.995 ? 2 : value < 99.95 ? 1 : 0, value, *units);
	return cell;
}

static const char *bytes_cell(char *cell, uint64_t bytes)
{
	static const char *const units[] = { "B", "K", "M", "G", "T", "P", NULL };

	if (bytes >= 1000)
		return scaled(cell, (double)bytes / 1024, 1024, units + 1);
	snprintf(cell, CELL, "%lluB", (unsigned long long)bytes);
	return cell;
}

/* "-" where nothing was measured. */
static const char *time_cell(char *cell, const struct fractal_latency *latency, double percent)
{
	static const char *const units[] = { "us", "ms", "s", NULL };

	if (!latency->count)
		return "-";
	return scaled(cell, (double)fractal_latency_percentile(latency, percent) / 1e3, 1000,
		      units);
}

/* ---- the table ---- */

static int by_count(const void *a, const void *b)
{
	uint64_t left = ((const struct row *)a)->counts.count;
	uint64_t right = ((const struct row *)b)->counts.count;

	return (left < right) - (left > right);
}

static void report_row(const struct row *row)
{
	const struct fractal_op_stats *c = &row->counts;
	char cells[6][CELL];

	report(FRACTAL_LOG_INFO, "%-18s %10llu %9.1f %8llu %7s %7s %7s %7s %7s %7s", row->name,
	       (unsigned long long)c->count, row->rate, (unsigned long long)c->errors,
	       time_cell(cells[0], &row->latency, 50), time_cell(cells[1], &row->latency, 99),
	       time_cell(cells[2], &row->latency, 99.9), time_cell(cells[3], &row->latency, 100),
	       bytes_cell(cells[4], c->bytes_in), bytes_cell(cells[5], c->bytes_out));
}

static void report_rows(const struct row *rows, size_t count)
{
	report(FRACTAL_LOG_INFO, "%-18s %10s %9s %8s %7s %7s %7s %7s %7s %7s", "operation",
	       "requests", "rate/s", "errors", "p50", "p99", "p99.9", "max", "in", "out");
	for (size_t i = 0; i < count; i++)
		report_row(&rows[i]);
}

static void report_whole(const struct stats *stats)
{
	struct fractal_load load;
	struct host_figures lua;
	char cell[CELL];

	fractal_session_load(stats->session, &load);
	host_figures(stats->host, &lua);
	report(FRACTAL_LOG_INFO, "in hand: %u requests, at most %u of %u on one worker", load.held,
	       load.most, load.depth);
	report(FRACTAL_LOG_INFO,
	       "Lua: %s in %d state%s, %llu collections; %llu traces, %llu aborts, %llu flushes",
	       bytes_cell(cell, lua.memory), lua.states, lua.states == 1 ? "" : "s",
	       (unsigned long long)lua.collections, (unsigned long long)lua.traces,
	       (unsigned long long)lua.aborts, (unsigned long long)lua.flushes);
}

/* Fills @row with what came of one operation; false when nothing did. */
static bool read_row(const struct stats *stats, uint32_t opcode, struct row *row)
{
	fractal_session_stats(stats->session, opcode, &row->counts);
	if (!row->counts.count)
		return false;
	fractal_session_latency(stats->session, opcode, &row->latency);
	row->name = fractal_op_name(opcode);
	return true;
}

static void add_row(struct row *all, const struct row *row)
{
	all->counts.count += row->counts.count;
	all->counts.errors += row->counts.errors;
	all->counts.bytes_in += row->counts.bytes_in;
	all->counts.bytes_out += row->counts.bytes_out;
	all->rate += row->rate;
	fractal_latency_merge(&all->latency, &row->latency);
}

void stats_report(struct stats *stats, bool at_end)
{
	struct row *rows = calloc(FRACTAL_OP_COUNT + 1, sizeof(*rows));
	struct row *all = rows ? &rows[FRACTAL_OP_COUNT] : NULL;
	double t = now(), seconds = t - (at_end ? stats->begun : stats->reported);
	size_t used = 0;

	if (!rows)
		return;
	all->name = "all";
	for (uint32_t opcode = 0; opcode < FRACTAL_OP_COUNT; opcode++) {
		struct row *row = &rows[used];
		uint64_t before = at_end ? 0 : stats->counts[opcode];

		if (!read_row(stats, opcode, row))
			continue;
		row->rate = (double)(row->counts.count - before) / seconds;
		stats->counts[opcode] = row->counts.count;
		add_row(all, row);
		used++;
	}
	stats->reported = t;
	qsort(rows, used, sizeof(rows[0]), by_count);
	rows[used] = *all;
	report_rows(rows, used + 1);
	report_whole(stats);
	free(rows);
}
