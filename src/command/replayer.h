/* SPDX-License-Identifier: MIT */
/* replayer.h - --record and --replay: sessions that are kept in a file, and asked again from it. */
#ifndef FRACTAL_REPLAYER_H
#define FRACTAL_REPLAYER_H
#include "cli.h"

/* Makes the file of a recording. 0 or -errno. */
int replayer_open(const char *path);

/* Has the session recorded, where a file was made. 0 or -errno, reported. */
int replayer_record(struct fractal_session *session, bool with_data);

/* What a session has to be to take its requests from a recording. */
void replayer_configure(struct fractal_config *config);

/* Gives the session the recording of @cli. 0 or -errno, reported. */
int replayer_attach(struct fractal_session *session, const struct cli *cli);

/* Prints what a replay came to. @err: how the session ended. 0 where it ended well and nothing differs. */
int replayer_summary(const struct fractal_session *session, int err);

#endif
