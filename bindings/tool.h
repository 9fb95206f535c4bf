/* SPDX-License-Identifier: MIT */
/*
 * tool.h - command-line tools written in Lua: each is an embedded module fractal.command.NAME, run as `fractal-lua NAME …`.
 * lua/fractal/tool.lua tells how one is written.
 */
#ifndef FRACTAL_TOOL_H
#define FRACTAL_TOOL_H
#include <stdbool.h>
#include <stdio.h>

/* Whether a word of the command line names a tool. */
bool tool_exists(const char *word);

/* The tool whose name is nearest to a word, or NULL. */
const char *tool_guess(const char *word);

/* Runs the tool that argv[0] names with the words behind it; returns its exit status. */
int tool_run(int argc, char *argv[]);

/* Prints one line for each tool. 0, or 1 with the error on standard error. */
int tool_list(FILE *out);

#endif
