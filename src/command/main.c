/* SPDX-License-Identifier: MIT */
/*
 * main.c - the command fractal-lua: the life of a mount from the command line to the exit status.
 *
 * The order matters. The fork into the background comes first; then the guardian's, while nothing is open yet; then
 * the script runs; then rings, threads and the mount come to be.
 */
#include "cli.h"
#include "daemon.h"
#include "check.h"
#include "doctor.h"
#include "guardian.h"
#include "loading.h"
#include "observer.h"
#include "profiler.h"
#include "reload.h"
#include "replayer.h"
#include "report.h"
#include "scheduling.h"
#include "sources.h"
#include "tool.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <luajit.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What the mount's hooks need. Hooks of the library get the host as their user, and signals get nothing. */
static struct {
	_Atomic(struct fractal_session *) session;
	atomic_int signals; /* that came before the mount was ready; negative once it is */
	struct host *host;
	char *mountpoint; /* or the file that is replayed */
	struct daemon daemon;
	const struct cli *cli;
	struct reload_target reload;
	bool terminal;	    /* the command was started from one and stays in its foreground */
	bool say_transport; /* it was not asked for, so say why it runs */
	enum scheduling sched;
} serving = { .daemon = { .ready_fd = -1 } };

/* ---- signals ----------------------------------------------------------------------------------------------- */

/*
 * Asks the session to end. One that is not ready yet may be stuck in the script's `init`: there the second signal ends the
 * process, and the guardian unmounts.
 */
static void on_signal(int number)
{
	static const char text[] = "fractal-lua: error: stopped before the mount was ready\n";
	struct fractal_session *session = atomic_load(&serving.session);

	if (session)
		fractal_session_stop(session);
	if (atomic_load(&serving.signals) >= 0 && atomic_fetch_add(&serving.signals, 1) >= 1) {
		ssize_t told = write(STDERR_FILENO, text, sizeof(text) - 1);

		(void)told;
		_exit(CLI_FAILED);
	}
}

