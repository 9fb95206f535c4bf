/* SPDX-License-Identifier: MIT */
/*
 * notify.c - messages to the kernel's caches: invalidate, store, retrieve, wake pollers, and the like.
 *
 * The kernel works a notification off inside the write(2) that brings it, and may wait there for locks that a request in
 * hand holds. So nobody who answers requests ever writes one: callers append a copy to a queue, and one thread for
 * each session, started with its first message, writes them in order. No request waits for that thread.
 *
 * What a retrieve asked for comes back as a request of its own, NOTIFY_REPLY, on whatever worker; notify_retrieved()
 * copies the data out and gives them to whoever asked.
 */
#define _GNU_SOURCE
#include "internal.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CODES	      (FRACTAL_NOTIFY_PRUNE + 1)
#define UNIQUE_TAG    (1ull << 62) /* keeps our ids apart from those of the kernel's requests */
#define LAST_WAIT_SEC 2

struct message {
	struct message *next;
	uint64_t cookie; /* of a retrieve */
	struct fractal_out_header header;
	uint8_t body[];
};

/* A retrieve whose data have not come. */
struct asked {
	struct asked *next;
	uint64_t cookie, nodeid, offset;
	struct fractal_worker *worker; /* takes the data, or NULL: done does */
	fractal_retrieve_done *done;
	void *user;
};

struct notifier {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool open;    /* messages are accepted */
	bool started; /* the thread runs */
	bool ended;   /* it is about to return */
	pthread_t thread;
	struct message *head, **tail;
	uint32_t count;
	size_t bytes;
	struct asked *asked;
	uint64_t last_cookie;
	bool told[CODES][FRACTAL_MAX_ERRNO + 1]; /* failures logged already */
};

static const struct {
	const char *name;
	uint32_t minor; /* protocol that brought it */
} codes[CODES] = {
	[FRACTAL_NOTIFY_POLL] = { "poll", 11 },
	[FRACTAL_NOTIFY_INVAL_INODE] = { "inval_inode", 12 },
	[FRACTAL_NOTIFY_INVAL_ENTRY] = { "inval_entry", 12 },
	[FRACTAL_NOTIFY_STORE] = { "store", 15 },
	[FRACTAL_NOTIFY_RETRIEVE] = { "retrieve", 15 },
	[FRACTAL_NOTIFY_DELETE] = { "delete", 18 },
	[FRACTAL_NOTIFY_RESEND] = { "resend", 40 },
	[FRACTAL_NOTIFY_INC_EPOCH] = { "inc_epoch", 44 },
	[FRACTAL_NOTIFY_PRUNE] = { "prune", 45 },
};

/* ---- the thread ---- */

static struct message *take_message(struct notifier *n)
{
	struct message *m;

	pthread_mutex_lock(&n->lock);
	while (!n->head && n->open)
		pthread_cond_wait(&n->changed, &n->lock);
	m = n->open ? n->head : NULL;
	if (m) {
		n->head = m->next;
		if (!n->head)
			n->tail = &n->head;
		n->count--;
		n->bytes -= m->header.len;
	}
	pthread_mutex_unlock(&n->lock);
	return m;
}

/* Takes the retrieve of this cookie off the list, or returns NULL. */
static struct asked *take_asked(struct notifier *n, uint64_t cookie)
{
	struct asked **at, *a;

	pthread_mutex_lock(&n->lock);
	for (at = &n->asked; (a = *at) && a->cookie != cookie; at = &a->next)
		;
	if (a)
		*at = a->next;
	pthread_mutex_unlock(&n->lock);
	return a;
}

/* Puts the result of a retrieve onto its worker's list, which that worker is woken to empty. */
static void post_retrieved(struct fractal_worker *w, struct fractal_retrieved *r)
{
	struct fractal_retrieved *head = atomic_load(&w->retrieved);

	do {
		r->next = head;
	} while (!atomic_compare_exchange_weak(&w->retrieved, &head, r));
	fractal_worker_wake(w);
}

/* Hands data or an error to whoever asked, and frees @a. */
static void answer_asked(struct fractal_session *s, struct asked *a, int error, const uint8_t *data,
			 uint32_t size)
{
	struct fractal_retrieved *r = malloc(sizeof(*r) + size);

	if (r) {
		*r = (struct fractal_retrieved){
			.cookie = a->cookie,
			.nodeid = a->nodeid,
			.offset = a->offset,
			.error = error,
			.size = size,
		};
		if (size)
			memcpy(r->data, data, size);
	} else {
		session_log(s, FRACTAL_LOG_ERROR,
			    "no memory for %u bytes that notify retrieve brought", size);
	}
	if (r && a->worker) {
		post_retrieved(a->worker, r);
	} else {
		if (r)
			a->done(r, a->user);
		free(r);
	}
	free(a);
}

