/* SPDX-License-Identifier: MIT */
/* cli.c - the command line. */
#include "cli.h"
#include "nearest.h"
#include "report.h"
#include "tool.h"
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define MAX_SECONDS 86400

enum {
	OPT_CHECK = 256,
	OPT_DOCTOR,
	OPT_JSON,
	OPT_LOG,
	OPT_METRICS,
	OPT_PROFILE,
	OPT_PROFILE_FILE,
	OPT_RECORD,
	OPT_RECORD_DATA,
	OPT_REPLAY,
	OPT_REPLAY_SPEED,
	OPT_STATS,
	OPT_WATCH,
	OPT_TRACE,
	OPT_TRACE_FILE,
	OPT_TRACE_FORMAT
};

static const struct option long_options[] = {
	{ "background", no_argument, NULL, 'b' },
	{ "check", no_argument, NULL, OPT_CHECK },
	{ "debug", no_argument, NULL, 'd' },
	{ "doctor", no_argument, NULL, OPT_DOCTOR },
	{ "foreground", no_argument, NULL, 'f' },
	{ "help", no_argument, NULL, 'h' },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "log", required_argument, NULL, OPT_LOG },
	{ "metrics", required_argument, NULL, OPT_METRICS },
	{ "profile", optional_argument, NULL, OPT_PROFILE },
	{ "profile-file", required_argument, NULL, OPT_PROFILE_FILE },
	{ "record", required_argument, NULL, OPT_RECORD },
	{ "record-data", required_argument, NULL, OPT_RECORD_DATA },
	{ "replay", required_argument, NULL, OPT_REPLAY },
	{ "replay-speed", required_argument, NULL, OPT_REPLAY_SPEED },
	{ "stats", optional_argument, NULL, OPT_STATS },
	{ "trace", optional_argument, NULL, OPT_TRACE },
	{ "trace-file", required_argument, NULL, OPT_TRACE_FILE },
	{ "trace-format", required_argument, NULL, OPT_TRACE_FORMAT },
	{ "version", no_argument, NULL, 'V' },
	{ "watch", no_argument, NULL, OPT_WATCH },
	{ 0 },
};

static const char usage[] =
	"Usage: fractal-lua [options] SCRIPT MOUNTPOINT\n"
	"       fractal-lua --check SCRIPT [--json] | --doctor [--json] | --help [SCRIPT] | --version\n"
	"       fractal-lua [options] --replay FILE SCRIPT\n"
	"       fractal-lua TOOL [arguments]\n"
	"\n"
	"Mounts the filesystem that a Lua script describes. Ctrl-C unmounts it.\n"
	"\n"
	"  -b, --background   return once it is mounted; the exit status tells whether it is\n"
	"  -f, --foreground   stay, and log to standard error (default)\n"
	"  -d, --debug        log more, with each request and its answer\n"
	"      --trace[=OP,...] each request of these operations (lookup, read ...) and its answer\n"
	"      --trace-file FILE  write that to a file, in place of the log\n"
	"      --trace-format FORMAT  human (default), or json: one object on each line\n"
	"  -s                 one worker, as -o workers=1\n"
	"  -o OPT[,OPT...]    options, see below\n"
	"      --log FILE     append messages to a file (default in the background: syslog)\n"
	"      --metrics WHERE serve Prometheus metrics at HOST:PORT, a port of 127.0.0.1, or unix:PATH\n"
	"      --stats[=SECONDS] at the end (and that often), list operations and their latencies\n"
	"      --profile[=SECONDS] at the end (and that often), draw where the script spends its time\n"
	"      --profile-file PREFIX  to PREFIX.svg and PREFIX.folded (default: the script's name)\n"
	"      --record FILE  keep what is asked and answered, to be asked again\n"
	"      --record-data WHICH  yes (default), or no: without the contents of files\n"
	"      --replay FILE  ask the script, without a mount, what was recorded; list what differs\n"
	"      --replay-speed SPEED  max (default), real, or step: at each Enter\n"
	"      --watch        reload the script when its files change, as SIGHUP does\n"
	"      --check        load a script, list its handlers, name what is misspelt, missing or undefined\n"
	"      --doctor       what this machine offers, and what to do about what it lacks\n"
	"      --json         with --check and --doctor: for programs to read\n"
	"  -h, --help         this text; with a script, its own options too\n"
	"  -V, --version      versions of the command and of LuaJIT\n";

