/* SPDX-License-Identifier: MIT */
/*
 * replay.c - the third transport: requests come from a recording, replies are compared with the recorded ones.
 *
 * One worker takes record after record. A request is given to it as one that was read from /dev/fuse, with today's numbers
 * for inodes and handles. Behind a recorded reply nothing is read before that request has been answered again: what
 * follows may have been asked because of it. So what ran at the same time does so again, and nothing else does.
 *
 * All of it but the start and the wait for the end is the worker's, on its thread.
 */
#include "compare.h"
#include "text.h"
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE_NS \
	10000000000ull /* beyond what an answer took in the recording: it does not come */
#define LONGEST_NS 3600000000000ull /* believed of a recording */
#define LAST_NS	   2000000000ull    /* for what the recording leaves unanswered */
#define TICK_MS	   100
#define SHOWN_NAME 100u /* bytes of a name that a sentence has */

/* A request whose recorded reply has not been read yet, or that has no answer yet. */
struct pending {
	struct pending *next;
	struct given given;
	bool answered;
	char name[FRACTAL_NAME_MAX];
};

struct replay {
	struct fractal_replay cfg;
	struct recording recording;
	struct recorded record;
	bool have_record; /* read, and not dealt with */
	bool blocked;	  /* nothing can be asked before something is answered, or it is time */
	bool ended;	  /* nothing more is read */
	int error;
	struct ids *ids;
	struct pending *pending;
	struct fractal_replayed sum;
	uint64_t dealt_ns; /* the recording's time of the record that was dealt with last */
	uint64_t begun_ns, last_ns; /* the first request; the last progress */
	uint64_t real_ns;	    /* what the recording's time is behind `begun_ns` by */
};

int fractal_session_replay(struct fractal_session *s, const struct fractal_replay *replay)
{
	struct replay *r;
	FILE *file;
	int rc;

	if (s->cfg.transport != FRACTAL_TRANSPORT_DEV || s->nworkers != 1)
		return -EINVAL;
	r = calloc(1, sizeof(*r));
	file = fopen(replay->path, "rbe");
	rc = file ? 0 : -errno;
	if (!r || rc) {
		session_log(s, FRACTAL_LOG_ERROR, "the recording %s cannot be opened: %s",
			    replay->path, strerror(r ? -rc : ENOMEM));
		if (file)
			fclose(file);
		free(r);
		return rc ? rc : -ENOMEM;
	}
	s->replay = r;
	r->cfg = *replay;
	r->ids = ids_new();
	rc = recording_open(&r->recording, file);
	if (!rc && r->recording.head.payload_cap > s->payload_cap) {
		snprintf(r->recording.why, sizeof(r->recording.why),
			 "has payloads of %u bytes: replay it with -o max_write=%u",
			 r->recording.head.payload_cap, r->recording.head.payload_cap);
		rc = -EMSGSIZE;
	}
	if (rc)
		session_log(s, FRACTAL_LOG_ERROR, "%s %s", replay->path, r->recording.why);
	return rc || r->ids ? rc : -ENOMEM;
}

static void free_pending(struct pending *p)
{
	free(p->given.payload);
	free(p);
}

void replay_free(struct fractal_session *s)
{
	struct replay *r = s->replay;

	if (!r)
		return;
	for (struct pending *p = r->pending, *next; p; p = next) {
		next = p->next;
		free_pending(p);
	}
	ids_free(r->ids);
	recording_close(&r->recording);
	free(r);
	s->replay = NULL;
}

/* INIT as it was recorded, but for what needs a kernel. */
int replay_init(struct fractal_session *s)
{
	s->init_in = s->replay->recording.head.init_in;
	s->init_in.flags2 &= (uint32_t) ~((1ull << FRACTAL_CAP_PASSTHROUGH) >> 32);
	return 0;
}

const struct fractal_replayed *fractal_session_replayed(const struct fractal_session *s)
{
	return &s->replay->sum;
}

/* ---- replies ---- */

static struct pending **find_pending(struct replay *r, uint64_t unique)
{
	struct pending **at = &r->pending;

	while (*at && (*at)->given.req.id != unique)
		at = &(*at)->next;
	return at;
}

/* "request 42, read ino 2 (fh 1, offset 0, size 4096)" */
static void describe(const struct pending *p, char *text, size_t size)
{
	const struct fractal_request *req = &p->given.req;
	char arguments[FRACTAL_ARGUMENTS_MAX], name[SHOWN_NAME * TEXT_ESCAPED_MAX + 4] = "";
	size_t len = fractal_request_arguments(req, arguments);

	if (req->name)
		*put_string(put_text(name, " "), TEXT_SHOWN, req->name,
			    req->name_len < SHOWN_NAME ? req->name_len : SHOWN_NAME) = '\0';
	snprintf(text, size, "request %llu, %s ino %llu%s%s%.*s%s", (unsigned long long)req->id,
		 fractal_op_name(req->opcode), (unsigned long long)req->nodeid, name,
		 len ? " (" : "", (int)len, arguments, len ? ")" : "");
}