static bool has_terminal(void)
{
	int fd = open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/*
 * A hang-up: the terminal was closed, which the kernel tells, or a shell that its end takes along; or somebody wants the script
 * reloaded.
 */
static void on_hangup(int number, siginfo_t *info, void *context)
{
	int saved = errno;

	(void)context;
	if (info->si_code == SI_KERNEL || (serving.terminal && !has_terminal()))
		on_signal(number);
	else
		reload_ask();
	errno = saved;
}

/* A hang-up that was ignored when the command started (nohup) stays so. */
static void catch_signals(void)
{
	struct sigaction stop = { .sa_handler = on_signal, .sa_flags = SA_RESTART }, old;
	struct sigaction hangup = { .sa_sigaction = on_hangup,
				    .sa_flags = SA_RESTART | SA_SIGINFO };

	sigaction(SIGINT, &stop, NULL);
	sigaction(SIGTERM, &stop, NULL);
	serving.terminal = serving.daemon.ready_fd < 0 && has_terminal();
	if (!sigaction(SIGHUP, NULL, &old) && old.sa_handler != SIG_IGN)
		sigaction(SIGHUP, &hangup, NULL);
}

/* After the mount's end a signal ends the process, even in a script's `destroy` that does not return. */
static void release_signals(void)
{
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	atomic_store(&serving.session, NULL);
}

/* ---- being ready ---------------------------------------------------------------------------------------------- */

static const char *plural(int count)
{
	return count == 1 ? "" : "s";
}

/* Before anybody is told that the mount is ready, since who is told may look into it at once. */
static void be_observed(struct fractal_session *session)
{
	int err = observer_start(&(struct observed){ .session = session,
						     .host = serving.host,
						     .mountpoint = serving.mountpoint,
						     .seconds = serving.cli->stats_every });

	if (err)
		report(FRACTAL_LOG_WARN, "the mount cannot be looked into: %s", strerror(-err));
}

/* The mount answers: says so to whoever waits, and goes into the background where asked to. */
static void on_ready(struct fractal_session *session, void *user)
{
	enum fractal_transport transport = fractal_session_transport(session);
	int workers = fractal_session_workers(session);
	int states = host_states(serving.host, workers);
	char line[PATH_MAX + 512];
	int err;

	atomic_store(&serving.signals, INT_MIN);
	be_observed(session);
	if (serving.say_transport && transport == FRACTAL_TRANSPORT_DEV)
		report(FRACTAL_LOG_INFO, "transport dev (classic /dev/fuse): %s",
		       fractal_session_transport_reason(session));
	snprintf(line, sizeof(line), "mounted %s: %s, transport %s, %d worker%s, %d Lua state%s",
		 serving.mountpoint, host_name(serving.host),
		 transport == FRACTAL_TRANSPORT_URING ? "uring" : "dev", workers, plural(workers),
		 states, plural(states));
	if (!serving.cli->replay_path)
		report_ready(line);
	if (serving.daemon.ready_fd >= 0) {
		daemon_ready(&serving.daemon);
		report_to_syslog();
	}
	err = profiler_start(serving.cli->profile_every);
	if (err)
		report(FRACTAL_LOG_WARN, "starting the thread of profiles: %s", strerror(-err));
	/* After the background's session is made: that may be a group of its own. */
	scheduling_apply(serving.sched);
	daemon_notify("READY=1");
	err = reload_start(&serving.reload);
	if (err)
		report(FRACTAL_LOG_WARN, "the script cannot be reloaded: %s", strerror(-err));
}

/* ---- one mount --------------------------------------------------------------------------------------------------- */

/* Connects the session to where its requests come from. */
static int attach(struct fractal_session *session, struct guardian *guardian)
{
	int err;

	if (serving.cli->replay_path) {
		err = replayer_attach(session, serving.cli);
	} else {
		err = fractal_session_mount(session, serving.mountpoint);
		if (!err)
			err = guardian_watch(guardian, serving.mountpoint);
	}
	return err ? err : replayer_record(session, !serving.cli->record_without_data);
}

/* Serves until the end; then tells what is to be told of it. */
static int run(struct fractal_session *session)
{
	int err = fractal_session_run(session);

	observer_stop(serving.cli->stats);
	profiler_stop();
	return serving.cli->replay_path ? replayer_summary(session, err) : err;
}

/* Mounts and serves. 0 after a clean end. */
static int serve(const struct options *options, struct guardian *guardian)
{
	struct fractal_session *session;
	int err = reload_prepare();
	bool stopped;

	if (!err)
		err = fractal_session_new(&session, &options->config);
	if (err)
		return err;
	atomic_store(&serving.session, session);
	catch_signals();
	err = attach(session, guardian);
	if (!err)
		err = run(session);
	/* A handler that does not return keeps its thread: only the end of the process helps. */
	if (err == -ETIMEDOUT) {
		observer_close();
		_exit(CLI_FAILED);
	}
	daemon_notify("STOPPING=1");
	release_signals();
	stopped = reload_stop();
	host_end(serving.host);
	fractal_session_free(session);
	if (!stopped)
		_exit(err ? CLI_FAILED : CLI_OK);
	return err;
}

/* Fills in what the script's settings and the command line leave open, and serves. */
static int serve_host(const struct cli *cli, struct options *options, struct guardian *guardian)
{
	struct fractal_config *config = &options->config;
	int err = options_finish(options);

	if (!config->fsname)
		config->fsname = host_name(serving.host);
	if (!config->subtype)
		config->subtype = "fractal-lua";
	config->log = report_hook;
	config->ready = on_ready;
	serving.sched = (enum scheduling)options->sched;
	serving.say_transport = config->transport == FRACTAL_TRANSPORT_AUTO;
	if (!options->auto_unmount)
		guardian_dismiss(guardian);
	if (!err)
		err = host_prepare(serving.host, config);
	if (!err && cli->profile)
		err = profiler_open(serving.host, cli->profile_prefix);
	return err ? err : serve(options, guardian);
}

static int run_script(const struct cli *cli, const char *script, struct guardian *guardian)
{
	struct options options;
	int status = CLI_FAILED;
	int err = cli->watch ? sources_open() : 0;

	if (err || (err = options_init(&options))) {
		report(FRACTAL_LOG_ERROR, "%s", strerror(-err));
		return CLI_FAILED;
	}
	if (!loading_run(&serving.host, script, report_sink)) {
		options.config.timing = cli->stats || cli->has_metrics;
		options.config.trace = cli->trace;
		options.config.trace_json = cli->trace_json;
		options.config.trace_write = report_trace;
		status = cli_settle(cli, serving.host, &options);
		serving.reload = (struct reload_target){ cli, script, serving.host, &options };
		if (cli->replay_path)
			replayer_configure(&options.config);
		if (!status && serve_host(cli, &options, guardian))
			status = CLI_FAILED;
		host_free(serving.host);
	}
	sources_close();
	options_free(&options);
	return status;
}

/* ---- what the command can do ---------------------------------------------------------------------------------------- */

static void report_missing(const char *script)
{
	const char *tool = tool_guess(script);

	if (tool)
		report(FRACTAL_LOG_ERROR, "the script %s does not exist: did you mean the tool %s?",
		       script, tool);
	else
		report(FRACTAL_LOG_ERROR, "the script %s does not exist", script);
}

/* A directory in the script's place. */
static void report_directory(const struct cli *cli)
{
	struct stat st;

	if (cli->mountpoint && stat(cli->mountpoint, &st) == 0 && S_ISREG(st.st_mode))
		report(FRACTAL_LOG_ERROR, "%s is a directory, and %s a file: name the script first",
		       cli->script, cli->mountpoint);
	else
		report(FRACTAL_LOG_ERROR, "%s is a directory: name the script in it", cli->script);
}

/* The script's absolute path, to be freed; NULL with a sentence when it cannot be read. */
static char *find_script(const struct cli *cli)
{
	char *path = realpath(cli->script, NULL);
	struct stat st;

	if (!path && errno == ENOENT)
		report_missing(cli->script);
	else if (!path || access(path, R_OK) || stat(path, &st))
		report(FRACTAL_LOG_ERROR, "the script %s cannot be read: %s", cli->script,
		       strerror(errno));
	else if (S_ISDIR(st.st_mode))
		report_directory(cli);
	else
		return path;
	free(path);
	return NULL;
}

/* Mounts a script whose path is absolute, in the process that will serve. */
static int mount_in_place(const struct cli *cli, const char *script)
{
	struct guardian guardian = { .fd = -1 };
	int status, err = 0;

	if (cli->early.auto_unmount)
		err = guardian_start(&guardian);
	if (err) {
		report(FRACTAL_LOG_ERROR, "starting a process that unmounts after a crash: %s",
		       strerror(-err));
		return CLI_FAILED;
	}
	if (cli->has_metrics && observer_listen(&cli->metrics))
		status = CLI_FAILED;
	else
		status = run_script(cli, script, &guardian);
	observer_close();
	guardian_dismiss(&guardian);
	return status;
}

static int command_mount(const struct cli *cli)
{
	char *script = find_script(cli);
	int err, status = CLI_FAILED;

	if (!script)
		return CLI_FAILED;
	signal(SIGPIPE, SIG_IGN);
	/* A mountpoint that cannot be resolved is refused when mounting, with the reason. */
	serving.mountpoint = realpath(cli->mountpoint, NULL);
	if (!serving.mountpoint)
		serving.mountpoint = strdup(cli->mountpoint);
	serving.cli = cli;
	err = cli->background ? daemon_start(&serving.daemon) : 0;
	if (!err)
		err = observer_open();
	if (!err && serving.mountpoint)
		status = mount_in_place(cli, script);
	else
		report(FRACTAL_LOG_ERROR, "%s", strerror(err ? -err : ENOMEM));
	free(serving.mountpoint);
	free(script);
	return status;
}

/* Asks a script what was recorded, with no mount. */
static int command_replay(const struct cli *cli)
{
	char *script = find_script(cli);
	struct guardian nobody = { .fd = -1 };
	int status = CLI_FAILED;

	serving.cli = cli;
	serving.mountpoint = strdup(cli->replay_path);
	if (script && serving.mountpoint && !observer_open())
		status = run_script(cli, script, &nobody);
	observer_close();
	free(serving.mountpoint);
	free(script);
	return status;
}

/* Loads a script only to look at it. @host is NULL when that failed. */
static struct host *load_for_looking(const struct cli *cli)
{
	char *script = find_script(cli);
	struct host *host = NULL;

	if (script)
		loading_run(&host, script, report_sink);
	free(script);
	return host;
}

static int command_check(const struct cli *cli)
{
	char *script = find_script(cli);
	bool good = script && check_script(script, cli->early.state, stdout, cli->json);

	free(script);
	return good ? CLI_OK : CLI_FAILED;
}

static int command_help(const struct cli *cli)
{
	struct host *host = cli->script ? load_for_looking(cli) : NULL;
	int status = cli->script && !host ? CLI_FAILED : cli_help(stdout, host);

	host_free(host);
	return status;
}

static int run_command(const struct cli *cli)
{
	switch (cli->action) {
	case CLI_CHECK:
		return command_check(cli);
	case CLI_REPLAY:
		return command_replay(cli);
	case CLI_DOCTOR:
		return doctor_run(stdout, cli->json) ? CLI_OK : CLI_FAILED;
	case CLI_HELP:
		return command_help(cli);
	case CLI_VERSION:
		printf("fractal-lua %s, %s\n", fractal_version(), LUAJIT_VERSION);
		return CLI_OK;
	default:
		return command_mount(cli);
	}
}

/* Opens a file for the log, the trace or the recording, where one is named. False, with a sentence, when that fails. */
static bool open_output(const char *what, const char *path, int (*open_path)(const char *path))
{
	int err = path ? open_path(path) : 0;

	if (err)
		report(FRACTAL_LOG_ERROR, "the %s %s cannot be opened: %s", what, path,
		       strerror(-err));
	return !err;
}

int main(int argc, char *argv[])
{
	struct cli cli;
	int status;

	/* A tool's name wins over a script of that name, which ./NAME names. */
	if (argc > 1 && tool_exists(argv[1]))
		return tool_run(argc - 1, argv + 1);
	status = cli_parse(&cli, argc, argv);
	report_debug(cli.debug);
	if (!status && (!open_output("log", cli.log_path, report_to_file) ||
			!open_output("trace", cli.trace_path, report_trace_to_file) ||
			!open_output("recording", cli.record_path, replayer_open)))
		status = CLI_FAILED;
	if (!status)
		status = run_command(&cli);
	cli_free(&cli);
	return status;
}
