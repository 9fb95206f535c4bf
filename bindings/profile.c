/* SPDX-License-Identifier: MIT */
/* profile.c - see profile.h. */
#include "profile.h"
#include "stacks.h"
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

#define INTERVAL_NS	1000000 /* of processor time; the kernel looks at its ticks only, mostly 4 ms */
#define MAX_DEPTH	100	/* frames of a stack */
#define OUTSIDE_FRAME	"(outside Lua)"
#define UNSAMPLED_FRAME "(not sampled)"

/*
 * Whoever passes the profiler on has its code compiled anew. So the time in which each state does that once stays the same,
 * however many there are, until turns would be too short to sample anything.
 */
#define ROUND_NS	  1000000000
#define SHORTEST_TURN_NS  20000000
#define ENOUGH_MISSED	  5   /* ticks, for which it is worth it */
#define FIRST_TURNS_TICKS 100 /* a guess */

/* Functions with file and name (/srv/script.lua:read), outermost first, without a separator behind the last. */
#define STACK_FORMAT "pFZ;"

/*
 * LuaJIT's own timer, which signals any thread, is put so far away that there is time to switch it off. Code is compiled with
 * looks at functions once "f" was said, which flushes what there is, even when another state has the profiler.
 */
#define TURN_MODE    "i10000"
#define COMPILE_MODE "f"

/*
 * The signal of the workers' timers. LuaJIT puts its handler for SIGPROF back each time a turn begins, and that one must not run
 * on another thread than the state's.
 */
#define TICK_SIGNAL SIGRTMIN

struct profiled {
	struct profiled *next;
	lua_State *L;		       /* NULL: it was removed */
	struct fractal_worker *worker; /* woken to pass the profiler on */
	int id;			       /* that worker's */
	struct stacks stacks;
	_Atomic uint64_t due;	 /* ticks of its turn, until the sample that each asked for comes */
	_Atomic uint64_t missed; /* ticks between its turns, until samples stand for them */
	_Atomic uint64_t outside; /* ticks outside of the state */
	uint64_t share;		  /* of the missed ones, which a tick of this turn stands for */
	uint64_t ticks;		  /* of this turn, that were sampled */
	uint64_t usual_ticks;	  /* of its last turn that had any */
};

static struct {
	pthread_mutex_t lock;	 /* of the states, their samples, and LuaJIT's profiler */
	struct profiled *states; /* in the order of their coming */
	bool open;
	void (*trigger)(int number); /* LuaJIT's signal handler */
	_Atomic(struct profiled *)
		owner;		  /* who has LuaJIT's profiler; only its own thread takes it away */
	_Atomic int64_t began_ns; /* the owner's turn */
	_Atomic int64_t turn_ns;  /* how long it lasts at least */
	atomic_bool wanted;	  /* another state asks for its turn */
} profile = { .lock = PTHREAD_MUTEX_INITIALIZER };

static _Thread_local volatile sig_atomic_t inside;
static _Thread_local struct profiled *volatile own; /* what the thread runs */
static _Thread_local timer_t timer;

void profile_inside(bool now)
{
	inside = now;
}

/* ---- ticks ---- */

/* Async-signal-safe. */
static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static bool turn_is_over(void)
{
	return now_ns() - atomic_load(&profile.began_ns) >= atomic_load(&profile.turn_ns);
}

/* The thread is inside a state whose turn it is not. Asks again at each tick: whom it woke may have passed the profiler on. */
static void miss(struct profiled *s)
{
	struct profiled *owner = atomic_load(&profile.owner);

	if (atomic_fetch_add(&s->missed, 1) + 1 < ENOUGH_MISSED || !owner || !turn_is_over())
		return;
	atomic_store(&profile.wanted, true);
	fractal_worker_wake(owner->worker);
}

static void on_tick(int number)
{
	struct profiled *s = own;
	int saved = errno;

	if (!s)
		return;
	if (!inside) {
		atomic_fetch_add_explicit(&s->outside, 1, memory_order_relaxed);
	} else if (atomic_load(&profile.owner) == s) {
		atomic_fetch_add(&s->due, 1);
		profile.trigger(number);
	} else {
		miss(s);
	}
	errno = saved;
}

static int catch_signal(int number)
{
	struct sigaction action = { .sa_handler = on_tick, .sa_flags = SA_RESTART };

	return sigaction(number, &action, NULL) ? -errno : 0;
}

/* ---- samples ---- */

/* What the state does besides running a function. */
static const char *activity(int vmstate)
{
	return vmstate == 'G' ? ";(garbage collector)" : vmstate == 'J' ? ";(compiler)" : "";
}

/* What a sample of so many ticks stands for. Under the lock. */
static uint64_t weigh(struct profiled *s, uint64_t ticks)
{
	uint64_t missed = atomic_load(&s->missed), part = ticks * s->share;

	if (part > missed)
		part = missed;
	atomic_fetch_sub(&s->missed, part);
	s->ticks += ticks;
	return ticks + part;
}

/* LuaJIT's hook, in the state that has the profiler. Its own count of signals may have been begun by another one. */
static void sampled(void *data, lua_State *L, int samples, int vmstate)
{
	char text[MAX_DEPTH * 64];
	size_t len;
	const char *stack = luaJIT_profile_dumpstack(L, STACK_FORMAT, -MAX_DEPTH, &len);
	int n = snprintf(text, sizeof(text), "%.*s%s", (int)len, stack, activity(vmstate));
	struct profiled *s = own;

	(void)data;
	(void)samples;
	if (n < 0 || (size_t)n >= sizeof(text))
		n = (int)sizeof(text) - 1;
	pthread_mutex_lock(&profile.lock);
	stacks_count(&s->stacks, text, (size_t)n, weigh(s, atomic_exchange(&s->due, 0)));
	pthread_mutex_unlock(&profile.lock);
}