static void tell(struct replay *r, const struct pending *p, const char *why)
{
	char what[768], line[1024];

	r->sum.differ++;
	if (!r->cfg.difference)
		return;
	describe(p, what, sizeof(what));
	snprintf(line, sizeof(line), "%.700s: %s", what, why);
	r->cfg.difference(line, r->cfg.user);
}

/* Compares a recorded reply with the one that was given, and forgets the request. */
static void settle(struct replay *r, struct pending **at)
{
	struct pending *p = *at;
	char why[COMPARE_ROOM];

	if (!compare_replies(r->ids, &p->given, &r->record, why))
		tell(r, p, why);
	*at = p->next;
	free_pending(p);
}

/* The request in hand has its answer. */
static void replay_commit(struct fractal_worker *w, struct entry *e)
{
	struct replay *r = w->s->replay;
	struct pending *p = *find_pending(r, e->req.id);

	r->last_ns = now_ns();
	r->sum.total_ns = r->last_ns - r->begun_ns;
	if (p && !p->answered) {
		p->answered = true;
		p->given.error = e->error;
		p->given.len = e->out_len;
		p->given.payload = malloc(e->out_len + 1);
		if (p->given.payload)
			memcpy(p->given.payload, e->payload, e->out_len);
		else
			p->given.error = -ENOMEM;
	}
	r->blocked = false;
	worker_account(w, e);
	atomic_store_explicit(&e->state, ENTRY_FREE, memory_order_release);
}

/* ---- requests ---- */

static void end(struct fractal_worker *w)
{
	w->s->replay->ended = true;
	w->finished = true;
	/* What still waits is cancelled. */
	atomic_store(&w->s->gone, true);
}

__attribute__((format(printf, 3, 4))) static void give_up(struct fractal_worker *w, int error,
							  const char *fmt, ...)
{
	struct replay *r = w->s->replay;
	char why[200];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	session_log(w->s, FRACTAL_LOG_ERROR, "%s %s", r->cfg.path, why);
	r->error = error;
	end(w);
}

/* Copies the recorded request to where one is read to. False when it is too long. */
static bool fill_entry(struct replay *r, struct entry *e, struct fractal_in_header *in)
{
	const struct fractal_session *s = e->req.worker->s;
	const struct recorded *d = &r->record;
	const struct op_info *op = op_lookup(d->in.opcode);
	uint32_t ext = d->in.total_extlen * 8u, front = d->rest_len - ext;
	uint8_t *raw = dev_raw(e), *arg = raw + sizeof(*in);

	*in = d->in;
	if (in->len > dev_room(s))
		return false;
	memcpy(arg, d->rest, front);
	memset(arg + front, 0, d->head.omitted);
	memcpy(arg + front + d->head.omitted, d->rest + front, ext);
	ids_translate(r->ids, in, arg, arg + op->in_size, front - op->in_size);
	memcpy(raw, in, sizeof(*in));
	return true;
}

/* Remembers a request until its recorded reply is read: with the recording's numbers. */
static bool remember(struct replay *r, const struct entry *e)
{
	const struct recorded *d = &r->record;
	struct pending *p;

	if (op_lookup(d->in.opcode)->reply == FRACTAL_REPLY_NONE)
		return true;
	p = calloc(1, sizeof(*p));
	if (!p)
		return false;
	memcpy(&p->given.in, d->rest, op_lookup(d->in.opcode)->in_size);
	p->given.req = (struct fractal_request){
		.id = d->in.unique,
		.nodeid = d->in.nodeid,
		.opcode = d->in.opcode,
		.arg = &p->given.in,
	};
	if (e->req.name) {
		memcpy(p->name, e->req.name, e->req.name_len + 1);
		p->given.req.name = p->name;
		p->given.req.name_len = e->req.name_len;
	}
	p->next = r->pending;
	r->pending = p;
	return true;
}

/* Puts the recorded request into an entry. False when the library has dealt with it, or it makes no sense. */
static bool ask(struct fractal_worker *w, struct entry *e)
{
	struct replay *r = w->s->replay;
	struct fractal_in_header in;

	if (r->cfg.before)
		r->cfg.before(fractal_op_name(r->record.in.opcode), r->record.in.nodeid,
			      r->cfg.user);
	w->s->setxattr_ext = true;
	if (!fill_entry(r, e, &in)) {
		give_up(w, -EPROTO, "has a request of %u bytes at byte %llu", r->record.in.len,
			(unsigned long long)r->record.at);
		return false;
	}
	r->last_ns = now_ns();
	if (!r->begun_ns)
		r->begun_ns = r->last_ns;
	if (dev_decode(w, -1, e, in.len)) {
		r->sum.requests++;
		if (!remember(r, e))
			give_up(w, -ENOMEM, "needs more memory than there is");
		return true;
	}
	if (in.opcode != FRACTAL_OP_INTERRUPT)
		give_up(w, -EPROTO, "has a request that makes no sense at byte %llu",
			(unsigned long long)r->record.at);
	return false;
}