/* The kernel took a message, or refused it. Nothing cached is no failure; each other one is told once. */
static void account_result(struct fractal_session *s, const struct message *m, int error)
{
	struct notifier *n = s->notifier;
	int code = m->header.error;
	struct asked *a;

	if (error && code == FRACTAL_NOTIFY_RETRIEVE && (a = take_asked(n, m->cookie)))
		answer_asked(s, a, -error, NULL, 0);
	if (!error || error == ENOENT || error == ENODEV || error == ENOTCONN ||
	    error == ECONNABORTED || error > FRACTAL_MAX_ERRNO || n->told[code][error])
		return;
	n->told[code][error] = true;
	session_log(s, FRACTAL_LOG_WARN, "notify %s: the kernel refused it: %s", codes[code].name,
		    strerror(error));
}

static void *notifier_main(void *arg)
{
	struct fractal_session *s = arg;
	struct message *m;

	pthread_setname_np(pthread_self(), "fractal/notify");
	while ((m = take_message(s->notifier))) {
		ssize_t rc;

		do {
			/* A recording has no caches that could be told anything. */
			rc = s->replay ? 0 : write(s->mnt.fd, &m->header, m->header.len);
		} while (rc < 0 && errno == EINTR);
		account_result(s, m, rc < 0 ? errno : 0);
		free(m);
	}
	pthread_mutex_lock(&s->notifier->lock);
	s->notifier->ended = true;
	pthread_cond_broadcast(&s->notifier->changed);
	pthread_mutex_unlock(&s->notifier->lock);
	return NULL;
}

/* With the lock held. The thread takes no signals: they are the embedding program's. */
static int start_thread(struct fractal_session *s)
{
	sigset_t all, before;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&s->notifier->thread, NULL, notifier_main, s);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	s->notifier->started = rc == 0;
	return -rc;
}

/* ---- the queue ---- */

/* A message with room for @len bytes of body, or NULL. */
static struct message *make_message(int code, const void *body, size_t body_len, size_t more)
{
	struct message *m = malloc(sizeof(*m) + body_len + more);

	if (!m)
		return NULL;
	*m = (struct message){
		.header.len = (uint32_t)(sizeof(m->header) + body_len + more),
		.header.error = code,
	};
	if (body_len)
		memcpy(m->body, body, body_len);
	return m;
}

/* With the lock held: -errno when the queue cannot take @m. */
static int check_room(const struct notifier *n, const struct message *m)
{
	if (!n->open)
		return -ENOTCONN;
	if (n->count >= FRACTAL_NOTIFY_MAX_MESSAGES ||
	    n->bytes + m->header.len > FRACTAL_NOTIFY_MAX_BYTES)
		return -ENOBUFS;
	return 0;
}

/* Queues @m and owns it from here on; with it @a, the retrieve it stands for (or NULL). */
static int send_message(struct fractal_session *s, struct message *m, struct asked *a)
{
	struct notifier *n = s->notifier;
	int rc;

	pthread_mutex_lock(&n->lock);
	rc = check_room(n, m);
	if (!rc && !n->started)
		rc = start_thread(s);
	if (!rc) {
		*n->tail = m;
		n->tail = &m->next;
		n->count++;
		n->bytes += m->header.len;
		if (a) {
			a->next = n->asked;
			n->asked = a;
		}
		pthread_cond_signal(&n->changed);
	}
	pthread_mutex_unlock(&n->lock);
	if (rc) {
		free(m);
		free(a);
	}
	return rc;
}

/* Is this notification one that the negotiated protocol has? */
static int check_code(const struct fractal_session *s, int code)
{
	return s->conn.proto_minor && s->conn.proto_minor < codes[code].minor ? -EOPNOTSUPP : 0;
}

/* Sends a body followed by @more bytes of @tail. */
static int notify(struct fractal_session *s, int code, const void *body, size_t body_len,
		  const void *tail, size_t more)
{
	struct message *m;
	int rc = check_code(s, code);

	if (rc)
		return rc;
	if (more > FRACTAL_NOTIFY_MAX_BYTES - 256)
		return -EMSGSIZE;
	m = make_message(code, body, body_len, more);
	if (!m)
		return -ENOMEM;
	if (more)
		memcpy(m->body + body_len, tail, more);
	return send_message(s, m, NULL);
}