static void write_frame(FILE *out, const char *before, const char *frame, uint64_t samples)
{
	if (samples)
		fprintf(out, "%s%s %llu\n", before, frame, (unsigned long long)samples);
}

void profile_write(FILE *out)
{
	pthread_mutex_lock(&profile.lock);
	for (const struct profiled *s = profile.states; s; s = s->next) {
		char before[32] = "";

		if (profile.states->next)
			snprintf(before, sizeof(before), "worker %d;", s->id);
		stacks_write(out, &s->stacks, before);
		write_frame(out, before, OUTSIDE_FRAME, atomic_load(&s->outside));
		write_frame(out, before, UNSAMPLED_FRAME, atomic_load(&s->missed));
	}
	pthread_mutex_unlock(&profile.lock);
}

/* ---- turns; all of this under the lock ---- */

/* Turns are as long as they may be with so many states. */
static void set_turns(void)
{
	int64_t turn;
	int states = 0;

	for (const struct profiled *s = profile.states; s; s = s->next)
		states += s->L != NULL;
	turn = states ? ROUND_NS / states : 0;
	atomic_store(&profile.turn_ns, turn > SHORTEST_TURN_NS ? turn : SHORTEST_TURN_NS);
}

/* The one that has missed most, except for @but. */
static struct profiled *next_in_turn(const struct profiled *but)
{
	struct profiled *next = NULL;

	for (struct profiled *s = profile.states; s; s = s->next)
		if (s != but && s->L &&
		    (!next || atomic_load(&s->missed) > atomic_load(&next->missed)))
			next = s;
	return next;
}

/* Begins a turn. This touches nothing of the state, which its own thread may be running. */
static void give(struct profiled *s, const char *mode)
{
	static const struct itimerval never = { 0 };
	struct sigaction action;

	luaJIT_profile_start(s->L, mode, sampled, NULL);
	setitimer(ITIMER_PROF, &never, NULL);
	if (!profile.trigger) {
		sigaction(SIGPROF, NULL, &action);
		profile.trigger = action.sa_handler;
	}
	catch_signal(SIGPROF);
	s->share = (atomic_load(&s->missed) + s->usual_ticks - 1) / s->usual_ticks;
	atomic_store(&profile.began_ns, now_ns());
	atomic_store(&profile.owner, s);
}

/* Ends the turn of the one that has the profiler, on its thread. */
static void take(struct profiled *s)
{
	atomic_store(&profile.owner, NULL);
	luaJIT_profile_stop(s->L);
	atomic_fetch_add(&s->missed, atomic_exchange(&s->due, 0));
	if (s->ticks)
		s->usual_ticks = s->ticks;
	s->ticks = 0;
}

void profile_pass_on(struct profiled *s)
{
	struct profiled *next;

	if (!atomic_load_explicit(&profile.wanted, memory_order_relaxed) ||
	    atomic_load(&profile.owner) != s)
		return;
	pthread_mutex_lock(&profile.lock);
	atomic_store(&profile.wanted, false);
	next = next_in_turn(s);
	if (next && turn_is_over()) {
		take(s);
		give(next, TURN_MODE);
		luaJIT_profile_start(s->L, COMPILE_MODE, sampled, NULL);
	}
	pthread_mutex_unlock(&profile.lock);
}

/* ---- start and end ---- */

int profile_open(void)
{
	if (profile.open)
		return -EBUSY;
	profile.open = true;
	return catch_signal(TICK_SIGNAL);
}

void profile_close(void)
{
	for (struct profiled *s = profile.states, *next; s; s = next) {
		next = s->next;
		stacks_free(&s->stacks);
		free(s);
	}
	profile.states = NULL;
	profile.open = false;
}

struct profiled *profile_add(lua_State *L, struct fractal_worker *worker)
{
	struct profiled *s = calloc(1, sizeof(*s)), **end = &profile.states;

	if (!s)
		return NULL;
	s->L = L;
	s->worker = worker;
	s->id = fractal_worker_id(worker);
	s->usual_ticks = FIRST_TURNS_TICKS;
	pthread_mutex_lock(&profile.lock);
	while (*end)
		end = &(*end)->next;
	*end = s;
	set_turns();
	if (atomic_load(&profile.owner))
		luaJIT_profile_start(L, COMPILE_MODE, sampled, NULL);
	else
		give(s, COMPILE_MODE TURN_MODE);
	pthread_mutex_unlock(&profile.lock);
	return s;
}

void profile_remove(struct profiled *s)
{
	struct profiled *next;

	pthread_mutex_lock(&profile.lock);
	if (atomic_load(&profile.owner) == s) {
		next = next_in_turn(s);
		take(s);
		if (next)
			give(next, TURN_MODE);
	}
	s->L = NULL;
	set_turns();
	pthread_mutex_unlock(&profile.lock);
}

int profile_worker_start(struct profiled *state)
{
	static const struct itimerspec every = { .it_interval.tv_nsec = INTERVAL_NS,
						 .it_value.tv_nsec = INTERVAL_NS };
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = TICK_SIGNAL };

	event._sigev_un._tid = gettid();
	if (timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &timer))
		return -errno;
	own = state;
	return timer_settime(timer, 0, &every, NULL) ? -errno : 0;
}

void profile_worker_stop(void)
{
	if (own)
		timer_delete(timer);
	own = NULL;
}