/* How long until the record is due, in ms; 0: now. */
static int too_early(const struct replay *r)
{
	uint64_t now = now_ns(), due = r->begun_ns + r->record.head.time_ns - r->real_ns;

	if (!r->cfg.real_speed || !r->begun_ns || due <= now)
		return 0;
	return (int)((due - now) / 1000000) + 1;
}

/* Reads the next record where none is waiting. False: there is none any more. */
static bool read_record(struct fractal_worker *w)
{
	struct replay *r = w->s->replay;
	uint64_t before = r->record.head.time_ns;
	int rc = r->have_record ? 1 : recording_next(&r->recording, &r->record);

	if (rc == 0)
		end(w);
	else if (rc < 0)
		give_up(w, rc, "%s", r->recording.why);
	if (!r->have_record)
		r->dealt_ns = before;
	r->have_record = rc == 1;
	if (rc == 1 && !r->begun_ns)
		r->real_ns = r->record.head.time_ns;
	return rc == 1;
}

static struct entry *next_request(struct fractal_worker *w)
{
	struct replay *r = w->s->replay;
	struct entry *e;

	while (!r->ended && read_record(w) && !too_early(r)) {
		if (r->record.head.type == RECORD_REPLY) {
			struct pending **at = find_pending(r, r->record.out.unique);

			if (*at && !(*at)->answered)
				return NULL;
			/* A reply to what was asked before the recording began is nobody's. */
			if (*at)
				settle(r, at);
			r->have_record = false;
			continue;
		}
		e = dev_take_entry(w);
		if (!e)
			return NULL;
		r->have_record = false;
		if (ask(w, e))
			return e;
		atomic_store_explicit(&e->state, ENTRY_FREE, memory_order_release);
	}
	return NULL;
}

static struct entry *replay_next(struct fractal_worker *w)
{
	struct entry *e;
	int res;

	if (w->have_ring)
		ring_next(w, &res);
	e = next_request(w);
	w->s->replay->blocked = !e;
	return e;
}

/* How long to wait for what the next record waits for. */
static uint64_t patience(const struct replay *r)
{
	uint64_t at = r->record.head.time_ns;
	uint64_t took = at > r->dealt_ns ? at - r->dealt_ns : 0;

	return PATIENCE_NS + (took < LONGEST_NS ? took : LONGEST_NS);
}

/* Nothing has gone on for a while. */
static void check_patience(struct fractal_worker *w)
{
	struct replay *r = w->s->replay;
	uint64_t quiet = now_ns() - r->last_ns;
	const struct pending *p = *find_pending(r, r->record.out.unique);

	if (r->ended) {
		if (quiet > LAST_NS)
			atomic_store(&w->s->quit, true);
		return;
	}
	if (quiet <= patience(r))
		return;
	if (r->record.head.type == RECORD_REQUEST) {
		give_up(w, -EBUSY, "has more than %u unanswered requests at byte %llu",
			w->dev_entries, (unsigned long long)r->record.at);
		return;
	}
	if (p)
		tell(r, p, "no answer in time: the replay ends here");
	r->error = -ETIME;
	end(w);
}

static bool replay_wait(struct fractal_worker *w, int timeout_ms)
{
	struct replay *r = w->s->replay;
	int early = r->have_record ? too_early(r) : 0;
	int ms = early && early < TICK_MS ? early : TICK_MS;

	(void)timeout_ms;
	if (!r->blocked)
		return true;
	/* It also waits for a device, of which this worker has none. */
	if (!dev_transport.wait(w, ms) && !early)
		check_patience(w);
	return true;
}

const struct transport replay_transport = {
	.id = FRACTAL_TRANSPORT_DEV, /* its entries are those */
	.next = replay_next,
	.commit = replay_commit,
	.wait = replay_wait,
};

/* ---- the session's thread ---- */

static bool all_ended(const struct fractal_session *s)
{
	for (uint32_t i = 0; i < s->nworkers; i++)
		if (!atomic_load(&s->workers[i].ended))
			return false;
	return true;
}

/* Waits for the end. -ETIMEDOUT when a handler does not return after a stop. */
int replay_supervise(struct fractal_session *s)
{
	struct pollfd p[3] = { { .fd = s->control_fd, .events = POLLIN },
			       { .fd = s->done_fd, .events = POLLIN },
			       { .fd = -1, .events = POLLIN } };
	uint64_t deadline = 0, count;

	while (!all_ended(s)) {
		p[2].fd = watch_session_fd(s);
		poll(p, ARRAY_SIZE(p), watch_patience(s, TICK_MS));
		if (read(s->done_fd, &count, sizeof(count)) < 0 && errno != EAGAIN)
			return -errno;
		if (s->cfg.trace)
			trace_look(s);
		watchdog_look(s);
		watch_look(s);
		if (read(s->control_fd, &count, sizeof(count)) > 0 && !deadline) {
			deadline = now_ns() + LAST_NS;
			s->replay->error = -EINTR;
			atomic_store(&s->quit, true);
			for (uint32_t i = 0; i < s->nworkers; i++)
				fractal_worker_wake(&s->workers[i]);
		}
		if (deadline && now_ns() > deadline)
			return -ETIMEDOUT;
	}
	return s->replay->error;
}
