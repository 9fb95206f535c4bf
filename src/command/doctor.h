/* SPDX-License-Identifier: MIT */
/*
 * doctor.h - fractal-lua --doctor: what this machine offers to a mount, and what to do about what it lacks.
 */
#ifndef FRACTAL_DOCTOR_H
#define FRACTAL_DOCTOR_H
#include <stdbool.h>
#include <stdio.h>

/* Writes one line (or, with @json, one object of an array) for each finding. True when a mount would work. */
bool doctor_run(FILE *out, bool json);

#endif
