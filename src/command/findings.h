/* SPDX-License-Identifier: MIT */
/* findings.h - what --doctor and --check found, as lines for people or as JSON. */
#ifndef FRACTAL_FINDINGS_H
#define FRACTAL_FINDINGS_H
#include <stdbool.h>
#include <stdio.h>

enum verdict {
	OK,
	WARN,
	FAIL
};

struct finding {
	enum verdict verdict;
	char text[400];
	char fix[200]; /* a command or a deed; empty when there is nothing to do */
};

void find(struct finding *f, enum verdict verdict, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void advise(struct finding *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Writes bytes as a JSON string, quotes included. */
void json_string(FILE *out, const char *text);

/* One finding as a JSON object. */
void json_finding(FILE *out, const char *name, const struct finding *f);

#endif
