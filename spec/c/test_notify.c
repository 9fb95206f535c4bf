/* SPDX-License-Identifier: MIT */
/*
 * test_notify.c - notifications and retrieved pages through the C API: from many threads, with callbacks and with a worker's
 * list, in order, bounded, and ended with the session.
 */
#include "flatfs.h"

#define SENDERS	 4
#define MESSAGES 2000

static const struct fractal_config cached = { .entry_ttl = 1000, .attr_ttl = 1000 };

static struct fractal_config config_for(enum fractal_transport transport)
{
	struct fractal_config config = cached;

	config.transport = transport;
	return config;
}

/* What fractal_notify_retrieve() brought, copied. */
struct got {
	_Atomic int calls;
	int error;
	uint64_t nodeid, offset;
	char data[64];
};

static void take(const struct fractal_retrieved *r, void *user)
{
	struct got *g = user;

	g->error = r->error;
	g->nodeid = r->nodeid;
	g->offset = r->offset;
	if (r->size < sizeof(g->data))
		memcpy(g->data, r->data, r->size);
	g->calls++;
}

static int read_motto(const char *mountpoint)
{
	return expect_motto(mountpoint, "Festina lente");
}

static int motto_is_there(const char *mountpoint)
{
	struct stat st;

	CHECK_INT(stat(in_mount(mountpoint, "motto"), &st), 0);
	return 0;
}

static int motto_has_5_bytes(const char *mountpoint)
{
	struct stat st;

	CHECK_INT(stat(in_mount(mountpoint, "motto"), &st), 0);
	return st.st_size == 5 ? 0 : 1;
}

static int motto_is_gone(const char *mountpoint)
{
	struct stat st;

	return stat(in_mount(mountpoint, "motto"), &st) < 0 && errno == ENOENT ? 0 : 1;
}

/* A client succeeds within a while: what it looks for was under way. */
static bool soon(struct server *v, int (*client)(const char *mountpoint))
{
	for (int i = 0; i < 200; i++) {
		if (client_run(v, client) == 0)
			return true;
		pause_ms(10);
	}
	return false;
}

static void caches_are_told(enum fractal_transport transport)
{
	struct flatfs *fs = flat_new();
	struct server v;

	put_motto(fs, "Festina lente");
	if (!start_flat(&v, fs, config_for(transport)))
		return flat_free(fs);
	CHECK_INT(client_run(&v, motto_is_there), 0);
	CHECK_INT(client_run(&v, motto_is_there), 0);
	CHECK_INT(fs->asked[FRACTAL_OP_LOOKUP], 1);
	pthread_mutex_lock(&fs->lock);
	fs->files[0].size = 5;
	pthread_mutex_unlock(&fs->lock);
	CHECK_INT(client_run(&v, motto_has_5_bytes), 1);
	CHECK_INT(fractal_notify_inval_inode(v.session, FLAT_FIRST, -1, 0), 0);
	CHECK(soon(&v, motto_has_5_bytes));
	pthread_mutex_lock(&fs->lock);
	fs->files[0].name[0] = '\0';
	pthread_mutex_unlock(&fs->lock);
	CHECK_INT(client_run(&v, motto_is_there), 0);
	CHECK_INT(fractal_notify_inval_entry(v.session, FRACTAL_ROOT_ID, "motto", 0), 0);
	CHECK(soon(&v, motto_is_gone));
	CHECK_INT(server_stop(&v), 0);
	flat_free(fs);
}

static void pages_come_to_a_callback(enum fractal_transport transport)
{
	struct flatfs *fs = flat_new();
	struct got got = { 0 }, nothing = { 0 };
	struct server v;

	put_motto(fs, "Festina lente");
	if (!start_flat(&v, fs, config_for(transport)))
		return flat_free(fs);
	CHECK_INT(client_run(&v, read_motto), 0);
	CHECK_INT(fractal_notify_retrieve(v.session, FLAT_FIRST, 8, 100, take, &got), 0);
	CHECK(await_int(&got.calls, 1, 5));
	CHECK_INT(got.error, 0);
	CHECK_INT(got.nodeid, FLAT_FIRST);
	CHECK_INT(got.offset, 8);
	CHECK_TEXT(got.data, "lente");
	CHECK_INT(fractal_notify_retrieve(v.session, 99, 0, 100, take, &nothing), 0);
	CHECK(await_int(&nothing.calls, 1, 5));
	CHECK_INT(nothing.error, -ENOENT);
	CHECK_INT(server_stop(&v), 0);
	flat_free(fs);
}

static int serve_and_look(struct fractal_worker *w, void *user)
{
	struct flatfs *fs = ((struct server *)user)->user;
	struct fractal_request *req;

	while ((req = fractal_next(w)))
		fractal_reply(req, req->opcode == FRACTAL_OP_LOOKUP    ? flat_lookup(req, user)
				   : req->opcode == FRACTAL_OP_GETATTR ? flat_getattr(req, user)
				   : req->opcode == FRACTAL_OP_READ    ? flat_read(req, user)
				   : req->opcode == FRACTAL_OP_OPEN    ? 0
				   : req->opcode == FRACTAL_OP_FORGET  ? flat_forget(req, user)
				   : req->opcode == FRACTAL_OP_RELEASE ? 0
								       : -ENOSYS);
	for (struct fractal_retrieved *r = fractal_worker_take_retrieved(w), *next; r; r = next) {
		next = r->next;
		CHECK_INT(r->cookie, fs->largest_write + 1);
		CHECK_INT(r->size, 13);
		CHECK(memcmp(r->data, "Festina lente", 13) == 0);
		fs->largest_write++;
		fractal_retrieved_free(r);
	}
	return 0;
}

