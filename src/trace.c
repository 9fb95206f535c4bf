/* SPDX-License-Identifier: MIT */
/*
 * trace.c - one line for each request and its reply, for the operations in config.trace: for people or as JSON.
 * docs/tracing.md explains both.
 *
 * A line is written when the reply goes out, so that it can tell both; a request that waits for its reply longer than a
 * second gets one before. Each worker gathers lines in a buffer of its own, which it hands on when the buffer is full or
 * there is nothing else to do, but then not for each request of a busy caller: the write would cost more than the line. What
 * is left the session's thread takes at its next tick. A lock keeps the two apart, and while it is held a request of a slot
 * that is `open` does not change.
 */
#include "fields.h"
#include "internal.h"
#include "text.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BUFFER_SIZE (64u << 10)
#define FIXED_ROOM  4096u /* for all of a line but its names and paths */
#define PENDING_NS  1000000000ull
#define PAUSE_NS    1000000ull /* between two writes of an idle worker */

/* What is known of the request in one of the worker's entries. */
struct slot {
	struct fractal_path path;  /* its inode's when it came; length 0: not known */
	struct fractal_path other; /* of the second inode that it names */
	bool open;		   /* not answered yet */
	bool told;		   /* … and a line has said so */
};

struct trace {
	pthread_mutex_t lock;
	char *lines;
	size_t used, capacity;
	uint64_t handed_ns; /* when lines were handed on last */
	struct slot *slots;
	uint32_t nslots;
	int64_t wall_ns; /* time of day less the monotonic clock */
	time_t second;	 /* that `clock` tells */
	char clock[9];
};

/* One line: what it is about, and how far it is written. */
struct line {
	struct trace *t;
	const struct entry *e;
	const struct op_info *op;
	const struct slot *slot;
	const struct field *second; /* the field with the second inode, or NULL */
	uint64_t ns;
	bool pending;
	char *to;
};

int trace_new(struct fractal_worker *w)
{
	struct trace *t = calloc(1, sizeof(*t));
	struct timespec wall;

	if (!t)
		return -ENOMEM;
	pthread_mutex_init(&t->lock, NULL);
	t->nslots = w->ring_entries + w->dev_entries;
	t->slots = calloc(t->nslots, sizeof(*t->slots));
	clock_gettime(CLOCK_REALTIME, &wall);
	t->wall_ns = (int64_t)wall.tv_sec * 1000000000 + wall.tv_nsec - (int64_t)now_ns();
	t->second = -1;
	w->trace = t;
	return t->slots ? 0 : -ENOMEM;
}

void trace_free(struct fractal_worker *w)
{
	struct trace *t = w->trace;

	if (!t)
		return;
	for (uint32_t i = 0; t->slots && i < t->nslots; i++) {
		fractal_path_free(&t->slots[i].path);
		fractal_path_free(&t->slots[i].other);
	}
	pthread_mutex_destroy(&t->lock);
	free(t->slots);
	free(t->lines);
	free(t);
	w->trace = NULL;
}

/* ---- the buffer ---- */

static void hand_on(struct fractal_worker *w)
{
	const struct fractal_config *cfg = &w->s->cfg;
	struct trace *t = w->trace;

	if (t->used && cfg->trace_write) {
		cfg->trace_write(t->lines, t->used, cfg->user);
	} else if (cfg->log) {
		for (char *line = t->lines, *end; line < t->lines + t->used; line = end + 1) {
			end = memchr(line, '\n', (size_t)(t->lines + t->used - line));
			*end = '\0';
			cfg->log(FRACTAL_LOG_TRACE, line, cfg->user);
		}
	}
	t->used = 0;
}

/* The worker has nothing else to do; @last: for good. */
void trace_rest(struct fractal_worker *w, bool last)
{
	struct trace *t = w->trace;
	uint64_t now = now_ns();

	pthread_mutex_lock(&t->lock);
	if (last || now - t->handed_ns > PAUSE_NS) {
		t->handed_ns = now;
		hand_on(w);
	}
	pthread_mutex_unlock(&t->lock);
}

