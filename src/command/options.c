/* SPDX-License-Identifier: MIT */
/* options.c - the table of -o options, and reading words into it. */
#include "options.h"
#include "mount_options.h"
#include "nearest.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum kind {
	KIND_NUMBER,  /* uint32_t */
	KIND_BYTES,   /* uint32_t, with K, M or G behind it */
	KIND_SECONDS, /* double */
	KIND_TEXT,    /* char *, owned */
	KIND_CHOICE,  /* int: index in `argument`, which lists the words between bars */
	KIND_STATE,   /* char *, owned: one of the words in `argument` */
	KIND_ON,      /* bool */
	KIND_OFF,     /* bool that the option's name clears */
};

struct row {
	const char *name;
	enum kind kind;
	size_t offset; /* in struct options */
	double min, max;
	const char *argument; /* what --help shows behind the equals sign */
	const char *doc;
};

#define CONFIG(field) offsetof(struct options, config.field)
#define FIELD(field)  offsetof(struct options, field)
#define MAX_BYTES     4294967295.0

static const struct row rows[] = {
	{ "transport", KIND_CHOICE, CONFIG(transport), 0, 0, "auto|uring|dev",
	  "io_uring where the kernel offers it (auto), only io_uring, or classic /dev/fuse" },
	{ "workers", KIND_NUMBER, CONFIG(workers), 1, 65536, "N",
	  "threads that serve; default: one for each CPU" },
	{ "state", KIND_STATE, FIELD(state), 0, 0, "single|per-worker",
	  "one Lua state for all workers, or one for each, which share nothing" },
	{ "queue_depth", KIND_NUMBER, CONFIG(queue_depth), 1, 1024, "N",
	  "requests in flight for each CPU; default 32" },
	{ "max_write", KIND_BYTES, CONFIG(max_write), 4096, MAX_BYTES, "BYTES",
	  "in one write request; K and M may follow; default 1M" },
	{ "pin", KIND_OFF, CONFIG(no_pin), 0, 0, NULL,
	  "each worker stays on its CPU (default); nopin leaves them to the scheduler" },
	{ "sched", KIND_CHOICE, FIELD(sched), 0, 0, "auto|idle|other",
	  "let callers stay on their CPU (idle), not (other), or where it costs nothing (auto)" },
	{ "max_readahead", KIND_BYTES, CONFIG(max_readahead), 0, MAX_BYTES, "BYTES",
	  "that the kernel may read ahead; default: what it offers" },
	{ "max_background", KIND_NUMBER, CONFIG(max_background), 1, 65535, "N",
	  "requests that nobody waits for; default: CPUs times queue_depth" },
	{ "time_gran", KIND_NUMBER, CONFIG(time_gran), 1, 1e9, "NANOSECONDS",
	  "granularity of file times; default 1" },
	{ "request_timeout", KIND_NUMBER, CONFIG(request_timeout), 1, 65535, "SECONDS",
	  "after which the kernel gives up a mount that does not answer; default: never" },
	{ "max_stack_depth", KIND_NUMBER, CONFIG(max_stack_depth), 1, 2, "N",
	  "with passthrough: how deep the backing filesystem may be stacked itself; default 1" },
	{ "entry_ttl", KIND_SECONDS, CONFIG(entry_ttl), 0, 1e9, "SECONDS",
	  "the kernel may keep names" },
	{ "attr_ttl", KIND_SECONDS, CONFIG(attr_ttl), 0, 1e9, "SECONDS",
	  "the kernel may keep attributes" },
	{ "negative_ttl", KIND_SECONDS, CONFIG(negative_ttl), 0, 1e9, "SECONDS",
	  "the kernel may keep that a name does not exist" },
	{ "fsname", KIND_TEXT, FIELD(fsname), 0, 0, "NAME",
	  "source shown by mount(8); default: the script's name" },
	{ "subtype", KIND_TEXT, FIELD(subtype), 0, 0, "NAME",
	  "type shown by mount(8) behind \"fuse.\"; default fractal-lua" },
	{ "auto_unmount", KIND_ON, FIELD(auto_unmount), 0, 0, NULL,
	  "unmount even when this process is killed (default); noauto_unmount leaves that out" },
};

