/* SPDX-License-Identifier: MIT */
/*
 * watchdog.c - says in the log when a handler or task holds its worker for more than a second, once for each time.
 *
 * The session's thread looks at each worker now and then. A worker counts what it goes on with, and tells whether it runs
 * the serve hook; one whose count stands still while it does so is held. A handler that waits has left its worker.
 *
 * A handler that waits for its own mount over the ring never returns: see own.c.
 */
#include "internal.h"

#define HELD_NS	    1000000000ull
#define ALL_HELD_NS 400000000ull

static void cut_own(struct fractal_worker *w, const char *path)
{
	session_log(
		w->s, FRACTAL_LOG_ERROR,
		"worker %d: a handler waits for %s in its own mount, which nobody can answer: the connection is cut; "
		"use fractal.io, or what the script itself knows of its files",
		w->id, path);
	mount_abort(&w->s->mnt);
}

/* What a worker has in hand. */
struct seen {
	uint32_t opcode;
	uint64_t nodeid;
	char name[FRACTAL_NAME_MAX + 1];
};

/*
 * The worker may go on while it is looked at. Then the message tells of the next request, or of a part of each: nothing else
 * comes of it, and a lock would cost every request.
 */
__attribute__((no_sanitize("thread"))) static void look_at(const struct entry *e, struct seen *seen)
{
	const volatile char *name = e->req.name;
	size_t n = 0;

	seen->opcode = e->req.opcode;
	seen->nodeid = e->req.nodeid;
	while (name && name[n] && n < FRACTAL_NAME_MAX) {
		seen->name[n] = name[n];
		n++;
	}
	seen->name[n] = 0;
}

static void warn_of_handler(struct fractal_worker *w, const struct entry *e)
{
	struct seen seen;

	look_at(e, &seen);
	session_log(
		w->s, FRACTAL_LOG_WARN,
		"worker %d: handler %s of inode %llu%s%s has held its worker for more than a second; other requests wait",
		w->id, fractal_op_name(seen.opcode), (unsigned long long)seen.nodeid,
		seen.name[0] ? ", name " : "", seen.name);
}

static void warn(struct fractal_worker *w)
{
	struct entry *e = atomic_load_explicit(&w->current, memory_order_acquire);
	char path[PATH_MAX];

	if (w->tr->id == FRACTAL_TRANSPORT_URING && own_waits(w, path))
		cut_own(w, path);
	else if (e && atomic_load_explicit(&e->state, memory_order_acquire) == ENTRY_HELD)
		warn_of_handler(w, e);
	else if (atomic_load(&w->in_task))
		session_log(
			w->s, FRACTAL_LOG_WARN,
			"worker %d: a task has held its worker for more than a second; requests wait",
			w->id);
}

void watchdog_look(struct fractal_session *s)
{
	uint64_t now = now_ns();

	for (uint32_t i = 0; i < s->nworkers; i++) {
		struct fractal_worker *w = &s->workers[i];
		uint32_t moves = atomic_load_explicit(&w->moves, memory_order_relaxed);

		if (!atomic_load_explicit(&w->serving, memory_order_relaxed) ||
		    moves != w->watched_moves || !w->watched_ns) {
			w->watched_moves = moves;
			w->watched_ns = now;
			w->warned = false;
		} else if (!w->warned && now - w->watched_ns > HELD_NS) {
			w->warned = true;
			warn(w);
		}
	}
}

bool watchdog_all_held(const struct fractal_session *s)
{
	uint64_t now = now_ns();

	for (uint32_t i = 0; i < s->nworkers; i++) {
		const struct fractal_worker *w = &s->workers[i];

		if (!atomic_load_explicit(&w->serving, memory_order_relaxed) ||
		    atomic_load_explicit(&w->moves, memory_order_relaxed) != w->watched_moves ||
		    now - w->watched_ns < ALL_HELD_NS)
			return false;
	}
	return true;
}