/* Room for a line of @need characters, or NULL. */
static char *make_room(struct fractal_worker *w, size_t need)
{
	struct trace *t = w->trace;

	if (t->capacity - t->used < need)
		hand_on(w);
	if (t->capacity < need) {
		size_t capacity = need > BUFFER_SIZE ? need : BUFFER_SIZE;
		char *lines = realloc(t->lines, capacity);

		if (!lines)
			return NULL;
		t->lines = lines;
		t->capacity = capacity;
	}
	return t->lines + t->used;
}

/* ---- parts of a line ---- */

static void find_path(const struct fractal_session *s, uint64_t nodeid, struct fractal_path *path)
{
	struct fractal_paths *paths = atomic_load_explicit(&s->paths, memory_order_acquire);

	if (!paths || fractal_paths_path(paths, nodeid, path))
		path->length = 0;
}

/* A path, or that of a name in a directory, between quotes. */
static char *put_path(char *to, enum text_style style, const struct fractal_path *path,
		      const char *name, uint32_t len)
{
	*to++ = '"';
	to = put_escaped(to, style, path->bytes, path->length);
	if (name && path->length > 1)
		*to++ = '/';
	if (name)
		to = put_escaped(to, style, name, len);
	*to++ = '"';
	return to;
}

/* The name of the request that belongs to its inode's path: not that of an extended attribute. */
static const char *name_in_path(const struct fractal_request *req)
{
	switch (req->opcode) {
	case FRACTAL_OP_SETXATTR:
	case FRACTAL_OP_GETXATTR:
	case FRACTAL_OP_REMOVEXATTR:
		return NULL;
	default:
		return req->name;
	}
}

static const struct field *second_inode(struct field_list list)
{
	for (uint32_t i = 0; i < list.count; i++)
		if (list.fields[i].kind == FIELD_INO)
			return &list.fields[i];
	return NULL;
}

/* The fields that are shown of the @size bytes at @base, each by @put. */
static void put_fields(struct line *l, struct field_list list, const void *base, size_t size,
		       void (*put)(struct line *l, const struct field *f, uint64_t value))
{
	for (uint32_t i = 0; i < list.count; i++) {
		const struct field *f = &list.fields[i];

		if (f->shown && f->offset + f->size <= size && field_applies(f, base))
			put(l, f, field_get(f, base));
	}
}

/* "ENOENT", "bytes", … : does the reply have a structure of its own to show? */
static struct field_list reply_fields(const struct line *l)
{
	if (l->pending || l->e->error || l->e->out_len == 0)
		return (struct field_list){ 0 };
	return fields_of_reply(&l->e->req);
}

static char *put_errno(char *to, int error)
{
	const char *name = strerrorname_np(-error);

	return name ? put_text(to, name) : put_number(to, (uint64_t)-error);
}

/* ---- for people ---- */

/*
 * 14:03:11.482913 lookup "/milk" = ino 2 mode 0100644 size 12, 18 us, uid 0 pid 5874
 */
static void show_field(struct line *l, const struct field *f, uint64_t value)
{
	*l->to++ = ' ';
	l->to = field_put(l->to, f, value);
}

static void show_name(struct line *l, const char *name, uint32_t len)
{
	*l->to++ = ' ';
	l->to = put_string(l->to, TEXT_SHOWN, name, len);
}

/* What the kernel asks about: a path where one is known, else the inode, and the name in it. */
static void show_place(struct line *l, const char *label, uint64_t ino,
		       const struct fractal_path *path, const char *name, uint32_t len)
{
	if (path->length) {
		*l->to++ = ' ';
		l->to = put_path(l->to, TEXT_SHOWN, path, name, len);
		return;
	}
	l->to = put_text(put_text(l->to, " "), label);
	l->to = put_number(put_text(l->to, " "), ino);
	if (name)
		show_name(l, name, len);
}

static void show_argument(struct line *l, const struct field *f, uint64_t value)
{
	if (f != l->second)
		show_field(l, f, value);
}

static void show_second(struct line *l)
{
	const struct fractal_request *req = &l->e->req;

	if (l->second) {
		show_place(l, l->second->name, field_get(l->second, req->arg), &l->slot->other,
			   req->name2, req->name2_len);
	} else if (req->name2) {
		show_name(l, req->name2, req->name2_len);
	}
}

