/* SPDX-License-Identifier: MIT */
/*
 * scheduling.h - the scheduling policy of a serving process.
 *
 * The fast way of a request is that caller and worker share a CPU. When a worker wakes a caller that is free to move, the
 * kernel looks for an idle CPU and finds another one, where the next request finds another worker, asleep. A CPU that
 * runs nothing but SCHED_IDLE (sched(7)) counts as idle, and the caller stays.
 */
#ifndef FRACTAL_SCHEDULING_H
#define FRACTAL_SCHEDULING_H

/* Values of -o sched, in the order that the option names them. */
enum scheduling {
	SCHEDULING_AUTO, /* SCHED_IDLE where that takes no CPU time away from this process, else as it was */
	SCHEDULING_IDLE,
	SCHEDULING_OTHER, /* as it was */
};

/* Applies it to all threads of this process; those that they start inherit it. */
void scheduling_apply(enum scheduling wanted);

#endif