/* ---- life ---- */

int notify_new(struct fractal_session *s)
{
	struct notifier *n = calloc(1, sizeof(*n));

	if (!n)
		return -ENOMEM;
	pthread_mutex_init(&n->lock, NULL);
	pthread_cond_init(&n->changed, NULL);
	n->tail = &n->head;
	s->notifier = n;
	return 0;
}

void notify_open(struct fractal_session *s)
{
	pthread_mutex_lock(&s->notifier->lock);
	s->notifier->open = true;
	pthread_mutex_unlock(&s->notifier->lock);
}

/* Waits a while for the thread's last write. */
static bool await_end(struct notifier *n)
{
	struct timespec until;
	bool ended;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += LAST_WAIT_SEC;
	pthread_mutex_lock(&n->lock);
	while (!n->ended && pthread_cond_timedwait(&n->changed, &n->lock, &until) == 0)
		;
	ended = n->ended;
	pthread_mutex_unlock(&n->lock);
	return ended;
}

/*
 * Ends the thread; what is still queued is dropped, since nobody is left whose cache it could concern. A write that
 * the kernel holds is released by the end of the connection. -ETIMEDOUT when even an abort did not help.
 */
int notify_close(struct fractal_session *s)
{
	struct notifier *n = s->notifier;

	pthread_mutex_lock(&n->lock);
	n->open = false;
	pthread_cond_broadcast(&n->changed);
	pthread_mutex_unlock(&n->lock);
	if (!n->started)
		return 0;
	if (!await_end(n)) {
		mount_abort(&s->mnt);
		if (!await_end(n)) {
			session_log(s, FRACTAL_LOG_ERROR,
				    "a notification is stuck in the kernel: its thread stays");
			return -ETIMEDOUT;
		}
	}
	pthread_join(n->thread, NULL);
	n->started = false;
	return 0;
}

void notify_free(struct fractal_session *s)
{
	struct notifier *n = s->notifier;
	struct message *m;
	struct asked *a;

	if (!n)
		return;
	while ((m = n->head)) {
		n->head = m->next;
		free(m);
	}
	while ((a = n->asked)) {
		n->asked = a->next;
		answer_asked(s, a, -ENOTCONN, NULL, 0);
	}
	pthread_mutex_destroy(&n->lock);
	pthread_cond_destroy(&n->changed);
	free(n);
	s->notifier = NULL;
}

/* ---- what came back ---- */

/* A NOTIFY_REPLY has arrived: copies its data to whoever asked, and answers it. */
void notify_retrieved(struct entry *e)
{
	struct fractal_session *s = e->req.worker->s;
	struct asked *a = take_asked(s->notifier, (e->req.id & ~UNIQUE_TAG) >> 1);

	if (a)
		answer_asked(s, a, 0, e->req.data, e->req.data_len);
	fractal_reply(&e->req, 0);
}

struct fractal_retrieved *const volatile *fractal_worker_retrieved(const struct fractal_worker *w)
{
	return (struct fractal_retrieved *const volatile *)&w->retrieved;
}

struct fractal_retrieved *fractal_worker_take_retrieved(struct fractal_worker *w)
{
	struct fractal_retrieved *r, *next, *in_order = NULL;

	if (!atomic_load_explicit(&w->retrieved, memory_order_relaxed))
		return NULL;
	for (r = atomic_exchange(&w->retrieved, NULL); r; r = next) {
		next = r->next;
		r->next = in_order;
		in_order = r;
	}
	return in_order;
}

void fractal_retrieved_free(struct fractal_retrieved *r)
{
	free(r);
}

/* ---- the notifications ---- */

int fractal_notify_inval_inode(struct fractal_session *s, uint64_t nodeid, int64_t offset,
			       int64_t length)
{
	struct fractal_notify_inval_inode_out out = { .ino = nodeid, .off = offset, .len = length };

	return notify(s, FRACTAL_NOTIFY_INVAL_INODE, &out, sizeof(out), NULL, 0);
}

/* The length of a directory entry's name, or -errno. */
static int check_name(const char *name)
{
	size_t len = strnlen(name, FRACTAL_NAME_MAX);

	if (len == FRACTAL_NAME_MAX)
		return -ENAMETOOLONG;
	return len ? (int)len : -EINVAL;
}