static void show_result(struct line *l)
{
	struct field_list out = reply_fields(l);

	if (l->op->reply == FRACTAL_REPLY_NONE)
		return;
	l->to = put_text(l->to, " =");
	if (l->pending) {
		l->to = put_text(l->to, " pending");
	} else if (l->e->error) {
		l->to = put_errno(put_text(l->to, " "), l->e->error);
	} else if (out.count) {
		put_fields(l, out, l->e->payload, l->e->out_len, show_field);
	} else if (l->op->reply == FRACTAL_REPLY_STATUS) {
		l->to = put_text(l->to, " ok");
	} else {
		l->to = put_number(put_text(l->to, " "), l->e->out_len);
		l->to = put_text(l->to, " bytes");
	}
}

static void show_clock(struct line *l, uint64_t wall_ns)
{
	struct trace *t = l->t;
	time_t second = (time_t)(wall_ns / 1000000000);
	struct tm tm;

	if (second != t->second) {
		t->second = second;
		strftime(t->clock, sizeof(t->clock), "%H:%M:%S", localtime_r(&second, &tm));
	}
	l->to = put_bytes(l->to, t->clock, sizeof(t->clock) - 1);
	*l->to++ = '.';
	l->to = put_digits(l->to, wall_ns % 1000000000 / 1000, 10, 6);
	*l->to++ = ' ';
}

static void show(struct line *l, uint64_t wall_ns)
{
	const struct fractal_request *req = &l->e->req;

	show_clock(l, wall_ns);
	l->to = put_text(l->to, l->op->name);
	if (req->nodeid)
		show_place(l, "ino", req->nodeid, &l->slot->path, name_in_path(req), req->name_len);
	if (req->name && !name_in_path(req))
		show_name(l, req->name, req->name_len);
	show_second(l);
	put_fields(l, fields_of_request(req->opcode), req->arg, sizeof(*req->arg), show_argument);
	show_result(l);
	l->to = put_number(put_text(l->to, ", "), l->ns / 1000);
	l->to = put_number(put_text(l->to, " us, uid "), req->uid);
	l->to = put_number(put_text(l->to, " pid "), req->pid);
}

/* ---- JSON ---- */

static void json_key(struct line *l, const char *key)
{
	if (l->to[-1] != '{')
		*l->to++ = ',';
	*l->to++ = '"';
	l->to = put_text(l->to, key);
	l->to = put_text(l->to, "\":");
}

static void json_number(struct line *l, const char *key, uint64_t value)
{
	json_key(l, key);
	l->to = put_number(l->to, value);
}

/* @value in units of which @parts are one, such as nanoseconds in a second. */
static void json_fraction(struct line *l, const char *key, uint64_t value, uint64_t parts,
			  int digits)
{
	json_number(l, key, value / parts);
	*l->to++ = '.';
	l->to = put_digits(l->to, value % parts, 10, digits);
}

static void json_string(struct line *l, const char *key, const char *bytes, uint32_t len)
{
	if (!bytes)
		return;
	json_key(l, key);
	l->to = put_string(l->to, TEXT_JSON, bytes, len);
}

static void json_field(struct line *l, const struct field *f, uint64_t value)
{
	json_key(l, f->name);
	l->to = f->kind == FIELD_SIGNED ? put_signed(l->to, (int64_t)value)
					: put_number(l->to, value);
	if (f == l->second && l->slot->other.length)
		json_string(l, "path", l->slot->other.bytes, l->slot->other.length);
}

static void json_fields(struct line *l, const char *key, struct field_list list, const void *base,
			size_t size)
{
	if (!list.count)
		return;
	json_key(l, key);
	*l->to++ = '{';
	put_fields(l, list, base, size, json_field);
	*l->to++ = '}';
}

static void json_result(struct line *l)
{
	if (l->pending) {
		json_key(l, "pending");
		l->to = put_text(l->to, "true");
	} else if (l->e->error) {
		json_key(l, "error");
		*l->to++ = '"';
		l->to = put_errno(l->to, l->e->error);
		*l->to++ = '"';
	} else if (l->op->reply != FRACTAL_REPLY_NONE) {
		json_number(l, "bytes", l->e->out_len);
		json_fields(l, "out", reply_fields(l), l->e->payload, l->e->out_len);
	}
}

