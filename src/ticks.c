/* SPDX-License-Identifier: MIT */
/*
 * ticks.c - short intervals on one thread, for less than clock_gettime(2) takes: where the kernel itself tells the time by
 * the processor's time stamp counter (it then is steady, and the same on all CPUs), the counter is read directly.
 */
#include "internal.h"
#include <stdio.h>
#include <string.h>

#define CLOCKSOURCE    "/sys/devices/system/clocksource/clocksource0/current_clocksource"
#define CALIBRATION_NS 1000000u
#define TRIES	       8

struct ticks ticks;

#if defined(__x86_64__)

struct moment {
	uint64_t ns, count;
};

static bool kernel_uses_tsc(void)
{
	FILE *f = fopen(CLOCKSOURCE, "re");
	char name[32] = "";
	bool uses = f && fgets(name, sizeof(name), f) && strcmp(name, "tsc\n") == 0;

	if (f)
		fclose(f);
	return uses;
}

/* Both clocks at one moment: of some tries the one that was interrupted least. */
static struct moment look(void)
{
	struct moment best = { 0 };
	uint64_t least = UINT64_MAX;

	for (int i = 0; i < TRIES; i++) {
		uint64_t before = __builtin_ia32_rdtsc(), ns = now_ns();
		uint64_t gap = __builtin_ia32_rdtsc() - before;

		if (gap < least) {
			least = gap;
			best = (struct moment){ ns, before + gap / 2 };
		}
	}
	return best;
}

static void calibrate(void)
{
	struct moment from, to;

	if (!kernel_uses_tsc())
		return;
	from = look();
	do {
		to = look();
	} while (to.ns - from.ns < CALIBRATION_NS);
	if (to.count <= from.count)
		return;
	ticks.ratio =
		(uint64_t)(((unsigned __int128)(to.ns - from.ns) << 32) / (to.count - from.count));
	ticks.by_counter = ticks.ratio > 0;
}

#else

static void calibrate(void)
{
}

#endif

/* Before the first use; takes a millisecond the first time. */
void ticks_prepare(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, calibrate);
}
