/* SPDX-License-Identifier: MIT */
/* nearest.h - the guess at a misspelt name: the known one that is fewest edits away, where one is near enough. */
#ifndef FRACTAL_NEAREST_H
#define FRACTAL_NEAREST_H
#include <stddef.h>

struct nearest {
	const char *name; /* what was written */
	const char *best; /* the nearest so far, or NULL */
	size_t distance;
};

struct nearest nearest_to(const char *name);
void nearest_consider(struct nearest *nearest, const char *candidate);

#endif
