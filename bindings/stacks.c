/* SPDX-License-Identifier: MIT */
/* stacks.c - see stacks.h. */
#include "stacks.h"
#include <stdlib.h>
#include <string.h>

struct stack {
	struct stack *chain; /* the next of its bucket */
	uint64_t samples;
	uint32_t hash;
	size_t len;
	char text[];
};

static uint32_t hash_text(const char *text, size_t len)
{
	uint32_t h = 0x811c9dc5u;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (uint8_t)text[i]) * 0x01000193u;
	return h;
}

void stacks_count(struct stacks *stacks, const char *text, size_t len, uint64_t samples)
{
	uint32_t hash = hash_text(text, len);
	struct stack **bucket = &stacks->buckets[hash % STACKS_BUCKETS], *s = *bucket;

	while (s && (s->hash != hash || s->len != len || memcmp(s->text, text, len) != 0))
		s = s->chain;
	if (!s) {
		s = malloc(sizeof(*s) + len);
		if (!s)
			return;
		*s = (struct stack){ .chain = *bucket, .hash = hash, .len = len };
		memcpy(s->text, text, len);
		*bucket = s;
	}
	s->samples += samples;
}

/* A stack without the directories of the script's files; the library's own are named fractal/… and stay so. */
static void write_stack(FILE *out, const struct stack *s)
{
	const char *end = s->text + s->len;

	for (const char *frame = s->text, *stop; frame < end; frame = stop + 1) {
		const char *name = frame;

		stop = memchr(frame, ';', (size_t)(end - frame));
		if (!stop)
			stop = end;
		for (const char *p = frame; *frame == '/' && p < stop; p++)
			if (*p == '/')
				name = p + 1;
		fprintf(out, "%s%.*s", frame > s->text ? ";" : "", (int)(stop - name), name);
	}
	fprintf(out, " %llu\n", (unsigned long long)s->samples);
}

void stacks_write(FILE *out, const struct stacks *stacks, const char *before)
{
	for (uint32_t i = 0; i < STACKS_BUCKETS; i++)
		for (const struct stack *s = stacks->buckets[i]; s; s = s->chain) {
			fputs(before, out);
			write_stack(out, s);
		}
}

void stacks_free(struct stacks *stacks)
{
	for (uint32_t i = 0; i < STACKS_BUCKETS; i++) {
		for (struct stack *s = stacks->buckets[i], *next; s; s = next) {
			next = s->chain;
			free(s);
		}
		stacks->buckets[i] = NULL;
	}
}