__attribute__((format(printf, 1, 2))) static int refuse(const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	report(FRACTAL_LOG_ERROR, "%s (fractal-lua --help lists what there is)", text);
	return CLI_USAGE;
}

/* ---- words -------------------------------------------------------------------------------------------------- */

/* Sets the bit of the operation called @name. False when there is none, with a guess. */
static bool trace_operation(struct cli *cli, struct nearest *name)
{
	for (uint32_t opcode = 0; opcode < FRACTAL_OP_COUNT; opcode++) {
		const char *known = fractal_op_name(opcode);

		if (strcmp(known, fractal_op_name(FRACTAL_OP_COUNT)) == 0)
			continue;
		nearest_consider(name, known);
		if (strcmp(known, name->name) == 0) {
			cli->trace |= 1ull << opcode;
			return true;
		}
	}
	return false;
}

/* Reads "lookup,read"; NULL means every operation. */
static int take_trace(struct cli *cli, const char *names)
{
	char *words = names ? strdup(names) : NULL, *rest = words, *word;
	int status = CLI_OK;

	if (!words)
		cli->trace = ~0ull;
	while (!status && (word = strsep(&rest, ","))) {
		struct nearest name = nearest_to(word);

		if (!*word || trace_operation(cli, &name))
			continue;
		status = refuse(name.best
					? "--trace: there is no operation \"%s\": did you mean %s?"
					: "--trace: there is no operation \"%s\"",
				word, name.best);
	}
	free(words);
	return status;
}

/* Reads how often something is to be told; NULL means only once, at the end. Sets @on and @every. */
static int take_seconds(const char *option, const char *seconds, bool *on, unsigned *every)
{
	char *end = NULL;
	unsigned long number = seconds ? strtoul(seconds, &end, 10) : 0;

	if (seconds && (*seconds < '1' || *seconds > '9' || *end || number > MAX_SECONDS))
		return refuse("%s=%s: give whole seconds, 1 to %d", option, seconds, MAX_SECONDS);
	*on = true;
	*every = (unsigned)number;
	return CLI_OK;
}

/* Sets @index to the place of @word among the words of "a|b|c". */
static int take_choice(const char *option, const char *word, const char *choices, int *index)
{
	size_t len = strlen(word);

	*index = 0;
	for (const char *p = choices; p; p = strchr(p, '|'), ++*index) {
		p += *p == '|';
		if (strcspn(p, "|") == len && strncmp(p, word, len) == 0)
			return CLI_OK;
	}
	return refuse("%s=%s: choose one of %s", option, word, choices);
}

static int take_trace_format(struct cli *cli, const char *word)
{
	int index, status = take_choice("--trace-format", word, "human|json", &index);

	cli->trace_json = index == 1;
	return status;
}

static int take_record_data(struct cli *cli, const char *word)
{
	int index, status = take_choice("--record-data", word, "yes|no", &index);

	cli->record_without_data = index == 1;
	return status;
}

static int take_replay_speed(struct cli *cli, const char *word)
{
	int index, status = take_choice("--replay-speed", word, "max|real|step", &index);

	cli->replay_speed = index;
	return status;
}

static int take_metrics(struct cli *cli, const char *where)
{
	const char *why = listener_parse(&cli->metrics, where);

	cli->has_metrics = !why;
	return why ? refuse("--metrics=%s: %s", where, why) : CLI_OK;
}

/* An option that getopt does not take: a letter there is none of, or @word with two dashes. */
static int refuse_option(int letter, const char *word)
{
	char name[64];
	struct nearest nearest;

	if (strncmp(word, "--", 2) != 0)
		return refuse("unknown option -%c", letter);
	snprintf(name, sizeof(name), "%.*s", (int)strcspn(word, "="), word);
	if (letter)
		return refuse("%s takes no value", name);
	nearest = nearest_to(name + 2);
	for (const struct option *o = long_options; o->name; o++)
		nearest_consider(&nearest, o->name);
	if (nearest.best)
		return refuse("unknown option %s: did you mean --%s?", name, nearest.best);
	return refuse("unknown option %s", name);
}

