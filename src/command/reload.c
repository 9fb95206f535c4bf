/* SPDX-License-Identifier: MIT */
/* reload.c - see reload.h. */
#include "reload.h"
#include "exchange.h"
#include "report.h"
#include "sources.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define QUIET_MS     100 /* without a change, after which files are read */
#define PATIENCE_MS  2000
#define RETRY_MS     1000
#define STOP_SECONDS 2 /* for a script on trial to come to its end */

static struct {
	struct reload_target target;
	int wake_fd; /* eventfd: reloads asked for */
	atomic_bool quit;
	bool started;
	pthread_t thread;
	int generation; /* versions of the script that have served */
	bool lost;	/* a directory of the script is not there */
	bool told;	/* that one cannot be watched */
} reload = { .wake_fd = -1 };

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* ---- one reload ---- */

static void warn_of_option(const char *name)
{
	report(FRACTAL_LOG_WARN, "%s is another one than at the mount: that needs a remount", name);
}

/* What a script on trial is reported for, unless that is the end of the mount. */
static void log_trial(enum fractal_log_level level, const char *text, void *user)
{
	if (!atomic_load(&reload.quit))
		report_hook(level, text, user);
}

/* Settles the options as at the mount. */
static int settle(struct host *trial, struct options *options)
{
	const struct reload_target *target = &reload.target;

	if (cli_settle(target->cli, trial, options) || host_refuse_mistakes(trial))
		return -EINVAL;
	return host_capabilities(trial, &options->config.caps_on);
}

static int try_version(struct options *options)
{
	const struct reload_target *target = &reload.target;
	struct host *trial;
	struct log_sink sink = { .log = log_trial };
	int rc = host_try(&trial, target->script, sink);

	if (rc)
		return rc;
	rc = settle(trial, options);
	if (!rc)
		rc = exchange_states(target->host, trial, &options->config);
	if (!rc)
		options_compare(target->options, options, warn_of_option);
	host_free(trial);
	return rc;
}

static void reload_once(void)
{
	struct options options;
	double begun = now_ms();
	int rc = options_init(&options);

	if (!rc)
		rc = try_version(&options);
	options_free(&options);
	if (!rc)
		report(FRACTAL_LOG_INFO, "reloaded %s (generation %d) in %.0f ms",
		       reload.target.script, ++reload.generation, now_ms() - begun);
	else if (!atomic_load(&reload.quit))
		report(FRACTAL_LOG_ERROR, "%s was not reloaded: the old one goes on",
		       reload.target.script);
}

/* ---- the thread ---- */

static bool was_asked(void)
{
	uint64_t count;

	return read(reload.wake_fd, &count, sizeof(count)) > 0;
}

/* An editor may write several files, or one in several steps. */
static void await_quiet(void)
{
	struct pollfd events = { .fd = sources_events_fd(), .events = POLLIN };
	double begun = now_ms();

	do
		poll(&events, 1, QUIET_MS);
	while (sources_changed() && now_ms() - begun < PATIENCE_MS);
}

/* Watches what the states have loaded meanwhile. True: a directory that was gone is there again. */
static bool watch_sources(void)
{
	bool lost = reload.lost;
	int rc = sources_watch();

	reload.lost = rc == -ENOENT;
	if (rc && !reload.lost && !reload.told)
		report(FRACTAL_LOG_WARN,
		       "not all of the script's directories can be watched: %s; SIGHUP reloads it",
		       strerror(-rc));
	reload.told |= rc && !reload.lost;
	return lost && !rc;
}

/* Waits until there is a reason to reload. False: the mount has ended. */
static bool await_reason(void)
{
	struct pollfd p[] = {
		{ .fd = reload.wake_fd, .events = POLLIN },
		{ .fd = sources_news_fd(), .events = POLLIN },
		{ .fd = sources_events_fd(), .events = POLLIN },
	};
	bool changed = watch_sources();

	while (!changed && !was_asked()) {
		poll(p, sizeof(p) / sizeof(p[0]), reload.lost ? RETRY_MS : -1);
		changed = sources_changed() | watch_sources();
	}
	if (changed)
		await_quiet();
	return !atomic_load(&reload.quit);
}

static void *reload_main(void *arg)
{
	(void)arg;
	pthread_setname_np(pthread_self(), "fractal/reload");
	while (await_reason())
		reload_once();
	return NULL;
}

int reload_prepare(void)
{
	reload.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (reload.wake_fd < 0)
		return -errno;
	watch_sources();
	return 0;
}

void reload_ask(void)
{
	uint64_t one = 1;
	ssize_t written = write(reload.wake_fd, &one, sizeof(one));

	(void)written;
}

int reload_start(const struct reload_target *target)
{
	int rc;

	reload.target = *target;
	reload.generation = 1;
	rc = -pthread_create(&reload.thread, NULL, reload_main, NULL);
	reload.started = !rc;
	return rc;
}

bool reload_stop(void)
{
	struct timespec deadline;

	if (!reload.started)
		return true;
	atomic_store(&reload.quit, true);
	exchange_cancel();
	reload_ask();
	clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_sec += STOP_SECONDS;
	if (pthread_timedjoin_np(reload.thread, NULL, &deadline))
		return false;
	close(reload.wake_fd);
	reload.started = false;
	return true;
}