static void json(struct line *l, uint64_t wall_ns)
{
	const struct fractal_request *req = &l->e->req;

	*l->to++ = '{';
	json_fraction(l, "time", wall_ns / 1000, 1000000, 6);
	json_number(l, "worker", (uint64_t)req->worker->id);
	json_number(l, "id", req->id);
	json_string(l, "op", l->op->name, (uint32_t)strlen(l->op->name));
	json_number(l, "ino", req->nodeid);
	if (l->slot->path.length) {
		json_key(l, "path");
		l->to = put_path(l->to, TEXT_JSON, &l->slot->path, name_in_path(req),
				 req->name_len);
	}
	json_string(l, "name", req->name, req->name_len);
	json_string(l, "name2", req->name2, req->name2_len);
	json_number(l, "uid", req->uid);
	json_number(l, "gid", req->gid);
	json_number(l, "pid", req->pid);
	json_fields(l, "in", fields_of_request(req->opcode), req->arg, sizeof(*req->arg));
	json_result(l);
	json_fraction(l, "us", l->ns, 1000, 3);
	*l->to++ = '}';
}

/* ---- lines ---- */

/* Under the lock. */
static void write_line(const struct entry *e, uint64_t ns, bool pending)
{
	struct fractal_worker *w = e->req.worker;
	const struct fractal_request *req = &e->req;
	struct line l = {
		.t = w->trace,
		.e = e,
		.op = op_lookup(req->opcode),
		.slot = &w->trace->slots[req->slot],
		.second = second_inode(fields_of_request(req->opcode)),
		.ns = ns,
		.pending = pending,
	};
	size_t names =
		(size_t)l.slot->path.length + l.slot->other.length + req->name_len + req->name2_len;

	l.to = make_room(w, FIXED_ROOM + TEXT_ESCAPED_MAX * (names + req->name_len));
	if (!l.to)
		return;
	if (w->s->cfg.trace_json)
		json(&l, e->arrived_ns + (uint64_t)l.t->wall_ns);
	else
		show(&l, e->arrived_ns + (uint64_t)l.t->wall_ns);
	*l.to++ = '\n';
	l.t->used = (size_t)(l.to - l.t->lines);
}

static bool traced(const struct entry *e)
{
	return e->req.worker->s->cfg.trace & 1ull << e->req.opcode;
}

/* A request was taken. */
void trace_request(const struct entry *e)
{
	struct trace *t = e->req.worker->trace;
	struct slot *slot = &t->slots[e->req.slot];
	const struct field *second = second_inode(fields_of_request(e->req.opcode));

	if (!traced(e))
		return;
	pthread_mutex_lock(&t->lock);
	slot->open = true;
	slot->told = false;
	find_path(e->req.worker->s, e->req.nodeid, &slot->path);
	slot->other.length = 0;
	if (second)
		find_path(e->req.worker->s, field_get(second, e->req.arg), &slot->other);
	pthread_mutex_unlock(&t->lock);
}

/* Its reply goes out, @ns after it was taken. */
void trace_reply(const struct entry *e, uint64_t ns)
{
	struct trace *t = e->req.worker->trace;

	if (!traced(e))
		return;
	pthread_mutex_lock(&t->lock);
	t->slots[e->req.slot].open = false;
	write_line(e, ns, false);
	pthread_mutex_unlock(&t->lock);
}

/* Something that the library deals with itself and nobody answers: an interrupt. */
void trace_unanswered(struct entry *e)
{
	e->arrived_ns = now_ns();
	e->error = 0;
	trace_request(e);
	trace_reply(e, 0);
}

static void tell_pending(struct fractal_worker *w, uint64_t now)
{
	struct trace *t = w->trace;

	for (uint32_t i = 0; i < t->nslots; i++) {
		const struct entry *e = &w->entries[i];
		struct slot *slot = &t->slots[i];

		if (!slot->open || slot->told || now - e->arrived_ns < PENDING_NS)
			continue;
		slot->told = true;
		write_line(e, now - e->arrived_ns, true);
	}
}

/* Now and then, on the session's thread. */
void trace_look(struct fractal_session *s)
{
	for (uint32_t i = 0; i < s->nworkers; i++) {
		struct fractal_worker *w = &s->workers[i];

		pthread_mutex_lock(&w->trace->lock);
		tell_pending(w, now_ns());
		hand_on(w);
		pthread_mutex_unlock(&w->trace->lock);
	}
}