static const struct {
	const char *name;
	int bit;
	bool offered;
	const char *doc;
} caps[] = {
#define CAP_OFFERED_ON				 true
#define CAP_OFFERED_OFF				 true
#define CAP_OFFERED_OP				 true
#define CAP_OFFERED_CORE			 false
#define CAP_OFFERED_NEVER			 false
#define FRACTAL_CAP(NAME, option, bit, def, doc) { #option, bit, CAP_OFFERED_##def, doc },
#include "caps.def"
#undef FRACTAL_CAP
};

enum {
	ROWS = sizeof(rows) / sizeof(rows[0]),
	CAPS = sizeof(caps) / sizeof(caps[0]),
	MOUNT_ROWS = 0
#define FRACTAL_MOUNT_OPTION(name, kind, flag, doc) +1
#include "mount.def"
#undef FRACTAL_MOUNT_OPTION
};

/* ---- lists --------------------------------------------------------------------------------------------------- */

/* Copies the word at @text without its backslashes and splits it at the first equals sign. */
static int take_word(struct option_word *word, const char *text, size_t len)
{
	char *to, *copy = malloc(len + 1);

	if (!copy)
		return -ENOMEM;
	to = copy;
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '\\' && i + 1 < len)
			i++;
		*to++ = text[i];
	}
	*to = '\0';
	word->name = copy;
	word->value = strchr(copy, '=');
	if (word->value)
		*word->value++ = '\0';
	return 0;
}

int option_list_add(struct option_list *list, const char *text)
{
	while (*text) {
		size_t len = mount_option_length(text);

		if (len > 0) {
			struct option_word *more =
				reallocarray(list->words, list->count + 1, sizeof(*more));

			if (!more)
				return -ENOMEM;
			list->words = more;
			if (take_word(&more[list->count], text, len))
				return -ENOMEM;
			list->count++;
		}
		text += len;
		text += *text == ',';
	}
	return 0;
}

void option_list_free(struct option_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->words[i].name);
	free(list->words);
	*list = (struct option_list){ 0 };
}

/* ---- one option --------------------------------------------------------------------------------------------------- */

int options_init(struct options *options)
{
	*options = (struct options){ .auto_unmount = true };
	options->mount_values = calloc(MOUNT_ROWS, sizeof(char *));
	return options->mount_values ? 0 : -ENOMEM;
}

void options_free(struct options *options)
{
	for (size_t i = 0; options->mount_values && i < MOUNT_ROWS; i++)
		free(options->mount_values[i]);
	free(options->mount_values);
	free(options->mount_words);
	free(options->fsname);
	free(options->subtype);
	free(options->state);
	*options = (struct options){ 0 };
}

static int replace(char **field, const char *text)
{
	char *copy = text ? strdup(text) : NULL;

	if (text && !copy)
		return -ENOMEM;
	free(*field);
	*field = copy;
	return 0;
}

/* Reads a number with an optional K, M or G. */
static bool parse_number(const char *text, bool suffix, double *number)
{
	static const char letters[] = "kmg";
	const char *letter;
	char *end;

	if ((*text < '0' || *text > '9') && *text != '.')
		return false;
	*number = strtod(text, &end);
	if (end == text)
		return false;
	letter = suffix && *end ? strchr(letters, *end | 0x20) : NULL;
	if (letter && *letter) {
		*number *= (double)(1024ul << 10 * (letter - letters));
		end++;
	}
	return !*end;
}

static int set_number(const struct row *row, void *field, const char *value, char *why, size_t size)
{
	double number;

	if (!parse_number(value, row->kind == KIND_BYTES, &number) ||
	    (row->kind != KIND_SECONDS && number != (double)(uint64_t)number)) {
		snprintf(why, size, "%s=%s: give a number%s", row->name, value,
			 row->kind == KIND_BYTES ? " of bytes, such as 65536, 64K or 1M" : "");
		return -EINVAL;
	}
	if (number < row->min || number > row->max) {
		snprintf(why, size, "%s=%s is out of range: choose %.0f to %.0f", row->name, value,
			 row->min, row->max);
		return -EINVAL;
	}
	if (row->kind == KIND_SECONDS)
		*(double *)field = number;
	else
		*(uint32_t *)field = (uint32_t)number;
	return 0;
}