/* Takes one option letter of getopt. */
static int take_letter(struct cli *cli, int letter, char *argv[])
{
	switch (letter) {
	case 'b':
	case 'f':
		cli->background = letter == 'b';
		return CLI_OK;
	case 'd':
		cli->debug = true;
		return take_trace(cli, NULL);
	case OPT_TRACE:
		return take_trace(cli, optarg);
	case OPT_TRACE_FILE:
		cli->trace_path = optarg;
		return CLI_OK;
	case OPT_TRACE_FORMAT:
		return take_trace_format(cli, optarg);
	case 's':
	case 'o':
		if (!option_list_add(&cli->options, letter == 's' ? "workers=1" : optarg))
			return CLI_OK;
		report(FRACTAL_LOG_ERROR, "out of memory");
		return CLI_FAILED;
	case 'h':
	case 'V':
	case OPT_CHECK:
	case OPT_DOCTOR:
		cli->action = letter == 'h'	    ? CLI_HELP
			      : letter == 'V'	    ? CLI_VERSION
			      : letter == OPT_CHECK ? CLI_CHECK
						    : CLI_DOCTOR;
		return CLI_OK;
	case OPT_JSON:
		cli->json = true;
		return CLI_OK;
	case OPT_LOG:
		cli->log_path = optarg;
		return CLI_OK;
	case OPT_METRICS:
		return take_metrics(cli, optarg);
	case OPT_RECORD:
		cli->record_path = optarg;
		return CLI_OK;
	case OPT_RECORD_DATA:
		return take_record_data(cli, optarg);
	case OPT_REPLAY:
		cli->action = CLI_REPLAY;
		cli->replay_path = optarg;
		return CLI_OK;
	case OPT_REPLAY_SPEED:
		return take_replay_speed(cli, optarg);
	case OPT_WATCH:
		cli->watch = true;
		return CLI_OK;
	case OPT_STATS:
		return take_seconds("--stats", optarg, &cli->stats, &cli->stats_every);
	case OPT_PROFILE:
		return take_seconds("--profile", optarg, &cli->profile, &cli->profile_every);
	case OPT_PROFILE_FILE:
		cli->profile = true;
		cli->profile_prefix = optarg;
		return CLI_OK;
	case ':':
		return refuse("%s needs a value", argv[optind - 1]);
	default:
		return refuse_option(optopt, argv[optind - 1]);
	}
}

/* The words that are no options: SCRIPT and MOUNTPOINT, as many as the action takes. */
static int take_operands(struct cli *cli, int count, char *words[])
{
	static const struct {
		int min, max;
	} wanted[] = {
		[CLI_MOUNT] = { 2, 2 },	 [CLI_REPLAY] = { 1, 1 }, [CLI_CHECK] = { 1, 1 },
		[CLI_DOCTOR] = { 0, 0 }, [CLI_HELP] = { 0, 1 },	  [CLI_VERSION] = { 0, 0 },
	};

	if (count > wanted[cli->action].max)
		return refuse("one word too many: \"%s\"", words[wanted[cli->action].max]);
	if (count < wanted[cli->action].min)
		return refuse("%s", cli->action == CLI_CHECK	? "name the script to check"
				    : cli->action == CLI_REPLAY ? "name the script to ask"
				    : count == 0
					    ? "name a script and a directory to mount on"
					    : "name a directory to mount on, behind the script");
	cli->script = count > 0 ? words[0] : NULL;
	cli->mountpoint = count > 1 ? words[1] : NULL;
	return CLI_OK;
}

/* A replay has no mount, which some options are about. */
static int check_replay(const struct cli *cli)
{
	const char *name = cli->background ? "-b" : cli->has_metrics ? "--metrics" : NULL;

	if (cli->action == CLI_REPLAY && name)
		return refuse("--replay makes no mount: leave %s out", name);
	return CLI_OK;
}

/* A script may give a capability's name a meaning of its own, where that takes a value: then only it can tell. */
static bool script_may_own(const struct option_word *word)
{
	return word->value && fractal_cap_by_name(word->name) >= 0;
}

