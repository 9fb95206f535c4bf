/* SPDX-License-Identifier: MIT */
/* nearest.c - see nearest.h. */
#include "nearest.h"
#include <string.h>

/* How many single-character edits lie between two names; names beyond the row's length count as far apart. */
static size_t distance(const char *a, const char *b)
{
	size_t row[64], len = strlen(b);

	if (len >= 64)
		return 64;
	for (size_t j = 0; j <= len; j++)
		row[j] = j;
	for (size_t i = 1; a[i - 1]; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= len; j++) {
			size_t best = diagonal + (a[i - 1] != b[j - 1]);

			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			diagonal = row[j];
			row[j] = best;
		}
	}
	return row[len];
}

struct nearest nearest_to(const char *name)
{
	size_t len = strlen(name);
	size_t edits = len < 4 ? 1 : len < 6 ? 2 : len / 3; /* at most */

	return (struct nearest){ .name = name, .distance = edits + 1 };
}

void nearest_consider(struct nearest *nearest, const char *candidate)
{
	size_t far = distance(nearest->name, candidate);

	if (far < nearest->distance) {
		nearest->distance = far;
		nearest->best = candidate;
	}
}
