/* SPDX-License-Identifier: MIT */
/*
 * mount_options.h - the words behind -o that mount(2), the fuse filesystem and fusermount3 know (mount.def).
 */
#ifndef FRACTAL_MOUNT_OPTIONS_H
#define FRACTAL_MOUNT_OPTIONS_H
#include <stdbool.h>
#include <stddef.h>

enum mount_option_kind {
	MOUNT_OPTION_SET,
	MOUNT_OPTION_CLEAR,
	MOUNT_OPTION_FUSE,
	MOUNT_OPTION_VALUE,
	MOUNT_OPTION_DROP,
	MOUNT_OPTION_REFUSE,
};

struct mount_option {
	const char *name;
	enum mount_option_kind kind;
	unsigned long flag;
	const char *doc;
};

/* Row number @index, or NULL behind the last one. */
const struct mount_option *mount_option_at(size_t index);

/* The row of a name (of the first @len bytes of @name), or NULL. "x-anything" and "comment" count as dropped. */
const struct mount_option *mount_option_find(const char *name, size_t len);

/* Length of the option at @text: up to a comma without a backslash before it. */
size_t mount_option_length(const char *text);

/* What a list of options comes to. */
struct mount_plan {
	unsigned long flags; /* of mount(2) */
	char *fuse;	     /* words for the fuse filesystem, comma separated, may be empty */
	char *helper; /* the whole list for fusermount3 -o, without what is dropped, may be empty */
	bool max_read; /* is among them */
};

/*
 * Reads a comma separated list (a backslash escapes the next byte); later words win over earlier ones. Flags start as
 * MS_NOSUID | MS_NODEV. 0; -ENOMEM; or -EINVAL with a sentence in @why (of @size bytes).
 */
int mount_plan_parse(struct mount_plan *plan, const char *options, char *why, size_t size);
void mount_plan_free(struct mount_plan *plan);

#endif
