/* SPDX-License-Identifier: MIT */
/*
 * compare.h - is a reply what was recorded? And which inode, handle and directory offset of the recording is which now.
 *
 * Nothing here trusts the recorded bytes; those of the reply are the library's own.
 */
#ifndef FRACTAL_COMPARE_H
#define FRACTAL_COMPARE_H
#include "record.h"

#define COMPARE_ROOM 256

/* What numbers of the recording stand for in the replay. */
struct ids;

struct ids *ids_new(void);
void ids_free(struct ids *ids);

/*
 * Puts today's numbers into a recorded request: @in, its in-structure and, where they have any, its data (@len bytes). Takes account
 * of what it forgets.
 */
void ids_translate(struct ids *ids, struct fractal_in_header *in, void *arg, uint8_t *data,
		   uint32_t len);

/* A reply as it was given. */
struct given {
	struct fractal_request req; /* with the recording's nodeid; arg is `in` */
	union fractal_in in;
	int error;
	uint32_t len;
	uint8_t *payload;
};

/*
 * Compares it with the recorded one and learns which numbers are which. True when they are the same; else @why says what is not, in
 * at most COMPARE_ROOM bytes.
 */
bool compare_replies(struct ids *ids, const struct given *given, const struct recorded *recorded,
		     char why[COMPARE_ROOM]);

#endif
