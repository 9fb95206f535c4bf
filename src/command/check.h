/* SPDX-License-Identifier: MIT */
/* check.h - what `--check` says about a script. */
#ifndef FRACTAL_CHECK_SCRIPT_H
#define FRACTAL_CHECK_SCRIPT_H
#include <stdbool.h>
#include <stdio.h>

/*
 * Loads a script without mounting and tells what is wrong with it, also when it runs with -o state=@state (NULL: not given).
 * True when nothing is; warnings do not count.
 */
bool check_script(const char *script, const char *state, FILE *out, bool json);

#endif
