/* SPDX-License-Identifier: MIT */
/*
 * cli.h - the command line of fractal-lua: its words, its help, and how options of the script and of the command line
 * come together.
 */
#ifndef FRACTAL_CLI_H
#define FRACTAL_CLI_H
#include "host.h"
#include "listener.h"
#include "options.h"

/* Exit statuses. */
enum {
	CLI_OK,
	CLI_FAILED,
	CLI_USAGE
};

enum cli_action {
	CLI_MOUNT,
	CLI_REPLAY,
	CLI_CHECK,
	CLI_DOCTOR,
	CLI_HELP,
	CLI_VERSION
};

struct cli {
	enum cli_action action;
	const char *script; /* NULL where none is named */
	const char *mountpoint;
	const char *log_path;
	bool background;
	bool debug;
	uint64_t trace; /* operations to trace, 1 << opcode of each */
	bool trace_json;
	const char *trace_path; /* where to; NULL: to the log */
	bool json;
	bool watch;
	bool stats;
	unsigned stats_every; /* seconds between two tables; 0: only at the end */
	bool profile;
	unsigned profile_every;	    /* seconds; 0: only at the end */
	const char *profile_prefix; /* of the files' names; NULL: the filesystem's name */
	const char *record_path;
	bool record_without_data;
	const char *replay_path;
	enum {
		REPLAY_MAX,
		REPLAY_REAL,
		REPLAY_STEP
	} replay_speed;
	struct listener metrics;
	bool has_metrics;
	struct option_list options; /* what stood behind -o, -s */
	struct options
		early; /* the same without the script's own: known before the script is loaded */
};

/* Reads the command line. CLI_OK, or CLI_USAGE with a sentence on standard error. */
int cli_parse(struct cli *cli, int argc, char *argv[]);
void cli_free(struct cli *cli);

/* Prints the usage, the tools and the options, the script's own too where @host is not NULL. CLI_OK or CLI_FAILED. */
int cli_help(FILE *out, struct host *host);

/*
 * Applies the script's settings and then the command line to @options and to the script's own options. CLI_OK;
 * CLI_FAILED when the script's settings are wrong; CLI_USAGE when the command line is, each with a sentence.
 */
int cli_settle(const struct cli *cli, struct host *host, struct options *options);

#endif