/* Position of @value among the words of "a|b|c", or -1. */
static int choice_index(const char *choices, const char *value)
{
	size_t len = strlen(value);
	int index = 0;

	for (const char *p = choices; p; index++) {
		if (strcspn(p, "|") == len && strncmp(p, value, len) == 0)
			return index;
		p = strchr(p, '|');
		p += p != NULL;
	}
	return -1;
}

static int set_choice(const struct row *row, void *field, const char *value, char *why, size_t size)
{
	int index = choice_index(row->argument, value);

	if (index < 0) {
		snprintf(why, size, "%s=%s: choose one of %s", row->name, value, row->argument);
		return -EINVAL;
	}
	if (row->kind == KIND_STATE)
		return replace(field, value);
	*(enum fractal_transport *)field = (enum fractal_transport)index;
	return 0;
}

static int set_row(struct options *options, const struct row *row, const char *value, bool on,
		   char *why, size_t size)
{
	void *field = (char *)options + row->offset;
	bool is_switch = row->kind == KIND_ON || row->kind == KIND_OFF;

	if (is_switch != !value) {
		snprintf(why, size, is_switch ? "%s takes no value" : "%s needs a value: %s=%s",
			 row->name, row->name, row->argument);
		return -EINVAL;
	}
	switch (row->kind) {
	case KIND_ON:
	case KIND_OFF:
		*(bool *)field = on == (row->kind == KIND_ON);
		return 0;
	case KIND_TEXT:
		return replace(field, value);
	case KIND_CHOICE:
	case KIND_STATE:
		return set_choice(row, field, value, why, size);
	default:
		return set_number(row, field, value, why, size);
	}
}

static int set_cap(struct options *options, size_t index, const char *value, bool on, char *why,
		   size_t size)
{
	uint64_t bit = 1ull << caps[index].bit;

	if (value || !caps[index].offered) {
		snprintf(why, size, value ? "%s takes no value" : "%s cannot be chosen: %s",
			 caps[index].name, caps[index].doc);
		return -EINVAL;
	}
	options->config.caps_on &= ~bit;
	options->config.caps_off &= ~bit;
	*(on ? &options->config.caps_on : &options->config.caps_off) |= bit;
	return 0;
}

/* Forgets words that say something about the same flag of mount(2): rw takes back ro. */
static void drop_flag(struct options *options, unsigned long flag)
{
	for (size_t i = 0; flag && i < MOUNT_ROWS; i++) {
		if (mount_option_at(i)->flag == flag)
			replace(&options->mount_values[i], NULL);
	}
}

static int set_mount(struct options *options, size_t index, const char *value, bool on, char *why,
		     size_t size)
{
	const struct mount_option *row = mount_option_at(index);

	if (row->kind == MOUNT_OPTION_REFUSE) {
		snprintf(why, size, "%s is not offered: %s", row->name, row->doc);
		return -EINVAL;
	}
	if (on && !value != (row->kind != MOUNT_OPTION_VALUE)) {
		snprintf(why, size, "%s %s value", row->name, value ? "takes no" : "needs a");
		return -EINVAL;
	}
	drop_flag(options, row->flag);
	return replace(&options->mount_values[index], !on ? NULL : value ? value : "");
}

/* Sets what is called exactly @name. With @on false, only what can be switched off counts. */
static int set_exactly(struct options *options, const char *name, const char *value, bool on,
		       char *why, size_t size)
{
	for (size_t i = 0; i < ROWS; i++) {
		bool is_switch = rows[i].kind == KIND_ON || rows[i].kind == KIND_OFF;

		if (strcmp(rows[i].name, name) == 0 && (on || is_switch))
			return set_row(options, &rows[i], value, on, why, size);
	}
	for (size_t i = 0; i < CAPS; i++) {
		if (strcmp(caps[i].name, name) == 0)
			return set_cap(options, i, value, on, why, size);
	}
	for (size_t i = 0; i < MOUNT_ROWS; i++) {
		const struct mount_option *row = mount_option_at(i);

		if (strcmp(row->name, name) == 0 && (on || row->kind == MOUNT_OPTION_FUSE))
			return set_mount(options, i, value, on, why, size);
	}
	return on && mount_option_find(name, strlen(name)) ? 0 : -ENOENT;
}

int options_set(struct options *options, const char *name, const char *value, char *why,
		size_t size)
{
	int err = set_exactly(options, name, value, true, why, size);

	if (err == -ENOENT && strncmp(name, "no", 2) == 0 && !value)
		err = set_exactly(options, name + 2, NULL, false, why, size);
	return err;
}

