/* SPDX-License-Identifier: MIT */
/*
 * options.h - what stands behind -o, from the command line and from a script's `mount` table.
 *
 * One table holds the library's and the command's own options; caps.def and mount.def bring the others. Parsing,
 * --help and the guess at a misspelt name all read these tables.
 */
#ifndef FRACTAL_OPTIONS_H
#define FRACTAL_OPTIONS_H
#include "fractal.h"
#include <stdio.h>

/* One word of an -o list. */
struct option_word {
	char *name;
	char *value; /* NULL: none was given */
};

struct option_list {
	struct option_word *words;
	size_t count;
};

/* Where options end up. Zero is the default of each field but auto_unmount. */
struct options {
	struct fractal_config
		config; /* numbers, transport, capabilities; finished by options_finish() */
	char *fsname, *subtype;
	char *state;	   /* "single", "per-worker" or NULL */
	char *mount_words; /* made by options_finish() */
	char **mount_values; /* one for each row of mount.def, NULL where it is not given, "" without a value */
	int sched; /* enum scheduling */
	bool auto_unmount;
};

/* Splits "a,b=c\,d" and adds its words. 0 or -ENOMEM. */
int option_list_add(struct option_list *list, const char *text);
void option_list_free(struct option_list *list);

int options_init(struct options *options);
void options_free(struct options *options);

/*
 * Takes one option; a later one wins over an earlier one. @value: NULL when there is none. 0; -ENOENT: no such option;
 * -EINVAL: a value that does not do, with a sentence in @why (of @size bytes); -ENOMEM.
 */
int options_set(struct options *options, const char *name, const char *value, char *why,
		size_t size);

/* Fills config's strings from the words taken so far; they live until options_free(). 0 or -ENOMEM. */
int options_finish(struct options *options);

/*
 * Calls @differs for each option that has another value in @now than in @then and counts only at the mount: all but the
 * ttls.
 */
void options_compare(const struct options *then, const struct options *now,
		     void (*differs)(const char *name));

/* The known name most like @name, also looking at @more, or NULL when none is near. */
const char *options_guess(const char *name, const char *const *more, size_t count);

/* Writes one line for each option. */
void options_help(FILE *out);

#endif
