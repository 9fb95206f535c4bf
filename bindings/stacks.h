/* SPDX-License-Identifier: MIT */
/*
 * stacks.h - call stacks and how many samples each has had. A stack is a text, "frame;frame;frame", outermost frame first.
 */
#ifndef FRACTAL_STACKS_H
#define FRACTAL_STACKS_H
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define STACKS_BUCKETS 4096u

/* Zeroed, it has none. */
struct stacks {
	struct stack *buckets[STACKS_BUCKETS];
};

/* Adds to a stack's samples. One that there is no memory for is left out. */
void stacks_count(struct stacks *stacks, const char *text, size_t len, uint64_t samples);

/* Writes a line for each, "STACK SAMPLES", with @before in front. */
void stacks_write(FILE *out, const struct stacks *stacks, const char *before);

void stacks_free(struct stacks *stacks);

#endif