int fractal_notify_inval_entry(struct fractal_session *s, uint64_t parent, const char *name,
			       uint32_t flags)
{
	struct fractal_notify_inval_entry_out out = { .parent = parent, .flags = flags };
	int len = check_name(name);

	if (len < 0)
		return len;
	if (flags & ~(uint32_t)FRACTAL_EXPIRE_ONLY)
		return -EINVAL;
	if (flags && !(s->conn.offered & 1ull << FRACTAL_CAP_HAS_EXPIRE_ONLY))
		return -EOPNOTSUPP;
	out.namelen = (uint32_t)len;
	return notify(s, FRACTAL_NOTIFY_INVAL_ENTRY, &out, sizeof(out), name, (size_t)len + 1);
}

int fractal_notify_delete(struct fractal_session *s, uint64_t parent, uint64_t child,
			  const char *name)
{
	struct fractal_notify_delete_out out = { .parent = parent, .child = child };
	int len = check_name(name);

	if (len < 0)
		return len;
	out.namelen = (uint32_t)len;
	return notify(s, FRACTAL_NOTIFY_DELETE, &out, sizeof(out), name, (size_t)len + 1);
}

int fractal_notify_store(struct fractal_session *s, uint64_t nodeid, uint64_t offset,
			 const void *data, uint32_t size)
{
	struct fractal_notify_store_out out = { .nodeid = nodeid, .offset = offset, .size = size };

	return notify(s, FRACTAL_NOTIFY_STORE, &out, sizeof(out), data, size);
}

/* The answer carries a structure besides the data, and over the ring both lie in one entry's payload. */
static uint32_t retrieve_limit(const struct fractal_session *s)
{
	uint32_t room = s->payload_cap - s->page_size;

	return s->conn.max_write < room ? s->conn.max_write : room;
}

static int retrieve(struct fractal_session *s, const struct asked *by, uint32_t size,
		    uint64_t *cookie)
{
	struct notifier *n = s->notifier;
	struct fractal_notify_retrieve_out out = { .nodeid = by->nodeid, .offset = by->offset };
	struct asked *a;
	struct message *m;
	int rc = check_code(s, FRACTAL_NOTIFY_RETRIEVE);

	if (rc)
		return rc;
	a = malloc(sizeof(*a));
	m = make_message(FRACTAL_NOTIFY_RETRIEVE, &out, sizeof(out), 0);
	if (!a || !m) {
		free(a);
		free(m);
		return -ENOMEM;
	}
	*a = *by;
	pthread_mutex_lock(&n->lock);
	a->cookie = m->cookie = ++n->last_cookie;
	pthread_mutex_unlock(&n->lock);
	if (cookie)
		*cookie = m->cookie;
	out.notify_unique = UNIQUE_TAG | m->cookie << 1;
	out.size = size < retrieve_limit(s) ? size : retrieve_limit(s);
	memcpy(m->body, &out, sizeof(out));
	return send_message(s, m, a);
}

int fractal_notify_retrieve(struct fractal_session *s, uint64_t nodeid, uint64_t offset,
			    uint32_t size, fractal_retrieve_done *done, void *user)
{
	struct asked by = { .nodeid = nodeid, .offset = offset, .done = done, .user = user };

	return retrieve(s, &by, size, NULL);
}

int fractal_worker_retrieve(struct fractal_worker *w, uint64_t nodeid, uint64_t offset,
			    uint32_t size, uint64_t *cookie)
{
	struct asked by = { .nodeid = nodeid, .offset = offset, .worker = w };

	return retrieve(w->s, &by, size, cookie);
}

int fractal_notify_poll(struct fractal_session *s, uint64_t handle)
{
	struct fractal_notify_poll_out out = { .kh = handle };

	return notify(s, FRACTAL_NOTIFY_POLL, &out, sizeof(out), NULL, 0);
}

int fractal_notify_resend(struct fractal_session *s)
{
	return notify(s, FRACTAL_NOTIFY_RESEND, NULL, 0, NULL, 0);
}

int fractal_notify_inc_epoch(struct fractal_session *s)
{
	return notify(s, FRACTAL_NOTIFY_INC_EPOCH, NULL, 0, NULL, 0);
}

int fractal_notify_prune(struct fractal_session *s, const uint64_t *nodeids, uint32_t count)
{
	struct fractal_notify_prune_out out = { .count = count };

	return notify(s, FRACTAL_NOTIFY_PRUNE, &out, sizeof(out), nodeids,
		      (size_t)count * sizeof(*nodeids));
}
