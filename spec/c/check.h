/* SPDX-License-Identifier: MIT */
/*
 * check.h - checks for the C tests: each failure is one line with file and line number, and the test goes on.
 *
 * A test is a main() that calls RUN() for each of its functions and returns check_result(): 0 when every check held,
 * 1 otherwise. SKIP() leaves with 77, which ctest shows as skipped. Checks may be made on any thread.
 */
#ifndef FRACTAL_CHECK_H
#define FRACTAL_CHECK_H
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static _Atomic int check_failures;
static _Atomic int check_count;

static inline bool check_that(bool holds, const char *file, int line, const char *text)
{
	check_count++;
	if (holds)
		return true;
	check_failures++;
	fprintf(stderr, "%s:%d: %s does not hold\n", file, line, text);
	return false;
}

static inline bool check_int(long long got, long long want, const char *file, int line,
			     const char *text)
{
	check_count++;
	if (got == want)
		return true;
	check_failures++;
	fprintf(stderr, "%s:%d: %s is %lld (0x%llx), not %lld (0x%llx)\n", file, line, text, got,
		(unsigned long long)got, want, (unsigned long long)want);
	return false;
}

static inline bool check_text(const char *got, const char *want, const char *file, int line,
			      const char *text)
{
	check_count++;
	if (got && strcmp(got, want) == 0)
		return true;
	check_failures++;
	fprintf(stderr, "%s:%d: %s is \"%.400s\", not \"%s\"\n", file, line, text,
		got ? got : "(null)", want);
	return false;
}

static inline bool check_contains(const char *got, const char *want, const char *file, int line,
				  const char *text)
{
	check_count++;
	if (got && strstr(got, want))
		return true;
	check_failures++;
	fprintf(stderr, "%s:%d: %s is \"%.400s\", without \"%s\"\n", file, line, text,
		got ? got : "(null)", want);
	return false;
}

static inline void check_run(void (*fn)(void), const char *name)
{
	int before = check_failures;
	struct timespec begun, ended;

	clock_gettime(CLOCK_MONOTONIC, &begun);
	fn();
	clock_gettime(CLOCK_MONOTONIC, &ended);
	printf("%s %6.2f s  %s\n", check_failures == before ? "ok    " : "FAILED",
	       (double)(ended.tv_sec - begun.tv_sec) +
		       (double)(ended.tv_nsec - begun.tv_nsec) / 1e9,
	       name);
	fflush(stdout);
}

static inline int check_result(void)
{
	printf("%d checks, %d failures\n", check_count, check_failures);
	return check_failures ? 1 : 0;
}

/* Each returns whether it held, so that what depends on it can be left out. */
#define CHECK(condition) check_that((condition), __FILE__, __LINE__, #condition)
#define CHECK_INT(got, want) \
	check_int((long long)(got), (long long)(want), __FILE__, __LINE__, #got)
#define CHECK_TEXT(got, want)	  check_text((got), (want), __FILE__, __LINE__, #got)
#define CHECK_CONTAINS(got, want) check_contains((got), (want), __FILE__, __LINE__, #got)
#define CHECK_BYTES(got, want, n) CHECK(memcmp((got), (want), (n)) == 0)
#define RUN(test)		  check_run(test, #test)

/* Ends the test without a verdict: the machine lacks what it needs. */
#define SKIP(reason)                                      \
	do {                                              \
		fprintf(stderr, "skipped: %s\n", reason); \
		exit(77);                                 \
	} while (0)

#endif