/* Looks at the options that need no script, so that a wrong value is told before anything runs. */
static int check_early(struct cli *cli)
{
	char why[256];

	if (options_init(&cli->early))
		return CLI_FAILED;
	for (size_t i = 0; i < cli->options.count; i++) {
		const struct option_word *word = &cli->options.words[i];

		if (!script_may_own(word) &&
		    options_set(&cli->early, word->name, word->value, why, sizeof(why)) == -EINVAL)
			return refuse("-o %s", why);
	}
	return CLI_OK;
}

int cli_parse(struct cli *cli, int argc, char *argv[])
{
	int letter, status = CLI_OK;

	*cli = (struct cli){ .action = CLI_MOUNT };
	opterr = 0;
	while (!status && (letter = getopt_long(argc, argv, ":bdfhso:V", long_options, NULL)) != -1)
		status = take_letter(cli, letter, argv);
	/* Where to and how, but not what: everything. */
	if ((cli->trace_path || cli->trace_json) && !cli->trace)
		cli->trace = ~0ull;
	if (!status)
		status = take_operands(cli, argc - optind, argv + optind);
	if (!status)
		status = check_replay(cli);
	return status ? status : check_early(cli);
}

void cli_free(struct cli *cli)
{
	option_list_free(&cli->options);
	options_free(&cli->early);
}

/* ---- help ------------------------------------------------------------------------------------------------------ */

int cli_help(FILE *out, struct host *host)
{
	size_t count = 0;
	const struct host_word *own = host ? host_script_options(host, &count) : NULL;

	fputs(usage, out);
	fputs("\nTools (fractal-lua TOOL --help tells more; ./TOOL names a script):\n", out);
	if (tool_list(out))
		return CLI_FAILED;
	if (host)
		fprintf(out, "\nOptions of the script, behind -o:\n%s",
			count ? "" : "  (it has none)\n");
	for (size_t i = 0; i < count; i++)
		fprintf(out, "  %-26s %s\n", own[i].name, own[i].value ? own[i].value : "");
	fprintf(out, "\nOptions behind -o:\n");
	options_help(out);
	return CLI_OK;
}

/* ---- options of the script and of the command line -------------------------------------------------------------- */

/* The sentence for an option that neither the command nor the script knows. */
static int refuse_unknown(const char *name, struct host *host)
{
	size_t count;
	const struct host_word *own = host_script_options(host, &count);
	const char **names = calloc(count + 1, sizeof(*names));
	const char *guess = NULL;

	for (size_t i = 0; names && i < count; i++)
		names[i] = own[i].name;
	if (names)
		guess = options_guess(name, names, count);
	free(names);
	if (guess)
		return refuse("unknown option -o %s: did you mean %s?", name, guess);
	return refuse("unknown option -o %s", name);
}

static int settle_script(struct host *host, struct options *options)
{
	size_t count;
	const struct host_word *words = host_settings(host, &count);
	char why[256];

	for (size_t i = 0; i < count; i++) {
		int err = options_set(options, words[i].name, words[i].value, why, sizeof(why));

		if (err == -ENOENT) {
			const char *guess = options_guess(words[i].name, NULL, 0);

			report(FRACTAL_LOG_ERROR, "the script's setting %s is unknown%s%s%s",
			       words[i].name, guess ? ": did you mean " : "", guess ? guess : "",
			       guess ? "?" : "");
		} else if (err) {
			report(FRACTAL_LOG_ERROR, "in the script's settings, %s",
			       err == -EINVAL ? why : strerror(-err));
		}
		if (err)
			return CLI_FAILED;
	}
	return CLI_OK;
}

int cli_settle(const struct cli *cli, struct host *host, struct options *options)
{
	char why[256] = "";
	int status = settle_script(host, options);

	for (size_t i = 0; !status && i < cli->options.count; i++) {
		const struct option_word *word = &cli->options.words[i];
		int err = -ENOENT;

		if (script_may_own(word))
			err = host_set_option(host, word->name, word->value);
		if (err == -ENOENT)
			err = options_set(options, word->name, word->value, why, sizeof(why));
		if (err == -ENOENT)
			err = host_set_option(host, word->name, word->value);
		if (err == -ENOENT)
			status = refuse_unknown(word->name, host);
		else if (err)
			status = *why ? refuse("-o %s", why) : CLI_FAILED;
	}
	if (!status && options->state && host_set_state(host, options->state))
		status = CLI_FAILED;
	return status;
}
