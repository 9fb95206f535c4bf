/* SPDX-License-Identifier: MIT */
/* replayer.c - see replayer.h. Differences and the summary are the command's output, on standard output. */
#include "replayer.h"
#include "report.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define LISTED	    100 /* differences that are printed */
#define AT_ONE_TIME 256 /* requests of the recording that may be unanswered */

static struct {
	int fd; /* of the file that is written; -1: none */
	uint64_t listed;
} replayer = { .fd = -1 };

int replayer_open(const char *path)
{
	replayer.fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	return replayer.fd < 0 ? -errno : 0;
}

int replayer_record(struct fractal_session *session, bool with_data)
{
	int err = replayer.fd < 0 ? 0 : fractal_session_record(session, replayer.fd, with_data);

	if (err)
		report(FRACTAL_LOG_ERROR, "recording: %s", strerror(-err));
	return err;
}

void replayer_configure(struct fractal_config *config)
{
	config->transport = FRACTAL_TRANSPORT_DEV;
	config->workers = 1;
	config->queue_depth = AT_ONE_TIME;
}

static void print_difference(const char *text, void *user)
{
	(void)user;
	if (replayer.listed++ < LISTED)
		printf("%s\n", text);
	else if (replayer.listed == LISTED + 1)
		printf("... more are counted only\n");
	fflush(stdout);
}

/* --replay-speed=step: waits for a line on standard input; at its end it goes on without. */
static void wait_for_enter(const char *operation, uint64_t nodeid, void *user)
{
	int c;

	(void)user;
	if (feof(stdin))
		return;
	printf("next: %s ino %llu (Enter)\n", operation, (unsigned long long)nodeid);
	fflush(stdout);
	do {
		c = getchar();
	} while (c != '\n' && c != EOF);
}

int replayer_attach(struct fractal_session *session, const struct cli *cli)
{
	struct fractal_replay replay = {
		.path = cli->replay_path,
		.real_speed = cli->replay_speed == REPLAY_REAL,
		.before = cli->replay_speed == REPLAY_STEP ? wait_for_enter : NULL,
		.difference = print_difference,
	};

	return fractal_session_replay(session, &replay);
}

int replayer_summary(const struct fractal_session *session, int err)
{
	const struct fractal_replayed *sum = fractal_session_replayed(session);

	printf("%llu requests, %llu differ, %.1f us each\n", (unsigned long long)sum->requests,
	       (unsigned long long)sum->differ,
	       sum->requests ? (double)sum->total_ns / 1e3 / (double)sum->requests : 0.0);
	fflush(stdout);
	return err ? err : sum->differ ? -EBADE : 0;
}