int options_finish(struct options *options)
{
	size_t size;
	FILE *words;

	free(options->mount_words);
	words = open_memstream(&options->mount_words, &size);
	if (!words)
		return -ENOMEM;
	for (size_t i = 0; i < MOUNT_ROWS; i++) {
		const char *value = options->mount_values[i];

		if (!value)
			continue;
		fprintf(words, "%s%s%s", ftell(words) > 0 ? "," : "", mount_option_at(i)->name,
			*value ? "=" : "");
		for (; *value; value++)
			fprintf(words, "%s%c", strchr(",\\", *value) ? "\\" : "", *value);
	}
	if (fclose(words))
		return -ENOMEM;
	options->config.mount_options = options->mount_words;
	if (options->fsname)
		options->config.fsname = options->fsname;
	if (options->subtype)
		options->config.subtype = options->subtype;
	return 0;
}

/* ---- comparing --------------------------------------------------------------------------------------------------- */

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same_value(const struct row *row, const struct options *a, const struct options *b)
{
	const void *x = (const char *)a + row->offset, *y = (const char *)b + row->offset;

	switch (row->kind) {
	case KIND_TEXT:
	case KIND_STATE:
		return same_text(*(char *const *)x, *(char *const *)y);
	case KIND_ON:
	case KIND_OFF:
		return *(const bool *)x == *(const bool *)y;
	case KIND_CHOICE:
		return *(const enum fractal_transport *)x == *(const enum fractal_transport *)y;
	case KIND_SECONDS: /* ttls */
		return true;
	default:
		return *(const uint32_t *)x == *(const uint32_t *)y;
	}
}

void options_compare(const struct options *then, const struct options *now,
		     void (*differs)(const char *name))
{
	uint64_t on = then->config.caps_on ^ now->config.caps_on;
	uint64_t off = then->config.caps_off ^ now->config.caps_off;

	for (size_t i = 0; i < ROWS; i++)
		if (!same_value(&rows[i], then, now))
			differs(rows[i].name);
	for (size_t i = 0; i < CAPS; i++)
		if ((on | off) & 1ull << caps[i].bit)
			differs(caps[i].name);
	for (size_t i = 0; i < MOUNT_ROWS; i++)
		if (!same_text(then->mount_values[i], now->mount_values[i]))
			differs(mount_option_at(i)->name);
}

/* ---- help ------------------------------------------------------------------------------------------------------- */

const char *options_guess(const char *name, const char *const *more, size_t count)
{
	struct nearest nearest = nearest_to(name);

	for (size_t i = 0; i < count; i++)
		nearest_consider(&nearest, more[i]);
	for (size_t i = 0; i < ROWS; i++)
		nearest_consider(&nearest, rows[i].name);
	for (size_t i = 0; i < CAPS; i++) {
		if (caps[i].offered)
			nearest_consider(&nearest, caps[i].name);
	}
	for (size_t i = 0; i < MOUNT_ROWS; i++)
		nearest_consider(&nearest, mount_option_at(i)->name);
	return nearest.best;
}

void options_help(FILE *out)
{
	char left[64];

	for (size_t i = 0; i < ROWS; i++) {
		snprintf(left, sizeof(left), "%s%s%s", rows[i].name, rows[i].argument ? "=" : "",
			 rows[i].argument ? rows[i].argument : "");
		fprintf(out, "  %-26s %s\n", left, rows[i].doc);
	}
	fprintf(out, "\nOf mount(8) (and the words of fstab(5), which mean nothing here):\n");
	for (size_t i = 0; i < MOUNT_ROWS; i++) {
		const struct mount_option *row = mount_option_at(i);

		snprintf(left, sizeof(left), "%s%s", row->name,
			 row->kind == MOUNT_OPTION_VALUE ? "=N" : "");
		if (*row->doc && row->kind != MOUNT_OPTION_REFUSE)
			fprintf(out, "  %-26s %s\n", left, row->doc);
	}
	fprintf(out, "\nWhat to ask of the kernel; \"no\" in front switches it off:\n");
	for (size_t i = 0; i < CAPS; i++) {
		if (caps[i].offered)
			fprintf(out, "  %-26s %s\n", caps[i].name, caps[i].doc);
	}
}
