/* SPDX-License-Identifier: MIT */
/* profile.c - see profile.h. */
#include "profile.h"
#include <errno.h>
#include <luajit.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define INTERVAL_NS   1000000 /* of processor time; the kernel looks at its ticks only, mostly 4 ms */
#define MAX_DEPTH     100     /* frames of a stack */
#define BUCKETS	      4096u
#define OUTSIDE_FRAME "(outside Lua)"

/* Functions with file and name (/srv/script.lua:read), outermost first, without a separator behind the last. */
#define STACK_FORMAT "pFZ;"

/* By function; LuaJIT's own timer, which signals any thread, is put so far away that there is time to switch it off. */
#define PROFILER_MODE "fi10000"

struct stack {
	struct stack *chain; /* the next of its bucket */
	uint64_t samples;
	uint32_t hash;
	size_t len;
	char text[];
};

static struct {
	pthread_mutex_t lock; /* of the stacks */
	struct stack *buckets[BUCKETS];
	bool running;
	void (*trigger)(int number); /* LuaJIT's signal handler */
	_Atomic uint64_t outside;    /* samples */
} profile = { .lock = PTHREAD_MUTEX_INITIALIZER };

static _Thread_local volatile sig_atomic_t inside;
static _Thread_local timer_t timer;
static _Thread_local bool has_timer;

void profile_inside(bool now)
{
	inside = now;
}

/* ---- samples ---- */

static uint32_t hash_text(const char *text, size_t len)
{
	uint32_t h = 0x811c9dc5u;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (uint8_t)text[i]) * 0x01000193u;
	return h;
}

/* Adds to a stack's samples, under the lock. One that there is no memory for is left out. */
static void count(const char *text, size_t len, uint64_t samples)
{
	uint32_t hash = hash_text(text, len);
	struct stack **bucket = &profile.buckets[hash % BUCKETS], *s = *bucket;

	while (s && (s->hash != hash || s->len != len || memcmp(s->text, text, len) != 0))
		s = s->chain;
	if (!s) {
		s = malloc(sizeof(*s) + len);
		if (!s)
			return;
		*s = (struct stack){ .chain = *bucket, .hash = hash, .len = len };
		memcpy(s->text, text, len);
		*bucket = s;
	}
	s->samples += samples;
}

/* What the state does besides running a function. */
static const char *activity(int vmstate)
{
	return vmstate == 'G' ? ";(garbage collector)" : vmstate == 'J' ? ";(compiler)" : "";
}

/* LuaJIT's hook, in the state: @samples signals have come since the last call. */
static void sampled(void *data, lua_State *L, int samples, int vmstate)
{
	char text[MAX_DEPTH * 64];
	size_t len;
	const char *stack = luaJIT_profile_dumpstack(L, STACK_FORMAT, -MAX_DEPTH, &len);
	int n = snprintf(text, sizeof(text), "%.*s%s", (int)len, stack, activity(vmstate));

	(void)data;
	if (n < 0 || (size_t)n >= sizeof(text))
		n = (int)sizeof(text) - 1;
	pthread_mutex_lock(&profile.lock);
	count(text, (size_t)n, (uint64_t)samples);
	pthread_mutex_unlock(&profile.lock);
}

static void on_signal(int number)
{
	if (inside)
		profile.trigger(number);
	else
		atomic_fetch_add_explicit(&profile.outside, 1, memory_order_relaxed);
}

/* A stack without the directories of the script's files; the library's own are named fractal/… and stay so. */
static void write_stack(FILE *out, const struct stack *s)
{
	const char *end = s->text + s->len;

	for (const char *frame = s->text, *stop; frame < end; frame = stop + 1) {
		const char *name = frame;

		stop = memchr(frame, ';', (size_t)(end - frame));
		if (!stop)
			stop = end;
		for (const char *p = frame; *frame == '/' && p < stop; p++)
			if (*p == '/')
				name = p + 1;
		fprintf(out, "%s%.*s", frame > s->text ? ";" : "", (int)(stop - name), name);
	}
	fprintf(out, " %llu\n", (unsigned long long)s->samples);
}

void profile_write(FILE *out)
{
	uint64_t outside = atomic_load(&profile.outside);

	pthread_mutex_lock(&profile.lock);
	for (uint32_t i = 0; i < BUCKETS; i++)
		for (const struct stack *s = profile.buckets[i]; s; s = s->chain)
			write_stack(out, s);
	pthread_mutex_unlock(&profile.lock);
	if (outside)
		fprintf(out, OUTSIDE_FRAME " %llu\n", (unsigned long long)outside);
}

/* ---- start and end ---- */

static void forget_samples(void)
{
	for (uint32_t i = 0; i < BUCKETS; i++) {
		for (struct stack *s = profile.buckets[i], *next; s; s = next) {
			next = s->chain;
			free(s);
		}
		profile.buckets[i] = NULL;
	}
	atomic_store(&profile.outside, 0);
}

int profile_start(lua_State *L)
{
	static const struct itimerval never = { 0 };
	struct sigaction action;

	if (profile.running)
		return -EBUSY;
	forget_samples();
	luaJIT_profile_start(L, PROFILER_MODE, sampled, NULL);
	setitimer(ITIMER_PROF, &never, NULL);
	sigaction(SIGPROF, NULL, &action);
	profile.trigger = action.sa_handler;
	action.sa_handler = on_signal;
	action.sa_flags = SA_RESTART;
	profile.running = true;
	return sigaction(SIGPROF, &action, NULL) ? -errno : 0;
}

void profile_stop(lua_State *L)
{
	if (profile.running)
		luaJIT_profile_stop(L);
	profile.running = false;
}

int profile_worker_start(void)
{
	static const struct itimerspec every = { .it_interval.tv_nsec = INTERVAL_NS,
						 .it_value.tv_nsec = INTERVAL_NS };
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGPROF };

	event._sigev_un._tid = gettid();
	if (timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &timer))
		return -errno;
	has_timer = true;
	return timer_settime(timer, 0, &every, NULL) ? -errno : 0;
}

void profile_worker_stop(void)
{
	if (has_timer)
		timer_delete(timer);
	has_timer = false;
}