/* The worker's list, in pull mode; largest_write counts the answers here. */
static void pages_come_to_a_worker(enum fractal_transport transport)
{
	struct fractal_config config = config_for(transport);
	struct flatfs *fs = flat_new();
	struct server v;
	uint64_t cookie;

	config.serve = serve_and_look;
	put_motto(fs, "Festina lente");
	if (!start_flat(&v, fs, config))
		return flat_free(fs);
	CHECK_INT(client_run(&v, read_motto), 0);
	for (int i = 1; i <= 20; i++) {
		CHECK_INT(fractal_worker_retrieve(fractal_session_worker(v.session, 0), FLAT_FIRST,
						  0, 1000000, &cookie),
			  0);
		CHECK_INT(cookie, i);
		CHECK(await_int(&fs->largest_write, i, 5));
	}
	CHECK_INT(server_stop(&v), 0);
	flat_free(fs);
}

static void *send_many(void *arg)
{
	struct server *v = arg;
	int rc = 0;

	for (int i = 0; i < MESSAGES && !rc; i++) {
		rc = i % 3 == 0	  ? fractal_notify_inval_inode(v->session, FLAT_FIRST, 0, 0)
		     : i % 3 == 1 ? fractal_notify_inval_entry(v->session, 1, "motto", 0)
				  : fractal_notify_poll(v->session, 7);
		if (rc == -ENOBUFS) {
			pause_ms(1);
			rc = 0;
		}
	}
	CHECK_INT(rc, 0);
	return NULL;
}

static void any_thread_may_send(enum fractal_transport transport)
{
	struct flatfs *fs = flat_new();
	pthread_t senders[SENDERS];
	struct server v;

	put_motto(fs, "Festina lente");
	if (!start_flat(&v, fs, config_for(transport)))
		return flat_free(fs);
	for (int i = 0; i < SENDERS; i++)
		CHECK_INT(pthread_create(&senders[i], NULL, send_many, &v), 0);
	for (int i = 0; i < 10; i++)
		CHECK_INT(client_run(&v, read_motto), 0);
	for (int i = 0; i < SENDERS; i++)
		pthread_join(senders[i], NULL);
	CHECK_INT(server_stop(&v), 0);
	CHECK(!strstr(v.log, "refused"));
	flat_free(fs);
}

static void a_retrieve_is_answered_once_at_the_end(enum fractal_transport transport)
{
	struct flatfs *fs = flat_new();
	struct got got[50] = { 0 };
	struct server v;

	put_motto(fs, "Festina lente");
	if (!start_flat(&v, fs, config_for(transport)))
		return flat_free(fs);
	CHECK_INT(client_run(&v, read_motto), 0);
	for (int i = 0; i < 50; i++)
		CHECK_INT(fractal_notify_retrieve(v.session, FLAT_FIRST, 0, 9, take, &got[i]), 0);
	CHECK_INT(server_stop(&v), 0);
	for (int i = 0; i < 50; i++)
		CHECK_INT(got[i].calls, 1);
	flat_free(fs);
}

static void what_makes_no_sense_is_refused(enum fractal_transport transport)
{
	static char name[FRACTAL_NAME_MAX + 1];
	struct fractal_config config = config_for(transport);
	struct fractal_session *session;
	struct flatfs *fs = flat_new();
	struct server v;

	config.handlers = &flat_handlers;
	CHECK_INT(fractal_session_new(&session, &config), 0);
	CHECK_INT(fractal_notify_inc_epoch(session), -ENOTCONN);
	CHECK_INT(fractal_backing_open(session, 0), -ENOTCONN);
	fractal_session_free(session);
	if (!start_flat(&v, fs, config))
		return flat_free(fs);
	memset(name, 'n', FRACTAL_NAME_MAX);
	CHECK_INT(fractal_notify_inval_entry(v.session, 1, name, 0), -ENAMETOOLONG);
	CHECK_INT(fractal_notify_inval_entry(v.session, 1, "", 0), -EINVAL);
	CHECK_INT(fractal_notify_inval_entry(v.session, 1, "x", 2), -EINVAL);
	CHECK_INT(fractal_notify_delete(v.session, 1, 2, ""), -EINVAL);
	CHECK_INT(fractal_notify_store(v.session, 2, 0, name, FRACTAL_NOTIFY_MAX_BYTES), -EMSGSIZE);
	CHECK_INT(fractal_backing_open(v.session, 0), -EOPNOTSUPP);
	CHECK_INT(fractal_backing_close(v.session, 0), -EINVAL);
	CHECK_INT(fractal_backing_claim(v.session, 2), -ENOENT);
	CHECK_INT(server_stop(&v), 0);
	flat_free(fs);
}

int main(void)
{
	need_mounts();
	on_both(caches_are_told);
	on_both(pages_come_to_a_callback);
	on_both(pages_come_to_a_worker);
	on_both(any_thread_may_send);
	on_both(a_retrieve_is_answered_once_at_the_end);
	on_both(what_makes_no_sense_is_refused);
	return check_result();
}
