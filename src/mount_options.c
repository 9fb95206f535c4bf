/* SPDX-License-Identifier: MIT */
/* mount_options.c - sorts mount options into mount(2)'s flags, words for the kernel and words for fusermount3. */
#include "mount_options.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

static const struct mount_option rows[] = {
#define FRACTAL_MOUNT_OPTION(name, kind, flag, doc) { #name, MOUNT_OPTION_##kind, flag, doc },
#include "mount.def"
#undef FRACTAL_MOUNT_OPTION
};

static const size_t row_count = sizeof(rows) / sizeof(rows[0]);

const struct mount_option *mount_option_at(size_t index)
{
	return index < row_count ? &rows[index] : NULL;
}

/* Comments of fstab(5), and options that only tools around mount(8) read: x-systemd.automount, X-mount.mkdir. */
static bool is_comment(const char *name, size_t len)
{
	return (len > 2 && (name[0] == 'x' || name[0] == 'X') && name[1] == '-') ||
	       (len == 7 && memcmp(name, "comment", 7) == 0);
}

const struct mount_option *mount_option_find(const char *name, size_t len)
{
	static const struct mount_option comment = { "comment", MOUNT_OPTION_DROP, 0, "" };

	for (size_t i = 0; i < row_count; i++) {
		if (strlen(rows[i].name) == len && memcmp(rows[i].name, name, len) == 0)
			return &rows[i];
	}
	return is_comment(name, len) ? &comment : NULL;
}

size_t mount_option_length(const char *text)
{
	size_t len = 0;

	while (text[len] && text[len] != ',')
		len += text[len] == '\\' && text[len + 1] ? 2 : 1;
	return len;
}

static void append(FILE *list, const char *word, size_t len)
{
	fprintf(list, "%s%.*s", ftell(list) > 0 ? "," : "", (int)len, word);
}

/* Takes one word, without its comma, into the plan and the two lists. */
static int take_word(struct mount_plan *plan, FILE *fuse, FILE *helper, const char *word,
		     size_t len, char *why, size_t size)
{
	size_t name_len = strcspn(word, "=,");
	const struct mount_option *row = mount_option_find(word, name_len < len ? name_len : len);

	if (!row) {
		snprintf(why, size, "unknown mount option \"%.*s\"", (int)len, word);
		return -EINVAL;
	}
	if (row->kind == MOUNT_OPTION_DROP)
		return 0;
	if (row->kind == MOUNT_OPTION_REFUSE) {
		snprintf(why, size, "%s is not offered: %s", row->name, row->doc);
		return -EINVAL;
	}
	if ((name_len + 1 < len) != (row->kind == MOUNT_OPTION_VALUE)) {
		snprintf(why, size, "mount option %s %s", row->name,
			 row->kind == MOUNT_OPTION_VALUE ? "needs a value" : "takes no value");
		return -EINVAL;
	}
	append(helper, word, len);
	plan->max_read |= strcmp(row->name, "max_read") == 0;
	if (row->kind == MOUNT_OPTION_SET)
		plan->flags |= row->flag;
	else if (row->kind == MOUNT_OPTION_CLEAR)
		plan->flags &= ~row->flag;
	else if (row->kind == MOUNT_OPTION_FUSE || row->kind == MOUNT_OPTION_VALUE)
		append(fuse, word, len);
	return 0;
}

int mount_plan_parse(struct mount_plan *plan, const char *options, char *why, size_t size)
{
	size_t fuse_size, helper_size;
	FILE *fuse, *helper;
	int err = 0;

	*plan = (struct mount_plan){ .flags = MS_NOSUID | MS_NODEV };
	fuse = open_memstream(&plan->fuse, &fuse_size);
	helper = open_memstream(&plan->helper, &helper_size);
	for (const char *p = options; fuse && helper && p && *p && !err;) {
		size_t len = mount_option_length(p);

		if (len > 0)
			err = take_word(plan, fuse, helper, p, len, why, size);
		p += len;
		p += *p == ',';
	}
	/* Closing is what makes the strings, so each stream is closed whatever came before. */
	if (!fuse || fclose(fuse))
		err = -ENOMEM;
	if (!helper || fclose(helper))
		err = -ENOMEM;
	if (err == -ENOMEM)
		snprintf(why, size, "out of memory");
	if (err)
		mount_plan_free(plan);
	return err;
}

void mount_plan_free(struct mount_plan *plan)
{
	free(plan->fuse);
	free(plan->helper);
	plan->fuse = plan->helper = NULL;
}
